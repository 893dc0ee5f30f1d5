//! The process dies while SPIRE is away, and the next one stands on what the last one left on disk.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::print_stderr,
    reason = "a test may panic and print"
)]

mod common;

use std::process::Command;
use std::time::{Duration, Instant};

use chaos::client::{Answer, Client, Hello, Request};
use chaos::spire::SocketFile;
use common::expect::Expected;
use common::{Agent, FRONTEND, PARTNER, PATIENCE, Site, asked, carrying, eventually, exists};
use rustix::process::{Signal, kill_process};

const AWAY: Expected = Expected::Denied(503, "TRUST_UNAVAILABLE");
/// From the start of the process to its first verified answer.
const FIRST_ANSWER_WITHIN: Duration = Duration::from_millis(100);
/// Lives at most until one of them is that quick: the machines that test are busy.
const LIVES_MAX: usize = 40;
/// Longer than any test takes: the loss of SPIRE does not become an outage.
const NEVER_MS: u64 = 600_000;

fn policy(mode: &str, unavailable_after_ms: u64, cache_ttl_s: u64) -> String {
    format!(
        "allowlist {{ exact \"{FRONTEND}\" }}\n\
         failure {{\n spire-unavailable \"{mode}\"\n cache-ttl {cache_ttl_s}\n}}\n\
         spire {{\n api-timeout-ms 100\n unavailable-after-ms {unavailable_after_ms}\n withdrawal-grace-ms 200\n}}\n"
    )
}

/// An agent that keeps its state, and its many lives.
struct Lives {
    site: Site,
    config: String,
}

impl Lives {
    fn of(mode: &str, unavailable_after_ms: u64, cache_ttl_s: u64) -> Self {
        let site = Site::new();
        std::fs::create_dir(site.path("state")).unwrap();
        let config = policy(mode, unavailable_after_ms, cache_ttl_s);
        Self { site, config }
    }

    fn command(&self) -> Command {
        let mut command = self.site.configured(&self.config);
        command.arg("--state-dir").arg(self.site.path("state"));
        command
    }

    /// The first life: it learns, keeps, loses SPIRE (`lost` is logged then), and is killed.
    async fn first_life(&self, lost: &str) {
        let agent = self.site.serve(self.command()).await;
        agent.said(0, "to=\"Live\"").await;
        let client = agent.connect().await;
        let frontend = self.site.asks(FRONTEND);
        asked(&client, &frontend, &Expected::allowed_as(FRONTEND)).await;
        let file = self.site.path("state/x509-bundles");
        eventually("bundles on disk", async || exists(&file)).await;
        let mark = agent.mark();
        self.site
            .world
            .spire()
            .stop(SocketFile::Left)
            .await
            .unwrap();
        agent.said(mark, lost).await;
        killed(agent).await;
    }

    fn next_life(&self) -> Life {
        let command = self.command();
        let started = Instant::now();
        let agent = Agent::spawn(command, self.site.socket(), self.site.path("audit.jsonl"));
        Life { started, agent }
    }
}

struct Life {
    started: Instant,
    agent: Agent,
}

impl Life {
    /// A client, as soon as there is somebody to connect to: a killed process leaves its socket behind.
    async fn client(&self) -> Client {
        loop {
            match Client::connect(&self.agent.socket, Hello::default()).await {
                Ok(client) => return client.with_timeout(PATIENCE),
                Err(error) if self.started.elapsed() > PATIENCE => panic!("{error}"),
                Err(_) => tokio::time::sleep(Duration::from_millis(1)).await,
            }
        }
    }

    /// How long it took until `expected` was answered. Before it is known that SPIRE is away nothing is
    /// concluded from old bundles: that is a refusal, and nothing else is. The door waits for that, so it
    /// is rare, and not even there where the first answer counts.
    async fn until(&self, client: &Client, request: &Request, expected: &Expected) -> Duration {
        loop {
            let answer = client.ask(request).await.unwrap();
            if expected.check(request, &answer).is_ok() {
                return self.started.elapsed();
            }
            AWAY.of(request, &answer);
            assert!(self.started.elapsed() < PATIENCE, "{}", self.agent.log());
        }
    }
}

