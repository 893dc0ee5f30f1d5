//! `explain` and `inspect` on the built binary, against a simulated SPIRE.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test may panic"
)]

mod common;

use std::io::{BufRead as _, BufReader, Write as _};
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::process::{Command, Output, Stdio};

use chaos::spire::{SocketFile, WorkloadSvid};
use serde_json::Value;

use common::{FRONTEND, PARTNER, Site};

const POLICY: &str = "tls { client-cert-format \"xfcc\" }\nallowlist {\n exact \"spiffe://example.org/frontend\"\n}\n";

/// The command with nothing of our environment.
fn agent(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_sentinel-spiffe-agent"));
    command.env_clear().args(arguments);
    command
}

fn explained(site: &Site, arguments: &[&str]) -> Value {
    let policy = site.path("policy.kdl");
    std::fs::write(&policy, POLICY).unwrap();
    let mut command = agent(&["explain", "--output", "json", "--config"]);
    command
        .arg(&policy)
        .arg("--spire-socket")
        .arg(site.path("spire.sock"));
    json(&command.args(arguments).output().unwrap())
}

fn json(output: &Output) -> Value {
    let text = String::from_utf8_lossy(&output.stdout);
    serde_json::from_str(&text).unwrap_or_else(|error| panic!("{error}: {output:?}"))
}

fn answer(explained: &Value) -> (&str, Option<&str>) {
    let answer = &explained["answer"];
    (
        answer["verdict"].as_str().unwrap(),
        answer["reason"].as_str(),
    )
}

#[tokio::test(flavor = "multi_thread")]
async fn a_header_is_explained_by_what_spire_gives_now() {
    let site = Site::new();
    let good = site.world.svid(FRONTEND).unwrap();
    let explained_good = explained(&site, &["--header", &good.xfcc()]);
    assert_eq!(answer(&explained_good), ("allow", None));
    assert_eq!(explained_good["certificate"]["spiffe_id"], FRONTEND);
    let checks = explained_good["checks"].as_array().unwrap();
    assert_eq!(checks.len(), 11);
    assert!(
        checks
            .iter()
            .all(|check| check["outcome"] == "passed" && check["found"].is_string())
    );
    let partner = site.world.svid(PARTNER).unwrap().xfcc();
    let forged = site.world.forged(FRONTEND).unwrap().xfcc();
    let expired = site.world.expired(FRONTEND).unwrap().xfcc();
    for (header, reason, check) in [
        (partner.as_str(), "NOT_ALLOWED", "lists"),
        (&forged, "UNTRUSTED", "path"),
        (&expired, "EXPIRED", "validity"),
        ("", "NO_CREDENTIAL", "presence"),
        ("Hash=abc", "MALFORMED", "parse"),
    ] {
        let explained = explained(&site, &["--header", header]);
        assert_eq!(answer(&explained), ("deny", Some(reason)));
        let checks = explained["checks"].as_array().unwrap();
        let failed: Vec<_> = checks
            .iter()
            .filter(|check| check["outcome"] == "failed")
            .collect();
        assert_eq!(failed.len(), 1, "{reason}");
        assert_eq!(failed[0]["check"], check);
        assert!(failed[0]["found"].is_string());
        assert!(explained["answer"]["advice"].is_string());
    }
    let away = explained(&site, &["--header", &good.xfcc(), "--outage"]);
    assert_eq!(answer(&away), ("deny", Some("TRUST_UNAVAILABLE")));
    let later = explained(
        &site,
        &["--header", &good.xfcc(), "--at", "2090-01-01T00:00:00Z"],
    );
    assert_eq!(answer(&later), ("deny", Some("EXPIRED")));
}

#[tokio::test(flavor = "multi_thread")]
async fn files_of_certificates_are_explained_by_files_of_bundles() {
    let site = Site::new();
    let svid = site.world.svid(FRONTEND).unwrap();
    let (pem, der) = (site.path("svid.pem"), site.path("svid.der"));
    std::fs::write(&pem, format!("subject: x\n{}", svid.chain_pem())).unwrap();
    std::fs::write(&der, svid.leaf_der()).unwrap();
    let bundle = site.path("bundle.der");
    std::fs::write(&bundle, site.world.home().anchors_der()).unwrap();
    let named = format!("example.org={}", bundle.display());
    // SPIRE is not asked.
    site.world.spire().withdraw();
    for file in [&pem, &der] {
        let explained = explained(&site, &[file.to_str().unwrap(), "--bundle", &named]);
        assert_eq!(answer(&explained), ("allow", None), "{explained}");
    }
    let unknown = explained(&site, &[pem.to_str().unwrap()]);
    assert_eq!(answer(&unknown), ("deny", Some("TRUST_UNAVAILABLE")));
    let away = &unknown["away"];
    let why = away["spire"].as_str().unwrap();
    assert!(why.contains("PermissionDenied"), "{why}");
    let remedy = away["remedy"].as_str().unwrap();
    assert!(remedy.contains("spire-server entry create"), "{remedy}");
}

