//! What lies on a disk, for one that is simulated: what an agent would write, and make of what it reads.
//!
//! The same truth, the same content and the same conclusion as on a real disk; only the file system
//! is left out.

use std::path::Path;

use super::content::Content;
use super::load::{Loaded, conclude};
use super::refusal::Kept;
use super::shelf::Mark;
use super::truth::Truth;
use crate::clock::Clock;
use crate::trust::TrustStore;

/// A state directory.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Image {
    /// The bytes of the bundles' file, if there is one.
    pub file: Option<Vec<u8>>,
    /// What is beside it.
    pub mark: Mark,
    /// The bytes of the note of a refusal, if there is one.
    pub refused: Option<Vec<u8>>,
}

/// What would be written now over `before`; none if what is there stays.
#[must_use]
pub fn image(trust: &TrustStore, clock: &Clock, socket: &Path, before: &Image) -> Option<Image> {
    let truth = Truth::now(trust, clock);
    let note = truth.note(socket, clock);
    let refused = note.and_then(|note| note.encode().ok());
    match truth.content(socket, clock.boot_id()) {
        Some(content) => Some(Image {
            file: Some(content.encode().ok()?),
            mark: Mark::of(&content),
            refused,
        }),
        None => refused.map(|note| Image {
            refused: Some(note),
            ..before.clone()
        }),
    }
}

/// What a start makes of it; as on a real disk, a file that cannot be used is none.
#[must_use]
pub fn load_image(image: &Image, socket: &Path, clock: &Clock) -> Loaded {
    let content = image
        .file
        .as_deref()
        .and_then(|bytes| Content::decode(bytes).ok());
    let kept = image.refused.as_deref().map_or(Kept::Nothing, Kept::read);
    let content = content.filter(|content| content.counts_at(socket));
    conclude(content, image.mark, kept.earlier(clock), clock)
}
