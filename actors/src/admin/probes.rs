//! `/livez`, `/readyz`, `/healthz`: a line each, or with `?verbose` a line for each check.

use std::fmt::Write as _;
use std::sync::Arc;

use verdict::policy::Policy;
use verdict::trust::Coverage;

use super::guard::Reader;
use crate::audit::Recording;
use crate::doors::{Doors, Full, Lost};
use crate::health::{Health, ProcessHealth, SILENCE_MAX};
use crate::words::and_to_do;

/// Trust domains of which nobody can be verified, told by name; each more is counted.
const BARREN_MAX: usize = 3;

/// What is asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Probe {
    /// Whether the process would be better restarted.
    Live,
    /// Whether traffic may come.
    Ready,
    /// How we are.
    Health,
}

/// The answer, and what it rests on.
pub(super) struct Report<'a> {
    pub(super) passed: bool,
    name: &'static str,
    doors: &'a Doors,
}

impl<'a> Report<'a> {
    pub(super) fn of(doors: &'a Doors, probe: Probe) -> Self {
        let board = doors.health.process();
        let (alive, ready) = (board.heartbeat().is_alive(), board.readiness().is_ready());
        let (passed, name) = match probe {
            Probe::Live => (alive, "livez"),
            Probe::Ready => (ready, "readyz"),
            Probe::Health => (alive && ready && is_well(doors), "healthz"),
        };
        Self {
            passed,
            name,
            doors,
        }
    }

    /// One word, and what failed; or all of it. The network is not told what is configured.
    pub(super) fn text(&self, verbose: bool, reader: Reader) -> String {
        // Who asks this every second is answered without a look around.
        if self.passed && !verbose {
            return "ok\n".to_owned();
        }
        let mut text = String::new();
        for check in checks(self.doors) {
            if verbose || !check.passed {
                let sign = if check.passed { '+' } else { '-' };
                let said = match reader {
                    Reader::Here => &check.whole,
                    Reader::Network => &check.brief,
                };
                // Writing to a string cannot fail.
                let _ = writeln!(text, "[{sign}]{} {said}", check.name);
            }
        }
        let ended = if self.passed { "passed" } else { "failed" };
        text.push_str(&format!("{} check {ended}\n", self.name));
        text
    }
}

/// A check: whether it passed, its name, what anybody may know of it, and what is known here.
struct Check {
    passed: bool,
    name: &'static str,
    brief: String,
    whole: String,
}

impl Check {
    /// One of which anybody may know all.
    fn open(passed: bool, name: &'static str, said: impl Into<String>) -> Self {
        let whole = said.into();
        Self {
            passed,
            name,
            brief: whole.clone(),
            whole,
        }
    }
}

fn checks(doors: &Doors) -> [Check; 9] {
    let board = doors.health.process();
    let readiness = board.readiness();
    [
        live(board),
        Check::open(readiness.is_ready(), "ready", readiness.as_str()),
        health(doors),
        bundles(doors),
        policy(doors),
        socket(doors.health.socket_lost()),
        places(doors),
        state_dir(doors),
        audit(&doors.health.recording()),
    ]
}

fn live(board: &ProcessHealth) -> Check {
    let silence_ms = board.heartbeat().silence().as_millis();
    let most_ms = SILENCE_MAX.as_millis();
    let said = format!("last sign of life {silence_ms} ms ago, at most {most_ms} ms");
    Check::open(board.heartbeat().is_alive(), "live", said)
}

/// Whether anybody is served as the policy has it.
fn is_well(doors: &Doors) -> bool {
    is_healthy(doors) && !doors.health.recording().refuses
}

fn is_healthy(doors: &Doors) -> bool {
    matches!(
        doors.health.process().health(),
        Health::Healthy | Health::Degraded
    )
}

/// How the agent is; while SPIRE is away, why, and what to do.
fn health(doors: &Doors) -> Check {
    let trust = &doors.judge.trust;
    let (health, phase) = (doors.health.process().health(), trust.phase());
    let said = format!("{}, SPIRE {}", health.as_str(), phase.as_str());
    let mut whole = said.clone();
    if let Some(why) = trust.why() {
        let socket = &doors.configured.settings().spire_socket().value;
        let (error, remedy) = (one_line(&why.error), and_to_do(&one_line(&why.remedy)));
        // A string takes whatever is written.
        let _ = write!(whole, ": {socket}: {error}{remedy}");
    }
    if health == Health::Unhealthy && is_unenforced(doors) {
        whole.push_str("; enforce is off: who would be refused passes unverified");
    }
    Check {
        whole,
        ..Check::open(is_healthy(doors), "health", said)
    }
}

/// Whether every policy in force lets pass whom it denies. How the agent is, is said as if they did not:
/// a roll-out is there to show it.
fn is_unenforced(doors: &Doors) -> bool {
    let policies = doors.policies();
    !policies.is_empty() && policies.iter().all(|policy| !policy.failure().enforce)
}

/// SPIRE's own words may be among them.
fn one_line(text: &str) -> String {
    text.replace(char::is_control, " ")
}

