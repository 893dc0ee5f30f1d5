//! Malformed input: each is refused by the rule it breaks, at its place, without quoting it.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::cast_possible_truncation,
    reason = "a test may panic"
)]

mod common;

use common::{headers, mp};
use proto::sentinel::frame::{FrameHeader, MessageType};
use proto::sentinel::{Encoding, configure, control, event, frame, handshake, v1};

/// Stands in every payload where a peer's text would be: no error may contain it.
const SECRET: &str = "s3cr3t";

fn check<T: std::fmt::Debug, E: std::fmt::Display>(
    result: Result<T, E>,
    input: &str,
    expected: &str,
) {
    let text = result.map_err(|error| error.to_string()).expect_err(input);
    assert_eq!(text, expected, "for {input}");
    assert!(!text.contains(SECRET), "quotes its input: {text}");
}

#[test]
fn frames() {
    let cases: [([u8; 5], &str); 5] = [
        (
            [0, 0, 0, 0, 0x10],
            "frame length is 0, but it counts the type byte (agent protocol, section 1)",
        ),
        (
            [1, 0, 0, 1, 0x10],
            "frame length 16777217 is over the limit of 16777216 bytes (agent protocol, section 1)",
        ),
        (
            [0xff; 5],
            "frame length 4294967295 is over the limit of 16777216 bytes (agent protocol, section 1)",
        ),
        (
            [0, 0, 0, 5, 0x00],
            "frame type 0x00 is not a type of the protocol (agent protocol, section 1)",
        ),
        (
            [0, 0, 0, 5, 0x18],
            "frame type 0x18 is not a type of the protocol (agent protocol, section 1)",
        ),
    ];
    for (bytes, expected) in cases {
        check(
            FrameHeader::parse(bytes),
            &format!("{bytes:02x?}"),
            expected,
        );
    }
}

#[test]
fn first_frames() {
    let neither = |byte: &str| {
        format!(
            "the first frame's type is {byte}: neither a handshake nor a version 1 message (agent protocol, sections 1 and 9)"
        )
    };
    let other = |spoken: &str| {
        format!(
            "this is {spoken}, not the agent protocol: is that client meant for the admin listener or the gRPC door? (agent protocol, section 1)"
        )
    };
    let cases: [([u8; 5], String); 14] = [
        ([0, 0, 0, 2, 0x10], neither("0x10")),
        ([0, 0, 0, 2, b'['], neither("0x5b")),
        (*b"GET /", other("HTTP")),
        (*b"POST ", other("HTTP")),
        (*b"HEAD ", other("HTTP")),
        (*b"OPTIO", other("HTTP")),
        (*b"PRI *", other("HTTP/2")),
        ([0x16, 0x03, 0x01, 0x02, 0x00], other("TLS")),
        // One that would be version 1 but for its length.
        (*b"PUT {", other("HTTP")),
        (*b"GETS ", "frame length 1195725907 is over the limit of 16777216 bytes (agent protocol, section 1)".into()),
        ([0, 0, 0, 0, 0x01], "frame length is 0, but it counts the type byte (agent protocol, section 1)".into()),
        ([0, 0, 0, 0, b'{'], "frame length is 0, but it counts the type byte (agent protocol, section 1)".into()),
        ([1, 0, 0, 1, 0x01], "frame length 16777217 is over the limit of 16777216 bytes (agent protocol, section 1)".into()),
        ([0, 0xa0, 0, 1, b'{'], "version 1 message length 10485761 is over the limit of 10485760 bytes (agent protocol, section 9)".into()),
    ];
    for (bytes, expected) in cases {
        check(frame::sniff(bytes), &format!("{bytes:02x?}"), &expected);
    }
    check(
        frame::v1_header([0; 4]),
        "v1 length 0",
        "frame length is 0, but it counts the type byte (agent protocol, section 1)",
    );
    check(
        frame::v1_header([0, 0xa0, 0, 1]),
        "v1 length",
        "version 1 message length 10485761 is over the limit of 10485760 bytes (agent protocol, section 9)",
    );
}

