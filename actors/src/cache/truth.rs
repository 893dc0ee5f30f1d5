//! What should be on disk: read from the world at the moment of writing, never remembered.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use verdict::availability::{Phase, Refusal};
use verdict::trust::Snapshot;

use super::content::Content;
use super::error::WriteError;
use super::keeping::Holds;
use super::refusal::{Kept, Note};
use super::shelf::{Locked, Mark, Removal, Shelf};
use crate::clock::Clock;
use crate::trust::TrustStore;

/// What should be on disk.
#[derive(Clone, Debug)]
pub(super) enum Truth {
    /// No bundles are known yet: those that are there stay. A refusal is noted.
    Unknown(Refusal),
    /// The mark of a withdrawal.
    Tombstone,
    /// The last full update, and whether SPIRE has said no since.
    Material(Arc<Snapshot>, Refusal),
}

impl Truth {
    pub(super) fn now(trust: &TrustStore, clock: &Clock) -> Self {
        let world = trust.load();
        // As of now: a withdrawal counts from the moment it is due, whoever ticks.
        let state = world.state().settled(world.timing(), clock.now());
        match (state.phase(), world.snapshot().contact()) {
            (Phase::Withdrawn, _) => Self::Tombstone,
            (_, Some(_)) => Self::Material(Arc::clone(world.snapshot()), state.refusal()),
            (_, None) => Self::Unknown(state.refusal()),
        }
    }

    /// What the bundles' file must say; none if what is there stays.
    pub(super) fn content(&self, socket: &Path, boot_id: Option<&str>) -> Option<Content> {
        match self {
            Self::Unknown(_) => None,
            Self::Tombstone => Some(Content::tombstone(socket, boot_id)),
            Self::Material(snapshot, _) => Content::material(socket, boot_id, snapshot),
        }
    }

    /// What must be noted of a refusal; the mark says more.
    pub(super) fn note(&self, socket: &Path, clock: &Clock) -> Option<Note> {
        Note::of(self.refusal(), socket, clock)
    }

    pub(super) const fn refusal(&self) -> Refusal {
        match self {
            Self::Unknown(refusal) | Self::Material(_, refusal) => *refusal,
            Self::Tombstone => Refusal::Never,
        }
    }

    /// What the disk holds when this was written.
    pub(super) const fn holds(&self) -> Holds {
        match self {
            Self::Unknown(_) => Holds::Nothing,
            Self::Tombstone => Holds::Withdrawal,
            Self::Material(..) => Holds::Bundles,
        }
    }

    /// Whether a restart that does not find it may trust whom SPIRE trusts no more.
    pub(super) const fn is_grave(&self) -> bool {
        matches!(self, Self::Tombstone) || matches!(self.refusal(), Refusal::Since(_))
    }

    /// Whether both are the same; every full update is another one, for its contact is.
    pub(super) fn is(&self, other: &Self) -> bool {
        self.refusal() == other.refusal() && self.has_bundles_of(other)
    }

    /// Whether the bundles' file says the same of both.
    fn has_bundles_of(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Unknown(_), Self::Unknown(_)) | (Self::Tombstone, Self::Tombstone) => true,
            (Self::Material(one, _), Self::Material(other, _)) => Arc::ptr_eq(one, other),
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

impl Writer {
    pub(super) fn truth(&self) -> Truth {
        Truth::now(&self.trust, &self.clock)
    }

    /// Brings the disk up to date, of which `known` is known; returns what it says now. Blocks.
    ///
    /// # Errors
    /// The disk says what it said; but bundles of which a withdrawal cannot be written are gone.
    pub(super) fn write(&self, known: Option<&Truth>) -> Result<Truth, WriteError> {
        self.bring_up_to_date(known)
            .or_else(|error| match self.truth() {
                Truth::Tombstone => self.withdraw_anyway(error),
                Truth::Unknown(_) | Truth::Material(..) => Err(error),
            })
    }

    fn bring_up_to_date(&self, known: Option<&Truth>) -> Result<Truth, WriteError> {
        let truth = self.truth();
        if let Truth::Unknown(Refusal::Never) = truth {
            return Ok(truth);
        }
        let locked = self.shelf.lock()?;
        // Only what is true under the lock may be written: an earlier writer may be late.
        let truth = self.truth();
        // First, for it is small, and what follows may not fit.
        self.note(&truth, &locked)?;
        if let Some(content) = truth.content(&self.socket, self.clock.boot_id())
            && !self.is_there(&truth, &content, known)
        {
            locked.write(&content)?;
        }
        // Last: until then the note is all that says no.
        if !matches!(truth.refusal(), Refusal::Since(_)) && self.shelf.note() != Kept::Nothing {
            locked.refused_no_more()?;
        }
        Ok(truth)
    }

    fn note(&self, truth: &Truth, locked: &Locked<'_>) -> Result<(), WriteError> {
        match (truth.note(&self.socket, &self.clock), self.shelf.note()) {
            (None, _) => Ok(()),
            (Some(note), Kept::Noted(there)) if there.is(&note) => Ok(()),
            (Some(note), _) => locked.refused(&note),
        }
    }

    fn is_there(&self, truth: &Truth, content: &Content, known: Option<&Truth>) -> bool {
        match known {
            Some(known) => known.has_bundles_of(truth),
            None => {
                let stored = self.shelf.read(&self.socket);
                let same = stored.is_ok_and(|stored| stored == *content);
                same && self.shelf.mark() == Mark::of(content)
            }
        }
    }

    /// The withdrawal cannot be written: the bundles that it is about go all the same, and where it
    /// can be their file becomes its mark. Only once the mark stands is it said for good.
    fn withdraw_anyway(&self, error: WriteError) -> Result<Truth, WriteError> {
        let how = match error {
            WriteError::Busy => Removal::Alone,
            _ => Removal::IntoTheMark,
        };
        match (self.shelf.forget(&self.socket, how), how) {
            (Ok(Mark::Withdrawn), Removal::IntoTheMark) => {
                tracing::warn!(%error, "the withdrawal cannot be written whole, its mark stands and the bundles are gone");
                Ok(Truth::Tombstone)
            }
            (Ok(_), _) => Err(error),
            (Err(still_there), _) => {
                tracing::debug!(%still_there, "nor can the bundles be removed");
                Err(error)
            }
        }
    }
}
