//! The words against the code: what README, SECURITY.md and `deploy/` list is what there is.
//!
//! An operator looks a reason or a key up at three in the morning: nothing may be missing, and
//! nothing may be listed that does not exist.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test may panic"
)]

use std::collections::BTreeSet;
use std::path::Path;
use std::process::Command;

use actors::audit;
use config::{Bound, FileConfig, Override, Overrides, Settings, Timing};
use serde_json::Value;
use verdict::decide::{Intake, refuse};
use verdict::evidence::Check;
use verdict::headers::Slot;
use verdict::policy::{CertFormat, Mode};
use verdict::reason::Reason;
use verdict::time::Now;

const README: &str = include_str!("../README.md");
const SECURITY: &str = include_str!("../SECURITY.md");
const CHANGELOG: &str = include_str!("../CHANGELOG.md");
const CONTRIBUTING: &str = include_str!("../CONTRIBUTING.md");
const DEPLOY: &str = include_str!("../deploy/README.md");
const UNIT: &str = include_str!("../deploy/systemd/sentinel-spiffe-agent.service");
const UNIT_CONFIG: &str = include_str!("../deploy/systemd/config.kdl");
const SIDECAR: &str = include_str!("../deploy/kubernetes/sidecar.yaml");
/// Has every key; a test of `config` proves it.
const PRODUCTION: &str = include_str!("../config/examples/production.kdl");

/// A newcomer's two commands, each in a code block of its own.
const COMMANDS: [&str; 2] = ["cargo run --release -- demo", "cargo test --workspace"];

/// What is written like a reason and is none: words of Envoy, of the logging library and of terminals.
/// Those of OpenTelemetry are held against the code beside what reads them.
const NOT_REASONS: [&str; 5] = [
    "SANITIZE_SET",
    "ACCEPT_UNTRUSTED",
    "RUST_LOG",
    "NO_COLOR",
    "NOT_SERVING",
];

/// The blocks of the configuration.
const BLOCKS: [&str; 8] = [
    "spire",
    "tls",
    "allowlist",
    "denylist",
    "failure",
    "headers",
    "audit",
    "agent",
];

#[test]
fn the_two_commands_stand_alone_in_code_blocks() {
    let blocks = fenced(README, "sh");
    for command in COMMANDS {
        assert!(
            blocks.iter().any(|block| block.trim() == command),
            "no code block is {command:?}"
        );
    }
}

#[test]
fn the_table_of_reasons_is_the_list_of_reasons() {
    let rows = table(section(README, "## Reasons"));
    let listed: Vec<(&str, &str)> = rows
        .iter()
        .map(|row| (cells(row)[0].trim_matches('`'), cells(row)[1]))
        .collect();
    let statuses = Reason::ALL.map(|reason| reason.class().status().to_string());
    let reasons = Reason::ALL.iter().map(|reason| reason.as_str());
    let expected: Vec<(&str, &str)> = reasons.zip(statuses.iter().map(String::as_str)).collect();
    assert_eq!(listed, expected);
}

/// What `explain` says is what the table says.
#[test]
fn the_table_of_reasons_says_what_the_program_says() {
    for (row, reason) in table(section(README, "## Reasons")).iter().zip(Reason::ALL) {
        let cells = cells(row);
        assert_eq!(plain(cells[2]), reason.means(), "{reason}");
        assert_eq!(plain(cells[3]), reason.advice(), "{reason}");
    }
}

#[test]
fn nothing_else_looks_like_a_reason() {
    let variables = Override::ALL.into_iter().map(Override::variable);
    let reasons = Reason::ALL.into_iter().map(Reason::as_str);
    let known: BTreeSet<&str> = variables.chain(reasons).chain(NOT_REASONS).collect();
    let mut seen = BTreeSet::new();
    for (name, text) in [
        ("README.md", README),
        ("SECURITY.md", SECURITY),
        ("CHANGELOG.md", CHANGELOG),
        ("CONTRIBUTING.md", CONTRIBUTING),
        ("deploy/README.md", DEPLOY),
    ] {
        seen.extend(shouted(text));
        let words = shouted(text).filter(|word| !word.starts_with("OTEL_"));
        let odd: BTreeSet<&str> = words.filter(|word| !known.contains(word)).collect();
        assert!(odd.is_empty(), "{name}: {odd:?} are no reasons");
    }
    for word in NOT_REASONS {
        assert!(seen.contains(word), "{word} is written nowhere");
    }
}

