//! Spans as they are put into the queue, what they cost, and what the README lists.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test may panic")]

use crate::telemetry::losses::tests::losses;
use std::collections::BTreeSet;
use std::num::NonZeroUsize;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use actors::audit::Request;
use tokio_util::sync::CancellationToken;
use verdict::decide::{Decision, Intake, refuse};
use verdict::time::Now;

use super::super::batch;
use super::super::plan::{Batch, Signal};
use super::*;

const SAMPLED: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
const UNSAMPLED: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-00";

const BATCH: Batch = Batch {
    queue: NonZeroUsize::new(64).unwrap(),
    size: NonZeroUsize::new(64).unwrap(),
    delay: Duration::from_millis(10),
    timeout: Duration::from_secs(1),
};

fn decided<'a>(decision: &'a Decision<'a>, traceparent: &'a str) -> Decided<'a> {
    let started = Instant::now();
    Decided {
        decision,
        grounds: None,
        origin: None,
        failure: None,
        request: Request {
            id: Some("r"),
            correlation_id: "c",
            trace_id: None,
            client_ip: Some("10.0.0.7"),
            proxy: "uid:0 zentinel-proxy",
            door: "sentinel-v2",
        },
        traceparent: Some(traceparent),
        started,
        ended: started,
        now: Now {
            wall_ms: 0,
            boot_ms: 0,
        },
    }
}

#[tokio::test]
async fn a_refusal_is_a_span_in_the_callers_trace() {
    let losses = Arc::new(losses(Signal::Traces));
    let (queue, batches) = batch::queue(BATCH, &losses);
    let spans = Spans::new(queue, Sampler::default());
    let decision = refuse(Intake::Overloaded, &"every permit is taken");
    spans.decided(&decided(&decision, UNSAMPLED));
    spans.decided(&decided(&decision, SAMPLED));
    let exported: Arc<Mutex<Vec<SpanData>>> = Arc::default();
    let stop = CancellationToken::new();
    stop.cancel();
    let seen = Arc::clone(&exported);
    let take = move |spans: Vec<SpanData>| {
        seen.lock().unwrap().extend(spans);
        async { Ok(()) }
    };
    batches.run(stop, take).await;
    let exported = exported.lock().unwrap();
    let [span] = &exported[..] else {
        panic!("{exported:?}");
    };
    let context = &span.span_context;
    assert_eq!(
        context.trace_id().to_string(),
        "4bf92f3577b34da6a3ce929d0e0e4736"
    );
    assert_eq!(span.parent_span_id.to_string(), "00f067aa0ba902b7");
    assert!(context.is_sampled() && span.parent_span_is_remote);
    assert_eq!(span.span_kind, SpanKind::Server);
    assert_eq!(span.status, Status::error("OVERLOADED"));
    let about = |key: &str| {
        let mut found = span
            .attributes
            .iter()
            .filter(|pair| pair.key.as_str() == key);
        found.next().map(|pair| pair.value.to_string())
    };
    for (key, value) in [
        ("authz.verdict", "deny"),
        ("authz.reason", "OVERLOADED"),
        ("authz.rule", "every permit is taken"),
        ("authz.status_code", "503"),
        ("error.type", "OVERLOADED"),
        ("client.address", "10.0.0.7"),
        ("network.transport", "unix"),
    ] {
        assert_eq!(about(key).as_deref(), Some(value), "{key}");
    }
    assert_eq!(about("spiffe.id"), None);
}

/// Alternating rounds of both in one run: a ratio, since the machine is busy.
#[tokio::test]
async fn an_unsampled_request_costs_a_fraction_of_a_sampled_one() {
    const ROUNDS: usize = 31;
    const EACH: usize = 500;
    let losses = Arc::new(losses(Signal::Traces));
    // Nobody takes spans: most are made and find no room.
    let (queue, _batches) = batch::queue(BATCH, &losses);
    let spans = Spans::new(queue, Sampler::default());
    let decision = refuse(Intake::Overloaded, &"every permit is taken");
    let time = |traceparent: &str| {
        let begun = std::time::Instant::now();
        for _ in 0..EACH {
            spans.decided(std::hint::black_box(&decided(&decision, traceparent)));
        }
        begun.elapsed()
    };
    let mut ratios: Vec<f64> = (0..ROUNDS)
        .map(|_| time(UNSAMPLED).as_secs_f64() / time(SAMPLED).as_secs_f64())
        .collect();
    ratios.sort_by(f64::total_cmp);
    let median = ratios.get(ROUNDS / 2).copied().unwrap();
    assert!(median < 0.5, "unsampled / sampled: {median:.2}");
}

/// Span names and attributes: those in the source, and those in the tables.
#[test]
fn the_readme_lists_what_is_made() {
    let ours = |name: &&str| {
        ["spiffe.", "authz.", "client.", "network.", "error."]
            .iter()
            .any(|prefix| name.starts_with(prefix))
    };
    let source = include_str!("../spans.rs");
    let code = source.lines().filter(|line| !line.trim().starts_with("//"));
    let made: BTreeSet<&str> = code.flat_map(|line| line.split('"')).filter(ours).collect();
    let readme = include_str!("../../../README.md");
    let (_, below) = readme.split_once("**Traces.**").unwrap();
    let (tables, _) = below.split_once("**Logs.**").unwrap();
    let listed: BTreeSet<&str> = tables.split('`').filter(ours).collect();
    assert_eq!(listed, made);
}
