//! Counters, owned above every actor so that no restart resets them. Plain atomics: an increment
//! on the way of a request costs nanoseconds.

use std::sync::atomic::{AtomicU64, Ordering};

use verdict::decide::{Decision, Passage, Unverified, Verdict};
use verdict::reason::Reason;

/// What a decision counts as.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Answer {
    /// Allowed as a verified identity.
    Verified,
    /// Allowed without identity although something is wrong.
    Unverified(Unverified),
    /// Allowed without credential.
    Anonymous,
    /// Denied.
    Denied(Reason),
}

impl Answer {
    /// What this decision counts as.
    #[must_use]
    pub const fn of(decision: &Decision<'_>) -> Self {
        match decision.verdict() {
            Verdict::Deny(denial) => Self::Denied(denial.reason()),
            Verdict::Allow(permit) => match permit.passage() {
                Passage::Verified(_) => Self::Verified,
                Passage::Unverified(why) => Self::Unverified(*why),
                Passage::Anonymous => Self::Anonymous,
            },
        }
    }
}

/// Everything counted.
#[derive(Debug, Default)]
pub struct Metrics {
    /// Allowed as a verified identity.
    pub verified: AtomicU64,
    /// Allowed unverified, by [`Unverified`].
    pub unverified: [AtomicU64; 3],
    /// Allowed anonymously.
    pub anonymous: AtomicU64,
    /// Denied, by [`Reason`].
    pub denied: [AtomicU64; Reason::ALL.len()],
    /// Answers from the memory of verified identities.
    pub memory_hits: AtomicU64,
    /// Credentials judged anew.
    pub memory_misses: AtomicU64,
    /// Connections closed because the peer is no trusted proxy.
    pub untrusted_proxy: AtomicU64,
    /// Connections accepted.
    pub connections: AtomicU64,
    /// Times that a door had no place left for whoever connects next.
    pub doors_full: AtomicU64,
    /// Frames, handshakes or events that could not be read.
    pub malformed_messages: AtomicU64,
    /// Panics contained to the request that caused them.
    pub panics_contained: AtomicU64,
    /// Audit records dropped because the queue was full or the sink failed.
    pub audit_dropped: AtomicU64,
    /// Full updates taken.
    pub updates: AtomicU64,
    /// Updates discarded whole.
    pub updates_discarded: AtomicU64,
    /// Bundles that could not be read.
    pub bundles_unreadable: AtomicU64,
    /// Changes of availability.
    pub transitions: AtomicU64,
    /// Pushes applied.
    pub pushes_applied: AtomicU64,
    /// Pushes refused.
    pub pushes_refused: AtomicU64,
}

/// Adds one.
pub fn count(counter: &AtomicU64) {
    counter.fetch_add(1, Ordering::Relaxed);
}

impl Metrics {
    /// Counts one decision.
    pub fn decision(&self, answer: Answer) {
        match answer {
            Answer::Verified => count(&self.verified),
            Answer::Anonymous => count(&self.anonymous),
            Answer::Unverified(why) => self.unverified.get(why as usize).map_or((), count),
            Answer::Denied(reason) => self.denied.get(reason as usize).map_or((), count),
        }
    }

    /// Requests denied, for whatever reason.
    #[must_use]
    pub fn denied_total(&self) -> u64 {
        self.denied
            .iter()
            .map(|counter| counter.load(Ordering::Relaxed))
            .sum()
    }

    /// Requests denied for this reason.
    #[must_use]
    pub fn denied_for(&self, reason: Reason) -> u64 {
        let counter = self.denied.get(reason as usize);
        counter.map_or(0, |counter| counter.load(Ordering::Relaxed))
    }
}
