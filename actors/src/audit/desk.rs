//! Who writes: takes records from the queue, writes them to every sink, and tells those who wait.
//!
//! Owned above the actor. What was taken and does not stand everywhere yet stays here when the actor
//! dies, and its successor goes on where the writing stopped: no record is lost with an actor, and
//! none is written twice.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use config::OnFull;
use tokio::sync::{Mutex, OwnedMutexGuard, mpsc, oneshot, watch};

use super::outlet::{Outlet, RETRY_AFTER};
use super::queue::AuditRecords;
use super::standing::Standing;
use super::watch::Watch;
use super::{Entry, Sink};
use crate::metrics::Metrics;

/// Records written at once: one system call, and one fsync, for a burst.
const BATCH_RECORDS: usize = 256;

/// The desk, as it is handed from one actor to the next: the lock is held while one of them writes.
#[derive(Clone)]
pub struct SharedDesk {
    desk: Arc<Mutex<Desk>>,
    pub(super) watch: Watch,
}

impl SharedDesk {
    /// The same, of an agent whose requests wait for so long for their records.
    #[must_use]
    pub const fn within(mut self, patience: Duration) -> Self {
        self.watch.patience = patience;
        self
    }
}

/// What the writer works with.
pub struct Desk {
    entries: mpsc::Receiver<Entry>,
    on_full: OnFull,
    standing: Standing,
    metrics: Arc<Metrics>,
    /// Each sink, and how many of the batch's records stand in it.
    outlets: Vec<(Outlet, usize)>,
    batch: Batch,
}

/// Records on their way, and who waits for each.
#[derive(Default)]
struct Batch {
    lines: Vec<Vec<u8>>,
    waiting: Vec<oneshot::Sender<()>>,
    tried: Tried,
}

/// Whether a sink refused some of a batch.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Tried {
    #[default]
    NotYet,
    Failed,
}

/// What the writer does next.
enum Next {
    Write,
    /// Only what was written earlier is to be brought to the disk.
    Sync,
    /// It was told to finish, and nothing is left.
    Finish,
}

impl Desk {
    /// A desk with nothing on it.
    #[must_use]
    pub fn shared(records: AuditRecords, sinks: Vec<Sink>, metrics: Arc<Metrics>) -> SharedDesk {
        let watch = Watch {
            standing: records.standing.clone(),
            queue: records.queue,
            on_full: records.on_full,
            metrics: Arc::clone(&metrics),
            sinks: sinks.len(),
            patience: Duration::ZERO,
        };
        let outlets = sinks
            .into_iter()
            .map(|sink| (Outlet::new(sink, records.on_full), 0));
        let desk = Self {
            entries: records.entries,
            on_full: records.on_full,
            standing: records.standing,
            metrics,
            outlets: outlets.collect(),
            batch: Batch::default(),
        };
        let desk = Arc::new(Mutex::new(desk));
        SharedDesk { desk, watch }
    }

    /// Waits for something to do.
    async fn next(&mut self, finishing: &mut watch::Receiver<bool>) -> Next {
        if self.batch.tried == Tried::Failed {
            // What waits in the queue goes on waiting.
            let finish = finishing.wait_for(|finish| *finish);
            match tokio::time::timeout(RETRY_AFTER, finish).await {
                // What a sink does not take now is lost; the rest of the queue has its one try.
                Ok(_) => self.lose(),
                Err(_) => return Next::Write,
            }
        }
        if !self.batch.lines.is_empty() {
            return Next::Write;
        }
        let sync_due = self
            .outlets
            .iter()
            .filter_map(|(to, _)| to.sync_due())
            .min();
        let mut entries = Vec::new();
        tokio::select! {
            biased;
            _ = self.entries.recv_many(&mut entries, BATCH_RECORDS) => {}
            () = until(sync_due) => return Next::Sync,
            _ = finishing.wait_for(|finish| *finish) => {
                while entries.len() < BATCH_RECORDS
                    && let Ok(entry) = self.entries.try_recv()
                {
                    entries.push(entry);
                }
            }
        }
        if entries.is_empty() {
            return Next::Finish;
        }
        self.batch.take(entries);
        Next::Write
    }

