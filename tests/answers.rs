//! What the agent answers while SPIRE is there: `decisions.md`, over the real socket.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test may panic"
)]

mod common;

use chaos::ca::{Authority, AuthorityOptions, Defect, KeyKind, SvidOptions};
use chaos::client::{Hello, Request, kind};
use common::expect::Expected;
use common::{FRONTEND, PARTNER, Site, asked, carrying, documented, eventually, unix_now};
use serde_json::{Value, json};

const ALLOW_FRONTEND: &str = "allowlist { exact \"spiffe://example.org/frontend\" }\n";

#[tokio::test]
async fn the_documented_policy_answers_as_documented() {
    let site = Site::new();
    let agent = site.live(&documented()).await;
    let client = agent.connect().await;
    for id in [
        FRONTEND,
        "spiffe://example.org/api-gateway",
        "spiffe://example.org/services/a/b",
        "spiffe://example.org/anything",
    ] {
        asked(&client, &site.asks(id), &Expected::allowed_as(id)).await;
    }
    let unlisted = Expected::Denied(403, "NOT_ALLOWED");
    let denied = asked(&client, &site.asks(PARTNER), &unlisted).await;
    let body = denied.block_body().unwrap().to_owned();
    assert!(
        body.starts_with("forbidden (request request-chaos-"),
        "{body}"
    );
    // The reason is not for strangers (reveal-reason).
    assert!(!body.contains("NOT_ALLOWED"), "{body}");
    agent.stop().await;
}

#[tokio::test]
async fn every_reason_that_the_wire_can_show_is_given_in_order() {
    let site = Site::new();
    let config = "allowlist { any #true }\ndenylist { exact \"spiffe://example.org/retired\" }\n";
    let agent = site.live(config).await;
    let client = agent.connect().await;
    let world = &site.world;
    let spoiled = |defect| carrying(&world.defective(FRONTEND, defect).unwrap());
    let stranger = Authority::new("stranger.test", AuthorityOptions::at(unix_now())).unwrap();
    let any_id = |id: &str| {
        let options = SvidOptions::at(unix_now()).with_defect(Defect::AnyId);
        carrying(&world.home().issue(id, &options).unwrap())
    };
    let strange = stranger
        .issue("spiffe://stranger.test/x", &SvidOptions::at(unix_now()))
        .unwrap();
    let good = world.svid(FRONTEND).unwrap();
    let header = |value: &str| Request::get("/").header("x-forwarded-client-cert", value);
    let table = [
        (Request::get("/"), 401, "NO_CREDENTIAL"),
        (header(""), 401, "NO_CREDENTIAL"),
        (header("-"), 401, "NO_CREDENTIAL"),
        (header("(null)"), 401, "NO_CREDENTIAL"),
        (header("garbage"), 401, "MALFORMED"),
        (header("{\"cert\":1}"), 401, "MALFORMED"),
        (header(&good.xfcc_without_cert()), 401, "MALFORMED"),
        // Any element but the last with a URI: written raw by Envoy, so it can be forged.
        (
            header(&format!("URI=spiffe://example.org/x,{}", good.xfcc())),
            401,
            "MALFORMED",
        ),
        // The name in two spellings.
        (
            carrying(&good).header("x_forwarded_client_cert", good.xfcc()),
            401,
            "MALFORMED",
        ),
        (spoiled(Defect::NoUriSan), 401, "NO_SPIFFE_ID"),
        (spoiled(Defect::TwoUriSans), 401, "INVALID_SPIFFE_ID"),
        (any_id("spiffe://example.org/%61"), 401, "INVALID_SPIFFE_ID"),
        (any_id("spiffe://example.org//x"), 401, "INVALID_SPIFFE_ID"),
        (
            any_id("spiffe://Example.org/frontend"),
            401,
            "INVALID_SPIFFE_ID",
        ),
        (
            any_id("https://example.org/frontend"),
            401,
            "INVALID_SPIFFE_ID",
        ),
        (spoiled(Defect::PathlessId), 401, "NOT_AN_SVID"),
        (spoiled(Defect::CaTrue), 401, "NOT_AN_SVID"),
        (spoiled(Defect::NoKeyUsage), 401, "NOT_AN_SVID"),
        (spoiled(Defect::NoDigitalSignature), 401, "NOT_AN_SVID"),
        (spoiled(Defect::KeyCertSign), 401, "NOT_AN_SVID"),
        (spoiled(Defect::CrlSign), 401, "NOT_AN_SVID"),
        (spoiled(Defect::WrongExtendedKeyUsage), 401, "NOT_AN_SVID"),
        (spoiled(Defect::Expired), 401, "EXPIRED"),
        (spoiled(Defect::NotYetValid), 401, "NOT_YET_VALID"),
        (carrying(&strange), 401, "UNKNOWN_TRUST_DOMAIN"),
        (spoiled(Defect::Forged), 401, "UNTRUSTED"),
        // Our own authority signs an ID of the partner: judged by the partner's bundle alone.
        (any_id(PARTNER), 401, "UNTRUSTED"),
        (site.asks("spiffe://example.org/retired"), 403, "DENIED"),
    ];
    for round in ["new", "remembered"] {
        for (request, status, reason) in &table {
            let answer = client.ask(request).await.expect("an answer");
            let checked = Expected::Denied(*status, reason).check(request, &answer);
            assert_eq!(checked, Ok(()), "{round}");
            assert!(answer.header_ops.is_empty(), "a denial changes no request");
        }
        asked(&client, &carrying(&good), &Expected::allowed_as(FRONTEND)).await;
    }
    agent.stop().await;
}

