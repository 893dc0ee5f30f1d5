//! `status` and `top` against a running agent, and what `doctor` says of its admin listener.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test may panic"
)]

mod common;

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::os::unix::fs::PermissionsExt as _;
use std::process::{Child, Command, Output, Stdio};
use std::sync::mpsc::{Receiver, sync_channel};
use std::time::Instant;

use chaos::ca::{Authority, AuthorityOptions, SvidOptions, Window};
use chaos::client::Hello;
use chaos::spire::SocketFile;
use chaos::world::bundles_of;
use common::{Agent, FRONTEND, LOAD_POLICY, Site, carrying};
use serde_json::Value;

fn run(arguments: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_sentinel-spiffe-agent"));
    command.env_clear().args(arguments).output().unwrap()
}

/// What `status` shows of the agent there.
fn shown_at(address: &str) -> String {
    text(&run(&["status", "--admin-address", address]))
}

/// The same for programs.
fn json_at(address: &str) -> String {
    let arguments = ["status", "--output", "json", "--admin-address", address];
    text(&run(&arguments))
}

/// Waits until it shows this.
async fn until_shown(address: &str, part: &str) {
    common::eventually(part, async || shown_at(address).contains(part)).await;
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
    let at = agent.admin_address().to_string();
    common::eventually("ready", async || {
        run(&["status", "--admin-address", &at]).status.success()
    })
    .await;
    common::eventually("both decisions", async || {
        shown_at(&at).contains("1 allowed, 1 denied")
    })
    .await;
    let page = shown_at(&at);
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
    let json: Value = serde_json::from_str(&json_at(&at)).unwrap();
    assert_eq!(json["trust"]["state"], "Live");
    let once = run(&["top", "--once", "--admin-address", &at]);
    assert!(text(&once).contains("SPIRE    Live"));
    assert!(!text(&once).contains('\u{1b}'));
    let line = text(&run(&[
        "top",
        "--once",
        "--output",
        "json",
        "--admin-address",
        &at,
    ]));
    assert_eq!(line.lines().count(), 1, "{line}");
    let line: Value = serde_json::from_str(&line).unwrap();
    assert_eq!(line["trust"]["state"], "Live");
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
    let at = agent.admin_address().to_string();
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
    assert!(shows("because  "));
    agent.stop().await;
    assert!(shows("no answer"));
    let pid = rustix::process::Pid::from_child(&child);
    rustix::process::kill_process(pid, rustix::process::Signal::TERM).unwrap();
    let status = child.wait().unwrap();
    assert_eq!(status.code(), Some(0));
}

/// For programs `top` is a line for each look, of an agent that is away too.
#[tokio::test(flavor = "multi_thread")]
async fn top_is_a_stream_of_lines_for_programs() {
    let site = Site::new();
    let agent = live(&site).await;
    let at = agent.admin_address().to_string();
    let mut command = Command::new(env!("CARGO_BIN_EXE_sentinel-spiffe-agent"));
    command.env_clear().args(["top", "--interval-ms", "50"]);
    command.args(["--output", "json", "--admin-address", &at]);
    let mut top = Killed(command.stdout(Stdio::piped()).spawn().unwrap());
    let lines = BufReader::new(top.0.stdout.take().unwrap()).lines();
    let mut lines = lines.map(|line| serde_json::from_str::<Value>(&line.unwrap()).unwrap());
    for _ in 0..3 {
        assert_eq!(lines.next().unwrap()["trust"]["state"], "Live");
    }
    agent.stop().await;
    assert!(lines.any(|line| line["error"].is_string()));
}

/// `top | head`: it is for whoever reads.
#[tokio::test(flavor = "multi_thread")]
async fn top_ends_when_its_reader_goes() {
    let site = Site::new();
    let agent = live(&site).await;
    let mut command = Command::new(env!("CARGO_BIN_EXE_sentinel-spiffe-agent"));
    command.env_clear().args([
        "top",
        "--interval-ms",
        "50",
        "--admin-address",
        &agent.admin_address().to_string(),
    ]);
    let mut top = Killed(command.stdout(Stdio::piped()).spawn().unwrap());
    let mut lines = BufReader::new(top.0.stdout.take().unwrap()).lines();
    assert!(lines.next().is_some());
    drop(lines);
    common::eventually("its end", async || top.0.try_wait().unwrap().is_some()).await;
    agent.stop().await;
}

/// Does not outlive a test that fails.
struct Killed(Child);

impl Drop for Killed {
    fn drop(&mut self) {
        let _gone = self.0.kill();
        let _status = self.0.wait();
    }
}

/// `top` at a terminal of its own (`script`), between two looks at the terminal's modes.
fn at_a_terminal(at: &str) -> (Killed, Receiver<String>) {
    let top = env!("CARGO_BIN_EXE_sentinel-spiffe-agent");
    let top = format!("{top} top --interval-ms 50 --admin-address {at}");
    let top = format!("trap : INT; stty -g; {top}; echo \"code=$?\"; stty -g");
    let mut script = Command::new("script");
    script
        .args(["-qefc", &top, "/dev/null"])
        .env("SHELL", "/bin/sh")
        .env("NO_COLOR", "1");
    let mut child = script
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut stdout = child.stdout.take().unwrap();
    let (sender, told) = sync_channel(64);
    std::thread::spawn(move || {
        let mut piece = [0; 4_096];
        while let Ok(read @ 1..) = stdout.read(&mut piece) {
            let text = String::from_utf8_lossy(&piece[..read]).into_owned();
            if sender.send(text).is_err() {
                break;
            }
        }
    });
    (Killed(child), told)
}

/// Everything until this was shown.
fn shown_until(told: &Receiver<String>, so_far: &mut String, part: &str) {
    let deadline = Instant::now() + common::PATIENCE;
    while !so_far.contains(part) {
        let more = told.recv_timeout(deadline.saturating_duration_since(Instant::now()));
        so_far.push_str(&more.unwrap_or_else(|_| panic!("no {part:?} in {so_far:?}")));
    }
}

