//! Bundles that are none of the policy's: SPIRE is there, and nobody whom a policy allows can be verified.

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

impl Snapshot {
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
    let all: Vec<&str> = domains.map(TrustDomain::as_str).collect();
    let shown = all.get(..NAMES_MAX).unwrap_or(&all).join(", ");
    match all.len() {
        0 => none.to_owned(),
        n if n > NAMES_MAX => format!("{shown} and {} more", n - NAMES_MAX),
        _ => shown,
    }
}