async fn killed(agent: Agent) {
    kill_process(agent.pid(), Signal::KILL).unwrap();
    agent.ended().await;
}

async fn forged_and_unlisted_are_refused(site: &Site, client: &Client) {
    let forged = carrying(&site.world.forged(FRONTEND).unwrap());
    asked(client, &forged, &Expected::Denied(401, "UNTRUSTED")).await;
    let unlisted = Expected::Denied(403, "NOT_ALLOWED");
    asked(client, &site.asks(PARTNER), &unlisted).await;
    asked(
        client,
        &Request::get("/"),
        &Expected::Denied(401, "NO_CREDENTIAL"),
    )
    .await;
}

/// In an outage, and in what was only an interruption when the process died.
#[tokio::test]
async fn in_cache_the_next_process_verifies_by_the_disk_at_once() {
    for (unavailable_after_ms, lost) in [(1, "to=\"Outage\""), (NEVER_MS, "to=\"Interrupted\"")] {
        let lives = Lives::of("cache", unavailable_after_ms, 3_600);
        lives.first_life(lost).await;
        let frontend = lives.site.asks(FRONTEND);
        let mut took = Vec::new();
        while took.iter().all(|took| *took > FIRST_ANSWER_WITHIN) {
            assert!(
                took.len() < LIVES_MAX,
                "never within {FIRST_ANSWER_WITHIN:?}: {took:?}"
            );
            let life = lives.next_life();
            let client = life.client().await;
            let first = client.ask(&frontend).await.unwrap();
            let took_first = life.started.elapsed();
            let verified = Expected::allowed_as(FRONTEND);
            if verified.check(&frontend, &first).is_ok() {
                took.push(took_first);
            } else {
                // This machine was too busy for the first word to come in time.
                life.until(&client, &frontend, &verified).await;
                took.push(PATIENCE);
            }
            forged_and_unlisted_are_refused(&lives.site, &client).await;
            killed(life.agent).await;
        }
        eprintln!("{lost}: first verified answer from disk after {took:?}");
    }
}

/// SPIRE that hangs is not known to be away before `api-timeout-ms`: until then the refusal names what is waited
/// for, and then the mode decides about the bundles on disk.
#[tokio::test]
async fn while_spire_hangs_the_next_process_says_what_it_waits_for() {
    let mut lives = Lives::of("cache", 2_000, 3_600);
    lives.first_life("to=\"Outage\"").await;
    lives.config = lives
        .config
        .replace("api-timeout-ms 100", "api-timeout-ms 1500");
    lives.site.world.spire().hang();
    lives.site.world.spire().start().unwrap();
    let life = lives.next_life();
    let client = life.client().await;
    let frontend = lives.site.asks(FRONTEND);
    let early = frontend.clone().with_id("early");
    asked(&client, &early, &AWAY).await;
    let record = life.agent.record("early").await;
    let rule = record["rule"].as_str().unwrap();
    assert!(
        rule.contains("bundles on disk count once it is known to be away"),
        "{rule}"
    );
    let verified = Expected::allowed_as(FRONTEND);
    life.until(&client, &frontend, &verified).await;
    life.agent.said(0, "from=\"Starting\" to=\"Outage\"").await;
    killed(life.agent).await;
}

