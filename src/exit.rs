//! Exit codes: documented, stable, and decided here alone.

use std::process::ExitCode;

use crate::output::{Output, say_json};

/// How a run ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Exit {
    /// All well; a drain is a success.
    Success,
    /// Something was found wrong: a broken chain of records, a demo step that differs.
    Failure,
    /// What was asked for cannot be asked so: a value that is none, a file that cannot be read.
    Usage,
    /// The configuration, a flag or the environment is wrong; restarting does not help.
    Config,
    /// A restart budget was used up: the agent drained and gave up; the service manager restarts it.
    GaveUp,
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        match exit {
            Exit::Success => Self::SUCCESS,
            Exit::Failure => Self::FAILURE,
            Exit::Usage => Self::from(2),
            // As sysexits has it: EX_CONFIG and EX_SOFTWARE.
            Exit::Config => Self::from(78),
            Exit::GaveUp => Self::from(70),
        }
    }
}

/// What was asked for cannot be asked so.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub(crate) struct Usage(pub(crate) String);

/// The configuration, a flag or the environment is wrong, as it says at length.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub(crate) struct Misconfigured(pub(crate) String);

/// The process's exit code; an error is printed with its causes, and for a program as an object, too.
pub(crate) fn code(result: anyhow::Result<Exit>, output: Output) -> ExitCode {
    crate::logging::finish();
    match result {
        Ok(exit) => exit.into(),
        Err(error) => {
            let told = told(&error);
            crate::logging::say_error(&told);
            if output == Output::Json {
                let plain = anstream::adapter::strip_str(&told).to_string();
                say_json(&serde_json::json!({ "error": plain }).to_string());
            }
            of(&error).into()
        }
    }
}

fn of(error: &anyhow::Error) -> Exit {
    if error.is::<Usage>() {
        Exit::Usage
    } else if error.is::<Misconfigured>() {
        Exit::Config
    } else {
        Exit::Failure
    }
}

/// The error and its causes, each once: many errors have their cause's text already.
fn told(error: &anyhow::Error) -> String {
    let mut told = String::new();
    for cause in error.chain().map(ToString::to_string) {
        if told.is_empty() {
            told = cause;
        } else if !told.contains(&cause) {
            told.push_str(": ");
            told.push_str(&cause);
        }
    }
    told
}

#[cfg(test)]
mod tests {
    use anyhow::anyhow;

    use super::told;

    #[test]
    fn a_cause_is_told_once() {
        let error = anyhow!("no such file").context("read x: no such file");
        assert_eq!(told(&error), "read x: no such file");
        let error = anyhow!("no such file").context("read x: no such file; make it");
        assert_eq!(told(&error), "read x: no such file; make it");
        let error = anyhow!("no such file").context("read x");
        assert_eq!(told(&error), "read x: no such file");
    }
}
