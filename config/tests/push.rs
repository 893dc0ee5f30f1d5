//! A push: which blocks it replaces, which it leaves, and what is not the pusher's to say.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test may panic")]

use std::sync::Arc;

use config::{
    Applied, FileConfig, Json, NamedTimings, Notice, Outcome, Override, Overrides, Push, Settings,
    Source, Timing,
};
use verdict::headers::Slot;
use verdict::policy::{Audit, CertFormat, Failure, Mode};

/// With a file that accepts pushes.
fn settings(file: &str) -> Settings {
    let text = format!("agent {{ accept-pushed-config #true }}\n{file}");
    let file = FileConfig::parse("f", &text).unwrap();
    Settings::resolve(Some(file), &Overrides::default()).unwrap()
}

fn no_file() -> Settings {
    Settings::resolve(None, &Overrides::default()).unwrap()
}

fn applied(settings: &Settings, json: &str) -> Applied {
    match settings.take_push(json.as_bytes()) {
        Ok(Outcome::Applied(applied)) => *applied,
        other => panic!("{other:?}"),
    }
}

const DOCUMENTED: &str = r#"{
    "spire": {"socket": "/run/spire/sockets/agent.sock", "bundle-refresh-interval": 300, "api-timeout-ms": 5000},
    "tls": {"require-mtls": true, "client-cert-header": "X-Forwarded-Client-Cert"},
    "allowlist": {
        "exact": ["spiffe://example.org/frontend", "spiffe://example.org/api-gateway"],
        "prefix": ["spiffe://example.org/services/", "spiffe://example.org/jobs/"],
        "trust-domains": ["example.org", "staging.example.org"],
        "patterns": ["spiffe://example\\.org/team-[a-z]+/.*", "spiffe://.*\\.example\\.org/backend/.*"]
    },
    "failure": {"spire-unavailable": "fail_closed", "validation-failure": "reject", "cache-ttl": 3600},
    "headers": {"spiffe-id": "X-SPIFFE-Id", "trust-domain": "X-SPIFFE-Trust-Domain",
        "workload-id": "X-SPIFFE-Workload-Id", "auth-method": "X-Auth-Method", "auth-timestamp": "X-Auth-Timestamp"},
    "audit": {"log-success": true, "log-failure": true, "include-cert-info": true}
}"#;

#[test]
fn the_documented_block_pushed_is_the_documented_block_read() {
    let file = include_str!("../examples/documented.kdl");
    let file = FileConfig::parse("f", file).unwrap();
    let read = Settings::resolve(Some(file), &Overrides::default()).unwrap();
    let pushed = applied(&no_file(), DOCUMENTED);
    assert_eq!(Some(&pushed.policy), read.policy());
    assert_eq!(pushed.notices, []);
    let timing = pushed.timings.named(Timing::BundleRefreshIntervalS);
    assert_eq!(timing, Some(300));
    assert_eq!(pushed.timings.named(Timing::UnavailableAfterMs), None);
}

