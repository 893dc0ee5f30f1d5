//! `run`: scenarios on the built agent; tells each step, then each promise.

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;

use actors::clock::Clock;
use chaos::report::{self, Heading, Row};
use chaos::run::judge::Finding;
use chaos::run::{self, Backend, Deployment, Options as RunOptions, Run, RunError};
use chaos::scenario::file::ScenarioFile;
use chaos::scenario::{Scenario, ScenarioError};
use tokio::sync::Semaphore;
use tokio::task::JoinSet;

use super::CommandError;
use super::agent;

/// Where the scenarios of this repository are.
const SCENARIOS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/scenarios");

/// What to run.
#[derive(Debug, clap::Args)]
pub(crate) struct Options {
    /// A scenario's name, a file's path, or `all`: every scenario, and every twin, which must break
    scenario: String,
    /// The agent's binary; without one it is built, with its chaos hooks
    #[arg(long, value_name = "PATH")]
    agent: Option<PathBuf>,
    /// What it gets its bundles from
    #[arg(long, value_enum, default_value_t = Spire::Simulated)]
    spire: Spire,
    /// The scenario's twin too: the same with one promise broken on purpose
    #[arg(long)]
    twin: bool,
    /// Where a page about each run goes
    #[arg(long, value_name = "DIR", default_value = "target/chaos/reports")]
    report: PathBuf,
    /// Your own deployment: the agent's socket. Needs --spire-socket, --relay and --caller
    #[arg(long, value_name = "PATH", requires_all = ["spire_socket", "relay", "caller"])]
    agent_socket: Option<PathBuf>,
    /// Your own deployment: the Workload API's socket
    #[arg(long, value_name = "PATH", requires = "agent_socket")]
    spire_socket: Option<PathBuf>,
    /// Your own deployment: a socket to make, which the agent is given as its Workload API
    #[arg(long, value_name = "PATH", requires = "agent_socket")]
    relay: Option<PathBuf>,
    /// Your own deployment: an allowed ID and its certificate chain, `ID=svid.0.pem`
    #[arg(long, value_name = "ID=PEM", requires = "agent_socket")]
    caller: Option<String>,
    /// How many run at once: they mostly wait
    #[arg(long, value_name = "N", default_value_t = 3)]
    at_once: usize,
}

/// The SPIRE of a run.
#[derive(Clone, Copy, Debug, clap::ValueEnum)]
enum Spire {
    /// Simulated, with every fault a client can see
    Simulated,
    /// A real server and agent (`tests/peers/install spire`): other faults than theirs are skipped
    Real,
}

/// One run to be made.
#[derive(Clone)]
struct Job {
    scenario: Scenario,
    /// The promise that must break, and no other.
    breaks: Option<String>,
}

/// What came of it.
struct Done {
    job: Job,
    result: Result<Run, RunError>,
}

/// Runs the command.
///
/// # Errors
/// A file cannot be read, or the agent not be built.
pub(crate) fn run(options: &Options) -> Result<ExitCode, CommandError> {
    let jobs = jobs(options)?;
    let under_test = Arc::new(under_test(options)?);
    let at_once = match *under_test {
        UnderTest::Built(_) => options.at_once.max(1),
        // There is one relay.
        UnderTest::Deployed(_) => 1,
    };
    let runtime = tokio::runtime::Runtime::new().map_err(CommandError::Runtime)?;
    let done = runtime.block_on(run_all(jobs, &under_test, at_once));
    let index = write_reports(&done, &options.report)?;
    let (mut kept, mut broken, mut skipped) = (0, 0, 0);
    for one in &done {
        match one.is_well() {
            Well::Yes => kept += 1,
            Well::No => broken += 1,
            Well::Skipped => skipped += 1,
        }
    }
    if done.len() > 1 && broken > 0 {
        println!("\nnot as promised, again:");
        let unwell = done.iter().filter(|one| matches!(one.is_well(), Well::No));
        unwell.for_each(Done::tell);
    }
    println!(
        "{kept} as promised, {broken} not, {skipped} skipped; pages: {}",
        index.display()
    );
    Ok(match broken {
        0 => ExitCode::SUCCESS,
        _ => ExitCode::FAILURE,
    })
}

