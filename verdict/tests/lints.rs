//! What `check-config` remarks on: each lint found where it is meant, and not beside it.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test may panic"
)]

use verdict::id::{SpiffeId, WorkloadId};
use verdict::lists::{Lint, LintCode, List, ListSpec, lints};

/// Entries written as `kind text`.
fn list(entries: &[&str]) -> List {
    let mut spec = ListSpec::default();
    for entry in entries {
        let (kind, text) = entry.split_once(' ').unwrap_or((entry, ""));
        match kind {
            "exact" => spec.exact.push(text.to_owned()),
            "prefix" => spec.prefix.push(text.to_owned()),
            "trust-domains" => spec.trust_domains.push(text.to_owned()),
            "patterns" => spec.patterns.push(text.to_owned()),
            "any" => spec.any = true,
            _ => panic!("{kind}"),
        }
    }
    List::compile(&spec).unwrap()
}

fn shown(lint: &Lint) -> String {
    let entries: Vec<_> = lint.entries.iter().map(ToString::to_string).collect();
    format!("{}: {}", lint.code.as_str(), entries.join(" < "))
}

fn found(allow: &[&str], deny: &[&str]) -> Vec<String> {
    lints(&list(allow), &list(deny)).iter().map(shown).collect()
}

fn none() -> Vec<String> {
    Vec::new()
}

#[test]
fn a_careful_policy_has_none() {
    let allow = [
        "exact spiffe://example.org/frontend",
        "exact spiffe://example.org/services",
        "prefix spiffe://example.org/services/",
        "prefix spiffe://example.org/services-eu",
        "trust-domains partner.test",
        r"patterns spiffe://example\.org/team-[a-z]+/.*",
    ];
    assert_eq!(
        found(&allow, &["exact spiffe://example.org/services/old"]),
        none()
    );
}

#[test]
fn the_documented_policy() {
    let allow = [
        "exact spiffe://example.org/frontend",
        "prefix spiffe://example.org/services/",
        "trust-domains example.org",
        "trust-domains staging.example.org",
        r"patterns spiffe://example\.org/team-[a-z]+/.*",
        r"patterns spiffe://.*\.example\.org/backend/.*",
    ];
    let by = "< allowlist trust-domains example.org";
    assert_eq!(
        found(&allow, &[]),
        [
            format!("redundant-entry: allowlist exact spiffe://example.org/frontend {by}"),
            format!("redundant-entry: allowlist prefix spiffe://example.org/services/ {by}"),
            format!(
                r"redundant-entry: allowlist patterns spiffe://example\.org/team-[a-z]+/.* {by}"
            ),
            r"pattern-spans-trust-domains: allowlist patterns spiffe://.*\.example\.org/backend/.*"
                .to_owned(),
        ]
    );
}

