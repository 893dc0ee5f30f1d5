//! The writer of records: what waits, what is taken, what a failure and a death of the actor cost.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test may panic"
)]

mod collector;

use std::io::Read as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use actors::audit::{
    AuditActor, AuditArgs, AuditQueue, Corrects, Desk, Filed, OnFull, Origin, Receipt, SharedDesk,
    Sink, Unrecorded, verify_files,
};
use actors::metrics::Metrics;
use config::FileSink;
use ractor::Actor as _;
use tokio::time::Instant;

const PATIENCE: Duration = Duration::from_secs(20);

fn desk(path: &Path, on_full: OnFull, capacity: usize) -> (AuditQueue, SharedDesk) {
    let sink = Sink::File(FileSink::at(path.to_owned()));
    let (queue, desk, _) = desk_of(sink, on_full, capacity);
    (queue, desk)
}

fn desk_of(sink: Sink, on_full: OnFull, capacity: usize) -> (AuditQueue, SharedDesk, Arc<Metrics>) {
    let metrics = Arc::new(Metrics::default());
    let (queue, records) = AuditQueue::new(capacity, on_full, Arc::clone(&metrics));
    let desk = Desk::shared(records, vec![sink], Arc::clone(&metrics));
    (queue, desk, metrics)
}

async fn start(desk: &SharedDesk) -> ractor::ActorRef<actors::audit::AuditMessage> {
    let desk = desk.clone();
    let (actor, _) = AuditActor::spawn(None, AuditActor, AuditArgs { desk })
        .await
        .unwrap();
    actor
}

fn record(name: &str) -> Vec<u8> {
    format!("{{\"name\":\"{name}\"}}\n").into_bytes()
}

fn pending(queue: &AuditQueue, name: &str) -> Receipt {
    match queue.file(record(name)) {
        Filed::Pending(receipt) => receipt,
        Filed::Done | Filed::Refused(_) => panic!("block has every answer wait"),
    }
}

async fn eventually(what: &str, mut look: impl FnMut() -> bool) {
    let until = Instant::now() + PATIENCE;
    while !look() {
        assert!(Instant::now() < until, "waited in vain for {what}");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

/// A pipe that is read when the test wants it; more than it holds, and its writer is stuck.
struct Pipe {
    reader: std::fs::File,
    read: Vec<u8>,
}

impl Pipe {
    fn new(path: &Path) -> Self {
        let fifo = rustix::fs::FileType::Fifo;
        let mode = rustix::fs::Mode::from_raw_mode(0o600);
        rustix::fs::mknodat(rustix::fs::CWD, path, fifo, mode, 0).unwrap();
        let mut options = std::fs::OpenOptions::new();
        let unhurried = rustix::fs::OFlags::NONBLOCK.bits().cast_signed();
        let reader = options.read(true).custom_flags(unhurried).open(path);
        Self {
            reader: reader.unwrap(),
            read: Vec::new(),
        }
    }

    /// Reads what is there, at most so much.
    fn take(&mut self, most: usize) -> usize {
        let mut piece = vec![0; most];
        let count = self.reader.read(&mut piece).unwrap_or(0);
        self.read.extend_from_slice(piece.get(..count).unwrap());
        count
    }

    /// The names of the records so far.
    fn names(&mut self) -> Vec<String> {
        while self.take(1 << 20) > 0 {}
        let text = String::from_utf8_lossy(&self.read).into_owned();
        let lines = text.lines().filter_map(|line| {
            let value: serde_json::Value = serde_json::from_str(line).ok()?;
            let name = value.get("name")?.as_str()?;
            Some(name.chars().take(10).collect())
        });
        lines.collect()
    }
}

/// Waits for an answer's record until it is late, and says what stands instead.
async fn late(receipt: Receipt, within: Duration, expected: Corrects) {
    let Err(late) = receipt.acknowledged(Instant::now() + within).await else {
        panic!("acknowledged by a sink that is stuck");
    };
    late.instead(|corrects| {
        assert_eq!(corrects, expected);
        Some(record("instead"))
    });
}

#[tokio::test]
async fn a_late_record_is_replaced_while_it_waits_and_corrected_once_it_is_taken() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("pipe");
    let mut pipe = Pipe::new(&path);
    let (queue, desk) = desk(&path, OnFull::Block, 16);
    // One batch: more than the pipe holds, and the record that is waited for.
    queue.put(record(&"x".repeat(200_000)));
    let taken = tokio::spawn(late(
        pending(&queue, "taken"),
        Duration::from_millis(500),
        Corrects::Earlier,
    ));
    tokio::task::yield_now().await;
    let actor = start(&desk).await;
    eventually("the first bytes", || pipe.take(1) > 0).await;
    late(
        pending(&queue, "waits"),
        Duration::from_millis(50),
        Corrects::Nothing,
    )
    .await;
    taken.await.unwrap();
    let expected = ["xxxxxxxxxx", "taken", "instead", "instead"];
    eventually("the records", || pipe.names() == expected).await;
    let on_time = pending(&queue, "on time");
    let on_time = on_time.acknowledged(Instant::now() + PATIENCE).await;
    assert!(on_time.is_ok());
    actor.stop_and_wait(None, None).await.unwrap();
}

/// The end does not wait for a sink that is stuck: what it leaves is counted.
#[tokio::test]
async fn what_a_stuck_sink_leaves_is_counted() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("pipe");
    let mut pipe = Pipe::new(&path);
    let sink = Sink::File(FileSink::at(path));
    let (queue, desk, metrics) = desk_of(sink, OnFull::Drop, 16);
    queue.put(record(&"x".repeat(200_000)));
    let actor = start(&desk).await;
    eventually("the first bytes", || pipe.take(1) > 0).await;
    queue.put(record("waits"));
    queue.put(record("waits, too"));
    actor.stop_and_wait(None, None).await.unwrap();
    let lost = metrics
        .audit_dropped
        .load(std::sync::atomic::Ordering::Relaxed);
    assert_eq!(lost, 3);
    // So that the writer's thread ends.
    eventually("the record", || pipe.names().len() == 1).await;
}

