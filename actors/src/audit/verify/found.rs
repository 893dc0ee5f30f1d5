//! What is found in a chain of records: values, said in words elsewhere.

use super::super::chain::LineHash;

/// Which line of which file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Place {
    /// The file, in the order in which they are read, from 0.
    pub file: usize,
    /// The line, from 1.
    pub line: u64,
}

/// What is wrong with a line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Why {
    /// It is not what was written.
    Changed,
    /// It is the last but one: it was changed, or the `prev` of the last.
    ChangedOrNext,
    /// It was not written by the agent into this chain.
    Foreign,
    /// Records are missing before it.
    Missing {
        /// The first.
        from: u64,
        /// The last.
        to: u64,
    },
    /// It stood earlier already.
    Repeated,
    /// It belongs further up.
    OutOfOrder,
    /// A chain begins with it, in the middle of a file: an agent goes on with what its file ends with.
    Anew,
    /// A file, or a run of records, begins with it that those before are past.
    Copied,
}

/// How records came to where they are read.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Origin {
    /// The agent wrote the files, and went on with their chain at each start.
    #[default]
    Files,
    /// Somebody collected them, from a stream or OTLP: there a chain begins with each start.
    Collected,
}

/// A break of the chain.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Broken {
    /// Where.
    pub place: Place,
    /// The record's number, where it has one.
    pub seq: Option<u64>,
    /// How.
    pub why: Why,
}

/// What is worth knowing, and no break.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Note {
    /// A line that a crash tore, the beginning of a record; the next one covers it, unless it is the
    /// last line.
    Torn(Place),
    /// Lines that crashes tore one after the other: the first, and how many.
    TornOften(Place, u64),
    /// A line that is no record, nor what a crash leaves of one.
    Other(Place),
    /// Lines that are no records, not all of them what a crash leaves of one: the first, and how many.
    OtherOften(Place, u64),
    /// A line without anything in it, where a torn one could be: no agent leaves one.
    Empty(Place),
    /// Records that stood just before stand again: a batch whose answer was lost was sent twice.
    Resent(Place),
    /// So many lines before the first record are not of a chain.
    Unchained(u64),
    /// The first record continues a file that was not given.
    Continues,
    /// A chain begins, and nothing ties it to what stands before: records between them cannot be missed.
    Anew(Place),
}

/// A record by which later ones are held.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Anchor {
    /// Its number.
    pub seq: u64,
    /// The hash of its line.
    pub hash: LineHash,
}

/// Lines that are neither records nor what a crash leaves of one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Others {
    /// The first.
    pub first: Place,
    /// How many.
    pub count: u64,
    /// So many of them hold a record behind something else.
    pub prefixed: u64,
}

/// What was found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Report {
    /// Records read.
    pub records: u64,
    /// The first.
    pub first: Option<Anchor>,
    /// The last.
    pub last: Option<Anchor>,
    /// Breaks, in the order of their discovery, at most a hundred.
    pub broken: Vec<Broken>,
    /// Further breaks.
    pub more_broken: u64,
    /// What else is worth knowing.
    pub notes: Vec<Note>,
    /// Further notes.
    pub more_notes: u64,
    /// The record that was looked for, if it is there.
    pub expected: Option<Anchor>,
    /// Lines of something else, told one by one above where it matters.
    pub others: Option<Others>,
}

impl Report {
    /// Whether nothing is wrong with the records; there may be none.
    #[must_use]
    pub fn is_whole(&self) -> bool {
        self.broken.is_empty()
    }

    /// Whether there was nothing to verify.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.records == 0
    }
}
