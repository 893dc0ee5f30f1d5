//! Watches the Workload API's X.509 bundles: one stream, renewed before it is given up.
//!
//! The [`plan`] says when to try and whom to believe; the actor carries it out. What it learns goes
//! to the [`TrustStore`] at once, so a watcher that dies takes nothing with it: its successor begins
//! with an attempt, and the world stays as it was meanwhile.
//!
//! The stub is generated from our own copy of the protocol. The ready-made client loses the whole
//! update to one bad bundle, folds and cuts the keys, and takes 4 MiB at most.

pub mod ask;
mod attempt;
mod complaints;
mod look;
pub mod loss;
mod observed;
pub mod obstacle;
pub mod plan;

use std::collections::HashMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use config::Timings;
use proto::workload::X509BundlesResponse;
use ractor::{Actor, ActorProcessingErr, ActorRef};
use tokio::sync::{oneshot, watch};
use tokio::time::Instant;
use tokio_util::task::AbortOnDropHandle;

pub use attempt::MESSAGE_MAX_BYTES;

use crate::clock::Clock;
use crate::supervision::{Ping, TaskPanicked, spawn_watched};
use crate::trust::{TrustStore, Why};
use crate::unhurried::unhurried;
use complaints::{Complaints, Loudness};
use loss::End;
use plan::{Action, AttemptId, Event, Pace, Plan, Reading, Sighting};

/// Watches one Workload API.
pub struct BundleWatcher;

/// What a watcher is started with.
#[derive(Clone)]
pub struct WatcherArgs {
    /// The Workload API's socket.
    pub socket: PathBuf,
    /// Where the bundles go.
    pub trust: Arc<TrustStore>,
    /// The times in force, followed as they change.
    pub timings: watch::Receiver<Timings>,
    /// Tells whether the machine has slept.
    pub clock: Clock,
}

/// What reaches a watcher; only its own tasks send.
#[derive(Debug)]
pub enum WatcherMsg {
    /// Time for the next step.
    Wake,
    /// A message of an attempt or the stream.
    Received {
        /// Whose.
        id: AttemptId,
        /// The message.
        message: X509BundlesResponse,
        /// Dropped once it is taken: then the next may come.
        done: oneshot::Sender<()>,
    },
    /// An attempt or the stream ended.
    Ended {
        /// Which.
        id: AttemptId,
        /// How.
        end: Result<End, TaskPanicked>,
    },
    /// Somebody looked around.
    Sighted {
        /// What there was to see.
        sighting: Sighting,
        /// Answered once it is taken.
        done: oneshot::Sender<()>,
    },
    /// Other times are in force.
    Paced {
        /// Those.
        pace: Pace,
        /// Answered once they are taken.
        done: oneshot::Sender<()>,
    },
    /// A helper of the watcher ended.
    HelperEnded(Result<(), TaskPanicked>),
    /// The supervisor asks.
    Ping(Ping),
}

impl From<Ping> for WatcherMsg {
    fn from(ping: Ping) -> Self {
        Self::Ping(ping)
    }
}

/// A watcher's state; its tasks end with it.
pub struct Watching {
    args: WatcherArgs,
    plan: Plan,
    /// The plan's clock: it neither jumps nor runs while the machine sleeps.
    started: Instant,
    open: HashMap<AttemptId, AbortOnDropHandle<()>>,
    alarm: Option<AbortOnDropHandle<()>>,
    complaints: Complaints,
    revocation: RevocationNote,
    _helpers: [AbortOnDropHandle<()>; 2],
}

/// Whether it was said that revocation lists are ignored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum RevocationNote {
    Unsaid,
    Said,
}

impl Actor for BundleWatcher {
    type Msg = WatcherMsg;
    type State = Watching;
    type Arguments = WatcherArgs;

    async fn pre_start(
        &self,
        myself: ActorRef<WatcherMsg>,
        mut args: WatcherArgs,
    ) -> Result<Watching, ActorProcessingErr> {
        let pace = Pace::from(&*args.timings.borrow_and_update());
        let blame = args.trust.load().state().blame();
        let looks = look::around(args.socket.clone(), args.clock.clone(), myself.clone());
        let times = look::at_timings(args.timings.clone(), myself.clone());
        let mut state = Watching {
            plan: Plan::new(pace, blame, args.clock.suspended_ms(), 0),
            started: Instant::now(),
            open: HashMap::new(),
            alarm: None,
            complaints: Complaints::default(),
            revocation: RevocationNote::Unsaid,
            _helpers: [
                spawn_watched(&myself, looks, WatcherMsg::HelperEnded),
                spawn_watched(&myself, times, WatcherMsg::HelperEnded),
            ],
            args,
        };
        // The first attempt starts before the start is over: every millisecond counts.
        state.step(Event::Tick, None, &myself);
        Ok(state)
    }

    async fn handle(
        &self,
        myself: ActorRef<WatcherMsg>,
        message: WatcherMsg,
        state: &mut Watching,
    ) -> Result<(), ActorProcessingErr> {
        match message {
            WatcherMsg::Wake => state.step(Event::Tick, None, &myself),
            WatcherMsg::Received { id, message, done } => {
                state.receive(id, &message, &myself);
                drop(done);
            }
            WatcherMsg::Ended { id, end } => state.ended(id, end, &myself),
            WatcherMsg::Sighted { sighting, done } => {
                state.step(Event::Sighted(sighting), None, &myself);
                // Whoever looked may be gone.
                let _ = done.send(());
            }
            WatcherMsg::Paced { pace, done } => {
                state.step(Event::Paced(pace), None, &myself);
                let _ = done.send(());
            }
            // Timings that nobody can change any more are no failure.
            WatcherMsg::HelperEnded(end) => end?,
            WatcherMsg::Ping(ping) => ping.answer().await,
        }
        Ok(())
    }
}

