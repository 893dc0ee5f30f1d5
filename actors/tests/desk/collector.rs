//! A sink that is a collector: down, silent, forgetful, and back.

use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use actors::audit::verify::{Report, Why};
use actors::audit::{Carrier, Corrects, Filed, OnFull, Origin, Sink, verify_files};
use tokio::sync::watch;
use tokio::time::Instant;

use super::{PATIENCE, desk_of, eventually, late, pending, record, start};

/// A collector that is up, down, or silent for as long as the test wants.
#[derive(Debug)]
struct Collector {
    mood: watch::Sender<Mood>,
    /// What it wrote down.
    taken: Mutex<Vec<u8>>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Mood {
    Takes,
    Refuses,
    /// It takes records and its answer never comes.
    LosesAnswers,
    Silent,
}

impl Carrier for Collector {
    fn carry(&self, lines: Vec<u8>) -> std::io::Result<()> {
        let mut mood = self.mood.subscribe();
        let speaks = mood.wait_for(|mood| *mood != Mood::Silent);
        let mood = *tokio::runtime::Handle::current().block_on(speaks).unwrap();
        if mood == Mood::Refuses {
            return Err(std::io::ErrorKind::ConnectionRefused.into());
        }
        self.taken.lock().unwrap().extend_from_slice(&lines);
        match mood {
            Mood::LosesAnswers => Err(std::io::ErrorKind::TimedOut.into()),
            _ => Ok(()),
        }
    }
}

impl Collector {
    fn new(mood: Mood) -> Arc<Self> {
        Arc::new(Self {
            mood: watch::Sender::new(mood),
            taken: Mutex::default(),
        })
    }

    fn sink(self: &Arc<Self>) -> Sink {
        Sink::Otlp(Arc::clone(self) as _)
    }

    fn holds(&self, name: &str) -> usize {
        let taken = self.taken.lock().unwrap();
        String::from_utf8_lossy(&taken).matches(name).count()
    }

    /// What `audit verify` says of a file that it wrote.
    fn verified(&self) -> Report {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("collected.jsonl");
        std::fs::write(&path, &*self.taken.lock().unwrap()).unwrap();
        verify_files(&[path], Origin::Collected, None)
            .unwrap()
            .report
    }
}

#[tokio::test]
async fn under_block_a_record_stands_when_the_collector_says_so() {
    for trouble in [Mood::Refuses, Mood::Silent] {
        let collector = Collector::new(Mood::Takes);
        let (queue, desk, metrics) = desk_of(collector.sink(), OnFull::Block, 16);
        let actor = start(&desk).await;
        let first = pending(&queue, "first");
        let first = first.acknowledged(Instant::now() + PATIENCE).await;
        assert!(first.is_ok());
        collector.mood.send_replace(trouble);
        let second = pending(&queue, "second");
        late(second, Duration::from_millis(100), Corrects::Earlier).await;
        collector.mood.send_replace(Mood::Takes);
        let third = pending(&queue, "third");
        let third = third.acknowledged(Instant::now() + PATIENCE).await;
        assert!(third.is_ok(), "{trouble:?}");
        // A correction is sent along, and waited for by nobody.
        eventually("the correction", || collector.holds("instead") == 1).await;
        let names = ["first", "second", "instead", "third"];
        assert_eq!(names.map(|name| collector.holds(name)), [1; 4]);
        assert!(collector.verified().is_whole());
        assert_eq!(metrics.audit_dropped.load(Ordering::Relaxed), 0);
        actor.stop_and_wait(None, None).await.unwrap();
    }
}

/// What was lost on the way shows in the chain; what arrived, although nobody said so, fits into it.
#[tokio::test]
async fn under_drop_what_is_not_acknowledged_is_counted_and_missing_only_if_it_did_not_arrive() {
    let missing = Why::Missing { from: 2, to: 2 };
    for (trouble, breaks) in [(Mood::Refuses, vec![missing]), (Mood::LosesAnswers, vec![])] {
        let collector = Collector::new(Mood::Takes);
        let (queue, desk, metrics) = desk_of(collector.sink(), OnFull::Drop, 16);
        let actor = start(&desk).await;
        assert!(matches!(queue.file(record("first")), Filed::Done));
        eventually("the first", || collector.holds("first") == 1).await;
        collector.mood.send_replace(trouble);
        assert!(matches!(queue.file(record("second")), Filed::Done));
        let lost = || metrics.audit_dropped.load(Ordering::Relaxed);
        eventually("the loss", || lost() == 1).await;
        collector.mood.send_replace(Mood::Takes);
        eventually("the collector", || {
            queue.put(record("third"));
            collector.holds("third") > 0
        })
        .await;
        actor.stop_and_wait(None, None).await.unwrap();
        let broken = collector.verified().broken;
        let broken: Vec<_> = broken.iter().map(|broken| broken.why).collect();
        assert_eq!(broken, breaks, "{trouble:?}");
    }
}
