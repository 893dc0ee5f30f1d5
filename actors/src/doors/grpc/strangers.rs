//! Connections that are not known yet: no certificate shown, or in plaintext no call made.
//!
//! Whoever reaches the port can open them and say nothing, so they are few. But a proxy is a stranger
//! too for as long as its handshake takes. When all places of strangers are taken, whoever comes is
//! let in all the same and the one that has been silent for longest is closed: to keep a proxy out,
//! a crowd must go round within the milliseconds of that proxy's handshake.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::episode::Episode;

/// The strangers of a door; owned above its actor.
pub(super) struct Strangers {
    max: usize,
    places: Arc<Semaphore>,
    line: Mutex<Line>,
    crowd: Mutex<Episode>,
}

/// A stranger's place, until it is known or gone.
pub(super) struct Stranger {
    ticket: u64,
    closing: CancellationToken,
    of: Arc<Strangers>,
    _place: Option<OwnedSemaphorePermit>,
}

/// Those who may still be told to go, the oldest first.
#[derive(Default)]
struct Line {
    inside: VecDeque<(u64, CancellationToken)>,
    next: u64,
}

impl Strangers {
    /// So many at once.
    pub(super) fn new(max: usize) -> Self {
        Self {
            max,
            places: Arc::new(Semaphore::new(max)),
            line: Mutex::default(),
            crowd: Mutex::new(Episode::new()),
        }
    }

    /// Lets one in, at the cost of the oldest if there is no place.
    pub(super) async fn enter(self: &Arc<Self>) -> Stranger {
        let place = match Arc::clone(&self.places).try_acquire_owned() {
            Ok(place) => {
                lock(&self.crowd).ends();
                Some(place)
            }
            Err(_) => {
                self.close_oldest();
                // It goes at once. The semaphore is never closed; were it, nobody would be counted.
                Arc::clone(&self.places).acquire_owned().await.ok()
            }
        };
        let closing = CancellationToken::new();
        Stranger {
            ticket: lock(&self.line).join(closing.clone()),
            closing,
            of: Arc::clone(self),
            _place: place,
        }
    }

    /// If there is none, those who were told to go are still on their way.
    fn close_oldest(&self) {
        if let Some((_, oldest)) = lock(&self.line).inside.pop_front() {
            oldest.cancel();
        }
        if lock(&self.crowd).begins(Instant::now()) {
            tracing::warn!(
                door = "grpc",
                strangers = self.max,
                "connections that stay silent fill their places, a quarter of agent.limits.connections: \
                 for each that comes the oldest is closed; find out who opens them, and keep him from \
                 the port"
            );
        }
    }
}

impl Stranger {
    /// Until it must go, for another has come.
    pub(super) async fn crowded_out(&self) {
        self.closing.cancelled().await;
    }
}

impl Drop for Stranger {
    fn drop(&mut self) {
        let mut line = lock(&self.of.line);
        line.inside.retain(|(ticket, _)| *ticket != self.ticket);
    }
}

impl Line {
    fn join(&mut self, closing: CancellationToken) -> u64 {
        let ticket = self.next;
        self.next = self.next.wrapping_add(1);
        self.inside.push_back((ticket, closing));
        ticket
    }
}

fn lock<T>(of: &Mutex<T>) -> MutexGuard<'_, T> {
    of.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test may panic")]

    use std::time::Duration;

    use super::*;

    /// Whoever comes is let in, the oldest goes, and whoever is known by then is none of them.
    #[tokio::test]
    async fn the_oldest_stranger_goes_when_another_comes() {
        let strangers = Arc::new(Strangers::new(2));
        let known = strangers.enter().await;
        let oldest = strangers.enter().await;
        drop(known);
        let next = strangers.enter().await;
        assert!(!oldest.closing.is_cancelled(), "there was a place");
        let leaves = async {
            oldest.crowded_out().await;
            drop(oldest);
        };
        let changes = async { tokio::join!(strangers.enter(), leaves) };
        let changed = tokio::time::timeout(Duration::from_secs(10), changes).await;
        let (newest, ()) = changed.unwrap();
        assert!(!next.closing.is_cancelled() && !newest.closing.is_cancelled());
        assert_eq!(lock(&strangers.line).inside.len(), 2);
    }
}