#[test]
fn what_does_not_fit_a_frame_is_not_written() {
    let mut out = b"kept".to_vec();
    let grow = |by: usize| move |out: &mut Vec<u8>| out.resize(out.len() + by, b' ');
    check(
        frame::append(&mut out, MessageType::AgentResponse, grow(16 * 1024 * 1024)),
        "16 MiB",
        "payload of 16777216 bytes is over the limit of 16777215 bytes (agent protocol, section 1)",
    );
    assert_eq!(out, b"kept");
    assert!(frame::append_v1(&mut out, grow(10 * 1024 * 1024 + 1)).is_err());
    assert_eq!(out, b"kept");
}

#[test]
fn handshakes() {
    let cases = [
        (
            "",
            "HandshakeRequest ends inside a value at line 1 column 0 (agent protocol, section 2)",
        ),
        (
            "{",
            "HandshakeRequest ends inside a value at line 1 column 1 (agent protocol, section 2)",
        ),
        (
            "[2]",
            "HandshakeRequest must be an object at line 1 column 0 (agent protocol, section 2)",
        ),
        (
            r#""s3cr3t""#,
            "HandshakeRequest must be an object at line 1 column 8 (agent protocol, section 2)",
        ),
        (
            "{}",
            "HandshakeRequest field `supported_versions` is missing (agent protocol, section 2)",
        ),
        (
            r#"{"supported_versions":[]}"#,
            "HandshakeRequest field `supported_versions` must contain 2, the version this agent speaks here (agent protocol, section 2)",
        ),
        (
            r#"{"supported_versions":[1,3]}"#,
            "HandshakeRequest field `supported_versions` must contain 2, the version this agent speaks here (agent protocol, section 2)",
        ),
        (
            r#"{"supported_versions":2}"#,
            "HandshakeRequest field `supported_versions` must be an array of numbers at line 1 column 23 (agent protocol, section 2)",
        ),
        (
            r#"{"supported_versions":["s3cr3t"]}"#,
            "HandshakeRequest field `supported_versions` must be an array of numbers at line 1 column 31 (agent protocol, section 2)",
        ),
        (
            r#"{"supported_versions":[-2]}"#,
            "HandshakeRequest field `supported_versions` must be an array of numbers at line 1 column 25 (agent protocol, section 2)",
        ),
        (
            r#"{"supported_versions":[2],"supported_versions":[1]}"#,
            "HandshakeRequest field `supported_versions` is given twice at line 1 column 46 (agent protocol, section 2)",
        ),
        (
            r#"{"supported_versions":[2],"config":{},"config":null}"#,
            "HandshakeRequest field `config` is given twice at line 1 column 46 (agent protocol, section 2)",
        ),
        (
            r#"{"supported_versions":[2],"config":{"s3cr3t"}}"#,
            "HandshakeRequest field `config` is malformed: expected `:` at line 1 column 45 (agent protocol, section 2)",
        ),
        (
            r#"{"supported_versions":[2],"proxy_id":["s3cr3t"]}"#,
            "HandshakeRequest field `proxy_id` must be a string at line 1 column 38 (agent protocol, section 2)",
        ),
        (
            r#"{"supported_versions":[2],"supported_encodings":"s3cr3t"}"#,
            "HandshakeRequest field `supported_encodings` must be an array of strings at line 1 column 56 (agent protocol, section 2)",
        ),
        (
            r#"{"supported_versions":[2],"supported_encodings":[7]}"#,
            "HandshakeRequest field `supported_encodings` must be an array of strings at line 1 column 50 (agent protocol, section 2)",
        ),
        (
            r#"{"supported_versions":[2]}{}"#,
            "HandshakeRequest is followed by more bytes at line 1 column 27 (agent protocol, section 2)",
        ),
        (
            "{\"supported_versions\":[2],\n  s3cr3t: 1}",
            "HandshakeRequest is malformed: key must be a string at line 2 column 3 (agent protocol, section 2)",
        ),
    ];
    for (payload, expected) in cases {
        check(handshake::parse(payload.as_bytes()), payload, expected);
    }
    let long = format!(
        r#"{{"supported_versions":[2],"proxy_version":"{}"}}"#,
        "x".repeat(1025)
    );
    check(
        handshake::parse(long.as_bytes()),
        "long",
        "HandshakeRequest field `proxy_version` is 1025 bytes long, over the limit of 1024 at line 1 column 1070 (agent protocol, section 2)",
    );
}