/// What is tried.
enum UnderTest {
    /// A process of our own, on a SPIRE of our own.
    Built(RunOptions),
    /// Somebody's.
    Deployed(Deployment),
}

fn under_test(options: &Options) -> Result<UnderTest, CommandError> {
    if let (Some(agent), Some(spire), Some(relay), Some(caller)) = (
        &options.agent_socket,
        &options.spire_socket,
        &options.relay,
        &options.caller,
    ) {
        let (id, path) = caller.split_once('=').ok_or(CommandError::Caller)?;
        let pem = std::fs::read_to_string(path).map_err(|source| CommandError::File {
            path: PathBuf::from(path),
            source,
        })?;
        return Ok(UnderTest::Deployed(Deployment {
            agent: agent.clone(),
            spire: spire.clone(),
            relay: relay.clone(),
            caller_id: id.to_owned(),
            caller_pem: pem,
        }));
    }
    let agent = match &options.agent {
        Some(path) => path.clone(),
        None => agent::build()?,
    };
    Ok(UnderTest::Built(RunOptions {
        agent,
        spire: match options.spire {
            Spire::Simulated => Backend::Simulated,
            Spire::Real => Backend::Real,
        },
    }))
}

fn jobs(options: &Options) -> Result<Vec<Job>, CommandError> {
    let all = options.scenario == "all";
    let mut jobs = Vec::new();
    for path in files(&options.scenario)? {
        let file = read(&path)?;
        jobs.push(Job {
            scenario: file.scenario,
            breaks: None,
        });
        // Twins break by times that a real SPIRE does not keep to.
        let with_twins = all && matches!(options.spire, Spire::Simulated);
        if with_twins || options.twin {
            jobs.push(Job {
                scenario: file.twin.scenario,
                breaks: Some(file.twin.breaks),
            });
        }
    }
    // The longest first: the others fill what is left.
    jobs.sort_by_key(|job| std::cmp::Reverse(job.scenario.timeline.lasts_ms));
    Ok(jobs)
}

fn files(scenario: &str) -> Result<Vec<PathBuf>, CommandError> {
    if scenario != "all" {
        let path = Path::new(scenario);
        let named = Path::new(SCENARIOS).join(format!("{scenario}.kdl"));
        return Ok(vec![if path.exists() {
            path.to_owned()
        } else {
            named
        }]);
    }
    let file = |source| CommandError::File {
        path: PathBuf::from(SCENARIOS),
        source,
    };
    let mut files = Vec::new();
    for entry in std::fs::read_dir(SCENARIOS).map_err(file)? {
        files.push(entry.map_err(file)?.path());
    }
    files.retain(|path| path.extension().is_some_and(|end| end == "kdl"));
    files.sort();
    Ok(files)
}

fn read(path: &Path) -> Result<ScenarioFile, CommandError> {
    let text = std::fs::read_to_string(path).map_err(|source| CommandError::File {
        path: path.to_owned(),
        source,
    })?;
    let parsed = ScenarioFile::parse(&path.display().to_string(), &text);
    parsed.map_err(|error: ScenarioError| CommandError::Scenario(Box::new(error)))
}

async fn run_all(jobs: Vec<Job>, under_test: &Arc<UnderTest>, at_once: usize) -> Vec<Done> {
    let places = Arc::new(Semaphore::new(at_once));
    let mut running = JoinSet::new();
    for job in jobs {
        let (places, under_test) = (Arc::clone(&places), Arc::clone(under_test));
        running.spawn(async move {
            // The semaphore is never closed.
            let _place = places.acquire().await;
            let name = job.title();
            let tell = move |step: &str| eprintln!("{name:<44}{step}");
            let result = match &*under_test {
                UnderTest::Built(options) => run::run(&job.scenario, options, &tell).await,
                UnderTest::Deployed(deployment) => {
                    run::run_deployed(&job.scenario, deployment, &tell).await
                }
            };
            let done = Done { job, result };
            done.tell();
            done
        });
    }
    running.join_all().await
}

