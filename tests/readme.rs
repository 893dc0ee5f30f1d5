//! The README against the code: what it lists is what there is. The front page is where an operator
//! looks a reason or a key up at three in the morning, so nothing may be missing there.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test may panic"
)]

use config::{Bound, Override, Timing};
use verdict::headers::Slot;
use verdict::policy::{CertFormat, Mode};
use verdict::reason::Reason;

/// The two commands of a newcomer; `.ci/run` runs the second as it stands there.
const COMMANDS: [&str; 2] = ["cargo run --release -- demo", "cargo test --workspace"];

#[test]
fn the_newcomers_commands_stand_in_code_blocks() {
    let readme = readme();
    let mut inside = false;
    let mut code = Vec::new();
    for line in readme.lines() {
        if line.starts_with("```") {
            inside = !inside;
        } else if inside {
            code.push(line);
        }
    }
    for command in COMMANDS {
        assert!(
            code.contains(&command),
            "no code block has the line {command:?}"
        );
    }
}

#[test]
fn every_reason_stands_beside_its_status() {
    let readme = readme();
    let missing = Reason::ALL.into_iter().filter(|reason| {
        let (name, status) = (format!("`{reason}`"), reason.class().status().to_string());
        !readme
            .lines()
            .any(|line| line.contains(&name) && line.contains(&status))
    });
    none(missing.map(Reason::as_str));
}

#[test]
fn every_key_is_listed() {
    let bounds = Bound::ALL.into_iter().map(|bound| bound.limit().key);
    let timings = Timing::ALL.into_iter().map(Timing::key);
    let headers = Slot::ALL.into_iter().map(Slot::as_str);
    let formats = CertFormat::ALL.into_iter().map(CertFormat::as_str);
    let modes = Mode::ALL.into_iter().map(Mode::as_str);
    let keys = bounds
        .chain(timings)
        .chain(headers)
        .chain(formats)
        .chain(modes);
    let readme = readme();
    none(keys.filter(|key| !readme.contains(&format!("`{key}`"))));
}

#[test]
fn every_flag_and_variable_is_listed() {
    let flags = Override::ALL.into_iter().filter_map(Override::flag);
    let variables = Override::ALL.into_iter().map(Override::variable);
    let readme = readme();
    none(flags.chain(variables).filter(|name| !readme.contains(name)));
}

fn readme() -> String {
    std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/README.md")).unwrap()
}

fn none<'a>(missing: impl Iterator<Item = &'a str>) {
    let missing: Vec<_> = missing.collect();
    assert!(missing.is_empty(), "README.md does not list {missing:?}");
}
