//! What goes wrong on purpose: tests end a write at any of its steps.

use std::io;

/// A step of writing, each of which may fail or be the last.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Step {
    OpenDirectory,
    Lock,
    MakeRoom,
    Mark,
    RemoveStale,
    Create,
    WriteFirstHalf,
    WriteSecondHalf,
    SyncFile,
    Rename,
    SyncDirectory,
    Unmark,
    RefusedNoMore,
    MarkByRename,
}

/// What may go wrong on purpose before a step.
pub(super) trait Faults: Send + Sync {
    /// An error here is as if the step failed.
    fn before(&self, step: Step) -> io::Result<()>;
}

/// Nothing goes wrong on purpose.
pub(super) struct NoFaults;

impl Faults for NoFaults {
    fn before(&self, _step: Step) -> io::Result<()> {
        Ok(())
    }
}
