//! The supervisor actor: one_for_one over its specs, blind to what the children do.
//!
//! Its handler never waits: a restart's backoff is a timer that sends a message, its start a task
//! that does. So a child whose start hangs keeps no sibling down.

use std::sync::Arc;
use std::time::Duration;

use ractor::{
    Actor, ActorCell, ActorId, ActorProcessingErr, ActorRef, ActorStatus, SpawnErr,
    SupervisionEvent,
};
use tokio_util::task::AbortOnDropHandle;

use super::cause::{Cause, Escalation};
use super::ping::{self, Ask, Ping};
use super::restart::Ruling;
use super::root::Farewell;
use super::rows::Place;
use super::shutdown;
use super::slot::{Phase, Slot, try_start};
use super::spec::{Start, SupervisorSpec};
use super::tree::{ChildState, Role, Tree};
use super::vigil::{LOOK_EVERY_MS, Step};
use super::watched::contained;

/// The first failures of temporary actors at one place are told loudly, the rest at `debug`.
const LOUD_FAILURES_MAX: u64 = 3;

/// Ends that may overtake the news of a start: few starts are under way at once, and whoever finds
/// no room only loses the text of its cause.
const EARLY_MAX: usize = 64;

pub(super) struct Supervisor;

/// What happens to the other children when one is given up.
#[derive(Clone, Debug)]
pub(super) enum OnGiveUp {
    /// They are killed at once, so that the supervisor above can start all afresh.
    Fail,
    /// They work on until the farewell is over, and are stopped in order: for the root, above which
    /// nobody restarts.
    Drain(Farewell),
}

pub(super) struct Arguments {
    pub(super) spec: SupervisorSpec,
    pub(super) tree: Arc<Tree>,
    pub(super) place: Place,
    pub(super) on_give_up: OnGiveUp,
}

pub(super) struct State {
    pub(super) tree: Arc<Tree>,
    pub(super) place: Place,
    pub(super) slots: Vec<Slot>,
    on_give_up: OnGiveUp,
    /// Ends of children whose start was not reported yet: a start's report and the end of the
    /// child come by different ways, and the end may be first.
    early: Vec<(ActorId, Cause)>,
    escalation: Option<Escalation>,
    /// The timer of the next look at the children.
    next_look: Option<AbortOnDropHandle<()>>,
    farewell: Option<AbortOnDropHandle<()>>,
}

pub(super) enum Message {
    Restart {
        slot: usize,
    },
    Started {
        slot: usize,
        outcome: Result<ActorCell, Cause>,
    },
    /// Time to look whether the children still do their work.
    Look,
    /// The farewell is over.
    Leave {
        stop_within: Duration,
    },
    /// The supervisor above looks.
    Ping(Ping),
}

impl From<Ping> for Message {
    fn from(ping: Ping) -> Self {
        Self::Ping(ping)
    }
}

/// How a nested supervisor is asked.
pub(super) const ASK: Ask = ping::ask::<Message>;

/// Starts a supervisor below another one.
pub(super) async fn start_nested(
    spec: SupervisorSpec,
    start: Start,
) -> Result<ActorCell, SpawnErr> {
    let arguments = Arguments {
        spec,
        tree: Arc::clone(start.tree()),
        place: start.place(),
        on_give_up: OnGiveUp::Fail,
    };
    let (actor, _) = Actor::spawn_linked(None, Supervisor, arguments, start.supervisor).await?;
    Ok(actor.get_cell())
}

impl Actor for Supervisor {
    type Msg = Message;
    type State = State;
    type Arguments = Arguments;

    /// Starts the children in order: once it returns, each has been tried.
    async fn pre_start(
        &self,
        myself: ActorRef<Message>,
        arguments: Arguments,
    ) -> Result<State, ActorProcessingErr> {
        arguments.spec.check()?;
        let mut state = State::new(arguments);
        for slot in 0..state.slots.len() {
            if let Some(starting) = state.start(&myself.get_cell(), slot) {
                let outcome = starting.await;
                state.on_started(&myself, slot, outcome)?;
            }
        }
        state.look_later(&myself);
        Ok(state)
    }

    async fn handle(
        &self,
        myself: ActorRef<Message>,
        message: Message,
        state: &mut State,
    ) -> Result<(), ActorProcessingErr> {
        match message {
            Message::Restart { slot } => {
                state.on_restart(&myself, slot);
                Ok(())
            }
            Message::Started { slot, outcome } => {
                let outcome = outcome.and_then(|cell| state.claim(cell));
                state.on_started(&myself, slot, outcome)
            }
            Message::Look => state.on_look(&myself),
            Message::Leave { stop_within } => {
                let stop_by = shutdown::deadline(stop_within);
                state.tree.set_stop_by(state.place, stop_by);
                myself.stop(None);
                Ok(())
            }
            Message::Ping(ping) => {
                ping.answer().await;
                Ok(())
            }
        }
    }

