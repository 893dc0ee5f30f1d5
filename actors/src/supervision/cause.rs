//! Why a child ended, kept as a value where ractor keeps a string.

use std::error::Error;
use std::sync::Arc;

use ractor::{ActorProcessingErr, SpawnErr, SupervisionEvent};

use super::watched::TaskPanicked;

/// The longest text of a failure that is kept, in bytes: a line in a log, not a dump.
pub const CAUSE_TEXT_MAX: usize = 256;

/// Why a child ended although nobody ordered it to.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Cause {
    /// A handler panicked or returned an error.
    #[error("failed: {0}")]
    Failed(Arc<str>),
    /// It was killed, or its task was cancelled.
    #[error("was killed")]
    Killed,
    /// It stopped by itself, or somebody other than its supervisor stopped it.
    #[error("stopped unasked")]
    Stopped,
    /// Its start failed or panicked.
    #[error("did not start: {0}")]
    NotStarted(Arc<str>),
    /// Its start took longer than this many ms.
    #[error("did not start within {0} ms")]
    StartTimedOut(u64),
    /// It did not answer its supervisor for this many ms, and was killed for it.
    #[error("was wedged: it did not answer for {0} ms")]
    Wedged(u64),
    /// It is a supervisor whose own child used up its budget.
    #[error("gave up: {0}")]
    GaveUp(Arc<Escalation>),
}

/// A child used up its restart budget, so its supervisor fails.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{child} failed more than {max} times within {within_ms} ms, lastly it {cause}")]
pub struct Escalation {
    /// The child's path in the tree.
    pub child: Arc<str>,
    /// The most restarts its budget allowed.
    pub max: u32,
    /// The window of its budget, in ms.
    pub within_ms: u64,
    /// The failure that was one too many.
    pub cause: Cause,
}

impl Cause {
    pub(super) fn of_event(event: &SupervisionEvent) -> Self {
        match event {
            SupervisionEvent::ActorFailed(_, err) => Self::of_error(err, Self::Failed),
            // ractor tells a killed actor from a stopped one by this string alone.
            SupervisionEvent::ActorTerminated(_, _, Some(reason))
                if matches!(reason.as_str(), "killed" | "actor_task_cancelled") =>
            {
                Self::Killed
            }
            _ => Self::Stopped,
        }
    }

    pub(super) fn of_start(err: &SpawnErr) -> Self {
        match err {
            SpawnErr::StartupFailed(err) => Self::of_error(err, Self::NotStarted),
            other => Self::NotStarted(bounded(&other.to_string())),
        }
    }

    pub(super) fn of_panic(TaskPanicked(text): TaskPanicked) -> Self {
        Self::NotStarted(text)
    }

    fn of_error(err: &ActorProcessingErr, otherwise: fn(Arc<str>) -> Self) -> Self {
        match err.downcast_ref::<Escalation>() {
            Some(escalation) => Self::GaveUp(Arc::new(escalation.clone())),
            None => otherwise(chain(err.as_ref())),
        }
    }
}

/// An error and its sources in one bounded line.
fn chain(err: &(dyn Error + 'static)) -> Arc<str> {
    /// Deeper chains are cut: the text is bounded anyway.
    const SOURCES_MAX: usize = 8;
    let mut text = err.to_string();
    let mut source = err.source();
    for _ in 0..SOURCES_MAX {
        let Some(err) = source else { break };
        text.push_str(": ");
        text.push_str(&err.to_string());
        source = err.source();
    }
    bounded(&text)
}

/// Text that fits a log line: control characters become blanks, the rest is cut.
pub(super) fn bounded(text: &str) -> Arc<str> {
    let mut kept = String::with_capacity(text.len().min(CAUSE_TEXT_MAX));
    for c in text.chars() {
        let c = if c.is_control() { ' ' } else { c };
        if kept.len() + c.len_utf8() > CAUSE_TEXT_MAX {
            break;
        }
        kept.push(c);
    }
    kept.into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_is_cut_between_characters_and_cannot_forge_a_log_line() {
        assert_eq!(&*bounded("a\nb\x1b[2J"), "a b [2J");
        let long = "ä".repeat(CAUSE_TEXT_MAX);
        assert_eq!(bounded(&long).len(), CAUSE_TEXT_MAX);
        let odd = format!("x{long}");
        assert_eq!(bounded(&odd).len(), CAUSE_TEXT_MAX - 1);
    }

    #[test]
    fn an_error_is_told_with_its_sources() {
        #[derive(Debug, thiserror::Error)]
        #[error("could not open the sink")]
        struct Outer(#[source] std::fmt::Error);
        let text = chain(&Outer(std::fmt::Error));
        let source = std::fmt::Error.to_string();
        assert_eq!(*text, format!("could not open the sink: {source}"));
    }
}
