//! Writes the seeds and the authority they were signed by: `cargo run --example seeds`, in `fuzz/`.
//!
//! Run it when a format changes; the keys are made anew each time and thrown away.

use std::error::Error;
use std::fs;
use std::path::PathBuf;

use chaos::ca::{Authority, AuthorityOptions, Defect, IssuedSvid, KeyKind, SvidOptions};
use fuzz::known::NOW;
use prost::Message as _;
use proto::sentinel::grpc::{v1, v2};
use proto::workload::X509BundlesResponse;

type Result<T> = std::result::Result<T, Box<dyn Error>>;

const HOME: &str = "example.org";
const CONFIG: &str = r#"{"spire":{"socket":"/run/spire/sockets/agent.sock","bundle-refresh-interval":300},"tls":{"require-mtls":true,"client-cert-header":"X-Forwarded-Client-Cert","client-cert-format":"auto","xfcc-element":"last"},"allowlist":{"exact":["spiffe://example.org/frontend"],"prefix":"spiffe://example.org/services/","trust-domains":["partner.test"],"patterns":["^spiffe://.*\\.example\\.org/backend/[a-z]+$"]},"denylist":{"exact":["spiffe://example.org/services/evil"],"any":false},"failure":{"spire-unavailable":"cache","validation-failure":"reject","cache-ttl":3600,"unavailable-status":503},"headers":{"spiffe-id":"X-SPIFFE-Id","trust-basis":"X-Trust-Basis"},"audit":{"log-success":true}}"#;

fn main() -> Result<()> {
    let now = u64::try_from(NOW.0)?;
    let home = Authority::new(HOME, AuthorityOptions::at(now))?;
    let nested = Authority::new(HOME, AuthorityOptions::at(now).with_intermediates(2))?;
    let stranger = Authority::new("partner.test", AuthorityOptions::at(now))?;
    let bundle = [home.anchors_der(), nested.anchors_der()].concat();
    put("known/example.org.der", &bundle)?;
    let svids = issue(&home, &nested, now)?;
    let known = svids
        .iter()
        .map(|(_, svid)| format!("{} {}\n", svid.leaf_sha256_hex(), svid.spiffe_id));
    put("known/leaves.txt", known.collect::<String>())?;
    for (name, svid) in &svids {
        put(&format!("seeds/svid/{name}"), svid.chain_der.concat())?;
    }
    let forged = home
        .forge()?
        .issue("spiffe://example.org/frontend", &SvidOptions::at(now))?;
    put("seeds/svid/forged", forged.chain_der.concat())?;
    let foreign = stranger.issue("spiffe://partner.test/web", &SvidOptions::at(now))?;
    put("seeds/svid/foreign", foreign.chain_der.concat())?;
    put("seeds/anchors/one", home.anchors_der())?;
    put("seeds/anchors/two", &bundle)?;
    for kind in KeyKind::ALL {
        let one = Authority::new(HOME, AuthorityOptions::at(now).with_key(kind))?;
        put(&format!("seeds/anchors/{kind:?}"), one.anchors_der())?;
    }
    headers(&svids[0].1, &svids[1].1)?;
    bundles(&home, &nested, &stranger)?;
    sessions(&svids[0].1)?;
    protobufs(&svids[0].1)?;
    texts()
}

fn issue(home: &Authority, nested: &Authority, now: u64) -> Result<Vec<(String, IssuedSvid)>> {
    let good = SvidOptions::at(now);
    let mut svids = vec![
        (
            "plain".to_owned(),
            home.issue("spiffe://example.org/frontend", &good)?,
        ),
        (
            "nested".to_owned(),
            nested.issue("spiffe://example.org/frontend/a", &good)?,
        ),
        (
            "banned".to_owned(),
            home.issue("spiffe://example.org/frontend/banned", &good)?,
        ),
        (
            "unlisted".to_owned(),
            home.issue("spiffe://example.org/other", &good)?,
        ),
    ];
    for kind in KeyKind::ALL {
        let svid = home.issue("spiffe://example.org/key", &good.clone().with_key(kind))?;
        svids.push((format!("{kind:?}"), svid));
    }
    for defect in Defect::ALL
        .into_iter()
        .filter(|defect| *defect != Defect::Forged)
    {
        let svid = home.issue(
            "spiffe://example.org/bad",
            &good.clone().with_defect(defect),
        )?;
        svids.push((format!("{defect:?}"), svid));
    }
    Ok(svids)
}

