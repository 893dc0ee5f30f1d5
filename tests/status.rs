//! `status` and `top` against a running agent, and what `doctor` says of its admin listener.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test may panic"
)]

mod common;

use std::io::{BufRead as _, BufReader};
use std::process::{Command, Output, Stdio};

use chaos::spire::SocketFile;
use common::{Agent, FRONTEND, LOAD_POLICY, Site, carrying};
use serde_json::Value;

fn address(agent: &Agent) -> String {
    let log = agent.log();
    let (_, rest) = log
        .split_once("admin=\"")
        .expect("an admin address in the log");
    rest.split('"').next().unwrap().to_owned()
}

fn run(arguments: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_sentinel-spiffe-agent"));
    command.env_clear().args(arguments).output().unwrap()
}

fn text(output: &Output) -> String {
    String::from_utf8(output.stdout.clone()).unwrap()
}

async fn live(site: &Site) -> Agent {
    let mut command = site.configured(LOAD_POLICY);
    command.env("AGENT_ADMIN_ADDRESS", "127.0.0.1:0");
    let agent = site.serve(command).await;
    agent.said(0, "to=\"Live\"").await;
    agent
}

#[tokio::test(flavor = "multi_thread")]
async fn a_running_agent_is_told_on_one_screen() {
    let site = Site::new();
    let agent = live(&site).await;
    let client = agent.connect().await;
    client.ask(&site.asks(FRONTEND)).await.unwrap();
    client
        .ask(&carrying(&site.world.forged(FRONTEND).unwrap()))
        .await
        .unwrap();
    let at = address(&agent);
    common::eventually("ready", async || {
        run(&["status", "--admin-address", &at]).status.success()
    })
    .await;
    common::eventually("both decisions", async || {
        text(&run(&["status", "--admin-address", &at])).contains("1 allowed, 1 denied")
    })
    .await;
    let page = text(&run(&["status", "--admin-address", &at]));
    for part in [
        "health   healthy, ready",
        "SPIRE    Live",
        "UNTRUSTED 1",
        "example.org",
        "partner.test",
        "last denials",
    ] {
        assert!(page.contains(part), "no {part:?} in {page}");
    }
    let json: Value = serde_json::from_str(&text(&run(&[
        "status",
        "--admin-address",
        &at,
        "--output",
        "json",
    ])))
    .unwrap();
    assert_eq!(json["trust"]["state"], "Live");
    let once = run(&["top", "--once", "--admin-address", &at]);
    assert!(text(&once).contains("SPIRE    Live"));
    assert!(!text(&once).contains('\u{1b}'));
    agent.stop().await;
    let gone = run(&["status", "--admin-address", &at]);
    assert_eq!(gone.status.code(), Some(1), "{gone:?}");
    assert!(String::from_utf8_lossy(&gone.stderr).contains("ask the agent at"));
    let none = run(&["status", "--admin-address", "none"]);
    assert_eq!(none.status.code(), Some(1));
}

#[tokio::test(flavor = "multi_thread")]
async fn top_shows_what_changes() {
    let site = Site::new();
    let agent = live(&site).await;
    let at = address(&agent);
    let mut command = Command::new(env!("CARGO_BIN_EXE_sentinel-spiffe-agent"));
    command
        .env_clear()
        .args(["top", "--interval-ms", "50", "--admin-address", &at]);
    let mut child = command.stdout(Stdio::piped()).spawn().unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let mut shows = |part: &str| {
        lines
            .by_ref()
            .map_while(Result::ok)
            .any(|line| line.contains(part))
    };
    assert!(shows("SPIRE    Live"));
    site.world.spire().stop(SocketFile::Left).await.unwrap();
    assert!(shows("SPIRE    Interrupted"));
    agent.stop().await;
    assert!(shows("no answer"));
    let pid = rustix::process::Pid::from_child(&child);
    rustix::process::kill_process(pid, rustix::process::Signal::TERM).unwrap();
    let status = child.wait().unwrap();
    assert_eq!(status.code(), Some(0));
}

/// Whether `doctor` finds this about the admin listener at an address.
fn doctor_finds(site: &Site, address: &str, code: &str) -> bool {
    let mut command = Command::new(env!("CARGO_BIN_EXE_sentinel-spiffe-agent"));
    command.env_clear().env("AGENT_ADMIN_ADDRESS", address);
    command.args(["doctor", "--output", "json", "--spire-socket"]);
    command
        .arg(site.path("spire.sock"))
        .arg("--socket")
        .arg(site.socket());
    text(&command.output().unwrap()).contains(&format!("\"code\":\"{code}\""))
}

#[tokio::test(flavor = "multi_thread")]
async fn the_doctor_asks_the_admin_listener() {
    let site = Site::new();
    let agent = live(&site).await;
    let at = address(&agent);
    common::eventually("ready", async || !doctor_finds(&site, &at, "not-ready")).await;
    assert!(!doctor_finds(&site, &at, "admin-down"));
    agent.stop().await;
    assert!(doctor_finds(&site, &at, "admin-down"));
    // SPIRE has never answered this one.
    site.world.spire().hang();
    let mut command = site.configured(LOAD_POLICY);
    command.env("AGENT_ADMIN_ADDRESS", "127.0.0.1:0");
    let waiting = site.serve(command).await;
    assert!(doctor_finds(&site, &address(&waiting), "not-ready"));
    waiting.stop().await;
}
