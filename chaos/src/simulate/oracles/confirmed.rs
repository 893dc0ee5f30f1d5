//! `Live` is never an old claim: a source that is called so has delivered within its refresh interval,
//! what an attempt may take, and what it may take until there is a place for another attempt.
//! Silence proves nothing, so it must not keep a source alive.

use ::actors::bundles::plan::ATTEMPT_OPEN_MAX_MS;
use verdict::availability::Phase;

use super::{Violation, Way};
use crate::simulate::schedule::Times;

/// What a call, a look around and a busy machine take beside the terms, ms.
const SLACK_MS: u64 = 1_000;

/// When the source was last heard by a watcher that has been alive and awake ever since.
#[derive(Clone, Copy, Debug, Default)]
pub struct Confirmed {
    since_ms: Option<u64>,
}

impl Confirmed {
    /// A full update came.
    pub const fn heard(&mut self, at_ms: u64) {
        self.since_ms = Some(at_ms);
    }

    /// What is so at this moment.
    ///
    /// # Errors
    /// The source is called `Live`, and was not heard for too long.
    pub fn see(
        &mut self,
        way: Way,
        phase: Phase,
        times: Times,
        at_ms: u64,
    ) -> Result<(), Violation> {
        if matches!(way, Way::NoAgent | Way::Neither) {
            // Whoever is dead, stuck or asleep notices nothing; from its return on it must.
            self.since_ms = None;
            return Ok(());
        }
        let silent_ms = at_ms.saturating_sub(*self.since_ms.get_or_insert(at_ms));
        let bound_ms = times.refresh_ms + ATTEMPT_OPEN_MAX_MS + times.api_timeout_ms + SLACK_MS;
        if phase == Phase::Live && silent_ms > bound_ms {
            let what = format!("Live, and silent for {silent_ms} ms, bound {bound_ms} ms");
            return Err(Violation::new("confirmed", what));
        }
        Ok(())
    }
}
