//! The last denials, with what an operator needs to understand each: never a certificate.
//!
//! Kept by reason, so that a flood of one hides no other, and taken at a bounded rate: beyond it a
//! denial costs its request one comparison. Nobody waits for a lock.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};

use verdict::decide::{Decision, Verdict};
use verdict::reason::Reason;
use verdict::time::Now;

use crate::audit::{Grounds, Request};

/// Kept of each reason.
pub const KEPT_MAX: usize = 8;

/// Taken of each reason within one second: those kept are replaced at most so often.
pub const TAKEN_PER_SECOND_MAX: u64 = 8;

/// Longest text kept of one field, characters: what a peer sent is as long as it likes.
pub const TEXT_MAX_CHARS: usize = 512;

/// One decision that found a fault. Texts are a peer's: hostile.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Denied {
    /// When it was decided.
    pub at: Now,
    /// The status, or `None` where it passed all the same (a roll-out, `log_and_allow`).
    pub status: Option<u16>,
    /// The label.
    pub reason: Reason,
    /// The rule that was broken, in words.
    pub rule: String,
    /// The ID in the certificate, which proves nothing.
    pub spiffe_id: Option<String>,
    /// The list and its entry that decided.
    pub matched: Option<String>,
    /// SHA-256 of the leaf.
    pub leaf_sha256: Option<[u8; 32]>,
    /// The proxy's id of the request.
    pub request_id: Option<String>,
    /// The id the answer was routed by.
    pub correlation_id: String,
    /// The client's address, as the proxy has it.
    pub client_ip: Option<String>,
    /// The proxy that asked.
    pub proxy: String,
    /// The door it came through.
    pub door: &'static str,
}

/// The last denials, by reason; owned by the doors.
#[derive(Debug, Default)]
pub struct Denials([Shelf; Reason::ALL.len()]);

#[derive(Debug, Default)]
struct Shelf {
    /// The second in the upper bits, what was taken in it in the lower 16.
    taken: AtomicU64,
    kept: Mutex<VecDeque<Denied>>,
}

const TAKEN_BITS: u32 = 16;

impl Denials {
    /// Takes a decision that found a fault, if there is time for it.
    pub fn take(
        &self,
        decision: &Decision<'_>,
        grounds: Option<Grounds<'_>>,
        request: Request<'_>,
        now: Now,
    ) {
        let Some(fault) = decision.fault() else {
            return;
        };
        let shelf = self.0.get(fault.reason() as usize);
        let Some(shelf) = shelf.filter(|shelf| shelf.may_take(now)) else {
            return;
        };
        // Who looks at the shelf holds it for a moment; this denial is then not shown.
        let Ok(mut kept) = shelf.kept.try_lock() else {
            return;
        };
        if kept.len() >= KEPT_MAX {
            kept.pop_front();
        }
        let leaf = grounds.and_then(|grounds| grounds.evidence.leaf());
        kept.push_back(Denied {
            at: now,
            status: match decision.verdict() {
                Verdict::Deny(denial) => Some(denial.status()),
                Verdict::Allow(_) => None,
            },
            reason: fault.reason(),
            rule: bounded(fault.rule()),
            spiffe_id: leaf.map(|leaf| bounded(leaf.id().as_str())),
            matched: decision
                .rule()
                .map(|(list, rule)| bounded(&format!("{}: {rule}", list.as_str()))),
            leaf_sha256: leaf.map(|leaf| *leaf.sha256()),
            request_id: request.id.map(bounded),
            correlation_id: bounded(request.correlation_id),
            client_ip: request.client_ip.map(bounded),
            proxy: bounded(request.proxy),
            door: request.door,
        });
    }

    /// Those kept, the newest first.
    #[must_use]
    pub fn newest_first(&self) -> Vec<Denied> {
        let mut all = Vec::new();
        for shelf in &self.0 {
            let kept = shelf.kept.lock().unwrap_or_else(PoisonError::into_inner);
            all.extend(kept.iter().cloned());
        }
        all.sort_by_key(|denied| std::cmp::Reverse(denied.at.boot_ms));
        all
    }
}

impl Shelf {
    /// Whether one more fits into this second. Two that race may both read the same count: the bound
    /// is one of cost, not of correctness.
    fn may_take(&self, now: Now) -> bool {
        let second = now.boot_ms.div_euclid(1000).unsigned_abs();
        let taken = self.taken.load(Ordering::Relaxed);
        let count = match taken >> TAKEN_BITS == second {
            true => taken & ((1 << TAKEN_BITS) - 1),
            false => 0,
        };
        let takes = count < TAKEN_PER_SECOND_MAX;
        if takes {
            let next = (second << TAKEN_BITS) | (count + 1);
            self.taken.store(next, Ordering::Relaxed);
        }
        takes
    }
}

fn bounded(text: &str) -> String {
    text.chars().take(TEXT_MAX_CHARS).collect()
}

#[cfg(test)]
mod tests {
    use verdict::decide::{Intake, refuse};

    use super::*;

    const fn at(ms: i64) -> Now {
        Now {
            wall_ms: ms,
            boot_ms: ms,
        }
    }

    fn request(id: &str) -> Request<'_> {
        Request {
            id: Some(id),
            correlation_id: "c",
            trace_id: None,
            client_ip: None,
            proxy: "p",
            door: "d",
        }
    }

    #[test]
    fn a_flood_of_one_reason_hides_no_other_and_is_taken_slowly() {
        let denials = Denials::default();
        let bad = refuse(Intake::BadEvent, &"unreadable");
        let busy = refuse(Intake::Overloaded, &"busy");
        denials.take(&busy, None, request("rare"), at(1_000));
        for n in 0..10_000_i64 {
            denials.take(&bad, None, request("flood"), at(2_000 + n));
        }
        let kept = denials.newest_first();
        assert_eq!(kept.len(), KEPT_MAX + 1);
        let rare = kept.last().and_then(|denied| denied.request_id.as_deref());
        assert_eq!(rare, Some("rare"));
        // Eight in each second: the last second's first eight.
        let newest = kept.first().map(|denied| denied.at.boot_ms);
        assert_eq!(newest, Some(11_007));
    }

    #[test]
    fn long_texts_are_cut() {
        let denials = Denials::default();
        let long = "\u{1f980}".repeat(10_000);
        denials.take(
            &refuse(Intake::Internal, &long),
            None,
            request(&long),
            at(0),
        );
        let kept = denials.newest_first();
        for text in kept
            .iter()
            .flat_map(|one| [Some(&one.rule), one.request_id.as_ref()])
        {
            assert_eq!(text.map(|text| text.chars().count()), Some(TEXT_MAX_CHARS));
        }
    }
}
