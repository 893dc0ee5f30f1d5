//! Every kind of actor killed under load: requests keep being answered, none wrongly, and it is back
//! within a second; wedged, it is noticed and replaced; its budget used up, the process drains and says
//! so by its exit code. Needs the feature `chaos-hooks`.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::print_stderr,
    reason = "a test may panic and print"
)]

mod common;

use std::io::{Read as _, Write as _};
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::{Duration, Instant};

use actors::agent::Agent;
use actors::clock::Clock;
use actors::supervision::{
    ChildState, ChildStatus, LOOK_EVERY_MS, Mishap, Restart, Tree, Vigilance,
};
use chaos::client::{Client, Hello};
use common::expect::Expected;
use common::load::{Load, Tally};
use common::{Agent as Program, FRONTEND, LOAD_POLICY, PATIENCE, Site, asked, eventually};
use config::{FileConfig, Override, Overrides, Settings};
use rustix::process::{Signal, kill_process};
use verdict::availability::Phase;

/// Kills of one permanent actor: as many restarts as its budget of ten within a minute allows, less
/// what a busy machine may add.
const KILLS: u64 = 8;
/// Kills of connections, which have no budget to use up.
const CONNECTION_KILLS: usize = 200;
/// Requests that fit into the socket unread.
const SENT: usize = 30;
/// A dead actor is back within this time.
const BACK_WITHIN: Duration = Duration::from_secs(1);

struct Scene {
    site: Site,
    agent: Agent,
    load: Load,
}

impl Scene {
    async fn new() -> Self {
        let site = Site::new();
        let state = site.path("state");
        std::fs::create_dir(&state).unwrap();
        // Half of what is asked is judged anew, or the workers would have nothing to do.
        let config = format!(
            "{LOAD_POLICY}failure {{ spire-unavailable \"cache\" }}\nagent {{ limits {{\n decision-deadline-ms 20000\n \
             remembered-identities-bytes 65536\n remembered-failures 0\n drain-timeout-ms 20000\n}} }}\n"
        );
        let path = site.write_config(&config);
        let text = std::fs::read_to_string(path).unwrap();
        let file = FileConfig::parse("chaos.kdl", &text).unwrap();
        let flag = |name: &str| site.path(name).display().to_string();
        let overrides = Overrides::default()
            .with_flag(Override::Socket, flag("agent.sock"))
            .with_flag(Override::SpireSocket, flag("spire.sock"))
            .with_flag(Override::AdminAddress, "127.0.0.1:0")
            .with_flag(Override::StateDir, flag("state"));
        let settings = Settings::resolve(Some(file), &overrides).unwrap();
        let agent = Agent::start(settings, Clock::system()).await.unwrap();
        live(&agent).await;
        let load = common::load::start(site.socket(), common::load::mixed(&site), 4);
        load.served(100).await;
        Self { site, agent, load }
    }

    fn tree(&self) -> &Arc<Tree> {
        self.agent.root().tree()
    }

    fn place(&self, name: &str) -> ChildStatus {
        let mut places = self.tree().snapshot();
        places.retain(|place| place.path.ends_with(&format!("/{name}")));
        assert_eq!(places.len(), 1, "{name}: {places:?}");
        places.remove(0)
    }

    /// Kills the one of this name again and again; answers go on and it is back each time.
    async fn kill(&self, name: &str) -> Duration {
        let mut slowest = Duration::ZERO;
        for round in 1..=KILLS {
            self.load.served(20).await;
            let before = self.place(name);
            assert_eq!(before.state, ChildState::Running, "{before:?}");
            let killed_at = Instant::now();
            assert_eq!(self.tree().kill(name), 1, "{name}");
            let back = self.tree().wait_until(|places| {
                let mut ours = places.iter().filter(|place| place.path == before.path);
                ours.any(|place| {
                    place.restarts > before.restarts && place.state == ChildState::Running
                })
            });
            let back = tokio::time::timeout(PATIENCE, back).await;
            back.unwrap_or_else(|_| panic!("{name} is not back: {:?}", self.place(name)));
            let took = killed_at.elapsed();
            slowest = slowest.max(took);
            // Backoff doubles within a minute: the promise is about a death, not about the eighth.
            if round <= 3 {
                assert!(
                    took < BACK_WITHIN,
                    "{name}, kill {round}: back after {took:?}"
                );
            }
        }
        self.load.served(100).await;
        eprintln!("{name}: killed {KILLS} times, back after {slowest:?} at the latest");
        slowest
    }

