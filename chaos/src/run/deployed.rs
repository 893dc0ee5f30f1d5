//! A scenario on somebody's own deployment: his agent, his SPIRE, a relay of ours between the two.
//!
//! What is seen is what a proxy sees: answers. What the agent logs and records stays its owner's, so
//! promises about that are not judged here, and said to be so. Steps that need our hand on the agent, or
//! on what SPIRE says, make a scenario one that is skipped.

use std::io;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use rustix::process::Pid;
use tokio::net::UnixStream;
use verdict::availability::Phase;

use super::callers::Callers;
use super::files::FileId;
use super::judge::judge;
use super::recording::Event;
use super::relay::{Relay, process_behind};
use super::sheet::Sheet;
use super::{Acts, Run, RunError, load, play, preflight};
use crate::scenario::Scenario;
use crate::scenario::action::{Action, Spire as Act};
use status::States;
use view::{Met, View};

mod outage;
mod status;
mod view;

/// How long an agent that answers may take until it comes by the relay: it may be between two tries.
const COMES_WITHIN: Duration = Duration::from_secs(20);
/// How long all that precedes a run may take.
const BEGINS_WITHIN: Duration = preflight::READY_WITHIN
    .saturating_add(COMES_WITHIN)
    .saturating_add(COMES_WITHIN);
/// How long the page of a run's states may take: so much is what they may be off by.
const PAGE_MS_MAX: u64 = 250;
/// How often it is asked for one that took no longer.
const PAGE_TRIES: u8 = 3;
/// How often its page is asked until it is Live.
const LIVE_EVERY: Duration = Duration::from_millis(100);

/// Somebody's own agent and SPIRE.
#[derive(Clone, Debug)]
pub struct Deployment {
    /// The agent's socket, which proxies ask.
    pub agent: PathBuf,
    /// The Workload API's socket.
    pub spire: PathBuf,
    /// Where the agent believes the Workload API to be: we listen here.
    pub relay: PathBuf,
    /// An ID that the agent's policy allows.
    pub caller_id: String,
    /// Its certificate and chain, PEM: what `spire-agent api fetch x509 -write` calls `svid.0.pem`.
    pub caller_pem: String,
    /// Where the agent's status page is, for what is promised about its states.
    pub admin: Option<SocketAddr>,
}

impl Deployment {
    /// What can be known before anything is done.
    ///
    /// # Errors
    /// A flag names what it cannot be.
    pub async fn check(&self) -> Result<(), RunError> {
        for (flag, path) in [
            ("--agent-socket", &self.agent),
            ("--spire-socket", &self.spire),
        ] {
            if is_same(&self.relay, path) {
                let why = format!(
                    "is what {flag} names: name a path that does not exist yet, for the relay's own socket"
                );
                return Err(RunError::flag("--relay", &self.relay, why));
            }
        }
        if is_same(&self.spire, &self.agent) {
            let why = "is what --agent-socket names: name the Workload API's, where SPIRE's agent listens";
            return Err(RunError::flag("--spire-socket", &self.spire, why));
        }
        if let Err(error) = UnixStream::connect(&self.spire).await {
            let why = in_the_way(&error);
            return Err(RunError::flag("--spire-socket", &self.spire, why));
        }
        self.tells_states(listener_of(&self.agent).await).await
    }

    /// Whether the status page can be had and is the agent's, as far as its process is known.
    async fn tells_states(&self, agent: Option<Pid>) -> Result<(), RunError> {
        let Some(admin) = self.admin else {
            return Ok(());
        };
        let fail = |why| RunError::flag("--admin-address", Path::new(&admin.to_string()), why);
        let told = status::states(admin, agent, 0).await;
        told.map(drop).map_err(fail)
    }

    /// Waits until the agent is Live by its own page, where that is known: that SPIRE spoke to it is less,
    /// and bundles it may have of an earlier start.
    async fn until_live(&self, agent: Option<Pid>, within: Duration) -> Result<(), RunError> {
        let Some(admin) = self.admin else {
            return Ok(());
        };
        let fail = |why| RunError::flag("--admin-address", Path::new(&admin.to_string()), why);
        let until = Instant::now() + within;
        loop {
            let states = status::states(admin, agent, 0).await.map_err(fail)?;
            match states.last().map(|state| state.to) {
                Some(Phase::Live) => return Ok(()),
                Some(other) if Instant::now() >= until => return Err(not_live(other)),
                // A page without a state is refused as one that is not whole.
                _ => tokio::time::sleep(LIVE_EVERY).await,
            }
        }
    }

