//! What the agent answers while SPIRE is away, wrong, or says no: `decisions.md`, state by mode.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test may panic"
)]

mod common;

use chaos::ca::Rotation;
use chaos::client::{Client, Request};
use chaos::spire::{CallFault, EndOfStreams, SocketFile};
use common::expect::Expected;
use common::{Agent, FRONTEND, PARTNER, Site, asked, carrying, eventually};
use tonic::Code;

const FAIL_CLOSED: &str = "fail_closed";
const CACHE: &str = "cache";
const FAIL_OPEN: &str = "fail_open";
const MODES: [&str; 3] = [FAIL_CLOSED, CACHE, FAIL_OPEN];

const AWAY: Expected = Expected::Denied(503, "TRUST_UNAVAILABLE");
const OPEN: Expected = Expected::Unverified("unverified-fail-open");

/// A policy in this mode; the loss of SPIRE counts as an outage after so long.
fn policy(mode: &str, unavailable_after_ms: u64, cache_ttl_s: u64) -> String {
    format!(
        "allowlist {{ exact \"{FRONTEND}\" }}\n\
         failure {{\n spire-unavailable \"{mode}\"\n cache-ttl {cache_ttl_s}\n}}\n\
         spire {{\n bundle-refresh-interval 1\n api-timeout-ms 100\n\
         unavailable-after-ms {unavailable_after_ms}\n withdrawal-grace-ms 200\n}}\n"
    )
}

/// What holds whatever SPIRE does: checks 1 to 6 come first.
async fn refuses_what_needs_no_spire(site: &Site, client: &Client) {
    let none = Request::get("/");
    asked(client, &none, &Expected::Denied(401, "NO_CREDENTIAL")).await;
    let garbage = Request::get("/").header("x-forwarded-client-cert", "garbage");
    asked(client, &garbage, &Expected::Denied(401, "MALFORMED")).await;
    let expired = carrying(&site.world.expired(FRONTEND).unwrap());
    asked(client, &expired, &Expected::Denied(401, "EXPIRED")).await;
}

/// While SPIRE is there, or was a moment ago.
async fn verifies(site: &Site, client: &Client) {
    asked(
        client,
        &site.asks(FRONTEND),
        &Expected::allowed_as(FRONTEND),
    )
    .await;
    let forged = carrying(&site.world.forged(FRONTEND).unwrap());
    asked(client, &forged, &Expected::Denied(401, "UNTRUSTED")).await;
    let unlisted = Expected::Denied(403, "NOT_ALLOWED");
    asked(client, &site.asks(PARTNER), &unlisted).await;
    refuses_what_needs_no_spire(site, client).await;
}

/// In an outage, with material within `cache-ttl`.
async fn answers_an_outage(site: &Site, client: &Client, mode: &str) {
    let forged = carrying(&site.world.forged(FRONTEND).unwrap());
    let forged_partner = carrying(&site.world.forged(PARTNER).unwrap());
    match mode {
        FAIL_CLOSED => {
            for request in [site.asks(FRONTEND), forged, site.asks(PARTNER)] {
                asked(client, &request, &AWAY).await;
            }
            refuses_what_needs_no_spire(site, client).await;
        }
        CACHE => verifies(site, client).await,
        _ => {
            asked(
                client,
                &site.asks(FRONTEND),
                &Expected::allowed_as(FRONTEND),
            )
            .await;
            asked(client, &forged.header("x-spiffe-id", FRONTEND), &OPEN).await;
            // The lists hold on the claimed ID too.
            let unlisted = Expected::Denied(403, "NOT_ALLOWED");
            asked(client, &forged_partner, &unlisted).await;
            asked(client, &site.asks(PARTNER), &unlisted).await;
            refuses_what_needs_no_spire(site, client).await;
        }
    }
}

/// The log explains it by itself, and in words.
async fn tells_an_outage(site: &Site, agent: &Agent, mark: usize, mode: &str) {
    let meets = match mode {
        FAIL_CLOSED => "every request with a credential is refused, 503 TRUST_UNAVAILABLE",
        _ => "verified by the bundles of",
    };
    agent
        .said(mark, &format!("requests=\"{mode}: {meets}"))
        .await;
    let log = agent.log();
    let line = log
        .lines()
        .find(|line| line.contains("to=\"Outage\""))
        .unwrap();
    let socket = format!("socket={}", site.path("spire.sock").display());
    for part in [socket.as_str(), "error=\"", "remedy=\""] {
        assert!(line.contains(part), "{part} in {line}");
    }
    // Nobody on call reads our types.
    for form in ["Actor{", "fault=", "Theirs", "Ms(", "Some("] {
        assert!(!log.contains(form), "{form} in:\n{log}");
    }
}

