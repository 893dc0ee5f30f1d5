//! Exit codes: documented, stable, and decided here alone.

use std::process::ExitCode;

use verdict::unseen::is_unseen;

use crate::check_config::wrongly;
use crate::output::{Output, clean, say_json};
use crate::serve::Wrong;

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
#[error("{}", self.told())]
pub(crate) struct Misconfigured {
    pub(crate) wrong: Wrong,
    /// What an agent makes of it that runs all the same.
    pub(crate) meanwhile: Option<String>,
}

impl From<Wrong> for Misconfigured {
    fn from(wrong: Wrong) -> Self {
        let meanwhile = None;
        Self { wrong, meanwhile }
    }
}

impl Misconfigured {
    fn told(&self) -> String {
        self.with_meanwhile(self.wrong.told())
    }

    /// The same as plain lines.
    fn lines(&self) -> String {
        self.with_meanwhile(self.wrong.lines())
    }

    fn with_meanwhile(&self, told: String) -> String {
        match &self.meanwhile {
            Some(meanwhile) => format!("{}\n{meanwhile}", told.trim_end()),
            None => told,
        }
    }
}

/// The process's exit code; an error is printed with its causes, and for a program as an object, too.
pub(crate) fn code(result: anyhow::Result<Exit>, output: Output) -> ExitCode {
    crate::logging::finish();
    match result {
        Ok(exit) => exit.into(),
        Err(error) => {
            crate::logging::say_error(&shown(&error));
            if output == Output::Json {
                let told = told(&error);
                say_json(&for_a_program(&error, &told).to_string());
            }
            of(&error).into()
        }
    }
}

/// The command line is none, or asks for help. What a shell made of a `*` stands in it as others named it.
pub(crate) fn misused(error: &clap::Error) -> ExitCode {
    let arguments = std::env::args_os().map(|one| one.to_string_lossy().into_owned());
    let hostile: Vec<String> = arguments.filter(|one| one.contains(is_unseen)).collect();
    if hostile.is_empty() {
        error.exit();
    }
    // With its colours an argument is still in it as it came.
    let mut told = error.render().ansi().to_string();
    for argument in hostile {
        told = told.replace(&argument, &clean(&argument));
    }
    let plain = anstream::adapter::strip_str(&told).to_string();
    for line in plain.lines() {
        crate::logging::say_plainly(&clean(line));
    }
    ExitCode::from(u8::try_from(error.exit_code()).unwrap_or(2))
}

/// An object that has `error`; of a wrong configuration `errors` too, as check-config has them.
fn for_a_program(error: &anyhow::Error, told: &str) -> serde_json::Value {
    let Some(misconfigured) = error.downcast_ref::<Misconfigured>() else {
        let plain = anstream::adapter::strip_str(told).to_string();
        return serde_json::json!({ "error": plain });
    };
    let (errors, errors_left_out) = wrongly(&misconfigured.wrong);
    serde_json::json!({
        "error": misconfigured.lines(),
        "errors": errors,
        "errors_left_out": errors_left_out,
    })
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

/// What a terminal is given: an error names files, and quotes what others wrote. The configuration's is a
/// page of its own, with colours, and was made of what can be seen.
fn shown(error: &anyhow::Error) -> String {
    match error.is::<Misconfigured>() {
        true => told(error),
        false => clean(&told(error)),
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