/// It is the other screen that is drawn on, and all is as before afterwards.
fn put_back(shown: &str) {
    let (before, rest) = shown
        .split_once("\u{1b}[?1049h\u{1b}[?25l")
        .expect("a screen");
    let (_, after) = rest
        .split_once("\u{1b}[?25h\u{1b}[?1049l")
        .expect("put back");
    // Also without colours a shorter line leaves nothing of the one before.
    assert!(rest.contains("\u{1b}[K"), "{rest:?}");
    assert!(after.contains("code=0"), "{after:?}");
    let modes = after.trim().lines().last().unwrap();
    assert!(modes.contains(':'), "{after:?}");
    assert_eq!(before.trim(), modes, "modes of the terminal");
}

#[tokio::test(flavor = "multi_thread")]
async fn top_at_a_terminal_ends_at_a_key_or_a_signal_and_puts_it_back() {
    let site = Site::new();
    let agent = live(&site).await;
    let at = agent.admin_address().to_string();
    // ctrl-c is the terminal's signal and no key.
    for ending in ["q", "\u{3}"] {
        let (mut script, told) = at_a_terminal(&at);
        let mut shown = String::new();
        shown_until(&told, &mut shown, "SPIRE    Live");
        let mut keyboard = script.0.stdin.take().unwrap();
        // Another key changes nothing: whole pages come after it.
        keyboard.write_all(b"w").unwrap();
        let mut later = String::new();
        shown_until(&told, &mut later, "\u{1b}[J\u{1b}[H");
        keyboard.write_all(ending.as_bytes()).unwrap();
        shown.push_str(&later);
        shown_until(&told, &mut shown, "code=");
        shown.extend(told.iter());
        put_back(&shown);
    }
    agent.stop().await;
}

/// Whether `doctor` finds this about the admin listener at an address.
fn doctor_finds(site: &Site, address: &str, code: &str) -> bool {
    doctor_says(site, address).contains(&format!("\"code\":\"{code}\""))
}

fn doctor_says(site: &Site, address: &str) -> String {
    let mut command = Command::new(env!("CARGO_BIN_EXE_sentinel-spiffe-agent"));
    command.env_clear().env("AGENT_ADMIN_ADDRESS", address);
    command.args(["doctor", "--output", "json", "--spire-socket"]);
    command
        .arg(site.path("spire.sock"))
        .arg("--socket")
        .arg(site.socket());
    text(&command.output().unwrap())
}

#[tokio::test(flavor = "multi_thread")]
async fn the_doctor_asks_the_admin_listener() {
    let site = Site::new();
    let agent = live(&site).await;
    let at = agent.admin_address().to_string();
    common::eventually("ready", async || !doctor_finds(&site, &at, "not-ready")).await;
    assert!(!doctor_finds(&site, &at, "admin-down"));
    agent.stop().await;
    assert!(doctor_finds(&site, &at, "admin-down"));
    // This one has no SPIRE.
    site.world.spire().stop(SocketFile::Removed).await.unwrap();
    let mut command = site.configured(LOAD_POLICY);
    command.env("AGENT_ADMIN_ADDRESS", "127.0.0.1:0");
    let waiting = site.serve(command).await;
    let at = waiting.admin_address().to_string();
    until_shown(&at, "to do    is the SPIRE agent up").await;
    let finding = not_ready(&doctor_says(&site, &at));
    for part in [
        "503 of http://",
        "SPIRE is Starting",
        "No such file",
        "is the SPIRE agent up",
    ] {
        assert!(finding.contains(part), "no {part:?} in {finding}");
    }
    let other = "runs as uid 65534, this as uid 0";
    assert!(!finding.contains(other), "{finding}");
    if rustix::process::geteuid().is_root() {
        std::os::unix::fs::chown(site.socket(), Some(65_534), None).unwrap();
        let finding = not_ready(&doctor_says(&site, &at));
        assert!(finding.contains(other), "{finding}");
    }
    waiting.stop().await;
}

/// The finding of that name.
fn not_ready(said: &str) -> String {
    let said: Value = serde_json::from_str(said).unwrap();
    let mut findings = said["findings"].as_array().unwrap().iter();
    let found = findings.find(|finding| finding["code"] == "not-ready");
    found.unwrap().to_string()
}

/// It listens, for the kernel does that in its stead, and nobody is answered.
#[tokio::test(flavor = "multi_thread")]
async fn an_agent_that_is_stopped_answers_nobody() {
    let site = Site::new();
    let agent = live(&site).await;
    let at = agent.admin_address().to_string();
    let signal = |signal| rustix::process::kill_process(agent.pid(), signal).unwrap();
    assert!(!doctor_finds(&site, &at, "agent-silent"));
    signal(rustix::process::Signal::STOP);
    let found = doctor_says(&site, &at);
    signal(rustix::process::Signal::CONT);
    let problem = "\"code\":\"agent-silent\",\"severity\":\"problem\"";
    for part in [problem, "kill -CONT"] {
        assert!(found.contains(part), "no {part:?} in {found}");
    }
    assert!(!found.contains("admin-down"), "{found}");
    agent.stop().await;
}

/// In a pod it listens everywhere: it is looked at from within, and scraped by the name of its service.
#[tokio::test(flavor = "multi_thread")]
async fn an_agent_that_listens_everywhere_is_seen_here_and_scraped_by_any_name() {
    let site = Site::new();
    let mut command = site.configured(LOAD_POLICY);
    command.env("AGENT_ADMIN_ADDRESS", "0.0.0.0:0");
    let agent = site.serve(command).await;
    let at = agent.admin_address().to_string();
    assert!(at.starts_with("0.0.0.0:"), "{at}");
    until_shown(&at, "health   healthy, ready").await;
    for (path, host, status) in [
        ("/metrics", "agent.svc:9902", "200"),
        ("/healthz?verbose", "agent.svc:9902", "200"),
        ("/status", "agent.svc:9902", "421"),
    ] {
        let answer = asked_as(&agent, path, host);
        assert!(
            answer.starts_with(&format!("HTTP/1.1 {status}")),
            "{answer}"
        );
    }
    agent.stop().await;
}

