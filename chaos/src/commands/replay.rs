//! `replay`: one seed, or the log that a broken one left, event by event.

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use chaos::simulate::cast::Cast;
use chaos::simulate::log::Log;
use chaos::simulate::play::play;
use chaos::simulate::recipe::Recipe;
use chaos::simulate::schedule::Schedule;

use super::{CommandError, terminal};

/// What to replay.
#[derive(Debug, clap::Args)]
pub(crate) struct Options {
    /// A seed, or the log of a broken one: then the faults it still needs, no others.
    #[arg(value_name = "SEED|LOG")]
    what: String,
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
/// The cast cannot be made, the log not read, or the play ends before what was asked for.
pub(crate) fn run(options: &Options) -> Result<ExitCode, CommandError> {
    let (schedule, log) = match options.what.parse() {
        Ok(seed) => (Schedule::of(seed), None),
        Err(_) => {
            let log = read(Path::new(&options.what))?;
            (log.recipe.schedule(), Some(log))
        }
    };
    let outcome = play(&Cast::new()?, &schedule, Log::On(Vec::new()));
    within(outcome.log.lines(), options.from_s)?;
    terminal::say(&format!("seed {}, {:?}", schedule.seed, schedule.times))?;
    print(outcome.log.lines(), options)?;
    if let Some(log) = log
        && !log.text.lines().skip(1).eq(outcome.log.lines())
    {
        terminal::say(&format!(
            "this is not what {} says: the code is another by now",
            options.what
        ))?;
    }
    Ok(if outcome.violation.is_some() {
        ExitCode::FAILURE
    } else {
        ExitCode::SUCCESS
    })
}

struct Left {
    recipe: Recipe,
    text: String,
}

fn read(path: &Path) -> Result<Left, CommandError> {
    let text = super::read(path)?;
    let recipe = Recipe::parse(&text).map_err(|source| CommandError::Recipe {
        path: PathBuf::from(path),
        source,
    })?;
    Ok(Left { recipe, text })
}

/// Nothing would be told of what is after the end.
fn within(lines: &[String], from_s: u64) -> Result<(), CommandError> {
    let last_s = lines.iter().filter_map(|line| second(line)).max();
    let last_s = last_s.unwrap_or_default();
    match from_s > last_s {
        true => Err(CommandError::BeyondLog { from_s, last_s }),
        false => Ok(()),
    }
}

fn print(lines: &[String], options: &Options) -> Result<(), CommandError> {
    for line in lines {
        if second(line).is_some_and(|second| second < options.from_s) {
            continue;
        }
        terminal::say(line)?;
        if options.step && std::io::stdin().read_line(&mut String::new()).is_err() {
            break;
        }
    }
    Ok(())
}

fn second(line: &str) -> Option<u64> {
    line.trim_start().split('.').next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test may panic")]

    use super::*;

    #[test]
    fn what_is_after_the_end_is_refused_with_the_last_second() {
        let lines = ["    0.000 begins", " 3600.250 ends", "of no second"].map(str::to_owned);
        within(&lines, 3_600).unwrap();
        let said = within(&lines, 3_601).unwrap_err().to_string();
        assert_eq!(said, "--from-s 3601: the log ends at second 3600");
        within(&[], 0).unwrap();
    }
}