#[test]
fn request_headers() {
    let cases = [
        (
            "null",
            "RequestHeaders must be an object at line 1 column 4 (agent protocol, section 4)",
        ),
        (
            "[{},\"\",\"\",{}]",
            "RequestHeaders must be an object at line 1 column 0 (agent protocol, section 4)",
        ),
        (
            "{}",
            "RequestHeaders field `metadata` is missing (agent protocol, section 4)",
        ),
        (
            r#"{"metadata":{"correlation_id":"c"}}"#,
            "RequestHeaders field `headers` is missing (agent protocol, section 4)",
        ),
        (
            r#"{"headers":{},"correlation_id":"c"}"#,
            "RequestHeaders field `metadata` is missing (agent protocol, section 4)",
        ),
        (
            r#"{"metadata":{},"headers":{}}"#,
            "RequestHeaders field `metadata.correlation_id` is missing (agent protocol, section 4)",
        ),
        (
            r#"{"metadata":null,"headers":{}}"#,
            "RequestHeaders field `metadata` must be an object at line 1 column 16 (agent protocol, section 4)",
        ),
        (
            r#"{"metadata":["s3cr3t"],"headers":{}}"#,
            "RequestHeaders field `metadata` must be an object at line 1 column 12 (agent protocol, section 4)",
        ),
        (
            r#"{"metadata":{"correlation_id":7},"headers":{}}"#,
            "RequestHeaders field `metadata.correlation_id` must be a string at line 1 column 31 (agent protocol, section 4)",
        ),
        (
            r#"{"metadata":{"correlation_id":null},"headers":{}}"#,
            "RequestHeaders field `metadata.correlation_id` must be a string at line 1 column 34 (agent protocol, section 4)",
        ),
        (
            r#"{"metadata":{"correlation_id":""},"headers":{}}"#,
            "RequestHeaders field `metadata.correlation_id` must not be empty at line 1 column 33 (agent protocol, section 4)",
        ),
        (
            r#"{"metadata":{"correlation_id":"a"},"headers":{},"correlation_id":"s3cr3t"}"#,
            "RequestHeaders field `metadata.correlation_id` differs from the correlation id given elsewhere in the event (agent protocol, section 4)",
        ),
        (
            r#"{"metadata":{"correlation_id":"a","correlation_id":"a"},"headers":{}}"#,
            "RequestHeaders field `metadata.correlation_id` is given twice at line 1 column 50 (agent protocol, section 4)",
        ),
        (
            r#"{"correlation_id":"a","correlation_id":"a","metadata":{},"headers":{}}"#,
            "RequestHeaders field `correlation_id` is given twice at line 1 column 38 (agent protocol, section 4)",
        ),
        (
            r#"{"metadata":{"correlation_id":"a"},"metadata":{"correlation_id":"a"},"headers":{}}"#,
            "RequestHeaders field `metadata` is given twice at line 1 column 45 (agent protocol, section 4)",
        ),
        (
            r#"{"metadata":{"correlation_id":"a"},"headers":{},"headers":{}}"#,
            "RequestHeaders field `headers` is given twice at line 1 column 57 (agent protocol, section 4)",
        ),
        (
            r#"{"metadata":{"correlation_id":"a"},"headers":{},"he\u0061ders":{}}"#,
            "RequestHeaders field `headers` is given twice at line 1 column 62 (agent protocol, section 4)",
        ),
        (
            r#"{"metadata":{"request_id":{}},"headers":{}}"#,
            "RequestHeaders field `metadata.request_id` must be a string at line 1 column 28 (agent protocol, section 4)",
        ),
        (
            r#"{"metadata":{"client_ip":["s3cr3t"]},"headers":{}}"#,
            "RequestHeaders field `metadata.client_ip` must be a string at line 1 column 26 (agent protocol, section 4)",
        ),
        (
            r#"{"metadata":{"traceparent":1},"headers":{}}"#,
            "RequestHeaders field `metadata.traceparent` must be a string or null at line 1 column 28 (agent protocol, section 4)",
        ),
        (
            r#"{"metadata":{"correlation_id":"a"},"headers":null}"#,
            "RequestHeaders field `headers` must be an object of arrays of strings at line 1 column 49 (agent protocol, section 4)",
        ),
        (
            r#"{"metadata":{"correlation_id":"a"},"headers":[["s3cr3t"]]}"#,
            "RequestHeaders field `headers` must be an object of arrays of strings at line 1 column 45 (agent protocol, section 4)",
        ),
        (
            r#"{"metadata":{"correlation_id":"a"},"headers":{"a":"s3cr3t"}}"#,
            "RequestHeaders field `headers` must be an object of arrays of strings at line 1 column 58 (agent protocol, section 4)",
        ),
        (
            r#"{"metadata":{"correlation_id":"a"},"headers":{"a":[null]}}"#,
            "RequestHeaders field `headers` must be an object of arrays of strings at line 1 column 55 (agent protocol, section 4)",
        ),
        (
            r#"{"metadata":{"correlation_id":"a"},"headers":{"a":[["s3cr3t"]]}}"#,
            "RequestHeaders field `headers` must be an object of arrays of strings at line 1 column 51 (agent protocol, section 4)",
        ),
        (
            r#"{"metadata":{"correlation_id":"a"},"headers":{"a":["\ud800"]}}"#,
            "RequestHeaders field `headers` is malformed: unexpected end of hex escape at line 1 column 59 (agent protocol, section 4)",
        ),
        (
            r#"{"metadata":{"correlation_id":"a"},"headers":{"a":["\x"]}}"#,
            "RequestHeaders field `headers` is malformed: invalid escape at line 1 column 54 (agent protocol, section 4)",
        ),
        (
            r#"{"metadata":{"correlation_id":"a"},"headers":{"a":["b"],}}"#,
            "RequestHeaders field `headers` is malformed: trailing comma at line 1 column 57 (agent protocol, section 4)",
        ),
        (
            r#"{"metadata":{"correlation_id":"a"},"headers":{"a":["s3cr3t"#,
            "RequestHeaders field `headers` ends inside a value at line 1 column 58 (agent protocol, section 4)",
        ),
        (
            r#"{"metadata":{"correlation_id":"a"},"headers":{}} x"#,
            "RequestHeaders is followed by more bytes at line 1 column 50 (agent protocol, section 4)",
        ),
        (
            r#"{'metadata':{}}"#,
            "RequestHeaders is malformed: key must be a string at line 1 column 2 (agent protocol, section 4)",
        ),
        (
            "\u{feff}{}",
            "RequestHeaders is malformed: expected value at line 1 column 1 (agent protocol, section 4)",
        ),
    ];
    for (payload, expected) in cases {
        check(
            headers(Encoding::Json, payload.as_bytes()),
            payload,
            expected,
        );
    }
}

