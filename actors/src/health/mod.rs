//! Health: lets the availability machine's time pass, and says how the agent is.
//!
//! Nothing depends on this actor being alive: deadlines are judged from data when a decision is
//! made. It makes the transitions that time brings be reported when they happen.

use std::sync::Arc;
use std::time::Duration;

use ractor::{Actor, ActorProcessingErr, ActorRef};
use tokio::sync::watch;
use verdict::availability::{Phase, Stance};
use verdict::policy::Failure;

use crate::clock::Clock;
use crate::trust::TrustStore;

/// How often time is let pass, milliseconds: how late a transition by time is reported at most.
const TICK_MS: u64 = 100;

/// How the agent is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Health {
    /// `Live`.
    Healthy,
    /// The source is away, and the mode still answers.
    Degraded,
    /// Requests with a credential are refused.
    Unhealthy,
    /// Finishing what is in flight.
    Draining,
}

impl Health {
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

/// Where health is told and heard; owned above the actor.
#[derive(Clone)]
pub struct HealthBoard {
    health: watch::Sender<Health>,
}

impl Default for HealthBoard {
    fn default() -> Self {
        Self {
            health: watch::Sender::new(Health::Unhealthy),
        }
    }
}

impl HealthBoard {
    /// Told of every change.
    #[must_use]
    pub fn subscribe(&self) -> watch::Receiver<Health> {
        self.health.subscribe()
    }

    /// Health now.
    #[must_use]
    pub fn health(&self) -> Health {
        *self.health.borrow()
    }

    /// Draining is final.
    pub fn drain(&self) {
        self.set(Health::Draining);
    }

    fn set(&self, health: Health) {
        self.health.send_if_modified(|now| {
            let changes = *now != health && *now != Health::Draining;
            if changes {
                *now = health;
            }
            changes
        });
    }
}

/// What the actor is started with.
#[derive(Clone)]
pub struct HealthArgs {
    /// The machine.
    pub trust: Arc<TrustStore>,
    /// Where health is told.
    pub board: HealthBoard,
    /// What the configured mode does in an outage.
    pub failure: watch::Receiver<Failure>,
    /// The clock.
    pub clock: Clock,
}

/// The actor.
pub struct HealthActor;

/// Time passes.
pub struct Tick;

impl Actor for HealthActor {
    type Msg = Tick;
    type State = HealthArgs;
    type Arguments = HealthArgs;

    async fn pre_start(
        &self,
        myself: ActorRef<Tick>,
        args: HealthArgs,
    ) -> Result<HealthArgs, ActorProcessingErr> {
        // Ends with the actor: ractor's interval stops when its target does.
        myself.send_interval(Duration::from_millis(TICK_MS), || Tick);
        args.look();
        Ok(args)
    }

    async fn handle(
        &self,
        _myself: ActorRef<Tick>,
        _message: Tick,
        args: &mut HealthArgs,
    ) -> Result<(), ActorProcessingErr> {
        args.look();
        Ok(())
    }
}

impl HealthArgs {
    fn look(&self) {
        self.trust.tick();
        let world = self.trust.load();
        let basis = world.basis(&self.failure.borrow(), self.clock.now());
        self.board.set(Health::of(basis.phase, basis.stance));
    }
}