/// What took the agent's admin address is not taken for the agent.
#[tokio::test(flavor = "multi_thread")]
async fn somebody_else_at_the_admin_address_is_no_agent() {
    let site = Site::new();
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let at = listener.local_addr().unwrap().to_string();
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            let mut question = [0; 4_096];
            let _ = stream.read(&mut question);
            let _ = stream.write_all(
                b"HTTP/1.1 404 Not Found\r\nContent-Length: 2\r\nConnection: close\r\n\r\nno",
            );
        }
    });
    assert!(doctor_finds(&site, &at, "admin-foreign"));
    assert!(!doctor_finds(&site, &at, "not-ready"));
    let once = run(&["top", "--once", "--admin-address", &at]);
    assert_eq!(once.status.code(), Some(1));
}

/// An agent that refuses everybody, and whose pages others ask for all the time: probes answer.
fn a_busy_agent() -> String {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let at = listener.local_addr().unwrap().to_string();
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = BufReader::new(stream.unwrap());
            let mut asked = String::new();
            while !asked.ends_with("\r\n\r\n") {
                stream.read_line(&mut asked).unwrap();
            }
            let (status, field, body) = match asked.split(' ').nth(1).unwrap() {
                "/readyz" => ("200 OK", "a: b", "readyz check passed\n"),
                "/healthz" => (
                    "503 No",
                    "a: b",
                    "[-]audit requests are refused\nhealthz check failed\n",
                ),
                _ => ("503 Busy", "retry-after: 0", "more than your share\n"),
            };
            let answer = format!("HTTP/1.0 {status}\r\n{field}\r\n\r\n{body}");
            stream.get_mut().write_all(answer.as_bytes()).unwrap();
        }
    });
    at
}

/// What could not be looked at is no good news.
#[tokio::test(flavor = "multi_thread")]
async fn a_status_that_could_not_be_read_is_told() {
    let site = Site::new();
    std::fs::write(site.path("full.kdl"), LOAD_POLICY).unwrap();
    let at = a_busy_agent();
    assert!(doctor_finds(&site, &at, "status-unread"));
    let found = doctor_says(&site, &at);
    for part in [
        &format!("\"code\":\"{}\",\"severity\":\"problem\"", "status-unread"),
        "503: more than your share",
        "[-]audit requests are refused",
    ] {
        assert!(found.contains(part), "no {part:?} in {found}");
    }
    let explained = explained(&site, &at);
    let line = explained.lines().find(|line| line.starts_with("but now"));
    let line = line.unwrap();
    assert!(
        line.contains("not known") && line.contains("[-]audit"),
        "{line}"
    );
    let status = run(&["status", "--admin-address", &at]);
    let said = String::from_utf8(status.stderr).unwrap();
    assert!(
        said.contains("busy") && said.contains("ask again"),
        "{said}"
    );
}

/// An authority of this domain that ends in so many seconds, or ended as long ago.
fn authority(domain: &str, ends_in_s: i64) -> Authority {
    let now = common::unix_now();
    let window = Window {
        not_before: now - 7_200,
        not_after: now.saturating_add_signed(ends_in_s),
    };
    Authority::new(domain, AuthorityOptions::at(now).with_window(window)).unwrap()
}

fn asked(agent: &Agent, path: &str) -> String {
    asked_as(agent, path, "localhost")
}

/// The answer to whoever knows the agent by this name.
fn asked_as(agent: &Agent, path: &str, host: &str) -> String {
    let mut stream = std::net::TcpStream::connect(agent.admin_address()).unwrap();
    let request = format!("GET {path} HTTP/1.1\r\nHost: {host}\r\n\r\n");
    stream.write_all(request.as_bytes()).unwrap();
    let mut text = String::new();
    stream.read_to_string(&mut text).unwrap();
    text
}

/// SPIRE is there, and nobody can be verified: an authority ends by time alone, and that is no health.
#[tokio::test(flavor = "multi_thread")]
async fn bundles_without_a_usable_authority_are_told_everywhere() {
    let site = Site::new();
    let agent = live(&site).await;
    let at = agent.admin_address().to_string();
    let page = || shown_at(&at);
    until_shown(&at, "health   healthy, ready").await;
    let (ended, ending) = (authority("example.org", -60), authority("partner.test", 4));
    site.world
        .spire()
        .set_bundles(bundles_of([&ended, &ending]));
    let line = "nobody of this trust domain is verified";
    agent.said(0, line).await;
    common::eventually("degraded", async || {
        page().contains("health   degraded, ready")
    })
    .await;
    let shown = page();
    for part in [
        "nobody   of example.org is verified: every authority of its bundle has expired, the last one ",
        "to do    rotate or renew the authority",
        "1 authority,",
    ] {
        assert!(shown.contains(part), "no {part:?} in {shown}");
    }
    assert!(!shown.contains("of partner.test is verified"), "{shown}");
    let probe = asked(&agent, "/healthz?verbose");
    assert!(probe.starts_with("HTTP/1.1 200"), "{probe}");
    assert!(
        probe.contains("[-]bundles a trust domain has no usable authority: example.org: every authority of its bundle has expired, the last one ")
            && probe.contains("; rotate or renew the authority"),
        "{probe}"
    );
    // The other one ends by itself.
    common::eventually("unhealthy", async || {
        page().contains("health   unhealthy, ready")
    })
    .await;
    let probe = asked(&agent, "/healthz");
    assert!(probe.starts_with("HTTP/1.1 503"), "{probe}");
    assert!(
        probe.contains("[-]bundles no trust domain has a usable authority"),
        "{probe}"
    );
    let client = agent.connect().await;
    let leaf = ended
        .issue(FRONTEND, &SvidOptions::at(common::unix_now()))
        .unwrap();
    client.ask(&carrying(&leaf)).await.unwrap();
    common::eventually("the advice", async || {
        page().contains("do rotate or renew the authority in SPIRE")
    })
    .await;
    let log = agent.log();
    let told: Vec<&str> = log.lines().filter(|one| one.contains(line)).collect();
    assert_eq!(told.len(), 2, "{told:?}");
    for (told, domain) in told.iter().zip(["example.org", "partner.test"]) {
        for part in [
            "WARN",
            domain,
            "answered=\"EXPIRED\"",
            "remedy=\"rotate or renew",
        ] {
            assert!(told.contains(part), "no {part:?} in {told}");
        }
    }
    site.world.publish();
    let (home, partner) = (site.world.home(), site.world.partner());
    site.world.spire().set_bundles(bundles_of([home, partner]));
    agent
        .said(0, "an authority of this trust domain is usable again")
        .await;
    until_shown(&at, "health   healthy, ready").await;
    agent.stop().await;
}

