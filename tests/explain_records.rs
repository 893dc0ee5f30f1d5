//! A thousand decisions of every kind, recorded as the agent records them, and `explain`ed: from the
//! record alone, and with the credentials at hand.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::cast_possible_truncation,
    reason = "a test may panic"
)]

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::Arc;

use actors::audit::{self, Corrects, Grounds};
use actors::configured::credential_bounds;
use actors::policies::{InForce, Policies};
use actors::validation::examine;
use chaos::ca::{Defect, SvidOptions};
use chaos::world::{World as Spire, bundles_of};
use config::{FileConfig, Overrides, Settings};
use serde_json::Value;
use verdict::availability::{Blame, Shelf, State, Timing, Trouble};
use verdict::decide::{Decision, Intake, decide, refuse};
use verdict::evidence::{Check, Evidence, Fault};
use verdict::reason::Reason;
use verdict::time::Now;
use verdict::trust::{Basis, Snapshot, World};

const RECORDS: usize = 1_000;
const NOW_S: u64 = 1_800_000_000;

/// Every mode, and everything that lets somebody pass unverified.
const POLICIES: [&str; 6] = [
    "failure { spire-unavailable \"fail_closed\"; unavailable-status 599 }",
    "failure { spire-unavailable \"cache\"; cache-ttl 60 }",
    "failure { spire-unavailable \"fail_open\"; cache-ttl 60 }",
    "failure { spire-unavailable \"fail_open\"; validation-failure \"log_and_allow\"; cache-ttl 60 }",
    "failure { enforce #false; spire-unavailable \"cache\" }\ntls { require-mtls #false }",
    "tls { require-mtls #false }\nfailure { validation-failure \"log_and_allow\" }",
];

const LISTS: &str = r#"
allowlist { prefix "spiffe://example.org/services/"; exact "spiffe://example.org/frontend"; trust-domains "unknown.test" }
denylist { exact "spiffe://example.org/services/retired" }
"#;

/// A small generator of its own: the same thousand every time.
struct Random(u64);

impl Random {
    fn below(&mut self, limit: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 % limit as u64) as usize
    }
}

struct Stage {
    home: tempfile::TempDir,
    spire: Spire,
    policies: Vec<(PathBuf, Arc<InForce>)>,
    /// Header values; `None` is no header.
    callers: Vec<Option<String>>,
}

impl Stage {
    fn new() -> Self {
        let home = tempfile::tempdir().unwrap();
        let spire = Spire::start(home.path().join("spire.sock"), NOW_S).unwrap();
        let credentials = home.path().join("credentials");
        std::fs::create_dir(&credentials).unwrap();
        let mut callers = vec![
            None,
            Some("Hash=x;Cert=\"y\"".to_owned()),
            Some("{}".to_owned()),
        ];
        let good = [
            "services/a",
            "services/b",
            "services/retired",
            "frontend",
            "other",
        ];
        let good = good.map(|path| spire.svid(&format!("spiffe://example.org/{path}")).unwrap());
        let options = SvidOptions::at(NOW_S).with_defect(Defect::AnyId);
        let strangers = [
            spire.svid("spiffe://partner.test/billing").unwrap(),
            spire
                .home()
                .issue("spiffe://unknown.test/x", &options)
                .unwrap(),
        ];
        let frontend = "spiffe://example.org/frontend";
        let bad = Defect::ALL.map(|defect| spire.defective(frontend, defect).unwrap());
        for (number, svid) in good.iter().chain(&strangers).chain(&bad).enumerate() {
            callers.push(Some(svid.xfcc()));
            let file = credentials.join(format!("{number}.pem"));
            std::fs::write(file, svid.chain_pem()).unwrap();
        }
        for (domain, der) in bundles_of([spire.home(), spire.partner()]) {
            let domain = domain.trim_start_matches("spiffe://").to_owned();
            std::fs::write(home.path().join(domain), der).unwrap();
        }
        let mut stage = Self {
            home,
            spire,
            policies: Vec::new(),
            callers,
        };
        for (number, text) in POLICIES.iter().enumerate() {
            let path = stage.home.path().join(format!("{number}.kdl"));
            let text = match text.contains("tls {") {
                true => format!("{LISTS}{text}\n"),
                false => format!("{LISTS}{text}\ntls {{ client-cert-format \"xfcc\" }}\n"),
            };
            std::fs::write(&path, &text).unwrap();
            let policy = in_force(&path, &text);
            stage.policies.push((path, policy));
        }
        stage
    }

