//! What `audit verify` says of records that were collected among other lines.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test may panic"
)]

use std::io::Write as _;
use std::process::{Command, Stdio};

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