#[tokio::test]
async fn the_text_beside_the_certificate_is_never_the_identity() {
    let site = Site::new();
    let agent = site.live(ALLOW_FRONTEND).await;
    let client = agent.connect().await;
    let other = site.world.svid("spiffe://example.org/other").unwrap();
    let lying = Request::get("/").header("x-forwarded-client-cert", other.xfcc_as(FRONTEND));
    let answer = client.ask(&lying).await.unwrap();
    // Whether it is malformed or not allowed, it must not be let in.
    assert!(!answer.is_allow(), "{}", answer.json);
    let swapped = other.xfcc().replace(
        &other.leaf_sha256_hex(),
        &site.world.svid(FRONTEND).unwrap().leaf_sha256_hex(),
    );
    let lying = Request::get("/").header("x-forwarded-client-cert", swapped);
    asked(&client, &lying, &Expected::Denied(401, "MALFORMED")).await;
    agent.stop().await;
}

#[tokio::test]
async fn no_identity_header_passes_that_we_did_not_set() {
    let site = Site::new();
    let config = format!(
        "{ALLOW_FRONTEND}tls {{ require-mtls #false }}\nheaders {{ trust-basis \"X-Basis\" }}\n"
    );
    let agent = site.live(&config).await;
    let client = agent.connect().await;
    let spoofed = |request: Request| {
        [
            "X-Spiffe-Id",
            "x_spiffe_id",
            "X-SPIFFE_Trust-Domain",
            "x_auth_method",
            "X-Auth_Timestamp",
            "x-spiffe-workload_id",
            "x_basis",
        ]
        .into_iter()
        .fold(request, |request, name| {
            request.header(name, "spiffe://example.org/admin")
        })
    };
    let verified = spoofed(site.asks(FRONTEND));
    let answer = asked(&client, &verified, &Expected::allowed_as(FRONTEND)).await;
    let upstream = answer.upstream_headers(&verified.headers);
    assert!(
        !upstream.values().flatten().any(|v| v.ends_with("/admin")),
        "{upstream:?}"
    );
    assert_eq!(upstream["x-basis"].len(), 1);
    let anonymous = spoofed(Request::get("/"));
    let answer = asked(&client, &anonymous, &Expected::Anonymous).await;
    let upstream = answer.upstream_headers(&anonymous.headers);
    assert!(
        !upstream.values().flatten().any(|v| v.ends_with("/admin")),
        "{upstream:?}"
    );
    agent.stop().await;
}

#[tokio::test]
async fn an_empty_list_lets_nobody_in() {
    let site = Site::new();
    let agent = site.live("tls { require-mtls #true }\n").await;
    let client = agent.connect().await;
    asked(
        &client,
        &site.asks(FRONTEND),
        &Expected::Denied(403, "NOT_ALLOWED"),
    )
    .await;
    agent.stop().await;
}