    /// Lets a mishap befall the one of this name, under load; it is back within this time.
    async fn befall(&self, name: &str, mishap: Mishap, within: Duration) {
        self.load.served(20).await;
        let before = self.place(name);
        assert_eq!(self.tree().befall(&before.path, mishap), 1, "{name}");
        let struck = Instant::now();
        let back = self.tree().wait_until(|places| {
            let mut ours = places.iter().filter(|place| place.path == before.path);
            ours.any(|place| place.restarts > before.restarts && place.state == ChildState::Running)
        });
        let back = tokio::time::timeout(PATIENCE, back).await;
        back.unwrap_or_else(|_| panic!("{name} is not back: {:?}", self.place(name)));
        let took = struck.elapsed();
        let why = self.place(name).last_failure.unwrap().cause;
        eprintln!("{name}: {why}; back {took:?} after {mishap:?} was ordered");
        assert!(took <= within, "{name}: back after {took:?}");
        self.load.served(20).await;
    }

    /// Nothing was answered wrongly, nothing is used up, and it stops in order.
    async fn end(self) -> (Arc<Tally>, Site) {
        for place in self.tree().snapshot() {
            assert_eq!(place.state, ChildState::Running, "{place:?}");
        }
        let client = Client::connect(self.site.socket(), Hello::default())
            .await
            .unwrap();
        let request = self.site.asks(FRONTEND);
        asked(&client, &request, &Expected::allowed_as(FRONTEND)).await;
        drop(client);
        let tally = self.load.stop().await;
        eprintln!("{tally:?}");
        eventually("the end of every connection", async || {
            self.agent.doors().open.is_empty()
        })
        .await;
        let shutdown = self.agent.shutdown().await;
        assert!(shutdown.killed.is_empty(), "{shutdown:?}");
        (tally, self.site)
    }
}

async fn live(agent: &Agent) {
    let mut changes = agent.trust().subscribe();
    let live = async {
        while agent.trust().phase() != Phase::Live {
            changes.changed().await.unwrap();
        }
    };
    tokio::time::timeout(PATIENCE, live).await.expect("live");
}

