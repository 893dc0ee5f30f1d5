//! The snapshot on disk, so that a restart during an outage finds what was known, and its age.
//!
//! The actor is level-triggered: whatever happened, and however often, it writes what is true now.
//! One write is under way at a time; what changes meanwhile is seen when it ends. So a crash, of the
//! actor or the process, loses nothing that the next look at the world does not bring back.

mod content;
mod error;
mod faults;
mod image;
mod keeping;
mod load;
mod refusal;
mod remedies;
mod shelf;
mod truth;

#[cfg(test)]
mod tests;

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use ractor::{Actor, ActorProcessingErr, ActorRef};
use tokio::sync::oneshot;
use tokio_util::task::AbortOnDropHandle;

use crate::clock::Clock;
use crate::supervision::{Ping, TaskPanicked, spawn_watched};
use crate::trust::TrustStore;
use error::WriteError;
use faults::NoFaults;
pub use image::{Image, image, load_image};
pub use keeping::{Holds, Keeping, Missing, Unkept};
pub use load::{Loaded, load, look};
pub use remedies::of_directory;
pub use shelf::Mark;
use shelf::Shelf;
use truth::{Truth, Writer};

/// Wait after a write before the next one, so that a flood of updates does not wear out the disk.
const PAUSE_MS: u64 = 100;

/// Longest wait after a failed write: a disk that has room again is used again within this time.
const RETRY_MAX_MS: u64 = 30_000;

/// Failed writes in a row that are worth a warning.
const LOUD_MAX: u32 = 3;

/// From then on every so many failed writes are worth an error, if a refusal is not on disk: at
/// [`RETRY_MAX_MS`] each, one in ten minutes.
const GRAVE_EVERY: u32 = 20;

/// A write that goes on for longer is told of, as one that failed.
const SLOW_AFTER: Duration = Duration::from_secs(5);

/// How long an orderly stop waits for the disk: a third of what the agent gives its whole tree.
const FLUSH_WITHIN: Duration = Duration::from_secs(2);

/// Wait before the lock is tried again while another write ends, during an orderly stop.
const BUSY_WAIT: Duration = Duration::from_millis(10);

/// Keeps the disk as the world is.
pub struct CacheActor;

/// What the cache is started with.
#[derive(Clone)]
pub struct CacheArgs {
    /// The state directory; made if only its last step is missing.
    pub dir: PathBuf,
    /// The socket that the bundles come from: the file is bound to it.
    pub socket: PathBuf,
    /// What is true.
    pub trust: Arc<TrustStore>,
    /// The time, and the boot it counts from.
    pub clock: Clock,
    /// Where it is told how the disk fares.
    pub keeping: Keeping,
}

/// What reaches the cache; only its own tasks send.
#[derive(Debug)]
pub enum CacheMsg {
    /// The world has changed.
    Changed {
        /// Answered once it is taken: then the next may come.
        done: oneshot::Sender<()>,
    },
    /// A write ended; what it came to is the cache's own business.
    Written(WriteEnd),
    /// A write does not come to an end.
    Slow,
    /// A wait is over.
    Due,
    /// The task that follows the world ended.
    HelperEnded(Result<(), TaskPanicked>),
    /// The supervisor asks.
    Ping(Ping),
}

impl From<Ping> for CacheMsg {
    fn from(ping: Ping) -> Self {
        Self::Ping(ping)
    }
}

/// How a write ended.
#[derive(Debug)]
pub struct WriteEnd(Result<Truth, WriteError>);

/// The cache's state.
pub struct Caching {
    writer: Arc<Writer>,
    /// What the disk says; `None`: nobody has looked yet.
    on_disk: Option<Truth>,
    work: Work,
    failures: u32,
    keeping: Keeping,
    _helper: AbortOnDropHandle<()>,
}

/// What is under way.
enum Work {
    /// Nothing: a change is written at once.
    Idle,
    /// A write.
    Writing { _task: AbortOnDropHandle<()> },
    /// A pause after a write, or after one that failed.
    Waiting { _task: AbortOnDropHandle<()> },
}

impl Actor for CacheActor {
    type Msg = CacheMsg;
    type State = Caching;
    type Arguments = CacheArgs;

