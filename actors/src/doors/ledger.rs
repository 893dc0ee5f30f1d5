//! The books of the memory for large frames: who holds how much, who waits, who is let finish.
//!
//! A frame is granted memory as its bytes come, each time as much again as it has. So frames that
//! were begun could hold everything, and each wait for the others. Therefore one largest frame's
//! worth is kept back: it is lent to one frame at a time, which then needs nothing more and will
//! finish. Whoever waits is behind a frame that can go on.
//!
//! Of the rest, an owner is granted no more than it leaves, and those let finish take turns: who
//! begins many large frames makes his own wait.

use std::collections::{HashMap, VecDeque};
use std::hash::Hash;

/// What a large frame is granted first, bytes: as much again as a small one needs.
const FIRST_BYTES: usize = 2 * super::budget::SMALL_FRAME_BYTES;

/// A frame in the books.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct Claim(u64);

/// What a frame may hold by now, bytes, all that it was granted before included.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Grant(pub(super) usize);

/// What became of a wish.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Wish {
    /// It is granted.
    Granted(Grant),
    /// It waits; a later [`Ledger::close`] grants it.
    Waits,
}

/// The books; pure.
#[derive(Debug)]
pub(super) struct Ledger<Owner> {
    /// Granted to nobody, the reserve not counted, bytes.
    free: usize,
    reserve: Reserve<Owner>,
    frames: HashMap<Claim, Frame<Owner>>,
    /// What each owner's frames hold together, bytes; those with nothing are not in it.
    held: HashMap<Owner, usize>,
    /// In the order of their wishes.
    waiting: VecDeque<Claim>,
    next: u64,
}

/// One largest frame's worth.
#[derive(Debug)]
enum Reserve<Owner> {
    /// It is there; the last frame that had it was this owner's.
    Kept(Option<Owner>),
    /// This frame has it.
    Lent(Claim),
}

#[derive(Debug)]
struct Frame<Owner> {
    owner: Owner,
    whole: usize,
    /// Out of what is free to all, bytes.
    held: usize,
}

impl<Owner> Frame<Owner> {
    /// What it is granted next, all that it has included.
    fn next(&self) -> usize {
        self.held.saturating_mul(2).max(FIRST_BYTES).min(self.whole)
    }
}

impl<Owner: Clone + Eq + Hash> Ledger<Owner> {
    /// Books of `total` bytes, for frames of at most `largest`; `total` is at least that.
    pub(super) fn new(total: usize, largest: usize) -> Self {
        Self {
            free: total.saturating_sub(largest),
            reserve: Reserve::Kept(None),
            frames: HashMap::new(),
            held: HashMap::new(),
            waiting: VecDeque::new(),
            next: 0,
        }
    }

    /// Enters a frame of `whole` bytes, at most the largest; it holds nothing yet.
    pub(super) fn open(&mut self, owner: Owner, whole: usize) -> Claim {
        let claim = Claim(self.next);
        self.next = self.next.wrapping_add(1);
        let held = 0;
        self.frames.insert(claim, Frame { owner, whole, held });
        claim
    }

    /// Wishes for the next step. A frame that waits wishes no further.
    pub(super) fn wish(&mut self, claim: Claim) -> Wish {
        if let Reserve::Lent(finisher) = self.reserve
            && finisher == claim
        {
            // It was granted the whole, and has no need to ask.
            let whole = self.frames.get(&claim).map_or(0, |frame| frame.whole);
            return Wish::Granted(Grant(whole));
        }
        if let Some(grant) = self.grant(claim) {
            return Wish::Granted(grant);
        }
        self.waiting.push_back(claim);
        match self.lend() {
            Some((finisher, grant)) if finisher == claim => Wish::Granted(grant),
            // Whoever else waits does so because the reserve is lent.
            _ => Wish::Waits,
        }
    }

    /// Strikes a frame out, whatever it held or waited for; gives those that are granted by it.
    pub(super) fn close(&mut self, claim: Claim) -> Vec<(Claim, Grant)> {
        self.waiting.retain(|waiting| *waiting != claim);
        if let Some(frame) = self.frames.remove(&claim) {
            self.give_back(&frame);
            if matches!(self.reserve, Reserve::Lent(finisher) if finisher == claim) {
                self.reserve = Reserve::Kept(Some(frame.owner));
            }
        }
        let mut granted = Vec::new();
        for waiting in std::mem::take(&mut self.waiting) {
            match self.grant(waiting) {
                Some(grant) => granted.push((waiting, grant)),
                None => self.waiting.push_back(waiting),
            }
        }
        granted.extend(self.lend());
        granted
    }

