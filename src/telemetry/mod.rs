//! Telemetry: what observers are told, exported as the standard `OTEL_*` variables ask.
//!
//! On a runtime of its own, behind bounded queues: a collector that is dead, slow or a black hole
//! costs requests nothing, and a shutdown no more than it is given. What is lost is counted.

mod batch;
mod connect;
mod courier;
mod export;
mod logs;
mod losses;
mod metrics;
mod plan;
mod sampling;
mod spans;

use std::io;
use std::sync::Arc;
use std::time::Duration;

use actors::admin::Exports;
use actors::agent::Agent;
use actors::audit::Carrier;
use actors::observe::{Decided, Happened, Observer};
use opentelemetry_sdk::error::OTelSdkError;
use opentelemetry_sdk::logs::LogExporter as _;
use opentelemetry_sdk::trace::{SpanData, SpanExporter as _};
use tokio::runtime::{Builder, Runtime};
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tracing_subscriber::EnvFilter;

use self::batch::Queue;
use self::courier::Courier;
use self::export::ExportError;
pub(crate) use self::logs::LogLayer;
use self::logs::Record;
use self::losses::Losses;
use self::metrics::{DecisionTime, Metrics, Push};
pub(crate) use self::plan::Plan;
use self::plan::{Batch, Period, Signal, Target};
use self::spans::Spans;

/// Time for what is dropped at the end: it is counted and said.
const LINGER: Duration = Duration::from_millis(100);

/// What is known of the agent from outside: metrics always, and exporters where the variables ask.
pub(crate) struct Telemetry {
    beside: Option<Beside>,
    metrics: Metrics,
    spans: Option<Spans>,
    log: Option<LogLayer>,
    carrier: Option<Arc<dyn Carrier>>,
    losses: Vec<Arc<Losses>>,
    /// What is wrong with the variables: said once the log is there, and by the status.
    complaints: Vec<String>,
}

/// The runtime of the exporters.
struct Beside {
    runtime: Runtime,
    tasks: TaskTracker,
    stop: CancellationToken,
}

/// What the agent tells.
struct Watcher {
    time: DecisionTime,
    spans: Option<Spans>,
}

impl Observer for Watcher {
    fn decided(&self, decided: &Decided<'_>) {
        self.time.record(decided);
        if let Some(spans) = &self.spans {
            spans.decided(decided);
        }
    }

    fn happened(&self, happened: &Happened<'_>, tell: &mut dyn FnMut()) {
        match &self.spans {
            Some(spans) => spans.happened(happened, tell),
            None => tell(),
        }
    }
}

