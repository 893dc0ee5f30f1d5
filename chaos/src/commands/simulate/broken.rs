//! What is told of a broken seed, and the log it leaves.

use std::path::Path;

use chaos::simulate::cast::Cast;
use chaos::simulate::log::Log;
use chaos::simulate::play::play;
use chaos::simulate::recipe::Recipe;
use chaos::simulate::schedule::{Schedule, Timed};
use chaos::simulate::shrink::shrink;

use super::total::Broken;
use crate::commands::{CommandError, terminal};

/// Says what broke, and makes the schedule as small as it goes; leaves the log of that.
///
/// # Errors
/// The log cannot be written, or nobody reads.
pub(super) fn tell(cast: &Cast, broken: &Broken, logs: &Path) -> Result<(), CommandError> {
    let Broken {
        seed,
        at_ms,
        violation,
    } = broken;
    terminal::say(&format!(
        "seed {seed}: {} broken at {} s: {}",
        violation.oracle,
        at_ms / 1_000,
        violation.what
    ))?;
    let whole = Schedule::of(*seed);
    let small = shrink(cast, &whole, violation.oracle);
    terminal::say(&format!(
        "  {} faults, the same with {}:",
        whole.faults.len(),
        small.faults.len()
    ))?;
    for Timed { at_ms, fault } in &small.faults {
        let (s, ms) = (at_ms / 1_000, at_ms % 1_000);
        terminal::say(&format!("    {s:>5}.{ms:03} {fault:?}"))?;
    }
    let path = logs.join(format!("seed-{seed}.log"));
    let outcome = play(cast, &small, Log::On(Vec::new()));
    let text = format!(
        "{}\n{}\n",
        Recipe::of(&small),
        outcome.log.lines().join("\n")
    );
    let written = std::fs::create_dir_all(logs).and_then(|()| std::fs::write(&path, text));
    written.map_err(|source| CommandError::File {
        path: path.clone(),
        source,
    })?;
    terminal::say(&format!(
        "  step through it: chaos replay {} --step",
        path.display()
    ))?;
    terminal::say(&format!(
        "  once it is repaired, add {seed} to chaos/seeds.txt"
    ))
}
