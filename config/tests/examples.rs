//! The documented block reads verbatim, and so do the examples we ship.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test may panic"
)]

use config::{
    Bound, Bounds, DoorSecurity, FileConfig, FileSink, Fsync, NamedTimings, OnFull, Overrides,
    Rotation, Settings, Sink, Source, Timings, TrustedProxy,
};
use verdict::headers::Slot;
use verdict::policy::{Audit, CertFormat, Failure, Mode, ValidationFailure, XfccElement};

const DOCUMENTED: &str = include_str!("../examples/documented.kdl");
const MINIMAL: &str = include_str!("../examples/minimal.kdl");
const PRODUCTION: &str = include_str!("../examples/production.kdl");

fn parse(text: &str) -> FileConfig {
    FileConfig::parse("test.kdl", text).unwrap_or_else(|errors| {
        let lines: Vec<String> = errors.lines().collect();
        panic!("{errors}\n{}", lines.join("\n"));
    })
}

fn settings(text: &str) -> Settings {
    Settings::resolve(Some(parse(text)), &Overrides::default()).unwrap()
}

const DEFAULT_TIMINGS: Timings = Timings {
    bundle_refresh_interval_s: 300,
    api_timeout_ms: 5000,
    unavailable_after_ms: 60_000,
    withdrawal_grace_ms: 30_000,
};

#[test]
fn the_documented_block_reads_verbatim() {
    let settings = settings(DOCUMENTED);
    let policy = settings.policy().unwrap();
    let list = policy.allowlist.spec();
    assert_eq!(
        list.exact,
        [
            "spiffe://example.org/frontend",
            "spiffe://example.org/api-gateway"
        ]
    );
    assert_eq!(
        list.prefix,
        [
            "spiffe://example.org/services/",
            "spiffe://example.org/jobs/"
        ]
    );
    assert_eq!(list.trust_domains, ["example.org", "staging.example.org"]);
    assert_eq!(
        list.patterns,
        [
            r"spiffe://example\.org/team-[a-z]+/.*",
            r"spiffe://.*\.example\.org/backend/.*"
        ]
    );
    assert!(!list.any);
    assert!(policy.denylist.is_empty());
    assert!(policy.tls.require_mtls);
    assert_eq!(
        policy.tls.client_cert_header.as_str(),
        "X-Forwarded-Client-Cert"
    );
    assert_eq!(policy.tls.client_cert_format, CertFormat::Auto);
    assert_eq!(policy.tls.xfcc_element, XfccElement::Last);
    assert_eq!(policy.failure, Failure::default());
    assert_eq!(policy.failure.cache_ttl_s, 3600);
    assert_eq!(policy.audit, Audit::default());
    let names: Vec<&str> = policy
        .headers
        .iter()
        .map(|(_, name)| name.as_str())
        .collect();
    assert_eq!(
        names,
        [
            "X-SPIFFE-Id",
            "X-SPIFFE-Trust-Domain",
            "X-SPIFFE-Workload-Id",
            "X-Auth-Method",
            "X-Auth-Timestamp"
        ]
    );
    let socket = settings.spire_socket();
    assert_eq!(socket.value.to_string(), "/run/spire/sockets/agent.sock");
    assert_eq!(socket.source, Source::File);
    assert_eq!(settings.timings(&NamedTimings::default()), DEFAULT_TIMINGS);
}

#[test]
fn the_documented_block_is_the_published_one() {
    // The same text as the published page's, from `agents {` to the end of its `routes`.
    assert_eq!(DOCUMENTED.lines().count(), 84);
    assert!(DOCUMENTED.contains("        events [\"request_headers\"]\n"));
    assert!(DOCUMENTED.contains("        matches { path-prefix \"/api\" }\n"));
    assert!(DOCUMENTED.contains("    require-mtls true\n"));
}

#[test]
fn an_error_in_the_documented_block_stands_where_it_is() {
    let broken = DOCUMENTED.replace("cache-ttl 3600", "cache-ttl \"3600\"");
    let errors = FileConfig::parse("sentinel.kdl", &broken).unwrap_err();
    let lines: Vec<String> = errors.lines().collect();
    assert_eq!(
        lines,
        [
            "sentinel.kdl:56:27: `cache-ttl` takes a whole number, not a text; write the number alone, without quotes or unit"
        ]
    );
}

