//! What stands in the record is what was answered, also when the process is killed, the disk is away,
//! or somebody changes the file afterwards.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::print_stderr,
    reason = "a test may panic and print"
)]

mod common;

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::process::Output;
use std::sync::{Arc, Mutex};
use std::time::Instant;

use chaos::client::{Answer, Client, Hello, Request};
use common::{Agent, FRONTEND, Heard, LOAD_POLICY, PARTNER, PATIENCE, Site, eventually};
use rustix::process::{Resource, Rlimit, prlimit};
use serde_json::Value;

/// Rounds of a kill under load; `AUDIT_KILLS` asks for more.
const KILLS: usize = 12;

/// Requests on their way on one connection.
const DEPTH: usize = 16;

fn configured(site: &Site, audit: &str, deadline_ms: u64) -> std::process::Command {
    let path = site.path("audit.kdl");
    let limits = format!("agent {{ limits {{ decision-deadline-ms {deadline_ms} }} }}");
    let text = format!("{LOAD_POLICY}{limits}\naudit {{\n{audit}\n}}\n");
    std::fs::write(&path, text).unwrap();
    let mut command = site.command();
    command.arg("--config").arg(path);
    command
}

fn spawn(site: &Site, audit: &str, deadline_ms: u64) -> Agent {
    let command = configured(site, audit, deadline_ms);
    Agent::spawn_heard(
        command,
        Heard::Both,
        site.socket(),
        site.path("audit.jsonl"),
    )
}

/// Connects and waits until SPIRE's bundles are there.
async fn live(site: &Site) -> Client {
    let mut client = None;
    eventually("the agent", async || {
        client = Client::connect(site.socket(), Hello::default()).await.ok();
        client.is_some()
    })
    .await;
    let client = client.unwrap().with_timeout(PATIENCE);
    let request = site.asks(FRONTEND);
    eventually("the bundles", async || {
        client.ask(&request).await.unwrap().is_allow()
    })
    .await;
    client
}

/// What was answered, by correlation id.
type Answered = Arc<Mutex<HashMap<String, Told>>>;

#[derive(Clone, Debug, PartialEq, Eq)]
struct Told {
    allow: bool,
    status: Option<u16>,
    reason: Option<String>,
}

fn told(answer: &Answer) -> Told {
    Told {
        allow: answer.is_allow(),
        status: answer.block_status(),
        reason: answer.reason_codes.first().cloned(),
    }
}

/// Asks under ids of its own until the connection ends.
async fn ask_on(socket: PathBuf, questions: Arc<[Request]>, name: String, answered: Answered) {
    let Ok(client) = Client::connect(socket, Hello::default()).await else {
        return;
    };
    let client = client.with_timeout(PATIENCE);
    let mut sent = std::collections::VecDeque::new();
    for n in 0.. {
        let id = format!("{name}-{n}");
        let request = questions[n % questions.len()].clone().with_id(&id);
        if client.send(&request).await.is_err() {
            break;
        }
        sent.push_back(id);
        if sent.len() >= DEPTH {
            let id = sent.pop_front().unwrap();
            let Ok(answer) = client.answer(&id).await else {
                break;
            };
            answered.lock().unwrap().insert(id, told(&answer));
        }
    }
    // What came before the end counts as well.
    for id in sent {
        if let Ok(answer) = client.answer(&id).await {
            answered.lock().unwrap().insert(id, told(&answer));
        }
    }
}

/// The files of one chain, and every whole record in them.
fn files(site: &Site) -> Vec<PathBuf> {
    let home = site.path("");
    let files = std::fs::read_dir(home).unwrap();
    let files = files.map(|file| file.unwrap().path());
    let is_of_the_chain = |path: &PathBuf| {
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        name.starts_with("audit.jsonl")
    };
    files.filter(is_of_the_chain).collect()
}

fn records(files: &[PathBuf]) -> Vec<Value> {
    let texts = files
        .iter()
        .map(|file| std::fs::read_to_string(file).unwrap());
    let all: Vec<String> = texts.collect();
    let lines = all.iter().flat_map(|text| text.lines());
    lines
        .filter_map(|line| serde_json::from_str(line).ok())
        .collect()
}

