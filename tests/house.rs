//! The house as drawn: which crate may look at which, what stays out of the pure crate, and what a
//! package does not contain.
//!
//! ```text
//! verdict <- config <- actors <- src        chaos: may use all, used by none
//!              proto <- actors              (src uses it behind the feature `demo`)
//! ```
//!
//! Asked of cargo itself, offline: the manifests say what is meant, `cargo tree` what follows.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test may panic"
)]

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::process::Command;

use serde_json::Value;

const ROOT: &str = "sentinel-agent-spiffe";

/// Every arrow that a product crate must have, and so all that it may have. An arrow along a path of
/// arrows (the program reading a type of `verdict`) looks the same way and is drawn here too.
const ARROWS: [(&str, &[&str]); 5] = [
    ("verdict", &[]),
    ("config", &["verdict"]),
    ("proto", &[]),
    ("actors", &["config", "proto", "verdict"]),
    (ROOT, &["actors", "chaos", "config", "proto", "verdict"]),
];

/// Who may use `chaos` in tests. `verdict`, `config` and `proto` are proved without it.
const TESTED_WITH_CHAOS: [&str; 3] = ["actors", "chaos", ROOT];

/// Runtimes, sockets, clocks and random sources: none of them may be below `verdict`. A name ending
/// in `*` stands for all that begin so.
const IMPURE: [&str; 22] = [
    "arc-swap",
    "async-*",
    "chrono",
    "fastrand",
    "futures*",
    "getrandom",
    "h2",
    "http*",
    "hyper*",
    "mio",
    "opentelemetry*",
    "parking_lot*",
    "ractor*",
    "rand*",
    "rustix",
    "signal-hook*",
    "socket2",
    "time",
    "tokio*",
    "tonic*",
    "tower*",
    "tracing*",
];

/// What the source of `verdict` may not name.
const IMPURE_SOURCE: [&str; 12] = [
    "Instant::now",
    "SystemTime",
    "UNIX_EPOCH",
    "std::env",
    "std::fs",
    "std::io",
    "std::net",
    "std::os",
    "std::process",
    "std::thread",
    "println!",
    "thread_local!",
];

#[test]
fn the_arrows_are_as_drawn() {
    let house = House::read();
    let drawn: BTreeSet<&str> = ARROWS.iter().map(|(name, _)| *name).collect();
    let members: BTreeSet<&str> = house.packages.keys().map(String::as_str).collect();
    let with_chaos: BTreeSet<&str> = drawn.iter().copied().chain(["chaos"]).collect();
    assert_eq!(members, with_chaos, "the crates of the workspace");
    for (name, arrows) in ARROWS {
        let found = house.arrows(name, Kind::Normal);
        let meant: BTreeSet<String> = arrows.iter().map(ToString::to_string).collect();
        assert_eq!(found, meant, "crates of ours that {name} depends on");
    }
}

#[test]
fn nothing_of_ours_is_needed_to_build_a_build_script() {
    let house = House::read();
    for name in house.packages.keys() {
        let found = house.arrows(name, Kind::Build);
        assert!(found.is_empty(), "{name} build-depends on {found:?}");
    }
}

#[test]
fn tests_follow_the_arrows_too() {
    let house = House::read();
    for (name, arrows) in ARROWS {
        let mut may: BTreeSet<String> = arrows.iter().map(ToString::to_string).collect();
        if TESTED_WITH_CHAOS.contains(&name) {
            may.insert("chaos".to_owned());
        }
        let found = house.arrows(name, Kind::Dev);
        let beyond: Vec<_> = found.difference(&may).collect();
        assert!(beyond.is_empty(), "the tests of {name} use {beyond:?}");
    }
}

#[test]
fn only_the_program_uses_chaos_and_only_for_the_demo() {
    let house = House::read();
    for name in house.packages.keys() {
        let uses = house.arrows(name, Kind::Normal).contains("chaos");
        assert_eq!(uses, name == ROOT, "{name} uses chaos");
    }
    let optional = house
        .dependencies(ROOT, Kind::Normal)
        .find(|dependency| dependency["name"] == "chaos")
        .map(|dependency| dependency["optional"].clone());
    assert_eq!(optional, Some(Value::Bool(true)), "chaos is optional");
    let features = house.features(ROOT);
    let opening: Vec<_> = features
        .iter()
        .filter(|(_, enables)| {
            enables
                .iter()
                .any(|one| one.contains("chaos") && !one.contains("hooks"))
        })
        .map(|(feature, _)| feature.as_str())
        .collect();
    assert_eq!(opening, ["demo"], "features that bring chaos in");
    assert_eq!(features["demo"], ["dep:chaos"], "what `demo` brings in");
    assert_eq!(features["default"], ["demo"], "the default features");
}

#[test]
fn the_kill_switch_is_in_no_default_build() {
    let house = House::read();
    for name in house.packages.keys() {
        let features = house.features(name);
        let on = closure(&features, "default");
        assert!(
            !on.iter().any(|one| one.ends_with("chaos-hooks")),
            "the default features of {name} hold chaos-hooks"
        );
        for dependency in house.all_dependencies(name) {
            assert!(
                !list(&dependency["features"]).contains(&"chaos-hooks".to_owned()),
                "{name} turns chaos-hooks on in {}",
                dependency["name"]
            );
        }
    }
    // As cargo resolves it, tests and all: with the switch asked for, and without.
    let resolved = |arguments: &[&str]| -> bool {
        let lines = tree(&[arguments, &["--workspace", "--format", "{p} [{f}]"]].concat());
        let mut ours = lines.iter().filter(|line| line.starts_with("actors "));
        assert!(ours.clone().count() > 0, "cargo tree lists actors");
        ours.any(|line| line.contains("chaos-hooks"))
    };
    assert!(!resolved(&[]), "the default build has the kill switch");
    assert!(!resolved(&["--no-default-features"]), "a package has it");
    assert!(
        resolved(&["--features", "chaos-hooks"]),
        "asked for, it is there"
    );
}

