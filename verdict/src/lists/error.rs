//! Why an entry was refused, and what to write instead.

use std::fmt;

use thiserror::Error;

use super::limits::{MAX_ENTRIES, MAX_EXCERPT_BYTES, MAX_PATTERNS, MAX_TEXT_BYTES};
use super::{EntryKind, PatternError, advice};
use crate::id::{IdError, NoPath};

/// The rule that an entry broke.
#[derive(Clone, PartialEq, Eq, Debug, Error)]
pub enum ListError {
    /// Not a SPIFFE ID or trust domain.
    #[error(transparent)]
    Id(#[from] IdError),
    /// An `exact` entry that names no workload.
    #[error(transparent)]
    NoPath(#[from] NoPath),
    /// Not a pattern that we match.
    #[error(transparent)]
    Pattern(#[from] PatternError),
    /// The list is too long as a whole.
    #[error("a list has at most {MAX_ENTRIES} entries")]
    TooManyEntries,
    /// The list's text is too long as a whole.
    #[error("the entries of a list have at most {MAX_TEXT_BYTES} bytes together")]
    TooMuchText,
    /// Too many patterns.
    #[error("a list has at most {MAX_PATTERNS} patterns")]
    TooManyPatterns,
}

/// An entry that was refused: where it stands, what it says, and the rule.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct EntryError {
    /// The key the entry stands under.
    pub kind: EntryKind,
    /// Its place among the entries of that kind, from 0.
    pub index: usize,
    /// The rule that it broke.
    pub error: ListError,
    excerpt: String,
}

impl EntryError {
    pub(super) fn new(kind: EntryKind, index: usize, entry: &str, error: ListError) -> Self {
        let end = entry.floor_char_boundary(MAX_EXCERPT_BYTES);
        Self {
            kind,
            index,
            error,
            excerpt: entry.get(..end).unwrap_or_default().to_owned(),
        }
    }

    /// What to write instead, where that is plain.
    #[must_use]
    pub fn advice(&self) -> Option<String> {
        advice::of(self.kind, &self.excerpt, &self.error)
    }

    /// The entry as the operator wrote it, cut off if it is longer than any valid one.
    #[must_use]
    pub fn entry(&self) -> &str {
        &self.excerpt
    }
}

/// Entries are counted from 1 here: this is for people.
impl fmt::Display for EntryError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let shown = self
            .excerpt
            .get(..self.excerpt.floor_char_boundary(SHOWN_BYTES))
            .unwrap_or_default();
        let more = if shown.len() < self.excerpt.len() {
            "…"
        } else {
            ""
        };
        write!(
            f,
            "{} entry {}, \"{}{more}\": {}",
            self.kind,
            self.index + 1,
            shown.escape_debug(),
            self.error
        )
    }
}

impl std::error::Error for EntryError {}

/// What an error's line shows of an entry, in bytes: a line of a terminal.
const SHOWN_BYTES: usize = 120;
