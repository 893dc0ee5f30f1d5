//! `simulate`: many seeds, each a play; tells what was broken, how it goes smaller, and what was covered.

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Instant;

use chaos::simulate::SimulateError;
use chaos::simulate::cast::Cast;
use chaos::simulate::coverage::Coverage;
use chaos::simulate::log::Log;
use chaos::simulate::oracles::{Took, Violation};
use chaos::simulate::play::play;
use chaos::simulate::schedule::{BREAKING_MS, Schedule};
use chaos::simulate::shrink::shrink;

/// How many broken seeds are told of; the rest are counted.
const TOLD_MAX: usize = 5;

/// The way back that is promised at p99, ms.
const P99_BOUND_MS: u64 = 2_000;

/// This many seeds meet every fault in every state.
const COMPLETE_SEEDS: u64 = 1_000;

/// What to simulate.
#[derive(Debug, clap::Args)]
pub(crate) struct Options {
    /// How many seeds.
    #[arg(long, default_value_t = 100)]
    seeds: u64,
    /// The first seed.
    #[arg(long, default_value_t = 0)]
    from: u64,
    /// Seeds from a file in place of a range: one number a line, `#` begins a comment.
    #[arg(long, conflicts_with_all = ["seeds", "from"])]
    seeds_of: Option<PathBuf>,
    /// Threads; 0 is one for each processor.
    #[arg(long, default_value_t = 0)]
    threads: usize,
    /// Where the logs of broken seeds go.
    #[arg(long, default_value = "target/chaos")]
    logs: PathBuf,
    /// Prints how often each fault met each state.
    #[arg(long)]
    coverage: bool,
}

/// What came of all seeds.
#[derive(Default)]
struct Total {
    seeds: u64,
    decisions: u64,
    faults: u64,
    /// The poorest seed: decisions and faults.
    least: Option<(u64, u64)>,
    took_ms: Vec<u64>,
    coverage: Coverage,
    broken: Vec<(u64, u64, Violation)>,
}

/// Runs the command.
///
/// # Errors
/// The cast cannot be made, or a file not read or written.
pub(crate) fn run(options: &Options) -> Result<ExitCode, super::CommandError> {
    let begun = Instant::now();
    let cast = Cast::new()?;
    let seeds = seeds(options)?;
    let mut total = simulate(&cast, &seeds, options.threads)?;
    total.broken.sort_by_key(|(seed, ..)| *seed);
    for (seed, at_ms, violation) in total.broken.iter().take(TOLD_MAX) {
        tell(&cast, *seed, *at_ms, violation, &options.logs)?;
    }
    let fine = summary(&mut total, options, begun.elapsed().as_secs());
    Ok(if fine {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}

fn seeds(options: &Options) -> Result<Vec<u64>, super::CommandError> {
    let Some(path) = &options.seeds_of else {
        return Ok((options.from..options.from.saturating_add(options.seeds)).collect());
    };
    let text = std::fs::read_to_string(path).map_err(|source| super::CommandError::File {
        path: path.clone(),
        source,
    })?;
    let lines = text
        .lines()
        .map(|line| line.split('#').next().unwrap_or_default().trim());
    let numbers = lines.filter(|line| !line.is_empty());
    numbers
        .map(|line| {
            line.parse().map_err(|_| super::CommandError::Seed {
                path: path.clone(),
                line: line.to_owned(),
            })
        })
        .collect()
}

fn simulate(cast: &Cast, seeds: &[u64], threads: usize) -> Result<Total, SimulateError> {
    let threads = match threads {
        0 => std::thread::available_parallelism().map_or(1, std::num::NonZero::get),
        threads => threads,
    };
    let (next, total) = (AtomicU64::new(0), Mutex::new(Total::default()));
    std::thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| {
                // A memory of its own for each seed, so no thread depends on another.
                while let Some(seed) = usize::try_from(next.fetch_add(1, Ordering::Relaxed))
                    .ok()
                    .and_then(|at| seeds.get(at))
                {
                    let outcome = play(cast, &Schedule::of(*seed), Log::Off);
                    let mut total = total.lock().unwrap_or_else(PoisonError::into_inner);
                    total.add(*seed, outcome);
                    progress(total.seeds, seeds.len());
                }
            });
        }
    });
    Ok(total.into_inner().unwrap_or_else(PoisonError::into_inner))
}

