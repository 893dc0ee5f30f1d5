//! `ProcessStream`: one proxy's conversation, its messages in their order.
//!
//! The replies are handed out at once: the client sends nothing before it has their headers (agent
//! protocol, section 8). A task reads, asks, and sends; it ends with its replies.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use proto::sentinel::control::Ping;
use proto::sentinel::grpc::v2::proxy_to_agent::Message as Ask;
use proto::sentinel::grpc::{self, v2};
use proto::sentinel::reply::Reply;
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio::time::{Instant, MissedTickBehavior, interval, timeout};
use tokio_stream::Stream;
use tokio_util::sync::CancellationToken;
use tokio_util::task::AbortOnDropHandle;
use tonic::{Status, Streaming};

use super::connection::turned_away;
use super::dialect::V2;
use super::service::Caller;
use crate::configured::Pushed;
use crate::doors::connection::{WRITE_STALL_MS, until};
use crate::doors::conversation::{Asking, Conversation};
use crate::doors::reports::{self, REPORT_INTERVAL_MS};
use crate::doors::{AGENT_ID, CAPABILITIES, Doors};

/// Answers between the task and the connection; beyond them, the task waits and reads no more.
const REPLIES_WAITING: usize = 32;

/// Longest reason of an ended stream, bytes: it travels as a header, which clients bound.
const REASON_MAX_BYTES: usize = 1_024;

type Answers = Vec<v2::AgentToProxy>;

/// The response stream.
pub(super) struct Replies {
    receiver: mpsc::Receiver<Result<v2::AgentToProxy, Status>>,
    _task: AbortOnDropHandle<()>,
}

impl Stream for Replies {
    type Item = Result<v2::AgentToProxy, Status>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        self.receiver.poll_recv(context)
    }
}

/// Begins a conversation.
pub(super) fn open(caller: &Caller, dialect: V2, asks: Streaming<v2::ProxyToAgent>) -> Replies {
    let (replies, receiver) = mpsc::channel(REPLIES_WAITING);
    let talk = Talk {
        doors: Arc::clone(&caller.doors),
        dialect,
        conversation: caller.conversation(),
        stage: Stage::Greeting,
        pending: JoinSet::new(),
        replies,
        standing: caller.standing.clone(),
    };
    Replies {
        receiver,
        _task: AbortOnDropHandle::new(tokio::spawn(talk.run(asks))),
    }
}

/// The answer to a ping.
pub(super) fn pong(doors: &Doors, ping: v2::Ping) -> v2::AgentToProxy {
    let ping = Ping {
        sequence: ping.sequence,
        timestamp_ms: ping.timestamp_ms,
    };
    grpc::pong(ping, now_ms(doors))
}

fn now_ms(doors: &Doors) -> u64 {
    doors.clock.now().wall_ms.unsigned_abs()
}

/// How far the conversation is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    /// The handshake is awaited.
    Greeting,
    /// Questions are answered.
    Asking,
}

/// Why no more is read.
enum End {
    /// In order, once what is in flight is answered.
    Done,
    /// The same, and the proxy is told why.
    Because(Status),
    /// Nobody takes our answers.
    Unheard,
}

struct Talk {
    doors: Arc<Doors>,
    dialect: V2,
    conversation: Conversation,
    stage: Stage,
    pending: JoinSet<Answers>,
    replies: mpsc::Sender<Result<v2::AgentToProxy, Status>>,
    /// Cancelled when the caller is trusted no more.
    standing: CancellationToken,
}

impl Talk {
    async fn run(mut self, mut asks: Streaming<v2::ProxyToAgent>) {
        let end = self.listen(&mut asks).await;
        if matches!(end, End::Unheard) || self.finish().await.is_err() {
            return;
        }
        if let End::Because(status) = end {
            // Whoever is gone needs no reason.
            let _ = self.say(Err(status)).await;
        }
    }

    /// Takes messages until there is a reason not to.
    async fn listen(&mut self, asks: &mut Streaming<v2::ProxyToAgent>) -> End {
        let mut ticks = interval(Duration::from_millis(REPORT_INTERVAL_MS));
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        ticks.reset();
        let greeting_ms = self.doors.bounds.handshake_timeout_ms;
        let greeting_due = Instant::now() + Duration::from_millis(greeting_ms);
        while !self.is_draining() {
            let due = (self.stage == Stage::Greeting).then_some(greeting_due);
            let step = tokio::select! {
                () = self.standing.cancelled() => Err(End::Because(turned_away())),
                // A stream's own limit stops reading; it never refuses.
                ask = asks.message(), if self.pending.len() < self.doors.bounds.in_flight => {
                    match ask {
                        Ok(Some(ask)) => self.take(ask, Instant::now()).await,
                        Ok(None) => Err(End::Done),
                        Err(status) => {
                            self.conversation.unreadable(&status);
                            Err(End::Because(status))
                        }
                    }
                }
                Some(answers) = self.pending.join_next(), if !self.pending.is_empty() => {
                    // A panic in there was the validation's, and is contained there.
                    self.say_all(answers.unwrap_or_default()).await
                }
                changed = self.conversation.health().changed() => match changed {
                    Ok(()) => self.report_health().await,
                    Err(_) => Err(End::Done),
                },
                _ = ticks.tick() => self.report_metrics().await,
                () = until(due) => Err(self.refuse(&format!(
                    "no handshake within {greeting_ms} ms (agent protocol, section 8)"
                ))),
            };
            if let Err(end) = step {
                return end;
            }
        }
        End::Done
    }