/// SPIRE that cannot be asked is no "SPIRE has given no bundles": what is in the way is said, with its remedy.
#[tokio::test(flavor = "multi_thread")]
async fn a_socket_that_is_missing_or_none_is_named_with_its_remedy() {
    let site = Site::new();
    let good = site.world.svid(FRONTEND).unwrap().xfcc();
    let spire = site.path("spire.sock");
    site.world.spire().stop(SocketFile::Removed).await.unwrap();
    for (what, remedy) in [
        ("is not there: no such file", "is the SPIRE agent up"),
        ("is no socket", "name SPIRE's socket with --spire-socket"),
    ] {
        let explained = explained(&site, &["--header", &good]);
        let away = &explained["away"];
        let why = away["spire"].as_str().unwrap();
        assert!(
            why.contains(what) && why.contains(spire.to_str().unwrap()),
            "{why}"
        );
        assert!(away["remedy"].as_str().unwrap().contains(remedy), "{away}");
        std::fs::write(&spire, "no socket").unwrap();
    }
}

/// In an outage: by the bundles that a running agent keeps, in the state that it is in, and what each mode does.
#[tokio::test(flavor = "multi_thread")]
async fn an_outage_is_explained_by_what_the_agent_has() {
    let site = Site::new();
    let state = site.path("state");
    std::fs::create_dir(&state).unwrap();
    std::fs::set_permissions(&state, std::fs::Permissions::from_mode(0o700)).unwrap();
    let mut command = site.configured(&format!("{POLICY}spire {{ unavailable-after-ms 100 }}\n"));
    command.env("AGENT_ADMIN_ADDRESS", "127.0.0.1:0");
    command.arg("--state-dir").arg(&state);
    let running = site.serve(command).await;
    running.said(0, "to=\"Live\"").await;
    common::eventually("bundles on disk", async || {
        state.join("x509-bundles").exists()
    })
    .await;
    let mark = running.mark();
    site.world.spire().stop(SocketFile::Left).await.unwrap();
    running.said(mark, "to=\"Outage\"").await;
    let at = running.admin_address().to_string();
    let at = at.as_str();
    let good = site.world.svid(FRONTEND).unwrap().xfcc();
    let explain = |mode: &str, address: &str| {
        let policy = site.path("outage.kdl");
        let failure = format!("failure {{ spire-unavailable \"{mode}\" }}\n");
        std::fs::write(&policy, format!("{POLICY}{failure}")).unwrap();
        let mut command = agent(&["explain", "--output", "json", "--header", &good, "--config"]);
        command
            .arg(&policy)
            .arg("--spire-socket")
            .arg(site.path("spire.sock"));
        json(
            &command
                .env("AGENT_ADMIN_ADDRESS", address)
                .output()
                .unwrap(),
        )
    };
    let closed = explain("fail_closed", at);
    assert_eq!(answer(&closed), ("deny", Some("TRUST_UNAVAILABLE")));
    let cached = explain("cache", at);
    assert_eq!(answer(&cached), ("allow", None), "{cached}");
    let away = &cached["away"];
    assert!(
        away["state"]
            .as_str()
            .unwrap()
            .starts_with("Outage, bundles confirmed")
    );
    let why = away["spire"].as_str().unwrap();
    assert!(why.contains("cannot be asked: connection refused"), "{why}");
    let bundles = cached["bundles"].as_str().unwrap();
    assert!(
        bundles.contains(at) && bundles.contains(state.to_str().unwrap()),
        "{bundles}"
    );
    for mode in away["modes"].as_array().unwrap() {
        let says = match mode["mode"].as_str().unwrap() {
            "fail_closed" => "every request with a credential is refused",
            "cache" => "verified by the bundles of",
            _ => "who cannot be verified passes unverified",
        };
        assert!(mode["requests"].as_str().unwrap().contains(says), "{mode}");
        assert_eq!(mode["in_force"], mode["mode"] == "cache");
    }
    // Without the agent nobody knows of bundles; it is said so.
    let alone = explain("cache", "none");
    assert_eq!(answer(&alone), ("deny", Some("TRUST_UNAVAILABLE")));
    assert!(
        alone["bundles"]
            .as_str()
            .unwrap()
            .contains("no --state-dir"),
        "{alone}"
    );
    running.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_page_is_for_people_and_safe_on_a_terminal() {
    let site = Site::new();
    let policy = site.path("policy.kdl");
    std::fs::write(&policy, POLICY).unwrap();
    let mut command = agent(&["explain", "--config"]);
    command
        .arg(&policy)
        .arg("--spire-socket")
        .arg(site.path("spire.sock"));
    let mut child = command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut stdin = child.stdin.take().unwrap();
    stdin
        .write_all(b"URI=\x1b]0;owned\x07;Cert=\"x\"\n")
        .unwrap();
    drop(stdin);
    let output = child.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(0));
    let page = String::from_utf8(output.stdout).unwrap();
    assert!(page.contains(" 2 parse      failed"), "{page}");
    assert!(page.contains("verdict     deny 401 MALFORMED"), "{page}");
    assert!(
        !page.contains('\u{1b}') && !page.contains('\u{7}'),
        "{page:?}"
    );
}