impl Total {
    fn add(&mut self, seed: u64, outcome: chaos::simulate::play::Outcome) {
        self.seeds += 1;
        self.decisions += outcome.decisions;
        self.faults += outcome.faults;
        if let Some((at_ms, violation)) = outcome.violation {
            self.broken.push((seed, at_ms, violation));
        } else {
            let (decisions, faults) = self.least.unwrap_or((u64::MAX, u64::MAX));
            self.least = Some((decisions.min(outcome.decisions), faults.min(outcome.faults)));
        }
        self.coverage.add(&outcome.coverage);
        self.took_ms
            .extend(outcome.took.iter().filter_map(|took| match took {
                Took::Usual(ms) => Some(*ms),
                Took::AfterOurFault(_) => None,
            }));
    }
}

fn progress(done: u64, of: usize) {
    if done.is_multiple_of(1_000) {
        eprintln!("{done} of {of} seeds");
    }
}

/// A broken seed: what, then the smallest schedule that breaks the same, with its log.
fn tell(
    cast: &Cast,
    seed: u64,
    at_ms: u64,
    violation: &Violation,
    logs: &Path,
) -> Result<(), super::CommandError> {
    println!(
        "seed {seed}: {} broken at {} s: {}",
        violation.oracle,
        at_ms / 1_000,
        violation.what
    );
    let whole = Schedule::of(seed);
    let small = shrink(cast, &whole, violation.oracle);
    println!(
        "  {} faults, the same with {}:",
        whole.faults.len(),
        small.faults.len()
    );
    for timed in &small.faults {
        println!(
            "    {:>5}.{:03} {:?}",
            timed.at_ms / 1_000,
            timed.at_ms % 1_000,
            timed.fault
        );
    }
    let outcome = play(cast, &small, Log::On(Vec::new()));
    let path = logs.join(format!("seed-{seed}.log"));
    let file = |source| super::CommandError::File {
        path: path.clone(),
        source,
    };
    std::fs::create_dir_all(logs).map_err(file)?;
    std::fs::write(&path, outcome.log.lines().join("\n") + "\n").map_err(file)?;
    println!(
        "  its log: {}; all of it: chaos replay {seed}",
        path.display()
    );
    Ok(())
}

/// Prints the figures; whether all is well.
fn summary(total: &mut Total, options: &Options, wall_s: u64) -> bool {
    let hours = total.seeds.saturating_mul(BREAKING_MS) / 3_600_000;
    println!(
        "{} seeds, {hours} simulated hours, {} decisions, {} faults, {wall_s} s; {} broken",
        total.seeds,
        total.decisions,
        total.faults,
        total.broken.len()
    );
    if let Some((decisions, faults)) = total.least {
        println!("the poorest seed: {decisions} decisions, {faults} faults");
    }
    total.took_ms.sort_unstable();
    let at = |percent: usize| {
        total
            .took_ms
            .get((total.took_ms.len() * percent / 100).min(total.took_ms.len().saturating_sub(1)))
    };
    let p99_ms = at(99).copied().unwrap_or_default();
    println!(
        "back after {} absences: p50 {} ms, p99 {p99_ms} ms, longest {} ms",
        total.took_ms.len(),
        at(50).copied().unwrap_or_default(),
        at(100).copied().unwrap_or_default()
    );
    if options.coverage {
        println!("{}", total.coverage);
    }
    let missing = total.coverage.missing();
    println!("fault and state never met: {}", missing.len());
    for (fault, state) in missing.iter().take(TOLD_MAX) {
        println!("  {fault} in {state}");
    }
    let mut fine = total.broken.is_empty();
    if total.seeds >= COMPLETE_SEEDS && !missing.is_empty() {
        println!("BROKEN: {COMPLETE_SEEDS} seeds leave no fault and state unmet");
        fine = false;
    }
    if p99_ms > P99_BOUND_MS {
        println!("BROKEN: p99 of the way back is over {P99_BOUND_MS} ms");
        fine = false;
    }
    fine
}
