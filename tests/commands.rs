//! The commands that only look: what they print is true, and reads back.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test may panic"
)]

#[cfg(feature = "demo")]
use std::io::{BufRead as _, BufReader, Write as _};
#[cfg(feature = "demo")]
use std::process::Stdio;
use std::process::{Command, Output};

use serde_json::Value;

const PRODUCTION: &str = include_str!("../config/examples/production.kdl");

fn agent() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_sentinel-spiffe-agent"));
    command.env_clear();
    command
}

fn printed(output: &Output) -> &str {
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    std::str::from_utf8(&output.stdout).unwrap()
}

/// Keys and values, without who said so.
fn values(document: &Value) -> Vec<(&str, &Value)> {
    let settings = document["settings"].as_array().unwrap().iter();
    settings
        .map(|one| (one["key"].as_str().unwrap(), &one["value"]))
        .collect()
}

#[test]
fn what_is_printed_is_a_configuration_that_says_the_same() {
    let home = tempfile::tempdir().unwrap();
    let (first, second) = (home.path().join("a.kdl"), home.path().join("b.kdl"));
    std::fs::write(&first, PRODUCTION).unwrap();
    let print = |file: &std::path::Path, output: &str| {
        let mut command = agent();
        command.arg("print-config").arg("--config").arg(file);
        command.args(["--output", output]).output().unwrap()
    };
    let text = print(&first, "text");
    // No colours: this is no terminal.
    assert!(!printed(&text).contains('\u{1b}'));
    std::fs::write(&second, printed(&text)).unwrap();
    let (one, two) = (print(&first, "json"), print(&second, "json"));
    let one: Value = serde_json::from_str(printed(&one)).unwrap();
    let two: Value = serde_json::from_str(printed(&two)).unwrap();
    assert_eq!(values(&one), values(&two));
    assert!(values(&one).len() > 50);
}

#[test]
fn each_setting_says_who_said_it() {
    let home = tempfile::tempdir().unwrap();
    let file = home.path().join("c.kdl");
    std::fs::write(&file, "failure {\n    cache-ttl 7\n}\n").unwrap();
    let mut command = agent();
    command.env("SOCKET_GROUP", "proxy");
    command.args(["print-config", "--output", "json", "--verbose"]);
    command
        .args(["--state-dir", "/var/lib/x", "--config"])
        .arg(&file);
    let output = command.output().unwrap();
    let document: Value = serde_json::from_str(printed(&output)).unwrap();
    assert_eq!(document["policy"], true);
    let settings = document["settings"].as_array().unwrap();
    let at = format!("{}:2:5", file.display());
    for (key, value, source, by) in [
        (
            "failure.cache-ttl",
            Value::from(7),
            "file",
            Some(at.as_str()),
        ),
        ("failure.enforce", true.into(), "default", None),
        (
            "agent.state-dir",
            "/var/lib/x".into(),
            "flag",
            Some("--state-dir"),
        ),
        (
            "agent.socket-group",
            "proxy".into(),
            "environment",
            Some("SOCKET_GROUP"),
        ),
        ("headers.trust-basis", Value::Null, "default", None),
    ] {
        let setting = settings.iter().find(|one| one["key"] == key).unwrap();
        assert_eq!(setting["value"], value, "{key}");
        assert_eq!(setting["source"], source, "{key}");
        assert_eq!(setting["by"].as_str(), by, "{key}");
    }
}

#[test]
fn a_wrong_configuration_is_not_printed() {
    let output = agent()
        .args(["print-config", "--socket", "x"])
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(78));
    assert!(output.stdout.is_empty());
}

/// What is no command line is 2, what is no setting 78, and what is not there 1: as the table says.
#[test]
fn exit_codes_are_those_of_the_table() {
    for (arguments, code) in [
        ("no-such-command", 2),
        ("status --no-such-flag", 2),
        ("status --output xml", 2),
        ("top --interval-ms soon", 2),
        ("top --interval-ms 0", 2),
        ("top --interval-ms 49", 2),
        ("inspect --timeout-ms 0", 2),
        ("check-config", 2),
        ("completions tcsh", 2),
        ("man audit no-such", 2),
        ("explain --header x --state-dir /nowhere --at yesterday", 2),
        ("explain --header x --bundle foo", 2),
        ("explain --header x --bundle a.test=/nowhere", 1),
        ("explain /nowhere", 1),
        ("audit verify /nowhere", 2),
        ("status --admin-address nowhere", 78),
        ("inspect --spire-socket relative", 78),
        ("print-config --trusted-proxy nobody", 78),
        ("check-config /nowhere", 78),
        ("status --admin-address none", 1),
        ("inspect --spire-socket /nowhere", 1),
    ] {
        let output = agent().args(arguments.split(' ')).output().unwrap();
        assert_eq!(output.status.code(), Some(code), "{arguments}: {output:?}");
        assert!(!output.stderr.is_empty() || code == 1, "{arguments}");
    }
}

