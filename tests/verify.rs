//! What `audit verify` says of records that were collected among other lines, and of files that others named.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test may panic"
)]

use std::ffi::OsStr;
use std::io::Write as _;
use std::path::PathBuf;
use std::process::{Command, Output, Stdio};

use actors::audit::LineHash;
use serde_json::Value;

fn agent() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_sentinel-spiffe-agent"));
    command.env_clear();
    command
}

/// Lines of a chain.
fn chain(records: usize) -> Vec<String> {
    let mut lines: Vec<String> = Vec::new();
    for seq in 1..=records {
        let prev = lines.last().map_or_else(
            || "null".to_owned(),
            |line| format!("\"{}\"", LineHash::of(line.as_bytes())),
        );
        let time = format!("2026-01-02T03:04:{seq:02}.000Z");
        lines.push(format!(
            "{{\"seq\":{seq},\"prev\":{prev},\"time\":\"{time}\",\"verdict\":\"deny\"}}"
        ));
    }
    lines
}

const LOG: &str = "2026-01-02T03:04:05.678901Z  INFO actors::root: no bundles yet";

/// Standard output and standard error, as one stream.
fn mixed(records: &[String]) -> Vec<String> {
    let log = || LOG.to_owned();
    let mut lines = vec![log(), log()];
    for record in records {
        lines.extend([record.clone(), log()]);
    }
    lines
}

fn verify(args: &[&str], lines: &[String]) -> (Option<i32>, String) {
    let mut command = agent();
    command.args(["audit", "verify", "-"]).args(args);
    let pipes = command.stdin(Stdio::piped()).stdout(Stdio::piped());
    let mut child = pipes.spawn().unwrap();
    let mut stdin = child.stdin.take().unwrap();
    stdin.write_all(lines.join("\n").as_bytes()).unwrap();
    drop(stdin);
    let output = child.wait_with_output().unwrap();
    (
        output.status.code(),
        String::from_utf8(output.stdout).unwrap(),
    )
}

/// No record holds such a line, so nobody can say that it was there: it stays a break, and what to do is said.
#[test]
fn a_log_among_what_was_collected_is_called_that() {
    let records = chain(3);
    let (code, said) = verify(&["--collected"], &mixed(&records));
    assert_eq!(code, Some(1), "{said}");
    assert!(said.contains("grep '^{'"), "{said}");
    assert!(said.contains("5 lines are neither"), "{said}");
    assert!(!said.contains("crash"), "{said}");
    // As is said.
    let kept: Vec<String> = mixed(&records);
    let kept: Vec<String> = kept
        .into_iter()
        .filter(|line| line.starts_with('{'))
        .collect();
    let (code, said) = verify(&["--collected"], &kept);
    assert_eq!(code, Some(0), "{said}");
    // Behind the last record nothing can be told of anything, nor was it torn.
    let behind = [&records[..], &[LOG.to_owned()]].concat();
    for args in [&["--collected"][..], &[]] {
        let (code, said) = verify(args, &behind);
        assert_eq!(code, Some(0), "{said}");
        assert!(
            said.contains("note: ") && said.contains("neither a record nor"),
            "{said}"
        );
        assert!(!said.contains("crash"), "{said}");
    }
    // A file is the agent's alone: nobody is told to take lines away from it.
    let (code, said) = verify(&[], &mixed(&records));
    assert_eq!(code, Some(1), "{said}");
    assert!(!said.contains("grep"), "{said}");
}

#[test]
fn records_behind_what_journalctl_puts_before_them_are_told() {
    let before = |line: &String| format!("Jan 02 03:04:05 host agent[7]: {line}");
    let lines: Vec<String> = mixed(&chain(3)).iter().map(before).collect();
    for args in [&["--collected"][..], &[]] {
        let (code, said) = verify(args, &lines);
        assert_eq!(code, Some(1), "{said}");
        assert!(said.contains("no records: "), "{said}");
        assert!(said.contains("journalctl -o cat"), "{said}");
    }
    let (_, json) = verify(&["--output", "json"], &lines);
    let json: Value = serde_json::from_str(&json).unwrap();
    assert!(
        json["notes"].to_string().contains("journalctl -o cat"),
        "{json}"
    );
}

