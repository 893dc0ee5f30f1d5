//! What is refused, with place, rule and advice, word by word. The cases stand in `refused/*.txt`;
//! `BLESS=1` writes what is answered now, for a person to judge line by line.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test may panic"
)]

use std::path::Path;

use config::{ConfigErrors, FileConfig, Override, Overrides, Push, Settings};

const INPUT: &str = "===== input\n";
const REFUSED: &str = "----- refused\n";

fn told(errors: &ConfigErrors) -> String {
    errors.lines().map(|line| line + "\n").collect()
}

fn cases(name: &str, at_least: usize, told: impl Fn(&str) -> String) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("tests/refused/{name}.txt"));
    let text = std::fs::read_to_string(&path).unwrap();
    let mut blessed = String::new();
    let mut wrong = Vec::new();
    let mut count = 0;
    for case in text.split(INPUT).skip(1) {
        let (input, expected) = case.split_once(REFUSED).unwrap();
        let answer = told(input.strip_suffix('\n').unwrap());
        if answer == "not refused\n" {
            wrong.push(format!("not refused: {input}"));
        }
        blessed += &format!("{INPUT}{input}{REFUSED}{answer}");
        count += 1;
        if answer != expected {
            wrong.push(format!("{input}\nexpected:\n{expected}answered:\n{answer}"));
        }
    }
    if std::env::var_os("BLESS").is_some() {
        std::fs::write(&path, blessed).unwrap();
    } else {
        assert!(wrong.is_empty(), "{}", wrong.join("\n\n"));
    }
    assert!(count >= at_least, "only {count} cases");
}

#[test]
fn wrong_files_are_refused_with_place_rule_and_advice() {
    cases("files", 120, |text| match FileConfig::parse("f", text) {
        Err(errors) => told(&errors),
        Ok(_) => "not refused\n".to_owned(),
    });
}

#[test]
fn wrong_pushes_are_refused_with_path_rule_and_advice() {
    let settings = Settings::resolve(None, &Overrides::default()).unwrap();
    cases("pushes", 40, |text| {
        match settings.take_push(text.as_bytes()) {
            Err(errors) => told(&errors),
            Ok(_) => "not refused\n".to_owned(),
        }
    });
}

#[test]
fn one_path_for_both_sockets_is_refused_wherever_it_was_said() {
    let rule = "`agent.socket` and `spire.socket` are the same path, /run/a.sock; agent.socket (--socket) is where";
    let text = "spire { socket \"/run/a.sock\" }\nagent { socket \"/run/a.sock\" }\n";
    let file = FileConfig::parse("f", text).unwrap();
    let said = told(&Settings::resolve(Some(file), &Overrides::default()).unwrap_err());
    assert!(said.starts_with("f:2:") && said.contains(rule), "{said}");
    let flags = Overrides::default()
        .with_flag(Override::Socket, "/run/a.sock")
        .with_flag(Override::SpireSocket, "/run/a.sock");
    let said = told(&Settings::resolve(None, &flags).unwrap_err());
    assert!(
        said.starts_with("--socket: ") && said.contains(rule),
        "{said}"
    );
}

#[test]
fn too_large_inputs_are_refused_unread() {
    let large = " ".repeat(config::MAX_CONFIG_BYTES + 1);
    let rule = "a configuration is limited to 1048576 bytes, and this has 1048577";
    let file = FileConfig::parse("f", &large).unwrap_err();
    assert_eq!(told(&file), format!("f: {rule}\n"));
    let push = Push::parse(large.as_bytes()).unwrap_err();
    assert_eq!(told(&push), format!("the configuration: {rule}\n"));
}

#[test]
fn deep_and_wide_pushes_are_refused() {
    for bomb in [
        "[".repeat(100_000),
        "{\"a\":".repeat(100_000),
        format!("{}{}", "[".repeat(40), "]".repeat(40)),
    ] {
        let told = told(&Push::parse(bomb.as_bytes()).unwrap_err());
        assert!(told.contains("a push is limited to 32 levels"), "{told}");
    }
    let wide = format!("[{}0]", "0,".repeat(config::MAX_PUSH_VALUES));
    let told = told(&Push::parse(wide.as_bytes()).unwrap_err());
    assert!(
        told.contains("a push is limited to 100000 values"),
        "{told}"
    );
}