#[test]
fn a_package_holds_no_certificate_authority() {
    let forgers = ["chaos", "rcgen"];
    let with = names(&tree(&["-p", ROOT, "-e", "normal"]));
    let without = names(&tree(&[
        "-p",
        ROOT,
        "-e",
        "normal",
        "--no-default-features",
    ]));
    for forger in forgers {
        assert!(with.contains(forger), "the demo needs {forger}");
        assert!(!without.contains(forger), "a package has {forger}");
    }
}

#[test]
fn the_pure_crate_has_no_runtime_socket_clock_or_randomness_below_it() {
    let below = names(&tree(&["-p", "verdict", "-e", "normal"]));
    assert!(below.contains("rustls-webpki"), "cargo tree was understood");
    let found: BTreeSet<&str> = below
        .iter()
        .map(String::as_str)
        .filter(|name| IMPURE.iter().any(|pattern| fits(pattern, name)))
        .collect();
    assert!(found.is_empty(), "below verdict: {found:?}");
}

#[test]
fn the_source_of_the_pure_crate_names_nothing_impure() {
    let mut files = 0;
    for file in rust_files(&root().join("verdict/src")) {
        files += 1;
        for (number, line) in read(&file).lines().enumerate() {
            let code = line.split("//").next().unwrap_or_default();
            for name in IMPURE_SOURCE {
                let place = format!("{}:{}", file.display(), number + 1);
                assert!(!code.contains(name), "{place} names {name}");
            }
        }
    }
    assert!(files > 20, "the source was found");
}

// How cargo is asked.

#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Normal,
    Dev,
    Build,
}

/// The workspace as its manifests have it.
struct House {
    packages: BTreeMap<String, Value>,
}

impl House {
    fn read() -> Self {
        let out = cargo(&["metadata", "--format-version", "1", "--no-deps"]);
        let metadata: Value = serde_json::from_str(&out).unwrap();
        let packages = metadata["packages"].as_array().unwrap().iter();
        let named = packages.map(|package| (text(&package["name"]), package.clone()));
        Self {
            packages: named.collect(),
        }
    }

    fn all_dependencies(&self, name: &str) -> impl Iterator<Item = &Value> {
        self.packages[name]["dependencies"]
            .as_array()
            .unwrap()
            .iter()
    }

    fn dependencies(&self, name: &str, kind: Kind) -> impl Iterator<Item = &Value> {
        self.all_dependencies(name)
            .filter(move |dependency| match dependency["kind"].as_str() {
                None => kind == Kind::Normal,
                Some("dev") => kind == Kind::Dev,
                Some("build") => kind == Kind::Build,
                Some(other) => panic!("a kind of dependency that is new: {other}"),
            })
    }

    /// The crates of ours among its dependencies: those that are a path.
    fn arrows(&self, name: &str, kind: Kind) -> BTreeSet<String> {
        self.dependencies(name, kind)
            .filter(|dependency| dependency["path"].is_string())
            .map(|dependency| text(&dependency["name"]))
            .collect()
    }

    fn features(&self, name: &str) -> BTreeMap<String, Vec<String>> {
        let features = self.packages[name]["features"].as_object().unwrap();
        let features = features.iter();
        features
            .map(|(name, on)| (name.clone(), list(on)))
            .collect()
    }
}

/// All that `feature` turns on, however far away.
fn closure(features: &BTreeMap<String, Vec<String>>, feature: &str) -> BTreeSet<String> {
    let mut on = BTreeSet::new();
    let mut open = vec![feature.to_owned()];
    while let Some(one) = open.pop() {
        if on.insert(one.clone()) {
            open.extend(features.get(&one).into_iter().flatten().cloned());
        }
    }
    on
}

/// Lines of `cargo tree`, one package each.
fn tree(arguments: &[&str]) -> Vec<String> {
    let out = cargo(&[&["tree", "--prefix", "none"], arguments].concat());
    out.lines().map(str::to_owned).collect()
}

fn names(lines: &[String]) -> BTreeSet<String> {
    let first = lines.iter().filter_map(|line| line.split(' ').next());
    first
        .filter(|name| !name.is_empty())
        .map(str::to_owned)
        .collect()
}

fn fits(pattern: &str, name: &str) -> bool {
    match pattern.strip_suffix('*') {
        Some(beginning) => name.starts_with(beginning),
        None => name == pattern,
    }
}

fn cargo(arguments: &[&str]) -> String {
    let out = Command::new(env!("CARGO"))
        .args(arguments)
        .arg("--locked")
        .current_dir(root())
        .output()
        .unwrap();
    assert!(
        out.status.success(),
        "cargo {arguments:?}: {}",
        String::from_utf8_lossy(&out.stderr)
    );
    String::from_utf8(out.stdout).unwrap()
}

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn rust_files(folder: &Path) -> Vec<std::path::PathBuf> {
    let mut files = Vec::new();
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            files.extend(rust_files(&path));
        } else if path.extension().is_some_and(|end| end == "rs") {
            files.push(path);
        }
    }
    files
}

fn read(file: &Path) -> String {
    std::fs::read_to_string(file).unwrap()
}

fn text(value: &Value) -> String {
    value.as_str().unwrap().to_owned()
}

fn list(value: &Value) -> Vec<String> {
    value.as_array().unwrap().iter().map(text).collect()
}
