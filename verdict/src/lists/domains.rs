//! The trust domains that a list names: who is of none of them is covered by no entry.

use std::collections::BTreeSet;

use super::List;
use crate::id::{SpiffeId, TrustDomain};

impl List {
    /// Whether an entry may cover a workload of this trust domain.
    #[must_use]
    pub fn may_cover(&self, domain: &TrustDomain) -> bool {
        let fits = || {
            let mut patterns = self.patterns.iter();
            patterns.any(|(_, pattern)| pattern.fits_domain(domain))
        };
        self.is_any() || self.domains.contains(domain) || fits()
    }

    /// The trust domains that entries name, in order. A pattern that fits several names none.
    pub fn domains(&self) -> impl Iterator<Item = &TrustDomain> {
        self.domains.iter()
    }

    /// Collects them, once.
    pub(super) fn collect_domains(&self) -> BTreeSet<TrustDomain> {
        let exact = self.exact.keys().map(|id| id.trust_domain().clone());
        let prefixes = self.spec.prefix.iter().filter_map(|entry| {
            let entry = entry.strip_suffix('/').unwrap_or(entry);
            let id = SpiffeId::parse(entry.as_bytes()).ok()?;
            Some(id.trust_domain().clone())
        });
        let patterns = self.patterns.iter();
        let patterns = patterns.filter_map(|(_, pattern)| pattern.trust_domain().cloned());
        let all = exact.chain(prefixes).chain(patterns);
        all.chain(self.trust_domains.keys().cloned()).collect()
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test may panic")]

    use super::*;
    use crate::lists::ListSpec;

    fn domain(name: &str) -> TrustDomain {
        TrustDomain::parse(name.as_bytes()).unwrap()
    }

    #[test]
    fn every_kind_of_entry_names_its_domain_and_no_other() {
        let list = List::compile(&ListSpec {
            exact: vec!["spiffe://a.test/x".to_owned()],
            prefix: vec![
                "spiffe://b.test".to_owned(),
                "spiffe://c.test/y/".to_owned(),
            ],
            trust_domains: vec!["d.test".to_owned()],
            patterns: vec![
                r"spiffe://e\.test/.*".to_owned(),
                r"spiffe://f[0-9]+\.test/.*".to_owned(),
            ],
            any: false,
        })
        .unwrap();
        let named: Vec<&str> = list.domains().map(TrustDomain::as_str).collect();
        assert_eq!(named, ["a.test", "b.test", "c.test", "d.test", "e.test"]);
        for name in named.iter().chain(&["f7.test"]) {
            assert!(list.may_cover(&domain(name)), "{name}");
        }
        for name in ["test", "x.a.test", "f.test", "g.test"] {
            assert!(!list.may_cover(&domain(name)), "{name}");
        }
    }

    #[test]
    fn everybody_is_of_any_domain_and_nobody_of_none() {
        let list = |any| {
            let spec = ListSpec {
                any,
                ..ListSpec::default()
            };
            List::compile(&spec).unwrap()
        };
        assert!(list(true).may_cover(&domain("a.test")));
        assert!(!list(false).may_cover(&domain("a.test")));
    }
}