#[test]
fn request_headers_that_are_not_utf_8() {
    let payload = b"{\"metadata\":{\"correlation_id\":\"a\"},\"headers\":{\"a\":[\"\xff\"]}}";
    check(
        headers(Encoding::Json, payload),
        "0xff",
        "RequestHeaders field `headers` is malformed: invalid unicode code point at line 1 column 53 (agent protocol, section 4)",
    );
}

#[test]
fn ids_are_bounded_one_byte_over_is_too_much() {
    for (field, at) in [
        ("correlation_id", 1058),
        ("request_id", 1053),
        ("client_ip", 1052),
        ("traceparent", 1054),
    ] {
        let event = |length: usize| {
            let id = "x".repeat(length);
            let other = if field == "correlation_id" {
                ""
            } else {
                r#","correlation_id":"c""#
            };
            format!(r#"{{"metadata":{{"{field}":"{id}"{other}}},"headers":{{}}}}"#)
        };
        assert!(
            headers(Encoding::Json, event(1024).as_bytes()).is_ok(),
            "{field}"
        );
        let expected = format!(
            "RequestHeaders field `metadata.{field}` is 1025 bytes long, over the limit of 1024 at line 1 column {at} (agent protocol, section 4)"
        );
        check(
            headers(Encoding::Json, event(1025).as_bytes()),
            field,
            &expected,
        );
    }
}

fn mp_event(metadata: Vec<u8>, headers: Vec<u8>) -> Vec<u8> {
    mp::map(&[("metadata", metadata), ("headers", headers)])
}

#[test]
fn messagepack_request_headers() {
    let metadata = || mp::array(&[mp::text("c")]);
    let no_headers = || mp::map(&[]);
    let mut truncated = mp_event(metadata(), no_headers());
    truncated.truncate(truncated.len() - 1);
    let mut trailing = mp_event(metadata(), no_headers());
    trailing.push(0xc0);
    let mut reserved = trailing.clone();
    *reserved.last_mut().unwrap() = 0xc1;
    let cases = [
        (
            vec![],
            "RequestHeaders ends inside a value (agent protocol, section 4)",
        ),
        (
            mp::nil(),
            "RequestHeaders must be an object (agent protocol, section 4)",
        ),
        (
            mp::bin(b"s3cr3t"),
            "RequestHeaders must be an object (agent protocol, section 4)",
        ),
        (
            vec![0xc1],
            "RequestHeaders must be an object (agent protocol, section 4)",
        ),
        // An extension: fixext1, tag, byte.
        (
            vec![0xd4, 0x01, 0x02],
            "RequestHeaders must be an object (agent protocol, section 4)",
        ),
        // A map of four billion entries, and an array.
        (
            vec![0xdf, 0xff, 0xff, 0xff, 0xff],
            "RequestHeaders ends inside a value (agent protocol, section 4)",
        ),
        (
            vec![0xdd, 0xff, 0xff, 0xff, 0xff],
            "RequestHeaders field `metadata` ends inside a value (agent protocol, section 4)",
        ),
        // A key of four gigabytes.
        (
            vec![0x81, 0xdb, 0xff, 0xff, 0xff, 0xff],
            "RequestHeaders ends inside a value (agent protocol, section 4)",
        ),
        // A key that is a number.
        (
            vec![0x81, 0x01, 0x01],
            "RequestHeaders must be an object (agent protocol, section 4)",
        ),
        (
            truncated,
            "RequestHeaders field `headers` ends inside a value (agent protocol, section 4)",
        ),
        (
            trailing,
            "RequestHeaders is followed by more bytes (agent protocol, section 4)",
        ),
        (
            reserved,
            "RequestHeaders is followed by more bytes (agent protocol, section 4)",
        ),
        (
            mp::array(&[metadata()]),
            "RequestHeaders field `headers` is missing (agent protocol, section 4)",
        ),
        (
            mp_event(mp::array(&[]), no_headers()),
            "RequestHeaders field `metadata.correlation_id` is missing (agent protocol, section 4)",
        ),
        (
            mp_event(mp::array(&[mp::nil()]), no_headers()),
            "RequestHeaders field `metadata.correlation_id` must be a string (agent protocol, section 4)",
        ),
        (
            mp_event(mp::array(&[mp::bin(b"c")]), no_headers()),
            "RequestHeaders field `metadata.correlation_id` must be a string (agent protocol, section 4)",
        ),
        (
            mp_event(mp::array(&[mp::text("c"), mp::uint(7)]), no_headers()),
            "RequestHeaders field `metadata.request_id` must be a string (agent protocol, section 4)",
        ),
        (
            mp_event(mp::array(&[vec![0xa1, 0xff]]), no_headers()),
            "RequestHeaders field `metadata.correlation_id` is not UTF-8 (agent protocol, section 4)",
        ),
        (
            mp_event(metadata(), mp::array(&[])),
            "RequestHeaders field `headers` must be an object of arrays of strings (agent protocol, section 4)",
        ),
        (
            mp_event(metadata(), mp::map(&[("a", mp::text("s3cr3t"))])),
            "RequestHeaders field `headers` must be an object of arrays of strings (agent protocol, section 4)",
        ),
        (
            mp_event(metadata(), mp::map(&[("a", mp::bin(b"s3cr3t"))])),
            "RequestHeaders field `headers` must be an object of arrays of strings (agent protocol, section 4)",
        ),
        (
            mp_event(
                metadata(),
                mp::map(&[("a", mp::array(&[mp::bin(b"s3cr3t")]))]),
            ),
            "RequestHeaders field `headers` must be an object of arrays of strings (agent protocol, section 4)",
        ),
        (
            mp::map(&[("metadata", metadata()), ("metadata", metadata())]),
            "RequestHeaders field `metadata` is given twice (agent protocol, section 4)",
        ),
        (
            mp::map(&[("headers", no_headers()), ("headers", no_headers())]),
            "RequestHeaders field `headers` is given twice (agent protocol, section 4)",
        ),
        (
            mp::map(&[
                ("correlation_id", mp::text("a")),
                ("correlation_id", mp::text("s3cr3t")),
            ]),
            "RequestHeaders field `correlation_id` differs from the correlation id given elsewhere in the event (agent protocol, section 4)",
        ),
        (
            mp::map(&[
                ("metadata", metadata()),
                ("headers", no_headers()),
                ("correlation_id", mp::text("s3cr3t")),
            ]),
            "RequestHeaders field `metadata.correlation_id` differs from the correlation id given elsewhere in the event (agent protocol, section 4)",
        ),
    ];
    for (payload, expected) in cases {
        check(
            headers(Encoding::MsgPack, &payload),
            &format!("{payload:02x?}"),
            expected,
        );
    }
}

#[test]
fn other_events() {
    let id = |payload: &'static str| {
        event::correlation_id(
            MessageType::ResponseHeaders,
            Encoding::Json,
            payload.as_bytes(),
        )
    };
    let cases = [
        (
            "{}",
            "ResponseHeaders field `correlation_id` is missing (agent protocol, section 4)",
        ),
        (
            r#"{"correlation_id":1}"#,
            "ResponseHeaders field `correlation_id` must be a string at line 1 column 19 (agent protocol, section 4)",
        ),
        (
            r#"{"correlation_id":"a","correlation_id":"a"}"#,
            "ResponseHeaders field `correlation_id` is given twice at line 1 column 38 (agent protocol, section 4)",
        ),
        (
            r#"["s3cr3t"]"#,
            "ResponseHeaders must be an object at line 1 column 0 (agent protocol, section 4)",
        ),
    ];
    for (payload, expected) in cases {
        check(id(payload), payload, expected);
    }
    let two = mp::map(&[
        ("correlation_id", mp::text("a")),
        ("correlation_id", mp::text("b")),
    ]);
    check(
        event::correlation_id(MessageType::WebSocketFrame, Encoding::MsgPack, &two),
        "two ids",
        "WebSocketFrame field `correlation_id` differs from the correlation id given elsewhere in the event (agent protocol, section 4)",
    );
}

