//! What the agent has sent and nobody has taken yet.

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use serde_json::Value;
use tokio::net::unix::OwnedReadHalf;
use tokio::sync::Notify;

use super::ClientError;
use super::frame::{Frame, kind};

/// Messages kept for takers: more than any test pipelines; what comes beyond ends the connection.
const INBOX_MESSAGES: usize = 1_000_000;

#[derive(Debug, Default)]
pub(super) struct Inbox {
    kept: Mutex<Kept>,
    arrived: Notify,
}

#[derive(Debug, Default)]
struct Kept {
    handshakes: VecDeque<Value>,
    answers: HashMap<String, VecDeque<Value>>,
    pongs: VecDeque<Value>,
    controls: HashMap<u8, VecDeque<Value>>,
    messages: usize,
    end: Option<End>,
}

#[derive(Debug, Clone)]
enum End {
    Closed(String),
    /// The agent sent what no proxy accepts; a real one would drop the connection.
    Protocol(String),
}

/// Reads until the connection ends or the agent breaks the protocol.
pub(super) async fn read_all(mut reading: OwnedReadHalf, inbox: Arc<Inbox>) {
    let end = loop {
        match Frame::read(&mut reading).await {
            Ok(Some(frame)) => {
                if let Err(what) = inbox.lock().keep(frame) {
                    break End::Protocol(what);
                }
                inbox.arrived.notify_waiters();
            }
            Ok(None) => break End::Closed("closed by the agent".to_owned()),
            Err(error) => break End::Closed(error.to_string()),
        }
    };
    inbox.lock().end = Some(end);
    inbox.arrived.notify_waiters();
}

impl Inbox {
    pub(super) async fn handshake(&self) -> Result<Value, ClientError> {
        self.take(|kept| kept.handshakes.pop_front()).await
    }

    pub(super) async fn pong(&self) -> Result<Value, ClientError> {
        self.take(|kept| kept.pongs.pop_front()).await
    }

    pub(super) async fn control(&self, kind: u8) -> Result<Value, ClientError> {
        self.take(|kept| kept.controls.get_mut(&kind)?.pop_front())
            .await
    }

    pub(super) async fn answer(&self, id: &str) -> Result<Value, ClientError> {
        self.take(|kept| kept.take_answer(id)).await
    }

    pub(super) async fn closed(&self) -> Result<String, ClientError> {
        let end = self.take(|kept| kept.end.clone()).await?;
        match end {
            End::Closed(why) => Ok(why),
            End::Protocol(what) => Err(ClientError::Protocol { what }),
        }
    }

    pub(super) fn unclaimed_answers(&self) -> usize {
        self.lock().answers.values().map(VecDeque::len).sum()
    }

    /// Looks, then sleeps until something arrives; what is here already counts even after the end.
    async fn take<T>(
        &self,
        mut look: impl FnMut(&mut Kept) -> Option<T>,
    ) -> Result<T, ClientError> {
        loop {
            let arrived = self.arrived.notified();
            tokio::pin!(arrived);
            // Registered before looking, so that nothing can arrive in between unseen.
            arrived.as_mut().enable();
            if let Some(found) = self.look(&mut look)? {
                return Ok(found);
            }
            arrived.await;
        }
    }

    fn look<T>(
        &self,
        look: &mut impl FnMut(&mut Kept) -> Option<T>,
    ) -> Result<Option<T>, ClientError> {
        let mut kept = self.lock();
        if let Some(found) = look(&mut kept) {
            kept.messages = kept.messages.saturating_sub(1);
            return Ok(Some(found));
        }
        match kept.end.clone() {
            None => Ok(None),
            Some(End::Closed(why)) => Err(ClientError::Closed {
                what: String::new(),
                why,
            }),
            Some(End::Protocol(what)) => Err(ClientError::Protocol { what }),
        }
    }

    fn lock(&self) -> MutexGuard<'_, Kept> {
        // Nothing under this lock can panic half-way.
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Kept {
    fn keep(&mut self, frame: Frame) -> Result<(), String> {
        let message: Value = serde_json::from_slice(&frame.payload)
            .map_err(|error| format!("frame of type {:#04x} is not JSON: {error}", frame.kind))?;
        self.messages += 1;
        if self.messages > INBOX_MESSAGES {
            return Err(format!(
                "more than {INBOX_MESSAGES} messages that nobody asked for"
            ));
        }
        match frame.kind {
            kind::HANDSHAKE_RESPONSE => self.handshakes.push_back(message),
            kind::AGENT_RESPONSE => self.keep_answer(message)?,
            kind::PONG => self.pongs.push_back(message),
            kind::HEALTH_STATUS
            | kind::METRICS_REPORT
            | kind::CONFIG_UPDATE_REQUEST
            | kind::FLOW_CONTROL => {
                self.controls
                    .entry(frame.kind)
                    .or_default()
                    .push_back(message);
            }
            other => return Err(format!("type {other:#04x} is none an agent may send")),
        }
        Ok(())
    }

    /// The proxies read the id from this one place and drop an answer without it.
    fn keep_answer(&mut self, message: Value) -> Result<(), String> {
        let id = message
            .pointer("/audit/custom/correlation_id")
            .and_then(Value::as_str);
        let id = id
            .ok_or("an answer without audit.custom.correlation_id")?
            .to_owned();
        self.answers.entry(id).or_default().push_back(message);
        Ok(())
    }

    fn take_answer(&mut self, id: &str) -> Option<Value> {
        let waiting = self.answers.get_mut(id)?;
        let answer = waiting.pop_front();
        if waiting.is_empty() {
            self.answers.remove(id);
        }
        answer
    }
}
