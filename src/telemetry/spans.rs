//! Decisions and what happens beside them, as spans.
//!
//! A span is made whole when it ends: it was decided before whether it is recorded, and nothing runs
//! inside it that would ask for the current span, but the log lines of what is rare.
//!
//! Names: `client.address`, `error.type` and `network.transport` from the semantic conventions, which
//! have none for an authentication; else `spiffe.*` for what SPIFFE knows, `authz.*` for the decision.

use std::time::SystemTime;

use actors::observe::{Decided, Happened, Happening, Observer};
use opentelemetry::trace::{
    SpanContext, SpanId, SpanKind, Status, TraceContextExt as _, TraceFlags, TraceState,
};
use opentelemetry::{Context, InstrumentationScope, KeyValue, Value};
use opentelemetry_sdk::trace::{IdGenerator as _, RandomIdGenerator, SpanData};
use tokio::time::Instant;
use verdict::id::TrustDomain;

use super::batch::Queue;
use super::sampling::{Place, Sampler};

/// The span of a decision: we answer what a proxy asks, and it waits.
const DECISION: &str = "spiffe.authenticate";

/// The code that makes the spans.
pub(super) const SCOPE: &str = "sentinel-spiffe-agent";

/// Makes spans.
pub(super) struct Spans {
    queue: Queue<SpanData>,
    sampler: Sampler,
    scope: InstrumentationScope,
}

/// A span, but for its place and time.
struct Drawn {
    name: &'static str,
    kind: SpanKind,
    attributes: Vec<KeyValue>,
    status: Status,
}

impl Spans {
    pub(super) fn new(queue: Queue<SpanData>, sampler: Sampler) -> Self {
        let scope = InstrumentationScope::builder(SCOPE).with_version(env!("CARGO_PKG_VERSION"));
        Self {
            queue,
            sampler,
            scope: scope.build(),
        }
    }

    fn put(&self, place: Place, span: Drawn, (started, ended): (Instant, Instant)) {
        let context = context(place);
        self.put_in(context, place.parent, span, (started, ended));
    }

    fn put_in(
        &self,
        context: SpanContext,
        parent: Option<SpanId>,
        span: Drawn,
        (started, ended): (Instant, Instant),
    ) {
        let (now, wall) = (Instant::now(), SystemTime::now());
        let at = |instant: Instant| {
            let ago = now.saturating_duration_since(instant);
            wall.checked_sub(ago).unwrap_or(wall)
        };
        self.queue.put(SpanData {
            span_context: context,
            parent_span_id: parent.unwrap_or(SpanId::INVALID),
            parent_span_is_remote: parent.is_some(),
            span_kind: span.kind,
            name: span.name.into(),
            start_time: at(started),
            end_time: at(ended),
            attributes: span.attributes,
            dropped_attributes_count: 0,
            events: Default::default(),
            links: Default::default(),
            status: span.status,
            instrumentation_scope: self.scope.clone(),
        });
    }
}

fn context(place: Place) -> SpanContext {
    let span = RandomIdGenerator::default().new_span_id();
    SpanContext::new(
        place.trace,
        span,
        TraceFlags::SAMPLED,
        false,
        TraceState::NONE,
    )
}

impl Observer for Spans {
    fn decided(&self, decided: &Decided<'_>) {
        // Nearly always the end: nothing was built so far.
        if let Some(place) = self.sampler.place(decided.traceparent) {
            self.put(place, decision(decided), (decided.started, decided.ended));
        }
    }

    fn happened(&self, happened: &Happened<'_>, tell: &mut dyn FnMut()) {
        let Some(place) = self.sampler.place(None) else {
            return tell();
        };
        let context = context(place);
        {
            let within = Context::new().with_remote_span_context(context.clone());
            let _within = within.attach();
            tell();
        }
        let times = (happened.since, Instant::now());
        self.put_in(context, None, happening(&happened.what), times);
    }
}

fn decision(decided: &Decided<'_>) -> Drawn {
    let mut about = About(Vec::with_capacity(24));
    let fault = decided.decision.fault();
    let reason = fault.map(|fault| fault.reason().as_str());
    about.put("authz.verdict", Some(decided.verdict()));
    about.put("authz.reason", reason);
    about.put("authz.rule", fault.map(|fault| fault.rule().to_owned()));
    let matched = decided.decision.rule();
    about.put("authz.matched_list", matched.map(|(list, _)| list.as_str()));
    about.put(
        "authz.matched_rule",
        matched.map(|(_, rule)| rule.to_string()),
    );
    about.put("authz.status_code", decided.status().map(i64::from));
    let failure = decided.failure;
    let mode = failure.map(|failure| failure.spire_unavailable.as_str());
    about.put("authz.mode", mode);
    about.put("authz.enforced", failure.map(|failure| failure.enforce));
    about.trust(decided);
    about.request(decided);
    // A denial is an answer; only what is wrong with us or SPIRE is an error.
    let wrong = decided.status().filter(|status| *status >= 500).and(reason);
    about.put("error.type", wrong);
    Drawn {
        name: DECISION,
        kind: SpanKind::Server,
        attributes: about.0,
        status: wrong.map_or(Status::Unset, Status::error),
    }
}

