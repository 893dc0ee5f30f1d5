//! The snapshot on disk, kept by its actor.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test may panic"
)]

use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use actors::bundles::{BundleWatcher, WatcherArgs};
use actors::cache::{CacheActor, CacheArgs, CacheMsg, Keeping, load};
use actors::clock::Clock;
use actors::metrics::Metrics;
use actors::supervision::{Address, ChildSpec, Restart, Root, SupervisorSpec};
use actors::trust::{Advice, TrustStore};
use chaos::ca::{Authority, AuthorityOptions, Rotation, Window};
use chaos::world::World as Spire;
use config::Timings;
use tempfile::TempDir;
use tokio::sync::watch;
use verdict::availability::{Found, Loss, Phase, Timing};
use verdict::trust::Snapshot;

const PATIENCE: Duration = Duration::from_secs(10);
const SOCKET: &str = "/run/spire/sockets/agent.sock";

/// A refusal counts at once.
const TIMING: Timing = Timing {
    unavailable_after_ms: 60_000,
    withdrawal_grace_ms: 0,
};

struct Bench {
    state: TempDir,
    trust: Arc<TrustStore>,
    authority: Authority,
    address: Address<CacheMsg>,
    keeping: Keeping,
    root: Root,
}

impl Bench {
    async fn start() -> Self {
        Self::start_in(TempDir::new().unwrap()).await
    }

    async fn start_in(state: TempDir) -> Self {
        let clock = Clock::system();
        let trust = Arc::new(restored(state.path(), Path::new(SOCKET), &clock));
        let address = Address::new();
        let keeping = Keeping::default();
        let args = CacheArgs {
            dir: state.path().to_owned(),
            socket: SOCKET.into(),
            trust: Arc::clone(&trust),
            clock: clock.clone(),
            keeping: keeping.clone(),
        };
        let child = ChildSpec::actor("cache", Restart::STANDARD, &address, move |_| {
            (CacheActor, args.clone())
        });
        let root = Root::start(SupervisorSpec::new("root").child(child), Duration::ZERO)
            .await
            .unwrap();
        let now = clock.now().unix_seconds().0.unsigned_abs();
        Self {
            state,
            trust,
            authority: Authority::new("example.org", AuthorityOptions::at(now)).unwrap(),
            address,
            keeping,
            root,
        }
    }

    fn update(&self) {
        let (key, der) = (self.authority.bundle_key(), self.authority.anchors_der());
        let bundles = [(key.as_str(), der.as_slice())];
        self.trust.update(bundles.into_iter()).unwrap();
    }

    /// Another root: the authorities are others than before.
    fn rotate(&mut self) {
        let now = Clock::system().now().unix_seconds().0.unsigned_abs();
        let window = Window::from(now, 3_600);
        self.authority.rotate(Rotation::Abrupt, window).unwrap();
        self.update();
    }

    /// Waits until a new process would find the world as it is.
    async fn until_on_disk(&self) {
        until_on_disk(self.state.path(), Path::new(SOCKET), &self.trust).await;
    }

    /// Waits until this is told of the disk; nothing where all is well.
    async fn until_told(&self, is: impl Fn(&str) -> bool) {
        let told = || self.keeping.trouble().map(|trouble| trouble.complaint());
        let wait = async {
            while !is(&told().unwrap_or_default()) {
                tokio::task::yield_now().await;
            }
        };
        let came = tokio::time::timeout(PATIENCE, wait).await;
        came.unwrap_or_else(|_| panic!("told: {:?}", told()));
    }
}

/// The file system tells nobody when it changes, so it is asked again and again.
async fn until_on_disk(dir: &Path, socket: &Path, trust: &TrustStore) {
    let clock = Clock::system();
    let wait = async {
        loop {
            let (dir, socket, clock) = (dir.to_owned(), socket.to_owned(), clock.clone());
            let load = tokio::task::spawn_blocking(move || load(&dir, &socket, &clock));
            let loaded = load.await.unwrap();
            if is_world(&loaded.snapshot, loaded.found, trust) {
                return;
            }
            tokio::task::yield_now().await;
        }
    };
    let came = tokio::time::timeout(PATIENCE, wait).await;
    came.expect("the disk should say what the world does");
}

