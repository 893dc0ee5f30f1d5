//! Records that stand twice because a batch was sent twice: a collector took it, and nobody heard.

use std::collections::VecDeque;

use super::Place;
use crate::audit::chain::LineHash;

/// As many as a batch has.
const RECENT_MAX: usize = 256;

/// The last records.
#[derive(Debug, Default)]
pub(super) struct Recent {
    hashes: VecDeque<LineHash>,
    /// The last line that stood before already.
    again: Option<Place>,
}

/// Whether a record stood among the last ones already.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Again {
    No,
    /// The first of such lines.
    First,
    /// The line before did, too.
    GoesOn,
}

impl Recent {
    pub(super) fn take(&mut self, place: Place, hash: LineHash) -> Again {
        if self.hashes.contains(&hash) {
            let before = self.again.replace(place);
            let goes_on = before.is_some_and(|before| {
                before.file == place.file && before.line.saturating_add(1) == place.line
            });
            return if goes_on { Again::GoesOn } else { Again::First };
        }
        if self.hashes.len() >= RECENT_MAX {
            self.hashes.pop_front();
        }
        self.hashes.push_back(hash);
        Again::No
    }
}
