//! Records and logs that nobody takes: a full disk, a stuck collector, a closed pipe. No request waits for them.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::print_stderr,
    reason = "a test may panic and print"
)]

mod common;

use std::io::Read as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::process::Command;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Instant;

use chaos::client::{Client, Frame, Hello, kind};
use common::expect::Expected;
use common::{Agent, FRONTEND, Heard, LOAD_POLICY, PATIENCE, Site, asked, eventually};

/// The load policy with these sinks.
fn policy(site: &Site, sinks: &str) -> Command {
    let path = site.path("sinks.kdl");
    let limits = "agent { limits { decision-deadline-ms 20000 } }";
    std::fs::write(
        &path,
        format!("{LOAD_POLICY}{limits}\naudit {{\n{sinks}\n}}\n"),
    )
    .unwrap();
    let mut command = site.command();
    command.arg("--config").arg(path);
    command
}

fn spawn(site: &Site, sinks: &str, heard: Heard) -> Agent {
    let command = policy(site, sinks);
    Agent::spawn_heard(command, heard, site.socket(), site.path("audit.jsonl"))
}

/// Connects and waits until SPIRE's bundles are there; the log may be unheard.
async fn live(site: &Site) -> Client {
    let mut client = None;
    eventually("the agent", async || {
        client = Client::connect(site.socket(), Hello::default()).await.ok();
        client.is_some()
    })
    .await;
    let client = client.unwrap().with_timeout(PATIENCE);
    let request = site.asks(FRONTEND);
    eventually("the bundles", async || {
        client.ask(&request).await.unwrap().is_allow()
    })
    .await;
    client
}

/// Variables do not come late: no service manager need try again.
#[tokio::test]
async fn an_otlp_sink_without_a_collector_is_a_wrong_configuration() {
    let site = Site::new();
    for none in [
        ("OTEL_LOGS_EXPORTER", "none"),
        ("OTEL_SDK_DISABLED", "true"),
    ] {
        let mut command = policy(&site, "sink \"otlp\"");
        command.env("OTEL_EXPORTER_OTLP_ENDPOINT", "http://127.0.0.1:9");
        command.env(none.0, none.1);
        let records = site.path("audit.jsonl");
        let agent = Agent::spawn_heard(command, Heard::Both, site.socket(), records);
        let ended = agent.ended().await;
        assert_eq!(ended.status.code(), Some(78), "{}", ended.stderr);
        let said =
            "audit sink otlp: no collector takes log records: set OTEL_EXPORTER_OTLP_ENDPOINT";
        assert!(ended.stderr.contains(said), "{}", ended.stderr);
    }
}

/// Nobody listens where the variables say: records are lost, requests are not, and it is said once.
#[tokio::test]
async fn a_dead_collector_costs_records_and_nothing_else() {
    let site = Site::new();
    let mut command = policy(&site, "sink \"otlp\"");
    command.env("OTEL_EXPORTER_OTLP_ENDPOINT", "http://127.0.0.1:9");
    let records = site.path("audit.jsonl");
    let agent = Agent::spawn_heard(command, Heard::Both, site.socket(), records);
    let client = live(&site).await;
    serves(&site, 200).await;
    agent
        .said(0, "audit records are not written until this sink can be")
        .await;
    agent.said(0, "Connection refused").await;
    drop(client);
    let said = agent.log().matches("audit records are not written").count();
    assert_eq!(said, 1, "{}", agent.log());
    agent.stop().await;
}

/// Everybody is answered, at length.
async fn serves(site: &Site, requests: u64) {
    let load = common::load::start(site.socket(), common::load::mixed(site), 2);
    load.served(requests).await;
    let tally = load.stop().await;
    assert_eq!(tally.cut.load(Relaxed), 0, "{tally:?}");
    assert_eq!(tally.refused.load(Relaxed), 0, "{tally:?}");
}

