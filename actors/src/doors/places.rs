//! The places of a door, one for each connection; and who hears that all are taken.
//!
//! Whoever finds none free waits, unheard. So a door that is full says so: once, until places are
//! free again, and never more often than its log can bear.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::Instant;

use crate::metrics::{Metrics, count};

/// One place in so many must be free before a full door counts as open again: one that leaves while
/// another comes is no end.
const ROOM_SHARE: usize = 8;

/// A crowd is told of at most once in this time, however often it comes and goes.
const QUIET: Duration = Duration::from_secs(60);

/// The places; owned above the door's actor.
pub struct Places {
    door: &'static str,
    max: usize,
    free: Arc<Semaphore>,
    crowd: Mutex<Crowd>,
    metrics: Arc<Metrics>,
}

impl Places {
    /// So many places, all free, of the door of this name.
    #[must_use]
    pub fn new(door: &'static str, max: usize, metrics: Arc<Metrics>) -> Self {
        Self {
            door,
            max,
            free: Arc::new(Semaphore::new(max)),
            crowd: Mutex::new(Crowd::new()),
            metrics,
        }
    }

    /// A place, which is free again when dropped; waits for one.
    pub(super) async fn take(&self) -> Option<OwnedSemaphorePermit> {
        if let Ok(place) = Arc::clone(&self.free).try_acquire_owned() {
            // The one just taken was free too.
            self.roomy(self.free.available_permits().saturating_add(1));
            return Some(place);
        }
        self.full();
        // The semaphore is never closed.
        Arc::clone(&self.free).acquire_owned().await.ok()
    }

    fn roomy(&self, free: usize) {
        if free >= self.max.div_ceil(ROOM_SHARE) {
            self.crowd(Crowd::disperse);
        }
    }

    fn full(&self) {
        count(&self.metrics.doors_full);
        if self.crowd(|crowd| crowd.gather(Instant::now())) {
            tracing::warn!(
                door = self.door,
                connections = self.max,
                "every place of this door is taken, and whoever connects now waits unheard: \
                 find out who holds them, or raise agent.limits.connections"
            );
        }
    }

    fn crowd<T>(&self, of: impl FnOnce(&mut Crowd) -> T) -> T {
        of(&mut self.crowd.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// Whether a crowd has been told of; pure.
#[derive(Debug)]
pub(super) struct Crowd {
    stage: Stage,
    told_at: Option<Instant>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    /// There is room, or nobody was told that there is none.
    Untold,
    /// There is none, and that was said.
    Told,
}

impl Crowd {
    pub(super) const fn new() -> Self {
        Self {
            stage: Stage::Untold,
            told_at: None,
        }
    }

    /// There is no room. True: say so.
    pub(super) fn gather(&mut self, now: Instant) -> bool {
        let quiet = self.told_at.is_some_and(|told_at| now < told_at + QUIET);
        if self.stage == Stage::Told || quiet {
            return false;
        }
        self.stage = Stage::Told;
        self.told_at = Some(now);
        true
    }

    /// There is room again.
    pub(super) const fn disperse(&mut self) {
        self.stage = Stage::Untold;
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test may panic")]

    use std::sync::atomic::Ordering;

    use super::*;

    #[test]
    fn a_crowd_is_told_of_once_and_the_next_not_too_soon() {
        let start = Instant::now();
        let after = |seconds| start + Duration::from_secs(seconds);
        let mut crowd = Crowd::new();
        assert!(crowd.gather(start));
        // However long it lasts.
        assert!(!crowd.gather(after(1)) && !crowd.gather(after(1_000)));
        let mut crowd = Crowd::new();
        assert!(crowd.gather(start));
        crowd.disperse();
        assert!(!crowd.gather(after(59)), "it comes and goes");
        assert!(crowd.gather(after(60)), "it has come to stay");
        assert!(!crowd.gather(after(200)));
    }

    #[tokio::test]
    async fn a_crowd_ends_when_there_is_room_and_not_by_one_that_leaves() {
        let metrics = Arc::new(Metrics::default());
        let places = Places::new("test", 2 * ROOM_SHARE, Arc::clone(&metrics));
        let stage = || places.crowd(|crowd| crowd.stage);
        let mut taken = Vec::new();
        for _ in 0..2 * ROOM_SHARE {
            taken.push(places.take().await.unwrap());
        }
        assert_eq!(stage(), Stage::Untold, "nobody waits");
        let waits = tokio::time::timeout(Duration::ZERO, places.take()).await;
        assert!(waits.is_err());
        assert_eq!(stage(), Stage::Told);
        assert_eq!(metrics.doors_full.load(Ordering::Relaxed), 1);
        taken.pop();
        taken.push(places.take().await.unwrap());
        assert_eq!(stage(), Stage::Told);
        taken.truncate(taken.len() - 2);
        taken.push(places.take().await.unwrap());
        assert_eq!(stage(), Stage::Untold);
    }
}
