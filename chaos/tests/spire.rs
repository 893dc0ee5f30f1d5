//! The simulated SPIRE, seen by a real gRPC client through its socket.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test may panic"
)]

mod common;

use std::os::unix::fs::{FileTypeExt as _, PermissionsExt as _};
use std::time::Duration;

use chaos::ca::{Authority, AuthorityOptions, SvidOptions};
use chaos::spire::{
    BundleMap, CallFault, EndOfStreams, Refusal, SimulatedSpire, SocketFile, SpireError,
    SpireHandle, WorkloadSvid,
};
use common::{bundles, connect, end, fetch_bundles, fetch_svids, next, subscribe, within};
use proto::workload::{SECURITY_HEADER, X509BundlesRequest, X509svidRequest};
use tempfile::TempDir;
use tokio_stream::StreamExt as _;
use tonic::{Code, Request};

struct Setup {
    _directory: TempDir,
    spire: SimulatedSpire,
    handle: SpireHandle,
}

fn one() -> BundleMap {
    bundles(&[("spiffe://example.org", b"one")])
}

fn two() -> BundleMap {
    bundles(&[
        ("spiffe://example.org", b"two"),
        ("spiffe://partner.test", b""),
    ])
}

fn start() -> Setup {
    let directory = TempDir::new().unwrap();
    let spire = SimulatedSpire::start(directory.path().join("agent.sock"), one()).unwrap();
    let handle = spire.handle();
    Setup {
        _directory: directory,
        spire,
        handle,
    }
}

/// Nothing comes although everything that could send it has run: a later message is the next one.
async fn next_is(
    stream: &mut tonic::Streaming<proto::workload::X509BundlesResponse>,
    expected: &BundleMap,
) {
    assert_eq!(next(stream).await, *expected);
}

#[tokio::test]
async fn the_current_bundles_come_at_once_and_each_change_in_full() {
    let setup = start();
    let (_api, mut stream, first) = subscribe(setup.handle.path()).await;
    assert_eq!(first, one());
    setup.handle.set_bundles(two());
    assert_eq!(next(&mut stream).await, two());
    // A domain left out is simply not there any more.
    setup.handle.set_bundles(one());
    assert_eq!(next(&mut stream).await, one());
    assert_eq!(setup.handle.bundles(), one());
}

#[tokio::test]
async fn silence_while_nothing_changes_and_a_repetition_on_demand() {
    let setup = start();
    let (_api, mut stream, _first) = subscribe(setup.handle.path()).await;
    setup.handle.set_bundles(one());
    setup.handle.set_bundles(one());
    setup.handle.set_bundles(two());
    next_is(&mut stream, &two()).await;
    setup.handle.publish();
    next_is(&mut stream, &two()).await;
}

#[tokio::test]
async fn a_call_without_the_exact_security_header_is_invalid() {
    let setup = start();
    let mut api = connect(setup.handle.path()).await.unwrap();
    for value in [None, Some("TRUE"), Some("false"), Some("")] {
        let mut request = Request::new(X509BundlesRequest {});
        if let Some(value) = value {
            request
                .metadata_mut()
                .insert(SECURITY_HEADER, value.parse().unwrap());
        }
        let status = within("an answer", api.fetch_x509_bundles(request))
            .await
            .unwrap_err();
        assert_eq!(status.code(), Code::InvalidArgument, "{value:?}");
    }
    let mut twice = common::with_header(X509BundlesRequest {});
    twice
        .metadata_mut()
        .append(SECURITY_HEADER, "true".parse().unwrap());
    let status = within("an answer", api.fetch_x509_bundles(twice))
        .await
        .unwrap_err();
    assert_eq!(status.code(), Code::InvalidArgument);
    let status = within("an answer", api.fetch_x509svid(X509svidRequest {}))
        .await
        .unwrap_err();
    assert_eq!(status.code(), Code::InvalidArgument);
    assert_eq!(setup.handle.calls_without_header(), 6);
    assert_eq!(setup.handle.calls(), 6);
    assert_eq!(setup.handle.subscribers(), 0);
}