#[test]
fn configure_events() {
    let cases = [
        (
            "{}",
            "Configure field `config` is missing (agent protocol, section 3)",
        ),
        (
            r#"{"config":{}}"#,
            "Configure field `correlation_id` is missing (agent protocol, section 3)",
        ),
        (
            r#"{"config":{"a":1},"config":{},"correlation_id":"c"}"#,
            "Configure field `config` is given twice at line 1 column 26 (agent protocol, section 3)",
        ),
        (
            r#"{"config":{s3cr3t},"correlation_id":"c"}"#,
            "Configure field `config` is malformed: key must be a string at line 1 column 12 (agent protocol, section 3)",
        ),
        (
            r#"{"config":{},"config_version":7,"correlation_id":"c"}"#,
            "Configure field `config_version` must be a string or null at line 1 column 31 (agent protocol, section 3)",
        ),
        (
            r#"[{},null,"c"]"#,
            "Configure must be an object at line 1 column 0 (agent protocol, section 3)",
        ),
    ];
    for (payload, expected) in cases {
        check(
            configure::parse(Encoding::Json, payload.as_bytes()),
            payload,
            expected,
        );
    }
    let config =
        |config: Vec<u8>| mp::map(&[("config", config), ("correlation_id", mp::text("c"))]);
    let not_json = "Configure field `config` must be a JSON value (agent protocol, section 3)";
    let cases = [
        (config(mp::bin(b"s3cr3t")), not_json),
        (config(vec![0xd4, 1, 2]), not_json),
        (config(vec![0xcb, 0x7f, 0xf0, 0, 0, 0, 0, 0, 0]), not_json),
        (config(vec![0x81, 0x01, 0x01]), not_json),
        (
            config(vec![0x81, 0xa1, 0xff, 0x01]),
            "Configure field `config` is not UTF-8 (agent protocol, section 3)",
        ),
    ];
    for (payload, expected) in cases {
        check(
            configure::parse(Encoding::MsgPack, &payload),
            &format!("{payload:02x?}"),
            expected,
        );
    }
}