/// SPIRE is there, with bundles, and it is another one: that is no health, and no reason to go elsewhere.
#[tokio::test(flavor = "multi_thread")]
async fn another_spire_than_the_policys_is_told_everywhere() {
    let site = Site::new();
    let agent = live(&site).await;
    let at = agent.admin_address().to_string();
    until_shown(&at, "health   healthy, ready").await;
    let probe = asked(&agent, "/healthz?verbose");
    let held = "[+]policy there are bundles of trust domains that the allowlist names\n";
    assert!(probe.contains(held), "{probe}");
    let other = authority("other.test", 86_400);
    let mark = agent.mark();
    site.world.spire().set_bundles(bundles_of([&other]));
    agent
        .said(mark, "nobody whom the policy allows can be verified")
        .await;
    until_shown(&at, "health   degraded, ready").await;
    let shown = shown_at(&at);
    for part in [
        "nobody   whom the policy allows can be verified: SPIRE delivers no bundle of any trust domain that the \
         allowlist names (example.org), but of other.test",
        "to do    is this the right SPIRE? --spire-socket says which",
        "but nobody whom a policy in force allows can be",
    ] {
        assert!(shown.contains(part), "no {part:?} in {shown}");
    }
    let status = asked(&agent, "/status");
    assert!(status.contains("\"foreign\":{\"error\":"), "{status}");
    let probe = asked(&agent, "/healthz?verbose");
    assert!(probe.starts_with("HTTP/1.1 200"), "{probe}");
    assert!(probe.contains("[-]policy SPIRE delivers no"), "{probe}");
    assert!(asked(&agent, "/readyz").starts_with("HTTP/1.1 200"));
    let doctor = doctor_says(&site, &at);
    for part in ["requests-at-risk", "is this the right SPIRE?"] {
        assert!(doctor.contains(part), "no {part:?} in {doctor}");
    }
    site.world
        .spire()
        .set_bundles(bundles_of([site.world.home()]));
    until_shown(&at, "health   healthy, ready").await;
    assert!(!shown_at(&at).contains("nobody"), "{}", shown_at(&at));
    agent.stop().await;
}

/// An answer over the limit is discarded whole, and that is what is said of it, by whoever is asked.
#[tokio::test(flavor = "multi_thread")]
async fn more_trust_domains_than_are_taken_are_told_everywhere() {
    let site = Site::new();
    let mut bundles = bundles_of([site.world.home()]);
    for number in 0..10_000 {
        bundles.insert(format!("spiffe://d{number}.test"), Vec::new());
    }
    site.world.spire().set_bundles(bundles);
    let mut command = site.configured(LOAD_POLICY);
    command.env("AGENT_ADMIN_ADDRESS", "127.0.0.1:0");
    let agent = site.serve(command).await;
    let at = agent.admin_address().to_string();
    let complaint = "no bundles from the Workload API";
    agent.said(0, complaint).await;
    let limit = "the update holds 10001 trust domains; at most 10000 are taken";
    let remedy = "take off -federatesWith of this agent's own entry";
    until_shown(&at, remedy).await;
    let log = agent.log();
    let line = log.lines().find(|line| line.contains(complaint)).unwrap();
    let probe = asked(&agent, "/healthz?verbose");
    let doctor = doctor_says(&site, &at);
    let spire = site.path("spire.sock");
    let inspected = run(&["inspect", "--spire-socket", spire.to_str().unwrap()]);
    for said in [line, &shown_at(&at), &probe, &doctor] {
        assert!(said.contains(limit) && said.contains(remedy), "{said}");
    }
    assert!(doctor_finds(&site, &at, "update-discarded"));
    for lie in ["SPIRE answers, with", "domain-not-delivered"] {
        assert!(!doctor.contains(lie), "{doctor}");
    }
    assert_eq!(inspected.status.code(), Some(1));
    let page = text(&inspected);
    for part in ["an agent takes none of them", limit, "and 9901 more"] {
        assert!(page.contains(part), "no {part:?} in {page}");
    }
    agent.stop().await;
}

