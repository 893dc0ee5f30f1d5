//! `replay`: one seed, every event of it.

use std::process::ExitCode;

use chaos::simulate::cast::Cast;
use chaos::simulate::log::Log;
use chaos::simulate::play::play;
use chaos::simulate::schedule::Schedule;
use chaos::simulate::shrink::shrink;

/// What to replay.
#[derive(Debug, clap::Args)]
pub(crate) struct Options {
    /// The seed.
    seed: u64,
    /// Only the faults that a broken promise needs.
    #[arg(long)]
    small: bool,
    /// From this second on.
    #[arg(long, default_value_t = 0)]
    from_s: u64,
    /// Waits for Enter after each event.
    #[arg(long)]
    step: bool,
}

/// Runs the command.
///
/// # Errors
/// The cast cannot be made.
pub(crate) fn run(options: &Options) -> Result<ExitCode, super::CommandError> {
    let cast = Cast::new()?;
    let whole = Schedule::of(options.seed);
    let broken = play(&cast, &whole, Log::Off).violation;
    let schedule = match &broken {
        Some((_, violation)) if options.small => shrink(&cast, &whole, violation.oracle),
        _ => whole,
    };
    let outcome = play(&cast, &schedule, Log::On(Vec::new()));
    println!("seed {}, {:?}", options.seed, schedule.times);
    for line in outcome.log.lines() {
        let second = line
            .trim_start()
            .split('.')
            .next()
            .and_then(|text| text.parse::<u64>().ok());
        if second.is_some_and(|second| second < options.from_s) {
            continue;
        }
        println!("{line}");
        if options.step && std::io::stdin().read_line(&mut String::new()).is_err() {
            break;
        }
    }
    Ok(if outcome.violation.is_some() {
        ExitCode::FAILURE
    } else {
        ExitCode::SUCCESS
    })
}
