//! The process: how it starts, refuses to start, and stops.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::print_stderr,
    reason = "a test may panic and print"
)]

mod common;

use std::os::unix::fs::PermissionsExt as _;
use std::process::Command;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Instant;

use chaos::client::{Client, Hello, kind};
use common::expect::Expected;
use common::{Agent, Ended, FRONTEND, LOAD_POLICY, PARTNER, Site, asked, exists};
use rustix::process::{Signal, kill_process};
use tokio::io::AsyncWriteExt as _;
use tokio::net::UnixStream;

/// Requests that fit into the socket unread.
const SENT: usize = 30;

async fn refused(site: &Site, command: Command) -> Ended {
    let agent = Agent::spawn(command, site.socket(), site.path("audit.jsonl"));
    let ended = agent.ended().await;
    assert!(!ended.stderr.contains("serving"), "{}", ended.stderr);
    assert!(!ended.stderr.contains("panicked"), "{}", ended.stderr);
    ended
}

#[tokio::test]
async fn the_first_verified_decision_comes_soon_and_memory_stays_small() {
    let site = Site::new();
    let request = site.asks(FRONTEND);
    let command = site.configured(LOAD_POLICY);
    let started = Instant::now();
    let agent = Agent::spawn(command, site.socket(), site.path("audit.jsonl"));
    let client = loop {
        match Client::connect(site.socket(), Hello::default()).await {
            Ok(client) => break client,
            Err(error) if started.elapsed() > common::PATIENCE => panic!("{error}"),
            Err(_) => tokio::time::sleep(std::time::Duration::from_millis(1)).await,
        }
    };
    while !client.ask(&request).await.unwrap().is_allow() {
        assert!(started.elapsed() < common::PATIENCE, "{}", agent.log());
    }
    let first = started.elapsed();
    eprintln!("first verified decision after {first:?}");
    // Promised: 100 ms. Machines that test are busy, and debug builds slow.
    assert!(first.as_millis() < 3_000, "{first:?}");

    for n in 0..500 {
        let id = format!("spiffe://example.org/services/{n}");
        asked(&client, &site.asks(&id), &Expected::As(id)).await;
        asked(&client, &request, &Expected::allowed_as(FRONTEND)).await;
    }
    let rss = agent.rss_kib();
    eprintln!("VmRSS after 1000 requests: {rss} KiB");
    // The promise is the released build's, which the gate names; debug code is larger.
    let promised = if common::other_binary().is_some() {
        20
    } else {
        64
    };
    assert!(rss <= promised * 1024, "{rss} KiB");
    agent.stop().await;
}

/// systemd starts what is ordered after the unit once this is said: the socket must be there by then.
#[tokio::test]
async fn the_service_manager_is_told_when_the_socket_is_there_and_when_it_goes() {
    let site = Site::new();
    let notify = site.path("notify.sock");
    let told = tokio::net::UnixDatagram::bind(&notify).unwrap();
    let mut command = site.configured(LOAD_POLICY);
    command.env("NOTIFY_SOCKET", &notify);
    let agent = Agent::spawn(command, site.socket(), site.path("audit.jsonl"));
    let mut text = [0; 64];
    let mut next = async || {
        let heard = tokio::time::timeout(common::PATIENCE, told.recv(&mut text));
        let bytes = heard.await.expect("the service manager is told").unwrap();
        String::from_utf8_lossy(&text[..bytes]).into_owned()
    };
    assert_eq!(next().await, "READY=1\n");
    UnixStream::connect(site.socket()).await.unwrap();
    agent.terminate();
    assert_eq!(next().await, "STOPPING=1\n");
    assert!(agent.ended().await.status.success());
}