/// What of SPIRE's updates cannot be used is shown while it is so, with reason and since when.
#[tokio::test(flavor = "multi_thread")]
async fn what_of_updates_cannot_be_used_is_shown() {
    let site = Site::new();
    let agent = live(&site).await;
    let at = agent.admin_address().to_string();
    let page = || shown_at(&at);
    let mut bundles = bundles_of([site.world.home()]);
    for domain in ["partner.test", "unknown.test"] {
        bundles.insert(format!("spiffe://{domain}"), b"no bundle".to_vec());
    }
    let mark = agent.mark();
    site.world.spire().set_bundles(bundles);
    agent
        .said(mark, "the domain keeps its last one for cache-ttl")
        .await;
    agent
        .said(mark, "there is none of that domain to keep")
        .await;
    until_shown(&at, "of spiffe://unknown.test").await;
    let shown = page();
    let line = |of: &str| shown.lines().find(|line| line.contains(of)).unwrap();
    let kept = line("bundle   of spiffe://partner.test cannot be read, for ");
    assert!(
        kept.contains("the one before counts until cache-ttl"),
        "{kept}"
    );
    assert!(kept.contains("not DER certificates"), "{kept}");
    let unknown = line("bundle   of spiffe://unknown.test cannot be read, for ");
    assert!(unknown.contains("there is none before"), "{unknown}");
    site.world
        .spire()
        .set_bundles(std::collections::BTreeMap::new());
    let discarded = "updates  discarded for ";
    until_shown(&at, discarded).await;
    assert!(
        page().contains("the update holds no bundle at all"),
        "{}",
        page()
    );
    let mark = agent.mark();
    site.world
        .spire()
        .set_bundles(bundles_of([site.world.home()]));
    let gone = "SPIRE delivers no bundle of these trust domains any more";
    agent.said(mark, gone).await;
    let log = agent.log();
    let told = log.lines().find(|line| line.contains(gone)).unwrap();
    for part in ["WARN", "removed=\"partner.test\"", "remedy="] {
        assert!(told.contains(part), "{told}");
    }
    common::eventually("nothing", async || {
        let page = page();
        !page.contains(discarded) && !page.contains("cannot be read")
    })
    .await;
    agent.stop().await;
}

/// Whoever is connected notices nothing: that no proxy can connect anew is shown, and no health.
#[tokio::test(flavor = "multi_thread")]
async fn a_socket_that_is_gone_is_shown() {
    let site = Site::new();
    let agent = live(&site).await;
    let at = agent.admin_address().to_string();
    let page = || shown_at(&at);
    until_shown(&at, "health   healthy, ready").await;
    let metrics = asked(&agent, "/metrics");
    assert!(
        metrics.contains("\nspiffe_agent_socket_gone 0\n"),
        "{metrics}"
    );
    std::fs::remove_file(site.socket()).unwrap();
    common::eventually("degraded", async || {
        page().contains("health   degraded, ready")
    })
    .await;
    assert!(page().contains("socket   gone from its path"), "{}", page());
    let probe = asked(&agent, "/healthz?verbose");
    assert!(probe.starts_with("HTTP/1.1 200"), "{probe}");
    assert!(
        probe.contains("[-]socket the agent's socket is gone"),
        "{probe}"
    );
    let metrics = asked(&agent, "/metrics");
    assert!(
        metrics.contains("\nspiffe_agent_socket_gone 1\n"),
        "{metrics}"
    );
    let doctor = doctor_says(&site, &at);
    assert!(
        doctor.contains("restart the agent: it makes its socket anew"),
        "{doctor}"
    );
    agent.stop().await;
}

/// Who asks notices nothing: that a restart would find less is shown before it is found.
#[tokio::test(flavor = "multi_thread")]
async fn a_state_directory_that_takes_nothing_is_shown() {
    let site = Site::new();
    let state = site.path("state");
    std::fs::create_dir(&state).unwrap();
    let mode = |mode| {
        let permissions = std::fs::Permissions::from_mode(mode);
        std::fs::set_permissions(&state, permissions).unwrap();
    };
    // Nothing is read from, or written to, a directory that others can write.
    mode(0o777);
    let mut command = site.configured(LOAD_POLICY);
    command.env("AGENT_ADMIN_ADDRESS", "127.0.0.1:0");
    command.arg("--state-dir").arg(&state);
    let agent = site.serve(command).await;
    let at = agent.admin_address().to_string();
    until_shown(&at, "disk     bundles cannot be written to").await;
    until_shown(&at, "health   degraded, ready").await;
    let probe = asked(&agent, "/healthz?verbose");
    assert!(probe.starts_with("HTTP/1.1 200"), "{probe}");
    assert!(
        probe.contains("[-]state-dir bundles cannot be written"),
        "{probe}"
    );
    let failures = || {
        let metrics = asked(&agent, "/metrics");
        let lines = metrics.lines();
        let mut values =
            lines.filter_map(|line| line.strip_prefix("spiffe_agent_state_write_failures "));
        values.next().unwrap().parse::<f64>().unwrap()
    };
    assert!(failures() >= 1.0);
    assert!(!agent.log().contains("remedy=\"\""), "{}", agent.log());
    let doctor = doctor_says(&site, &at);
    assert!(
        doctor.contains("requests-at-risk")
            && doctor.contains("chmod 0700")
            && !doctor.contains("mend the state directory"),
        "{doctor}"
    );
    mode(0o700);
    site.world
        .spire()
        .set_bundles(bundles_of([site.world.home()]));
    until_shown(&at, "health   healthy, ready").await;
    assert!(!shown_at(&at).contains("disk     "), "{}", shown_at(&at));
    assert_eq!(failures(), 0.0);
    agent.stop().await;
}

/// What requests meet, and until when, is said where an operator looks: not only in the log. Ready is no
/// promise, and the doctor does not take it for one.
#[tokio::test(flavor = "multi_thread")]
async fn what_requests_meet_is_told_and_found() {
    let spire = "spire {\n api-timeout-ms 100\n unavailable-after-ms 300\n}\n";
    for (mode, code, meets) in [
        (
            "fail_closed",
            "requests-refused",
            "requests fail_closed: every request with a credential is refused",
        ),
        (
            "cache",
            "requests-at-risk",
            "until cache-ttl (3600 s) is over",
        ),
    ] {
        let site = Site::new();
        let failure = format!("failure {{ spire-unavailable \"{mode}\" }}\n");
        let mut command = site.configured(&format!("{LOAD_POLICY}{failure}{spire}"));
        command.env("AGENT_ADMIN_ADDRESS", "127.0.0.1:0");
        let agent = site.serve(command).await;
        agent.said(0, "to=\"Live\"").await;
        let at = agent.admin_address().to_string();
        let page = || shown_at(&at);
        until_shown(&at, ", ready").await;
        assert!(
            page().contains("requests verified by the bundles of SPIRE"),
            "{}",
            page()
        );
        assert!(!doctor_finds(&site, &at, code));
        let json = || json_at(&at);
        assert!(json().contains("\"fault\":\"none\""), "{}", json());
        site.world.spire().stop(SocketFile::Left).await.unwrap();
        agent.said(0, "to=\"Outage\"").await;
        until_shown(&at, meets).await;
        assert!(json().contains("\"fault\":\"theirs\""), "{}", json());
        common::eventually("the finding", async || doctor_finds(&site, &at, code)).await;
        if mode == "fail_closed" {
            let client = agent.connect().await;
            for _ in 0..12 {
                client.ask(&site.asks(FRONTEND)).await.unwrap();
            }
            let advice = "do start the SPIRE agent";
            until_shown(&at, advice).await;
            // What follows from it is no finding of its own.
            until_shown(&at, ", 12 denied").await;
            assert!(!doctor_finds(&site, &at, "most-denied"));
        }
        agent.stop().await;
    }
}

