//! What an allowed request carries to the upstream.
//!
//! Every header a back end could take for one of ours is removed, then ours are set: as many as the
//! passage has. A verified identity looks the same whether the source was live or cached.

use std::borrow::Cow;

use crate::decide::{Passage, Permit};
use crate::headers::{IdentityHeaders, Slot};
use crate::time::{Age, Now};
use crate::trust::Basis;

/// One change to the request's headers; they are applied in order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum HeaderOp<'a> {
    /// Drop every value of this name.
    Remove(&'a str),
    /// Replace every value of this name by one.
    Set(&'a str, Cow<'a, str>),
}

/// The changes for a permitted request; `seen` are the names of its headers as they came.
#[must_use]
pub fn header_ops<'a>(
    permit: &'a Permit,
    basis: Option<&Basis>,
    names: &'a IdentityHeaders,
    seen: &[&'a str],
    now: Now,
) -> Vec<HeaderOp<'a>> {
    let spoofed = seen
        .iter()
        .copied()
        .filter(|name| names.claims(name))
        .map(HeaderOp::Remove);
    let mut ops: Vec<_> = spoofed.collect();
    for (slot, name) in names.iter() {
        // Removed even if not seen: what the proxy did not show us must not pass either.
        ops.push(HeaderOp::Remove(name.as_str()));
        if let Some(value) = value(slot, permit.passage(), basis, now) {
            ops.push(HeaderOp::Set(name.as_str(), value));
        }
    }
    ops
}

fn value<'a>(
    slot: Slot,
    passage: &'a Passage,
    basis: Option<&Basis>,
    now: Now,
) -> Option<Cow<'a, str>> {
    match (passage, slot) {
        (Passage::Verified(identity), Slot::SpiffeId) => {
            Some(Cow::Borrowed(identity.id().as_str()))
        }
        (Passage::Verified(identity), Slot::TrustDomain) => {
            Some(Cow::Borrowed(identity.id().trust_domain().as_str()))
        }
        (Passage::Verified(identity), Slot::WorkloadId) => {
            Some(Cow::Borrowed(identity.id().path()))
        }
        (Passage::Verified(_), Slot::AuthMethod) => Some(Cow::Borrowed("spiffe")),
        (Passage::Verified(_), Slot::AuthTimestamp) => {
            Some(Cow::Owned(now.unix_seconds().0.to_string()))
        }
        (Passage::Verified(_), Slot::TrustBasis) => {
            basis.map(|basis| Cow::Owned(trust_basis(basis)))
        }
        (Passage::Unverified(why), Slot::AuthMethod) => Some(Cow::Borrowed(why.auth_method())),
        (
            Passage::Unverified(_),
            Slot::SpiffeId
            | Slot::TrustDomain
            | Slot::WorkloadId
            | Slot::AuthTimestamp
            | Slot::TrustBasis,
        )
        | (Passage::Anonymous, _) => None,
    }
}

/// The value of the `trust-basis` header: the state and the age of the material, in seconds.
#[must_use]
pub fn trust_basis(basis: &Basis) -> String {
    match basis.age {
        Some(Age::Ms(age_ms)) => format!("{};age={}", basis.phase.as_str(), age_ms / 1000),
        Some(Age::InTheFuture) | None => basis.phase.as_str().to_owned(),
    }
}
