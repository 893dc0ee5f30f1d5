//! The watcher of the Workload API, against a simulated SPIRE on a real socket.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test may panic"
)]

use std::collections::BTreeMap;
use std::ops::Deref;
use std::path::Path;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use actors::bundles::{BundleWatcher, WatcherArgs, WatcherMsg};
use actors::clock::{Clock, TestClock};
use actors::metrics::Metrics;
use actors::supervision::{Address, ChildSpec, Restart, Root, SupervisorSpec};
use actors::trust::{Advice, TrustStore};
use chaos::ca::Rotation;
use chaos::spire::{CallFault, EndOfStreams, Refusal as Answer, SocketFile, SpireHandle};
use chaos::world::{HOME, World as Spire};
use config::Timings;
use proto::workload::spiffe_workload_api_server::{SpiffeWorkloadApi, SpiffeWorkloadApiServer};
use proto::workload::{X509BundlesRequest, X509BundlesResponse, X509svidRequest, X509svidResponse};
use tempfile::TempDir;
use tokio::io::AsyncWriteExt as _;
use tokio::net::UnixListener;
use tokio::sync::watch;
use tokio_stream::wrappers::UnixListenerStream;
use tokio_stream::{Stream, StreamExt as _};
use tokio_util::task::AbortOnDropHandle;
use tonic::transport::Server;
use tonic::{Code, Request, Response, Status};
use verdict::availability::{Blame, Found, Phase, Refusal, State, Timing};
use verdict::id::TrustDomain;
use verdict::trust::{Generation, Snapshot, World};

/// Nothing here waits for time to pass; what takes longer than this never comes.
const PATIENCE: Duration = Duration::from_secs(10);

const SLOW: Timings = Timings {
    bundle_refresh_interval_s: 300,
    api_timeout_ms: 5_000,
    unavailable_after_ms: 60_000,
    withdrawal_grace_ms: 30_000,
};

const QUICK: Timings = Timings {
    bundle_refresh_interval_s: 1,
    api_timeout_ms: 100,
    ..SLOW
};

/// A store, and a watcher that fills it.
struct Watched {
    trust: Arc<TrustStore>,
    metrics: Arc<Metrics>,
    address: Address<WatcherMsg>,
    timings: watch::Sender<Timings>,
    root: Root,
}

impl Watched {
    async fn start(socket: &Path, timings: Timings, clock: Clock) -> Self {
        let metrics = Arc::new(Metrics::default());
        let trust = Arc::new(store(&clock, &metrics, timings));
        let (sender, receiver) = watch::channel(timings);
        let address = Address::new();
        let args = WatcherArgs {
            socket: socket.to_owned(),
            trust: Arc::clone(&trust),
            timings: receiver,
            clock,
        };
        let child = ChildSpec::actor("bundles", Restart::STANDARD, &address, move |_| {
            (BundleWatcher, args.clone())
        });
        let spec = SupervisorSpec::new("root").child(child);
        Self {
            trust,
            metrics,
            address,
            timings: sender,
            root: Root::start(spec, Duration::ZERO).await.unwrap(),
        }
    }

    /// Waits until the world is so.
    async fn until(&self, what: &str, so: impl Fn(&World) -> bool) {
        let mut changed = self.trust.subscribe();
        let wait = async {
            while !so(&self.trust.load()) {
                changed.changed().await.unwrap();
            }
        };
        let came = tokio::time::timeout(PATIENCE, wait).await;
        let world = self.trust.load();
        came.unwrap_or_else(|_| panic!("waited in vain until {what}: {:?}", world.state()));
    }

    async fn until_phase(&self, phase: Phase) {
        let what = phase.as_str();
        self.until(what, |world| world.state().phase() == phase)
            .await;
    }

    fn generation(&self) -> Generation {
        generation(&self.trust.load())
    }

    fn domains(&self) -> usize {
        self.trust.load().snapshot().len()
    }

