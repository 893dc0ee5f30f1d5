//! One proxy's conversation: handshake, configuration, questions and answers. No socket here.

use std::borrow::Cow;
use std::sync::Arc;

use proto::sentinel::event::{self, HeaderSink, RequestHeaders};
use proto::sentinel::frame::{self, MessageType};
use proto::sentinel::reply::{BlockStatus, Decision as Answer, Reply, Version, WebSocket};
use proto::sentinel::{Encoding, PayloadError, configure, control, handshake, v1};
use tokio::sync::watch;
use tokio::time::Instant;

use super::conversation::{Asking, Conversation, Dialect, Pending, Pushes, Question};
use super::peer::Peer;
use super::{CAPABILITIES, Doors};
use crate::configured::Pushed;
use crate::health::Health;

/// What follows from a frame.
pub(super) enum Step {
    /// The answer, if there is one, was appended.
    Done,
    /// The answer needs a validation, or waits for its record.
    Later(Pending<Framed>),
    /// The answer was appended; then the connection ends.
    Close,
}

/// Why a connection is closed.
#[derive(Debug, thiserror::Error)]
pub(super) enum SessionError {
    /// The first message is no handshake we can accept.
    #[error("{0}")]
    Handshake(#[source] PayloadError),
    /// A version 1 message cannot be read, so the next cannot be found either.
    #[error("{0}")]
    Envelope(#[source] PayloadError),
    /// A frame that makes no sense here.
    #[error(
        "a {0} frame is not expected from a proxy after the handshake (agent protocol, section 1)"
    )]
    Unexpected(&'static str),
}

/// The conversation.
pub(super) struct Session {
    conversation: Conversation,
    stage: Stage,
}

/// How far the conversation is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    /// The handshake is awaited.
    Greeting,
    /// Version 2, in this encoding.
    Asking(Encoding),
    /// Version 1.
    AskingV1,
}

impl Session {
    pub(super) fn new(doors: Arc<Doors>, peer: Peer) -> Self {
        let name = peer.to_string();
        Self {
            conversation: Conversation::new(doors, &name, Pushes::Taken(peer)),
            stage: Stage::Greeting,
        }
    }

    /// How we are, under the policy of this connection.
    pub(super) const fn health(&mut self) -> &mut watch::Receiver<Health> {
        self.conversation.health()
    }

    /// Whether questions may be asked by now.
    pub(super) fn is_greeted(&self) -> bool {
        self.stage != Stage::Greeting
    }

    /// The encoding for reports, where the dialect has them.
    pub(super) fn reports_in(&self) -> Option<Encoding> {
        match self.stage {
            Stage::Asking(encoding) => Some(encoding),
            Stage::Greeting | Stage::AskingV1 => None,
        }
    }

    /// Answers the handshake.
    pub(super) fn greet(
        &mut self,
        payload: &[u8],
        out: &mut Vec<u8>,
    ) -> Result<Step, SessionError> {
        let request = match handshake::parse(payload) {
            Ok(request) => request,
            Err(error) => {
                self.conversation.unreadable(&error);
                let text = error.to_string();
                append(out, MessageType::HandshakeResponse, |out| {
                    handshake::refuse(out, &CAPABILITIES, &text);
                });
                return Err(SessionError::Handshake(error));
            }
        };
        self.conversation.introduce(
            request.proxy_id.as_deref(),
            request.proxy_version.as_deref(),
        );
        // Only the handshake of a proxy that pushes nothing says `null`; the same block comes again
        // with Configure, which is the authority, and applying it twice changes nothing.
        if let Some(config) = request.config
            && let Pushed::Refused(error) = self.conversation.push(config)
        {
            append(out, MessageType::HandshakeResponse, |out| {
                handshake::refuse(out, &CAPABILITIES, &error);
            });
            return Ok(Step::Close);
        }
        let encoding = request.encoding;
        append(out, MessageType::HandshakeResponse, |out| {
            handshake::accept(out, &CAPABILITIES, encoding);
        });
        self.stage = Stage::Asking(encoding);
        Ok(Step::Done)
    }

    /// Takes one frame after the handshake; it was whole at `at`.
    pub(super) fn frame(
        &mut self,
        kind: MessageType,
        payload: &[u8],
        at: Instant,
        out: &mut Vec<u8>,
    ) -> Result<Step, SessionError> {
        let Stage::Asking(encoding) = self.stage else {
            return Err(SessionError::Unexpected(kind.name()));
        };
        match kind {
            MessageType::RequestHeaders => Ok(self.request(Framed::V2(encoding), payload, at, out)),
            MessageType::Configure => Ok(self.configure(encoding, payload, out)),
            MessageType::RequestBodyChunk
            | MessageType::ResponseHeaders
            | MessageType::ResponseBodyChunk
            | MessageType::RequestComplete
            | MessageType::WebSocketFrame
            | MessageType::GuardrailInspect => {
                self.pass(kind, encoding, payload, out);
                Ok(Step::Done)
            }
            MessageType::Ping => {
                match control::ping(payload) {
                    Ok(ping) => append(out, MessageType::Pong, |out| control::pong(out, ping)),
                    Err(error) => self.unreadable(&error),
                }
                Ok(Step::Done)
            }
            // An answer takes microseconds, or is bounded by the deadline: there is nothing to cancel.
            MessageType::Cancel => Ok(Step::Done),
            MessageType::HandshakeRequest
            | MessageType::HandshakeResponse
            | MessageType::AgentResponse
            | MessageType::HealthStatus
            | MessageType::MetricsReport
            | MessageType::ConfigUpdateRequest
            | MessageType::FlowControl
            | MessageType::Pong => Err(SessionError::Unexpected(kind.name())),
        }
    }

