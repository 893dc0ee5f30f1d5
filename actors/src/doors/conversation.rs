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
use proto::trace_context::TraceParent;
use tokio::sync::watch;
use tokio::time::{Instant, timeout_at};
use verdict::decide::{Decision, Intake, decide, refuse};
use verdict::evidence::Evidence;
use verdict::policy::Failure;

use super::Doors;
use super::filing::{Decided, Filing, Told};
use super::peer::Peer;
use super::proxies::{Introduced, NAME_MAX_CHARS};
use super::sink::{SPOOFED_MAX, Sink};
use crate::audit::{self, Grounds};
use crate::configured::Pushed;
use crate::health::Health;
use crate::judge::{Prompt, Scene};
use crate::metrics::count;
use crate::observe::Origin;
use crate::policies::InForce;
use crate::sparse;
use crate::validation::Ticket;
use crate::words::escaped;

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
pub(super) enum Asking<D: Dialect> {
    /// The answer was appended.
    Answered,
    /// It needs a validation, or waits for its record.
    Pending(Pending<D>),
}

impl<D: Dialect> From<Told<D>> for Asking<D> {
    fn from(told: Told<D>) -> Self {
        match told {
            Told::Answered => Self::Answered,
            Told::Filing(filing) => Self::Pending(Pending::Filing(filing)),
        }
    }
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
    /// The proxy among those that were seen, once it has said its name.
    introduced: Option<Introduced>,
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
            introduced: None,
        }
    }

    /// How we are, under the policy of this conversation.
    pub(super) const fn health(&mut self) -> &mut watch::Receiver<Health> {
        &mut self.health
    }

    /// The proxy says what it is called, and which version it is.
    pub(super) fn introduce(&mut self, name: Option<&str>, version: Option<&str>) {
        let now = self.doors.clock.now();
        self.introduced = self.doors.proxies.introduce(name, version, now);
        if let Some(name) = name {
            self.proxy = format!("{} {}", self.proxy, escaped(name, NAME_MAX_CHARS)).into();
        }
    }

    /// A proxy asks in version 1 of the protocol, where nobody says what he is called.
    pub(super) fn introduce_v1(&mut self) {
        let now = self.doors.clock.now();
        self.introduced = self.doors.proxies.introduce_v1(now);
    }

    /// Takes a push; its policy governs the questions after it.
    pub(super) fn push(&mut self, config: &str) -> Pushed {
        let Pushes::Taken(peer) = &self.pushes else {
            if let Some(left_out) = sparse::PUSHED.admits() {
                tracing::info!(
                    proxy = %self.proxy,
                    left_out = left_out.some(),
                    "pushed configuration ignored: a plaintext door takes none, whoever can connect could push"
                );
            }
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
        if let Some(left_out) = sparse::UNREADABLE.admits() {
            tracing::warn!(proxy = %self.proxy, %error, left_out = left_out.some(), "message cannot be read");
        }
    }

    /// Answers a question that was there at `at`, now if it can be. A panic on the way denies this
    /// request and no other.
    pub(super) fn ask<'a, D: Dialect>(
        &self,
        dialect: D,
        question: impl Question<'a>,
        at: Instant,
        out: &mut Vec<D::Unit>,
    ) -> Asking<D> {
        let start = out.len();
        let asked = catch_unwind(AssertUnwindSafe(|| {
            self.try_ask(dialect, question, at, out)
        }));
        asked.unwrap_or_else(|_| {
            count(&self.doors.metrics.panics_contained);
            out.truncate(start);
            let asked = Asked::salvaged(&self.proxy, question, at);
            let decision = refuse(Intake::Internal, &"a panic was contained to this request");
            let decided = Decided {
                decision: &decision,
                grounds: None,
                origin: None,
                policy: None,
            };
            let deadline = self.deadline(Instant::now());
            self.doors
                .answer(dialect, &asked, decided, deadline, out)
                .into()
        })
    }

    fn try_ask<'a, D: Dialect>(
        &self,
        dialect: D,
        question: impl Question<'a>,
        at: Instant,
        out: &mut Vec<D::Unit>,
    ) -> Asking<D> {
        let deadline = self.deadline(at);
        let policy = self.policy.as_ref();
        let mut sink = Sink::new(policy.map(|policy| &**policy));
        let event = match question.read(&mut sink) {
            Ok(event) => event,
            Err(error) => {
                self.unreadable(&error);
                let asked = Asked::salvaged(&self.proxy, question, at);
                let decision = refuse(Intake::BadEvent, &error);
                return self.refuse(dialect, &asked, &decision, deadline, out);
            }
        };
        let (credential, spoofed) = sink.finish();
        let asked = Asked::new(&self.proxy, event, spoofed, at);
        let Some(policy) = policy else {
            let rule = "no policy is in force on this connection: give --config, or have the proxy push one";
            let decision = refuse(Intake::NotConfigured, &rule);
            return self.refuse(dialect, &asked, &decision, deadline, out);
        };
        if asked.spoofed.len() > SPOOFED_MAX {
            let rule = format!("more than {SPOOFED_MAX} headers pass for identity headers");
            let decision = refuse(Intake::BadEvent, &rule);
            return self.refuse(dialect, &asked, &decision, deadline, out);
        }
        let now = self.doors.clock.now();
        let scene = self.doors.judge.scene(Arc::clone(policy), now);
        match self.doors.judge.prompt(credential, &scene) {
            Prompt::Ready(evidence, origin) => self
                .doors
                .decide(dialect, &asked, (&scene, &evidence, origin), deadline, out)
                .into(),
            Prompt::Overloaded(error) => {
                let decision = refuse(Intake::Overloaded, &error);
                self.refuse(dialect, &asked, &decision, deadline, out)
            }
            Prompt::Later(ticket) => Asking::Pending(Pending::Judging(Box::new(Judging {
                doors: Arc::clone(&self.doors),
                dialect,
                asked: asked.to_owned(),
                scene,
                ticket,
                deadline,
            }))),
        }
    }

    fn deadline(&self, at: Instant) -> Instant {
        at + Duration::from_millis(self.doors.bounds.decision_deadline_ms)
    }

    fn refuse<D: Dialect>(
        &self,
        dialect: D,
        asked: &Asked<'_>,
        decision: &Decision<'_>,
        deadline: Instant,
        out: &mut Vec<D::Unit>,
    ) -> Asking<D> {
        let decided = Decided {
            decision,
            grounds: None,
            origin: None,
            policy: self.policy.as_ref(),
        };
        self.doors
            .answer(dialect, asked, decided, deadline, out)
            .into()
    }
}