/// A line that was cut short by a crash is one, where it was collected, too.
#[test]
fn the_beginning_of_a_record_is_a_torn_line() {
    let mut lines = chain(3);
    lines.push("{\"seq\":4,\"prev\":\"".to_owned());
    let (code, said) = verify(&[], &lines);
    assert_eq!(code, Some(0), "{said}");
    assert!(said.contains(":4: a line that a crash tore"), "{said}");
}

/// Clears a screen, hides what follows, turns it around, is a line of its own.
const HOSTILE: &str = "a\u{1b}[2J\u{1b}[8m\u{202e}\u{9b}31m\nwhole";

fn seen(output: &Output) -> String {
    let said = [&output.stdout[..], &output.stderr[..]].concat();
    let said = String::from_utf8(said).unwrap();
    let unseen = |c: char| c != '\n' && verdict::unseen::is_unseen(c);
    assert!(!said.contains(unseen), "{said:?}");
    assert!(
        !said.lines().any(|line| line.starts_with("whole")),
        "{said:?}"
    );
    said
}

/// Whoever can make a file names it.
#[test]
fn names_of_files_command_no_terminal() {
    let home = tempfile::tempdir().unwrap();
    let file = |suffix: &str, bytes: &[u8]| -> PathBuf {
        let path = home.path().join(format!("{HOSTILE}{suffix}"));
        std::fs::write(&path, bytes).unwrap();
        path
    };
    let mut broken = chain(3);
    broken[1] = broken[1].replace("deny", "allow");
    let broken = file(".jsonl", format!("{}\r\n", broken.join("\r\n")).as_bytes());
    let cut = file(".cut", b"{\"seq\":1,\"prev\":null");
    let gone = home.path().join(format!("{HOSTILE}.gone"));
    let wrong = file(".kdl", b"nonsense \"x\"\n");
    let good = file(".good.kdl", b"failure {\n    cache-ttl 7\n}\n");
    let pem = file(
        ".pem",
        b"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n",
    );
    let path = |path: &PathBuf| path.as_os_str().to_owned();
    let word = |word: &str| OsStr::new(word).to_owned();
    for (code, args) in [
        (
            1,
            vec![word("audit"), word("verify"), path(&broken), path(&cut)],
        ),
        (2, vec![word("audit"), word("verify"), path(&gone)]),
        // What a shell makes of a `*`.
        (
            2,
            vec![word("audit"), word("verify"), word(&format!("--{HOSTILE}"))],
        ),
        (1, vec![word("explain"), path(&gone)]),
        (0, vec![word("explain"), path(&pem)]),
        (
            78,
            vec![
                word("explain"),
                word("--header=x"),
                word("--config"),
                path(&gone),
            ],
        ),
        (78, vec![word("check-config"), path(&gone)]),
        (78, vec![word("check-config"), path(&wrong)]),
        (0, vec![word("check-config"), path(&good)]),
        (0, vec![word("print-config"), word("--config"), path(&good)]),
        (78, vec![word("--config"), path(&gone)]),
        (78, vec![word("--config"), path(&wrong)]),
        (
            78,
            vec![word("inspect"), word("--spire-socket"), path(&gone)],
        ),
    ] {
        let output = agent().args(&args).output().unwrap();
        let said = seen(&output);
        assert_eq!(output.status.code(), Some(code), "{args:?}: {said}");
    }
    // The configuration that is printed is one still: what follows the name is no line of it.
    let printed = agent()
        .arg("print-config")
        .arg("--config")
        .arg(&good)
        .output()
        .unwrap();
    let again = home.path().join("again.kdl");
    std::fs::write(&again, printed.stdout).unwrap();
    let checked = agent().arg("check-config").arg(&again).output().unwrap();
    assert_eq!(checked.status.code(), Some(0), "{checked:?}");
    // A program is told the name as it is.
    let mut command = agent();
    command
        .args(["audit", "verify", "--output", "json"])
        .arg(&broken);
    let json: Value = serde_json::from_str(&seen(&command.output().unwrap())).unwrap();
    assert_eq!(json["broken"][0]["file"], broken.to_str().unwrap());
}
