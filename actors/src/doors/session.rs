//! One proxy's conversation: handshake, configuration, questions and answers. No socket here.

use std::borrow::Cow;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::Duration;

use proto::cert_header::{CertHeaderError, Collector, Raw};
use proto::sentinel::event::{self, HeaderSink};
use proto::sentinel::frame::{self, MessageType};
use proto::sentinel::reply::{BlockStatus, Decision as Answer, Reply, Version, WebSocket};
use proto::sentinel::{Encoding, PayloadError, configure, control, handshake, v1};
use tokio::time::{Instant, timeout_at};
use verdict::decide::{Decision, Intake, decide, refuse};
use verdict::headers::IdentityHeaders;

use super::Doors;
use super::answer::{self, Address};
use crate::audit::{self, Grounds};
use crate::configured::Pushed;
use crate::judge::{Prompt, Scene};
use crate::metrics::{Answer as Counted, count};
use crate::policies::InForce;
use crate::validation::Ticket;

/// Request headers that could pass for one of ours, at most; more is no request but an attack, and
/// each costs a removal in the reply.
const SPOOFED_MAX: usize = 256;

/// What this agent is called in the handshake.
const CAPABILITIES: handshake::Capabilities<'static> = handshake::Capabilities {
    agent_id: "spiffe",
    name: "Sentinel SPIFFE agent",
    version: env!("CARGO_PKG_VERSION"),
    events: &[
        handshake::Event::Configure,
        handshake::Event::RequestHeaders,
    ],
    max_concurrency: 100,
};

