//! The places of a door, one for each connection; and who hears that all are taken.
//!
//! Whoever finds none free waits, unheard. So a door that is full says so: once, until places are
//! free again, and never more often than its log can bear.

use std::fmt;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

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
    /// How many wait for one.
    waiting: AtomicUsize,
    crowd: Mutex<Episode>,
    metrics: Arc<Metrics>,
}

/// A door of which every place is taken, and somebody waits, or would.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Full {
    /// Which.
    pub door: &'static str,
    /// How many places it has.
    pub places: usize,
}

impl Full {
    /// What to do about it.
    pub const REMEDY: &str = "find out who holds them (ss -xp, or ss -tnp of the gRPC door), or raise \
                              agent.limits.connections and restart the agent";
}

impl fmt::Display for Full {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { door, places } = self;
        write!(
            f,
            "every place of the door `{door}` is taken, {places} of {places}: whoever connects now waits unheard, \
             those connected are served"
        )
    }
}

/// The places of every door.
#[derive(Default)]
pub struct AllPlaces(Mutex<Vec<Arc<Places>>>);

impl AllPlaces {
    /// One door more.
    pub fn add(&self, places: &Arc<Places>) {
        self.list().push(Arc::clone(places));
    }

    /// The doors that have none left now.
    #[must_use]
    pub fn full(&self) -> Vec<Full> {
        self.list().iter().filter_map(|one| one.is_full()).collect()
    }

    /// A poisoned lock guards a list that is whole between any two of its steps.
    fn list(&self) -> MutexGuard<'_, Vec<Arc<Places>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Somebody who waits, until he has his place or is gone.
struct Waiting<'a>(&'a AtomicUsize);

impl<'a> Waiting<'a> {
    fn among(waiting: &'a AtomicUsize) -> Self {
        waiting.fetch_add(1, Ordering::Relaxed);
        Self(waiting)
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Places {
    /// So many places, all free, of the door of this name.
    #[must_use]
    pub fn new(door: &'static str, max: usize, metrics: Arc<Metrics>) -> Self {
        Self {
            door,
            max,
            free: Arc::new(Semaphore::new(max)),
            waiting: AtomicUsize::new(0),
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
        let _waiting = Waiting::among(&self.waiting);
        // The semaphore is never closed.
        Arc::clone(&self.free).acquire_owned().await.ok()
    }

    /// The place that the next one to come will have is taken before he comes: only who waits for one
    /// shows that there is none.
    fn is_full(&self) -> Option<Full> {
        let is_full = self.waiting.load(Ordering::Relaxed) > 0;
        is_full.then_some(Full {
            door: self.door,
            places: self.max,
        })
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
        assert_eq!(places.is_full(), None);
        let mut waits = Box::pin(places.take());
        let waiting = tokio::time::timeout(Duration::ZERO, &mut waits).await;
        assert!(waiting.is_err());
        let full = places.is_full().unwrap();
        assert_eq!((full.door, full.places), ("test", 2 * ROOM_SHARE));
        // Who gives up waits no more.
        drop(waits);
        assert_eq!(places.is_full(), None);
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
