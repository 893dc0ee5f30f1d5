//! What the log tells of an absence: since when, why, and when to say it again.
//!
//! The machine says what holds; this remembers what was said of it.

use verdict::availability::{Phase, State};
use verdict::time::Now;

use crate::words::span;

/// How often the log repeats that SPIRE is away, milliseconds of boot time: whoever opens it at night
/// finds the outage on the last page.
pub const REMIND_EVERY_MS: u64 = 10 * 60 * 1_000;

/// Why SPIRE was lost, or could not be reached: for people.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Why {
    /// What happened.
    pub error: String,
    /// What to do about it.
    pub remedy: String,
}

/// Whether SPIRE is away, as the log tells it.
#[derive(Clone, Debug)]
pub(super) struct Absence(Option<Away>);

/// An absence.
#[derive(Clone, Debug)]
pub(super) struct Away {
    since: Now,
    why: Option<Why>,
    /// When the next line is due, boot-time milliseconds.
    next_ms: i64,
}

impl Absence {
    /// At the start of the process; bundles from the disk may have been confirmed a while ago.
    pub(super) fn at_start(state: State, now: Now) -> Self {
        if state.phase() == Phase::Live {
            return Self(None);
        }
        let boot_ms = state.since_ms();
        let ago_ms = now.boot_ms.saturating_sub(boot_ms);
        let wall_ms = now.wall_ms.saturating_sub(ago_ms);
        Self(Some(Away::since(Now { wall_ms, boot_ms })))
    }

    /// An attempt failed, or the stream was lost.
    pub(super) fn fails(&mut self, why: Why, now: Now) {
        self.away(now).why = Some(why);
    }

    /// The source came back.
    pub(super) fn ends(&mut self) {
        self.0 = None;
    }

    /// Something was said of it; the next line is due at the next change that time brings, in
    /// `change_in_ms`, or when it is to be repeated.
    pub(super) fn said(&mut self, change_in_ms: Option<u64>, now: Now) {
        let wait_ms = change_in_ms.map_or(REMIND_EVERY_MS, |ms| ms.min(REMIND_EVERY_MS));
        self.away(now).next_ms = now.boot_ms.saturating_add_unsigned(wait_ms);
    }

    /// The absence, if a line about it is due.
    pub(super) fn due(&self, now: Now) -> Option<&Away> {
        self.0.as_ref().filter(|away| now.boot_ms >= away.next_ms)
    }

    /// What happened last, and what to do about it.
    pub(super) fn why(&self) -> Option<&Why> {
        self.0.as_ref()?.why.as_ref()
    }

    /// How long it has lasted, in words.
    pub(super) fn lasts(&self, now: Now) -> Option<String> {
        self.0.as_ref().map(|away| away.lasts(now))
    }

    fn away(&mut self, now: Now) -> &mut Away {
        self.0.get_or_insert_with(|| Away::since(now))
    }
}

impl Away {
    const fn since(since: Now) -> Self {
        Self {
            since,
            why: None,
            next_ms: since.boot_ms.saturating_add_unsigned(REMIND_EVERY_MS),
        }
    }

    /// When it began, milliseconds since 1970.
    pub(super) const fn since_ms(&self) -> i64 {
        self.since.wall_ms
    }

    /// How long it has lasted, in words.
    pub(super) fn lasts(&self, now: Now) -> String {
        let ms = now.boot_ms.saturating_sub(self.since.boot_ms).max(0);
        span(ms.unsigned_abs())
    }
}
