//! Processes: those that stay, logged to a file and ended with their owner, and those that answer.

use std::ffi::OsStr;
use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use rustix::process::{Pid, Signal, WaitId, WaitIdOptions, kill_process, waitid};
use serde_json::Value;
use tokio::process::{Child, Command};
use tokio::time::{sleep, timeout};

use super::RealError;

/// Longest wait for anything of SPIRE's, on a busy machine.
pub(super) const WITHIN: Duration = Duration::from_secs(60);
/// Longest run of a command.
const COMMAND_WITHIN: Duration = Duration::from_secs(30);
/// Between two looks at what nobody tells of.
const LOOK_EVERY: Duration = Duration::from_millis(50);
/// Of a log, in an error.
const TOLD_LINES: usize = 15;

/// Ends a process with the thread that started it, even if that is killed.
const SETPRIV: &str = "/usr/bin/setpriv";

/// What stands before a program's name so that it does not outlive us; nothing where the system has it
/// not. Who starts it must be a thread that lives as long as it should: the runtime's own.
pub(crate) fn tied() -> &'static [&'static str] {
    match Path::new(SETPRIV).exists() {
        true => &[SETPRIV, "--pdeathsig", "KILL"],
        false => &[],
    }
}

/// The same program with the same words, tied to us.
fn tie(command: &Command) -> Command {
    let command = command.as_std();
    let before = tied().iter().map(OsStr::new);
    let mut words = before
        .chain([command.get_program()])
        .chain(command.get_args());
    // There is a first: the program is one.
    let mut tied = Command::new(words.next().unwrap_or_default());
    tied.args(words);
    tied
}

/// How a process is ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// SIGTERM: in order.
    Stop,
    /// SIGKILL.
    Kill,
}

/// A process that stays.
pub(super) struct Daemon {
    name: &'static str,
    child: Child,
    log: PathBuf,
}

impl Daemon {
    pub(super) fn start(
        name: &'static str,
        command: &Command,
        log: &Path,
    ) -> Result<Self, RealError> {
        let mut command = tie(command);
        let file = File::options().create(true).append(true).open(log);
        let file = file.map_err(RealError::system(log.display().to_string()))?;
        let both = file.try_clone().map_err(RealError::system(name))?;
        command.stdin(Stdio::null()).stdout(file).stderr(both);
        let child = command.kill_on_drop(true).spawn();
        Ok(Self {
            name,
            child: child.map_err(RealError::system(format!("start {name}")))?,
            log: log.to_owned(),
        })
    }

    /// Ends it and waits for its end; who does not end in order is killed.
    pub(super) async fn end(mut self, end: End) -> Result<(), RealError> {
        if end == End::Stop {
            // It may have ended by itself.
            let _ = self.signal(Signal::TERM);
            if timeout(WITHIN, self.child.wait()).await.is_ok() {
                return Ok(());
            }
        }
        let killed = self.child.kill().await;
        killed.map_err(RealError::system(format!("kill {}", self.name)))
    }

    pub(super) fn signal(&self, signal: Signal) -> Result<(), RealError> {
        let pid = self.child.id().and_then(|id| i32::try_from(id).ok());
        let Some(pid) = pid.and_then(Pid::from_raw) else {
            return Ok(());
        };
        let sent = kill_process(pid, signal).map_err(std::io::Error::from);
        sent.map_err(RealError::system(format!("signal {}", self.name)))
    }

    /// Waits for what it does sooner or later, unless it ends before.
    pub(super) async fn until<F: Future<Output = bool>>(
        &mut self,
        what: &str,
        look: impl Fn() -> F,
    ) -> Result<(), RealError> {
        let late = |log: &Path| RealError::Late {
            what: what.to_owned(),
            within_s: WITHIN.as_secs(),
            told: tail(log),
        };
        tokio::select! {
            found = eventually(what, || async { look().await.then_some(()) }) => {
                found.map_err(|_| late(&self.log))
            }
            _ = self.child.wait() => Err(late(&self.log)),
        }
    }
}

impl Drop for Daemon {
    /// Its end, not only the signal: its directory goes next, and it would write in it.
    fn drop(&mut self) {
        let pid = self.child.id().and_then(|id| i32::try_from(id).ok());
        if let Some(pid) = pid.and_then(Pid::from_raw) {
            // Both fail only when it has ended already. Who reaps it is the child's own affair.
            let _ = self.child.start_kill();
            let _ = waitid(
                WaitId::Pid(pid),
                WaitIdOptions::EXITED | WaitIdOptions::NOWAIT,
            );
        }
    }
}

/// Looks until something is found; for what nobody tells us of.
pub(super) async fn eventually<T, F: Future<Output = Option<T>>>(
    what: &str,
    look: impl Fn() -> F,
) -> Result<T, RealError> {
    let looking = async {
        loop {
            if let Some(found) = look().await {
                return found;
            }
            sleep(LOOK_EVERY).await;
        }
    };
    timeout(WITHIN, looking).await.map_err(|_| RealError::Late {
        what: what.to_owned(),
        within_s: WITHIN.as_secs(),
        told: String::new(),
    })
}

/// Runs a command to its end and gives what it printed.
pub(super) async fn run(binary: &Path, words: &[&str]) -> Result<String, RealError> {
    let named = || format!("{} {}", binary.display(), words.join(" "));
    let mut command = Command::new(binary);
    command.args(words).stdin(Stdio::null()).kill_on_drop(true);
    let output = timeout(COMMAND_WITHIN, command.output()).await;
    let output = output.map_err(|_| RealError::Late {
        what: named(),
        within_s: COMMAND_WITHIN.as_secs(),
        told: String::new(),
    })?;
    let output = output.map_err(RealError::system(named()))?;
    match output.status.success() {
        true => Ok(String::from_utf8_lossy(&output.stdout).into_owned()),
        false => Err(RealError::Refused {
            command: named(),
            said: String::from_utf8_lossy(&output.stderr).trim().to_owned(),
        }),
    }
}

/// The same for a command that answers in JSON.
pub(super) async fn ask(binary: &Path, words: &[&str]) -> Result<Value, RealError> {
    let text = run(binary, &[words, &["-output", "json"]].concat()).await?;
    serde_json::from_str(&text).map_err(|_| RealError::Answer {
        command: words.join(" "),
        field: "JSON",
    })
}

/// A text of an answer.
pub(super) fn text(
    answer: &Value,
    pointer: &'static str,
    command: &str,
) -> Result<String, RealError> {
    let found = answer.pointer(pointer).and_then(Value::as_str);
    found.map(str::to_owned).ok_or_else(|| RealError::Answer {
        command: command.to_owned(),
        field: pointer,
    })
}

fn tail(log: &Path) -> String {
    let text = std::fs::read_to_string(log).unwrap_or_default();
    let lines: Vec<&str> = text.lines().collect();
    let from = lines.len().saturating_sub(TOLD_LINES);
    format!(":\n{}", lines.get(from..).unwrap_or_default().join("\n"))
}
