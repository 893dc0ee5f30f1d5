//! The admin listener of the built binary: where it listens, and that it is no reason not to.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test may panic"
)]

mod common;

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::process::Command;

use common::expect::Expected;
use common::{Agent, FRONTEND, LOAD_POLICY, Site, asked, eventually};
use rustix::process::{Signal, kill_process};
use serde_json::Value;

/// The program with this admin address and the usual policy.
fn command(site: &Site, address: &str) -> Command {
    let mut command = site.configured(LOAD_POLICY);
    command.env("AGENT_ADMIN_ADDRESS", address);
    command
}

/// A status and a body.
fn get(address: SocketAddr, path: &str) -> (u16, String) {
    let mut stream = TcpStream::connect(address).unwrap();
    write!(stream, "GET {path} HTTP/1.1\r\nHost: {address}\r\n\r\n").unwrap();
    let mut text = String::new();
    stream.read_to_string(&mut text).unwrap();
    let (head, body) = text.split_once("\r\n\r\n").unwrap();
    let status = head.split(' ').nth(1).unwrap().parse().unwrap();
    (status, body.to_owned())
}

#[tokio::test]
async fn the_built_program_shows_itself() {
    let site = Site::new();
    let agent = site.serve(command(&site, "127.0.0.1:0")).await;
    agent.said(0, "to=\"Live\"").await;
    let at = agent.admin_address();
    let client = agent.connect().await;
    asked(
        &client,
        &site.asks(FRONTEND),
        &Expected::allowed_as(FRONTEND),
    )
    .await;
    eventually("ready", async || get(at, "/readyz").0 == 200).await;
    eventually("the decision", async || {
        let status: Value = serde_json::from_str(&get(at, "/status").1).unwrap();
        status["decisions"]["allowed"]["verified"] == 1
    })
    .await;
    let (status, page) = get(at, "/");
    assert_eq!(status, 200);
    assert!(
        page.contains("root/sentinel")
            || page.contains("|- sentinel")
            || page.contains("`- sentinel"),
        "{page}"
    );
    // Until its end it says that it goes.
    drop(client);
    agent.stop().await;
    assert!(TcpStream::connect(at).is_err());
}

#[tokio::test]
async fn an_address_that_was_asked_for_and_is_taken_ends_the_start_and_the_default_does_not() {
    let site = Site::new();
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let asked_for = taken.local_addr().unwrap().to_string();
    let agent = Agent::spawn(
        command(&site, &asked_for),
        site.socket(),
        site.path("audit.jsonl"),
    );
    let ended = agent.ended().await;
    assert_eq!(ended.status.code(), Some(1), "{}", ended.stderr);
    assert!(ended.stderr.contains("--admin-address"), "{}", ended.stderr);
    assert!(!site.socket().exists());

    // Whoever has it, the default is taken now.
    let _default = TcpListener::bind("127.0.0.1:9902");
    let mut command = site.configured(LOAD_POLICY);
    command.env_remove("AGENT_ADMIN_ADDRESS");
    let agent = site.serve(command).await;
    agent.said(0, "no admin listener").await;
    let client = agent.connect().await;
    agent.said(0, "to=\"Live\"").await;
    asked(
        &client,
        &site.asks(FRONTEND),
        &Expected::allowed_as(FRONTEND),
    )
    .await;
    drop(client);
    agent.stop().await;
}

#[tokio::test]
async fn none_is_none() {
    let site = Site::new();
    let agent = site.serve(command(&site, "none")).await;
    assert!(!agent.log().contains("admin="), "{}", agent.log());
    agent.stop().await;
}

/// Connections that come in one burst, more than there are places; what the kernel queues for a listener
/// is more than that.
const BURST: usize = 100;

/// A probe in the middle of a flood that says nothing: it is not told apart from that before it speaks.
#[tokio::test]
async fn a_probe_within_a_burst_of_connections_is_answered() {
    let site = Site::new();
    let agent = site.serve(command(&site, "127.0.0.1:0")).await;
    agent.said(0, "to=\"Live\"").await;
    let at = agent.admin_address();
    eventually("ready", async || get(at, "/readyz").0 == 200).await;
    // All of them wait in the queue when the agent looks again.
    kill_process(agent.pid(), Signal::STOP).unwrap();
    let flood = |count| (0..count).map(|_| TcpStream::connect(at).unwrap());
    let mut before: Vec<_> = flood(20).collect();
    let mut probe = TcpStream::connect(at).unwrap();
    write!(probe, "GET /livez HTTP/1.1\r\nHost: {at}\r\n\r\n").unwrap();
    before.extend(flood(BURST));
    kill_process(agent.pid(), Signal::CONT).unwrap();
    let mut answer = String::new();
    probe.read_to_string(&mut answer).unwrap();
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer:?}");
    drop(before);
    agent.stop().await;
}