#[tokio::test]
async fn a_drain_answers_what_was_sent_and_ends_well() {
    for signal in [Signal::TERM, Signal::INT] {
        let site = Site::new();
        let agent = site.live(LOAD_POLICY).await;
        let client = agent.connect().await;
        let idle = agent.connect().await;
        let untouched = agent.dial().await;
        let questions = common::load::mixed(&site);
        let pid = agent.pid();
        // Held still, so that everything below is sent and nothing read when it hears of its end.
        kill_process(pid, Signal::STOP).unwrap();
        let mut sent = Vec::new();
        for question in questions.iter().take(SENT) {
            sent.push((client.send(&question.request).await.unwrap(), question));
        }
        kill_process(pid, signal).unwrap();
        kill_process(pid, Signal::CONT).unwrap();
        for (id, question) in sent {
            let answer = client.answer(&id).await.expect("what was sent is answered");
            question.expected.of(&question.request, &answer);
        }
        for client in [client, idle, untouched] {
            client.closed().await.unwrap();
        }
        let ended = agent.ended().await;
        assert_eq!(ended.status.code(), Some(0), "{}", ended.stderr);
        assert!(!exists(&site.socket()));
        // Each decision has its record, although the process is gone.
        let records = std::fs::read_to_string(site.path("audit.jsonl")).unwrap();
        assert_eq!(records.lines().count(), SENT);
    }
}

#[tokio::test]
async fn a_drain_under_load_ends_soon_and_answers_nobody_wrongly() {
    let site = Site::new();
    let agent = site.live(LOAD_POLICY).await;
    let load = common::load::start(agent.socket.clone(), common::load::mixed(&site), 4);
    load.served(500).await;
    let asked_to = Instant::now();
    agent.terminate();
    let ended = agent.ended().await;
    eprintln!("drained under load in {:?}", asked_to.elapsed());
    load.last_round();
    let tally = load.finished().await;
    eprintln!("{tally:?}");
    assert_eq!(ended.status.code(), Some(0), "{}", ended.stderr);
    assert!(!exists(&site.socket()));
    assert!(
        asked_to.elapsed().as_secs() < 20,
        "it lets new requests hold it up"
    );
    assert!(tally.right.load(Relaxed) >= 500);
}

