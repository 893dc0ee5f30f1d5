//! What a default build, and a package's build, do not contain.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test may panic"
)]

use std::process::Command;

/// What cargo would build, each crate with its features.
fn crates(args: &[&str]) -> Vec<String> {
    let output = Command::new(env!("CARGO"))
        .args(["tree", "--offline", "--locked", "--edges", "normal,build"])
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

/// The symbols of a debug build name every function that was compiled in.
#[cfg(all(debug_assertions, not(feature = "chaos-hooks")))]
#[test]
fn the_binary_has_no_kill_switch() {
    let binary = std::fs::read(env!("CARGO_BIN_EXE_sentinel-spiffe-agent")).unwrap();
    let holds = |name: &str| {
        let name = name.as_bytes();
        binary.windows(name.len()).any(|window| window == name)
    };
    // Mangled as `…supervision4tree4Tree…6status`; its neighbour shows that this finds what is there.
    assert!(
        holds("Tree8snapshot"),
        "the neighbour is not found, so this proves nothing"
    );
    assert!(!holds("Tree4kill"));
}
