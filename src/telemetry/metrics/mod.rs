//! Metrics: one provider, read by the OTLP exporter and by whoever asks for `/metrics`.
//!
//! The counters of `actors` stay the truth; here they are read when somebody looks. Only how long
//! decisions take is recorded as they are made, into four bound series. No SPIFFE ID is a label: what
//! callers send must not make series.

mod sources;
mod table;
#[cfg(test)]
mod tests;

use std::sync::{Arc, Weak};
use std::time::Duration;

use actors::agent::Agent;
use actors::observe::Decided;
use opentelemetry::KeyValue;
use opentelemetry::metrics::{BoundHistogram, Meter, MeterProvider as _};
use opentelemetry_otlp::MetricExporter;
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::error::{OTelSdkError, OTelSdkResult};
use opentelemetry_sdk::metrics::data::ResourceMetrics;
use opentelemetry_sdk::metrics::exporter::PushMetricExporter as _;
use opentelemetry_sdk::metrics::reader::MetricReader;
use opentelemetry_sdk::metrics::{
    InstrumentKind, ManualReader, Pipeline, SdkMeterProvider, Temporality,
};
use prometheus::{Registry, TextEncoder};
use tokio::time::{Instant, interval_at, timeout};
use tokio_util::sync::CancellationToken;

use self::sources::Sources;
use super::losses::Losses;
use super::plan::Period;
use super::spans::SCOPE;

/// Bounds of the decision-time histogram, seconds: from a remembered identity to `decision-deadline-ms`.
const DECISION_SECONDS: [f64; 14] = [
    0.000_01, 0.000_025, 0.000_05, 0.000_1, 0.000_25, 0.000_5, 0.001, 0.002_5, 0.005, 0.01, 0.025,
    0.05, 0.08, 0.1,
];

/// The metrics of this process.
pub(super) struct Metrics {
    provider: SdkMeterProvider,
    registry: Registry,
    pushed: Option<Arc<ManualReader>>,
}

/// How long decisions take, by verdict and whether the identity was remembered.
pub(super) struct DecisionTime {
    by: [[BoundHistogram<f64>; 2]; 2],
}

impl Metrics {
    /// With a reader for an exporter of this temporality, if there is one.
    pub(super) fn new(
        resource: Resource,
        exported: Option<Temporality>,
    ) -> Result<Self, OTelSdkError> {
        let registry = Registry::new();
        let page = opentelemetry_prometheus::exporter()
            .with_registry(registry.clone())
            .scope_info_enabled(false)
            .build()?;
        let pushed = exported.map(|temporality| {
            Arc::new(
                ManualReader::builder()
                    .with_temporality(temporality)
                    .build(),
            )
        });
        let provider = SdkMeterProvider::builder()
            .with_resource(resource)
            .with_reader(page);
        let provider = match &pushed {
            Some(reader) => provider.with_reader(Shared(Arc::clone(reader))),
            None => provider,
        };
        Ok(Self {
            provider: provider.build(),
            registry,
            pushed,
        })
    }

    fn meter(&self) -> Meter {
        self.provider.meter(SCOPE)
    }

    /// Whom decisions tell how long they took.
    pub(super) fn decision_time(&self) -> DecisionTime {
        let time = self
            .meter()
            .f64_histogram("spiffe_agent.decision.duration")
            .with_description("From the complete question to the decision")
            .with_unit("s")
            .with_boundaries(DECISION_SECONDS.to_vec())
            .build();
        let bind = |verdict: &'static str, remembered: bool| {
            let remembered = if remembered { "true" } else { "false" };
            time.bind(&[
                KeyValue::new("verdict", verdict),
                KeyValue::new("remembered", remembered),
            ])
        };
        DecisionTime {
            by: ["allow", "deny"].map(|verdict| [false, true].map(|is| bind(verdict, is))),
        }
    }

    /// Reads this agent from now on.
    pub(super) fn read(&self, agent: &Agent, losses: Vec<Arc<Losses>>) {
        let sources = Arc::new(Sources::of(agent, losses));
        table::register(&self.meter(), &sources);
    }

    /// What `/metrics` answers.
    pub(super) fn page(&self) -> impl Fn() -> String + Send + Sync + 'static {
        let registry = self.registry.clone();
        // Names and labels are our own: they can be written.
        move || {
            TextEncoder::new()
                .encode_to_string(&registry.gather())
                .unwrap_or_default()
        }
    }

    /// Sends everything every so often, and once more when told to stop.
    pub(super) fn push(&self, push: Push) -> impl Future<Output = ()> + Send + use<> {
        let reader = self.pushed.clone();
        async move {
            let Some(reader) = reader else { return };
            let every = push.period.interval;
            let mut ticks = interval_at(Instant::now() + every, every);
            let mut collected = ResourceMetrics::default();
            let mut stopping = false;
            while !stopping {
                tokio::select! {
                    _ = ticks.tick() => {}
                    () = push.stop.cancelled() => {}
                }
                stopping = push.stop.is_cancelled();
                let sent = push.send(&reader, &mut collected).await;
                push.losses.delivery(1, sent);
            }
        }
    }
}

/// Where metrics are sent, and how often.
pub(super) struct Push {
    pub(super) exporter: MetricExporter,
    pub(super) period: Period,
    pub(super) losses: Arc<Losses>,
    pub(super) stop: CancellationToken,
}

impl Push {
    pub(super) fn temporality(&self) -> Temporality {
        self.exporter.temporality()
    }

    async fn send(&self, reader: &ManualReader, into: &mut ResourceMetrics) -> Result<(), String> {
        reader.collect(into).map_err(|error| error.to_string())?;
        match timeout(self.period.timeout, self.exporter.export(into)).await {
            Ok(result) => result.map_err(|error| error.to_string()),
            Err(_) => Err("the collector does not answer".to_owned()),
        }
    }
}

impl DecisionTime {
    /// Records one.
    pub(super) fn record(&self, decided: &Decided<'_>) {
        let [allow, deny] = &self.by;
        let [judged, remembered] = match decided.status() {
            None => allow,
            Some(_) => deny,
        };
        let series = if decided.is_remembered() {
            remembered
        } else {
            judged
        };
        let took = decided.ended.saturating_duration_since(decided.started);
        series.record(took.as_secs_f64());
    }
}

/// The provider owns its readers, and we read too.
#[derive(Debug)]
struct Shared(Arc<ManualReader>);

impl MetricReader for Shared {
    fn register_pipeline(&self, pipeline: Weak<Pipeline>) {
        self.0.register_pipeline(pipeline);
    }

    fn collect(&self, into: &mut ResourceMetrics) -> OTelSdkResult {
        self.0.collect(into)
    }

    fn force_flush(&self) -> OTelSdkResult {
        self.0.force_flush()
    }

    fn shutdown_with_timeout(&self, timeout: Duration) -> OTelSdkResult {
        self.0.shutdown_with_timeout(timeout)
    }

    fn temporality(&self, kind: InstrumentKind) -> Temporality {
        self.0.temporality(kind)
    }
}