/// One seed for each format: its byte, then the lines.
fn headers(plain: &IssuedSvid, nested: &IssuedSvid) -> Result<()> {
    let two = format!("{},{}", plain.xfcc_without_cert(), plain.xfcc());
    let chain = nested.rfc9440_client_cert_chain().unwrap_or_default();
    let rfc = format!(
        "{}\nClient-Cert-Chain: {chain}",
        nested.rfc9440_client_cert()
    );
    let seeds = [
        (0, "auto", plain.der_base64()),
        (1, "xfcc", nested.xfcc()),
        (0, "xfcc-two", two),
        (0x81, "xfcc-only", plain.xfcc()),
        (2, "pem-urlencoded", plain.pem_urlencoded()),
        (3, "pem-spaces", nested.chain_pem().replace('\n', " ")),
        (4, "der-base64", plain.der_base64()),
        (5, "concatenated", plain.der_base64()),
        (5, "concatenated-leaf-twice", "MATBg2D/MATBg2D/".to_owned()),
        (6, "list", nested.der_base64_list()),
        (7, "rfc9440", rfc.clone()),
        (0, "auto-rfc9440", rfc),
        (0, "absent", "-".to_owned()),
        (0, "json", "{\"cert\":1}".to_owned()),
    ];
    for (format, name, lines) in seeds {
        put(
            &format!("seeds/cert_header/{name}"),
            [&[format], lines.as_bytes()].concat(),
        )?;
    }
    Ok(())
}

fn bundles(home: &Authority, nested: &Authority, stranger: &Authority) -> Result<()> {
    let message = |bundles: &[(&str, Vec<u8>)]| {
        let bundles = bundles
            .iter()
            .map(|(key, der)| ((*key).to_owned(), der.clone().into()));
        let message = X509BundlesResponse {
            bundles: bundles.collect(),
            ..Default::default()
        };
        let message = message.encode_to_vec();
        let length = u16::try_from(message.len()).expect("a small bundle");
        [&length.to_be_bytes()[..], &message].concat()
    };
    let (key, partner) = ("spiffe://example.org", "spiffe://partner.test");
    let one = message(&[(key, home.anchors_der())]);
    let both = message(&[
        (key, nested.anchors_der()),
        (partner, stranger.anchors_der()),
    ]);
    let broken = message(&[(key, vec![0x30, 1]), (partner, stranger.anchors_der())]);
    put("seeds/bundle/one", &one)?;
    put("seeds/bundle/growing", [&one[..], &both].concat())?;
    put("seeds/bundle/kept", [&both[..], &broken, &broken].concat())?;
    put(
        "seeds/bundle/emptied",
        [&both[..], &message(&[(key, Vec::new())])].concat(),
    )
}

