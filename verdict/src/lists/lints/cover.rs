//! Which rule of a list covers everything that an entry covers.

use crate::id::{SCHEME, SpiffeId, TrustDomain};
use crate::lists::{EntryKind, List, RuleMatch, exact, trust_domain};

/// Where the covering rule is looked for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Within {
    /// In the entry's own list: the entry itself, and what is no broader, do not count.
    SameList,
    /// In the other list.
    OtherList,
}

/// The entry's text, the same for entries that cover the same: `spiffe://td` and `spiffe://td/`, `td` and `spiffe://td`.
pub(super) fn same_as(rule: RuleMatch<'_>) -> String {
    match rule.kind {
        EntryKind::Prefix => same_prefix(rule.entry),
        EntryKind::TrustDomains => {
            trust_domain(rule.entry).map_or_else(|_| rule.entry.to_owned(), |name| name.id())
        }
        _ => rule.entry.to_owned(),
    }
}

/// No workload has the ID of its trust domain, so a trailing slash makes no difference there.
fn same_prefix(entry: &str) -> String {
    match entry.strip_prefix(SCHEME) {
        Some(name) if !name.contains('/') => format!("{entry}/"),
        _ => entry.to_owned(),
    }
}

fn is_same_prefix(rule: RuleMatch<'_>, prefix: &str) -> bool {
    rule.kind == EntryKind::Prefix && same_prefix(rule.entry) == same_prefix(prefix)
}

/// The rule of `list` that covers all of `rule`, an entry of `home`.
pub(super) fn covering<'l>(
    home: &List,
    list: &'l List,
    rule: RuleMatch<'_>,
    within: Within,
) -> Option<RuleMatch<'l>> {
    let reach = Reach::of(home, rule);
    let found = match (within, rule.kind) {
        // Nothing but `any` is broader than a trust domain.
        (Within::SameList, EntryKind::TrustDomains) => None,
        (Within::SameList, _) => reach.below(list, |start| is_same_prefix(rule, start)),
        (Within::OtherList, _) => reach
            .same(list, rule)
            .or_else(|| reach.below(list, |_| false)),
    };
    let any = || {
        list.any_rule().filter(|any| {
            within == Within::OtherList || (any.kind, any.index) != (rule.kind, rule.index)
        })
    };
    found.or_else(any).or_else(|| reach.pattern(list, rule))
}

/// What an entry covers, as far as it can be compared.
struct Reach {
    /// An ID which only a prefix covers that covers the entry; `*` stands in no ID.
    probe: Option<String>,
    trust_domain: Option<TrustDomain>,
}

impl Reach {
    fn of(home: &List, rule: RuleMatch<'_>) -> Self {
        let (probe, trust_domain) = match rule.kind {
            EntryKind::Exact => (Some(rule.entry.to_owned()), name_of(rule.entry)),
            EntryKind::Prefix => {
                let same = same_prefix(rule.entry);
                let probe = if same.ends_with('/') {
                    format!("{same}*")
                } else {
                    same
                };
                (Some(probe), name_of(rule.entry.trim_end_matches('/')))
            }
            EntryKind::TrustDomains => whole(trust_domain(rule.entry).ok()),
            EntryKind::Patterns => whole(home.pattern_domain(rule.index).cloned()),
            EntryKind::Any => (None, None),
        };
        Self {
            probe,
            trust_domain,
        }
    }

    fn below<'l>(&self, list: &'l List, skip: impl Fn(&str) -> bool) -> Option<RuleMatch<'l>> {
        let prefix = self
            .probe
            .as_deref()
            .and_then(|probe| list.prefixes.find_but(probe, skip));
        let domain = || list.trust_domains.get(self.trust_domain.as_ref()?).copied();
        prefix
            .map(|index| list.rule(EntryKind::Prefix, index))
            .or_else(|| Some(list.rule(EntryKind::TrustDomains, domain()?)))
    }

    fn same<'l>(&self, list: &'l List, rule: RuleMatch<'_>) -> Option<RuleMatch<'l>> {
        let mut same_kind = list.rules(rule.kind);
        match rule.kind {
            EntryKind::Exact => Some(list.rule(EntryKind::Exact, *list.exact.get(rule.entry)?)),
            EntryKind::Patterns => same_kind.find(|other| other.entry == rule.entry),
            // Compared by `below`.
            EntryKind::Prefix | EntryKind::TrustDomains | EntryKind::Any => None,
        }
    }

    /// Only a single ID can be asked of a pattern.
    fn pattern<'l>(&self, list: &'l List, rule: RuleMatch<'_>) -> Option<RuleMatch<'l>> {
        if rule.kind != EntryKind::Exact {
            return None;
        }
        list.pattern(&exact(rule.entry).ok()?)
    }
}

fn name_of(id: &str) -> Option<TrustDomain> {
    Some(SpiffeId::parse(id.as_bytes()).ok()?.trust_domain().clone())
}

fn whole(name: Option<TrustDomain>) -> (Option<String>, Option<TrustDomain>) {
    (name.as_ref().map(|name| format!("{}/*", name.id())), name)
}
