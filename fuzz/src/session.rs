//! A connection on a Unix socket, from its first byte: version 1 or 2, JSON or MessagePack.
//!
//! - a length never exceeds its bound; a frame of ours parses to what was written;
//! - an event that is understood has an address of 1 to 1024 bytes, salvage finds the same one, and
//!   every answer to it carries it byte for byte, in valid JSON and in MessagePack;
//! - a configuration handed on is JSON;
//! - the headers shown come from the payload: no larger than it.

use proto::sentinel::event::{self, HeaderSink};
use proto::sentinel::frame::{self, Dialect, FrameHeader, HEADER_BYTES, MessageType};
use proto::sentinel::handshake::{self, Capabilities, Event};
use proto::sentinel::limits::{MAX_ID_BYTES, MAX_PAYLOAD_BYTES, MAX_V1_BYTES};
use proto::sentinel::reply::{Audit, BlockStatus, HeaderOp, Reply, Version};
use proto::sentinel::{Encoding, configure, control, v1};
use serde_json::Value;

const ABOUT_US: Capabilities<'_> = Capabilities {
    agent_id: "fuzz",
    name: "fuzz",
    version: "0",
    events: &[Event::Configure, Event::RequestHeaders],
    max_concurrency: 1,
};

pub fn check(data: &[u8]) {
    let Some((first, rest)) = data.split_first_chunk::<HEADER_BYTES>() else {
        return;
    };
    match frame::sniff(*first) {
        Ok(Dialect::V1 { rest_len }) => {
            assert!(rest_len < MAX_V1_BYTES as usize);
            let message = data
                .get(4..4 + 1 + rest_len.min(rest.len()))
                .unwrap_or_default();
            version_1(message);
            // And whatever follows, message by message.
            let rest = rest.get(rest_len..).unwrap_or_default();
            if let Some((length, rest)) = rest.split_first_chunk::<4>()
                && let Ok(length) = frame::v1_header(*length)
            {
                version_1(rest.get(..length).unwrap_or(rest));
            }
        }
        Ok(Dialect::V2 { payload_len }) => {
            assert!(payload_len <= MAX_PAYLOAD_BYTES);
            let (payload, rest) = rest.split_at(payload_len.min(rest.len()));
            if let Some(encoding) = shake_hands(payload) {
                frames(rest, encoding);
            }
        }
        Err(error) => super::check_error(&error),
    }
}

fn shake_hands(payload: &[u8]) -> Option<Encoding> {
    let mut answer = Vec::new();
    let encoding = match handshake::parse(payload) {
        Ok(hello) => {
            for name in [&hello.proxy_id, &hello.proxy_version]
                .into_iter()
                .flatten()
            {
                assert!(name.len() <= MAX_ID_BYTES);
            }
            if let Some(config) = hello.config {
                check_json(config.as_bytes());
                super::push::check(config.as_bytes());
            }
            handshake::accept(&mut answer, &ABOUT_US, hello.encoding);
            Some(hello.encoding)
        }
        Err(error) => {
            super::check_error(&error);
            handshake::refuse(&mut answer, &ABOUT_US, &error.to_string());
            None
        }
    };
    let answer = check_json(&answer);
    assert_eq!(answer["success"], encoding.is_some());
    encoding
}

fn frames(mut data: &[u8], encoding: Encoding) {
    while let Some((header, rest)) = data.split_first_chunk::<HEADER_BYTES>() {
        let header = match FrameHeader::parse(*header) {
            Ok(header) => header,
            Err(error) => return super::check_error(&error),
        };
        assert!(header.payload_len() <= MAX_PAYLOAD_BYTES);
        let (payload, rest) = rest.split_at(header.payload_len().min(rest.len()));
        message(header.kind(), encoding, payload);
        data = rest;
    }
}

fn message(kind: MessageType, encoding: Encoding, payload: &[u8]) {
    match kind {
        MessageType::RequestHeaders => request_headers(encoding, payload),
        MessageType::Configure => match configure::parse(encoding, payload) {
            Ok(configure) => {
                if let Some(config) = &configure.config {
                    check_json(config.as_bytes());
                }
                check_address(encoding, payload, &configure.correlation_id);
            }
            Err(error) => super::check_error(&error),
        },
        MessageType::Cancel => match control::cancel(payload) {
            Ok(id) => assert!((1..=MAX_ID_BYTES).contains(&id.len())),
            Err(error) => super::check_error(&error),
        },
        MessageType::Ping => match control::ping(payload) {
            Ok(ping) => {
                let mut pong = Vec::new();
                control::pong(&mut pong, ping);
                assert_eq!(
                    control::ping(&pong),
                    Ok(ping),
                    "a pong says what the ping said"
                );
            }
            Err(error) => super::check_error(&error),
        },
        _ => match event::correlation_id(kind, encoding, payload) {
            Ok(id) => check_address(encoding, payload, &id),
            Err(error) => super::check_error(&error),
        },
    }
}