    /// A decision of the product's own, and its record.
    fn record(&self, random: &mut Random, policy: &InForce, number: usize) -> Vec<u8> {
        let now = Now {
            wall_ms: (NOW_S * 1_000 + 500) as i64 + random.below(60_000) as i64,
            boot_ms: 10_000_000,
        };
        let world = world(&self.spire, random, now);
        let failure = policy.policy.failure();
        let basis = world.basis(failure, now);
        let caller = &self.callers[random.below(self.callers.len())];
        let lines = caller
            .as_deref()
            .map(|value| ("x-forwarded-client-cert", value));
        let evidence = match policy.header.find(lines) {
            Err(error) => {
                Evidence::faulty(Fault::new(Check::Parse, Reason::Malformed, &error), &world)
            }
            Ok(None) => Evidence::absent(&world),
            Ok(Some(raw)) => examine(&policy.header, &raw, &world, &basis, failure, now),
        };
        let intakes = [
            Intake::BadEvent,
            Intake::NotConfigured,
            Intake::Overloaded,
            Intake::Internal,
        ];
        let refused = intakes
            .get(random.below(40))
            .map(|intake| refuse(*intake, &"on purpose"));
        let (decision, grounds) = match refused {
            Some(refused) => (refused, None),
            None => (
                decide(&evidence, &basis, &policy.policy),
                Some((&evidence, &basis)),
            ),
        };
        line(&decision, grounds, policy, number, now)
    }
}

fn in_force(path: &Path, text: &str) -> Arc<InForce> {
    let file = FileConfig::parse(&path.display().to_string(), text).unwrap();
    let settings = Settings::resolve(Some(file), &Overrides::default()).unwrap();
    let policies = Policies::new(0, credential_bounds(&settings.agent().bounds));
    policies.own(settings.policy().unwrap().clone()).unwrap()
}

/// A world in any state, its bundles of any age.
fn world(spire: &Spire, random: &mut Random, now: Now) -> World {
    let age_ms = [0, 30_000, 90_000, 7_200_000][random.below(4)];
    let then = Now {
        wall_ms: now.wall_ms - age_ms,
        boot_ms: now.boot_ms - age_ms,
    };
    let bundles = bundles_of([spire.home(), spire.partner()]);
    let update = bundles
        .iter()
        .map(|(key, der)| (key.as_str(), der.as_slice()));
    let (snapshot, _) = Snapshot::default().updated(update, then).unwrap();
    let (since_ms, trouble) = (now.boot_ms, Trouble::NONE);
    let shelf = Shelf::Empty;
    let blame = Blame::Theirs;
    let (state, snapshot) = match random.below(6) {
        0 => (
            State::Starting {
                since_ms,
                shelf,
                trouble,
            },
            Snapshot::default(),
        ),
        1 => (State::Interrupted { since_ms, trouble }, snapshot),
        2 | 3 => (State::Outage { since_ms, trouble }, snapshot),
        4 => (State::Withdrawn { since_ms, blame }, snapshot.withdrawn()),
        _ => (State::Live { since_ms }, snapshot),
    };
    World::new(state, Timing::default(), snapshot)
}

fn line(
    decision: &Decision<'_>,
    grounds: Option<(&Evidence, &Basis)>,
    policy: &InForce,
    number: usize,
    now: Now,
) -> Vec<u8> {
    let id = number.to_string();
    let request = audit::Request {
        id: Some(&id),
        correlation_id: &id,
        trace_id: None,
        client_ip: None,
        proxy: "p",
        door: "d",
    };
    let grounds = grounds.map(|(evidence, basis)| Grounds { evidence, basis });
    audit::render(
        decision,
        grounds,
        Some(policy),
        request,
        now,
        Corrects::Nothing,
    )
    .unwrap()
}

fn explain(arguments: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_sentinel-spiffe-agent"));
    command.env_clear().args(["explain", "--output", "json"]);
    command.args(arguments).output().unwrap()
}

fn lines(bytes: &[u8]) -> Vec<Value> {
    let text = std::str::from_utf8(bytes).unwrap();
    text.lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect()
}

/// What is answered, in a record and in an explanation.
fn told(answer: &Value) -> [&Value; 4] {
    ["verdict", "reason", "status", "identity"].map(|key| &answer[key])
}

