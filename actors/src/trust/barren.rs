//! Trust domains whose every authority is of no use now: told of when it comes to that, and when it is
//! over. A bundle that SPIRE confirmed a moment ago may verify nobody, and the state is `Live` all the
//! same.

use std::collections::HashSet;
use std::sync::{Arc, Mutex, PoisonError};

use verdict::anchors::Barren;
use verdict::id::TrustDomain;
use verdict::time::Now;
use verdict::trust::{Coverage, Snapshot};

use super::turn::Turn;

/// Domains told of in lines of their own at one look: more are counted.
const TOLD_MAX: usize = 16;

/// What was seen last.
#[derive(Debug, Default)]
pub(super) struct Watch {
    turn: Turn,
    seen: Mutex<Seen>,
}

#[derive(Debug, Default)]
struct Seen {
    barren: HashSet<TrustDomain>,
    coverage: Coverage,
}

impl Watch {
    /// Of how many trust domains somebody could be verified when it was last looked.
    pub(super) fn coverage(&self) -> Coverage {
        let seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        seen.coverage
    }

    /// Looks, and tells what is new.
    pub(super) fn look(&self, snapshot: &Arc<Snapshot>, now: Now) {
        if !self.turn.comes(snapshot, now) {
            return;
        }
        // Without the lock: many bundles take their time, and probes ask meanwhile.
        let barren: Vec<_> = snapshot.barren(now).collect();
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        seen.coverage = Coverage::of(barren.len(), snapshot.len());
        let new = barren.iter();
        let new: Vec<_> = new
            .filter(|(domain, _)| !seen.barren.contains(*domain))
            .collect();
        for (domain, why) in new.iter().take(TOLD_MAX) {
            warn(domain, why);
        }
        if new.len() > TOLD_MAX {
            let more = new.len() - TOLD_MAX;
            tracing::warn!(more, "nobody of these further trust domains is verified");
        }
        let now_barren: HashSet<TrustDomain> =
            barren.into_iter().map(|(one, _)| one.clone()).collect();
        seen.mended(snapshot, &now_barren);
        seen.barren = now_barren;
    }
}

impl Seen {
    /// Says of whom somebody can be verified again; a domain that is gone was told of as such.
    fn mended(&self, snapshot: &Snapshot, barren: &HashSet<TrustDomain>) {
        let there: HashSet<&TrustDomain> = snapshot.iter().map(|(domain, _)| domain).collect();
        let mended = self.barren.difference(barren);
        for trust_domain in mended.filter(|one| there.contains(one)).take(TOLD_MAX) {
            tracing::info!(%trust_domain, "an authority of this trust domain is usable again");
        }
    }
}

fn warn(trust_domain: &TrustDomain, why: &Barren) {
    let (answered, remedy) = (why.reason().as_str(), why.remedy());
    tracing::warn!(
        %trust_domain, error = %why, answered, remedy,
        "nobody of this trust domain is verified: no authority of its bundle is usable"
    );
}