#[tokio::test]
async fn a_full_disk_costs_records_and_nothing_else() {
    let site = Site::new();
    let good = site.path("audit.jsonl");
    let sinks = format!("sink \"file\" path=\"/dev/full\"\nsink \"file\" path={good:?}");
    let agent = spawn(&site, &sinks, Heard::Both);
    let client = live(&site).await;
    // Longer than any restart budget lasts: each pause between two tries doubles to 5 s.
    let until = Instant::now() + std::time::Duration::from_secs(15);
    while Instant::now() < until {
        serves(&site, 50).await;
    }
    agent.said(0, "No space left on device").await;
    // The other sink has everything, once.
    let request = site.asks(FRONTEND).with_id("last");
    asked(&client, &request, &Expected::allowed_as(FRONTEND)).await;
    agent.record("last").await;
    drop(client);
    let lines = agent
        .log()
        .lines()
        .filter(|line| line.contains("No space left"))
        .count();
    assert!(lines < 100, "{lines} lines about one full disk");
    agent.stop().await;
}

/// Under `deny` and `block` nobody is answered without a record: the log says why, what to do, and when it is over.
#[tokio::test]
async fn who_cannot_record_refuses_says_why_and_goes_on_by_itself() {
    for on_full in ["deny", "block"] {
        let site = Site::new();
        let mount = site.path("mount");
        std::fs::create_dir(&mount).unwrap();
        let file = mount.join("audit.jsonl");
        let deadline = "agent { limits { decision-deadline-ms 300 } }";
        let config = site.path("refusing.kdl");
        let sink = format!("audit {{ on-full \"{on_full}\"; sink \"file\" path={file:?} }}");
        std::fs::write(&config, format!("{LOAD_POLICY}{deadline}\n{sink}\n")).unwrap();
        let mut command = site.command();
        command.arg("--config").arg(config);
        let agent = Agent::spawn_heard(command, Heard::Both, site.socket(), file.clone());
        let client = live(&site).await;
        let request = site.asks(FRONTEND);
        std::fs::remove_dir_all(&mount).unwrap();
        eventually("refusals", async || {
            !client.ask(&request).await.unwrap().is_allow()
        })
        .await;
        let to_do = format!("make the directory {}", mount.display());
        agent.said(0, &to_do).await;
        let meet = format!(
            "503 OVERLOADED{}",
            if on_full == "block" { " at" } else { " (" }
        );
        agent.said(0, &meet).await;
        agent
            .said(0, "requests are refused until their records can be kept")
            .await;
        agent.said(0, "audit.on-full \\\"drop\\\"").await;
        let mark = agent.mark();
        std::fs::create_dir(&mount).unwrap();
        agent.said(mark, "requests are no longer refused").await;
        eventually("answers", async || {
            client.ask(&request).await.unwrap().is_allow()
        })
        .await;
        drop(client);
        agent.stop().await;
    }
}

#[tokio::test]
async fn a_pipe_that_nobody_reads_holds_up_no_request_and_no_end() {
    let site = Site::new();
    let agent = spawn(&site, "sink \"stdout\"", Heard::OnlyStderr);
    let client = live(&site).await;
    // A pipe holds 64 KiB, a record takes one.
    serves(&site, 1_000).await;
    drop(client);
    let asked_to = Instant::now();
    agent.stop().await;
    assert!(
        asked_to.elapsed().as_secs() < 20,
        "{:?}",
        asked_to.elapsed()
    );
}

#[tokio::test]
async fn a_closed_pipe_ends_nothing() {
    let site = Site::new();
    let agent = spawn(&site, "sink \"stdout\"", Heard::StdoutClosed);
    let client = live(&site).await;
    let until = Instant::now() + std::time::Duration::from_secs(15);
    while Instant::now() < until {
        serves(&site, 50).await;
    }
    drop(client);
    agent.stop().await;
}

