//! Health: lets the availability machine's time pass, and says how the agent is.
//!
//! Nothing depends on this actor being alive: deadlines are judged from data when a decision is
//! made. It makes the transitions that time brings be reported when they happen.

mod heartbeat;
mod process;
mod readiness;

use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::Duration;

use ractor::{Actor, ActorProcessingErr, ActorRef};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use verdict::availability::{Phase, Stance};
use verdict::policy::Failure;
use verdict::trust::{Basis, Coverage};

pub use self::heartbeat::{Heartbeat, SILENCE_MAX};
pub use self::process::ProcessHealth;
pub use self::readiness::{Readiness, Seen, Wanting};
use crate::audit::{AuditQueue, Recording};
use crate::cache::Keeping;
use crate::clock::Clock;
use crate::doors::Lost;
use crate::supervision::Ping;
pub use crate::trust::PoliciesInForce;
use crate::trust::TrustStore;

/// How often time is let pass, milliseconds: how late a transition by time is reported at most.
const TICK_MS: u64 = 100;

/// How the agent is, the best first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Health {
    /// `Live`.
    Healthy,
    /// The source is away, and the mode still answers; or nobody of some trust domain can be verified, or
    /// nobody whom a policy allows, or no proxy can connect anew.
    Degraded,
    /// Requests with a credential are refused: by the mode, or as nobody of any trust domain can be
    /// verified; or all for the want of a record (`audit.on-full`). The first two with `enforce #false`, too.
    Unhealthy,
    /// Finishing what is in flight.
    Draining,
}

impl Health {
    /// In one word.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Healthy => "healthy",
            Self::Degraded => "degraded",
            Self::Unhealthy => "unhealthy",
            Self::Draining => "draining",
        }
    }

    /// What it means that nobody of some trust domains, or of any, can be verified.
    #[must_use]
    pub const fn covering(coverage: Coverage, stance: Stance) -> Self {
        match (coverage, stance) {
            (Coverage::Every, _) => Self::Healthy,
            (Coverage::Nobody, Stance::Verify | Stance::Refuse) => Self::Unhealthy,
            // Who cannot be verified may pass.
            (Coverage::Nobody, Stance::OpenMaterial | Stance::Open) | (Coverage::Some, _) => {
                Self::Degraded
            }
        }
    }

    /// What a phase and the stance drawn from it mean.
    #[must_use]
    pub const fn of(phase: Phase, stance: Stance) -> Self {
        match (phase, stance) {
            (_, Stance::Refuse) => Self::Unhealthy,
            (Phase::Live, Stance::Verify | Stance::OpenMaterial | Stance::Open) => Self::Healthy,
            (
                Phase::Starting | Phase::Interrupted | Phase::Outage | Phase::Withdrawn,
                Stance::Verify | Stance::OpenMaterial | Stance::Open,
            ) => Self::Degraded,
        }
    }
}

/// Where health is told and heard; owned above the actor. Health is of the agent *under a policy*:
/// what one mode still answers another refuses, so each connection follows its own policy's.
#[derive(Clone)]
pub struct HealthBoard {
    shared: Arc<Shared>,
}

struct Shared {
    trust: Arc<TrustStore>,
    clock: Clock,
    /// One for each different `failure` block that somebody follows.
    views: Mutex<Vec<View>>,
    /// Where records are handed in: an agent that refuses for the want of one is not healthy.
    audit: AuditQueue,
    /// How long a record may take.
    record_within: Duration,
    draining: CancellationToken,
    process: ProcessHealth,
    /// Whether the agent's socket is lost, where one is watched.
    socket_lost: OnceLock<watch::Receiver<Option<Lost>>>,
    /// Where the cache, if there is one, tells how the disk fares.
    keeping: Keeping,
}

/// Health under one `failure` block.
struct View {
    failure: Failure,
    health: watch::Sender<Health>,
}

