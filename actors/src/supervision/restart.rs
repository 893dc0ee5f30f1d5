//! Restart policy as data, and the pure rule that says what follows from a failure.

use std::collections::VecDeque;

use crate::words::span;

/// The longest first wait, in ms: a dead actor is promised back within 1 s, start included.
pub const FIRST_BACKOFF_MS_MAX: u64 = 50;

/// The most restarts a budget may hold: it bounds the memory of failures, and more is a loop.
pub const RESTARTS_MAX: u32 = 64;

/// How often a child may be restarted, and how long each restart waits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Restart {
    max: u32,
    within_ms: u64,
    backoff_min_ms: u64,
    backoff_max_ms: u64,
}

impl Restart {
    /// What a permanent child gets unless it says otherwise: a child that fails at once each time
    /// is given up after about 10 s, one that fails every 6 s lives on.
    pub const STANDARD: Self = Self {
        max: 10,
        within_ms: 60_000,
        backoff_min_ms: 10,
        backoff_max_ms: 5_000,
    };

    /// A policy of at most `max` restarts within `within_ms`, waiting `backoff_min_ms`, doubled by
    /// each failure still in the window, up to `backoff_max_ms`.
    ///
    /// # Errors
    /// Names the rule broken; the last one keeps a policy from never giving up.
    pub const fn new(
        max: u32,
        within_ms: u64,
        backoff_min_ms: u64,
        backoff_max_ms: u64,
    ) -> Result<Self, RestartError> {
        let restart = Self {
            max,
            within_ms,
            backoff_min_ms,
            backoff_max_ms,
        };
        if max > RESTARTS_MAX {
            return Err(RestartError::TooMany);
        }
        if backoff_min_ms > FIRST_BACKOFF_MS_MAX {
            return Err(RestartError::FirstTooSlow);
        }
        if backoff_min_ms > backoff_max_ms {
            return Err(RestartError::BackoffReversed);
        }
        if restart.wait_in_all_ms() >= within_ms {
            return Err(RestartError::NeverGivesUp);
        }
        Ok(restart)
    }

    /// The most restarts within the window.
    #[must_use]
    pub const fn max(&self) -> u32 {
        self.max
    }

    /// The length of the window, in ms.
    #[must_use]
    pub const fn within_ms(&self) -> u64 {
        self.within_ms
    }

    /// The wait after the `nth` failure in the window (from 1), in ms.
    const fn backoff_ms(&self, nth: u32) -> u64 {
        let doublings = nth.saturating_sub(1);
        // 50 ms doubled 50 times still fits 64 bits; any cap is reached before.
        let factor = 1_u64 << if doublings > 50 { 50 } else { doublings };
        let wait = self.backoff_min_ms.saturating_mul(factor);
        if wait > self.backoff_max_ms {
            self.backoff_max_ms
        } else {
            wait
        }
    }

    /// What a child that fails at once each time waits before it is given up, in ms.
    const fn wait_in_all_ms(&self) -> u64 {
        let mut sum = 0_u64;
        let mut nth = 1;
        while nth <= self.max {
            sum = sum.saturating_add(self.backoff_ms(nth));
            nth += 1;
        }
        sum
    }
}

/// Which rule a restart policy breaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RestartError {
    /// More restarts than [`RESTARTS_MAX`].
    #[error("a restart budget holds at most {RESTARTS_MAX} restarts")]
    TooMany,
    /// The first wait would break the promise to be back within 1 s.
    #[error("the first restart waits at most {FIRST_BACKOFF_MS_MAX} ms")]
    FirstTooSlow,
    /// The cap lies below the first wait.
    #[error("the longest backoff must not be below the shortest")]
    BackoffReversed,
    /// The waits alone outlast the window, so failures would leave it as fast as they come.
    #[error("the waits of all restarts together must be shorter than their window")]
    NeverGivesUp,
}

/// What follows from a failure.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ruling {
    /// Start the child again after this many ms.
    RestartAfter(u64),
    /// The budget is used up: the supervisor itself has failed.
    GiveUp,
}

/// The failures of one child that its policy still remembers.
#[derive(Clone, Debug)]
pub struct RestartBudget {
    restart: Restart,
    failures_ms: VecDeque<u64>,
}

impl RestartBudget {
    /// A budget nothing was taken from.
    #[must_use]
    pub fn new(restart: Restart) -> Self {
        Self {
            restart,
            failures_ms: VecDeque::new(),
        }
    }

    /// The policy behind the budget.
    #[must_use]
    pub fn restart(&self) -> Restart {
        self.restart
    }

    /// What is left of it after the latest failure, in words.
    #[must_use]
    pub fn left(&self) -> String {
        let Restart { max, within_ms, .. } = self.restart;
        let used = u32::try_from(self.failures_ms.len()).unwrap_or(u32::MAX);
        let left = max.saturating_sub(used);
        format!("{left} of {max} restarts within {} left", span(within_ms))
    }

