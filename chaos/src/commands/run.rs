//! `run`: scenarios on the built agent; tells each step, then each promise.

mod done;
mod pages;
mod play;

use std::num::NonZeroUsize;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;

use chaos::report::Mark;
use chaos::run::{Backend, Deployment, Options as RunOptions};

use super::{CommandError, FAILED, agent, scenarios, terminal};
use done::{BROKEN, Done, Job, Total};
use play::{Interrupted, Played};

/// What the exit code says, for `--help`.
const EXIT_CODES: &str = "Exit codes:
  0    every promise that was judged was kept, and every twin broke as it must
  1    a promise was broken, or a twin did not break as it must
  2    something could not be read, built, set up or written, and no promise was broken
  3    nothing was shown: everything was skipped, or no fault was an outage to the agent
  129, 130, 143, 141   interrupted (SIGHUP, SIGINT, SIGTERM, closed output): everything was taken down";

/// What to run.
#[derive(Debug, clap::Args)]
#[command(after_help = EXIT_CODES)]
pub(crate) struct Options {
    /// A scenario's name (`chaos list`), a file's path, or `all`: every one, and every twin, which must break
    scenario: String,
    /// The agent's binary; without one it is built, with its chaos hooks
    #[arg(long, value_name = "PATH", conflicts_with = "agent_socket")]
    agent: Option<PathBuf>,
    /// What it gets its bundles from
    #[arg(long, value_enum, default_value_t = Spire::Simulated, conflicts_with = "agent_socket")]
    spire: Spire,
    /// The scenario's twin too: the same with one promise broken on purpose
    #[arg(long, conflicts_with = "agent_socket")]
    twin: bool,
    /// Where a page about each run goes
    #[arg(long, value_name = "DIR", default_value = "target/chaos/reports")]
    report: PathBuf,
    /// Your own deployment: the agent's socket. Needs --spire-socket, --relay and --caller
    #[arg(long, value_name = "PATH", value_parser = scenarios::socket, requires_all = ["spire_socket", "relay", "caller"])]
    agent_socket: Option<PathBuf>,
    /// Your own deployment: the Workload API's socket
    #[arg(long, value_name = "PATH", value_parser = scenarios::socket, requires = "agent_socket")]
    spire_socket: Option<PathBuf>,
    /// Your own deployment: a socket to make, which the agent is given as its Workload API
    #[arg(long, value_name = "PATH", value_parser = scenarios::socket, requires = "agent_socket")]
    relay: Option<PathBuf>,
    /// Your own deployment: an allowed ID and its certificate chain, `ID=svid.0.pem`
    #[arg(long, value_name = "ID=PEM", requires = "agent_socket")]
    caller: Option<String>,
    /// Your own deployment: the agent's --admin-address, which shows its states
    #[arg(long, value_name = "ADDRESS", requires = "agent_socket")]
    admin_address: Option<std::net::SocketAddr>,
    /// How many run at once: they mostly wait
    #[arg(long, value_name = "N", default_value = "3")]
    at_once: NonZeroUsize,
}

/// The SPIRE of a run.
#[derive(Clone, Copy, Debug, clap::ValueEnum)]
enum Spire {
    /// Simulated, with every fault a client can see
    Simulated,
    /// A real server and agent (`tests/peers/install spire`): other faults than theirs are skipped
    Real,
}

/// Runs the command.
///
/// # Errors
/// A file cannot be read, the agent not be built, or a flag names what cannot be used.
pub(crate) fn run(options: &Options) -> Result<ExitCode, CommandError> {
    let jobs = jobs(options)?;
    pages::check(&options.report)?;
    let under_test = Arc::new(under_test(options)?);
    let at_once = match *under_test {
        UnderTest::Built(_) => options.at_once.get(),
        // There is one relay.
        UnderTest::Deployed(_) => 1,
    };
    let planned = jobs.len();
    let runtime = tokio::runtime::Runtime::new().map_err(CommandError::Runtime)?;
    if let UnderTest::Deployed(deployment) = &*under_test {
        runtime.block_on(deployment.check())?;
    }
    let played = runtime.block_on(play::all(jobs, &under_test, at_once));
    let Played {
        done,
        interrupted,
        unsaid,
    } = played.map_err(CommandError::Signals)?;
    // Whatever is still being taken down is down.
    drop(runtime);
    let pages = pages::write(&done, &under_test.words(), &options.report);
    let total = Total::of(done.iter().map(Done::mark));
    let summed_up = sum_up(&done, &total, &pages);
    if let Some(interrupted) = interrupted {
        // A terminal that is gone hears nothing, and that is no error of its own.
        if interrupted != Interrupted::Pipe {
            terminal::tell(&format!(
                "interrupted after {} of {planned} runs",
                done.len()
            ));
        }
        return Ok(ExitCode::from(interrupted.code()));
    }
    match summed_up.and(unsaid.map_or(Ok(()), Err)) {
        // A broken promise is one, whoever can read of it.
        Err(CommandError::Output(error)) if total.code() == BROKEN => {
            terminal::tell(&format!("chaos: {}", CommandError::Output(error)));
        }
        said => said?,
    }
    Ok(ExitCode::from(match (total.code(), &pages) {
        (BROKEN, _) | (_, Ok(_)) => total.code(),
        (_, Err(_)) => FAILED,
    }))
}