fn by_id(records: Vec<Value>) -> HashMap<String, Vec<Value>> {
    let mut by_id: HashMap<String, Vec<Value>> = HashMap::new();
    for record in records {
        let id = record["correlation_id"].as_str().unwrap().to_owned();
        by_id.entry(id).or_default().push(record);
    }
    for records in by_id.values_mut() {
        records.sort_by_key(|record| record["seq"].as_u64());
    }
    by_id
}

/// Each answer has one record that says it; a second may only take the place of a first.
fn all_recorded(answered: &Answered, records: &HashMap<String, Vec<Value>>) {
    for (id, told) in &*answered.lock().unwrap() {
        let of_it = records.get(id).map_or(&[][..], Vec::as_slice);
        let last = of_it
            .last()
            .unwrap_or_else(|| panic!("{id} has no record: {told:?}"));
        let is_corrected = of_it.len() == 2 && last["corrects"] == "earlier";
        assert!(of_it.len() == 1 || is_corrected, "{id}: {of_it:?}");
        let recorded = Told {
            allow: last["verdict"] == "allow",
            status: last["status"]
                .as_u64()
                .map(|status| u16::try_from(status).unwrap()),
            reason: last["reason"].as_str().map(str::to_owned),
        };
        assert_eq!(&recorded, told, "{id}: {last}");
    }
}

fn verify(args: &[&str], files: &[PathBuf]) -> Output {
    let mut command = std::process::Command::new(env!("CARGO_BIN_EXE_sentinel-spiffe-agent"));
    command.env_clear().args(["audit", "verify"]).args(args);
    command.args(files).output().unwrap()
}

fn verified(files: &[PathBuf]) -> Value {
    let output = verify(&["--output", "json"], files);
    serde_json::from_slice(&output.stdout).unwrap()
}

#[tokio::test]
async fn a_kill_under_load_loses_no_answered_record() {
    let site = Site::new();
    let file = site.path("audit.jsonl");
    let audit =
        format!("on-full \"block\"\nsink \"file\" path={file:?} rotate-bytes=262144 keep=1000");
    let questions: Arc<[Request]> = [
        site.asks(FRONTEND),
        site.asks(PARTNER),
        Request::get("/"),
        site.asks("spiffe://example.org/services/one"),
    ]
    .into();
    let answered = Answered::default();
    let kills = std::env::var("AUDIT_KILLS").map_or(KILLS, |kills| kills.parse().unwrap());
    for round in 0..kills {
        let agent = spawn(&site, &audit, 20_000);
        let client = live(&site).await;
        let before = answered.lock().unwrap().len();
        let mut asking = tokio::task::JoinSet::new();
        for connection in 0..4 {
            let name = format!("r{round}-c{connection}");
            let questions = Arc::clone(&questions);
            asking.spawn(ask_on(
                site.socket(),
                questions,
                name,
                Arc::clone(&answered),
            ));
        }
        // Each round ends elsewhere: within the first batches, and after some.
        let wanted = before + 1 + round * 37;
        eventually("answers", async || answered.lock().unwrap().len() >= wanted).await;
        rustix::process::kill_process(agent.pid(), rustix::process::Signal::KILL).unwrap();
        while asking.join_next().await.is_some() {}
        drop(client);
        agent.ended().await;
    }
    let files = files(&site);
    let records = records(&files);
    let (count, chain) = (records.len(), verified(&files));
    assert_eq!(chain["whole"], true, "{chain}");
    assert_eq!(chain["records"], count);
    assert!(files.len() > 1, "no file was rotated: {count} records");
    all_recorded(&answered, &by_id(records));
    let answers = answered.lock().unwrap().len();
    eprintln!(
        "{kills} kills, {answers} answers, {count} records in {} files",
        files.len()
    );
}

/// The file's directory goes away and comes back: a disk that is not there for a while.
struct Disk {
    there: PathBuf,
    away: PathBuf,
}

impl Disk {
    fn new(site: &Site) -> Self {
        let disk = Self {
            there: site.path("disk"),
            away: site.path("away"),
        };
        std::fs::create_dir(&disk.there).unwrap();
        disk
    }

    fn file(&self) -> PathBuf {
        self.there.join("audit.jsonl")
    }

    fn goes(&self) {
        std::fs::rename(&self.there, &self.away).unwrap();
    }

