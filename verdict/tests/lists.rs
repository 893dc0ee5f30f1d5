//! Allowlist and denylist vectors. A wrong allow and a wrong deny are equally wrong here: on a
//! denylist they swap.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test may panic"
)]

use proptest::prelude::*;
use regex::Regex;
use verdict::id::{IdError, SpiffeId, WorkloadId};
use verdict::lists::limits::{
    MAX_ENTRIES, MAX_EXCERPT_BYTES, MAX_PATTERN_BYTES, MAX_PATTERN_NESTING, MAX_PATTERNS,
    MAX_TEXT_BYTES,
};
use verdict::lists::{EntryError, EntryKind, List, ListError, ListSpec, PatternError};

fn workload(id: &str) -> WorkloadId {
    WorkloadId::try_from(SpiffeId::parse(id.as_bytes()).unwrap()).unwrap()
}

fn spec(kind: EntryKind, entries: &[&str]) -> ListSpec {
    let entries: Vec<_> = entries.iter().map(|&entry| entry.to_owned()).collect();
    let mut spec = ListSpec::default();
    match kind {
        EntryKind::Exact => spec.exact = entries,
        EntryKind::Prefix => spec.prefix = entries,
        EntryKind::TrustDomains => spec.trust_domains = entries,
        EntryKind::Patterns => spec.patterns = entries,
        EntryKind::Any => spec.any = true,
    }
    spec
}

fn list(kind: EntryKind, entry: &str) -> List {
    List::compile(&spec(kind, &[entry])).unwrap_or_else(|errors| panic!("{entry}: {}", errors[0]))
}

fn refused(kind: EntryKind, entry: &str) -> EntryError {
    let mut errors = List::compile(&spec(kind, &[entry])).expect_err(entry);
    assert_eq!(errors.len(), 1, "{entry}");
    errors.remove(0)
}

fn rule(list: &List, id: &str) -> Option<String> {
    list.matches(&workload(id)).map(|rule| rule.to_string())
}

const MATCHES: bool = true;
const NOT: bool = false;

