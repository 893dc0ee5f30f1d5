//! The machine's clocks: one that is set, one that counts since boot, one that sleeps when it does.

use verdict::time::Now;

/// A machine, in true ms from the begin of the play.
#[derive(Clone, Copy, Debug)]
pub struct Machine {
    boot: u64,
    booted_ms: u64,
    wall_offset_ms: i64,
    /// Slept in this boot, the present sleep included.
    suspended_ms: u64,
    awake_at_ms: u64,
}

impl Default for Machine {
    /// Booted at the begin, five seconds ago.
    fn default() -> Self {
        Self {
            boot: 1,
            booted_ms: 0,
            wall_offset_ms: 0,
            suspended_ms: 0,
            awake_at_ms: 0,
        }
    }
}

impl Machine {
    /// Which boot this is.
    #[must_use]
    pub const fn boot(&self) -> u64 {
        self.boot
    }

    /// Both clocks.
    #[must_use]
    pub fn now(&self, at_ms: u64, begin_ms: i64) -> Now {
        let at = i64::try_from(at_ms).unwrap_or(i64::MAX);
        let booted = i64::try_from(self.booted_ms).unwrap_or(i64::MAX);
        Now {
            wall_ms: begin_ms + at + self.wall_offset_ms,
            boot_ms: 5_000 + at - booted,
        }
    }

    /// The clock of timers: it stands still while the machine sleeps.
    #[must_use]
    pub const fn monotonic_ms(&self, at_ms: u64) -> u64 {
        5_000
            + at_ms
                .saturating_sub(self.booted_ms)
                .saturating_sub(self.suspended_ms)
    }

    /// How long it has slept since boot, ms.
    #[must_use]
    pub const fn suspended_ms(&self) -> u64 {
        self.suspended_ms
    }

    /// When it is, or was, awake again.
    #[must_use]
    pub const fn awake_at_ms(&self) -> u64 {
        self.awake_at_ms
    }

    /// Somebody sets the wall clock.
    pub const fn set_wall(&mut self, by_ms: i64) {
        self.wall_offset_ms = self.wall_offset_ms.saturating_add(by_ms);
    }

    /// It falls asleep; one that sleeps sleeps on.
    pub const fn sleep(&mut self, at_ms: u64, for_ms: u64) {
        if at_ms >= self.awake_at_ms {
            self.awake_at_ms = at_ms + for_ms;
            self.suspended_ms += for_ms;
        }
    }

    /// It starts again.
    pub const fn reboot(&mut self, at_ms: u64) {
        self.boot += 1;
        self.booted_ms = at_ms;
        self.suspended_ms = 0;
        self.awake_at_ms = at_ms;
    }
}