#[test]
fn what_a_broader_entry_covers_is_redundant() {
    let vectors: &[(&str, &str, bool)] = &[
        ("exact spiffe://a/b", "prefix spiffe://a/b", true),
        ("exact spiffe://a/b", "prefix spiffe://a/b/", false),
        ("exact spiffe://a/b/c", "prefix spiffe://a/b/", true),
        ("exact spiffe://a/bc", "prefix spiffe://a/b", false),
        ("exact spiffe://a/b", "trust-domains a", true),
        ("exact spiffe://a/b", "trust-domains b", false),
        ("exact spiffe://a/b", "patterns spiffe://a/[b]+", true),
        ("exact spiffe://a/b", "patterns spiffe://a/[c]+", false),
        ("exact spiffe://a/b", "any", true),
        ("prefix spiffe://a/b/", "prefix spiffe://a/b", true),
        ("prefix spiffe://a/b", "prefix spiffe://a/b/", false),
        ("prefix spiffe://a/b/c", "prefix spiffe://a/b/", true),
        ("prefix spiffe://a/b/c/", "prefix spiffe://a/b", true),
        ("prefix spiffe://a/b", "prefix spiffe://a/", true),
        ("prefix spiffe://a/b", "prefix spiffe://a", true),
        ("prefix spiffe://a/bc", "prefix spiffe://a/b", false),
        ("prefix spiffe://a/b", "prefix spiffe://ab", false),
        ("prefix spiffe://a/b", "trust-domains spiffe://a", true),
        ("prefix spiffe://a", "trust-domains a", true),
        ("prefix spiffe://a/b", "any", true),
        ("patterns spiffe://a/b.*", "trust-domains a", true),
        ("patterns spiffe://a/b.*", "prefix spiffe://a", true),
        ("patterns spiffe://a/b.*", "prefix spiffe://a/b", false),
        ("patterns spiffe://a/b.*", "any", true),
        ("trust-domains a", "any", true),
        ("trust-domains a", "trust-domains b", false),
        ("trust-domains a", "patterns .*", true),
    ];
    for (narrow, broad, redundant) in vectors {
        let lints = found(&[narrow, broad], &[]);
        let lint = format!("redundant-entry: allowlist {narrow} < allowlist {broad}");
        assert_eq!(
            lints.contains(&lint),
            *redundant,
            "{narrow} under {broad}: {lints:?}"
        );
        assert!(
            !redundant
                || !lints
                    .iter()
                    .any(|lint| lint.starts_with(&format!("redundant-entry: allowlist {broad} <"))),
            "{lints:?}"
        );
    }
}

#[test]
fn following_every_remark_on_redundant_entries_loses_nobody() {
    let allow = list(&[
        "exact spiffe://a/b",
        "exact spiffe://a/b",
        "prefix spiffe://a",
        "prefix spiffe://a/",
        "prefix spiffe://a/b",
        "trust-domains a",
        "trust-domains spiffe://a",
        "patterns spiffe://a/.*",
    ]);
    let redundant: Vec<_> = lints(&allow, &list(&["exact spiffe://x/y"]))
        .into_iter()
        .filter(|lint| {
            matches!(
                lint.code,
                LintCode::RedundantEntry | LintCode::DuplicateEntry
            )
        })
        .map(|lint| (lint.entries[0].kind.as_str(), lint.entries[0].index))
        .collect();
    let expected = [
        ("exact", 0),
        ("exact", 1),
        ("prefix", 0),
        ("prefix", 1),
        ("prefix", 2),
        ("trust-domains", 1),
        ("patterns", 0),
    ];
    assert_eq!(redundant, expected);
    let left = list(&["trust-domains a"]);
    let id = WorkloadId::try_from(SpiffeId::parse(b"spiffe://a/b").unwrap()).unwrap();
    assert!(left.matches(&id).is_some());
}

#[test]
fn of_two_equal_entries_the_later_is_a_duplicate() {
    for (kind, one, two) in [
        ("exact", "spiffe://a/b", "spiffe://a/b"),
        ("prefix", "spiffe://a", "spiffe://a/"),
        ("trust-domains", "spiffe://a", "a"),
        ("patterns", "spiffe://a/b.*", "spiffe://a/b.*"),
    ] {
        let lints = found(&[&format!("{kind} {one}"), &format!("{kind} {two}")], &[]);
        assert_eq!(
            lints,
            [format!(
                "duplicate-entry: allowlist {kind} {two} < allowlist {kind} {one}"
            )]
        );
    }
}

#[test]
fn an_entry_that_the_denylist_covers_allows_nobody() {
    let vectors: &[(&str, &str, bool)] = &[
        ("exact spiffe://a/b", "exact spiffe://a/b", true),
        ("exact spiffe://a/b", "exact spiffe://a/c", false),
        ("exact spiffe://a/b", "prefix spiffe://a/", true),
        ("exact spiffe://a/b", "patterns spiffe://a/.", true),
        ("prefix spiffe://a/b", "prefix spiffe://a/b", true),
        ("prefix spiffe://a/b", "exact spiffe://a/b", false),
        ("prefix spiffe://a/b", "prefix spiffe://a/b/", false),
        ("trust-domains a", "trust-domains spiffe://a", true),
        ("trust-domains a", "prefix spiffe://a", true),
        ("trust-domains a", "prefix spiffe://a/b", false),
        ("patterns spiffe://a/.", "patterns spiffe://a/.", true),
        ("patterns spiffe://a/.", "trust-domains a", true),
    ];
    for (allowed, denied, dead) in vectors {
        let lint = format!("never-allowed: allowlist {allowed} < denylist {denied}");
        assert_eq!(
            found(&[allowed], &[denied]),
            if *dead { vec![lint] } else { none() }
        );
    }
}

