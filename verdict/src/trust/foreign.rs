//! Bundles that are none of the policy's: SPIRE is there, and nobody whom a policy allows can be verified.

use std::collections::BTreeSet;

use super::Snapshot;
use crate::id::TrustDomain;
use crate::lists::List;

/// Names told in one text; each more is counted.
const NAMES_MAX: usize = 4;

/// SPIRE delivers bundles, and none of any trust domain that the allowlist names.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "SPIRE delivers no bundle of any trust domain that the allowlist names ({named}), but of {delivered}"
)]
pub struct Foreign {
    named: String,
    delivered: String,
}

impl Foreign {
    /// What to do about it.
    #[must_use]
    pub fn remedy(&self) -> String {
        let named = &self.named;
        format!(
            "is this the right SPIRE? --spire-socket says which; if it is, federate it with {named}, with \
             -federatesWith on this agent's own entry, or see whether the allowlist names the right trust domains"
        )
    }
}

/// SPIRE delivers bundles, and none of some trust domains that allowlists name.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("an allowlist names {}, and SPIRE delivers no bundle of that name", self.names())]
pub struct Undelivered {
    domains: Vec<TrustDomain>,
    total: usize,
}

impl Undelivered {
    /// The first few, in order.
    pub fn domains(&self) -> impl Iterator<Item = &TrustDomain> {
        self.domains.iter()
    }

    /// How many there are.
    #[must_use]
    pub const fn total(&self) -> usize {
        self.total
    }

    /// What to do about it.
    #[must_use]
    pub fn remedy(&self) -> String {
        let names = self.names();
        format!(
            "federate SPIRE with {names}, and add -federatesWith to this agent's own entry; or see whether the \
             allowlist names the right trust domains"
        )
    }

    fn names(&self) -> String {
        told(self.domains.iter(), self.total)
    }
}

impl Snapshot {
    /// Trust domains that these allowlists name and that are not here, but for those that came and cannot
    /// be read. No bundles at all are another matter.
    pub fn undelivered<'a>(
        &self,
        allowlists: impl Iterator<Item = &'a List>,
        is_unreadable: impl Fn(&TrustDomain) -> bool,
    ) -> Option<Undelivered> {
        if self.is_empty() {
            return None;
        }
        let named: BTreeSet<&TrustDomain> = allowlists.flat_map(List::domains).collect();
        let is_missing =
            |domain: &&TrustDomain| !self.bundles.contains_key(*domain) && !is_unreadable(domain);
        let mut missing = named.into_iter().filter(is_missing);
        let domains: Vec<TrustDomain> = missing.by_ref().take(NAMES_MAX).cloned().collect();
        let total = domains.len().saturating_add(missing.count());
        (total > 0).then_some(Undelivered { domains, total })
    }

    /// Whether nobody whom this allowlist may cover can be verified, for want of a bundle of his trust
    /// domain. No bundles at all, and a list that allows nobody, are other matters.
    #[must_use]
    pub fn foreign_to(&self, allowlist: &List) -> Option<Foreign> {
        let covered = || self.iter().any(|(domain, _)| allowlist.may_cover(domain));
        if self.is_empty() || allowlist.is_empty() || covered() {
            return None;
        }
        let mut delivered: Vec<&TrustDomain> = self.iter().map(|(domain, _)| domain).collect();
        delivered.sort();
        Some(Foreign {
            named: names(allowlist.domains(), "those that its patterns fit"),
            delivered: names(delivered.into_iter(), ""),
        })
    }
}

fn names<'a>(domains: impl Iterator<Item = &'a TrustDomain>, none: &str) -> String {
    let all: Vec<&TrustDomain> = domains.collect();
    match all.len() {
        0 => none.to_owned(),
        total => told(all.into_iter(), total),
    }
}

/// The first few of so many.
fn told<'a>(domains: impl Iterator<Item = &'a TrustDomain>, total: usize) -> String {
    let shown: Vec<&str> = domains.take(NAMES_MAX).map(TrustDomain::as_str).collect();
    match total.saturating_sub(shown.len()) {
        0 => shown.join(", "),
        more => format!("{} and {more} more", shown.join(", ")),
    }
}
