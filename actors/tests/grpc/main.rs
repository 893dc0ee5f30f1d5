//! The gRPC door, end to end: a real agent, a simulated SPIRE, real TCP, the generated clients.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test may panic"
)]

mod drain;
mod health;
mod stage;

use std::collections::HashSet;
use std::sync::atomic::Ordering;
use std::time::Duration;

use chaos::ca::Rotation;
use chaos::spire::SocketFile;
use proto::sentinel::grpc::v1::agent_processor_client::AgentProcessorClient;
use proto::sentinel::grpc::v2::agent_response::Decision;
use proto::sentinel::grpc::v2::agent_service_v2_client::AgentServiceV2Client;
use proto::sentinel::grpc::v2::agent_to_proxy::Message as Answer;
use proto::sentinel::grpc::v2::header_op::Operation;
use proto::sentinel::grpc::v2::proxy_to_agent::Message as Ask;
use proto::sentinel::grpc::{v1, v2};
use stage::{FRONTEND, PROXY, Stage, Talk, ask, configure, handshake, headers, other, ping};
use tokio::io::AsyncReadExt as _;
use tokio::net::TcpStream;
use tonic::Code;

const SOON: Duration = Duration::from_secs(10);

async fn soon<T>(future: impl Future<Output = T>) -> T {
    tokio::time::timeout(SOON, future).await.expect("in time")
}

fn decision(answer: &v2::AgentResponse) -> &Decision {
    answer.decision.as_ref().expect("decision is always set")
}

fn status_of(answer: &v2::AgentResponse) -> u32 {
    match decision(answer) {
        Decision::Allow(_) => 200,
        Decision::Block(block) => block.status,
    }
}

fn set<'a>(answer: &'a v2::AgentResponse, name: &str) -> Option<&'a str> {
    answer
        .request_headers
        .iter()
        .find_map(|op| match &op.operation {
            Some(Operation::Set(header)) if header.name.eq_ignore_ascii_case(name) => {
                Some(header.value.as_str())
            }
            _ => None,
        })
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_listed_workload_is_allowed_and_named_and_others_are_not() {
    let stage = Stage::plaintext().await;
    let mut talk = stage.talk().await;
    let svid = stage.svid(FRONTEND);
    talk.say(headers("1", Some(&svid.xfcc()))).await;
    let answer = talk.answer().await;
    assert_eq!(answer.correlation_id, "1");
    assert_eq!(status_of(&answer), 200, "{answer:?}");
    assert_eq!(set(&answer, "x-spiffe-id"), Some(FRONTEND));
    let audit = answer.audit.unwrap();
    assert!(audit.custom["spiffe_id"].contains(FRONTEND), "{audit:?}");

    let partner = stage.svid("spiffe://partner.test/billing");
    talk.say(headers("2", Some(&partner.xfcc()))).await;
    let answer = talk.answer().await;
    assert_eq!(
        (answer.correlation_id.as_str(), status_of(&answer)),
        ("2", 403)
    );
    talk.say(headers("3", None)).await;
    assert_eq!(status_of(&talk.answer().await), 401);
    let forged = stage.world.forged(FRONTEND).unwrap();
    talk.say(headers("4", Some(&forged.xfcc()))).await;
    assert_eq!(status_of(&talk.answer().await), 401);
}

