//! What holds for every input: nothing panics, what is written reads back, encodings agree.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::cast_possible_truncation,
    reason = "a test may panic"
)]

mod common;

use common::{Recorder, Seen, headers, unframe};
use proptest::collection::vec;
use proptest::prelude::*;
use prost::Message as _;
use proto::sentinel::event::HeaderSink as _;
use proto::sentinel::frame::{FrameHeader, MessageType};
use proto::sentinel::handshake::{Capabilities, Event};
use proto::sentinel::reply::{Audit, BlockStatus, Decision, HeaderOp, Reply, Version, WebSocket};
use proto::sentinel::{Encoding, configure, control, event, frame, grpc, handshake, v1};
use serde_json::{Map, Value, json};

const ENCODINGS: [Encoding; 2] = [Encoding::Json, Encoding::MsgPack];

/// Every reader of this crate that takes a peer's bytes.
fn read_all(payload: &[u8]) {
    for encoding in ENCODINGS {
        let _ = headers(encoding, payload);
        for kind in MessageType::ALL {
            let _ = event::correlation_id(kind, encoding, payload);
        }
        let _ = configure::parse(encoding, payload);
        let _ = event::salvage_correlation_id(encoding, payload);
    }
    let _ = handshake::parse(payload);
    let _ = control::ping(payload);
    let _ = control::cancel(payload);
    if let Ok(request) = v1::parse(payload) {
        let _ = v1::configure(request.payload);
    }
    read_protobuf(payload);
}

fn read_protobuf(payload: &[u8]) {
    use grpc::v1::agent_request::Event as Ask1;
    use grpc::v2::proxy_to_agent::Message as Ask2;
    let mut sink = Recorder::default();
    match grpc::v2::ProxyToAgent::decode(payload).map(|ask| ask.message) {
        Ok(Some(Ask2::RequestHeaders(event))) => _ = grpc::request_headers(&event, &mut sink),
        Ok(Some(Ask2::Handshake(request))) => _ = grpc::handshake(&request),
        Ok(Some(Ask2::Guardrail(event))) => _ = grpc::other_event(&event),
        _ => {}
    }
    if let Ok(grpc::v1::AgentRequest {
        event: Some(Ask1::RequestHeaders(event)),
        ..
    }) = grpc::v1::AgentRequest::decode(payload)
    {
        let _ = grpc::request_headers_v1(&event, &mut sink);
    }
}

/// Text that is likely to need escapes.
fn text() -> impl Strategy<Value = String> {
    prop_oneof![any::<String>(), "[a-z\"\\\\\n\u{0}-\u{1f}/é]{0,40}"]
}

fn texts() -> impl Strategy<Value = Vec<String>> {
    vec(text(), 0..4)
}

fn pairs() -> impl Strategy<Value = Vec<(String, String)>> {
    vec((text(), text()), 0..5)
}

/// JSON of the shape that events have, so that mutations come near.
fn event_like() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        // serde_json reads back exactly only floats of few digits.
        any::<i32>().prop_map(|eighths| Value::from(f64::from(eighths) / 8.0)),
        text().prop_map(Value::from),
    ];
    let key = prop_oneof![
        Just("correlation_id".to_owned()),
        Just("metadata".to_owned()),
        Just("headers".to_owned()),
        Just("config".to_owned()),
        Just("supported_versions".to_owned()),
        Just("payload".to_owned()),
        Just("version".to_owned()),
        Just("event_type".to_owned()),
        text(),
    ];
    leaf.prop_recursive(4, 32, 6, move |inner| {
        prop_oneof![
            vec(inner.clone(), 0..6).prop_map(Value::from),
            vec((key.clone(), inner), 0..6)
                .prop_map(|entries| Value::Object(entries.into_iter().collect())),
        ]
    })
}

fn borrow(pairs: &[(String, String)]) -> Vec<(&str, &str)> {
    pairs
        .iter()
        .map(|(a, b)| (a.as_str(), b.as_str()))
        .collect()
}

fn borrow_all(texts: &[String]) -> Vec<&str> {
    texts.iter().map(String::as_str).collect()
}

