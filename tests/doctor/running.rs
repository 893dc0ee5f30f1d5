//! What is found of an agent that runs, against the file, the socket and the limits that it runs with.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
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
        let mut command = self.command(arguments);
        String::from_utf8(command.output().unwrap().stdout).unwrap()
    }

    fn command(&self, arguments: &[&str]) -> Command {
        self.command_of(&self.file, arguments)
    }

    fn command_of(&self, file: &Path, arguments: &[&str]) -> Command {
        let mut command = Command::new(PROGRAM);
        command.env_clear().env("AGENT_ADMIN_ADDRESS", self.at());
        command.env("AGENT_SOCKET", self.site.socket());
        command.env("SPIRE_AGENT_SOCKET", self.site.path("spire.sock"));
        command.args(arguments).arg("--config").arg(file);
        command
    }

    /// `/healthz?verbose`, as it is answered on this machine.
    fn probe(&self) -> String {
        let mut stream = TcpStream::connect(self.agent.admin_address()).unwrap();
        let at = self.at();
        let request =
            format!("GET /healthz?verbose HTTP/1.1\r\nHost: {at}\r\nConnection: close\r\n\r\n");
        stream.write_all(request.as_bytes()).unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        answer
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

/// Who runs with it notices nothing, until somebody restarts him.
#[tokio::test(flavor = "multi_thread")]
async fn a_file_that_was_broken_after_the_start_is_told_with_what_runs() {
    let running = Running::with(POLICY).await;
    running.edit("allowlist { exact \"spiffe:\" }\n");
    let said = || {
        let output = running.command(&["doctor"]).output().unwrap();
        (
            output.status.code(),
            String::from_utf8(output.stderr).unwrap(),
        )
    };
    let (code, error) = said();
    assert_eq!(code, Some(78));
    let pid = format!("(pid {})", running.agent.pid().as_raw_nonzero());
    for part in ["agent.kdl", "goes on with what it read", &pid] {
        assert!(error.contains(part), "no {part:?} in {error}");
    }
    let elsewhere = running.site.path("elsewhere.kdl");
    std::fs::write(&elsewhere, "allowlist {").unwrap();
    let other = running
        .command_of(&elsewhere, &["doctor"])
        .output()
        .unwrap();
    let other = String::from_utf8(other.stderr).unwrap();
    assert!(!other.contains("goes on with"), "{other}");
    running.agent.stop().await;
}

/// Who connects now reaches the other: to say that nobody can, and to advise a start that must fail, helps nobody.
#[tokio::test(flavor = "multi_thread")]
async fn a_socket_that_another_process_took_is_told_apart_from_one_that_is_gone() {
    let running = Running::with(POLICY).await;
    std::fs::remove_file(running.site.socket()).unwrap();
    let mut command = running.site.command();
    command.arg("--config").arg(&running.file);
    let other = running.site.serve(command).await;
    let who = format!("pid {} (", other.pid().as_raw_nonzero());
    let status = || running.asked(&["status"]);
    eventually("who took it", async || status().contains(&who)).await;
    // Health is looked at now and then.
    let degraded = async || status().contains("health   degraded, ready");
    eventually("a health that says so", degraded).await;
    running
        .agent
        .said(0, "another process listens where the agent's socket was")
        .await;
    let found = running.finding("agent-socket-taken").unwrap();
    assert!(
        found["evidence"].as_str().unwrap().contains(&who),
        "{found}"
    );
    let doctor = running.asked(&["doctor"]);
    let probe = running.probe();
    assert!(
        probe.contains("[-]socket ") && probe.contains(&who),
        "{probe}"
    );
    for (said, wrong) in [
        (status(), "no proxy can connect anew"),
        (doctor.clone(), "no proxy can connect anew"),
        (doctor.clone(), "makes its socket anew"),
        (doctor, "the agent listens"),
        (probe, "restart the agent"),
    ] {
        assert!(!said.contains(wrong), "{wrong:?} in {said}");
    }
    // It takes its own socket away with it.
    other.stop().await;
    eventually("gone", async || {
        status().contains("socket   gone from its path")
    })
    .await;
    assert_eq!(running.finding("agent-socket-taken"), None);
    running.agent.stop().await;
}

/// Its page answers: it is not stopped, and knows itself what is the matter.
#[tokio::test(flavor = "multi_thread")]
async fn a_door_without_a_place_is_named() {
    let limits = "agent { limits { connections 2; decision-deadline-ms 20000 } }\n";
    let running = Running::with(&format!("{POLICY}{limits}")).await;
    let full = "every place of the door `sentinel` is taken";
    assert!(!running.asked(&["status"]).contains(full));
    let held = [running.agent.connect().await, running.agent.connect().await];
    let is_shown = || running.asked(&["status"]).contains(full);
    eventually("a full door", async || is_shown()).await;
    let found = running.finding("door-full").unwrap();
    assert_eq!(found["severity"], "problem", "{found}");
    for (part, of) in [("2", "evidence"), ("agent.limits.connections", "fix")] {
        assert!(found[of].as_str().unwrap().contains(part), "{found}");
    }
    assert_eq!(running.finding("agent-silent"), None);
    let probe = running.probe();
    assert!(
        probe.starts_with("HTTP/1.1 200") && probe.contains("[-]doors "),
        "{probe}"
    );
    drop(held);
    eventually("places", async || !is_shown()).await;
    assert_eq!(running.finding("door-full"), None);
    assert!(running.probe().contains("[+]doors "));
    running.agent.stop().await;
}

/// It is said at the start, when nobody looks.
#[tokio::test(flavor = "multi_thread")]
async fn too_few_descriptors_are_told() {
    let site = Site::new();
    let mut program = site.configured(POLICY);
    program.env("AGENT_ADMIN_ADDRESS", "127.0.0.1:0");
    let mut limited = Command::new("/bin/sh");
    limited
        .env_clear()
        .args(["-c", "ulimit -n 200; exec \"$0\" \"$@\""]);
    limited.arg(program.get_program()).args(program.get_args());
    for (name, value) in program.get_envs() {
        limited.env(name, value.unwrap());
    }
    let agent = site.serve(limited).await;
    agent.said(0, "fewer file descriptors").await;
    let file = site.path("agent.kdl");
    let running = Running { site, agent, file };
    let found = running.finding("descriptors-few").unwrap();
    let seen = found["evidence"].as_str().unwrap();
    assert!(seen.contains("200") && seen.contains("352"), "{seen}");
    assert!(
        found["fix"].as_str().unwrap().contains("LimitNOFILE"),
        "{found}"
    );
    let status = running.asked(&["status"]);
    assert!(status.contains("\nfiles    "), "{status}");
    running.agent.stop().await;
}

/// What a proxy pushed, or the file that was not named here, is in force all the same.
#[tokio::test(flavor = "multi_thread")]
async fn a_policy_that_is_in_force_is_not_missed() {
    let running = Running::with(super::POLICY).await;
    let mut command = Command::new(PROGRAM);
    command.env_clear().env("AGENT_ADMIN_ADDRESS", running.at());
    command.env("AGENT_SOCKET", running.site.socket());
    command.env("SPIRE_AGENT_SOCKET", running.site.path("spire.sock"));
    let said = command
        .args(["doctor", "--output", "json"])
        .output()
        .unwrap();
    let said = String::from_utf8(said.stdout).unwrap();
    assert!(!said.contains("no-policy"), "{said}");
    running.agent.stop().await;
}

/// SPIRE is named by a flag of the agent's own, of which `status` knows nothing.
#[tokio::test(flavor = "multi_thread")]
async fn a_file_that_does_not_name_spire_is_compared_too() {
    let running = Running::with(super::POLICY).await;
    running.edit(&super::POLICY.replace("xfcc-element \"only\"", "require-mtls #false"));
    let mut command = Command::new(PROGRAM);
    command
        .env_clear()
        .args(["status", "--admin-address", &running.at()]);
    let said = command.arg("--config").arg(&running.file).output().unwrap();
    let said = String::from_utf8(said.stdout).unwrap();
    assert!(said.contains("another policy than the file has"), "{said}");
    running.agent.stop().await;
}

/// Whom SPIRE does not answer has no bundles, and the agent has: that is no verdict on anybody.
#[tokio::test(flavor = "multi_thread")]
async fn explain_judges_nobody_by_bundles_that_only_the_agent_has() {
    let running = Running::with(super::POLICY).await;
    let svid = running.site.world.svid(FRONTEND).unwrap().xfcc();
    let explain = || {
        running
            .command(&["explain", "--header", &svid])
            .output()
            .unwrap()
    };
    assert_eq!(explain().status.code(), Some(0));
    // Its stream goes on.
    let spire = running.site.path("spire.sock");
    std::fs::rename(&spire, running.site.path("aside.sock")).unwrap();
    let output = explain();
    assert_eq!(output.status.code(), Some(1), "{output:?}");
    let said = String::from_utf8(output.stderr).unwrap();
    for part in [
        "has bundles",
        "run this as the agent's user",
        "--bundle DOMAIN=FILE",
    ] {
        assert!(said.contains(part), "no {part:?} in {said}");
    }
    running.agent.stop().await;
}

/// The variables of the one who asks are not the agent's.
#[tokio::test(flavor = "multi_thread")]
async fn an_agent_that_has_a_collector_is_not_said_to_lack_one() {
    let site = Site::new();
    let policy = format!("{}audit {{ sink \"otlp\" }}\n", super::POLICY);
    let mut command = site.configured(&policy);
    command.env("AGENT_ADMIN_ADDRESS", "127.0.0.1:0");
    // It is not asked before there is a record.
    command.env("OTEL_EXPORTER_OTLP_ENDPOINT", "http://127.0.0.1:1");
    let agent = site.serve(command).await;
    agent.said(0, "to=\"Live\"").await;
    let file = site.path("agent.kdl");
    let running = Running { site, agent, file };
    assert!(running.finding("sink-without-collector").is_none());
    let elsewhere = super::found(&running.site, &policy, &[]);
    let code = "sink-without-collector".to_owned();
    assert!(elsewhere.contains(&code), "{elsewhere:?}");
    running.agent.stop().await;
}
