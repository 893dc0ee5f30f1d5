//! The figures of all seeds, and what must be true of them.

use chaos::simulate::coverage::Coverage;
use chaos::simulate::oracles::{Took, Violation};
use chaos::simulate::play::Outcome;
use chaos::simulate::schedule::{BREAKING_MS, DECISIONS_MIN};
use verdict::availability::{Blame, RETRY_MAX_LOCAL_MS};

/// What every seed holds at least, beside an hour and decisions.
const FAULTS_MIN: u64 = 20;
const _: () = assert!(BREAKING_MS >= 3_600_000, "a seed is an hour at least");

/// The way back that is promised at p99, ms.
const P99_BOUND_MS: u64 = 2_000;
/// After this many outages there is a p99 to speak of.
const OUTAGES_MIN: usize = 1_000;

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
    pub(super) broken: Vec<Broken>,
    decisions: u64,
    faults: u64,
    least: Option<Least>,
    took: Vec<Took>,
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
        self.took.extend(outcome.took);
        if let Some((at_ms, violation)) = outcome.violation {
            self.broken.push(Broken {
                seed,
                at_ms,
                violation,
            });
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
    pub(super) fn print(&self, wall_s: u64) {
        let hours = self.seeds.saturating_mul(BREAKING_MS) / 3_600_000;
        println!("{}", self.coverage);
        println!(
            "{} seeds, {hours} simulated hours, {} decisions, {} faults, {wall_s} s; {} broken",
            self.seeds,
            self.decisions,
            self.faults,
            self.broken.len()
        );
        if let Some(Least { decisions, faults }) = self.least {
            println!("the poorest seed: 1 hour, {decisions} decisions, {faults} faults");
        }
        let (theirs, ours) = (
            Ways::after(&self.took, Blame::Theirs),
            Ways::after(&self.took, Blame::Ours),
        );
        println!("Live again after outages longer than {RETRY_MAX_LOCAL_MS} ms: {theirs}");
        println!("the same while SPIRE says that we call it wrongly, tried every 30 s: {ours}");
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
        let ways = Ways::after(&self.took, Blame::Theirs);
        if ways.0.len() >= OUTAGES_MIN && ways.percentile(99) > P99_BOUND_MS {
            complaints.push(format!("p99 of the way back is over {P99_BOUND_MS} ms"));
        }
        complaints
    }
}

/// Ways back, ms, the shortest first.
struct Ways(Vec<u64>);

impl Ways {
    /// From absences of SPIRE that no single wait between two attempts could hide.
    fn after(took: &[Took], blame: Blame) -> Self {
        let long = took
            .iter()
            .filter(|took| took.away_ms > RETRY_MAX_LOCAL_MS && took.blame == blame);
        let mut ways: Vec<_> = long.map(|took| took.took_ms).collect();
        ways.sort_unstable();
        Self(ways)
    }

    fn percentile(&self, percent: usize) -> u64 {
        let at = (self.0.len() * percent / 100).min(self.0.len().saturating_sub(1));
        self.0.get(at).copied().unwrap_or_default()
    }
}

impl std::fmt::Display for Ways {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(
            out,
            "{} times, p50 {} ms, p99 {} ms, longest {} ms",
            self.0.len(),
            self.percentile(50),
            self.percentile(99),
            self.percentile(100)
        )
    }
}