/// What follows from a frame.
pub(super) enum Step {
    /// The answer, if there is one, was appended.
    Done,
    /// The answer needs a validation.
    Later(Box<Pending>),
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
    doors: Arc<Doors>,
    proxy: Arc<str>,
    stage: Stage,
    policy: Option<Arc<InForce>>,
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
    pub(super) fn new(doors: Arc<Doors>, peer: &str) -> Self {
        let policy = doors.configured.initial();
        Self {
            doors,
            proxy: Arc::from(peer),
            stage: Stage::Greeting,
            policy,
        }
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
                count(&self.doors.metrics.malformed_messages);
                let text = error.to_string();
                append(out, MessageType::HandshakeResponse, |out| {
                    handshake::refuse(out, &CAPABILITIES, &text);
                });
                return Err(SessionError::Handshake(error));
            }
        };
        if let Some(name) = request.proxy_id.as_deref() {
            self.proxy = format!("{} {}", self.proxy, name.escape_default()).into();
        }
        // Only the handshake of a proxy that pushes nothing says `null`; the same block comes again
        // with Configure, which is the authority, and applying it twice changes nothing.
        if let Some(config) = request.config
            && let Pushed::Refused(error) = self.apply(config)
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

    /// Takes one frame after the handshake.
    pub(super) fn frame(
        &mut self,
        kind: MessageType,
        payload: &[u8],
        out: &mut Vec<u8>,
    ) -> Result<Step, SessionError> {
        let Stage::Asking(encoding) = self.stage else {
            return Err(SessionError::Unexpected(kind.name()));
        };
        match kind {
            MessageType::RequestHeaders => Ok(self.request(Version::V2, encoding, payload, out)),
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

    /// Takes one message of version 1, where the first is already a question.
    pub(super) fn message_v1(
        &mut self,
        message: &[u8],
        out: &mut Vec<u8>,
    ) -> Result<Step, SessionError> {
        self.stage = Stage::AskingV1;
        let request = v1::parse(message).inspect_err(|error| self.unreadable(error));
        let request = match request {
            Ok(request) => request,
            Err(error) => {
                append_v1(out, |out| {
                    block(error_text(&error).as_str()).render(out, Version::V1, Encoding::Json, "")
                });
                return Err(SessionError::Envelope(error));
            }
        };
        match request.event {
            v1::EventType::RequestHeaders => {
                Ok(self.request(Version::V1, Encoding::Json, request.payload.as_bytes(), out))
            }
            v1::EventType::Configure => {
                let answer = match v1::configure(request.payload) {
                    Ok(event) => self.apply_or_keep(event.config.as_deref()),
                    Err(error) => Some(error_text(&error)),
                };
                let reply = answer.as_deref().map_or(Reply::ALLOW, block);
                append_v1(out, |out| {
                    reply.render(out, Version::V1, Encoding::Json, "")
                });
                Ok(Step::Done)
            }
            _ => {
                append_v1(out, |out| {
                    Reply::ALLOW.render(out, Version::V1, Encoding::Json, "")
                });
                Ok(Step::Done)
            }
        }
    }

    fn configure(&mut self, encoding: Encoding, payload: &[u8], out: &mut Vec<u8>) -> Step {
        let (id, answer) = match configure::parse(encoding, payload) {
            Ok(event) => (
                event.correlation_id,
                self.apply_or_keep(event.config.as_deref()),
            ),
            Err(error) => {
                self.unreadable(&error);
                let id = event::salvage_correlation_id(encoding, payload).unwrap_or_default();
                (id, Some(error_text(&error)))
            }
        };
        let reply = answer.as_deref().map_or(Reply::ALLOW, block);
        append(out, MessageType::AgentResponse, |out| {
            reply.render(out, Version::V2, encoding, &id)
        });
        Step::Done
    }

    /// Applies a push; gives the reason of a refusal.
    fn apply_or_keep(&mut self, config: Option<&str>) -> Option<String> {
        match config.map(|config| self.apply(config)) {
            Some(Pushed::Refused(error)) => Some(error),
            Some(Pushed::Applied | Pushed::Ignored) | None => None,
        }
    }

    fn apply(&mut self, config: &str) -> Pushed {
        let (pushed, policy) = self.doors.configured.push(config, &self.proxy);
        if let Some(policy) = policy {
            self.policy = Some(policy);
        }
        pushed
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
        append(out, MessageType::AgentResponse, |out| {
            reply.render(out, Version::V2, encoding, &id)
        });
    }

    fn unreadable(&self, error: &PayloadError) {
        count(&self.doors.metrics.malformed_messages);
        tracing::warn!(proxy = %self.proxy, %error, "message cannot be read");
    }

    /// Answers a question, now if it can be. A panic on the way denies this request and no other.
    fn request(
        &self,
        version: Version,
        encoding: Encoding,
        payload: &[u8],
        out: &mut Vec<u8>,
    ) -> Step {
        let start = out.len();
        let asked = catch_unwind(AssertUnwindSafe(|| {
            self.try_request(version, encoding, payload, out)
        }));
        asked.unwrap_or_else(|_| {
            count(&self.doors.metrics.panics_contained);
            out.truncate(start);
            let asked = Asked::salvaged(&self.proxy, version, encoding, payload);
            let decision = refuse(Intake::Internal, &"a panic was contained to this request");
            self.doors.answer(&asked, &decision, None, None, out);
            Step::Done
        })
    }

    fn try_request(
        &self,
        version: Version,
        encoding: Encoding,
        payload: &[u8],
        out: &mut Vec<u8>,
    ) -> Step {
        let received = Instant::now();
        let policy = self.policy.as_ref();
        let mut sink = Sink::new(policy.map(|policy| &**policy));
        let event = match event::request_headers(encoding, payload, &mut sink) {
            Ok(event) => event,
            Err(error) => {
                self.unreadable(&error);
                let asked = Asked::salvaged(&self.proxy, version, encoding, payload);
                self.doors
                    .answer(&asked, &refuse(Intake::BadEvent, &error), None, None, out);
                return Step::Done;
            }
        };
        let (credential, spoofed) = sink.finish();
        let asked = Asked {
            version,
            encoding,
            proxy: Arc::clone(&self.proxy),
            correlation_id: event.correlation_id,
            request_id: event.request_id,
            client_ip: event.client_ip,
            traceparent: event.traceparent,
            spoofed,
        };
        let Some(policy) = policy else {
            let rule = "no policy is in force on this connection: give --config, or have the proxy push one";
            self.doors.answer(
                &asked,
                &refuse(Intake::NotConfigured, &rule),
                None,
                None,
                out,
            );
            return Step::Done;
        };
        if asked.spoofed.len() > SPOOFED_MAX {
            let rule = format!("more than {SPOOFED_MAX} headers pass for identity headers");
            self.doors.answer(
                &asked,
                &refuse(Intake::BadEvent, &rule),
                None,
                Some(policy),
                out,
            );
            return Step::Done;
        }
        let scene = self
            .doors
            .judge
            .scene(Arc::clone(policy), self.doors.clock.now());
        match self.doors.judge.prompt(credential, &scene) {
            Prompt::Ready(evidence) => {
                self.doors.decide(&asked, &scene, &evidence, out);
                Step::Done
            }
            Prompt::Overloaded(error) => {
                let decision = refuse(Intake::Overloaded, &error);
                self.doors
                    .answer(&asked, &decision, None, Some(policy), out);
                Step::Done
            }
            Prompt::Later(ticket) => Step::Later(Box::new(Pending {
                doors: Arc::clone(&self.doors),
                asked: asked.into_owned(),
                scene,
                ticket,
                deadline: received + Duration::from_millis(self.doors.bounds.decision_deadline_ms),
            })),
        }
    }
}

/// A question whose credential is being judged.
pub(super) struct Pending {
    doors: Arc<Doors>,
    asked: Asked<'static>,
    scene: Scene,
    ticket: Ticket,
    deadline: Instant,
}

impl Pending {
    /// The reply's frame; written before the deadline, whatever happens to the validation.
    pub(super) async fn answer(self) -> Vec<u8> {
        let mut out = Vec::with_capacity(1024);
        let doors = &self.doors;
        match timeout_at(self.deadline, self.ticket.landed()).await {
            Ok(Ok(evidence)) => doors.decide(&self.asked, &self.scene, &evidence, &mut out),
            Ok(Err(error)) => {
                doors.answer(
                    &self.asked,
                    &refuse(Intake::Internal, &error),
                    None,
                    Some(&self.scene.policy),
                    &mut out,
                );
            }
            Err(_) => {
                let rule = "not judged within decision-deadline-ms";
                let decision = refuse(Intake::Overloaded, &rule);
                doors.answer(
                    &self.asked,
                    &decision,
                    None,
                    Some(&self.scene.policy),
                    &mut out,
                );
            }
        }
        out
    }
}

/// What a question says beside its credential.
struct Asked<'a> {
    version: Version,
    encoding: Encoding,
    proxy: Arc<str>,
    correlation_id: Cow<'a, str>,
    request_id: Option<Cow<'a, str>>,
    client_ip: Option<Cow<'a, str>>,
    traceparent: Option<Cow<'a, str>>,
    spoofed: Vec<String>,
}