    /// Blocks for as long as the sinks do.
    fn write(&mut self) {
        let mut failed = false;
        let mut unwritten = self.unwritten();
        // Who died in a write left its turn behind.
        self.standing.rests();
        // Every sink has its turn, whatever became of the one before.
        for (outlet, done) in &mut self.outlets {
            self.standing.turn(outlet.turn(unwritten));
            let before = *done;
            *done = match outlet.write(&self.batch.lines, *done) {
                Ok(()) => self.batch.lines.len(),
                Err(stopped) => {
                    failed = true;
                    stopped.from
                }
            };
            unwritten = unwritten.saturating_sub(done.saturating_sub(before));
        }
        self.tell(failed);
        match (failed, self.on_full) {
            (false, _) => self.acknowledge(),
            (true, OnFull::Drop) => self.lose(),
            (true, OnFull::Block | OnFull::Deny) => self.batch.tried = Tried::Failed,
        }
    }

    /// Tells how that went.
    fn tell(&self, failed: bool) {
        let troubles = self.outlets.iter().filter_map(|(to, _)| to.trouble());
        let was_stuck = self.standing.ended(failed, troubles.cloned().collect());
        self.tell_shared();
        if was_stuck {
            tracing::info!("audit records are written again");
        }
    }

    /// Of the batch, summed over the sinks.
    fn unwritten(&self) -> usize {
        let records = self.batch.lines.len();
        let unwritten = self.outlets.iter();
        unwritten
            .map(|(_, done)| records.saturating_sub(*done))
            .sum()
    }

    fn acknowledge(&mut self) {
        for waiting in self.batch.waiting.drain(..) {
            // Who gave up meanwhile has recorded what it answered.
            let _ = waiting.send(());
        }
        self.clear();
    }

    fn lose(&mut self) {
        let lost = u64::try_from(self.unwritten()).unwrap_or(u64::MAX);
        self.metrics
            .audit_dropped
            .fetch_add(lost, Ordering::Relaxed);
        for (outlet, _) in &mut self.outlets {
            outlet.give_up();
        }
        self.clear();
    }

    fn clear(&mut self) {
        self.batch = Batch::default();
        for (_, done) in &mut self.outlets {
            *done = 0;
        }
    }

    fn sync(&mut self, at_end: bool) {
        for (outlet, _) in &mut self.outlets {
            self.standing.turn(outlet.turn(0));
            outlet.sync(at_end);
        }
        self.standing.rests();
        self.tell_shared();
    }

    fn tell_shared(&self) {
        let shared = self.outlets.iter().filter_map(|(to, _)| to.shared());
        self.standing.shared(shared.collect());
    }
}

impl Batch {
    fn take(&mut self, entries: Vec<Entry>) {
        for entry in entries {
            let (line, waiting) = entry.take();
            if !line.is_empty() {
                self.lines.push(line);
                self.waiting.extend(waiting);
            }
        }
    }
}

async fn until(due: Option<Instant>) {
    match due {
        Some(due) => {
            let left: Duration = due.saturating_duration_since(Instant::now());
            tokio::time::sleep(left).await;
        }
        None => std::future::pending().await,
    }
}

/// Writes what comes until it is told to finish.
pub(super) async fn pump(
    shared: SharedDesk,
    mut finishing: watch::Receiver<bool>,
) -> Result<(), tokio::task::JoinError> {
    let SharedDesk { desk, watch } = shared;
    // A predecessor may still be in a system call; it gives the desk up when that returns.
    let mut desk = watch.beside(desk.lock_owned()).await;
    loop {
        let work: fn(&mut Desk) = match desk.next(&mut finishing).await {
            Next::Write => Desk::write,
            Next::Sync => |desk| desk.sync(false),
            Next::Finish => {
                watch.beside(blocking(desk, |desk| desk.sync(true))).await?;
                return Ok(());
            }
        };
        desk = watch.beside(blocking(desk, work)).await?;
        watch.tell_refusal();
    }
}

/// Does it on a thread that is no async worker; the lock goes along, so that there is one writer.
async fn blocking(
    mut desk: OwnedMutexGuard<Desk>,
    work: fn(&mut Desk),
) -> Result<OwnedMutexGuard<Desk>, tokio::task::JoinError> {
    tokio::task::spawn_blocking(move || {
        work(&mut desk);
        desk
    })
    .await
}
