//! Our log lines as records. What standard error says is said there as before.

use std::time::Duration;

use opentelemetry::InstrumentationScope;
use opentelemetry_appender_tracing::layer::OpenTelemetryTracingBridge;
use opentelemetry_otlp::LogExporter;
use opentelemetry_sdk::error::OTelSdkResult;
use opentelemetry_sdk::logs::{
    LogBatch, LogExporter as _, LogProcessor, SdkLogRecord, SdkLoggerProvider,
};
use tracing_subscriber::Registry;
use tracing_subscriber::filter::{FilterExt as _, filter_fn};
use tracing_subscriber::layer::{Filter, Layer};

use super::batch::Queue;

/// A record, and what made it.
pub(super) type Record = (SdkLogRecord, InstrumentationScope);

/// Takes our log lines.
pub(crate) type LogLayer = Box<dyn Layer<Registry> + Send + Sync>;

/// Crates whose lines are exported: ours. Libraries that an export runs through would export what they
/// say about it, without end.
const OURS: [&str; 5] = [
    "actors",
    "config",
    "proto",
    "sentinel_spiffe_agent",
    "verdict",
];

/// Puts records into the queue.
#[derive(Debug)]
struct Records(Queue<Record>);

impl LogProcessor for Records {
    fn emit(&self, record: &mut SdkLogRecord, scope: &InstrumentationScope) {
        self.0.put((record.clone(), scope.clone()));
    }

    fn force_flush(&self) -> OTelSdkResult {
        Ok(())
    }

    fn shutdown_with_timeout(&self, _: Duration) -> OTelSdkResult {
        Ok(())
    }
}

/// A layer that fills the queue with what `filter` lets pass.
pub(super) fn layer(
    queue: Queue<Record>,
    filter: impl Filter<Registry> + Send + Sync + 'static,
) -> LogLayer {
    let provider = SdkLoggerProvider::builder()
        .with_log_processor(Records(queue))
        .build();
    let ours = filter_fn(|about| {
        let root = about.target().split("::").next();
        root.is_some_and(|root| OURS.contains(&root))
    });
    Box::new(OpenTelemetryTracingBridge::new(&provider).with_filter(filter.and(ours)))
}

/// Exports a batch.
pub(super) async fn export(exporter: &LogExporter, records: &[Record]) -> OTelSdkResult {
    let borrowed: Vec<_> = records
        .iter()
        .map(|(record, scope)| (record, scope))
        .collect();
    exporter.export(LogBatch::new(&borrowed)).await
}