fn is_world(snapshot: &Snapshot, found: Found, trust: &TrustStore) -> bool {
    let world = trust.load();
    let wanted = match (trust.phase(), world.snapshot().contact()) {
        (Phase::Withdrawn, _) => Found::Tombstone,
        (_, Some(contact)) => Found::Material(contact),
        (_, None) => Found::Nothing,
    };
    let anchors = |snapshot: &Snapshot| {
        let bundles = snapshot.iter();
        let mut all: Vec<_> = bundles
            .map(|(domain, bundle)| (domain.to_string(), bundle.anchors().as_der().to_vec()))
            .collect();
        all.sort();
        all
    };
    found == wanted && anchors(snapshot) == anchors(world.snapshot())
}

/// A store as a new process makes it.
fn restored(dir: &Path, socket: &Path, clock: &Clock) -> TrustStore {
    let world = load(dir, socket, clock).world(TIMING, clock.now());
    let metrics = Arc::new(Metrics::default());
    TrustStore::new(world, clock.clone(), metrics, Advice::default())
}

/// But for the lock, which stays.
fn names(dir: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(dir).unwrap();
    let paths = entries.map(|entry| entry.unwrap().path());
    paths
        .filter(|path| !path.ends_with("x509-bundles.lock"))
        .collect()
}

#[tokio::test]
async fn every_update_reaches_the_disk_and_so_does_a_withdrawal() {
    let mut bench = Bench::start().await;
    bench.update();
    bench.until_on_disk().await;
    bench.rotate();
    bench.until_on_disk().await;
    bench.trust.lost(Loss::Refused);
    assert_eq!(bench.trust.phase(), Phase::Withdrawn);
    bench.until_on_disk().await;
    bench.update();
    bench.until_on_disk().await;
    assert_eq!(names(bench.state.path()).len(), 1);
}

#[tokio::test]
async fn a_burst_ends_with_the_last_word() {
    let mut bench = Bench::start().await;
    for _ in 0..50 {
        bench.rotate();
    }
    bench.until_on_disk().await;
    bench.rotate();
    bench.trust.lost(Loss::Refused);
    bench.rotate();
    bench.trust.lost(Loss::Ended);
    bench.trust.lost(Loss::Refused);
    bench.until_on_disk().await;
}

#[tokio::test]
async fn a_new_process_finds_what_the_old_one_knew() {
    let bench = Bench::start().await;
    bench.update();
    bench.until_on_disk().await;
    let clock = Clock::system();
    let next = restored(bench.state.path(), Path::new(SOCKET), &clock);
    assert_eq!(next.phase(), Phase::Interrupted);
    assert_eq!(next.load().snapshot().len(), 1);
    bench.trust.lost(Loss::Refused);
    bench.until_on_disk().await;
    let next = restored(bench.state.path(), Path::new(SOCKET), &clock);
    assert_eq!(next.phase(), Phase::Withdrawn);
}

#[tokio::test]
async fn a_killed_cache_loses_nothing() {
    let mut bench = Bench::start().await;
    bench.update();
    bench.until_on_disk().await;
    for _ in 0..3 {
        let victim = bench.address.current().unwrap();
        bench.rotate();
        victim.kill();
        victim.get_cell().wait(None).await.unwrap();
        bench.rotate();
        bench.until_on_disk().await;
    }
    let victim = bench.address.current().unwrap();
    victim.kill();
    bench.trust.lost(Loss::Refused);
    bench.until_on_disk().await;
}

#[tokio::test]
async fn an_orderly_stop_flushes() {
    let mut bench = Bench::start().await;
    bench.update();
    bench.until_on_disk().await;
    // These come too late for anything but the flush: the pause after the last write is not over.
    bench.rotate();
    bench.rotate();
    let shutdown = bench.root.shutdown(PATIENCE).await;
    assert!(shutdown.killed.is_empty());
    let loaded = load(bench.state.path(), Path::new(SOCKET), &Clock::system());
    assert!(is_world(&loaded.snapshot, loaded.found, &bench.trust));
}

