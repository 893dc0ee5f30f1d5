//! Policies in force.

use verdict::lists::ListSpec;

use super::{List, Policies, Policy};
use crate::configured::Configured;
use crate::policies::InForce;

/// Policies shown: one proxy pushes one.
const POLICIES_SHOWN: usize = 8;

/// Entries of a list shown.
const ENTRIES_SHOWN: usize = 32;

impl Policies {
    pub(super) fn of(configured: &Configured) -> Self {
        let all = configured.policies().in_force();
        let shown = all.iter().take(POLICIES_SHOWN);
        Self {
            total: all.len(),
            shown: shown
                .map(|(policy, of_file)| Policy::of(policy, *of_file))
                .collect(),
        }
    }
}

impl Policy {
    fn of(policy: &InForce, of_file: bool) -> Self {
        let spec = policy.policy.spec();
        let failure = &spec.failure;
        Self {
            source: if of_file { "file" } else { "push" }.to_owned(),
            mode: failure.spire_unavailable.as_str().to_owned(),
            validation_failure: failure.validation_failure.as_str().to_owned(),
            enforce: failure.enforce,
            require_mtls: spec.tls.require_mtls,
            client_cert_header: spec.tls.client_cert_header.as_str().to_owned(),
            client_cert_format: spec.tls.client_cert_format.as_str().to_owned(),
            cache_ttl_s: failure.cache_ttl_s,
            unavailable_status: failure.unavailable_status.get(),
            reveal_reason: failure.reveal_reason,
            allowlist: List::of(spec.allowlist.spec()),
            denylist: List::of(spec.denylist.spec()),
        }
    }
}

impl List {
    fn of(spec: &ListSpec) -> Self {
        let kinds = [
            ("exact", &spec.exact),
            ("prefix", &spec.prefix),
            ("trust-domains", &spec.trust_domains),
            ("patterns", &spec.patterns),
        ];
        let entries = kinds
            .iter()
            .flat_map(|(kind, entries)| entries.iter().map(move |entry| format!("{kind} {entry}")));
        Self {
            any: spec.any,
            total: kinds.iter().map(|(_, entries)| entries.len()).sum(),
            shown: entries.take(ENTRIES_SHOWN).collect(),
        }
    }
}
