//! What is found of an agent that runs, against the file, the socket and the limits that it runs with.

use std::path::PathBuf;
use std::process::Command;

use serde_json::Value;

use super::common::{Agent, FRONTEND, Site, eventually};

const PROGRAM: &str = env!("CARGO_BIN_EXE_sentinel-spiffe-agent");

/// An agent with an admin listener, and a file that only this test changes.
struct Running {
    site: Site,
    agent: Agent,
    file: PathBuf,
}

impl Running {
    async fn with(policy: &str) -> Self {
        let site = Site::new();
        let mut command = site.configured(policy);
        command.env("AGENT_ADMIN_ADDRESS", "127.0.0.1:0");
        let agent = site.serve(command).await;
        agent.said(0, "to=\"Live\"").await;
        let file = site.path("agent.kdl");
        Self { site, agent, file }
    }

    fn at(&self) -> String {
        self.agent.admin_address().to_string()
    }

    fn text(&self) -> String {
        std::fs::read_to_string(&self.file).unwrap()
    }

    fn edit(&self, edited: &str) {
        std::fs::write(&self.file, edited).unwrap();
    }

    /// A subcommand beside it, told of its file and of SPIRE.
    fn asked(&self, arguments: &[&str]) -> String {
        let mut command = Command::new(PROGRAM);
        command.env_clear().env("AGENT_ADMIN_ADDRESS", self.at());
        command.env("AGENT_SOCKET", self.site.socket());
        command.env("SPIRE_AGENT_SOCKET", self.site.path("spire.sock"));
        command.args(arguments).arg("--config").arg(&self.file);
        String::from_utf8(command.output().unwrap().stdout).unwrap()
    }

    /// The finding of this code.
    fn finding(&self, code: &str) -> Option<Value> {
        let said: Value =
            serde_json::from_str(&self.asked(&["doctor", "--output", "json"])).unwrap();
        let findings = said["findings"].as_array().unwrap();
        findings.iter().find(|one| one["code"] == code).cloned()
    }

    /// What stands behind `but now`.
    fn but_now(&self) -> Option<String> {
        let svid = self.site.world.svid(FRONTEND).unwrap().xfcc();
        let said = self.asked(&["explain", "--header", &svid]);
        assert!(said.contains("verdict "), "{said}");
        let line = said.lines().find(|line| line.starts_with("but now"))?;
        Some(line.to_owned())
    }
}

const POLICY: &str = "allowlist { exact \"spiffe://example.org/frontend\" }\n";

/// The agent reads its file once: whoever has edited it since must not look for the fault elsewhere.
#[tokio::test(flavor = "multi_thread")]
async fn a_file_that_was_edited_after_the_start_is_told() {
    let running = Running::with(POLICY).await;
    let before = running.text();
    let untold = |running: &Running, why: &str| {
        assert_eq!(running.finding("config-not-in-force"), None, "{why}");
        assert_eq!(running.but_now(), None, "{why}");
    };
    untold(&running, "untouched");
    let moved = format!(
        "// a comment\n\n  {}",
        before.replace("{ exact", "{\n  exact")
    );
    running.edit(&moved);
    untold(&running, "the same in other words");
    running.edit(&before.replace("/frontend", "/newfrontend"));
    let found = running.finding("config-not-in-force").unwrap();
    assert_eq!(found["severity"], "problem", "{found}");
    assert!(
        found["fix"].as_str().unwrap().contains("restart"),
        "{found}"
    );
    let now = running.but_now().unwrap();
    for part in ["another policy than", "agent.kdl", "restart"] {
        assert!(now.contains(part), "no {part:?} in {now}");
    }
    let status = running.asked(&["status"]);
    assert!(status.contains("another policy than"), "{status}");
    // Nor does a record read beside the file look as if the file had decided.
    let client = running.agent.connect().await;
    client.ask(&running.site.asks(FRONTEND)).await.unwrap();
    eventually("a record", async || running.agent.records().len() == 1).await;
    let records = running.site.path("audit.jsonl");
    let records = ["explain", records.to_str().unwrap()];
    let another = "agent.kdl has ";
    let said = running.asked(&records);
    assert!(said.contains(another), "{said}");
    running.edit(&before);
    let said = running.asked(&records);
    assert!(
        said.contains("verdict ") && !said.contains(another),
        "{said}"
    );
    // What is the process's own is in no policy.
    let own = before.replace(
        "agent { limits {",
        "agent { degraded-is-unready #true; limits { policies 7;",
    );
    assert_ne!(own, before);
    running.edit(&own);
    let found = running.finding("config-not-in-force").unwrap();
    assert_eq!(found["severity"], "warning", "{found}");
    let seen = found["evidence"].as_str().unwrap();
    for part in ["agent.limits.policies", "agent.degraded-is-unready"] {
        assert!(seen.contains(part), "no {part:?} in {seen}");
    }
    assert_eq!(running.but_now(), None);
    running.agent.stop().await;
}
