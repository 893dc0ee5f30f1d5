//! The agent's process.

use std::ffi::OsString;
use std::io::{BufRead as _, BufReader, Read, Write as _};
use std::os::unix::process::CommandExt as _;
use std::path::PathBuf;
use std::process::{Child, ChildStdin, Command, ExitStatus, Stdio};
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Resource, Rlimit, Signal};

use super::RunError;
use super::sheet::Sheet;
use crate::real::tied;

/// How long a start may take on a busy machine.
const START_WITHIN: Duration = Duration::from_secs(20);
/// Between two looks whether it still runs.
const LOOK_EVERY: Duration = Duration::from_millis(100);
/// Of its log, in an error.
const TOLD_LINES: usize = 20;
/// How long an orderly end may take: the agent drains for at most 30 s.
const END_WITHIN: Duration = Duration::from_secs(40);
/// Bytes of one line of its log that are looked at.
const LINE_MAX_BYTES: u64 = 64 * 1024;

/// How the agent is started, each time.
pub(super) struct Launch {
    pub(super) binary: PathBuf,
    pub(super) arguments: Vec<String>,
    pub(super) environment: Vec<(&'static str, String)>,
    pub(super) wrapping: Wrapping,
    pub(super) sheet: Arc<Sheet>,
}

/// What the process is deprived of.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Wrapping {
    /// A write beyond the limit fails, as on a full disk, and kills nobody.
    pub(super) survives_a_full_disk: bool,
    /// File modes hold for it even if it is root.
    pub(super) obeys_modes: bool,
}

/// A process that lives, or did.
pub(super) struct AgentProcess {
    child: Child,
    pid: Pid,
    orders: Option<ChildStdin>,
    sheet: Arc<Sheet>,
}

impl Launch {
    /// Starts it and waits until it serves.
    pub(super) async fn start(&self) -> Result<AgentProcess, RunError> {
        let mark = self.sheet.mark();
        let mut child = self.command().spawn().map_err(|source| RunError::Agent {
            what: format!("start {}", self.binary.display()),
            why: source.to_string(),
        })?;
        let orders = child.stdin.take();
        let stderr = child.stderr.take();
        let log = stderr.map(|stderr| follow(stderr, Arc::clone(&self.sheet)));
        let mut process = AgentProcess {
            pid: Pid::from_child(&child),
            child,
            orders,
            sheet: Arc::clone(&self.sheet),
        };
        let until = Instant::now() + START_WITHIN;
        while Instant::now() < until {
            if self.sheet.said(mark, "serving", LOOK_EVERY).await {
                self.sheet.serves();
                return Ok(process);
            }
            // Its last words are read by then, too.
            if process.ended().is_some() && log.as_ref().is_none_or(JoinHandle::is_finished) {
                break;
            }
        }
        Err(RunError::Agent {
            what: format!("start {}", self.binary.display()),
            why: self.told(mark, process.ended()),
        })
    }

    /// What a process did that does not serve, and what it said last.
    fn told(&self, mark: usize, ended: Option<ExitStatus>) -> String {
        let did = match ended {
            Some(status) => format!("it ended before it served, {status}"),
            None => format!("it does not serve after {} s", START_WITHIN.as_secs()),
        };
        match self.sheet.lines_beyond(mark, TOLD_LINES) {
            lines if lines.is_empty() => format!("{did}, and logged nothing"),
            lines => format!("{did}:\n{lines}"),
        }
    }

    fn command(&self) -> Command {
        let mut words = Vec::new();
        if self.wrapping.survives_a_full_disk {
            words.extend(["sh", "-c", "trap '' XFSZ; exec \"$@\"", "sh"].map(OsString::from));
        }
        if self.wrapping.obeys_modes && rustix::process::geteuid().is_root() {
            let without = "--bounding-set=-dac_override,-dac_read_search";
            words.extend(["setpriv", without].map(OsString::from));
        }
        words.extend(tied().iter().map(OsString::from));
        words.push(self.binary.clone().into());
        words.extend(self.arguments.iter().map(OsString::from));
        let mut words = words.into_iter();
        // The binary is among them, so there is a first.
        let mut command = Command::new(words.next().unwrap_or_default());
        command.args(words);
        command
            .env_clear()
            .env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin")
            .envs(self.environment.iter().map(|(name, value)| (*name, value)))
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            // A group of its own: a signal to this tool is not one to the agent.
            .process_group(0);
        command
    }
}

impl AgentProcess {
    fn ended(&mut self) -> Option<ExitStatus> {
        self.child.try_wait().ok().flatten()
    }