#[test]
fn a_pushed_configuration_stays_bounded_when_it_grows() {
    // A string of control bytes takes six times its length as JSON.
    let config = mp::text(&"\u{1}".repeat(16 * 1024 * 1024 / 6 + 1));
    let payload = mp::map(&[("config", config), ("correlation_id", mp::text("c"))]);
    check(
        configure::parse(Encoding::MsgPack, &payload),
        "long string",
        "Configure field `config` is 2796203 bytes long, over the limit of 2796202 (agent protocol, section 3)",
    );
    // So do several that are each short enough.
    let text = mp::text(&"\u{1}".repeat(2_000_000));
    let config = mp::array(&[text.clone(), text]);
    let payload = mp::map(&[("config", config), ("correlation_id", mp::text("c"))]);
    check(
        configure::parse(Encoding::MsgPack, &payload),
        "two strings",
        "Configure field `config` is 24000006 bytes long, over the limit of 16777216 (agent protocol, section 3)",
    );
}

#[test]
fn control_messages() {
    check(
        control::ping(b"{}"),
        "{}",
        "Ping field `sequence` is missing (agent protocol, section 6)",
    );
    check(
        control::ping(br#"{"sequence":1}"#),
        "1",
        "Ping field `timestamp_ms` is missing (agent protocol, section 6)",
    );
    check(
        control::ping(br#"{"sequence":-1}"#),
        "-1",
        "Ping field `sequence` must be a number without sign at line 1 column 14 (agent protocol, section 6)",
    );
    check(
        control::ping(br#"{"sequence":18446744073709551616}"#),
        "2^64",
        "Ping field `sequence` must be a number without sign at line 1 column 32 (agent protocol, section 6)",
    );
    check(
        control::cancel(b"{}"),
        "{}",
        "Cancel field `correlation_id` is missing (agent protocol, section 6)",
    );
    check(
        control::cancel(b""),
        "",
        "Cancel ends inside a value at line 1 column 0 (agent protocol, section 6)",
    );
}

#[test]
fn version_1() {
    let cases = [
        (
            "{}",
            "version 1 request field `version` is missing (agent protocol, section 9)",
        ),
        (
            r#"{"version":1}"#,
            "version 1 request field `event_type` is missing (agent protocol, section 9)",
        ),
        (
            r#"{"version":1,"event_type":"configure"}"#,
            "version 1 request field `payload` is missing (agent protocol, section 9)",
        ),
        (
            r#"{"version":2}"#,
            "version 1 request field `version` must be the number 1 at line 1 column 13 (agent protocol, section 9)",
        ),
        (
            r#"{"version":"1"}"#,
            "version 1 request field `version` must be the number 1 at line 1 column 14 (agent protocol, section 9)",
        ),
        (
            r#"{"version":1,"event_type":"s3cr3t"}"#,
            "version 1 request field `event_type` is not one of the protocol's names at line 1 column 34 (agent protocol, section 9)",
        ),
        (
            r#"{"version":1,"event_type":"websocket_frame"}"#,
            "version 1 request field `event_type` is not one of the protocol's names at line 1 column 43 (agent protocol, section 9)",
        ),
        (
            r#"{"version":1,"payload":{},"payload":{}}"#,
            "version 1 request field `payload` is given twice at line 1 column 35 (agent protocol, section 9)",
        ),
    ];
    for (payload, expected) in cases {
        check(v1::parse(payload.as_bytes()), payload, expected);
    }
    check(
        v1::configure("{}"),
        "{}",
        "version 1 configure field `config` is missing (agent protocol, section 9)",
    );
    check(
        v1::configure("[]"),
        "[]",
        "version 1 configure must be an object at line 1 column 0 (agent protocol, section 9)",
    );
}

// Nesting. serde_json steps over what nobody reads without recursion, and a recursion limit holds
// where it does recurse; MessagePack is read recursively throughout, to a depth of 128.

#[test]
fn deep_json_neither_overflows_nor_reaches_a_reader() {
    for depth in [127, 200_000] {
        let bomb = format!("{}{}", "[".repeat(depth), "]".repeat(depth));
        let unread = format!(
            r#"{{"x":{bomb},"metadata":{{"correlation_id":"c","y":{bomb}}},"headers":{{}}}}"#
        );
        assert!(headers(Encoding::Json, unread.as_bytes()).is_ok());
        let read = format!(r#"{{"metadata":{{"correlation_id":"c"}},"headers":{{"a":{bomb}}}}}"#);
        assert!(headers(Encoding::Json, read.as_bytes()).is_err());
        let at_id = format!(r#"{{"metadata":{bomb},"correlation_id":{bomb}}}"#);
        assert_eq!(
            event::salvage_correlation_id(Encoding::Json, at_id.as_bytes()),
            None
        );
    }
    let maps = r#"{"metadata":"#.repeat(200_000);
    assert!(headers(Encoding::Json, maps.as_bytes()).is_err());
    assert_eq!(
        event::salvage_correlation_id(Encoding::Json, maps.as_bytes()),
        None
    );
}

#[test]
fn deep_messagepack_is_refused() {
    let array = |depth: usize| [vec![0x91; depth], vec![0xc0]].concat();
    let map = |depth: usize| [[0x81, 0xa1, b'x'].repeat(depth), vec![0xc0]].concat();
    let event = |bomb: Vec<u8>| {
        mp::map(&[
            ("x", bomb),
            ("metadata", mp::array(&[mp::text("c")])),
            ("headers", mp::map(&[])),
        ])
    };
    assert!(headers(Encoding::MsgPack, &event(array(100))).is_ok());
    assert!(headers(Encoding::MsgPack, &event(map(100))).is_ok());
    for depth in [128, 200_000] {
        for bomb in [array(depth), map(depth)] {
            let payload = event(bomb.clone());
            check(
                headers(Encoding::MsgPack, &payload),
                "bomb",
                "RequestHeaders is nested deeper than 128 levels (agent protocol, section 4)",
            );
            assert_eq!(
                event::salvage_correlation_id(Encoding::MsgPack, &payload),
                None
            );
            let payload = mp::map(&[("config", bomb), ("correlation_id", mp::text("c"))]);
            check(
                configure::parse(Encoding::MsgPack, &payload),
                "bomb",
                "Configure field `config` is nested deeper than 128 levels (agent protocol, section 3)",
            );
        }
    }
}
