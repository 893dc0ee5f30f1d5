//! Whatever a proxy, or whoever reached the socket, writes: the right answer, and nobody else notices.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::print_stderr,
    reason = "a test may panic and print"
)]

mod common;

use std::sync::atomic::Ordering::Relaxed;
use std::time::{Duration, Instant};

use chaos::ca::{Authority, AuthorityOptions, SvidOptions};
use chaos::client::{Client, Frame, HeaderOp, Hello, MAX_FRAME_BYTES, Request, kind};
use common::expect::Expected;
use common::load::Load;
use common::{Agent, FRONTEND, LOAD_POLICY, Site, asked, carrying, eventually, unix_now};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::UnixStream;

/// An agent, and somebody who must not notice anything.
struct Scene {
    site: Site,
    agent: Agent,
    bystander: Load,
}

impl Scene {
    async fn new(config: &str) -> Self {
        let site = Site::new();
        let agent = site.live(&format!("{LOAD_POLICY}{config}")).await;
        let questions = common::load::mixed(&site);
        let bystander = common::load::start(agent.socket.clone(), questions, 1);
        bystander.served(1).await;
        Self {
            site,
            agent,
            bystander,
        }
    }

    fn limits(limits: &str) -> String {
        format!("agent {{ limits {{\n decision-deadline-ms 20000\n {limits}\n}} }}\n")
    }

    async fn still_answers(&self, client: &Client) {
        let request = self.site.asks(FRONTEND);
        asked(client, &request, &Expected::allowed_as(FRONTEND)).await;
    }

    /// The bystander noticed nothing, and the process ends well.
    async fn end(self) {
        self.bystander.served(20).await;
        let tally = self.bystander.stop().await;
        assert_eq!(tally.cut.load(Relaxed), 0, "{tally:?}");
        assert_eq!(tally.refused.load(Relaxed), 0, "{tally:?}");
        self.agent.stop().await;
    }
}

fn frame(kind: u8, payload: impl Into<Vec<u8>>) -> Frame {
    Frame {
        kind,
        payload: payload.into(),
    }
}

/// A request's event with these headers, given as JSON text.
fn event(id: &str, headers: &str) -> String {
    format!(
        r#"{{"metadata":{{"correlation_id":"{id}","request_id":"r","client_ip":"10.0.0.1","client_port":1,"server_name":null,"protocol":"HTTP/1.1","tls_version":null,"tls_cipher":null,"route_id":null,"upstream_id":null,"timestamp":""}},"method":"GET","uri":"/","headers":{headers},"correlation_id":"{id}"}}"#
    )
}

