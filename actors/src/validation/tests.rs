//! A validator that panics, and one that is wedged: whose denials, and nobody's restart budget.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::print_stderr,
    reason = "a test may panic and print"
)]

use std::sync::atomic::Ordering::Relaxed;
use std::time::Instant;

use proto::cert_header::{Collector, Format};
use verdict::availability::{Found, State, Timing};
use verdict::evidence::{Check, Fault};
use verdict::policy::{CertFormat, XfccElement};
use verdict::reason::Reason;
use verdict::trust::Snapshot;

use super::*;
use crate::clock::Clock;
use crate::memory;
use crate::supervision::{
    Address, ChildSpec, ChildState, Mishap, Restart, Root, SupervisorSpec, Tree, Vigilance,
};

const WORKERS: usize = 2;
const DEADLY: &str = "deadly";
/// Askers of certificates that panic the validator, at once.
const ATTACKERS: usize = 8;
/// Certificates that panic: in a debug build on a busy machine a few seconds' worth. Unwinding costs
/// each the same, so more of them show nothing new but that nothing adds up; `PANICS=1000000` is for that.
const PANICS: usize = 20_000;
/// What a process may grow by meanwhile, KiB: the stacks and arenas of as many threads as block.
const GROWTH_MAX_KIB: u64 = 32 * 1024;

/// Panics over some certificates, and finds a fault in all others.
fn fragile(job: &Job) -> Evidence {
    assert!(!job.raw.value().starts_with(DEADLY), "a deadly certificate");
    let rule = "section 4";
    Evidence::faulty(
        Fault::new(Check::Leaf, Reason::NotAnSvid, &rule),
        &job.world,
    )
}

struct Scene {
    validation: Arc<Validation>,
    metrics: Arc<Metrics>,
    root: Root,
    header: Arc<CertHeader>,
    world: Arc<World>,
    clock: Clock,
}

impl Scene {
    async fn start() -> Self {
        let (clock, metrics) = (Clock::system(), Arc::new(Metrics::default()));
        let timing = Timing {
            unavailable_after_ms: 1_000,
            withdrawal_grace_ms: 1_000,
        };
        let state = State::start(Found::Nothing, timing, clock.now());
        let memory = Memory::new(memory::Bounds {
            identities_bytes: 65_536,
            failures: 16,
            failure_ms: 1,
        });
        let validation = Validation::new(WORKERS, Arc::new(memory), Arc::clone(&metrics));
        let validation = Arc::new(validation);
        let spec = (0..WORKERS).fold(SupervisorSpec::new("root"), |tree, place| {
            let validation = Arc::clone(&validation);
            let worker = move |_: &_| {
                let validation = Arc::clone(&validation);
                (
                    Worker::examining_by(fragile),
                    WorkerArgs { validation, place },
                )
            };
            let name = format!("worker-{place}");
            tree.child(ChildSpec::actor(
                name,
                Restart::STANDARD,
                &Address::new(),
                worker,
            ))
        });
        let header = CertHeader::new("c", Format::Auto, proto::cert_header::XfccElement::Last);
        Self {
            root: Root::start(spec, Duration::ZERO).await.unwrap(),
            validation,
            metrics,
            header: Arc::new(header.unwrap()),
            world: Arc::new(World::new(state, timing, Snapshot::default())),
            clock,
        }
    }

    /// What becomes of a credential; waits for a permit like a patient sender.
    async fn ask(&self, credential: &str) -> Result<Evidence, NoEvidence> {
        let mut collector = Collector::new(&self.header);
        collector.offer("c", credential.to_owned());
        let raw = collector.finish().unwrap().unwrap();
        let (now, failure) = (self.clock.now(), Failure::default());
        let asked = Asked {
            raw: &raw,
            header: &self.header,
            reading: Reading {
                format: CertFormat::Auto,
                element: XfccElement::Last,
            },
            world: &self.world,
            basis: self.world.basis(&failure, now),
            failure,
            now,
        };
        let ticket = self.validation.ask(&asked)?;
        ticket.landed().await
    }

    fn tree(&self) -> &Arc<Tree> {
        self.root.tree()
    }

