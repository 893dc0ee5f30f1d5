//! The audit actor: has the records of the queue written to the sinks.
//!
//! A sink may block for ever (a full pipe, a dead disk): the writing is done on a thread that is not
//! an async worker, and only the queue fills meanwhile. A sink may fail (a full disk, a closed pipe):
//! it is opened again from time to time, what that costs is for `audit.on-full` to say, and nobody
//! is restarted.

use std::fmt;
use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use config::{FileSink, Sink as ConfigSink};
use ractor::{Actor, ActorProcessingErr, ActorRef};
use tokio::sync::watch;
use tokio_util::task::AbortOnDropHandle;

use super::Carrier;
use super::desk::{SharedDesk, pump};
use super::logfile;
use super::watch::Watch;
use crate::remedy;
use crate::supervision::{Ping, Pings, attentive};

/// Where records go.
#[derive(Clone, Debug)]
pub enum Sink {
    /// Standard output.
    Stdout,
    /// Standard error.
    Stderr,
    /// A collector.
    Otlp(Arc<dyn Carrier>),
    /// A file, appended to; created with mode 0640.
    File(FileSink),
}

/// Why a sink cannot be written to.
#[derive(Debug, thiserror::Error)]
pub enum SinkError {
    /// A file that cannot be opened.
    #[error("audit sink {}: {error}{}", path.display(), remedy::of_path(error, path))]
    File {
        /// Which.
        path: PathBuf,
        /// Why not.
        #[source]
        error: io::Error,
    },
    /// The variables name no collector for logs, or one that cannot even be tried.
    #[error(
        "audit sink otlp: no collector takes log records: set OTEL_EXPORTER_OTLP_ENDPOINT, or \
         OTEL_EXPORTER_OTLP_LOGS_ENDPOINT, and not OTEL_LOGS_EXPORTER=none"
    )]
    NoCollector,
}

impl SinkError {
    /// Whether trying again as it is would not help: a mount may come late, a variable does not.
    #[must_use]
    pub const fn is_configuration(&self) -> bool {
        matches!(self, Self::NoCollector)
    }
}

impl fmt::Display for Sink {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Stdout => f.write_str("stdout"),
            Self::Stderr => f.write_str("stderr"),
            Self::Otlp(_) => f.write_str("otlp"),
            Self::File(file) => write!(f, "{}", file.path.display()),
        }
    }
}

impl Sink {
    /// The one that the configuration names, which can be written to.
    ///
    /// # Errors
    /// It cannot, or nobody carries to it.
    pub fn of(named: &ConfigSink, carrier: Option<&Arc<dyn Carrier>>) -> Result<Self, SinkError> {
        let sink = match named {
            ConfigSink::Stdout => Self::Stdout,
            ConfigSink::Stderr => Self::Stderr,
            ConfigSink::Otlp => Self::Otlp(Arc::clone(carrier.ok_or(SinkError::NoCollector)?)),
            ConfigSink::File(file) => Self::File(file.clone()),
        };
        sink.check()?;
        Ok(sink)
    }

    /// What to do about an error of writing to it.
    pub(super) fn remedy(&self, error: &io::Error) -> String {
        match self {
            Self::File(file) => remedy::of_writing(error, &file.path),
            Self::Stdout | Self::Stderr => remedy::OF_STREAM.to_owned(),
            Self::Otlp(_) => remedy::OF_COLLECTOR.to_owned(),
        }
    }

    /// What to do about one that takes no more and says no error; of a file, whether it is a pipe, if that
    /// is known.
    pub(super) const fn remedy_if_stuck(&self, is_pipe: Option<bool>) -> &'static str {
        match (self, is_pipe) {
            (Self::File(_), Some(true)) => remedy::OF_STUCK_PIPE,
            (Self::File(_), Some(false)) => remedy::OF_STUCK_FILE,
            (Self::File(_), None) => remedy::OF_STUCK_PATH,
            (Self::Stdout | Self::Stderr, _) => remedy::OF_STUCK_STREAM,
            (Self::Otlp(_), _) => remedy::OF_COLLECTOR,
        }
    }

    /// Whether it can be opened: a wrong path is told at the start.
    fn check(&self) -> Result<(), SinkError> {
        match self {
            Self::Stdout | Self::Stderr | Self::Otlp(_) => Ok(()),
            Self::File(file) => {
                let path = &file.path;
                let opened = logfile::open(path).and_then(|file| logfile::claim(&file, path));
                opened.map(drop).map_err(|error| SinkError::File {
                    path: path.clone(),
                    error,
                })
            }
        }
    }
}

/// What the actor is started with.
#[derive(Clone)]
pub struct AuditArgs {
    /// What it writes with; it outlives the actor.
    pub desk: SharedDesk,
}

/// The actor.
pub struct AuditActor;

/// Messages to the audit actor.
pub enum AuditMessage {
    /// The pump ended: with an error, or because it panicked.
    Ended(String),
    /// The supervisor asks: it is the pump that has to answer, which it does while a sink is stuck.
    Ping(Ping),
}

impl From<Ping> for AuditMessage {
    fn from(ping: Ping) -> Self {
        Self::Ping(ping)
    }
}

/// The actor's state: its task, and how it is told to come to an end.
pub struct Pumping {
    task: AbortOnDropHandle<()>,
    watch: Watch,
    finish: watch::Sender<bool>,
    pings: Pings,
}

/// Time for what still waits when the agent stops; a sink that is stuck must not hold it up.
const FINISH_WITHIN: Duration = Duration::from_secs(1);

impl Actor for AuditActor {
    type Msg = AuditMessage;
    type State = Pumping;
    type Arguments = AuditArgs;

    async fn pre_start(
        &self,
        myself: ActorRef<AuditMessage>,
        args: AuditArgs,
    ) -> Result<Self::State, ActorProcessingErr> {
        let (finish, finishing) = watch::channel(false);
        let watch = args.desk.watch.clone();
        let (pings, passed) = Pings::new();
        let task = AbortOnDropHandle::new(tokio::spawn(async move {
            let pumping = tokio::spawn(attentive(passed, pump(args.desk, finishing)));
            let pumping = AbortOnDropHandle::new(pumping);
            let ended = match pumping.await {
                Ok(Ok(())) => return,
                Ok(Err(error)) => error.to_string(),
                Err(join) => join.to_string(),
            };
            // The actor being gone is an answer too: then its supervisor knows already.
            let _ = myself.cast(AuditMessage::Ended(ended));
        }));
        Ok(Pumping {
            task,
            watch,
            finish,
            pings,
        })
    }

    /// Every decision has its record, unless a sink is stuck: then it is said how many have none.
    async fn post_stop(
        &self,
        _myself: ActorRef<AuditMessage>,
        state: &mut Self::State,
    ) -> Result<(), ActorProcessingErr> {
        state.finish.send_replace(true);
        let finished = tokio::time::timeout(FINISH_WITHIN, &mut state.task).await;
        if finished.is_err() {
            state.watch.give_up();
        }
        Ok(())
    }

    async fn handle(
        &self,
        _myself: ActorRef<AuditMessage>,
        message: AuditMessage,
        state: &mut Self::State,
    ) -> Result<(), ActorProcessingErr> {
        match message {
            AuditMessage::Ended(why) => Err(why.into()),
            AuditMessage::Ping(ping) => {
                state.pings.pass(ping);
                Ok(())
            }
        }
    }
}
