//! Since when SPIRE says no, noted on disk: a restart within the grace does not begin it anew, nor
//! does one with another socket.
//!
//! Beside the bundles' file, which it cannot harm. Whatever is wrong with the note, there was one: a
//! refusal whose age nobody knows counts as older than any grace. The other way, damage to a few
//! bytes would undo a withdrawal.

use std::path::Path;

use serde::{Deserialize, Serialize};
use verdict::availability::{Earlier, Refusal};
use verdict::time::Now;

use super::content::{DecodeError, SameBoot, When, seal, socket_text, unseal};
use crate::clock::Clock;

/// First word of the file.
const MAGIC: &str = "spiffe-refusal";

/// What the file says.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Note {
    /// The socket where it was said, as [`socket_text`] writes it: for people. It is this agent that
    /// is refused, and one socket has many paths.
    pub(super) socket: String,
    boot_id: Option<String>,
    first: When,
}

/// What lies there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Kept {
    Nothing,
    /// Something, and why it cannot be read.
    Unreadable(String),
    /// Nobody knows, for the directory cannot be looked into, and why.
    Barred(String),
    Noted(Note),
}

impl Note {
    /// The note of this refusal; the wall clock's reading is counted back from now.
    pub(super) fn of(refusal: Refusal, socket: &Path, clock: &Clock) -> Option<Self> {
        let Refusal::Since(first_ms) = refusal else {
            return None;
        };
        Some(Self {
            socket: socket_text(socket),
            boot_id: clock.boot_id().map(str::to_owned),
            first: When::ago(first_ms, clock.now()),
        })
    }

    /// Whether both note the same refusal: boot time tells, for the wall clock is set.
    pub(super) fn is(&self, other: &Self) -> bool {
        let same_boot = SameBoot::of(self.boot_id.as_deref(), other.boot_id.as_deref());
        same_boot == SameBoot::Yes && self.first.same_boot_time(other.first)
    }

    /// The bytes of the file.
    ///
    /// # Errors
    /// The serializer's; none is known for this shape.
    pub(super) fn encode(&self) -> Result<Vec<u8>, serde_json::Error> {
        seal(MAGIC, self)
    }

    fn decode(bytes: &[u8]) -> Result<Self, DecodeError> {
        unseal(MAGIC, bytes)
    }
}

impl Kept {
    pub(super) fn read(bytes: &[u8]) -> Self {
        match Note::decode(bytes) {
            Ok(note) => Self::Noted(note),
            Err(why) => Self::Unreadable(why.to_string()),
        }
    }

    /// For the machine of the source, at whatever socket.
    pub(super) fn earlier(&self, clock: &Clock) -> Earlier {
        match self {
            Self::Noted(note) => {
                let same_boot = SameBoot::of(note.boot_id.as_deref(), clock.boot_id());
                Earlier::Refused(note.first.contact(same_boot))
            }
            Self::Nothing => Earlier::Nothing,
            Self::Unreadable(_) | Self::Barred(_) => Earlier::RefusedLongAgo,
        }
    }
}

impl When {
    /// That moment by both clocks, as they stand now.
    fn ago(boot_ms: i64, now: Now) -> Self {
        let elapsed_ms = now.boot_ms.saturating_sub(boot_ms);
        Self {
            wall_ms: now.wall_ms.saturating_sub(elapsed_ms),
            boot_ms: Some(boot_ms),
        }
    }
}
