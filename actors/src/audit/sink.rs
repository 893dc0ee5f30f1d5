//! The audit actor: takes records from the queue and writes them to its sink.
//!
//! A sink may block for ever (a full pipe, a dead disk): the writing is done on a thread that is not
//! an async worker, and only the queue fills meanwhile.

use std::fs::OpenOptions;
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::PathBuf;
use std::sync::Arc;

use ractor::{Actor, ActorProcessingErr, ActorRef};
use tokio::sync::mpsc;
use tokio_util::task::AbortOnDropHandle;

use super::AuditRecords;
use crate::metrics::{Metrics, count};

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

impl Sink {
    fn open(&self) -> io::Result<Box<dyn Write + Send>> {
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
}

/// Records written at once: one system call for a burst.
const BATCH_RECORDS: usize = 256;

impl Actor for AuditActor {
    type Msg = AuditMessage;
    type State = AbortOnDropHandle<()>;
    type Arguments = AuditArgs;

    async fn pre_start(
        &self,
        myself: ActorRef<AuditMessage>,
        args: AuditArgs,
    ) -> Result<Self::State, ActorProcessingErr> {
        let sinks = args
            .sinks
            .iter()
            .map(Sink::open)
            .collect::<io::Result<Vec<_>>>()?;
        Ok(AbortOnDropHandle::new(tokio::spawn(async move {
            let pumping = tokio::spawn(pump(args, sinks));
            let pumping = AbortOnDropHandle::new(pumping);
            let ended = match pumping.await {
                Ok(Ok(())) => return,
                Ok(Err(error)) => error.to_string(),
                Err(join) => join.to_string(),
            };
            // The actor being gone is an answer too: then its supervisor knows already.
            let _ = myself.cast(AuditMessage::Ended(ended));
        })))
    }

    async fn handle(
        &self,
        _myself: ActorRef<AuditMessage>,
        message: AuditMessage,
        _state: &mut Self::State,
    ) -> Result<(), ActorProcessingErr> {
        let AuditMessage::Ended(why) = message;
        Err(why.into())
    }
}

/// Moves records from the queue to the sink until the queue is closed.
async fn pump(args: AuditArgs, sinks: Vec<Box<dyn Write + Send>>) -> io::Result<()> {
    // Held for as long as this actor lives; a successor waits here until it is gone.
    let mut records = args.records.lock().await;
    let mut sinks = sinks;
    let mut batch = Vec::new();
    loop {
        batch.clear();
        let taken = take(&mut records, &mut batch).await;
        if taken == 0 {
            return Ok(());
        }
        let lines = std::mem::take(&mut batch);
        let written = tokio::task::spawn_blocking(move || {
            let result = sinks
                .iter_mut()
                .try_for_each(|sink| sink.write_all(&lines).and_then(|()| sink.flush()));
            (result, sinks, lines)
        });
        let (result, back, lines) = written.await.map_err(io::Error::other)?;
        (sinks, batch) = (back, lines);
        if let Err(error) = result {
            for _ in 0..taken {
                count(&args.metrics.audit_dropped);
            }
            return Err(error);
        }
    }
}

async fn take(records: &mut mpsc::Receiver<Vec<u8>>, batch: &mut Vec<u8>) -> usize {
    let Some(first) = records.recv().await else {
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
