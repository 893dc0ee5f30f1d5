//! The snapshot on disk, so that a restart during an outage finds what was known, and its age.
//!
//! The actor is level-triggered: whatever happened, and however often, it writes what is true now.
//! One write is under way at a time; what changes meanwhile is seen when it ends. So a crash, of the
//! actor or the process, loses nothing that the next look at the world does not bring back.

mod content;
mod image;
mod remedies;
mod shelf;
mod truth;

#[cfg(test)]
mod tests;

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use ractor::{Actor, ActorProcessingErr, ActorRef};
use tokio::sync::oneshot;
use tokio_util::task::AbortOnDropHandle;
use verdict::availability::Found;
use verdict::time::Age;
use verdict::trust::Snapshot;

use crate::clock::Clock;
use crate::supervision::{Ping, TaskPanicked, spawn_watched};
use crate::trust::TrustStore;
use crate::words::span;
use content::{Content, Record, SameBoot};
pub use image::{Image, image, load_image};
pub use shelf::Mark;
use shelf::{NoFaults, ReadError, Shelf, Unusable, WriteError};
use truth::{Look, Truth, Writer};

/// Wait after a write before the next one, so that a flood of updates does not wear out the disk.
const PAUSE_MS: u64 = 100;

/// Longest wait after a failed write: a disk that has room again is used again within this time.
const RETRY_MAX_MS: u64 = 30_000;

/// Failed writes in a row that are worth a warning.
const LOUD_MAX: u32 = 3;

/// How long an orderly stop waits for the disk: a third of what the agent gives its whole tree.
const FLUSH_WITHIN: Duration = Duration::from_secs(2);

/// Wait before the lock is tried again while another write ends, during an orderly stop.
const BUSY_WAIT: Duration = Duration::from_millis(10);

/// What lay on disk when the process started.
#[derive(Debug)]
pub struct Loaded {
    /// For the availability machine.
    pub found: Found,
    /// The material, empty if there is none.
    pub snapshot: Snapshot,
}

impl Loaded {
    fn nothing() -> Self {
        Self {
            found: Found::Nothing,
            snapshot: Snapshot::default(),
        }
    }
}

/// Reads what an earlier process left in `dir` about `socket`. What cannot be used is set aside and
/// logged; a good file of another socket is left alone. Nothing here is fatal. Blocks: for the start
/// of the process.
#[must_use]
pub fn load(dir: &Path, socket: &Path, clock: &Clock) -> Loaded {
    let shelf = Shelf::new(dir.to_owned(), Box::new(NoFaults));
    let read = shelf.read(socket);
    if let Err(ReadError::Unusable(why)) = &read {
        set_aside(&shelf, why);
    }
    let content = match read {
        Ok(content) => Some(content),
        Err(ReadError::Missing | ReadError::Unusable(_)) => None,
        // Nothing in the directory is about our socket, nor is the mark.
        Err(why @ ReadError::OtherSocket(_)) => {
            tracing::warn!(
                %why,
                ours = %socket.display(),
                "bundles on disk are not used, the file stays until SPIRE has answered on ours"
            );
            return Loaded::nothing();
        }
        Err(why @ (ReadError::Directory(_) | ReadError::System(_))) => {
            tracing::error!(%why, dir = %dir.display(), "bundles on disk are not used");
            None
        }
    };
    conclude(content, shelf.mark(), clock)
}

/// Whatever became of the content: the mark alone is a tombstone.
fn conclude(content: Option<Content>, mark: Mark, clock: &Clock) -> Loaded {
    match (mark, content) {
        (Mark::Withdrawn, _) => withdrawn(),
        (Mark::None, Some(content)) => restore(content, clock),
        (Mark::None, None) => Loaded::nothing(),
    }
}

fn set_aside(shelf: &Shelf, why: &Unusable) {
    match shelf.set_aside() {
        Ok(name) => {
            tracing::warn!(%why, aside = %name.display(), "bundles on disk are not used, the file is set aside");
        }
        Err(error) => {
            tracing::warn!(%why, %error, "bundles on disk are not used, nor can they be set aside");
        }
    }
}