/// Whether somebody of each trust domain can be verified; else of whom not, why, and what to do.
fn bundles(doors: &Doors) -> Check {
    let world = doors.judge.trust.load();
    let barren: Vec<_> = match doors.judge.trust.coverage() {
        // Looked at a second ago at most: nobody who asks often has them all looked at again.
        Coverage::Every => Vec::new(),
        Coverage::Some | Coverage::Nobody => world.snapshot().barren(doors.clock.now()).collect(),
    };
    let told = barren.iter().take(BARREN_MAX);
    let told = told.map(|(domain, why)| format!("{domain}: {why}; {}", why.remedy()));
    let mut told: Vec<String> = told.collect();
    if barren.len() > told.len() {
        told.push(format!("and {} more", barren.len() - told.len()));
    }
    let told = told.join("; ");
    let said = match Coverage::of(barren.len(), world.snapshot().len()) {
        _ if world.snapshot().is_empty() => {
            "there are none: nobody can be verified before SPIRE gives some"
        }
        Coverage::Every => "each trust domain at hand has a usable authority",
        Coverage::Some => "a trust domain has no usable authority",
        Coverage::Nobody => "no trust domain has a usable authority: nobody can be verified",
    };
    let well = barren.is_empty() && !world.snapshot().is_empty();
    let whole = match told.is_empty() {
        true => said.to_owned(),
        false => format!("{said}: {told}"),
    };
    Check {
        whole,
        ..Check::open(well, "bundles", said)
    }
}

/// Whether the bundles are of trust domains that the policy names.
fn policy(doors: &Doors) -> Check {
    let trust = &doors.judge.trust;
    let Some(why) = trust.foreign() else {
        let there_are_none = trust.load().snapshot().is_empty();
        return Check::open(true, "policy", held(there_are_none, &doors.policies()));
    };
    Check {
        whole: format!("{why}: {}", why.remedy()),
        ..Check::open(
            false,
            "policy",
            "the bundles are of other trust domains than a policy's",
        )
    }
}

/// What came of holding the policies against the bundles, where that is no complaint.
fn held(there_are_none: bool, policies: &[Arc<Policy>]) -> &'static str {
    let allows_nobody = |policy: &Arc<Policy>| policy.allow().is_empty();
    match (there_are_none, policies.is_empty()) {
        (_, true) => "no policy is in force, until --config or a push gives one",
        (true, false) => "not held against bundles: there are none",
        (false, false) if policies.iter().all(allows_nobody) => {
            "the allowlist is empty: it names no trust domain, and allows nobody"
        }
        (false, false) => "there are bundles of trust domains that the allowlist names",
    }
}

/// Whether decisions are recorded.
fn audit(recording: &Recording) -> Check {
    let Some(complaint) = recording.complaint() else {
        return Check::open(true, "audit", "no sink is in trouble");
    };
    let said = match recording.refuses {
        true => "requests are refused for the want of records",
        false => "records are in trouble",
    };
    Check {
        whole: complaint,
        ..Check::open(false, "audit", said)
    }
}

/// Whether a proxy that starts finds us.
fn socket(lost: Option<Lost>) -> Check {
    let Some(lost) = lost else {
        return Check::open(
            true,
            "socket",
            "the agent's socket is where proxies find it",
        );
    };
    let said = match lost {
        Lost::Gone | Lost::Replaced => "the agent's socket is gone from its path",
        Lost::Taken(_) => "the agent's socket is not at its path, where another process listens",
    };
    Check {
        whole: format!("the agent's socket is {lost}; {}", lost.remedy()),
        ..Check::open(false, "socket", said)
    }
}

/// Whether who connects is heard.
fn places(doors: &Doors) -> Check {
    let full = doors.places.full();
    let told: Vec<String> = full.iter().map(Full::to_string).collect();
    match told.is_empty() {
        true => Check::open(true, "doors", "each has a place for whoever connects next"),
        false => Check::open(false, "doors", told.join("; ")),
    }
}

/// Whether who starts next finds what we know.
fn state_dir(doors: &Doors) -> Check {
    let keeping = doors.health.keeping();
    let trouble = keeping.trouble();
    let kept = match doors.configured.settings().agent().state_dir {
        Some(_) => keeping.holds().as_str(),
        None => "no state-dir: a restart while SPIRE is away begins with nothing",
    };
    match trouble {
        None => Check::open(true, "state-dir", kept),
        Some(trouble) => Check {
            whole: trouble.complaint(),
            ..Check::open(false, "state-dir", "it takes nothing")
        },
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test may panic")]
    use super::*;

    fn allowing(entries: &str) -> Arc<Policy> {
        let text = format!("allowlist {{ {entries} }}");
        let file = config::FileConfig::parse("test.kdl", &text).unwrap();
        let settings = config::Settings::resolve(Some(file), &config::Overrides::default());
        Arc::new(Policy::new(settings.unwrap().policy().cloned().unwrap()))
    }

    /// One line says one thing.
    #[test]
    fn what_the_policy_was_held_against_is_said_for_each_case() {
        let (some, nobody) = (allowing("any #true"), allowing(""));
        for (there_are_none, policies, says) in [
            (false, vec![], "no policy is in force"),
            (true, vec![Arc::clone(&some)], "there are none"),
            (false, vec![Arc::clone(&nobody)], "allows nobody"),
            (false, vec![nobody, some], "bundles of trust domains"),
        ] {
            let said = held(there_are_none, &policies);
            assert!(said.contains(says) && !said.contains(" or it"), "{said}");
        }
    }
}