async fn live_in(site: &Site, mode: &str, unavailable_after_ms: u64) -> (Agent, Client) {
    let agent = site.live(&policy(mode, unavailable_after_ms, 3600)).await;
    let client = agent.connect().await;
    verifies(site, &client).await;
    (agent, client)
}

#[tokio::test]
async fn an_interruption_changes_no_answer_in_any_mode() {
    for mode in MODES {
        let site = Site::new();
        let (agent, client) = live_in(&site, mode, 600_000).await;
        let mark = agent.mark();
        site.world.spire().stop(SocketFile::Left).await.unwrap();
        agent.said(mark, "to=\"Interrupted\"").await;
        verifies(&site, &client).await;
        site.world.spire().start().unwrap();
        agent.said(mark, "to=\"Live\"").await;
        verifies(&site, &client).await;
        agent.stop().await;
    }
}

#[tokio::test]
async fn a_stopped_spire_is_an_outage_and_its_return_ends_it() {
    for (mode, file) in [
        (FAIL_CLOSED, SocketFile::Left),
        (CACHE, SocketFile::Removed),
        (FAIL_OPEN, SocketFile::Left),
    ] {
        let site = Site::new();
        let (agent, client) = live_in(&site, mode, 200).await;
        let mark = agent.mark();
        site.world.spire().stop(file).await.unwrap();
        agent.said(mark, "to=\"Outage\"").await;
        tells_an_outage(&site, &agent, mark, mode).await;
        answers_an_outage(&site, &client, mode).await;
        // On a new connection as well.
        answers_an_outage(&site, &agent.connect().await, mode).await;
        let mark = agent.mark();
        site.world.spire().start().unwrap();
        agent.said(mark, "to=\"Live\"").await;
        verifies(&site, &client).await;
        agent.stop().await;
    }
}

#[tokio::test]
async fn a_hung_spire_is_noticed_and_is_an_outage() {
    for mode in MODES {
        let site = Site::new();
        let (agent, client) = live_in(&site, mode, 200).await;
        let mark = agent.mark();
        site.world.spire().freeze().unwrap();
        agent.said(mark, "to=\"Outage\"").await;
        answers_an_outage(&site, &client, mode).await;
        let mark = agent.mark();
        site.world.spire().thaw().unwrap();
        agent.said(mark, "to=\"Live\"").await;
        verifies(&site, &client).await;
        agent.stop().await;
    }
}

#[tokio::test]
async fn a_spire_that_refuses_us_is_obeyed_in_every_mode() {
    for mode in MODES {
        let site = Site::new();
        let (agent, client) = live_in(&site, mode, 600_000).await;
        let mark = agent.mark();
        site.world.spire().withdraw();
        agent.said(mark, "to=\"Withdrawn\"").await;
        // Then the log says what to do.
        agent.said(mark, "spire-server entry create").await;
        agent.said(mark, "allow_unauthenticated_verifiers").await;
        let forged = carrying(&site.world.forged(FRONTEND).unwrap());
        for request in [site.asks(FRONTEND), forged, site.asks(PARTNER)] {
            asked(&client, &request, &AWAY).await;
        }
        refuses_what_needs_no_spire(&site, &client).await;
        // It is no outage, however SPIRE fails afterwards: the material is gone.
        site.world.spire().stop(SocketFile::Left).await.unwrap();
        asked(&client, &site.asks(FRONTEND), &AWAY).await;
        let mark = agent.mark();
        site.world.spire().start().unwrap();
        site.world.spire().answer_normally();
        agent.said(mark, "to=\"Live\"").await;
        verifies(&site, &client).await;
        agent.stop().await;
    }
}