fn request_headers(encoding: Encoding, payload: &[u8]) {
    let mut sink = Counter::default();
    match event::request_headers(encoding, payload, &mut sink) {
        Ok(event) => {
            let others = [&event.request_id, &event.client_ip, &event.traceparent];
            assert!(
                others
                    .into_iter()
                    .flatten()
                    .all(|id| id.len() <= MAX_ID_BYTES)
            );
            check_address(encoding, payload, &event.correlation_id);
        }
        Err(error) => {
            super::check_error(&error);
            // Best effort, and still bounded.
            let salvaged = event::salvage_correlation_id(encoding, payload);
            assert!(salvaged.is_none_or(|id| (1..=MAX_ID_BYTES).contains(&id.len())));
        }
    }
    assert!(sink.values == 0 || sink.names > 0, "a value without a name");
    assert!(sink.bytes <= payload.len(), "more headers than payload");
}

#[derive(Default)]
struct Counter {
    names: usize,
    values: usize,
    bytes: usize,
}

impl HeaderSink<'_> for Counter {
    fn begin(&mut self, name: &str) {
        self.names += 1;
        self.bytes += name.len();
    }

    fn value(&mut self, value: &str) {
        self.values += 1;
        self.bytes += value.len();
    }
}

/// The address is bounded, salvage finds it too, and answers carry it.
fn check_address(encoding: Encoding, payload: &[u8], id: &str) {
    assert!(
        (1..=MAX_ID_BYTES).contains(&id.len()),
        "an address of {} bytes",
        id.len()
    );
    let salvaged = event::salvage_correlation_id(encoding, payload);
    assert!(
        salvaged.as_deref() == Some(id),
        "salvage finds another address: {salvaged:?}, not {id:?}"
    );
    for version in [Version::V1, Version::V2] {
        for encoding in [Encoding::Json, Encoding::MsgPack] {
            check_answer(version, encoding, id);
        }
    }
}

fn check_answer(version: Version, encoding: Encoding, id: &str) {
    let ops = [
        HeaderOp::Remove { name: id },
        HeaderOp::Set {
            name: "x",
            value: id,
        },
    ];
    let allow = Reply {
        header_ops: &ops,
        audit: Audit {
            tags: &[id],
            custom: &[("correlation_id", "another"), (id, id)],
            ..Audit::default()
        },
        ..Reply::ALLOW
    };
    for reply in [allow, Reply::block(BlockStatus::FORBIDDEN, id)] {
        let mut framed = Vec::new();
        let fill = |out: &mut Vec<u8>| reply.render(out, version, encoding, id);
        frame::append(&mut framed, MessageType::AgentResponse, fill).expect("far below the limit");
        let (header, payload) = framed.split_first_chunk::<HEADER_BYTES>().expect("a frame");
        let header = FrameHeader::parse(*header).expect("a frame of ours");
        assert_eq!(
            (header.kind(), header.payload_len()),
            (MessageType::AgentResponse, payload.len())
        );
        let answer: Value = match encoding {
            Encoding::Json => check_json(payload),
            Encoding::MsgPack => rmp_serde::from_slice(payload).expect("MessagePack of ours"),
        };
        assert_eq!(
            answer["audit"]["custom"]["correlation_id"], id,
            "another address"
        );
    }
}

fn version_1(message: &[u8]) {
    let request = match v1::parse(message) {
        Ok(request) => request,
        Err(error) => return super::check_error(&error),
    };
    check_json(request.payload.as_bytes());
    match request.event {
        v1::EventType::Configure => match v1::configure(request.payload) {
            Ok(configure) => {
                let config = configure.config.as_deref();
                _ = config.map(|config| check_json(config.as_bytes()));
            }
            Err(error) => super::check_error(&error),
        },
        v1::EventType::RequestHeaders => {
            request_headers(Encoding::Json, request.payload.as_bytes())
        }
        _ => {}
    }
}

/// What is handed on as JSON is JSON; numbers out of every range are the reader's business.
fn check_json(text: &[u8]) -> Value {
    match serde_json::from_slice(text) {
        Ok(value) => value,
        Err(error) => {
            let text = String::from_utf8_lossy(text);
            assert!(
                error.to_string().contains("out of range"),
                "not JSON, {error}: {text}"
            );
            Value::Null
        }
    }
}
