//! How recording fares: told by the writer, asked by requests, probes and the status.

use std::io;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use config::OnFull;

use crate::words::and_to_do;

/// Longer than a disk takes for a batch that it will take: a write under way for longer is stuck.
pub const STUCK_AFTER: Duration = Duration::from_secs(1);

/// Of an error's text: a collector's may quote what it was sent.
const ERROR_MAX_CHARS: usize = 300;

/// Whether records reach their sinks.
#[derive(Clone, Default)]
pub(super) struct Standing(Arc<Shared>);

#[derive(Default)]
struct Shared {
    /// Asked by every request: no lock.
    failing: AtomicBool,
    told: Mutex<Told>,
}

#[derive(Default)]
struct Told {
    /// Since when a write is under way.
    writing: Option<Instant>,
    troubles: Vec<Trouble>,
}

/// A sink that cannot be written to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Trouble {
    /// Which.
    pub sink: String,
    /// Why not.
    pub error: String,
    /// What to do; empty if nothing helps for certain.
    pub remedy: String,
    /// Since when.
    pub since: Instant,
}

impl Trouble {
    pub(super) fn new(sink: String, error: &io::Error, remedy: String) -> Self {
        Self {
            sink,
            error: error.to_string().chars().take(ERROR_MAX_CHARS).collect(),
            remedy,
            since: Instant::now(),
        }
    }
}

/// How recording fares now.
#[derive(Clone, Debug)]
pub struct Recording {
    /// What a record that cannot be kept costs.
    pub on_full: OnFull,
    /// Whether requests are refused for it.
    pub refuses: bool,
    /// Sinks that failed when they were last tried: no more than there are sinks.
    pub troubles: Vec<Trouble>,
    /// For how long a write is stuck.
    pub stuck: Option<Duration>,
}

/// What answers without records; said where requests are refused for the want of one.
pub const MEANWHILE: &str = "to answer meanwhile: audit.on-full \"drop\"";

/// What requests meet while a sink fails.
pub(super) const fn costs(on_full: OnFull) -> &'static str {
    match on_full {
        OnFull::Drop => "answered without their records, which are lost (on-full \"drop\")",
        OnFull::Deny => "refused: 503 OVERLOADED (on-full \"deny\")",
        OnFull::Block => "refused: 503 OVERLOADED at their deadline (on-full \"block\")",
    }
}

impl Recording {
    /// In a line: what is in the way, since when, and what to do. Nothing while all is well.
    #[must_use]
    pub fn complaint(&self) -> Option<String> {
        let mut parts: Vec<String> = self.troubles.iter().map(Trouble::told).collect();
        if let Some(stuck) = self.stuck {
            let s = stuck.as_secs();
            parts.push(format!(
                "a write has been stuck for {s} s: is the disk, the pipe's reader or the collector alive?"
            ));
        }
        let costs = match (self.refuses, parts.is_empty()) {
            (true, _) => format!(
                "requests are refused, for their records cannot be kept (on-full \"{}\")",
                self.on_full.as_str()
            ),
            (false, false) if self.on_full == OnFull::Drop => {
                "records are lost (on-full \"drop\")".to_owned()
            }
            (false, false) => "records wait".to_owned(),
            (false, true) => return None,
        };
        parts.insert(0, costs);
        if self.refuses {
            parts.push(MEANWHILE.to_owned());
        }
        Some(parts.join("; "))
    }
}

impl Trouble {
    fn told(&self) -> String {
        let (sink, error, s) = (&self.sink, &self.error, self.since.elapsed().as_secs());
        let remedy = and_to_do(&self.remedy);
        format!("{sink}: {error}, for {s} s{remedy}")
    }
}

impl Standing {
    /// A write begins; whoever stays in it is stuck.
    pub(super) fn begins(&self) {
        self.told().writing = Some(Instant::now());
    }

    /// It ended; these sinks are in trouble.
    pub(super) fn ended(&self, failing: bool, troubles: Vec<Trouble>) {
        let mut told = self.told();
        told.writing = None;
        told.troubles = troubles;
        self.0.failing.store(failing, Ordering::Relaxed);
    }

    pub(super) fn is_failing(&self) -> bool {
        self.0.failing.load(Ordering::Relaxed)
    }

    /// How recording fares, where `is_full` says whether the queue is, and a write that takes longer
    /// than `patience` is stuck.
    pub(super) fn recording(
        &self,
        on_full: OnFull,
        is_full: bool,
        patience: Duration,
    ) -> Recording {
        let told = self.told();
        let under_way = told.writing.map(|since| since.elapsed());
        let stuck = under_way.filter(|taken| *taken > patience.max(STUCK_AFTER));
        Recording {
            on_full,
            refuses: refuses(on_full, self.is_failing(), stuck.is_some(), is_full),
            troubles: told.troubles.clone(),
            stuck,
        }
    }

    /// A poisoned lock guards plain values, each whole.
    fn told(&self) -> MutexGuard<'_, Told> {
        self.0.told.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Whether whoever is to be recorded is refused. A full queue alone may be a burst, and a writer that
/// is stuck costs `deny` nothing while there is room.
const fn refuses(on_full: OnFull, failing: bool, stuck: bool, is_full: bool) -> bool {
    match on_full {
        OnFull::Drop => false,
        OnFull::Deny => failing || stuck && is_full,
        OnFull::Block => failing || stuck,
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test may panic")]

    use super::*;

    #[test]
    fn what_a_sink_that_fails_or_is_stuck_costs() {
        for (on_full, failing, stuck, is_full, expected) in [
            (OnFull::Drop, true, true, true, false),
            (OnFull::Deny, true, false, false, true),
            (OnFull::Deny, false, true, false, false),
            (OnFull::Deny, false, true, true, true),
            (OnFull::Deny, false, false, true, false),
            (OnFull::Block, true, false, false, true),
            (OnFull::Block, false, true, false, true),
            (OnFull::Block, false, false, true, false),
        ] {
            let found = refuses(on_full, failing, stuck, is_full);
            assert_eq!(found, expected, "{on_full:?} {failing} {stuck} {is_full}");
        }
    }

    #[test]
    fn a_complaint_names_the_sink_the_error_and_the_remedy_and_ends_with_them() {
        let standing = Standing::default();
        let look = || standing.recording(OnFull::Deny, false, Duration::ZERO);
        assert_eq!(look().complaint(), None);
        let full = io::Error::from(io::ErrorKind::StorageFull);
        let trouble = Trouble::new("/var/a".to_owned(), &full, "free space".to_owned());
        standing.ended(true, vec![trouble]);
        let said = look().complaint().unwrap();
        for part in ["on-full \"deny\"", "/var/a: ", "free space", MEANWHILE] {
            assert!(said.contains(part), "{said}");
        }
        standing.ended(false, Vec::new());
        assert_eq!(look().complaint(), None);
    }
}
