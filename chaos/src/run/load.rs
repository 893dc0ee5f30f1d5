//! The load: requests by the clock, over connections that are made again when they end, as proxies do.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::time::{Duration, Instant};

use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::MissedTickBehavior;
use verdict::policy::DenyStatus;

use crate::client::{Client, ClientError, Hello};
use crate::run::recording::{Observation, Outcome};
use crate::scenario::Load;
use crate::scenario::answer::Said;
use crate::scenario::caller::Caller;

use super::RunError;
use super::callers::{Callers, Question};
use super::classify::classify;
use super::sheet::Sheet;

/// After so long a request counts as never answered.
const PATIENCE: Duration = Duration::from_secs(12);
/// A connection and its handshake, on a busy machine.
const CONNECT_WITHIN: Duration = Duration::from_secs(3);

/// How long a deployment's agent may take to find SPIRE behind the relay.
const READY_WITHIN: Duration = Duration::from_secs(60);
const READY_EVERY: Duration = Duration::from_millis(250);

/// Load under way.
pub(super) struct Running {
    stop: watch::Sender<bool>,
    connections: JoinSet<()>,
}

/// Starts asking. `unavailable` is the status of an outage, if the agent's policy is known.
pub(super) fn start(
    load: &Load,
    socket: &Path,
    callers: &Arc<Callers>,
    sheet: &Arc<Sheet>,
    unavailable: Option<DenyStatus>,
) -> Running {
    let (stop, stopping) = watch::channel(false);
    let mut connections = JoinSet::new();
    for number in 0..load.connections {
        let connection = Connection {
            number: usize::from(number),
            load: load.clone(),
            socket: socket.to_owned(),
            callers: Arc::clone(callers),
            sheet: Arc::clone(sheet),
            unavailable,
        };
        connections.spawn(connection.run(stopping.clone()));
    }
    Running { stop, connections }
}

impl Running {
    /// Asks no more, and waits for what is under way.
    pub(super) async fn stop(mut self) {
        self.stop.send_replace(true);
        while self.connections.join_next().await.is_some() {}
    }
}

/// Waits until the caller with the real certificate is allowed as itself.
pub(super) async fn until_verified(socket: &Path, callers: &Callers) -> Result<(), RunError> {
    let question = callers.ask(Caller::Frontend, 0);
    let question = question.ok_or(RunError::Unready("nobody to ask as".to_owned()))?;
    let until = Instant::now() + READY_WITHIN;
    loop {
        let seen = match Client::connect(socket, Hello::default()).await {
            Ok(client) => match client.ask(&question.request).await {
                Ok(answer) => match classify(&question, &answer, None) {
                    Outcome::Said(Said::Verified) => return Ok(()),
                    other => unlike_verified(&other),
                },
                Err(error) => error.to_string(),
            },
            Err(error) => error.to_string(),
        };
        if Instant::now() > until {
            return Err(RunError::flag("--agent-socket", socket, seen));
        }
        tokio::time::sleep(READY_EVERY).await;
    }
}

/// What came instead of an allowed caller, and what to do about it.
fn unlike_verified(outcome: &Outcome) -> String {
    let said = match outcome {
        Outcome::Said(said) => said,
        Outcome::Wrong(what) => return format!("the caller of --caller {what}"),
        Outcome::Lost | Outcome::Unsent | Outcome::Silent => return "no answer came".to_owned(),
    };
    let remedy = match said {
        Said::Verified => "",
        Said::FailOpen | Said::Denied("TRUST_UNAVAILABLE") => return no_bundles(*said),
        Said::Denied("MALFORMED" | "NO_CREDENTIAL") => {
            ": the tool sends Envoy's x-forwarded-client-cert and nothing else: give the agent under test \
             client-cert-header \"x-forwarded-client-cert\" and client-cert-format \"xfcc\""
        }
        Said::Denied("NOT_ALLOWED") => ": its policy does not list the ID; name one that it does",
        Said::Denied("EXPIRED") => ": fetch the certificate again",
        Said::Denied(_) => ": its log and its record say why",
    };
    format!("the caller of --caller is answered {said}{remedy}")
}