#[test]
fn many_problems_are_counted_and_the_first_are_told() {
    let text = "x\n".repeat(1000);
    let errors = FileConfig::parse("f", &text).unwrap_err();
    let lines: Vec<String> = errors.lines().collect();
    assert_eq!(lines.len(), config::MAX_PROBLEMS + 1);
    assert_eq!(lines[config::MAX_PROBLEMS], "and 950 more");
    assert_eq!(errors.to_string(), "f has 1000 problems");
    let text = errors.to_text(1000);
    assert!(text.len() < 1100 && text.starts_with("f:1:1: there is no block"));
    let told = text.lines().count() - 1;
    assert!(
        text.ends_with(&format!("and {} more", 1000 - told)),
        "{text}"
    );
}

#[test]
fn large_and_wrong_inputs_take_no_time() {
    let started = std::time::Instant::now();
    let entries = "\"spiffe://example.org/workload-0123456789\"\n".repeat(20_000);
    for text in [
        "requiremtls-client-cert-header-spire-unavailable-x;".repeat(20_000),
        format!(
            "tls {{ {} }}",
            "requiremtls-client-cert-header-x 1;".repeat(25_000)
        ),
        format!("allowlist {{ exact [{entries}] }}"),
        format!("allowlist {{ exact {} }}", "1 ".repeat(90_000)),
        format!(
            "allowlist {{ patterns {} }}",
            "\"spiffe://a/(x{99}){9}\" ".repeat(30_000)
        ),
    ] {
        assert!(FileConfig::parse("f", &text).is_err());
    }
    let keys: Vec<String> = (0..40_000).map(|n| format!("\"x{n}\":{n}")).collect();
    for text in [
        format!("{{{}}}", keys.join(",")),
        format!("{{\"tls\":{{{}}}}}", keys.join(",")),
        format!("{{\"{}\":1}}", "k".repeat(1_000_000)),
        format!("{{\"tls\":[{}1]}}", "1,".repeat(90_000)),
    ] {
        assert!(Push::parse(text.as_bytes()).is_err());
    }
    // About a second in a debug build; what is quadratic takes minutes.
    assert!(started.elapsed() < std::time::Duration::from_secs(30));
}

#[test]
fn pushes_that_are_not_utf_8_are_refused() {
    let push = b"{\"tls\":{\"client-cert-header\":\"\xff\"}}";
    let told = told(&Push::parse(push).unwrap_err());
    assert!(told.contains("this is not JSON"), "{told}");
}

#[test]
fn wrong_flags_and_variables_are_named() {
    use Override as O;
    for (which, value, rule) in [
        (
            O::Socket,
            "x",
            "`agent.socket`: a socket is named by an absolute path",
        ),
        (
            O::GrpcAddress,
            "x",
            "`grpc-address`: a listen address is an IP address and a port",
        ),
        (
            O::SpireSocket,
            "tcp://1.2.3.4:5",
            "`spire.socket`: only Unix sockets are supported",
        ),
        (
            O::Verbose,
            "maybe",
            "`verbose`: a switch is one of true, false, 1, 0, yes, no",
        ),
        (
            O::AdminAddress,
            "localhost:9902",
            "`admin-address`: an admin address is an IP address and a port, or none",
        ),
        (O::StateDir, "x", "`state-dir`: a path must be absolute"),
        (
            O::TrustedProxies,
            "uid:1,root",
            "`trusted-proxies`: a trusted proxy is",
        ),
        (O::SocketGroup, "a b", "`socket-group`: a group is named by"),
        (
            O::InsecurePlaintext,
            "on",
            "`insecure-plaintext`: a switch is one of",
        ),
    ] {
        let by_flag = Overrides::default().with_flag(which, value);
        let by_variable =
            Overrides::from_variables(|name| (name == which.variable()).then(|| value.to_owned()));
        for (overrides, name) in [
            (by_flag, which.flag().unwrap()),
            (by_variable, which.variable()),
        ] {
            let told = told(&Settings::resolve(None, &overrides).unwrap_err());
            assert!(told.starts_with(&format!("{name}: {rule}")), "{told}");
        }
    }
}

#[test]
fn plaintext_beyond_loopback_needs_insistence() {
    let text = "agent {\n    grpc-address \"0.0.0.0:50051\"\n}";
    let file = || Some(FileConfig::parse("f", text).unwrap());
    let told = told(&Settings::resolve(file(), &Overrides::default()).unwrap_err());
    assert!(told.starts_with("f:2:5: a gRPC door beyond loopback needs mutual TLS"));
    assert!(told.contains("--insecure-plaintext"), "{told}");
    let insists = Overrides::default().with_flag(Override::InsecurePlaintext, "true");
    assert!(Settings::resolve(file(), &insists).is_ok());
}

