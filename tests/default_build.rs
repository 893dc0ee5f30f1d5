//! What a default build, and a package's build, do not contain.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test may panic"
)]

use std::process::Command;

use actors::supervision::Tree;

/// What the program says when it obeys orders; its source has it nowhere else.
const OBEYS: &str = "this build obeys orders on standard input";

/// What cargo would build, each crate with its features.
fn crates(args: &[&str]) -> Vec<String> {
    let output = Command::new(env!("CARGO"))
        .args(["tree", "--locked", "--edges", "normal,build"])
        .args([
            "--package",
            "sentinel-agent-spiffe",
            "--prefix",
            "none",
            "--format",
            "{p} [{f}]",
        ])
        .args(args)
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .output()
        .expect("cargo runs");
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success(), "{said}");
    let tree = String::from_utf8(output.stdout).unwrap();
    tree.lines().map(ToOwned::to_owned).collect()
}

#[test]
fn a_default_build_has_no_kill_switch() {
    let switched = |tree: &[String]| {
        let actors = tree.iter().find(|line| line.starts_with("actors "));
        actors
            .expect("the actors are built")
            .contains("chaos-hooks")
    };
    assert!(!switched(&crates(&[])));
    // The same question finds it where it is.
    assert!(switched(&crates(&["--features", "chaos-hooks"])));
}

#[test]
fn a_package_has_no_certificate_authority() {
    let has = |tree: &[String], name: &str| {
        tree.iter()
            .any(|line| line.starts_with(&format!("{name} ")))
    };
    let (package, default) = (crates(&["--no-default-features"]), crates(&[]));
    for maker in ["rcgen", "chaos"] {
        assert!(!has(&package, maker), "{maker}");
        assert!(has(&default, maker), "{maker}");
    }
}

/// The program itself: text that it can say is in its file.
#[test]
fn only_a_program_for_chaos_tests_obeys_orders() {
    let program = std::fs::read(env!("CARGO_BIN_EXE_sentinel-spiffe-agent")).unwrap();
    let says = |text: &str| {
        program
            .windows(text.len())
            .any(|window| window == text.as_bytes())
    };
    assert!(says("the supervision tree gave up"));
    assert_eq!(says(OBEYS), cfg!(feature = "chaos-hooks"));
}

/// What `kill` gives where the tree has none of its own: its own would go before this one.
trait NoKillSwitch {
    fn kill(&self, _path_or_name: &str) -> Absent;
    fn befall(&self, _path_or_name: &str, _mishap: ()) -> Absent;
}

struct Absent;

impl NoKillSwitch for Tree {
    fn kill(&self, _path_or_name: &str) -> Absent {
        Absent
    }

    fn befall(&self, _path_or_name: &str, _mishap: ()) -> Absent {
        Absent
    }
}

/// Does not compile where the tree can kill.
#[cfg(not(feature = "chaos-hooks"))]
#[test]
fn the_tree_of_a_default_build_cannot_kill() {
    let _kill: fn(&Tree) -> Absent = |tree| tree.kill("audit");
    let _befall: fn(&Tree) -> Absent = |tree| tree.befall("audit", ());
}

/// Does not compile where it cannot: so the test above can fail.
#[cfg(feature = "chaos-hooks")]
#[test]
fn the_tree_of_a_chaos_build_can_kill() {
    let _kill: fn(&Tree) -> usize = |tree| tree.kill("audit");
    let _befall: fn(&Tree, _) -> usize = |tree, mishap| tree.befall("audit", mishap);
    let _absent: fn(&Tree) -> Absent = |tree| NoKillSwitch::kill(tree, "audit");
    let _absent: fn(&Tree) -> Absent = |tree| NoKillSwitch::befall(tree, "audit", ());
}
