//! What is to happen, in the order of time; at the same time, in the order of being told.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

/// A queue of moments.
pub struct Queue<E> {
    heap: BinaryHeap<Moment<E>>,
    told: u64,
}

struct Moment<E> {
    key: Reverse<(u64, u64)>,
    event: E,
}

impl<E> PartialEq for Moment<E> {
    fn eq(&self, other: &Self) -> bool {
        self.key == other.key
    }
}

impl<E> Eq for Moment<E> {}

impl<E> PartialOrd for Moment<E> {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl<E> Ord for Moment<E> {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        self.key.cmp(&other.key)
    }
}

impl<E> Default for Queue<E> {
    fn default() -> Self {
        Self {
            heap: BinaryHeap::new(),
            told: 0,
        }
    }
}

impl<E> Queue<E> {
    /// Something at this time, ms.
    pub fn put(&mut self, at_ms: u64, event: E) {
        self.told += 1;
        self.heap.push(Moment {
            key: Reverse((at_ms, self.told)),
            event,
        });
    }

    /// The next.
    pub fn take(&mut self) -> Option<(u64, E)> {
        let Moment {
            key: Reverse((at_ms, _)),
            event,
        } = self.heap.pop()?;
        Some((at_ms, event))
    }
}