/// Kind, entry, ID, expectation, rule.
#[rustfmt::skip]
const VECTORS: &[(EntryKind, &str, &str, bool, &str)] = &[
    // Exact.
    (EntryKind::Exact, "spiffe://example.org/frontend", "spiffe://example.org/frontend", MATCHES, "documented"),
    (EntryKind::Exact, "spiffe://example.org/frontend", "spiffe://example.org/frontend2", NOT, "not a prefix"),
    (EntryKind::Exact, "spiffe://example.org/frontend", "spiffe://example.org/frontend/a", NOT, "not a prefix"),
    (EntryKind::Exact, "spiffe://example.org/frontend", "spiffe://example.org/Frontend", NOT, "paths keep case (2.4)"),
    (EntryKind::Exact, "spiffe://example.org/frontend", "spiffe://example.org./frontend", NOT, "1.4"),
    (EntryKind::Exact, "spiffe://example.org/a.b", "spiffe://example.org/aXb", NOT, "a dot is a dot"),
    // Prefix.
    (EntryKind::Prefix, "spiffe://example.org/services/", "spiffe://example.org/services/orders", MATCHES, "documented"),
    (EntryKind::Prefix, "spiffe://example.org/services/", "spiffe://example.org/services/a/b/c", MATCHES, "any depth"),
    (EntryKind::Prefix, "spiffe://example.org/services/", "spiffe://example.org/services", NOT, "trailing /: below only"),
    (EntryKind::Prefix, "spiffe://example.org/services/", "spiffe://example.org/services-evil", NOT, "border"),
    (EntryKind::Prefix, "spiffe://example.org/services/", "spiffe://example.org/services-evil/a", NOT, "border"),
    (EntryKind::Prefix, "spiffe://example.org/services", "spiffe://example.org/services", MATCHES, "itself"),
    (EntryKind::Prefix, "spiffe://example.org/services", "spiffe://example.org/services/x", MATCHES, "below"),
    (EntryKind::Prefix, "spiffe://example.org/services", "spiffe://example.org/services-evil", NOT, "border (1.11)"),
    (EntryKind::Prefix, "spiffe://example.org/services", "spiffe://example.org/services.evil/x", NOT, "border (1.11)"),
    (EntryKind::Prefix, "spiffe://example.org/services", "spiffe://example.org/service", NOT, "shorter"),
    (EntryKind::Prefix, "spiffe://example.org/services", "spiffe://example.org/x/services", NOT, "from the start"),
    (EntryKind::Prefix, "spiffe://example.org/services", "spiffe://example.org.evil/services", NOT, "1.11"),
    (EntryKind::Prefix, "spiffe://example.org", "spiffe://example.org/a", MATCHES, "the trust domain"),
    (EntryKind::Prefix, "spiffe://example.org", "spiffe://example.org/a/b", MATCHES, "the trust domain"),
    (EntryKind::Prefix, "spiffe://example.org", "spiffe://example.org.evil/a", NOT, "1.11"),
    (EntryKind::Prefix, "spiffe://example.org", "spiffe://example.orgevil/a", NOT, "1.11"),
    (EntryKind::Prefix, "spiffe://example.org/", "spiffe://example.org/a", MATCHES, "the trust domain"),
    (EntryKind::Prefix, "spiffe://example.org/", "spiffe://example.org.evil/a", NOT, "1.11"),
    (EntryKind::Prefix, "spiffe://example.org/Team", "spiffe://example.org/team/a", NOT, "paths keep case"),
    // Trust domains.
    (EntryKind::TrustDomains, "example.org", "spiffe://example.org/a", MATCHES, "documented"),
    (EntryKind::TrustDomains, "spiffe://example.org", "spiffe://example.org/a/b", MATCHES, "1.12"),
    (EntryKind::TrustDomains, "example.org", "spiffe://example.org.evil/a", NOT, "1.11"),
    (EntryKind::TrustDomains, "example.org", "spiffe://staging.example.org/a", NOT, "no meaning in DNS"),
    (EntryKind::TrustDomains, "example.org", "spiffe://example.org./a", NOT, "1.4"),
    (EntryKind::TrustDomains, "example.org", "spiffe://evil/example.org", NOT, "not in the path"),
    // Patterns: documented.
    (EntryKind::Patterns, r"spiffe://example\.org/team-[a-z]+/.*", "spiffe://example.org/team-red/api", MATCHES, "documented"),
    (EntryKind::Patterns, r"spiffe://example\.org/team-[a-z]+/.*", "spiffe://example.org/team-red", NOT, "documented"),
    (EntryKind::Patterns, r"spiffe://example\.org/team-[a-z]+/.*", "spiffe://example.org/x/team-red/api", NOT, "from the start"),
    (EntryKind::Patterns, r"spiffe://example\.org/team-[a-z]+/.*", "spiffe://example-org/team-red/api", NOT, "escaped dot"),
    (EntryKind::Patterns, r"spiffe://.*\.example\.org/backend/.*", "spiffe://eu.example.org/backend/y", MATCHES, "documented"),
    (EntryKind::Patterns, r"spiffe://.*\.example\.org/backend/.*", "spiffe://attacker.test/x.example.org/backend/y", NOT, "the split"),
    (EntryKind::Patterns, r"spiffe://.*\.example\.org/backend/.*", "spiffe://attacker.test/a/x.example.org/backend/y", NOT, "the split"),
    (EntryKind::Patterns, r"spiffe://.*\.example\.org/backend/.*", "spiffe://example.org/backend/y", NOT, "its dot is needed"),
    (EntryKind::Patterns, r"spiffe://.*\.example\.org/backend/.*", "spiffe://a.example.org.evil/backend/y", NOT, "whole name"),
    (EntryKind::Patterns, r"spiffe://.*\.example\.org/services/orders.*", "spiffe://eu.example.org/services/orders-eu/1", MATCHES, "documented"),
    // Patterns: whole match.
    (EntryKind::Patterns, r"spiffe://example\.org/a", "spiffe://example.org/a", MATCHES, "whole"),
    (EntryKind::Patterns, r"spiffe://example\.org/a", "spiffe://example.org/ab", NOT, "whole"),
    (EntryKind::Patterns, r"spiffe://example\.org/a", "spiffe://example.org/a/b", NOT, "whole"),
    (EntryKind::Patterns, r"spiffe://example\.org/a", "spiffe://xexample.org/a", NOT, "whole"),
    (EntryKind::Patterns, r"^spiffe://example\.org/a$", "spiffe://example.org/a", MATCHES, "anchors are dropped"),
    (EntryKind::Patterns, r"\Aspiffe://example\.org/a\z", "spiffe://example.org/a", MATCHES, "anchors are dropped"),
    (EntryKind::Patterns, r"^spiffe://example\.org/a\z", "spiffe://example.org/a/b", NOT, "anchors change nothing"),
    (EntryKind::Patterns, r"spiffe://example\.org/(a$|b)", "spiffe://example.org/a", MATCHES, "$ at the end of a path"),
    (EntryKind::Patterns, r"spiffe://example\.org/a(/b$)?$", "spiffe://example.org/a", MATCHES, "two ends are one"),
    (EntryKind::Patterns, r"spiffe://example\.org/a(/b$)?$", "spiffe://example.org/a/b", MATCHES, "two ends are one"),
    (EntryKind::Patterns, r"spiffe://example\.org/(a|b)", "spiffe://example.org/b", MATCHES, "group in the path"),
    (EntryKind::Patterns, r"spiffe://example\.org/(a|b)", "spiffe://example.org/bc", NOT, "group in the path"),
    (EntryKind::Patterns, r"spiffe://example\.org/(a|ab)(c|bcd)", "spiffe://example.org/abcd", MATCHES, "not leftmost-first"),
    (EntryKind::Patterns, r"spiffe://example\.org/a??", "spiffe://example.org/a", MATCHES, "lazy is whole too"),
    // Patterns: where the split is.
    (EntryKind::Patterns, r"spiffe://(a|b)\.test/x", "spiffe://b.test/x", MATCHES, "group in the name"),
    (EntryKind::Patterns, r"spiffe://(a|b)\.test/x", "spiffe://c.test/x", NOT, "group in the name"),
    (EntryKind::Patterns, r"spiffe://(?:a|b\.test)/x", "spiffe://a/x", MATCHES, "alternation stays in its group"),
    (EntryKind::Patterns, r"spiffe://a.*/b", "spiffe://a/x/b", NOT, ".* stays in the name"),
    (EntryKind::Patterns, r"spiffe://a.*/b", "spiffe://axyz/b", MATCHES, ".* stays in the name"),
    (EntryKind::Patterns, r"spiffe://[^x]*/b", "spiffe://a/a/b", NOT, "[^x] stays in the name"),
    (EntryKind::Patterns, r"spiffe://a\.test\/b", "spiffe://a.test/b", MATCHES, "an escaped / is literal"),
    (EntryKind::Patterns, r"spiffe://a\.test\x2Fb", "spiffe://a.test/b", MATCHES, "a hexadecimal / is literal"),
    (EntryKind::Patterns, r"spiffe://a\.test/b/?c", "spiffe://a.test/bc", MATCHES, "/? in the path"),
    (EntryKind::Patterns, r"spiffe://a\.test/[^/]+", "spiffe://a.test/x", MATCHES, "one segment"),
    (EntryKind::Patterns, r"spiffe://a\.test/[^/]+", "spiffe://a.test/x/y", NOT, "one segment"),
    (EntryKind::Patterns, r"spiffe://a\.test/(x/)*y", "spiffe://a.test/x/x/y", MATCHES, "repeated segments"),
    (EntryKind::Patterns, r"spiffe://a\.test/(\.|x)/y", "spiffe://a.test/x/y", MATCHES, "one alternative is enough"),
    (EntryKind::Patterns, r"spiffe://a\.test/\.{3}/\.y\.", "spiffe://a.test/.../.y.", MATCHES, "1.6 dots in segments"),
    // Patterns: flags and classes.
    (EntryKind::Patterns, r"spiffe://a\.test/(?i:Team)", "spiffe://a.test/tEAM", MATCHES, "flag in a group"),
    (EntryKind::Patterns, r"spiffe://a\.test/(?i)team", "spiffe://a.test/TEAM", MATCHES, "flag in the path"),
    (EntryKind::Patterns, r"spiffe://(?i:A)\.test/team", "spiffe://a.test/team", MATCHES, "flag in a group of the name"),
    (EntryKind::Patterns, r"spiffe://(?i:A)\.test/team", "spiffe://a.test/TEAM", NOT, "the flag ends with its group"),
    (EntryKind::Patterns, r"spiffe://a\.test/(?P<team>\w{1,63})", "spiffe://a.test/red_1", MATCHES, "named group, ASCII class"),
    (EntryKind::Patterns, r"spiffe://a\.test/\d+", "spiffe://a.test/12", MATCHES, "perl class"),
    (EntryKind::Patterns, r"spiffe://a\.test/[[:alpha:]]+", "spiffe://a.test/ab", MATCHES, "POSIX class"),
    (EntryKind::Patterns, r"spiffe://a\.test/[a-z&&[^q]]+", "spiffe://a.test/q", NOT, "class intersection"),
    (EntryKind::Patterns, r"spiffe://a\.test/\bprod\b.*", "spiffe://a.test/prod-1", MATCHES, "word boundary"),
    (EntryKind::Patterns, r"spiffe://a\.test/\bprod\b.*", "spiffe://a.test/prod1", NOT, "word boundary"),
    (EntryKind::Patterns, r"spiffe://a\.test/(b|c\b)(?m:$)", "spiffe://a.test/c", MATCHES, "ends at the end"),
    (EntryKind::Patterns, r"spiffe://a\.test/(b$|c\z|(?mR:d$))", "spiffe://a.test/d", MATCHES, "ends at the end"),
    (EntryKind::Patterns, r"spiffe://a\.test/\b{start}prod\b{end}-.*", "spiffe://a.test/prod-1", MATCHES, "word boundary"),
    (EntryKind::Patterns, r"spiffe://a\.test/(x\B_|y)z", "spiffe://a.test/x_z", MATCHES, "no word boundary"),
    // Any.
    (EntryKind::Patterns, ".*", "spiffe://whoever.test/x", MATCHES, ".* means any"),
    (EntryKind::Patterns, "^.*$", "spiffe://whoever.test/x", MATCHES, "^.*$ means any"),
    (EntryKind::Any, "", "spiffe://whoever.test/x", MATCHES, "any"),
];

