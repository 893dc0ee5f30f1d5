//! Exporters for what the plan names.

use opentelemetry::{Key, KeyValue};
use opentelemetry_otlp::{
    ExporterBuildError, LogExporter, MetricExporter, Protocol as Wire, SpanExporter,
    WithExportConfig as _, WithHttpConfig as _, WithTonicConfig as _,
};
use opentelemetry_sdk::Resource;

use super::connect::{Fault, TargetError, channel, client};
use super::plan::{Protocol, Target};

/// What this process is called where nobody says otherwise.
const SERVICE_NAME: &str = "sentinel-spiffe-agent";

/// Why a signal is not exported although it was asked for.
#[derive(Debug, thiserror::Error)]
pub(super) enum ExportError {
    #[error("{0}")]
    Target(#[from] TargetError),
    #[error("{0}")]
    Exporter(#[from] ExporterBuildError),
}

/// An exporter by either protocol; the builders are three types that share no trait for this.
macro_rules! exporter {
    ($name:ident, $exporter:ident, $doc:literal) => {
        #[doc = $doc]
        pub(super) fn $name(target: &Target, fault: &Fault) -> Result<$exporter, ExportError> {
            let builder = $exporter::builder();
            Ok(match target.protocol {
                Protocol::Grpc => builder
                    .with_tonic()
                    .with_channel(channel(target)?)
                    .with_timeout(target.timeout)
                    .build()?,
                Protocol::Http => builder
                    .with_http()
                    .with_http_client(client(target, fault)?)
                    .with_protocol(Wire::HttpBinary)
                    .with_endpoint(&target.endpoint)
                    .with_timeout(target.timeout)
                    .build()?,
            })
        }
    };
}

exporter!(spans, SpanExporter, "For spans.");
exporter!(metrics, MetricExporter, "For metrics.");
exporter!(logs, LogExporter, "For log records.");

/// What this process says of itself: `OTEL_SERVICE_NAME` and `OTEL_RESOURCE_ATTRIBUTES` win.
pub(super) fn resource() -> Resource {
    let found = Resource::builder().build();
    let named = found.get(&Key::new("service.name"));
    let unnamed = named.is_none_or(|name| name.as_str().starts_with("unknown_service"));
    let ours = unnamed.then(|| KeyValue::new("service.name", SERVICE_NAME));
    let version = found.get(&Key::new("service.version"));
    let version = version
        .is_none()
        .then(|| KeyValue::new("service.version", env!("CARGO_PKG_VERSION")));
    Resource::builder()
        .with_attributes(ours.into_iter().chain(version))
        .build()
}