fn own(site: &Site) -> WorkloadSvid {
    let svid = site.world.svid("spiffe://example.org/agent").unwrap();
    WorkloadSvid {
        svid,
        hint: "internal".to_owned(),
    }
}

fn inspect(site: &Site, arguments: &[&str]) -> Output {
    let mut command = agent(&["inspect", "--spire-socket"]);
    command.arg(site.path("spire.sock")).args(arguments);
    command.output().unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn what_spire_gives_is_shown_and_written() {
    let site = Site::new();
    site.world.spire().set_svids(vec![own(&site)]);
    let output = inspect(&site, &["--output", "json"]);
    assert_eq!(output.status.code(), Some(0));
    let shown = json(&output);
    assert_eq!(shown["svids"][0]["spiffe_id"], "spiffe://example.org/agent");
    let domains = shown["bundles"].as_array().unwrap();
    assert_eq!(domains.len(), 2);
    assert_eq!(domains[0]["authorities"][0]["error"], Value::Null);
    let next = shown["next_expiry"].as_i64().unwrap();
    assert!(next > shown["at"].as_i64().unwrap());
    assert!(!String::from_utf8_lossy(&output.stdout).contains("PRIVATE"));
    let dir = site.path("out");
    let written = inspect(&site, &["--write", dir.to_str().unwrap()]);
    assert_eq!(written.status.code(), Some(0), "{written:?}");
    let mode = |name: &str| dir.join(name).metadata().unwrap().permissions().mode() & 0o777;
    assert_eq!(mode("svid.0.key"), 0o600);
    for name in ["svid.0.pem", "bundle.0.pem"] {
        let text = std::fs::read_to_string(dir.join(name)).unwrap();
        assert!(text.starts_with("-----BEGIN CERTIFICATE-----\n"), "{name}");
    }
    // What was written is what was given: `explain` verifies one by the other.
    let bundle = format!("example.org={}", dir.join("bundle.0.pem").display());
    let svid = dir.join("svid.0.pem");
    let explained = explained(&site, &[svid.to_str().unwrap(), "--bundle", &bundle]);
    assert_eq!(answer(&explained), ("deny", Some("NOT_ALLOWED")));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_link_is_not_written_through() {
    let site = Site::new();
    site.world.spire().set_svids(vec![own(&site)]);
    let dir = site.path("out");
    std::fs::create_dir(&dir).unwrap();
    let victim = site.path("victim");
    std::fs::write(&victim, "mine").unwrap();
    symlink(&victim, dir.join("svid.0.key")).unwrap();
    let output = inspect(&site, &["--write", dir.to_str().unwrap()]);
    assert_eq!(output.status.code(), Some(1), "{output:?}");
    assert!(String::from_utf8_lossy(&output.stderr).contains("links are not followed"));
    assert_eq!(std::fs::read_to_string(&victim).unwrap(), "mine");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refusal_and_a_silence_are_told() {
    let site = Site::new();
    site.world.spire().withdraw();
    let refused = inspect(&site, &["--output", "json"]);
    assert_eq!(refused.status.code(), Some(1));
    let why = json(&refused)["bundles_error"].clone();
    assert!(
        why.as_str().unwrap().starts_with("permission_denied"),
        "{why}"
    );
    site.world.spire().hang();
    let silent = inspect(&site, &["--timeout-ms", "100"]);
    assert_eq!(silent.status.code(), Some(1));
    let page = String::from_utf8_lossy(&silent.stdout);
    assert!(page.contains("no answer within 100 ms"), "{page}");
}

#[tokio::test(flavor = "multi_thread")]
async fn changes_are_shown_as_they_come() {
    let site = Site::new();
    site.world.spire().set_svids(vec![own(&site)]);
    let mut command = agent(&["inspect", "--watch", "--output", "json", "--spire-socket"]);
    command.arg(site.path("spire.sock"));
    let mut child = command.stdout(Stdio::piped()).spawn().unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let mut domains = move || -> usize {
        let line = lines.next().unwrap().unwrap();
        let shown: Value = serde_json::from_str(&line).unwrap();
        shown["bundles"].as_array().unwrap().len()
    };
    assert_eq!(domains(), 2);
    site.world.unfederate();
    // The other stream may repeat itself first.
    assert!((0..4).any(|_| domains() == 1));
    child.kill().unwrap();
    child.wait().unwrap();
}

/// Of a list of trust domains however long a page is a page; a program gets what an agent takes, and of
/// what it does not take a few.
#[tokio::test(flavor = "multi_thread")]
async fn what_spire_delivers_is_shown_within_bounds() {
    let site = Site::new();
    let mut bundles = site.world.spire().bundles();
    bundles.extend((0..300).map(|number| (format!("spiffe://d{number}.test"), Vec::new())));
    site.world.spire().set_bundles(bundles.clone());
    let page = inspect(&site, &[]);
    assert_eq!(page.status.code(), Some(0));
    let page = String::from_utf8(page.stdout).unwrap();
    assert!(page.contains("bundles  302\n"), "{page}");
    assert!(page.contains("and 202 more\n"), "{page}");
    let all = json(&inspect(&site, &["--output", "json"]));
    assert_eq!(all["bundles"].as_array().unwrap().len(), 302);
    bundles.extend((0..10_000).map(|number| (format!("spiffe://e{number}.test"), Vec::new())));
    site.world.spire().set_bundles(bundles);
    let none = inspect(&site, &["--output", "json"]);
    assert_eq!(none.status.code(), Some(1));
    let none = json(&none);
    assert_eq!(none["bundles"].as_array().unwrap().len(), 100);
    assert_eq!(none["bundles_total"], 10_302);
    let limit = "at most 10000 are taken";
    assert!(none["bundles_error"].as_str().unwrap().contains(limit));
    // Nor does an agent that starts now.
    let good = site.world.svid(FRONTEND).unwrap().xfcc();
    let explained = explained(&site, &["--header", &good]);
    assert_eq!(answer(&explained), ("deny", Some("TRUST_UNAVAILABLE")));
    let away = &explained["away"];
    assert!(away["spire"].as_str().unwrap().contains(limit), "{away}");
}

/// Of another SPIRE not one trust domain of the policy is there: it is not federation that is missing.
#[tokio::test(flavor = "multi_thread")]
async fn another_spire_than_the_policys_is_asked_about() {
    let site = Site::new();
    let doubt = "is this the right SPIRE? --spire-socket says which";
    let advice = |id: &str| {
        let header = site.world.svid(id).unwrap().xfcc();
        let explained = explained(&site, &["--header", &header]);
        let unknown = Some("UNKNOWN_TRUST_DOMAIN");
        assert_eq!(answer(&explained), ("deny", unknown));
        explained["answer"]["advice"].as_str().unwrap().to_owned()
    };
    let mut bundles = site.world.spire().bundles();
    let home = bundles.remove("spiffe://example.org").unwrap();
    site.world.spire().set_bundles(bundles.clone());
    let said = advice(FRONTEND);
    assert!(said.contains(doubt), "{said}");
    bundles.insert("spiffe://example.org".to_owned(), home);
    bundles.remove("spiffe://partner.test");
    site.world.spire().set_bundles(bundles);
    let said = advice(PARTNER);
    assert!(
        !said.contains(doubt) && said.contains("-federatesWith"),
        "{said}"
    );
}