#[test]
fn the_minimal_example_says_who() {
    let settings = settings(MINIMAL);
    let policy = settings.policy().unwrap();
    assert_eq!(
        policy.allowlist.spec().exact,
        ["spiffe://example.org/frontend"]
    );
    assert_eq!(policy.failure, Failure::default());
    assert!(!settings.agent().accept_pushed_config.value);
    assert_eq!(settings.agent().sinks, [Sink::Stdout]);
}

#[test]
fn the_production_example_has_every_key() {
    let settings = settings(PRODUCTION);
    let policy = settings.policy().unwrap();
    assert_eq!(policy.tls.client_cert_format, CertFormat::Xfcc);
    assert_eq!(policy.tls.xfcc_element, XfccElement::Only);
    assert_eq!(policy.allowlist.spec().exact.len(), 2);
    assert_eq!(
        policy.allowlist.spec().patterns,
        [r"spiffe://example\.org/team-[a-z]+/.*"]
    );
    assert_eq!(
        policy.denylist.spec().trust_domains,
        ["former-partner.test"]
    );
    assert_eq!(policy.failure.spire_unavailable, Mode::Cache);
    assert_eq!(policy.failure.validation_failure, ValidationFailure::Reject);
    let basis = policy.headers.name(Slot::TrustBasis).unwrap();
    assert_eq!(basis.as_str(), "X-Auth-Trust-Basis");
    assert_eq!(settings.timings(&NamedTimings::default()), DEFAULT_TIMINGS);

    let agent = settings.agent();
    let socket = agent.socket.value.to_string();
    assert_eq!(socket, "/run/sentinel-spiffe/agent.sock");
    assert_eq!(agent.socket_mode.bits(), 0o660);
    assert_eq!(agent.socket_group.as_ref().unwrap().value, "proxy");
    assert_eq!(
        agent.trusted_accounts,
        [TrustedProxy::Uid(990), TrustedProxy::Gid(991)]
    );
    let grpc = agent.grpc.as_ref().unwrap();
    assert_eq!(grpc.address.value.to_string(), "0.0.0.0:50051");
    let DoorSecurity::MutualTls(ids) = &grpc.security else {
        panic!("{:?}", grpc.security);
    };
    assert_eq!(ids[0].as_str(), "spiffe://example.org/proxy");
    assert!(!agent.accept_pushed_config.value);
    assert_eq!(agent.accept_pushed_config.source, Source::File);
    let state = &agent.state_dir.as_ref().unwrap().value;
    assert_eq!(state.to_str(), Some("/var/lib/sentinel-spiffe"));
    let file = FileSink {
        rotation: Some(Rotation {
            at_bytes: 104_857_600,
            keep: 8,
        }),
        fsync: Fsync::Interval { ms: 1000 },
        ..FileSink::at("/var/log/sentinel-spiffe/audit.jsonl".into())
    };
    assert_eq!(agent.sinks, [Sink::Stdout, Sink::File(file)]);
    assert_eq!(agent.on_full, OnFull::Drop);
    assert_eq!(agent.bounds, Bounds::default());
    for bound in Bound::ALL {
        let limit = bound.limit();
        let line = format!("        {} {}\n", limit.key, limit.default);
        assert!(PRODUCTION.contains(&line), "{line}");
    }
}

#[test]
fn a_collector_is_a_sink_and_is_printed_as_one() {
    let text = "audit {\n sink \"otlp\"\n sink \"stderr\"\n on-full \"block\"\n}\n";
    let file = FileConfig::parse("test.kdl", text).unwrap();
    let settings = Settings::resolve(Some(file), &Overrides::default()).unwrap();
    assert_eq!(settings.agent().sinks, [Sink::Otlp, Sink::Stderr]);
    let effective = format!("{:?}", settings.effective());
    assert!(
        effective.contains(r#"["\"otlp\"", "\"stderr\""]"#),
        "{effective}"
    );
}

#[test]
fn nothing_at_all_is_a_process_that_waits_for_a_push() {
    let settings = Settings::resolve(None, &Overrides::default()).unwrap();
    assert_eq!(settings.policy(), None);
    assert!(settings.agent().accept_pushed_config.value);
    let socket = settings.agent().socket.value.to_string();
    assert_eq!(socket, "/tmp/sentinel-spiffe.sock");
    let spire = settings.spire_socket().value.to_string();
    assert_eq!(spire, "/run/spire/sockets/agent.sock");
}
