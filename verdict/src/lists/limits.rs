//! How large a list may be. A pushed policy comes over a wire, so each of these is a bound on what
//! a peer may cost us.

use super::{EntryError, EntryKind, ListError, ListSpec};

/// Entries of one list, all kinds together. The largest policies named by users have some hundreds;
/// each entry costs about 200 bytes compiled.
pub const MAX_ENTRIES: usize = 10_000;

/// Text of one list in bytes, all entries together: `MAX_ENTRIES` IDs of usual length (about 100 bytes).
pub const MAX_TEXT_BYTES: usize = 1024 * 1024;

/// Patterns of one list. A request may be matched against each, so this is a bound on its latency too.
pub const MAX_PATTERNS: usize = 256;

/// Length of a pattern in bytes: half of the longest ID, several times what a reader can judge.
pub const MAX_PATTERN_BYTES: usize = 1024;

/// Depth to which groups and repetitions of a pattern may nest. Our own walk over a parsed pattern
/// recurses this deep.
pub const MAX_PATTERN_NESTING: u32 = 32;

/// Sizes in bytes that the table of half a pattern is tried at; each try is charged to the list's
/// budget, so the budget pays for work done. `/ns/[^/]+/sa/[^/]+` takes 1 KiB, `/[a-z0-9-]{1,63}/.*`
/// 5 KiB, `/\w{1,255}` 17 KiB; the longest literal of every byte that an ID has would take 512 KiB,
/// and is refused: as an `exact` entry it costs nothing.
pub const PATTERN_TABLE_SIZES_BYTES: [usize; 3] = [8 * 1024, 64 * 1024, 256 * 1024];

/// Size in bytes of what such a table is made from; `/\w{1,255}` takes 35 KiB.
pub const PATTERN_STEPS_BYTES: usize = 64 * 1024;

/// Memory in bytes while a table is made, which bounds the time as well; `/\w{1,255}` takes 13 KiB,
/// the longest literal 47 KiB.
pub const PATTERN_MAKING_BYTES: usize = 64 * 1024;

/// Budget in bytes for the tables of one list: `MAX_PATTERNS` of two usual halves each. With
/// `MAX_PATTERNS` it is all that patterns can cost: a request takes at most one step for each
/// pattern and byte of its ID, and no memory.
pub const PATTERNS_BUDGET_BYTES: usize = 2 * MAX_PATTERNS * 8 * 1024;

/// Excerpt of an entry that an error carries, in bytes: the longest valid entry.
pub const MAX_EXCERPT_BYTES: usize = crate::id::MAX_ID_BYTES + 1;

/// Finds the entry that crosses a bound of the list as a whole.
pub(super) fn check(spec: &ListSpec) -> Result<(), EntryError> {
    let mut entries = 0;
    let mut text_bytes = 0;
    for kind in EntryKind::WITH_ENTRIES {
        for (index, entry) in spec.entries(kind).iter().enumerate() {
            entries += 1;
            text_bytes += entry.len();
            let broken = if entries > MAX_ENTRIES {
                ListError::TooManyEntries
            } else if text_bytes > MAX_TEXT_BYTES {
                ListError::TooMuchText
            } else if kind == EntryKind::Patterns && index >= MAX_PATTERNS {
                ListError::TooManyPatterns
            } else {
                continue;
            };
            return Err(EntryError::new(kind, index, entry, broken));
        }
    }
    Ok(())
}