    fn transitions(&self) -> u64 {
        self.metrics.transitions.load(Ordering::Relaxed)
    }
}

/// A SPIRE, and a watcher of it.
struct Bench {
    spire: Spire,
    watched: Watched,
    _dir: TempDir,
}

impl Bench {
    async fn start(timings: Timings) -> Self {
        Self::start_with(timings, Clock::system(), |_| {}).await
    }

    /// `before` happens to SPIRE before the watcher starts.
    async fn start_with(timings: Timings, clock: Clock, before: impl FnOnce(&SpireHandle)) -> Self {
        let dir = TempDir::new().unwrap();
        let spire = spire_at(&dir.path().join("agent.sock"));
        before(&spire.spire());
        let watched = Watched::start(spire.socket(), timings, clock).await;
        Self {
            spire,
            watched,
            _dir: dir,
        }
    }

    fn spire(&self) -> SpireHandle {
        self.spire.spire()
    }
}

impl Deref for Bench {
    type Target = Watched;

    fn deref(&self) -> &Watched {
        &self.watched
    }
}

fn spire_at(socket: &Path) -> Spire {
    let now = Clock::system().now().unix_seconds().0.unsigned_abs();
    Spire::start(socket, now).unwrap()
}

fn store(clock: &Clock, metrics: &Arc<Metrics>, timings: Timings) -> TrustStore {
    let timing = Timing {
        unavailable_after_ms: timings.unavailable_after_ms,
        withdrawal_grace_ms: timings.withdrawal_grace_ms,
    };
    let state = State::start(Found::Nothing, timing, clock.now());
    let world = World::new(state, timing, Snapshot::default());
    TrustStore::new(world, clock.clone(), Arc::clone(metrics), Advice::default())
}

fn generation(world: &World) -> Generation {
    let home = TrustDomain::parse(HOME.as_bytes()).unwrap();
    let snapshot = world.snapshot();
    let mut bundles = snapshot.iter().filter(|(domain, _)| **domain == home);
    bundles.next().unwrap().1.generation()
}

/// Whose fault, and whether SPIRE has refused us.
fn trouble(world: &World) -> (Blame, bool) {
    match world.state() {
        State::Starting { trouble, .. }
        | State::Interrupted { trouble, .. }
        | State::Outage { trouble, .. } => (trouble.blame, trouble.refusal != Refusal::Never),
        State::Live { .. } => (Blame::Theirs, false),
        State::Withdrawn { blame, .. } => (blame, true),
    }
}

#[tokio::test]
async fn the_first_update_is_there_within_a_hundred_milliseconds() {
    let begin = Instant::now();
    let bench = Bench::start(SLOW).await;
    bench.until_phase(Phase::Live).await;
    // The promise is 100 ms for the process; a loaded test machine gets more.
    assert!(begin.elapsed() < Duration::from_secs(2));
    assert_eq!(bench.domains(), 2);
    assert_eq!(bench.spire().calls_without_header(), 0);
    assert_eq!(bench.spire().calls(), 1);
}

#[tokio::test]
async fn a_rotation_is_followed_within_a_second() {
    let mut bench = Bench::start(SLOW).await;
    bench.until_phase(Phase::Live).await;
    for rotation in [Rotation::Overlapping, Rotation::Abrupt] {
        let before = bench.generation();
        let begin = Instant::now();
        bench.spire.rotate(rotation).unwrap();
        bench
            .until("the new root is there", |world| generation(world) != before)
            .await;
        assert!(begin.elapsed() < Duration::from_secs(1));
    }
    bench.spire.unfederate();
    bench
        .until("the partner is gone", |world| world.snapshot().len() == 1)
        .await;
    assert_eq!(bench.spire().calls(), 1);
    assert_eq!(bench.transitions(), 1);
}

