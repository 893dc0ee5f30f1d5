//! One file a subcommand. What they print is for a person at a terminal, and goes by `terminal`.

mod agent;
pub(crate) mod damage;
pub(crate) mod real;
pub(crate) mod replay;
pub(crate) mod run;
pub(crate) mod scenarios;
pub(crate) mod simulate;
mod terminal;

use std::fs::File;
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use chaos::real::RealError;
use chaos::run::RunError;
use chaos::scenario::ScenarioError;
use chaos::simulate::SimulateError;
use chaos::simulate::recipe::NoRecipe;

/// Why a subcommand cannot do its work.
#[derive(Debug, thiserror::Error)]
pub(crate) enum CommandError {
    /// The simulator.
    #[error(transparent)]
    Simulate(#[from] SimulateError),
    /// A real SPIRE.
    #[error(transparent)]
    Real(#[from] RealError),
    /// A file.
    #[error("{}: {source}", path.display())]
    File {
        /// Which.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// No log of a broken seed.
    #[error("{}: {source}", path.display())]
    Recipe {
        /// Which file.
        path: PathBuf,
        /// What is wrong.
        source: NoRecipe,
    },
    /// Nothing to play.
    #[error("{}: there is no seed in it", path.display())]
    NoSeeds {
        /// Which file.
        path: PathBuf,
    },
    /// Beyond the end of a play.
    #[error("--from-s {from_s}: the log ends at second {last_s}")]
    BeyondLog {
        /// What was asked for.
        from_s: u64,
        /// The last second with an event.
        last_s: u64,
    },
    /// Beyond the last number.
    #[error("--from and --seeds go beyond the last seed, {}", u64::MAX)]
    BeyondSeeds,
    /// A file of seeds.
    #[error("{}: {line:?} is no seed; a seed is a number", path.display())]
    Seed {
        /// Which file.
        path: PathBuf,
        /// The line.
        line: String,
    },
    /// A scenario.
    #[error(transparent)]
    Scenario(Box<ScenarioError>),
    /// A scenario that is none.
    #[error(
        "no scenario is named {name:?}{similar}; `chaos list` names them, and a file's path is accepted"
    )]
    NoScenario {
        /// What was asked for.
        name: String,
        /// What may be meant.
        similar: String,
    },
    /// What a deployment's flags name.
    #[error(transparent)]
    Run(#[from] RunError),
    /// Where pages go.
    #[error("--report {}: no page can be written there: {source}", path.display())]
    Report {
        /// The folder.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// Nobody reads what we say.
    #[error("nobody reads the output")]
    Closed,
    /// The output.
    #[error("standard output: {0}")]
    Output(std::io::Error),
    /// The signals that end us.
    #[error("listen for signals: {0}")]
    Signals(std::io::Error),
    /// The runtime.
    #[error("start the runtime: {0}")]
    Runtime(std::io::Error),
    /// A deployment's caller.
    #[error("--caller is an ID, =, and the path of its certificate chain in PEM")]
    Caller,
    /// The agent under test.
    #[error("the agent could not be built; --agent PATH names one that is")]
    NotBuilt,
    /// Nothing to build it from.
    #[error("the agent's source is not at {}; --agent PATH names a built agent", path.display())]
    NoSource {
        /// Where it was when this was built.
        path: PathBuf,
    },
}

/// Bytes of a log or of a file of seeds: far beyond what is written for them.
const FILE_BYTES_MAX: u64 = 64 * 1024 * 1024;

/// A text file of a size that one of ours has.
fn read(path: &Path) -> Result<String, CommandError> {
    let mut text = String::new();
    let file = File::open(path);
    let read = file.and_then(|file| file.take(FILE_BYTES_MAX + 1).read_to_string(&mut text));
    let bounded = read.and_then(|bytes| match bytes as u64 > FILE_BYTES_MAX {
        true => Err(io::Error::from(io::ErrorKind::FileTooLarge)),
        false => Ok(text),
    });
    bounded.map_err(|source| CommandError::File {
        path: path.to_owned(),
        source,
    })
}

/// As a shell sees a process that SIGPIPE ended.
const PIPE: u8 = 141;
const FAILED: u8 = 2;

/// Says why nothing was done, unless it is that nobody reads any more: a tool ends quietly then.
pub(crate) fn end(error: &CommandError) -> ExitCode {
    if matches!(error, CommandError::Closed) {
        return ExitCode::from(PIPE);
    }
    terminal::tell(&format!("chaos: {error}"));
    ExitCode::from(FAILED)
}