    async fn handle_supervisor_evt(
        &self,
        myself: ActorRef<Message>,
        event: SupervisionEvent,
        state: &mut State,
    ) -> Result<(), ActorProcessingErr> {
        match &event {
            SupervisionEvent::ActorTerminated(cell, _, _)
            | SupervisionEvent::ActorFailed(cell, _) => {
                state.on_end(&myself, cell.get_id(), Cause::of_event(&event))
            }
            SupervisionEvent::ActorStarted(_) | SupervisionEvent::ProcessGroupChanged(_) => Ok(()),
        }
    }

    /// The orderly way down: ractor would kill the children without asking them.
    async fn post_stop(
        &self,
        myself: ActorRef<Message>,
        state: &mut State,
    ) -> Result<(), ActorProcessingErr> {
        shutdown::stop_children(&myself.get_cell(), state).await;
        let escalation = state.escalation.take();
        state.tree.went_down(state.place, escalation.clone());
        match escalation {
            Some(escalation) => Err(escalation.into()),
            None => Ok(()),
        }
    }
}

impl State {
    fn new(arguments: Arguments) -> Self {
        let Arguments {
            spec,
            tree,
            place,
            on_give_up,
        } = arguments;
        let slots = spec.children.into_iter();
        let slots = slots.map(|child| Slot::new(child, &tree, place)).collect();
        for name in &spec.temporaries {
            tree.place(Some(place), name, Role::Temporary);
        }
        Self {
            tree,
            place,
            slots,
            on_give_up,
            early: Vec::new(),
            escalation: None,
            next_look: None,
            farewell: None,
        }
    }

    /// The start of a slot's child, contained: a hang or a panic in it is an outcome.
    fn start(
        &mut self,
        me: &ActorCell,
        slot: usize,
    ) -> Option<impl Future<Output = Result<ActorCell, Cause>> + Send + use<>> {
        let slot = self.slots.get_mut(slot)?;
        let start = Start::new(me.clone(), &self.tree, self.place, slot.place, slot.attempt);
        slot.attempt = slot.attempt.saturating_add(1);
        Some(try_start(slot.spec.clone(), start))
    }

    fn on_restart(&mut self, myself: &ActorRef<Message>, at: usize) {
        let Some(starting) = self.start(&myself.get_cell(), at) else {
            return;
        };
        let owner = myself.clone();
        let task = tokio::spawn(async move {
            let outcome = starting.await;
            // A supervisor that is gone has taken the child along.
            let _ = owner.send_message(Message::Started { slot: at, outcome });
        });
        if let Some(slot) = self.slots.get_mut(at) {
            slot.phase = Phase::Starting(AbortOnDropHandle::new(task));
            self.tree.restarted(slot.place);
        }
    }

    fn on_started(
        &mut self,
        myself: &ActorRef<Message>,
        at: usize,
        outcome: Result<ActorCell, Cause>,
    ) -> Result<(), ActorProcessingErr> {
        let Some(slot) = self.slots.get_mut(at) else {
            return Ok(());
        };
        slot.phase = Phase::Idle;
        let cell = match outcome {
            Ok(cell) => cell,
            Err(cause) => return self.on_failure(myself, at, cause),
        };
        self.tree.running(slot.place, cell.clone());
        slot.runs(cell);
        Ok(())
    }

    /// A child started beside the handler is ours, unless its end has overtaken the news of its
    /// start.
    fn claim(&mut self, cell: ActorCell) -> Result<ActorCell, Cause> {
        let known = self.early.iter().position(|(id, _)| *id == cell.get_id());
        let cause = known.map(|at| self.early.swap_remove(at).1);
        if self.starts_under_way() <= 1 {
            self.early.clear();
        }
        match cause {
            Some(cause) => Err(cause),
            // The end is being told just now, or was crowded out of `early`: nobody else sees it.
            None if cell.get_status() >= ActorStatus::Stopping => Err(Cause::Stopped),
            None => Ok(cell),
        }
    }

    fn on_end(
        &mut self,
        myself: &ActorRef<Message>,
        id: ActorId,
        cause: Cause,
    ) -> Result<(), ActorProcessingErr> {
        if let Some(at) = self.slots.iter().position(|slot| slot.is(id)) {
            let wedged = self.slots.get(at).and_then(Slot::wedged);
            return self.on_failure(myself, at, wedged.unwrap_or(cause));
        }
        let failure = (cause != Cause::Stopped).then(|| cause.clone());
        match self.tree.temporary_ended(id, failure.clone()) {
            Some((place, failures)) => {
                if let Some(cause) = failure {
                    tell_temporary(&self.tree.path(place), &cause, failures);
                }
            }
            None if self.starts_under_way() > 0 && self.early.len() < EARLY_MAX => {
                self.early.push((id, cause));
            }
            None => {}
        }
        Ok(())
    }

