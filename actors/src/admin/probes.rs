//! `/livez`, `/readyz`, `/healthz`: a line each, or with `?verbose` a line for each check.

use std::fmt::Write as _;

use verdict::trust::{Coverage, Foreign};

use crate::doors::Doors;
use crate::health::{Health, SILENCE_MAX};

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
    checks: Vec<(bool, &'static str, String)>,
}

impl Report {
    pub(super) fn of(doors: &Doors, probe: Probe) -> Self {
        let board = doors.health.process();
        let (alive, readiness, health) = (
            board.heartbeat().is_alive(),
            board.readiness(),
            board.health(),
        );
        let recording = doors.health.recording();
        let (refuses, complaint) = (recording.refuses, recording.complaint());
        let phase = doors.judge.trust.phase().as_str();
        let healthy = matches!(health, Health::Healthy | Health::Degraded);
        let silence_ms = board.heartbeat().silence().as_millis();
        let checks = vec![
            (
                alive,
                "live",
                format!(
                    "last sign of life {silence_ms} ms ago, at most {} ms",
                    SILENCE_MAX.as_millis()
                ),
            ),
            (readiness.is_ready(), "ready", readiness.as_str().to_owned()),
            (
                healthy,
                "health",
                format!("{}, SPIRE {phase}", health.as_str()),
            ),
            bundles(doors.judge.trust.coverage()),
            policy(doors.judge.trust.foreign()),
            socket(doors.health.socket_is_gone()),
            state_dir(doors),
            (
                !refuses,
                "audit",
                complaint.unwrap_or_else(|| "no sink is in trouble".to_owned()),
            ),
        ];
        let (passed, name) = match probe {
            Probe::Live => (alive, "livez"),
            Probe::Ready => (readiness.is_ready(), "readyz"),
            Probe::Health => (
                alive && readiness.is_ready() && healthy && !refuses,
                "healthz",
            ),
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

/// Whether somebody of each trust domain can be verified.
fn bundles(coverage: Coverage) -> (bool, &'static str, String) {
    let said = match coverage {
        Coverage::Every => "each trust domain at hand has a usable authority",
        Coverage::Some => "a trust domain has no usable authority: /status says which, and why",
        Coverage::Nobody => "no trust domain has a usable authority: nobody can be verified",
    };
    (coverage == Coverage::Every, "bundles", said.to_owned())
}

/// Whether the bundles are of trust domains that the policy names.
fn policy(foreign: Option<Foreign>) -> (bool, &'static str, String) {
    let said = foreign
        .as_ref()
        .map(|why| format!("{why}: {}", why.remedy()));
    let well = "bundles are there for the policy, or it names no trust domain";
    (
        foreign.is_none(),
        "policy",
        said.unwrap_or_else(|| well.to_owned()),
    )
}

/// Whether a proxy that starts finds us.
fn socket(gone: bool) -> (bool, &'static str, String) {
    let said = match gone {
        false => "the agent's socket is where proxies find it",
        true => "the agent's socket is gone from its path: restart the agent",
    };
    (!gone, "socket", said.to_owned())
}

/// Whether who starts next finds what we know.
fn state_dir(doors: &Doors) -> (bool, &'static str, String) {
    let trouble = doors.health.keeping().trouble();
    let kept = match doors.configured.settings().agent().state_dir {
        Some(_) => "bundles are kept on disk",
        None => "no state-dir: a restart while SPIRE is away begins with nothing",
    };
    let said = trouble
        .as_ref()
        .map_or_else(|| kept.to_owned(), |trouble| trouble.complaint());
    (trouble.is_none(), "state-dir", said)
}
