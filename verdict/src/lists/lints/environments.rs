//! Production and staging in one allowlist: who takes over a workload in staging is let in to production.
//!
//! A heuristic on names: an ID is split at everything but letters and digits, and its words are
//! looked up below.

use super::{EntryRef, Lint, LintCode, ListName};
use crate::id::SCHEME;
use crate::lists::{EntryKind, List, RuleMatch};

const PRODUCTION: [&str; 3] = ["prod", "prd", "production"];
const OTHERS: [&str; 11] = [
    "stage",
    "staging",
    "stag",
    "stg",
    "dev",
    "devel",
    "development",
    "test",
    "testing",
    "qa",
    "sandbox",
];

pub(super) fn mixed(allow: &List) -> Option<Lint> {
    let rules = || {
        EntryKind::WITH_ENTRIES
            .into_iter()
            .flat_map(|kind| allow.rules(kind))
    };
    let production = rules().find(|rule| names(rule.entry, &PRODUCTION))?;
    let other = rules().find(is_other)?;
    Some(Lint {
        code: LintCode::ProductionAndStaging,
        entries: vec![
            EntryRef::new(ListName::Allow, other),
            EntryRef::new(ListName::Allow, production),
        ],
        message: format!(
            "{other} stands beside {production}: production and another environment share this policy"
        ),
        advice: "give each environment a policy of its own, and a trust domain of its own"
            .to_owned(),
    })
}

/// `/prod/test-runner` is one workload of production; a pattern may well mean both.
fn is_other(rule: &RuleMatch<'_>) -> bool {
    let one_of_production = rule.kind != EntryKind::Patterns && names(rule.entry, &PRODUCTION);
    names(rule.entry, &OTHERS) && !one_of_production
}

fn names(entry: &str, environment: &[&str]) -> bool {
    let rest = entry.trim_start_matches('^').trim_start_matches(SCHEME);
    let (name, path) = rest.split_once('/').unwrap_or((rest, ""));
    // The top-level domain `.test` is reserved for examples (RFC 6761) and says nothing.
    let name = name.strip_suffix(".test").unwrap_or(name);
    let mut words = name.split(is_border).chain(path.split(is_border));
    words.any(|word| {
        environment
            .iter()
            .any(|known| word.eq_ignore_ascii_case(known))
    })
}

fn is_border(char: char) -> bool {
    !char.is_ascii_alphanumeric()
}
