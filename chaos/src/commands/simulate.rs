//! `simulate`: many seeds, each a play; tells what was broken, how it goes smaller, and what was covered.

mod broken;
mod seeds;
mod total;

use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Instant;

use chaos::simulate::cast::Cast;
use chaos::simulate::log::Log;
use chaos::simulate::play::play;
use chaos::simulate::schedule::Schedule;

use super::terminal;
use seeds::Seeds;
use total::Total;

/// How many broken seeds are told of; the rest are counted.
const TOLD_MAX: usize = 5;

/// Threads beyond those of any machine that this is run on.
const THREADS_MAX: i64 = 1024;

/// What to simulate.
#[derive(Debug, clap::Args)]
pub(crate) struct Options {
    /// How many seeds, after those that once failed.
    #[arg(long, default_value_t = 100, value_parser = clap::value_parser!(u64).range(1..))]
    seeds: u64,
    /// The first seed.
    #[arg(long, default_value_t = 0)]
    from: u64,
    /// Seeds from a file in place of all that: one number a line, `#` begins a comment.
    #[arg(long, conflicts_with_all = ["seeds", "from"])]
    seeds_of: Option<PathBuf>,
    /// Threads; 0 is one for each processor.
    #[arg(long, default_value_t = 0, value_parser = clap::value_parser!(u16).range(..=THREADS_MAX))]
    threads: u16,
    /// Where the logs of broken seeds go.
    #[arg(long, default_value = "target/chaos")]
    logs: PathBuf,
}

/// Runs the command.
///
/// # Errors
/// The cast cannot be made, a file not read or written, or nobody reads.
pub(crate) fn run(options: &Options) -> Result<ExitCode, super::CommandError> {
    let begun = Instant::now();
    let cast = Cast::new()?;
    let seeds = options.seeds()?;
    let total = simulate(&cast, &seeds, options.threads);
    total.print(begun.elapsed().as_secs())?;
    for broken in total.broken.values() {
        broken::tell(&cast, broken, &options.logs)?;
    }
    let complaints = total.complaints();
    for complaint in &complaints {
        terminal::say(&format!("BROKEN: {complaint}"))?;
    }
    Ok(if total.broken.is_empty() && complaints.is_empty() {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}

impl Options {
    fn seeds(&self) -> Result<Seeds, super::CommandError> {
        if let Some(path) = &self.seeds_of {
            return Ok(Seeds::listed(seeds::of_file(path)?));
        }
        let end = self.from.checked_add(self.seeds);
        let range = self.from..end.ok_or(super::CommandError::BeyondSeeds)?;
        Ok(Seeds::then(seeds::kept()?, range))
    }
}

fn simulate(cast: &Cast, seeds: &Seeds, threads: u16) -> Total {
    let threads = match threads {
        0 => std::thread::available_parallelism().map_or(1, std::num::NonZero::get),
        threads => usize::from(threads),
    };
    let (next, total) = (AtomicU64::new(0), Mutex::new(Total::default()));
    std::thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| {
                // A memory of its own for each seed, so no thread depends on another.
                while let Some(seed) = seeds.get(next.fetch_add(1, Ordering::Relaxed)) {
                    let outcome = play(cast, &Schedule::of(seed), Log::Off);
                    let mut total = total.lock().unwrap_or_else(PoisonError::into_inner);
                    total.add(seed, outcome);
                    progress(total.seeds, seeds.count());
                }
            });
        }
    });
    total.into_inner().unwrap_or_else(PoisonError::into_inner)
}

fn progress(done: u64, of: u64) {
    if done.is_multiple_of(1_000) {
        terminal::tell(&format!("{done} of {of} seeds"));
    }
}