    async fn pre_start(
        &self,
        myself: ActorRef<CacheMsg>,
        args: CacheArgs,
    ) -> Result<Caching, ActorProcessingErr> {
        let follow = follow(Arc::clone(&args.trust), myself.clone());
        let mut state = Caching {
            writer: Arc::new(Writer {
                shelf: Shelf::new(args.dir, Box::new(NoFaults)),
                socket: args.socket,
                trust: args.trust,
                clock: args.clock,
            }),
            on_disk: None,
            work: Work::Idle,
            failures: 0,
            keeping: args.keeping,
            _helper: spawn_watched(&myself, follow, CacheMsg::HelperEnded),
        };
        // A predecessor may have died before it wrote.
        state.look(&myself);
        Ok(state)
    }

    async fn handle(
        &self,
        myself: ActorRef<CacheMsg>,
        message: CacheMsg,
        state: &mut Caching,
    ) -> Result<(), ActorProcessingErr> {
        match message {
            CacheMsg::Changed { done } => {
                state.look(&myself);
                // Whoever follows the world may be gone.
                let _ = done.send(());
            }
            CacheMsg::Written(WriteEnd(end)) => state.written(end, &myself),
            CacheMsg::Slow => state.slow(),
            CacheMsg::Due => {
                state.work = Work::Idle;
                state.look(&myself);
            }
            CacheMsg::HelperEnded(end) => end?,
            CacheMsg::Ping(ping) => ping.answer().await,
        }
        Ok(())
    }

    async fn post_stop(
        &self,
        _myself: ActorRef<CacheMsg>,
        state: &mut Caching,
    ) -> Result<(), ActorProcessingErr> {
        if tokio::time::timeout(FLUSH_WITHIN, state.flush())
            .await
            .is_err()
        {
            tracing::warn!("the disk takes too long, the last bundles may not be on it");
        }
        Ok(())
    }
}

/// Tells the owner of every change. It has seen one before it is told of the next.
async fn follow(trust: Arc<TrustStore>, owner: ActorRef<CacheMsg>) {
    let mut changes = trust.subscribe();
    // What changed before is seen by the owner's first look; from here on nothing is missed.
    changes.mark_changed();
    while changes.changed().await.is_ok() {
        let (done, taken) = oneshot::channel();
        let told = owner.send_message(CacheMsg::Changed { done });
        if told.is_err() || taken.await.is_err() {
            return;
        }
    }
}

impl Caching {
    /// Writes if the disk is not as the world is, and it is time to.
    fn look(&mut self, myself: &ActorRef<CacheMsg>) {
        let truth = self.writer.truth();
        let up_to_date = self.is_up_to_date(&truth);
        match (&self.work, &truth) {
            (Work::Writing { .. }, _)
            | (Work::Waiting { .. }, Truth::Material(..) | Truth::Unknown(_)) => {}
            // A withdrawal waits for nobody.
            (Work::Idle, _) | (Work::Waiting { .. }, Truth::Tombstone) => {
                if !up_to_date {
                    self.begin(myself);
                }
            }
        }
    }

    fn begin(&mut self, myself: &ActorRef<CacheMsg>) {
        let write = write(Arc::clone(&self.writer), self.on_disk.clone());
        let owner = myself.clone();
        let write = told_if_slow(write, move || {
            // An owner that is gone has nobody to tell.
            let _ = owner.send_message(CacheMsg::Slow);
        });
        let written = |end: Result<_, TaskPanicked>| {
            let end =
                end.unwrap_or_else(|panicked| Err(WriteError::Panicked(panicked.to_string())));
            CacheMsg::Written(WriteEnd(end))
        };
        self.work = Work::Writing {
            _task: spawn_watched(myself, write, written),
        };
    }

    /// The disk may hang for ever: that is told while it does.
    fn slow(&mut self) {
        if matches!(self.work, Work::Writing { .. }) {
            self.complain(&WriteError::Slow);
        }
    }

    fn is_up_to_date(&self, truth: &Truth) -> bool {
        self.on_disk.as_ref().is_some_and(|disk| disk.is(truth))
    }

    fn written(&mut self, end: Result<Truth, WriteError>, myself: &ActorRef<CacheMsg>) {
        let wait_ms = match end {
            Ok(truth) => {
                if self.failures > 0 {
                    tracing::info!(
                        failures = self.failures,
                        "the disk can be written again, and is up to date"
                    );
                }
                self.failures = 0;
                self.keeping.succeeded(truth.holds());
                self.on_disk = Some(truth);
                PAUSE_MS
            }
            Err(error) => {
                self.complain(&error);
                backoff_ms(self.failures)
            }
        };
        self.work = Work::Waiting {
            _task: later(wait_ms, myself),
        };
        self.look_at_a_withdrawal(myself);
    }

