//! A supervisor's slot: one child, its budget, and what is under way for it.

use ractor::{ActorCell, ActorId};
use tokio::sync::oneshot;
use tokio::sync::oneshot::error::TryRecvError;
use tokio_util::task::AbortOnDropHandle;

use super::cause::Cause;
use super::ping::{Ask, Ping};
use super::restart::RestartBudget;
use super::rows::Place;
use super::spec::{ChildSpec, Start};
use super::tree::Tree;
use super::vigil::{Heard, Step, Vigil};
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
    Running(ActorCell, Inquiry),
    /// A restart waits for its backoff. Dropping the handle cancels it.
    Waiting(#[expect(dead_code, reason = "held for its drop")] AbortOnDropHandle<()>),
    /// A start is under way. Dropping the handle ends it.
    Starting(#[expect(dead_code, reason = "held for its drop")] AbortOnDropHandle<()>),
}

/// The vigil over a child that runs, and the question that is open.
pub(super) struct Inquiry {
    vigil: Vigil,
    answer: Option<oneshot::Receiver<()>>,
}

impl Inquiry {
    fn heard(&mut self) -> Heard {
        match self.answer.as_mut().map(oneshot::Receiver::try_recv) {
            Some(Ok(())) => Heard::Answer,
            Some(Err(TryRecvError::Empty)) => Heard::Nothing,
            Some(Err(TryRecvError::Closed)) | None => Heard::Lost,
        }
    }
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
        matches!(&self.phase, Phase::Running(cell, _) if cell.get_id() == id)
    }

    pub(super) fn runs(&mut self, cell: ActorCell) {
        let inquiry = Inquiry {
            vigil: Vigil::new(self.spec.vigilance),
            answer: None,
        };
        self.phase = Phase::Running(cell, inquiry);
    }

    /// Looks whether the child still does its work; one that is wedged is killed.
    pub(super) fn look(&mut self, tree: &Tree) -> Option<Step> {
        let ask = self.spec.ask?;
        let Phase::Running(cell, inquiry) = &mut self.phase else {
            return None;
        };
        let heard = inquiry.heard();
        let step = inquiry.vigil.on_look(heard);
        match step {
            Step::Ask => inquiry.answer = question(ask, cell, tree, self.place),
            Step::Kill => cell.kill(),
            Step::Wait | Step::LeaveBehind => {}
        }
        Some(step)
    }

    /// Why a child that was killed by this vigil ended.
    pub(super) fn wedged(&self) -> Option<Cause> {
        match &self.phase {
            Phase::Running(_, inquiry) => inquiry.vigil.killed_after_ms().map(Cause::Wedged),
            Phase::Idle | Phase::Waiting(_) | Phase::Starting(_) => None,
        }
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

fn question(
    ask: Ask,
    cell: &ActorCell,
    tree: &Tree,
    place: Place,
) -> Option<oneshot::Receiver<()>> {
    let (ping, answer) = Ping::new();
    let ping = tree.afflict(place, ping);
    // The end of a child that has ended is told elsewhere.
    ask(cell, ping).then_some(answer)
}
