//! One proxy's conversation, whatever its dialect: pushes, questions, answers.
//!
//! A dialect knows how a question reads and how a reply is written. What is asked, decided,
//! counted and recorded is here, once.

use std::borrow::Cow;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::Duration;

use proto::sentinel::PayloadError;
use proto::sentinel::event::{HeaderSink, RequestHeaders};
use proto::sentinel::reply::Reply;
use tokio::sync::watch;
use tokio::time::{Instant, timeout_at};
use verdict::decide::{Decision, Intake, decide, refuse};
use verdict::evidence::Evidence;
use verdict::policy::Failure;

use super::peer::Peer;
use super::sink::{SPOOFED_MAX, Sink};
use super::{Doors, answer};
use crate::audit::{self, Grounds};
use crate::configured::Pushed;
use crate::health::Health;
use crate::judge::{Prompt, Scene};
use crate::metrics::{Answer as Counted, count};
use crate::policies::InForce;
use crate::validation::Ticket;

/// How replies are written.
pub(super) trait Dialect: Copy + Send + Sync + 'static {
    /// What answers are made of: bytes, or messages.
    type Unit: Send + 'static;

    /// Its name in records.
    fn door(self) -> &'static str;

    /// Appends a reply.
    fn write(self, out: &mut Vec<Self::Unit>, reply: &Reply<'_>, correlation_id: &str);
}

/// An event that asks for a decision, as it came.
pub(super) trait Question<'a>: Copy {
    /// Reads it, and shows its headers to `sink`.
    fn read<S: HeaderSink<'a>>(self, sink: &mut S) -> Result<RequestHeaders<'a>, PayloadError>;

    /// Where to answer if it cannot be read; empty if that cannot be told either.
    fn salvage(self) -> Cow<'a, str>;
}

/// What became of a question.
pub(super) enum Asking<D> {
    /// The answer was appended.
    Answered,
    /// It needs a validation.
    Judging(Box<Pending<D>>),
}

/// Whether a door takes pushes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Pushes {
    /// It does, if the configuration does; this is who pushes.
    Taken(Peer),
    /// Anybody could have sent them (decisions, "The trusted hop": plaintext takes no pushes).
    /// Answered allow and ignored, as where `accept-pushed-config` is false.
    Closed,
}

/// The conversation.
pub(super) struct Conversation {
    doors: Arc<Doors>,
    proxy: Arc<str>,
    pushes: Pushes,
    policy: Option<Arc<InForce>>,
    /// Health under that policy.
    health: watch::Receiver<Health>,
}

impl Conversation {
    pub(super) fn new(doors: Arc<Doors>, peer: &str, pushes: Pushes) -> Self {
        let policy = doors.configured.initial();
        let health = doors.health_under(policy.as_deref());
        Self {
            doors,
            proxy: Arc::from(peer),
            pushes,
            policy,
            health,
        }
    }

    /// How we are, under the policy of this conversation.
    pub(super) const fn health(&mut self) -> &mut watch::Receiver<Health> {
        &mut self.health
    }

    /// The proxy says what it is called.
    pub(super) fn introduce(&mut self, name: Option<&str>) {
        if let Some(name) = name {
            self.proxy = format!("{} {}", self.proxy, name.escape_default()).into();
        }
    }

    /// Takes a push; its policy governs the questions after it.
    pub(super) fn push(&mut self, config: &str) -> Pushed {
        let Pushes::Taken(peer) = &self.pushes else {
            tracing::info!(
                proxy = %self.proxy,
                "pushed configuration ignored: a plaintext door takes none, whoever can connect could push"
            );
            return Pushed::Ignored;
        };
        let (pushed, policy) = self.doors.configured.push(config, peer, &self.proxy);
        if let Some(policy) = policy {
            self.put_in_force(policy);
        }
        pushed
    }

    fn put_in_force(&mut self, policy: Arc<InForce>) {
        let mut health = self.doors.health_under(Some(&policy));
        // What was told under the policy before, or was about to be, is not what this one says.
        if *health.borrow() != *self.health.borrow() || self.health.has_changed().unwrap_or(true) {
            health.mark_changed();
        }
        self.health = health;
        self.policy = Some(policy);
    }

    /// The same for a message that may come without a configuration; gives the reason of a refusal.
    pub(super) fn push_or_keep(&mut self, config: Option<&str>) -> Option<String> {
        match config.map(|config| self.push(config)) {
            Some(Pushed::Refused(error)) => Some(error),
            Some(Pushed::Applied | Pushed::Ignored) | None => None,
        }
    }