#[tokio::test]
async fn log_and_allow_lets_invalid_credentials_in_without_identity() {
    let site = Site::new();
    let config = format!("{ALLOW_FRONTEND}failure {{ validation-failure \"log_and_allow\" }}\n");
    let agent = site.live(&config).await;
    let client = agent.connect().await;
    let unverified = Expected::Unverified("unverified-log-and-allow");
    let forged = carrying(&site.world.forged(FRONTEND).unwrap());
    asked(
        &client,
        &forged.header("x-spiffe-id", FRONTEND),
        &unverified,
    )
    .await;
    let garbage = Request::get("/").header("x-forwarded-client-cert", "garbage");
    asked(&client, &garbage, &unverified).await;
    // Not among checks 2 to 6, 8 and 9.
    asked(
        &client,
        &Request::get("/"),
        &Expected::Denied(401, "NO_CREDENTIAL"),
    )
    .await;
    asked(
        &client,
        &site.asks(PARTNER),
        &Expected::Denied(403, "NOT_ALLOWED"),
    )
    .await;
    asked(
        &client,
        &site.asks(FRONTEND),
        &Expected::allowed_as(FRONTEND),
    )
    .await;
    agent.stop().await;
}

#[tokio::test]
async fn a_roll_out_denies_nobody_and_records_what_it_would_do() {
    let site = Site::new();
    let agent = site
        .live(&format!("{ALLOW_FRONTEND}failure {{ enforce #false }}\n"))
        .await;
    let client = agent.connect().await;
    let unverified = Expected::Unverified("unverified-not-enforced");
    for request in [
        Request::get("/"),
        carrying(&site.world.forged(FRONTEND).unwrap()),
        site.asks(PARTNER),
    ] {
        asked(&client, &request, &unverified).await;
    }
    let request = site.asks(PARTNER).with_id("would-be-denied");
    asked(&client, &request, &unverified).await;
    let record = agent.record("would-be-denied").await;
    assert_eq!(record["enforced"], false);
    assert_eq!(record["reason"], "NOT_ALLOWED");
    assert_eq!(record["verdict"], "allow");
    asked(
        &client,
        &site.asks(FRONTEND),
        &Expected::allowed_as(FRONTEND),
    )
    .await;
    agent.stop().await;
}

#[tokio::test]
async fn reveal_reason_tells_and_names_no_secret() {
    let site = Site::new();
    let agent = site
        .live(&format!(
            "{ALLOW_FRONTEND}failure {{ reveal-reason #true }}\n"
        ))
        .await;
    let client = agent.connect().await;
    let denied = asked(
        &client,
        &site.asks(PARTNER),
        &Expected::Denied(403, "NOT_ALLOWED"),
    )
    .await;
    assert!(denied.block_body().unwrap().contains("NOT_ALLOWED"));
    // An id that would not be plain text is not repeated.
    agent.stop().await;
}

#[tokio::test]
async fn a_record_says_everything_promised_and_nothing_secret() {
    let site = Site::new();
    let agent = site.live(ALLOW_FRONTEND).await;
    let client = agent.connect().await;
    let svid = site.world.svid(FRONTEND).unwrap();
    asked(
        &client,
        &carrying(&svid).with_id("good"),
        &Expected::allowed_as(FRONTEND),
    )
    .await;
    let forged = carrying(&site.world.forged(FRONTEND).unwrap());
    asked(
        &client,
        &forged.with_id("forged"),
        &Expected::Denied(401, "UNTRUSTED"),
    )
    .await;
    let garbage = Request::get("/").header("x-forwarded-client-cert", "sekrit-token-value");
    asked(
        &client,
        &garbage.with_id("garbage"),
        &Expected::Denied(401, "MALFORMED"),
    )
    .await;

    let good = agent.record("good").await;
    assert_eq!(good["verdict"], "allow");
    assert_eq!(good["reason"], Value::Null);
    assert_eq!(good["identity"], "verified");
    assert_eq!(good["spiffe_id"], FRONTEND);
    assert_eq!(good["matched_list"], "allowlist");
    assert!(
        good["matched_rule"].as_str().unwrap().contains(FRONTEND),
        "{good}"
    );
    assert_eq!(good["mode"], "fail_closed");
    assert_eq!(good["state"], "Live");
    assert!(good["generation"].is_u64(), "{good}");
    assert!(good["age_ms"].is_u64(), "{good}");
    assert_eq!(good["leaf_sha256"], svid.leaf_sha256_hex());
    assert_eq!(good["checks"]["path"], "passed");
    assert_eq!(good["checks"]["lists"], "passed");
    assert_eq!(good["request_id"], "request-good");
    assert_eq!(good["client_ip"], "10.0.0.7");
    assert_eq!(good["door"], "sentinel-v2");
    assert!(
        good["proxy"].as_str().unwrap().contains("zentinel-proxy"),
        "{good}"
    );
    assert!(good["time"].as_str().unwrap().ends_with('Z'), "{good}");
    for key in ["serial", "issuer", "not_before", "not_after"] {
        assert!(!good["cert"][key].is_null(), "{key}: {good}");
    }

    let forged = agent.record("forged").await;
    assert_eq!(forged["verdict"], "deny");
    assert_eq!(forged["reason"], "UNTRUSTED");
    assert_eq!(forged["status"], 401);
    assert_eq!(forged["checks"]["path"], "failed");
    assert_eq!(forged["checks"]["lists"], "not_reached");
    assert!(forged["rule"].is_string(), "{forged}");

    agent.record("garbage").await;
    let ended = agent.stop().await;
    let records = std::fs::read_to_string(site.path("audit.jsonl")).unwrap();
    for text in [&records, &ended.stderr, &ended.stdout] {
        assert!(!text.contains("BEGIN"), "a certificate: {text}");
        assert!(
            !text.contains(&svid.der_base64()[..40]),
            "a certificate: {text}"
        );
        assert!(!text.contains("sekrit-token-value"), "a credential: {text}");
    }
}

