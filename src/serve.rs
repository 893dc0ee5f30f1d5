//! Serving: settings, the runtime, the tree, and a drain on a signal.

use std::path::Path;
use std::time::{Duration, Instant};

use actors::agent::Agent;
#[cfg(not(feature = "chaos-hooks"))]
use actors::clock::Clock;
use anyhow::Context as _;
use config::{Bound, ConfigErrors, FileConfig, Overrides, Settings};
use sd_notify::NotifyState;

use crate::cli::Serve;
use crate::descriptors;
use crate::exit::{Exit, Misconfigured};
use crate::logging;
use crate::output::clean;
use crate::signals::Signals;
use crate::telemetry::{Plan, Telemetry};

/// Time for what still blocks (a stuck audit sink) when everything else has ended.
const LINGER: Duration = Duration::from_millis(200);

/// Time for telemetry that waits, at most: a collector beside us takes it in milliseconds.
const FLUSH_WITHIN: Duration = Duration::from_secs(2);

/// Runs the agent until a signal or its own end.
pub(crate) fn run(args: &Serve) -> anyhow::Result<Exit> {
    let settings = settings(args)?;
    let verbose = settings.agent().verbose.value;
    let plan = Plan::from_environment();
    let mut telemetry = Telemetry::start(plan, || logging::filter(verbose))?;
    logging::start(verbose, telemetry.log_layer());
    telemetry.complain();
    descriptors::provide(&settings);
    let drain = settings.agent().bounds.value(Bound::DrainTimeoutMs);
    let drain = Duration::from_millis(drain);
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .worker_threads(workers())
        .thread_name("agent")
        .build()
        .context("start the runtime")?;
    let mut draining = Draining::default();
    let exit = runtime.block_on(serve(settings, &mut telemetry, &mut draining));
    runtime.shutdown_timeout(LINGER);
    telemetry.finish(draining.left_of(drain));
    exit
}

/// When draining began: telemetry has what is left of its time.
#[derive(Default)]
struct Draining {
    since: Option<Instant>,
}

impl Draining {
    fn begin(&mut self) {
        self.since = Some(Instant::now());
    }

    fn left_of(&self, drain: Duration) -> Duration {
        let spent = self.since.map_or(Duration::ZERO, |since| since.elapsed());
        drain.saturating_sub(spent).clamp(LINGER, FLUSH_WITHIN)
    }
}

/// At least two: one for the requests of one connection, one for everything else.
fn workers() -> usize {
    std::thread::available_parallelism().map_or(2, |cores| cores.get().clamp(2, 8))
}

/// The settings, or everything that is wrong with them.
pub(crate) fn settings(args: &Serve) -> anyhow::Result<Settings> {
    let file = args.config.as_deref().map(read).transpose()?;
    resolve(file, &args.given.overrides())
}

/// The settings, or everything that is wrong with them.
pub(crate) fn resolve(file: Option<FileConfig>, overrides: &Overrides) -> anyhow::Result<Settings> {
    let resolved = Settings::resolve(file, overrides);
    Ok(resolved.map_err(|errors| Misconfigured::from(Wrong::Said(errors)))?)
}

/// Why there is no configuration.
#[derive(Debug)]
pub(crate) enum Wrong {
    /// A wrong path or mode is a wrong configuration: restarting does not help.
    Unread {
        /// Which file.
        file: String,
        error: anyhow::Error,
    },
    /// What it says.
    Said(ConfigErrors),
}

impl Wrong {
    /// All of it, for a person.
    pub(crate) fn told(&self) -> String {
        match self {
            Self::Unread { error, .. } => clean(&format!("{error:#}")),
            Self::Said(errors) => format!("{:?}", miette::Report::new(errors.clone())),
        }
    }

    /// The same as plain lines.
    pub(crate) fn lines(&self) -> String {
        match self {
            Self::Unread { error, .. } => format!("{error:#}"),
            Self::Said(errors) => errors.lines().collect::<Vec<_>>().join("\n"),
        }
    }
}

/// A configuration file, or everything that is wrong with it, told.
pub(crate) fn read(path: &Path) -> anyhow::Result<FileConfig> {
    Ok(load(path).map_err(Misconfigured::from)?)
}

/// A configuration file, or everything that is wrong with it.
pub(crate) fn load(path: &Path) -> Result<FileConfig, Wrong> {
    // It is shown, and not opened again.
    let name = clean(&path.display().to_string());
    let bytes = crate::read::bounded(path, config::MAX_CONFIG_BYTES);
    let bytes = bytes.map_err(|error| Wrong::Unread {
        file: name.clone(),
        error,
    })?;
    FileConfig::from_bytes(&name, &bytes).map_err(Wrong::Said)
}

/// Tells the service manager, if there is one that asked to be told.
fn tell(state: NotifyState<'_>) {
    if let Err(error) = sd_notify::notify(&[state]) {
        tracing::warn!(%error, "the service manager cannot be told how we are");
    }
}

async fn serve(
    settings: Settings,
    telemetry: &mut Telemetry,
    draining: &mut Draining,
) -> anyhow::Result<Exit> {
    let mut signals = Signals::listen()?;
    let socket = settings.agent().socket.value.to_string();
    let grpc = settings.agent().grpc.as_ref();
    let grpc = grpc.map(|door| door.address.value.to_string());
    let spire = settings.spire_socket().value.to_string();
    let configured = settings.policy().is_some();
    #[cfg(feature = "chaos-hooks")]
    let hooks = crate::chaos_hooks::Hooks::new();
    #[cfg(feature = "chaos-hooks")]
    let clock = hooks.clock();
    #[cfg(not(feature = "chaos-hooks"))]
    let clock = Clock::system();
    let carrier = telemetry.carrier();
    let agent = match Agent::start_observed(settings, clock, telemetry.observer(), carrier).await {
        Ok(agent) => agent,
        Err(error) if error.is_configuration() => {
            logging::say_error(&clean(&error.to_string()));
            return Ok(Exit::Config);
        }
        Err(error) => return Err(error.into()),
    };
    telemetry.read(&agent);
    let admin = agent.admin().map(|admin| admin.address().to_string());
    tracing::info!(
        socket,
        grpc,
        admin,
        spire,
        version = env!("CARGO_PKG_VERSION"),
        "serving"
    );
    tell(NotifyState::Ready);
    #[cfg(feature = "chaos-hooks")]
    hooks.obey(std::sync::Arc::clone(agent.root().tree()))?;
    if !configured {
        tracing::warn!(
            "no policy is in force: every request is answered NOT_CONFIGURED until a proxy pushes one, or --config gives one"
        );
    }
    tokio::select! {
        signal = signals.end() => tracing::info!("{signal}: draining"),
        ended = agent.ended() => {
            tracing::error!(%ended, "the supervision tree gave up");
            return Ok(Exit::GaveUp);
        }
    }
    draining.begin();
    tell(NotifyState::Stopping);
    tokio::select! {
        shutdown = agent.shutdown() => tracing::info!(killed = shutdown.killed.len(), "stopped"),
        _ = signals.end() => tracing::warn!("second signal: stopping at once"),
    }
    Ok(Exit::Success)
}
