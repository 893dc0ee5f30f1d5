//! What was to be exported and was not: counted, and said once for each spell.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use super::connect::Fault;
use super::plan::Signal;

/// Why something was lost.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Loss {
    /// The queue was full.
    QueueFull,
    /// The collector did not take it.
    NotDelivered,
}

impl Loss {
    pub(super) const ALL: [Self; 2] = [Self::QueueFull, Self::NotDelivered];

    pub(super) const fn as_str(self) -> &'static str {
        match self {
            Self::QueueFull => "queue_full",
            Self::NotDelivered => "not_delivered",
        }
    }
}

/// The losses of one signal: spans, log records, or rounds of metrics.
#[derive(Debug)]
pub(super) struct Losses {
    signal: Signal,
    counts: [AtomicU64; Loss::ALL.len()],
    failing: AtomicBool,
    fault: Fault,
}

impl Losses {
    pub(super) fn new(signal: Signal) -> Self {
        Self {
            signal,
            counts: [const { AtomicU64::new(0) }; Loss::ALL.len()],
            failing: AtomicBool::new(false),
            fault: Fault::default(),
        }
    }

    pub(super) const fn signal(&self) -> Signal {
        self.signal
    }

    /// Where its exporter says what was in the way.
    pub(super) const fn fault(&self) -> &Fault {
        &self.fault
    }

    pub(super) fn count(&self, loss: Loss, lost: usize) {
        if let Some(counter) = self.counts.get(loss as usize) {
            counter.fetch_add(lost as u64, Ordering::Relaxed);
        }
    }

    pub(super) fn total(&self, loss: Loss) -> u64 {
        let counter = self.counts.get(loss as usize);
        counter.map_or(0, |counter| counter.load(Ordering::Relaxed))
    }

    /// An attempt was made. Said when that changes, for a dead collector would fill the log.
    pub(super) fn delivery(&self, of: usize, result: Result<(), String>) {
        let signal = self.signal.as_str();
        match result {
            Ok(()) => {
                if self.failing.swap(false, Ordering::Relaxed) {
                    tracing::info!(signal, "telemetry is delivered again");
                }
            }
            Err(error) => {
                self.count(Loss::NotDelivered, of);
                if !self.failing.swap(true, Ordering::Relaxed) {
                    let error = self.fault.explain(&error);
                    tracing::warn!(
                        signal,
                        error,
                        "telemetry is not delivered, requests do not wait for it; audit records of sink \"otlp\" are told of apart"
                    );
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn losses_are_counted_by_cause() {
        let losses = Losses::new(Signal::Traces);
        losses.count(Loss::QueueFull, 2);
        losses.delivery(5, Err("refused".to_owned()));
        losses.delivery(5, Ok(()));
        losses.delivery(1, Err("refused".to_owned()));
        assert_eq!(Loss::ALL.map(|loss| losses.total(loss)), [2, 6]);
    }
}
