//! The push that was refused last: the proxy that wrote it reads its log less often than we are asked.

use std::sync::{Mutex, MutexGuard, PoisonError};

use tokio::time::Instant;

/// Longest reason kept, characters: each mistake of a push is in it.
const REASON_MAX_CHARS: usize = 1_024;

/// Longest name kept of a proxy, characters.
const PROXY_MAX_CHARS: usize = 128;

/// A push that was refused. Texts are a peer's: hostile.
#[derive(Clone, Debug)]
pub struct RefusedPush {
    /// What the proxy calls itself.
    pub proxy: String,
    /// What is wrong with it.
    pub reason: String,
    /// When it came.
    pub at: Instant,
}

/// Which one counts: the last, until its proxy brings one that is in order.
#[derive(Debug, Default)]
pub(crate) struct LastRefused(Mutex<Option<RefusedPush>>);

impl LastRefused {
    pub(crate) fn refused(&self, proxy: &str, reason: &str) {
        *self.last() = Some(RefusedPush {
            proxy: proxy.chars().take(PROXY_MAX_CHARS).collect(),
            reason: reason.chars().take(REASON_MAX_CHARS).collect(),
            at: Instant::now(),
        });
    }

    pub(crate) fn applied(&self, proxy: &str) {
        self.last()
            .take_if(|last| proxy.chars().take(PROXY_MAX_CHARS).eq(last.proxy.chars()));
    }

    pub(crate) fn get(&self) -> Option<RefusedPush> {
        self.last().clone()
    }

    /// A poisoned lock guards a value that is replaced whole.
    fn last(&self) -> MutexGuard<'_, Option<RefusedPush>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test may panic")]

    use super::*;

    #[tokio::test]
    async fn the_last_counts_until_its_proxy_mends_it() {
        let last = LastRefused::default();
        last.refused("one", "a mistake");
        last.refused(&"x".repeat(1_000), &"y".repeat(10_000));
        let kept = last.get().unwrap();
        assert_eq!((kept.proxy.len(), kept.reason.len()), (128, 1_024));
        last.applied("one");
        assert!(last.get().is_some(), "another's");
        last.applied(&"x".repeat(1_000));
        assert!(last.get().is_none());
    }
}
