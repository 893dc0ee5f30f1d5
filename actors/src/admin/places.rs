//! The places of the listener: a bounded number of connections, where the oldest gives way.
//!
//! A queue would let whoever holds all places keep a probe waiting, and a probe that waits gets the
//! agent killed. Here a flood would have to open them all anew within the moment a probe takes.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use tokio::task::{AbortHandle, JoinSet};

/// Connections at once: an operator's browser, a scraper and the probes need a handful.
pub(super) const CONNECTIONS_MAX: usize = 64;

/// What a connection is for; told once that is known.
#[derive(Clone, Debug, Default)]
pub(super) struct Kind {
    streaming: Arc<AtomicBool>,
}

impl Kind {
    /// It is a stream of events, bounded on its own; it does not give way.
    pub(super) fn is_stream(&self) {
        self.streaming.store(true, Ordering::Relaxed);
    }

    /// Its stream was ended for another: what is still to be sent may give way.
    pub(super) fn is_no_stream(&self) {
        self.streaming.store(false, Ordering::Relaxed);
    }

    pub(super) fn streams(&self) -> bool {
        self.streaming.load(Ordering::Relaxed)
    }
}

/// The connections; they end with it.
#[derive(Default)]
pub(super) struct Places {
    tasks: JoinSet<()>,
    oldest_first: VecDeque<(Kind, AbortHandle)>,
}

impl Places {
    /// Gives a connection a place.
    pub(super) fn give<F>(&mut self, connection: impl FnOnce(Kind) -> F)
    where
        F: Future<Output = ()> + Send + 'static,
    {
        // A connection that panicked is gone like any other.
        while self.tasks.try_join_next().is_some() {}
        self.oldest_first.retain(|(_, task)| !task.is_finished());
        if self.oldest_first.len() >= CONNECTIONS_MAX {
            self.make_room();
        }
        let kind = Kind::default();
        let task = self.tasks.spawn(connection(kind.clone()));
        self.oldest_first.push_back((kind, task));
    }

    fn make_room(&mut self) {
        let mut connections = self.oldest_first.iter();
        // Streams have fewer places than there are, so there is always another.
        let oldest = connections.position(|(kind, _)| !kind.streams());
        if let Some((_, task)) = self.oldest_first.remove(oldest.unwrap_or(0)) {
            task.abort();
        }
    }
}

#[cfg(test)]
mod tests {
    use std::future::pending;

    use super::super::STREAMS_MAX;
    use super::*;

    /// Held by a connection; the count of its holders is that of the connections.
    fn hold(places: &mut Places, held: &Arc<()>, stream: bool) {
        let held = Arc::clone(held);
        places.give(|kind| async move {
            let _held = held;
            if stream {
                kind.is_stream();
            }
            pending::<()>().await;
        });
    }

    async fn settled(held: &Arc<()>, count: usize) {
        while Arc::strong_count(held) != count + 1 {
            tokio::task::yield_now().await;
        }
    }

    #[tokio::test]
    async fn the_oldest_gives_way_and_streams_do_not() {
        let (mut places, streams, plain) = (Places::default(), Arc::new(()), Arc::new(()));
        for _ in 0..STREAMS_MAX {
            hold(&mut places, &streams, true);
        }
        settled(&streams, STREAMS_MAX).await;
        // All start before the next comes: each has said what it is.
        for _ in 0..3 * CONNECTIONS_MAX {
            hold(&mut places, &plain, false);
            tokio::task::yield_now().await;
        }
        settled(&plain, CONNECTIONS_MAX - STREAMS_MAX).await;
        assert_eq!(Arc::strong_count(&streams), STREAMS_MAX + 1);
    }

    #[tokio::test]
    async fn who_is_done_holds_no_place() {
        let mut places = Places::default();
        for _ in 0..3 * CONNECTIONS_MAX {
            places.give(|_| async {});
            tokio::task::yield_now().await;
        }
        assert!(
            places.oldest_first.len() <= 2,
            "{}",
            places.oldest_first.len()
        );
    }
}