/// A roll-out refuses nobody: what would be is told as that, and who passes unverified is seen.
#[tokio::test(flavor = "multi_thread")]
async fn what_is_not_enforced_is_told_as_that() {
    let spire = "spire {\n api-timeout-ms 100\n unavailable-after-ms 300\n}\n";
    let site = Site::new();
    let failure = "failure { enforce #false }\n";
    let mut command = site.configured(&format!("{LOAD_POLICY}{failure}{spire}"));
    command.env("AGENT_ADMIN_ADDRESS", "127.0.0.1:0");
    let agent = site.serve(command).await;
    agent.said(0, "to=\"Live\"").await;
    let at = agent.admin_address().to_string();
    let off = "requests enforce is off: who would be denied passes unverified; with it: ";
    until_shown(&at, &format!("{off}verified by the bundles of SPIRE")).await;
    let client = agent.connect().await;
    let forged = carrying(&site.world.forged(FRONTEND).unwrap());
    assert!(client.ask(&forged).await.unwrap().is_allow());
    until_shown(&at, "allowed  unverified-not-enforced 1").await;
    site.world.spire().stop(SocketFile::Left).await.unwrap();
    until_shown(&at, &format!("{off}fail_closed: every request")).await;
    assert!(client.ask(&site.asks(FRONTEND)).await.unwrap().is_allow());
    common::eventually("the finding", async || {
        doctor_finds(&site, &at, "requests-unverified")
    })
    .await;
    assert!(!doctor_finds(&site, &at, "requests-refused"));
    let probe = asked(&agent, "/healthz");
    let health = probe
        .lines()
        .find(|line| line.starts_with("[-]health"))
        .unwrap();
    assert!(
        health.ends_with("enforce is off: who would be refused passes unverified"),
        "{probe}"
    );
    agent.stop().await;
}

/// Two agents at one file of records: each says so, and the one that stays says nothing more of it.
#[tokio::test(flavor = "multi_thread")]
async fn a_file_of_records_with_two_writers_is_told_by_both() {
    let (site, other) = (Site::new(), Site::new());
    let file = site.path("shared.jsonl");
    let sinks = format!("audit {{ sink \"file\" path={file:?} }}\n");
    let mut agents = Vec::new();
    for one in [&site, &other] {
        let mut command = one.configured(&format!("{LOAD_POLICY}{sinks}"));
        command.env("AGENT_ADMIN_ADDRESS", "127.0.0.1:0");
        let agent = one.serve(command).await;
        agent.said(0, "to=\"Live\"").await;
        agents.push(agent);
    }
    let line = format!(
        "{}: another agent writes to this audit file too",
        file.display()
    );
    for (agent, one) in agents.iter().zip([&site, &other]) {
        let at = agent.admin_address().to_string();
        common::eventually("the line", async || {
            for (agent, one) in agents.iter().zip([&site, &other]) {
                let client = agent.connect().await;
                client.ask(&one.asks(FRONTEND)).await.unwrap();
            }
            shown_at(&at).contains(&line)
        })
        .await;
        let probe = asked(agent, "/healthz?verbose");
        assert!(probe.contains(&format!("[-]audit {line}")), "{probe}");
        assert!(probe.starts_with("HTTP/1.1 200"), "{probe}");
        assert!(doctor_finds(one, &at, "audit-file-shared"));
    }
    for agent in agents {
        agent.stop().await;
    }
}

/// What SPIRE said before it went is no less so now; and whom it leaves out has a line.
#[tokio::test(flavor = "multi_thread")]
async fn what_spire_said_last_and_whom_it_leaves_out_is_told() {
    let site = Site::new();
    let policy =
        "allowlist { exact \"spiffe://example.org/frontend\"; trust-domains \"absent.test\" }
        spire { api-timeout-ms 100; unavailable-after-ms 300; withdrawal-grace-ms 200 }\n";
    let mut command = site.configured(policy);
    command.env("AGENT_ADMIN_ADDRESS", "127.0.0.1:0");
    let agent = site.serve(command).await;
    agent.said(0, "to=\"Live\"").await;
    let at = agent.admin_address().to_string();
    until_shown(&at, "missing  an allowlist names absent.test, ").await;
    let missing: Value = serde_json::from_str(&json_at(&at)).unwrap();
    let missing = &missing["trust"]["missing"];
    assert_eq!(missing["trust_domains"][0], "absent.test", "{missing}");
    assert_eq!(missing["total"], 1);
    let refused = "SPIRE refused this agent before that";
    site.world.spire().withdraw();
    agent.said(0, "to=\"Withdrawn\"").await;
    until_shown(&at, "SPIRE    Withdrawn").await;
    assert!(!shown_at(&at).contains(refused), "{}", shown_at(&at));
    site.world.spire().stop(SocketFile::Removed).await.unwrap();
    until_shown(&at, &format!("refused  {refused}")).await;
    let doctor = doctor_says(&site, &at);
    assert!(doctor.contains(refused), "{doctor}");
    agent.stop().await;
}

