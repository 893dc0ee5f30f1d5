//! The proxy client against a peer that speaks raw frames, written out here byte by byte.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test may panic"
)]

use std::time::Duration;

use chaos::client::{
    Client, ClientError, Decision, Frame, HeaderOp, Hello, MAX_FRAME_BYTES, Request, kind,
};
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{UnixListener, UnixStream};

/// The other end: an agent that says what the test tells it to.
struct Peer(UnixStream);

impl Peer {
    async fn read(&mut self) -> (u8, Value) {
        let length = self.0.read_u32().await.unwrap() as usize;
        let mut frame = vec![0; length];
        self.0.read_exact(&mut frame).await.unwrap();
        (frame[0], serde_json::from_slice(&frame[1..]).unwrap())
    }

    async fn write(&mut self, kind: u8, message: &Value) {
        let payload = message.to_string().into_bytes();
        let mut frame = u32::try_from(payload.len() + 1)
            .unwrap()
            .to_be_bytes()
            .to_vec();
        frame.push(kind);
        frame.extend(payload);
        self.0.write_all(&frame).await.unwrap();
    }
}

async fn dial() -> (Client, Peer) {
    let directory = TempDir::new().unwrap();
    let path = directory.path().join("agent-under-test.sock");
    let listener = UnixListener::bind(&path).unwrap();
    let client = Client::dial(&path)
        .await
        .unwrap()
        .with_timeout(Duration::from_secs(2));
    let (stream, _address) = listener.accept().await.unwrap();
    (client, Peer(stream))
}

fn good_handshake() -> Value {
    json!({"protocol_version": 2, "success": true, "error": null, "encoding": "json", "capabilities": {
        "agent_id": "spiffe", "name": "SPIFFE agent", "version": "0.1.0", "supported_events": [1],
        "features": {"streaming_body": false, "websocket": false, "guardrails": false, "config_push": true,
            "metrics_export": true, "concurrent_requests": 100, "cancellation": true, "flow_control": false,
            "health_reporting": true},
        "limits": {"max_body_size": 0, "max_concurrency": 100, "preferred_chunk_size": 65536}}})
}

fn allow(id: &str) -> Value {
    json!({"version": 2, "decision": "allow", "audit": {"custom": {"correlation_id": id}}})
}

#[tokio::test]
async fn the_handshake_says_what_the_real_proxies_say() {
    let (client, mut peer) = dial().await;
    let config = json!({"allowlist": {"exact": "spiffe://example.org/frontend"}});
    let agent = async {
        let (kind, hello) = peer.read().await;
        assert_eq!(kind, 0x01);
        assert_eq!(
            hello,
            json!({"supported_versions": [2], "proxy_id": "zentinel-proxy", "proxy_version": "0.6.54",
                "config": config, "supported_encodings": ["json"]})
        );
        peer.write(0x02, &good_handshake()).await;
    };
    let (answer, ()) = tokio::join!(client.handshake(Hello::with_config(config.clone())), agent);
    assert_eq!(answer.unwrap(), good_handshake());
}

#[tokio::test]
async fn a_handshake_lacking_what_a_proxy_requires_is_refused() {
    let required = [
        "/protocol_version",
        "/success",
        "/capabilities",
        "/capabilities/agent_id",
        "/capabilities/supported_events",
        "/capabilities/features",
        "/capabilities/features/cancellation",
        "/capabilities/limits/max_concurrency",
    ];
    for pointer in required {
        let (client, mut peer) = dial().await;
        let mut answer = good_handshake();
        let (parent, member) = pointer.rsplit_once('/').unwrap();
        answer
            .pointer_mut(parent)
            .unwrap()
            .as_object_mut()
            .unwrap()
            .remove(member)
            .unwrap();
        peer.write(0x02, &answer).await;
        let error = client.handshake(Hello::default()).await.unwrap_err();
        assert!(
            matches!(error, ClientError::Protocol { .. }),
            "without {pointer}: {error}"
        );
        assert!(
            error.to_string().contains(member),
            "without {pointer}: {error}"
        );
    }
    for (member, value) in [
        ("protocol_version", json!(1)),
        ("encoding", json!("msgpack")),
    ] {
        let (client, mut peer) = dial().await;
        let mut answer = good_handshake();
        answer[member] = value;
        peer.write(0x02, &answer).await;
        let error = client.handshake(Hello::default()).await.unwrap_err();
        assert!(error.to_string().ends_with("was not offered"), "{error}");
    }
}