    /// Counts and logs a message that makes no sense.
    pub(super) fn unreadable(&self, error: &impl std::fmt::Display) {
        count(&self.doors.metrics.malformed_messages);
        tracing::warn!(proxy = %self.proxy, %error, "message cannot be read");
    }

    /// Answers a question, now if it can be. A panic on the way denies this request and no other.
    pub(super) fn ask<'a, D: Dialect>(
        &self,
        dialect: D,
        question: impl Question<'a>,
        out: &mut Vec<D::Unit>,
    ) -> Asking<D> {
        let start = out.len();
        let asked = catch_unwind(AssertUnwindSafe(|| self.try_ask(dialect, question, out)));
        asked.unwrap_or_else(|_| {
            count(&self.doors.metrics.panics_contained);
            out.truncate(start);
            let asked = Asked::salvaged(&self.proxy, question);
            let decision = refuse(Intake::Internal, &"a panic was contained to this request");
            self.doors
                .answer(dialect, &asked, &decision, None, None, out);
            Asking::Answered
        })
    }

    fn try_ask<'a, D: Dialect>(
        &self,
        dialect: D,
        question: impl Question<'a>,
        out: &mut Vec<D::Unit>,
    ) -> Asking<D> {
        let deadline =
            Instant::now() + Duration::from_millis(self.doors.bounds.decision_deadline_ms);
        let policy = self.policy.as_ref();
        let mut sink = Sink::new(policy.map(|policy| &**policy));
        let event = match question.read(&mut sink) {
            Ok(event) => event,
            Err(error) => {
                self.unreadable(&error);
                let asked = Asked::salvaged(&self.proxy, question);
                let decision = refuse(Intake::BadEvent, &error);
                return self.refuse(dialect, &asked, &decision, out);
            }
        };
        let (credential, spoofed) = sink.finish();
        let asked = Asked::new(&self.proxy, event, spoofed);
        let Some(policy) = policy else {
            let rule = "no policy is in force on this connection: give --config, or have the proxy push one";
            return self.refuse(dialect, &asked, &refuse(Intake::NotConfigured, &rule), out);
        };
        if asked.spoofed.len() > SPOOFED_MAX {
            let rule = format!("more than {SPOOFED_MAX} headers pass for identity headers");
            return self.refuse(dialect, &asked, &refuse(Intake::BadEvent, &rule), out);
        }
        let now = self.doors.clock.now();
        let scene = self.doors.judge.scene(Arc::clone(policy), now);
        match self.doors.judge.prompt(credential, &scene) {
            Prompt::Ready(evidence) => {
                self.doors
                    .decide(dialect, &asked, &scene, &evidence, deadline, out);
                Asking::Answered
            }
            Prompt::Overloaded(error) => {
                self.refuse(dialect, &asked, &refuse(Intake::Overloaded, &error), out)
            }
            Prompt::Later(ticket) => Asking::Judging(Box::new(Pending {
                doors: Arc::clone(&self.doors),
                dialect,
                asked: asked.into_owned(),
                scene,
                ticket,
                deadline,
            })),
        }
    }

    fn refuse<D: Dialect>(
        &self,
        dialect: D,
        asked: &Asked<'_>,
        decision: &Decision<'_>,
        out: &mut Vec<D::Unit>,
    ) -> Asking<D> {
        let policy = self.policy.as_ref();
        self.doors
            .answer(dialect, asked, decision, None, policy, out);
        Asking::Answered
    }
}

/// A question whose credential is being judged.
pub(super) struct Pending<D> {
    doors: Arc<Doors>,
    dialect: D,
    asked: Asked<'static>,
    scene: Scene,
    ticket: Ticket,
    deadline: Instant,
}

impl<D: Dialect> Pending<D> {
    /// The reply; made before the deadline, whatever happens to the validation.
    pub(super) async fn answer(self) -> Vec<D::Unit> {
        let mut out = Vec::new();
        let doors = &self.doors;
        let judged = timeout_at(self.deadline, self.ticket.landed()).await;
        let decision = match judged {
            Ok(Ok(evidence)) => {
                doors.decide(
                    self.dialect,
                    &self.asked,
                    &self.scene,
                    &evidence,
                    self.deadline,
                    &mut out,
                );
                return out;
            }
            Ok(Err(error)) => refuse(Intake::Internal, &error),
            Err(_) => refuse(
                Intake::Overloaded,
                &"not judged within decision-deadline-ms",
            ),
        };
        let policy = Some(&self.scene.policy);
        doors.answer(self.dialect, &self.asked, &decision, None, policy, &mut out);
        out
    }
}

