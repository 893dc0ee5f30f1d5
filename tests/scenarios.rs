//! Scenarios of `chaos run` on the built agent, on a SPIRE of the tool's own and on somebody's deployment.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test may panic"
)]

mod common;

use std::path::PathBuf;
use std::process::Command;

use chaos::run::{self, Backend, Deployment, Options, Run, RunError};
use chaos::scenario::Scenario;
use chaos::scenario::file::ScenarioFile;
use common::{Agent, FRONTEND, Site};

const AGENT: &str = env!("CARGO_BIN_EXE_sentinel-spiffe-agent");

fn file(name: &str) -> ScenarioFile {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/chaos/scenarios");
    let text = std::fs::read_to_string(format!("{folder}/{name}.kdl")).unwrap();
    ScenarioFile::parse(name, &text).unwrap()
}

async fn played(scenario: &Scenario) -> Result<Run, RunError> {
    let options = Options {
        agent: PathBuf::from(AGENT),
        spire: Backend::Simulated,
    };
    run::run(scenario, &options, &|_step| {}).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_scenario_is_kept_and_its_twin_breaks_one_promise() {
    let file = file("spire-killed-cache");
    let run = played(&file.scenario).await.unwrap();
    assert!(run.is_kept(), "{:#?}", run.verdicts);
    let twin = played(&file.twin.scenario).await.unwrap();
    let broken: Vec<_> = twin.broken().collect();
    assert_eq!(broken, [&file.twin.breaks], "{:#?}", twin.verdicts);
}

#[cfg(not(feature = "chaos-hooks"))]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_the_kill_switch_a_scenario_that_needs_it_is_skipped() {
    let skipped = played(&file("actor-killed-audit").scenario).await;
    assert!(matches!(skipped, Err(RunError::Skipped(_))), "{skipped:?}");
}

/// An agent of somebody's with this configuration, behind a relay that does not exist yet.
fn deployed(site: &Site, config: &str) -> (Agent, Deployment) {
    let relay = site.path("relay.sock");
    let mut command = Command::new(AGENT);
    command.env_clear();
    command.arg("--socket").arg(site.socket());
    command.arg("--spire-socket").arg(&relay);
    command.arg("--config").arg(site.write_config(config));
    command.arg("--admin-address").arg("127.0.0.1:0");
    let agent = Agent::spawn(command, site.socket(), site.path("audit.jsonl"));
    let deployment = Deployment {
        agent: site.socket(),
        spire: site.path("spire.sock"),
        relay,
        caller_id: FRONTEND.to_owned(),
        caller_pem: site.world.svid(FRONTEND).unwrap().chain_pem(),
        admin: None,
    };
    (agent, deployment)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn somebodys_agent_is_judged_by_its_answers() {
    let site = Site::new();
    let file = file("spire-killed-cache");
    let (agent, mut deployment) = deployed(&site, &file.scenario.agent.config);
    agent.said(0, "admin=\"").await;
    deployment.admin = Some(agent.admin_address());
    let run = run::run_deployed(&file.scenario, &deployment, &|_step| {}).await;
    let run = run.unwrap();
    assert!(run.is_kept(), "{:#?}", run.verdicts);
    let of_states = [
        "by bundles that are known to be old",
        "the outage is seen, and its end",
    ];
    for verdict in &run.verdicts {
        let is_of_states = of_states.contains(&&*verdict.promise);
        assert!(!is_of_states || verdict.finding.is_kept(), "{verdict:?}");
    }
    agent.said(0, "to=\"Outage\"").await;
    agent.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn somebodys_agent_that_breaks_the_promise_is_found_out() {
    let site = Site::new();
    let file = file("spire-killed-cache");
    let (agent, deployment) = deployed(&site, &file.twin.scenario.agent.config);
    let run = run::run_deployed(&file.scenario, &deployment, &|_step| {}).await;
    let run = run.unwrap();
    assert!(
        run.broken().any(|promise| *promise == file.twin.breaks),
        "{:#?}",
        run.verdicts
    );
    agent.stop().await;
}

#[tokio::test]
async fn what_cannot_be_done_to_a_deployment_is_not_tried() {
    let site = Site::new();
    let file = file("entry-deleted");
    let (_agent, deployment) = deployed(&site, &file.scenario.agent.config);
    let skipped = run::run_deployed(&file.scenario, &deployment, &|_step| {}).await;
    assert!(matches!(skipped, Err(RunError::Skipped(_))), "{skipped:?}");
    assert!(!deployment.relay.exists());
}