#[tokio::test(flavor = "multi_thread")]
async fn a_thousand_random_records_are_decided_again_exactly() {
    let stage = Stage::new();
    let mut random = Random(0x5eed_1234_5678);
    let mut reasons = BTreeSet::new();
    let (mut total, mut judged_again) = (0, 0);
    let bundles = ["example.org", "partner.test"]
        .map(|domain| format!("{domain}={}", stage.home.path().join(domain).display()));
    let credentials = stage.home.path().join("credentials");
    for (path, policy) in &stage.policies {
        let each = RECORDS.div_ceil(stage.policies.len());
        let records: Vec<u8> = (0..each)
            .flat_map(|number| stage.record(&mut random, policy, number))
            .collect();
        let file = stage.home.path().join("records.jsonl");
        std::fs::write(&file, &records).unwrap();
        let recorded = lines(&records);
        // From the record alone.
        let output = explain(&[file.to_str().unwrap()]);
        assert_eq!(output.status.code(), Some(0), "{output:?}");
        let explained = lines(&output.stdout);
        assert_eq!(explained.len(), recorded.len());
        for (record, explained) in recorded.iter().zip(&explained) {
            assert_eq!(told(record), told(&explained["answer"]), "{record}");
            assert_eq!(explained["contradiction"], Value::Null);
            reasons.insert(record["reason"].to_string());
        }
        // And with the credentials.
        let file = file.to_str().unwrap();
        let (config, dir) = (path.to_str().unwrap(), credentials.to_str().unwrap());
        let output = explain(&[
            file,
            "--config",
            config,
            "--credentials",
            dir,
            "--bundle",
            &bundles[0],
            "--bundle",
            &bundles[1],
        ]);
        for (record, explained) in recorded.iter().zip(lines(&output.stdout)) {
            let again = &explained["again"];
            if again.is_null() {
                // Where no leaf was understood, or none was looked at, there is nothing to judge.
                assert!(
                    record["leaf_sha256"].is_null() || record["state"].is_null(),
                    "{record}"
                );
                continue;
            }
            judged_again += 1;
            assert_eq!(again["agrees"], true, "{record}\n{again}");
            assert_eq!(again["verdict"], record["verdict"]);
            assert_eq!(again["reason"], record["reason"]);
        }
        assert_eq!(output.status.code(), Some(0), "{output:?}");
        total += recorded.len();
    }
    assert!(
        total >= RECORDS && judged_again > RECORDS / 3,
        "{total}, {judged_again}"
    );
    // All reasons but the two that are reserved for tokens, and an answer without one.
    assert_eq!(reasons.len(), Reason::ALL.len() - 2 + 1, "{reasons:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_record_that_was_changed_is_told() {
    let stage = Stage::new();
    let (_, policy) = &stage.policies[0];
    let mut random = Random(7);
    let denied = std::iter::repeat_with(|| stage.record(&mut random, policy, 1))
        .map(|line| String::from_utf8(line).unwrap())
        .find(|line| line.contains("\"UNTRUSTED\""))
        .unwrap();
    let file = stage.home.path().join("changed.jsonl");
    for (from, to) in [
        ("\"verdict\":\"deny\"", "\"verdict\":\"allow\""),
        ("\"reason\":\"UNTRUSTED\"", "\"reason\":\"EXPIRED\""),
        ("\"path\":\"failed\"", "\"path\":\"passed\""),
        ("\"status\":401", "\"status\":403"),
    ] {
        let changed = denied.replace(from, to);
        assert_ne!(changed, denied, "{from}");
        std::fs::write(&file, changed).unwrap();
        let output = explain(&[file.to_str().unwrap()]);
        // `EXPIRED` can be a reason of check 9 too: the record alone cannot tell.
        let plausible = to.contains("EXPIRED");
        assert_eq!(output.status.code(), Some(i32::from(!plausible)), "{to}");
    }
}

/// The first record after a crash has one field more, and is a record like any other.
#[tokio::test(flavor = "multi_thread")]
async fn a_record_behind_a_torn_line_is_explained() {
    let stage = Stage::new();
    let (_, policy) = &stage.policies[0];
    let record = String::from_utf8(stage.record(&mut Random(7), policy, 1)).unwrap();
    let hash = "0".repeat(64);
    let chained = format!("{{\"seq\":2,\"prev\":\"{hash}\",\"over\":\"{hash}\",");
    let behind = record.replacen('{', &chained, 1);
    let file = stage.home.path().join("behind.jsonl");
    std::fs::write(&file, behind).unwrap();
    let output = explain(&[file.to_str().unwrap()]);
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(0), "{said}");
    let explained = &lines(&output.stdout)[0];
    let record = &lines(record.as_bytes())[0];
    assert_eq!(told(&explained["answer"]), told(record));
}