impl<'a> Asked<'a> {
    /// What can be told of an event that cannot be read: at best where to answer.
    fn salvaged(proxy: &Arc<str>, version: Version, encoding: Encoding, payload: &'a [u8]) -> Self {
        Self {
            version,
            encoding,
            proxy: Arc::clone(proxy),
            correlation_id: event::salvage_correlation_id(encoding, payload).unwrap_or_default(),
            request_id: None,
            client_ip: None,
            traceparent: None,
            spoofed: Vec::new(),
        }
    }

    fn into_owned(self) -> Asked<'static> {
        let owned = |text: Cow<'a, str>| Cow::Owned(text.into_owned());
        Asked {
            version: self.version,
            encoding: self.encoding,
            proxy: self.proxy,
            correlation_id: owned(self.correlation_id),
            request_id: self.request_id.map(owned),
            client_ip: self.client_ip.map(owned),
            traceparent: self.traceparent.map(owned),
            spoofed: self.spoofed,
        }
    }

    fn for_audit(&self) -> audit::Request<'_> {
        audit::Request {
            id: self.request_id.as_deref(),
            correlation_id: &self.correlation_id,
            trace_id: self.traceparent.as_deref().and_then(trace_id),
            client_ip: self.client_ip.as_deref(),
            proxy: &self.proxy,
            door: match self.version {
                Version::V1 => "sentinel-v1",
                Version::V2 => "sentinel-v2",
            },
        }
    }
}

