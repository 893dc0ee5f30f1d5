//! Bundles of which none is the policy's: told of when it comes to that, and when it is over. SPIRE is
//! `Live` all the same, for it is there; only it may be the wrong one.

use std::sync::{Arc, Mutex, PoisonError};

use verdict::id::TrustDomain;
use verdict::policy::Policy;
use verdict::reason::Reason;
use verdict::time::Now;
use verdict::trust::{Foreign, Snapshot, Undelivered};

use super::faults::Faults;
use super::turn::Turn;
use crate::sparse::Rare;

/// What was seen last.
#[derive(Debug, Default)]
pub(super) struct Watch {
    turn: Turn,
    foreign: Mutex<Option<Foreign>>,
    undelivered: Mutex<Option<Undelivered>>,
    /// Bundles that SPIRE changes on and on are told of in so many lines.
    lines: Rare,
}

impl Watch {
    /// Of the first policy in force of which it is so, as last looked at.
    pub(super) fn foreign(&self) -> Option<Foreign> {
        let seen = self.foreign.lock();
        seen.unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Trust domains that policies in force name and that are not delivered, as last looked at.
    pub(super) fn undelivered(&self) -> Option<Undelivered> {
        let seen = self.undelivered.lock();
        seen.unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Looks, and tells what is new.
    pub(super) fn look(
        &self,
        snapshot: &Arc<Snapshot>,
        in_force: impl FnOnce() -> Vec<Arc<Policy>>,
        faults: impl FnOnce() -> Faults,
        now: Now,
    ) {
        if !self.turn.comes(snapshot, now) {
            return;
        }
        // Without the lock: many policies and trust domains take their time, and others ask meanwhile.
        let policies = in_force();
        self.look_for_undelivered(snapshot, &policies, &faults());
        let mut all = policies.iter();
        let foreign = all.find_map(|policy| snapshot.foreign_to(policy.allow()));
        let mut seen = self.foreign.lock().unwrap_or_else(PoisonError::into_inner);
        if foreign == *seen {
            return;
        }
        // Without bundles, or a policy, there is nothing to be glad of.
        let is_worth_it = foreign.is_some() || !(snapshot.is_empty() || policies.is_empty());
        if is_worth_it && let Some(left_out) = self.lines.admits() {
            tell(foreign.as_ref(), left_out.some());
        }
        *seen = foreign;
    }

    /// A bundle that came and cannot be read has a complaint of its own.
    fn look_for_undelivered(&self, snapshot: &Snapshot, policies: &[Arc<Policy>], faults: &Faults) {
        let allowlists = policies.iter().map(|policy| policy.allow());
        let is_unreadable = |domain: &TrustDomain| faults.unreadable.contains_key(&domain.id());
        let undelivered = snapshot.undelivered(allowlists, is_unreadable);
        let seen = self.undelivered.lock();
        *seen.unwrap_or_else(PoisonError::into_inner) = undelivered;
    }
}

fn tell(foreign: Option<&Foreign>, left_out: Option<u64>) {
    let Some(foreign) = foreign else {
        tracing::info!(
            left_out,
            "SPIRE delivers bundles of trust domains that the policy names"
        );
        return;
    };
    let (answered, remedy) = (Reason::UnknownTrustDomain.as_str(), foreign.remedy());
    tracing::warn!(
        error = %foreign, answered, remedy, left_out,
        "nobody whom the policy allows can be verified"
    );
}