#[tokio::test]
async fn a_log_that_nobody_reads_holds_up_no_request() {
    let site = Site::new();
    let agent = spawn(&site, "log-success #false", Heard::Nothing);
    let client = live(&site).await;
    let unreadable = Frame {
        kind: kind::REQUEST_HEADERS,
        payload: b"{}".to_vec(),
    };
    // Each is a line of the log, and all are more than a pipe holds.
    for _ in 0..3_000 {
        client.send_frame(&unreadable).await.unwrap();
        let answer = client
            .answer("")
            .await
            .expect("the log does not hold it up");
        assert_eq!(answer.block_status(), Some(400));
    }
    serves(&site, 200).await;
    drop(client);
    agent.stop().await;
}

#[tokio::test]
async fn a_sink_that_cannot_be_opened_is_said_at_once_and_may_be_tried_again() {
    let site = Site::new();
    let nowhere = site.path("no/such/audit.jsonl");
    let sink = format!("sink \"file\" path={nowhere:?}");
    let agent = spawn(&site, &sink, Heard::Both);
    let started = Instant::now();
    let ended = agent.ended().await;
    // The machine's fault, not the file's: a mount may come late.
    assert_eq!(ended.status.code(), Some(1), "{}", ended.stderr);
    assert!(ended.stderr.contains("audit.jsonl"), "{}", ended.stderr);
    let directory = site.path("no/such");
    let advice = format!("make the directory {}", directory.display());
    assert!(ended.stderr.contains(&advice), "{}", ended.stderr);
    assert!(started.elapsed().as_secs() < 5, "{:?}", started.elapsed());
    std::fs::create_dir_all(directory).unwrap();
    let agent = spawn(&site, &sink, Heard::Both);
    agent.said(0, "serving").await;
    agent.stop().await;
}

/// A pipe whose reader is there and reads only when it is told to.
struct Sleeper(std::fs::File);

impl Sleeper {
    fn at(path: &std::path::Path) -> Self {
        let fifo = rustix::fs::FileType::Fifo;
        let mode = rustix::fs::Mode::from_raw_mode(0o600);
        rustix::fs::mknodat(rustix::fs::CWD, path, fifo, mode, 0).unwrap();
        let unhurried = rustix::fs::OFlags::NONBLOCK.bits().cast_signed();
        let mut options = std::fs::OpenOptions::new();
        Self(
            options
                .read(true)
                .custom_flags(unhurried)
                .open(path)
                .unwrap(),
        )
    }

    /// How many whole lines there are.
    fn lines(&mut self) -> usize {
        let mut text = Vec::new();
        // It ends with `WouldBlock` while somebody may still write.
        let _ = self.0.read_to_end(&mut text);
        text.iter().filter(|byte| **byte == b'\n').count()
    }
}

fn field(line: &str, name: &str) -> usize {
    let (_, rest) = line.split_once(&format!("{name}=")).expect("the field");
    let digits: String = rest.chars().take_while(char::is_ascii_digit).collect();
    digits.parse().expect("a number")
}