/// Whoever has the admin address is not thereby the agent that was asked about.
#[tokio::test(flavor = "multi_thread")]
async fn the_doctor_vouches_for_no_other_agent() {
    let (site, other) = (Site::new(), Site::new());
    let agent = live(&site).await;
    let at = agent.admin_address().to_string();
    assert!(!doctor_finds(&site, &at, "other-agent"));
    let page = shown_at(&at);
    let first = page.lines().next().unwrap();
    for path in ["agent.sock", "agent.kdl", "spire.sock"] {
        let path = site.path(path);
        assert!(
            first.contains(path.to_str().unwrap()),
            "{path:?} in {first}"
        );
    }
    assert!(doctor_finds(&other, &at, "other-agent"));
    assert!(!doctor_finds(&other, &at, "not-ready"));
    agent.stop().await;
}

/// One reason that denies nearly everybody is no caller's affair.
#[tokio::test(flavor = "multi_thread")]
async fn one_reason_that_denies_most_is_found() {
    let site = Site::new();
    let agent = live(&site).await;
    let at = agent.admin_address().to_string();
    let client = agent.connect().await;
    // What is decided before the counters are first read is in no second: so it is asked until it shows.
    let says = async |request: &chaos::client::Request, parts: &[&str]| {
        common::eventually("the finding", async || {
            for _ in 0..12 {
                client.ask(request).await.unwrap();
            }
            let found = doctor_says(&site, &at);
            parts.iter().all(|part| found.contains(part))
        })
        .await;
    };
    let nothing = chaos::client::Request::get("/");
    let found = "\"code\":\"most-denied\"";
    // What the advice speaks of is there to be read.
    let quoted = "are NO_CREDENTIAL; of the newest: rule `no ";
    says(&nothing, &[found, quoted]).await;
    let quoted = "are NOT_ALLOWED; of the newest: rule `";
    let id = "spiffe_id `spiffe://partner.test/billing`";
    says(&site.asks(common::PARTNER), &[found, quoted, id]).await;
    assert!(doctor_finds(&site, &at, "most-denied"));
    agent.stop().await;
}

/// What proxies say of themselves is shown, and held against what is known of their versions.
#[tokio::test(flavor = "multi_thread")]
async fn proxies_are_told_by_version() {
    let said = |proxy: &str, version: &str| Hello {
        proxy_id: proxy.to_owned(),
        proxy_version: version.to_owned(),
        ..Hello::default()
    };
    let site = Site::new();
    let mut command =
        site.configured("audit { log-success #true }\nagent { accept-pushed-config #true }\n");
    command.env("AGENT_ADMIN_ADDRESS", "127.0.0.1:0");
    let agent = site.serve(command).await;
    let at = agent.admin_address().to_string();
    let silent = agent.connect_as(said("zentinel-proxy", "0.6.45")).await;
    let finds = |code: &'static str| doctor_finds(&site, &at, code);
    common::eventually("the finding", async || finds("proxy-brings-no-policy")).await;
    assert!(!finds("proxy-version-untested"));
    drop(silent);
    common::eventually("nothing", async || !finds("proxy-brings-no-policy")).await;
    let old = agent.connect_as(said("sentinel-proxy", "0.4.9")).await;
    common::eventually("the finding", async || finds("proxy-version-untested")).await;
    common::eventually("the proxies on the screen", async || {
        let page = shown_at(&at);
        page.contains("sentinel-proxy 0.4.9, 1 connection;")
            && page.contains("zentinel-proxy 0.6.45, 0 connections")
    })
    .await;
    let json: Value = serde_json::from_str(&json_at(&at)).unwrap();
    assert_eq!(json["proxies"][0]["name"], "sentinel-proxy");
    assert_eq!(json["proxies"][0]["version"], "0.4.9");
    drop(old);
    agent.stop().await;
}

/// What peers wrote is on a terminal what it is in a file: text.
#[tokio::test(flavor = "multi_thread")]
async fn json_of_what_peers_wrote_commands_no_terminal() {
    let site = Site::new();
    let agent = live(&site).await;
    let at = agent.admin_address().to_string();
    let client = agent.connect().await;
    let hostile = "id\u{9b}2J\u{202e}";
    let request = chaos::client::Request::get("/").with_id(hostile);
    client.ask(&request).await.unwrap();
    let json = || json_at(&at);
    common::eventually("the denial", async || json().contains("id\\u009b2J\\u202e")).await;
    let told: Value = serde_json::from_str(&json()).unwrap();
    assert_eq!(told["denials"][0]["correlation_id"], hostile);
    let unseen = |c: char| c != '\n' && verdict::unseen::is_unseen(c);
    assert!(!json().contains(unseen));
    // Nor from who asks without us.
    let status = asked(&agent, "/status");
    assert!(status.contains("id\\u009b2J\\u202e"), "{status}");
    agent.stop().await;
}

/// An agent that is started with these variables.
async fn told_to_export(site: &Site, variables: &[(&str, &str)]) -> Agent {
    let mut command = site.configured(LOAD_POLICY);
    command.env("AGENT_ADMIN_ADDRESS", "127.0.0.1:0");
    command.envs(variables.iter().copied());
    site.serve(command).await
}

/// A mistake in the variables of telemetry is told by who made out what they ask for: the agent.
#[tokio::test(flavor = "multi_thread")]
async fn what_of_telemetry_cannot_be_followed_is_told_and_found() {
    let site = Site::new();
    let agent = told_to_export(&site, &[("OTEL_TRACES_EXPORTER", "jaeger")]).await;
    let at = agent.admin_address().to_string();
    let told = "OTEL_TRACES_EXPORTER is jaeger, not otlp or none";
    until_shown(&at, &format!("exports  {told}")).await;
    let found = doctor_says(&site, &at);
    for part in ["telemetry-settings", told] {
        assert!(found.contains(part), "no {part:?} in {found}");
    }
    agent.stop().await;
}