/// What a question says beside its credential.
struct Asked<'a> {
    proxy: Arc<str>,
    correlation_id: Cow<'a, str>,
    request_id: Option<Cow<'a, str>>,
    client_ip: Option<Cow<'a, str>>,
    traceparent: Option<Cow<'a, str>>,
    spoofed: Vec<String>,
}

impl<'a> Asked<'a> {
    fn new(proxy: &Arc<str>, event: RequestHeaders<'a>, spoofed: Vec<String>) -> Self {
        Self {
            proxy: Arc::clone(proxy),
            correlation_id: event.correlation_id,
            request_id: event.request_id,
            client_ip: event.client_ip,
            traceparent: event.traceparent,
            spoofed,
        }
    }

    /// What can be told of an event that cannot be read: at best where to answer.
    fn salvaged(proxy: &Arc<str>, question: impl Question<'a>) -> Self {
        let event = RequestHeaders {
            correlation_id: question.salvage(),
            request_id: None,
            client_ip: None,
            traceparent: None,
        };
        Self::new(proxy, event, Vec::new())
    }

    fn into_owned(self) -> Asked<'static> {
        let owned = |text: Cow<'a, str>| Cow::Owned(text.into_owned());
        Asked {
            proxy: self.proxy,
            correlation_id: owned(self.correlation_id),
            request_id: self.request_id.map(owned),
            client_ip: self.client_ip.map(owned),
            traceparent: self.traceparent.map(owned),
            spoofed: self.spoofed,
        }
    }

    fn for_audit(&self, door: &'static str) -> audit::Request<'_> {
        audit::Request {
            id: self.request_id.as_deref(),
            correlation_id: &self.correlation_id,
            trace_id: self.traceparent.as_deref().and_then(trace_id),
            client_ip: self.client_ip.as_deref(),
            proxy: &self.proxy,
            door,
        }
    }
}

impl Doors {
    /// Health under this policy; without one, under the default mode.
    fn health_under(&self, policy: Option<&InForce>) -> watch::Receiver<Health> {
        let failure = policy.map_or_else(Failure::default, |policy| *policy.policy.failure());
        self.health.follow(&failure)
    }

    fn decide<D: Dialect>(
        &self,
        dialect: D,
        asked: &Asked<'_>,
        scene: &Scene,
        evidence: &Evidence,
        deadline: Instant,
        out: &mut Vec<D::Unit>,
    ) {
        let decision = decide(evidence, &scene.basis, &scene.policy.policy);
        // A late answer is worse than a refusal, and a late allow is the worst: it comes when the
        // proxy has given up, or when the world that it was true in is gone.
        if Instant::now() > deadline {
            let late = refuse(Intake::Overloaded, &"decided after decision-deadline-ms");
            return self.answer(dialect, asked, &late, None, Some(&scene.policy), out);
        }
        let grounds = Grounds {
            evidence,
            basis: &scene.basis,
        };
        let policy = Some(&scene.policy);
        self.answer(
            dialect,
            asked,
            &decision,
            Some((grounds, scene)),
            policy,
            out,
        );
    }

    /// Appends the reply, counts and records the decision.
    fn answer<D: Dialect>(
        &self,
        dialect: D,
        asked: &Asked<'_>,
        decision: &Decision<'_>,
        grounds: Option<(Grounds<'_>, &Scene)>,
        policy: Option<&Arc<InForce>>,
        out: &mut Vec<D::Unit>,
    ) {
        let now = grounds.map_or_else(|| self.clock.now(), |(_, scene)| scene.now);
        let basis = grounds.map(|(grounds, _)| grounds.basis);
        let policy = policy.map(|policy| &**policy);
        let seen: Vec<&str> = asked.spoofed.iter().map(String::as_str).collect();
        let request_id = asked.request_id.as_deref();
        answer::reply(decision, request_id, basis, policy, &seen, now, |reply| {
            dialect.write(out, reply, &asked.correlation_id);
        });
        self.metrics.decision(Counted::of(decision));
        let grounds = grounds.map(|(grounds, _)| grounds);
        let request = asked.for_audit(dialect.door());
        if let Some(line) = audit::render(decision, grounds, policy, request, now) {
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
