//! `check-config` on the built binary: what it says of this machine, and of flags and variables.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test may panic"
)]

use std::fs;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};
use std::process::Command;

use tempfile::TempDir;

/// A policy about which there is nothing to say.
const QUIET: &str = r#"
tls { client-cert-format "xfcc"; xfcc-element "only" }
allowlist { exact "spiffe://example.org/a" }
"#;

/// A machine on which everything is in its place.
struct Machine {
    home: TempDir,
    _spire: UnixListener,
}

impl Machine {
    fn new() -> Self {
        let home = tempfile::Builder::new().prefix("m").tempdir().unwrap();
        let spire = UnixListener::bind(home.path().join("spire.sock")).unwrap();
        for private in ["run", "state"] {
            let path = home.path().join(private);
            fs::create_dir(&path).unwrap();
            chmod(&path, 0o700);
        }
        Self {
            home,
            _spire: spire,
        }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.home.path().join(name)
    }

    /// The file with every setting that the machine bears on.
    fn config(&self) -> String {
        let path = |name| self.path(name);
        format!(
            "{QUIET}spire {{ socket {:?} }}\naudit {{ sink \"file\" path={:?} }}\n\
             agent {{\n socket {:?}\n state-dir {:?}\n socket-group \"root\"\n \
             trusted-proxies \"uid:0\" \"gid:0\"\n}}\n",
            path("spire.sock"),
            path("run/audit.jsonl"),
            path("run/agent.sock"),
            path("state"),
        )
    }

    fn check(&self, config: &str, variables: &[(&str, &str)]) -> (Option<i32>, String) {
        self.check_with(config, variables, &[])
    }

    fn check_with(
        &self,
        config: &str,
        variables: &[(&str, &str)],
        flags: &[&str],
    ) -> (Option<i32>, String) {
        let file = self.path("c.kdl");
        fs::write(&file, config).unwrap();
        let output = Command::new(env!("CARGO_BIN_EXE_sentinel-spiffe-agent"))
            .env_clear()
            .envs(variables.iter().copied())
            .arg("check-config")
            .arg(file)
            .args(flags)
            .output()
            .unwrap();
        let said = [output.stdout, output.stderr].concat();
        let said = String::from_utf8(said).unwrap();
        // As one line: reports are wrapped to the width of a terminal.
        let words = said.split([' ', '\n', '│']).filter(|word| !word.is_empty());
        (output.status.code(), words.collect::<Vec<_>>().join(" "))
    }
}

fn chmod(path: &Path, mode: u32) {
    fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
}

/// What an editor or a chat did to a file is told with its place, and what to do.
#[test]
fn encodings_and_quotes_of_editors_are_told_with_place_and_advice() {
    let home = tempfile::tempdir().unwrap();
    let file = home.path().join("c.kdl");
    let utf_16: Vec<u8> = "allowlist"
        .encode_utf16()
        .flat_map(u16::to_le_bytes)
        .collect();
    let utf_16 = [vec![0xff, 0xfe], utf_16].concat();
    let curly = |text: &str| format!("allowlist {{\n    exact {text}\n}}\n").into_bytes();
    for (bytes, place, says) in [
        (
            b"// M\xfcller\nallowlist { any #true }\n".to_vec(),
            "1:5",
            "iconv -f WINDOWS-1252",
        ),
        (utf_16, "1:1", "UTF-16"),
        (
            curly("\u{201c}spiffe://example.org/a\u{201d}"),
            "2:11",
            "U+201C",
        ),
        (
            curly("\"spiffe://example.org/a\u{201d}"),
            "2:11",
            "a typographic one, which closes nothing",
        ),
    ] {
        std::fs::write(&file, bytes).unwrap();
        let mut command = Command::new(env!("CARGO_BIN_EXE_sentinel-spiffe-agent"));
        command.env_clear().arg("check-config").arg(&file);
        let output = command.output().unwrap();
        assert_eq!(output.status.code(), Some(78));
        let said = String::from_utf8(output.stderr).unwrap();
        assert!(said.contains(&format!("c.kdl:{place}]")), "{place}: {said}");
        let said = said.split_whitespace().collect::<Vec<_>>().join(" ");
        assert!(said.replace(" │ ", " ").contains(says), "{says}: {said}");
    }
}

