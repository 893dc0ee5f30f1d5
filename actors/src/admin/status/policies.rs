//! Policies in force.

use std::sync::atomic::Ordering::Relaxed;

use verdict::lists::ListSpec;

use super::{List, Policies, Policy, RefusedPushView};
use crate::configured::Configured;
use crate::metrics::Metrics;
use crate::policies::InForce;
use crate::refused::RefusedPush;

/// Policies shown: one proxy pushes one.
const POLICIES_SHOWN: usize = 8;

/// Entries of a list shown.
const ENTRIES_SHOWN: usize = 32;

impl Policies {
    pub(super) fn of(configured: &Configured, metrics: &Metrics) -> Self {
        let all = configured.policies().in_force();
        let shown = all.iter().take(POLICIES_SHOWN);
        Self {
            total: all.len(),
            shown: shown
                .map(|(policy, of_file)| Policy::of(policy, *of_file))
                .collect(),
            refused_push: configured
                .refused_push()
                .map(|push| RefusedPushView::of(push, metrics)),
        }
    }
}

impl RefusedPushView {
    fn of(push: RefusedPush, metrics: &Metrics) -> Self {
        Self {
            proxy: push.proxy,
            reason: push.reason,
            ago_ms: u64::try_from(push.at.elapsed().as_millis()).unwrap_or(u64::MAX),
            total: metrics.pushes_refused.load(Relaxed),
        }
    }
}

impl Policy {
    fn of(policy: &InForce, of_file: bool) -> Self {
        let spec = policy.policy.spec();
        let failure = &spec.failure;
        Self {
            source: if of_file { "file" } else { "push" }.to_owned(),
            fingerprint: Some(policy.fingerprint.to_string()),
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