impl HealthBoard {
    /// A board for this machine, whose records may take so long.
    #[must_use]
    pub fn new(
        trust: Arc<TrustStore>,
        clock: &Clock,
        audit: &AuditQueue,
        record_within_ms: u64,
    ) -> Self {
        Self {
            shared: Arc::new(Shared {
                trust,
                clock: clock.clone(),
                views: Mutex::new(Vec::new()),
                audit: audit.clone(),
                record_within: Duration::from_millis(record_within_ms),
                draining: CancellationToken::new(),
                process: ProcessHealth::default(),
                socket_lost: OnceLock::new(),
                keeping: Keeping::default(),
            }),
        }
    }

    /// Health under a policy with this `failure` block, and every change of it.
    #[must_use]
    pub fn follow(&self, failure: &Failure) -> watch::Receiver<Health> {
        let mut views = self.views();
        views.retain(|view| view.health.receiver_count() > 0);
        if let Some(view) = views.iter().find(|view| view.failure == *failure) {
            return view.health.subscribe();
        }
        let (sender, receiver) = watch::channel(self.health_now(failure));
        views.push(View {
            failure: *failure,
            health: sender,
        });
        receiver
    }

    /// Looks again: what time or the source has changed is told.
    pub fn look(&self) {
        for view in self.views().iter() {
            let health = self.health_now(&view.failure);
            view.health
                .send_if_modified(|told| std::mem::replace(told, health) != health);
        }
    }

    /// Says where it stands whether the agent's socket is lost. The first to say it holds.
    pub fn stand_at(&self, lost: watch::Receiver<Option<Lost>>) {
        let _ = self.shared.socket_lost.set(lost);
    }

    /// Why no proxy can connect anew, to us. Those connected notice nothing, so it is no affair of theirs.
    #[must_use]
    pub fn socket_lost(&self) -> Option<Lost> {
        let lost = self.shared.socket_lost.get()?;
        lost.borrow().clone()
    }

    /// How the disk fares: no affair of those who ask, until a restart.
    #[must_use]
    pub fn keeping(&self) -> &Keeping {
        &self.shared.keeping
    }

    /// How the process is.
    #[must_use]
    pub fn process(&self) -> &ProcessHealth {
        &self.shared.process
    }

    /// How recording fares.
    #[must_use]
    pub fn recording(&self) -> Recording {
        self.shared.audit.recording(self.shared.record_within)
    }

    /// Judges the process by its policies: it is as well as the worst of them.
    fn see(&self, in_force: Vec<Failure>, strict: bool) {
        let world = self.shared.trust.load();
        let now = self.shared.clock.now();
        let bases = || in_force.iter().map(|failure| world.basis(failure, now));
        let wanting = match self.shared.trust.has_lived() {
            true => None,
            false => wanting(bases()),
        };
        // Who verifies nobody of a trust domain is there to say so: that is no reason to send traffic
        // elsewhere, where the same bundles are.
        let away = bases().any(|basis| Health::of(basis.phase, basis.stance) != Health::Healthy);
        let unrecorded = self.recording().refuses;
        let worst = in_force
            .iter()
            .map(|failure| self.health_now(failure))
            .max();
        self.shared.process.see(Seen {
            // Without a policy: by its default, which refuses.
            health: worst
                .unwrap_or_else(|| self.health_now(&Failure::default()))
                .max(self.reachable())
                .max(self.durable())
                .max(self.fitting()),
            policy: !in_force.is_empty(),
            wanting,
            unrecorded,
            strict: strict && (away || unrecorded),
        });
    }

    /// Draining is final.
    pub fn drain(&self) {
        // First: who sees connections closed must find that none should come.
        self.shared.process.drain();
        self.shared.draining.cancel();
        self.look();
    }

    /// Whether we drain.
    #[must_use]
    pub fn is_draining(&self) -> bool {
        self.shared.draining.is_cancelled()
    }

    /// Waits until we drain.
    pub async fn draining(&self) {
        self.shared.draining.cancelled().await;
    }

    fn reachable(&self) -> Health {
        match self.socket_lost() {
            Some(_) => Health::Degraded,
            None => Health::Healthy,
        }
    }

    fn durable(&self) -> Health {
        match self.keeping().trouble() {
            Some(_) => Health::Degraded,
            None => Health::Healthy,
        }
    }

