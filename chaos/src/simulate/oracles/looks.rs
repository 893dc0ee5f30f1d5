//! What changes at the socket's path, and a sleep of the machine, are each worth a try at once: not
//! only when the next one is due (decisions, "Trust sources").

use ::actors::bundles::plan::{SUSPEND_NOTICED_MS, SocketFile};

use super::{Violation, Way};

/// How often a watcher looks around, and what a busy machine takes, ms.
const LOOKED_MS: u64 = 250 + 50;

/// What a try begins with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sight {
    /// What is at the socket's path.
    pub file: SocketFile,
    /// How long the machine has slept, ms.
    pub suspended_ms: u64,
}

/// What was there when the agent last tried, and since when something else is.
#[derive(Clone, Copy, Debug, Default)]
pub struct Looks {
    tried: Option<Sight>,
    since_ms: Option<u64>,
}

impl Looks {
    /// The agent tries.
    pub const fn tried(&mut self, sight: Sight) {
        self.tried = Some(sight);
        self.since_ms = None;
    }

    /// What is so at this moment.
    ///
    /// # Errors
    /// There is something new for too long, and nobody tried.
    pub fn see(&mut self, way: Way, sight: Sight, at_ms: u64) -> Result<(), Violation> {
        let is_new = self.tried.is_some_and(|tried| sight.is_worth_more(tried));
        // Whoever is dead, stuck or asleep sees nothing; from its return on it must.
        if !is_new || matches!(way, Way::NoAgent | Way::Neither) {
            self.since_ms = None;
            return Ok(());
        }
        let late_ms = at_ms.saturating_sub(*self.since_ms.get_or_insert(at_ms));
        if late_ms > LOOKED_MS {
            let what = format!("no attempt for {late_ms} ms though there is something new");
            return Err(Violation::new("looks", what));
        }
        Ok(())
    }
}

impl Sight {
    fn is_worth_more(self, tried: Self) -> bool {
        let slept_ms = self.suspended_ms.saturating_sub(tried.suspended_ms);
        let slept = i64::try_from(slept_ms).unwrap_or(i64::MAX) >= SUSPEND_NOTICED_MS;
        slept || (self.file != SocketFile::Absent && self.file != tried.file)
    }
}