    fn is_untouched(&self) {
        for place in self.tree().snapshot() {
            let found = (place.state, place.failures, place.restarts);
            assert_eq!(found, (ChildState::Running, 0, 0), "{place:?}");
        }
    }

    /// No permit is out, and no flight in the air.
    async fn is_idle(&self) {
        let all = u32::try_from(WORKERS * PERMITS_PER_WORKER).unwrap();
        let permits = self.validation.permits.acquire_many(all);
        drop(
            tokio::time::timeout(Duration::from_secs(30), permits)
                .await
                .unwrap(),
        );
        assert!(self.validation.flights.is_empty());
    }
}

/// A panic that was ordered is not worth a line, let alone a million.
fn hush() {
    let loud = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |panic| {
        let text = panic.payload_as_str().unwrap_or_default();
        if text != "a deadly certificate" {
            loud(panic);
        }
    }));
}

fn rss_kib() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status
        .lines()
        .find(|line| line.starts_with("VmRSS:"))
        .unwrap();
    line.split_whitespace().nth(1).unwrap().parse().unwrap()
}

/// SECURITY.md: nothing that a peer sends uses up a restart budget.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn certificates_that_panic_the_validator_cost_their_sender_alone() {
    hush();
    let panics = std::env::var("PANICS").map_or(PANICS, |count| count.parse().unwrap());
    let scene = Arc::new(Scene::start().await);
    let before = rss_kib();
    let began = Instant::now();
    let mut attackers = tokio::task::JoinSet::new();
    for attacker in 0..ATTACKERS {
        let scene = Arc::clone(&scene);
        attackers.spawn(async move {
            for n in 0..panics / ATTACKERS {
                let refused = scene.ask(&format!("{DEADLY} {attacker}/{n}")).await;
                assert_eq!(refused.unwrap_err(), NoEvidence::Internal);
            }
        });
    }
    // Others are answered meanwhile, and rightly.
    let mut others = 0;
    while attackers
        .join_next()
        .await
        .inspect(|end| assert!(end.is_ok(), "{end:?}"))
        .is_some()
    {
        for _ in 0..100 {
            let evidence = scene.ask(&format!("other {others}")).await.unwrap();
            assert!(
                format!("{evidence:?}").contains("NotAnSvid"),
                "{evidence:?}"
            );
            others += 1;
        }
    }
    let panics = panics / ATTACKERS * ATTACKERS;
    let contained = scene.metrics.panics_contained.load(Relaxed);
    assert_eq!(contained, u64::try_from(panics).unwrap());
    let grown = rss_kib().saturating_sub(before);
    eprintln!(
        "{panics} panics in {:?}, VmRSS + {grown} KiB",
        began.elapsed()
    );
    assert!(grown <= GROWTH_MAX_KIB, "{grown} KiB");
    scene.is_untouched();
    scene.is_idle().await;
}

/// A worker that is stuck is passed by: it costs who was with it a wait, and nobody an answer.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_wedged_worker_is_passed_by_until_it_is_replaced() {
    let scene = Scene::start().await;
    let for_ever = Mishap::Wedge { for_ms: u64::MAX };
    assert_eq!(scene.tree().befall("worker-0", for_ever), 1);
    let stuck_at = Instant::now();
    let (mut asked, mut slow) = (0, 0);
    while scene.tree().status("root/worker-0").unwrap().restarts == 0 {
        let began = Instant::now();
        scene.ask(&format!("other {asked}")).await.unwrap();
        asked += 1;
        slow += usize::from(began.elapsed() >= ATTEMPT_MAX);
        assert!(stuck_at.elapsed() < Duration::from_secs(60));
    }
    eprintln!("{asked} asked, {slow} waited for the stuck worker");
    assert!(slow <= 2, "{slow} of {asked}");
    scene.is_idle().await;
}

/// A question to a worker waits behind its orders: what it may wait must be less than the patience
/// it is met with, or a flood of certificates would have workers killed.
#[test]
fn a_full_mailbox_does_not_look_like_a_wedge() {
    assert!(2 * FLIGHT_MAX_MS < Vigilance::STANDARD.patience_ms());
    let attempts = u32::try_from(ATTEMPTS).unwrap();
    assert!(ATTEMPT_MAX * attempts < Duration::from_millis(FLIGHT_MAX_MS));
}