    /// Takes one message of version 1, where the first is already a question; it was whole at `at`.
    pub(super) fn message_v1(
        &mut self,
        message: &[u8],
        at: Instant,
        out: &mut Vec<u8>,
    ) -> Result<Step, SessionError> {
        let is_first = !self.is_greeted();
        self.stage = Stage::AskingV1;
        let request = v1::parse(message).inspect_err(|error| self.unreadable(error));
        let request = match request {
            Ok(request) => request,
            Err(error) => {
                Framed::V1.write(out, &block(&error_text(&error)), "");
                return Err(SessionError::Envelope(error));
            }
        };
        if is_first {
            self.conversation.introduce_v1();
        }
        match request.event {
            v1::EventType::RequestHeaders => {
                Ok(self.request(Framed::V1, request.payload.as_bytes(), at, out))
            }
            v1::EventType::Configure => {
                let answer = match v1::configure(request.payload) {
                    Ok(event) => self.conversation.push_or_keep(event.config.as_deref()),
                    Err(error) => Some(error_text(&error)),
                };
                let reply = answer.as_deref().map_or(Reply::ALLOW, block);
                Framed::V1.write(out, &reply, "");
                Ok(Step::Done)
            }
            _ => {
                Framed::V1.write(out, &Reply::ALLOW, "");
                Ok(Step::Done)
            }
        }
    }

    fn configure(&mut self, encoding: Encoding, payload: &[u8], out: &mut Vec<u8>) -> Step {
        let (id, answer) = match configure::parse(encoding, payload) {
            Ok(event) => (
                event.correlation_id,
                self.conversation.push_or_keep(event.config.as_deref()),
            ),
            Err(error) => {
                self.unreadable(&error);
                let id = event::salvage_correlation_id(encoding, payload).unwrap_or_default();
                (id, Some(error_text(&error)))
            }
        };
        let reply = answer.as_deref().map_or(Reply::ALLOW, block);
        Framed::V2(encoding).write(out, &reply, &id);
        Step::Done
    }

    /// Answers an event that is not judged: the proxy would wait for its timeout otherwise.
    fn pass(&self, kind: MessageType, encoding: Encoding, payload: &[u8], out: &mut Vec<u8>) {
        let websocket = match kind {
            MessageType::WebSocketFrame => WebSocket::Allow,
            _ => WebSocket::NotAsked,
        };
        let reply = Reply {
            websocket,
            ..Reply::ALLOW
        };
        let id = match event::correlation_id(kind, encoding, payload) {
            Ok(id) => id,
            Err(error) => {
                self.unreadable(&error);
                return;
            }
        };
        Framed::V2(encoding).write(out, &reply, &id);
    }

    fn unreadable(&self, error: &PayloadError) {
        self.conversation.unreadable(error);
    }

    fn request(&self, framed: Framed, payload: &[u8], at: Instant, out: &mut Vec<u8>) -> Step {
        let encoding = framed.encoding();
        match self
            .conversation
            .ask(framed, Payload { encoding, payload }, at, out)
        {
            Asking::Answered => Step::Done,
            Asking::Pending(pending) => Step::Later(pending),
        }
    }
}

/// Replies as frames.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Framed {
    /// Version 2, in this encoding.
    V2(Encoding),
    /// Version 1.
    V1,
}

impl Framed {
    const fn encoding(self) -> Encoding {
        match self {
            Self::V2(encoding) => encoding,
            Self::V1 => Encoding::Json,
        }
    }
}

impl Dialect for Framed {
    type Unit = u8;

    fn door(self) -> &'static str {
        match self {
            Self::V2(_) => "sentinel-v2",
            Self::V1 => "sentinel-v1",
        }
    }

    fn write(self, out: &mut Vec<u8>, reply: &Reply<'_>, correlation_id: &str) {
        match self {
            Self::V2(encoding) => append(out, MessageType::AgentResponse, |out| {
                reply.render(out, Version::V2, encoding, correlation_id);
            }),
            Self::V1 => append_v1(out, |out| {
                reply.render(out, Version::V1, Encoding::Json, correlation_id);
            }),
        }
    }
}

/// A question as a frame carries it.
#[derive(Clone, Copy)]
struct Payload<'a> {
    encoding: Encoding,
    payload: &'a [u8],
}

impl<'a> Question<'a> for Payload<'a> {
    fn read<S: HeaderSink<'a>>(self, sink: &mut S) -> Result<RequestHeaders<'a>, PayloadError> {
        event::request_headers(self.encoding, self.payload, sink)
    }

    fn salvage(self) -> Cow<'a, str> {
        event::salvage_correlation_id(self.encoding, self.payload).unwrap_or_default()
    }
}

fn error_text(error: &PayloadError) -> String {
    error.to_string()
}

const fn block(reason: &str) -> Reply<'_> {
    Reply {
        decision: Answer::Block {
            status: BlockStatus::BAD_REQUEST,
            body: reason,
            headers: &[],
        },
        ..Reply::ALLOW
    }
}

/// A reply is a few kilobytes; one that outgrew a frame is left out, and the client's timeout denies.
fn append(out: &mut Vec<u8>, kind: MessageType, fill: impl FnOnce(&mut Vec<u8>)) {
    if let Err(error) = frame::append(out, kind, fill) {
        tracing::error!(%error, "reply left out");
    }
}

fn append_v1(out: &mut Vec<u8>, fill: impl FnOnce(&mut Vec<u8>)) {
    if let Err(error) = frame::append_v1(out, fill) {
        tracing::error!(%error, "reply left out");
    }
}