#[tokio::test]
async fn a_refused_handshake_gives_the_agents_words() {
    let (client, mut peer) = dial().await;
    let mut answer = good_handshake();
    answer["success"] = json!(false);
    answer["error"] = json!("no version in common");
    peer.write(0x02, &answer).await;
    let error = client.handshake(Hello::default()).await.unwrap_err();
    assert_eq!(
        error.to_string(),
        "the agent refused the handshake: no version in common"
    );
}

#[tokio::test]
async fn a_request_is_written_as_the_proxies_write_it() {
    let (client, mut peer) = dial().await;
    let request = Request::get("/orders?id=7")
        .header("X-Client-Cert", "a")
        .header("x-client-cert", "b")
        .with_id("id-1");
    assert_eq!(client.send(&request).await.unwrap(), "id-1");
    let (kind, event) = peer.read().await;
    assert_eq!(kind, 0x10);
    assert_eq!(event["correlation_id"], "id-1");
    assert_eq!(event["metadata"]["correlation_id"], "id-1");
    assert_eq!(event["metadata"]["tls_version"], Value::Null);
    assert_eq!(
        (&event["method"], &event["uri"]),
        (&json!("GET"), &json!("/orders?id=7"))
    );
    assert_eq!(
        event["headers"],
        json!({"host": ["shop.example"], "x-client-cert": ["a", "b"]})
    );
}

#[tokio::test]
async fn answers_find_their_requests_in_any_order() {
    let (client, mut peer) = dial().await;
    let mut ids = Vec::new();
    for _ in 0..100 {
        ids.push(client.send(&Request::get("/")).await.unwrap());
    }
    for _ in 0..100 {
        peer.read().await;
    }
    for id in ids.iter().rev() {
        peer.write(
            0x20,
            &json!({"version": 2, "decision": {"block": {"status": 403, "body": id}},
            "audit": {"custom": {"correlation_id": id}}}),
        )
        .await;
    }
    for id in &ids {
        let answer = client.answer(id).await.unwrap();
        assert_eq!(
            (answer.block_status(), answer.block_body()),
            (Some(403), Some(id.as_str()))
        );
    }
    assert_eq!(client.unclaimed_answers(), 0);
}

#[tokio::test]
async fn an_answer_is_given_out_once_and_a_second_one_shows() {
    let (client, mut peer) = dial().await;
    peer.write(0x20, &allow("a")).await;
    peer.write(0x20, &allow("a")).await;
    assert!(client.answer("a").await.unwrap().is_allow());
    peer.write(0x42, &json!({})).await;
    // The pong came after both answers, whatever it says.
    let _ = client.ping().await;
    assert_eq!(client.unclaimed_answers(), 1);
}

#[tokio::test]
async fn an_answer_is_read_as_the_proxies_read_it() {
    let (client, mut peer) = dial().await;
    let json = json!({"version": 2, "decision": "allow",
        "request_headers": [{"remove": {"name": "X-SPIFFE-Id"}}, {"set": {"name": "X-SPIFFE-Id", "value": "new"}},
            {"add": {"name": "via", "value": "2"}}, {"remove": {"name": "absent"}}],
        "audit": {"tags": ["spiffe"], "rule_ids": ["exact:1"], "reason_codes": ["OK"],
            "custom": {"correlation_id": "a", "state": "Live"}}});
    peer.write(0x20, &json).await;
    let answer = client.answer("a").await.unwrap();
    assert_eq!(answer.decision, Decision::Allow);
    assert_eq!(
        answer.header_ops[0],
        HeaderOp::Remove {
            name: "X-SPIFFE-Id".to_owned()
        }
    );
    assert_eq!(
        (answer.tags[0].as_str(), answer.rule_ids[0].as_str()),
        ("spiffe", "exact:1")
    );
    assert_eq!(
        (answer.reason_codes[0].as_str(), answer.custom("state")),
        ("OK", Some("Live"))
    );
    let sent = Request::get("/")
        .header("x-spiffe-id", "spoofed")
        .header("x-spiffe-id", "twice")
        .header("via", "1");
    let upstream = answer.upstream_headers(&sent.headers);
    assert_eq!(upstream["x-spiffe-id"], ["new"]);
    assert_eq!(upstream["via"], ["1", "2"]);
    assert_eq!(upstream["host"], ["shop.example"]);
}