    /// The states since the sheet began. When a page was made is known no better than how long it took.
    async fn states(&self, sheet: &Sheet) -> States {
        let Some(admin) = self.admin else {
            return Ok(Vec::new());
        };
        let agent = listener_of(&self.agent).await;
        for _ in 0..PAGE_TRIES {
            let asked_ms = sheet.now_ms();
            let states = status::states(admin, agent, asked_ms).await?;
            if sheet.now_ms().saturating_sub(asked_ms) <= PAGE_MS_MAX {
                return Ok(states);
            }
        }
        Err(format!(
            "the status page at {admin} takes more than {PAGE_MS_MAX} ms: when its states were is not known"
        ))
    }

    /// Whether the agent came to its SPIRE by the relay: from elsewhere no step would reach it.
    async fn comes(
        &self,
        relay: &Relay,
        agent: Option<Pid>,
        within: Duration,
    ) -> Result<(), RunError> {
        if relay.carries(agent, within).await {
            return Ok(());
        }
        let path = self.relay.display();
        let who = match agent.filter(|_| relay.traffic(None).carried > 0) {
            Some(pid) => format!(
                "the agent at --agent-socket, process {pid}, does not use the relay {path}, though \
                 another process does"
            ),
            None => match relay.refused_uid() {
                Some(uid) => format!(
                    "the relay {path} let nobody in but turned away uid {uid}, which is neither root nor \
                     ours nor that of who listens on --agent-socket"
                ),
                None => format!("nobody came to SPIRE through the relay {path}"),
            },
        };
        Err(RunError::Unready(format!(
            "{who}: start the agent with --spire-socket {path}"
        )))
    }
}

/// The process that listens on a socket, as far as it has a number here.
async fn listener_of(socket: &Path) -> Option<Pid> {
    process_behind(&UnixStream::connect(socket).await.ok()?)
}

fn not_live(state: Phase) -> RunError {
    RunError::Unready(format!(
        "the agent came by the relay and is {}, not Live: SPIRE gives the tool no bundles there; register an \
         entry whose selectors fit the tool, and see what the agent's log says",
        state.as_str()
    ))
}

/// Why nobody can be reached there, and what to do.
fn in_the_way(error: &io::Error) -> String {
    match error.kind() {
        io::ErrorKind::NotFound => "there is no such socket: name the Workload API's".to_owned(),
        io::ErrorKind::ConnectionRefused => {
            "nobody listens there: start the SPIRE agent, or name its socket".to_owned()
        }
        io::ErrorKind::PermissionDenied => {
            "this user may not connect: run the tool as the agent's user".to_owned()
        }
        _ => format!("cannot connect: {error}"),
    }
}

/// Whether two paths are one, or lead to one file.
fn is_same(one: &Path, other: &Path) -> bool {
    let place = |path: &Path| {
        let folder = path
            .parent()
            .filter(|folder| !folder.as_os_str().is_empty());
        let folder = folder.unwrap_or(Path::new(".")).canonicalize().ok()?;
        Some(folder.join(path.file_name()?))
    };
    let behind = FileId::behind(one);
    one == other
        || place(one).is_some_and(|one| Some(one) == place(other))
        || (behind.is_some() && behind == FileId::behind(other))
}

struct Deployed {
    relay: Relay,
    sheet: Arc<Sheet>,
    /// The agent's socket.
    socket: PathBuf,
    met: Met,
}

impl Acts for Deployed {
    fn sheet(&self) -> &Sheet {
        &self.sheet
    }

    async fn act(&mut self, planned_ms: u64, action: &Action) -> Result<(), RunError> {
        let began_ms = self.sheet.now_ms();
        if let Action::Spire(act) = action {
            self.meets(*act, began_ms).await?;
            self.relay.act(*act).await?;
        }
        self.sheet.event(Event {
            planned_ms,
            began_ms,
            done_ms: self.sheet.now_ms(),
            action: action.clone(),
        });
        Ok(())
    }
}