#[tokio::test]
async fn a_refresh_makes_before_it_breaks() {
    let bench = Bench::start(QUICK).await;
    bench.until_phase(Phase::Live).await;
    let contact = bench.trust.load().snapshot().contact();
    let spire = bench.spire();
    spire.wait_for_calls(3).await.unwrap();
    spire.wait_for_connections(1).await.unwrap();
    spire.wait_for_subscribers(1).await.unwrap();
    bench
        .until("contact is renewed", |world| {
            world.snapshot().contact() != contact
        })
        .await;
    // An identical update renews contact and nothing else.
    assert_eq!(bench.transitions(), 1);
}

#[tokio::test]
async fn a_spire_that_goes_and_comes_back_is_noticed_both_times() {
    let bench = Bench::start(SLOW).await;
    bench.until_phase(Phase::Live).await;
    for file in [SocketFile::Left, SocketFile::Removed] {
        bench.spire().stop(file).await.unwrap();
        bench.until_phase(Phase::Interrupted).await;
        assert_eq!(bench.domains(), 2);
        bench.spire().start().unwrap();
        bench.until_phase(Phase::Live).await;
    }
}

#[tokio::test]
async fn a_spire_that_comes_late_is_found() {
    let dir = TempDir::new().unwrap();
    let path = dir.path().join("not-there-yet").join("agent.sock");
    let watched = Watched::start(&path, SLOW, Clock::system()).await;
    std::fs::create_dir(path.parent().unwrap()).unwrap();
    let _spire = spire_at(&path);
    watched.until_phase(Phase::Live).await;
}

/// Whatever answers there: it is not SPIRE's word, and SPIRE is found once it is back.
#[tokio::test]
async fn nonsense_is_a_transport_error() {
    let http1 = b"HTTP/1.1 403 Forbidden\r\ncontent-length: 0\r\n\r\n";
    let reset = b"\0\0\0\x04\0\0\0\0\0\0\0\x08\x07\0\0\0\0\0\0\0\0\0\0\0\x0d";
    for speech in [&b""[..], http1, reset, &[0xff; 4096], &[0; 70_000]] {
        let dir = TempDir::new().unwrap();
        let path = dir.path().join("agent.sock");
        let listener = UnixListener::bind(&path).unwrap();
        let no_grace = Timings {
            withdrawal_grace_ms: 0,
            ..SLOW
        };
        let watched = Watched::start(&path, no_grace, Clock::system()).await;
        for _ in 0..4 {
            let accepted = tokio::time::timeout(PATIENCE, listener.accept()).await;
            let (mut stream, _) = accepted.expect("it should be tried again").unwrap();
            // The client may have hung up before it was all said.
            let _ = stream.write_all(speech).await;
        }
        assert_eq!(trouble(&watched.trust.load()), (Blame::Theirs, false));
        assert_eq!(watched.trust.phase(), Phase::Starting);
        drop(listener);
        let _spire = spire_at(&path);
        watched.until_phase(Phase::Live).await;
    }
}

/// Sends one message with revocation lists, and then nothing.
struct WithRevocation(X509BundlesResponse);

#[tonic::async_trait]
impl SpiffeWorkloadApi for WithRevocation {
    type FetchX509BundlesStream =
        Pin<Box<dyn Stream<Item = Result<X509BundlesResponse, Status>> + Send>>;
    type FetchX509SVIDStream = tokio_stream::Empty<Result<X509svidResponse, Status>>;

    async fn fetch_x509_bundles(
        &self,
        _request: Request<X509BundlesRequest>,
    ) -> Result<Response<Self::FetchX509BundlesStream>, Status> {
        let message = tokio_stream::once(Ok(self.0.clone()));
        Ok(Response::new(Box::pin(
            message.chain(tokio_stream::pending()),
        )))
    }

    async fn fetch_x509svid(
        &self,
        _request: Request<X509svidRequest>,
    ) -> Result<Response<Self::FetchX509SVIDStream>, Status> {
        Err(Status::unimplemented("nobody asks for this"))
    }
}