#[tokio::test]
async fn a_refusal_by_something_in_between_is_no_withdrawal() {
    let site = Site::new();
    let (agent, client) = live_in(&site, CACHE, 200).await;
    let mark = agent.mark();
    site.world.spire().set_fault(CallFault::Http(403));
    site.world.spire().end_streams(EndOfStreams::Cleanly);
    agent.said(mark, "to=\"Outage\"").await;
    let calls = site.world.spire().calls();
    // Long after the grace has passed: each call waits up to a second.
    site.world.spire().wait_for_calls(calls + 3).await.unwrap();
    verifies(&site, &client).await;
    assert!(!agent.log().contains("to=\"Withdrawn\""), "{}", agent.log());
    agent.stop().await;
}

#[tokio::test]
async fn under_a_fault_of_ours_fail_open_does_not_open() {
    let site = Site::new();
    let (agent, client) = live_in(&site, FAIL_OPEN, 200).await;
    let mark = agent.mark();
    site.world
        .spire()
        .answer_with(Code::InvalidArgument, "security header missing");
    site.world.spire().end_streams(EndOfStreams::Cleanly);
    agent.said(mark, "to=\"Outage\"").await;
    let forged = carrying(&site.world.forged(FRONTEND).unwrap());
    asked(&client, &forged, &AWAY).await;
    asked(&client, &site.asks(FRONTEND), &AWAY).await;
    agent.stop().await;
}

#[tokio::test]
async fn old_material_counts_no_more() {
    for (mode, expected) in [(CACHE, AWAY), (FAIL_OPEN, OPEN)] {
        let site = Site::new();
        let agent = site.live(&policy(mode, 100, 2)).await;
        let client = agent.connect().await;
        let mark = agent.mark();
        site.world.spire().stop(SocketFile::Left).await.unwrap();
        agent.said(mark, "to=\"Outage\"").await;
        let request = site.asks(FRONTEND);
        eventually("the end of cache-ttl", async || {
            let answer = client.ask(&request).await.unwrap();
            let over = expected.check(&request, &answer).is_ok();
            // Until then it is verified, and nothing else.
            if !over {
                Expected::allowed_as(FRONTEND).of(&request, &answer);
            }
            over
        })
        .await;
        // A new certificate, and a remembered one, alike.
        asked(&client, &site.asks(FRONTEND), &expected).await;
        asked(&client, &request, &expected).await;
        refuses_what_needs_no_spire(&site, &client).await;
        agent.stop().await;
    }
}

#[tokio::test]
async fn before_spire_ever_answered_nothing_is_let_in_until_it_is_an_outage() {
    for mode in MODES {
        let site = Site::new();
        site.world.spire().hang();
        let agent = site
            .serve(site.configured(&policy(mode, 3_000, 3600)))
            .await;
        let client = agent.connect().await;
        if !agent.log().contains("to=\"Outage\"") {
            asked(&client, &site.asks(FRONTEND), &AWAY).await;
        }
        agent.said(0, "to=\"Outage\"").await;
        let expected = if mode == FAIL_OPEN { OPEN } else { AWAY };
        asked(&client, &site.asks(FRONTEND), &expected).await;
        refuses_what_needs_no_spire(&site, &client).await;
        site.world.spire().answer_normally();
        agent.said(0, "to=\"Live\"").await;
        verifies(&site, &client).await;
        agent.stop().await;
    }
}

#[tokio::test]
async fn spire_may_come_after_the_agent() {
    let site = Site::new();
    site.world.spire().stop(SocketFile::Removed).await.unwrap();
    let agent = site
        .serve(site.configured(&policy(FAIL_CLOSED, 600_000, 3600)))
        .await;
    let client = agent.connect().await;
    asked(&client, &site.asks(FRONTEND), &AWAY).await;
    site.world.spire().start().unwrap();
    agent.said(0, "to=\"Live\"").await;
    verifies(&site, &client).await;
    agent.stop().await;
}

#[tokio::test]
async fn the_status_of_an_outage_can_be_chosen() {
    let site = Site::new();
    site.world.spire().stop(SocketFile::Removed).await.unwrap();
    let config = format!(
        "allowlist {{ exact \"{FRONTEND}\" }}\nfailure {{\n unavailable-status 451\n validation-failure \"log_and_allow\"\n}}\n"
    );
    let agent = site.serve(site.configured(&config)).await;
    let client = agent.connect().await;
    // log_and_allow has no effect on a request with a credential that cannot be judged.
    let away = Expected::Denied(451, "TRUST_UNAVAILABLE");
    asked(&client, &site.asks(FRONTEND), &away).await;
    agent.stop().await;
}