/// A collector that is away, or speaks another protocol: the variables are in order, and nothing arrives.
#[tokio::test(flavor = "multi_thread")]
async fn what_does_not_reach_its_collector_is_told_and_found() {
    let site = Site::new();
    let nobody = [
        ("OTEL_EXPORTER_OTLP_ENDPOINT", "http://127.0.0.1:1"),
        ("OTEL_METRIC_EXPORT_INTERVAL", "100"),
    ];
    let agent = told_to_export(&site, &nobody).await;
    let at = agent.admin_address().to_string();
    let told = "metrics do not reach http://127.0.0.1:1/v1/metrics (http/protobuf): ";
    until_shown(&at, &format!("exports  {told}")).await;
    agent.said(0, "remedy=\"is a collector there").await;
    let found = doctor_says(&site, &at);
    for part in ["telemetry-undelivered", told, "4317 is usually grpc"] {
        assert!(found.contains(part), "no {part:?} in {found}");
    }
    agent.stop().await;
}

/// The proxy was told, and its operator does not look there.
#[tokio::test(flavor = "multi_thread")]
async fn a_push_that_is_refused_is_told_and_found() {
    let pushes = |config: Value| Hello {
        config: Some(config),
        ..Hello::default()
    };
    let site = Site::new();
    let mut command =
        site.configured("audit { log-success #true }\nagent { accept-pushed-config #true }\n");
    command.env("AGENT_ADMIN_ADDRESS", "127.0.0.1:0");
    let agent = site.serve(command).await;
    let at = agent.admin_address().to_string();
    let wrong = serde_json::json!({ "allowlist": { "exact": ["not an id"] } });
    let refused = chaos::client::Client::connect(site.socket(), pushes(wrong)).await;
    assert!(refused.is_err(), "it is told");
    until_shown(&at, "pushes   1 refused, the last from ").await;
    assert!(shown_at(&at).contains("not an id"));
    let found = doctor_says(&site, &at);
    for part in ["push-refused", "not an id", "correct the config block"] {
        assert!(found.contains(part), "no {part:?} in {found}");
    }
    let right = serde_json::json!({ "allowlist": { "exact": [FRONTEND] } });
    let applied = chaos::client::Client::connect(site.socket(), pushes(right)).await;
    common::eventually("mended", async || !shown_at(&at).contains("pushes ")).await;
    drop(applied);
    agent.stop().await;
}

/// Who is closed unheard is named by its process, in the log with what to do, and on the screen by number.
#[tokio::test(flavor = "multi_thread")]
async fn a_stranger_at_the_socket_is_named() {
    let site = Site::new();
    let mut command = site.configured(LOAD_POLICY);
    command.env("AGENT_ADMIN_ADDRESS", "127.0.0.1:0");
    command.args(["--trusted-proxy", "uid:3999999999"]);
    let agent = site.serve(command).await;
    let at = agent.admin_address().to_string();
    let refused = chaos::client::Client::connect(site.socket(), Hello::default()).await;
    assert!(refused.is_err());
    agent
        .said(0, &format!("process=\"{}, ", std::process::id()))
        .await;
    let uid = rustix::process::geteuid().as_raw();
    agent
        .said(
            0,
            &format!("if it is your proxy: --trusted-proxy uid:{uid}"),
        )
        .await;
    let page = shown_at(&at);
    assert!(page.contains("of untrusted proxies closed"), "{page}");
    assert!(doctor_finds(&site, &at, "untrusted-proxy"));
    agent.stop().await;
}

/// What `explain` says of a caller on the list, to whoever asks beside this agent.
fn explained(site: &Site, address: &str) -> String {
    let svid = site.world.svid(FRONTEND).unwrap().xfcc();
    let mut command = Command::new(env!("CARGO_BIN_EXE_sentinel-spiffe-agent"));
    command.env_clear().env("AGENT_ADMIN_ADDRESS", address);
    command.args(["explain", "--header", &svid, "--config"]);
    command.arg(site.path("full.kdl")).arg("--spire-socket");
    text(&command.arg(site.path("spire.sock")).output().unwrap())
}

/// A full disk: what it costs is for `on-full` to say, and for the screen and the doctor to tell.
#[tokio::test(flavor = "multi_thread")]
async fn a_full_disk_is_told_by_the_screen_and_the_doctor() {
    for (on_full, code) in [("drop", "audit-sink-fails"), ("deny", "audit-refuses")] {
        let site = Site::new();
        let deadline = "agent { limits { decision-deadline-ms 20000 } }";
        let sinks = format!("audit {{ on-full \"{on_full}\"; sink \"file\" path=\"/dev/full\" }}");
        let config = site.path("full.kdl");
        std::fs::write(&config, format!("{LOAD_POLICY}{deadline}\n{sinks}\n")).unwrap();
        let mut command = site.command();
        command.env("AGENT_ADMIN_ADDRESS", "127.0.0.1:0");
        command.arg("--config").arg(config);
        let agent = site.serve(command).await;
        agent.said(0, "to=\"Live\"").await;
        let at = agent.admin_address().to_string();
        assert!(!doctor_finds(&site, &at, code));
        let client = agent.connect().await;
        client.ask(&site.asks(FRONTEND)).await.unwrap();
        common::eventually("the finding", async || doctor_finds(&site, &at, code)).await;
        let page = shown_at(&at);
        assert!(page.contains("/dev/full: No space left"), "{page}");
        assert!(page.contains("free space on the file system"), "{page}");
        assert_eq!(
            page.contains("requests are refused"),
            on_full == "deny",
            "{page}"
        );
        // What is promised is what is met.
        let refused = "every request is refused, 503 OVERLOADED, until records can be kept";
        let promised = page.lines().find(|line| line.starts_with("requests "));
        let promised = promised.unwrap();
        assert_eq!(promised.contains(refused), on_full == "deny", "{promised}");
        let explained = explained(&site, &at);
        assert!(
            explained.contains("allow, identity verified"),
            "{explained}"
        );
        assert_eq!(
            explained.contains(refused),
            on_full == "deny",
            "{explained}"
        );
        agent.stop().await;
    }
}