    /// Takes one message, which was read at `at`.
    async fn take(&mut self, ask: v2::ProxyToAgent, at: Instant) -> Result<(), End> {
        if self.standing.is_cancelled() {
            return Err(End::Because(turned_away()));
        }
        let Some(ask) = ask.message else {
            // Newer proxies may say what we have no word for; nothing of it asks for a decision.
            self.conversation.unreadable(
                &"a gRPC message of unknown kind is left out (agent protocol, section 8)",
            );
            return Ok(());
        };
        match (self.stage, ask) {
            (Stage::Greeting, Ask::Handshake(request)) => self.greet(&request).await,
            (Stage::Greeting, _) => Err(self.refuse(
                &"the first message must be a handshake: an event before it is refused (agent protocol, section 8)",
            )),
            (Stage::Asking, Ask::Handshake(_)) => {
                Err(self.refuse(&"a second handshake is refused (agent protocol, section 8)"))
            }
            (Stage::Asking, Ask::RequestHeaders(event)) => self.ask(&event, at).await,
            (Stage::Asking, Ask::Configure(event)) => {
                // What is in flight would be answered late: it does not wait for the push.
                self.finish().await?;
                match self.conversation.push_or_keep(grpc::configuration(&event.config_json)) {
                    // There is no reply: the pong of the ping that follows says that it is in force.
                    None => Ok(()),
                    Some(error) => Err(End::Because(ended(&error))),
                }
            }
            (Stage::Asking, Ask::Ping(ping)) => {
                let pong = pong(&self.doors, ping);
                self.say(Ok(pong)).await
            }
            // An answer takes microseconds, or is bounded by the deadline: there is nothing to cancel.
            (Stage::Asking, Ask::Cancel(_)) => Ok(()),
            (
                Stage::Asking,
                Ask::RequestBodyChunk(event)
                | Ask::ResponseHeaders(event)
                | Ask::ResponseBodyChunk(event)
                | Ask::WebsocketFrame(event)
                | Ask::Guardrail(event)
                | Ask::RequestComplete(event),
            ) => self.pass(&event).await,
        }
    }

    async fn greet(&mut self, request: &v2::HandshakeRequest) -> Result<(), End> {
        let request = match grpc::handshake(request) {
            Ok(request) => request,
            Err(error) => {
                self.conversation.unreadable(&error);
                return self.turn_away(&error.to_string()).await;
            }
        };
        self.conversation.introduce(
            request.proxy_id.as_deref(),
            request.proxy_version.as_deref(),
        );
        let pushed = request.config.map(|config| self.conversation.push(config));
        if let Some(Pushed::Refused(error)) = pushed {
            return self.turn_away(&error).await;
        }
        self.say(Ok(grpc::accept(&CAPABILITIES))).await?;
        self.stage = Stage::Asking;
        self.report_health().await
    }

    async fn turn_away(&mut self, error: &str) -> Result<(), End> {
        self.say(Ok(grpc::refuse(&CAPABILITIES, error))).await?;
        Err(End::Done)
    }

    async fn ask(&mut self, event: &v2::RequestHeadersEvent, at: Instant) -> Result<(), End> {
        let mut answers = Vec::with_capacity(1);
        match self.conversation.ask(self.dialect, event, at, &mut answers) {
            Asking::Answered => self.say_all(answers).await,
            Asking::Pending(pending) => {
                self.pending.spawn(pending.answer());
                Ok(())
            }
        }
    }

    /// Answers an event that is not judged: the proxy would wait for its timeout otherwise.
    async fn pass(&mut self, event: &v2::OtherEvent) -> Result<(), End> {
        match grpc::other_event(event) {
            Ok(id) => self.say(Ok(grpc::response(&Reply::ALLOW, id))).await,
            Err(error) => {
                self.conversation.unreadable(&error);
                Ok(())
            }
        }
    }

    fn refuse(&self, rule: &impl std::fmt::Display) -> End {
        self.conversation.unreadable(rule);
        End::Because(ended(&rule.to_string()))
    }

    /// Answers what is in flight.
    async fn finish(&mut self) -> Result<(), End> {
        while let Some(answers) = self.pending.join_next().await {
            self.say_all(answers.unwrap_or_default()).await?;
        }
        Ok(())
    }

    async fn say_all(&self, answers: Answers) -> Result<(), End> {
        for answer in answers {
            self.say(Ok(answer)).await?;
        }
        Ok(())
    }

    async fn say(&self, reply: Result<v2::AgentToProxy, Status>) -> Result<(), End> {
        let stall = Duration::from_millis(WRITE_STALL_MS);
        match timeout(stall, self.replies.send(reply)).await {
            Ok(Ok(())) => Ok(()),
            Ok(Err(_)) => Err(End::Unheard),
            Err(_) => {
                tracing::warn!("stream ended: the peer did not read for {WRITE_STALL_MS} ms");
                Err(End::Unheard)
            }
        }
    }

    fn is_draining(&self) -> bool {
        self.doors.health.is_draining()
    }

    async fn report_health(&mut self) -> Result<(), End> {
        let state = reports::state(*self.conversation.health().borrow_and_update());
        if self.stage == Stage::Greeting {
            return Ok(());
        }
        let report = grpc::health(AGENT_ID, state, now_ms(&self.doors));
        self.say(Ok(report)).await
    }

    async fn report_metrics(&self) -> Result<(), End> {
        if self.stage == Stage::Greeting {
            return Ok(());
        }
        let mut message = None;
        reports::metrics(&self.doors, |report| message = Some(grpc::metrics(report)));
        match message {
            Some(report) => self.say(Ok(report)).await,
            None => Ok(()),
        }
    }
}

/// How a stream ends that the proxy must not go on with.
fn ended(reason: &str) -> Status {
    let mut end = reason.len().min(REASON_MAX_BYTES);
    while !reason.is_char_boundary(end) {
        end = end.saturating_sub(1);
    }
    Status::failed_precondition(reason.get(..end).unwrap_or_default())
}