/// One line that a crash tore does not hide the records behind it, nor those among them that contradict themselves.
#[tokio::test(flavor = "multi_thread")]
async fn what_stands_behind_a_line_that_is_no_record_is_explained() {
    let stage = Stage::new();
    let (_, policy) = &stage.policies[0];
    let mut random = Random(7);
    let mut record = || String::from_utf8(stage.record(&mut random, policy, 1)).unwrap();
    let (one, two) = (record(), record());
    let turned = match two.contains("\"verdict\":\"deny\"") {
        true => two.replace("\"verdict\":\"deny\"", "\"verdict\":\"allow\""),
        false => two.replace("\"verdict\":\"allow\"", "\"verdict\":\"deny\""),
    };
    // In the middle of a character, too.
    let torn = b"{\"seq\":2,\"prev\":null,\"client_ip\":\"\xc3\n";
    let log = b"2026-01-02T03:04:05.678901Z  INFO actors: said\n";
    let file = stage.home.path().join("torn.jsonl");
    for (line, last, code) in [(&torn[..], &two, 0), (torn, &turned, 1), (log, &two, 1)] {
        let bytes = [one.as_bytes(), line, last.as_bytes()].concat();
        std::fs::write(&file, bytes).unwrap();
        let output = explain(&[file.to_str().unwrap()]);
        assert_eq!(output.status.code(), Some(code), "{output:?}");
        let explained = lines(&output.stdout);
        assert_eq!(explained.len(), 3, "{explained:?}");
        assert_eq!(explained[1]["line"], 2);
        let key = if line == torn { "note" } else { "error" };
        assert!(explained[1][key].is_string(), "{explained:?}");
        assert_eq!(explained[2]["contradiction"].is_null(), last == &two);
        let mut command = Command::new(env!("CARGO_BIN_EXE_sentinel-spiffe-agent"));
        let text = command
            .env_clear()
            .arg("explain")
            .arg(&file)
            .output()
            .unwrap();
        assert_eq!(text.status.code(), Some(code));
        let text = String::from_utf8(text.stdout).unwrap();
        assert!(text.contains("line 2: "), "{text}");
        assert_eq!(text.matches("record of").count(), 2, "{text}");
    }
}

/// A crash may leave zeros or an empty line at the very beginning.
#[tokio::test(flavor = "multi_thread")]
async fn what_a_crash_left_before_the_first_record_hides_none() {
    let stage = Stage::new();
    let (_, policy) = &stage.policies[0];
    let record = stage.record(&mut Random(7), policy, 1);
    let file = stage.home.path().join("begins");
    for left in [&b"\n"[..], b"\0\0\0\0\n"] {
        std::fs::write(&file, [left, &record].concat()).unwrap();
        let output = explain(&[file.to_str().unwrap()]);
        assert_eq!(output.status.code(), Some(0), "{output:?}");
        let explained = lines(&output.stdout);
        let last = explained.last().unwrap();
        assert!(
            last["contradiction"].is_null() && last["answer"].is_object(),
            "{last}"
        );
    }
}

/// Of nothing nothing is explained.
#[tokio::test(flavor = "multi_thread")]
async fn a_torn_line_alone_is_no_success() {
    let home = tempfile::tempdir().unwrap();
    let file = home.path().join("torn");
    std::fs::write(&file, "{\"seq\":1,\"prev\":nu").unwrap();
    let output = explain(&[file.to_str().unwrap()]);
    assert_eq!(output.status.code(), Some(1), "{output:?}");
    assert!(lines(&output.stdout)[0]["note"].is_string(), "{output:?}");
}

/// The log and the records of a container are one stream.
#[tokio::test(flavor = "multi_thread")]
async fn records_among_the_lines_of_a_log_are_asked_for_alone() {
    let home = tempfile::tempdir().unwrap();
    let file = home.path().join("mixed");
    std::fs::write(&file, "INFO said\n{\"seq\":1,\"prev\":null}\n").unwrap();
    let output = explain(&[file.to_str().unwrap()]);
    assert_eq!(output.status.code(), Some(1));
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(said.contains("grep '^{'"), "{said}");
}