    fn comes(&self) {
        std::fs::rename(&self.away, &self.there).unwrap();
    }
}

async fn ask(client: &Client, request: &Request, id: &str, answered: &Answered) -> Told {
    let answer = client.ask(&request.clone().with_id(id)).await.unwrap();
    let told = told(&answer);
    answered.lock().unwrap().insert(id.to_owned(), told.clone());
    told
}

/// Without a disk nobody passes unrecorded; with it, all is as before, and the record says it.
async fn a_disk_goes_and_comes(on_full: &str, deadline_ms: u64) -> (Answered, Vec<PathBuf>) {
    let site = Site::new();
    let disk = Disk::new(&site);
    let audit = format!(
        "on-full {on_full:?}\nsink \"file\" path={:?} fsync=\"always\"",
        disk.file()
    );
    let agent = spawn(&site, &audit, deadline_ms);
    let client = live(&site).await;
    let request = site.asks(FRONTEND);
    let answered = Answered::default();
    assert!(ask(&client, &request, "before", &answered).await.allow);
    disk.goes();
    // Those before the loss is known are in the queue: it is known when the disk has had its time
    // for what was written before.
    let mut n = 0;
    eventually("the loss of the disk to be known", async || {
        n += 1;
        !ask(&client, &request, &format!("unknown-{n}"), &answered)
            .await
            .allow
    })
    .await;
    for n in 0..40 {
        let asked_at = Instant::now();
        let told = ask(&client, &request, &format!("away-{n}"), &answered).await;
        assert_eq!(told.status, Some(503));
        assert_eq!(told.reason.as_deref(), Some("OVERLOADED"));
        assert!(asked_at.elapsed().as_millis() < 5_000 + u128::from(deadline_ms));
    }
    disk.comes();
    let mut n = 0;
    eventually("the disk to be found again", async || {
        n += 1;
        ask(&client, &request, &format!("back-{n}"), &answered)
            .await
            .allow
    })
    .await;
    assert!(ask(&client, &request, "after", &answered).await.allow);
    drop(client);
    let ended = agent.stop().await;
    assert!(
        ended.stderr.contains("audit records are not written"),
        "{}",
        ended.stderr
    );
    let files = vec![disk.file()];
    let chain = verified(&files);
    assert_eq!(chain["whole"], true, "{chain}");
    let records = by_id(records(&files));
    all_recorded(&answered, &records);
    drop(site);
    (answered, files)
}

/// `ulimit -f`, `LimitFSIZE=`: a file that reaches it is a full disk, and no end of the agent.
#[tokio::test]
async fn a_limit_of_file_size_costs_records_and_not_the_agent() {
    let site = Site::new();
    let file = site.path("audit.jsonl");
    let agent = spawn(&site, &format!("sink \"file\" path={file:?}"), 20_000);
    let client = live(&site).await;
    let limit = Rlimit {
        current: Some(8_000),
        maximum: Some(8_000),
    };
    prlimit(Some(agent.pid()), Resource::Fsize, limit).unwrap();
    let request = site.asks(FRONTEND);
    let answered = Answered::default();
    let size = || std::fs::metadata(&file).unwrap().len();
    let mut n = 0;
    eventually("the limit", async || {
        n += 1;
        assert!(
            ask(&client, &request, &format!("n-{n}"), &answered)
                .await
                .allow
        );
        size() > 6_000
    })
    .await;
    for n in 0..20 {
        assert!(
            ask(&client, &request, &format!("beyond-{n}"), &answered)
                .await
                .allow
        );
    }
    drop(client);
    let ended = agent.stop().await;
    assert_eq!(ended.status.code(), Some(0), "{}", ended.stderr);
    let said = "audit records are not written";
    assert!(ended.stderr.contains(said), "{}", ended.stderr);
    assert_eq!(verified(&[file])["whole"], true);
}

#[tokio::test]
async fn under_deny_nobody_passes_unrecorded_and_a_disk_that_comes_back_is_used() {
    a_disk_goes_and_comes("deny", 20_000).await;
}

#[tokio::test]
async fn under_block_an_answer_waits_for_its_record_until_the_deadline() {
    a_disk_goes_and_comes("block", 250).await;
}

