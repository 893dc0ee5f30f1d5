//! A scenario as far as it can be played and judged from outside, and what is left of its promises.

use rustix::process::Pid;
use verdict::availability::Phase;

use super::outage;
use super::status::{States, stray};
use crate::run::RunError;
use crate::run::judge::{Finding, SLACK_MS, Verdict};
use crate::run::recording::Recording;
use crate::run::relay::{Relay, Traffic};
use crate::scenario::action::{Action, Spire as Act};
use crate::scenario::caller::Caller;
use crate::scenario::promise::{Always, Kind, Promise};
use crate::scenario::{AgentClock, AgentSetup, Records, Scenario};

/// Who can ask there: one certificate that is real, and what anybody can make.
const CALLERS: [Caller; 6] = [
    Caller::Frontend,
    Caller::Spoofing,
    Caller::Forged,
    Caller::Expired,
    Caller::Garbage,
    Caller::Nobody,
];

/// What is promised about a step that met nobody.
const MET: &str = "every step met the agent";

/// What else a broken promise of the scenario's own may be.
const OR_ANOTHER: &str =
    "or the agent's mode or its timings are not the scenario's, which `chaos config` prints";
/// What is promised about who they met.
const IS_THE_AGENT: &str = "who came by the relay is the agent";
const UNNUMBERED: &str = "the agent's process has no number here, as one of another pid namespace: whoever came \
                          to the relay counted as the agent, which may reach SPIRE by another way, and \
                          --admin-address was not compared with it; run the tool where its processes \
                          have numbers, and let nobody else use the relay";

/// Whom the steps met, as far as that is known.
#[derive(Debug, Default)]
pub(super) struct Met {
    /// The process behind the agent's socket when it was last looked at; none, if it has no number here.
    pub(super) agent: Option<Pid>,
    /// How many met a connection of the agent.
    pub(super) struck: usize,
    /// How many ended one, of an agent that is known by its number.
    pub(super) cut: usize,
    /// Those that met nobody.
    pub(super) missed: Vec<String>,
}

/// What an outsider sees of a scenario.
pub(super) struct View {
    pub(super) scenario: Scenario,
    /// Whether somebody tells us the agent's states.
    sees_states: bool,
    /// Windows that hold in some states only, and those.
    stated: Vec<(String, (u64, u64), Vec<Phase>)>,
    /// Promises that nobody can judge from here, and why.
    left_out: Vec<(String, String)>,
    /// Promises about more callers than can be had here, and those.
    narrowed: Vec<(String, String)>,
}

impl Met {
    /// Why the run shows nothing: as many steps met nobody as met the agent.
    pub(super) fn unshown(&self) -> Option<String> {
        let missed = self.missed.len();
        (missed > 0 && missed >= self.struck).then(|| {
            format!(
                "{missed} of {} steps that cut connections met none of the agent: it was not back yet, so \
                 leave it more time between two",
                missed + self.struck
            )
        })
    }

    /// What a run shows less for.
    fn told(&self) -> impl Iterator<Item = Verdict> {
        let unnumbered = self.agent.is_none().then(|| UNNUMBERED.to_owned());
        let missed = (!self.missed.is_empty()).then(|| self.missed.join("; "));
        let rows = [(IS_THE_AGENT, unnumbered), (MET, missed)];
        rows.into_iter().filter_map(|(promise, why)| {
            Some(Verdict {
                promise: promise.to_owned(),
                finding: Finding::NotJudged(why?),
            })
        })
    }
}

impl View {
    pub(super) fn of(scenario: &Scenario, sees_states: bool) -> Result<Self, RunError> {
        for step in &scenario.timeline.steps {
            if !matches!(step.action, Action::Spire(act) if Relay::can(act)) {
                let why = format!(
                    "{} cannot be done to a deployment from outside",
                    step.action
                );
                return Err(RunError::Skipped(why));
            }
        }
        if let Some(why) = around(&scenario.agent) {
            return Err(RunError::Skipped(why.to_owned()));
        }
        let mut view = Self {
            scenario: scenario.clone(),
            sees_states,
            stated: Vec::new(),
            left_out: Vec::new(),
            narrowed: Vec::new(),
        };
        view.scenario.agent.records = Records::Elsewhere;
        view.scenario.load.callers.retain(can_ask);
        view.scenario.promises.clear();
        for promise in &scenario.promises {
            view.look_at(promise.clone());
        }
        if view.scenario.promises.is_empty() {
            let why = "nothing that it promises can be judged from outside".to_owned();
            return Err(RunError::Skipped(why));
        }
        Ok(view)
    }

