//! Which rule of a list matched, in the words of the configuration.

use std::fmt;

/// The kind of an entry, which is also its key in the configuration.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum EntryKind {
    /// One workload ID.
    Exact,
    /// What lies at or below a path.
    Prefix,
    /// A trust domain's workloads.
    TrustDomains,
    /// A regular expression.
    Patterns,
    /// Everybody.
    Any,
}

impl EntryKind {
    /// The kinds that have entries, in the order in which errors and lints are reported.
    pub(super) const WITH_ENTRIES: [Self; 4] = [
        Self::Exact,
        Self::Prefix,
        Self::TrustDomains,
        Self::Patterns,
    ];

    /// The key in the configuration.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Exact => "exact",
            Self::Prefix => "prefix",
            Self::TrustDomains => "trust-domains",
            Self::Patterns => "patterns",
            Self::Any => "any",
        }
    }
}

impl fmt::Display for EntryKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// The rule that matched, for the audit record: `prefix spiffe://example.org/services/`.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct RuleMatch<'a> {
    pub(super) kind: EntryKind,
    pub(super) index: usize,
    pub(super) entry: &'a str,
}

impl<'a> RuleMatch<'a> {
    /// The kind of the entry.
    #[must_use]
    pub fn kind(&self) -> EntryKind {
        self.kind
    }

    /// The entry's place among those of its kind, from 0.
    #[must_use]
    pub fn index(&self) -> usize {
        self.index
    }

    /// The entry as the operator wrote it; empty for `any`.
    #[must_use]
    pub fn entry(&self) -> &'a str {
        self.entry
    }
}

impl fmt::Display for RuleMatch<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.kind {
            EntryKind::Any => write!(f, "{}", self.kind),
            _ => write!(f, "{} {}", self.kind, self.entry),
        }
    }
}
