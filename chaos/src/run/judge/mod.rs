//! Promises held against a recording. Pure: a recording in, verdicts out.

mod always;
mod told;

use crate::scenario::Scenario;
use crate::scenario::promise::{Always, Kind};

use super::recording::Recording;
pub(super) use always::SLACK_MS;

#[cfg(test)]
mod tests;

/// A promise, and whether it was kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Verdict {
    /// The promise's name.
    pub promise: String,
    /// What shows it, or what broke it.
    pub finding: Finding,
}

/// What was found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Finding {
    /// Kept, and what shows it.
    Kept(String),
    /// Broken, and how.
    Broken(String),
    /// Nobody looked, and why: this shows nothing.
    NotJudged(String),
}

impl Finding {
    /// Whether the promise was kept.
    #[must_use]
    pub const fn is_kept(&self) -> bool {
        matches!(self, Self::Kept(_))
    }

    /// Whether it was broken: what was not judged is neither.
    #[must_use]
    pub const fn is_broken(&self) -> bool {
        matches!(self, Self::Broken(_))
    }

    /// What was found, in words.
    #[must_use]
    pub fn words(&self) -> &str {
        match self {
            Self::Kept(words) | Self::Broken(words) | Self::NotJudged(words) => words,
        }
    }
}

impl From<Result<String, String>> for Finding {
    fn from(result: Result<String, String>) -> Self {
        result.map_or_else(Self::Broken, Self::Kept)
    }
}

/// Every promise of the scenario, those that are given unasked first.
#[must_use]
pub fn judge(scenario: &Scenario, recording: &Recording) -> Vec<Verdict> {
    let always = Always::ALL.iter().map(|always| Verdict {
        promise: always.as_str().to_owned(),
        finding: always::finding(*always, scenario, recording).into(),
    });
    let told = scenario.promises.iter().map(|promise| Verdict {
        promise: promise.name.clone(),
        finding: finding(&promise.kind, recording).into(),
    });
    always.chain(told).collect()
}

fn finding(kind: &Kind, recording: &Recording) -> Result<String, String> {
    match kind {
        Kind::Window { .. } => told::window(kind, recording),
        Kind::Recovery {
            after_ms,
            within_ms,
            callers,
            answer,
        } => told::recovery(
            recording,
            (recording.before(*after_ms), recording.after(*after_ms)),
            *within_ms,
            callers,
            *answer,
        ),
        Kind::Recoveries {
            after,
            within_ms,
            callers,
            answer,
        } => told::recoveries(recording, *after, *within_ms, callers, *answer),
        Kind::Transitions { in_order, never } => told::transitions(recording, in_order, never),
        Kind::Restarts { actor, least, most } => told::restarts(recording, actor, *least, *most),
        Kind::Says(texts) => told::says(recording, texts),
    }
}
