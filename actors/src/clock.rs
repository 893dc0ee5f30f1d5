//! One clock for everything: the kernel's, or one that a test drives.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use rustix::time::{ClockId, Timespec, clock_gettime};
use tokio::time::Instant;
use verdict::time::Now;

/// Where the kernel tells which boot this is.
const BOOT_ID_PATH: &str = "/proc/sys/kernel/random/boot_id";

/// A boot id is a UUID: 32 hexadecimal digits and 4 hyphens.
const BOOT_ID_LEN: usize = 36;

/// Tells the time. Cheap to clone; clones of a test's clock are driven together.
#[derive(Clone, Debug)]
pub enum Clock {
    /// The kernel's clocks.
    System(SystemClock),
    /// A clock driven by a test.
    Test(TestClock),
    /// A clock that says what it was told: needs no runtime.
    Told(ToldClock),
}

impl Clock {
    /// The kernel's clocks; reads the boot id once.
    #[must_use]
    pub fn system() -> Self {
        let boot_id = std::fs::read_to_string(BOOT_ID_PATH).ok();
        Self::System(SystemClock {
            boot_id: boot_id.as_deref().and_then(parse_boot_id),
        })
    }

    /// Both clocks, read once: what a request is judged by.
    #[must_use]
    pub fn now(&self) -> Now {
        match self {
            Self::System(_) => Now {
                wall_ms: millis(clock_gettime(ClockId::Realtime)),
                boot_ms: millis(clock_gettime(ClockId::Boottime)),
            },
            Self::Test(clock) => clock.now(),
            Self::Told(clock) => clock.now(),
        }
    }

    /// Milliseconds this machine has slept since boot. A timer does not run meanwhile, so a growth
    /// between two readings means that whoever waits has been away.
    #[must_use]
    pub fn suspended_ms(&self) -> i64 {
        match self {
            Self::System(_) => {
                // Monotonic first: what passes between the two readings never counts as negative.
                let monotonic = millis(clock_gettime(ClockId::Monotonic));
                millis(clock_gettime(ClockId::Boottime)).saturating_sub(monotonic)
            }
            Self::Test(clock) => clock.shared.suspended_ms.load(Ordering::Relaxed),
            Self::Told(clock) => clock.told.suspended_ms.load(Ordering::Relaxed),
        }
    }

    /// Which boot `boot_ms` counts from; `None` when the kernel does not tell, and then a boot-time
    /// reading of an earlier process means nothing.
    #[must_use]
    pub fn boot_id(&self) -> Option<&str> {
        match self {
            Self::System(clock) => clock.boot_id.as_deref(),
            Self::Test(clock) => Some(&clock.shared.boot_id),
            Self::Told(clock) => Some(&clock.told.boot_id),
        }
    }
}

/// The kernel's clocks; made by [`Clock::system`].
#[derive(Clone, Debug)]
pub struct SystemClock {
    boot_id: Option<Arc<str>>,
}

/// A clock that follows the runtime's time, which a test may pause, and that can jump.
#[derive(Clone, Debug)]
pub struct TestClock {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    started: Instant,
    boot_id: Arc<str>,
    wall_offset_ms: AtomicI64,
    boot_offset_ms: i64,
    suspended_ms: AtomicI64,
}

impl TestClock {
    /// A clock that reads `start` now, in the boot named `boot_id`. Needs a tokio runtime.
    #[must_use]
    pub fn new(start: Now, boot_id: &str) -> Self {
        Self {
            shared: Arc::new(Shared {
                started: Instant::now(),
                boot_id: boot_id.into(),
                wall_offset_ms: AtomicI64::new(start.wall_ms),
                boot_offset_ms: start.boot_ms,
                suspended_ms: AtomicI64::new(0),
            }),
        }
    }

    /// Sets the wall clock forward (or back, if negative) by `by_ms`; boot time is unmoved.
    pub fn jump_wall(&self, by_ms: i64) {
        add(&self.shared.wall_offset_ms, by_ms);
    }

    /// Lets the machine sleep for `for_ms`: both clocks go on, timers do not.
    pub fn suspend(&self, for_ms: u32) {
        add(&self.shared.suspended_ms, i64::from(for_ms));
    }

    /// The reading of both clocks.
    #[must_use]
    pub fn now(&self) -> Now {
        let shared = &self.shared;
        let elapsed = i64::try_from(shared.started.elapsed().as_millis()).unwrap_or(i64::MAX);
        let passed = elapsed.saturating_add(shared.suspended_ms.load(Ordering::Relaxed));
        Now {
            wall_ms: passed.saturating_add(shared.wall_offset_ms.load(Ordering::Relaxed)),
            boot_ms: passed.saturating_add(shared.boot_offset_ms),
        }
    }
}