#[tokio::test]
async fn without_a_place_in_the_queue_an_answer_is_late_and_never_recorded_as_given() {
    let dir = tempfile::tempdir().unwrap();
    let (queue, _nobody_writes) = desk(&dir.path().join("a"), OnFull::Block, 1);
    queue.put(record("first"));
    late(
        pending(&queue, "no place"),
        Duration::from_millis(20),
        Corrects::Nothing,
    )
    .await;
}

#[tokio::test]
async fn under_deny_what_was_let_through_outlives_the_sink_and_the_actor() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("later/audit.jsonl");
    let (queue, desk) = desk(&path, OnFull::Deny, 16);
    let first = start(&desk).await;
    assert!(matches!(queue.file(record("let through")), Filed::Done));
    let is_refused = || {
        let filed = queue.file(record("not let through"));
        matches!(filed, Filed::Refused(Unrecorded::Failing))
    };
    // What is filed before the failure is known is let through, and recorded, as well.
    eventually("the failure", is_refused).await;
    first.kill();
    eventually("the end of the actor", || {
        first.get_status() == ractor::ActorStatus::Stopped
    })
    .await;
    std::fs::create_dir(dir.path().join("later")).unwrap();
    let second = start(&desk).await;
    eventually("the sink", || {
        matches!(queue.file(record("after")), Filed::Done)
    })
    .await;
    second.stop_and_wait(None, None).await.unwrap();
    let text = std::fs::read_to_string(&path).unwrap();
    assert_eq!(text.matches("\"let through\"").count(), 1, "{text}");
    assert_eq!(text.matches("\"after\"").count(), 1, "{text}");
    assert!(
        verify_files(&[path], Origin::Files, None)
            .unwrap()
            .report
            .is_whole()
    );
}

#[tokio::test]
async fn a_full_queue_denies_or_drops_as_it_is_told() {
    let dir = tempfile::tempdir().unwrap();
    let (denies, _nobody_writes) = desk(&dir.path().join("a"), OnFull::Deny, 1);
    assert!(matches!(denies.file(record("one")), Filed::Done));
    let full = denies.file(record("two"));
    assert!(matches!(full, Filed::Refused(Unrecorded::Full)));
    let (drops, _nobody_writes) = desk(&dir.path().join("a"), OnFull::Drop, 1);
    for _ in 0..2 {
        assert!(matches!(drops.file(record("one")), Filed::Done));
    }
}
