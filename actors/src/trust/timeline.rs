//! The latest changes of availability, for whoever asks afterwards what happened.

use std::collections::VecDeque;
use std::sync::{Mutex, PoisonError};

use verdict::availability::Phase;
use verdict::time::Now;

/// Changes kept: a source that flaps once a minute fills an hour.
pub const CHANGES_MAX: usize = 64;

/// One change of availability.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Change {
    /// When.
    pub at: Now,
    /// Before; `None` at the start of the process.
    pub from: Option<Phase>,
    /// After.
    pub to: Phase,
    /// What brought it about.
    pub cause: &'static str,
}

/// The latest changes, oldest first.
#[derive(Debug)]
pub struct Timeline {
    changes: Mutex<VecDeque<Change>>,
}

impl Timeline {
    /// The process starts in this phase.
    #[must_use]
    pub fn new(phase: Phase, at: Now) -> Self {
        let start = Change {
            at,
            from: None,
            to: phase,
            cause: "start",
        };
        Self {
            changes: Mutex::new(VecDeque::from([start])),
        }
    }

    pub(super) fn push(&self, change: Change) {
        let mut changes = self.changes.lock().unwrap_or_else(PoisonError::into_inner);
        if changes.len() >= CHANGES_MAX {
            changes.pop_front();
        }
        changes.push_back(change);
    }

    /// A copy.
    #[must_use]
    pub fn snapshot(&self) -> Vec<Change> {
        let changes = self.changes.lock().unwrap_or_else(PoisonError::into_inner);
        changes.iter().copied().collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_oldest_change_gives_way() {
        let at = Now {
            wall_ms: 0,
            boot_ms: 0,
        };
        let timeline = Timeline::new(Phase::Starting, at);
        for n in 0..200 {
            timeline.push(Change {
                at: Now {
                    wall_ms: n,
                    boot_ms: n,
                },
                from: Some(Phase::Live),
                to: Phase::Interrupted,
                cause: "transport",
            });
        }
        let changes = timeline.snapshot();
        assert_eq!(changes.len(), CHANGES_MAX);
        assert_eq!(changes.last().map(|change| change.at.wall_ms), Some(199));
        assert_eq!(changes.first().map(|change| change.at.wall_ms), Some(136));
    }
}
