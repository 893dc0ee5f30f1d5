//! `allowlist` and `denylist`: every entry is compiled when it is read, so that each mistake has its place.

use verdict::lists::{EntryError, EntryKind, List, ListSpec};

use crate::decode::Block;
use crate::problem::{Problem, Rule, Shown};
use crate::tree::Place;

pub(super) fn read(block: &mut Block<'_, '_>) -> ListSpec {
    let mut entries = |kind: EntryKind| {
        let texts = block.list(kind.as_str()).unwrap_or_default();
        let (texts, places): (Vec<&str>, Vec<&Place>) = texts.into_iter().unzip();
        let texts = texts.into_iter().map(str::to_owned).collect();
        (texts, places)
    };
    let (exact, exact_at) = entries(EntryKind::Exact);
    let (prefix, prefix_at) = entries(EntryKind::Prefix);
    let (trust_domains, domains_at) = entries(EntryKind::TrustDomains);
    let (patterns, patterns_at) = entries(EntryKind::Patterns);
    let spec = ListSpec {
        exact,
        prefix,
        trust_domains,
        patterns,
        any: block.switch("any").unwrap_or(false),
    };
    let place = |error: &EntryError| {
        let places = match error.kind {
            EntryKind::Exact => &exact_at,
            EntryKind::Prefix => &prefix_at,
            EntryKind::TrustDomains => &domains_at,
            EntryKind::Patterns | EntryKind::Any => &patterns_at,
        };
        let at = places.get(error.index);
        at.map_or(Place::Whole, |at| (*at).clone())
    };
    for error in List::compile(&spec).err().unwrap_or_default() {
        let problem = entry_problem(&error, place(&error));
        block.decoder().problems.push(problem);
    }
    spec
}

fn entry_problem(error: &EntryError, at: Place) -> Problem {
    let rule = Rule::ListEntry {
        key: error.kind.as_str(),
        entry: Shown::new(error.entry()),
        error: error.error.clone(),
    };
    let mut problem = Problem::new(at, rule);
    problem.advice = error.advice();
    problem
}