#[tokio::test]
async fn fifty_subscribers_on_their_own_connections_all_hear_it() {
    let setup = start();
    let mut all = Vec::new();
    for _ in 0..50 {
        all.push(subscribe(setup.handle.path()).await);
    }
    setup.handle.wait_for_subscribers(50).await.unwrap();
    setup.handle.set_bundles(two());
    for (_api, stream, _first) in &mut all {
        next_is(stream, &two()).await;
    }
    assert_eq!(setup.handle.connections(), 50);
    drop(all);
    setup.handle.wait_for_subscribers(0).await.unwrap();
    setup.handle.wait_for_connections(0).await.unwrap();
}

#[tokio::test]
async fn make_before_break_on_one_connection_shows_both_streams() {
    let setup = start();
    let (mut api, old, _first) = subscribe(setup.handle.path()).await;
    let mut fresh = fetch_bundles(&mut api).await.unwrap();
    next_is(&mut fresh, &one()).await;
    setup.handle.wait_for_subscribers(2).await.unwrap();
    drop(old);
    setup.handle.wait_for_subscribers(1).await.unwrap();
    assert_eq!(setup.handle.calls(), 2);
    assert_eq!(setup.handle.connections(), 1);
}

#[tokio::test]
async fn svids_come_with_own_bundle_and_the_federated_ones() {
    let setup = start();
    let mut api = connect(setup.handle.path()).await.unwrap();
    let mut refused = fetch_svids(&mut api).await.unwrap();
    let status = end(&mut refused).await.unwrap();
    assert_eq!(
        (status.code(), status.message()),
        (Code::PermissionDenied, "no identity issued")
    );

    let authority = Authority::new("example.org", AuthorityOptions::at(1_767_323_045)).unwrap();
    let svid = authority
        .issue("spiffe://example.org/web", &SvidOptions::at(1_767_323_045))
        .unwrap();
    let partner = bundles(&[("spiffe://partner.test", b"partner")]);
    let mut all = partner.clone();
    all.insert(authority.bundle_key(), authority.anchors_der());
    setup.handle.set_bundles(all);
    setup.handle.set_svids(vec![WorkloadSvid {
        svid: svid.clone(),
        hint: "internal".to_owned(),
    }]);

    let mut stream = fetch_svids(&mut api).await.unwrap();
    let message = within("a message", stream.message())
        .await
        .unwrap()
        .unwrap();
    assert_eq!(message.svids.len(), 1);
    let own = &message.svids[0];
    assert_eq!(
        (own.spiffe_id.as_str(), own.hint.as_str()),
        ("spiffe://example.org/web", "internal")
    );
    assert_eq!(own.x509_svid, svid.chain_der.concat());
    assert_eq!(own.bundle, authority.anchors_der());
    assert!(own.x509_svid_key.starts_with(&[0x30]), "PKCS#8 DER");
    assert_eq!(
        message.federated_bundles.into_iter().collect::<BundleMap>(),
        partner
    );

    // The entry is deleted: the stream ends as SPIRE ends it.
    setup.handle.set_svids(Vec::new());
    assert_eq!(
        end(&mut stream).await.unwrap().code(),
        Code::PermissionDenied
    );
}

#[tokio::test]
async fn stopping_cuts_streams_and_the_same_path_serves_again() {
    for file in [SocketFile::Left, SocketFile::Removed] {
        let setup = start();
        let (_api, mut stream, _first) = subscribe(setup.handle.path()).await;
        setup.handle.stop(file).await.unwrap();
        assert_eq!(
            (setup.handle.subscribers(), setup.handle.connections()),
            (0, 0)
        );
        let status = end(&mut stream).await.expect("cut, not closed in order");
        assert_ne!(status.code(), Code::Ok);
        assert_eq!(setup.handle.path().exists(), file == SocketFile::Left);
        connect(setup.handle.path())
            .await
            .expect_err("nobody listens");
        assert!(matches!(
            setup.handle.stop(file).await,
            Err(SpireError::NotRunning { .. })
        ));

        setup.handle.set_bundles(two());
        setup.handle.start().unwrap();
        let (_api, _stream, first) = subscribe(setup.handle.path()).await;
        assert_eq!(first, two());
        assert!(matches!(
            setup.handle.start(),
            Err(SpireError::AlreadyRunning { .. })
        ));
    }
}

#[tokio::test]
async fn a_client_may_come_before_the_server() {
    let directory = TempDir::new().unwrap();
    let spire = SimulatedSpire::stopped(directory.path().join("agent.sock"), one());
    connect(spire.handle().path())
        .await
        .expect_err("nobody listens");
    spire.handle().start().unwrap();
    assert_eq!(subscribe(spire.handle().path()).await.2, one());
}