/// Nobody but a request whose validation was killed thrice under it may be refused; nobody is cut off.
fn untouched(tally: &Tally) {
    assert_eq!(tally.cut.load(Relaxed), 0, "{tally:?}");
    assert_eq!(tally.refused.load(Relaxed), 0, "{tally:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_audit_actor_killed() {
    let scene = Scene::new().await;
    scene.kill("audit").await;
    let client = Client::connect(scene.site.socket(), Hello::default())
        .await
        .unwrap();
    let request = scene.site.asks(FRONTEND).with_id("after-all");
    asked(&client, &request, &Expected::allowed_as(FRONTEND)).await;
    drop(client);
    let audit = scene.site.path("audit.jsonl");
    eventually("a record", async || {
        std::fs::read_to_string(&audit)
            .unwrap()
            .contains("after-all")
    })
    .await;
    let metrics = Arc::clone(&scene.agent.doors().metrics);
    let (tally, site) = scene.end().await;
    untouched(&tally);
    // Whole lines, one per decision that was not dropped for want of room.
    let text = std::fs::read_to_string(site.path("audit.jsonl")).unwrap();
    let lines = text
        .lines()
        .map(|line| serde_json::from_str::<serde_json::Value>(line).expect(line));
    let dropped = metrics.audit_dropped.load(Relaxed);
    eprintln!("{} records, {dropped} dropped", lines.count());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_health_actor_killed() {
    let scene = Scene::new().await;
    scene.kill("health").await;
    untouched(&scene.end().await.0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_admin_actor_killed() {
    let scene = Scene::new().await;
    let address = scene.agent.admin().expect("a listener").address();
    scene.kill("admin").await;
    // The socket is owned above: nobody re-binds, and the page tells of its own deaths.
    let status = tokio::task::spawn_blocking(move || {
        let mut stream = std::net::TcpStream::connect(address).unwrap();
        stream
            .write_all(b"GET /status HTTP/1.1\r\nHost: localhost\r\n\r\n")
            .unwrap();
        let mut text = String::new();
        stream.read_to_string(&mut text).unwrap();
        text
    });
    let status = status.await.unwrap();
    let (_, json) = status.split_once("\r\n\r\n").unwrap();
    let status: serde_json::Value = serde_json::from_str(json).unwrap();
    let tree = status["tree"].as_array().unwrap();
    let admin = tree
        .iter()
        .find(|place| place["path"] == "root/admin")
        .unwrap();
    assert_eq!(admin["restarts"], KILLS, "{admin}");
    assert_eq!(admin["last_failure"]["cause"], "was killed");
    untouched(&scene.end().await.0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_bundle_watcher_killed() {
    let mut scene = Scene::new().await;
    scene.kill("bundles").await;
    // It watches again: a rotation is followed.
    let first = scene.site.asks(FRONTEND);
    let Scene { site, agent, load } = &mut scene;
    let questions = load.tally.right.load(Relaxed);
    assert!(questions > 0);
    live(agent).await;
    let mut changes = agent.trust().subscribe();
    changes.borrow_and_update();
    site.world.rotate(chaos::ca::Rotation::Overlapping).unwrap();
    tokio::time::timeout(PATIENCE, changes.changed())
        .await
        .expect("followed")
        .unwrap();
    let client = Client::connect(site.socket(), Hello::default())
        .await
        .unwrap();
    eventually("the new root", async || {
        client.ask(&site.asks(FRONTEND)).await.unwrap().is_allow()
    })
    .await;
    asked(&client, &first, &Expected::allowed_as(FRONTEND)).await;
    drop(client);
    untouched(&scene.end().await.0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_cache_killed() {
    let scene = Scene::new().await;
    scene.kill("cache").await;
    untouched(&scene.end().await.0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_validation_worker_killed() {
    let scene = Scene::new().await;
    scene.kill("worker-0").await;
    scene.kill("worker-1").await;
    untouched(&scene.end().await.0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn all_validation_workers_killed_at_once() {
    let scene = Scene::new().await;
    for _ in 0..3 {
        scene.load.served(50).await;
        let workers = ["worker-0", "worker-1"];
        let before = workers.map(|name| scene.place(name).restarts);
        for name in workers {
            scene.tree().kill(name);
        }
        eventually("both back", async || {
            workers.iter().zip(before).all(|(name, before)| {
                let place = scene.place(name);
                place.restarts > before && place.state == ChildState::Running
            })
        })
        .await;
    }
    untouched(&scene.end().await.0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_listener_killed() {
    let scene = Scene::new().await;
    scene.kill("sentinel").await;
    // Connections live on, and new ones are accepted.
    untouched(&scene.end().await.0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn connections_killed_without_end() {
    let scene = Scene::new().await;
    let permits = scene.agent.doors().bounds.connections;
    let mut killed = 0;
    while killed < CONNECTION_KILLS {
        scene.load.served(5).await;
        killed += scene.tree().kill("connection");
    }
    // More have died than may live at once would be seen here, if places were not given back.
    eprintln!("{killed} connections killed of {permits} permitted at once");
    scene.load.served(100).await;
    assert_eq!(scene.place("doors").failures, 0);
    let (tally, _site) = scene.end().await;
    assert!(tally.cut.load(Relaxed) > 0, "{tally:?}");
    assert_eq!(tally.refused.load(Relaxed), 0, "{tally:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_dead_connection_gives_back_its_place() {
    let scene = Scene::new().await;
    // Beyond what may be open at once in all: 256 by default.
    let mut killed = 0;
    while killed < 300 {
        let mut some = Vec::new();
        for _ in 0..20 {
            some.push(
                Client::connect(scene.site.socket(), Hello::default())
                    .await
                    .unwrap(),
            );
        }
        killed += scene.tree().kill("connection");
    }
    scene.load.served(100).await;
    scene.end().await;
}

/// Every kind of permanent actor, and the supervisors that are not above a connection.
const KINDS: [&str; 8] = [
    "audit",
    "health",
    "bundles",
    "cache",
    "worker-0",
    "sentinel",
    "trust",
    "validation",
];

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_kind_of_actor_panicking() {
    let scene = Scene::new().await;
    // It strikes with the next question, then it is a death like any other.
    let within = BACK_WITHIN + Duration::from_millis(LOOK_EVERY_MS);
    for name in KINDS {
        scene.befall(name, Mishap::Panic, within).await;
    }
    untouched(&scene.end().await.0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_kind_of_actor_wedged() {
    let scene = Scene::new().await;
    let for_ever = Mishap::Wedge { for_ms: u64::MAX };
    // A look until it strikes, its patience, and the restart; looks come late on a busy machine.
    let noticed = Duration::from_millis(LOOK_EVERY_MS + Vigilance::STANDARD.patience_ms());
    for name in KINDS {
        scene
            .befall(name, for_ever, 2 * noticed + BACK_WITHIN)
            .await;
    }
    untouched(&scene.end().await.0);
}

/// Whoever is stuck for less than its patience is left alone, and nobody is answered wrongly meanwhile.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_short_wedge_is_nobodys_end() {
    let scene = Scene::new().await;
    for name in KINDS {
        assert_eq!(
            scene
                .tree()
                .befall(&scene.place(name).path, Mishap::Wedge { for_ms: 1_000 }),
            1
        );
    }
    let until = Instant::now() + Duration::from_secs(3);
    while Instant::now() < until {
        scene.load.served(10).await;
    }
    for place in scene.tree().snapshot() {
        assert_eq!(place.failures, 0, "{place:?}");
    }
    untouched(&scene.end().await.0);
}

/// README, exit codes: a part failed so often that the agent gave up. It drains before.
#[tokio::test]
async fn a_budget_used_up_drains_and_ends_with_70() {
    let site = Site::new();
    let mut agent = site.live(LOAD_POLICY).await;
    let questions = common::load::mixed(&site);
    let load = common::load::start(site.socket(), Arc::clone(&questions), 4);
    load.served(100).await;
    use_up_all_but_one(&mut agent).await;
    let tally = load.stop().await;
    untouched(&tally);
    let client = agent.connect().await;
    let request = site.asks(FRONTEND).with_id("in-its-last-life");
    asked(&client, &request, &Expected::allowed_as(FRONTEND)).await;
    agent.record("in-its-last-life").await;

    // Held still, so that it finds requests and the last failure at once.
    kill_process(agent.pid(), Signal::STOP).unwrap();
    let mut sent = Vec::new();
    for question in questions.iter().take(SENT) {
        sent.push((client.send(&question.request).await.unwrap(), question));
    }
    agent.order("kill audit").unwrap();
    kill_process(agent.pid(), Signal::CONT).unwrap();
    for (id, question) in sent {
        let answer = client.answer(&id).await.expect("what was sent is answered");
        question.expected.of(&question.request, &answer);
    }
    let ended = agent.ended().await;
    assert_eq!(ended.status.code(), Some(70), "{}", ended.stderr);
    let gave_up = ended.stderr.contains("actor given up") && ended.stderr.contains("root/audit");
    assert!(
        gave_up && !ended.stderr.contains("panicked"),
        "{}",
        ended.stderr
    );
    assert!(!common::exists(&site.socket()));

    // What a service manager does: the next one serves.
    let again = site.live(LOAD_POLICY).await;
    let client = again.connect().await;
    asked(
        &client,
        &site.asks(FRONTEND),
        &Expected::allowed_as(FRONTEND),
    )
    .await;
    again.stop().await;
}

/// Kills the audit as often as its budget allows. Who is between two lives cannot be killed: again, then.
async fn use_up_all_but_one(agent: &mut Program) {
    let began = Instant::now();
    let budget = usize::try_from(Restart::STANDARD.max()).unwrap();
    while agent.log().matches("actor down, restarting it").count() < budget {
        assert!(began.elapsed() < 2 * PATIENCE, "{}", agent.log());
        agent.order("kill audit").unwrap();
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    eprintln!("{budget} lives in {:?}", began.elapsed());
}
