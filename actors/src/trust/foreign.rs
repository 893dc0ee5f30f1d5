//! Bundles of which none is the policy's: told of when it comes to that, and when it is over. SPIRE is
//! `Live` all the same, for it is there; only it may be the wrong one.

use std::sync::{Arc, Mutex, PoisonError};

use verdict::policy::Policy;
use verdict::reason::Reason;
use verdict::time::Now;
use verdict::trust::{Foreign, Snapshot};

/// How often bundles that nobody changed are held against the policies again, milliseconds of boot time:
/// a push may bring another one.
const LOOK_EVERY_MS: i64 = 1_000;

/// What was seen last.
#[derive(Debug, Default)]
pub(super) struct Watch(Mutex<Seen>);

#[derive(Debug, Default)]
struct Seen {
    last: Option<(Arc<Snapshot>, i64)>,
    foreign: Option<Foreign>,
}

impl Watch {
    /// Of the first policy in force of which it is so, as last looked at.
    pub(super) fn foreign(&self) -> Option<Foreign> {
        let seen = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        seen.foreign.clone()
    }

    /// Looks, and tells what is new.
    pub(super) fn look(
        &self,
        snapshot: &Arc<Snapshot>,
        in_force: impl FnOnce() -> Vec<Arc<Policy>>,
        now: Now,
    ) {
        if !self.takes_turn(snapshot, now) {
            return;
        }
        // Without the lock: many policies and trust domains take their time, and others ask meanwhile.
        let policies = in_force();
        let mut all = policies.iter();
        let foreign = all.find_map(|policy| snapshot.foreign_to(policy.allow()));
        let mut seen = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if foreign == seen.foreign {
            return;
        }
        match &foreign {
            Some(foreign) => warn(foreign),
            // Without bundles, or a policy, there is nothing to be glad of.
            None if snapshot.is_empty() || policies.is_empty() => {}
            None => tracing::info!("SPIRE delivers bundles of trust domains that the policy names"),
        }
        seen.foreign = foreign;
    }
}

impl Watch {
    /// Whether it is time to look; then nobody else does.
    fn takes_turn(&self, snapshot: &Arc<Snapshot>, now: Now) -> bool {
        let mut seen = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let is_due = seen.is_due(snapshot, now);
        if is_due {
            seen.last = Some((Arc::clone(snapshot), now.boot_ms));
        }
        is_due
    }
}

impl Seen {
    fn is_due(&self, snapshot: &Arc<Snapshot>, now: Now) -> bool {
        self.last.as_ref().is_none_or(|(seen, at)| {
            let passed_ms = now.boot_ms.saturating_sub(*at);
            !Arc::ptr_eq(seen, snapshot) || !(0..LOOK_EVERY_MS).contains(&passed_ms)
        })
    }
}

fn warn(foreign: &Foreign) {
    let (answered, remedy) = (Reason::UnknownTrustDomain.as_str(), foreign.remedy());
    tracing::warn!(
        error = %foreign, answered, remedy,
        "nobody whom the policy allows can be verified"
    );
}
