//! The figures of all seeds, and what must be true of them.

use std::collections::BTreeMap;

use chaos::simulate::coverage::Coverage;
use chaos::simulate::oracles::{Took, Violation};
use chaos::simulate::play::Outcome;
use chaos::simulate::schedule::{BREAKING_MS, DECISIONS_MIN};
use verdict::availability::{Blame, RETRY_MAX_LOCAL_MS};

use crate::commands::{CommandError, terminal};

/// What every seed holds at least, beside an hour and decisions.
const FAULTS_MIN: u64 = 20;
const _: () = assert!(BREAKING_MS >= 3_600_000, "a seed is an hour at least");

/// The way back that is promised at p99, ms.
const P99_BOUND_MS: u64 = 2_000;
/// After this many outages there is a p99 to speak of.
const OUTAGES_MIN: u64 = 1_000;

/// This many seeds meet every fault in every state.
const COMPLETE_SEEDS: u64 = 1_000;

/// How many unmet pairs are told of; the rest are counted.
const TOLD_MAX: usize = 10;

/// A seed that broke a promise.
pub(super) struct Broken {
    pub(super) seed: u64,
    pub(super) at_ms: u64,
    pub(super) violation: Violation,
}

/// What came of all seeds.
#[derive(Default)]
pub(super) struct Total {
    pub(super) seeds: u64,
    /// The first of those that broke, by seed: as many as are told of.
    pub(super) broken: BTreeMap<u64, Broken>,
    pub(super) broken_count: u64,
    decisions: u64,
    faults: u64,
    least: Option<Least>,
    theirs: Ways,
    ours: Ways,
    coverage: Coverage,
}

/// The poorest seed by either measure.
#[derive(Clone, Copy)]
struct Least {
    decisions: u64,
    faults: u64,
}

impl Total {
    pub(super) fn add(&mut self, seed: u64, outcome: Outcome) {
        self.seeds += 1;
        self.decisions += outcome.decisions;
        self.faults += outcome.faults;
        self.coverage.add(&outcome.coverage);
        for took in &outcome.took {
            match took.blame {
                Blame::Theirs => self.theirs.add(took),
                Blame::Ours => self.ours.add(took),
            }
        }
        if let Some((at_ms, violation)) = outcome.violation {
            self.broken_count += 1;
            self.broken.insert(
                seed,
                Broken {
                    seed,
                    at_ms,
                    violation,
                },
            );
            while self.broken.len() > super::TOLD_MAX {
                self.broken.pop_last();
            }
            return;
        }
        let least = self.least.unwrap_or(Least {
            decisions: u64::MAX,
            faults: u64::MAX,
        });
        self.least = Some(Least {
            decisions: least.decisions.min(outcome.decisions),
            faults: least.faults.min(outcome.faults),
        });
    }

    /// Prints the figures.
    ///
    /// # Errors
    /// Nobody reads.
    pub(super) fn print(&self, wall_s: u64) -> Result<(), CommandError> {
        let hours = self.seeds.saturating_mul(BREAKING_MS) / 3_600_000;
        terminal::say(&self.coverage.to_string())?;
        terminal::say(&format!(
            "{} seeds, {hours} simulated hours, {} decisions, {} faults, {wall_s} s; {} broken",
            self.seeds, self.decisions, self.faults, self.broken_count
        ))?;
        if let Some(Least { decisions, faults }) = self.least {
            terminal::say(&format!(
                "the poorest seed: 1 hour, {decisions} decisions, {faults} faults"
            ))?;
        }
        terminal::say(&format!(
            "Live again after outages longer than {RETRY_MAX_LOCAL_MS} ms: {}",
            self.theirs
        ))?;
        terminal::say(&format!(
            "the same while SPIRE says that we call it wrongly, tried every 30 s: {}",
            self.ours
        ))
    }

    /// What is not as it must be, a line each.
    pub(super) fn complaints(&self) -> Vec<String> {
        let rowless = self.coverage.without_row().into_iter();
        let mut complaints: Vec<_> = rowless
            .map(|fault| format!("{fault} has no row in the coverage table"))
            .collect();
        if let Some(Least { decisions, faults }) = self.least
            && (decisions < DECISIONS_MIN || faults < FAULTS_MIN)
        {
            complaints.push(format!(
                "a seed holds at least {DECISIONS_MIN} decisions and {FAULTS_MIN} faults"
            ));
        }
        let missing = self.coverage.missing();
        if self.seeds >= COMPLETE_SEEDS {
            let told = missing.iter().take(TOLD_MAX);
            complaints
                .extend(told.map(|(fault, state)| format!("{fault} was never met in {state}")));
        }
        if self.theirs.count >= OUTAGES_MIN && self.theirs.percentile(99) > P99_BOUND_MS {
            complaints.push(format!("p99 of the way back is over {P99_BOUND_MS} ms"));
        }
        complaints
    }
}

/// How often a way back took so many milliseconds: as many figures as there are durations, however many
/// seeds are played.
#[derive(Default)]
struct Ways {
    count: u64,
    by_ms: BTreeMap<u64, u64>,
}

impl Ways {
    /// One from an absence of SPIRE that no single wait between two attempts could hide.
    fn add(&mut self, took: &Took) {
        if took.away_ms > RETRY_MAX_LOCAL_MS {
            self.count += 1;
            *self.by_ms.entry(took.took_ms).or_default() += 1;
        }
    }

    fn percentile(&self, percent: u64) -> u64 {
        let at = self.count.saturating_mul(percent) / 100;
        let at = at.min(self.count.saturating_sub(1));
        let mut before = 0;
        let mut ways = self.by_ms.iter();
        let found = ways.find(|(_, count)| {
            before += **count;
            before > at
        });
        found.map_or(0, |(took_ms, _)| *took_ms)
    }
}

impl std::fmt::Display for Ways {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(
            out,
            "{} times, p50 {} ms, p99 {} ms, longest {} ms",
            self.count,
            self.percentile(50),
            self.percentile(99),
            self.percentile(100)
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ways_back_are_counted_by_how_long_they_took() {
        let mut ways = Ways::default();
        assert_eq!((ways.percentile(50), ways.percentile(100)), (0, 0));
        let mut add = |away_ms, took_ms| {
            ways.add(&Took {
                away_ms,
                took_ms,
                blame: Blame::Theirs,
            });
        };
        (0..100).for_each(|took_ms| add(RETRY_MAX_LOCAL_MS + 1, took_ms / 10));
        add(RETRY_MAX_LOCAL_MS, 9_999);
        assert_eq!((ways.count, ways.by_ms.len()), (100, 10));
        let of = |percent| ways.percentile(percent);
        assert_eq!(
            (of(0), of(9), of(10), of(50), of(99), of(100)),
            (0, 0, 1, 5, 9, 9)
        );
    }
}