    /// Another SPIRE's bundles verify somebody, only nobody whom the policy allows.
    fn fitting(&self) -> Health {
        match self.shared.trust.foreign() {
            Some(_) => Health::Degraded,
            None => Health::Healthy,
        }
    }

    fn health_now(&self, failure: &Failure) -> Health {
        if self.is_draining() {
            return Health::Draining;
        }
        if self.recording().refuses {
            return Health::Unhealthy;
        }
        let world = self.shared.trust.load();
        let basis = world.basis(failure, self.shared.clock.now());
        let covering = Health::covering(self.shared.trust.coverage(), basis.stance);
        Health::of(basis.phase, basis.stance).max(covering)
    }

    /// A poisoned lock guards a list that is whole between any two of its steps.
    fn views(&self) -> MutexGuard<'_, Vec<View>> {
        let views = self.shared.views.lock();
        views.unwrap_or_else(PoisonError::into_inner)
    }
}

/// What a source that was never `Live` still owes: nothing if a policy accepts what lay on disk.
fn wanting(bases: impl Iterator<Item = Basis>) -> Option<Wanting> {
    let mut wanting = Wanting::Trust;
    for basis in bases.filter(|basis| basis.age.is_some()) {
        match (basis.stance, basis.phase) {
            (Stance::Refuse, Phase::Starting) => wanting = Wanting::Answer,
            (Stance::Refuse, _) => wanting = Wanting::Acceptance,
            (Stance::Verify | Stance::OpenMaterial | Stance::Open, _) => return None,
        }
    }
    Some(wanting)
}

/// What the actor is started with.
#[derive(Clone)]
pub struct HealthArgs {
    /// The machine.
    pub trust: Arc<TrustStore>,
    /// Where health is told.
    pub board: HealthBoard,
    /// The policies in force.
    pub in_force: PoliciesInForce,
    /// `degraded-is-unready`.
    pub degraded_is_unready: bool,
}

/// The actor.
pub struct HealthActor;

/// What reaches the actor.
pub enum HealthMsg {
    /// Time passes.
    Tick,
    /// The supervisor asks.
    Ping(Ping),
}

impl From<Ping> for HealthMsg {
    fn from(ping: Ping) -> Self {
        Self::Ping(ping)
    }
}

impl Actor for HealthActor {
    type Msg = HealthMsg;
    type State = HealthArgs;
    type Arguments = HealthArgs;

    async fn pre_start(
        &self,
        myself: ActorRef<HealthMsg>,
        args: HealthArgs,
    ) -> Result<HealthArgs, ActorProcessingErr> {
        // Ends with the actor: ractor's interval stops when its target does.
        myself.send_interval(Duration::from_millis(TICK_MS), || HealthMsg::Tick);
        args.look();
        Ok(args)
    }

    async fn handle(
        &self,
        _myself: ActorRef<HealthMsg>,
        message: HealthMsg,
        args: &mut HealthArgs,
    ) -> Result<(), ActorProcessingErr> {
        match message {
            HealthMsg::Tick => args.look(),
            HealthMsg::Ping(ping) => ping.answer().await,
        }
        Ok(())
    }
}