#[test]
fn each_block_lists_its_keys_and_no_others() {
    let configuration = section(README, "## Configuration");
    for block in BLOCKS {
        let title = format!("**`{block}`**");
        let (_, below) = configuration
            .split_once(&title)
            .unwrap_or_else(|| panic!("no table for {block}"));
        assert_eq!(first_column(below), keys_of(block), "{block}");
    }
}

#[test]
fn keys_and_words_of_the_code_are_in_the_readme() {
    let bounds = Bound::ALL.into_iter().map(|bound| bound.limit().key);
    let timings = Timing::ALL.into_iter().map(Timing::key);
    let slots = Slot::ALL.into_iter().map(Slot::as_str);
    let formats = CertFormat::ALL.into_iter().map(CertFormat::as_str);
    let modes = Mode::ALL.into_iter().map(Mode::as_str);
    let words = bounds
        .chain(timings)
        .chain(slots)
        .chain(formats)
        .chain(modes);
    let missing: Vec<&str> = words
        .filter(|word| !README.contains(&format!("`{word}`")))
        .collect();
    assert!(missing.is_empty(), "README.md does not list {missing:?}");
}

#[test]
fn the_limits_are_the_limits() {
    let (_, below) = README.split_once("limits { … }").unwrap();
    let rows = table(below);
    assert_eq!(rows.len(), Bound::ALL.len());
    for (row, bound) in rows.iter().zip(Bound::ALL) {
        let limit = bound.limit();
        let expected = [
            format!("`{}`", limit.key),
            limit.default.to_string(),
            limit.min.to_string(),
            limit.max.to_string(),
        ];
        assert_eq!(cells(row)[..4], expected, "{}", limit.key);
    }
}

#[test]
fn timings_and_header_names_have_their_defaults() {
    for timing in Timing::ALL {
        let row = row(&format!("| `{}` |", timing.key()));
        let default = Timing::default(timing).to_string();
        assert!(cells(row)[1].starts_with(&default), "{row}");
    }
    let (_, names) = README.split_once("**`headers`**").unwrap();
    for (row, slot) in table(names).into_iter().zip(Slot::ALL) {
        let default = slot.default_name().unwrap_or("none");
        assert_eq!(cells(row)[0].trim_matches('`'), slot.as_str());
        assert!(
            cells(row)[1].trim_matches('`').starts_with(default),
            "{row}"
        );
    }
}

#[test]
fn flags_are_those_of_the_program() {
    let mut program = flags(&help(&[]));
    program.extend(flags(&help(&["audit", "verify"])));
    for command in commands() {
        program.extend(flags(&help(&[&command])));
    }
    if !cfg!(feature = "demo") {
        program.insert("--once".to_owned());
    }
    // A line that calls cargo has cargo's flags.
    let lines = README.lines().filter(|line| !line.starts_with("cargo "));
    let listed: BTreeSet<String> = lines.flat_map(flags).collect();
    assert_eq!(listed, program);
}

#[test]
fn commands_are_those_of_the_program() {
    let mut program = commands();
    program.insert("demo".to_owned());
    let (_, below) = README.split_once("\n### Commands\n").unwrap();
    let listed = first_column(below);
    let names = listed.iter().filter(|cell| *cell != "(none)");
    let names = names.filter_map(|cell| cell.split_whitespace().next());
    assert_eq!(names.map(str::to_owned).collect::<BTreeSet<_>>(), program);
}

#[test]
fn each_variable_stands_beside_its_flag() {
    for which in Override::ALL {
        let variable = format!("`{}`", which.variable());
        let flag = format!("`{}`", which.flag().unwrap_or_default());
        let rows = README.lines().filter(|line| line.starts_with('|'));
        let beside = rows
            .filter(|row| row.contains(&variable))
            .any(|row| which.flag().is_none() || row.contains(&flag));
        assert!(beside, "{variable}");
    }
}

#[test]
fn every_configuration_shown_is_accepted() {
    let mut shown = fenced(README, "kdl");
    // The proxy's own file is the proxy's to read.
    shown.retain(|text| !text.starts_with("agents {"));
    assert!(!shown.is_empty());
    shown.extend([UNIT_CONFIG.to_owned(), config_map(SIDECAR)]);
    for text in shown {
        settings(&text);
    }
}

/// What a deployment hands out is not what `check-config` warns of.
#[test]
fn deployed_configurations_are_wise() {
    for text in [UNIT_CONFIG.to_owned(), config_map(SIDECAR)] {
        let findings = config::lint(&settings(&text));
        assert!(findings.is_empty(), "{findings:?}");
    }
    // The directories that the unit makes are those of its configuration.
    for directory in ["RuntimeDirectory", "StateDirectory"] {
        assert!(
            UNIT.contains(&format!("\n{directory}=sentinel-spiffe\n")),
            "{directory}"
        );
    }
    for path in ["/run/sentinel-spiffe/", "/var/lib/sentinel-spiffe\""] {
        assert!(UNIT_CONFIG.contains(path), "{path}");
    }
}