#[tokio::test]
async fn a_trace_is_followed_into_the_record() {
    let site = Site::new();
    let agent = site.live(ALLOW_FRONTEND).await;
    let client = agent.connect().await;
    let event = json!({
        "metadata": {"correlation_id": "traced", "request_id": "r", "client_ip": "10.0.0.1", "client_port": 1,
            "server_name": null, "protocol": "HTTP/1.1", "tls_version": null, "tls_cipher": null, "route_id": null,
            "upstream_id": null, "timestamp": "", "traceparent": "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"},
        "method": "GET", "uri": "/", "headers": {}, "correlation_id": "traced",
    });
    let frame = chaos::client::Frame {
        kind: kind::REQUEST_HEADERS,
        payload: event.to_string().into_bytes(),
    };
    client.send_frame(&frame).await.unwrap();
    client.answer("traced").await.unwrap();
    let record = agent.record("traced").await;
    assert_eq!(record["trace_id"], "4bf92f3577b34da6a3ce929d0e0e4736");
    agent.stop().await;
}

#[tokio::test]
async fn records_are_left_out_where_the_policy_wants_none() {
    let site = Site::new();
    let config =
        format!("{ALLOW_FRONTEND}audit {{\n log-success #false\n include-cert-info #false\n}}\n");
    let agent = site.live(&config).await;
    let client = agent.connect().await;
    asked(
        &client,
        &site.asks(FRONTEND).with_id("quiet"),
        &Expected::allowed_as(FRONTEND),
    )
    .await;
    asked(
        &client,
        &site.asks(PARTNER).with_id("loud"),
        &Expected::Denied(403, "NOT_ALLOWED"),
    )
    .await;
    let loud = agent.record("loud").await;
    assert!(loud.get("cert").is_none(), "{loud}");
    // In order: were there a record of the first, it would stand before this one.
    assert_eq!(agent.records().len(), 1);
    agent.stop().await;
}

#[tokio::test]
async fn every_format_of_the_header_says_the_same() {
    let site = Site::new();
    let options = AuthorityOptions::at(unix_now()).with_intermediates(2);
    let nested = Authority::new("nested.test", options).unwrap();
    let mut bundles = site.world.spire().bundles();
    bundles.insert(nested.bundle_key(), nested.anchors_der());
    site.world.spire().set_bundles(bundles);
    let agent = site
        .live("allowlist { any #true }\ntls { client-cert-header \"X-Client-Cert\" }\n")
        .await;
    let client = agent.connect().await;
    let svid = site.world.svid(FRONTEND).unwrap();
    let ask = |value: String| Request::get("/").header("x-client-cert", value);
    for value in [
        svid.xfcc(),
        svid.pem_urlencoded(),
        svid.pem_spaces(),
        svid.der_base64(),
        svid.der_base64_list(),
        svid.rfc9440_client_cert(),
    ] {
        asked(&client, &ask(value), &Expected::allowed_as(FRONTEND)).await;
    }
    let id = "spiffe://nested.test/deep";
    let deep = nested.issue(id, &SvidOptions::at(unix_now())).unwrap();
    for value in [deep.xfcc(), deep.der_base64_list()] {
        asked(&client, &ask(value), &Expected::allowed_as(id)).await;
    }
    // Without its intermediates there is no path.
    asked(
        &client,
        &ask(deep.der_base64()),
        &Expected::Denied(401, "UNTRUSTED"),
    )
    .await;
    // The old name is just a header now.
    asked(
        &client,
        &carrying(&svid),
        &Expected::Denied(401, "NO_CREDENTIAL"),
    )
    .await;
    agent.stop().await;
}