#[test]
fn every_vector_matches_as_its_rule_says() {
    for &(kind, entry, id, expected, rule) in VECTORS {
        let found = list(kind, entry).matches(&workload(id)).is_some();
        assert_eq!(found, expected, "{kind} {entry:?} on {id}: {rule}");
    }
}

#[test]
fn the_rule_that_matched_is_named_as_it_was_written() {
    for &(kind, entry, id, expected, _) in VECTORS {
        let text = if kind == EntryKind::Any {
            "any".to_owned()
        } else {
            format!("{kind} {entry}")
        };
        assert_eq!(rule(&list(kind, entry), id), expected.then_some(text));
    }
}

/// Kind, entry, what the refusal says, what the advice says (empty: no advice).
#[rustfmt::skip]
const REFUSED: &[(EntryKind, &str, &str, &str)] = &[
    (EntryKind::Exact, "", "empty", ""),
    (EntryKind::Exact, "spiffe://example.org", "has a path", r#"trust-domains "example.org""#),
    (EntryKind::Exact, "spiffe://example.org/", "slash", r#"prefix "spiffe://example.org/""#),
    (EntryKind::Exact, "spiffe://example.org/a/", "slash", r#"prefix "spiffe://example.org/a/""#),
    (EntryKind::Exact, "spiffe://example.org/a/*", "'*'", r#"prefix "spiffe://example.org/a/""#),
    (EntryKind::Exact, "spiffe://example.org/a/.*", "'*'", r#"prefix "spiffe://example.org/a/""#),
    (EntryKind::Exact, "spiffe://example.org/a*", "'*'", "under patterns"),
    (EntryKind::Exact, r"spiffe://example\.org/a", "'\\\\'", "under patterns"),
    (EntryKind::Exact, "spiffe://Example.org/A", "lower case", r#""spiffe://example.org/A""#),
    (EntryKind::Exact, "SPIFFE://example.org/A", "lower case", r#""spiffe://example.org/A""#),
    (EntryKind::Exact, "example.org/a", "spiffe://", r#""spiffe://example.org/a""#),
    (EntryKind::Exact, " spiffe://example.org/a", "spiffe://", ""),
    (EntryKind::Exact, "spiffe://example.org/a ", "' '", ""),
    (EntryKind::Exact, "spiffe://example.org/../a", ". or ..", ""),
    (EntryKind::Prefix, "", "empty", ""),
    (EntryKind::Prefix, "/", "empty", ""),
    (EntryKind::Prefix, "spiffe://", "spiffe://", ""),
    (EntryKind::Prefix, "spiffe:///", "empty", ""),
    (EntryKind::Prefix, "/services/", "spiffe://", ""),
    (EntryKind::Prefix, "spiffe://example.org//", "slash", r#""spiffe://example.org/""#),
    (EntryKind::Prefix, "spiffe://example.org/a//", "slash", r#""spiffe://example.org/a/""#),
    (EntryKind::Prefix, "spiffe://example.org/a//b", "empty", ""),
    (EntryKind::Prefix, "spiffe://example.org/a/*", "'*'", r#"prefix "spiffe://example.org/a/""#),
    (EntryKind::Prefix, "spiffe://example.org/../", ". or ..", ""),
    (EntryKind::Prefix, "spiffe://Example.org/", "lower case", r#""spiffe://example.org/""#),
    (EntryKind::TrustDomains, "", "empty", ""),
    (EntryKind::TrustDomains, "Example.org", "lower case", r#""example.org""#),
    (EntryKind::TrustDomains, "spiffe://example.org/a", "no path", r#""example.org""#),
    (EntryKind::TrustDomains, "*.example.org", "'*'", r#"patterns "spiffe://.*\.example\.org/.*""#),
    (EntryKind::TrustDomains, "*", "'*'", ""),
    (EntryKind::TrustDomains, "example.org:8443", "no port", ""),
    // Patterns: another beginning.
    (EntryKind::Patterns, "", "begins", "whole ID"),
    (EntryKind::Patterns, "team-.*", "begins", "whole ID"),
    (EntryKind::Patterns, "/team-.*", "begins", "whole ID"),
    (EntryKind::Patterns, r".*/team-.*", "begins", "whole ID"),
    (EntryKind::Patterns, r"spiffe:\/\/example\.org\/a", "begins", r#""spiffe://example\.org/a""#),
    (EntryKind::Patterns, r"(spiffe://a/b)", "begins", "no group"),
    (EntryKind::Patterns, r"(^spiffe://a/b|spiffe://c/d$)", "begins", "no group"),
    (EntryKind::Patterns, r"(?i)spiffe://a/b", "begins", "flag"),
    (EntryKind::Patterns, r"(?x)spiffe://a/b # c", "begins", "flag"),
    (EntryKind::Patterns, r"^^spiffe://a/b", "begins", "no group"),
    (EntryKind::Patterns, r"^*spiffe://a/b", "begins", "no group"),
    (EntryKind::Patterns, r".*spiffe://a/b", "begins", "no group"),
    (EntryKind::Patterns, r"spiffe://?a/b", "begins", "no group"),
    (EntryKind::Patterns, r"spiffe:/{2}a/b", "begins", "whole ID"),
    (EntryKind::Patterns, r"[s]piffe://a/b", "begins", ""),
    (EntryKind::Patterns, r"\x73piffe://a/b", "begins", ""),
    (EntryKind::Patterns, r"SPIFFE://a/b", "begins", "whole ID"),
    (EntryKind::Patterns, ".*?", "begins", ""),
    (EntryKind::Patterns, ".+", "begins", ""),
    (EntryKind::Patterns, "(.*)", "begins", ""),
    (EntryKind::Patterns, "^$", "begins", ""),
    // Patterns: alternation at the top.
    (EntryKind::Patterns, r"spiffe://a/b|spiffe://c/d", "| outside", "each alternative"),
    (EntryKind::Patterns, r"^spiffe://a/b|.*$", "| outside", "each alternative"),
    (EntryKind::Patterns, r"spiffe://a/b|", "| outside", "each alternative"),
    (EntryKind::Patterns, r".*|x", "| outside", "each alternative"),
    // Patterns: no slash to split at.
    (EntryKind::Patterns, r"spiffe://.*", "literal /", "trust-domains"),
    (EntryKind::Patterns, r"spiffe://", "literal /", "trust-domains"),
    (EntryKind::Patterns, r"spiffe://example\.org", "literal /", "trust-domains"),
    (EntryKind::Patterns, r"spiffe://example\.org/?.*", "literal /", ""),
    (EntryKind::Patterns, r"spiffe://example\.org/*", "literal /", ""),
    (EntryKind::Patterns, r"spiffe://example\.org[/]a", "literal /", ""),
    (EntryKind::Patterns, r"spiffe://example\.org(/a|/b)", "literal /", ""),
    // Patterns: a slash in the name's half, which would silently never match.
    (EntryKind::Patterns, r"spiffe://(a/b|c)/d", "cannot contain a /", "outside of groups"),
    (EntryKind::Patterns, r"spiffe://a(/b|/c)/d", "cannot contain a /", "outside of groups"),
    (EntryKind::Patterns, r"spiffe://a(?:/?)/d", "cannot contain a /", "outside of groups"),
    (EntryKind::Patterns, r"spiffe://a/?/d", "cannot contain a /", "outside of groups"),
    (EntryKind::Patterns, r"spiffe://a[/]b/d", "cannot contain a /", "outside of groups"),
    // Patterns: flags and anchors that would reach over the split, or change sides.
    (EntryKind::Patterns, r"spiffe://(?i)a/b", "flags before its path", "(?i:"),
    (EntryKind::Patterns, r"spiffe://a(?x)/b # c", "flags before its path", ""),
    (EntryKind::Patterns, r"spiffe://(?i).*", "flags before its path", ""),
    (EntryKind::Patterns, r"spiffe://a/(?x)b # c", "flags x and u", ""),
    (EntryKind::Patterns, r"spiffe://a/(?x: b )", "flags x and u", ""),
    (EntryKind::Patterns, r"spiffe://a/(c|(?ix: b ))", "flags x and u", ""),
    (EntryKind::Patterns, r"spiffe://a/(?u:\w)", "flags x and u", ""),
    (EntryKind::Patterns, r"spiffe://a$/b", "anchor", "whole ID"),
    (EntryKind::Patterns, r"spiffe://^a/b", "anchor", "whole ID"),
    (EntryKind::Patterns, r"spiffe://(a|b\z)/b", "anchor", "whole ID"),
    (EntryKind::Patterns, r"spiffe://a/^b", "anchor", "whole ID"),
    (EntryKind::Patterns, r"spiffe://a/(?m)^?x", "anchor", "whole ID"),
    (EntryKind::Patterns, r"spiffe://a/admin$/.*", "anchor", "whole ID"),
    (EntryKind::Patterns, r"spiffe://a/(?m)admin$/.*", "anchor", "whole ID"),
    (EntryKind::Patterns, r"spiffe://a/(admin\z|ops)/.*", "anchor", "whole ID"),
    (EntryKind::Patterns, r"spiffe://a/(b$)+", "anchor", "whole ID"),
    (EntryKind::Patterns, r"spiffe://a/b$.?", "anchor", "whole ID"),
    (EntryKind::Patterns, r"spiffe://a/b\Ac", "anchor", "whole ID"),
    (EntryKind::Patterns, r"spiffe://a/(b|\Ac)", "anchor", "whole ID"),
    (EntryKind::Patterns, r"spiffe://a/(?m:^)b", "anchor", "whole ID"),
    (EntryKind::Patterns, r"spiffe://a/(?mR:^)b", "anchor", "whole ID"),
    (EntryKind::Patterns, r"spiffe://a/b(c$|d)/e", "anchor", "whole ID"),
    (EntryKind::Patterns, r"spiffe://a/(?m:b$)/c", "anchor", "whole ID"),
    (EntryKind::Patterns, r"spiffe://a/(?m:$)b", "anchor", "whole ID"),
    (EntryKind::Patterns, r"spiffe://a/(?mR:b$)/c", "anchor", "whole ID"),
    (EntryKind::Patterns, r"spiffe://a/b$\b/c", "anchor", "whole ID"),
    (EntryKind::Patterns, r"spiffe://(?m:a$)/b", "anchor", "whole ID"),
    (EntryKind::Patterns, r"spiffe://(?m:^a)/b", "anchor", "whole ID"),
    // Patterns: each part could match, all together cannot.
    (EntryKind::Patterns, r"spiffe://a/admin\b_x", "no ID fits", r"\b"),
    (EntryKind::Patterns, r"spiffe://a/b\Bc\B", "no ID fits", r"\b"),
    (EntryKind::Patterns, r"spiffe://a/\B\b{start}b", "no ID fits", r"\b"),
    (EntryKind::Patterns, r"spiffe://a/b\b{start}/c", "no ID fits", r"\b"),
    (EntryKind::Patterns, r"spiffe://a/b\b{start-half}c", "no ID fits", r"\b"),
    (EntryKind::Patterns, r"spiffe://(a|b)\bc/d", "no ID fits", r"\b"),
    (EntryKind::Patterns, r"spiffe://a{256}b*/d", "no ID fits", "counted"),
    // Patterns: nothing could match.
    (EntryKind::Patterns, r"spiffe:///a", "no trust domain", ""),
    (EntryKind::Patterns, r"spiffe://Example\.org/a", "no trust domain", "lower case"),
    (EntryKind::Patterns, r"spiffe://[A-Z]+/a", "no trust domain", "lower case"),
    (EntryKind::Patterns, r"spiffe://(a){0}/a", "no trust domain", ""),
    (EntryKind::Patterns, r"spiffe://a:8443/b", "':'", ""),
    (EntryKind::Patterns, r"spiffe://a/", "no workload's path", "spiffe://a/.*"),
    (EntryKind::Patterns, r"^spiffe://a\.test/services/$", "no workload's path", r"spiffe://a\.test/services/.*"),
    (EntryKind::Patterns, r"spiffe://a//b", "no workload's path", ""),
    (EntryKind::Patterns, r"spiffe://a/b/\.\./c", "no workload's path", ""),
    (EntryKind::Patterns, r"spiffe://a/\./c", "no workload's path", ""),
    (EntryKind::Patterns, r"spiffe://a/c/\.\.", "no workload's path", ""),
    (EntryKind::Patterns, r"spiffe://a/(b/){2}", "no workload's path", ""),
    (EntryKind::Patterns, r"spiffe://a/b\$", "'$'", ""),
    (EntryKind::Patterns, r"spiffe://a/b\$$", "'$'", ""),
    (EntryKind::Patterns, r"spiffe://a/b\\z", "'\\\\'", ""),
    (EntryKind::Patterns, r"spiffe://a/b c", "' '", ""),
    (EntryKind::Patterns, r"spiffe://a/(b|%2F)", "'%'", ""),
    (EntryKind::Patterns, r"spiffe://a/b[^\x00-\xff]", "no workload's path", ""),
    (EntryKind::Patterns, "spiffe://a/b\n", "'\\n'", ""),
    (EntryKind::Patterns, "spiffe://a/ä", "ASCII", "[A-Za-z]"),
    (EntryKind::Patterns, r"spiffe://a/\p{L}+", "Unicode", "[A-Za-z]"),
    (EntryKind::Patterns, r"spiffe://a/\pL+", "Unicode", "[A-Za-z]"),
    // Patterns: not ours to match.
    (EntryKind::Patterns, r"spiffe://a/(?=b)b", "not a regular expression", ""),
    (EntryKind::Patterns, r"spiffe://a/(?!b)c", "not a regular expression", ""),
    (EntryKind::Patterns, r"spiffe://a/(b)\1", "not a regular expression", ""),
    (EntryKind::Patterns, r"spiffe://a/\Qb\E", "not a regular expression", ""),
    (EntryKind::Patterns, r"spiffe://a/(b", "not a regular expression", ""),
    (EntryKind::Patterns, r"spiffe://a/b)|(?:c", "not a regular expression", ""),
    (EntryKind::Patterns, r"spiffe://a/b)\z|(?:.*", "not a regular expression", ""),
    (EntryKind::Patterns, r"spiffe://a/b\Z", "not a regular expression", ""),
    (EntryKind::Patterns, r"spiffe://a/b\", "not a regular expression", ""),
    (EntryKind::Patterns, r"spiffe://a/[b", "not a regular expression", ""),
    (EntryKind::Patterns, r"*", "not a regular expression", ""),
    (EntryKind::Patterns, r"spiffe://*.example.org/*", "begins", ""),
];

#[test]
fn every_other_entry_is_refused_with_its_rule_and_advice() {
    let mut wrong = Vec::new();
    for &(kind, entry, says, advises) in REFUSED {
        let error = refused(kind, entry);
        assert_eq!((error.kind, error.index, error.entry()), (kind, 0, entry));
        let (text, advice) = (error.error.to_string(), error.advice().unwrap_or_default());
        if !text.contains(says) || !advice.contains(advises) || text.contains('\n') {
            wrong.push(format!("{error}: advice {advice:?}"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn the_longest_trust_domain_is_within_reach_of_a_pattern() {
    let longest = format!("spiffe://{}/b", "a".repeat(255));
    assert!(rule(&list(EntryKind::Patterns, "spiffe://a{255}c*/b"), &longest).is_some());
}

#[test]
fn the_documented_allowlist() {
    let list = List::compile(&ListSpec {
        exact: vec![
            "spiffe://example.org/frontend".into(),
            "spiffe://example.org/api-gateway".into(),
        ],
        prefix: vec![
            "spiffe://example.org/services/".into(),
            "spiffe://example.org/jobs/".into(),
        ],
        trust_domains: vec!["staging.example.org".into()],
        patterns: vec![
            r"spiffe://example\.org/team-[a-z]+/.*".into(),
            r"spiffe://.*\.example\.org/backend/.*".into(),
        ],
        any: false,
    })
    .unwrap();
    let named = |id| rule(&list, id);
    assert_eq!(
        named("spiffe://example.org/frontend").unwrap(),
        "exact spiffe://example.org/frontend"
    );
    assert_eq!(
        named("spiffe://example.org/jobs/x").unwrap(),
        "prefix spiffe://example.org/jobs/"
    );
    assert_eq!(
        named("spiffe://staging.example.org/x").unwrap(),
        "trust-domains staging.example.org"
    );
    assert_eq!(
        named("spiffe://example.org/team-a/x").unwrap(),
        r"patterns spiffe://example\.org/team-[a-z]+/.*"
    );
    assert_eq!(
        named("spiffe://eu.example.org/backend/x").unwrap(),
        r"patterns spiffe://.*\.example\.org/backend/.*"
    );
    assert_eq!(named("spiffe://example.org/frontend/x"), None);
    assert_eq!(named("spiffe://eu.example.org/frontend"), None);
    assert!(!list.is_any() && !list.is_empty());
}

#[test]
fn of_several_rules_the_most_specific_is_named() {
    let mut all = ListSpec {
        exact: vec!["spiffe://a/b/c".into()],
        prefix: vec![
            "spiffe://a".into(),
            "spiffe://a/b/".into(),
            "spiffe://a/b".into(),
            "spiffe://a/b/".into(),
        ],
        trust_domains: vec!["a".into()],
        patterns: vec!["spiffe://a/b/.*".into()],
        any: true,
    };
    let mut first = || {
        let list = List::compile(&all).unwrap();
        let rule = list
            .matches(&workload("spiffe://a/b/c"))
            .map(|rule| (rule.kind(), rule.index()));
        match rule.unwrap().0 {
            EntryKind::Exact => all.exact.clear(),
            EntryKind::Prefix => all.prefix.clear(),
            EntryKind::TrustDomains => all.trust_domains.clear(),
            EntryKind::Any => all.any = false,
            EntryKind::Patterns => all.patterns.clear(),
        }
        rule.unwrap()
    };
    assert_eq!(first(), (EntryKind::Exact, 0));
    assert_eq!(first(), (EntryKind::Prefix, 1));
    assert_eq!(first(), (EntryKind::TrustDomains, 0));
    assert_eq!(first(), (EntryKind::Any, 0));
    assert_eq!(first(), (EntryKind::Patterns, 0));
    assert!(List::compile(&all).unwrap().is_empty());
}

#[test]
fn an_empty_list_covers_nobody_and_any_is_said_aloud() {
    let empty = List::compile(&ListSpec::default()).unwrap();
    assert!(empty.is_empty() && !empty.is_any());
    assert_eq!(rule(&empty, "spiffe://a/b"), None);
    assert_eq!(empty, List::default());
    for list in [
        list(EntryKind::Any, ""),
        list(EntryKind::Patterns, ".*"),
        list(EntryKind::Patterns, r"\A.*\z"),
    ] {
        assert!(list.is_any() && !list.is_empty());
    }
    assert!(!list(EntryKind::Patterns, "spiffe://.*/.*").is_any());
}

#[test]
fn every_error_is_reported_not_only_the_first() {
    let errors = List::compile(&ListSpec {
        exact: vec!["spiffe://a/b".into(), "spiffe://a".into(), "x".into()],
        prefix: vec!["y".into()],
        trust_domains: vec!["A".into(), "a".into()],
        patterns: vec!["spiffe://a/.*".into(), "z".into(), "(".into()],
        any: true,
    })
    .unwrap_err();
    let places: Vec<_> = errors
        .iter()
        .map(|error| (error.kind.as_str(), error.index))
        .collect();
    let expected = [
        ("exact", 1),
        ("exact", 2),
        ("prefix", 0),
        ("trust-domains", 0),
        ("patterns", 1),
        ("patterns", 2),
    ];
    assert_eq!(places, expected);
    assert_eq!(
        errors[0].to_string(),
        "exact entry 2, \"spiffe://a\": a workload's SPIFFE ID has a path, spiffe://a has none (X509-SVID 5.2)"
    );
    assert_eq!(errors[1].error, ListError::Id(IdError::Scheme));
    assert_eq!(errors[4].error, ListError::Pattern(PatternError::Beginning));
}

#[test]
fn a_list_has_its_bounds() {
    let ids = |count: usize| {
        (0..count)
            .map(|n| format!("spiffe://a/{n}"))
            .collect::<Vec<_>>()
    };
    let exact = |exact| {
        List::compile(&ListSpec {
            exact,
            ..ListSpec::default()
        })
    };
    assert!(exact(ids(MAX_ENTRIES)).is_ok());
    let errors = exact(ids(MAX_ENTRIES + 1)).unwrap_err();
    assert_eq!(
        (errors.len(), errors[0].index, &errors[0].error),
        (1, MAX_ENTRIES, &ListError::TooManyEntries)
    );

    let long = |bytes: usize| vec!["x".repeat(bytes)];
    assert_eq!(
        exact(long(MAX_TEXT_BYTES)).unwrap_err()[0].error,
        ListError::Id(IdError::TooLong {
            bytes: MAX_TEXT_BYTES
        })
    );
    let errors = exact(long(MAX_TEXT_BYTES + 1)).unwrap_err();
    assert_eq!(errors[0].error, ListError::TooMuchText);
    assert!(errors[0].entry().len() <= MAX_EXCERPT_BYTES && errors[0].to_string().len() < 300);

    let patterns = |count| vec!["spiffe://a.*/[a-z0-9-]{1,63}/.*".to_owned(); count];
    let compile = |patterns| {
        List::compile(&ListSpec {
            patterns,
            ..ListSpec::default()
        })
    };
    assert!(compile(patterns(MAX_PATTERNS)).is_ok());
    assert_eq!(
        compile(patterns(MAX_PATTERNS + 1)).unwrap_err()[0].error,
        ListError::TooManyPatterns
    );
}

#[test]
fn a_pattern_has_its_bounds() {
    let of_length = |bytes: usize| format!("spiffe://a/{}", "b".repeat(bytes - 11));
    list(EntryKind::Patterns, &of_length(MAX_PATTERN_BYTES));
    let error = refused(EntryKind::Patterns, &of_length(MAX_PATTERN_BYTES + 1)).error;
    assert_eq!(
        error,
        ListError::Pattern(PatternError::TooLong {
            bytes: MAX_PATTERN_BYTES + 1
        })
    );

    let nested = |depth: usize| format!("spiffe://a/{}b{}", "(".repeat(depth), ")".repeat(depth));
    list(
        EntryKind::Patterns,
        &nested(MAX_PATTERN_NESTING as usize - 2),
    );
    let error = refused(
        EntryKind::Patterns,
        &nested(MAX_PATTERN_NESTING as usize + 1),
    )
    .error;
    assert!(
        matches!(error, ListError::Pattern(PatternError::Syntax { .. })),
        "{error}"
    );
    refused(EntryKind::Patterns, &nested(500));

    for large in [
        r"\w{1,255}",
        r".*a.{8}",
        &"frontend|backend|billing-v2|".repeat(17),
    ] {
        list(EntryKind::Patterns, &format!("spiffe://a/({large})"));
    }
    for bomb in [
        r"(\w{100}){100}",
        "((((a{100}){100}){100}){100})b",
        "(x?){5000}y",
        "(()){4294967295}a{4294967295}",
        "[a-z]{1,100000}",
        // Small, and of very many states once it is taken apart.
        ".*[ab].{20}",
    ] {
        let error = refused(EntryKind::Patterns, &format!("spiffe://a/{bomb}")).error;
        assert!(
            matches!(error, ListError::Pattern(PatternError::TooLarge)),
            "{bomb}: {error}"
        );
    }
}

#[test]
fn the_patterns_of_a_list_have_a_budget_together() {
    let patterns = vec![r"spiffe://a/\w{1,255}".to_owned(); MAX_PATTERNS];
    let errors = List::compile(&ListSpec {
        patterns,
        ..ListSpec::default()
    })
    .unwrap_err();
    assert!(errors.len() < MAX_PATTERNS, "the first ones fit");
    assert!(
        errors
            .iter()
            .all(|error| error.error == ListError::Pattern(PatternError::BudgetSpent))
    );
}

/// The rule in plain words: itself or below; with a trailing slash, below.
fn is_at_or_below(prefix: &str, id: &str) -> bool {
    match prefix.strip_suffix('/') {
        Some(_) => id.len() > prefix.len() && id.starts_with(prefix),
        None => id == prefix || id.starts_with(&format!("{prefix}/")),
    }
}

/// Regular expressions beside a text that each matches.
const NAME_PARTS: &[(&str, &str)] = &[
    ("a", "a"),
    (r"\.", "."),
    ("b?", ""),
    (".*", "x.a"),
    ("[a-c]+", "cab"),
    ("(a|b-c)", "b-c"),
    (".", "b"),
    ("(?:b|)", ""),
    ("[^a]{1,3}", "bb"),
];
const PATH_PARTS: &[(&str, &str)] = &[
    ("a", "a"),
    ("/b", "/b"),
    (r"\/c", "/c"),
    (".*", "x/a/b"),
    ("[^/]+", "b.a"),
    ("(/a)?", ""),
    ("(a|/b/c)", "/b/c"),
    ("/?b", "b"),
    ("(?i)A", "a"),
    (r"[a-z./-]*", ""),
    (r"\b", ""),
    (r"\B", ""),
];

fn joined(parts: &[(&str, &str)]) -> (String, String) {
    (
        parts.iter().map(|part| part.0).collect(),
        parts.iter().map(|part| part.1).collect(),
    )
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn a_prefix_never_crosses_a_border(
        prefix in "spiffe://[ab.]{1,2}(/[ab]{1,2}){0,3}/?",
        others in prop::collection::vec("spiffe://[ab.]{1,2}(/[ab]{1,2}){0,3}/?", 0..8),
        id in "spiffe://[ab.]{1,2}(/[ab-]{1,2}){1,4}",
    ) {
        let one = List::compile(&spec(EntryKind::Prefix, &[&prefix])).unwrap();
        prop_assert_eq!(one.matches(&workload(&id)).is_some(), is_at_or_below(&prefix, &id));

        let all: Vec<_> = others.iter().chain([&prefix]).map(String::as_str).collect();
        let list = List::compile(&spec(EntryKind::Prefix, &all)).unwrap();
        let longest = all.iter().filter(|prefix| is_at_or_below(prefix, &id)).map(|prefix| prefix.len()).max();
        prop_assert_eq!(list.matches(&workload(&id)).map(|rule| rule.entry().len()), longest);
    }

    #[test]
    fn a_pattern_is_its_two_halves_and_never_more_than_the_whole(
        name in prop::collection::vec(prop::sample::select(NAME_PARTS), 1..5),
        path in prop::collection::vec(prop::sample::select(PATH_PARTS), 1..5),
        other_name in prop::collection::vec(prop::sample::select(NAME_PARTS), 1..5),
        other_path in prop::collection::vec(prop::sample::select(PATH_PARTS), 1..5),
    ) {
        let ((name, name_text), (path, path_text)) = (joined(&name), joined(&path));
        let ((_, other_name), (_, other_path)) = (joined(&other_name), joined(&other_path));
        let pattern = format!("spiffe://{name}/{path}");
        let list = List::compile(&spec(EntryKind::Patterns, &[&pattern]));
        // What is refused here matches none of the texts.
        let names = Regex::new(&format!("^(?:{name})$")).unwrap();
        let paths = Regex::new(&format!("^(?:/{path})$")).unwrap();
        let whole = Regex::new(&format!("^(?:{pattern})$")).unwrap();
        let nested = format!("{other_path}/{name_text}");
        for name in [&name_text, &other_name] {
            for path in [&path_text, &other_path, &nested] {
                let id = format!("spiffe://{name}/{path}");
                let Ok(parsed) = SpiffeId::parse(id.as_bytes()) else { continue };
                let expected = names.is_match(name) && paths.is_match(&format!("/{path}"));
                let found = list.as_ref().is_ok_and(|list| list.matches(&WorkloadId::try_from(parsed).unwrap()).is_some());
                prop_assert_eq!(found, expected, "{} on {}: {:?}", &pattern, &id, &list);
                prop_assert!(!found || whole.is_match(&id), "{} on {}", &pattern, &id);
            }
        }
    }

    #[test]
    fn no_text_makes_compiling_panic(
        entry in any::<String>(),
        likely in r"\^?spiffe://[a.*+?()\[\]{}|^$\\/x:i0-9]{0,24}",
    ) {
        for entry in [&entry, &likely] {
            for kind in [EntryKind::Exact, EntryKind::Prefix, EntryKind::TrustDomains, EntryKind::Patterns] {
                match List::compile(&spec(kind, &[entry])) {
                    Ok(list) => _ = list.matches(&workload("spiffe://a/x")),
                    Err(errors) => prop_assert!(!errors[0].to_string().is_empty() && errors[0].advice() != Some(String::new())),
                }
            }
        }
    }

    /// What a pattern of hostile shape accepts, the same pattern on the whole ID accepts too.
    #[test]
    fn a_hostile_pattern_never_accepts_more_than_the_whole(
        rest in r"([ab./]|\.\*|\(a\||\(|\)|/|\||\?|\*|\[/a\]|\[\^b\]|\$|\^|\(\?i\)|\\/){1,14}",
        id in "spiffe://[ab.]{1,4}(/[ab]{1,3}){1,3}",
    ) {
        let pattern = format!("spiffe://{rest}");
        if let (Ok(list), Ok(id)) = (List::compile(&spec(EntryKind::Patterns, &[&pattern])), SpiffeId::parse(id.as_bytes())) {
            let whole = Regex::new(&format!(r"\A(?:{})\z", pattern.trim_end_matches('$'))).unwrap();
            let id = WorkloadId::try_from(id).unwrap();
            prop_assert!(list.matches(&id).is_none() || whole.is_match(id.as_str()), "{} on {}", pattern, id);
        }
    }
}
