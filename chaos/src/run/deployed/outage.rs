//! Whether what was done became an outage there: what is promised of one that never was is kept by
//! nothing, and no run shows it.

use verdict::availability::Phase;
use verdict::reason::Reason;

use super::status::States;
use crate::run::recording::{Outcome, Recording};
use crate::scenario::Scenario;
use crate::scenario::answer::Said;
use crate::scenario::promise::Kind;

/// What to do about it.
const REMEDY: &str = "what was done is too short for the agent's own timings, or its mode is another: \
                      `chaos config` prints what the scenario assumes";

/// The loss of a stream is seen at once, whatever the agent's timings are.
const UNNOTICED: &str = "its connection was cut and its page says Live throughout: another agent's page, or it \
                         did not notice";

/// Where no answer would differ, either.
const UNTOLD: &str = "nobody tells whether the agent met the outage, as no answer changes by it: \
                      --admin-address of the agent shows its states";

/// Why the run shows nothing, if the agent met no outage. Where nobody tells its states, answers do that
/// an outage would change.
pub(super) fn unshown(
    scenario: &Scenario,
    recording: &Recording,
    states: &States,
    cut: usize,
) -> Option<String> {
    match states {
        Ok(told) if !told.is_empty() => unmet(scenario, states, cut),
        Ok(_) | Err(_) if is_answered(recording) => None,
        Ok(_) | Err(_) if changes_answers(scenario) => {
            Some(format!("no answer is one of an outage; {REMEDY}"))
        }
        Ok(_) => Some(UNTOLD.to_owned()),
        Err(why) => Some(format!("{why}, and {UNTOLD}")),
    }
}

/// Why there was no outage, by the agent's own states, when so many steps cut a connection of its.
pub(super) fn unmet(scenario: &Scenario, states: &States, cut: usize) -> Option<String> {
    let phases: Vec<Phase> = states.iter().flatten().map(|state| state.to).collect();
    let has_lost = |phase: &Phase| matches!(phase, Phase::Outage | Phase::Withdrawn);
    if stayed_live(states) {
        if cut > 0 {
            return Some(UNNOTICED.to_owned());
        }
        return Some(format!("the agent stayed Live throughout; {REMEDY}"));
    }
    if phases.is_empty() || phases.iter().any(has_lost) || !awaits(scenario) {
        return None;
    }
    let path: Vec<&str> = phases.iter().map(|phase| phase.as_str()).collect();
    let path = path.join(" → ");
    Some(format!("the agent was never in Outage ({path}); {REMEDY}"))
}

fn stayed_live(states: &States) -> bool {
    let Ok(states) = states else { return false };
    !states.is_empty() && states.iter().all(|state| state.to == Phase::Live)
}

/// Whether a promise is about an outage: without one it is neither kept nor broken. That an agent whose
/// connection was cut has other states than Live is one of any agent.
pub(super) fn is_about_one(kind: &Kind, states: &States, cut: usize) -> bool {
    let seen = |phase: &Phase| states.iter().flatten().any(|state| state.to == *phase);
    match kind {
        Kind::Window { only, .. } => only.iter().all(is_of_an_outage),
        Kind::Transitions { .. } if cut > 0 && stayed_live(states) => false,
        Kind::Transitions { in_order, never } => !in_order.is_empty() && !never.iter().any(seen),
        Kind::Recovery { .. } | Kind::Recoveries { .. } | Kind::Restarts { .. } | Kind::Says(_) => {
            false
        }
    }
}

/// Whether the scenario's faults are to become an outage, by what it promises of states.
fn awaits(scenario: &Scenario) -> bool {
    scenario.promises.iter().any(|promise| match &promise.kind {
        Kind::Window { states, .. } => states.contains(&Phase::Outage),
        Kind::Transitions { in_order, .. } => in_order.contains(&Phase::Outage),
        _ => false,
    })
}

/// Whether an outage changes what somebody is answered, by what the scenario promises.
fn changes_answers(scenario: &Scenario) -> bool {
    let mut promises = scenario.promises.iter();
    promises.any(|promise| match &promise.kind {
        Kind::Window { only, .. } => only.iter().all(is_of_an_outage),
        _ => false,
    })
}

fn is_answered(recording: &Recording) -> bool {
    let mut seen = recording.observations.iter();
    seen.any(|seen| matches!(&seen.outcome, Outcome::Said(said) if is_of_an_outage(said)))
}

fn is_of_an_outage(said: &Said) -> bool {
    *said == Said::FailOpen || *said == Said::Denied(Reason::TrustUnavailable.as_str())
}