/// Section 8: the client awaits the response headers before it sends the handshake.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_stream_is_there_before_the_first_message() {
    let stage = Stage::plaintext().await;
    let mut talk = Talk::open(stage.plain_channel().await).await;
    // Only now does anything travel towards the agent.
    talk.say(handshake("{}")).await;
    let Answer::Handshake(response) = talk.next().await.unwrap() else {
        panic!("the first message is the handshake's response");
    };
    assert!(response.success);
    assert_eq!(response.protocol_version, 2);
    assert_eq!(response.capabilities.unwrap().agent_id, "spiffe");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn both_packages_and_version_1_on_one_address() {
    let stage = Stage::plaintext().await;
    let xfcc = stage.svid(FRONTEND).xfcc();
    for mut talk in [
        Talk::open(stage.plain_channel().await).await,
        Talk::open_zentinel(stage.plain_channel().await).await,
    ] {
        talk.greet().await;
        talk.say(headers("a", Some(&xfcc))).await;
        assert_eq!(status_of(&talk.answer().await), 200);
    }
    let mut old = AgentProcessorClient::new(stage.plain_channel().await);
    let event = |xfcc: &str| v1::AgentRequest {
        version: 1,
        event: Some(v1::agent_request::Event::RequestHeaders(
            v1::RequestHeadersEvent {
                metadata: Some(v1::RequestMetadata {
                    correlation_id: "v1".to_owned(),
                    ..Default::default()
                }),
                headers: vec![v1::HeaderEntry {
                    key: "x-forwarded-client-cert".to_owned(),
                    value: Some(v1::HeaderValues {
                        values: vec![xfcc.to_owned()],
                    }),
                }],
            },
        )),
    };
    let answer = soon(old.process_event(event(&xfcc))).await.unwrap();
    let answer = answer.into_inner();
    assert_eq!(answer.version, 1);
    assert!(matches!(
        answer.decision,
        Some(v1::agent_response::Decision::Allow(_))
    ));
    let forged = stage.world.forged(FRONTEND).unwrap().xfcc();
    let answer = soon(old.process_event(event(&forged))).await.unwrap();
    assert!(matches!(
        answer.into_inner().decision,
        Some(v1::agent_response::Decision::Block(block)) if block.status == 401
    ));
    let none = v1::AgentRequest {
        version: 1,
        event: None,
    };
    let refused = soon(old.process_event(none)).await.unwrap_err();
    assert_eq!(refused.code(), Code::InvalidArgument);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn single_events_of_version_2() {
    let stage = Stage::plaintext().await;
    let mut client = AgentServiceV2Client::new(stage.plain_channel().await);
    let mut one = async |event| soon(client.process_event(event)).await;
    let answer = one(handshake("{}")).await.unwrap().into_inner();
    assert!(matches!(answer.message, Some(Answer::Handshake(h)) if h.success));
    let xfcc = stage.svid(FRONTEND).xfcc();
    let answer = one(headers("1", Some(&xfcc))).await.unwrap().into_inner();
    assert!(matches!(answer.message, Some(Answer::Response(r)) if status_of(&r) == 200));
    let answer = one(ping(7)).await.unwrap().into_inner();
    assert!(matches!(answer.message, Some(Answer::Pong(pong)) if pong.sequence == 7));
    // What would govern nothing is not taken in silence.
    let push = handshake(r#"{"allowlist":{"exact":"spiffe://example.org/x"}}"#);
    assert_eq!(one(push).await.unwrap_err().code(), Code::InvalidArgument);
    let refused = one(other("1")).await.unwrap_err();
    assert_eq!(refused.code(), Code::InvalidArgument);

    let silent = tokio_stream::pending::<v2::AgentControl>();
    let refused = soon(client.control_stream(silent)).await.unwrap_err();
    assert_eq!(refused.code(), Code::Unimplemented);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_event_before_the_handshake_is_refused() {
    let stage = Stage::plaintext().await;
    let xfcc = stage.svid(FRONTEND).xfcc();
    let mut talk = Talk::open(stage.plain_channel().await).await;
    talk.say(headers("1", Some(&xfcc))).await;
    let refused = talk.next().await.unwrap_err().expect("a reason");
    assert_eq!(refused.code(), Code::FailedPrecondition);
    assert!(refused.message().contains("section 8"), "{refused}");
    let malformed = &stage.agent.doors().metrics.malformed_messages;
    assert_eq!(malformed.load(Ordering::Relaxed), 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_handshake_without_version_2_is_refused() {
    let stage = Stage::plaintext().await;
    let mut talk = Talk::open(stage.plain_channel().await).await;
    talk.say(ask(Ask::Handshake(v2::HandshakeRequest {
        supported_versions: vec![3],
        ..Default::default()
    })))
    .await;
    let Answer::Handshake(response) = talk.next().await.unwrap() else {
        panic!("no response");
    };
    assert!(!response.success);
    assert!(response.error.unwrap().contains("supported_versions"));
    assert!(talk.next().await.unwrap_err().is_none(), "the stream ends");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_not_judged_is_answered_and_what_cannot_be_read_is_denied() {
    let stage = Stage::plaintext().await;
    let mut talk = stage.talk().await;
    talk.say(other("body")).await;
    let answer = talk.answer().await;
    assert_eq!(
        (answer.correlation_id.as_str(), status_of(&answer)),
        ("body", 200)
    );
    talk.say(ask(Ask::Cancel(v2::CancelRequest::default())))
        .await;
    // A message of a kind that we do not know is stepped over.
    talk.say(v2::ProxyToAgent { message: None }).await;
    talk.say(ask(Ask::RequestHeaders(v2::RequestHeadersEvent::default())))
        .await;
    let answer = talk.answer().await;
    assert_eq!(status_of(&answer), 400, "{answer:?}");
    talk.say(ping(3)).await;
    assert_eq!(talk.pong().await, 3);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn many_requests_at_once_each_get_their_answer() {
    const REQUESTS: usize = 600;
    // Who is late is another test's: here each answer is the right one, however busy the machine.
    let stage = Stage::with("limits { decision-deadline-ms 60000 }", None).await;
    let mut talk = stage.talk().await;
    let good = stage.svid(FRONTEND).xfcc();
    let bad = stage.world.forged(FRONTEND).unwrap().xfcc();
    let asks = talk.asks.clone();
    let asking = tokio::spawn(async move {
        for number in 0..REQUESTS {
            let xfcc = if number.is_multiple_of(3) {
                &bad
            } else {
                &good
            };
            asks.send(headers(&number.to_string(), Some(xfcc)))
                .await
                .unwrap();
        }
    });
    let mut answered = HashSet::new();
    for _ in 0..REQUESTS {
        let answer = talk.answer().await;
        let number: usize = answer.correlation_id.parse().unwrap();
        let expected = if number.is_multiple_of(3) { 401 } else { 200 };
        assert_eq!(status_of(&answer), expected, "request {number}");
        assert!(answered.insert(number), "request {number} answered twice");
    }
    asking.await.unwrap();
}

/// Decisions, "The trusted hop": plaintext takes no pushes; answered as where they are switched off.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn plaintext_takes_no_pushes() {
    let stage = Stage::plaintext().await;
    let mut talk = Talk::open(stage.plain_channel().await).await;
    let anything = r#"{"allowlist":{"any":true},"failure":{"enforce":false}}"#;
    talk.say(handshake(anything)).await;
    assert!(matches!(talk.next().await, Ok(Answer::Handshake(h)) if h.success));
    talk.say(configure(anything)).await;
    talk.say(ping(1)).await;
    assert_eq!(talk.pong().await, 1);
    let partner = stage.svid("spiffe://partner.test/billing");
    talk.say(headers("1", Some(&partner.xfcc()))).await;
    assert_eq!(
        status_of(&talk.answer().await),
        403,
        "the file's policy is in force"
    );
    let metrics = &stage.agent.doors().metrics;
    assert_eq!(metrics.pushes_applied.load(Ordering::Relaxed), 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_push_over_mutual_tls_governs_what_follows() {
    let stage = Stage::mutual_tls().await;
    let partner = stage.svid("spiffe://partner.test/billing").xfcc();
    let channel = stage.tls_channel(Some(PROXY)).await.unwrap();
    let mut talk = Talk::open(channel.clone()).await;
    talk.greet().await;
    talk.say(headers("1", Some(&partner))).await;
    assert_eq!(status_of(&talk.answer().await), 403);

    talk.say(configure(
        r#"{"allowlist":{"trust-domains":"partner.test"}}"#,
    ))
    .await;
    talk.say(ping(11)).await;
    assert_eq!(talk.pong().await, 11, "the pong says that it was accepted");
    talk.say(headers("2", Some(&partner))).await;
    assert_eq!(status_of(&talk.answer().await), 200);

    // Another conversation is not governed by it.
    let mut beside = Talk::open(channel).await;
    beside.greet().await;
    beside.say(headers("3", Some(&partner))).await;
    assert_eq!(status_of(&beside.answer().await), 403);

    talk.say(configure(r#"{"allowlist":{"exact":"not an id"}}"#))
        .await;
    talk.say(ping(12)).await;
    let refused = talk.next().await.unwrap_err().expect("a reason");
    assert_eq!(refused.code(), Code::FailedPrecondition);
    assert!(refused.message().contains("allowlist"), "{refused}");
    // The stream beside it goes on.
    beside.say(ping(13)).await;
    assert_eq!(beside.pong().await, 13);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_push_with_the_handshake_is_accepted_or_refused_there() {
    let stage = Stage::mutual_tls().await;
    let channel = stage.tls_channel(Some(PROXY)).await.unwrap();
    let partner = stage.svid("spiffe://partner.test/billing").xfcc();
    let mut talk = Talk::open(channel.clone()).await;
    talk.say(handshake(
        r#"{"allowlist":{"trust-domains":"partner.test"}}"#,
    ))
    .await;
    assert!(matches!(talk.next().await, Ok(Answer::Handshake(h)) if h.success));
    talk.say(headers("1", Some(&partner))).await;
    assert_eq!(status_of(&talk.answer().await), 200);

    for wrong in [r#"{"allowlist":{"exact":"not an id"}}"#, "no json"] {
        let mut talk = Talk::open(channel.clone()).await;
        talk.say(handshake(wrong)).await;
        assert!(
            matches!(talk.next().await, Ok(Answer::Handshake(h)) if !h.success && h.error.is_some()),
            "{wrong}"
        );
        assert!(talk.next().await.unwrap_err().is_none());
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn only_a_trusted_proxy_may_ask() {
    let stage = Stage::mutual_tls().await;
    let untrusted = || {
        let metrics = &stage.agent.doors().metrics;
        metrics.untrusted_proxy.load(Ordering::Relaxed)
    };
    assert!(stage.can_ask(stage.tls_channel(Some(PROXY)).await).await);
    assert_eq!(untrusted(), 0);
    // The right name signed by nobody we know, and the right one too late, among them.
    let strangers = [
        ("another workload", Some(stage.svid(FRONTEND))),
        (
            "another trust domain",
            Some(stage.svid("spiffe://partner.test/proxy")),
        ),
        ("forged", Some(stage.world.forged(PROXY).unwrap())),
        ("expired", Some(stage.world.expired(PROXY).unwrap())),
        ("without certificate", None),
    ];
    for (who, svid) in strangers {
        let before = untrusted();
        let channel = stage.tls_channel_as(svid.as_ref()).await;
        assert!(!stage.can_ask(channel).await, "{who}");
        // The alert may be there before it is counted; and the client may have tried again.
        let counted = async {
            while untrusted() == before {
                tokio::task::yield_now().await;
            }
        };
        soon(counted).await;
    }
    // Plaintext where TLS is spoken.
    assert!(!stage.can_ask(stage.try_plain_channel().await).await);
    // And the trusted one is served as before.
    assert!(stage.can_ask(stage.tls_channel(Some(PROXY)).await).await);
}

/// A stream that is open, and calls on its connection, end when the proxy's certificate is borne no
/// more; a rotation that still bears it cuts nothing.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_proxy_is_judged_again_when_the_bundle_changes() {
    let mut stage = Stage::mutual_tls().await;
    let channel = stage.tls_channel(Some(PROXY)).await.unwrap();
    let mut talk = Talk::open(channel).await;
    talk.greet().await;
    let updates = |stage: &Stage| {
        let metrics = &stage.agent.doors().metrics;
        metrics.updates.load(Ordering::Relaxed)
    };
    let before = updates(&stage);
    stage.world.rotate(Rotation::Overlapping).unwrap();
    soon(async {
        while updates(&stage) == before {
            tokio::task::yield_now().await;
        }
    })
    .await;
    talk.say(ping(1)).await;
    assert_eq!(talk.pong().await, 1);
    stage.world.retire_old_roots();
    let refused = talk.end().await.expect("a reason");
    assert_eq!(refused.code(), Code::Unauthenticated, "{refused}");
    assert!(refused.message().contains("UNTRUSTED_PROXY"), "{refused}");
    let metrics = &stage.agent.doors().metrics;
    assert!(metrics.untrusted_proxy.load(Ordering::Relaxed) > 0);
    // It comes back with a certificate of the new authority.
    stage.trusted_can_ask().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_message_over_the_limit_ends_its_stream_alone() {
    let stage = Stage::plaintext().await;
    let channel = stage.plain_channel().await;
    let mut beside = Talk::open(channel.clone()).await;
    beside.greet().await;
    let mut talk = Talk::open(channel).await;
    talk.greet().await;
    talk.say(headers("1", Some(&"x".repeat(5 * 1024 * 1024))))
        .await;
    let refused = talk.end().await.expect("a reason");
    assert_eq!(refused.code(), Code::OutOfRange, "{refused}");
    beside.say(ping(5)).await;
    assert_eq!(beside.pong().await, 5);
    // Within the limit, a header over its own bound denies that request.
    beside
        .say(headers("2", Some(&"x".repeat(1024 * 1024))))
        .await;
    assert_eq!(status_of(&beside.answer().await), 401);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn draining_answers_what_is_in_flight_and_ends_the_streams() {
    const REQUESTS: usize = 20;
    let stage = Stage::plaintext().await;
    let mut talk = stage.talk().await;
    for number in 0..REQUESTS {
        // Certificates not seen before, so that each takes a validation.
        let svid = stage.svid(&format!("spiffe://example.org/jobs/{number}"));
        talk.say(headers(&number.to_string(), Some(&svid.xfcc())))
            .await;
    }
    // Messages are taken in order: once the pong is there, every question was taken.
    talk.say(ping(1)).await;
    let mut answered = 0;
    loop {
        match talk.next().await.unwrap() {
            Answer::Pong(_) => break,
            Answer::Response(response) => {
                assert_eq!(status_of(&response), 200);
                answered += 1;
            }
            _ => {}
        }
    }
    let address = stage.address;
    let down = tokio::spawn(stage.agent.shutdown());
    let end = loop {
        match talk.next().await {
            Ok(Answer::Response(_)) => answered += 1,
            Ok(_) => {}
            Err(end) => break end,
        }
    };
    assert!(end.is_none(), "the stream ends in order: {end:?}");
    assert_eq!(answered, REQUESTS);
    let down = soon(down).await.unwrap();
    assert!(down.killed.is_empty(), "{down:?}");
    assert!(tokio::net::TcpStream::connect(address).await.is_err());
}

/// One connection in all: two listeners that wait must not take the place from each other.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_doors_share_few_places() {
    let stage = Stage::with("limits { connections 1 }", None).await;
    drop(stage.talk().await);
    drop(stage.talk().await);
}

/// Connects so many times, says nothing, and waits until the first is closed for the others' sake.
async fn crowd(stage: &Stage, strangers: usize) -> Vec<TcpStream> {
    let mut silent = Vec::new();
    for _ in 0..strangers {
        silent.push(soon(TcpStream::connect(stage.address)).await.unwrap());
    }
    // In order or broken off: in either case it has come to its end.
    let _ended = soon(silent[0].read_to_end(&mut Vec::new())).await;
    silent
}

/// One place in all, and strangers may be silent for ten minutes: they take nothing from a proxy.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn strangers_keep_no_proxy_out() {
    const LIMITS: &str = "limits { connections 1; handshake-timeout-ms 600000 }";
    let stage = Stage::with(LIMITS, Some(PROXY)).await;
    stage.trusted_can_ask().await;
    let _silent = crowd(&stage, 8).await;
    assert!(stage.can_ask(stage.tls_channel(Some(PROXY)).await).await);
    // Nor does one that comes while a proxy has the place.
    let channel = stage.tls_channel(Some(PROXY)).await.unwrap();
    let mut talk = Talk::open(channel).await;
    talk.greet().await;
    let _more = crowd(&stage, 8).await;
    talk.say(ping(1)).await;
    assert_eq!(talk.pong().await, 1);
}

/// In plaintext whoever made no call is a stranger: the oldest makes room.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn silent_connections_leave_places_of_a_plaintext_door() {
    const LIMITS: &str = "limits { connections 8; handshake-timeout-ms 600000 }";
    let stage = Stage::with(LIMITS, None).await;
    let _silent = crowd(&stage, 16).await;
    let mut talk = stage.talk().await;
    // It is known: another crowd closes its own.
    let _more = crowd(&stage, 16).await;
    talk.say(ping(1)).await;
    assert_eq!(talk.pong().await, 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_door_without_certificate_opens_when_spire_gives_one() {
    let stage = Stage::with("", Some(PROXY)).await;
    stage.trusted_can_ask().await;
    // SPIRE away: the certificate that is there serves on.
    stage.world.spire().stop(SocketFile::Left).await.unwrap();
    assert!(stage.can_ask(stage.tls_channel(Some(PROXY)).await).await);

    let stage = Stage::unregistered().await;
    assert!(!stage.can_ask(stage.tls_channel(Some(PROXY)).await).await);
    stage.register();
    stage.trusted_can_ask().await;
}

/// What one connection does, or what is done to it, is nobody else's affair.
#[cfg(feature = "chaos-hooks")]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_killed_connection_ends_and_the_door_stays() {
    let stage = Stage::plaintext().await;
    let mut talk = stage.talk().await;
    let killed = stage.agent.root().tree().kill("connection");
    assert_eq!(killed, 1);
    assert!(talk.end().await.is_some(), "the stream is broken off");
    let mut talk = stage.talk().await;
    talk.say(ping(1)).await;
    assert_eq!(talk.pong().await, 1);
    // The listener too: its successor serves who waits in the socket's queue.
    assert_eq!(stage.agent.root().tree().kill("grpc"), 1);
    talk.say(ping(2)).await;
    assert_eq!(talk.pong().await, 2);
    drop(stage.talk().await);
}
