//! The audit actor: takes records from the queue and writes them to its sinks.
//!
//! A sink may block for ever (a full pipe, a dead disk): the writing is done on a thread that is not
//! an async worker, and only the queue fills meanwhile. A sink may fail (a full disk, a closed pipe):
//! it is opened again from time to time, what is lost meanwhile is counted, and nobody is restarted.

use std::fmt;
use std::fs::OpenOptions;
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use ractor::{Actor, ActorProcessingErr, ActorRef};
use tokio::sync::{mpsc, watch};
use tokio_util::task::AbortOnDropHandle;

use super::AuditRecords;
use super::outlet::Outlet;
use crate::metrics::{Metrics, count};
use crate::supervision::{Ping, Pings, attentive};

/// Where records go.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Sink {
    /// Standard output.
    Stdout,
    /// Standard error.
    Stderr,
    /// A file, appended to; created with mode 0640.
    File(PathBuf),
}

/// Why a sink cannot be written to.
#[derive(Debug, thiserror::Error)]
#[error("audit sink {sink}: {error}")]
pub struct SinkError {
    /// Which.
    sink: Sink,
    /// Why not.
    #[source]
    error: io::Error,
}

impl fmt::Display for Sink {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Stdout => f.write_str("stdout"),
            Self::Stderr => f.write_str("stderr"),
            Self::File(path) => write!(f, "{}", path.display()),
        }
    }
}

impl Sink {
    /// Whether it can be opened: a wrong path is told at the start.
    ///
    /// # Errors
    /// It cannot.
    pub fn check(&self) -> Result<(), SinkError> {
        let sink = self.clone();
        self.open()
            .map(drop)
            .map_err(|error| SinkError { sink, error })
    }

    pub(super) fn open(&self) -> io::Result<Box<dyn Write + Send>> {
        Ok(match self {
            Self::Stdout => Box::new(io::stdout()),
            Self::Stderr => Box::new(io::stderr()),
            Self::File(path) => {
                let mut options = OpenOptions::new();
                options.append(true).create(true).mode(0o640);
                // A link planted in a shared directory must not choose the file.
                options.custom_flags(rustix::fs::OFlags::NOFOLLOW.bits().cast_signed());
                Box::new(options.open(path)?)
            }
        })
    }
}

/// What the actor is started with.
#[derive(Clone)]
pub struct AuditArgs {
    /// The queue's receiving end.
    pub records: AuditRecords,
    /// Where records go; each is written to every sink.
    pub sinks: Vec<Sink>,
    /// Counters.
    pub metrics: Arc<Metrics>,
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
    finish: watch::Sender<bool>,
    pings: Pings,
}

/// Time for what still waits when the agent stops; a sink that is stuck must not hold it up.
const FINISH_WITHIN: Duration = Duration::from_secs(1);

/// Records written at once: one system call for a burst.
const BATCH_RECORDS: usize = 256;

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
        let (pings, passed) = Pings::new();
        let task = AbortOnDropHandle::new(tokio::spawn(async move {
            let pumping = tokio::spawn(attentive(passed, pump(args, finishing)));
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
            finish,
            pings,
        })
    }

    /// Every decision has its record, unless a sink is stuck.
    async fn post_stop(
        &self,
        _myself: ActorRef<AuditMessage>,
        state: &mut Self::State,
    ) -> Result<(), ActorProcessingErr> {
        state.finish.send_replace(true);
        let _ = tokio::time::timeout(FINISH_WITHIN, &mut state.task).await;
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

/// Moves records from the queue to the sinks until it is told to finish.
async fn pump(args: AuditArgs, mut finishing: watch::Receiver<bool>) -> io::Result<()> {
    // Held for as long as this actor lives; a successor waits here until it is gone.
    let mut records = args.records.lock().await;
    let mut outlets: Vec<Outlet> = args.sinks.into_iter().map(Outlet::new).collect();
    let mut batch = Vec::new();
    loop {
        batch.clear();
        let taken = take(&mut records, &mut finishing, &mut batch).await;
        if taken == 0 {
            return Ok(());
        }
        let lines = std::mem::take(&mut batch);
        let written = tokio::task::spawn_blocking(move || {
            // Every sink has its turn, whatever became of the one before.
            let lost = outlets
                .iter_mut()
                .filter_map(|outlet| outlet.write(&lines).err())
                .count();
            (lost, outlets, lines)
        });
        let (lost, back, lines) = written.await.map_err(io::Error::other)?;
        (outlets, batch) = (back, lines);
        for _ in 0..lost.saturating_mul(taken) {
            count(&args.metrics.audit_dropped);
        }
    }
}

/// Waits for records, until told to finish and none is left; gives how many.
async fn take(
    records: &mut mpsc::Receiver<Vec<u8>>,
    finishing: &mut watch::Receiver<bool>,
    batch: &mut Vec<u8>,
) -> usize {
    let first = tokio::select! {
        biased;
        first = records.recv() => first,
        _ = finishing.wait_for(|finish| *finish) => records.try_recv().ok(),
    };
    let Some(first) = first else {
        return 0;
    };
    batch.extend_from_slice(&first);
    let mut taken = 1;
    while taken < BATCH_RECORDS
        && let Ok(line) = records.try_recv()
    {
        batch.extend_from_slice(&line);
        taken += 1;
    }
    taken
}