impl HealthArgs {
    fn look(&self) {
        self.trust.tick();
        self.board.look();
        let in_force = (self.in_force)();
        let failures = in_force.iter().map(|policy| *policy.failure());
        self.board.see(failures.collect(), self.degraded_is_unready);
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test may panic")]

    use chaos::ca::{Authority, AuthorityOptions};
    use verdict::availability::{Event, Found, Loss, State, Timing};
    use verdict::policy::Mode;
    use verdict::time::{Contact, Now};
    use verdict::trust::{Snapshot, Standing, Stored, World};

    use super::*;
    use crate::audit::OnFull;
    use crate::clock::ToldClock;
    use crate::trust::Advice;

    const START: Now = Now {
        wall_ms: 1_700_000_000_000,
        boot_ms: 5_000,
    };
    const TIMING: Timing = Timing {
        unavailable_after_ms: 1_000,
        withdrawal_grace_ms: 1_000,
    };

    fn under(mode: Mode) -> Failure {
        Failure {
            spire_unavailable: mode,
            ..Failure::default()
        }
    }

    fn board() -> (HealthBoard, Arc<TrustStore>, ToldClock) {
        let told = ToldClock::new(START, "boot");
        let clock = Clock::Told(told.clone());
        let state = State::start(Found::Nothing, TIMING, START);
        let world = World::new(state, TIMING, Snapshot::default());
        let trust = TrustStore::new(world, clock.clone(), Arc::default(), Advice::default());
        let trust = Arc::new(trust);
        let (audit, _records) = AuditQueue::new(1, OnFull::Drop, Arc::default());
        let board = HealthBoard::new(Arc::clone(&trust), &clock, &audit, 0);
        (board, trust, told)
    }

    /// In one outage: each mode's own health, whoever followed last.
    #[test]
    fn health_is_of_the_mode_that_is_followed() {
        let (board, trust, told) = board();
        let open = board.follow(&under(Mode::FailOpen));
        let closed = board.follow(&under(Mode::FailClosed));
        trust.lost(Loss::Transport);
        let later = START.wall_ms + 2_000;
        told.tell(
            Now {
                wall_ms: later,
                boot_ms: START.boot_ms + 2_000,
            },
            0,
        );
        trust.tick();
        board.look();
        assert_eq!(*open.borrow(), Health::Degraded);
        assert_eq!(*closed.borrow(), Health::Unhealthy);
        assert_eq!(
            *board.follow(&under(Mode::FailOpen)).borrow(),
            Health::Degraded
        );
    }

    #[test]
    fn draining_is_final_and_for_all() {
        let (board, _trust, _told) = board();
        let open = board.follow(&under(Mode::FailOpen));
        board.drain();
        board.look();
        assert_eq!(*open.borrow(), Health::Draining);
        let late = board.follow(&under(Mode::Cache));
        assert_eq!(*late.borrow(), Health::Draining);
        assert!(board.is_draining());
    }

    /// Bundles on disk while SPIRE hangs: not "no bundles", and what is waited for by its name.
    #[test]
    fn what_a_start_waits_for_is_named() {
        let contact = Contact::at(START);
        let ca = AuthorityOptions::at(START.wall_ms.unsigned_abs() / 1_000);
        let ca = Authority::new("example.org", ca).unwrap();
        let stored = Stored {
            key: &ca.bundle_key(),
            der: &ca.anchors_der(),
            contact,
            standing: Standing::Confirmed,
        };
        let (snapshot, _) = Snapshot::restored([stored].into_iter(), contact);
        let later = |ms: i64| Now {
            wall_ms: START.wall_ms + ms,
            boot_ms: START.boot_ms + ms,
        };
        let found = State::start(Found::Material(contact), TIMING, later(5_000));
        let starting = World::new(found, TIMING, snapshot.clone());
        let (outage, _) = found.step(Event::Lost(Loss::TimedOut), TIMING, later(5_500));
        let outage = World::new(outage, TIMING, snapshot);
        let nothing = World::new(found, TIMING, Snapshot::default());
        let wants = |world: &World, mode| {
            let basis = world.basis(&under(mode), later(5_500));
            wanting([basis].into_iter())
        };
        for mode in [Mode::FailClosed, Mode::Cache, Mode::FailOpen] {
            assert_eq!(wants(&nothing, mode), Some(Wanting::Trust), "{mode:?}");
            assert_eq!(wants(&starting, mode), Some(Wanting::Answer), "{mode:?}");
        }
        assert_eq!(wants(&outage, Mode::FailClosed), Some(Wanting::Acceptance));
        assert_eq!(wants(&outage, Mode::Cache), None);
        assert_eq!(wants(&outage, Mode::FailOpen), None);
    }

    /// A mode that nobody follows any more takes no place.
    #[test]
    fn views_end_with_their_followers() {
        let (board, _trust, _told) = board();
        for ttl in 0..1_000 {
            let failure = Failure {
                cache_ttl_s: ttl,
                ..under(Mode::Cache)
            };
            drop(board.follow(&failure));
        }
        assert_eq!(board.views().len(), 1);
    }
}
