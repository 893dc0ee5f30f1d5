//! `/livez`, `/readyz`, `/healthz`: a line each, or with `?verbose` a line for each check.

use std::fmt::Write as _;

use verdict::trust::Coverage;

use crate::audit::Recording;
use crate::doors::Doors;
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
#[derive(Debug)]
pub(super) struct Report {
    pub(super) passed: bool,
    name: &'static str,
    checks: Vec<Check>,
}

impl Report {
    pub(super) fn of(doors: &Doors, probe: Probe) -> Self {
        let board = doors.health.process();
        let (alive, ready) = (board.heartbeat().is_alive(), board.readiness().is_ready());
        let checks = vec![
            live(board),
            (ready, "ready", board.readiness().as_str().to_owned()),
            health(doors),
            bundles(doors),
            policy(doors),
            socket(doors.health.socket_is_gone()),
            state_dir(doors),
            audit(&doors.health.recording()),
        ];
        let (passed, name) = match probe {
            Probe::Live => (alive, "livez"),
            Probe::Ready => (ready, "readyz"),
            Probe::Health => (alive && ready && is_well(doors), "healthz"),
        };
        Self {
            passed,
            name,
            checks,
        }
    }

    /// One word, and what failed; or all of it.
    pub(super) fn text(&self, verbose: bool) -> String {
        let mut text = String::new();
        for (passed, name, said) in &self.checks {
            if verbose || !self.passed && !passed {
                let sign = if *passed { '+' } else { '-' };
                // Writing to a string cannot fail.
                let _ = writeln!(text, "[{sign}]{name} {said}");
            }
        }
        match (self.passed, verbose) {
            (true, false) => text.push_str("ok\n"),
            (true, true) => text.push_str(&format!("{} check passed\n", self.name)),
            (false, _) => text.push_str(&format!("{} check failed\n", self.name)),
        }
        text
    }
}

/// A check: whether it passed, its name, and what is said of it.
type Check = (bool, &'static str, String);

fn live(board: &ProcessHealth) -> Check {
    let silence_ms = board.heartbeat().silence().as_millis();
    let most_ms = SILENCE_MAX.as_millis();
    let said = format!("last sign of life {silence_ms} ms ago, at most {most_ms} ms");
    (board.heartbeat().is_alive(), "live", said)
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
    let mut said = format!("{}, SPIRE {}", health.as_str(), phase.as_str());
    if let Some(why) = trust.why() {
        let socket = &doors.configured.settings().spire_socket().value;
        let (error, remedy) = (one_line(&why.error), and_to_do(&one_line(&why.remedy)));
        // A string takes whatever is written.
        let _ = write!(said, ": {socket}: {error}{remedy}");
    }
    if health == Health::Unhealthy && is_unenforced(doors) {
        said.push_str("; enforce is off: who would be refused passes unverified");
    }
    (is_healthy(doors), "health", said)
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
            "there are none: nobody can be verified before SPIRE gives some".to_owned()
        }
        Coverage::Every => "each trust domain at hand has a usable authority".to_owned(),
        Coverage::Some => format!("a trust domain has no usable authority: {told}"),
        Coverage::Nobody => {
            format!("no trust domain has a usable authority: nobody can be verified: {told}")
        }
    };
    let well = barren.is_empty() && !world.snapshot().is_empty();
    (well, "bundles", said)
}

/// Whether the bundles are of trust domains that the policy names.
fn policy(doors: &Doors) -> Check {
    let trust = &doors.judge.trust;
    let foreign = trust.foreign();
    let said = match &foreign {
        Some(why) => format!("{why}: {}", why.remedy()),
        None if trust.load().snapshot().is_empty() => {
            "not held against bundles: there are none".to_owned()
        }
        None => "bundles are there for the policy, or it names no trust domain".to_owned(),
    };
    (foreign.is_none(), "policy", said)
}

/// Whether decisions are recorded.
fn audit(recording: &Recording) -> Check {
    let complaint = recording.complaint();
    let well = complaint.is_none();
    let said = complaint.unwrap_or_else(|| "no sink is in trouble".to_owned());
    (well, "audit", said)
}

/// Whether a proxy that starts finds us.
fn socket(gone: bool) -> Check {
    let said = match gone {
        false => "the agent's socket is where proxies find it",
        true => "the agent's socket is gone from its path: restart the agent",
    };
    (!gone, "socket", said.to_owned())
}

/// Whether who starts next finds what we know.
fn state_dir(doors: &Doors) -> Check {
    let keeping = doors.health.keeping();
    let trouble = keeping.trouble();
    let kept = match doors.configured.settings().agent().state_dir {
        Some(_) => keeping.holds().as_str(),
        None => "no state-dir: a restart while SPIRE is away begins with nothing",
    };
    let said = trouble
        .as_ref()
        .map_or_else(|| kept.to_owned(), |trouble| trouble.complaint());
    (trouble.is_none(), "state-dir", said)
}