#[tokio::test]
async fn a_file_that_logrotate_moves_away_is_followed_and_the_chain_goes_on() {
    let site = Site::new();
    let file = site.path("audit.jsonl");
    let agent = spawn(&site, &format!("sink \"file\" path={file:?}"), 20_000);
    let client = live(&site).await;
    let request = site.asks(FRONTEND);
    client.ask(&request.clone().with_id("one")).await.unwrap();
    agent.record("one").await;
    let moved = site.path("audit.jsonl-20260101");
    std::fs::rename(&file, &moved).unwrap();
    client.ask(&request.clone().with_id("two")).await.unwrap();
    agent.record("two").await;
    agent.said(0, "the audit file was moved; opened anew").await;
    drop(client);
    agent.stop().await;
    let chain = verified(&[file.clone(), moved]);
    assert_eq!(chain["whole"], true, "{chain}");
    assert_eq!(chain["first"]["seq"], 1);
    let alone = verified(&[file]);
    assert_eq!(alone["whole"], true, "{alone}");
    assert!(
        alone["notes"][0].as_str().unwrap().contains("continues"),
        "{alone}"
    );
}

/// A file of some records.
async fn recorded(site: &Site) -> PathBuf {
    let file = site.path("audit.jsonl");
    let agent = spawn(site, &format!("sink \"file\" path={file:?}"), 20_000);
    let client = live(site).await;
    for n in 0..5 {
        let request = site.asks(FRONTEND).with_id(format!("n-{n}"));
        client.ask(&request).await.unwrap();
    }
    drop(client);
    agent.stop().await;
    file
}

fn changed(file: &Path, change: impl FnOnce(&mut Vec<String>)) -> Vec<PathBuf> {
    let text = std::fs::read_to_string(file).unwrap();
    let mut lines: Vec<String> = text.lines().map(str::to_owned).collect();
    change(&mut lines);
    let other = file.with_file_name("changed.jsonl");
    std::fs::write(&other, lines.join("\n") + "\n").unwrap();
    vec![other]
}

#[tokio::test]
async fn verify_says_where_a_file_was_changed_and_ends_as_documented() {
    let site = Site::new();
    let file = recorded(&site).await;
    let whole = verify(&[], std::slice::from_ref(&file));
    let said = String::from_utf8(whole.stdout).unwrap();
    assert_eq!(whole.status.code(), Some(0), "{said}");
    let last = said
        .split_whitespace()
        .find(|word| word.len() == 64)
        .unwrap();
    // A verdict, turned round.
    let turned = changed(&file, |lines| {
        let line = lines[1].replace("\"verdict\":\"allow\"", "\"verdict\":\"deny\"");
        assert_ne!(line, lines[1]);
        lines[1] = line;
    });
    let output = verify(&[], &turned);
    let said = String::from_utf8(output.stdout).unwrap();
    assert_eq!(output.status.code(), Some(1), "{said}");
    assert!(
        said.contains("changed.jsonl:2: seq 2: this line is not"),
        "{said}"
    );
    let missing = changed(&file, |lines| drop(lines.remove(2)));
    let report = verified(&missing);
    assert_eq!(report["broken"][0]["why"], "missing", "{report}");
    assert_eq!(report["broken"][0]["line"], 3, "{report}");
    // Only an anchor tells that the end is gone.
    let cut = changed(&file, |lines| drop(lines.pop()));
    assert_eq!(verify(&[], &cut).status.code(), Some(0));
    assert_eq!(verify(&["--expect", last], &cut).status.code(), Some(1));
    assert_eq!(verify(&["--expect", last], &[file]).status.code(), Some(0));
    assert_eq!(verify(&["--expect", "beef"], &cut).status.code(), Some(2));
    let nowhere = [site.path("nowhere.jsonl")];
    assert_eq!(verify(&[], &nowhere).status.code(), Some(2));
    assert_eq!(verify(&[], &[]).status.code(), Some(2));
}