#[tokio::test]
async fn revocation_lists_are_ignored() {
    let dir = TempDir::new().unwrap();
    let spire = spire_at(&dir.path().join("other.sock"));
    let message = X509BundlesResponse {
        crl: vec![b"garbage".to_vec(), Vec::new()],
        bundles: spire.spire().bundles().into_iter().collect(),
    };
    let path = dir.path().join("agent.sock");
    let incoming = UnixListenerStream::new(UnixListener::bind(&path).unwrap());
    let service = SpiffeWorkloadApiServer::new(WithRevocation(message));
    let router = Server::builder().add_service(service);
    let _server = AbortOnDropHandle::new(tokio::spawn(router.serve_with_incoming(incoming)));
    let watched = Watched::start(&path, SLOW, Clock::system()).await;
    watched.until_phase(Phase::Live).await;
    assert_eq!(watched.domains(), 2);
}

/// With the interval at 300 s, only the suspend can be why.
#[tokio::test]
async fn a_suspend_resubscribes_at_once() {
    let now = Clock::system().now();
    let test = TestClock::new(now, "boot");
    let bench = Bench::start_with(SLOW, Clock::Test(test.clone()), |_| {}).await;
    bench.until_phase(Phase::Live).await;
    for call in 2..=3 {
        test.suspend(3_600_000);
        bench.spire().wait_for_calls(call).await.unwrap();
    }
    bench.spire().wait_for_connections(1).await.unwrap();
    assert_eq!(bench.transitions(), 1);
}

/// The codes as they are received, each as the answer to every attempt after the first stream.
#[tokio::test]
async fn each_status_counts_as_what_it_is() {
    for number in 1..=16 {
        let code = Code::from_i32(number);
        let bench = Bench::start(SLOW).await;
        bench.until_phase(Phase::Live).await;
        bench.spire().answer_with(code, "no identity issued");
        bench.spire().end_streams(EndOfStreams::Cleanly);
        bench.until_phase(Phase::Interrupted).await;
        let wanted = match code {
            Code::PermissionDenied => (Blame::Theirs, true),
            Code::InvalidArgument | Code::Unimplemented => (Blame::Ours, false),
            _ => (Blame::Theirs, false),
        };
        if wanted == (Blame::Theirs, false) {
            // Two more calls: what the first of them brought has been reported.
            bench.spire().wait_for_calls(3).await.unwrap();
        }
        bench
            .until("the answer is known", |world| trouble(world) == wanted)
            .await;
        assert_eq!(bench.domains(), 2, "{code:?} drops nothing yet");
    }
}

#[tokio::test]
async fn a_stream_that_ends_with_a_status_counts_as_that_status() {
    let bench = Bench::start(SLOW).await;
    bench.until_phase(Phase::Live).await;
    bench.spire().hang();
    let refusal = Answer::new(Code::PermissionDenied, "no identity issued");
    bench.spire().end_streams(EndOfStreams::With(refusal));
    bench.until_phase(Phase::Interrupted).await;
    assert_eq!(trouble(&bench.trust.load()), (Blame::Theirs, true));
}

/// Decisions: local errors that a library dresses up as PermissionDenied are transport errors; so
/// is an HTTP status that it makes Unimplemented of.
#[tokio::test]
async fn an_http_status_is_never_spires_word() {
    for status in [403, 404, 400, 401, 429, 500, 502, 503] {
        let no_grace = Timings {
            withdrawal_grace_ms: 0,
            ..SLOW
        };
        let bench = Bench::start(no_grace).await;
        bench.until_phase(Phase::Live).await;
        bench.spire().answer_http(status);
        bench.spire().end_streams(EndOfStreams::Cleanly);
        bench.until_phase(Phase::Interrupted).await;
        bench.spire().wait_for_calls(4).await.unwrap();
        assert_eq!(trouble(&bench.trust.load()), (Blame::Theirs, false));
        assert_eq!(bench.domains(), 2);
    }
}

