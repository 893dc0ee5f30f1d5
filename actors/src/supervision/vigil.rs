//! Whether a child still does its work: the rule, as data and a pure machine.
//!
//! A child that is wedged does not end by itself, so nobody is told. Its supervisor therefore asks it
//! from time to time, in the mailbox where its work comes in. Patience is counted in *looks* of the
//! supervisor and not in time: while the machine is stopped, asleep or starved nobody looks, so a
//! busy machine makes nobody appear wedged.

/// From one look to the next, in ms.
pub const LOOK_EVERY_MS: u64 = 500;

/// The least patience: less, and a child that only waits for its turn could be killed.
pub const LOOKS_MIN: u32 = 4;

/// How many looks in a row a child may leave a question unanswered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Vigilance {
    looks: u32,
}

/// Less patience than [`LOOKS_MIN`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a child is given at least {LOOKS_MIN} looks to answer")]
pub struct TooImpatient;

impl Vigilance {
    /// What a permanent child gets unless it says otherwise: 5 s. That is more than the longest work
    /// which a handler does in one go (an update of 16 MiB), and more than a question ever waits
    /// behind other work in a mailbox (the longest flight of a validation, 2 s).
    pub const STANDARD: Self = Self { looks: 10 };

    /// A patience of `looks` looks.
    ///
    /// # Errors
    /// It is below [`LOOKS_MIN`].
    pub const fn new(looks: u32) -> Result<Self, TooImpatient> {
        if looks < LOOKS_MIN {
            return Err(TooImpatient);
        }
        Ok(Self { looks })
    }

    /// The same in ms, on a machine that is not busy.
    #[must_use]
    pub const fn patience_ms(&self) -> u64 {
        LOOK_EVERY_MS * self.looks as u64
    }
}

/// What became of the last question.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Heard {
    /// It was answered.
    Answer,
    /// Nothing yet.
    Nothing,
    /// It was dropped unanswered: it will not be answered any more.
    Lost,
}

/// What follows from a look.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Step {
    /// Ask.
    Ask,
    /// Wait for the answer, or for the end of what was killed.
    Wait,
    /// It is wedged: kill it.
    Kill,
    /// It was killed and does not end: its thread is blocked, and nothing can end that.
    LeaveBehind,
}

/// One child's vigil, from its start to its end.
#[derive(Clone, Copy, Debug)]
pub(super) struct Vigil {
    vigilance: Vigilance,
    stage: Stage,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    NotAsked,
    Asked { looks: u32 },
    Killed { looks: u32 },
}

impl Vigil {
    pub(super) const fn new(vigilance: Vigilance) -> Self {
        Self {
            vigilance,
            stage: Stage::NotAsked,
        }
    }

    /// Whether this vigil has had its child killed; if so, how long it was waited for, in ms.
    pub(super) fn killed_after_ms(&self) -> Option<u64> {
        matches!(self.stage, Stage::Killed { .. }).then(|| self.vigilance.patience_ms())
    }

    pub(super) fn on_look(&mut self, heard: Heard) -> Step {
        let max = self.vigilance.looks;
        let (stage, step) = match (self.stage, heard) {
            (Stage::NotAsked, _) | (Stage::Asked { .. }, Heard::Answer) => {
                (Stage::Asked { looks: 0 }, Step::Ask)
            }
            (Stage::Asked { looks }, Heard::Nothing | Heard::Lost) if looks + 1 >= max => {
                (Stage::Killed { looks: 0 }, Step::Kill)
            }
            (Stage::Asked { looks }, Heard::Nothing) => {
                (Stage::Asked { looks: looks + 1 }, Step::Wait)
            }
            (Stage::Asked { looks }, Heard::Lost) => (Stage::Asked { looks: looks + 1 }, Step::Ask),
            (Stage::Killed { looks }, _) if looks + 1 >= max => (self.stage, Step::LeaveBehind),
            (Stage::Killed { looks }, _) => (Stage::Killed { looks: looks + 1 }, Step::Wait),
        };
        self.stage = stage;
        step
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test may panic")]
    use super::*;
    use proptest::prelude::*;

    fn vigil(looks: u32) -> Vigil {
        Vigil::new(Vigilance::new(looks).unwrap())
    }

    #[test]
    fn who_answers_is_asked_again_for_ever() {
        let mut vigil = vigil(LOOKS_MIN);
        for _ in 0..1_000 {
            assert_eq!(vigil.on_look(Heard::Answer), Step::Ask);
        }
    }

    #[test]
    fn who_does_not_answer_is_killed_and_who_does_not_end_is_left_behind() {
        let mut vigil = vigil(4);
        let steps: Vec<_> = (0..10).map(|_| vigil.on_look(Heard::Nothing)).collect();
        let (asked, killed) = (Step::Ask, Step::Kill);
        let expected = [asked, Step::Wait, Step::Wait, Step::Wait, killed];
        assert_eq!(steps.get(..5).unwrap(), expected);
        assert_eq!(vigil.killed_after_ms(), Some(4 * LOOK_EVERY_MS));
        let left = [Step::Wait, Step::Wait, Step::Wait, Step::LeaveBehind];
        assert_eq!(steps.get(5..9).unwrap(), left);
    }

    #[test]
    fn a_question_that_was_lost_is_asked_again_but_not_for_ever() {
        let mut vigil = vigil(4);
        let steps: Vec<_> = (0..5).map(|_| vigil.on_look(Heard::Lost)).collect();
        let expected = [Step::Ask, Step::Ask, Step::Ask, Step::Ask, Step::Kill];
        assert_eq!(steps, expected);
    }

    #[test]
    fn impatience_is_refused() {
        assert_eq!(Vigilance::new(LOOKS_MIN - 1), Err(TooImpatient));
        let standard = Vigilance::STANDARD;
        assert_eq!(Vigilance::new(standard.looks), Ok(standard));
    }

    proptest! {
        /// Whoever answers at least once within its patience is never killed.
        #[test]
        fn slow_answers_are_answers(looks in LOOKS_MIN..50, late in prop::collection::vec(0_u32..50, 1..50)) {
            let mut vigil = vigil(looks);
            vigil.on_look(Heard::Nothing);
            for late in late {
                for _ in 0..late.min(looks - 1) {
                    prop_assert_eq!(vigil.on_look(Heard::Nothing), Step::Wait);
                }
                prop_assert_eq!(vigil.on_look(Heard::Answer), Step::Ask);
            }
        }
    }
}