/// A SPIFFE ID is asked for in TLS alone: without a door it would read as one proxy and admit whoever
/// may open the Unix socket.
#[test]
fn ids_alone_need_a_door_that_can_ask_for_one() {
    let id = "spiffe://example.org/proxy";
    let text = format!("agent {{\n    trusted-proxies \"{id}\"\n}}");
    let file = || Some(FileConfig::parse("f", &text).unwrap());
    let refused = |overrides: &Overrides| told(&Settings::resolve(file(), overrides).unwrap_err());
    let rule = "`trusted-proxies` names SPIFFE IDs alone";
    let in_file = refused(&Overrides::default());
    assert!(in_file.starts_with(&format!("f:2:5: {rule}")), "{in_file}");
    assert!(in_file.contains("uid:N"), "{in_file}");
    let flag = Overrides::default().with_flag(Override::TrustedProxies, id);
    let by_flag = told(&Settings::resolve(None, &flag).unwrap_err());
    assert!(
        by_flag.starts_with(&format!("--trusted-proxy: {rule}")),
        "{by_flag}"
    );
    let door = Overrides::default().with_flag(Override::GrpcAddress, "127.0.0.1:50051");
    assert!(Settings::resolve(file(), &door).is_ok());
    let both = Overrides::default().with_flag(Override::TrustedProxies, format!("uid:5,{id}"));
    assert!(Settings::resolve(file(), &both).is_ok());
    // An address that is wrong is the one thing to say.
    let wrong = Overrides::default().with_flag(Override::GrpcAddress, "x");
    assert!(!refused(&wrong).contains(rule));
}

#[test]
fn an_excerpt_points_at_the_mistake() {
    let text = "tls {\n    require-mtls \"x\"\n}\n";
    let errors = FileConfig::parse("f.kdl", text).unwrap_err();
    let diagnostic: &dyn miette::Diagnostic = &errors;
    let related: Vec<_> = diagnostic.related().unwrap().collect();
    let label = related[0].labels().unwrap().next().unwrap();
    assert_eq!(&text[label.offset()..label.offset() + label.len()], "\"x\"");
    let mut shown = String::new();
    let handler = miette::NarratableReportHandler::new();
    handler.render_report(&mut shown, diagnostic).unwrap();
    assert!(shown.contains("f.kdl"), "{shown}");
    assert!(shown.contains("write #true or #false"), "{shown}");
}

fn shown(errors: &dyn miette::Diagnostic) -> String {
    let mut shown = String::new();
    let handler = miette::NarratableReportHandler::new();
    handler.render_report(&mut shown, errors).unwrap();
    shown
}

/// Whoever looks for the mistake in the file does not find it there.
#[test]
fn a_wrong_flag_or_variable_is_told_under_its_own_name_beside_a_file() {
    let text = "agent {\n    grpc-address \"0.0.0.0:50051\"\n}";
    let sound = "allowlist { exact \"spiffe://example.org/a\" }";
    let resolve = |text, overrides: &Overrides| {
        let file = FileConfig::parse("f.kdl", text).unwrap();
        Settings::resolve(Some(file), overrides).unwrap_err()
    };
    for which in Override::ALL {
        let by_variable = |name: &str| (name == which.variable()).then(|| " ?".to_owned());
        let by_variable = Overrides::from_variables(by_variable);
        let by_flag = Overrides::default().with_flag(which, " ?");
        let given = [
            which.flag().map(|flag| (by_flag, flag)),
            Some((by_variable, which.variable())),
        ];
        for (overrides, name) in given.into_iter().flatten() {
            let errors = resolve(sound, &overrides);
            let alone = shown(&errors);
            assert!(errors.lines().all(|line| line.starts_with(name)), "{name}");
            assert!(alone.contains(&format!("{name}: ")), "{alone}");
            assert!(!alone.contains("f.kdl"), "{alone}");
            assert!(alone.starts_with("the command line or environment has 1"));
        }
    }
    let overrides = Overrides::default().with_flag(Override::StateDir, "x");
    let errors = resolve(text, &overrides);
    let both = shown(&errors);
    assert!(both.contains("f.kdl, with the command line or environment, has 2 problems"));
    assert!(both.contains("--state-dir: `state-dir`"), "{both}");
    assert!(both.contains("grpc-address \"0.0.0.0:50051\""), "{both}");
}
