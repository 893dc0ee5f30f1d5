//! The page against a real agent, and against what the docs list.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test may panic"
)]

use crate::telemetry::losses::tests::losses;
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
    let agent = Agent::start_observed(settings, Clock::system(), unobserved(), None);
    let agent = agent.await.unwrap();
    let metrics = Metrics::new(Resource::builder_empty().build(), None).unwrap();
    let _time = metrics.decision_time();
    metrics.read(&agent, vec![Arc::new(losses(Signal::Traces))]);
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

const ALERTS: &str = include_str!("../../../deploy/prometheus/alerts.yaml");
const ALERTS_TEST: &str = include_str!("../../../deploy/prometheus/alerts_test.yaml");
const RUNBOOK: &str = include_str!("../../../deploy/prometheus/RUNBOOK.md");
const DASHBOARD: &str = include_str!("../../../deploy/grafana/dashboard.json");

/// Names of ours in a text; of a histogram's series the family.
fn named(text: &str) -> BTreeSet<String> {
    let words = text.split(|c: char| !(c.is_ascii_alphanumeric() || c == '_'));
    words
        .filter(|word| word.starts_with("spiffe_agent_"))
        .map(|word| word.trim_end_matches("_bucket").to_owned())
        .collect()
}

#[test]
fn rules_and_dashboard_name_what_there_is() {
    let there = listed("**Metrics.**");
    for (name, text) in [
        ("alerts", ALERTS),
        ("their test", ALERTS_TEST),
        ("runbook", RUNBOOK),
        ("dashboard", DASHBOARD),
    ] {
        let odd: Vec<_> = named(text).difference(&there).cloned().collect();
        assert!(odd.is_empty(), "{name}: {odd:?}");
    }
    // And all of it is on the dashboard.
    assert_eq!(named(DASHBOARD), there);
}

#[test]
fn each_alert_has_a_test_and_a_section() {
    let names = ALERTS
        .lines()
        .filter_map(|line| line.split_once("- alert: "));
    let names: Vec<&str> = names.map(|(_, name)| name).collect();
    assert!(!names.is_empty());
    for name in &names {
        assert!(
            ALERTS_TEST.contains(&format!("- name: {name} fires\n")),
            "{name}"
        );
        assert!(
            ALERTS.contains(&format!("RUNBOOK.md#{}\n", name.to_lowercase())),
            "{name}"
        );
    }
    let sections = RUNBOOK.lines().filter_map(|line| line.strip_prefix("## "));
    assert_eq!(sections.collect::<Vec<_>>(), names);
}
