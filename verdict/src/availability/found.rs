//! What an earlier process left.

use super::{Refusal, Timing};
use crate::time::{Age, Contact, Now};

/// What lay on disk when the process started.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Found {
    /// No material, or none that is usable.
    Nothing,
    /// Material with this contact.
    Material(Contact),
    /// The mark of a withdrawal.
    Tombstone,
}

/// What an earlier process has noted of a refusal that no full update has ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Earlier {
    /// Nothing.
    Nothing,
    /// SPIRE said no, at first then.
    Refused(Contact),
    /// SPIRE said no, nobody knows since when: longer than any grace.
    RefusedLongAgo,
}

impl Earlier {
    /// Aged as a contact is, by the larger of both clocks; what lies in the future has no known age.
    pub(super) fn refusal(self, timing: Timing, now: Now) -> Refusal {
        let age_ms = match self {
            Self::Nothing => return Refusal::Never,
            Self::Refused(first) => match first.age(now) {
                Age::Ms(age_ms) => age_ms,
                Age::InTheFuture => timing.withdrawal_grace_ms,
            },
            Self::RefusedLongAgo => timing.withdrawal_grace_ms,
        };
        Refusal::Since(now.boot_ms.saturating_sub_unsigned(age_ms))
    }
}
