//! Makes a failing schedule smaller: the same promise broken by as few faults as can be.

use super::cast::Cast;
use super::log::Log;
use super::play::play;
use super::schedule::Schedule;

/// Plays at most this many schedules.
const TRIES_MAX: usize = 2_000;

/// The smallest schedule found that breaks the same promise.
#[must_use]
pub fn shrink(cast: &Cast, schedule: &Schedule, oracle: &str) -> Schedule {
    let breaks = |candidate: &Schedule| {
        let violation = play(cast, candidate, Log::Off).violation;
        violation.is_some_and(|(_, violation)| violation.oracle == oracle)
    };
    let mut best = schedule.clone();
    let (mut chunk, mut tries) = (best.faults.len().div_ceil(2), 0);
    while chunk > 0 && tries < TRIES_MAX {
        let before = best.faults.len();
        let mut from = 0;
        while from < best.faults.len() && tries < TRIES_MAX {
            let mut candidate = best.clone();
            let to = (from + chunk).min(candidate.faults.len());
            candidate.faults.drain(from..to);
            tries += 1;
            if breaks(&candidate) {
                best = candidate;
            } else {
                from += chunk;
            }
        }
        if chunk > 1 {
            chunk = chunk.div_ceil(2);
        } else if best.faults.len() == before {
            break;
        }
    }
    best
}
