//! The page against a real agent, and against what the docs list.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test may panic"
)]

use std::collections::BTreeSet;

use actors::agent::Agent;
use actors::clock::Clock;
use actors::observe::unobserved;
use config::{FileConfig, Override, Overrides, Settings};

use super::super::plan::Signal;
use super::*;

const README: &str = include_str!("../../../README.md");

fn settings(directory: &std::path::Path) -> Settings {
    let policy = r#"allowlist { exact "spiffe://example.org/frontend" }"#;
    let file = FileConfig::parse("test.kdl", policy).unwrap();
    let path = |name: &str| directory.join(name).display().to_string();
    let overrides = Overrides::default()
        .with_flag(Override::Socket, path("agent.sock"))
        .with_flag(Override::SpireSocket, path("spire.sock"));
    Settings::resolve(Some(file), &overrides).unwrap()
}

async fn page() -> String {
    let directory = tempfile::tempdir().unwrap();
    let settings = settings(directory.path());
    let agent = Agent::start_observed(settings, Clock::system(), unobserved());
    let agent = agent.await.unwrap();
    let metrics = Metrics::new(Resource::builder_empty().build(), None).unwrap();
    let _time = metrics.decision_time();
    metrics.read(&agent, vec![Arc::new(Losses::new(Signal::Traces))]);
    let page = metrics.page()();
    agent.shutdown().await;
    page
}

/// Family names, as `# TYPE name kind` lines give them.
fn families(page: &str) -> BTreeSet<String> {
    let types = page.lines().filter_map(|line| line.strip_prefix("# TYPE "));
    types
        .filter_map(|line| line.split_whitespace().next())
        .map(str::to_owned)
        .collect()
}

/// First cells of the table below `title`, without their backticks.
fn listed(title: &str) -> BTreeSet<String> {
    let (_, below) = README.split_once(title).unwrap();
    let lines = below.lines().skip_while(|line| !line.starts_with('|'));
    let rows = lines.take_while(|line| line.starts_with('|')).skip(2);
    rows.map(|row| row.split('`').nth(1).unwrap().to_owned())
        .collect()
}

#[tokio::test]
async fn the_page_has_what_the_readme_lists() {
    let page = page().await;
    let mut found = families(&page);
    // Series that need a trust domain, or a decision, are not there yet.
    let later = [
        "spiffe_agent_authority_expiry_timestamp_seconds",
        "spiffe_agent_bundle_age_seconds",
        "spiffe_agent_bundle_authorities",
    ];
    found.extend(later.map(str::to_owned));
    // What the exporter says of the resource.
    found.remove("target_info");
    assert_eq!(found, listed("**Metrics.**"), "{page}");
}

#[tokio::test]
async fn labels_are_closed_lists() {
    let page = page().await;
    for line in [
        r#"spiffe_agent_decisions_total{identity="none",reason="NO_CREDENTIAL",verdict="deny"} 0"#,
        r#"spiffe_agent_decisions_total{identity="verified",reason="",verdict="allow"} 0"#,
        r#"spiffe_agent_availability{state="Live"} 0"#,
        r#"spiffe_agent_actor_restarts_total{actor="root/trust/bundles"} 0"#,
        r#"spiffe_agent_telemetry_lost_total{cause="queue_full",signal="traces"} 0"#,
    ] {
        assert!(page.contains(line), "{line}\n{page}");
    }
    let series = page.lines().filter(|line| !line.starts_with('#'));
    assert!(series.count() < 200, "{page}");
    assert!(!page.contains("spiffe://"), "{page}");
}
