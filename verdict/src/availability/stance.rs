//! State × mode: what may be concluded (decisions, "Basis: state × mode").

use super::{Blame, Phase, State, Timing};
use crate::policy::{Failure, Mode};
use crate::time::{Contact, Now};

/// What may be concluded now.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Stance {
    /// Nothing: refuse (check 7).
    Refuse,
    /// Judge by the material at hand.
    Verify,
    /// Judge by the material, and let pass what fails as unverified.
    OpenMaterial,
    /// Let pass as unverified.
    Open,
}

impl Stance {
    /// Every stance.
    pub const ALL: [Self; 4] = [Self::Refuse, Self::Verify, Self::OpenMaterial, Self::Open];

    /// The label in the audit record.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Refuse => "Refuse",
            Self::Verify => "Verify",
            Self::OpenMaterial => "Open(material)",
            Self::Open => "Open",
        }
    }

    /// Whether checks 8 and 9 are run.
    #[must_use]
    pub const fn judges_trust(self) -> bool {
        match self {
            Self::Verify | Self::OpenMaterial => true,
            Self::Refuse | Self::Open => false,
        }
    }
}

/// State × mode, judged at this moment; `contact` is that of the material at hand, if any.
#[must_use]
pub fn stance(
    state: State,
    timing: Timing,
    contact: Option<Contact>,
    failure: &Failure,
    now: Now,
) -> Stance {
    let settled = state.settled(timing, now);
    match settled.phase() {
        Phase::Starting | Phase::Withdrawn => Stance::Refuse,
        Phase::Live | Phase::Interrupted => Stance::Verify,
        Phase::Outage => {
            let usable =
                contact.is_some_and(|contact| contact.age(now).within(failure.cache_ttl_ms()));
            in_outage(
                mode_in_force(failure.spire_unavailable, settled.blame()),
                usable,
            )
        }
    }
}

const fn mode_in_force(mode: Mode, blame: Blame) -> Mode {
    match (mode, blame) {
        (Mode::FailOpen, Blame::Ours) => Mode::FailClosed,
        (mode, Blame::Ours | Blame::Theirs) => mode,
    }
}

pub(crate) const fn in_outage(mode: Mode, usable_material: bool) -> Stance {
    match (mode, usable_material) {
        (Mode::FailClosed, _) | (Mode::Cache, false) => Stance::Refuse,
        (Mode::Cache, true) => Stance::Verify,
        (Mode::FailOpen, true) => Stance::OpenMaterial,
        (Mode::FailOpen, false) => Stance::Open,
    }
}
