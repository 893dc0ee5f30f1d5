//! When bundles that nobody changed are looked at again: by one at a time, and holding up nobody.

use std::sync::{Arc, Mutex, PoisonError};

use verdict::time::Now;
use verdict::trust::Snapshot;

/// How often, milliseconds of boot time: authorities end on a second, and a push may bring another policy.
const LOOK_EVERY_MS: i64 = 1_000;

/// Which bundles were looked at last, and when: the same are left alone for a moment.
#[derive(Debug, Default)]
pub(super) struct Turn(Mutex<Option<(Arc<Snapshot>, i64)>>);

impl Turn {
    /// Whether it is time to look; then nobody else does.
    pub(super) fn comes(&self, snapshot: &Arc<Snapshot>, now: Now) -> bool {
        let mut last = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let is_due = last.as_ref().is_none_or(|(seen, at)| {
            let passed_ms = now.boot_ms.saturating_sub(*at);
            !Arc::ptr_eq(seen, snapshot) || !(0..LOOK_EVERY_MS).contains(&passed_ms)
        });
        if is_due {
            *last = Some((Arc::clone(snapshot), now.boot_ms));
        }
        is_due
    }
}
