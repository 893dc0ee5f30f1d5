//! When to try again.

use super::Blame;

/// Shortest wait between two attempts, milliseconds.
pub const RETRY_MIN_MS: u64 = 100;
/// Longest wait between two attempts on a local socket, milliseconds.
pub const RETRY_MAX_LOCAL_MS: u64 = 1_000;
/// Longest wait between two attempts elsewhere, milliseconds.
pub const RETRY_MAX_REMOTE_MS: u64 = 5_000;
/// The wait while the fault mark stands, milliseconds: trying harder cures nothing.
pub const RETRY_OUR_FAULT_MS: u64 = 30_000;

/// The wait before the next attempt after `failures` in a row: random in [100 ms, min(cap, 100 ms · 2ⁿ)].
/// `random` is a uniform 64-bit number.
#[must_use]
pub fn retry_wait_ms(failures: u32, cap_ms: u64, blame: Blame, random: u64) -> u64 {
    match blame {
        Blame::Ours => RETRY_OUR_FAULT_MS,
        Blame::Theirs => {
            let doubled =
                RETRY_MIN_MS.saturating_mul(1_u64.checked_shl(failures).unwrap_or(u64::MAX));
            let ceiling = doubled.min(cap_ms).max(RETRY_MIN_MS);
            RETRY_MIN_MS + random % (ceiling - RETRY_MIN_MS + 1)
        }
    }
}
