//! Where records wait, and what a request does about its own.
//!
//! A record that is waited for has a fate: it waits until the writer takes it, or until its request
//! gives up. Whoever comes first decides what it says: a request that gave up leaves the record of
//! what it answered instead, so that one answer has one record. Only when the writer had it already
//! does a second record follow, which says that it corrects the first.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use config::OnFull;
use tokio::sync::{mpsc, oneshot};
use tokio::time::{Instant, timeout_at};

use super::Corrects;
use super::standing::{Recording, Standing};
use crate::metrics::{Metrics, count};

/// The sending end, for everybody who decides.
#[derive(Clone)]
pub struct AuditQueue {
    records: mpsc::Sender<Entry>,
    on_full: OnFull,
    standing: Standing,
    metrics: Arc<Metrics>,
}

/// The receiving end.
pub struct AuditRecords {
    pub(super) entries: mpsc::Receiver<Entry>,
    pub(super) on_full: OnFull,
    pub(super) standing: Standing,
    /// The queue from outside; it keeps no queue open that everybody else has given up.
    pub(super) queue: mpsc::WeakSender<Entry>,
}

/// A record in the queue.
pub(super) enum Entry {
    /// Nobody waits for it.
    Plain(Vec<u8>),
    /// Its request waits for it.
    Awaited {
        fate: Arc<Mutex<Fate>>,
        acknowledge: oneshot::Sender<()>,
    },
}

/// What becomes of a record that is waited for.
pub(super) enum Fate {
    /// It will be written as it is.
    Waiting(Vec<u8>),
    /// The writer has it.
    Taken,
}

impl Entry {
    /// What is to be written, and who is to be told.
    pub(super) fn take(self) -> (Vec<u8>, Option<oneshot::Sender<()>>) {
        match self {
            Self::Plain(line) => (line, None),
            Self::Awaited { fate, acknowledge } => {
                let taken = std::mem::replace(&mut *lock(&fate), Fate::Taken);
                match taken {
                    Fate::Waiting(line) => (line, Some(acknowledge)),
                    // Nobody takes one twice.
                    Fate::Taken => (Vec::new(), None),
                }
            }
        }
    }
}

fn lock(fate: &Mutex<Fate>) -> MutexGuard<'_, Fate> {
    fate.lock().unwrap_or_else(PoisonError::into_inner)
}

/// What becomes of an answer whose record was handed in.
pub enum Filed {
    /// It may go out.
    Done,
    /// It goes out when the record is acknowledged.
    Pending(Receipt),
    /// It must not go out: its record cannot be kept.
    Refused(Unrecorded),
}

/// Why an answer has no record.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Unrecorded {
    /// The bound `limits.audit-queue`.
    #[error("the audit queue is full (audit.on-full)")]
    Full,
    /// A sink cannot be written to.
    #[error("an audit sink fails (audit.on-full)")]
    Failing,
    /// No acknowledgement.
    #[error("not recorded within decision-deadline-ms (audit.on-full)")]
    Late,
}

impl AuditQueue {
    /// An empty queue of `capacity` records.
    #[must_use]
    pub fn new(capacity: usize, on_full: OnFull, metrics: Arc<Metrics>) -> (Self, AuditRecords) {
        let (records, entries) = mpsc::channel(capacity);
        let standing = Standing::default();
        let weak = records.downgrade();
        let queue = Self {
            records,
            on_full,
            standing: standing.clone(),
            metrics,
        };
        let records = AuditRecords {
            entries,
            on_full,
            standing,
            queue: weak,
        };
        (queue, records)
    }

    /// Hands in the record of an answer that is about to go out.
    #[must_use]
    pub fn file(&self, line: Vec<u8>) -> Filed {
        match self.on_full {
            OnFull::Drop => {
                self.put(line);
                Filed::Done
            }
            OnFull::Deny if self.standing.is_failing() => Filed::Refused(Unrecorded::Failing),
            OnFull::Deny => match self.records.try_send(Entry::Plain(line)) {
                Ok(()) => Filed::Done,
                Err(_) => Filed::Refused(Unrecorded::Full),
            },
            OnFull::Block => Filed::Pending(Receipt {
                queue: self.clone(),
                line,
            }),
        }
    }

    /// How recording fares; a write that takes longer than `patience` is stuck.
    #[must_use]
    pub fn recording(&self, patience: Duration) -> Recording {
        let is_full = self.records.capacity() == 0;
        self.standing.recording(self.on_full, is_full, patience)
    }

    /// Queues a record that no answer waits for; drops and counts it when the queue is full.
    pub fn put(&self, line: Vec<u8>) {
        if self.records.try_send(Entry::Plain(line)).is_err() {
            count(&self.metrics.audit_dropped);
        }
    }
}

impl AuditRecords {
    /// The next record, if one waits.
    pub fn try_take(&mut self) -> Option<Vec<u8>> {
        let entry = self.entries.try_recv().ok()?;
        Some(entry.take().0)
    }
}

/// A record that is waited for.
pub struct Receipt {
    queue: AuditQueue,
    line: Vec<u8>,
}

impl Receipt {
    /// Waits until every sink has acknowledged the record.
    ///
    /// # Errors
    /// It was not so before the deadline: another answer goes out, and [`Late::instead`] records it.
    pub async fn acknowledged(self, deadline: Instant) -> Result<(), Late> {
        let Self { queue, line } = self;
        let fate = Arc::new(Mutex::new(Fate::Waiting(line)));
        let reserved = queue.records.clone().reserve_owned();
        let Ok(Ok(place)) = timeout_at(deadline, reserved).await else {
            return Err(Late { queue, fate: None });
        };
        let (acknowledge, acknowledged) = oneshot::channel();
        place.send(Entry::Awaited {
            fate: Arc::clone(&fate),
            acknowledge,
        });
        let acknowledged = timeout_at(deadline, acknowledged).await;
        // A late allow is the worst answer: the world that it was true in may be gone.
        if matches!(acknowledged, Ok(Ok(()))) && Instant::now() <= deadline {
            return Ok(());
        }
        Err(Late {
            queue,
            fate: Some(fate),
        })
    }
}

/// A record that came too late for its answer.
pub struct Late {
    queue: AuditQueue,
    /// `None` where the record never found a place.
    fate: Option<Arc<Mutex<Fate>>>,
}

impl Late {
    /// Records what is answered instead; `render` is told whether it corrects a record that stands.
    pub fn instead(self, render: impl FnOnce(Corrects) -> Option<Vec<u8>>) {
        let Some(fate) = self.fate else {
            if let Some(line) = render(Corrects::Nothing) {
                self.queue.put(line);
            }
            return;
        };
        let correction = {
            let mut fate = lock(&fate);
            match (&*fate, render) {
                (Fate::Waiting(_), render) => {
                    if let Some(line) = render(Corrects::Nothing) {
                        *fate = Fate::Waiting(line);
                    }
                    return;
                }
                (Fate::Taken, render) => render(Corrects::Earlier),
            }
        };
        if let Some(line) = correction {
            let records = self.queue.records;
            // No more of them than requests in flight: each had its own record in a batch.
            tokio::spawn(async move {
                // The queue being closed is the end of the agent.
                let _ = records.send(Entry::Plain(line)).await;
            });
        }
    }
}