#[tokio::test]
async fn a_withdrawal_drops_everything_and_a_registration_brings_it_back() {
    let no_grace = Timings {
        withdrawal_grace_ms: 0,
        ..SLOW
    };
    let bench = Bench::start(no_grace).await;
    bench.until_phase(Phase::Live).await;
    bench.spire().withdraw();
    bench.until_phase(Phase::Withdrawn).await;
    assert_eq!(bench.domains(), 0);
    bench.spire().answer_normally();
    bench.until_phase(Phase::Live).await;
    assert_eq!(bench.domains(), 2);
}

#[tokio::test]
async fn a_hung_spire_is_an_outage_and_its_late_answer_counts() {
    for fault in [CallFault::Hang, CallFault::HangAfterHeaders] {
        let bench = Bench::start(QUICK).await;
        bench.until_phase(Phase::Live).await;
        bench.spire().set_fault(fault);
        bench.until_phase(Phase::Interrupted).await;
        // Four hang beside each other, no more.
        bench.spire().wait_for_calls(5).await.unwrap();
        assert_eq!(bench.spire().connections(), 5);
        bench.spire().answer_normally();
        bench.until_phase(Phase::Live).await;
        bench.spire().wait_for_connections(1).await.unwrap();
    }
}

#[tokio::test]
async fn a_slow_spire_is_not_a_dead_one() {
    let bench = Bench::start_with(QUICK, Clock::system(), |spire| {
        spire.delay(Duration::from_millis(600))
    })
    .await;
    bench.until_phase(Phase::Live).await;
    // The first attempt answered: by the time, others ran beside it.
    assert!(bench.spire().calls() > 1);
    assert_eq!(bench.domains(), 2);
}

#[tokio::test]
async fn a_frozen_process_is_noticed_by_the_refresh_and_found_again() {
    let bench = Bench::start(QUICK).await;
    bench.until_phase(Phase::Live).await;
    bench.spire().freeze().unwrap();
    bench.until_phase(Phase::Interrupted).await;
    bench.spire().thaw().unwrap();
    bench.until_phase(Phase::Live).await;
    bench.spire().wait_for_connections(1).await.unwrap();
}

#[tokio::test]
async fn garbage_at_first_is_a_failure_and_the_stream_is_taken_once_it_is_good() {
    let garbage = BTreeMap::from([("spiffe://example.org".to_owned(), b"garbage".to_vec())]);
    let bench = Bench::start_with(SLOW, Clock::system(), |spire| spire.set_bundles(garbage)).await;
    bench.spire().wait_for_calls(3).await.unwrap();
    assert_eq!(bench.trust.phase(), Phase::Starting);
    assert!(bench.metrics.updates_discarded.load(Ordering::Relaxed) >= 2);
    bench.spire.publish();
    bench.until_phase(Phase::Live).await;
    bench.spire().wait_for_connections(1).await.unwrap();
}

