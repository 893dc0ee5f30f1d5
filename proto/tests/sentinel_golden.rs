//! Every message of the protocol as it stands on the wire, in both directions.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test may panic"
)]

mod common;

use common::{begin, escaped, headers, in_place, mp, unframe};
use proto::sentinel::control::{Counter, Gauge, HealthState, Histogram, MetricsReport, Ping};
use proto::sentinel::frame::{Dialect, FrameHeader, MessageType, Sender};
use proto::sentinel::handshake::{Capabilities, Event};
use proto::sentinel::reply::{
    Audit, BlockStatus, Decision, HeaderOp, NotAnErrorStatus, Reply, Version, WebSocket,
};
use proto::sentinel::{Encoding, configure, control, event, frame, handshake, v1};
use serde_json::{Value, json};

const HEADERS: &str = r#"{"metadata":{"correlation_id":"4bf9","request_id":"0d7c","client_ip":"10.0.0.7","client_port":51034,"server_name":null,"protocol":"HTTP/1.1","tls_version":null,"tls_cipher":null,"route_id":"api","upstream_id":null,"timestamp":"2026-01-02T03:04:05Z","traceparent":"00-4bf9-01"},"method":"GET","uri":"/orders?id=7","headers":{"host":["shop.example"],"x-forwarded-client-cert":["Hash=ab;Cert=\"c\""],"accept":["a","b"],"empty":[]},"correlation_id":"4bf9"}"#;

// Section 1: framing.

#[test]
fn a_frame_is_length_type_payload() {
    let mut out = b"before".to_vec();
    frame::append(&mut out, MessageType::Ping, |out| out.extend(b"{}")).unwrap();
    assert_eq!(out, b"before\0\0\0\x03\x41{}");
    let (header, payload) = unframe(&out[6..]);
    let header = FrameHeader::parse(header).unwrap();
    assert_eq!(header.kind(), MessageType::Ping);
    assert_eq!(header.payload_len(), payload.len());
}

#[test]
fn the_type_table() {
    let table = [
        (0x01, "HandshakeRequest", Sender::Proxy),
        (0x02, "HandshakeResponse", Sender::Agent),
        (0x10, "RequestHeaders", Sender::Proxy),
        (0x11, "RequestBodyChunk", Sender::Proxy),
        (0x12, "ResponseHeaders", Sender::Proxy),
        (0x13, "ResponseBodyChunk", Sender::Proxy),
        (0x14, "RequestComplete", Sender::Proxy),
        (0x15, "WebSocketFrame", Sender::Proxy),
        (0x16, "GuardrailInspect", Sender::Proxy),
        (0x17, "Configure", Sender::Proxy),
        (0x20, "AgentResponse", Sender::Agent),
        (0x30, "HealthStatus", Sender::Agent),
        (0x31, "MetricsReport", Sender::Agent),
        (0x32, "ConfigUpdateRequest", Sender::Agent),
        (0x33, "FlowControl", Sender::Agent),
        (0x40, "Cancel", Sender::Proxy),
        (0x41, "Ping", Sender::Proxy),
        (0x42, "Pong", Sender::Agent),
    ];
    for byte in 0..=u8::MAX {
        let known = table.iter().find(|row| row.0 == byte);
        let kind = MessageType::try_from(byte).ok();
        assert_eq!(
            kind.map(|kind| (kind.name(), kind.sender())),
            known.map(|row| (row.1, row.2)),
            "type {byte:#04x}"
        );
    }
}

#[test]
fn frames_reach_exactly_to_their_limits() {
    let header = FrameHeader::parse([1, 0, 0, 0, 0x10]).unwrap();
    assert_eq!(header.payload_len(), 16 * 1024 * 1024 - 1);
    assert_eq!(
        FrameHeader::parse([0, 0, 0, 1, 0x10])
            .unwrap()
            .payload_len(),
        0
    );
    assert_eq!(frame::v1_header([0, 0xa0, 0, 0]).unwrap(), 10 * 1024 * 1024);

    let mut out = Vec::new();
    let longest = |out: &mut Vec<u8>| out.resize(out.len() + 16 * 1024 * 1024 - 1, b' ');
    frame::append(&mut out, MessageType::AgentResponse, longest).unwrap();
    let (header, payload) = unframe(&out);
    assert_eq!(
        FrameHeader::parse(header).unwrap().payload_len(),
        payload.len()
    );
}

