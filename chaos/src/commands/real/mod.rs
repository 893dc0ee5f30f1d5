//! `real`: the agent's promises about outages, kept against a real SPIRE server and agent.

mod cases;
mod under_test;

use std::fmt::Write as _;
use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Instant;

use chaos::client::ClientError;
use chaos::real::{Binaries, RealError};

/// A promise was broken.
const BROKEN: u8 = 1;

/// What to try.
#[derive(Debug, clap::Args)]
pub(crate) struct Options {
    /// The agent's binary.
    #[arg(long)]
    agent: PathBuf,
    /// How often SPIRE's agent goes and comes back.
    #[arg(long, default_value = "50")]
    outages: NonZeroUsize,
    /// Appends a line for each case, tab-separated: suite, case, outcome, seconds, note.
    #[arg(long)]
    rows: Option<PathBuf>,
}

/// Why a case failed.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Failed {
    /// A promise was broken.
    #[error("{0}")]
    Broken(String),
    /// SPIRE does not do as it is told.
    #[error(transparent)]
    Spire(#[from] RealError),
    /// The agent does not answer.
    #[error(transparent)]
    Client(#[from] ClientError),
    /// The agent's process, or a file.
    #[error("{what}: {source}")]
    System {
        /// What was tried.
        what: &'static str,
        /// What the system said.
        source: std::io::Error,
    },
}

impl Failed {
    /// Whether a promise was tried and not kept: what could not be set up shows nothing of it.
    const fn is_broken(&self) -> bool {
        match self {
            Self::Broken(_) | Self::Client(_) => true,
            Self::Spire(_) | Self::System { .. } => false,
        }
    }

    fn system(what: &'static str) -> impl FnOnce(std::io::Error) -> Self {
        move |source| Self::System { what, source }
    }
}

/// Runs every case, each on a SPIRE of its own.
///
/// # Errors
/// There is no such agent, SPIRE is not installed, or the rows cannot be written.
pub(crate) fn run(options: &Options) -> Result<ExitCode, super::CommandError> {
    is_program(&options.agent)?;
    let binaries = Binaries::installed()?;
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .map_err(|source| super::CommandError::File {
            path: PathBuf::from("the runtime"),
            source,
        })?;
    let (mut rows, mut failures) = (String::new(), Vec::new());
    for (name, case) in cases::all(options.outages.get()) {
        let began = Instant::now();
        let outcome = runtime.block_on(cases::on_a_stage(&binaries, &options.agent, case));
        let (outcome, note) = match outcome {
            Ok(note) => ("passed", note),
            Err(error) => {
                failures.push(error.is_broken());
                ("failed", error.to_string().replace(['\n', '\t'], " "))
            }
        };
        let seconds = began.elapsed().as_secs();
        super::terminal::say(&format!("{name:<52} {outcome:<8} {seconds:>5} s  {note}"))?;
        // Writing to a string cannot fail.
        let _ = writeln!(rows, "outages\t{name}\t{outcome}\t{seconds}\t{note}");
    }
    write_rows(options, &rows)?;
    Ok(ExitCode::from(code(&failures)))
}

/// Of failures, each with whether it is a broken promise: as of `run`.
fn code(failures: &[bool]) -> u8 {
    match (failures.contains(&true), failures.is_empty()) {
        (true, _) => BROKEN,
        (false, true) => 0,
        (false, false) => super::FAILED,
    }
}

/// Whether there is something to start: better known now than on the fifth SPIRE.
fn is_program(path: &Path) -> Result<(), super::CommandError> {
    let may_run = std::fs::metadata(path).and_then(|there| match there.is_file() {
        true => Ok(rustix::fs::access(path, rustix::fs::Access::EXEC_OK)?),
        false => Err(std::io::Error::other("no program")),
    });
    may_run.map_err(|source| super::CommandError::File {
        path: path.to_owned(),
        source,
    })
}

fn write_rows(options: &Options, rows: &str) -> Result<(), super::CommandError> {
    let Some(path) = &options.rows else {
        return Ok(());
    };
    let mut file = std::fs::File::options();
    let file = file.create(true).append(true).open(path);
    let written = file.and_then(|mut file| std::io::Write::write_all(&mut file, rows.as_bytes()));
    written.map_err(|source| super::CommandError::File {
        path: path.clone(),
        source,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_broken_promise_is_one() {
        assert_eq!(code(&[]), 0);
        assert_eq!(code(&[false, false]), 2);
        assert_eq!(code(&[false, true]), 1);
        let source = std::io::Error::other("full");
        let what = "write agent.kdl";
        assert!(!Failed::System { what, source }.is_broken());
        assert!(Failed::Broken("verified".to_owned()).is_broken());
    }
}
