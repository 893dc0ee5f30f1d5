//! Audit records as log records: `sink "otlp"`. The same exporter as for our log, on the same runtime.
//!
//! No queue of its own: records wait in the audit's, and what a failure means is for `audit.on-full`
//! to say. The body is the line itself, so that the chain holds over what a collector writes down.

use std::fmt::Debug;
use std::io;
use std::sync::{Arc, mpsc};
use std::time::{Duration, SystemTime};

use actors::audit::Carrier;
use opentelemetry::logs::{AnyValue, LogRecord as _, Logger as _, LoggerProvider as _, Severity};
use opentelemetry::{InstrumentationScope, SpanId, TraceId};
use opentelemetry_otlp::LogExporter;
use opentelemetry_sdk::error::OTelSdkResult;
use opentelemetry_sdk::logs::{SdkLogger, SdkLoggerProvider};
use serde::Deserialize;
use tokio::runtime::Handle;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

use super::connect::Fault;
use super::logs::{self, Record};

/// What a record is, for those who look for one kind.
const EVENT: &str = "spiffe.audit.decision";

/// What made it.
const SCOPE: &str = "sentinel_spiffe_agent.audit";

/// Sends log records.
pub(super) trait Sends: Debug + Send + Sync + 'static {
    /// Until the collector has answered.
    fn send(&self, records: &[Record]) -> impl Future<Output = OTelSdkResult> + Send;
}

impl Sends for LogExporter {
    async fn send(&self, records: &[Record]) -> OTelSdkResult {
        logs::export(self, records).await
    }
}

/// Carries audit records to a collector.
#[derive(Debug)]
pub(super) struct Courier<S> {
    pub(super) runtime: Handle,
    pub(super) stop: CancellationToken,
    pub(super) sender: Arc<S>,
    /// For one batch.
    pub(super) within: Duration,
    /// Where the sender says what was in the way.
    pub(super) fault: Fault,
}

impl<S: Sends> Carrier for Courier<S> {
    fn carry(&self, lines: Vec<u8>) -> io::Result<()> {
        let (answer, answered) = mpsc::sync_channel(1);
        let (sender, stop, within) = (Arc::clone(&self.sender), self.stop.clone(), self.within);
        let fault = self.fault.clone();
        self.runtime.spawn(async move {
            let records = records(&lines);
            let sent = stop.run_until_cancelled(timeout(within, sender.send(&records)));
            let result = match sent.await {
                Some(Ok(sent)) => sent.map_err(|error| io::Error::other(fault.explain(&error))),
                Some(Err(_)) => Err(io::ErrorKind::TimedOut.into()),
                None => Err(io::ErrorKind::Interrupted.into()),
            };
            // Who asked waits for it as long as we are.
            let _ = answer.send(result);
        });
        // The runtime ends after the agent; a thread that was stuck then hears of it here.
        let gone = |_| Err(io::ErrorKind::Interrupted.into());
        answered.recv().unwrap_or_else(gone)
    }
}

/// What of a record is told beside it.
#[derive(Deserialize)]
struct Told {
    time: String,
    verdict: String,
    reason: Option<String>,
    trace_id: Option<String>,
}

fn records(lines: &[u8]) -> Vec<Record> {
    let logger = SdkLoggerProvider::builder().build().logger(SCOPE);
    let scope = InstrumentationScope::builder(SCOPE).build();
    let lines = lines.split(|byte| *byte == b'\n');
    let lines = lines.filter(|line| !line.is_empty());
    lines
        .map(|line| (record(&logger, line), scope.clone()))
        .collect()
}

fn record(logger: &SdkLogger, line: &[u8]) -> opentelemetry_sdk::logs::SdkLogRecord {
    let mut record = logger.create_log_record();
    record.set_event_name(EVENT);
    record.set_observed_timestamp(SystemTime::now());
    record.set_severity_number(Severity::Info);
    record.set_severity_text("INFO");
    // A record that cannot be read is sent all the same: its body is what counts.
    if let Ok(told) = serde_json::from_slice::<Told>(line) {
        if let Some(time) = moment(&told.time) {
            record.set_timestamp(time);
        }
        record.add_attribute("authz.verdict", told.verdict);
        if let Some(reason) = told.reason {
            record.add_attribute("authz.reason", reason);
        }
        let trace = told.trace_id.as_deref().map(TraceId::from_hex);
        if let Some(Ok(trace)) = trace {
            record.set_trace_context(trace, SpanId::INVALID, None);
        }
    }
    record.set_body(AnyValue::from(String::from_utf8_lossy(line).into_owned()));
    record
}