impl Deployed {
    /// The agent answers as every scenario assumes, by the relay, and is Live by its own page.
    async fn ready(&mut self, deployment: &Deployment, callers: &Callers) -> Result<(), RunError> {
        let verified = preflight::until_verified(&deployment.agent, callers).await;
        self.met.agent = listener_of(&deployment.agent).await;
        let is_unmet = self.relay.traffic(self.met.agent).carried == 0;
        let within = match &verified {
            Ok(()) => Some(COMES_WITHIN),
            // Who is not verified had his time already; that he never came is why.
            Err(RunError::Flag { .. }) if is_unmet => Some(Duration::ZERO),
            Err(_) => None,
        };
        if let Some(within) = within {
            let came = deployment.comes(&self.relay, self.met.agent, within);
            came.await?;
        }
        verified?;
        preflight::until_refused(&deployment.agent, callers).await?;
        deployment.until_live(self.met.agent, COMES_WITHIN).await
    }

    /// A first step that meets nobody shows nothing; at a later one the agent may be on its way back.
    async fn meets(&mut self, act: Act, at_ms: u64) -> Result<(), RunError> {
        if !Relay::strikes(act) {
            return Ok(());
        }
        // It may have been started again, as another process.
        self.met.agent = listener_of(&self.socket).await.or(self.met.agent);
        if self.relay.traffic(self.met.agent).open > 0 {
            self.met.struck += 1;
            self.met.cut += usize::from(self.met.agent.is_some() && Relay::cuts(act));
            return Ok(());
        }
        let missed = format!("spire {act} at {at_ms} ms met no connection of the agent");
        if self.met.struck == 0 {
            let why = format!(
                "{missed}: it reaches SPIRE by another way than the relay; start it with the relay's \
                 path as its --spire-socket"
            );
            return Err(RunError::Unready(why));
        }
        self.met.missed.push(missed);
        Ok(())
    }
}

/// Plays what can be played there.
///
/// # Errors
/// A step cannot be done there, the relay's socket not be bound, or the agent is not behind it.
pub async fn run_deployed(
    scenario: &Scenario,
    deployment: &Deployment,
    tell: &(dyn Fn(&str) + Send + Sync),
) -> Result<Run, RunError> {
    let view = View::of(scenario, deployment.admin.is_some())?;
    deployment.check().await?;
    let lasts = BEGINS_WITHIN + Duration::from_millis(scenario.timeline.lasts_ms);
    let callers = Callers::of_one(&deployment.caller_id, &deployment.caller_pem, lasts)?;
    let sheet = Arc::new(Sheet::new());
    let mut stage = Deployed {
        relay: Relay::start(&deployment.relay, &deployment.spire, &deployment.agent)?,
        sheet: Arc::clone(&sheet),
        socket: deployment.agent.clone(),
        met: Met::default(),
    };
    tell("waiting until the agent answers as verified, by the relay's socket");
    stage.ready(deployment, &callers).await?;
    view.is_felt_by(stage.relay.traffic(stage.met.agent))?;
    sheet.begin();
    let callers = Arc::new(callers);
    let load = load::start(
        &view.scenario.load,
        &deployment.agent,
        &callers,
        &sheet,
        None,
    );
    let played = play(&mut stage, &view.scenario, tell).await;
    load.stop().await;
    played?;
    let states = deployment.states(&sheet).await;
    let mut recording = sheet.take();
    recording.transitions = states.clone().unwrap_or_default();
    let judged = judge(&view.scenario, &recording);
    let verdicts = view.told(scenario, &judged, (&recording, &states), &stage.met);
    let unmet = outage::unshown(scenario, &recording, &states, stage.met.cut);
    let unjudged = || view::unjudged(scenario, &verdicts);
    let unshown = stage.met.unshown().or(unmet).or_else(unjudged);
    Ok(Run {
        recording,
        verdicts,
        unshown,
    })
}

#[cfg(test)]
mod tests;
