//! Every degraded state reaches `Live` within a bound, once the cause is gone.

use verdict::availability::{Phase, RETRY_OUR_FAULT_MS};

use super::Violation;
use crate::simulate::schedule::Times;

/// Beside what the terms allow an attempt to take: the longest wait between two, and what a call,
/// a look around and the restart of an actor take. ms.
const SLACK_MS: u64 = 3_000;

/// Whether anything stands in the way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Way {
    /// SPIRE answers, and the agent's watcher is alive and awake.
    Clear,
    /// Something does.
    Blocked,
}

/// How long the way has been clear.
#[derive(Clone, Copy, Debug, Default)]
pub struct FindsBack {
    clear_since_ms: Option<u64>,
    /// Whether it was found since.
    found: bool,
    /// Whether the fault mark stood while it was clear: then attempts are rare on purpose.
    ours: bool,
}

impl FindsBack {
    /// What is so at this moment; the ms that the way back took, at the moment it ends.
    ///
    /// # Errors
    /// It takes too long.
    pub fn see(
        &mut self,
        way: Way,
        phase: Phase,
        ours: bool,
        times: Times,
        at_ms: u64,
    ) -> Result<Option<Took>, Violation> {
        if way == Way::Blocked {
            *self = Self::default();
            return Ok(None);
        }
        let since_ms = *self.clear_since_ms.get_or_insert(at_ms);
        self.ours |= ours;
        let took_ms = at_ms.saturating_sub(since_ms);
        if phase == Phase::Live {
            let first = !self.found;
            self.found = true;
            let kind = if self.ours {
                Took::AfterOurFault(took_ms)
            } else {
                Took::Usual(took_ms)
            };
            self.clear_since_ms = Some(at_ms);
            self.ours = false;
            return Ok(first.then_some(kind));
        }
        self.found = false;
        let fault_ms = if self.ours { RETRY_OUR_FAULT_MS } else { 0 };
        let bound_ms = times.api_timeout_ms + fault_ms + SLACK_MS;
        if took_ms > bound_ms {
            let what = format!(
                "{} for {took_ms} ms with the way clear, bound {bound_ms} ms",
                phase.as_str()
            );
            return Err(Violation::new("finds_back", what));
        }
        Ok(None)
    }
}

/// How long the way back took, ms.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Took {
    /// After an absence.
    Usual(u64),
    /// After one in which we called SPIRE wrongly.
    AfterOurFault(u64),
}