#[tokio::test]
async fn dropping_the_owner_ends_everything_for_good() {
    let setup = start();
    let (_api, mut stream, _first) = subscribe(setup.handle.path()).await;
    drop(setup.spire);
    assert!(end(&mut stream).await.is_some());
    setup.handle.wait_for_connections(0).await.unwrap();
    assert!(!setup.handle.path().exists());
    assert!(matches!(
        setup.handle.start(),
        Err(SpireError::Dropped { .. })
    ));
}

#[tokio::test]
async fn new_calls_get_the_status_told_and_open_streams_notice_nothing() {
    let setup = start();
    let (mut api, mut stream, _first) = subscribe(setup.handle.path()).await;
    let codes = [
        Code::PermissionDenied,
        Code::Unavailable,
        Code::InvalidArgument,
        Code::Unimplemented,
        Code::Internal,
        Code::ResourceExhausted,
        Code::DeadlineExceeded,
        Code::Unauthenticated,
        Code::Unknown,
        Code::Cancelled,
    ];
    for code in codes {
        setup.handle.answer_with(code, "because");
        let status = fetch_bundles(&mut api).await.unwrap_err();
        assert_eq!((status.code(), status.message()), (code, "because"));
    }
    setup.handle.publish();
    next_is(&mut stream, &one()).await;
    setup.handle.answer_normally();
    next_is(&mut fetch_bundles(&mut api).await.unwrap(), &one()).await;
}

#[tokio::test]
async fn open_streams_end_as_told_and_new_calls_are_answered() {
    let setup = start();
    let (mut api, mut stream, _first) = subscribe(setup.handle.path()).await;
    setup.handle.end_streams(EndOfStreams::Cleanly);
    assert!(end(&mut stream).await.is_none());
    let mut stream = fetch_bundles(&mut api).await.unwrap();
    next_is(&mut stream, &one()).await;
    setup.handle.end_streams(EndOfStreams::With(Refusal::new(
        Code::Unavailable,
        "going away",
    )));
    let status = end(&mut stream).await.unwrap();
    assert_eq!(
        (status.code(), status.message()),
        (Code::Unavailable, "going away")
    );
    setup.handle.wait_for_subscribers(0).await.unwrap();
    next_is(&mut fetch_bundles(&mut api).await.unwrap(), &one()).await;
}

#[tokio::test]
async fn a_withdrawn_entry_ends_streams_and_refuses_calls() {
    let setup = start();
    let (mut api, mut stream, _first) = subscribe(setup.handle.path()).await;
    setup.handle.withdraw();
    assert_eq!(
        end(&mut stream).await.unwrap().code(),
        Code::PermissionDenied
    );
    let status = fetch_bundles(&mut api).await.unwrap_err();
    assert_eq!(
        (status.code(), status.message()),
        (Code::PermissionDenied, "no identity issued")
    );
    setup.handle.answer_normally();
    next_is(&mut fetch_bundles(&mut api).await.unwrap(), &one()).await;
}

/// Whether this would still be waiting although everything else has had its turn.
async fn still_waiting<T>(wait: &mut (impl Future<Output = T> + Unpin)) -> bool {
    for _ in 0..100 {
        tokio::select! {
            biased;
            _ = &mut *wait => return false,
            () = tokio::task::yield_now() => {}
        }
    }
    true
}

#[tokio::test]
async fn a_hanging_call_is_accepted_and_answered_when_the_fault_ends() {
    let setup = start();
    setup.handle.hang();
    let mut api = connect(setup.handle.path()).await.unwrap();
    let mut call = Box::pin(fetch_bundles(&mut api));
    assert!(still_waiting(&mut call).await);
    setup.handle.wait_for_calls(1).await.unwrap();
    assert!(still_waiting(&mut call).await);
    assert_eq!(setup.handle.subscribers(), 0);
    setup.handle.answer_normally();
    next_is(&mut call.await.unwrap(), &one()).await;
}

#[tokio::test]
async fn headers_may_come_and_the_first_message_not() {
    let setup = start();
    setup.handle.set_fault(CallFault::HangAfterHeaders);
    let mut api = connect(setup.handle.path()).await.unwrap();
    let mut stream = fetch_bundles(&mut api).await.unwrap();
    let mut message = Box::pin(next(&mut stream));
    assert!(still_waiting(&mut message).await);
    setup.handle.answer_normally();
    assert_eq!(message.await, one());
}