fn moment(time: &str) -> Option<SystemTime> {
    let ms = u64::try_from(crate::when::parse(time).ok()?).ok()?;
    SystemTime::UNIX_EPOCH.checked_add(Duration::from_millis(ms))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test may panic")]

    use opentelemetry_sdk::error::OTelSdkError;
    use std::sync::Mutex;

    use super::*;

    const ENOUGH: Duration = Duration::from_secs(60);
    const LINES: &[u8] = b"{\"seq\":1,\"time\":\"2026-11-28T03:12:00.250Z\",\"verdict\":\"deny\",\
        \"reason\":\"NOT_ALLOWED\",\"trace_id\":\"4bf92f3577b34da6a3ce929d0e0e4736\"}\n\
        {\"seq\":2,\"time\":\"2026-11-28T03:12:01Z\",\"verdict\":\"allow\",\"reason\":null,\"trace_id\":null}\n";

    #[derive(Debug)]
    enum Mood {
        Takes,
        Refuses,
        Hangs,
    }

    #[derive(Debug)]
    struct Fake {
        mood: Mood,
        taken: Mutex<Vec<Record>>,
    }

    impl Sends for Fake {
        async fn send(&self, records: &[Record]) -> OTelSdkResult {
            match self.mood {
                Mood::Takes => self.taken.lock().unwrap().extend_from_slice(records),
                Mood::Refuses => return Err(OTelSdkError::InternalFailure("no".to_owned())),
                Mood::Hangs => std::future::pending().await,
            }
            Ok(())
        }
    }

    fn courier(mood: Mood, within: Duration) -> (tokio::runtime::Runtime, Courier<Fake>) {
        let mut builder = tokio::runtime::Builder::new_multi_thread();
        let runtime = builder.worker_threads(1).enable_all().build().unwrap();
        let taken = Mutex::default();
        let courier = Courier {
            runtime: runtime.handle().clone(),
            stop: CancellationToken::new(),
            sender: Arc::new(Fake { mood, taken }),
            within,
            fault: Fault::default(),
        };
        (runtime, courier)
    }

    fn fails(courier: &Courier<Fake>) -> io::ErrorKind {
        courier.carry(LINES.to_vec()).unwrap_err().kind()
    }

    #[test]
    fn a_record_is_its_line_and_what_to_find_it_by() {
        let (_runtime, courier) = courier(Mood::Takes, ENOUGH);
        courier.carry(LINES.to_vec()).unwrap();
        let taken = courier.sender.taken.lock().unwrap();
        let bodies: Vec<_> = taken.iter().map(|(record, _)| record.body()).collect();
        let lines = std::str::from_utf8(LINES).unwrap().lines();
        let lines: Vec<_> = lines.map(AnyValue::from).collect();
        assert_eq!(bodies, lines.iter().map(Some).collect::<Vec<_>>());
        let [(denied, _), (allowed, _)] = &taken[..] else {
            unreachable!("two lines are two records");
        };
        assert_eq!(denied.event_name(), Some(EVENT));
        let time = SystemTime::UNIX_EPOCH + Duration::from_millis(1_795_835_520_250);
        assert_eq!(denied.timestamp(), Some(time));
        let trace = denied.trace_context().unwrap().trace_id;
        assert_eq!(trace.to_string(), "4bf92f3577b34da6a3ce929d0e0e4736");
        assert!(allowed.trace_context().is_none());
        let told = |record: &opentelemetry_sdk::logs::SdkLogRecord| {
            let told = record.attributes_iter();
            told.map(|(key, value)| (key.to_string(), value.clone()))
                .collect::<Vec<_>>()
        };
        let pair = |key: &str, value: &'static str| (key.to_owned(), AnyValue::from(value));
        let [deny, allow] = ["deny", "allow"].map(|word| pair("authz.verdict", word));
        assert_eq!(told(denied), [deny, pair("authz.reason", "NOT_ALLOWED")]);
        assert_eq!(told(allowed), [allow]);
    }

    #[test]
    fn only_what_the_collector_took_is_carried() {
        let (_runtime, refuses) = courier(Mood::Refuses, ENOUGH);
        assert_eq!(fails(&refuses), io::ErrorKind::Other);
        let (_runtime, hangs) = courier(Mood::Hangs, Duration::from_millis(20));
        assert_eq!(fails(&hangs), io::ErrorKind::TimedOut);
    }

    #[test]
    fn the_end_sets_a_stuck_thread_free() {
        let (runtime, hangs) = courier(Mood::Hangs, ENOUGH);
        std::thread::scope(|scope| {
            let stuck = scope.spawn(|| fails(&hangs));
            hangs.stop.cancel();
            assert_eq!(stuck.join().unwrap(), io::ErrorKind::Interrupted);
        });
        runtime.shutdown_background();
        let (runtime, late) = courier(Mood::Hangs, ENOUGH);
        runtime.shutdown_background();
        assert_eq!(fails(&late), io::ErrorKind::Interrupted);
    }
}
