//! Log lines that a peer, or SPIRE, can cause as fast as it can write: some are told, the rest counted.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

/// Lines of one kind in [`SPAN`]: enough to see what goes on, too few to fill a disk.
const LINES: u32 = 100;

/// Then the kind is told again.
const SPAN: Duration = Duration::from_secs(10);

/// The same of what SPIRE says, in [`RARE_SPAN`]: more than an operator does by hand in that time, and a
/// few megabytes a day of a SPIRE that never stops.
pub(crate) const RARE_LINES: u32 = 20;

/// Then that kind is told again.
const RARE_SPAN: Duration = Duration::from_secs(60);

/// A message that cannot be read.
pub(crate) static UNREADABLE: Sparse = Sparse::new();
/// A connection of somebody who may not ask.
pub(crate) static UNTRUSTED: Sparse = Sparse::new();
/// A connection that we closed.
pub(crate) static CLOSED: Sparse = Sparse::new();
/// An audit file that somebody else moved, removed or cut.
pub(crate) static MEDDLED: Sparse = Sparse::new();
/// An audit file that another agent writes to.
pub(crate) static SHARED: Sparse = Sparse::new();
/// What became of a push.
pub(crate) static PUSHED: Sparse = Sparse::new();

/// One kind of line. Of the process, as its log is.
#[derive(Debug)]
pub(crate) struct Sparse(Mutex<Span>);

/// One kind of line about SPIRE, which talks seldom while it is well.
#[derive(Debug)]
pub(crate) struct Rare(Sparse);

impl Default for Rare {
    fn default() -> Self {
        Self(Sparse::of(RARE_LINES, RARE_SPAN))
    }
}

impl Rare {
    /// Whether this line is told; then with how many before it were not.
    pub(crate) fn admits(&self) -> Option<LeftOut> {
        self.0.admits()
    }
}

/// How many lines were not told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct LeftOut(u64);

impl LeftOut {
    /// For the line; `None`, and so no field, if there were none.
    pub(crate) fn some(self) -> Option<u64> {
        (self.0 > 0).then_some(self.0)
    }
}

#[derive(Debug)]
struct Span {
    lines: u32,
    lasts: Duration,
    since: Option<Instant>,
    told: u32,
    left_out: u64,
}

impl Sparse {
    const fn new() -> Self {
        Self::of(LINES, SPAN)
    }

    const fn of(lines: u32, lasts: Duration) -> Self {
        Self(Mutex::new(Span {
            lines,
            lasts,
            since: None,
            told: 0,
            left_out: 0,
        }))
    }

    /// Whether this line is told; then with how many before it were not.
    pub(crate) fn admits(&self) -> Option<LeftOut> {
        let mut span = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        span.admits(Instant::now())
    }
}

impl Span {
    fn admits(&mut self, now: Instant) -> Option<LeftOut> {
        if self.since.is_none_or(|since| now >= since + self.lasts) {
            self.since = Some(now);
            self.told = 0;
        }
        if self.told >= self.lines {
            self.left_out = self.left_out.saturating_add(1);
            return None;
        }
        self.told += 1;
        Some(LeftOut(std::mem::take(&mut self.left_out)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_flood_is_told_of_and_counted() {
        let lines = Sparse::new();
        let told = (0..1_000).filter(|_| lines.admits().is_some()).count();
        assert_eq!(told, 100);
        tokio::time::advance(SPAN).await;
        assert_eq!(lines.admits(), Some(LeftOut(900)));
        assert_eq!(lines.admits(), Some(LeftOut(0)));
    }
}