#[test]
fn the_unit_lets_spire_go() {
    let lines = UNIT.lines().filter(|line| !line.starts_with('#'));
    let directives: Vec<&str> = lines.collect();
    for never in ["Requires=", "BindsTo=", "PartOf=", "Requisite="] {
        assert!(
            !directives.iter().any(|line| line.starts_with(never)),
            "{never}"
        );
    }
    for always in ["Wants=spire-agent.service", "Restart=always"] {
        assert!(directives.contains(&always), "{always}");
    }
    let start = directives
        .iter()
        .find(|line| line.starts_with("ExecStart="));
    assert!(start.unwrap().contains("/sentinel-spiffe-agent --config "));
}

#[test]
fn a_wrong_flag_and_a_wrong_value_end_as_documented() {
    let unknown = agent().arg("--no-such-flag").output().unwrap();
    assert_eq!(unknown.status.code(), Some(2));
    let relative = agent().args(["--socket", "relative"]).output().unwrap();
    assert_eq!(relative.status.code(), Some(78));
    let text = String::from_utf8(relative.stderr).unwrap();
    assert!(text.contains("--socket"), "{text}");
    for code in [2, 78] {
        row(&format!("| {code} |"));
    }
    assert!(UNIT.contains("\nRestartPreventExitStatus=78 2\n"));
}

#[test]
fn the_record_shown_has_the_fields_of_a_record() {
    let shown: Value = serde_json::from_str(&fenced(README, "json")[0]).unwrap();
    let request = audit::Request {
        id: None,
        correlation_id: "c",
        trace_id: None,
        client_ip: None,
        proxy: "p",
        door: "d",
    };
    let now = Now {
        wall_ms: 0,
        boot_ms: 0,
    };
    let decision = refuse(Intake::NotConfigured, &"no policy");
    let line = audit::render(
        &decision,
        None,
        None,
        request,
        now,
        audit::Corrects::Nothing,
    )
    .unwrap();
    let real: Value = serde_json::from_slice(&line).unwrap();
    let mut expected = names(&real);
    // Only where there is a leaf; and what the writer adds.
    expected.extend(["cert", "seq", "prev"].map(str::to_owned));
    assert_eq!(names(&shown), expected);
    let checks: BTreeSet<String> = Check::ALL.map(|check| check.as_str().to_owned()).into();
    assert_eq!(names(&shown["checks"]), checks);
    // It is a record, and its evidence leads to its verdict.
    let shown = fenced(README, "json").swap_remove(0);
    let recorded = audit::Recorded::parse(shown.as_bytes()).unwrap();
    recorded.replay().unwrap();
}

/// Every link between our own pages leads somewhere.
#[test]
fn links_lead_somewhere() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    for (folder, text) in [
        ("", README),
        ("", SECURITY),
        ("", CONTRIBUTING),
        ("deploy", DEPLOY),
    ] {
        let links = text.split("](").skip(1);
        for link in links.filter_map(|rest| rest.split(')').next()) {
            match link.strip_prefix('#') {
                _ if link.starts_with("https://") => {}
                Some(heading) => assert!(anchors(text).contains(heading), "{link}"),
                None => assert!(root.join(folder).join(link).exists(), "{link}"),
            }
        }
    }
}

// --- Reading the pages.

/// The code blocks of a language.
fn fenced(text: &str, language: &str) -> Vec<String> {
    let mut blocks = Vec::new();
    let mut open: Option<(bool, String)> = None;
    for line in text.lines() {
        match (line.strip_prefix("```"), open.take()) {
            (Some(word), None) => open = Some((word == language, String::new())),
            (Some(_), Some((true, block))) => blocks.push(block),
            (Some(_), Some((false, _))) | (None, None) => {}
            (None, Some((wanted, block))) => open = Some((wanted, block + line + "\n")),
        }
    }
    assert!(open.is_none(), "a code block is not closed");
    blocks
}

/// From a heading of the second rank to the next.
fn section<'a>(text: &'a str, title: &str) -> &'a str {
    let (_, below) = text
        .split_once(&format!("\n{title}\n"))
        .unwrap_or_else(|| panic!("there is no {title}"));
    below.split("\n## ").next().unwrap()
}

