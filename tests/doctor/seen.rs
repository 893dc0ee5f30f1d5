//! No finding without a test that has seen it.

use std::collections::BTreeSet;
use std::path::Path;

/// What the doctor can find stands as a word in its source; the tests that fire it name it as a word too.
/// Its settings are `check-config`'s, and held in the tests of that.
#[test]
fn every_finding_is_seen_firing() {
    let seen: BTreeSet<&str> = words(include_str!("main.rs"))
        .chain(words(include_str!("hop.rs")))
        .chain(words(include_str!("running.rs")))
        .chain(words(include_str!("../status.rs")))
        .collect();
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/doctor");
    let mut known = 0;
    for file in std::fs::read_dir(source).unwrap() {
        let path = file.unwrap().path();
        if path.ends_with("settings.rs") {
            continue;
        }
        let text = std::fs::read_to_string(&path).unwrap();
        for code in words(&text) {
            known += 1;
            let file = path.display();
            assert!(seen.contains(code), "{file}: no test sees {code:?} firing");
        }
    }
    // It was read at all.
    assert!(known > 30, "{known} findings");
}

/// Literals that are codes: two lower-case words or more, joined by hyphens, and nothing else.
fn words(text: &str) -> impl Iterator<Item = &str> {
    text.lines()
        .flat_map(|line| line.split('"'))
        .filter(|word| {
            let mut parts = word.split('-');
            let is_word =
                |part: &str| !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_lowercase());
            word.contains('-') && parts.all(is_word)
        })
}
