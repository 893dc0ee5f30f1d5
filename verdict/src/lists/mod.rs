//! Allowlist and denylist: which workloads a policy names, by exact ID, prefix, trust domain or pattern.
//!
//! What an operator wrote is compiled once, wholly or not at all; asking is then a few hash lookups
//! and, for patterns, a linear-time match. Whatever could silently match nothing, or more than it
//! says, is refused when it is compiled.

mod advice;
mod domains;
mod error;
pub mod limits;
mod lints;
mod pattern;
mod prefix;
mod rule;

use std::collections::hash_map::DefaultHasher;
use std::collections::{BTreeSet, HashMap};
use std::hash::{BuildHasherDefault, Hash};

pub use error::{EntryError, ListError};
pub use lints::{EntryRef, Lint, LintCode, ListName, lints};
pub use pattern::PatternError;
pub use rule::{EntryKind, RuleMatch};

use crate::id::{SpiffeId, TrustDomain, WorkloadId};
use pattern::{Budget, Pattern};
use prefix::Prefixes;

/// From an entry to its index in the specification. Only the operator inserts, so nobody can choose
/// collisions, and a fixed hasher keeps this crate free of a random source.
type Index<K> = HashMap<K, usize, BuildHasherDefault<DefaultHasher>>;

/// One list as the operator wrote it, nothing checked yet.
#[derive(Clone, Default, PartialEq, Eq, Hash, Debug)]
pub struct ListSpec {
    /// Workload IDs, each matching itself.
    pub exact: Vec<String>,
    /// `spiffe://TD[/path][/]`, matching on segment borders; a trailing `/` means only what lies below.
    pub prefix: Vec<String>,
    /// Trust domains, as `example.org` or `spiffe://example.org`, each matching all its workloads.
    pub trust_domains: Vec<String>,
    /// Regular expressions that match the whole ID.
    pub patterns: Vec<String>,
    /// Everybody.
    pub any: bool,
}

impl ListSpec {
    fn entries(&self, kind: EntryKind) -> &[String] {
        match kind {
            EntryKind::Exact => &self.exact,
            EntryKind::Prefix => &self.prefix,
            EntryKind::TrustDomains => &self.trust_domains,
            EntryKind::Patterns => &self.patterns,
            EntryKind::Any => &[],
        }
    }

    fn entry(&self, kind: EntryKind, index: usize) -> &str {
        self.entries(kind).get(index).map_or("", String::as_str)
    }
}

/// A list that was compiled: every entry of it is valid.
#[derive(Clone, Default, Debug)]
pub struct List {
    spec: ListSpec,
    exact: Index<WorkloadId>,
    prefixes: Prefixes,
    trust_domains: Index<TrustDomain>,
    patterns: Vec<(usize, Pattern)>,
    /// The first pattern `.*`, which means `any`.
    any_pattern: Option<usize>,
    /// The trust domains that entries name.
    domains: BTreeSet<TrustDomain>,
}

impl List {
    /// Compiles the whole specification.
    ///
    /// # Errors
    /// Every entry that is refused, in the order of [`EntryKind`]; if the list is too large, that alone.
    pub fn compile(spec: &ListSpec) -> Result<Self, Vec<EntryError>> {
        limits::check(spec).map_err(|error| vec![error])?;
        let mut list = Self {
            spec: spec.clone(),
            ..Self::default()
        };
        let mut errors = Vec::new();
        list.exact = indexed(spec, EntryKind::Exact, exact, &mut errors);
        list.prefixes = Prefixes::new(indexed(spec, EntryKind::Prefix, prefix::parse, &mut errors));
        list.trust_domains = indexed(spec, EntryKind::TrustDomains, trust_domain, &mut errors);
        list.compile_patterns(&mut errors);
        list.domains = list.collect_domains();
        if errors.is_empty() {
            Ok(list)
        } else {
            Err(errors)
        }
    }

