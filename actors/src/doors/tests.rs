//! Pushes beside requests, at a gate that the test holds closed: what costs a push however long,
//! compiling the worst lists above all, happens behind it.

#![allow(clippy::unwrap_used, reason = "a test may panic")]

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use chaos::client::{Answer, Client, Frame, Hello, Request, kind};
use config::{FileConfig, Override, Overrides, Settings};
use serde_json::json;
use tokio::io::AsyncWriteExt as _;
use tokio::runtime::{Builder, Runtime};
use tokio::time::{Instant, timeout};

use super::Doors;
use super::peer::Peer;
use super::turns::TURN_MESSAGES;
use crate::agent::Agent;
use crate::clock::Clock;
use crate::gate::Turn;

/// Longest wait for what must come: this machine may be busy.
const PATIENCE: Duration = Duration::from_secs(10);

/// No decision of a busy machine is late, milliseconds.
const WIDE_DEADLINE_MS: u64 = 20_000;

/// Threads that answer.
const THREADS: usize = 2;

/// More pushes at once than there are such threads.
const PUSHERS: usize = 4 * THREADS;

/// Who is inside the gate: not the user whose pushes wait.
const NOBODY: Peer = Peer::User(u32::MAX);

/// An agent whose file denies callers without a credential (401), and whom pushes may change. It has
/// threads of its own, so that a test sees when they stand still.
struct Scene {
    agent: Agent,
    home: tempfile::TempDir,
    threads: Option<Runtime>,
}

impl Drop for Scene {
    fn drop(&mut self) {
        if let Some(threads) = self.threads.take() {
            threads.shutdown_background();
        }
    }
}

impl Scene {
    async fn new(deadline_ms: u64) -> Self {
        let home = tempfile::tempdir().unwrap();
        let settings = Self::settings(&home, deadline_ms);
        let threads = Builder::new_multi_thread()
            .worker_threads(THREADS)
            .enable_all()
            .build()
            .unwrap();
        let start = threads.spawn(Agent::start(settings, Clock::system()));
        let agent = start.await.unwrap().unwrap();
        let threads = Some(threads);
        Self {
            agent,
            home,
            threads,
        }
    }

    /// On the test's own thread, which sees each of its turns.
    async fn on_this_thread() -> Self {
        let home = tempfile::tempdir().unwrap();
        let settings = Self::settings(&home, WIDE_DEADLINE_MS);
        let agent = Agent::start(settings, Clock::system()).await.unwrap();
        Self {
            agent,
            home,
            threads: None,
        }
    }

    fn settings(home: &tempfile::TempDir, deadline_ms: u64) -> Settings {
        let path = |name| home.path().join(name).display().to_string();
        let text = format!(
            "agent {{ accept-pushed-config true; limits {{ decision-deadline-ms {deadline_ms} }} }}\n\
             tls {{ require-mtls true }}\n\
             audit {{ sink \"file\" path={:?} }}\n",
            path("audit.jsonl")
        );
        let file = FileConfig::parse("test.kdl", &text).unwrap();
        let overrides = Overrides::default()
            .with_flag(Override::Socket, path("agent.sock"))
            .with_flag(Override::SpireSocket, path("spire.sock"))
            .with_flag(Override::AdminAddress, "none");
        Settings::resolve(Some(file), &overrides).unwrap()
    }

    fn doors(&self) -> &Arc<Doors> {
        self.agent.doors()
    }

    async fn connect(&self) -> Client {
        let client = Client::dial(self.home.path().join("agent.sock")).await;
        let client = client.unwrap().with_timeout(PATIENCE);
        client.handshake(Hello::default()).await.unwrap();
        client
    }

    /// Holds the gate closed: every push waits until this is dropped.
    fn closed(&self) -> Turn<'_> {
        self.doors().configured.gate().enter(&NOBODY).unwrap()
    }

    /// Waits until so many pushes stand at the gate.
    async fn waiting(&self, pushes: usize) {
        let gate = self.doors().configured.gate();
        let look = async {
            while gate.waiting() < pushes {
                tokio::task::yield_now().await;
            }
        };
        timeout(PATIENCE, look).await.unwrap();
    }

    fn pushes_applied(&self) -> u64 {
        self.doors().metrics.pushes_applied.load(Ordering::Relaxed)
    }
}

/// A push that lets callers without a credential pass.
fn push(id: &str) -> Frame {
    let event = json!({
        "config": {"tls": {"require-mtls": false}}, "config_version": null, "correlation_id": id,
    });
    Frame {
        kind: kind::CONFIGURE,
        payload: event.to_string().into_bytes(),
    }
}

/// A request without a credential, then a push, then another such request, in one write.
async fn ask_push_ask(client: &Client) {
    let ask = |id| Request::get("/").with_id(id).frame(id).encode().unwrap();
    let frames = [ask("before"), push("push").encode().unwrap(), ask("after")];
    let sent = client.send_bytes(&frames.concat(), "three frames").await;
    sent.unwrap();
}

fn is_denied(answer: &Answer, reason: &str) -> bool {
    answer.block_status().is_some() && answer.reason_codes == [reason]
}

