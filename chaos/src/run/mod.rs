//! A scenario, played: the built agent over real sockets, its SPIRE, a load, the timeline; then every
//! promise judged on what was recorded.
//!
//! | module | what it does |
//! |---|---|
//! | [`recording`] | what happened, as values |
//! | [`judge`](mod@judge) | promises held against it, pure |
//! | `stage` | SPIRE, the agent's process, bad proxies; steps done to them |
//! | `deployed`, `relay` | the same on somebody's own agent and SPIRE, from outside |
//! | `preflight` | whether somebody's agent answers as scenarios assume |
//! | `load`, `callers`, `classify` | who asks, and what an answer is worth to an upstream |

mod callers;
mod classify;
mod deployed;
mod files;
pub mod judge;
mod load;
mod preflight;
mod process;
mod proxies;
mod real;
pub mod recording;
mod relay;
mod sheet;
mod spire;
mod stage;

use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::ca::CaError;
use crate::real::RealError;
use crate::scenario::Scenario;
use crate::scenario::action::Action;
use crate::spire::SpireError;
use crate::world::WorldError;

pub use deployed::{Deployment, run_deployed};

use judge::{Verdict, judge};
use recording::Recording;
use sheet::Sheet;
use stage::Stage;

/// How a run is to be done.
#[derive(Clone, Debug)]
pub struct Options {
    /// The agent's binary.
    pub agent: PathBuf,
    /// What it gets its bundles from.
    pub spire: Backend,
}

/// Which SPIRE a run is played on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Backend {
    /// In this process, with every fault a client can see.
    Simulated,
    /// Real servers and a real agent; scenarios with other faults than theirs are skipped.
    Real,
}

/// Why a run did not come to its end.
#[derive(Debug, thiserror::Error)]
pub enum RunError {
    /// It cannot be shown here; this is why.
    #[error("skipped: {0}")]
    Skipped(String),
    /// The agent's process.
    #[error("the agent: cannot {what}: {why}")]
    Agent {
        /// What was tried.
        what: String,
        /// What is known.
        why: String,
    },
    /// What somebody asked for cannot be done where he said.
    #[error("{flag} {}: {why}", path.display())]
    Flag {
        /// The flag.
        flag: &'static str,
        /// What it names.
        path: PathBuf,
        /// What is wrong there, and what to do.
        why: String,
    },
    /// A deployment that does not answer as it should before anything was done to it.
    #[error("the deployment is not ready: {0}")]
    Unready(String),
    /// A file or a directory.
    #[error("{}: cannot {what}: {source}", path.display())]
    File {
        /// Which.
        path: PathBuf,
        /// What was tried.
        what: &'static str,
        /// What the system said.
        source: std::io::Error,
    },
    /// The simulated SPIRE.
    #[error(transparent)]
    Spire(#[from] SpireError),
    /// A real SPIRE.
    #[error(transparent)]
    Real(#[from] RealError),
    /// The world of the simulated SPIRE.
    #[error(transparent)]
    World(#[from] WorldError),
    /// Certificates.
    #[error(transparent)]
    Ca(#[from] CaError),
    /// A deployment's caller.
    #[error("the caller {id}: {why}")]
    Caller {
        /// Its ID.
        id: String,
        /// What is wrong.
        why: String,
    },
}

impl RunError {
    /// What was tried with a file, for whatever comes of it.
    fn file(what: &'static str, path: &Path) -> impl FnOnce(std::io::Error) -> Self + use<> {
        let path = path.to_owned();
        move |source| Self::File { path, what, source }
    }

    fn flag(flag: &'static str, path: &Path, why: impl Into<String>) -> Self {
        Self::Flag {
            flag,
            path: path.to_owned(),
            why: why.into(),
        }
    }
}

/// What came of a run.
#[derive(Clone, Debug)]
pub struct Run {
    /// What happened.
    pub recording: Recording,
    /// Each promise.
    pub verdicts: Vec<Verdict>,
    /// Why it shows nothing, though no promise was broken: what was done was no fault to the agent.
    pub unshown: Option<String>,
}

impl Run {
    /// Whether every promise that was judged was kept.
    #[must_use]
    pub fn is_kept(&self) -> bool {
        self.broken().next().is_none()
    }

    /// The promises that were broken.
    pub fn broken(&self) -> impl Iterator<Item = &String> {
        let broken = self.verdicts.iter();
        broken
            .filter(|verdict| verdict.finding.is_broken())
            .map(|verdict| &verdict.promise)
    }
}

/// Plays a scenario; `tell` hears of every step.
///
/// # Errors
/// The stage cannot be set, or a step not done. A broken promise is no error.
pub async fn run(
    scenario: &Scenario,
    options: &Options,
    tell: &(dyn Fn(&str) + Send + Sync),
) -> Result<Run, RunError> {
    let mut stage = Stage::set(scenario, options).await?;
    stage.sheet.begin();
    let load = load::start(
        &scenario.load,
        &stage.socket(),
        &stage.callers,
        &stage.sheet,
        Some(scenario.agent.unavailable_status),
    );
    let played = play(&mut stage, scenario, tell).await;
    load.stop().await;
    played?;
    let recording = stage.strike(scenario).await?.0;
    let verdicts = judge(scenario, &recording);
    Ok(Run {
        recording,
        verdicts,
        unshown: None,
    })
}

/// Where steps are done.
trait Acts: Sync + Send {
    /// Where what happens is noted.
    fn sheet(&self) -> &Sheet;

    /// Does one step, and notes when.
    fn act(
        &mut self,
        planned_ms: u64,
        action: &Action,
    ) -> impl Future<Output = Result<(), RunError>> + Send;
}

/// The steps at their distances from each other: one that takes long moves those after it.
async fn play(
    stage: &mut impl Acts,
    scenario: &Scenario,
    tell: &(dyn Fn(&str) + Send + Sync),
) -> Result<(), RunError> {
    let (mut planned, mut began) = (0, 0);
    for step in &scenario.timeline.steps {
        until(stage, began + (step.at_ms - planned)).await;
        (planned, began) = (step.at_ms, stage.sheet().now_ms());
        tell(&format!("{:>6} ms  {}", began, step.action));
        stage.act(step.at_ms, &step.action).await?;
    }
    until(stage, began + (scenario.timeline.lasts_ms - planned)).await;
    Ok(())
}

async fn until(stage: &impl Acts, at_ms: u64) {
    let wait = at_ms.saturating_sub(stage.sheet().now_ms());
    tokio::time::sleep(Duration::from_millis(wait)).await;
}