#[tokio::test]
async fn an_update_of_garbage_is_discarded_whole() {
    let site = Site::new();
    let (agent, client) = live_in(&site, FAIL_CLOSED, 600_000).await;
    let key = site.world.home().bundle_key();
    for garbage in [
        [(key.clone(), b"garbage".to_vec())].into(),
        [("not an id".to_owned(), site.world.home().anchors_der())].into(),
        [].into(),
    ] {
        let mark = agent.mark();
        site.world.spire().send_raw(garbage);
        agent.said(mark, "discarded").await;
        verifies(&site, &client).await;
    }
    agent.stop().await;
}

#[tokio::test]
async fn one_bad_bundle_holds_back_no_other() {
    let mut site = Site::new();
    let (agent, client) = live_in(&site, FAIL_CLOSED, 600_000).await;
    let before = site.asks(FRONTEND);
    let partner = site.world.partner().bundle_key();
    let mark = agent.mark();
    site.world.rotate(Rotation::Abrupt).unwrap();
    let mut bundles = site.world.spire().bundles();
    bundles.insert(partner, b"garbage".to_vec());
    site.world.spire().set_bundles(bundles);
    agent.said(mark, "bundle cannot be read").await;
    verifies(&site, &client).await;
    asked(&client, &before, &Expected::Denied(401, "UNTRUSTED")).await;
    agent.stop().await;
}

#[tokio::test]
async fn a_rotation_is_followed_at_once() {
    let mut site = Site::new();
    let (agent, client) = live_in(&site, FAIL_CLOSED, 600_000).await;
    let first = site.asks(FRONTEND);
    asked(&client, &first, &Expected::allowed_as(FRONTEND)).await;

    let mark = agent.mark();
    site.world.rotate(Rotation::Overlapping).unwrap();
    agent.said(mark, "trust bundles updated").await;
    let second = site.asks(FRONTEND);
    for request in [&first, &second] {
        asked(&client, request, &Expected::allowed_as(FRONTEND)).await;
    }

    let mark = agent.mark();
    site.world.retire_old_roots();
    agent.said(mark, "trust bundles updated").await;
    // What was remembered of it counts no more.
    asked(&client, &first, &Expected::Denied(401, "UNTRUSTED")).await;
    asked(&client, &second, &Expected::allowed_as(FRONTEND)).await;

    let mark = agent.mark();
    site.world.rotate(Rotation::Abrupt).unwrap();
    agent.said(mark, "trust bundles updated").await;
    asked(&client, &second, &Expected::Denied(401, "UNTRUSTED")).await;
    asked(
        &client,
        &site.asks(FRONTEND),
        &Expected::allowed_as(FRONTEND),
    )
    .await;
    agent.stop().await;
}

#[tokio::test]
async fn a_domain_that_an_update_omits_is_unknown_at_once() {
    let site = Site::new();
    let config = "allowlist { any #true }\n";
    let agent = site.live(config).await;
    let client = agent.connect().await;
    let partner = site.asks(PARTNER);
    asked(&client, &partner, &Expected::allowed_as(PARTNER)).await;
    let mark = agent.mark();
    site.world.unfederate();
    agent.said(mark, "trust bundles updated").await;
    let unknown = Expected::Denied(401, "UNKNOWN_TRUST_DOMAIN");
    asked(&client, &partner, &unknown).await;
    asked(
        &client,
        &site.asks(FRONTEND),
        &Expected::allowed_as(FRONTEND),
    )
    .await;

    let mark = agent.mark();
    site.world.publish();
    agent.said(mark, "trust bundles updated").await;
    asked(&client, &partner, &Expected::allowed_as(PARTNER)).await;

    // A bundle without anchors is a bundle: it trusts nobody.
    let mark = agent.mark();
    let mut bundles = site.world.spire().bundles();
    bundles.insert(site.world.partner().bundle_key(), Vec::new());
    site.world.spire().set_bundles(bundles);
    agent.said(mark, "trust bundles updated").await;
    asked(&client, &partner, &Expected::Denied(401, "UNTRUSTED")).await;
    agent.stop().await;
}

