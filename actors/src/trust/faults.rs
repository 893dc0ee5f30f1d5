//! What of SPIRE's updates cannot be used, and since when: for whoever looks later than the log says it.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};

use verdict::time::Now;
use verdict::trust::{UpdateError, UpdateReport};

/// Unreadable bundles remembered: the first by name, more are counted.
const UNREADABLE_MAX: usize = 16;

/// Something that cannot be used.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fault {
    /// Why not, as last seen.
    pub error: String,
    /// Since when.
    pub since: Now,
}

/// What cannot be used now.
#[derive(Clone, Debug, Default)]
pub struct Faults {
    /// The latest updates, whole.
    pub discarded: Option<Fault>,
    /// Bundles of the last update that was taken, by their keys.
    pub unreadable: BTreeMap<String, Fault>,
    /// How many of them there are.
    pub unreadable_total: usize,
}

/// The same, owned above the actors.
#[derive(Debug, Default)]
pub(super) struct FaultsSeen(Mutex<Faults>);

impl FaultsSeen {
    pub(super) fn now(&self) -> Faults {
        let faults = self.0.lock();
        faults.unwrap_or_else(PoisonError::into_inner).clone()
    }

    pub(super) fn discarded(&self, error: &UpdateError, now: Now) {
        let mut faults = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let since = faults.discarded.as_ref().map_or(now, |fault| fault.since);
        let error = error.to_string();
        faults.discarded = Some(Fault { error, since });
    }

    /// A full update ends what it does not repeat.
    pub(super) fn updated(&self, report: &UpdateReport, now: Now) {
        let mut faults = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let mut unreadable = BTreeMap::new();
        for one in report.unreadable.iter().take(UNREADABLE_MAX) {
            let before = faults.unreadable.get(&one.domain);
            let since = before.map_or(now, |fault| fault.since);
            let error = one.error.to_string();
            unreadable.insert(one.domain.clone(), Fault { error, since });
        }
        *faults = Faults {
            discarded: None,
            unreadable,
            unreadable_total: report.unreadable.len(),
        };
    }
}