#[tokio::test]
async fn who_never_reads_holds_up_no_drain() {
    let site = Site::new();
    let config = format!(
        "{LOAD_POLICY}agent {{ limits {{\n decision-deadline-ms 20000\n drain-timeout-ms 500\n}} }}\n"
    );
    let agent = site.live(&config).await;
    let mut stream = UnixStream::connect(&agent.socket).await.unwrap();
    let frame = |kind: u8, message: String| {
        let payload = message.into_bytes();
        chaos::client::Frame { kind, payload }.encode().unwrap()
    };
    let hello = frame(
        kind::HANDSHAKE_REQUEST,
        r#"{"supported_versions":[2]}"#.to_owned(),
    );
    stream.write_all(&hello).await.unwrap();
    let ping = frame(kind::PING, r#"{"sequence":1,"timestamp_ms":0}"#.to_owned()).repeat(1_000);
    let pause = std::time::Duration::from_millis(300);
    while tokio::time::timeout(pause, stream.write_all(&ping))
        .await
        .is_ok()
    {}
    let asked_to = Instant::now();
    agent.stop().await;
    eprintln!(
        "drained beside one that never reads in {:?}",
        asked_to.elapsed()
    );
    assert!(asked_to.elapsed().as_secs() < 15);
}

/// Whatever cleans up there: the connected are served, and the log says what newcomers meet.
#[tokio::test]
async fn a_socket_that_is_removed_is_missed() {
    let site = Site::new();
    let agent = site.live(LOAD_POLICY).await;
    let client = agent.connect().await;
    std::fs::remove_file(site.socket()).unwrap();
    agent
        .said(0, "the agent's socket is gone from its path")
        .await;
    asked(
        &client,
        &site.asks(FRONTEND),
        &Expected::allowed_as(FRONTEND),
    )
    .await;
    agent.stop().await;
}

#[tokio::test]
async fn a_live_listener_is_not_pushed_aside() {
    let site = Site::new();
    let agent = site.live(LOAD_POLICY).await;
    let second = refused(&site, site.configured(LOAD_POLICY)).await;
    assert_ne!(second.status.code(), Some(0));
    assert!(
        second.stderr.contains("another process listens"),
        "{}",
        second.stderr
    );
    let client = agent.connect().await;
    asked(
        &client,
        &site.asks(FRONTEND),
        &Expected::allowed_as(FRONTEND),
    )
    .await;
    agent.stop().await;
}

#[tokio::test]
async fn a_stale_socket_is_replaced() {
    let site = Site::new();
    let agent = site.live(LOAD_POLICY).await;
    kill_process(agent.pid(), Signal::KILL).unwrap();
    agent.ended().await;
    assert!(exists(&site.socket()), "a killed process leaves its socket");
    let agent = site.live(LOAD_POLICY).await;
    let mode = std::fs::metadata(site.socket())
        .unwrap()
        .permissions()
        .mode();
    assert_eq!(mode & 0o777, 0o660);
    let client = agent.connect().await;
    asked(
        &client,
        &site.asks(FRONTEND),
        &Expected::allowed_as(FRONTEND),
    )
    .await;
    agent.stop().await;
}

#[tokio::test]
async fn what_is_no_socket_is_not_touched() {
    let site = Site::new();
    std::fs::write(site.socket(), "precious").unwrap();
    let ended = refused(&site, site.configured(LOAD_POLICY)).await;
    assert!(ended.stderr.contains("not a socket"), "{}", ended.stderr);
    assert_eq!(std::fs::read_to_string(site.socket()).unwrap(), "precious");

    std::fs::remove_file(site.socket()).unwrap();
    std::os::unix::fs::symlink(site.path("elsewhere"), site.socket()).unwrap();
    let ended = refused(&site, site.configured(LOAD_POLICY)).await;
    assert!(ended.stderr.contains("not a socket"), "{}", ended.stderr);
    assert!(!exists(&site.path("elsewhere")));

    let nowhere = site.path("no/such/directory.sock");
    let mut command = site.configured(LOAD_POLICY);
    command.env("RUST_BACKTRACE", "0");
    let mut args: Vec<_> = command.get_args().map(ToOwned::to_owned).collect();
    args[1] = nowhere.clone().into();
    let mut command = Command::new(command.get_program());
    command.env_clear().args(args);
    let ended = refused(&site, command).await;
    assert_eq!(ended.status.code(), Some(1), "{}", ended.stderr);
    let said = format!("make the directory {}", site.path("no/such").display());
    for text in ["directory.sock", &said] {
        assert!(ended.stderr.contains(text), "{}", ended.stderr);
    }
    assert_eq!(ended.stderr.matches("No such file").count(), 1);
}

/// A group may be made after the agent starts: it is the machine's fault, which restarts may cure.
#[tokio::test]
async fn a_group_that_is_not_there_yet_is_no_wrong_configuration() {
    let site = Site::new();
    let mut command = site.configured(LOAD_POLICY);
    command.args(["--socket-group", "no-such-group"]);
    let ended = refused(&site, command).await;
    assert_eq!(ended.status.code(), Some(1), "{}", ended.stderr);
    let said = "socket-group no-such-group: no such group; make it";
    assert!(ended.stderr.contains(said), "{}", ended.stderr);
    assert!(!exists(&site.socket()));
}

#[tokio::test]
async fn signals_that_ask_for_no_end_end_nothing() {
    let site = Site::new();
    let agent = site.live(LOAD_POLICY).await;
    for (signal, name) in [
        (Signal::HUP, "SIGHUP: nothing to reload"),
        (Signal::USR1, "SIGUSR1: nothing to reload"),
        (Signal::USR2, "SIGUSR2: nothing to reload"),
    ] {
        kill_process(agent.pid(), signal).unwrap();
        agent.said(0, name).await;
    }
    let client = agent.connect().await;
    asked(
        &client,
        &site.asks(FRONTEND),
        &Expected::allowed_as(FRONTEND),
    )
    .await;
    drop(client);
    let ended = agent.stop().await;
    assert_eq!(ended.status.code(), Some(0), "{}", ended.stderr);
    assert!(!exists(&site.socket()));
}

#[tokio::test]
async fn a_wrong_configuration_is_told_from_other_failures() {
    let site = Site::new();
    for (config, names) in [
        ("allowlist { exakt \"spiffe://example.org/x\" }", "exakt"),
        ("allowlist { exact \"example.org/x\" }", "example.org/x"),
        (
            "failure { spire-unavailable \"open\" }",
            "spire-unavailable",
        ),
        ("allowlist {", "never closed"),
        ("headers { spiffe-id \"Connection\" }", "Connection"),
        ("agent { limits { connections 0 } }", "connections"),
    ] {
        let path = site.path("wrong.kdl");
        std::fs::write(&path, config).unwrap();
        let mut command = site.command();
        command.arg("--config").arg(&path);
        let ended = refused(&site, command).await;
        assert_eq!(ended.status.code(), Some(78), "{config}: {}", ended.stderr);
        assert!(ended.stderr.contains(names), "{config}: {}", ended.stderr);
        assert!(!exists(&site.socket()), "{config}");
    }
    let mut command = site.command();
    command.arg("--config").arg(site.path("missing.kdl"));
    let ended = refused(&site, command).await;
    assert_eq!(ended.status.code(), Some(78), "{}", ended.stderr);
    assert!(ended.stderr.contains("missing.kdl"), "{}", ended.stderr);

    let mut command = site.command();
    command.env("SPIFFE_VERBOSE", "perhaps");
    let ended = refused(&site, command).await;
    assert_eq!(ended.status.code(), Some(78), "{}", ended.stderr);
    assert!(ended.stderr.contains("SPIFFE_VERBOSE"), "{}", ended.stderr);
}

#[tokio::test]
async fn the_environment_of_the_published_agent_is_understood() {
    let site = Site::new();
    let mut command = Command::new(env!("CARGO_BIN_EXE_sentinel-spiffe-agent"));
    command.env_clear();
    command.env("AGENT_ADMIN_ADDRESS", "none");
    command.env("AGENT_SOCKET", site.socket());
    command.env(
        "SPIRE_AGENT_SOCKET",
        format!("unix://{}", site.path("spire.sock").display()),
    );
    command.env("SPIFFE_VERBOSE", "1");
    command.arg("--config").arg(site.write_config(LOAD_POLICY));
    let agent = site.serve(command).await;
    agent.said(0, "to=\"Live\"").await;
    let client = agent.connect().await;
    asked(
        &client,
        &site.asks(PARTNER),
        &Expected::Denied(403, "NOT_ALLOWED"),
    )
    .await;
    drop(client);
    agent.said(0, "DEBUG").await;
    agent.stop().await;
}

#[tokio::test]
async fn whoever_is_not_a_trusted_proxy_is_closed_unheard() {
    let site = Site::new();
    let mut command = site.configured(LOAD_POLICY);
    command.args(["--trusted-proxy", "uid:4242"]);
    let agent = site.serve(command).await;
    let client = agent.dial().await;
    client.handshake(Hello::default()).await.unwrap_err();
    agent.said(0, "UNTRUSTED_PROXY").await;
    client.closed().await.unwrap();
    agent.stop().await;

    let mut command = site.configured(LOAD_POLICY);
    let uid = rustix::process::geteuid().as_raw();
    command.args(["--trusted-proxy", &format!("uid:4242,uid:{uid}")]);
    let agent = site.serve(command).await;
    agent.connect().await;
    agent.stop().await;
}