/// A line as logs have it is no value, and a good credential in it no bad one.
#[test]
fn explain_takes_no_whole_line_for_a_value() {
    let explain = |header: &str| {
        let arguments = ["explain", "--spire-socket", "/nowhere", "--header", header];
        agent().args(arguments).output().unwrap()
    };
    for line in [
        "x-forwarded-client-cert:By=spiffe://example.org/hop",
        "X-Client-Cert: Cert=x",
    ] {
        let line = explain(line);
        assert_eq!(line.status.code(), Some(2));
        let said = String::from_utf8(line.stderr).unwrap();
        assert!(said.contains("give its value"), "{said}");
    }
    assert_eq!(explain(":dGVzdA==:").status.code(), Some(0), "RFC 9440");
    // Who appends is told of, and how he is told to overwrite.
    let home = tempfile::tempdir().unwrap();
    let file = home.path().join("c.kdl");
    let policy =
        "allowlist { any #true }\ntls { client-cert-format \"xfcc\"; xfcc-element \"only\" }\n";
    std::fs::write(&file, policy).unwrap();
    let arguments = ["explain", "--spire-socket", "/nowhere", "--config"];
    let mut explain = agent();
    explain
        .args(arguments)
        .arg(&file)
        .args(["--header", "By=a,By=b"]);
    let said = String::from_utf8(explain.output().unwrap().stdout).unwrap();
    assert!(said.contains("SANITIZE_SET"), "{said}");
}

#[test]
fn a_configuration_is_checked_for_programs_too() {
    let home = tempfile::tempdir().unwrap();
    let file = home.path().join("c.kdl");
    let check = |text: &str| {
        std::fs::write(&file, text).unwrap();
        let mut command = agent();
        command
            .args(["check-config", "--output", "json"])
            .arg(&file);
        let output = command.output().unwrap();
        let json = std::str::from_utf8(&output.stdout).unwrap();
        let json: Value = serde_json::from_str(json).unwrap_or_else(|e| panic!("{e}: {output:?}"));
        (output.status.code(), json)
    };
    let (code, json) = check("allowlist { any #true }\n");
    assert_eq!(code, Some(0));
    assert_eq!(json["errors"], Value::Array(Vec::new()));
    let findings = json["findings"].as_array().unwrap();
    assert!(findings.iter().all(|one| one["fix"].is_string()), "{json}");
    assert!(
        findings.iter().any(|one| one["severity"] == "warning"),
        "{json}"
    );
    let settings = json["effective"]["settings"].as_array().unwrap();
    assert!(settings.len() > 50);
    let (code, json) = check("failure {\n    cache-tll 7\n}\n");
    assert_eq!(code, Some(78));
    assert_eq!(json["effective"], Value::Null);
    let error = &json["errors"][0];
    assert_eq!(
        error["place"].as_str().unwrap(),
        format!("{}:2:5", file.display())
    );
    assert!(error["advice"].as_str().unwrap().contains("cache-ttl"));
}

#[test]
fn completions_and_manual_know_the_commands() {
    for shell in ["bash", "elvish", "fish", "powershell", "zsh"] {
        let output = agent().args(["completions", shell]).output().unwrap();
        let script = printed(&output);
        for word in ["print-config", "check-config", "spire-socket"] {
            assert!(script.contains(word), "{shell}: {word}");
        }
    }
    let output = agent().arg("man").output().unwrap();
    assert!(printed(&output).contains(".TH sentinel-spiffe-agent 1"));
    let output = agent().args(["man", "print-config"]).output().unwrap();
    let page = printed(&output);
    assert!(
        page.contains("sentinel-spiffe-agent-print-config"),
        "{page}"
    );
    assert!(page.contains("state\\-dir"), "{page}");
    let output = agent().args(["man", "audit", "verify"]).output().unwrap();
    let page = printed(&output);
    for part in ["sentinel-spiffe-agent-audit-verify", "\\-\\-expect"] {
        assert!(page.contains(part), "no {part} in {page}");
    }
    let output = agent().args(["man", "no-such"]).output().unwrap();
    assert_eq!(output.status.code(), Some(2));
}

/// Longest silence of the demo: its story waits for an outage.
#[cfg(feature = "demo")]
const PATIENCE: std::time::Duration = std::time::Duration::from_secs(30);

/// Without a reader it would stay up for ever.
#[cfg(feature = "demo")]
struct Ended(std::process::Child);