#[tokio::test]
async fn in_fail_closed_the_next_process_refuses_with_the_right_reason() {
    let lives = Lives::of("fail_closed", 1, 3_600);
    lives.first_life("to=\"Outage\"").await;
    let frontend = lives.site.asks(FRONTEND);
    for _ in 0..3 {
        let life = lives.next_life();
        let client = life.client().await;
        asked(&client, &frontend, &AWAY).await;
        life.agent.said(0, "to=\"Outage\"").await;
        asked(&client, &frontend, &AWAY).await;
        let forged = carrying(&lives.site.world.forged(FRONTEND).unwrap());
        asked(&client, &forged, &AWAY).await;
        asked(
            &client,
            &Request::get("/"),
            &Expected::Denied(401, "NO_CREDENTIAL"),
        )
        .await;
        killed(life.agent).await;
    }
    // It needs nobody to come back.
    let life = lives.next_life();
    let client = life.client().await;
    asked(&client, &frontend, &AWAY).await;
    lives.site.world.spire().start().unwrap();
    life.until(&client, &frontend, &Expected::allowed_as(FRONTEND))
        .await;
    life.agent.stop().await;
}

#[tokio::test]
async fn in_fail_open_the_next_process_verifies_whom_it_can() {
    let lives = Lives::of("fail_open", 1, 3_600);
    lives.first_life("to=\"Outage\"").await;
    let life = lives.next_life();
    let client = life.client().await;
    let frontend = lives.site.asks(FRONTEND);
    life.until(&client, &frontend, &Expected::allowed_as(FRONTEND))
        .await;
    let forged = carrying(&lives.site.world.forged(FRONTEND).unwrap());
    let open = Expected::Unverified("unverified-fail-open");
    asked(&client, &forged, &open).await;
    let unlisted = Expected::Denied(403, "NOT_ALLOWED");
    asked(&client, &lives.site.asks(PARTNER), &unlisted).await;
    killed(life.agent).await;
}

/// `cache-ttl` counts from SPIRE's last word, in whichever process.
#[tokio::test]
async fn no_restart_renews_cache_ttl() {
    const TTL: Duration = Duration::from_secs(4);
    let lives = Lives::of("cache", 1, TTL.as_secs());
    lives.first_life("to=\"Outage\"").await;
    let lost = Instant::now();
    let frontend = lives.site.asks(FRONTEND);
    let verified = |answer: &Answer| {
        Expected::allowed_as(FRONTEND)
            .check(&frontend, answer)
            .is_ok()
    };
    let (mut lives_lived, mut was_verified) = (0, 0);
    while lost.elapsed() < TTL + Duration::from_secs(2) {
        let life = lives.next_life();
        let client = life.client().await;
        life.agent.said(0, "to=\"Outage\"").await;
        let asked_at = lost.elapsed();
        let answer = client.ask(&frontend).await.unwrap();
        if verified(&answer) {
            was_verified += 1;
            // SPIRE's last word was before it was lost.
            assert!(
                asked_at <= TTL,
                "verified {asked_at:?} after SPIRE was lost"
            );
        } else {
            AWAY.of(&frontend, &answer);
        }
        killed(life.agent).await;
        lives_lived += 1;
    }
    eprintln!("{lives_lived} lives, {was_verified} of them verified");
    assert!(was_verified > 0 && was_verified < lives_lived);
}

/// SPIRE's own "no" is remembered too: it is no outage that a mode could excuse.
#[tokio::test]
async fn a_withdrawal_outlives_a_kill_in_every_mode() {
    for mode in ["fail_closed", "cache", "fail_open"] {
        let lives = Lives::of(mode, 1, 3_600);
        let agent = lives.site.serve(lives.command()).await;
        agent.said(0, "to=\"Live\"").await;
        let mark = agent.mark();
        lives.site.world.spire().withdraw();
        agent.said(mark, "to=\"Withdrawn\"").await;
        let state = lives.site.path("state/x509-bundles");
        eventually("a tombstone", async || {
            let kept = std::fs::read_to_string(&state).unwrap_or_default();
            kept.to_lowercase().contains("tombstone")
        })
        .await;
        killed(agent).await;
        lives
            .site
            .world
            .spire()
            .stop(SocketFile::Left)
            .await
            .unwrap();
        let life = lives.next_life();
        let client = life.client().await;
        for _ in 0..20 {
            asked(&client, &lives.site.asks(FRONTEND), &AWAY).await;
        }
        killed(life.agent).await;
    }
}