fn sessions(svid: &IssuedSvid) -> Result<()> {
    let frame = |kind: u8, payload: &[u8]| {
        let length = u32::try_from(payload.len() + 1).expect("a small payload");
        [&length.to_be_bytes()[..], &[kind], payload].concat()
    };
    let hello = |encoding: &str, config: &str| {
        let hello = format!(
            r#"{{"supported_versions":[2],"proxy_id":"zentinel-proxy","proxy_version":"0.6.45","config":{config},"supported_encodings":["{encoding}"]}}"#
        );
        frame(1, hello.as_bytes())
    };
    let event = serde_json::json!({
        "metadata": {"correlation_id": "c-1", "request_id": "r-1", "client_ip": "10.0.0.1",
            "client_port": 1, "protocol": "HTTP/1.1", "timestamp": "2026-01-01T00:00:00Z", "traceparent": null},
        "method": "GET", "uri": "/", "correlation_id": "c-1",
        "headers": {"x-forwarded-client-cert": [svid.xfcc()], "host": ["a", "b\u{e9}\n"]},
    });
    let configure = serde_json::json!({"config": {"allowlist": {"any": true}}, "config_version": "1", "correlation_id": "c-2"});
    let json = |value: &serde_json::Value| serde_json::to_vec(value);
    let msgpack = |value: &serde_json::Value| rmp_serde::to_vec_named(value);
    let ping = frame(0x41, br#"{"sequence":1,"timestamp_ms":2}"#);
    let cancel = frame(0x40, br#"{"correlation_id":"c-1","reason":1}"#);
    let other = frame(0x14, br#"{"correlation_id":"c-9","status":200}"#);
    put(
        "seeds/session/json",
        [hello("json", "null"), frame(0x10, &json(&event)?), ping].concat(),
    )?;
    put(
        "seeds/session/pushed",
        [
            hello("json", CONFIG),
            frame(0x17, &json(&configure)?),
            cancel,
        ]
        .concat(),
    )?;
    put(
        "seeds/session/msgpack",
        [
            hello("msgpack", "{}"),
            frame(0x10, &msgpack(&event)?),
            frame(0x17, &msgpack(&configure)?),
        ]
        .concat(),
    )?;
    let positional =
        rmp_serde::to_vec(&serde_json::json!([["c-1", "r-1"], "GET", "/", {"a": ["b"]}, "c-1"]))?;
    put(
        "seeds/session/positional",
        [hello("msgpack", "null"), frame(0x10, &positional), other].concat(),
    )?;
    let v1 = |kind: &str, payload: &serde_json::Value| {
        let message = format!(r#"{{"version":1,"event_type":"{kind}","payload":{payload}}}"#);
        let length = u32::try_from(message.len()).expect("a small message");
        [&length.to_be_bytes()[..], message.as_bytes()].concat()
    };
    let first = v1(
        "configure",
        &serde_json::json!({"agent_id": "a", "config": {"tls": {}}}),
    );
    put(
        "seeds/session/v1",
        [first, v1("request_headers", &event)].concat(),
    )
}

fn protobufs(svid: &IssuedSvid) -> Result<()> {
    let hello = v2::HandshakeRequest {
        supported_versions: vec![1, 2],
        proxy_id: "sentinel-proxy".to_owned(),
        proxy_version: "1".to_owned(),
        config_json: CONFIG.to_owned(),
    };
    let header = |name: &str, value: &str| v2::Header {
        name: name.to_owned(),
        value: value.to_owned(),
    };
    let event = v2::RequestHeadersEvent {
        metadata: Some(v2::RequestMetadata {
            correlation_id: "c".to_owned(),
            ..Default::default()
        }),
        headers: vec![
            header("b", "1"),
            header("x-forwarded-client-cert", &svid.xfcc()),
            header("b", "2"),
        ],
    };
    let event_v1 = v1::RequestHeadersEvent {
        metadata: Some(v1::RequestMetadata {
            correlation_id: "c".to_owned(),
            ..Default::default()
        }),
        headers: vec![v1::HeaderEntry {
            key: "b".to_owned(),
            value: Some(v1::HeaderValues {
                values: vec!["1".to_owned(), "2".to_owned()],
            }),
        }],
    };
    put(
        "seeds/grpc/handshake",
        [&[0], &hello.encode_to_vec()[..]].concat(),
    )?;
    put(
        "seeds/grpc/event",
        [&[1], &event.encode_to_vec()[..]].concat(),
    )?;
    put(
        "seeds/grpc/event-v1",
        [&[2], &event_v1.encode_to_vec()[..]].concat(),
    )
}

fn texts() -> Result<()> {
    let ids = [
        "spiffe://example.org/ns/default/sa/web",
        "spiffe://example.org",
        "spiffe://a_b-c.1/A/b.c/..d",
        "spiffe://example.org/a/../b",
        "spiffe://example.org/a//b/",
        "spiffe://user@example.org:80/a?b#c",
        "SPIFFE://Example.org/%41",
    ];
    for (number, id) in ids.iter().enumerate() {
        put(&format!("seeds/spiffe_id/{number}"), id)?;
    }
    let long = format!(
        "spiffe://{}/{}",
        "a".repeat(255),
        "b".repeat(2048 - 9 - 255 - 1)
    );
    put("seeds/spiffe_id/longest", long)?;
    put("seeds/push/all", CONFIG)?;
    put(
        "seeds/push/any",
        r#"{"allowlist":{"any":true},"denylist":{"patterns":".*"}}"#,
    )?;
    put(
        "seeds/push/lost",
        r#"{"allowlist":{"exact":{"-":"b"}},"agent":{},"audit":{"sink":"stdout"}}"#,
    )?;
    put("seeds/push/null", "null")?;
    for (number, file) in FILES.iter().enumerate() {
        put(&format!("seeds/config_file/{number}"), file)?;
    }
    Ok(())
}

const FILES: [&str; 3] = [
    "spire {\n  socket \"/run/spire/sockets/agent.sock\"\n  bundle-refresh-interval 300\n}\ntls { require-mtls true }\nallowlist {\n  exact [ \"spiffe://example.org/a\" \"spiffe://example.org/b\" ] // a list\n  prefix \"spiffe://example.org/services/\"\n  patterns r\"spiffe://example\\.org/team-[a-z]+/.*\"\n}\n",
    "config {\n  allowlist { any #true; }\n  /- denylist { exact \"spiffe://example.org/x\" }\n  failure spire-unavailable=\"cache\" { cache-ttl 60 }\n}\nagent { trusted-proxies \"uid:0\"; state-dir \"/var/lib/x\" }\n",
    "agents { agent \"spiffe\" type=\"custom\" {\n unix-socket path=\"/tmp/a.sock\"\n events [\"x\"]\n config { allowlist { trust-domains #\"\"\"\n a\n \"\"\"# } } } }\n",
];

fn put(path: &str, bytes: impl AsRef<[u8]>) -> Result<()> {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join(path);
    fs::create_dir_all(path.parent().unwrap_or(&path))?;
    Ok(fs::write(path, bytes)?)
}
