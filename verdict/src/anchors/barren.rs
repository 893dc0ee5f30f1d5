//! Why no authority of a bundle verifies anybody: not what is wrong with one, but with all of them.

use super::AnchorSet;
use crate::reason::Reason;
use crate::svid::Refusal;
use crate::time::UnixSeconds;

/// Why nobody of a trust domain can be verified now, though there is a bundle.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Barren {
    /// There is none.
    #[error("its bundle holds no authority")]
    Empty,
    /// Each has ended.
    #[error("every authority of its bundle has expired, the last one {seconds_ago} s ago")]
    Expired {
        /// Since the last one.
        seconds_ago: u64,
    },
    /// None has begun that has not ended.
    #[error("no authority of its bundle is valid yet, the next one in {seconds_ahead} s")]
    NotYetValid {
        /// Until the next one.
        seconds_ahead: u64,
    },
    /// None will ever be of use.
    #[error("no authority of its bundle may be used: {0}")]
    Unfit(Refusal),
}

impl Barren {
    /// What its callers are answered.
    #[must_use]
    pub const fn reason(&self) -> Reason {
        match self {
            Self::Empty | Self::Unfit(_) => Reason::Untrusted,
            Self::Expired { .. } => Reason::Expired,
            Self::NotYetValid { .. } => Reason::NotYetValid,
        }
    }

    /// What to do about it.
    #[must_use]
    pub const fn remedy(&self) -> &'static str {
        match self {
            Self::Empty => {
                "that domain's SPIRE publishes no authority: look there (spire-server bundle show), and at the federation"
            }
            Self::Expired { .. } => {
                "rotate or renew the authority in that domain's SPIRE (spire-server localauthority x509), or mend the \
                 federation that no longer brings the new one; is this machine's clock ahead (timedatectl)?"
            }
            Self::NotYetValid { .. } => {
                "is this machine's clock behind (timedatectl, chronyc tracking)? else that of the SPIRE server is ahead"
            }
            Self::Unfit(_) => {
                "have that domain's SPIRE issue its authority anew: what it publishes is no authority"
            }
        }
    }

    fn of(refusal: Refusal) -> Self {
        match refusal {
            Refusal::Expired { seconds_ago, .. } => Self::Expired { seconds_ago },
            Refusal::NotYetValid { seconds_ahead, .. } => Self::NotYetValid { seconds_ahead },
            other => Self::Unfit(other),
        }
    }

    /// Of two authorities the one that is nearest to being of use is told of.
    fn or(self, other: Self) -> Self {
        match (&self, &other) {
            (Self::NotYetValid { seconds_ahead: a }, Self::NotYetValid { seconds_ahead: b })
            | (Self::Expired { seconds_ago: a }, Self::Expired { seconds_ago: b })
                if b < a =>
            {
                other
            }
            (Self::NotYetValid { .. }, _) => self,
            (_, Self::NotYetValid { .. }) => other,
            (Self::Expired { .. }, _) => self,
            (_, Self::Expired { .. }) | (Self::Empty, _) => other,
            (Self::Unfit(_), _) => self,
        }
    }
}

impl AnchorSet {
    /// Why none of it verifies anybody at this moment; `None` while one does.
    #[must_use]
    pub fn barren_at(&self, now: UnixSeconds) -> Option<Barren> {
        let mut why = Barren::Empty;
        for anchor in self {
            match anchor.usable_at(now) {
                Ok(()) => return None,
                Err(refusal) => why = why.or(Barren::of(refusal)),
            }
        }
        Some(why)
    }
}
