//! What a start makes of what an earlier process left.

use std::path::Path;

use verdict::availability::{Earlier, Found, Phase, State, Timing};
use verdict::time::{Age, Now};
use verdict::trust::{Snapshot, World};

use super::content::{Content, Record, SameBoot};
use super::error::{ReadError, Unusable};
use super::faults::NoFaults;
use super::refusal::Kept;
use super::shelf::{Mark, Shelf};
use crate::clock::Clock;
use crate::words::span;

/// What lay on disk when the process started.
#[derive(Debug)]
pub struct Loaded {
    /// The material, for the availability machine.
    pub found: Found,
    /// Whether SPIRE had said no, for it too.
    pub earlier: Earlier,
    /// The material, empty if there is none.
    pub snapshot: Snapshot,
}

impl Loaded {
    pub(super) fn nothing(earlier: Earlier) -> Self {
        Self {
            found: Found::Nothing,
            earlier,
            snapshot: Snapshot::default(),
        }
    }

    /// The world of a process that starts with it; what is withdrawn by now is dropped.
    #[must_use]
    pub fn world(self, timing: Timing, now: Now) -> World {
        let state = State::resume(self.found, self.earlier, timing, now);
        let snapshot = match state.phase() {
            Phase::Withdrawn => Snapshot::default(),
            Phase::Starting | Phase::Live | Phase::Interrupted | Phase::Outage => self.snapshot,
        };
        World::new(state, timing, snapshot)
    }
}

/// Without a state directory: nothing is known of any earlier process.
impl Default for Loaded {
    fn default() -> Self {
        Self::nothing(Earlier::Nothing)
    }
}

/// Reads what an earlier process left in `dir` about `socket`. What cannot be used is set aside and
/// logged; good bundles of another socket are left alone. A withdrawal counts whatever the socket,
/// until SPIRE delivers on the one in use: a socket has many paths. Nothing here is fatal. Blocks:
/// for the start of the process.
#[must_use]
pub fn load(dir: &Path, socket: &Path, clock: &Clock) -> Loaded {
    let shelf = Shelf::new(dir.to_owned(), Box::new(NoFaults));
    let read = shelf.read(socket);
    if let Err(ReadError::Unusable(why)) = &read {
        set_aside(&shelf, why);
    }
    let earlier = earlier(&shelf.note(), clock);
    let content = match read {
        Ok(content) => Some(content),
        Err(ReadError::Missing | ReadError::Unusable(_)) => None,
        // The bundles are none of ours; a withdrawal is, for one socket has many paths.
        Err(why @ ReadError::OtherSocket(_)) => {
            tracing::warn!(
                %why,
                ours = %socket.display(),
                "bundles on disk are not used, the file stays until SPIRE has answered on ours"
            );
            None
        }
        Err(why @ (ReadError::Directory(_) | ReadError::System(_))) => {
            let (dir, remedy) = (dir.display(), why.remedy());
            tracing::error!(%why, remedy, %dir, "bundles on disk are not used");
            None
        }
    };
    conclude(content, shelf.mark(), earlier, clock)
}

/// Whatever became of the content: the mark alone is a tombstone.
pub(super) fn conclude(
    content: Option<Content>,
    mark: Mark,
    earlier: Earlier,
    clock: &Clock,
) -> Loaded {
    match (mark, content) {
        (Mark::Withdrawn, _) => withdrawn(),
        (Mark::None, Some(content)) => restore(content, earlier, clock),
        (Mark::None, None) => Loaded::nothing(earlier),
    }
}

/// What is noted of a refusal.
fn earlier(kept: &Kept, clock: &Clock) -> Earlier {
    let earlier = kept.earlier(clock);
    match (kept, earlier) {
        (Kept::Unreadable(why), _) => {
            tracing::warn!(
                why,
                "SPIRE had refused this agent when it last ran, nobody knows since when: it counts as withdrawn until SPIRE delivers"
            );
        }
        (Kept::Barred(why), _) => {
            tracing::warn!(
                why,
                "whether SPIRE had refused this agent cannot be seen: it counts as withdrawn until SPIRE delivers"
            );
        }
        (_, Earlier::Refused(first)) => {
            let since = age_text(first.age(clock.now()));
            tracing::warn!(
                since,
                "SPIRE had refused this agent when it last ran: withdrawal-grace-ms goes on from then"
            );
        }
        (_, Earlier::Nothing | Earlier::RefusedLongAgo) => {}
    }
    earlier
}

fn age_text(age: Age) -> String {
    match age {
        Age::Ms(age_ms) => span(age_ms),
        Age::InTheFuture => "in the future".to_owned(),
    }
}

fn set_aside(shelf: &Shelf, why: &Unusable) {
    match shelf.set_aside() {
        Ok(name) => {
            tracing::warn!(%why, aside = %name.display(), "bundles on disk are not used, the file is set aside");
        }
        Err(error) => {
            tracing::warn!(%why, %error, "bundles on disk are not used, nor can they be set aside");
        }
    }
}

fn withdrawn() -> Loaded {
    tracing::warn!(
        "SPIRE had refused this agent when it last ran: nothing is concluded until it delivers"
    );
    Loaded {
        found: Found::Tombstone,
        earlier: Earlier::Nothing,
        snapshot: Snapshot::default(),
    }
}

/// What a start would find there, and why it would find nothing and what to do. Touches nothing; blocks.
#[must_use]
pub fn look(dir: &Path, socket: &Path, clock: &Clock) -> (Loaded, Option<(String, &'static str)>) {
    let shelf = Shelf::new(dir.to_owned(), Box::new(NoFaults));
    let earlier = shelf.note().earlier(clock);
    match shelf.read(socket) {
        Ok(content) => (conclude(Some(content), shelf.mark(), earlier, clock), None),
        Err(why) => {
            let why = (why.to_string(), why.remedy());
            (conclude(None, shelf.mark(), earlier, clock), Some(why))
        }
    }
}

fn restore(content: Content, earlier: Earlier, clock: &Clock) -> Loaded {
    let (contact, bundles) = match content.record {
        Record::Tombstone => return withdrawn(),
        Record::Material { contact, bundles } => (contact, bundles),
    };
    let same_boot = SameBoot::of(content.boot_id.as_deref(), clock.boot_id());
    let (snapshot, contact, left_out) = Content::restore(contact, &bundles, same_boot);
    for unreadable in left_out {
        tracing::warn!(%unreadable, "bundle on disk cannot be read, it is left out");
    }
    if snapshot.is_empty() {
        return Loaded::nothing(earlier);
    }
    let age = age_text(contact.age(clock.now()));
    tracing::info!(domains = snapshot.len(), age, "bundles restored from disk");
    Loaded {
        found: Found::Material(contact),
        earlier,
        snapshot,
    }
}