impl Watching {
    fn receive(
        &mut self,
        id: AttemptId,
        message: &X509BundlesResponse,
        myself: &ActorRef<WatcherMsg>,
    ) {
        // What a dropped attempt says may be older than what we know.
        if !self.plan.knows(id) {
            return;
        }
        self.note_revocation(message);
        let taken = self.take(message);
        let reading = match taken {
            Ok(()) => Reading::Full,
            Err(_) => Reading::Unreadable,
        };
        if reading == Reading::Full {
            let failures = self.complaints.recovered();
            if failures > 0 {
                tracing::info!(failures, "the Workload API delivers bundles again");
            }
        }
        self.step(Event::Message(id, reading), taken.err().as_ref(), myself);
    }

    /// A panic over a message is the end of that message alone: no sequence of messages uses up a
    /// restart budget.
    fn take(&self, message: &X509BundlesResponse) -> Result<(), End> {
        let bundles = || {
            message
                .bundles
                .iter()
                .map(|(key, der)| (key.as_str(), der.as_slice()))
        };
        let update = || self.args.trust.update(bundles());
        let size = message.bundles.values().map(Vec::len).sum();
        // The store replaces its world whole, so a panic leaves nothing half-done behind.
        match catch_unwind(AssertUnwindSafe(|| unhurried(size, update))) {
            Ok(Ok(_report)) => Ok(()),
            Ok(Err(discarded)) => Err(End::discarded(&discarded)),
            Err(_panic) => {
                tracing::error!("reading an update panicked, it is discarded: this is a bug");
                Err(End::panicked())
            }
        }
    }

    fn note_revocation(&mut self, message: &X509BundlesResponse) {
        if !message.crl.is_empty() && self.revocation == RevocationNote::Unsaid {
            self.revocation = RevocationNote::Said;
            let lists = message.crl.len();
            tracing::info!(
                lists,
                "the Workload API sends revocation lists, they are ignored"
            );
        }
    }

    fn ended(
        &mut self,
        id: AttemptId,
        end: Result<End, TaskPanicked>,
        myself: &ActorRef<WatcherMsg>,
    ) {
        self.open.remove(&id);
        let end = end.unwrap_or_else(|panicked| {
            tracing::error!(%panicked, "an attempt panicked: this is a bug");
            End::ours(&panicked)
        });
        self.step(Event::Ended(id, end.loss), Some(&end), myself);
    }

    /// `ended` is how the attempt ended that the event is about, or why its message was discarded.
    fn step(&mut self, event: Event, ended: Option<&End>, myself: &ActorRef<WatcherMsg>) {
        let now_ms = self.now_ms();
        for action in self.plan.step(event, now_ms, rand::random()) {
            match action {
                Action::Open(id) => self.begin(id, myself),
                Action::Drop(id) => drop(self.open.remove(&id)),
                Action::Report(loss) => self.report(&End::reported(loss, ended)),
            }
        }
        self.set_alarm(now_ms, myself);
    }

    fn begin(&mut self, id: AttemptId, myself: &ActorRef<WatcherMsg>) {
        let attempt = attempt::run(self.args.socket.clone(), id, myself.clone());
        let handle = spawn_watched(myself, attempt, move |end| WatcherMsg::Ended { id, end });
        self.open.insert(id, handle);
    }

    fn report(&mut self, end: &End) {
        let (cause, failures) = (end.loss.as_str(), self.plan.failures());
        let (error, detail) = (end.obstacle.what(), end.detail.as_str());
        let remedy = end.obstacle.remedy();
        let socket = self.args.socket.display();
        match self.complaints.failed(end.loss) {
            Loudness::Loud => {
                tracing::warn!(cause, error, detail, remedy, failures, %socket, "no bundles from the Workload API");
            }
            Loudness::LastLoud => {
                tracing::warn!(cause, error, detail, remedy, failures, %socket, "no bundles from the Workload API; more of the same is logged at debug");
            }
            Loudness::Quiet => {
                tracing::debug!(cause, error, detail, failures, %socket, "no bundles from the Workload API");
            }
        }
        let error = end.words();
        self.args.trust.lost_for(end.loss, Why { error, remedy });
    }

    fn set_alarm(&mut self, now_ms: u64, myself: &ActorRef<WatcherMsg>) {
        let wait_ms = self
            .plan
            .wake_at_ms()
            .map(|at_ms| at_ms.saturating_sub(now_ms));
        self.alarm = wait_ms.map(|wait_ms| {
            let owner = myself.clone();
            AbortOnDropHandle::new(tokio::spawn(async move {
                tokio::time::sleep(Duration::from_millis(wait_ms)).await;
                // An owner that is gone needs no waking.
                let _ = owner.send_message(WatcherMsg::Wake);
            }))
        });
    }

    fn now_ms(&self) -> u64 {
        u64::try_from(self.started.elapsed().as_millis()).unwrap_or(u64::MAX)
    }
}