    /// The next step, if there is enough for it and the owner leaves as much as it then has.
    fn grant(&mut self, claim: Claim) -> Option<Grant> {
        let frame = self.frames.get(&claim)?;
        let next = frame.next();
        let more = next.saturating_sub(frame.held);
        let left = self.free.checked_sub(more)?;
        let owned = self.held.get(&frame.owner).copied().unwrap_or(0);
        let owned = owned.saturating_add(more);
        if owned > left {
            return None;
        }
        self.held.insert(frame.owner.clone(), owned);
        self.free = left;
        self.frames.get_mut(&claim)?.held = next;
        Some(Grant(next))
    }

    fn give_back(&mut self, frame: &Frame<Owner>) {
        self.free = self.free.saturating_add(frame.held);
        if let Some(owned) = self.held.get_mut(&frame.owner) {
            *owned = owned.saturating_sub(frame.held);
            if *owned == 0 {
                self.held.remove(&frame.owner);
            }
        }
    }

    /// Lends the reserve, if it is there, to one that waits: another owner's than the last, or else
    /// the first.
    fn lend(&mut self) -> Option<(Claim, Grant)> {
        let Reserve::Kept(last) = &self.reserve else {
            return None;
        };
        let owner = |claim: &Claim| self.frames.get(claim).map(|frame| &frame.owner);
        let others = |claim: &Claim| owner(claim) != last.as_ref();
        let place = self.waiting.iter().position(others).unwrap_or(0);
        let claim = self.waiting.remove(place)?;
        let whole = self.frames.get(&claim)?.whole;
        self.reserve = Reserve::Lent(claim);
        Some((claim, Grant(whole)))
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test may panic")]
    use proptest::prelude::*;

    use super::*;

    const KIB: usize = 1_024;
    const LARGEST: usize = 16 * 1_024 * KIB;

    fn granted(wish: Wish) -> Option<usize> {
        match wish {
            Wish::Granted(Grant(bytes)) => Some(bytes),
            Wish::Waits => None,
        }
    }

    /// Takes steps until it has the whole or waits; what it may hold.
    fn grow(ledger: &mut Ledger<u8>, claim: Claim, whole: usize) -> usize {
        let mut may = 0;
        while may < whole {
            match granted(ledger.wish(claim)) {
                Some(more) => may = more,
                None => break,
            }
        }
        may
    }

    #[test]
    fn an_announcement_holds_nothing_and_each_step_doubles() {
        let mut ledger = Ledger::new(64 * 1_024 * KIB, LARGEST);
        let claim = ledger.open(1, 300 * KIB);
        let steps = std::iter::from_fn(|| granted(ledger.wish(claim))).take(3);
        assert_eq!(steps.collect::<Vec<_>>(), [128 * KIB, 256 * KIB, 300 * KIB]);
    }

    /// The least budget: frames of which each has a part, and together everything, all end.
    #[test]
    fn frames_that_hold_everything_between_them_end_one_after_the_other() {
        let mut ledger = Ledger::new(17_825_792, LARGEST);
        let claims: Vec<Claim> = (0..9).map(|owner| ledger.open(owner, LARGEST)).collect();
        let may = claims
            .iter()
            .map(|claim| grow(&mut ledger, *claim, LARGEST));
        let whole = may.filter(|may| *may == LARGEST).count();
        assert_eq!(whole, 1, "one is let finish, the others wait");
        let mut finisher = *claims.first().unwrap();
        let mut ended = 1;
        loop {
            let woken = ledger.close(finisher);
            let Some((next, _)) = woken.into_iter().find(|(_, grant)| grant.0 == LARGEST) else {
                break;
            };
            finisher = next;
            ended += 1;
        }
        assert!(ended >= 2, "{ended}");
    }

    #[test]
    fn one_owner_leaves_memory_for_the_others() {
        let mut ledger = Ledger::new(LARGEST + 2_048 * KIB, LARGEST);
        for _ in 0..100 {
            let claim = ledger.open(1, LARGEST);
            grow(&mut ledger, claim, LARGEST);
        }
        let other = ledger.open(2, 512 * KIB);
        assert_eq!(grow(&mut ledger, other, 512 * KIB), 512 * KIB);
    }

    #[test]
    fn the_reserve_goes_to_another_owner_than_the_last() {
        let mut ledger = Ledger::new(LARGEST, LARGEST);
        let first = ledger.open(1, LARGEST);
        assert_eq!(ledger.wish(first), Wish::Granted(Grant(LARGEST)));
        let again: Vec<Claim> = (0..9).map(|_| ledger.open(1, LARGEST)).collect();
        for claim in again {
            assert_eq!(ledger.wish(claim), Wish::Waits);
        }
        let other = ledger.open(2, 100 * KIB);
        assert_eq!(ledger.wish(other), Wish::Waits);
        assert_eq!(ledger.close(first), [(other, Grant(100 * KIB))]);
    }

    /// What a peer does next.
    #[derive(Clone, Debug)]
    enum Act {
        Open(u8, usize),
        /// The bytes came up to what is granted: it wishes for more, or is whole and done with.
        Fill(prop::sample::Index),
        /// The connection broke, or was too slow.
        Cut(prop::sample::Index),
    }

    fn act() -> impl Strategy<Value = Act> {
        prop_oneof![
            2 => (0..3_u8, 64 * KIB + 1..=LARGEST).prop_map(|(owner, whole)| Act::Open(owner, whole)),
            6 => any::<prop::sample::Index>().prop_map(Act::Fill),
            1 => any::<prop::sample::Index>().prop_map(Act::Cut),
        ]
    }

    /// Frames as their connections see them.
    struct Play {
        ledger: Ledger<u8>,
        /// Claim, whole, what it may hold, and whether it waits.
        frames: Vec<(Claim, usize, usize, bool)>,
    }

    impl Play {
        fn close(&mut self, place: usize) {
            let (claim, ..) = self.frames.remove(place);
            for (woken, Grant(may)) in self.ledger.close(claim) {
                let frame = self
                    .frames
                    .iter_mut()
                    .find(|frame| frame.0 == woken)
                    .unwrap();
                assert!(frame.3, "only who waits is woken");
                (frame.2, frame.3) = (may, false);
            }
        }

        fn fill(&mut self, place: usize) {
            let (claim, whole, may, waits) = self.frames.get(place).copied().unwrap();
            if waits {
                return;
            }
            if may == whole {
                return self.close(place);
            }
            let wish = granted(self.ledger.wish(claim));
            let frame = self.frames.get_mut(place).unwrap();
            (frame.2, frame.3) = (wish.unwrap_or(may), wish.is_none());
            assert!(frame.3 || frame.2 > may, "a grant is more than before");
        }

        fn act(&mut self, act: &Act) {
            match act {
                Act::Open(owner, whole) => {
                    let claim = self.ledger.open(*owner, *whole);
                    self.frames.push((claim, *whole, 0, false));
                }
                Act::Fill(_) | Act::Cut(_) if self.frames.is_empty() => {}
                Act::Fill(which) => self.fill(which.index(self.frames.len())),
                Act::Cut(which) => self.close(which.index(self.frames.len())),
            }
        }
    }

    proptest! {
        /// Never more than there is; and however frames were begun, waited and were cut, when those
        /// that can go on do so, every frame ends.
        #[test]
        fn nothing_is_overdrawn_and_nobody_waits_for_ever(
            extra in 0..4 * LARGEST,
            acts in prop::collection::vec(act(), 0..200),
        ) {
            let total = LARGEST + extra;
            let ledger = Ledger::new(total, LARGEST);
            let mut play = Play { ledger, frames: Vec::new() };
            for act in &acts {
                play.act(act);
                let held: usize = play.frames.iter().map(|(_, _, may, _)| *may).sum();
                prop_assert!(held <= total, "{held} of {total}");
            }
            let mut turns = 0;
            while let Some(place) = play.frames.iter().position(|(.., waits)| !waits) {
                play.fill(place);
                turns += 1;
                prop_assert!(turns < 10_000);
            }
            prop_assert!(play.frames.is_empty(), "{} wait for ever", play.frames.len());
            prop_assert_eq!(play.ledger.free, extra);
            prop_assert!(play.ledger.held.is_empty());
        }
    }
}
