//! Time as a value: what a request's one clock reading says, and how old a contact is.

/// A contact further in the future than this is unusable: the clock was set back, or the file
/// was made on another machine.
pub const FUTURE_TOLERANCE_MS: i64 = 60_000;

/// Seconds since the Unix epoch: the unit of certificate validity.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct UnixSeconds(pub i64);

/// One reading of both clocks; a request is judged by exactly one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Now {
    /// Wall clock, milliseconds since the Unix epoch. May jump.
    pub wall_ms: i64,
    /// Milliseconds since boot, counting suspend. Never jumps, means nothing after a reboot.
    pub boot_ms: i64,
}

impl Now {
    /// The wall clock in whole seconds, as certificates count.
    #[must_use]
    pub fn unix_seconds(self) -> UnixSeconds {
        UnixSeconds(self.wall_ms.div_euclid(1000))
    }
}

/// When the last full update from a trust source was received.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Contact {
    /// Wall clock of the contact, milliseconds since the Unix epoch.
    pub wall_ms: i64,
    /// Boot-time clock of the contact; `None` when it was made before the last boot.
    pub boot_ms: Option<i64>,
}

impl Contact {
    /// A contact made at this moment.
    #[must_use]
    pub fn at(now: Now) -> Self {
        Self {
            wall_ms: now.wall_ms,
            boot_ms: Some(now.boot_ms),
        }
    }

    /// The age: the larger of what the two clocks say, so that setting one back makes nothing younger.
    #[must_use]
    pub fn age(&self, now: Now) -> Age {
        let wall = now.wall_ms.saturating_sub(self.wall_ms);
        let boot = self.boot_ms.map(|ms| now.boot_ms.saturating_sub(ms));
        let earliest = boot.map_or(wall, |b| b.min(wall));
        if earliest < -FUTURE_TOLERANCE_MS {
            return Age::InTheFuture;
        }
        let age = boot.map_or(wall, |b| b.max(wall)).max(0);
        Age::Ms(age.unsigned_abs())
    }
}

/// How old a contact is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Age {
    /// This many milliseconds.
    Ms(u64),
    /// The contact lies in the future by more than [`FUTURE_TOLERANCE_MS`]: nothing can be concluded.
    InTheFuture,
}

impl Age {
    /// Whether the age is known and at most `limit_ms`.
    #[must_use]
    pub fn within(self, limit_ms: u64) -> bool {
        matches!(self, Self::Ms(ms) if ms <= limit_ms)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn now(wall_ms: i64, boot_ms: i64) -> Now {
        Now { wall_ms, boot_ms }
    }

    #[test]
    fn the_larger_clock_counts() {
        let contact = Contact::at(now(1_000_000, 5_000));
        // The wall clock was set back by 10 s while 7 s passed.
        assert_eq!(contact.age(now(990_000 + 7_000, 12_000)), Age::Ms(7_000));
        // The wall clock was set forward by 100 s while 7 s passed.
        assert_eq!(contact.age(now(1_107_000, 12_000)), Age::Ms(107_000));
    }

    #[test]
    fn a_contact_in_the_future_is_unusable() {
        let contact = Contact {
            wall_ms: 1_000_000,
            boot_ms: None,
        };
        assert_eq!(contact.age(now(940_000, 0)), Age::Ms(0));
        assert_eq!(contact.age(now(939_999, 0)), Age::InTheFuture);
        assert!(!contact.age(now(939_999, 0)).within(u64::MAX));
    }

    #[test]
    fn extremes_do_not_overflow() {
        let contact = Contact {
            wall_ms: i64::MIN,
            boot_ms: Some(i64::MIN),
        };
        assert_eq!(
            contact.age(now(i64::MAX, i64::MAX)),
            Age::Ms(i64::MAX.unsigned_abs())
        );
    }

    #[test]
    fn seconds_round_down_before_the_epoch() {
        assert_eq!(now(-1, 0).unix_seconds(), UnixSeconds(-1));
        assert_eq!(now(1_999, 0).unix_seconds(), UnixSeconds(1));
    }
}