/// A question whose answer has to wait.
pub(super) enum Pending<D: Dialect> {
    /// For its credential to be judged.
    Judging(Box<Judging<D>>),
    /// For its record.
    Filing(Box<Filing<D>>),
}

impl<D: Dialect> Pending<D> {
    /// The reply; made before the deadline, whatever it waits for.
    pub(super) async fn answer(self) -> Vec<D::Unit> {
        match self {
            Self::Judging(judging) => judging.answer().await,
            Self::Filing(filing) => filing.answer().await,
        }
    }
}

/// A question whose credential is being judged.
pub(super) struct Judging<D> {
    doors: Arc<Doors>,
    dialect: D,
    asked: Asked<'static>,
    scene: Scene,
    ticket: Ticket,
    deadline: Instant,
}

impl<D: Dialect> Judging<D> {
    async fn answer(self: Box<Self>) -> Vec<D::Unit> {
        let mut out = Vec::new();
        let Self {
            doors,
            dialect,
            asked,
            scene,
            ticket,
            deadline,
        } = *self;
        let decision = match timeout_at(deadline, ticket.landed()).await {
            Ok(Ok(evidence)) => {
                let found = (&scene, &evidence, Origin::Judged);
                let told = doors.decide(dialect, &asked, found, deadline, &mut out);
                return finished(told, out).await;
            }
            Ok(Err(error)) => refuse(Intake::Internal, &error),
            Err(_) => refuse(
                Intake::Overloaded,
                &"not judged within decision-deadline-ms",
            ),
        };
        let decided = Decided {
            decision: &decision,
            grounds: None,
            origin: None,
            policy: Some(&scene.policy),
        };
        let told = doors.answer(dialect, &asked, decided, deadline, &mut out);
        finished(told, out).await
    }
}