#[tokio::test]
async fn a_delayed_answer_comes_late() {
    let setup = start();
    let delay = Duration::from_millis(150);
    setup.handle.delay(delay);
    let mut api = connect(setup.handle.path()).await.unwrap();
    let asked = std::time::Instant::now();
    next_is(&mut fetch_bundles(&mut api).await.unwrap(), &one()).await;
    assert!(asked.elapsed() >= delay);
}

#[tokio::test]
async fn frozen_streams_stay_silent_while_new_calls_are_answered() {
    let setup = start();
    let (mut api, mut frozen, _first) = subscribe(setup.handle.path()).await;
    setup.handle.freeze_streams();
    setup.handle.set_bundles(two());
    let mut fresh = fetch_bundles(&mut api).await.unwrap();
    next_is(&mut fresh, &two()).await;
    let mut message = Box::pin(next(&mut frozen));
    assert!(still_waiting(&mut message).await);
    setup.handle.thaw().unwrap();
    assert_eq!(message.await, two());
}

#[tokio::test]
async fn a_frozen_process_moves_no_byte_and_a_thawed_one_catches_up() {
    let setup = start();
    let (_api, mut stream, _first) = subscribe(setup.handle.path()).await;
    setup.handle.freeze().unwrap();
    setup.handle.set_bundles(two());
    let path = setup.handle.path().to_owned();
    let mut newcomer = Box::pin(async move { subscribe(&path).await.2 });
    let mut message = Box::pin(next(&mut stream));
    // The connection is accepted; that far a frozen server's kernel goes.
    tokio::select! {
        _ = &mut newcomer => panic!("answered while frozen"),
        connected = setup.handle.wait_for_connections(2) => connected.unwrap(),
    }
    assert!(still_waiting(&mut newcomer).await);
    assert!(still_waiting(&mut message).await);
    assert_eq!(setup.handle.calls(), 1);
    setup.handle.thaw().unwrap();
    assert_eq!(message.await, two());
    assert_eq!(newcomer.await, two());
}

#[tokio::test]
async fn a_frozen_process_can_be_killed() {
    let setup = start();
    let (_api, mut stream, _first) = subscribe(setup.handle.path()).await;
    setup.handle.freeze().unwrap();
    setup.handle.stop(SocketFile::Left).await.unwrap();
    assert!(end(&mut stream).await.is_some());
}

#[tokio::test]
async fn raw_messages_are_sent_as_they_are_and_not_held_true() {
    let setup = start();
    let (_api, stream, _first) = subscribe(setup.handle.path()).await;
    let mut stream = stream;
    let messages = [
        bundles(&[]),
        bundles(&[
            ("spiffe://example.org", b"\x30\x82garbage"),
            ("spiffe://partner.test", b"good"),
        ]),
        bundles(&[("not an id", b"x")]),
    ];
    for message in messages {
        setup.handle.send_raw(message.clone());
        next_is(&mut stream, &message).await;
    }
    assert_eq!(subscribe(setup.handle.path()).await.2, one());
}

#[tokio::test]
async fn an_oversized_message_reaches_a_client_that_takes_it_and_breaks_one_that_does_not() {
    let setup = start();
    let oversized: BundleMap =
        [("spiffe://example.org".to_owned(), vec![0; 17 * 1024 * 1024])].into();
    let api = connect(setup.handle.path()).await.unwrap();
    let mut patient = api.clone().max_decoding_message_size(32 * 1024 * 1024);
    let mut strict = api.max_decoding_message_size(16 * 1024 * 1024);
    let mut taken = fetch_bundles(&mut patient).await.unwrap();
    let mut refused = fetch_bundles(&mut strict).await.unwrap();
    next_is(&mut taken, &one()).await;
    next_is(&mut refused, &one()).await;
    setup.handle.send_raw(oversized.clone());
    assert_eq!(next(&mut taken).await, oversized);
    assert_eq!(end(&mut refused).await.unwrap().code(), Code::OutOfRange);
}