#[tokio::test]
async fn while_pushes_are_read_their_neighbours_are_answered() {
    let scene = Scene::new(WIDE_DEADLINE_MS).await;
    let neighbour = scene.connect().await;
    let turn = scene.closed();
    let mut pushers = Vec::new();
    for _ in 0..PUSHERS {
        let pusher = scene.connect().await;
        pusher.send_frame(&push("push")).await.unwrap();
        pushers.push(pusher);
    }
    scene.waiting(PUSHERS).await;
    for _ in 0..100 {
        let answer = neighbour.ask(&Request::get("/")).await.unwrap();
        assert!(is_denied(&answer, "NO_CREDENTIAL"), "{}", answer.json);
    }
    // Whoever comes now is served as well.
    let late = scene.connect().await.ask(&Request::get("/")).await.unwrap();
    assert!(is_denied(&late, "NO_CREDENTIAL"), "{}", late.json);
    assert_eq!(scene.pushes_applied(), 0, "a push passed the closed gate");
    drop(turn);
    for pusher in &pushers {
        assert!(pusher.answer("push").await.unwrap().is_allow());
    }
}

#[tokio::test]
async fn a_push_governs_what_comes_after_it_and_nothing_before() {
    let scene = Scene::new(WIDE_DEADLINE_MS).await;
    let client = scene.connect().await;
    let turn = scene.closed();
    ask_push_ask(&client).await;
    scene.waiting(1).await;
    // It does not wait for the push behind it, whose policy would have let it pass.
    let before = client.answer("before").await.unwrap();
    assert!(is_denied(&before, "NO_CREDENTIAL"), "{}", before.json);
    assert_eq!(client.unclaimed_answers(), 0, "answered out of turn");
    drop(turn);
    assert!(client.answer("push").await.unwrap().is_allow());
    let after = client.answer("after").await.unwrap();
    assert!(after.is_allow(), "{}", after.json);
}

/// What lay behind a push for longer than the deadline is refused, never let pass late.
#[tokio::test]
async fn no_push_makes_an_allow_late() {
    const DEADLINE_MS: u64 = 100;
    let scene = Scene::new(DEADLINE_MS).await;
    let (client, neighbour) = (scene.connect().await, scene.connect().await);
    let turn = scene.closed();
    ask_push_ask(&client).await;
    scene.waiting(1).await;
    // All three frames were read by now.
    let read_by = Instant::now();
    while read_by.elapsed() <= Duration::from_millis(DEADLINE_MS) {
        neighbour.ask(&Request::get("/")).await.unwrap();
    }
    drop(turn);
    assert!(client.answer("push").await.unwrap().is_allow());
    let after = client.answer("after").await.unwrap();
    assert!(is_denied(&after, "OVERLOADED"), "{}", after.json);
    // The push itself holds.
    let allowed = async { while !client.ask(&Request::get("/")).await.unwrap().is_allow() {} };
    timeout(PATIENCE, allowed).await.unwrap();
}

/// Thousands of frames in one write are dealt with in turns, which others have theirs between.
#[tokio::test]
async fn who_has_much_to_say_leaves_turns_to_others() {
    const FRAMES: u64 = 2_000;
    let scene = Scene::on_this_thread().await;
    let busy = scene.connect().await;
    let nonsense = Frame {
        kind: kind::PING,
        payload: b"x".to_vec(),
    };
    let frames = nonsense.encode().unwrap().repeat(2_000);
    busy.send_bytes(&frames, "nonsense").await.unwrap();
    let dealt_with = || {
        scene
            .doors()
            .metrics
            .malformed_messages
            .load(Ordering::Relaxed)
    };
    let (mut seen, mut longest) = (dealt_with(), 0);
    let watch = async {
        while seen < FRAMES {
            tokio::task::yield_now().await;
            longest = longest.max(dealt_with() - seen);
            seen = dealt_with();
        }
    };
    timeout(PATIENCE, watch).await.unwrap();
    // Between two turns of ours, it may have had two.
    assert!(longest <= 2 * u64::from(TURN_MESSAGES), "{longest} at once");
}

/// However long requests in flight take: doors that no longer accept are well, and answer that they are.
#[tokio::test]
async fn a_drain_that_lasts_costs_no_restarts() {
    let scene = Scene::on_this_thread().await;
    let client = scene.connect().await;
    scene.doors().health.drain();
    tokio::time::pause();
    // On a clock that runs ahead: several times longer than a child may leave a question unanswered.
    tokio::time::sleep(Duration::from_secs(60)).await;
    for place in scene.agent.root().tree().snapshot() {
        assert_eq!((place.failures, place.restarts), (0, 0), "{place:?}");
    }
    drop(client);
}

/// Whoever asks on and on, and reads no answer, holds up no drain for long: nothing can be told him.
#[tokio::test]
async fn a_peer_that_reads_nothing_holds_up_no_drain() {
    let scene = Scene::new(WIDE_DEADLINE_MS).await;
    let path = scene.home.path().join("agent.sock");
    let mut stream = tokio::net::UnixStream::connect(path).await.unwrap();
    let hello = Frame {
        kind: kind::HANDSHAKE_REQUEST,
        payload: br#"{"supported_versions":[2],"proxy_id":"p","proxy_version":"1","config":{}}"#
            .to_vec(),
    };
    stream.write_all(&hello.encode().unwrap()).await.unwrap();
    // An answer repeats it, and it may not be much longer.
    let id = "x".repeat(1_000);
    let question = Request::get("/").with_id(&id).frame(&id).encode().unwrap();
    // Its write waits for ever once the agent reads no more, as nobody reads what it says.
    let flood = tokio::spawn(async move { while stream.write_all(&question).await.is_ok() {} });
    let answered = || scene.doors().metrics.denied_total();
    let many = async {
        // More than the socket takes, and fewer than are made before no more is read.
        while answered() < 240 {
            tokio::task::yield_now().await;
        }
    };
    timeout(PATIENCE, many).await.unwrap();
    scene.doors().health.drain();
    timeout(PATIENCE, scene.doors().drained()).await.unwrap();
    flood.abort();
}