#[test]
fn a_machine_with_everything_in_its_place_is_quiet() {
    let machine = Machine::new();
    let (code, said) = machine.check(&machine.config(), &[]);
    assert_eq!(code, Some(0), "{said}");
    assert!(said.ends_with("no errors, 0 findings"), "{said}");
    // Its own last step is made by the agent.
    let later = machine.config().replace("/state\"", "/state/later\"");
    let (_, said) = machine.check(&later, &[]);
    assert!(said.ends_with("no errors, 0 findings"), "{said}");
}

/// What is changed in the file, the code of the finding, and where it points.
const CHANGES: &[(&str, &str, &str, &str)] = &[
    (
        "/run/audit.jsonl",
        "/gone/audit.jsonl",
        "sink-unwritable",
        "sink",
    ),
    ("/run/audit.jsonl", "/run", "sink-unwritable", "sink"),
    (
        "/run/audit.jsonl",
        "/gone/audit.jsonl",
        "sink-unwritable",
        "the agent would not start",
    ),
    (
        "/run/audit.jsonl",
        "/link",
        "sink-unwritable",
        "links are not followed",
    ),
    (
        "/run/agent.sock",
        "/gone/agent.sock",
        "socket-directory",
        "/gone",
    ),
    (
        "/run/agent.sock",
        "/c.kdl/agent.sock",
        "socket-directory",
        "not a directory",
    ),
    (
        "/run/agent.sock",
        "/c.kdl/agent.sock",
        "socket-directory",
        "a file is in the way: remove it",
    ),
    (
        "/run/agent.sock",
        "/open/agent.sock",
        "socket-directory-open",
        "/open",
    ),
    (
        "socket-group \"root\"",
        "socket-group \"no-such-group\"",
        "unknown-group",
        "no-such-group",
    ),
    (
        "uid:0",
        "uid:3999999999",
        "unknown-account",
        "uid:3999999999",
    ),
    (
        "gid:0",
        "gid:3999999999",
        "unknown-account",
        "gid:3999999999",
    ),
    ("/state\"", "/gone/state\"", "state-dir", "/gone/state"),
    ("/state\"", "/c.kdl\"", "state-dir", "not a directory"),
    ("/state\"", "/open\"", "state-dir-open", "0700"),
    (
        "/state\"",
        "/theirs\"",
        "state-dir-foreign",
        "belongs to uid 1,",
    ),
    ("/spire.sock", "/gone.sock", "spire-socket", "/gone.sock"),
    ("/spire.sock", "/c.kdl", "spire-socket", "is no socket"),
];

#[test]
fn each_thing_that_is_wrong_here_is_a_finding_and_no_error() {
    let machine = Machine::new();
    let (open, theirs) = (machine.path("open"), machine.path("theirs"));
    fs::create_dir(&open).unwrap();
    chmod(&open, 0o1777);
    fs::create_dir(&theirs).unwrap();
    chmod(&theirs, 0o700);
    let root = std::os::unix::fs::chown(&theirs, Some(1), None).is_ok();
    symlink(machine.path("run/x"), machine.path("link")).unwrap();
    for &(from, to, code, says) in CHANGES {
        if code == "state-dir-foreign" && !root {
            continue;
        }
        let config = machine.config().replace(from, to);
        let (exit, said) = machine.check(&config, &[]);
        assert_eq!(exit, Some(0), "{to}: {said}");
        assert!(said.ends_with("no errors, 1 finding"), "{to}: {said}");
        for part in [code, says, "on this machine"] {
            assert!(said.contains(part), "{to}: no {part}: {said}");
        }
    }
}

/// What the agent will be told goes before the file in a check of it too.
#[test]
fn flags_of_the_agent_are_checked_with_the_file() {
    let machine = Machine::new();
    let config = machine
        .config()
        .replace("/run/agent.sock", "/gone/agent.sock");
    let socket = machine.path("run/agent.sock");
    let flags = ["--socket", socket.to_str().unwrap()];
    let (exit, said) = machine.check_with(&config, &[], &flags);
    assert_eq!(exit, Some(0), "{said}");
    assert!(said.ends_with("no errors, 0 findings"), "{said}");
    let gone = machine.path("gone/agent.sock");
    let flags = ["--socket", gone.to_str().unwrap()];
    let (_, said) = machine.check_with(&machine.config(), &[], &flags);
    assert!(said.contains("--socket: on this machine"), "{said}");
}

