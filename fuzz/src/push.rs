//! A pushed configuration, JSON.
//!
//! - refused with a bounded list of bounded lines, or applied whole, and then twice the same;
//! - written differently (blanks, order of members, escapes) it means the same;
//! - the trust root is not the pusher's: the socket in force stays;
//! - **no list matches what none of its entries covers**: an empty one nobody, and the rule a match
//!   names does cover the ID by a second, plainer reading.

use std::sync::LazyLock;

use config::{ConfigErrors, MAX_PROBLEMS, Overrides, Push, Settings};
use verdict::id::{SpiffeId, WorkloadId};
use verdict::lists::{EntryKind, List, ListSpec, RuleMatch};
use verdict::policy::PolicySpec;

static SETTINGS: LazyLock<Settings> = LazyLock::new(|| {
    Settings::resolve(None, &Overrides::default()).expect("defaults are settings")
});

/// Who asks: workloads that lists might confuse.
static CALLERS: LazyLock<Vec<WorkloadId>> = LazyLock::new(|| {
    let callers = [
        "spiffe://example.org/frontend",
        "spiffe://example.org/services",
        "spiffe://example.org/services/x",
        "spiffe://example.org/services-evil",
        "spiffe://example.org.attacker.test/services/x",
        "spiffe://attacker.test/x.example.org/backend/y",
        "spiffe://attacker.test/spiffe/example.org/frontend",
        "spiffe://prod.example.org/backend/y",
        "spiffe://partner.test/ns/a/sa/b",
        "spiffe://a/a",
    ];
    let parse = |id: &str| {
        let id = SpiffeId::parse(id.as_bytes()).expect("a good ID");
        WorkloadId::try_from(id).expect("with a path")
    };
    callers.into_iter().map(parse).collect()
});

pub fn check(data: &[u8]) {
    let push = match Push::parse(data) {
        Ok(None) => return,
        Ok(Some(push)) => push,
        Err(errors) => return check_errors(&errors),
    };
    let applied = match push.apply(&SETTINGS) {
        Ok(applied) => applied,
        Err(errors) => return check_errors(&errors),
    };
    let again = Push::parse(data).expect("parsed once").expect("a push");
    assert_eq!(
        again.apply(&SETTINGS).as_ref(),
        Ok(&applied),
        "twice the same"
    );
    for notice in &applied.notices {
        super::check_error(notice);
    }
    let other = serde_json::from_slice::<serde_json::Value>(data).expect("it was JSON");
    let other = serde_json::to_vec_pretty(&other).expect("it is still");
    let other = Push::parse(&other)
        .expect("the same configuration")
        .expect("a push");
    let other = other.apply(&SETTINGS).expect("the same configuration");
    assert_eq!(other.policy, applied.policy, "written differently");
    check_policy(&applied.policy);
}

fn check_errors(errors: &ConfigErrors) {
    assert!(errors.problems().count() <= MAX_PROBLEMS);
    assert!(errors.lines().count() >= 1, "refused without a word");
    for line in errors.lines() {
        assert!(
            line.len() <= 4 * super::MAX_ERROR_BYTES,
            "a line of {} bytes",
            line.len()
        );
        assert!(
            !line.contains(['\n', '\r', '\u{1b}']),
            "a line that is not one: {line:?}"
        );
    }
}

fn check_policy(policy: &PolicySpec) {
    for list in [&policy.allowlist, &policy.denylist] {
        for id in CALLERS.iter() {
            check_match(list, list.spec(), id);
        }
    }
}

fn check_match(list: &List, spec: &ListSpec, id: &WorkloadId) {
    let id_text = id.as_str();
    let expected = spec.any
        || spec.exact.iter().any(|entry| entry == id_text)
        || spec.prefix.iter().any(|entry| covers(entry, id_text))
        || spec.trust_domains.iter().any(|entry| names(entry, id));
    match list.matches(id) {
        None => assert!(!expected, "{id} is covered, but no rule matched"),
        Some(rule) => check_rule(&rule, spec, id, expected),
    }
}

fn check_rule(rule: &RuleMatch<'_>, spec: &ListSpec, id: &WorkloadId, expected: bool) {
    let (entry, index) = (rule.entry(), rule.index());
    let covered = match rule.kind() {
        EntryKind::Exact => {
            spec.exact.get(index).is_some_and(|e| e == entry) && entry == id.as_str()
        }
        EntryKind::Prefix => covers(&spec.prefix[index], id.as_str()),
        EntryKind::TrustDomains => names(&spec.trust_domains[index], id),
        EntryKind::Any => spec.any || !spec.patterns.is_empty(),
        EntryKind::Patterns => {
            !spec.patterns[index].is_empty() && in_domain(&spec.patterns[index], id)
        }
    };
    assert!(covered, "WRONG MATCH: {rule} does not cover {id}");
    assert!(expected || matches!(rule.kind(), EntryKind::Any | EntryKind::Patterns));
}

/// A prefix covers its own path and, behind a slash, what lies below.
fn covers(entry: &str, id: &str) -> bool {
    match id.strip_prefix(entry) {
        Some("") => !entry.ends_with('/'),
        Some(rest) => entry.ends_with('/') || rest.starts_with('/'),
        None => false,
    }
}

fn names(entry: &str, id: &WorkloadId) -> bool {
    entry.strip_prefix("spiffe://").unwrap_or(entry) == id.trust_domain().as_str()
}

/// A pattern whose trust domain is written out cannot match another one.
fn in_domain(pattern: &str, id: &WorkloadId) -> bool {
    let pattern = pattern.strip_prefix('^').unwrap_or(pattern);
    let Some((domain, _)) = pattern
        .strip_prefix("spiffe://")
        .and_then(|rest| rest.split_once('/'))
    else {
        return true;
    };
    let literal = domain.replace("\\.", ".");
    let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_');
    !literal.chars().all(plain)
        || domain.contains('.') && !domain.contains("\\.")
        || literal == id.trust_domain().as_str()
}