impl Job {
    fn title(&self) -> String {
        match self.breaks {
            None => self.scenario.name.clone(),
            Some(_) => format!("{}, twin", self.scenario.name),
        }
    }
}

/// A page for each run, and one that lists them.
fn write_reports(done: &[Done], folder: &Path) -> Result<PathBuf, CommandError> {
    let write = |name: &str, text: &str| {
        let path = folder.join(name);
        let written = std::fs::write(&path, text);
        written.map_err(|source| CommandError::File {
            path: path.clone(),
            source,
        })?;
        Ok(path)
    };
    std::fs::create_dir_all(folder).map_err(|source| CommandError::File {
        path: folder.to_owned(),
        source,
    })?;
    let now = Clock::system().now();
    let at = actors::audit::rfc3339(now.wall_ms);
    let mut rows = Vec::new();
    for one in done {
        let heading = one.heading(&at);
        let name = format!("{}.html", heading.title.replace(", ", "-"));
        if let Ok(run) = &one.result {
            write(&name, &report::page(&heading, &one.job.scenario, run))?;
        }
        rows.push(Row {
            page: one.result.is_ok().then_some(name),
            says: match &one.result {
                Ok(_) => one.job.scenario.shows.clone(),
                Err(error) => error.to_string(),
            },
            is_skipped: matches!(one.is_well(), Well::Skipped),
            heading,
        });
    }
    rows.sort_by(|one, other| one.heading.title.cmp(&other.heading.title));
    write("index.html", &report::index(&at, &rows))
}

/// Whether a run went as it must.
enum Well {
    Yes,
    No,
    Skipped,
}

impl Done {
    fn is_well(&self) -> Well {
        match (&self.result, &self.job.breaks) {
            (Err(RunError::Skipped(_)), _) => Well::Skipped,
            (Err(_), _) => Well::No,
            (Ok(run), None) if run.is_kept() => Well::Yes,
            (Ok(run), Some(breaks)) if run.broken().eq([breaks]) => Well::Yes,
            (Ok(_), _) => Well::No,
        }
    }

    fn heading(&self, at: &str) -> Heading {
        Heading {
            title: self.job.title(),
            breaks: self.job.breaks.clone(),
            is_well: matches!(self.is_well(), Well::Yes),
            at: at.to_owned(),
        }
    }

    /// In one piece: several end at once.
    fn tell(&self) {
        let mark = match self.is_well() {
            Well::Yes => " ok  ",
            Well::No => "BROKEN ",
            Well::Skipped => "  –  ",
        };
        let mut text = format!("{mark}{}: {}\n", self.job.title(), self.job.scenario.shows);
        match (&self.result, &self.job.breaks) {
            (Err(error), _) => text += &format!("       {error}\n"),
            (Ok(run), Some(breaks)) if run.broken().eq([breaks]) => {
                text += &format!("       {breaks:?} breaks, as it must\n");
            }
            (Ok(run), breaks) => {
                if let Some(breaks) = breaks {
                    text += &format!("       {breaks:?} must break, and nothing else\n");
                }
                for verdict in &run.verdicts {
                    let mark = match verdict.finding {
                        Finding::Kept(_) => "ok",
                        Finding::Broken(_) => "BROKEN",
                        Finding::NotJudged(_) => "–",
                    };
                    let (promise, words) = (&verdict.promise, verdict.finding.words());
                    text += &format!("       {mark:<7}{promise:<42} {words}\n");
                }
            }
        }
        println!("{}", text.trim_end());
    }
}