/// `/tmp`: nobody named it.
#[test]
fn a_finding_about_a_default_says_so() {
    let machine = Machine::new();
    let socket = format!(" socket {:?}\n state-dir", machine.path("run/agent.sock"));
    let config = machine.config().replace(&socket, " state-dir");
    let (_, said) = machine.check(&config, &[]);
    assert!(
        said.contains("(nothing names another: this is the default)"),
        "{said}"
    );
}

/// The variables of the agent may be others than those of whoever checks: no error.
#[test]
fn an_otlp_sink_without_a_collector_is_a_finding() {
    let machine = Machine::new();
    let config = machine.config();
    let config = config.replace(
        "audit { sink \"file\"",
        "audit {\n sink \"otlp\"\n sink \"file\"",
    );
    let config = config.replace("audit.jsonl\" }", "audit.jsonl\"\n}");
    let there = ("OTEL_EXPORTER_OTLP_ENDPOINT", "http://collector:4318");
    let (code, said) = machine.check(&config, &[there]);
    assert!(said.ends_with("no errors, 0 findings"), "{said}");
    assert_eq!(code, Some(0));
    for variables in [&[][..], &[there, ("OTEL_LOGS_EXPORTER", "none")]] {
        let (code, said) = machine.check(&config, variables);
        assert_eq!(code, Some(0), "{said}");
        assert!(said.contains("sink-without-collector"), "{said}");
        assert!(said.contains("the agent would not start"), "{said}");
    }
}

/// The agent would not start before somebody reads it.
#[test]
fn a_sink_that_is_a_pipe_is_a_finding() {
    let machine = Machine::new();
    let fifo = rustix::fs::FileType::Fifo;
    let mode = rustix::fs::Mode::from_raw_mode(0o600);
    let pipe = machine.path("run/audit.jsonl");
    rustix::fs::mknodat(rustix::fs::CWD, &pipe, fifo, mode, 0).unwrap();
    let (code, said) = machine.check(&machine.config(), &[]);
    assert_eq!(code, Some(0), "{said}");
    for part in ["sink-is-pipe", "start its reader before the agent"] {
        assert!(said.contains(part), "{said}");
    }
    assert!(!said.contains("name a file in a directory"), "{said}");
}

/// Of two sinks and two proxies, the one that is wrong.
#[test]
fn a_finding_points_at_the_one_of_several() {
    let machine = Machine::new();
    let two = format!(
        "{QUIET}spire {{ socket {:?} }}\naudit {{\n sink \"stdout\"\n sink \"file\" path=\"/gone/audit.jsonl\"\n}}\n\
         agent {{\n socket {:?}\n trusted-proxies \"uid:0\" \"uid:3999999999\"\n}}\n",
        machine.path("spire.sock"),
        machine.path("run/agent.sock"),
    );
    let (_, said) = machine.check(&two, &[]);
    assert!(said.contains("c.kdl:7:2]"), "the second sink: {said}");
    assert!(said.contains("c.kdl:11:26]"), "the second proxy: {said}");
    let variable = ("TRUSTED_PROXIES", "uid:0,uid:3999999999");
    let (_, said) = machine.check(&two, &[variable]);
    assert!(said.contains("TRUSTED_PROXIES: on this machine"), "{said}");
}

/// Whoever reads the first line knows what to look at.
#[test]
fn a_wrong_switch_is_told_with_an_example() {
    let machine = Machine::new();
    let (exit, said) = machine.check(&machine.config(), &[("SPIFFE_VERBOSE", "maybe")]);
    assert_eq!(exit, Some(78), "{said}");
    assert!(
        said.contains("error: a flag or variable is wrong"),
        "{said}"
    );
    assert!(said.contains("for example true"), "{said}");
}

