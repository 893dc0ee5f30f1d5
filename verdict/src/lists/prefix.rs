//! Prefixes that end on segment borders.

use super::{Index, ListError};
use crate::id::SpiffeId;

/// Checks `spiffe://TD[/path][/]` and keeps it as written.
pub(super) fn parse(entry: &str) -> Result<String, ListError> {
    SpiffeId::parse(entry.strip_suffix('/').unwrap_or(entry).as_bytes())?;
    Ok(entry.to_owned())
}

/// Prefixes by their text, with the lengths that occur, so that an ID is asked only at its borders.
#[derive(Clone, Default, Debug)]
pub(super) struct Prefixes {
    entries: Index<String>,
    /// Longest first: the most specific prefix is the one reported.
    lengths: Vec<usize>,
}

impl Prefixes {
    pub(super) fn new(entries: Index<String>) -> Self {
        let mut lengths: Vec<_> = entries.keys().map(String::len).collect();
        lengths.sort_unstable_by(|a, b| b.cmp(a));
        lengths.dedup();
        Self { entries, lengths }
    }

    /// The longest prefix that covers `id`.
    pub(super) fn find(&self, id: &str) -> Option<usize> {
        self.find_but(id, |_| false)
    }

    /// The longest prefix that covers `id` and is not one to skip.
    pub(super) fn find_but(&self, id: &str, skip: impl Fn(&str) -> bool) -> Option<usize> {
        let starts = self
            .lengths
            .iter()
            .filter_map(|&bytes| up_to_border(id, bytes));
        starts
            .filter(|start| !skip(start))
            .find_map(|start| self.entries.get(start).copied())
    }
}

/// The first `bytes` of `id` if a segment ends there: at a `/`, after it, or at the end.
fn up_to_border(id: &str, bytes: usize) -> Option<&str> {
    let (start, rest) = id.split_at_checked(bytes)?;
    (start.ends_with('/') || rest.is_empty() || rest.starts_with('/')).then_some(start)
}
