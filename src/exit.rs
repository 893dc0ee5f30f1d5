//! Exit codes: documented, stable, and decided here alone.

use std::process::ExitCode;

/// How a run ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Exit {
    /// All well; a drain is a success.
    Success,
    /// Something was found wrong: `check-config` errors, a demo step that differs.
    Failure,
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
            // As sysexits has it: EX_CONFIG and EX_SOFTWARE.
            Exit::Config => Self::from(78),
            Exit::GaveUp => Self::from(70),
        }
    }
}

/// The process's exit code; an error is printed with its causes.
pub(crate) fn code(result: anyhow::Result<Exit>) -> ExitCode {
    match result {
        Ok(exit) => exit.into(),
        Err(error) => {
            crate::logging::say_error(&format!("{error:#}"));
            Exit::Failure.into()
        }
    }
}
