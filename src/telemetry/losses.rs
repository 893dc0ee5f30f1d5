//! What was to be exported and was not: counted, and said once for each spell.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use super::connect::{Fault, shown};
use super::plan::{Signal, Target};

/// What may be wrong where nothing arrives: most often the two ports are mixed up.
const REMEDY: &str = "is a collector there, and does it speak that protocol? 4317 is usually grpc, 4318 http/protobuf: \
                      OTEL_EXPORTER_OTLP_ENDPOINT and OTEL_EXPORTER_OTLP_PROTOCOL";

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
    /// Where to, in words.
    destination: String,
    counts: [AtomicU64; Loss::ALL.len()],
    failing: Mutex<Option<Failing>>,
    fault: Fault,
}

/// A spell in which nothing arrives.
#[derive(Debug)]
struct Failing {
    since: Instant,
    error: String,
}

impl Losses {
    pub(super) fn new(signal: Signal, target: &Target) -> Self {
        let (to, by) = (shown(&target.endpoint), target.protocol.as_str());
        Self {
            signal,
            destination: format!("{to} ({by})"),
            counts: [const { AtomicU64::new(0) }; Loss::ALL.len()],
            failing: Mutex::new(None),
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
                if self.failing().take().is_some() {
                    tracing::info!(signal, "telemetry is delivered again");
                }
            }
            Err(error) => {
                self.count(Loss::NotDelivered, of);
                let error = self.fault.explain(&error);
                if self.fails(&error) {
                    let to = &self.destination;
                    tracing::warn!(
                        signal,
                        to,
                        error,
                        remedy = REMEDY,
                        "telemetry is not delivered, requests do not wait for it; audit records of sink \"otlp\" are told of apart"
                    );
                }
            }
        }
    }
}

impl Losses {
    /// Takes down what is in the way; gives whether that is a new spell.
    fn fails(&self, error: &str) -> bool {
        let mut failing = self.failing();
        let since = failing.as_ref().map(|failing| failing.since);
        let error = error.to_owned();
        *failing = Some(Failing {
            since: since.unwrap_or_else(Instant::now),
            error,
        });
        since.is_none()
    }

    /// What does not arrive, why, and what to do; nothing while it does.
    pub(super) fn complaint(&self) -> Option<String> {
        let failing = self.failing();
        let Failing { since, error } = failing.as_ref()?;
        let (signal, to, s) = (
            self.signal.as_str(),
            &self.destination,
            since.elapsed().as_secs(),
        );
        Some(format!(
            "{signal} do not reach {to}: {error}, for {s} s; {REMEDY}"
        ))
    }

    /// A poisoned lock guards a value that is replaced whole.
    fn failing(&self) -> MutexGuard<'_, Option<Failing>> {
        self.failing.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
pub(super) mod tests {
    use std::time::Duration;

    use super::super::plan::Protocol;
    use super::*;

    /// Of a signal that goes to a collector on this machine.
    pub(in crate::telemetry) fn losses(signal: Signal) -> Losses {
        let target = Target {
            protocol: Protocol::Http,
            endpoint: "http://user:secret@127.0.0.1:4318/v1/traces?key=secret".to_owned(),
            certificate: None,
            timeout: Duration::from_secs(1),
        };
        Losses::new(signal, &target)
    }

    #[test]
    fn losses_are_counted_by_cause() {
        let losses = losses(Signal::Traces);
        losses.count(Loss::QueueFull, 2);
        losses.delivery(5, Err("refused".to_owned()));
        let complaint = losses.complaint();
        assert!(complaint.is_some_and(|said| said.contains("refused") && !said.contains("secret")));
        losses.delivery(5, Ok(()));
        assert_eq!(losses.complaint(), None);
        losses.delivery(1, Err("refused".to_owned()));
        assert_eq!(Loss::ALL.map(|loss| losses.total(loss)), [2, 6]);
    }
}
