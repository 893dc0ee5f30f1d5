//! Looks after the writer from outside: it may be in a system call that never returns, and whoever reads
//! the log must hear of that all the same.

use std::future::Future;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use config::OnFull;
use tokio::sync::mpsc;

use super::Entry;
use super::outlet::SAID_EVERY;
use super::standing::{MEANWHILE, STUCK_AFTER, Standing, costs_stuck};
use crate::metrics::Metrics;
use crate::remedy::at_the_end;

/// What is seen of the writer without its lock.
#[derive(Clone)]
pub(super) struct Watch {
    pub(super) standing: Standing,
    pub(super) queue: mpsc::WeakSender<Entry>,
    pub(super) on_full: OnFull,
    pub(super) metrics: Arc<Metrics>,
    pub(super) sinks: usize,
    /// How long a request waits for its record.
    pub(super) patience: Duration,
}

impl Watch {
    /// Waits for the writer, and says so while that is stuck.
    pub(super) async fn beside<T>(&self, work: impl Future<Output = T>) -> T {
        let mut work = pin!(work);
        loop {
            match tokio::time::timeout(STUCK_AFTER, work.as_mut()).await {
                Ok(done) => return done,
                Err(_) => self.look(),
            }
        }
    }

    fn look(&self) {
        if let Some(stuck) = self.standing.stuck_to_say(SAID_EVERY) {
            let (sink, error, remedy) = (&stuck.sink, stuck.error(), stuck.remedy);
            let requests = costs_stuck(self.on_full);
            tracing::error!(%sink, error, remedy, requests, "audit records are not written until this sink can be");
        }
        self.tell_refusal();
    }

    /// What a change means for requests is said once.
    pub(super) fn tell_refusal(&self) {
        let is_full = self.waiting().is_some_and(|(_, room)| room == 0);
        let recording = self
            .standing
            .recording(self.on_full, is_full, self.patience);
        let on_full = self.on_full.as_str();
        match self.standing.refusing(recording.refuses) {
            Some(true) => tracing::error!(
                on_full,
                remedy = MEANWHILE,
                "requests are refused until their records can be kept"
            ),
            Some(false) => {
                tracing::info!(on_full, "requests are no longer refused for their records");
            }
            None => {}
        }
    }

    /// The process ends, and the writer does not: counts and says what it leaves. Of the batch in its hands
    /// a part may stand, so it is no more than that.
    pub(super) fn give_up(&self) {
        let turn = self.standing.under_way();
        let (waiting, _) = self.waiting().unwrap_or_default();
        let in_hand = turn.as_ref().map_or(0, |turn| turn.unwritten);
        let records = waiting.saturating_mul(self.sinks).saturating_add(in_hand);
        if records == 0 {
            return;
        }
        let lost = u64::try_from(records).unwrap_or(u64::MAX);
        self.metrics
            .audit_dropped
            .fetch_add(lost, Ordering::Relaxed);
        let sink = turn.as_ref().map_or("", |turn| &turn.sink);
        let remedy = turn.as_ref().map_or("", |turn| at_the_end(turn.remedy));
        tracing::error!(
            records,
            sink,
            remedy,
            "audit records were not written: a sink is stuck, and the agent ends"
        );
    }

    /// How many records wait for the writer, and for how many more there is room.
    fn waiting(&self) -> Option<(usize, usize)> {
        let queue = self.queue.upgrade()?;
        let room = queue.capacity();
        Some((queue.max_capacity().saturating_sub(room), room))
    }
}