#[tokio::test]
async fn a_stream_nobody_reads_is_cut_off_and_the_others_are_not() {
    let setup = start();
    let (mut api, mut frozen, _first) = subscribe(setup.handle.path()).await;
    setup.handle.freeze_streams();
    let mut read = fetch_bundles(&mut api).await.unwrap();
    next_is(&mut read, &one()).await;
    for _ in 0..300 {
        setup.handle.publish();
        next_is(&mut read, &one()).await;
    }
    setup.handle.thaw().unwrap();
    let mut delivered = 0;
    let last = loop {
        match within("the end", frozen.next()).await.expect("a status") {
            Ok(_message) => delivered += 1,
            Err(status) => break status,
        }
    };
    assert_eq!((delivered, last.code()), (256, Code::ResourceExhausted));
    setup.handle.wait_for_subscribers(1).await.unwrap();
}

#[tokio::test]
async fn a_proxy_in_between_answers_http_without_grpc_status() {
    let setup = start();
    let mut api = connect(setup.handle.path()).await.unwrap();
    for (http, code) in [(403, Code::PermissionDenied), (503, Code::Unavailable)] {
        setup.handle.answer_http(http);
        // tonic takes any HTTP answer for an open stream, and makes a code up when it ends.
        let mut stream = fetch_bundles(&mut api).await.unwrap();
        let status = end(&mut stream).await.unwrap();
        assert_eq!(status.code(), code);
        assert!(status.message().contains(&http.to_string()), "{status:?}");
    }
    assert_eq!((setup.handle.calls(), setup.handle.subscribers()), (2, 0));
    setup.handle.answer_normally();
    next_is(&mut fetch_bundles(&mut api).await.unwrap(), &one()).await;
}

#[tokio::test]
async fn a_deleted_socket_leaves_old_connections_and_a_recreated_one_takes_new_ones() {
    let setup = start();
    let (_api, mut stream, _first) = subscribe(setup.handle.path()).await;
    setup.handle.delete_socket().unwrap();
    connect(setup.handle.path()).await.expect_err("no socket");
    setup.handle.publish();
    next_is(&mut stream, &one()).await;

    setup.handle.recreate_socket().await.unwrap();
    let (_new_api, mut fresh, _first) = subscribe(setup.handle.path()).await;
    setup.handle.set_bundles(two());
    next_is(&mut stream, &two()).await;
    next_is(&mut fresh, &two()).await;
    // Stopping reaches the connections of both.
    setup.handle.stop(SocketFile::Removed).await.unwrap();
    assert!(end(&mut stream).await.is_some());
    assert!(end(&mut fresh).await.is_some());
}

#[tokio::test]
async fn a_plain_file_in_its_place_is_no_socket_and_is_not_swept_away() {
    let setup = start();
    setup.handle.replace_socket_with_file().unwrap();
    assert!(
        !std::fs::metadata(setup.handle.path())
            .unwrap()
            .file_type()
            .is_socket()
    );
    connect(setup.handle.path())
        .await
        .expect_err("a plain file");
    assert!(matches!(
        setup.handle.recreate_socket().await,
        Err(SpireError::Socket {
            action: "listen on",
            ..
        })
    ));
    setup.handle.delete_socket().unwrap();
    setup.handle.recreate_socket().await.unwrap();
    assert_eq!(subscribe(setup.handle.path()).await.2, one());
}

#[tokio::test]
async fn permissions_can_be_taken_from_the_socket() {
    let setup = start();
    setup.handle.set_socket_mode(0o000).unwrap();
    let mode = std::fs::metadata(setup.handle.path())
        .unwrap()
        .permissions()
        .mode();
    assert_eq!(mode & 0o777, 0);
    // Root may connect all the same, so only others can see the refusal.
    if let Err(error) = connect(setup.handle.path()).await {
        assert!(
            format!("{error:?}").contains("PermissionDenied"),
            "{error:?}"
        );
    }
}

#[tokio::test]
async fn no_control_handle_shows_a_key() {
    let setup = start();
    let authority = Authority::new("example.org", AuthorityOptions::at(0)).unwrap();
    let svid = authority
        .issue("spiffe://example.org/web", &SvidOptions::at(0))
        .unwrap();
    setup.handle.set_svids(vec![WorkloadSvid {
        svid,
        hint: String::new(),
    }]);
    let shown = format!("{:?} {:?}", setup.handle, setup.spire);
    assert!(shown.contains("agent.sock") && shown.len() < 300, "{shown}");
}