/// Attributes; what is not known is left out.
struct About(Vec<KeyValue>);

impl About {
    fn put(&mut self, key: &'static str, value: Option<impl Into<Value>>) {
        self.0.extend(value.map(|value| KeyValue::new(key, value)));
    }

    fn trust(&mut self, decided: &Decided<'_>) {
        let evidence = decided.grounds.map(|grounds| grounds.evidence);
        let leaf = evidence.and_then(|evidence| evidence.leaf());
        self.put("spiffe.id", leaf.map(|leaf| leaf.id().as_str().to_owned()));
        self.put("spiffe.identity", Some(decided.identity()));
        let basis = decided.grounds.map(|grounds| grounds.basis);
        self.put("spiffe.state", basis.map(|basis| basis.phase.as_str()));
        self.put("spiffe.basis", basis.map(|basis| basis.stance.as_str()));
        let generation = evidence.and_then(|evidence| evidence.generation());
        self.put(
            "spiffe.generation",
            generation.map(|number| whole(number.get())),
        );
        self.put("spiffe.age_ms", decided.age_ms().map(whole));
        let remembered = decided.origin.map(|_| decided.is_remembered());
        self.put("spiffe.remembered", remembered);
    }

    fn request(&mut self, decided: &Decided<'_>) {
        let request = &decided.request;
        self.put("spiffe.door", Some(request.door));
        self.put("spiffe.proxy", Some(request.proxy.to_owned()));
        self.put("spiffe.request_id", request.id.map(str::to_owned));
        self.put(
            "spiffe.correlation_id",
            Some(request.correlation_id.to_owned()),
        );
        self.put("client.address", request.client_ip.map(str::to_owned));
        let transport = if request.door.contains("grpc") {
            "tcp"
        } else {
            "unix"
        };
        self.put("network.transport", Some(transport));
    }
}

fn happening(what: &Happening<'_>) -> Drawn {
    let text = |key: &'static str, value: &str| KeyValue::new(key, value.to_owned());
    let (name, attributes, error) = match what {
        Happening::Updated(report) => (
            "spiffe.update",
            vec![
                text("spiffe.added", &domains(&report.added)),
                text("spiffe.changed", &domains(&report.changed)),
                text("spiffe.removed", &domains(&report.removed)),
                KeyValue::new("spiffe.unreadable", count(report.unreadable.len())),
            ],
            None,
        ),
        Happening::Discarded(error) => ("spiffe.update", Vec::new(), Some(error.to_string())),
        Happening::Changed { transition, cause } => (
            "spiffe.transition",
            vec![
                KeyValue::new("spiffe.from", transition.from.as_str()),
                KeyValue::new("spiffe.state", transition.to.as_str()),
                KeyValue::new("spiffe.cause", *cause),
            ],
            None,
        ),
        Happening::Rotated { id } => {
            let id = id.map(|id| text("spiffe.id", id));
            ("spiffe.rotation", id.into_iter().collect(), None)
        }
        Happening::Pushed { proxy, pushed } => {
            let (outcome, error) = push_outcome(pushed);
            let outcome = KeyValue::new("spiffe.outcome", outcome);
            (
                "spiffe.push",
                vec![text("spiffe.proxy", proxy), outcome],
                error,
            )
        }
        Happening::Restarted(status) => {
            let restarts = i64::try_from(status.restarts).unwrap_or(i64::MAX);
            let cause = status
                .last_failure
                .as_ref()
                .map(|failure| failure.cause.to_string());
            let attributes = vec![
                text("spiffe.actor", &status.path),
                KeyValue::new("spiffe.restarts", restarts),
            ];
            ("spiffe.restart", attributes, cause)
        }
    };
    Drawn {
        name,
        kind: SpanKind::Internal,
        attributes,
        status: error.map_or(Status::Unset, Status::error),
    }
}

fn push_outcome(pushed: &actors::configured::Pushed) -> (&'static str, Option<String>) {
    use actors::configured::Pushed;
    match pushed {
        Pushed::Applied => ("applied", None),
        Pushed::Ignored => ("ignored", None),
        Pushed::Refused(reason) => ("refused", Some(reason.clone())),
    }
}

fn domains(list: &[TrustDomain]) -> String {
    let names: Vec<String> = list.iter().map(ToString::to_string).collect();
    names.join(" ")
}

fn count(of: usize) -> i64 {
    i64::try_from(of).unwrap_or(i64::MAX)
}

fn whole(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests;
