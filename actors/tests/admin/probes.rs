//! What each line of a probe says: what is so, why, and what to do.

use chaos::client::Request;
use chaos::spire::SocketFile;

use crate::POLICY;
use crate::stage::{FRONTEND, Stage, eventually};

async fn until_said(stage: &Stage, path: &str, part: &str) -> String {
    eventually(part, async || stage.get(path).await.body.contains(part)).await;
    stage.get(path).await.body
}

fn line<'a>(body: &'a str, check: &str) -> &'a str {
    let line = body
        .lines()
        .find(|line| line.get(3..).is_some_and(|rest| rest.starts_with(check)));
    line.unwrap_or_else(|| panic!("{check}: {body}"))
}

/// No line says that something is well of which there is nothing.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_not_there_is_not_called_well() {
    let dir = tempfile::tempdir().unwrap();
    let kept = dir.path().join("state");
    let config = format!(
        "spire {{ unavailable-after-ms 300; withdrawal-grace-ms 300 }}\n{POLICY}\
         agent {{ state-dir {kept:?}; limits {{ decision-deadline-ms 20000 }} }}"
    );
    let stage = Stage::start(&config, false).await;
    let all = "/healthz?verbose";
    let body = until_said(&stage, all, "SPIRE Outage: ").await;
    assert!(
        line(&body, "bundles").starts_with("[-]bundles there are none"),
        "{body}"
    );
    assert!(
        line(&body, "policy").contains("not held against bundles"),
        "{body}"
    );
    assert!(
        line(&body, "state-dir").contains("nothing to keep yet"),
        "{body}"
    );
    stage.world.spire().start().unwrap();
    let body = until_said(&stage, all, "[+]state-dir bundles are kept on disk").await;
    assert!(
        line(&body, "bundles").starts_with("[+]bundles each"),
        "{body}"
    );
    // What was kept is removed, and why is said without being asked.
    stage.world.spire().withdraw();
    let body = until_said(&stage, all, "[+]state-dir SPIRE refuses this agent").await;
    assert!(!body.contains("bundles are kept"), "{body}");
    let body = until_said(&stage, "/healthz", "SPIRE Withdrawn: ").await;
    let said = line(&body, "health");
    let socket = stage.world.spire().path().display().to_string();
    for part in [
        socket.as_str(),
        "no identity issued",
        "spire-server entry create",
    ] {
        assert!(said.contains(part), "{part}: {body}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_outage_is_told_with_its_cause_and_what_to_do() {
    let config = format!("spire {{ unavailable-after-ms 300 }}\n{POLICY}");
    let stage = Stage::live(&config).await;
    stage.world.spire().stop(SocketFile::Removed).await.unwrap();
    let body = until_said(&stage, "/healthz", "[-]health unhealthy, SPIRE Outage: ").await;
    let said = line(&body, "health");
    let why = stage.agent.trust().why().unwrap();
    for part in [why.error.as_str(), why.remedy.as_str(), "spire.sock: "] {
        assert!(!part.is_empty() && said.contains(part), "{part}: {body}");
    }
    // Whoever was led here by a stranger's name is not told where SPIRE is; nor is the network.
    let strange = "GET /healthz HTTP/1.1\r\nHost: evil.example\r\n\r\n";
    let body = stage.ask(strange).await.body;
    assert_eq!(line(&body, "health"), "[-]health unhealthy, SPIRE Outage");
}

/// A fault that costs no request is one all the same.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn records_that_are_lost_are_no_passed_check() {
    let config = format!(
        "allowlist {{ exact \"{FRONTEND}\" }}\naudit {{ sink \"file\" path=\"/dev/full\" }}\n"
    );
    let stage = Stage::live(&config).await;
    let proxy = stage.proxy().await;
    let svid = stage.world.svid(FRONTEND).unwrap();
    let good = Request::get("/").header("x-forwarded-client-cert", svid.xfcc());
    proxy.ask(&good).await.unwrap();
    let body = until_said(&stage, "/healthz?verbose", "records are lost").await;
    assert!(
        line(&body, "audit").starts_with("[-]audit records are lost"),
        "{body}"
    );
    eventually("health", async || stage.get("/healthz").await.status == 200).await;
}