    fn compile_patterns(&mut self, errors: &mut Vec<EntryError>) {
        let mut budget = Budget::default();
        for (index, entry) in self.spec.patterns.iter().enumerate() {
            match Pattern::parse(entry, &mut budget) {
                Ok(Some(pattern)) => self.patterns.push((index, pattern)),
                Ok(None) => self.any_pattern = self.any_pattern.or(Some(index)),
                Err(error) => errors.push(EntryError::new(
                    EntryKind::Patterns,
                    index,
                    entry,
                    error.into(),
                )),
            }
        }
    }

    /// The rule that covers `id`. Of several the first of: exact, the longest prefix, trust domain,
    /// `any`, the first pattern.
    #[must_use]
    pub fn matches(&self, id: &WorkloadId) -> Option<RuleMatch<'_>> {
        self.named(id)
            .or_else(|| self.any_rule())
            .or_else(|| self.pattern(id))
    }

    fn named(&self, id: &WorkloadId) -> Option<RuleMatch<'_>> {
        let exact = || Some((EntryKind::Exact, *self.exact.get(id)?));
        let prefix = || Some((EntryKind::Prefix, self.prefixes.find(id.as_str())?));
        let domain = || {
            Some((
                EntryKind::TrustDomains,
                *self.trust_domains.get(id.trust_domain())?,
            ))
        };
        let (kind, index) = exact().or_else(prefix).or_else(domain)?;
        Some(self.rule(kind, index))
    }

    fn any_rule(&self) -> Option<RuleMatch<'_>> {
        if self.spec.any {
            return Some(self.rule(EntryKind::Any, 0));
        }
        self.any_pattern
            .map(|index| self.rule(EntryKind::Patterns, index))
    }

    fn pattern(&self, id: &WorkloadId) -> Option<RuleMatch<'_>> {
        let (index, _) = self
            .patterns
            .iter()
            .find(|(_, pattern)| pattern.matches(id))?;
        Some(self.rule(EntryKind::Patterns, *index))
    }

    fn rule(&self, kind: EntryKind, index: usize) -> RuleMatch<'_> {
        RuleMatch {
            kind,
            index,
            entry: self.spec.entry(kind, index),
        }
    }

    /// All entries of a kind, as rules.
    fn rules(&self, kind: EntryKind) -> impl Iterator<Item = RuleMatch<'_>> {
        let entries = self.spec.entries(kind).iter().enumerate();
        entries.map(move |(index, entry)| RuleMatch { kind, index, entry })
    }

    /// The trust domain of a pattern that fits only one.
    fn pattern_domain(&self, index: usize) -> Option<&TrustDomain> {
        self.patterns
            .iter()
            .find(|(at, _)| *at == index)?
            .1
            .trust_domain()
    }

    /// Whether the list covers nobody at all.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.spec == ListSpec::default()
    }

    /// Whether the list covers everybody, by `any` or by the pattern `.*`.
    #[must_use]
    pub fn is_any(&self) -> bool {
        self.spec.any || self.any_pattern.is_some()
    }

    /// What the operator wrote; lists are equal when this is.
    #[must_use]
    pub fn spec(&self) -> &ListSpec {
        &self.spec
    }
}

impl PartialEq for List {
    fn eq(&self, other: &Self) -> bool {
        self.spec == other.spec
    }
}

impl Eq for List {}

/// Parses all entries of a kind; of the same entry twice, the first is the one that matches.
fn indexed<K: Eq + Hash>(
    spec: &ListSpec,
    kind: EntryKind,
    parse: fn(&str) -> Result<K, ListError>,
    errors: &mut Vec<EntryError>,
) -> Index<K> {
    let mut parsed = Index::default();
    for (index, entry) in spec.entries(kind).iter().enumerate() {
        match parse(entry) {
            Ok(key) => _ = parsed.entry(key).or_insert(index),
            Err(error) => errors.push(EntryError::new(kind, index, entry, error)),
        }
    }
    parsed
}

fn exact(entry: &str) -> Result<WorkloadId, ListError> {
    Ok(WorkloadId::try_from(SpiffeId::parse(entry.as_bytes())?)?)
}

fn trust_domain(entry: &str) -> Result<TrustDomain, ListError> {
    Ok(TrustDomain::from_config(entry)?)
}