#[test]
fn what_a_variable_says_is_told_under_its_name() {
    let machine = Machine::new();
    let gone = machine.path("gone.sock");
    let variable = ("SPIRE_AGENT_SOCKET", gone.to_str().unwrap());
    let (exit, said) = machine.check(&machine.config(), &[variable]);
    assert_eq!(exit, Some(0), "{said}");
    assert!(
        said.contains("SPIRE_AGENT_SOCKET: on this machine"),
        "{said}"
    );
    assert!(!said.contains("client-cert-format"), "an excerpt: {said}");
}

#[test]
fn a_wrong_variable_is_no_mistake_of_the_file() {
    let machine = Machine::new();
    let (exit, said) = machine.check(&machine.config(), &[("AGENT_SOCKET", "not/absolute")]);
    assert_eq!(exit, Some(78), "{said}");
    assert!(said.contains("AGENT_SOCKET: `agent.socket`"), "{said}");
    assert!(!said.contains("c.kdl"), "{said}");
}

/// What was to say whom to trust must not count as not said: then everybody is whom the mode admits.
#[test]
fn a_variable_or_flag_that_says_nothing_readable_is_refused() {
    let wrong = std::ffi::OsStr::from_bytes(b"uid:1\xff");
    for (args, variable, says) in [
        (vec!["--trusted-proxy", ""], None, "--trusted-proxy: "),
        (vec![], Some(std::ffi::OsStr::new("")), "TRUSTED_PROXIES: "),
        (vec![], Some(wrong), "TRUSTED_PROXIES: this is not UTF-8"),
    ] {
        let mut command = Command::new(env!("CARGO_BIN_EXE_sentinel-spiffe-agent"));
        command
            .env_clear()
            .args(args)
            .arg("--socket")
            .arg("/no/directory/a.sock");
        command.envs(variable.map(|value| ("TRUSTED_PROXIES", value)));
        let output = command.output().unwrap();
        let said = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(78), "{said}");
        assert!(said.contains(says), "{said}");
    }
}

/// What an operator sees of a file's mistakes.
fn mistakes(text: &str) -> String {
    let (code, said) = Machine::new().check(text, &[]);
    assert_eq!(code, Some(78), "{said}");
    said
}

/// Generated lists are one line, and the renderer counts columns in 16 bits.
#[test]
fn a_mistake_far_along_a_line_is_shown_with_what_is_around_it() {
    let ids: Vec<_> = (0..2_500)
        .map(|n| format!("\"spiffe://example.org/svc-{n:05}\""))
        .collect();
    let list = ids.join(" ");
    let said = mistakes(&format!(
        "allowlist {{ exact {list} \"spiffe://Example.org/typo\" }}\n"
    ));
    assert!(said.contains("spiffe://Example.org/typo"), "{said}");
    let column = "allowlist { exact ".len() + list.len() + 2;
    assert!(said.contains(&format!(":1:{column}")), "{column}: {said}");
    assert!(said.contains("svc-02499"), "{said}");
    assert!(!said.contains("svc-02000"), "{said}");
    assert!(said.len() < 2_000, "{}", said.len());
}

#[test]
fn whatever_is_wrong_is_told_in_few_words() {
    let word = "w".repeat(900_000);
    for text in [
        "x;".repeat(100_000),
        "é ".repeat(100_000),
        "\"".repeat(99_999),
        format!("agent {{\n  socket \"/a\"\n  {word} 1\n}}\n"),
        format!("agent {{\n  socket \"/a\" /*{word}*/ {{\n a 1\n}}\n}}\n"),
    ] {
        let said = mistakes(&text);
        assert!(said.len() < 60_000, "{}", said.len());
    }
}

#[test]
fn what_nobody_sees_is_marked() {
    for hidden in ["\u{0}", "\u{1b}", "\u{202e}", "\u{9b}", "\u{2028}"] {
        let said = mistakes(&format!("agent {{ sockets \"a{hidden}b\" }}\n"));
        assert!(!said.contains(hidden), "{said:?}");
    }
}

#[test]
fn what_has_no_end_is_not_read_to_its_end() {
    let mut command = Command::new(env!("CARGO_BIN_EXE_sentinel-spiffe-agent"));
    let output = command
        .args(["check-config", "/dev/zero"])
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(78), "{said}");
    assert!(
        said.contains("/dev/zero holds more than 1048576 bytes"),
        "{said}"
    );
}