#[tokio::test]
async fn an_event_that_cannot_be_read_is_denied_where_its_sender_looks_for_it() {
    let scene = Scene::new("").await;
    let client = scene.agent.connect().await;
    let good = scene.site.world.svid(FRONTEND).unwrap().xfcc();
    let header = format!(r#""x-forwarded-client-cert":[{}]"#, json!(good));
    let deep = format!("{}{}", "[".repeat(100_000), "]".repeat(100_000));
    let cut = event("id", &format!("{{{header}}}"));
    let readable = [
        (event("id", "null"), "no headers"),
        (event("id", "[]"), "a list for headers"),
        (event("id", r#"{"host":"x"}"#), "a text for values"),
        (event("id", r#"{"host":[1]}"#), "a number for a value"),
        (event("id", &format!(r#"{{"host":{deep}}}"#)), "deep values"),
        (
            event("id", &format!("{{{header}}},\"headers\":{{}}")),
            "headers twice",
        ),
        (cut[..cut.len() - 1].to_owned(), "no last brace"),
        (format!("{cut}x"), "more after the end"),
        (format!("{cut}{cut}"), "two events"),
        (
            cut.replacen(
                "\"correlation_id\":\"id\"",
                "\"correlation_id\":\"other\"",
                1,
            ),
            "two ids",
        ),
    ];
    for (payload, what) in readable {
        let sent = frame(kind::REQUEST_HEADERS, payload);
        client.send_frame(&sent).await.unwrap();
        let ids = ["id", "other", ""].map(|id| Box::pin(client.answer(id)));
        let [id, other, none] = ids;
        let answer = tokio::select! {
            answer = id => answer, answer = other => answer, answer = none => answer,
        };
        let answer = answer.unwrap_or_else(|error| panic!("{what}: {error}"));
        assert_eq!(answer.block_status(), Some(400), "{what}: {}", answer.json);
        assert_eq!(
            answer.reason_codes,
            ["BAD_EVENT"],
            "{what}: {}",
            answer.json
        );
        scene.still_answers(&client).await;
    }
    for (payload, what) in [
        (Vec::new(), "nothing"),
        (b"[]".to_vec(), "a list"),
        (b"null".to_vec(), "null"),
        (b"\xff\xfe".to_vec(), "no text"),
        (deep.clone().into_bytes(), "deep"),
        (b"{}".to_vec(), "an empty event"),
    ] {
        client
            .send_frame(&frame(kind::REQUEST_HEADERS, payload))
            .await
            .unwrap();
        let answer = client.answer("").await.unwrap();
        assert_eq!(answer.block_status(), Some(400), "{what}: {}", answer.json);
        scene.still_answers(&client).await;
    }
    assert_eq!(client.unclaimed_answers(), 0);
    scene.end().await;
}

#[tokio::test]
async fn headers_are_recognised_however_they_are_written() {
    let scene = Scene::new("").await;
    let client = scene.agent.connect().await;
    let world = &scene.site.world;
    let good = json!(world.svid(FRONTEND).unwrap().xfcc()).to_string();
    let forged = json!(world.forged(FRONTEND).unwrap().xfcc()).to_string();
    let ask = async |headers: String| {
        let sent = frame(kind::REQUEST_HEADERS, event("id", &headers));
        client.send_frame(&sent).await.unwrap();
        client.answer("id").await.unwrap()
    };
    let name = "x-forwarded-client-cert";
    // A second one, in whatever spelling, must not decide, and must not be overlooked.
    for other in [
        "x-forwarded-client-cert",
        "X-Forwarded-Client-Cert",
        "x-forwarded-client_cert",
        "x\\u002dforwarded-client-cert",
        "\\u0058-FORWARDED-CLIENT-CERT",
    ] {
        for (one, two) in [(&good, &forged), (&forged, &good), (&good, &good)] {
            let answer = ask(format!(r#"{{"{name}":[{one}],"{other}":[{two}]}}"#)).await;
            assert_eq!(
                answer.reason_codes,
                ["MALFORMED"],
                "{other}: {}",
                answer.json
            );
        }
    }
    // Alone and escaped it is the header all the same.
    let answer = ask(format!(r#"{{"x\u002dforwarded-client-cert":[{good}]}}"#)).await;
    assert!(answer.is_allow(), "{}", answer.json);
    // A name that only resembles it is no credential, and none is not overlooked.
    let answer = ask(format!(r#"{{"x_forwarded-client-cert":[{good}]}}"#)).await;
    assert_eq!(answer.reason_codes, ["MALFORMED"], "{}", answer.json);
    // No value, several values, an empty one beside a good one.
    let answer = ask(format!(r#"{{"{name}":[]}}"#)).await;
    assert_eq!(answer.reason_codes, ["NO_CREDENTIAL"], "{}", answer.json);
    for values in [
        format!("{good},{forged}"),
        format!("{forged},{good}"),
        format!("{good},{good}"),
    ] {
        let answer = ask(format!(r#"{{"{name}":[{values}]}}"#)).await;
        assert!(!answer.is_allow(), "{}", answer.json);
    }
    // What could pass for ours is removed by the name it came under.
    let spoofed = [
        "x-spiffe\\u002did",
        "X-SPIFFE-ID",
        "x_spiffe_id",
        "x-spiffe_trust-domain",
    ];
    for spelling in spoofed {
        let headers =
            format!(r#"{{"{name}":[{good}],"{spelling}":["spiffe://example.org/admin"]}}"#);
        let answer = ask(headers).await;
        let plain: String = serde_json::from_str(&format!("\"{spelling}\"")).unwrap();
        let removed = answer
            .header_ops
            .iter()
            .any(|op| matches!(op, HeaderOp::Remove { name } if name.eq_ignore_ascii_case(&plain)));
        assert!(answer.is_allow() && removed, "{spelling}: {}", answer.json);
    }
    // More of them than any request has.
    let many: Vec<String> = (0..5_000)
        .map(|_| r#""x-spiffe-id":["x"]"#.to_owned())
        .collect();
    let answer = ask(format!(r#"{{"{name}":[{good}],{}}}"#, many.join(","))).await;
    assert!(!answer.is_allow(), "{}", answer.json);
    scene.still_answers(&client).await;
    scene.end().await;
}

/// A version 1 message.
async fn tell_v1(stream: &mut UnixStream, message: &str) {
    let length = u32::try_from(message.len()).unwrap();
    stream.write_all(&length.to_be_bytes()).await.unwrap();
    stream.write_all(message.as_bytes()).await.unwrap();
}

async fn hear_v1(stream: &mut UnixStream) -> std::io::Result<Value> {
    let length = stream.read_u32().await?;
    let mut message = vec![0; length as usize];
    stream.read_exact(&mut message).await?;
    Ok(serde_json::from_slice(&message).unwrap())
}

#[tokio::test]
async fn version_1_is_answered_in_turn_and_refused_as_strictly() {
    let scene = Scene::new("").await;
    let world = &scene.site.world;
    let good = json!(world.svid(FRONTEND).unwrap().xfcc()).to_string();
    let forged = json!(world.forged(FRONTEND).unwrap().xfcc()).to_string();
    let mut stream = UnixStream::connect(&scene.agent.socket).await.unwrap();
    let asks = |header: &str| {
        let event = event(
            "id",
            &format!(r#"{{"x-forwarded-client-cert":[{header}]}}"#),
        );
        format!(r#"{{"version":1,"event_type":"request_headers","payload":{event}}}"#)
    };
    for _ in 0..3 {
        tell_v1(&mut stream, &asks(&good)).await;
        let answer = hear_v1(&mut stream).await.unwrap();
        assert_eq!(answer["decision"], "allow", "{answer}");
        assert_eq!(answer["version"], 1, "{answer}");
        tell_v1(&mut stream, &asks(&forged)).await;
        let answer = hear_v1(&mut stream).await.unwrap();
        assert_eq!(answer["decision"]["block"]["status"], 401, "{answer}");
    }
    for wrong in [
        "{}",
        r#"{"version":1}"#,
        "{",
        r#"{"version":1,"event_type":"x","payload":{}}"#,
    ] {
        let mut stream = UnixStream::connect(&scene.agent.socket).await.unwrap();
        tell_v1(&mut stream, wrong).await;
        // Refused or hung up on: never allowed.
        if let Ok(answer) = hear_v1(&mut stream).await {
            assert_ne!(answer["decision"], "allow", "{wrong}: {answer}");
        }
    }
    scene.end().await;
}

#[tokio::test]
async fn an_id_that_is_too_long_or_odd_is_not_echoed_into_trouble() {
    let scene = Scene::new("").await;
    let client = scene.agent.connect().await;
    let odd = "q\"\\\n\u{0}\u{2028}ü";
    let request = scene.site.asks(FRONTEND).with_id(odd);
    asked(&client, &request, &Expected::allowed_as(FRONTEND)).await;
    let record = scene.agent.record(odd).await;
    assert_eq!(record["verdict"], "allow");
    let long = "x".repeat(1 << 20);
    client
        .send(&Request::get("/").with_id(long.as_str()))
        .await
        .unwrap();
    let answer = tokio::select! {
        answer = client.answer("") => answer.unwrap(),
        answer = client.answer(&long) => answer.unwrap(),
    };
    assert!(!answer.is_allow(), "{}", answer.json);
    scene.still_answers(&client).await;
    scene.end().await;
}

#[tokio::test]
async fn a_frame_that_is_none_ends_its_connection_alone() {
    let scene = Scene::new("").await;
    let too_long = u32::try_from(MAX_FRAME_BYTES + 1).unwrap();
    let header = |length: u32, kind: u8| {
        let mut bytes = length.to_be_bytes().to_vec();
        bytes.push(kind);
        bytes
    };
    for (bytes, what) in [
        (header(0, kind::REQUEST_HEADERS), "length 0"),
        (header(too_long, kind::REQUEST_HEADERS), "over 16 MiB"),
        (header(u32::MAX, kind::REQUEST_HEADERS), "4 GiB"),
        (header(1, 0x99), "an unknown type"),
        (header(1, 0x00), "type 0"),
        (header(1, kind::AGENT_RESPONSE), "an agent's own type"),
        (header(1, kind::HANDSHAKE_RESPONSE), "an agent's handshake"),
        (header(1, kind::PONG), "a pong"),
        (b"GET / HTTP/1.1\r\nHost: x\r\n\r\n".to_vec(), "HTTP"),
        (
            b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03".to_vec(),
            "TLS",
        ),
    ] {
        let greeted = scene.agent.connect().await;
        greeted.send_bytes(&bytes, what).await.unwrap();
        greeted
            .closed()
            .await
            .unwrap_or_else(|error| panic!("{what}: {error}"));
        let fresh = scene.agent.dial().await;
        fresh.send_bytes(&bytes, what).await.unwrap();
        fresh
            .closed()
            .await
            .unwrap_or_else(|error| panic!("{what}, first: {error}"));
    }
    // A second handshake is none either.
    let twice = scene.agent.connect().await;
    let _refused = twice.handshake(Hello::default()).await.unwrap_err();
    twice.closed().await.unwrap();
    scene.end().await;
}

#[tokio::test]
async fn a_handshake_that_cannot_be_accepted_is_refused_with_its_reason() {
    let scene = Scene::new("").await;
    let odd = Hello {
        supported_versions: vec![1, 3],
        ..Hello::default()
    };
    let client = scene.agent.dial().await;
    let refused = client.handshake(odd).await.unwrap_err().to_string();
    assert!(refused.contains('2'), "{refused}");
    client.closed().await.unwrap();
    let deep = format!("{}{}", "[".repeat(200_000), "]".repeat(200_000));
    for payload in [
        String::new(),
        "x".to_owned(),
        "{}".to_owned(),
        "[]".to_owned(),
        deep.clone(),
        r#"{"supported_versions":"2"}"#.to_owned(),
        r#"{"supported_versions":[2],"config":{"#.to_owned(),
    ] {
        let client = scene.agent.dial().await;
        client
            .send_frame(&frame(kind::HANDSHAKE_REQUEST, payload.clone()))
            .await
            .unwrap();
        let shown = &payload[..payload.len().min(60)];
        client
            .closed()
            .await
            .unwrap_or_else(|error| panic!("{shown}: {error}"));
    }
    // A member that nobody knows is skipped, however deep.
    let payload = format!(r#"{{"supported_versions":[2],"x":{deep}}}"#);
    let client = scene.agent.dial().await;
    client
        .send_frame(&frame(kind::HANDSHAKE_REQUEST, payload))
        .await
        .unwrap();
    scene.still_answers(&client).await;
    // The first frame is a request: no handshake, no answer.
    let client = scene.agent.dial().await;
    client
        .send_frame(&frame(kind::REQUEST_HEADERS, event("id", "{}")))
        .await
        .unwrap();
    client.closed().await.unwrap();
    assert_eq!(client.unclaimed_answers(), 0);
    scene.end().await;
}

#[tokio::test]
async fn a_push_of_garbage_is_blocked_and_nothing_changes() {
    let scene = Scene::new(
        "agent {\n accept-pushed-config #true\n limits { decision-deadline-ms 20000 }\n}\n",
    )
    .await;
    let client = scene.agent.connect().await;
    let deep = format!("{}{}", "[".repeat(100_000), "]".repeat(100_000));
    for config in [
        deep.clone(),
        format!(r#"{{"allowlist":{{"exact":{deep}}}}}"#),
        r#"{"allowlist":{"any":true},"allowlist":{}}"#.to_owned(),
        format!(
            r#"{{"allowlist":{{"patterns":["spiffe://example.org/{}"]}}}}"#,
            "(a{1000}){1000}"
        ),
        format!(
            r#"{{"allowlist":{{"exact":[{}"spiffe://example.org/x"]}}}}"#,
            "\"\",".repeat(100_000)
        ),
    ] {
        let payload =
            format!(r#"{{"correlation_id":"push","config_version":null,"config":{config}}}"#);
        client
            .send_frame(&frame(kind::CONFIGURE, payload))
            .await
            .unwrap();
        let answer = client.answer("push").await.unwrap();
        let shown = &config[..config.len().min(60)];
        assert!(answer.block_status().is_some(), "{shown}: {}", answer.json);
        assert!(answer.block_body().unwrap().len() < 16 * 1024, "{shown}");
        scene.still_answers(&client).await;
    }
    scene.end().await;
}

#[tokio::test]
async fn policies_without_end_are_bounded() {
    let scene = Scene::new(
        "agent {\n accept-pushed-config #true\n limits {\n decision-deadline-ms 20000\n policies 4\n}\n}\n",
    )
    .await;
    let mut clients = Vec::new();
    let mut refused = 0;
    for n in 0..8 {
        let client = scene.agent.connect().await;
        let push =
            json!({"allowlist": {"exact": [FRONTEND, format!("spiffe://example.org/n-{n}")]}});
        let answer = client.configure(&push).await.unwrap();
        refused += usize::from(!answer.is_allow());
        scene.still_answers(&client).await;
        clients.push(client);
    }
    // One proxy leaves as many of the four as it has, for others; the file's own takes none.
    assert_eq!(refused, 6);
    drop(clients);
    let client = scene.agent.connect().await;
    eventually("a place for a policy", async || {
        let push = json!({"allowlist": {"exact": [FRONTEND, "spiffe://example.org/late"]}});
        client.configure(&push).await.unwrap().is_allow()
    })
    .await;
    scene.end().await;
}

/// Large frames that were begun and do not go on leave memory for others' to come whole.
#[tokio::test]
async fn begun_frames_hold_no_memory_that_they_do_not_fill() {
    let scene = Scene::new(
        "agent { limits {\n frame-memory-bytes 17825792\n handshake-timeout-ms 600000\n \
         decision-deadline-ms 20000\n} }\n",
    )
    .await;
    let mut begun = Vec::new();
    for _ in 0..20 {
        let client = scene.agent.connect().await;
        let mut bytes = u32::try_from(MAX_FRAME_BYTES)
            .unwrap()
            .to_be_bytes()
            .to_vec();
        bytes.push(kind::REQUEST_HEADERS);
        bytes.resize(32 * 1024, b' ');
        client.send_bytes(&bytes, "half a frame").await.unwrap();
        begun.push(client);
    }
    let client = scene.agent.connect().await;
    let request = scene.site.asks(FRONTEND);
    let request = request.header("x-large", "x".repeat(4 << 20));
    asked(&client, &request, &Expected::allowed_as(FRONTEND)).await;
    drop(begun);
    scene.end().await;
}

#[tokio::test]
async fn headers_at_and_over_every_limit_are_refused_for_that_request_alone() {
    let scene = Scene::new("").await;
    let client = scene.agent.connect().await;
    let good = scene.site.world.svid(FRONTEND).unwrap();
    let header = |value: String| Request::get("/").header("x-forwarded-client-cert", value);
    let options = AuthorityOptions::at(unix_now()).with_intermediates(16);
    let deep = Authority::new("deep.test", options).unwrap();
    let seventeen = deep
        .issue("spiffe://deep.test/x", &SvidOptions::at(unix_now()))
        .unwrap();
    let malformed = Expected::Denied(401, "MALFORMED");
    for request in [
        header("A".repeat(64 * 1024 + 1)),
        header(format!(
            "{};Subject=\"{}\"",
            good.xfcc(),
            "x".repeat(64 * 1024)
        )),
        header("A".repeat(8 << 20)),
        header(",".repeat(60_000)),
        header("Cert=\"".repeat(8_000)),
        header("%".repeat(60_000)),
        header("-----BEGIN CERTIFICATE-----".repeat(2_000)),
        header(format!(":{}:", "A".repeat(60_000))),
        header(seventeen.der_base64_list()),
        header("Cert=\"-----BEGIN%20CERTIFICATE-----%0A%FF%FE\"".to_owned()),
        header("\u{0}".to_owned()),
        header("ü".repeat(1000)),
        carrying(&good).header("x-forwarded-client-cert", good.xfcc()),
    ] {
        let answer = client.ask(&request).await.unwrap();
        let shown: String = request.headers["x-forwarded-client-cert"][0]
            .chars()
            .take(40)
            .collect();
        assert_eq!(malformed.check(&request, &answer), Ok(()), "{shown}");
        scene.still_answers(&client).await;
    }
    // Bits of a good certificate, one after the other.
    let der = good.leaf_der().to_vec();
    let pem = good.der_base64();
    for at in (0..pem.len()).step_by(pem.len() / 60) {
        let mut text = pem.clone().into_bytes();
        text[at] = if text[at] == b'A' { b'B' } else { b'A' };
        let request = header(String::from_utf8(text).unwrap());
        let answer = client.ask(&request).await.unwrap();
        assert_eq!(
            answer.block_status(),
            Some(401),
            "base64 at {at} of {}: {}",
            der.len(),
            answer.json
        );
    }
    // Many headers that could pass for ours.
    let spoofing = (0..12_u32).fold(carrying(&good), |request, n| {
        let name: String = "x-spiffe-id"
            .chars()
            .enumerate()
            .map(|(at, c)| {
                if c == '-' && n & (1 << (at % 4)) != 0 {
                    '_'
                } else {
                    c
                }
            })
            .collect();
        request.header(&name, "spiffe://example.org/admin")
    });
    asked(&client, &spoofing, &Expected::allowed_as(FRONTEND)).await;
    scene.end().await;
}

#[tokio::test]
async fn slow_peers_are_let_go_and_idle_ones_are_not() {
    let scene = Scene::new(&Scene::limits("handshake-timeout-ms 300")).await;
    let idle = scene.agent.connect().await;
    let silent = scene.agent.dial().await;
    let torn_handshake = scene.agent.dial().await;
    torn_handshake
        .send_bytes(&[0, 0, 1, 0, kind::HANDSHAKE_REQUEST, b'{'], "half")
        .await
        .unwrap();
    let slow = scene.agent.connect().await;
    slow.send_bytes(&[0, 0, 1, 0, kind::REQUEST_HEADERS, b'{'], "half")
        .await
        .unwrap();
    let header_only = scene.agent.connect().await;
    header_only
        .send_bytes(&[0], "a quarter of a length")
        .await
        .unwrap();
    // One byte after the other: each is progress, and the frame must be whole in time all the same.
    let dripping = scene.agent.connect().await;
    let drip = async {
        dripping
            .send_bytes(&[0, 0, 0xff, 0, kind::REQUEST_HEADERS], "a header")
            .await?;
        loop {
            dripping.send_bytes(b" ", "a byte").await?;
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    let dripped: Result<(), chaos::client::ClientError> =
        tokio::time::timeout(common::PATIENCE, drip)
            .await
            .expect("dripping is ended");
    dripped.unwrap_err();
    for client in [&silent, &torn_handshake, &slow, &header_only] {
        client.closed().await.unwrap();
    }
    scene.still_answers(&idle).await;
    scene.end().await;
}

#[tokio::test]
async fn who_never_reads_stops_only_himself() {
    let scene = Scene::new("").await;
    let mut stream = UnixStream::connect(&scene.agent.socket).await.unwrap();
    let hello = json!({"supported_versions": [2], "proxy_id": "p", "proxy_version": "1", "config": null, "supported_encodings": ["json"]});
    let hello = frame(kind::HANDSHAKE_REQUEST, hello.to_string())
        .encode()
        .unwrap();
    stream.write_all(&hello).await.unwrap();
    let question = frame(kind::REQUEST_HEADERS, event("id", "{}"))
        .encode()
        .unwrap();
    let before = scene.agent.rss_kib();
    let mut sent = 0_usize;
    // Until the agent stops reading, too.
    while tokio::time::timeout(Duration::from_millis(500), stream.write_all(&question))
        .await
        .is_ok()
    {
        sent += 1;
        assert!(sent < 1_000_000, "it reads without end");
    }
    let grown = scene.agent.rss_kib().saturating_sub(before);
    eprintln!("never reads: {sent} requests taken, {grown} KiB more");
    assert!(grown < 16 * 1024, "{grown} KiB for one that never reads");
    let other = scene.agent.connect().await;
    scene.still_answers(&other).await;
    // Once he reads, he is answered.
    let mut some = vec![0; 64 * 1024];
    assert!(stream.read(&mut some).await.unwrap() > 0);
    drop(stream);
    scene.end().await;
}

#[tokio::test]
async fn thousands_of_connections_are_served_or_wait() {
    let limit = rustix::process::getrlimit(rustix::process::Resource::Nofile);
    let raised = rustix::process::Rlimit {
        current: limit.maximum,
        ..limit
    };
    rustix::process::setrlimit(rustix::process::Resource::Nofile, raised).unwrap();
    let room = limit.maximum.unwrap_or(u64::MAX);
    let wanted = 1_500_u64.min(room.saturating_sub(200));
    let scene = Scene::new(&Scene::limits("connections 4000")).await;
    let before = scene.agent.rss_kib();
    let mut clients = Vec::new();
    for _ in 0..wanted {
        clients.push(scene.agent.connect().await);
    }
    for client in clients.iter().step_by(100) {
        scene.still_answers(client).await;
    }
    let each = scene.agent.rss_kib().saturating_sub(before) / wanted;
    eprintln!("{wanted} connections: {each} KiB each");
    assert!(each < 64, "{each} KiB for an idle connection");
    drop(clients);
    eventually("the end of all", async || scene.agent.descriptors() < 100).await;
    scene.end().await;
}

#[tokio::test]
async fn beyond_the_limit_connections_wait_their_turn() {
    let scene = Scene::new(&Scene::limits("connections 4")).await;
    let full = "every place of this door is taken";
    // One is the bystander's.
    let mut served = Vec::new();
    for _ in 0..3 {
        served.push(scene.agent.connect().await);
    }
    let waiting = scene
        .agent
        .dial()
        .await
        .with_timeout(Duration::from_millis(300));
    waiting.handshake(Hello::default()).await.unwrap_err();
    let waiting = waiting.with_timeout(common::PATIENCE);
    scene.agent.said(0, full).await;
    drop(served.pop());
    // What it asked was kept for it.
    waiting.ping().await.unwrap();
    scene.still_answers(&waiting).await;
    // Told once, with what is needed: one comes as another goes.
    let log = scene.agent.log();
    let told: Vec<&str> = log.lines().filter(|line| line.contains(full)).collect();
    let says = |what| told.iter().all(|line| line.contains(what));
    assert!(told.len() == 1, "{told:?}");
    assert!(says("door=\"sentinel\" connections=4"), "{told:?}");
    assert!(says("agent.limits.connections"), "{told:?}");
    scene.end().await;
}

#[tokio::test]
async fn frames_of_16_mib_share_one_budget_and_others_do_not_notice() {
    let scene = Scene::new(&Scene::limits("handshake-timeout-ms 60000")).await;
    let good = scene.site.world.svid(FRONTEND).unwrap().xfcc();
    let large = event(
        "large",
        &format!(
            r#"{{"x-forwarded-client-cert":[{}],"x-large":[""]}}"#,
            json!(good)
        ),
    );
    let filler = MAX_FRAME_BYTES - 1 - large.len();
    let large = large.replace(
        "\"x-large\":[\"\"]",
        &format!("\"x-large\":[\"{}\"]", "x".repeat(filler)),
    );
    let bytes = frame(kind::REQUEST_HEADERS, large).encode().unwrap();
    assert_eq!(bytes.len(), MAX_FRAME_BYTES + 4);
    // Of the budget's 64 MiB one frame's worth is lent to one at a time, and a proxy leaves as much
    // of the rest as it has: two frames.
    let mut holding = Vec::new();
    for _ in 0..2 {
        let client = scene.agent.connect().await;
        client
            .send_bytes(&bytes[..bytes.len() - 1], "all but a byte")
            .await
            .unwrap();
        holding.push(client);
    }
    let third = scene.agent.connect().await;
    let (head, rest) = bytes.split_at(6);
    third.send_bytes(head, "the third's header").await.unwrap();
    let small = scene.agent.connect().await;
    let asked_at = Instant::now();
    scene.still_answers(&small).await;
    eprintln!("beside two frames of 16 MiB: {:?}", asked_at.elapsed());
    let full = scene.agent.rss_kib();
    assert!(full < 160 * 1024, "{full} KiB");
    // The third is not read whole until there is memory.
    let stuck = tokio::time::timeout(
        Duration::from_millis(300),
        third.send_bytes(rest, "the rest"),
    );
    assert!(stuck.await.is_err(), "a third frame was read");
    for client in &holding {
        client
            .send_bytes(&bytes[bytes.len() - 1..], "the last byte")
            .await
            .unwrap();
        let answer = client.answer("large").await.unwrap();
        assert!(answer.is_allow(), "{}", answer.json);
    }
    // The connections stay, their memory does not.
    eventually("the memory back", async || {
        scene.agent.rss_kib() < 64 * 1024
    })
    .await;
    // Again and again, one at a time on each: never more than the budget.
    for client in &holding {
        for _ in 0..2 {
            client.send_bytes(&bytes, "a large frame").await.unwrap();
            assert!(client.answer("large").await.unwrap().is_allow());
        }
    }
    let peak = scene.agent.status_number("VmHWM:");
    let now = scene.agent.rss_kib();
    eprintln!("peak {peak} KiB, {now} KiB with all connections open");
    assert!(peak < 192 * 1024, "{peak} KiB");
    drop(holding);
    scene.end().await;
}

#[tokio::test]
async fn out_of_descriptors_who_is_connected_is_served_and_others_later() {
    let site = Site::new();
    let config = site.write_config(LOAD_POLICY);
    let mut command = std::process::Command::new("sh");
    command.env_clear().env("PATH", "/usr/bin:/bin");
    command.args(["-c", "ulimit -n 48; exec \"$@\"", "sh"]);
    command.arg(env!("CARGO_BIN_EXE_sentinel-spiffe-agent"));
    command.arg("--socket").arg(site.socket());
    command.arg("--spire-socket").arg(site.path("spire.sock"));
    command.arg("--config").arg(config);
    command.args(["--admin-address", "none"]);
    let agent = site.serve(command).await;
    agent.said(0, "to=\"Live\"").await;
    let load = common::load::start(agent.socket.clone(), common::load::mixed(&site), 2);
    load.served(50).await;
    let mut crowd = Vec::new();
    for _ in 0..100 {
        crowd.push(agent.dial().await);
    }
    agent.said(0, "a connection could not be accepted").await;
    load.served(50).await;
    // Told once, however often it is tried, and with the remedy; and that it would be so, at the start.
    let log = agent.log();
    let told: Vec<&str> = log
        .lines()
        .filter(|line| line.contains("could not be accepted"))
        .collect();
    assert!(
        told.len() == 1 && told[0].contains("LimitNOFILE"),
        "{told:?}"
    );
    assert!(
        log.contains("fewer file descriptors") && log.contains("limit=48"),
        "{log}"
    );
    drop(crowd);
    let late = agent.connect().await;
    asked(&late, &site.asks(FRONTEND), &Expected::allowed_as(FRONTEND)).await;
    let tally = load.stop().await;
    assert_eq!(tally.cut.load(Relaxed), 0, "{tally:?}");
    agent.stop().await;
}
