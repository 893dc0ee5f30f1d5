//! What should be on disk: read from the world at the moment of writing, never remembered.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use verdict::availability::Phase;
use verdict::trust::Snapshot;

use super::content::Content;
use super::shelf::{Mark, Shelf, WriteError};
use crate::clock::Clock;
use crate::trust::TrustStore;

/// What should be on disk.
#[derive(Clone, Debug)]
pub(super) enum Truth {
    /// Nothing is known yet: what is there stays.
    Unknown,
    /// The mark of a withdrawal.
    Tombstone,
    /// The last full update.
    Material(Arc<Snapshot>),
}

impl Truth {
    pub(super) fn now(trust: &TrustStore, clock: &Clock) -> Self {
        let world = trust.load();
        // As of now: a withdrawal counts from the moment it is due, whoever ticks.
        let state = world.state().settled(world.timing(), clock.now());
        match (state.phase(), world.snapshot().contact()) {
            (Phase::Withdrawn, _) => Self::Tombstone,
            (_, Some(_)) => Self::Material(Arc::clone(world.snapshot())),
            (_, None) => Self::Unknown,
        }
    }

    /// What the file must say; none if what is there stays.
    pub(super) fn content(&self, socket: &Path, boot_id: Option<&str>) -> Option<Content> {
        match self {
            Self::Unknown => None,
            Self::Tombstone => Some(Content::tombstone(socket, boot_id)),
            Self::Material(snapshot) => Content::material(socket, boot_id, snapshot),
        }
    }

    /// Whether both are the same; every full update is another one, for its contact is.
    pub(super) fn is(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Unknown, Self::Unknown) | (Self::Tombstone, Self::Tombstone) => true,
            (Self::Material(one), Self::Material(other)) => Arc::ptr_eq(one, other),
            _ => false,
        }
    }
}

/// What is needed to bring the disk up to date; shared with the threads that do it.
pub(super) struct Writer {
    pub(super) shelf: Shelf,
    pub(super) socket: PathBuf,
    pub(super) trust: Arc<TrustStore>,
    pub(super) clock: Clock,
}

/// Whether the file must be looked at first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Look {
    /// Nobody has yet: what is there may be right already.
    First,
    /// It is known to be out of date.
    Not,
}

impl Writer {
    pub(super) fn truth(&self) -> Truth {
        Truth::now(&self.trust, &self.clock)
    }

    /// Brings the disk up to date; returns what it says now. Blocks.
    ///
    /// # Errors
    /// The disk says what it said.
    pub(super) fn write(&self, look: Look) -> Result<Truth, WriteError> {
        if let Truth::Unknown = self.truth() {
            return Ok(Truth::Unknown);
        }
        let locked = self.shelf.lock()?;
        // Only what is true under the lock may be written: an earlier writer may be late.
        let truth = self.truth();
        if let Some(content) = truth.content(&self.socket, self.clock.boot_id())
            && !(look == Look::First && self.is_there(&content))
        {
            locked.write(&content)?;
        }
        Ok(truth)
    }

    fn is_there(&self, content: &Content) -> bool {
        let stored = self.shelf.read(&self.socket);
        stored.is_ok_and(|stored| stored == *content) && self.shelf.mark() == Mark::of(content)
    }
}