    fn look_at(&mut self, mut promise: Promise) {
        let unseen = match &promise.kind {
            Kind::Window { states, .. } if !states.is_empty() && !self.sees_states => {
                "it names the agent's states, which only --admin-address shows"
            }
            Kind::Transitions { .. } if self.sees_states => {
                self.scenario.promises.push(promise);
                return;
            }
            Kind::Transitions { .. } => "only --admin-address shows the agent's states",
            Kind::Restarts { .. } => "the agent's parts are not seen from outside",
            Kind::Says(_) => "the agent's log is its owner's",
            Kind::Window { .. } | Kind::Recovery { .. } | Kind::Recoveries { .. } => "",
        };
        if !unseen.is_empty() {
            self.left_out.push((promise.name, unseen.to_owned()));
            return;
        }
        if let Kind::Window {
            states,
            from_ms,
            to_ms,
            ..
        } = &mut promise.kind
            && !states.is_empty()
        {
            let states = std::mem::take(states);
            self.stated
                .push((promise.name.clone(), (*from_ms, *to_ms), states));
        }
        let (Kind::Window { callers, .. }
        | Kind::Recovery { callers, .. }
        | Kind::Recoveries { callers, .. }) = &mut promise.kind
        else {
            return;
        };
        let (here, absent): (Vec<Caller>, Vec<Caller>) =
            callers.iter().partition(|one| can_ask(one));
        let absent: Vec<&str> = absent.iter().map(|caller| caller.as_str()).collect();
        let absent = absent.join(", ");
        if here.is_empty() {
            let why = format!("nobody can ask here as {absent}");
            self.left_out.push((promise.name, why));
            return;
        }
        if !absent.is_empty() {
            self.narrowed.push((promise.name.clone(), absent));
        }
        *callers = here;
        self.scenario.promises.push(promise);
    }

    /// Whether what is done is felt by whom it is done to.
    pub(super) fn is_felt_by(&self, traffic: Traffic) -> Result<(), RunError> {
        let mut steps = self.scenario.timeline.steps.iter();
        let forbids = steps.any(|step| step.action == Action::Spire(Act::SocketForbidden));
        if forbids && traffic.by_root {
            let why = "socket-forbidden stops nobody who comes as root, and the agent does";
            return Err(RunError::Skipped(why.to_owned()));
        }
        Ok(())
    }

    /// Every promise in the scenario's order: what was judged, and what was not and why.
    pub(super) fn told(
        &self,
        scenario: &Scenario,
        judged: &[Verdict],
        seen: (&Recording, &States),
        met: &Met,
    ) -> Vec<Verdict> {
        let names = Always::ALL.iter().map(|always| always.as_str());
        let names = names.chain(scenario.promises.iter().map(|promise| &*promise.name));
        let mut verdicts = Vec::new();
        let unmet = outage::unmet(scenario, seen.1, met.cut);
        let is_about_one =
            |promise: &&Promise| outage::is_about_one(&promise.kind, seen.1, met.cut);
        for name in names {
            let mut promises = scenario.promises.iter();
            let promise = promises.find(|promise| promise.name == name);
            let without = unmet
                .clone()
                .filter(|_| promise.as_ref().is_some_and(is_about_one));
            let unjudged = self.unjudged(name).or(without);
            let finding = match unjudged.or_else(|| self.out_of_state(name, seen)) {
                Some(why) => Some(Finding::NotJudged(why)),
                None => {
                    let verdict = judged.iter().find(|verdict| verdict.promise == name);
                    verdict.map(|verdict| self.of_those_here(name, &verdict.finding))
                }
            };
            verdicts.extend(finding.map(|finding| Verdict {
                promise: name.to_owned(),
                finding,
            }));
        }
        verdicts.extend(met.told());
        verdicts
    }