#[tokio::test]
async fn garbage_on_the_stream_is_reported_and_changes_nothing() {
    let bench = Bench::start(SLOW).await;
    bench.until_phase(Phase::Live).await;
    let before = bench.generation();
    bench.spire().send_raw(BTreeMap::new());
    let garbage = BTreeMap::from([("spiffe://example.org".to_owned(), b"garbage".to_vec())]);
    bench.spire().send_raw(garbage);
    bench.spire.unfederate();
    bench
        .until("the good update after it is there", |world| {
            world.snapshot().len() == 1
        })
        .await;
    assert_eq!(bench.metrics.updates_discarded.load(Ordering::Relaxed), 2);
    assert_eq!(bench.generation(), before);
    assert_eq!(bench.transitions(), 1);
    assert_eq!(bench.spire().calls(), 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_message_beyond_the_librarys_bound_is_taken_and_one_beyond_ours_ends_the_stream() {
    let bench = Bench::start(SLOW).await;
    bench.until_phase(Phase::Live).await;
    let mut bundles = bench.spire().bundles();
    bundles.insert("spiffe://big.test".to_owned(), vec![0; 6 * 1024 * 1024]);
    bench.spire().set_bundles(bundles.clone());
    bench
        .until("one bundle is unreadable", |_| {
            bench.metrics.bundles_unreadable.load(Ordering::Relaxed) == 1
        })
        .await;
    assert_eq!(bench.metrics.updates.load(Ordering::Relaxed), 2);
    assert_eq!(bench.domains(), 2);
    assert_eq!(bench.transitions(), 1);
    bundles.insert("spiffe://big.test".to_owned(), vec![0; 17 * 1024 * 1024]);
    bench.spire().send_raw(bundles);
    bench.until_phase(Phase::Interrupted).await;
    bench.until_phase(Phase::Live).await;
    assert_eq!(trouble(&bench.trust.load()), (Blame::Theirs, false));
}

#[tokio::test]
async fn a_socket_that_is_deleted_and_made_anew_is_followed() {
    let bench = Bench::start(QUICK).await;
    bench.until_phase(Phase::Live).await;
    bench.spire().delete_socket().unwrap();
    bench.until_phase(Phase::Interrupted).await;
    bench.spire().recreate_socket().await.unwrap();
    bench.until_phase(Phase::Live).await;
    bench.spire().replace_socket_with_file().unwrap();
    bench.until_phase(Phase::Interrupted).await;
    assert_eq!(trouble(&bench.trust.load()), (Blame::Theirs, false));
}

/// With the interval at 300 s and the fault mark at 30 s, only the change of the path can be why.
#[tokio::test]
async fn a_new_socket_is_tried_at_once_even_under_the_fault_mark() {
    let bench = Bench::start(SLOW).await;
    bench.until_phase(Phase::Live).await;
    bench
        .spire()
        .answer_with(Code::Unimplemented, "another API");
    bench.spire().end_streams(EndOfStreams::Cleanly);
    bench
        .until("the fault mark stands", |world| {
            trouble(world).0 == Blame::Ours
        })
        .await;
    bench.spire().answer_normally();
    bench.spire().recreate_socket().await.unwrap();
    bench.until_phase(Phase::Live).await;
}

#[tokio::test]
async fn times_that_change_are_followed() {
    let bench = Bench::start(SLOW).await;
    bench.until_phase(Phase::Live).await;
    bench.timings.send_replace(QUICK);
    bench.spire().wait_for_calls(3).await.unwrap();
    // Nobody can change them any more: that is no failure.
    let Bench {
        watched,
        spire,
        _dir,
    } = bench;
    drop(watched.timings);
    let calls = spire.spire().calls();
    spire.spire().wait_for_calls(calls + 2).await.unwrap();
}

#[tokio::test]
async fn a_killed_watcher_loses_nothing_and_its_successor_goes_on() {
    let mut bench = Bench::start(SLOW).await;
    bench.until_phase(Phase::Live).await;
    for kill in 1..=3 {
        let victim = bench.address.current().unwrap();
        victim.kill();
        bench.spire().wait_for_calls(kill + 1).await.unwrap();
        // Its stream ended with it.
        bench.spire().wait_for_connections(1).await.unwrap();
        assert_eq!(bench.domains(), 2);
        assert_eq!(bench.trust.phase(), Phase::Live);
        let before = bench.generation();
        bench.spire.rotate(Rotation::Overlapping).unwrap();
        bench
            .until("the rotation is followed", |world| {
                generation(world) != before
            })
            .await;
    }
    assert_eq!(bench.transitions(), 1);
}

#[tokio::test]
async fn a_stopped_watcher_leaves_no_connection() {
    let bench = Bench::start(SLOW).await;
    bench.until_phase(Phase::Live).await;
    let shutdown = bench.root.shutdown(PATIENCE).await;
    assert!(shutdown.killed.is_empty());
    bench.spire().wait_for_connections(0).await.unwrap();
}
