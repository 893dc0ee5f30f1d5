//! `allowlist` and `denylist`: compiled when they are read, and never again, so that each mistake has
//! its place.

use std::sync::Arc;

use verdict::lists::{EntryError, EntryKind, List, ListSpec};

use crate::decode::Block;
use crate::problem::{Problem, Rule, Shown};
use crate::tree::Place;

/// The list; empty where an entry is refused, for then there is no configuration.
pub(super) fn read(block: &mut Block<'_, '_>) -> Arc<List> {
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
    let compiled = List::compile(&spec).unwrap_or_else(|errors| {
        for error in errors {
            let problem = entry_problem(&error, place(&error));
            block.decoder().problems.push(problem);
        }
        List::default()
    });
    Arc::new(compiled)
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
