//! `chaos run` as a process: what it leaves behind, and its exit codes.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test may panic")]

use std::io::{BufRead as _, BufReader, Read as _};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use rustix::process::{Pid, Signal, kill_process, test_kill_process};

const CHAOS: &str = env!("CARGO_BIN_EXE_chaos");

/// Serves nobody, says that it does, and tells its number.
const AGENT: &str = "#!/bin/sh
echo $$ > \"${0%/*}/pid\"
echo 'serving to=\"Live\"' >&2
exec sleep 1000
";

struct Site(tempfile::TempDir);

impl Site {
    fn new() -> Self {
        let site = Self(tempfile::tempdir().unwrap());
        std::fs::create_dir(site.path("tmp")).unwrap();
        std::fs::write(site.path("agent"), AGENT).unwrap();
        let mode = std::fs::Permissions::from_mode(0o755);
        std::fs::set_permissions(site.path("agent"), mode).unwrap();
        site
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn run(&self, words: &[&str]) -> Command {
        // Tests that run under nohup leave a hang-up ignored, and a run would heed that.
        let mut command = Command::new("env");
        command.args(["--default-signal=HUP", CHAOS]);
        command.arg("run").args(words);
        command.arg("--report").arg(self.path("reports"));
        command.env("TMPDIR", self.path("tmp"));
        command.stdout(Stdio::piped()).stderr(Stdio::piped());
        command
    }

    fn output(&self, words: &[&str]) -> Output {
        self.run(words).output().unwrap()
    }
}

fn entries(folder: &Path) -> usize {
    std::fs::read_dir(folder).unwrap().count()
}

fn interrupted_by(signal: Signal) -> Option<i32> {
    let site = Site::new();
    let agent = site.path("agent").display().to_string();
    let command = site.run(&["spire-killed-cache", "--agent", &agent]);
    interrupted(&site, command, &[signal])
}

/// The code of a run that gets these signals once it is under way.
fn interrupted(site: &Site, mut command: Command, signals: &[Signal]) -> Option<i32> {
    let mut chaos = command.spawn().unwrap();
    let mut told = BufReader::new(chaos.stderr.take().unwrap()).lines();
    told.find(|line| line.as_ref().unwrap().contains("spire kill"))
        .unwrap()
        .unwrap();
    for signal in signals {
        kill_process(Pid::from_child(&chaos), *signal).unwrap();
    }
    let code = chaos.wait().unwrap().code();
    let pid = std::fs::read_to_string(site.path("pid")).unwrap();
    let pid = Pid::from_raw(pid.trim().parse().unwrap()).unwrap();
    assert!(test_kill_process(pid).is_err(), "the agent lives");
    assert_eq!(entries(&site.path("tmp")), 0, "a directory stays");
    assert!(site.path("reports/index.html").exists());
    code
}

#[test]
fn an_interrupted_run_takes_its_agent_and_its_directory_along() {
    assert_eq!(interrupted_by(Signal::INT), Some(130));
    assert_eq!(interrupted_by(Signal::TERM), Some(143));
    assert_eq!(interrupted_by(Signal::HUP), Some(129));
}

#[test]
fn a_run_under_nohup_outlives_its_terminal() {
    let site = Site::new();
    let mut command = Command::new("sh");
    command.args(["-c", "trap '' HUP; exec \"$@\"", "sh", CHAOS, "run"]);
    command.arg("spire-killed-cache");
    command.arg("--agent").arg(site.path("agent"));
    command.arg("--report").arg(site.path("reports"));
    command.env("TMPDIR", site.path("tmp"));
    command.stdout(Stdio::piped()).stderr(Stdio::piped());
    let code = interrupted(&site, command, &[Signal::HUP, Signal::TERM]);
    assert_eq!(code, Some(143));
}

#[test]
fn a_run_that_is_killed_takes_its_agent_along_too() {
    let site = Site::new();
    let fifo = site.path("alive");
    assert!(
        Command::new("mkfifo")
            .arg(&fifo)
            .status()
            .unwrap()
            .success()
    );
    // Whoever reads the pipe meets its end with the agent's.
    let script = AGENT.replace("exec sleep", "exec 9> \"${0%/*}/alive\"\nexec sleep");
    std::fs::write(site.path("agent"), script).unwrap();
    let agent = site.path("agent").display().to_string();
    let mut chaos = site
        .run(&["spire-killed-cache", "--agent", &agent])
        .spawn()
        .unwrap();
    let mut alive = std::fs::File::open(&fifo).unwrap();
    chaos.kill().unwrap();
    chaos.wait().unwrap();
    assert_eq!(alive.read(&mut [0; 1]).unwrap(), 0);
}

#[test]
fn a_run_in_which_nothing_was_shown_is_no_success() {
    let site = Site::new();
    // No real SPIRE answers with a status of one's choice, so none is started.
    let skipped = site.output(&[
        "status-internal",
        "--agent",
        "/bin/false",
        "--spire",
        "real",
    ]);
    assert_eq!(skipped.status.code(), Some(3), "{skipped:?}");
}

#[test]
fn a_stage_that_cannot_be_set_is_an_error_and_breaks_no_promise() {
    let site = Site::new();
    let most = usize::MAX.to_string();
    let failed = site.output(&["flapping", "--agent", "/bin/false", "--at-once", &most]);
    assert_eq!(failed.status.code(), Some(2), "{failed:?}");
    let said = String::from_utf8(failed.stdout).unwrap();
    assert!(
        said.contains("/bin/false") && said.contains("exit status: 1"),
        "{said}"
    );
    assert!(
        said.starts_with("ERROR") && !said.contains("BROKEN"),
        "{said}"
    );
}

/// The agent serves nobody, and no page fits.
#[test]
fn a_broken_promise_is_one_though_its_page_cannot_be_written() {
    let site = Site::new();
    let keeps = AGENT.replace("exec", ": > \"${2%/*}/audit.jsonl\"\nexec");
    std::fs::write(site.path("agent"), keeps).unwrap();
    let script = "trap '' XFSZ; ulimit -f 8; exec \"$@\"";
    let mut limited = Command::new("sh");
    limited.args(["-c", script, "sh", CHAOS, "run", "spire-killed-cache"]);
    limited.arg("--agent").arg(site.path("agent"));
    limited.arg("--report").arg(site.path("reports"));
    let output = limited.env("TMPDIR", site.path("tmp")).output().unwrap();
    assert_eq!(output.status.code(), Some(1), "{output:?}");
    let said = String::from_utf8(output.stdout).unwrap();
    let last = said.lines().last().unwrap();
    assert!(
        last.starts_with("0 as promised, 1 not") && last.contains("pages are missing"),
        "{last}"
    );
    assert!(!site.path("reports/spire-killed-cache.html").exists());
}

/// Each has something to say, and its reader has gone.
#[test]
fn a_reader_that_goes_away_is_no_panic() {
    let site = Site::new();
    let seeds = site.path("seeds");
    std::fs::write(&seeds, "1\n").unwrap();
    let seeds = seeds.display().to_string();
    let reports = site.path("reports").display().to_string();
    let run = [
        "run",
        "flapping",
        "--agent",
        "/bin/false",
        "--report",
        &reports,
    ];
    for words in [
        &["list"][..],
        &["config", "flapping"],
        &["simulate", "--seeds-of", &seeds],
        &["replay", "1"],
        &["damage", "--count", "1"],
        &run,
    ] {
        let mut command = Command::new(CHAOS);
        command.args(words).env("TMPDIR", site.path("tmp"));
        // Gone before there is anything to say: `damage` is through in no time.
        let (reader, writer) = std::io::pipe().unwrap();
        drop(reader);
        command.stdout(writer).stderr(Stdio::piped());
        let output = command.spawn().unwrap().wait_with_output().unwrap();
        assert_eq!(output.status.code(), Some(141), "{words:?}");
        assert_eq!(String::from_utf8(output.stderr).unwrap(), "", "{words:?}");
    }
}

/// As a file on a disk that is full: nobody has gone, and the pages tell it all.
#[test]
fn a_result_that_cannot_be_written_ends_no_run_and_mends_no_promise() {
    let site = Site::new();
    let keeps = AGENT.replace("exec", ": > \"${2%/*}/audit.jsonl\"\nexec");
    std::fs::write(site.path("agent"), keeps).unwrap();
    let agent = site.path("agent").display().to_string();
    for (agent, code) in [(&*agent, 1), ("/bin/false", 2)] {
        let full = std::fs::File::options().write(true).open("/dev/full");
        let mut run = site.run(&["spire-killed-cache", "--agent", agent]);
        let output = run.stdout(full.unwrap()).output().unwrap();
        assert_eq!(output.status.code(), Some(code), "{output:?}");
        let said = String::from_utf8(output.stderr).unwrap();
        assert!(said.contains("chaos: standard output: "), "{said}");
        assert!(said.contains("the runs go on"), "{said}");
        assert!(site.path("reports/index.html").exists());
    }
}

#[test]
fn an_output_that_takes_nothing_is_said_to_be_so() {
    let mut command = Command::new(CHAOS);
    let full = std::fs::File::options().write(true).open("/dev/full");
    let output = command.arg("list").stdout(full.unwrap()).output().unwrap();
    assert_eq!(output.status.code(), Some(2));
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(said.starts_with("chaos: standard output: "), "{said}");
}

#[test]
fn the_configuration_that_a_scenario_assumes_can_be_had() {
    let mut command = Command::new(CHAOS);
    let output = command
        .args(["config", "spire-killed-cache"])
        .output()
        .unwrap();
    let said = String::from_utf8(output.stdout).unwrap();
    assert!(said.contains("spire-unavailable \"cache\""), "{said}");
    assert!(said.contains("unavailable-after-ms 500"), "{said}");
}

#[test]
fn an_agent_that_is_not_there_is_no_failed_case() {
    let site = Site::new();
    for agent in [site.path("nosuch"), site.path("tmp")] {
        let mut command = Command::new(CHAOS);
        let output = command.args(["real", "--agent"]).arg(&agent).output();
        let output = output.unwrap();
        assert_eq!(output.status.code(), Some(2), "{output:?}");
        let said = String::from_utf8(output.stderr).unwrap();
        let named = format!("chaos: {}: ", agent.display());
        assert!(said.starts_with(&named), "{said}");
        assert!(output.stdout.is_empty(), "{said}");
    }
}