    fn on_look(&mut self, myself: &ActorRef<Message>) -> Result<(), ActorProcessingErr> {
        for at in 0..self.slots.len() {
            let Some(slot) = self.slots.get_mut(at) else {
                continue;
            };
            let step = slot.look(&self.tree);
            let Some((step, cause)) = step.zip(slot.wedged()) else {
                continue;
            };
            let path = self.tree.path(slot.place);
            match step {
                Step::Ask | Step::Wait => {}
                Step::Kill => {
                    let part = self.tree.plain(&path);
                    tracing::error!(%path, part, %cause, "actor wedged, killing it");
                }
                Step::LeaveBehind => {
                    let part = self.tree.plain(&path);
                    tracing::error!(%path, part, "killed actor does not end, its thread is blocked: it is left behind");
                    self.on_failure(myself, at, cause)?;
                }
            }
        }
        self.look_later(myself);
        Ok(())
    }

    /// The next look is timed from the end of this one: looks that are late do not come in a burst.
    fn look_later(&mut self, myself: &ActorRef<Message>) {
        self.next_look = Some(later(myself, LOOK_EVERY_MS, Message::Look));
    }

    /// A child is down and nobody ordered it: spend its budget.
    fn on_failure(
        &mut self,
        myself: &ActorRef<Message>,
        at: usize,
        cause: Cause,
    ) -> Result<(), ActorProcessingErr> {
        let Some(slot) = self.slots.get_mut(at) else {
            return Ok(());
        };
        slot.phase = Phase::Idle;
        match slot.budget.on_failure(self.tree.now_ms()) {
            Ruling::RestartAfter(wait_ms) => {
                let path = self.tree.path(slot.place);
                let part = self.tree.plain(&path);
                let budget = slot.budget.left();
                // This one is counted once it is told.
                let failures = self.tree.failures(slot.place).saturating_add(1);
                tracing::warn!(%path, part, %cause, failures, budget, wait_ms, "actor down, restarting it");
                self.tree.failed(slot.place, cause, ChildState::Restarting);
                slot.phase = Phase::Waiting(later(myself, wait_ms, Message::Restart { slot: at }));
                Ok(())
            }
            Ruling::GiveUp => self.give_up(myself, at, cause),
        }
    }

    fn give_up(
        &mut self,
        myself: &ActorRef<Message>,
        at: usize,
        cause: Cause,
    ) -> Result<(), ActorProcessingErr> {
        let Some(slot) = self.slots.get_mut(at) else {
            return Ok(());
        };
        let restart = slot.budget.restart();
        let escalation = Escalation {
            child: self.tree.path(slot.place),
            max: restart.max(),
            within_ms: restart.within_ms(),
            cause: cause.clone(),
        };
        let part = self.tree.plain(&escalation.child);
        tracing::error!(path = %escalation.child, part, %escalation, "actor given up, its supervisor fails");
        self.tree.failed(slot.place, cause, ChildState::GivenUp);
        match &self.on_give_up {
            OnGiveUp::Fail => Err(escalation.into()),
            // Still in `pre_start`: there is no orderly way down yet.
            OnGiveUp::Drain(_) if myself.get_status() < ActorStatus::Running => {
                Err(escalation.into())
            }
            OnGiveUp::Drain(farewell) => {
                // Who is given up meanwhile changes nothing.
                if self.escalation.is_none() {
                    self.farewell = Some(leave_after(myself, farewell.clone()));
                    self.escalation = Some(escalation);
                }
                Ok(())
            }
        }
    }

    fn starts_under_way(&self) -> usize {
        let phases = self.slots.iter().map(|slot| &slot.phase);
        phases
            .filter(|phase| matches!(phase, Phase::Starting(_)))
            .count()
    }
}

fn later(myself: &ActorRef<Message>, wait_ms: u64, message: Message) -> AbortOnDropHandle<()> {
    let owner = myself.clone();
    AbortOnDropHandle::new(tokio::spawn(async move {
        tokio::time::sleep(Duration::from_millis(wait_ms)).await;
        let _ = owner.send_message(message);
    }))
}

fn leave_after(myself: &ActorRef<Message>, farewell: Farewell) -> AbortOnDropHandle<()> {
    let owner = myself.clone();
    AbortOnDropHandle::new(tokio::spawn(async move {
        let first = contained((farewell.first)());
        // Late, or panicked: the way down is the same.
        let _ = tokio::time::timeout(farewell.first_within, first).await;
        let stop_within = farewell.stop_within;
        let _ = owner.send_message(Message::Leave { stop_within });
    }))
}

fn tell_temporary(path: &str, cause: &Cause, failures: u64) {
    if failures <= LOUD_FAILURES_MAX {
        tracing::warn!(%path, %cause, failures, "temporary actor failed, it is not restarted");
    } else {
        tracing::debug!(%path, %cause, failures, "temporary actor failed, it is not restarted");
    }
}