    fn unjudged(&self, name: &str) -> Option<String> {
        let of = |always: Always| always.as_str() == name;
        if of(Always::Recorded) {
            return Some("the agent's records are its owner's".to_owned());
        }
        if of(Always::Lives) {
            return Some("the agent's process is not seen from outside".to_owned());
        }
        let found = self.left_out.iter().find(|(known, _)| known == name);
        found.map(|(_, why)| why.clone())
    }

    /// Why nothing is known of what the agent did in the states that a promise is about.
    fn out_of_state(&self, name: &str, seen: (&Recording, &States)) -> Option<String> {
        let (recording, states) = seen;
        let stated = self.stated.iter().find(|(known, ..)| known == name);
        let mut promises = self.scenario.promises.iter();
        let is_about_states = promises.any(|promise| {
            promise.name == name && matches!(promise.kind, Kind::Transitions { .. })
        });
        let states = match states {
            Ok(states) => states,
            Err(why) => return (stated.is_some() || is_about_states).then(|| why.clone()),
        };
        let (_, (from_ms, to_ms), allowed) = stated?;
        let moments = (recording.after(*from_ms), recording.before(*to_ms));
        stray(states, moments, allowed).map(|state| {
            format!(
                "the agent was {} between {} and {} ms: what was done is too short for its own timings, \
                 or its mode is another",
                state.as_str(),
                moments.0,
                moments.1
            )
        })
    }

    fn of_those_here(&self, name: &str, finding: &Finding) -> Finding {
        let narrowed = self.narrowed.iter().find(|(known, _)| known == name);
        if name == Always::Answered.as_str() {
            return self.by_what_limit(finding);
        }
        match (finding, narrowed) {
            (Finding::Kept(words), Some((_, absent))) => {
                Finding::Kept(format!("{words}; not as {absent}, who cannot ask here"))
            }
            (Finding::Broken(words), _) if !is_always(name) => {
                Finding::Broken(format!("{words}; {OR_ANOTHER}"))
            }
            _ => finding.clone(),
        }
    }
}

impl View {
    /// What is in time for a deployment, whose own deadline nobody tells us.
    fn by_what_limit(&self, finding: &Finding) -> Finding {
        let deadline_ms = self.scenario.agent.deadline_ms;
        let limit = format!(
            "the limit is the scenario's decision-deadline-ms, {deadline_ms}, and {SLACK_MS} ms for a busy \
             machine, whatever the agent's own is"
        );
        match finding {
            Finding::Kept(words) => Finding::Kept(format!("{words}; {limit}")),
            Finding::Broken(words) => Finding::Broken(format!("{words}; {limit}")),
            Finding::NotJudged(_) => finding.clone(),
        }
    }
}

/// What is around the agent in this scenario and is as much its fault as a step: a deployment has none of
/// it. What is left, its configuration and whether it keeps bundles on disk, is a condition.
const fn around(agent: &AgentSetup) -> Option<&'static str> {
    match (agent.records, agent.clock) {
        (Records::Full, _) => Some(
            "`records full` is a disk without room, and a deployment's records are its owner's",
        ),
        (Records::Stuck, _) => Some(
            "`records stuck` is a pipe that nobody reads, and a deployment's records are its owner's",
        ),
        (_, AgentClock::Driven) => {
            Some("`clock driven` needs an agent of our own, with its chaos hooks")
        }
        (Records::Kept | Records::Lossy | Records::Elsewhere, AgentClock::Kernel) => None,
    }
}

/// Why a run shows nothing: what every scenario promises is kept without any fault, too.
pub(super) fn unjudged(scenario: &Scenario, verdicts: &[Verdict]) -> Option<String> {
    let is_own = |name: &str| scenario.promises.iter().any(|own| own.name == name);
    let is_judged = |finding: &Finding| !matches!(finding, Finding::NotJudged(_));
    let mut all = verdicts.iter();
    let any = all.any(|verdict| is_own(&verdict.promise) && is_judged(&verdict.finding));
    (!any).then(|| "no promise of its own could be judged".to_owned())
}

/// Promised whatever the agent's configuration is.
fn is_always(name: &str) -> bool {
    Always::ALL.iter().any(|always| always.as_str() == name)
}

fn can_ask(caller: &Caller) -> bool {
    CALLERS.contains(caller)
}