async fn finished<D: Dialect>(told: Told<D>, out: Vec<D::Unit>) -> Vec<D::Unit> {
    match told {
        Told::Answered => out,
        Told::Filing(filing) => filing.answer().await,
    }
}

/// What a question says beside its credential.
pub(super) struct Asked<'a> {
    /// When the whole question was there.
    pub(super) at: Instant,
    proxy: Arc<str>,
    pub(super) correlation_id: Cow<'a, str>,
    pub(super) request_id: Option<Cow<'a, str>>,
    client_ip: Option<Cow<'a, str>>,
    pub(super) traceparent: Option<Cow<'a, str>>,
    pub(super) spoofed: Vec<String>,
}

impl<'a> Asked<'a> {
    fn new(proxy: &Arc<str>, event: RequestHeaders<'a>, spoofed: Vec<String>, at: Instant) -> Self {
        Self {
            at,
            proxy: Arc::clone(proxy),
            correlation_id: event.correlation_id,
            request_id: event.request_id,
            client_ip: event.client_ip,
            traceparent: event.traceparent,
            spoofed,
        }
    }

    /// What can be told of an event that cannot be read: at best where to answer.
    fn salvaged(proxy: &Arc<str>, question: impl Question<'a>, at: Instant) -> Self {
        let event = RequestHeaders {
            correlation_id: question.salvage(),
            request_id: None,
            client_ip: None,
            traceparent: None,
        };
        Self::new(proxy, event, Vec::new(), at)
    }

    /// The same, borrowing nothing of the event.
    pub(super) fn to_owned(&self) -> Asked<'static> {
        let owned = |text: &Cow<'_, str>| Cow::Owned(text.clone().into_owned());
        Asked {
            at: self.at,
            proxy: Arc::clone(&self.proxy),
            correlation_id: owned(&self.correlation_id),
            request_id: self.request_id.as_ref().map(owned),
            client_ip: self.client_ip.as_ref().map(owned),
            traceparent: self.traceparent.as_ref().map(owned),
            spoofed: self.spoofed.clone(),
        }
    }

    pub(super) fn for_audit(&self, door: &'static str) -> audit::Request<'_> {
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
        self: &Arc<Self>,
        dialect: D,
        asked: &Asked<'_>,
        (scene, evidence, origin): (&Scene, &Evidence, Origin),
        deadline: Instant,
        out: &mut Vec<D::Unit>,
    ) -> Told<D> {
        let mut decision = decide(evidence, &scene.basis, &scene.policy.policy);
        let grounds = Grounds {
            evidence,
            basis: &scene.basis,
        };
        let mut grounds = Some((grounds, scene));
        // A late answer is worse than a refusal, and a late allow is the worst: it comes when the
        // proxy has given up, or when the world that it was true in is gone.
        if Instant::now() > deadline {
            decision = refuse(Intake::Overloaded, &"decided after decision-deadline-ms");
            grounds = None;
        }
        let decided = Decided {
            decision: &decision,
            grounds,
            origin: grounds.map(|_| origin),
            policy: Some(&scene.policy),
        };
        self.answer(dialect, asked, decided, deadline, out)
    }
}

/// The trace id of a well-formed `traceparent`, where it stands in the text.
fn trace_id(traceparent: &str) -> Option<&str> {
    TraceParent::parse(traceparent)?;
    traceparent.get(3..35)
}