impl Doors {
    fn decide(
        &self,
        asked: &Asked<'_>,
        scene: &Scene,
        evidence: &verdict::evidence::Evidence,
        out: &mut Vec<u8>,
    ) {
        let decision = decide(evidence, &scene.basis, &scene.policy.policy);
        let grounds = Grounds {
            evidence,
            basis: &scene.basis,
        };
        self.answer(
            asked,
            &decision,
            Some((grounds, scene)),
            Some(&scene.policy),
            out,
        );
    }

    /// Appends the reply, counts and records the decision.
    fn answer(
        &self,
        asked: &Asked<'_>,
        decision: &Decision<'_>,
        grounds: Option<(Grounds<'_>, &Scene)>,
        policy: Option<&Arc<InForce>>,
        out: &mut Vec<u8>,
    ) {
        let now = grounds.map_or_else(|| self.clock.now(), |(_, scene)| scene.now);
        let basis = grounds.map(|(grounds, _)| grounds.basis);
        let policy = policy.map(|policy| &**policy);
        let seen: Vec<&str> = asked.spoofed.iter().map(String::as_str).collect();
        let address = Address {
            version: asked.version,
            encoding: asked.encoding,
            correlation_id: &asked.correlation_id,
            request_id: asked.request_id.as_deref(),
        };
        let fill =
            |out: &mut Vec<u8>| answer::render(out, address, decision, basis, policy, &seen, now);
        match asked.version {
            Version::V1 => append_v1(out, fill),
            Version::V2 => append(out, MessageType::AgentResponse, fill),
        }
        self.metrics.decision(Counted::of(decision));
        let record = audit::render(
            decision,
            grounds.map(|(grounds, _)| grounds),
            policy,
            asked.for_audit(),
            now,
        );
        if let Some(line) = record {
            self.audit.put(line);
        }
    }
}

/// The trace id of a well-formed `traceparent` (W3C Trace Context, section 3.2).
fn trace_id(traceparent: &str) -> Option<&str> {
    let mut parts = traceparent.split('-');
    let (_version, trace) = (parts.next()?, parts.next()?);
    let well_formed = trace.len() == 32
        && trace
            .bytes()
            .all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'));
    (well_formed && trace.bytes().any(|b| b != b'0')).then_some(trace)
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

/// Picks the credential and the names that could pass for ours out of a request's headers.
struct Sink<'p, 'a> {
    collector: Option<Collector<'p, 'a>>,
    names: Option<&'p IdentityHeaders>,
    wanted: Wanted,
    spoofed: Vec<String>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Wanted {
    Yes,
    No,
}

impl<'p, 'a> Sink<'p, 'a> {
    fn new(policy: Option<&'p InForce>) -> Self {
        Self {
            collector: policy.map(|policy| Collector::new(&policy.header)),
            names: policy.map(|policy| &policy.policy.spec().headers),
            wanted: Wanted::No,
            spoofed: Vec::new(),
        }
    }

    fn finish(self) -> (Result<Option<Raw<'a>>, CertHeaderError>, Vec<String>) {
        let credential = self.collector.map_or(Ok(None), Collector::finish);
        (credential, self.spoofed)
    }

    fn take(&mut self, value: Cow<'a, str>) {
        if let (Wanted::Yes, Some(collector)) = (self.wanted, &mut self.collector) {
            collector.value(value);
        }
    }
}

impl<'a> HeaderSink<'a> for Sink<'_, 'a> {
    fn begin(&mut self, name: &str) {
        if self.names.is_some_and(|names| names.claims(name)) && self.spoofed.len() <= SPOOFED_MAX {
            self.spoofed.push(name.to_owned());
        }
        let wanted = self
            .collector
            .as_mut()
            .is_some_and(|collector| collector.begin(name));
        self.wanted = if wanted { Wanted::Yes } else { Wanted::No };
    }

    fn value(&mut self, value: &str) {
        if self.wanted == Wanted::Yes {
            self.take(Cow::Owned(value.to_owned()));
        }
    }

    fn value_in_place(&mut self, value: &'a str) {
        self.take(Cow::Borrowed(value));
    }
}