#[tokio::test]
async fn answers_no_proxy_can_read_are_errors() {
    for decision in [
        json!({"type": "allow"}),
        json!({"allow": {}}),
        json!("Allow"),
        json!({"block": {}}),
        Value::Null,
    ] {
        let (client, mut peer) = dial().await;
        let mut answer = allow("a");
        answer["decision"] = decision.clone();
        peer.write(0x20, &answer).await;
        let error = client.answer("a").await.unwrap_err();
        assert!(
            matches!(error, ClientError::Protocol { .. }),
            "{decision}: {error}"
        );
    }
    let nowhere = json!({"version": 2, "decision": "allow", "correlation_id": "a"});
    for (kind, message) in [(0x20, nowhere), (0x7f, json!({})), (0x10, json!({}))] {
        let (client, mut peer) = dial().await;
        peer.write(kind, &message).await;
        let error = client.answer("a").await.unwrap_err();
        assert!(
            matches!(error, ClientError::Protocol { .. }),
            "{kind:#x}: {error}"
        );
    }
}

#[tokio::test]
async fn ping_configure_cancel_and_control_messages() {
    let (client, mut peer) = dial().await;
    let agent = async {
        let (kind, ping) = peer.read().await;
        assert_eq!((kind, ping["timestamp_ms"].is_u64()), (0x41, true));
        peer.write(0x42, &ping).await;
        let (kind, event) = peer.read().await;
        assert_eq!(
            (kind, &event["config"], &event["config_version"]),
            (0x17, &json!({"a": 1}), &Value::Null)
        );
        peer.write(0x20, &allow(event["correlation_id"].as_str().unwrap()))
            .await;
        let (kind, event) = peer.read().await;
        assert_eq!(
            (kind, event),
            (
                0x40,
                json!({"correlation_id": "x", "reason": 0, "timestamp_ms": 0})
            )
        );
        peer.write(0x31, &json!({"counters": []})).await;
    };
    let proxy = async {
        client.ping().await.unwrap();
        assert!(client.configure(&json!({"a": 1})).await.unwrap().is_allow());
        client.cancel("x").await.unwrap();
        assert_eq!(
            client.control(kind::METRICS_REPORT).await.unwrap(),
            json!({"counters": []})
        );
    };
    tokio::join!(agent, proxy);
}

#[tokio::test]
async fn silence_and_the_end_are_told_apart() {
    let (client, peer) = dial().await;
    let client = client.with_timeout(Duration::from_millis(20));
    let error = client.answer("a").await.unwrap_err();
    assert_eq!(
        error.to_string(),
        "waited 20 ms in vain for the answer to a"
    );
    drop(peer);
    let client = client.with_timeout(Duration::from_secs(2));
    assert_eq!(client.closed().await.unwrap(), "closed by the agent");
    let error = client.answer("a").await.unwrap_err();
    assert_eq!(
        error.to_string(),
        "the connection ended (closed by the agent) while waiting for the answer to a"
    );
}

#[tokio::test]
async fn what_came_before_the_end_still_counts() {
    let (client, mut peer) = dial().await;
    peer.write(0x20, &allow("a")).await;
    // Half a frame: the connection broke off.
    peer.0.write_all(&[0, 0]).await.unwrap();
    drop(peer);
    assert!(client.closed().await.is_ok());
    assert!(client.answer("a").await.unwrap().is_allow());
    assert!(matches!(
        client.answer("b").await,
        Err(ClientError::Closed { .. })
    ));
}

#[tokio::test]
async fn a_full_connection_is_a_timeout_and_not_a_hang() {
    let (client, _peer_that_never_reads) = dial().await;
    let client = client.with_timeout(Duration::from_millis(50));
    let frame = Frame {
        kind: kind::PING,
        payload: vec![b' '; 4 * 1024 * 1024],
    };
    let error = client.send_frame(&frame).await.unwrap_err();
    assert!(matches!(error, ClientError::Timeout { .. }), "{error}");
}

#[tokio::test]
async fn nobody_there_is_said_with_the_path() {
    let error = Client::connect("/nonexistent/agent.sock", Hello::default())
        .await
        .unwrap_err();
    assert!(
        error
            .to_string()
            .starts_with("cannot connect to /nonexistent/agent.sock: "),
        "{error}"
    );
}

#[test]
fn a_frame_is_at_most_sixteen_mebibytes_with_its_type() {
    let frame = |bytes| Frame {
        kind: 0x41,
        payload: vec![0; bytes],
    };
    assert_eq!(frame(3).encode().unwrap(), [0, 0, 0, 4, 0x41, 0, 0, 0]);
    assert!(frame(MAX_FRAME_BYTES - 1).encode().is_some());
    assert!(frame(MAX_FRAME_BYTES).encode().is_none());
}