    /// SIGKILL, and its end.
    pub(super) async fn kill(&mut self) -> Result<(), RunError> {
        self.sheet.will_end();
        self.signal(Signal::KILL)?;
        self.wait().await
    }

    /// SIGTERM, and its end.
    pub(super) async fn stop(&mut self) -> Result<(), RunError> {
        self.sheet.will_end();
        self.signal(Signal::TERM)?;
        self.wait().await
    }

    pub(super) fn suspend(&self) -> Result<(), RunError> {
        self.signal(Signal::STOP)
    }

    pub(super) fn resume(&self) -> Result<(), RunError> {
        self.signal(Signal::CONT)
    }

    /// A line to the chaos hooks of the agent.
    pub(super) fn order(&mut self, line: &str) -> Result<(), RunError> {
        let orders = self.orders.as_mut();
        let written = orders.map(|to| writeln!(to, "{line}").and_then(|()| to.flush()));
        match written {
            Some(Ok(())) => Ok(()),
            _ => Err(RunError::Agent {
                what: format!("tell it {line:?}"),
                why: "its standard input is closed".to_owned(),
            }),
        }
    }

    /// From now on its files may be so large; `None` is as large as before.
    pub(super) fn limit_files(&self, bytes: Option<u64>) -> Result<(), RunError> {
        self.limit(Resource::Fsize, bytes)
    }

    /// From now on it opens no more files than it has open now; or as many as before.
    pub(super) fn limit_descriptors(&self, full: bool) -> Result<(), RunError> {
        let open = format!("/proc/{}/fd", self.pid.as_raw_nonzero());
        let open = std::fs::read_dir(open).map_or(0, Iterator::count);
        self.limit(Resource::Nofile, full.then_some(open as u64))
    }

    fn limit(&self, resource: Resource, most: Option<u64>) -> Result<(), RunError> {
        let ours = rustix::process::getrlimit(resource);
        let limits = Rlimit {
            current: most.or(ours.current),
            maximum: ours.maximum,
        };
        let set = rustix::process::prlimit(Some(self.pid), resource, limits);
        set.map(|_| ()).map_err(|error| RunError::Agent {
            what: "limit it".to_owned(),
            why: error.to_string(),
        })
    }

    fn signal(&self, signal: Signal) -> Result<(), RunError> {
        rustix::process::kill_process(self.pid, signal).map_err(|error| RunError::Agent {
            what: "send it a signal".to_owned(),
            why: error.to_string(),
        })
    }

    async fn wait(&mut self) -> Result<(), RunError> {
        let ended = async {
            while matches!(self.child.try_wait(), Ok(None)) {
                tokio::time::sleep(Duration::from_millis(2)).await;
            }
        };
        if tokio::time::timeout(END_WITHIN, ended).await.is_err() {
            return Err(RunError::Agent {
                what: "wait for its end".to_owned(),
                why: self.sheet.last_lines(20),
            });
        }
        self.sheet.ended();
        Ok(())
    }
}

impl Drop for AgentProcess {
    fn drop(&mut self) {
        // Both fail only when it has ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Notes its log line by line; the end of the log is the end of the process.
fn follow(stderr: impl Read + Send + 'static, sheet: Arc<Sheet>) -> JoinHandle<()> {
    std::thread::spawn(move || {
        let mut reader = BufReader::new(stderr);
        let mut line = Vec::new();
        loop {
            line.clear();
            let read = (&mut reader)
                .take(LINE_MAX_BYTES)
                .read_until(b'\n', &mut line);
            if !read.is_ok_and(|read| read > 0) {
                break;
            }
            sheet.line(String::from_utf8_lossy(&line).trim_end());
        }
        sheet.ended();
    })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test may panic")]

    use super::*;

    async fn refused(script: &str) -> String {
        let launch = Launch {
            binary: PathBuf::from("/bin/sh"),
            arguments: vec!["-c".to_owned(), script.to_owned()],
            environment: Vec::new(),
            wrapping: Wrapping::default(),
            sheet: Arc::new(Sheet::new()),
        };
        launch.start().await.err().unwrap().to_string()
    }

    #[tokio::test]
    async fn a_process_that_does_not_serve_is_told_by_its_end_and_its_last_words() {
        let said = refused("echo it does not parse >&2; exit 7").await;
        assert!(said.contains("exit status: 7"), "{said}");
        assert!(said.contains("it does not parse"), "{said}");
        let said = refused("exit 3").await;
        assert!(
            said.contains("exit status: 3") && said.contains("logged nothing"),
            "{said}"
        );
    }
}