fn withdrawn() -> Loaded {
    tracing::warn!(
        "SPIRE had refused this agent when it last ran: nothing is concluded until it delivers"
    );
    Loaded {
        found: Found::Tombstone,
        snapshot: Snapshot::default(),
    }
}

/// What a start would find there, and why it would find nothing. Touches nothing; blocks.
#[must_use]
pub fn look(dir: &Path, socket: &Path, clock: &Clock) -> (Loaded, Option<String>) {
    let shelf = Shelf::new(dir.to_owned(), Box::new(NoFaults));
    match shelf.read(socket) {
        Ok(content) => (restore(content, clock), None),
        Err(why) => (Loaded::nothing(), Some(why.to_string())),
    }
}

fn restore(content: Content, clock: &Clock) -> Loaded {
    let (contact, bundles) = match content.record {
        Record::Tombstone => return withdrawn(),
        Record::Material { contact, bundles } => (contact, bundles),
    };
    let same_boot = SameBoot::of(content.boot_id.as_deref(), clock.boot_id());
    let (snapshot, contact, left_out) = Content::restore(contact, &bundles, same_boot);
    for unreadable in left_out {
        tracing::warn!(%unreadable, "bundle on disk cannot be read, it is left out");
    }
    if snapshot.is_empty() {
        return Loaded::nothing();
    }
    let age = match contact.age(clock.now()) {
        Age::Ms(age_ms) => span(age_ms),
        Age::InTheFuture => "in the future".to_owned(),
    };
    tracing::info!(domains = snapshot.len(), age, "bundles restored from disk");
    Loaded {
        found: Found::Material(contact),
        snapshot,
    }
}

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
            | (Work::Waiting { .. }, Truth::Material(_) | Truth::Unknown) => {}
            // A withdrawal waits for nobody.
            (Work::Idle, _) | (Work::Waiting { .. }, Truth::Tombstone) => {
                if !up_to_date {
                    self.begin(myself);
                }
            }
        }
    }

    fn begin(&mut self, myself: &ActorRef<CacheMsg>) {
        let write = write(Arc::clone(&self.writer), self.first_look());
        let written = |end: Result<_, TaskPanicked>| {
            let end =
                end.unwrap_or_else(|panicked| Err(WriteError::Panicked(panicked.to_string())));
            CacheMsg::Written(WriteEnd(end))
        };
        self.work = Work::Writing {
            _task: spawn_watched(myself, write, written),
        };
    }

    fn is_up_to_date(&self, truth: &Truth) -> bool {
        self.on_disk.as_ref().is_some_and(|disk| disk.is(truth))
    }

    fn first_look(&self) -> Look {
        match self.on_disk {
            None => Look::First,
            Some(_) => Look::Not,
        }
    }

    fn written(&mut self, end: Result<Truth, WriteError>, myself: &ActorRef<CacheMsg>) {
        let wait_ms = match end {
            Ok(truth) => {
                if self.failures > 0 {
                    tracing::info!(
                        failures = self.failures,
                        "bundles are written to disk again"
                    );
                }
                self.failures = 0;
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

    /// The last word before an orderly end.
    async fn flush(&mut self) {
        while !self.is_up_to_date(&self.writer.truth()) {
            match write(Arc::clone(&self.writer), self.first_look()).await {
                Ok(truth) => self.on_disk = Some(truth),
                // Our own write that is under way.
                Err(WriteError::Busy) => tokio::time::sleep(BUSY_WAIT).await,
                Err(error) => {
                    let (dir, remedy) = (self.writer.shelf.dir.display(), error.remedy());
                    tracing::warn!(%dir, %error, remedy, "the last bundles cannot be written to disk");
                    return;
                }
            }
        }
    }
}

/// Writes in a thread that may block. Dropping this does not end it: see [`Shelf::lock`].
async fn write(writer: Arc<Writer>, look: Look) -> Result<Truth, WriteError> {
    let written = tokio::task::spawn_blocking(move || writer.write(look)).await;
    written.unwrap_or_else(|error| Err(WriteError::Panicked(error.to_string())))
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
