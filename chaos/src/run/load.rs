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

use super::callers::{Callers, Question};
use super::classify::classify;
use super::sheet::Sheet;

/// After so long a request counts as never answered.
const PATIENCE: Duration = Duration::from_secs(12);
/// A connection and its handshake, on a busy machine.
const CONNECT_WITHIN: Duration = Duration::from_secs(3);

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