/// A clock for simulations: each reading is what was last [told](ToldClock::tell).
#[derive(Clone, Debug)]
pub struct ToldClock {
    told: Arc<Told>,
}

#[derive(Debug)]
struct Told {
    boot_id: Arc<str>,
    wall_ms: AtomicI64,
    boot_ms: AtomicI64,
    suspended_ms: AtomicI64,
}

impl ToldClock {
    /// A clock that reads `start`, in the boot named `boot_id`.
    #[must_use]
    pub fn new(start: Now, boot_id: &str) -> Self {
        Self {
            told: Arc::new(Told {
                boot_id: boot_id.into(),
                wall_ms: AtomicI64::new(start.wall_ms),
                boot_ms: AtomicI64::new(start.boot_ms),
                suspended_ms: AtomicI64::new(0),
            }),
        }
    }

    /// What it reads from now on; `suspended_ms` is how long the machine has slept since boot.
    pub fn tell(&self, now: Now, suspended_ms: i64) {
        self.told.wall_ms.store(now.wall_ms, Ordering::Relaxed);
        self.told.boot_ms.store(now.boot_ms, Ordering::Relaxed);
        self.told
            .suspended_ms
            .store(suspended_ms, Ordering::Relaxed);
    }

    /// The reading of both clocks.
    #[must_use]
    pub fn now(&self) -> Now {
        Now {
            wall_ms: self.told.wall_ms.load(Ordering::Relaxed),
            boot_ms: self.told.boot_ms.load(Ordering::Relaxed),
        }
    }
}

fn add(to: &AtomicI64, ms: i64) {
    // The closure always returns a value, so there is no failure to handle.
    let _ = to.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |now| {
        Some(now.saturating_add(ms))
    });
}

fn millis(time: Timespec) -> i64 {
    let seconds_ms = time.tv_sec.saturating_mul(1_000);
    seconds_ms.saturating_add(time.tv_nsec / 1_000_000)
}

fn parse_boot_id(text: &str) -> Option<Arc<str>> {
    let text = text.trim_end();
    let shaped =
        text.len() == BOOT_ID_LEN && text.bytes().all(|b| b.is_ascii_hexdigit() || b == b'-');
    shaped.then(|| text.into())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test may panic")]
    use super::*;
    use std::time::Duration;

    #[test]
    fn the_kernels_clocks_move_forward_and_name_their_boot() {
        let clock = Clock::system();
        let (before, after) = (clock.now(), clock.now());
        assert!(after.boot_ms >= before.boot_ms);
        // 2024-01-01: whoever builds this lives later.
        assert!(before.wall_ms > 1_704_067_200_000);
        assert!(clock.suspended_ms() >= 0);
        assert_eq!(clock.boot_id(), Clock::system().boot_id());
    }

    #[test]
    fn a_boot_id_is_a_uuid_or_nothing() {
        let id = "5b1f0d3e-7a44-4d0c-9a57-3a6f7f0e2c11";
        assert_eq!(&*parse_boot_id(&format!("{id}\n")).unwrap(), id);
        assert_eq!(parse_boot_id(""), None);
        assert_eq!(parse_boot_id(&id[1..]), None);
        assert_eq!(parse_boot_id(&id.replace('f', "/")), None);
    }

    #[tokio::test(start_paused = true)]
    async fn a_tests_clock_follows_the_runtime_jumps_and_sleeps() {
        let test = TestClock::new(
            Now {
                wall_ms: 1_000_000,
                boot_ms: 500,
            },
            "boot",
        );
        let clock = Clock::Test(test.clone());
        tokio::time::advance(Duration::from_millis(250)).await;
        assert_eq!(
            clock.now(),
            Now {
                wall_ms: 1_000_250,
                boot_ms: 750
            }
        );
        test.jump_wall(-10_000);
        assert_eq!(
            clock.now(),
            Now {
                wall_ms: 990_250,
                boot_ms: 750
            }
        );
        assert_eq!(clock.suspended_ms(), 0);
        test.suspend(7_000);
        assert_eq!(
            clock.now(),
            Now {
                wall_ms: 997_250,
                boot_ms: 7_750
            }
        );
        assert_eq!(clock.suspended_ms(), 7_000);
        assert_eq!(clock.boot_id(), Some("boot"));
        test.jump_wall(i64::MAX);
        assert_eq!(clock.now().wall_ms, i64::MAX);
    }
}