    /// A withdrawal that came during a write is written at once, unless it is what just failed.
    fn look_at_a_withdrawal(&mut self, myself: &ActorRef<CacheMsg>) {
        if self.failures == 0 {
            self.look(myself);
        }
    }

    fn complain(&mut self, error: &WriteError) {
        self.failures = self.failures.saturating_add(1);
        let missing = match self.writer.truth().is_grave() {
            true => Missing::Refusal,
            false => Missing::Bundles,
        };
        self.keeping
            .failed(&self.writer.shelf.dir, missing, self.failures, error);
        match missing {
            Missing::Refusal => self.complain_of_a_refusal(error),
            Missing::Bundles => self.complain_of_bundles(error),
        }
    }

    fn complain_of_bundles(&self, error: &WriteError) {
        let (failures, remedy) = (self.failures, error.remedy());
        let dir = self.writer.shelf.dir.display();
        match failures.cmp(&LOUD_MAX) {
            std::cmp::Ordering::Less => {
                tracing::warn!(%dir, %error, remedy, failures, "bundles cannot be written to disk");
            }
            std::cmp::Ordering::Equal => {
                tracing::warn!(%dir, %error, remedy, failures, "bundles cannot be written to disk; more of the same is logged at debug");
            }
            std::cmp::Ordering::Greater => {
                tracing::debug!(%dir, %error, remedy, failures, "bundles cannot be written to disk");
            }
        }
    }

    /// Never silent for long: a process that starts now may trust whom SPIRE trusts no more.
    fn complain_of_a_refusal(&self, error: &WriteError) {
        let (failures, remedy) = (self.failures, error.remedy());
        let dir = self.writer.shelf.dir.display();
        if is_told(failures) {
            tracing::error!(%dir, %error, remedy, failures, "SPIRE refuses this agent, and the disk cannot be told: do not restart it before it is, or remove its state-dir first");
        } else {
            tracing::debug!(%dir, %error, remedy, failures, "SPIRE refuses this agent, and the disk cannot be told");
        }
    }

    /// The last word before an orderly end.
    async fn flush(&mut self) {
        while !self.is_up_to_date(&self.writer.truth()) {
            match write(Arc::clone(&self.writer), self.on_disk.clone()).await {
                Ok(truth) => self.on_disk = Some(truth),
                // Our own write that is under way.
                Err(WriteError::Busy) => tokio::time::sleep(BUSY_WAIT).await,
                Err(error) => {
                    self.complain(&error);
                    return;
                }
            }
        }
    }
}

/// Writes in a thread that may block. Dropping this does not end it: see [`Shelf::lock`].
async fn write(writer: Arc<Writer>, known: Option<Truth>) -> Result<Truth, WriteError> {
    let written = tokio::task::spawn_blocking(move || writer.write(known.as_ref())).await;
    written.unwrap_or_else(|error| Err(WriteError::Panicked(error.to_string())))
}

/// The same, and `tell` is called if it takes long.
async fn told_if_slow<T>(write: impl Future<Output = T>, tell: impl FnOnce()) -> T {
    let mut write = std::pin::pin!(write);
    match tokio::time::timeout(SLOW_AFTER, write.as_mut()).await {
        Ok(end) => end,
        Err(_) => {
            tell();
            write.await
        }
    }
}

/// Whether this failure to note a refusal is one that the log tells.
const fn is_told(failures: u32) -> bool {
    failures <= LOUD_MAX || failures.is_multiple_of(GRAVE_EVERY)
}

/// 100 ms, doubled by each failure in a row, up to [`RETRY_MAX_MS`].
fn backoff_ms(failures: u32) -> u64 {
    let factor = 1_u64
        .checked_shl(failures.saturating_sub(1))
        .unwrap_or(u64::MAX);
    PAUSE_MS.saturating_mul(factor).min(RETRY_MAX_MS)
}

fn later(wait_ms: u64, myself: &ActorRef<CacheMsg>) -> AbortOnDropHandle<()> {
    let owner = myself.clone();
    AbortOnDropHandle::new(tokio::spawn(async move {
        tokio::time::sleep(Duration::from_millis(wait_ms)).await;
        // An owner that is gone needs no waking.
        let _ = owner.send_message(CacheMsg::Due);
    }))
}