#[test]
fn one_entry_is_a_list_of_one() {
    for json in [
        r#"{"allowlist":{"exact":"spiffe://example.org/a"}}"#,
        r#"{"allowlist":{"exact":["spiffe://example.org/a"]}}"#,
    ] {
        let policy = applied(&no_file(), json).policy;
        assert_eq!(policy.allowlist.spec().exact, ["spiffe://example.org/a"]);
    }
    let none = applied(&no_file(), r#"{"allowlist":{"exact":[]}}"#);
    assert_eq!(none.policy.allowlist.spec().exact, [""; 0]);
}

#[test]
fn nothing_is_no_push() {
    for json in ["{}", "null", " { } ", "\nnull\n"] {
        assert_eq!(no_file().take_push(json.as_bytes()), Ok(Outcome::Nothing));
    }
}

#[test]
fn a_block_the_push_names_replaces_the_files_whole() {
    let settings = settings(
        r#"failure { spire-unavailable "cache"; cache-ttl 60; enforce #false }
           allowlist { exact "spiffe://example.org/a"; trust-domains "example.org" }
           tls { client-cert-format "xfcc" }
           audit { log-success #false }"#,
    );
    let pushed = r#"{"failure":{"cache-ttl":120},"allowlist":{"prefix":"spiffe://example.org/b"}}"#;
    let policy = applied(&settings, pushed).policy;
    let expected = Failure {
        cache_ttl_s: 120,
        ..Failure::default()
    };
    assert_eq!(policy.failure, expected);
    assert_eq!(policy.allowlist.spec().exact, [""; 0]);
    assert_eq!(policy.allowlist.spec().trust_domains, [""; 0]);
    assert_eq!(policy.allowlist.spec().prefix, ["spiffe://example.org/b"]);
    assert_eq!(policy.tls.client_cert_format, CertFormat::Xfcc);
    assert!(!policy.audit.log_success);
    // An empty block is named too.
    let policy = applied(&settings, r#"{"allowlist":{},"audit":{}}"#).policy;
    assert!(policy.allowlist.is_empty());
    assert_eq!(policy.audit, Audit::default());
    assert_eq!(policy.failure.spire_unavailable, Mode::Cache);
}

/// A file's list is compiled when the file is read, and by no push that leaves it.
#[test]
fn what_a_push_does_not_name_is_the_files_own() {
    let settings = settings("allowlist { exact \"spiffe://example.org/a\" }");
    let policy = applied(&settings, r#"{"failure":{"cache-ttl":120}}"#).policy;
    let of_file = &settings.policy().unwrap().allowlist;
    assert!(Arc::ptr_eq(&policy.allowlist, of_file));
}

/// On a denylist an entry that matches nothing lets somebody in.
#[test]
fn what_is_refused_is_refused_on_both_lists() {
    for list in ["allowlist", "denylist"] {
        let good = format!(r#"{{"{list}":{{"exact":["spiffe://example.org/a"]}}}}"#);
        assert!(no_file().take_push(good.as_bytes()).is_ok());
        let json = format!(r#"{{"{list}":{{"exact":["spiffe://example.org/a","b"]}}}}"#);
        let errors = no_file().take_push(json.as_bytes()).unwrap_err();
        let lines: Vec<String> = errors.lines().collect();
        let at = format!("{list}.exact[1]");
        assert!(matches!(&*lines, [one] if one.contains(&at)), "{lines:?}");
    }
}

#[test]
fn a_block_no_one_names_is_the_default_and_never_an_earlier_pushs() {
    let settings = no_file();
    let first = applied(
        &settings,
        r#"{"failure":{"spire-unavailable":"fail_open"}}"#,
    );
    assert_eq!(first.policy.failure.spire_unavailable, Mode::FailOpen);
    let second = applied(&settings, r#"{"allowlist":{"any":true}}"#);
    assert_eq!(second.policy.failure, Failure::default());
    assert!(second.policy.allowlist.spec().any);
}

#[test]
fn another_spire_socket_is_reported_and_left_out() {
    let json =
        r#"{"spire":{"socket":"/evil.sock","api-timeout-ms":7000},"allowlist":{"any":true}}"#;
    let applied_ = applied(&no_file(), json);
    assert!(applied_.policy.allowlist.spec().any);
    assert_eq!(applied_.timings.named(Timing::ApiTimeoutMs), Some(7000));
    let [Notice::OtherSpireSocket { pushed, in_force }] = applied_.notices.as_slice() else {
        panic!("{:?}", applied_.notices);
    };
    assert_eq!(pushed.to_string(), "/evil.sock");
    assert_eq!(in_force.to_string(), "/run/spire/sockets/agent.sock");
    // The same path in another spelling is no other socket; what counts is the one in force.
    let same = r#"{"spire":{"socket":"unix:///run//spire/sockets/agent.sock"}}"#;
    assert_eq!(applied(&no_file(), same).notices, []);
    let flag = Overrides::default().with_flag(Override::SpireSocket, "/evil.sock");
    let moved = Settings::resolve(None, &flag).unwrap();
    assert_eq!(applied(&moved, json).notices, []);
    assert_eq!(applied(&moved, same).notices.len(), 1);
}

#[test]
fn timings_outlive_a_push_that_omits_them_and_yield_to_the_file() {
    let settings = settings("spire { api-timeout-ms 900 }");
    let first = applied(
        &settings,
        r#"{"spire":{"api-timeout-ms":700,"unavailable-after-ms":5000}}"#,
    );
    let second = applied(&settings, r#"{"spire":{"withdrawal-grace-ms":0}}"#);
    let latest = second
        .timings
        .over(&first.timings)
        .over(&NamedTimings::default());
    let timings = settings.timings(&latest);
    assert_eq!(timings.api_timeout_ms, 900);
    assert_eq!(timings.unavailable_after_ms, 5000);
    assert_eq!(timings.withdrawal_grace_ms, 0);
    assert_eq!(timings.bundle_refresh_interval_s, 300);
    for (timing, source) in [
        (Timing::ApiTimeoutMs, Source::File),
        (Timing::UnavailableAfterMs, Source::Push),
        (Timing::BundleRefreshIntervalS, Source::Default),
    ] {
        assert_eq!(settings.timing_source(timing, &latest), source);
    }
}

#[test]
fn pushes_are_ignored_where_a_file_decides() {
    let file = FileConfig::parse("f", "allowlist { }").unwrap();
    let settings = Settings::resolve(Some(file), &Overrides::default()).unwrap();
    // Even a wrong one: a refusal would make the proxy drop every connection.
    for json in [r#"{"allowlist":{"any":true}}"#, "nonsense", "{}"] {
        assert_eq!(settings.take_push(json.as_bytes()), Ok(Outcome::Ignored));
    }
}

#[test]
fn pushed_headers_must_go_with_the_files() {
    let settings = settings(r#"tls { client-cert-header "X-Client-Cert" }"#);
    let wrong = r#"{"headers":{"spiffe-id":"x_client_cert"}}"#;
    let errors = settings.take_push(wrong.as_bytes()).unwrap_err();
    let lines: Vec<String> = errors.lines().collect();
    assert_eq!(
        lines,
        [
            "headers.spiffe-id: spiffe-id: this is the header that carries the credential (tls.client-cert-header)"
        ]
    );
    // With a header of its own it does.
    let right = r#"{"headers":{"spiffe-id":"x_client_cert"},"tls":{}}"#;
    let policy = applied(&settings, right).policy;
    let name = policy.headers.name(Slot::SpiffeId).unwrap();
    assert_eq!(name.as_str(), "x_client_cert");
}

#[test]
fn a_push_inside_something_larger_reads_alike() {
    let json: Json = serde_json::from_str(DOCUMENTED).unwrap();
    let taken = no_file().take_json(json.clone());
    assert_eq!(taken, no_file().take_push(DOCUMENTED.as_bytes()));
    let push = Push::from_json(json).unwrap().unwrap();
    assert_eq!(Some(push), Push::parse(DOCUMENTED.as_bytes()).unwrap());
}
