//! Memory for large frames, out of one budget for the whole process.
//!
//! A frame may be 16 MiB, and there may be hundreds of connections. Small frames are covered by
//! the number of connections; a large one is granted memory from here as its bytes come. None left:
//! the connection stops reading until there is, and nobody else notices.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::oneshot;

use super::ledger::{Claim, Grant, Ledger, Wish};
use super::peer::Peer;

/// Frames up to this size need no grant: times the connections it is a fixed, small amount.
pub const SMALL_FRAME_BYTES: usize = 64 * 1024;

/// The part of `handshake-timeout-ms` in which a large frame must arrive, from its first grant on and
/// without the time that it waits for others: a local socket delivers the largest in milliseconds.
pub(super) const LARGE_FRAME_SHARE: u64 = 10;

/// Whose frame it is; `None`: nobody knows, plaintext over TCP.
pub type Owner = Option<Peer>;

/// The budget.
#[derive(Clone)]
pub struct FrameBudget {
    books: Arc<Mutex<Books>>,
}

/// The books, and the bells of those who wait.
struct Books {
    ledger: Ledger<Owner>,
    bells: HashMap<Claim, oneshot::Sender<Grant>>,
}

/// A large frame's part of the budget; given back when dropped.
pub struct FrameMemory {
    books: Arc<Mutex<Books>>,
    claim: Claim,
    granted: usize,
}

impl FrameBudget {
    /// A budget of this many bytes; at least one frame of the protocol's largest size fits.
    #[must_use]
    pub fn new(bytes: usize) -> Self {
        let largest = proto::sentinel::limits::MAX_FRAME_BYTES as usize;
        let books = Books {
            ledger: Ledger::new(bytes.max(largest), largest),
            bells: HashMap::new(),
        };
        Self {
            books: Arc::new(Mutex::new(books)),
        }
    }

    /// Enters a large frame of this many bytes. It holds nothing before its first grant.
    #[must_use]
    pub fn enter(&self, owner: Owner, bytes: usize) -> FrameMemory {
        FrameMemory {
            books: Arc::clone(&self.books),
            claim: lock(&self.books).ledger.open(owner, bytes),
            granted: SMALL_FRAME_BYTES,
        }
    }
}

impl FrameMemory {
    /// How many of the frame's bytes there is memory for, those of a small frame to begin with.
    #[must_use]
    pub const fn granted(&self) -> usize {
        self.granted
    }

    /// Waits for the next grant, which is more than before unless the frame has its whole memory.
    pub async fn grow(mut self) -> Self {
        match self.wish() {
            Ok(Grant(bytes)) => self.granted = bytes,
            // The bell is rung, or goes with this memory.
            Err(bell) => self.granted = bell.await.map_or(self.granted, |Grant(bytes)| bytes),
        }
        self
    }

    fn wish(&self) -> Result<Grant, oneshot::Receiver<Grant>> {
        let mut books = lock(&self.books);
        match books.ledger.wish(self.claim) {
            Wish::Granted(grant) => Ok(grant),
            Wish::Waits => {
                let (bell, rings) = oneshot::channel();
                books.bells.insert(self.claim, bell);
                Err(rings)
            }
        }
    }
}

impl std::fmt::Debug for FrameMemory {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("FrameMemory")
            .field("granted", &self.granted)
            .finish_non_exhaustive()
    }
}

impl Drop for FrameMemory {
    fn drop(&mut self) {
        let mut books = lock(&self.books);
        books.bells.remove(&self.claim);
        for (claim, grant) in books.ledger.close(self.claim) {
            if let Some(bell) = books.bells.remove(&claim) {
                // Whoever is gone meanwhile gives back what it was granted.
                let _ = bell.send(grant);
            }
        }
    }
}

/// A poisoned lock guards books that are balanced between any two of their steps.
fn lock(books: &Mutex<Books>) -> MutexGuard<'_, Books> {
    books.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test may panic")]
    use std::time::Duration;

    use tokio::time::timeout;

    use super::*;

    const LARGEST: usize = 16 * 1_024 * 1_024;
    const LONG: Duration = Duration::from_secs(3_600);

    /// An announcement alone holds nothing of the least budget, however many there are.
    #[tokio::test(start_paused = true)]
    async fn what_is_only_announced_is_in_nobodys_way() {
        let budget = FrameBudget::new(17_825_792);
        let announced: Vec<_> = (0..1_000)
            .map(|uid| budget.enter(Some(Peer::User(uid)), LARGEST))
            .collect();
        let mut frame = budget.enter(Some(Peer::User(7)), LARGEST);
        while frame.granted() < LARGEST {
            frame = timeout(LONG, frame.grow()).await.unwrap();
        }
        drop(announced);
    }

    /// Who gives up waiting, or ends, wakes those behind.
    #[tokio::test(start_paused = true)]
    async fn the_next_is_woken_whoever_goes() {
        let budget = FrameBudget::new(0);
        let whole = budget.enter(None, LARGEST).grow().await;
        assert_eq!(whole.granted(), LARGEST);
        let mut gone = Box::pin(budget.enter(None, LARGEST).grow());
        let mut waits = Box::pin(budget.enter(None, LARGEST).grow());
        assert!(timeout(LONG, &mut gone).await.is_err());
        assert!(timeout(LONG, &mut waits).await.is_err());
        drop(gone);
        drop(whole);
        assert_eq!(timeout(LONG, waits).await.unwrap().granted(), LARGEST);
    }
}
