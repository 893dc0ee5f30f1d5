//! Whether the bundles at hand can verify anybody: an authority ends by time alone, and says nothing.

use super::Snapshot;
use crate::anchors::Barren;
use crate::id::TrustDomain;
use crate::time::Now;

/// Of how many trust domains at hand somebody can be verified.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Coverage {
    /// Of each; so too where there is no bundle at all, which is another matter.
    #[default]
    Every,
    /// Not of each.
    Some,
    /// Of none.
    Nobody,
}

impl Coverage {
    /// With so many domains of which nobody can be verified.
    #[must_use]
    pub const fn of(barren: usize, domains: usize) -> Self {
        match barren {
            0 => Self::Every,
            n if n < domains => Self::Some,
            _ => Self::Nobody,
        }
    }
}

impl Snapshot {
    /// Trust domains that have a bundle and no usable authority, each with why.
    pub fn barren(&self, now: Now) -> impl Iterator<Item = (&TrustDomain, Barren)> {
        self.iter().filter_map(move |(domain, bundle)| {
            let why = bundle.anchors().barren_at(now.unix_seconds())?;
            Some((domain, why))
        })
    }
}
