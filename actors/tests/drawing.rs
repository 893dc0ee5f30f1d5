//! The tree as the agent's documentation draws it, held against the tree of an agent that runs.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test may panic"
)]

use std::fmt::Write as _;
use std::net::TcpListener;
use std::time::Duration;

use actors::agent::Agent;
use actors::clock::Clock;
use config::{FileConfig, Override, Overrides, Settings};

/// Where a drawing's second column begins.
const COLUMN: usize = 24;

/// The lines of the drawing in the module's documentation: name with its branches, and what it says.
fn drawing() -> Vec<(String, String)> {
    let source = include_str!("../src/agent.rs");
    let block = source.split("//! ```text\n").nth(1).expect("a drawing");
    let block = block.split("//! ```").next().unwrap();
    block
        .lines()
        .map(|line| {
            let line = line.strip_prefix("//! ").unwrap_or_default();
            let (name, says) = line.split_at_checked(COLUMN).unwrap_or((line, ""));
            let name = name.trim_end().trim_end_matches(" ...");
            (name.to_owned(), says.to_owned())
        })
        .collect()
}

/// The drawing without these places, in the form that the live tree is rendered in.
fn drawn(without: &[&str]) -> String {
    let mut text = String::new();
    for (name, says) in drawing() {
        if without
            .iter()
            .any(|absent| name.ends_with(&format!("- {absent}")))
        {
            continue;
        }
        let role = match says.as_str() {
            supervisor if supervisor.starts_with("one_for_one") => "one_for_one",
            connection if connection.ends_with("temporary") => "temporary",
            _ => "permanent",
        };
        writeln!(text, "{name:<COLUMN$}{role}").unwrap();
    }
    text
}

async fn rendered(flags: impl Fn(&dyn Fn(&str) -> String) -> Vec<(Override, String)>) -> String {
    let home = tempfile::tempdir().unwrap();
    let path = |name: &str| home.path().join(name).display().to_string();
    std::fs::create_dir(path("state")).unwrap();
    let audit = path("audit.jsonl");
    let text = format!(
        "allowlist {{ any #true }}\nagent {{ limits {{ validation-workers 2 }} }}\n\
         audit {{ sink \"file\" path={audit:?} }}\n"
    );
    let file = FileConfig::parse("drawing.kdl", &text).unwrap();
    let overrides = Overrides::default()
        .with_flag(Override::Socket, path("agent.sock"))
        .with_flag(Override::SpireSocket, path("spire.sock"))
        // The default is one address for the whole machine: who comes second would have no page.
        .with_flag(Override::AdminAddress, "127.0.0.1:0");
    let overrides = flags(&path)
        .into_iter()
        .fold(overrides, |all, (flag, value)| all.with_flag(flag, value));
    let settings = Settings::resolve(Some(file), &overrides).unwrap();
    let agent = Agent::start(settings, Clock::system()).await.unwrap();
    let rendered = agent.root().tree().render();
    let shutdown = tokio::time::timeout(Duration::from_secs(30), agent.shutdown()).await;
    assert!(shutdown.unwrap().killed.is_empty());
    rendered
}

fn free_address() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    listener.local_addr().unwrap().to_string()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn with_everything_it_is_as_drawn() {
    let tree = rendered(|path| {
        vec![
            (Override::StateDir, path("state")),
            (Override::GrpcAddress, free_address()),
            (
                Override::TrustedProxies,
                "spiffe://example.org/proxy".to_owned(),
            ),
        ]
    });
    assert_eq!(tree.await, drawn(&[]));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_state_and_grpc_the_rest_is_as_drawn() {
    let tree = rendered(|_| Vec::new()).await;
    assert_eq!(tree, drawn(&["cache", "identity", "grpc"]));
}

/// Plaintext on loopback needs no identity of ours.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_plaintext_door_has_no_identity_to_follow() {
    let tree = rendered(|path| {
        let state = (Override::StateDir, path("state"));
        vec![state, (Override::GrpcAddress, free_address())]
    });
    assert_eq!(tree.await, drawn(&["identity"]));
}

#[test]
fn every_part_has_a_plain_name() {
    for (name, _) in drawing() {
        let name = name.trim_start_matches(['|', '-', '`', ' ']);
        assert_ne!(actors::parts::plain(name), name);
    }
}