#[cfg(feature = "demo")]
impl Drop for Ended {
    fn drop(&mut self) {
        let _gone = self.0.kill();
        let _status = self.0.wait();
    }
}

/// Once its story is told the demo says where things are, and there they are.
#[cfg(feature = "demo")]
#[test]
fn the_demo_says_where_its_page_and_its_sockets_are() {
    let mut demo = agent();
    demo.arg("demo")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped());
    let mut demo = Ended(demo.spawn().unwrap());
    let stdout = BufReader::new(demo.0.stdout.take().unwrap());
    let (lines, told) = std::sync::mpsc::sync_channel(16);
    std::thread::spawn(move || {
        let mut read = stdout.lines().map_while(Result::ok);
        read.try_for_each(|line| lines.send(line))
    });
    let said = |name: &str| loop {
        let line = told.recv_timeout(PATIENCE);
        let line = line.unwrap_or_else(|_| panic!("it does not say its {name}"));
        if let Some(rest) = line.trim().strip_prefix(name) {
            break rest.trim().split(' ').next().unwrap().to_owned();
        }
    };
    let (page, socket) = (said("status page"), said("agent's socket"));
    let (spire, records) = (said("SPIRE's socket"), said("decisions"));
    let at = page.trim_start_matches("http://").trim_end_matches('/');
    let status = agent().args(["status", "--admin-address", at]).output();
    let status = status.unwrap();
    let status = printed(&status);
    assert!(status.contains("SPIRE    Live"), "{status}");
    let (_, config) = status.split_once(", config ").unwrap();
    let config = config.split(',').next().unwrap();
    assert!(std::fs::read_to_string(config).is_ok(), "{config}");
    let mut metrics = std::net::TcpStream::connect(at).unwrap();
    write!(metrics, "GET /metrics HTTP/1.0\r\nHost: {at}\r\n\r\n").unwrap();
    let metrics = BufReader::new(metrics).lines().map_while(Result::ok);
    assert!(
        metrics
            .filter(|line| line.starts_with("spiffe_agent_decisions_total{"))
            .count()
            > 0
    );
    let inspected = agent().args(["inspect", "--spire-socket", &spire]).output();
    assert!(printed(&inspected.unwrap()).contains("partner.test"));
    assert!(std::os::unix::net::UnixStream::connect(socket).is_ok());
    assert!(std::fs::metadata(records).unwrap().len() > 0);
    writeln!(demo.0.stdin.take().unwrap(), "quit").unwrap();
    assert!(demo.0.wait().unwrap().success());
}

/// Whoever asked for JSON reads JSON, whatever goes wrong: an object that has `error`.
#[test]
fn what_goes_wrong_is_json_too_for_whoever_asked_for_it() {
    let dir = tempfile::tempdir().unwrap();
    let bad = dir.path().join("bad.kdl");
    std::fs::write(&bad, "allowlist { exacts \"spiffe://a.test/b\" }\n").unwrap();
    let bad = bad.to_str().unwrap();
    for (command, code) in [
        ("status --admin-address 127.0.0.1:1", 1),
        ("status --config BAD", 78),
        ("top --once --config BAD", 78),
        ("doctor --config BAD", 78),
        ("print-config --config BAD", 78),
        ("explain --header x --config BAD", 78),
        ("explain /nowhere", 1),
        ("audit verify /nowhere", 2),
        ("audit verify --expect beef /nowhere", 2),
    ] {
        let arguments = command.split(' ').map(|word| word.replace("BAD", bad));
        let output = Command::new(env!("CARGO_BIN_EXE_sentinel-spiffe-agent"))
            .env_clear()
            .args(arguments)
            .args(["--output", "json"])
            .output()
            .unwrap();
        assert_eq!(output.status.code(), Some(code), "{command}: {output:?}");
        let told: Result<serde_json::Value, _> = serde_json::from_slice(&output.stdout);
        let told = told.unwrap_or_else(|error| panic!("{command}: {error}: {output:?}"));
        let error = told["error"].as_str().unwrap();
        assert!(!error.is_empty() && !output.stderr.is_empty(), "{command}");
        if command.contains("BAD") {
            // As check-config tells them, and no drawing.
            assert!(
                error.starts_with(bad) && error.contains("exacts"),
                "{command}: {error}"
            );
            assert!(!error.contains('│'), "{command}: {error}");
            let first = &told["errors"][0];
            assert_eq!(first["place"], format!("{bad}:1:13"), "{command}: {told}");
            assert_eq!(
                first["advice"], "did you mean `exact`?",
                "{command}: {told}"
            );
            assert_eq!(told["errors_left_out"], 0, "{command}: {told}");
        }
    }
}