    /// Takes note of a failure at `now_ms` (any clock that does not jump) and says what follows.
    /// A clock that goes back counts as standing still.
    pub fn on_failure(&mut self, now_ms: u64) -> Ruling {
        let now_ms = self.failures_ms.back().map_or(now_ms, |t| now_ms.max(*t));
        let within_ms = self.restart.within_ms;
        self.failures_ms
            .retain(|t| now_ms.saturating_sub(*t) < within_ms);
        self.failures_ms.push_back(now_ms);
        let failures = u32::try_from(self.failures_ms.len()).unwrap_or(u32::MAX);
        if failures > self.restart.max {
            return Ruling::GiveUp;
        }
        Ruling::RestartAfter(self.restart.backoff_ms(failures))
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test may panic")]
    use super::*;
    use proptest::prelude::*;

    fn budget(max: u32, within: u64, min: u64, cap: u64) -> RestartBudget {
        RestartBudget::new(Restart::new(max, within, min, cap).unwrap())
    }

    #[test]
    fn waits_double_up_to_the_cap_then_the_budget_is_used_up() {
        let mut b = budget(5, 1_000, 10, 50);
        let rulings: Vec<_> = (0..6).map(|t| b.on_failure(t)).collect();
        let waits = [10, 20, 40, 50, 50].map(Ruling::RestartAfter);
        let (last, others) = rulings.split_last().unwrap();
        assert_eq!(others, waits);
        assert_eq!(*last, Ruling::GiveUp);
    }

    #[test]
    fn a_failure_leaves_the_window_exactly_at_its_end() {
        let mut at_the_end = budget(1, 100, 0, 0);
        assert_eq!(at_the_end.on_failure(0), Ruling::RestartAfter(0));
        assert_eq!(at_the_end.on_failure(100), Ruling::RestartAfter(0));
        let mut just_before = budget(1, 100, 0, 0);
        assert_eq!(just_before.on_failure(0), Ruling::RestartAfter(0));
        assert_eq!(just_before.on_failure(99), Ruling::GiveUp);
    }

    #[test]
    fn quiet_resets_the_backoff() {
        let mut b = budget(4, 1_000, 10, 100);
        b.on_failure(0);
        assert_eq!(b.on_failure(1), Ruling::RestartAfter(20));
        assert_eq!(b.on_failure(1_001), Ruling::RestartAfter(10));
    }

    #[test]
    fn a_budget_of_none_gives_up_at_once() {
        assert_eq!(budget(0, 1, 0, 0).on_failure(7), Ruling::GiveUp);
    }

    #[test]
    fn a_clock_going_back_forgives_nothing() {
        let mut b = budget(1, 100, 0, 0);
        b.on_failure(1_000);
        assert_eq!(b.on_failure(0), Ruling::GiveUp);
    }

    #[test]
    fn policies_that_break_a_rule_are_refused_by_name() {
        let of = |max, within, min, cap| Restart::new(max, within, min, cap).unwrap_err();
        assert_eq!(of(65, 1_000_000, 1, 1), RestartError::TooMany);
        assert_eq!(of(1, 1_000, 51, 100), RestartError::FirstTooSlow);
        assert_eq!(of(1, 1_000, 20, 10), RestartError::BackoffReversed);
        assert_eq!(of(10, 950, 50, 100), RestartError::NeverGivesUp);
        assert_eq!(of(0, 0, 0, 0), RestartError::NeverGivesUp);
        let s = Restart::STANDARD;
        let again = Restart::new(s.max, s.within_ms, s.backoff_min_ms, s.backoff_max_ms);
        assert_eq!(again, Ok(s));
    }

    proptest! {
        /// Whatever the policy: who fails at once each time is given up after exactly `max`
        /// restarts, and who fails at most `max` times a window never is.
        #[test]
        fn loops_end_and_rare_failures_live(
            max in 0_u32..=RESTARTS_MAX,
            within in 1_u64..100_000,
            min in 0_u64..=FIRST_BACKOFF_MS_MAX,
            cap in 0_u64..10_000,
        ) {
            let Ok(restart) = Restart::new(max, within, min, cap) else { return Ok(()) };
            let (mut now, mut restarts) = (0, 0);
            let mut eager = RestartBudget::new(restart);
            while let Ruling::RestartAfter(wait) = eager.on_failure(now) {
                prop_assert!(wait <= cap);
                now += wait;
                restarts += 1;
            }
            prop_assert_eq!(restarts, max);
            if max > 0 {
                let step = within.div_ceil(u64::from(max));
                let mut rare = RestartBudget::new(restart);
                for n in 0..300 {
                    prop_assert_ne!(rare.on_failure(n * step), Ruling::GiveUp);
                }
            }
        }
    }
}
