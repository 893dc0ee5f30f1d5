//! A supervisor's slot: one child, its budget, and what is under way for it.

use ractor::{ActorCell, ActorId};
use tokio_util::task::AbortOnDropHandle;

use super::cause::Cause;
use super::restart::RestartBudget;
use super::rows::Place;
use super::spec::{ChildSpec, Start};
use super::tree::Tree;
use super::watched::contained;

pub(super) struct Slot {
    pub(super) spec: ChildSpec,
    pub(super) place: Place,
    pub(super) budget: RestartBudget,
    pub(super) attempt: u32,
    pub(super) phase: Phase,
}

pub(super) enum Phase {
    /// Nothing is under way; never seen once the supervisor runs.
    Idle,
    Running(ActorCell),
    /// A restart waits for its backoff. Dropping the handle cancels it.
    Waiting(#[expect(dead_code, reason = "held for its drop")] AbortOnDropHandle<()>),
    /// A start is under way. Dropping the handle ends it.
    Starting(#[expect(dead_code, reason = "held for its drop")] AbortOnDropHandle<()>),
}

impl Slot {
    pub(super) fn new(spec: ChildSpec, tree: &Tree, parent: Place) -> Self {
        Self {
            place: tree.place(Some(parent), &spec.name, spec.role),
            budget: RestartBudget::new(spec.restart),
            attempt: 0,
            phase: Phase::Idle,
            spec,
        }
    }

    pub(super) fn is(&self, id: ActorId) -> bool {
        matches!(&self.phase, Phase::Running(cell) if cell.get_id() == id)
    }
}

/// One start, contained: a hang or a panic in it is an outcome.
pub(super) async fn try_start(spec: ChildSpec, start: Start) -> Result<ActorCell, Cause> {
    let within = spec.start_within;
    let start = contained(async move { spec.start(start).await });
    let outcome = match within {
        None => start.await,
        Some(within) => match tokio::time::timeout(within, start).await {
            Ok(outcome) => outcome,
            Err(_) => {
                let ms = u64::try_from(within.as_millis()).unwrap_or(u64::MAX);
                return Err(Cause::StartTimedOut(ms));
            }
        },
    };
    match outcome {
        Ok(started) => started.map_err(|err| Cause::of_start(&err)),
        Err(panicked) => Err(Cause::of_panic(panicked)),
    }
}
