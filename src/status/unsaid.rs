//! What a status holds and no line of it says: what SPIRE said before it went, and whom it leaves out.

use std::collections::BTreeSet;

use actors::admin::status::{Status, TrustView};
use actors::bundles::obstacle::Obstacle;

/// Trust domains that are named.
const DOMAINS: usize = 4;

/// Of an agent that SPIRE refused before something else got in the way: that it is back will not do.
pub(crate) fn refused_before(trust: &TrustView) -> Option<&'static str> {
    let error = trust.error.as_deref().unwrap_or_default();
    let is_other = !error.is_empty() && !error.contains(Obstacle::NotRegistered.what());
    (trust.state == "Withdrawn" && is_other).then_some(
        "SPIRE refused this agent before that: when it is back, register the agent again (its log has the entry); or its state-dir could not be looked into, as its log says",
    )
}

/// Trust domains that the allowlists name, while SPIRE delivers others alone.
pub(super) fn undelivered(status: &Status) -> Option<String> {
    let trust = &status.trust;
    let is_known = trust.domains_total > 0 && trust.domains_total == trust.domains.len();
    if !is_known || trust.foreign.is_some() {
        return None;
    }
    let delivered: BTreeSet<&str> = trust
        .domains
        .iter()
        .map(|one| name(&one.trust_domain))
        .collect();
    let policies = status.policies.shown.iter();
    let entries = policies.flat_map(|policy| &policy.allowlist.shown);
    let entries = entries.filter_map(|entry| entry.split_once(' '));
    // A pattern names none.
    let named = entries.filter(|(kind, _)| *kind != "patterns");
    let named: BTreeSet<&str> = named.map(|(_, entry)| name(entry)).collect();
    let missing: Vec<&str> = named
        .difference(&delivered)
        .take(DOMAINS)
        .copied()
        .collect();
    (!missing.is_empty()).then(|| missing.join(", "))
}

/// The trust domain of an ID, or of what begins one.
fn name(id: &str) -> &str {
    let rest = id.strip_prefix("spiffe://").unwrap_or(id);
    rest.split('/').next().unwrap_or_default()
}
