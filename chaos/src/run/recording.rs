//! What happened in a run: values only, so that promises are judged without running anything.
//!
//! All moments are milliseconds since the load began.

use std::collections::HashMap;
use std::fmt;

use verdict::availability::Phase;

use crate::scenario::action::Action;
use crate::scenario::answer::Said;
use crate::scenario::caller::Caller;

/// Moments are whole milliseconds, those of an answer's begin and of its length: one that seems to end
/// with the millisecond in which a step began may have met it, ms.
const GRAIN_MS: u64 = 2;

/// One run.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Recording {
    /// When it was over.
    pub ended_ms: u64,
    /// What was done, in order.
    pub events: Vec<Event>,
    /// What was asked, and what came of it.
    pub observations: Vec<Observation>,
    /// The trust source's states, as logged.
    pub transitions: Vec<Transition>,
    /// Actors that the supervisor started again: when, and its path in the tree.
    pub restarts: Vec<(u64, String)>,
    /// Lines of the agent's log.
    pub log: Vec<String>,
    /// The agent's processes, one after the other.
    pub lives: Vec<Life>,
    /// Its decision records, by the request's id.
    pub records: HashMap<String, Vec<Record>>,
}

/// A step of the timeline.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Event {
    /// When it was to happen.
    pub planned_ms: u64,
    /// When it began.
    pub began_ms: u64,
    /// When it was done.
    pub done_ms: u64,
    /// What.
    pub action: Action,
}

/// A request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Observation {
    /// Its id.
    pub id: String,
    /// Who asked.
    pub caller: Caller,
    /// When.
    pub sent_ms: u64,
    /// How long until it was over, microseconds.
    pub took_us: u64,
    /// What came of it.
    pub outcome: Outcome,
}

/// What came of a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// An answer.
    Said(Said),
    /// An answer that lets somebody be who he is not, that no proxy could use, or a denial with another
    /// status than its reason's.
    Wrong(String),
    /// The connection ended before the answer.
    Lost,
    /// There was no connection to send it on.
    Unsent,
    /// Nothing came for as long as the client waits.
    Silent,
}

/// A change of the trust source's state.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Transition {
    /// When it was logged.
    pub at_ms: u64,
    /// The new state.
    pub to: Phase,
}

/// A process of the agent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Life {
    /// When it began to serve.
    pub serving_ms: u64,
    /// When it ended, if it did.
    pub ended_ms: Option<u64>,
    /// Whether the timeline ended it.
    pub as_told: bool,
}

/// A decision record, as far as promises look at it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Record {
    /// `allow` or `deny`.
    pub verdict: String,
    /// `reason`, if it has one.
    pub reason: Option<String>,
    /// `identity`.
    pub identity: String,
    /// `state`.
    pub state: Option<String>,
}

impl fmt::Display for Record {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            verdict, identity, ..
        } = self;
        write!(f, "{verdict} as {identity}")?;
        let more = [("for", &self.reason), ("in state", &self.state)];
        more.iter()
            .filter_map(|(word, said)| Some((word, said.as_ref()?)))
            .try_for_each(|(word, said)| write!(f, " {word} {said}"))
    }
}

impl Observation {
    /// When it was over.
    #[must_use]
    pub const fn ended_ms(&self) -> u64 {
        self.sent_ms.saturating_add(self.took_us / 1_000)
    }
}

impl Record {
    /// The answer that this is the record of.
    #[must_use]
    pub fn said(&self) -> Option<Said> {
        match (&*self.verdict, &*self.identity, &self.reason) {
            ("allow", "verified", _) => Some(Said::Verified),
            ("allow", "unverified-fail-open", _) => Some(Said::FailOpen),
            ("deny", _, Some(reason)) => Said::from_word(reason),
            _ => None,
        }
    }
}

impl Recording {
    /// The moment at which everything planned up to and including `planned_ms` was done.
    #[must_use]
    pub fn after(&self, planned_ms: u64) -> u64 {
        let done = self
            .events
            .iter()
            .filter(|event| event.planned_ms <= planned_ms);
        match done.max_by_key(|event| event.done_ms) {
            // The same distance from the last step as planned.
            Some(last) => last.done_ms + (planned_ms - last.planned_ms),
            None => planned_ms,
        }
    }

    /// The moment just before anything planned for `planned_ms` began.
    #[must_use]
    pub fn before(&self, planned_ms: u64) -> u64 {
        let mut later = self.events.iter();
        let next = later.find(|event| event.planned_ms >= planned_ms);
        let earlier = self
            .events
            .iter()
            .filter(|event| event.planned_ms < planned_ms);
        let reached = match earlier.max_by_key(|event| event.began_ms) {
            Some(last) => last.began_ms + (planned_ms - last.planned_ms),
            None => planned_ms,
        };
        next.map_or(reached, |next| {
            reached.min(next.began_ms.saturating_sub(GRAIN_MS))
        })
    }

    /// Stretches in which no answer can be asked of the agent: its process is down or does not run.
    #[must_use]
    pub fn absences(&self) -> Vec<(u64, u64)> {
        let mut absences: Vec<(u64, u64)> = Vec::new();
        for (at, life) in self.lives.iter().enumerate() {
            if let Some(ended_ms) = life.ended_ms.filter(|_| life.as_told) {
                let next = self.lives.get(at + 1);
                absences.push((ended_ms, next.map_or(u64::MAX, |next| next.serving_ms)));
            }
        }
        absences.extend(self.suspensions());
        absences
    }

    fn suspensions(&self) -> Vec<(u64, u64)> {
        use crate::scenario::action::Process;
        let mut stretches = Vec::new();
        let mut since = None;
        for event in &self.events {
            match event.action {
                Action::Agent(Process::Suspend) => since = Some(event.began_ms),
                Action::Agent(Process::Resume) => {
                    stretches.extend(since.take().map(|since| (since, event.done_ms)));
                }
                _ => {}
            }
        }
        stretches
    }
}
