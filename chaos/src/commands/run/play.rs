//! Runs side by side, until they end or somebody ends them.

use std::io;
use std::sync::Arc;

use chaos::run;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::Semaphore;
use tokio::task::JoinSet;

use super::UnderTest;
use super::done::{Done, Job};
use crate::commands::{CommandError, PIPE, terminal};

/// Why runs that had begun did not end by themselves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Interrupted {
    /// SIGINT.
    Int,
    /// SIGTERM.
    Term,
    /// SIGHUP: the terminal is gone, as where a connection to the machine ends.
    Hup,
    /// Nobody reads what we say.
    Pipe,
}

impl Interrupted {
    /// As a shell sees a process that this signal ended.
    pub(super) const fn code(self) -> u8 {
        match self {
            Self::Int => 130,
            Self::Term => 143,
            Self::Hup => 129,
            Self::Pipe => PIPE,
        }
    }
}

/// What asks us to end.
struct Signals {
    int: Signal,
    term: Signal,
    /// None, where whoever started us had it ignored, as `nohup` does.
    hup: Option<Signal>,
}

impl Signals {
    fn listen() -> io::Result<Self> {
        Ok(Self {
            int: signal(SignalKind::interrupt())?,
            term: signal(SignalKind::terminate())?,
            hup: match ignores_hup() {
                true => None,
                false => Some(signal(SignalKind::hangup())?),
            },
        })
    }

    async fn next(&mut self) -> Interrupted {
        tokio::select! {
            _ = self.int.recv() => Interrupted::Int,
            _ = self.term.recv() => Interrupted::Term,
            _ = hung_up(&mut self.hup) => Interrupted::Hup,
        }
    }
}

async fn hung_up(hup: &mut Option<Signal>) -> Option<()> {
    match hup {
        Some(hup) => hup.recv().await,
        None => std::future::pending().await,
    }
}

/// By the kernel's own word (proc_pid_status(5), `SigIgn`): signal 1 is the lowest bit.
fn ignores_hup() -> bool {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let mask = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    mask.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok())
        .is_some_and(|mask| mask & 1 == 1)
}

/// What came of all of them.
pub(super) struct Played {
    /// Those that ended by themselves.
    pub(super) done: Vec<Done>,
    /// Why there are not more.
    pub(super) interrupted: Option<Interrupted>,
    /// Why a result could not be said, though somebody may read: the first reason.
    pub(super) unsaid: Option<CommandError>,
}

impl Played {
    /// Says what came of one. What takes no more, as a full disk, is no reader that has gone: pages are
    /// still to be had.
    fn hear(&mut self, done: Done) {
        match terminal::say(&done.told()) {
            Ok(()) => {}
            Err(CommandError::Closed) => self.interrupted = Some(Interrupted::Pipe),
            Err(error) if self.unsaid.is_none() => {
                terminal::tell(&format!("chaos: {error}; the runs go on"));
                self.unsaid = Some(error);
            }
            Err(_) => {}
        }
        self.done.push(done);
    }
}

/// Plays them, and says what came of each. Whoever interrupts this gets what has ended; the others are
/// dropped, and take their processes, sockets and directories with them.
pub(super) async fn all(
    jobs: Vec<Job>,
    under_test: &Arc<UnderTest>,
    at_once: usize,
) -> io::Result<Played> {
    let mut signals = Signals::listen()?;
    let places = Arc::new(Semaphore::new(at_once.clamp(1, jobs.len().max(1))));
    let mut running = JoinSet::new();
    for job in jobs {
        running.spawn(one(job, Arc::clone(&places), Arc::clone(under_test)));
    }
    let mut played = Played {
        done: Vec::new(),
        interrupted: None,
        unsaid: None,
    };
    while played.interrupted.is_none() {
        tokio::select! {
            why = signals.next() => played.interrupted = Some(why),
            done = running.join_next() => match done {
                None => break,
                Some(Ok(done)) => played.hear(done),
                // A fault of ours is one as if it had been here.
                Some(Err(error)) => if let Ok(panic) = error.try_into_panic() {
                    std::panic::resume_unwind(panic);
                },
            },
        }
    }
    if let Some(Interrupted::Int | Interrupted::Term | Interrupted::Hup) = played.interrupted {
        terminal::tell("interrupted: what runs is taken down");
    }
    running.shutdown().await;
    Ok(played)
}

async fn one(job: Job, places: Arc<Semaphore>, under_test: Arc<UnderTest>) -> Done {
    // The semaphore is never closed.
    let _place = places.acquire().await;
    let name = job.title();
    let tell = move |step: &str| terminal::tell(&format!("{name:<44}{step}"));
    let result = match &*under_test {
        UnderTest::Built(options) => run::run(&job.scenario, options, &tell).await,
        UnderTest::Deployed(deployment) => {
            run::run_deployed(&job.scenario, deployment, &tell).await
        }
    };
    Done { job, result }
}
