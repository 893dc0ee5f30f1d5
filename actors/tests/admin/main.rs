//! The admin listener, end to end: a real agent, a simulated SPIRE, real TCP, bytes written by hand.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test may panic"
)]

mod probes;
mod stage;

use std::sync::Arc;
use std::time::{Duration, Instant};

use actors::admin::guard::Resource;
use actors::admin::{STREAMS_MAX, listen};
use actors::health::Readiness;
use chaos::client::Request;
use chaos::spire::SocketFile;
use config::{AdminAddress, Source, Sourced};
use stage::{FRONTEND, Stage, eventually, soon};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

const POLICY: &str = "allowlist { exact \"spiffe://example.org/frontend\" }\n\
                      audit { log-success #false; log-failure #false }\n";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_resource_is_there_and_says_how_it_may_be_used() {
    let stage = Stage::live(POLICY).await;
    eventually("ready", async || stage.get("/readyz").await.status == 200).await;
    for (resource, kind) in [
        (Resource::Page, "text/html"),
        (Resource::Status, "application/json"),
        (Resource::Live, "text/plain"),
        (Resource::Ready, "text/plain"),
        (Resource::Health, "text/plain"),
    ] {
        let path = resource.path();
        let response = stage.get(path).await;
        assert_eq!(response.status, 200, "{path}: {response:?}");
        let found = response.header("content-type").unwrap();
        assert!(found.starts_with(kind), "{path}: {found}");
        assert_eq!(response.header("cache-control"), Some("no-store"), "{path}");
        assert_eq!(response.header("x-content-type-options"), Some("nosniff"));
        let policy = response.header("content-security-policy").unwrap();
        assert!(policy.starts_with("default-src 'none'"), "{path}: {policy}");
        assert!(
            policy.contains("frame-ancestors 'none'"),
            "{path}: {policy}"
        );
        assert!(!policy.contains("unsafe"), "{path}: {policy}");
        let request = format!("HEAD {path} HTTP/1.1\r\nHost: localhost\r\n\r\n");
        let head = stage.ask(&request).await;
        assert_eq!((head.status, head.body.as_str()), (200, ""), "{path}");
    }
    // Nobody renders metrics yet; then somebody does.
    assert_eq!(stage.get("/metrics").await.status, 404);
    let admin = stage.agent.admin().unwrap();
    admin.expose_metrics(Arc::new(|| "# TYPE a counter\na 1\n".to_owned()));
    let metrics = stage.get("/metrics").await;
    assert_eq!(
        (metrics.status, metrics.body.as_str()),
        (200, "# TYPE a counter\na 1\n")
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_not_asked_rightly_is_not_answered() {
    let stage = Stage::live(POLICY).await;
    for (request, status) in [
        ("GET /nothing HTTP/1.1\r\nHost: localhost\r\n\r\n", 404),
        (
            "POST /status HTTP/1.1\r\nHost: localhost\r\nContent-Length: 0\r\n\r\n",
            405,
        ),
        ("DELETE / HTTP/1.1\r\nHost: localhost\r\n\r\n", 405),
        ("GET /status HTTP/1.1\r\nHost: evil.example\r\n\r\n", 421),
        ("GET / HTTP/1.1\r\nHost: evil.example:9902\r\n\r\n", 421),
        ("GET /events HTTP/1.1\r\nHost: evil.example\r\n\r\n", 421),
        (
            "GET /status HTTP/1.1\r\nHost: localhost\r\nHost: evil.example\r\n\r\n",
            421,
        ),
        ("GET /status HTTP/1.0\r\n\r\n", 421),
        ("GET /livez HTTP/1.1\r\nHost: evil.example\r\n\r\n", 200),
        ("GET /metrics HTTP/1.1\r\nHost: evil.example\r\n\r\n", 421),
        (
            "GET /healthz?verbose HTTP/1.1\r\nHost: evil.example\r\n\r\n",
            421,
        ),
        (
            "GET /events HTTP/1.1\r\nHost: localhost\r\nSec-Fetch-Site: cross-site\r\n\r\n",
            403,
        ),
        (
            "GET /status HTTP/1.1\r\nHost: localhost\r\nOrigin: http://evil.example\r\n\r\n",
            403,
        ),
        (
            "GET /status HTTP/1.1\r\nHost: localhost\r\nContent-Length: 3\r\n\r\nabc",
            413,
        ),
        (
            "GET /status HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
            413,
        ),
        ("nonsense\r\n\r\n", 400),
    ] {
        let response = stage.ask(request).await;
        assert_eq!(response.status, status, "{request:?}: {response:?}");
        assert!(!response.body.contains("example.org"), "{request:?}");
    }
    let long = format!(
        "GET / HTTP/1.1\r\nHost: localhost\r\nA: {}\r\n\r\n",
        "a".repeat(64 * 1024)
    );
    let many = format!(
        "GET / HTTP/1.1\r\nHost: localhost\r\n{}\r\n",
        "A: b\r\n".repeat(1_000)
    );
    for request in [long, many] {
        let response = stage.ask(&request).await;
        assert!(matches!(response.status, 0 | 431), "{response:?}");
    }
    assert_eq!(stage.get("/livez").await.status, 200);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn readiness_waits_for_spire_latches_and_goes_with_the_drain() {
    let config = format!("spire {{ unavailable-after-ms 300 }}\n{POLICY}");
    let stage = Stage::start(&config, false).await;
    eventually("the want of bundles", async || {
        let response = stage.get("/readyz").await;
        response.status == 503 && response.body.contains("no bundles from SPIRE yet")
    })
    .await;
    assert_eq!(stage.get("/livez").await.status, 200);
    stage.world.spire().start().unwrap();
    eventually("ready", async || stage.get("/readyz").await.body == "ok\n").await;

    // Refusing is no reason to be taken away, and is told.
    stage.world.spire().stop(SocketFile::Left).await.unwrap();
    eventually("an outage", async || {
        stage.get("/healthz").await.status == 503
    })
    .await;
    let verbose = stage.get("/healthz?verbose").await;
    for line in [
        "[+]live ",
        "[+]ready ready",
        "[-]health unhealthy, SPIRE Outage",
        "healthz check failed",
    ] {
        assert!(verbose.body.contains(line), "{line}: {}", verbose.body);
    }
    assert_eq!(stage.get("/readyz").await.status, 200);

    stage.agent.doors().health.drain();
    let draining = stage.get("/readyz?verbose").await;
    assert_eq!(draining.status, 503);
    assert!(
        draining.body.contains("[-]ready draining"),
        "{}",
        draining.body
    );
    assert_eq!(stage.get("/livez").await.status, 200);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_strict_are_unready_while_degraded() {
    let config = format!(
        "spire {{ unavailable-after-ms 300 }}\nfailure {{ spire-unavailable \"cache\" }}\n\
         agent {{ degraded-is-unready #true }}\n{POLICY}"
    );
    let stage = Stage::live(&config).await;
    eventually("ready", async || stage.get("/readyz").await.status == 200).await;
    stage.world.spire().stop(SocketFile::Left).await.unwrap();
    eventually("unready", async || {
        stage
            .get("/readyz")
            .await
            .body
            .contains("degraded-is-unready")
    })
    .await;
    // Degraded, yet healthy enough to answer.
    let health = stage.get("/healthz?verbose").await;
    assert!(
        health.body.contains("[+]health degraded"),
        "{}",
        health.body
    );
    stage.world.spire().start().unwrap();
    eventually("ready again", async || {
        stage.get("/readyz").await.status == 200
    })
    .await;
    assert_eq!(
        stage.agent.doors().health.process().readiness(),
        Readiness::Ready
    );
}

/// A full disk under `on-full "deny"`: everybody is refused, and whoever asks is told why.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_sink_that_has_everybody_refused_is_no_health() {
    for strict in ["#false", "#true"] {
        let config = format!(
            "allowlist {{ exact \"{FRONTEND}\" }}\n\
             audit {{ on-full \"deny\"; sink \"file\" path=\"/dev/full\" }}\n\
             agent {{ degraded-is-unready {strict}; limits {{ decision-deadline-ms 20000 }} }}"
        );
        let stage = Stage::live(&config).await;
        eventually("ready", async || stage.get("/readyz").await.status == 200).await;
        let well = stage.get("/healthz?verbose").await.body;
        assert!(well.contains("[+]audit no sink is in trouble"), "{well}");
        let proxy = stage.proxy().await;
        let svid = stage.world.svid(FRONTEND).unwrap();
        let good = Request::get("/").header("x-forwarded-client-cert", svid.xfcc());
        // The first has its place in the queue; its record is what fails.
        eventually("a refusal", async || {
            !proxy.ask(&good).await.unwrap().is_allow()
        })
        .await;
        eventually("no health", async || {
            stage.get("/healthz").await.status == 503
        })
        .await;
        let body = stage.get("/healthz").await.body;
        for part in [
            "[-]audit requests are refused",
            "/dev/full: No space left on device",
            "free space on the file system of /dev",
            "audit.on-full \"drop\"",
        ] {
            assert!(body.contains(part), "{part}: {body}");
        }
        let (ready, says) = match strict {
            "#true" => (503, "no record can be kept"),
            _ => (200, "ok"),
        };
        eventually("readiness to follow", async || {
            let found = stage.get("/readyz").await;
            found.status == ready && found.body.contains(says)
        })
        .await;
        eventually("ill health", async || {
            stage.status().await.health.state == "unhealthy"
        })
        .await;
        let status = stage.status().await;
        let audit = status.audit.unwrap();
        assert!(audit.refuses);
        assert_eq!(audit.failing[0].sink, "/dev/full");
        assert!(audit.complaint.unwrap().contains("on-full \"deny\""));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_status_says_what_happened() {
    let stage = Stage::live(POLICY).await;
    let proxy = stage.proxy().await;
    let svid = stage.world.svid(FRONTEND).unwrap();
    let good = Request::get("/").header("x-forwarded-client-cert", svid.xfcc());
    assert!(proxy.ask(&good).await.unwrap().is_allow());
    let stranger = stage.world.svid("spiffe://partner.test/billing").unwrap();
    let denied = Request::get("/")
        .header("x-forwarded-client-cert", stranger.xfcc())
        .with_id("asked-7");
    assert!(!proxy.ask(&denied).await.unwrap().is_allow());
    assert!(!proxy.ask(&Request::get("/")).await.unwrap().is_allow());

    let status = stage.status().await;
    assert_eq!(status.schema, 1);
    assert_eq!(status.process.pid, std::process::id());
    assert_eq!(status.health.state, "healthy");
    assert!(
        status.health.live && status.health.ready,
        "{:?}",
        status.health
    );
    let trust = &status.trust;
    assert_eq!(trust.state, "Live");
    let changes: Vec<_> = trust
        .timeline
        .iter()
        .map(|change| (change.to.as_str(), change.cause.as_str()))
        .collect();
    assert_eq!(changes, [("Starting", "start"), ("Live", "full_update")]);
    let names: Vec<_> = trust
        .domains
        .iter()
        .map(|domain| domain.trust_domain.as_str())
        .collect();
    assert_eq!(names, ["example.org", "partner.test"]);
    for domain in &trust.domains {
        assert_eq!(
            (domain.standing.as_str(), domain.authorities.len()),
            ("confirmed", 1)
        );
        assert_eq!(domain.authorities[0].unusable, None);
        assert!(domain.authorities[0].not_after > domain.authorities[0].not_before);
    }
    assert_eq!(status.decisions.allowed["verified"], 1);
    assert_eq!(status.decisions.denied["NOT_ALLOWED"], 1);
    assert_eq!(status.decisions.denied["NO_CREDENTIAL"], 1);
    assert_eq!(
        status.decisions.denied.len(),
        verdict::reason::Reason::ALL.len()
    );

    assert_eq!(status.denials.len(), 2);
    let denial = status
        .denials
        .iter()
        .find(|one| one.reason == "NOT_ALLOWED")
        .unwrap();
    assert_eq!(
        (denial.verdict.as_str(), denial.status),
        ("deny", Some(403))
    );
    assert_eq!(denial.correlation_id, "asked-7");
    assert_eq!(denial.leaf_sha256.as_ref().map(String::len), Some(64));
    assert!(
        denial
            .spiffe_id
            .as_ref()
            .unwrap()
            .starts_with("spiffe://partner.test/")
    );
    assert_eq!(denial.advice, verdict::reason::Reason::NotAllowed.advice());
    assert!(!denial.rule.is_empty());

    let policy = &status.policies.shown[0];
    assert_eq!((status.policies.total, policy.source.as_str()), (1, "file"));
    assert_eq!(
        policy.allowlist.shown,
        ["exact spiffe://example.org/frontend"]
    );
    let setting = |key: &str| {
        status
            .configuration
            .iter()
            .find(|one| one.key == key)
            .unwrap()
    };
    assert_eq!(setting("agent.admin-address").source, "--admin-address");
    assert_eq!(setting("agent.limits.connections").value, "256");
    let places: Vec<_> = status
        .tree
        .iter()
        .map(|place| place.path.as_str())
        .collect();
    assert_eq!(places[..3], ["root", "root/admin", "root/audit"]);
    assert!(
        status.tree.iter().all(|place| place.state == "running"),
        "{places:?}"
    );
    let text = serde_json::to_string(&status).unwrap();
    assert!(
        !text.contains("BEGIN") && !text.contains("MII"),
        "a certificate"
    );
    // Decisions per second, once a second has passed: what came before the first reading is in no second.
    eventually("a rate", async || {
        assert!(proxy.ask(&good).await.unwrap().is_allow());
        let status = stage.status().await;
        let rate = status.decisions.per_second.get("verified");
        rate.is_some_and(|rate| rate.iter().sum::<u64>() >= 1)
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn events_follow_what_happens() {
    let stage = Stage::live(POLICY).await;
    let mut events = stage.events().await;
    let head = events.head().await;
    assert_eq!(head.status, 200);
    assert_eq!(head.header("content-type"), Some("text/event-stream"));
    events
        .until(|status| status["trust"]["state"] == "Live")
        .await;
    stage.world.spire().stop(SocketFile::Left).await.unwrap();
    let lost = events
        .until(|status| status["trust"]["state"] == "Interrupted")
        .await;
    let timeline = lost["trust"]["timeline"].as_array().unwrap();
    assert_eq!(timeline.last().unwrap()["from"], "Live");
    stage.world.spire().start().unwrap();
    events
        .until(|status| status["trust"]["state"] == "Live")
        .await;
    let proxy = stage.proxy().await;
    proxy.ask(&Request::get("/").with_id("seen")).await.unwrap();
    events
        .until(|status| status["denials"][0]["correlation_id"] == "seen")
        .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn streams_are_few_and_the_oldest_gives_way_to_the_newest() {
    let stage = Stage::live(POLICY).await;
    let mut open = Vec::new();
    for _ in 0..STREAMS_MAX {
        let mut events = stage.events().await;
        assert_eq!(events.head().await.status, 200);
        open.push(events);
    }
    let mut late = stage.events().await;
    assert_eq!(late.head().await.status, 200);
    late.until(|status| status["trust"]["state"] == "Live")
        .await;
    // The oldest ends, and the next one goes on.
    while open[0].more().await {}
    open[1]
        .until(|status| status["trust"]["state"] == "Live")
        .await;
    // Probes are answered all the same.
    assert_eq!(stage.get("/livez").await.status, 200);
}

/// More connections than there are places, all silent: a probe is answered at once, and the silent
/// are closed.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_silent_keep_nobody_out() {
    let stage = Stage::live(POLICY).await;
    let mut silent = Vec::new();
    for _ in 0..200 {
        let mut stream = stage.dial().await;
        stream.write_all(b"GET /livez HT").await.unwrap();
        silent.push(stream);
    }
    let asked = Instant::now();
    assert_eq!(stage.get("/livez").await.status, 200);
    assert!(
        asked.elapsed() < Duration::from_secs(4),
        "{:?}",
        asked.elapsed()
    );
    for mut stream in silent {
        let mut rest = Vec::new();
        let _ = soon(stream.read_to_end(&mut rest)).await;
        assert!(rest.len() < 200, "it was answered");
    }
}

#[tokio::test]
async fn a_default_address_that_is_taken_is_done_without_and_another_is_not() {
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let value = AdminAddress::At(taken.local_addr().unwrap());
    let by = |source| listen(Sourced { value, source });
    assert!(by(Source::Default).unwrap().is_none());
    for source in [Source::Flag("--admin-address"), Source::File] {
        let error = by(source).unwrap_err().to_string();
        assert!(error.contains("--admin-address"), "{error}");
    }
    let off = Sourced {
        value: AdminAddress::Off,
        source: Source::File,
    };
    assert!(listen(off).unwrap().is_none());
}
