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
use crate::sparse::Rare;

/// Domains told of in lines of their own at one look: more are counted.
const TOLD_MAX: usize = 16;

/// What was seen last.
#[derive(Debug, Default)]
pub(super) struct Watch {
    turn: Turn,
    seen: Mutex<Seen>,
    /// Bundles that SPIRE changes on and on are told of in so many lines.
    lines: Lines,
}

#[derive(Debug, Default)]
struct Lines {
    barren: Rare,
    mended: Rare,
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
        self.lines.barren(&new);
        let now_barren: HashSet<TrustDomain> =
            barren.into_iter().map(|(one, _)| one.clone()).collect();
        self.lines.mended(&seen.barren, snapshot, &now_barren);
        seen.barren = now_barren;
    }
}

impl Lines {
    /// Says of whom nobody can be verified any more.
    fn barren(&self, new: &[&(&TrustDomain, Barren)]) {
        for (trust_domain, why) in new.iter().take(TOLD_MAX) {
            let Some(left_out) = self.barren.admits() else {
                return;
            };
            let (answered, remedy, left_out) =
                (why.reason().as_str(), why.remedy(), left_out.some());
            tracing::warn!(
                %trust_domain, error = %why, answered, remedy, left_out,
                "nobody of this trust domain is verified: no authority of its bundle is usable"
            );
        }
        let more = new.len().saturating_sub(TOLD_MAX);
        if more > 0 && self.barren.admits().is_some() {
            tracing::warn!(more, "nobody of these further trust domains is verified");
        }
    }

    /// Says of whom somebody can be verified again; a domain that is gone was told of as such.
    fn mended(
        &self,
        before: &HashSet<TrustDomain>,
        snapshot: &Snapshot,
        barren: &HashSet<TrustDomain>,
    ) {
        let there: HashSet<&TrustDomain> = snapshot.iter().map(|(domain, _)| domain).collect();
        let mended = before.difference(barren);
        for trust_domain in mended.filter(|one| there.contains(one)).take(TOLD_MAX) {
            let Some(left_out) = self.mended.admits() else {
                return;
            };
            let left_out = left_out.some();
            tracing::info!(%trust_domain, left_out, "an authority of this trust domain is usable again");
        }
    }
}