/// A sink that takes no more gives no error: the log says so all the same, and which, what to do and what
/// requests meet.
#[tokio::test]
async fn a_sink_that_is_stuck_is_said_and_so_is_that_it_goes_on() {
    let site = Site::new();
    let path = site.path("pipe");
    let mut reader = Sleeper::at(&path);
    let config = site.path("stuck.kdl");
    let limits = "agent { limits { decision-deadline-ms 300 } }";
    let audit = format!("audit {{ on-full \"block\"; sink \"file\" path={path:?} }}");
    std::fs::write(&config, format!("{LOAD_POLICY}{limits}\n{audit}\n")).unwrap();
    let mut command = site.command();
    command.arg("--config").arg(config);
    let agent = Agent::spawn_heard(command, Heard::Both, site.socket(), path.clone());
    let client = live(&site).await;
    let request = site.asks(FRONTEND);
    eventually("refusals", async || {
        !client.ask(&request).await.unwrap().is_allow()
    })
    .await;
    let stuck = "audit records are not written until this sink can be";
    agent.said(0, stuck).await;
    agent
        .said(0, "requests are refused until their records can be kept")
        .await;
    let log = agent.log();
    let line = log.lines().find(|line| line.contains(stuck)).unwrap();
    for part in [
        path.to_str().unwrap(),
        "a write has been stuck for",
        "does the reader of this pipe still read",
        "503 OVERLOADED at their deadline",
    ] {
        assert!(line.contains(part), "{part}: {line}");
    }
    let mark = agent.mark();
    eventually("answers", async || {
        reader.lines();
        client.ask(&request).await.unwrap().is_allow()
    })
    .await;
    agent.said(mark, "audit records are written again").await;
    agent.said(mark, "requests are no longer refused").await;
    let said = agent.log().matches(stuck).count();
    assert_eq!(said, 1, "{}", agent.log());
    drop(client);
    agent.stop().await;
}

/// Under `drop` they wait while there is room; what waits at the end is lost, and counted.
#[tokio::test]
async fn what_a_stuck_sink_leaves_at_the_end_is_said() {
    let site = Site::new();
    let path = site.path("pipe");
    let mut reader = Sleeper::at(&path);
    let sink = format!("sink \"file\" path={path:?}");
    let agent = spawn(&site, &sink, Heard::Both);
    let client = live(&site).await;
    let before = reader.lines();
    serves(&site, 300).await;
    agent.said(0, "audit records are not written until").await;
    assert!(
        agent.log().contains("their records wait"),
        "{}",
        agent.log()
    );
    drop(client);
    let ended = agent.stop().await;
    let left = "audit records were not written: a sink is stuck";
    let line = ended.stderr.lines().find(|line| line.contains(left));
    let line = line.unwrap_or_else(|| panic!("{}", ended.stderr));
    assert!(
        line.contains("does the reader of this pipe still read"),
        "{line}"
    );
    // Nothing does, of a process that ends.
    assert!(!line.contains("goes on by itself"), "{line}");
    let (left, arrived) = (field(line, "records"), reader.lines());
    assert!(before + left + arrived >= 300, "{left} {arrived}: {line}");
    assert!(left >= 100, "a pipe holds few: {line}");
}

/// It says so at once, and does not wait for a reader.
#[tokio::test]
async fn a_named_pipe_without_a_reader_is_said_at_once() {
    let site = Site::new();
    let pipe = site.path("pipe");
    let fifo = rustix::fs::FileType::Fifo;
    let mode = rustix::fs::Mode::from_raw_mode(0o600);
    rustix::fs::mknodat(rustix::fs::CWD, &pipe, fifo, mode, 0).unwrap();
    let agent = spawn(&site, &format!("sink \"file\" path={pipe:?}"), Heard::Both);
    let ended = agent.ended().await;
    assert_eq!(ended.status.code(), Some(1), "{}", ended.stderr);
    let said = "is a pipe that nobody reads, or a socket: start its reader first";
    assert!(ended.stderr.contains(said), "{}", ended.stderr);
}

/// Two agents on one file: nobody is refused for it, and it is said before it looks like tampering.
#[tokio::test]
async fn a_second_writer_of_a_file_is_said() {
    let (site, other) = (Site::new(), Site::new());
    let sink = format!("sink \"file\" path={:?}", site.path("audit.jsonl"));
    let first = spawn(&site, &sink, Heard::Both);
    let client = live(&site).await;
    let request = site.asks(FRONTEND).with_id("one");
    asked(&client, &request, &Expected::allowed_as(FRONTEND)).await;
    first.record("one").await;
    let second = spawn(&other, &sink, Heard::Both);
    second
        .said(0, "another agent writes to this audit file too")
        .await;
    drop(live(&other).await);
    second.stop().await;
    drop(client);
    first.stop().await;
}