#[tokio::test]
async fn every_kind_of_key_is_verified() {
    let site = Site::new();
    let agent = site.live(ALLOW_FRONTEND).await;
    let client = agent.connect().await;
    for key in KeyKind::ALL {
        let options = SvidOptions::at(unix_now()).with_key(key);
        let svid = site.world.svid_with(FRONTEND, &options).unwrap();
        let answer = client.ask(&carrying(&svid)).await.unwrap();
        // Ed25519 is no algorithm of every verifier; what is decided must not be a wrong reason.
        let checked = Expected::allowed_as(FRONTEND).check(&carrying(&svid), &answer);
        assert_eq!(checked, Ok(()), "{key:?}");
    }
    agent.stop().await;
}

#[tokio::test]
async fn without_a_policy_everything_is_refused_and_a_push_cures_it() {
    let site = Site::new();
    let agent = site.serve(site.command()).await;
    agent.said(0, "to=\"Live\"").await;
    let client = agent.connect().await;
    let unconfigured = Expected::Denied(503, "NOT_CONFIGURED");
    asked(&client, &site.asks(FRONTEND), &unconfigured).await;
    asked(&client, &Request::get("/"), &unconfigured).await;
    // No push: allowed, and nothing changes.
    for nothing in [json!({}), Value::Null] {
        assert!(client.configure(&nothing).await.unwrap().is_allow());
        asked(&client, &site.asks(FRONTEND), &unconfigured).await;
    }
    let policy = json!({"allowlist": {"exact": FRONTEND}});
    assert!(client.configure(&policy).await.unwrap().is_allow());
    asked(
        &client,
        &site.asks(FRONTEND),
        &Expected::allowed_as(FRONTEND),
    )
    .await;
    asked(
        &client,
        &site.asks(PARTNER),
        &Expected::Denied(403, "NOT_ALLOWED"),
    )
    .await;
    for nothing in [json!({}), Value::Null] {
        assert!(client.configure(&nothing).await.unwrap().is_allow());
        asked(
            &client,
            &site.asks(FRONTEND),
            &Expected::allowed_as(FRONTEND),
        )
        .await;
    }
    // A policy is its connection's.
    let other = agent.connect().await;
    asked(&other, &site.asks(FRONTEND), &unconfigured).await;
    // The next replaces it.
    let partners = json!({"allowlist": {"trust-domains": ["partner.test"]}});
    assert!(client.configure(&partners).await.unwrap().is_allow());
    asked(&client, &site.asks(PARTNER), &Expected::allowed_as(PARTNER)).await;
    asked(
        &client,
        &site.asks(FRONTEND),
        &Expected::Denied(403, "NOT_ALLOWED"),
    )
    .await;
    // Records go to standard output where no file says otherwise.
    eventually("records", async || {
        agent.output().contains("\"reason\":\"NOT_CONFIGURED\"")
    })
    .await;
    agent.stop().await;
}

#[tokio::test]
async fn a_push_comes_with_the_handshake_too_and_governs_from_the_first_request() {
    let site = Site::new();
    let agent = site.serve(site.command()).await;
    agent.said(0, "to=\"Live\"").await;
    let hello = Hello::with_config(json!({"allowlist": {"exact": [FRONTEND]}}));
    let client = agent.connect_as(hello).await;
    asked(
        &client,
        &site.asks(FRONTEND),
        &Expected::allowed_as(FRONTEND),
    )
    .await;
    let refused = agent.dial().await;
    let wrong = Hello::with_config(json!({"allowlist": {"exakt": [FRONTEND]}}));
    let error = refused.handshake(wrong).await.unwrap_err().to_string();
    assert!(error.contains("exakt"), "{error}");
    refused.closed().await.unwrap();
    agent.stop().await;
}

