//! The places of event streams: a bounded number, where the oldest ends when another comes.
//!
//! Streams are for this machine alone, so whoever opens one is the same peer as who holds the others: a
//! page that was left open in a forgotten tab keeps nobody from looking. Who loses his place opens another
//! stream within a second, as browsers do, and the page goes on.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, PoisonError, Weak};

use tokio_util::sync::CancellationToken;

use super::STREAMS_MAX;
use super::places::Kind;

/// The streams that are open.
#[derive(Debug, Default)]
pub(super) struct Streams(Mutex<VecDeque<Open>>);

#[derive(Debug)]
struct Open {
    kind: Kind,
    end: CancellationToken,
    held: Weak<()>,
}

/// A stream's place, given back when it is dropped.
#[derive(Debug)]
pub(super) struct Place {
    end: CancellationToken,
    _held: Arc<()>,
}

impl Place {
    /// Waits until another stream has it.
    pub(super) async fn lost(&self) {
        self.end.cancelled().await;
    }
}

impl Streams {
    /// A place for the stream of this connection; if all are taken, that of the oldest.
    pub(super) fn open(&self, kind: &Kind) -> Place {
        // Nothing under this lock can panic.
        let mut streams = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        streams.retain(|open| open.held.strong_count() > 0);
        if streams.len() >= STREAMS_MAX
            && let Some(oldest) = streams.pop_front()
        {
            oldest.kind.is_no_stream();
            oldest.end.cancel();
        }
        kind.is_stream();
        let (held, end) = (Arc::new(()), CancellationToken::new());
        streams.push_back(Open {
            kind: kind.clone(),
            end: end.clone(),
            held: Arc::downgrade(&held),
        });
        Place { end, _held: held }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_oldest_gives_its_place_to_the_newest_and_places_come_back() {
        let streams = Streams::default();
        let first = streams.open(&Kind::default());
        let others: Vec<Place> = (1..STREAMS_MAX)
            .map(|_| streams.open(&Kind::default()))
            .collect();
        assert!(!first.end.is_cancelled());
        let newest = streams.open(&Kind::default());
        assert!(first.end.is_cancelled() && !newest.end.is_cancelled());
        assert!(others.iter().all(|place| !place.end.is_cancelled()));
        // A place that was given back is taken before one that is held.
        drop(newest);
        let last = streams.open(&Kind::default());
        assert!(others.iter().all(|place| !place.end.is_cancelled()));
        assert!(!last.end.is_cancelled());
    }

    #[test]
    fn who_lost_its_place_gives_way_like_any_other_connection() {
        let (streams, first) = (Streams::default(), Kind::default());
        let places: Vec<Place> = std::iter::once(streams.open(&first))
            .chain((1..STREAMS_MAX).map(|_| streams.open(&Kind::default())))
            .collect();
        assert!(first.streams());
        let _newest = streams.open(&Kind::default());
        assert!(!first.streams());
        drop(places);
    }
}