/// The agent that is behind the relay gets what SPIRE gives the tool.
fn no_bundles(said: Said) -> String {
    let uid = rustix::process::geteuid().as_raw();
    format!(
        "the caller of --caller is answered {said}: the agent has no bundles from SPIRE. Whoever comes by \
         the relay is the tool to SPIRE: SPIRE must attest the tool itself and give it an SVID, so \
         register an entry whose selectors fit the tool, as unix:uid:{uid}; and see that the SPIRE agent \
         is well. The agent's log says what it was told"
    )
}

struct Connection {
    number: usize,
    load: Load,
    socket: PathBuf,
    callers: Arc<Callers>,
    sheet: Arc<Sheet>,
    unavailable: Option<DenyStatus>,
}

/// A connection to the agent, until it breaks.
struct Line {
    client: Client,
    unavailable: Option<DenyStatus>,
    broken: AtomicBool,
}

impl Connection {
    async fn run(self, mut stopping: watch::Receiver<bool>) {
        let mut ticks = tokio::time::interval(Duration::from_millis(self.load.every_ms));
        ticks.set_missed_tick_behavior(MissedTickBehavior::Skip);
        let (mut line, mut asked) = (None, JoinSet::new());
        // Connections begin at different callers.
        for n in self.number * 3.. {
            tokio::select! {
                _ = ticks.tick() => {}
                _ = stopping.wait_for(|stop| *stop) => break,
            }
            let Some(question) = self.question(n) else {
                continue;
            };
            let id = format!("{}-{}-{n}", question.caller.as_str(), self.number);
            let sent_ms = self.sheet.now_ms();
            line = self.line(line).await;
            match &line {
                Some(line) => {
                    let (line, sheet) = (Arc::clone(line), Arc::clone(&self.sheet));
                    asked.spawn(ask(line, sheet, question, id, sent_ms));
                }
                None => self.sheet.observe(Observation {
                    id,
                    caller: question.caller,
                    sent_ms,
                    took_us: (self.sheet.now_ms() - sent_ms) * 1_000,
                    outcome: Outcome::Unsent,
                }),
            }
            while asked.try_join_next().is_some() {}
        }
        while asked.join_next().await.is_some() {}
    }

    fn question(&self, n: usize) -> Option<Question> {
        let callers = &self.load.callers;
        let caller = callers.get(n % callers.len().max(1))?;
        self.callers.ask(*caller, n / callers.len().max(1))
    }

    /// The connection, made again if it broke.
    async fn line(&self, line: Option<Arc<Line>>) -> Option<Arc<Line>> {
        if let Some(line) = line.filter(|line| !line.broken.load(Relaxed)) {
            return Some(line);
        }
        let connecting = async {
            let client = Client::dial(&self.socket).await?.with_timeout(PATIENCE);
            client.handshake(Hello::default()).await?;
            Ok::<_, ClientError>(client)
        };
        let client = tokio::time::timeout(CONNECT_WITHIN, connecting).await;
        Some(Arc::new(Line {
            client: client.ok()?.ok()?,
            unavailable: self.unavailable,
            broken: AtomicBool::new(false),
        }))
    }
}

async fn ask(line: Arc<Line>, sheet: Arc<Sheet>, question: Question, id: String, sent_ms: u64) {
    let began = Instant::now();
    let request = question.request.clone().with_id(id.clone());
    let outcome = match line.client.ask(&request).await {
        Ok(answer) => classify(&question, &answer, line.unavailable),
        Err(ClientError::Timeout { .. }) => Outcome::Silent,
        Err(ClientError::Protocol { what }) => Outcome::Wrong(what),
        Err(_) => {
            line.broken.store(true, Relaxed);
            Outcome::Lost
        }
    };
    sheet.observe(Observation {
        id,
        caller: question.caller,
        sent_ms,
        took_us: u64::try_from(began.elapsed().as_micros()).unwrap_or(u64::MAX),
        outcome,
    });
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_agent_without_bundles_is_told_whom_spire_attests() {
        for said in [Said::Denied("TRUST_UNAVAILABLE"), Said::FailOpen] {
            let told = unlike_verified(&Outcome::Said(said));
            for words in [
                &said.to_string(),
                "attest the tool itself",
                "an SVID",
                "unix:uid:",
            ] {
                assert!(told.contains(words), "{told}");
            }
        }
    }
}