fn sum_up(
    done: &[Done],
    total: &Total,
    pages: &Result<PathBuf, CommandError>,
) -> Result<(), CommandError> {
    let unwell = |one: &&Done| matches!(one.mark(), Mark::Broken | Mark::Error);
    if done.len() > 1 && done.iter().any(|one| unwell(&one)) {
        terminal::say("\nnot as promised, again:")?;
        for one in done.iter().filter(unwell) {
            terminal::say(&one.told())?;
        }
    }
    terminal::say(&match pages {
        Ok(index) => format!("{total}; pages: {}", index.display()),
        Err(error) => format!("{total}; pages are missing: {error}"),
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
            admin: options.admin_address,
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

impl UnderTest {
    /// On what a run was made.
    fn words(&self) -> String {
        match self {
            Self::Built(options) => format!(
                "{} on a {} SPIRE",
                options.agent.display(),
                match options.spire {
                    Backend::Simulated => "simulated",
                    Backend::Real => "real",
                }
            ),
            Self::Deployed(deployment) => format!(
                "a deployment: the agent at {}, its SPIRE at {} by the relay {}, asked as {}",
                deployment.agent.display(),
                deployment.spire.display(),
                deployment.relay.display(),
                deployment.caller_id
            ),
        }
    }
}

fn jobs(options: &Options) -> Result<Vec<Job>, CommandError> {
    let is_all = options.scenario == "all";
    let files = match is_all {
        true => scenarios::all()?,
        false => vec![scenarios::find(&options.scenario)?],
    };
    // Twins break by times that a real SPIRE does not keep to, and by what is not seen of a deployment.
    let is_ours = matches!(options.spire, Spire::Simulated) && options.agent_socket.is_none();
    let mut jobs = Vec::new();
    for file in files {
        jobs.push(Job {
            scenario: file.scenario,
            breaks: None,
        });
        if (is_all && is_ours) || options.twin {
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

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test may panic")]

    use std::path::Path;

    use clap::Parser as _;

    use super::*;

    #[derive(clap::Parser)]
    struct Cli {
        #[command(flatten)]
        options: Options,
    }

    const DEPLOYED: [&str; 10] = [
        "run",
        "flapping",
        "--agent-socket",
        "unix:///run/agent.sock",
        "--spire-socket",
        "unix:/run/spire.sock",
        "--relay",
        "/run/relay.sock",
        "--caller",
        "spiffe://example.org/frontend=svid.pem",
    ];

    fn parsed(more: &[&str]) -> Result<Cli, clap::Error> {
        Cli::try_parse_from(DEPLOYED.iter().chain(more))
    }

    #[test]
    fn flags_of_our_own_stage_are_refused_beside_a_deployment() {
        let options = parsed(&[]).unwrap().options;
        assert_eq!(options.agent_socket.unwrap(), Path::new("/run/agent.sock"));
        assert_eq!(options.spire_socket.unwrap(), Path::new("/run/spire.sock"));
        for more in [
            &["--twin"][..],
            &["--agent", "x"],
            &["--spire", "simulated"],
        ] {
            let refused = parsed(more).err().unwrap();
            assert_eq!(
                refused.kind(),
                clap::error::ErrorKind::ArgumentConflict,
                "{more:?}"
            );
        }
    }

    #[test]
    fn twins_are_played_on_our_own_stage_alone() {
        let mut options = parsed(&[]).unwrap().options;
        options.scenario = "all".to_owned();
        assert!(
            jobs(&options)
                .unwrap()
                .iter()
                .all(|job| job.breaks.is_none())
        );
        options.agent_socket = None;
        assert!(
            jobs(&options)
                .unwrap()
                .iter()
                .any(|job| job.breaks.is_some())
        );
    }
}