#[tokio::test]
async fn a_disk_that_fails_is_tried_again() {
    let mut bench = Bench::start().await;
    let mode = |mode| {
        let permissions = std::fs::Permissions::from_mode(mode);
        std::fs::set_permissions(bench.state.path(), permissions).unwrap();
    };
    mode(0o777);
    bench.update();
    bench.trust.lost(Loss::Refused);
    let shared = bench.address.current().unwrap();
    bench.until_told(|told| told.contains("chmod 0700")).await;
    mode(0o700);
    bench.until_on_disk().await;
    bench.until_told(str::is_empty).await;
    bench.rotate();
    bench.until_on_disk().await;
    // The same actor all the time: a failing disk is no crash.
    assert_eq!(shared.get_id(), bench.address.current().unwrap().get_id());
}

#[tokio::test]
async fn the_file_of_another_socket_is_left_alone_until_there_is_something_to_say() {
    let first = Bench::start().await;
    first.update();
    first.until_on_disk().await;
    first.root.shutdown(PATIENCE).await;
    let clock = Clock::system();
    let other = Path::new("/run/other.sock");
    let next = restored(first.state.path(), other, &clock);
    assert_eq!(next.phase(), Phase::Starting);
    assert_eq!(next.load().snapshot().len(), 0);
    let file = first.state.path().join("x509-bundles");
    assert_eq!(names(first.state.path()), [file]);
    // The right path again, SPIRE still away: what was known is known.
    let right = restored(first.state.path(), Path::new(SOCKET), &clock);
    assert_eq!(right.phase(), Phase::Interrupted);
    assert_eq!(right.load().snapshot().len(), 1);
}

/// Watcher and cache together: what SPIRE says is what the next process begins with.
#[tokio::test]
async fn from_the_wire_to_the_disk() {
    let dir = TempDir::new().unwrap();
    let state = dir.path().join("state");
    let clock = Clock::system();
    let now = clock.now().unix_seconds().0.unsigned_abs();
    let spire = Spire::start(dir.path().join("agent.sock"), now).unwrap();
    let trust = Arc::new(restored(&state, spire.socket(), &clock));
    let (_timings, timings) = watch::channel(Timings {
        bundle_refresh_interval_s: 300,
        api_timeout_ms: 5_000,
        unavailable_after_ms: 60_000,
        withdrawal_grace_ms: 0,
    });
    let watcher = WatcherArgs {
        socket: spire.socket().to_owned(),
        trust: Arc::clone(&trust),
        timings,
        clock: clock.clone(),
    };
    let cache = CacheArgs {
        dir: state.clone(),
        socket: spire.socket().to_owned(),
        trust: Arc::clone(&trust),
        clock: clock.clone(),
        keeping: Keeping::default(),
    };
    let spec = SupervisorSpec::new("trust")
        .child(ChildSpec::actor(
            "cache",
            Restart::STANDARD,
            &Address::new(),
            move |_| (CacheActor, cache.clone()),
        ))
        .child(ChildSpec::actor(
            "bundles",
            Restart::STANDARD,
            &Address::new(),
            move |_| (BundleWatcher, watcher.clone()),
        ));
    let root = Root::start(spec, Duration::ZERO).await.unwrap();
    let mut changed = trust.subscribe();
    while trust.phase() != Phase::Live {
        changed.changed().await.unwrap();
    }
    until_on_disk(&state, spire.socket(), &trust).await;
    // SPIRE says no, the process ends, the next one remembers.
    spire.spire().withdraw();
    while trust.phase() != Phase::Withdrawn {
        changed.changed().await.unwrap();
    }
    root.shutdown(PATIENCE).await;
    let loaded = load(&state, spire.socket(), &clock);
    assert_eq!(loaded.found, Found::Tombstone);
}
