//! One push at a time: reading and compiling one is work that its sender chooses.
//!
//! Who pushes waits on a thread that serves nobody else meanwhile, so the places to wait are few, and
//! a peer leaves as many as it takes. Peers take turns: who pushes much makes his own pushes wait.

use std::collections::VecDeque;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};

use crate::doors::peer::Peer;

/// Pushes that may wait. Each holds one of the runtime's 512 threads for blocking work; half of them
/// is left, and a proxy that opens a hundred connections at once is not refused.
pub(crate) const PUSHES_WAITING: usize = 256;

/// As many pushes wait as may, or as many of this peer's as it leaves places for others.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("too many pushes at once; push again")]
pub(crate) struct Crowded;

/// The gate.
#[derive(Debug)]
pub(crate) struct Gate {
    line: Mutex<Line>,
    moved: Condvar,
}

/// The right to work; the next one's when dropped.
pub(crate) struct Turn<'a>(&'a Gate);

impl Gate {
    pub(crate) const fn new() -> Self {
        Self {
            line: Mutex::new(Line::new()),
            moved: Condvar::new(),
        }
    }

    /// Waits for this peer's turn. Blocks the thread.
    pub(crate) fn enter(&self, peer: &Peer) -> Result<Turn<'_>, Crowded> {
        let mut line = self.line();
        let ticket = line.join(peer)?;
        while line.inside != Some(ticket) {
            line = self
                .moved
                .wait(line)
                .unwrap_or_else(PoisonError::into_inner);
        }
        Ok(Turn(self))
    }

    /// How many wait.
    #[cfg(test)]
    pub(crate) fn waiting(&self) -> usize {
        self.line().waiting.len()
    }

    fn line(&self) -> MutexGuard<'_, Line> {
        self.line.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Turn<'_> {
    fn drop(&mut self) {
        self.0.line().leave();
        self.0.moved.notify_all();
    }
}

/// One who came to the gate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Ticket(u64);

/// Who is inside, and who waits; pure.
#[derive(Debug)]
struct Line {
    inside: Option<Ticket>,
    /// Whose the latest turn was.
    last: Option<Peer>,
    waiting: VecDeque<(Ticket, Peer)>,
    next: u64,
}

impl Line {
    const fn new() -> Self {
        Self {
            inside: None,
            last: None,
            waiting: VecDeque::new(),
            next: 0,
        }
    }

    fn join(&mut self, peer: &Peer) -> Result<Ticket, Crowded> {
        let own = self.waiting.iter().filter(|(_, by)| by == peer).count();
        if own >= PUSHES_WAITING.saturating_sub(self.waiting.len()) {
            return Err(Crowded);
        }
        let ticket = Ticket(self.next);
        self.next = self.next.wrapping_add(1);
        self.waiting.push_back((ticket, peer.clone()));
        self.advance();
        Ok(ticket)
    }

    fn leave(&mut self) {
        self.inside = None;
        self.advance();
    }

    /// Lets the next one in: another peer's than the last, or else the first.
    fn advance(&mut self) {
        if self.inside.is_some() {
            return;
        }
        let others = |(_, by): &(Ticket, Peer)| Some(by) != self.last.as_ref();
        let place = self.waiting.iter().position(others).unwrap_or(0);
        if let Some((ticket, peer)) = self.waiting.remove(place) {
            self.inside = Some(ticket);
            self.last = Some(peer);
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test may panic")]
    use super::*;

    const GREEDY: Peer = Peer::User(1);
    const NEIGHBOUR: Peer = Peer::User(2);

    /// Joins until refused.
    fn crowd(line: &mut Line, peer: &Peer) -> Vec<Ticket> {
        std::iter::from_fn(|| line.join(peer).ok()).collect()
    }

    #[test]
    fn one_peer_leaves_places_and_the_other_has_the_next_turn() {
        let mut line = Line::new();
        let greedy = crowd(&mut line, &GREEDY);
        assert_eq!(greedy.len(), 1 + PUSHES_WAITING / 2);
        assert_eq!(line.inside, greedy.first().copied());
        let neighbour = line.join(&NEIGHBOUR).unwrap();
        line.leave();
        assert_eq!(line.inside, Some(neighbour));
        line.leave();
        assert_eq!(line.inside, greedy.get(1).copied());
    }

    #[test]
    fn however_many_peers_no_more_wait_than_may() {
        let mut line = Line::new();
        for user in 0..1_000 {
            crowd(&mut line, &Peer::User(user));
        }
        assert_eq!(line.waiting.len(), PUSHES_WAITING);
        for _ in 0..PUSHES_WAITING {
            line.leave();
            assert!(line.inside.is_some());
        }
        line.leave();
        assert_eq!(line.inside, None);
    }

    #[test]
    fn a_turn_that_ends_by_a_panic_ends() {
        let gate = Gate::new();
        let panicked = std::thread::scope(|scope| {
            let worker = scope.spawn(|| {
                let _turn = gate.enter(&GREEDY).unwrap();
                std::panic::resume_unwind(Box::new(()));
            });
            worker.join().is_err()
        });
        assert!(panicked);
        drop(gate.enter(&NEIGHBOUR).unwrap());
    }
}
