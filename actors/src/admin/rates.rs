//! Decisions per second by answer: the counters, read once a second. A request pays nothing for it.

use std::collections::VecDeque;
use std::sync::atomic::Ordering;
use std::sync::{Mutex, PoisonError};

use verdict::decide::Unverified;
use verdict::reason::Reason;
use verdict::time::Now;

use crate::metrics::Metrics;

/// Seconds shown.
pub const SECONDS_MAX: usize = 180;

/// Every kind of answer, in the order in which they are shown.
const ANSWERS: usize = 2 + UNVERIFIED.len() + Reason::ALL.len();

const UNVERIFIED: [Unverified; 3] = [
    Unverified::FailOpen,
    Unverified::LogAndAllow,
    Unverified::NotEnforced,
];

/// The counters at one moment.
#[derive(Clone, Copy, Debug)]
struct Sample {
    at: Now,
    counts: [u64; ANSWERS],
}

/// The counters of the last minutes; owned above the actor that reads them.
#[derive(Debug, Default)]
pub struct Rates(Mutex<VecDeque<Sample>>);

/// One kind of answer over time.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Series {
    /// `verified`, `anonymous`, an `unverified-…`, or a reason.
    pub answer: &'static str,
    /// Decisions in each second, oldest first.
    pub per_second: Vec<u64>,
}

/// The names, in the order of the counters.
#[must_use]
pub fn answers() -> [&'static str; ANSWERS] {
    let mut names = [""; ANSWERS];
    let unverified = UNVERIFIED.map(Unverified::auth_method);
    let all = ["verified", "anonymous"]
        .into_iter()
        .chain(unverified)
        .chain(Reason::ALL.map(Reason::as_str));
    for (place, name) in names.iter_mut().zip(all) {
        *place = name;
    }
    names
}

/// The counters as they are now, in the order of [`answers`].
#[must_use]
pub fn totals(metrics: &Metrics) -> [u64; ANSWERS] {
    let mut counts = [0; ANSWERS];
    let all = [&metrics.verified, &metrics.anonymous]
        .into_iter()
        .chain(&metrics.unverified)
        .chain(&metrics.denied);
    for (place, counter) in counts.iter_mut().zip(all) {
        *place = counter.load(Ordering::Relaxed);
    }
    counts
}

impl Rates {
    /// Reads the counters.
    pub fn sample(&self, metrics: &Metrics, at: Now) {
        let counts = totals(metrics);
        let mut samples = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        // One more than intervals.
        if samples.len() > SECONDS_MAX {
            samples.pop_front();
        }
        samples.push_back(Sample { at, counts });
    }

    /// What happened between the readings, for every kind of answer that there was.
    #[must_use]
    pub fn series(&self) -> Vec<Series> {
        let samples = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let names = answers().into_iter().enumerate();
        let series = names.map(|(at, answer)| Series {
            answer,
            per_second: samples
                .iter()
                .zip(samples.iter().skip(1))
                .map(|(before, after)| per_second(before, after, at))
                .collect(),
        });
        series
            .filter(|series| series.per_second.iter().any(|count| *count > 0))
            .collect()
    }

    /// How many intervals there are.
    #[must_use]
    pub fn seconds(&self) -> usize {
        let samples = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        samples.len().saturating_sub(1)
    }
}

/// Rounded up: one decision in a long interval is not none.
fn per_second(before: &Sample, after: &Sample, at: usize) -> u64 {
    let count = |sample: &Sample| sample.counts.get(at).copied().unwrap_or_default();
    let took_ms = after
        .at
        .boot_ms
        .saturating_sub(before.at.boot_ms)
        .max(1)
        .unsigned_abs();
    let decided = count(after).saturating_sub(count(before));
    decided.saturating_mul(1000).div_ceil(took_ms)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::metrics::Answer;

    #[test]
    fn the_names_are_those_of_the_counters() {
        let metrics = Metrics::default();
        for (n, name) in answers().into_iter().enumerate() {
            let answer = match name {
                "verified" => Answer::Verified,
                "anonymous" => Answer::Anonymous,
                name => UNVERIFIED
                    .into_iter()
                    .find(|why| why.auth_method() == name)
                    .map_or_else(
                        || {
                            let reason = Reason::ALL
                                .into_iter()
                                .find(|reason| reason.as_str() == name);
                            Answer::Denied(reason.unwrap_or(Reason::BadEvent))
                        },
                        Answer::Unverified,
                    ),
            };
            (0..=n).for_each(|_| metrics.decision(answer));
        }
        let expected: Vec<u64> = (1..).take(ANSWERS).collect();
        assert_eq!(totals(&metrics).to_vec(), expected);
    }

    #[test]
    fn the_last_minutes_are_kept_and_what_never_happened_is_not_shown() {
        let metrics = Metrics::default();
        let rates = Rates::default();
        for second in 0..1_000_i64 {
            let at = Now {
                wall_ms: 0,
                boot_ms: second * 2_000,
            };
            rates.sample(&metrics, at);
            (0..10).for_each(|_| metrics.decision(Answer::Verified));
        }
        let series = rates.series();
        assert_eq!(rates.seconds(), SECONDS_MAX);
        let expected = Series {
            answer: "verified",
            per_second: vec![5; SECONDS_MAX],
        };
        assert_eq!(series, [expected]);
    }
}
