//! Audit: decision records, off the critical path.
//!
//! The queue is bounded and owned above the actor that drains it: while the actor is down, records
//! wait; when the queue is full they are dropped and counted, and no request waits for a disk.

mod outlet;
mod record;
mod sink;

use std::sync::Arc;

use tokio::sync::{Mutex, mpsc};

pub use self::record::{Grounds, Request, render, rfc3339};
pub use self::sink::{AuditActor, AuditArgs, Sink, SinkError};
use crate::metrics::{Metrics, count};

/// The sending end, for everybody who decides.
#[derive(Clone)]
pub struct AuditQueue {
    records: mpsc::Sender<Vec<u8>>,
    metrics: Arc<Metrics>,
}

/// The receiving end; a restarted actor takes it up from its predecessor.
pub type AuditRecords = Arc<Mutex<mpsc::Receiver<Vec<u8>>>>;

impl AuditQueue {
    /// An empty queue of `capacity` records.
    #[must_use]
    pub fn new(capacity: usize, metrics: Arc<Metrics>) -> (Self, AuditRecords) {
        let (records, receiver) = mpsc::channel(capacity);
        (Self { records, metrics }, Arc::new(Mutex::new(receiver)))
    }

    /// Queues a record; drops and counts it when the queue is full.
    pub fn put(&self, line: Vec<u8>) {
        if self.records.try_send(line).is_err() {
            count(&self.metrics.audit_dropped);
        }
    }
}