#[tokio::test]
async fn nobody_is_answered_wrongly_while_spire_comes_and_goes() {
    let site = Site::new();
    let config = format!(
        "{}failure {{ spire-unavailable \"cache\" }}\nspire {{\n bundle-refresh-interval 1\n api-timeout-ms 100\n unavailable-after-ms 1\n withdrawal-grace-ms 60000\n}}\n",
        common::LOAD_POLICY
    );
    let agent = site.live(&config).await;
    let load = common::load::start(agent.socket.clone(), common::load::mixed(&site), 2);
    let spire = site.world.spire();
    for round in 0..6 {
        load.served(100).await;
        match round % 3 {
            0 => spire.stop(SocketFile::Left).await.unwrap(),
            1 => spire.freeze().unwrap(),
            _ => spire.end_streams(EndOfStreams::Cleanly),
        }
        load.served(100).await;
        match round % 3 {
            0 => spire.start().unwrap(),
            1 => spire.thaw().unwrap(),
            _ => {}
        }
    }
    let tally = load.stop().await;
    assert_eq!(
        tally.refused.load(std::sync::atomic::Ordering::Relaxed),
        0,
        "{tally:?}"
    );
    agent.stop().await;
}

/// Whatever is wrong with SPIRE's socket or behind it, the log says it in words, and what to do.
#[tokio::test]
async fn what_is_in_the_way_is_said_with_its_remedy() {
    let site = Site::new();
    let (spire, socket) = (site.world.spire(), site.path("spire.sock"));
    let hasty = || site.configured(&policy(FAIL_CLOSED, 200, 3600));
    spire.stop(SocketFile::Removed).await.unwrap();
    complains(&site, hasty(), "no such file", "--spire-socket says where").await;
    std::fs::write(&socket, b"no socket").unwrap();
    complains(&site, hasty(), "is no socket", "name SPIRE's socket").await;
    std::fs::remove_file(&socket).unwrap();
    drop(std::os::unix::net::UnixListener::bind(&socket).unwrap());
    complains(
        &site,
        hasty(),
        "connection refused: nobody listens",
        "start the SPIRE agent",
    )
    .await;
    spire.start().unwrap();
    spire.withdraw();
    let (error, remedy) = (
        "no registration entry",
        "register it: spire-server entry create",
    );
    complains(&site, hasty(), error, remedy).await;
    spire.hang();
    complains(
        &site,
        hasty(),
        "does not answer in time",
        "its log, its load",
    )
    .await;
    spire.answer_http(404);
    complains(&site, hasty(), "is no Workload API", "not its admin socket").await;
    let (error, remedy) = ("says that SPIRE cannot be reached", "the proxy in between");
    spire.answer_http(502);
    complains(&site, hasty(), error, remedy).await;
    spire.answer_with(Code::Unimplemented, "no such service");
    complains(&site, hasty(), "is no Workload API", "not its admin socket").await;
}

async fn complains(site: &Site, command: std::process::Command, error: &str, remedy: &str) {
    let agent = site.serve(command).await;
    agent
        .said(0, "no bundles from the Workload API cause=")
        .await;
    agent.said(0, error).await;
    agent.said(0, remedy).await;
    agent.stop().await;
}

/// The gRPC door's own SVID is asked for as the bundles are, and what is in the way is said alike.
#[tokio::test]
async fn a_door_without_its_own_svid_says_why_and_what_to_do() {
    let site = Site::new();
    site.world.spire().withdraw();
    let mut command = site.configured(&policy(FAIL_CLOSED, 200, 3600));
    // Free a moment ago; beyond loopback, where the door has mutual TLS.
    let free = std::net::TcpListener::bind("0.0.0.0:0")
        .unwrap()
        .local_addr()
        .unwrap();
    command.args(["--grpc-address", &free.to_string()]);
    command.args(["--trusted-proxy", "spiffe://example.org/proxy"]);
    let agent = site.serve(command).await;
    agent.said(0, "SPIRE gives this agent no X.509-SVID").await;
    let log = agent.log();
    let line = log.lines().find(|line| line.contains("no X.509-SVID"));
    let line = line.unwrap();
    assert!(
        line.contains("there is no registration entry that fits"),
        "{line}"
    );
    assert!(
        line.contains("register it: spire-server entry create"),
        "{line}"
    );
    agent.stop().await;
}