#[test]
fn nobody_and_everybody() {
    assert_eq!(found(&[], &[]), ["allows-nobody: "]);
    assert_eq!(found(&["any"], &[]), ["allows-everybody: allowlist any"]);
    assert_eq!(
        found(&["patterns .*"], &[]),
        ["allows-everybody: allowlist patterns .*"]
    );
    assert_eq!(
        found(&["exact spiffe://a/b"], &["any"]),
        ["denies-everybody: denylist any"]
    );
}

#[test]
fn a_dot_that_is_not_escaped_spans_trust_domains() {
    let lint = |pattern: &str| {
        vec![format!(
            "pattern-spans-trust-domains: allowlist patterns {pattern}"
        )]
    };
    for wide in [
        "spiffe://example.org/a",
        "spiffe://(a|b)/a",
        "spiffe://a?b/a",
        "spiffe://[ab]/a",
    ] {
        assert_eq!(found(&[&format!("patterns {wide}")], &[]), lint(wide));
    }
    for narrow in [
        r"spiffe://example\.org/a",
        r"spiffe://(?:a\.b)/a",
        r"spiffe://[a]/a",
    ] {
        assert_eq!(
            found(&[&format!("patterns {narrow}")], &[]),
            none(),
            "{narrow}"
        );
    }
}

#[test]
fn production_beside_staging() {
    let vectors: &[(&str, &str, bool)] = &[
        (
            "trust-domains prod.example.org",
            "trust-domains staging.example.org",
            true,
        ),
        (
            "exact spiffe://example.org/ns/production/api",
            "prefix spiffe://example.org/ns/dev/",
            true,
        ),
        (
            "prefix spiffe://prod-eu.example.org/",
            "patterns spiffe://qa\\.example\\.org/.*",
            true,
        ),
        (
            "trust-domains prod.example.org",
            "trust-domains partner.test",
            false,
        ),
        (
            "trust-domains prod.example.org",
            "trust-domains test.example.org",
            true,
        ),
        (
            "trust-domains prod.example.org",
            "trust-domains product.example.org",
            false,
        ),
        (
            "trust-domains staging.example.org",
            "trust-domains dev.example.org",
            false,
        ),
        (
            "exact spiffe://prod.example.org/test-runner",
            "exact spiffe://prod.example.org/api",
            false,
        ),
        (
            "exact spiffe://a/b",
            "patterns spiffe://example\\.org/(prod|staging)/.*",
            true,
        ),
    ];
    for (one, two, mixed) in vectors {
        for allow in [[*one, *two], [*two, *one]] {
            let lints = found(&allow, &[]);
            assert_eq!(
                lints
                    .iter()
                    .any(|lint| lint.starts_with("production-and-staging")),
                *mixed,
                "{one}, {two}"
            );
        }
    }
    let denied = found(
        &["trust-domains prod.example.org"],
        &["trust-domains staging.example.org"],
    );
    assert_eq!(denied, none(), "to deny staging in production is right");
}

#[test]
fn every_lint_says_what_and_what_to_do() {
    let policy = [
        "any",
        "exact spiffe://prod/b",
        "exact spiffe://prod/b",
        "prefix spiffe://staging/",
        "patterns spiffe://./a",
    ];
    for lint in lints(&list(&policy), &list(&["trust-domains prod"])) {
        assert!(!lint.message.is_empty() && !lint.advice.is_empty());
        assert!(
            !lint.message.ends_with('.') && !lint.message.contains('\n'),
            "{}",
            lint.message
        );
    }
}