/// What a caller names its request may turn a terminal's text around: it stands escaped, says the same, and the
/// chain is made over what stands there.
#[tokio::test(flavor = "multi_thread")]
async fn what_turns_text_around_stands_escaped_in_a_chain_that_holds() {
    let site = Site::new();
    let sink = format!("sink \"file\" path={:?}", site.path("audit.jsonl"));
    let agent = spawn(&site, &sink, 20_000);
    let client = live(&site).await;
    let hostile = "a\u{202e}b\u{9b}2J";
    let request = site.asks(FRONTEND).with_id(hostile);
    assert!(client.ask(&request).await.unwrap().is_allow());
    let record = agent.record(hostile).await;
    assert_eq!(record["correlation_id"], hostile);
    drop(client);
    agent.stop().await;
    let text = std::fs::read_to_string(site.path("audit.jsonl")).unwrap();
    assert!(text.contains(r"a\u202eb\u009b2J"), "{text}");
    assert!(!text.contains(['\u{202e}', '\u{9b}']), "{text}");
    assert_eq!(verified(&files(&site))["whole"], true);
}

/// Nothing at all is not a whole chain: most likely it is the wrong file.
#[tokio::test]
async fn verify_takes_nothing_for_no_whole_chain() {
    let site = Site::new();
    for (name, bytes) in [
        ("empty", &b""[..]),
        ("zeros", &[0; 4096]),
        ("a.kdl", b"audit { }\n"),
    ] {
        let file = site.path(name);
        std::fs::write(&file, bytes).unwrap();
        let output = verify(&[], std::slice::from_ref(&file));
        let said = String::from_utf8(output.stdout).unwrap();
        assert_eq!(output.status.code(), Some(1), "{name}: {said}");
        assert!(said.contains("no records: "), "{name}: {said}");
        assert_eq!(verified(&[file])["whole"], false);
    }
}

/// One process after another, all collected into one file: each begins a chain.
#[tokio::test]
async fn what_was_collected_begins_anew_and_only_then() {
    let (one, other) = (Site::new(), Site::new());
    let mut lines = std::fs::read(recorded(&one).await).unwrap();
    lines.extend(std::fs::read(recorded(&other).await).unwrap());
    let collected = one.path("collected.jsonl");
    std::fs::write(&collected, lines).unwrap();
    let files = [collected];
    let output = verify(&[], &files);
    let told = String::from_utf8(output.stdout).unwrap();
    assert_eq!(output.status.code(), Some(1), "{told}");
    assert!(told.contains("say --collected"), "{told}");
    let output = verify(&["--collected"], &files);
    let told = String::from_utf8(output.stdout).unwrap();
    assert_eq!(output.status.code(), Some(0), "{told}");
    assert!(
        told.contains("note: ") && told.contains("begins anew"),
        "{told}"
    );
}

/// What was done to a whole file is told as that, and not line by line alone.
#[tokio::test]
async fn what_was_done_to_a_file_is_noted() {
    let site = Site::new();
    let file = recorded(&site).await;
    let text = std::fs::read_to_string(&file).unwrap();
    let converted = text.replace('\n', "\r\n");
    for (name, bytes, note) in [
        ("crlf", converted.into_bytes(), "end in CR LF"),
        (
            "gz",
            b"\x1f\x8b\x08\x00\n".to_vec(),
            "is compressed: gzip -dc",
        ),
        ("empty", format!("{text}\n").into_bytes(), ": an empty line"),
    ] {
        let other = site.path(name);
        std::fs::write(&other, bytes).unwrap();
        let output = verify(&[], std::slice::from_ref(&other));
        let said = String::from_utf8(output.stdout).unwrap();
        assert!(said.contains(note), "{name}: {said}");
        let json = verified(&[other]);
        assert!(json["notes"].to_string().contains(note), "{name}: {json}");
    }
    let twice = verified(&[file.clone(), file]);
    assert_eq!(twice["broken"].as_array().unwrap().len(), 1, "{twice}");
    assert_eq!(twice["broken"][0]["why"], "copied", "{twice}");
}

#[tokio::test]
async fn verify_reads_standard_input() {
    let site = Site::new();
    let file = recorded(&site).await;
    let mut command = std::process::Command::new(env!("CARGO_BIN_EXE_sentinel-spiffe-agent"));
    command.env_clear().args(["audit", "verify", "-"]);
    command.stdin(std::fs::File::open(file).unwrap());
    let output = command.output().unwrap();
    let said = String::from_utf8(output.stdout).unwrap();
    assert_eq!(output.status.code(), Some(0), "{said}");
    assert!(said.contains(": whole"), "{said}");
}
