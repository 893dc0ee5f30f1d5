//! The agent's process along the timeline: each step must find it where it can be taken.

use super::action::{Action, Process};
use super::error::Rule;
use super::reader::{Node, Read};
use super::{Scenario, Step};

/// Where it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Place {
    Runs,
    Stands,
    Down,
}

impl Place {
    const fn as_str(self) -> &'static str {
        match self {
            Self::Runs => "runs",
            Self::Stands => "is suspended",
            Self::Down => "is down",
        }
    }

    /// Where it is after a step; `None`: the step cannot be taken here.
    const fn after(self, action: &Action) -> Option<Self> {
        match (self, action) {
            (Self::Runs | Self::Stands, Action::Agent(Process::Kill)) => Some(Self::Down),
            (Self::Runs, Action::Agent(Process::Restart)) => Some(Self::Runs),
            (Self::Runs, Action::Agent(Process::Suspend)) => Some(Self::Stands),
            (Self::Stands, Action::Agent(Process::Resume)) => Some(Self::Runs),
            (Self::Down, Action::Agent(Process::Start)) => Some(Self::Runs),
            (_, Action::Agent(_)) => None,
            // These are done to a process, and heard by one that runs.
            (Self::Stands | Self::Down, Action::Actor(..) | Action::Clock(_)) => None,
            (Self::Down, Action::Disk(_) | Action::Descriptors(_)) => None,
            (place, _) => Some(place),
        }
    }
}

/// Every step finds the process where it can be taken, and at the end it runs: what it does when it is
/// stopped is part of what is judged.
pub(super) fn check(root: &Node<'_>, scenario: &Scenario) -> Read<()> {
    let mut place = Place::Runs;
    for Step { at_ms, action } in &scenario.timeline.steps {
        place = place.after(action).ok_or_else(|| {
            root.fail(Rule::OutOfOrder {
                at_ms: *at_ms,
                action: action.to_string(),
                is: place.as_str(),
            })
        })?;
        if let Action::Actor(_, actor) = action
            && !scenario.agent.actors.has(actor)
        {
            let (actor, known) = (actor.clone(), scenario.agent.actors.to_string());
            return Err(root.fail(Rule::NoActor { actor, known }));
        }
        if matches!(action, Action::StateFile(_)) && !scenario.agent.keeps_state {
            return Err(root.fail(Rule::NoState));
        }
    }
    match place {
        Place::Runs => Ok(()),
        Place::Stands | Place::Down => Err(root.fail(Rule::Unended(place.as_str()))),
    }
}
