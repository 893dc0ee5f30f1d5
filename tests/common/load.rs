//! Load: pipelined over several connections, every answer checked.

use std::collections::VecDeque;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;

use chaos::ca::Defect;
use chaos::client::{Client, ClientError, Hello, Request};
use tokio::sync::watch;
use tokio::task::JoinSet;

use super::expect::Expected;
use super::{FRONTEND, PARTNER, Site, carrying};

/// Requests on their way on one connection; the proxies send up to 100.
const DEPTH: usize = 16;

/// A question with its right answer.
#[derive(Clone, Debug)]
pub struct Question {
    pub request: Request,
    pub expected: Expected,
}

/// What came of it.
#[derive(Debug, Default)]
pub struct Tally {
    /// Right answers.
    pub right: AtomicU64,
    /// Refusals of check 0, 500 and 503: not the answer, and not wrong.
    pub refused: AtomicU64,
    /// Connections that the agent ended.
    pub cut: AtomicU64,
    /// Requests whose connection ended before the answer.
    pub lost: AtomicU64,
}

/// Load in the background.
pub struct Load {
    pub tally: Arc<Tally>,
    stop: watch::Sender<bool>,
    connections: JoinSet<Result<(), String>>,
}

/// Callers of every kind: listed (several, so that not all is remembered), unlisted, forged, expired, nobody.
pub fn mixed(site: &Site) -> Arc<[Question]> {
    let world = &site.world;
    let mut questions = Vec::new();
    let ask = |request, expected| Question { request, expected };
    for n in 0..8 {
        let id = format!("spiffe://example.org/services/load-{n}");
        questions.push(ask(site.asks(&id), Expected::As(id)));
        let spoofing = site
            .asks(FRONTEND)
            .header("x-spiffe-id", "spiffe://example.org/admin")
            .header("X_Spiffe_Id", "spiffe://example.org/admin");
        questions.push(ask(spoofing, Expected::allowed_as(FRONTEND)));
        questions.push(ask(
            site.asks(PARTNER),
            Expected::Denied(403, "NOT_ALLOWED"),
        ));
        let forged = carrying(&world.forged(FRONTEND).unwrap());
        questions.push(ask(forged, Expected::Denied(401, "UNTRUSTED")));
    }
    let expired = carrying(&world.expired(FRONTEND).unwrap());
    questions.push(ask(expired, Expected::Denied(401, "EXPIRED")));
    let no_svid = carrying(&world.defective(FRONTEND, Defect::CaTrue).unwrap());
    questions.push(ask(no_svid, Expected::Denied(401, "NOT_AN_SVID")));
    let nobody = Request::get("/");
    questions.push(ask(nobody, Expected::Denied(401, "NO_CREDENTIAL")));
    questions.into()
}

/// Asks until told to stop.
pub fn start(socket: PathBuf, questions: Arc<[Question]>, connections: usize) -> Load {
    let (stop, stopping) = watch::channel(false);
    let tally = Arc::new(Tally::default());
    let mut running = JoinSet::new();
    for n in 0..connections {
        let one = Connection {
            socket: socket.clone(),
            questions: Arc::clone(&questions),
            stopping: stopping.clone(),
            tally: Arc::clone(&tally),
            next: n * 7,
        };
        running.spawn(one.run());
    }
    Load {
        tally,
        stop,
        connections: running,
    }
}

impl Load {
    /// Waits for this many further right answers: the agent serves.
    pub async fn served(&self, more: u64) {
        let from = self.tally.right.load(Relaxed);
        super::eventually(
            &format!("{more} more answers: {:?}", self.tally),
            async || self.tally.right.load(Relaxed) >= from + more,
        )
        .await;
    }

    /// Stops; every answer was right, or this fails.
    pub async fn stop(self) -> Arc<Tally> {
        self.stop.send_replace(true);
        self.finished().await
    }

    /// Waits until every connection has ended by itself or was stopped.
    pub async fn finished(mut self) -> Arc<Tally> {
        while let Some(ended) = self.connections.join_next().await {
            if let Err(wrong) = ended.unwrap() {
                panic!("{wrong}");
            }
        }
        self.tally
    }

    /// No connection is made again: what ends from now on ends for good.
    pub fn last_round(&self) {
        self.stop.send_replace(true);
    }
}

struct Connection {
    socket: PathBuf,
    questions: Arc<[Question]>,
    stopping: watch::Receiver<bool>,
    tally: Arc<Tally>,
    next: usize,
}

impl Connection {
    async fn run(mut self) -> Result<(), String> {
        while !*self.stopping.borrow() {
            match self.one_life().await {
                Ok(()) => return Ok(()),
                Err(Life::Wrong(what)) => return Err(what),
                // As a proxy does: it connects again.
                Err(Life::Cut) => {
                    self.tally.cut.fetch_add(1, Relaxed);
                    tokio::time::sleep(Duration::from_millis(1)).await;
                }
            }
        }
        Ok(())
    }

    async fn one_life(&mut self) -> Result<(), Life> {
        let client = Client::connect(&self.socket, Hello::default()).await?;
        let client = client.with_timeout(super::PATIENCE);
        let mut under_way = VecDeque::new();
        loop {
            while under_way.len() < DEPTH && !*self.stopping.borrow() {
                self.next += 1;
                let question = self.questions[self.next % self.questions.len()].clone();
                match client.send(&question.request).await {
                    Ok(id) => under_way.push_back((id, question)),
                    Err(error) => {
                        // What was sent may have been answered all the same.
                        self.take_rest(&client, under_way).await?;
                        return Err(error.into());
                    }
                }
            }
            let Some((id, question)) = under_way.pop_front() else {
                return Ok(());
            };
            if let Err(life) = self.take(&client, &id, &question).await {
                self.tally.lost.fetch_add(1, Relaxed);
                self.take_rest(&client, under_way).await?;
                return Err(life);
            }
        }
    }

    async fn take(&self, client: &Client, id: &str, question: &Question) -> Result<(), Life> {
        let answer = client.answer(id).await?;
        if matches!(answer.block_status(), Some(500 | 503)) {
            self.tally.refused.fetch_add(1, Relaxed);
            return Ok(());
        }
        let checked = question.expected.check(&question.request, &answer);
        checked.map_err(Life::Wrong)?;
        self.tally.right.fetch_add(1, Relaxed);
        Ok(())
    }

    async fn take_rest(
        &self,
        client: &Client,
        under_way: VecDeque<(String, Question)>,
    ) -> Result<(), Life> {
        for (id, question) in under_way {
            match self.take(client, &id, &question).await {
                Err(Life::Cut) => self.tally.lost.fetch_add(1, Relaxed),
                Err(wrong) => return Err(wrong),
                Ok(()) => 0,
            };
        }
        Ok(())
    }
}

enum Life {
    /// The agent, or its listener, was gone.
    Cut,
    /// Somebody was answered wrongly, or not at all.
    Wrong(String),
}

impl From<ClientError> for Life {
    fn from(error: ClientError) -> Self {
        match error {
            ClientError::Connect { .. } | ClientError::Send { .. } | ClientError::Closed { .. } => {
                Self::Cut
            }
            other => Self::Wrong(other.to_string()),
        }
    }
}
