//! Every degraded state reaches `Live` within a bound, once the cause is gone.

use verdict::availability::{Blame, Phase, RETRY_OUR_FAULT_MS};

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
    /// SPIRE does not answer as it should.
    NoSource,
    /// It does, but nobody listens.
    NoAgent,
    /// Both.
    Neither,
}

/// A way back that ended in `Live`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Took {
    /// How long SPIRE was away before, ms; 0 if only the agent was.
    pub away_ms: u64,
    /// From the moment the way was clear, ms.
    pub took_ms: u64,
    /// `Ours`: the fault mark stood while the way was clear, and attempts are rare on purpose.
    pub blame: Blame,
}

/// How long the way has been clear.
#[derive(Clone, Copy, Debug, Default)]
pub struct FindsBack {
    /// Since when SPIRE does not answer, ms.
    away_since_ms: Option<u64>,
    /// How long its last absence was, ms.
    away_ms: u64,
    /// The way back, while it is gone.
    back: Option<Back>,
}

#[derive(Clone, Copy, Debug)]
struct Back {
    since_ms: u64,
    blame: Blame,
}

impl FindsBack {
    /// What is so at this moment; the way back, at the moment it ends.
    ///
    /// # Errors
    /// It takes too long.
    pub fn see(
        &mut self,
        way: Way,
        (phase, blame): (Phase, Blame),
        times: Times,
        at_ms: u64,
    ) -> Result<Option<Took>, Violation> {
        self.count_absence(way, at_ms);
        if way != Way::Clear {
            self.back = None;
            return Ok(None);
        }
        if phase == Phase::Live {
            return Ok(self.arrive(at_ms));
        }
        let mut back = self.back.unwrap_or(Back {
            since_ms: at_ms,
            blame,
        });
        if blame == Blame::Ours {
            back.blame = blame;
        }
        self.back = Some(back);
        let (took_ms, bound_ms) = (at_ms.saturating_sub(back.since_ms), bound_ms(back, times));
        if took_ms > bound_ms {
            let what = format!(
                "{} for {took_ms} ms with the way clear, bound {bound_ms} ms",
                phase.as_str()
            );
            return Err(Violation::new("finds_back", what));
        }
        Ok(None)
    }

    fn count_absence(&mut self, way: Way, at_ms: u64) {
        if matches!(way, Way::NoSource | Way::Neither) {
            self.away_since_ms.get_or_insert(at_ms);
        } else if let Some(since_ms) = self.away_since_ms.take() {
            self.away_ms = at_ms.saturating_sub(since_ms);
        }
    }

    /// None if it never left: not every absence is long enough to be noticed.
    fn arrive(&mut self, at_ms: u64) -> Option<Took> {
        let away_ms = std::mem::take(&mut self.away_ms);
        self.back.take().map(|back| Took {
            away_ms,
            took_ms: at_ms.saturating_sub(back.since_ms),
            blame: back.blame,
        })
    }
}

fn bound_ms(back: Back, times: Times) -> u64 {
    let fault_ms = match back.blame {
        Blame::Ours => RETRY_OUR_FAULT_MS,
        Blame::Theirs => 0,
    };
    times.api_timeout_ms + fault_ms + SLACK_MS
}