fn object(pairs: &[(&str, &str)]) -> Value {
    // The last of equal keys wins, as it does for the client.
    let entries = pairs
        .iter()
        .map(|(key, value)| ((*key).to_owned(), json!(value)));
    Value::Object(entries.collect::<Map<_, _>>())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]

    #[test]
    fn arbitrary_bytes_never_panic(payload in vec(any::<u8>(), 0..256)) {
        read_all(&payload);
    }

    #[test]
    fn arbitrary_json_and_messagepack_never_panic(value in event_like(), cut in 0_usize..400) {
        for mut payload in [serde_json::to_vec(&value).unwrap(), rmp_serde::to_vec(&value).unwrap()] {
            read_all(&payload);
            payload.truncate(cut);
            read_all(&payload);
        }
    }

    #[test]
    fn arbitrary_frame_headers_are_bounded(bytes in any::<[u8; 5]>()) {
        if let Ok(header) = FrameHeader::parse(bytes) {
            prop_assert!(header.payload_len() < 16 * 1024 * 1024);
            prop_assert_eq!(header.kind() as u8, bytes[4]);
        }
        let _ = frame::sniff(bytes);
    }

    #[test]
    fn frames_read_back(before in vec(any::<u8>(), 0..9), kind in 0_usize..18, payload in vec(any::<u8>(), 0..999)) {
        let kind = MessageType::ALL[kind];
        let mut out = before.clone();
        frame::append(&mut out, kind, |out| out.extend(&payload)).unwrap();
        prop_assert!(out.starts_with(&before));
        let (header, rest) = unframe(&out[before.len()..]);
        let header = FrameHeader::parse(header).unwrap();
        prop_assert_eq!(header.kind(), kind);
        prop_assert_eq!(header.payload_len(), rest.len());
        prop_assert_eq!(rest, payload);
    }

    /// A structured event means the same to us as to serde_json, and in MessagePack.
    #[test]
    fn headers_are_seen_as_they_were_written(
        id in "[ -~é]{1,64}",
        names in proptest::collection::btree_set(text(), 0..6),
        values in texts(),
    ) {
        let map: Map<_, _> = names.iter().map(|name| (name.clone(), json!(values))).collect();
        let event = json!({"metadata": {"correlation_id": id}, "headers": map, "correlation_id": id});
        let mut expected = Recorder::default();
        for name in event["headers"].as_object().unwrap().keys() {
            expected.begin(name);
            values.iter().for_each(|value| expected.value(value));
        }
        let flat = |seen: Vec<Seen>| -> Vec<Seen> {
            seen.into_iter()
                .map(|seen| if let Seen::InPlace(value) = seen { Seen::Value(value) } else { seen })
                .collect()
        };
        for (encoding, payload) in [
            (Encoding::Json, serde_json::to_vec(&event).unwrap()),
            (Encoding::MsgPack, rmp_serde::to_vec_named(&event).unwrap()),
        ] {
            let (event, seen) = headers(encoding, &payload).unwrap();
            prop_assert_eq!(&event.correlation_id, &id);
            prop_assert_eq!(flat(seen), expected.0.clone());
            let salvaged = event::salvage_correlation_id(encoding, &payload);
            prop_assert_eq!(salvaged.as_deref(), Some(id.as_str()));
        }
    }

    /// MessagePack configurations become the JSON that they were made from.
    #[test]
    fn configurations_survive_messagepack(config in event_like()) {
        let payload = json!({"config": config, "correlation_id": "c"});
        let payload = rmp_serde::to_vec_named(&payload).unwrap();
        let configure = configure::parse(Encoding::MsgPack, &payload).unwrap();
        let text = configure.config.as_deref().unwrap_or("null");
        prop_assert_eq!(serde_json::from_str::<Value>(text).unwrap(), config);
    }

    #[test]
    fn replies_read_back(
        id in text(),
        block in proptest::option::of((400_u16..600, text(), pairs())),
        ops in vec((text(), proptest::option::of(text())), 0..6),
        tags in texts(), rule_ids in texts(), reason_codes in texts(),
        mut custom in pairs(), forge in any::<bool>(),
        close in proptest::option::of((any::<u16>(), text())),
    ) {
        if forge {
            custom.push(("correlation_id".to_owned(), "forged".to_owned()));
        }
        let headers = block.as_ref().map(|block| borrow(&block.2)).unwrap_or_default();
        let decision = match &block {
            None => Decision::Allow,
            Some((status, body, _)) => Decision::Block {
                status: BlockStatus::try_from(*status).unwrap(), body, headers: &headers,
            },
        };
        let header_ops: Vec<_> = ops.iter().map(|(name, value)| match value {
            Some(value) => HeaderOp::Set { name, value },
            None => HeaderOp::Remove { name },
        }).collect();
        let (tags, rule_ids, reason_codes) = (borrow_all(&tags), borrow_all(&rule_ids), borrow_all(&reason_codes));
        let custom = borrow(&custom);
        let audit = Audit { tags: &tags, rule_ids: &rule_ids, reason_codes: &reason_codes, custom: &custom };
        let websocket = match &close {
            None => WebSocket::NotAsked,
            Some((code, reason)) => WebSocket::Close { code: *code, reason },
        };
        let reply = Reply { decision, header_ops: &header_ops, audit, websocket };

        let mut written = Vec::new();
        reply.render(&mut written, Version::V2, Encoding::Json, &id);
        let written: Value = serde_json::from_slice(&written).unwrap();
        let mut custom = custom.clone();
        custom.retain(|(key, _)| *key != "correlation_id");
        custom.push(("correlation_id", &id));
        let expected = json!({
            "version": 2,
            "decision": match &block {
                None => json!("allow"),
                Some((status, body, _)) => json!({"block": {"status": status, "body": body, "headers": object(&headers)}}),
            },
            "request_headers": ops.iter().map(|(name, value)| match value {
                Some(value) => json!({"set": {"name": name, "value": value}}),
                None => json!({"remove": {"name": name}}),
            }).collect::<Vec<_>>(),
            "response_headers": [], "routing_metadata": {},
            "audit": {"tags": tags, "rule_ids": rule_ids, "confidence": null, "reason_codes": reason_codes, "custom": object(&custom)},
            "needs_more": false, "request_body_mutation": null, "response_body_mutation": null,
            "websocket_decision": close.as_ref().map(|(code, reason)| json!({"close": {"code": code, "reason": reason}})),
        });
        prop_assert_eq!(&written, &expected);

        let mut packed = Vec::new();
        reply.render(&mut packed, Version::V2, Encoding::MsgPack, &id);
        let packed: Value = rmp_serde::from_slice(&packed).unwrap();
        for (key, value) in packed.as_object().unwrap() {
            if key == "audit" {
                prop_assert_eq!(&value["custom"], &expected["audit"]["custom"]);
                prop_assert_eq!(&value["tags"], &expected["audit"]["tags"]);
            } else {
                prop_assert_eq!(value, &expected[key]);
            }
        }
    }

    #[test]
    fn handshake_answers_read_back(agent_id in text(), error in text(), max_concurrency in any::<u32>()) {
        let capabilities = Capabilities {
            agent_id: &agent_id, name: &error, version: "1", events: &[Event::RequestHeaders], max_concurrency,
        };
        let mut out = Vec::new();
        handshake::refuse(&mut out, &capabilities, &error);
        let value: Value = serde_json::from_slice(&out).unwrap();
        prop_assert_eq!(&value["error"], &json!(error));
        prop_assert_eq!(&value["capabilities"]["agent_id"], &json!(agent_id));
        prop_assert_eq!(&value["capabilities"]["features"]["concurrent_requests"], &json!(max_concurrency));
    }
}

#[test]
fn nested_groups_of_protobuf_do_not_overflow() {
    // Start of group 1, without end; and fields of unknown messages in each other.
    read_protobuf(&vec![0x0b; 200_000]);
    read_protobuf(&vec![0x7b; 200_000]);
}

#[test]
fn a_hostile_length_takes_no_memory() {
    // Readers that trust a length in MessagePack would reserve gigabytes here.
    for marker in [0xdb, 0xc6, 0xdd, 0xdf, 0xc9] {
        read_all(&[marker, 0xff, 0xff, 0xff, 0xff]);
        let nested = [
            &[0x81, 0xa7][..],
            b"headers",
            &[marker, 0xff, 0xff, 0xff, 0xff],
        ]
        .concat();
        read_all(&nested);
    }
}
