//! A scenario on somebody's own deployment: his agent, his SPIRE, a relay of ours between the two.
//!
//! What is seen is what a proxy sees: answers. What the agent logs and records stays its owner's, so
//! promises about that are not judged here. Steps that need our hand on the agent, or on what SPIRE
//! says, make a scenario one that is skipped.

use std::path::PathBuf;
use std::sync::Arc;

use super::callers::Callers;
use super::judge::judge;
use super::recording::Event;
use super::relay::Relay;
use super::sheet::Sheet;
use super::{Acts, Run, RunError, load, play};
use crate::scenario::action::Action;
use crate::scenario::caller::Caller;
use crate::scenario::promise::Kind;
use crate::scenario::{Records, Scenario};

/// Somebody's own agent and SPIRE.
#[derive(Clone, Debug)]
pub struct Deployment {
    /// The agent's socket, which proxies ask.
    pub agent: PathBuf,
    /// The Workload API's socket.
    pub spire: PathBuf,
    /// Where the agent believes the Workload API to be: we listen here.
    pub relay: PathBuf,
    /// An ID that the agent's policy allows.
    pub caller_id: String,
    /// Its certificate and chain, PEM: what `spire-agent api fetch x509 -write` calls `svid.0.pem`.
    pub caller_pem: String,
}

/// Who can ask there: one certificate that is real, and what anybody can make.
const CALLERS: [Caller; 6] = [
    Caller::Frontend,
    Caller::Spoofing,
    Caller::Forged,
    Caller::Expired,
    Caller::Garbage,
    Caller::Nobody,
];

struct Deployed {
    relay: Relay,
    sheet: Arc<Sheet>,
}

impl Acts for Deployed {
    fn sheet(&self) -> &Sheet {
        &self.sheet
    }

    async fn act(&mut self, planned_ms: u64, action: &Action) -> Result<(), RunError> {
        let began_ms = self.sheet.now_ms();
        if let Action::Spire(act) = action {
            self.relay.act(*act)?;
        }
        self.sheet.event(Event {
            planned_ms,
            began_ms,
            done_ms: self.sheet.now_ms(),
            action: action.clone(),
        });
        Ok(())
    }
}

/// Plays what can be played there.
///
/// # Errors
/// A step cannot be done there, or the relay's socket not be bound.
pub async fn run_deployed(
    scenario: &Scenario,
    deployment: &Deployment,
    tell: &(dyn Fn(&str) + Send + Sync),
) -> Result<Run, RunError> {
    let scenario = narrowed(scenario)?;
    let callers = Callers::of_one(&deployment.caller_id, &deployment.caller_pem)?;
    let sheet = Arc::new(Sheet::new());
    let relay = Relay::start(&deployment.relay, &deployment.spire)?;
    let mut stage = Deployed {
        relay,
        sheet: Arc::clone(&sheet),
    };
    tell("waiting until the agent answers as verified, by the relay's socket");
    load::until_verified(&deployment.agent, &callers).await?;
    sheet.begin();
    let callers = Arc::new(callers);
    let load = load::start(&scenario.load, &deployment.agent, &callers, &sheet);
    let played = play(&mut stage, &scenario, tell).await;
    load.stop().await;
    played?;
    let recording = sheet.take();
    let verdicts = judge(&scenario, &recording);
    Ok(Run {
        recording,
        verdicts,
    })
}

/// The scenario as far as it can be played and judged from outside.
fn narrowed(scenario: &Scenario) -> Result<Scenario, RunError> {
    let mut scenario = scenario.clone();
    for step in &scenario.timeline.steps {
        if !matches!(step.action, Action::Spire(act) if Relay::can(act)) {
            let why = format!(
                "{} cannot be done to a deployment from outside",
                step.action
            );
            return Err(RunError::Skipped(why));
        }
    }
    scenario.agent.records = Records::Elsewhere;
    scenario
        .load
        .callers
        .retain(|caller| CALLERS.contains(caller));
    if scenario.load.callers.is_empty() {
        let why = "none of its callers can be had in a deployment".to_owned();
        return Err(RunError::Skipped(why));
    }
    for promise in &mut scenario.promises {
        match &mut promise.kind {
            Kind::Window {
                callers, states, ..
            } => {
                states.clear();
                callers.retain(|caller| CALLERS.contains(caller));
            }
            Kind::Recovery { callers, .. } | Kind::Recoveries { callers, .. } => {
                callers.retain(|caller| CALLERS.contains(caller));
            }
            Kind::Transitions { .. } | Kind::Restarts { .. } | Kind::Says(_) => {}
        }
    }
    scenario.promises.retain(|promise| match &promise.kind {
        Kind::Window { callers, .. }
        | Kind::Recovery { callers, .. }
        | Kind::Recoveries { callers, .. } => !callers.is_empty(),
        Kind::Transitions { .. } | Kind::Restarts { .. } | Kind::Says(_) => false,
    });
    Ok(scenario)
}
