//! `doctor` on the built binary: each finding on the real thing, broken.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test may panic"
)]

mod common;

use std::io::{Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::{Command, Output};

use chaos::ca::{Authority, AuthorityOptions, SvidOptions, Window};
use chaos::client::Request;
use chaos::spire::{SocketFile, WorkloadSvid};
use chaos::world::bundles_of;
use serde_json::Value;

use common::{FRONTEND, Site, eventually, unix_now};

/// About which there is nothing to say.
const POLICY: &str = "tls { client-cert-format \"xfcc\"; xfcc-element \"only\" }\nallowlist { exact \"spiffe://example.org/frontend\" }\n";

fn doctor(site: &Site, config: &str, arguments: &[&str]) -> Output {
    let file = site.path("doctor.kdl");
    std::fs::write(&file, config).unwrap();
    let mut command = Command::new(env!("CARGO_BIN_EXE_sentinel-spiffe-agent"));
    // No admin listener but where one is looked at: tests share the default address.
    command.env_clear().env("AGENT_ADMIN_ADDRESS", "none");
    command
        .args(["doctor", "--output", "json", "--config"])
        .arg(&file);
    command.arg("--socket").arg(site.socket());
    if !arguments.contains(&"--spire-socket") {
        command.arg("--spire-socket").arg(site.path("spire.sock"));
    }
    command.args(arguments).output().unwrap()
}

/// The codes of what was found; each finding says what to do.
fn codes(output: &Output) -> Vec<String> {
    let text = String::from_utf8_lossy(&output.stdout);
    let found: Value = serde_json::from_str(&text).unwrap_or_else(|e| panic!("{e}: {output:?}"));
    let findings = found["findings"].as_array().unwrap();
    let wanted = i32::from(!findings.is_empty());
    assert_eq!(output.status.code(), Some(wanted), "{text}");
    for finding in findings {
        assert!(!finding["fix"].as_str().unwrap().is_empty(), "{finding}");
    }
    let codes = findings
        .iter()
        .map(|finding| finding["code"].as_str().unwrap().to_owned());
    codes.collect()
}

/// Found with everything else in its place but the agent, which does not run here.
fn found(site: &Site, config: &str, arguments: &[&str]) -> Vec<String> {
    let mut codes = codes(&doctor(site, config, arguments));
    codes.retain(|code| code != "agent-down");
    codes
}

#[tokio::test(flavor = "multi_thread")]
async fn where_nothing_is_wrong_nothing_is_found() {
    let site = Site::new();
    let agent = site.live(POLICY).await;
    let output = doctor(&site, POLICY, &[]);
    assert!(codes(&output).is_empty(), "{output:?}");
    agent.stop().await;
    assert_eq!(codes(&doctor(&site, POLICY, &[])), ["agent-down"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn spires_socket_in_every_bad_state() {
    let site = Site::new();
    let spire = site.world.spire();
    let gone = site.path("gone.sock");
    let arguments = ["--spire-socket", gone.to_str().unwrap()];
    assert_eq!(found(&site, POLICY, &arguments), ["spire-socket-missing"]);
    std::fs::write(&gone, "no socket").unwrap();
    assert_eq!(found(&site, POLICY, &arguments), ["spire-socket-wrong"]);
    spire.stop(SocketFile::Left).await.unwrap();
    assert_eq!(found(&site, POLICY, &[]), ["spire-down"]);
}

/// As a container has it: the socket itself is mounted, in a mount namespace of its own.
fn doctor_with_mount(site: &Site, socket: &Path) -> Vec<String> {
    let (file, mounted) = (site.path("doctor.kdl"), site.path("mounted.sock"));
    std::fs::write(&file, POLICY).unwrap();
    std::fs::write(&mounted, "").unwrap();
    let mut command = Command::new("unshare");
    command.env("AGENT_ADMIN_ADDRESS", "none");
    command.args([
        "--mount",
        "sh",
        "-c",
        "mount --bind \"$1\" \"$2\" && shift 2 && exec \"$@\"",
        "sh",
    ]);
    command
        .arg(socket)
        .arg(&mounted)
        .arg(env!("CARGO_BIN_EXE_sentinel-spiffe-agent"));
    command
        .args(["doctor", "--output", "json", "--config"])
        .arg(&file);
    command
        .arg("--socket")
        .arg(site.socket())
        .arg("--spire-socket")
        .arg(&mounted);
    let mut codes = codes(&command.output().unwrap());
    codes.retain(|code| code != "agent-down");
    codes
}

#[tokio::test(flavor = "multi_thread")]
async fn a_socket_that_is_mounted_goes_stale() {
    let may_mount = Command::new("unshare").args(["--mount", "true"]).status();
    if !may_mount.is_ok_and(|status| status.success()) {
        // Only whoever may mount can show it.
        return;
    }
    let site = Site::new();
    let (socket, old) = (site.path("spire.sock"), site.path("old.sock"));
    std::fs::hard_link(&socket, &old).unwrap();
    assert_eq!(doctor_with_mount(&site, &socket), ["socket-mounted"]);
    let spire = site.world.spire();
    spire.stop(SocketFile::Removed).await.unwrap();
    spire.start().unwrap();
    // SPIRE is up again; whoever mounted the file still has the old one.
    assert_eq!(found(&site, POLICY, &[]), [""; 0]);
    assert_eq!(doctor_with_mount(&site, &old), ["socket-stale"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn spire_that_refuses_hangs_or_is_something_else() {
    let site = Site::new();
    let spire = site.world.spire();
    spire.withdraw();
    let output = doctor(&site, POLICY, &[]);
    assert!(codes(&output).contains(&"not-registered".to_owned()));
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(
        text.contains("spire-server entry create -spiffeID"),
        "{text}"
    );
    spire.answer_with(tonic::Code::Unimplemented, "no such service");
    assert_eq!(found(&site, POLICY, &[]), ["spire-not-understood"]);
    spire.answer_http(404);
    assert_eq!(found(&site, POLICY, &[]), ["spire-not-understood"]);
    spire.answer_with(tonic::Code::Unavailable, "no server");
    assert_eq!(found(&site, POLICY, &[]), ["spire-broken"]);
    spire.hang();
    let hasty = format!("{POLICY}spire {{ api-timeout-ms 100 }}\n");
    assert_eq!(found(&site, &hasty, &[]), ["spire-silent"]);
}

/// SPIRE serves the bundle of an authority with this window.
fn bundle_of(site: &Site, window: Window) {
    let options = AuthorityOptions::at(unix_now()).with_window(window);
    let authority = Authority::new("example.org", options).unwrap();
    site.world.spire().set_bundles(bundles_of([&authority]));
}

#[tokio::test(flavor = "multi_thread")]
async fn bundles_that_are_expired_ending_early_unreadable_or_missing() {
    let site = Site::new();
    let now = unix_now();
    bundle_of(&site, Window::from(now - 7_200, 3_600));
    assert_eq!(found(&site, POLICY, &[]), ["bundle-unusable"]);
    bundle_of(&site, Window::from(now - 7_200, 10_800));
    assert_eq!(found(&site, POLICY, &[]), ["authority-ending"]);
    bundle_of(&site, Window::from(now + 600, 10 * 86_400));
    let early = found(&site, POLICY, &[]);
    assert_eq!(early, ["bundle-unusable", "clock-behind"]);
    let mut bundles = bundles_of([site.world.home()]);
    bundles.insert("spiffe://partner.test".to_owned(), b"no bundle".to_vec());
    site.world.spire().set_bundles(bundles);
    assert!(found(&site, POLICY, &[]).contains(&"bundle-unreadable".to_owned()));
    let wants = POLICY.replace("exact ", "trust-domains \"absent.test\"; exact ");
    site.world.publish();
    site.world.unfederate();
    assert!(found(&site, &wants, &[]).contains(&"domain-not-delivered".to_owned()));
}

#[tokio::test(flavor = "multi_thread")]
async fn svids_that_are_expired_or_live_too_long() {
    let site = Site::new();
    let now = unix_now();
    for (window, code) in [
        (Window::from(now - 60, 3 * 86_400), "svid-long-lived"),
        (Window::from(now - 7_200, 3_600), "svid-expired"),
        (Window::from(now + 600, 3_600), "clock-behind"),
    ] {
        let options = SvidOptions::at(now).with_window(window);
        let svid = site
            .world
            .svid_with("spiffe://example.org/agent", &options)
            .unwrap();
        let hint = String::new();
        site.world
            .spire()
            .set_svids(vec![WorkloadSvid { svid, hint }]);
        assert_eq!(found(&site, POLICY, &[]), [code]);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn our_own_socket_and_state() {
    let site = Site::new();
    std::fs::write(site.socket(), "no socket").unwrap();
    assert!(codes(&doctor(&site, POLICY, &[])).contains(&"agent-socket-wrong".to_owned()));
    std::fs::remove_file(site.socket()).unwrap();
    let agent = site.live(POLICY).await;
    chmod(&site.socket(), 0o666);
    assert_eq!(codes(&doctor(&site, POLICY, &[])), ["agent-socket-mode"]);
    agent.stop().await;
    let state = site.path("state");
    std::fs::create_dir(&state).unwrap();
    chmod(&state, 0o700);
    let arguments = ["--state-dir", state.to_str().unwrap()];
    assert_eq!(found(&site, POLICY, &arguments), ["state-unusable"]);
    chmod(&state, 0o777);
    let open = found(&site, POLICY, &arguments);
    assert_eq!(open, ["state-dir-open", "state-unusable"]);
    let lint = POLICY.replace("xfcc-element \"only\"", "require-mtls #false");
    let lints = found(&site, &lint, &[]);
    assert_eq!(lints, ["anonymous-allowed", "xfcc-last"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_records_tell() {
    let site = Site::new();
    let config = format!("{POLICY}failure {{ enforce #false }}\n");
    let agent = site.live(&config).await;
    let client = agent.connect().await;
    let svid = site.world.svid(FRONTEND).unwrap().xfcc();
    let appended = Request::get("/").header("x-forwarded-client-cert", format!("{svid},{svid}"));
    client.ask(&appended).await.unwrap();
    let options = SvidOptions::at(unix_now()).with_window(Window::from(unix_now() - 5, 5 * 86_400));
    let long = site.world.svid_with(FRONTEND, &options).unwrap();
    client.ask(&common::carrying(&long)).await.unwrap();
    eventually("two records", async || agent.records().len() == 2).await;
    let records = site.path("audit.jsonl");
    let codes = codes(&doctor(
        &site,
        POLICY,
        &["--records", records.to_str().unwrap()],
    ));
    assert_eq!(
        codes,
        ["hop-appends", "svid-long-lived", "unverified-passed"]
    );
    agent.stop().await;
    let missing = found(&site, POLICY, &["--records", "/no/such/file"]);
    assert_eq!(missing, ["records-unreadable"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_proxy_that_brings_no_policy() {
    let site = Site::new();
    let agent = site
        .serve(site.configured("audit { log-success #true }\n"))
        .await;
    let client = agent.connect().await;
    client.ask(&Request::get("/")).await.unwrap();
    eventually("a record", async || agent.records().len() == 1).await;
    let records = site.path("audit.jsonl");
    let codes = codes(&doctor(
        &site,
        POLICY,
        &["--records", records.to_str().unwrap()],
    ));
    assert_eq!(codes, ["no-policy-delivered"]);
    agent.stop().await;
}

/// A hop and a proxy in one: asks the agent about one request, its headers treated as said.
fn hop(site: &Site, overwrites: bool, runtime: tokio::runtime::Handle) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}/orders", listener.local_addr().unwrap());
    let socket = site.socket();
    std::thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        let request = forwarded(&head(&mut stream), overwrites);
        runtime.block_on(async {
            let hello = chaos::client::Hello::default();
            let client = chaos::client::Client::connect(&socket, hello)
                .await
                .unwrap();
            client.ask(&request).await.unwrap();
        });
        stream
            .write_all(b"HTTP/1.1 401 Unauthorized\r\n\r\n")
            .unwrap();
    });
    url
}

fn head(stream: &mut TcpStream) -> String {
    let mut head = Vec::new();
    let mut byte = [0];
    while !head.ends_with(b"\r\n\r\n") {
        stream.read_exact(&mut byte).unwrap();
        head.push(byte[0]);
    }
    String::from_utf8(head).unwrap()
}

fn forwarded(head: &str, overwrites: bool) -> Request {
    let mut request = Request::get("/orders");
    for (name, value) in head.lines().filter_map(|line| line.split_once(": ")) {
        let name = name.to_lowercase();
        if name == "x-forwarded-client-cert" && !overwrites {
            request = request.header(&name, value);
        }
    }
    request
}

#[tokio::test(flavor = "multi_thread")]
async fn a_hop_that_forwards_a_forged_header_is_found_out() {
    let site = Site::new();
    let agent = site.live(POLICY).await;
    let records = site.path("audit.jsonl");
    let records = records.to_str().unwrap();
    for (overwrites, expected) in [(true, None), (false, Some("hop-forwards"))] {
        let url = hop(&site, overwrites, tokio::runtime::Handle::current());
        let through = ["--through", &url, "--records", records];
        let codes = codes(&doctor(&site, POLICY, &through));
        assert_eq!(codes.first().map(String::as_str), expected);
    }
    let nowhere = ["--through", "http://127.0.0.1:1/", "--records", records];
    assert_eq!(codes(&doctor(&site, POLICY, &nowhere)), ["probe-failed"]);
    agent.stop().await;
    let unseen = found(&site, POLICY, &["--through", "http://127.0.0.1:1/"]);
    assert_eq!(unseen, ["probe-unseen"]);
    // A hop whose route asks nobody.
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}/", listener.local_addr().unwrap());
    std::thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        head(&mut stream);
        stream.write_all(b"HTTP/1.1 200 OK\r\n\r\n").unwrap();
    });
    let unasked = found(&site, POLICY, &["--through", &url, "--records", records]);
    assert_eq!(unasked, ["probe-unseen"]);
}

fn chmod(path: &Path, mode: u32) {
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode)).unwrap();
}