/// Why there is no telemetry at all.
#[derive(Debug, thiserror::Error)]
pub(crate) enum TelemetryError {
    #[error("no thread for telemetry: {0}")]
    Thread(#[from] io::Error),
    #[error("metrics: {0}")]
    Metrics(#[from] OTelSdkError),
}

/// What is made so far.
struct Making {
    beside: Option<Beside>,
    losses: Vec<Arc<Losses>>,
    complaints: Vec<String>,
}

impl Making {
    /// A signal whose exporter cannot be made is left out, and that is said: the agent serves without
    /// telemetry rather than not at all.
    fn signal<T>(
        &mut self,
        signal: Signal,
        target: &Target,
        make: impl FnOnce(&Beside, &Arc<Losses>) -> Result<T, ExportError>,
    ) -> Option<T> {
        let losses = Arc::new(Losses::new(signal, target));
        let made = make(self.beside.as_ref()?, &losses);
        let left_out = |error| format!("{} are not exported: {error}", signal.as_str());
        match made {
            Ok(_) => self.losses.push(losses),
            Err(ref error) => self.complaints.push(left_out(error)),
        }
        made.ok()
    }
}

impl Telemetry {
    /// Starts what the plan names.
    ///
    /// # Errors
    /// There is no thread for it.
    pub(crate) fn start(
        plan: Plan,
        log_filter: impl FnOnce() -> EnvFilter,
    ) -> Result<Self, TelemetryError> {
        let mut making = Making {
            beside: plan.exports().then(Beside::start).transpose()?,
            losses: Vec::new(),
            complaints: plan.ignored,
        };
        let spans = plan.traces.and_then(|(target, sampler, batch)| {
            let queue = making.signal(Signal::Traces, &target, |beside, losses| {
                beside.spans(&target, batch, losses)
            })?;
            Some(Spans::new(queue, sampler))
        });
        let logs = plan.logs.and_then(|(target, batch)| {
            making.signal(Signal::Logs, &target, |beside, losses| {
                beside.logs(&target, batch, losses)
            })
        });
        let (log, carrier) = logs.unzip();
        let push = plan.metrics.and_then(|(target, period)| {
            making.signal(Signal::Metrics, &target, |beside, losses| {
                beside.metrics(&target, period, losses)
            })
        });
        let metrics = Metrics::new(export::resource(), push.as_ref().map(Push::temporality))?;
        if let (Some(push), Some(beside)) = (push, &making.beside) {
            beside.spawn(metrics.push(push));
        }
        Ok(Self {
            beside: making.beside,
            metrics,
            spans,
            log: log.map(|queue| logs::layer(queue, log_filter())),
            carrier,
            losses: making.losses,
            complaints: making.complaints,
        })
    }

    /// Takes log lines, if they are exported.
    pub(crate) fn log_layer(&mut self) -> Option<LogLayer> {
        self.log.take()
    }

    /// Where audit records go by `sink "otlp"`, if log records are exported.
    pub(crate) fn carrier(&self) -> Option<Arc<dyn Carrier>> {
        self.carrier.clone()
    }

    /// Says what is wrong with the variables.
    pub(crate) fn complain(&self) {
        for complaint in &self.complaints {
            tracing::warn!("telemetry: {complaint}");
        }
    }

    /// Whom the agent tells what it does; one for each process.
    pub(crate) fn observer(&mut self) -> Arc<dyn Observer> {
        Arc::new(Watcher {
            time: self.metrics.decision_time(),
            spans: self.spans.take(),
        })
    }

    /// Reads metrics from this agent from now on.
    pub(crate) fn read(&self, agent: &Agent) {
        self.metrics.read(agent, self.losses.clone());
        if let Some(admin) = agent.admin() {
            admin.expose_metrics(Arc::new(self.metrics.page()));
            let losses = self.losses.clone();
            admin.tell_of_telemetry(Exports {
                misread: self.complaints.clone(),
                undelivered: Box::new(move || {
                    losses
                        .iter()
                        .filter_map(|losses| losses.complaint())
                        .collect()
                }),
            });
        }
    }

    /// Exports what is left, within this time.
    pub(crate) fn finish(self, within: Duration) {
        if let Some(beside) = self.beside {
            beside.finish(within);
        }
    }
}

impl Beside {
    fn start() -> io::Result<Self> {
        let runtime = Builder::new_multi_thread()
            .worker_threads(1)
            .thread_name("telemetry")
            .enable_all()
            .build()?;
        Ok(Self {
            runtime,
            tasks: TaskTracker::new(),
            stop: CancellationToken::new(),
        })
    }

    fn spans(
        &self,
        target: &Target,
        batch: Batch,
        losses: &Arc<Losses>,
    ) -> Result<Queue<SpanData>, ExportError> {
        let _context = self.runtime.enter();
        let mut exporter = export::spans(target, losses.fault())?;
        exporter.set_resource(&export::resource());
        let exporter = Arc::new(exporter);
        let (queue, batches) = batch::queue(batch, losses);
        self.spawn(batches.run(self.stop.clone(), move |spans| {
            let exporter = Arc::clone(&exporter);
            async move { exporter.export(spans).await }
        }));
        Ok(queue)
    }

    fn logs(
        &self,
        target: &Target,
        batch: Batch,
        losses: &Arc<Losses>,
    ) -> Result<(Queue<Record>, Arc<dyn Carrier>), ExportError> {
        let _context = self.runtime.enter();
        let mut exporter = export::logs(target, losses.fault())?;
        exporter.set_resource(&export::resource());
        let exporter = Arc::new(exporter);
        let courier = Courier {
            runtime: self.runtime.handle().clone(),
            stop: self.stop.clone(),
            sender: Arc::clone(&exporter),
            within: target.timeout,
            fault: losses.fault().clone(),
        };
        let (queue, batches) = batch::queue(batch, losses);
        self.spawn(batches.run(self.stop.clone(), move |records: Vec<Record>| {
            let exporter = Arc::clone(&exporter);
            async move { logs::export(&exporter, &records).await }
        }));
        Ok((queue, Arc::new(courier)))
    }

    fn metrics(
        &self,
        target: &Target,
        period: Period,
        losses: &Arc<Losses>,
    ) -> Result<Push, ExportError> {
        let _context = self.runtime.enter();
        Ok(Push {
            exporter: export::metrics(target, losses.fault())?,
            period,
            losses: Arc::clone(losses),
            stop: self.stop.clone(),
        })
    }

    fn spawn(&self, running: impl Future<Output = ()> + Send + 'static) {
        self.tasks.spawn_on(running, self.runtime.handle());
    }

    fn finish(self, within: Duration) {
        self.stop.cancel();
        self.tasks.close();
        // Late is late: what is left is counted as it is dropped.
        let _ = self
            .runtime
            .block_on(async { timeout(within, self.tasks.wait()).await });
        self.runtime.shutdown_timeout(LINGER);
    }
}
