//! The agent never spins: a moment comes to an end, and time goes on.

use super::Violation;

/// Steps within one millisecond; a play's busiest needs a few hundred.
const STEPS_MAX: u64 = 10_000;

/// How many steps the present millisecond has seen.
#[derive(Clone, Copy, Debug, Default)]
pub struct Rests {
    at_ms: u64,
    steps: u64,
}

impl Rests {
    /// A step.
    ///
    /// # Errors
    /// There were too many at this moment.
    pub fn see(&mut self, at_ms: u64) -> Result<(), Violation> {
        if self.at_ms != at_ms {
            *self = Self { at_ms, steps: 0 };
        }
        self.steps += 1;
        if self.steps > STEPS_MAX {
            let what = format!("more than {STEPS_MAX} steps at one moment");
            return Err(Violation::new("rests", what));
        }
        Ok(())
    }
}
