//! `damage`: the state file damaged at random, and what a start makes of it.

use std::process::ExitCode;

use chaos::simulate::cast::Cast;
use chaos::simulate::damage::damage;

use super::terminal;

/// How many broken starts are told of.
const TOLD_MAX: usize = 10;

/// How often.
#[derive(Debug, clap::Args)]
pub(crate) struct Options {
    /// How many damaged files are read.
    #[arg(long, default_value_t = 1_000_000, value_parser = clap::value_parser!(u64).range(1..))]
    count: u64,
    /// Where the chance comes from.
    #[arg(long, default_value_t = 1)]
    seed: u64,
}

/// Runs the command.
///
/// # Errors
/// The cast cannot be made.
pub(crate) fn run(options: &Options) -> Result<ExitCode, super::CommandError> {
    let told = damage(&Cast::new()?, options.seed, options.count);
    terminal::say(&format!(
        "{} damaged files read: no panic; {} times a byte was replaced by itself; {} starts \
         believed what they must not",
        told.read,
        told.unharmed,
        told.broken.len()
    ))?;
    for number in told.broken.iter().take(TOLD_MAX) {
        terminal::say(&format!("BROKEN: --seed {} number {number}", options.seed))?;
    }
    Ok(if told.broken.is_empty() {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}
