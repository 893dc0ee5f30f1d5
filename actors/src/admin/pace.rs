//! Pages are made at a pace: who asks without a pause waits for his turn, and requests have the processor.
//! Probes are no pages: they cost little, and are answered at once whoever else asks.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tokio::time::{Instant, sleep_until};

/// Between two pages for those who ask without a pause. Twenty a second are more than scrapers and people
/// need, and few beside thousands of requests: so that where processors are few, fewer than one request
/// in a hundred meets one.
const GAP: Duration = Duration::from_millis(50);

/// Pages that are made at once when none was for a while: a browser and some scrapers together.
const AT_ONCE: u32 = 20;

/// Longest wait for a turn: who would wait longer is told to come again.
const WAIT_MAX: Duration = Duration::from_secs(1);

/// When the next page is due, if they were made one after the other all the time.
#[derive(Debug, Default)]
pub(super) struct Pace(Mutex<Option<Instant>>);

/// More is asked than is made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Hurried;

impl Pace {
    /// Waits for a turn.
    ///
    /// # Errors
    /// It would come too late.
    pub(super) async fn turn(&self) -> Result<(), Hurried> {
        let due = self.due(Instant::now())?;
        sleep_until(due).await;
        Ok(())
    }

    fn due(&self, now: Instant) -> Result<Instant, Hurried> {
        // Nothing under this lock can panic.
        let mut next = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let saved_up = now.checked_sub(GAP * AT_ONCE).unwrap_or(now);
        let due = next.map_or(saved_up, |next| next.max(saved_up));
        // Who is sent away takes no turn, or a flood of them would leave none to others.
        if due > now + WAIT_MAX {
            return Err(Hurried);
        }
        *next = Some(due + GAP);
        Ok(due.max(now))
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test may panic")]

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_few_are_served_at_once_and_a_flood_at_a_pace() {
        let (pace, begun) = (Pace::default(), Instant::now());
        let mut served = 0;
        while begun.elapsed() < Duration::from_secs(20) {
            pace.turn().await.unwrap();
            served += 1;
            if served == AT_ONCE {
                assert_eq!(begun.elapsed(), Duration::ZERO);
            }
        }
        let at_pace = u32::try_from(20_000 / GAP.as_millis()).unwrap();
        assert!(
            (at_pace..=at_pace + AT_ONCE + 1).contains(&served),
            "{served}"
        );
        // After a while without any a few go at once again.
        tokio::time::sleep(Duration::from_secs(1)).await;
        let later = Instant::now();
        for _ in 0..AT_ONCE {
            pace.turn().await.unwrap();
        }
        assert_eq!(later.elapsed(), Duration::ZERO);
    }

    /// However many come and go, the wait of the next one is bounded, and turns are not lost.
    #[tokio::test(start_paused = true)]
    async fn whoever_would_wait_too_long_is_sent_away() {
        let (pace, now) = (Pace::default(), Instant::now());
        let asked: Vec<_> = (0..10_000).map(|_| pace.due(now)).collect();
        let last = asked.iter().rev().find_map(|due| due.ok()).unwrap();
        assert!(last <= now + WAIT_MAX, "{:?}", last - now);
        assert_eq!(asked.last(), Some(&Err(Hurried)));
        assert!(pace.due(now + GAP * 2).is_ok());
    }
}