#[tokio::test]
async fn a_wrong_push_is_blocked_with_its_reason_and_changes_nothing() {
    let site = Site::new();
    let agent = site.serve(site.command()).await;
    agent.said(0, "to=\"Live\"").await;
    let client = agent.connect().await;
    assert!(
        client
            .configure(&json!({"allowlist": {"exact": FRONTEND}}))
            .await
            .unwrap()
            .is_allow()
    );
    for (push, names) in [
        (json!({"allowlist": {"exact": {"-": "b"}}}), "exact"),
        (json!({"allowlist": {"patterns": [".*|x"]}}), "patterns"),
        (json!({"failure": {"cache-ttl": -1}}), "cache-ttl"),
        (
            json!({"failure": {"spire-unavailable": "open"}}),
            "spire-unavailable",
        ),
        (json!({"agent": {"accept-pushed-config": true}}), "agent"),
        (json!({"audit": {"sink": "/etc/passwd"}}), "sink"),
        (json!([1]), "object"),
        (json!("x"), "object"),
        (json!({"headers": {"spiffe-id": "Host"}}), "reserved"),
    ] {
        let answer = client.configure(&push).await.unwrap();
        assert!(answer.block_status().is_some(), "{push}: {}", answer.json);
        let body = answer.block_body().unwrap();
        assert!(body.contains(names), "{push}: {body}");
        asked(
            &client,
            &site.asks(FRONTEND),
            &Expected::allowed_as(FRONTEND),
        )
        .await;
    }
    // The trust root is not the pusher's to choose: reported, the rest applies.
    let elsewhere = json!({"spire": {"socket": "/tmp/evil.sock"}, "allowlist": {"exact": PARTNER}});
    assert!(client.configure(&elsewhere).await.unwrap().is_allow());
    agent.said(0, "a push cannot choose the trust root").await;
    asked(&client, &site.asks(PARTNER), &Expected::allowed_as(PARTNER)).await;
    agent.stop().await;
}

#[tokio::test]
async fn with_a_file_pushes_are_allowed_and_ignored() {
    let site = Site::new();
    let agent = site.live(ALLOW_FRONTEND).await;
    let hello = Hello::with_config(json!({"allowlist": {"any": true}}));
    let client = agent.connect_as(hello).await;
    assert!(
        client
            .configure(&json!({"allowlist": {"any": true}}))
            .await
            .unwrap()
            .is_allow()
    );
    asked(
        &client,
        &site.asks(PARTNER),
        &Expected::Denied(403, "NOT_ALLOWED"),
    )
    .await;
    asked(
        &client,
        &site.asks(FRONTEND),
        &Expected::allowed_as(FRONTEND),
    )
    .await;
    agent.stop().await;
}

#[tokio::test]
async fn the_other_messages_are_answered() {
    let site = Site::new();
    let agent = site.live(ALLOW_FRONTEND).await;
    let client = agent.connect().await;
    client.ping().await.unwrap();
    client.cancel("nobody").await.unwrap();
    // It says how it is, and again when that changes: the number 1 is healthy.
    while client.control(kind::HEALTH_STATUS).await.unwrap()["state"] != 1 {}
    let response = json!({"correlation_id": "later", "status": 200, "headers": {}});
    let frame = chaos::client::Frame {
        kind: kind::RESPONSE_HEADERS,
        payload: response.to_string().into_bytes(),
    };
    client.send_frame(&frame).await.unwrap();
    let answer = client.answer("later").await.unwrap();
    assert!(answer.is_allow() && answer.header_ops.is_empty());
    agent.stop().await;
}

#[tokio::test]
async fn pipelined_requests_are_answered_each_its_own_way() {
    let site = Site::new();
    let agent = site.live(common::LOAD_POLICY).await;
    let load = common::load::start(agent.socket.clone(), common::load::mixed(&site), 4);
    load.served(2_000).await;
    let tally = load.stop().await;
    assert_eq!(
        tally.cut.load(std::sync::atomic::Ordering::Relaxed),
        0,
        "{tally:?}"
    );
    assert_eq!(
        tally.refused.load(std::sync::atomic::Ordering::Relaxed),
        0,
        "{tally:?}"
    );
    agent.stop().await;
}