#[test]
fn the_fifth_byte_tells_the_dialects_apart() {
    assert_eq!(
        frame::sniff([0, 0, 0, 9, b'{']),
        Ok(Dialect::V1 { rest_len: 8 })
    );
    assert_eq!(
        frame::sniff([0, 0, 0, 9, 0x01]),
        Ok(Dialect::V2 { payload_len: 8 })
    );
    // The lengths' limits differ, so the dialect decides first.
    assert!(frame::sniff([0, 0xa0, 0, 1, b'{']).is_err());
    assert!(frame::sniff([0, 0xa0, 0, 1, 0x01]).is_ok());
}

// Section 2: handshake.

#[test]
fn zentinel_shakes_hands() {
    let request = handshake::parse(br#"{"supported_versions":[2],"proxy_id":"zentinel-proxy","proxy_version":"0.6.54","config":{"allow":["spiffe://example.org/web"]},"supported_encodings":["msgpack","json"]}"#).unwrap();
    assert_eq!(request.proxy_id.as_deref(), Some("zentinel-proxy"));
    assert_eq!(request.proxy_version.as_deref(), Some("0.6.54"));
    assert_eq!(
        request.config,
        Some(r#"{"allow":["spiffe://example.org/web"]}"#)
    );
    assert_eq!(request.encoding, Encoding::MsgPack);
}

#[test]
fn sentinel_shakes_hands() {
    let request = handshake::parse(br#"{"supported_versions":[2],"proxy_id":"sentinel-proxy","proxy_version":"0.4.14","config":null}"#).unwrap();
    assert_eq!(request.proxy_id.as_deref(), Some("sentinel-proxy"));
    assert_eq!(request.config, None);
    assert_eq!(request.encoding, Encoding::Json);
}

#[test]
fn the_encoding_is_the_clients_first_that_we_speak() {
    for (offer, chosen) in [
        (r#"["json","msgpack"]"#, Encoding::Json),
        (r#"["cbor","msgpack","json"]"#, Encoding::MsgPack),
        (r#"["cbor"]"#, Encoding::Json),
        ("[]", Encoding::Json),
        ("null", Encoding::Json),
    ] {
        let payload = format!(
            r#"{{"supported_versions":[1,2,3],"news":[{{}}],"supported_encodings":{offer}}}"#
        );
        let request = handshake::parse(payload.as_bytes()).unwrap();
        assert_eq!(request.encoding, chosen, "{offer}");
    }
}

const CAPABILITIES: Capabilities<'static> = Capabilities {
    agent_id: "spiffe",
    name: "SPIFFE \"agent\"",
    version: "1.0.0",
    events: &[Event::Configure, Event::RequestHeaders],
    max_concurrency: 100,
};

#[test]
fn the_handshake_is_accepted_with_every_member() {
    let mut out = Vec::new();
    handshake::accept(&mut out, &CAPABILITIES, Encoding::MsgPack);
    let expected = json!({
        "protocol_version": 2,
        "capabilities": {
            "agent_id": "spiffe", "name": "SPIFFE \"agent\"", "version": "1.0.0",
            "supported_events": [0, 1],
            "features": {
                "streaming_body": false, "websocket": false, "guardrails": false,
                "config_push": true, "metrics_export": true, "concurrent_requests": 100,
                "cancellation": true, "flow_control": false, "health_reporting": true,
            },
            "limits": {"max_body_size": 0, "max_concurrency": 100, "preferred_chunk_size": 65536},
        },
        "success": true, "error": null, "encoding": "msgpack",
    });
    assert_eq!(serde_json::from_slice::<Value>(&out).unwrap(), expected);
}

#[test]
fn the_handshake_is_refused_with_its_reason() {
    let mut out = Vec::new();
    handshake::refuse(&mut out, &CAPABILITIES, "config: \"x\" is wrong");
    let value: Value = serde_json::from_slice(&out).unwrap();
    assert_eq!(value["success"], json!(false));
    assert_eq!(value["error"], json!("config: \"x\" is wrong"));
    assert_eq!(
        value["capabilities"]["limits"]["max_concurrency"],
        json!(100)
    );
    assert_eq!(value["encoding"], json!("json"));
}

// Section 3: configure.

#[test]
fn configure_hands_the_block_on_as_text() {
    let payload = br#"{"config":{"allow": ["a","a"],"allow":1},"config_version":null,"correlation_id":"zentinel-configure-spiffe-0"}"#;
    let configure = configure::parse(Encoding::Json, payload).unwrap();
    assert_eq!(configure.correlation_id, "zentinel-configure-spiffe-0");
    assert_eq!(
        configure.config.as_deref(),
        Some(r#"{"allow": ["a","a"],"allow":1}"#)
    );
    assert_eq!(configure.config_version, None);

    let payload = br#"{"config":null,"config_version":"7","correlation_id":"c"}"#;
    let configure = configure::parse(Encoding::Json, payload).unwrap();
    assert_eq!(
        (configure.config, configure.config_version.as_deref()),
        (None, Some("7"))
    );
}

#[test]
fn configure_in_messagepack_becomes_the_same_json_duplicates_included() {
    let config = mp::map(&[
        ("exact", mp::text("spiffe://a\"b")),
        (
            "exact",
            mp::array(&[mp::uint(443), vec![0xff], vec![0xc3], mp::nil()]),
        ),
        ("f", vec![0xcb, 0x3f, 0xf0, 0, 0, 0, 0, 0, 0]),
        ("none", mp::array(&[])),
        ("nothing", mp::map(&[])),
    ]);
    let payload = mp::map(&[
        ("config", config),
        ("config_version", mp::nil()),
        ("correlation_id", mp::text("c-1")),
        ("correlation_id", mp::text("c-1")),
    ]);
    let configure = configure::parse(Encoding::MsgPack, &payload).unwrap();
    assert_eq!(
        configure.config.as_deref(),
        Some(
            r#"{"exact":"spiffe://a\"b","exact":[443,-1,true,null],"f":1.0,"none":[],"nothing":{}}"#
        )
    );

    let payload = mp::map(&[("config", mp::nil()), ("correlation_id", mp::text("c"))]);
    assert_eq!(
        configure::parse(Encoding::MsgPack, &payload)
            .unwrap()
            .config,
        None
    );
    // The word is not the value.
    let payload = mp::map(&[
        ("config", mp::text("null")),
        ("correlation_id", mp::text("c")),
    ]);
    let configure = configure::parse(Encoding::MsgPack, &payload).unwrap();
    assert_eq!(configure.config.as_deref(), Some("\"null\""));
}

// Section 4: events.

fn expected_headers() -> Vec<common::Seen> {
    vec![
        begin("host"),
        in_place("shop.example"),
        begin("x-forwarded-client-cert"),
        escaped("Hash=ab;Cert=\"c\""),
        begin("accept"),
        in_place("a"),
        in_place("b"),
        begin("empty"),
    ]
}

#[test]
fn request_headers_as_both_proxies_write_them() {
    let (event, seen) = headers(Encoding::Json, HEADERS.as_bytes()).unwrap();
    assert_eq!(event.correlation_id, "4bf9");
    assert_eq!(event.request_id.as_deref(), Some("0d7c"));
    assert_eq!(event.client_ip.as_deref(), Some("10.0.0.7"));
    assert_eq!(event.traceparent.as_deref(), Some("00-4bf9-01"));
    assert_eq!(seen, expected_headers());
}

#[test]
fn options_may_be_null_absent_or_empty_and_unknown_fields_may_be_there() {
    let least = r#"{"headers":{},"metadata":{"correlation_id":"c","traceparent":null,"request_id":"","new":{"a":[1]}},"newer":"x"}"#;
    let (event, seen) = headers(Encoding::Json, least.as_bytes()).unwrap();
    assert_eq!(event.correlation_id, "c");
    assert_eq!(
        (event.request_id, event.client_ip, event.traceparent),
        (None, None, None)
    );
    assert_eq!(seen, []);
}

#[test]
fn the_id_may_stand_in_either_place() {
    for payload in [
        r#"{"metadata":{"correlation_id":"c"},"headers":{}}"#,
        r#"{"metadata":{},"headers":{},"correlation_id":"c"}"#,
    ] {
        let (event, _) = headers(Encoding::Json, payload.as_bytes()).unwrap();
        assert_eq!(event.correlation_id, "c", "{payload}");
    }
}

#[test]
fn a_header_given_twice_begins_twice() {
    let payload = r#"{"metadata":{"correlation_id":"c"},"headers":{"a":["1"],"\u0061":["2"]}}"#;
    let (_, seen) = headers(Encoding::Json, payload.as_bytes()).unwrap();
    assert_eq!(seen, [begin("a"), in_place("1"), begin("a"), in_place("2")]);

    let payload = mp::map(&[
        ("metadata", mp::array(&[mp::text("c")])),
        (
            "headers",
            mp::map(&[
                ("a", mp::array(&[mp::text("1")])),
                ("a", mp::array(&[mp::text("2")])),
            ]),
        ),
    ]);
    let (_, seen) = headers(Encoding::MsgPack, &payload).unwrap();
    assert_eq!(seen, [begin("a"), in_place("1"), begin("a"), in_place("2")]);
}

fn header_map() -> Vec<u8> {
    mp::map(&[
        ("host", mp::array(&[mp::text("shop.example")])),
        ("cert", mp::array(&[mp::text("Hash=ab;Cert=\"c\"")])),
    ])
}

fn positional_metadata(traceparent: Option<&str>) -> Vec<u8> {
    let mut items = vec![
        mp::text("4bf9"),
        mp::text("0d7c"),
        mp::text("10.0.0.7"),
        mp::uint(51034),
        mp::nil(),
        mp::text("HTTP/1.1"),
        mp::nil(),
        mp::nil(),
        mp::text("api"),
        mp::nil(),
        mp::text("2026-01-02T03:04:05Z"),
    ];
    items.extend(traceparent.map(mp::text));
    mp::array(&items)
}

#[test]
fn sentinel_writes_messagepack_structs_by_position() {
    for traceparent in [Some("00-4bf9-01"), None] {
        let payload = mp::map(&[
            ("correlation_id", mp::text("4bf9")),
            ("metadata", positional_metadata(traceparent)),
            ("method", mp::text("GET")),
            ("uri", mp::text("/")),
            ("headers", header_map()),
        ]);
        let (event, seen) = headers(Encoding::MsgPack, &payload).unwrap();
        assert_eq!(event.correlation_id, "4bf9");
        assert_eq!(event.request_id.as_deref(), Some("0d7c"));
        assert_eq!(event.client_ip.as_deref(), Some("10.0.0.7"));
        assert_eq!(event.traceparent.as_deref(), traceparent);
        assert_eq!(seen[3], in_place("Hash=ab;Cert=\"c\""));
    }
}

#[test]
fn a_whole_event_by_position_reads_too() {
    let payload = mp::array(&[
        positional_metadata(None),
        mp::text("GET"),
        mp::text("/"),
        header_map(),
    ]);
    let (event, seen) = headers(Encoding::MsgPack, &payload).unwrap();
    assert_eq!(event.correlation_id, "4bf9");
    assert_eq!(seen.len(), 4);
}

#[test]
fn zentinel_writes_messagepack_structs_as_maps() {
    let metadata = mp::map(&[
        ("correlation_id", mp::text("4bf9")),
        ("request_id", mp::text("0d7c")),
        ("client_port", mp::uint(51034)),
        ("tls_version", mp::nil()),
    ]);
    let payload = mp::map(&[
        ("metadata", metadata),
        ("method", mp::text("GET")),
        ("uri", mp::text("/")),
        ("headers", header_map()),
    ]);
    let (event, seen) = headers(Encoding::MsgPack, &payload).unwrap();
    assert_eq!(event.correlation_id, "4bf9");
    assert_eq!(event.request_id.as_deref(), Some("0d7c"));
    assert_eq!(seen.len(), 4);
}

#[test]
fn other_events_yield_their_address() {
    let events = [
        (
            MessageType::RequestBodyChunk,
            r#"{"correlation_id":"c","data":"aGk=","is_last":true,"total_size":null,"chunk_index":0,"bytes_received":2}"#,
        ),
        (
            MessageType::ResponseBodyChunk,
            r#"{"data":"aGk=","is_last":true,"bytes_sent":2,"correlation_id":"c"}"#,
        ),
        (
            MessageType::ResponseHeaders,
            r#"{"correlation_id":"c","status":200,"headers":{"a":["b"]}}"#,
        ),
        (
            MessageType::RequestComplete,
            r#"{"correlation_id":"c","status":200,"duration_ms":7,"request_body_size":0,"response_body_size":0,"upstream_attempts":1,"error":null}"#,
        ),
        (
            MessageType::WebSocketFrame,
            r#"{"correlation_id":"c","opcode":"text","data":"","client_to_server":true,"frame_index":0,"fin":true,"route_id":null,"client_ip":"::1"}"#,
        ),
        (
            MessageType::GuardrailInspect,
            r#"{"correlation_id":"c","inspection_type":"pii_detection","content":"x","categories":[],"metadata":{"correlation_id":"not this one"}}"#,
        ),
    ];
    for (kind, payload) in events {
        let id = event::correlation_id(kind, Encoding::Json, payload.as_bytes()).unwrap();
        assert_eq!(id, "c", "{}", kind.name());
    }
}

#[test]
fn sentinel_repeats_the_id_in_messagepack_and_sends_chunks_by_position() {
    let repeated = mp::map(&[
        ("correlation_id", mp::text("c")),
        ("correlation_id", mp::text("c")),
        ("status", mp::uint(200)),
    ]);
    let positional = mp::array(&[mp::text("c"), mp::bin(b"\xff\x00"), vec![0xc3]]);
    for payload in [repeated, positional] {
        let id = event::correlation_id(MessageType::RequestBodyChunk, Encoding::MsgPack, &payload);
        assert_eq!(id.unwrap(), "c");
    }
}

#[test]
fn the_address_of_a_broken_event_is_found() {
    let found = [
        // Broken shape: the id is found wherever it stands, the top level first.
        r#"{"headers":7,"metadata":{"correlation_id":"x"},"correlation_id":"c"}"#,
        r#"{"metadata":[{}],"correlation_id":"c"}"#,
        r#"{"metadata":{"x":1,"correlation_id":"c"},"headers":{"a":"b"}}"#,
        r#"{"metadata":{"correlation_id":7},"correlation_id":"c"}"#,
        r#"{"metadata":"","correlation_id":"c","correlation_id":"d"}"#,
        r#"{"a":true,"b":-1,"c":1.5,"d":null,"metadata":{"correlation_id":"\u0063"}}"#,
        // Broken off after it.
        r#"{"correlation_id":"c","headers":{"a":["#,
        r#"{"metadata":{"correlation_id":"c","#,
    ];
    for payload in found {
        let id = event::salvage_correlation_id(Encoding::Json, payload.as_bytes());
        assert_eq!(id.as_deref(), Some("c"), "{payload}");
    }
    let long = format!(r#"{{"correlation_id":"{}"}}"#, "x".repeat(1025));
    let lost = [
        "",
        "[]",
        "7",
        "{",
        r#"{"correlation_id":7}"#,
        r#"{"correlation_id":""}"#,
        r#"{"headers":{"correlation_id":"c"}}"#,
        r#"{"uri":"\"correlation_id\":\"c\""}"#,
        &long,
    ];
    for payload in lost {
        let id = event::salvage_correlation_id(Encoding::Json, payload.as_bytes());
        assert_eq!(id, None, "{payload}");
    }
}

#[test]
fn the_address_of_a_broken_messagepack_event_is_found() {
    let map = mp::map(&[
        ("headers", mp::bin(b"\xff")),
        ("metadata", mp::array(&[mp::text("c"), mp::nil()])),
    ]);
    let positional = mp::array(&[mp::text("c"), mp::nil()]);
    let mut cut = mp::map(&[
        ("correlation_id", mp::text("c")),
        ("uri", mp::text("/long")),
    ]);
    cut.truncate(cut.len() - 3);
    // Positional headers begin with their metadata, which begins with the id.
    let headers = mp::array(&[mp::array(&[mp::text("c"), mp::nil()]), mp::text("GET")]);
    for payload in [map, positional, cut, headers] {
        let id = event::salvage_correlation_id(Encoding::MsgPack, &payload);
        assert_eq!(id.as_deref(), Some("c"), "{payload:02x?}");
    }
}

// Section 5: replies.

const OPS: &[HeaderOp<'static>] = &[
    HeaderOp::Remove {
        name: "x-spiffe-id",
    },
    HeaderOp::Set {
        name: "x-spiffe-id",
        value: "spiffe://example.org/web",
    },
];

fn allow() -> Reply<'static> {
    Reply {
        header_ops: OPS,
        audit: Audit {
            tags: &["spiffe"],
            rule_ids: &["allow:web"],
            reason_codes: &[],
            custom: &[("mode", "cache"), ("correlation_id", "forged")],
        },
        ..Reply::ALLOW
    }
}

fn json(reply: &Reply<'_>, version: Version, id: &str) -> String {
    let mut out = Vec::new();
    reply.render(&mut out, version, Encoding::Json, id);
    String::from_utf8(out).unwrap()
}

#[test]
fn an_allow_byte_for_byte() {
    assert_eq!(
        json(&allow(), Version::V2, "4bf9"),
        r#"{"version":2,"decision":"allow","request_headers":[{"remove":{"name":"x-spiffe-id"}},{"set":{"name":"x-spiffe-id","value":"spiffe://example.org/web"}}],"response_headers":[],"routing_metadata":{},"audit":{"tags":["spiffe"],"rule_ids":["allow:web"],"confidence":null,"reason_codes":[],"custom":{"correlation_id":"4bf9","mode":"cache"}},"needs_more":false,"request_body_mutation":null,"response_body_mutation":null,"websocket_decision":null}"#
    );
}

#[test]
fn a_block_byte_for_byte() {
    let mut reply = Reply::block(BlockStatus::UNAUTHORIZED, "no \"SVID\"\n");
    assert_eq!(
        json(&reply, Version::V1, "a\u{1}\\"),
        r#"{"version":1,"decision":{"block":{"status":401,"body":"no \"SVID\"\n","headers":{}}},"request_headers":[],"response_headers":[],"routing_metadata":{},"audit":{"tags":[],"rule_ids":[],"confidence":null,"reason_codes":[],"custom":{"correlation_id":"a\u0001\\"}},"needs_more":false,"request_body_mutation":null,"response_body_mutation":null,"websocket_decision":null}"#
    );
    reply.decision = Decision::Block {
        status: BlockStatus::UNAUTHORIZED,
        body: "",
        headers: &[("www-authenticate", "Bearer")],
    };
    let value: Value = serde_json::from_str(&json(&reply, Version::V2, "c")).unwrap();
    assert_eq!(
        value["decision"],
        json!({"block": {"status": 401, "body": "", "headers": {"www-authenticate": "Bearer"}}})
    );
}

#[test]
fn websocket_decisions() {
    let close = WebSocket::Close {
        code: 1008,
        reason: "policy",
    };
    for (websocket, expected) in [
        (WebSocket::NotAsked, json!(null)),
        (WebSocket::Allow, json!("allow")),
        (WebSocket::Drop, json!("drop")),
        (close, json!({"close": {"code": 1008, "reason": "policy"}})),
    ] {
        let reply = Reply {
            websocket,
            ..Reply::ALLOW
        };
        let value: Value = serde_json::from_str(&json(&reply, Version::V2, "c")).unwrap();
        assert_eq!(value["websocket_decision"], expected);
        assert_eq!(msgpack(&reply, "c")["websocket_decision"], expected);
    }
}

fn msgpack(reply: &Reply<'_>, id: &str) -> Value {
    let mut out = Vec::new();
    reply.render(&mut out, Version::V2, Encoding::MsgPack, id);
    rmp_serde::from_slice(&out).unwrap()
}

#[test]
fn messagepack_replies_are_maps_that_say_the_same() {
    let block = Reply {
        decision: Decision::Block {
            status: BlockStatus::FORBIDDEN,
            body: "denied",
            headers: &[("a", "b")],
        },
        ..allow()
    };
    for reply in [allow(), block] {
        let written = msgpack(&reply, "4bf9");
        let json: Value = serde_json::from_str(&json(&reply, Version::V2, "4bf9")).unwrap();
        for (key, value) in written.as_object().unwrap() {
            let mut expected = json[key].clone();
            if key == "audit" {
                // Optional, and null in JSON.
                expected.as_object_mut().unwrap().remove("confidence");
            }
            assert_eq!(*value, expected, "{key}");
        }
        for required in ["version", "decision", "audit"] {
            assert!(written.get(required).is_some(), "{required}");
        }
    }
}

#[test]
fn a_block_is_an_error() {
    assert_eq!(BlockStatus::try_from(400), Ok(BlockStatus::BAD_REQUEST));
    assert_eq!(BlockStatus::try_from(599).unwrap().as_u16(), 599);
    for status in [0, 200, 302, 399, 600, u16::MAX] {
        let error: NotAnErrorStatus = BlockStatus::try_from(status).unwrap_err();
        assert!(error.to_string().contains("400 to 599"));
    }
}

// Section 6: control messages.

#[test]
fn ping_and_pong() {
    let ping = control::ping(br#"{"sequence":18446744073709551615,"timestamp_ms":7}"#).unwrap();
    let expected = Ping {
        sequence: u64::MAX,
        timestamp_ms: 7,
    };
    assert_eq!(ping, expected);
    let mut out = Vec::new();
    control::pong(&mut out, ping);
    assert_eq!(
        out,
        br#"{"sequence":18446744073709551615,"timestamp_ms":7}"#
    );
}

#[test]
fn cancel() {
    let payload = br#"{"correlation_id":"4bf9","reason":1,"timestamp_ms":7}"#;
    assert_eq!(control::cancel(payload).unwrap(), "4bf9");
}

#[test]
fn health_has_a_number_for_a_state() {
    let states = [
        (HealthState::Healthy, 1),
        (HealthState::Degraded, 2),
        (HealthState::Draining, 3),
        (HealthState::Unhealthy, 4),
    ];
    for (state, number) in states {
        let mut out = Vec::new();
        control::health(&mut out, Encoding::Json, "spiffe", state, 9);
        assert_eq!(
            String::from_utf8(out).unwrap(),
            format!(r#"{{"agent_id":"spiffe","state":{number},"timestamp_ms":9}}"#)
        );
        let mut out = Vec::new();
        control::health(&mut out, Encoding::MsgPack, "spiffe", state, 9);
        let value: Value = rmp_serde::from_slice(&out).unwrap();
        assert_eq!(value["state"], json!(number));
    }
}

#[test]
fn metrics_in_both_encodings_without_what_json_cannot_say() {
    let report = MetricsReport {
        agent_id: "spiffe",
        timestamp_ms: 1,
        interval_ms: 2,
        counters: &[Counter {
            name: "spiffe_agent_authentications_failed_total",
            help: "Refused.",
            labels: &[("reason", "EXPIRED")],
            value: 3,
        }],
        gauges: &[
            Gauge {
                name: "age_seconds",
                help: "",
                labels: &[],
                value: 1.5,
            },
            Gauge {
                name: "none",
                help: "",
                labels: &[],
                value: f64::NAN,
            },
        ],
        histograms: &[Histogram {
            name: "seconds",
            help: "",
            labels: &[],
            sum: 0.5,
            count: 9,
            buckets: &[(0.1, 3), (f64::INFINITY, 9)],
        }],
    };
    let expected = json!({
        "agent_id": "spiffe", "timestamp_ms": 1, "interval_ms": 2,
        "counters": [{"name": "spiffe_agent_authentications_failed_total", "help": "Refused.",
                      "labels": {"reason": "EXPIRED"}, "value": 3}],
        "gauges": [{"name": "age_seconds", "help": "", "labels": {}, "value": 1.5}],
        "histograms": [{"name": "seconds", "help": "", "labels": {}, "sum": 0.5, "count": 9,
                        "buckets": [{"le": 0.1, "count": 3}, {"le": "+Inf", "count": 9}]}],
    });
    let mut out = Vec::new();
    report.render(&mut out, Encoding::Json);
    assert_eq!(serde_json::from_slice::<Value>(&out).unwrap(), expected);
    let mut out = Vec::new();
    report.render(&mut out, Encoding::MsgPack);
    assert_eq!(rmp_serde::from_slice::<Value>(&out).unwrap(), expected);
}

// Section 9: version 1.

#[test]
fn version_1_wraps_the_same_events() {
    let message = format!(r#"{{"version":1,"event_type":"request_headers","payload":{HEADERS}}}"#);
    let request = v1::parse(message.as_bytes()).unwrap();
    assert_eq!(request.event, v1::EventType::RequestHeaders);
    let (event, seen) = headers(Encoding::Json, request.payload.as_bytes()).unwrap();
    assert_eq!(event.correlation_id, "4bf9");
    assert_eq!(seen, expected_headers());
}

#[test]
fn version_1_names_every_event() {
    let names = [
        ("configure", v1::EventType::Configure),
        ("request_headers", v1::EventType::RequestHeaders),
        ("request_body_chunk", v1::EventType::RequestBodyChunk),
        ("response_headers", v1::EventType::ResponseHeaders),
        ("response_body_chunk", v1::EventType::ResponseBodyChunk),
        ("request_complete", v1::EventType::RequestComplete),
        ("web_socket_frame", v1::EventType::WebSocketFrame),
        ("guardrail_inspect", v1::EventType::GuardrailInspect),
    ];
    for (name, event) in names {
        let message = format!(r#"{{"payload":{{}},"event_type":"{name}","version":1}}"#);
        let request = v1::parse(message.as_bytes()).unwrap();
        assert_eq!((request.event, request.payload), (event, "{}"));
    }
}

#[test]
fn version_1_configures_with_an_agent_id() {
    let configure = v1::configure(r#"{"agent_id":"spiffe","config":{"a":1}}"#).unwrap();
    assert_eq!(configure.agent_id.as_deref(), Some("spiffe"));
    assert_eq!(configure.config.as_deref(), Some(r#"{"a":1}"#));
}

#[test]
fn version_1_messages_have_no_type_byte() {
    let mut out = Vec::new();
    frame::append_v1(&mut out, |out| {
        Reply::ALLOW.render(out, Version::V1, Encoding::Json, "c");
    })
    .unwrap();
    let length = frame::v1_header(out[..4].try_into().unwrap()).unwrap();
    assert_eq!(length, out.len() - 4);
    assert!(out[4..].starts_with(br#"{"version":1,"#));
}
