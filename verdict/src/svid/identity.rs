//! What a valid path proves, and for how long.

use super::leaf::Leaf;
use super::refusal::{Place, Refusal};
use super::validity::Window;
use crate::id::WorkloadId;
use crate::time::UnixSeconds;
use std::sync::Arc;

/// An identity that [`super::validate`] has proven against a bundle. Nothing else makes one.
///
/// It holds against that bundle only: whoever remembers it must remember the bundle's generation
/// too. Cloning costs a counter.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VerifiedIdentity {
    proof: Arc<Proof>,
}

#[derive(Debug, PartialEq, Eq)]
struct Proof {
    id: WorkloadId,
    limits: PathWindow,
    leaf_sha256: [u8; 32],
}

impl VerifiedIdentity {
    pub(super) fn proven(leaf: &Leaf, limits: PathWindow) -> Self {
        let proof = Proof {
            id: leaf.id().clone(),
            limits,
            leaf_sha256: *leaf.sha256(),
        };
        Self {
            proof: Arc::new(proof),
        }
    }

    /// The workload.
    #[must_use]
    pub fn id(&self) -> &WorkloadId {
        &self.proof.id
    }

    /// The latest notBefore of the path, the anchor's included.
    #[must_use]
    pub fn not_before(&self) -> UnixSeconds {
        self.proof.limits.window.not_before
    }

    /// The earliest notAfter of the path, the anchor's included.
    #[must_use]
    pub fn not_after(&self) -> UnixSeconds {
        self.proof.limits.window.not_after
    }

    /// SHA-256 of the leaf's DER.
    #[must_use]
    pub fn leaf_sha256(&self) -> &[u8; 32] {
        &self.proof.leaf_sha256
    }

    /// Whether every certificate of the path is valid at this time.
    ///
    /// # Errors
    /// [`Refusal::Expired`] or [`Refusal::NotYetValid`], of the certificate that limits the path.
    pub fn judge(&self, now: UnixSeconds) -> Result<(), Refusal> {
        self.proof.limits.judge(now)
    }
}

/// When every certificate of a path is valid, and which of them say so.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct PathWindow {
    window: Window,
    begins: Place,
    ends: Place,
}

impl PathWindow {
    pub(super) const fn of_leaf(leaf: Window) -> Self {
        Self {
            window: leaf,
            begins: Place::Leaf,
            ends: Place::Leaf,
        }
    }

    /// Narrowed by one more certificate of the path.
    pub(super) fn and(mut self, other: Window, place: Place) -> Self {
        if other.not_before > self.window.not_before {
            self.window.not_before = other.not_before;
            self.begins = place;
        }
        if other.not_after < self.window.not_after {
            self.window.not_after = other.not_after;
            self.ends = place;
        }
        self
    }

    pub(super) fn judge(&self, now: UnixSeconds) -> Result<(), Refusal> {
        let place = if now > self.window.not_after {
            self.ends
        } else {
            self.begins
        };
        self.window.judge(now, place)
    }
}
