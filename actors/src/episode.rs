//! Something that is wrong for a while, and is to be told of once: until it is over, and never more
//! often than the log can bear. Pure.

use std::time::Duration;

use tokio::time::Instant;

/// It is told of at most once in this time, however often it comes and goes.
const QUIET: Duration = Duration::from_secs(60);

/// Whether it has been told of.
#[derive(Debug)]
pub(crate) struct Episode {
    stage: Stage,
    told_at: Option<Instant>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    /// All is well, or nobody was told that it is not.
    Untold,
    /// It is not, and that was said.
    Told,
}

impl Episode {
    pub(crate) const fn new() -> Self {
        Self {
            stage: Stage::Untold,
            told_at: None,
        }
    }

    /// Something is wrong, still or again. True: say so.
    pub(crate) fn begins(&mut self, now: Instant) -> bool {
        let quiet = self.told_at.is_some_and(|told_at| now < told_at + QUIET);
        if self.stage == Stage::Told || quiet {
            return false;
        }
        self.stage = Stage::Told;
        self.told_at = Some(now);
        true
    }

    /// All is well.
    pub(crate) const fn ends(&mut self) {
        self.stage = Stage::Untold;
    }

    #[cfg(test)]
    pub(crate) fn is_told(&self) -> bool {
        self.stage == Stage::Told
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_told_of_once_and_the_next_not_too_soon() {
        let start = Instant::now();
        let after = |seconds| start + Duration::from_secs(seconds);
        let mut episode = Episode::new();
        assert!(episode.begins(start));
        // However long it lasts.
        assert!(!episode.begins(after(1)) && !episode.begins(after(1_000)));
        let mut episode = Episode::new();
        assert!(episode.begins(start));
        episode.ends();
        assert!(!episode.begins(after(59)), "it comes and goes");
        assert!(episode.begins(after(60)), "it has come to stay");
        assert!(!episode.begins(after(200)));
    }
}
