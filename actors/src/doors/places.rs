//! The places of a door, one for each connection; and who hears that all are taken.
//!
//! Whoever finds none free waits, unheard. So a door that is full says so: once, until places are
//! free again, and never more often than its log can bear.

use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::Instant;

use crate::episode::Episode;
use crate::metrics::{Metrics, count};

/// One place in so many must be free before a full door counts as open again: one that leaves while
/// another comes is no end.
const ROOM_SHARE: usize = 8;

/// The places; owned above the door's actor.
pub struct Places {
    door: &'static str,
    max: usize,
    free: Arc<Semaphore>,
    crowd: Mutex<Episode>,
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
            crowd: Mutex::new(Episode::new()),
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
            self.crowd(Episode::ends);
        }
    }

    fn full(&self) {
        count(&self.metrics.doors_full);
        if self.crowd(|crowd| crowd.begins(Instant::now())) {
            tracing::warn!(
                door = self.door,
                connections = self.max,
                "every place of this door is taken, and whoever connects now waits unheard: \
                 find out who holds them, or raise agent.limits.connections"
            );
        }
    }

    fn crowd<T>(&self, of: impl FnOnce(&mut Episode) -> T) -> T {
        of(&mut self.crowd.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test may panic")]

    use std::sync::atomic::Ordering;
    use std::time::Duration;

    use super::*;

    #[tokio::test]
    async fn a_crowd_ends_when_there_is_room_and_not_by_one_that_leaves() {
        let metrics = Arc::new(Metrics::default());
        let places = Places::new("test", 2 * ROOM_SHARE, Arc::clone(&metrics));
        let told = || places.crowd(|crowd| crowd.is_told());
        let mut taken = Vec::new();
        for _ in 0..2 * ROOM_SHARE {
            taken.push(places.take().await.unwrap());
        }
        assert!(!told(), "nobody waits");
        let waits = tokio::time::timeout(Duration::ZERO, places.take()).await;
        assert!(waits.is_err());
        assert!(told());
        assert_eq!(metrics.doors_full.load(Ordering::Relaxed), 1);
        taken.pop();
        taken.push(places.take().await.unwrap());
        assert!(told());
        taken.truncate(taken.len() - 2);
        taken.push(places.take().await.unwrap());
        assert!(!told());
    }
}
