//! Whether the runtime that answers requests still moves.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

/// The health actor ticks ten times a second, and is back within seconds of a crash. Only a runtime
/// that is stuck keeps it silent for so long, and only a restart cures that.
pub const SILENCE_MAX: Duration = Duration::from_secs(30);

/// The last sign of life. Monotonic: a machine that slept was not stuck.
#[derive(Clone, Debug)]
pub struct Heartbeat {
    started: Instant,
    last_ms: Arc<AtomicU64>,
}

impl Default for Heartbeat {
    fn default() -> Self {
        Self {
            started: Instant::now(),
            last_ms: Arc::default(),
        }
    }
}

impl Heartbeat {
    /// Signs.
    pub fn beat(&self) {
        self.last_ms.store(self.now_ms(), Ordering::Relaxed);
    }

    /// How long ago the last sign was.
    #[must_use]
    pub fn silence(&self) -> Duration {
        let last_ms = self.last_ms.load(Ordering::Relaxed);
        Duration::from_millis(self.now_ms().saturating_sub(last_ms))
    }

    /// Whether the last sign is recent enough.
    #[must_use]
    pub fn is_alive(&self) -> bool {
        self.silence() <= SILENCE_MAX
    }

    fn now_ms(&self) -> u64 {
        u64::try_from(self.started.elapsed().as_millis()).unwrap_or(u64::MAX)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn silence_beyond_the_bound_is_death_until_the_next_beat() {
        let Some(started) = Instant::now().checked_sub(SILENCE_MAX + Duration::from_secs(1)) else {
            // The machine itself is younger than that.
            return;
        };
        let heart = Heartbeat {
            started,
            ..Heartbeat::default()
        };
        assert!(!heart.is_alive());
        heart.beat();
        assert!(heart.is_alive());
    }
}
