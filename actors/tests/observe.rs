//! Whoever watches is told of each decision once, and of everything rare.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test may panic"
)]

use std::sync::{Arc, Mutex};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use actors::agent::Agent;
use actors::clock::Clock;
use actors::observe::{Decided, Happened, Happening, Observer, Origin};
use chaos::client::{Client, Frame, Hello, Request, kind};
use chaos::world::World;
use config::{FileConfig, Override, Overrides, Settings};
use serde_json::json;
use tokio::time::{Instant, timeout};
use verdict::availability::Phase;

const FRONTEND: &str = "spiffe://example.org/frontend";
const TRACEPARENT: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";

/// What was seen of a decision.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Seen {
    verdict: &'static str,
    reason: Option<&'static str>,
    origin: Option<Origin>,
    door: &'static str,
    traceparent: Option<String>,
}

#[derive(Default)]
struct Notes {
    decided: Mutex<Vec<Seen>>,
    happened: Mutex<Vec<String>>,
}

impl Observer for Notes {
    fn decided(&self, decided: &Decided<'_>) {
        assert!(decided.started <= decided.ended && decided.ended <= Instant::now());
        let fault = decided.decision.fault();
        self.decided.lock().unwrap().push(Seen {
            verdict: decided.verdict(),
            reason: fault.map(|fault| fault.reason().as_str()),
            origin: decided.origin,
            door: decided.request.door,
            traceparent: decided.traceparent.map(str::to_owned),
        });
    }

    fn happened(&self, happened: &Happened<'_>, tell: &mut dyn FnMut()) {
        tell();
        let text = match happened.what {
            Happening::Updated(report) => format!("updated, {} added", report.added.len()),
            Happening::Discarded(_) => "discarded".to_owned(),
            Happening::Changed { transition, .. } => format!("is {}", transition.to.as_str()),
            Happening::Rotated { .. } => "rotated".to_owned(),
            Happening::Pushed { pushed, .. } => format!("pushed: {pushed:?}"),
            Happening::Restarted(status) => format!("restarted {}", status.path),
        };
        self.happened.lock().unwrap().push(text);
    }
}

struct Stage {
    agent: Agent,
    world: World,
    notes: Arc<Notes>,
    home: tempfile::TempDir,
}

impl Stage {
    async fn new() -> Self {
        let home = tempfile::tempdir().unwrap();
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
        let world = World::start(home.path().join("spire.sock"), now.as_secs()).unwrap();
        let text = format!(
            "agent {{ accept-pushed-config true }}\nallowlist {{ exact {FRONTEND:?} }}\naudit {{ log-success false; log-failure false }}\n"
        );
        let file = FileConfig::parse("test.kdl", &text).unwrap();
        let path = |name| home.path().join(name).display().to_string();
        let overrides = Overrides::default()
            .with_flag(Override::Socket, path("agent.sock"))
            .with_flag(Override::SpireSocket, path("spire.sock"));
        let settings = Settings::resolve(Some(file), &overrides).unwrap();
        let notes = Arc::new(Notes::default());
        let observer: Arc<dyn Observer> = Arc::clone(&notes) as _;
        let agent = Agent::start_observed(settings, Clock::system(), observer, None);
        let agent = agent.await.unwrap();
        let mut changes = agent.trust().subscribe();
        let live = async {
            while agent.trust().phase() != Phase::Live {
                changes.changed().await.unwrap();
            }
        };
        timeout(Duration::from_secs(10), live).await.unwrap();
        Self {
            agent,
            world,
            notes,
            home,
        }
    }

    async fn connect(&self) -> Client {
        let socket = self.home.path().join("agent.sock");
        Client::connect(socket, Hello::default()).await.unwrap()
    }

    fn asks(&self, id: &str) -> Request {
        let svid = self.world.svid(id).unwrap();
        Request::get("/").header("x-forwarded-client-cert", svid.xfcc())
    }

    fn decided(&self) -> Vec<Seen> {
        self.notes.decided.lock().unwrap().clone()
    }
}

fn seen(verdict: &'static str, reason: Option<&'static str>, origin: Option<Origin>) -> Seen {
    Seen {
        verdict,
        reason,
        origin,
        door: "sentinel-v2",
        traceparent: None,
    }
}

#[tokio::test]
async fn each_decision_is_told_once() {
    let stage = Stage::new().await;
    let client = stage.connect().await;
    let request = stage.asks(FRONTEND);
    client.ask(&request).await.unwrap();
    client.ask(&request).await.unwrap();
    client.ask(&Request::get("/")).await.unwrap();
    client
        .ask(&stage.asks("spiffe://example.org/other"))
        .await
        .unwrap();
    let unreadable = Frame {
        kind: kind::REQUEST_HEADERS,
        payload: br#"{"metadata":{"correlation_id":"u"},"headers":7}"#.to_vec(),
    };
    client.send_frame(&unreadable).await.unwrap();
    client.answer("u").await.unwrap();
    let expected = [
        seen("allow", None, Some(Origin::Judged)),
        seen("allow", None, Some(Origin::Remembered)),
        seen("deny", Some("NO_CREDENTIAL"), Some(Origin::NothingToJudge)),
        seen("deny", Some("NOT_ALLOWED"), Some(Origin::Judged)),
        seen("deny", Some("BAD_EVENT"), None),
    ];
    assert_eq!(stage.decided(), expected);
    stage.agent.shutdown().await;
}

#[tokio::test]
async fn the_callers_trace_comes_along() {
    let stage = Stage::new().await;
    let client = stage.connect().await;
    let event = json!({
        "metadata": {"correlation_id": "t", "request_id": "r", "traceparent": TRACEPARENT},
        "method": "GET", "uri": "/", "headers": {}, "correlation_id": "t",
    });
    let frame = Frame {
        kind: kind::REQUEST_HEADERS,
        payload: event.to_string().into_bytes(),
    };
    client.send_frame(&frame).await.unwrap();
    client.answer("t").await.unwrap();
    assert_eq!(stage.decided()[0].traceparent.as_deref(), Some(TRACEPARENT));
    stage.agent.shutdown().await;
}

#[tokio::test]
async fn what_is_rare_is_told() {
    let stage = Stage::new().await;
    let pushing = Hello::with_config(json!({"allowlist": {"any": true}}));
    let socket = stage.home.path().join("agent.sock");
    Client::connect(socket, pushing).await.unwrap();
    let happened = stage.notes.happened.lock().unwrap().clone();
    for expected in ["updated, 2 added", "is Live", "pushed: Applied"] {
        assert!(
            happened.iter().any(|line| line == expected),
            "{expected}: {happened:?}"
        );
    }
    stage.agent.shutdown().await;
}

#[cfg(feature = "chaos-hooks")]
#[tokio::test]
async fn a_restart_is_told() {
    let stage = Stage::new().await;
    let tree = stage.agent.root().tree();
    assert_eq!(tree.kill("bundles"), 1);
    let again = |places: &[actors::supervision::ChildStatus]| {
        let mut places = places.iter();
        places.any(|place| place.restarts == 1 && place.alive == 1)
    };
    timeout(Duration::from_secs(10), tree.wait_until(again))
        .await
        .unwrap();
    let happened = stage.notes.happened.lock().unwrap().clone();
    let restarted = "restarted root/trust/bundles".to_owned();
    assert!(happened.contains(&restarted), "{happened:?}");
    stage.agent.shutdown().await;
}