/// The rows of the first table, without its head.
fn table(text: &str) -> Vec<&str> {
    let lines = text.lines().skip_while(|line| !line.starts_with('|'));
    let rows = lines.take_while(|line| line.starts_with('|'));
    rows.skip(2).collect()
}

fn cells(row: &str) -> Vec<&str> {
    let inside = row.trim().trim_matches('|');
    inside.split('|').map(str::trim).collect()
}

/// Without code marks, and links as their words.
fn plain(text: &str) -> String {
    let mut parts = text.split('[');
    let mut plain = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        let (words, rest) = part.split_once("](").unwrap_or((part, ""));
        plain.push_str(words);
        plain.push_str(rest.split_once(')').map_or("", |(_, after)| after));
    }
    plain.replace('`', "")
}

fn row(start: &str) -> &'static str {
    let found = README.lines().find(|line| line.starts_with(start));
    found.unwrap_or_else(|| panic!("no row {start:?}"))
}

fn first_column(text: &str) -> BTreeSet<String> {
    let firsts = table(text).into_iter().map(|row| cells(row)[0]);
    firsts
        .map(|name| name.trim_matches('`').to_owned())
        .collect()
}

/// The keys of a block, as the example that has every key has them.
fn keys_of(block: &str) -> BTreeSet<String> {
    let opening = format!("{block} {{");
    let lines = PRODUCTION.lines().skip_while(|line| *line != opening);
    let inside = lines.skip(1).take_while(|line| *line != "}");
    let keys = inside
        .filter_map(|line| line.strip_prefix("    "))
        .filter(|line| line.starts_with(|c: char| c.is_ascii_lowercase()))
        .filter_map(|line| line.split_whitespace().next());
    keys.map(str::to_owned).collect()
}

/// Words of capitals joined by underscores.
fn shouted(text: &str) -> impl Iterator<Item = &str> {
    let words = text.split(|c: char| !(c.is_ascii_alphanumeric() || c == '_'));
    words.filter(|word| {
        word.contains('_')
            && word.starts_with(|c: char| c.is_ascii_uppercase())
            && !word.contains(|c: char| c.is_ascii_lowercase())
    })
}

/// `--long-flags`.
fn flags(text: &str) -> BTreeSet<String> {
    let words = text.split(|c: char| !(c.is_ascii_alphanumeric() || c == '-'));
    let long = words.filter(|word| {
        let name = word.strip_prefix("--").unwrap_or_default();
        name.starts_with(|c: char| c.is_ascii_lowercase()) && !name.contains("--")
    });
    long.map(str::to_owned).collect()
}

/// Where links into a page may lead, as forges make anchors of headings.
fn anchors(text: &str) -> BTreeSet<String> {
    let headings = text.lines().filter(|line| line.starts_with('#'));
    let kept = |c: &char| c.is_alphanumeric() || matches!(c, ' ' | '-');
    let anchor = |line: &str| {
        let title = line.trim_start_matches('#').trim().to_lowercase();
        let title: String = title.chars().filter(kept).collect();
        title.replace(' ', "-")
    };
    headings.map(anchor).collect()
}

/// The file inside the sidecar's ConfigMap.
fn config_map(manifest: &str) -> String {
    let lines = manifest.lines();
    let below = lines.skip_while(|line| line.trim() != "config.kdl: |");
    let inside = below.skip(1).map_while(|line| line.strip_prefix("    "));
    let text: String = inside.map(|line| format!("{line}\n")).collect();
    assert!(!text.is_empty());
    text
}

fn names(value: &Value) -> BTreeSet<String> {
    value.as_object().unwrap().keys().cloned().collect()
}

// --- Asking the code.

fn settings(text: &str) -> Settings {
    let file = FileConfig::parse("shown.kdl", text).unwrap_or_else(|errors| {
        let lines: Vec<String> = errors.lines().collect();
        panic!("{}\n{text}", lines.join("\n"));
    });
    Settings::resolve(Some(file), &Overrides::default()).unwrap()
}

fn agent() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_sentinel-spiffe-agent"));
    command.env_clear();
    command
}

/// The subcommands that the program itself lists.
fn commands() -> BTreeSet<String> {
    let help = help(&[]);
    let (_, below) = help.split_once("Commands:\n").unwrap();
    let lines = below.lines().take_while(|line| !line.is_empty());
    let names = lines.filter_map(|line| line.strip_prefix("  ")?.split_whitespace().next());
    names
        .filter(|name| *name != "help")
        .map(str::to_owned)
        .collect()
}

fn help(subcommand: &[&str]) -> String {
    let output = agent().args(subcommand).arg("--help").output().unwrap();
    assert!(output.status.success());
    String::from_utf8(output.stdout).unwrap()
}
