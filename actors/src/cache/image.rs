//! What lies on a disk, for one that is simulated: what an agent would write, and make of what it reads.
//!
//! The same truth, the same content and the same conclusion as on a real disk; only the file system
//! is left out.

use std::path::Path;

use super::content::Content;
use super::shelf::Mark;
use super::truth::Truth;
use super::{Loaded, conclude};
use crate::clock::Clock;
use crate::trust::TrustStore;

/// A state directory.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Image {
    /// The bytes of the file, if there is one.
    pub file: Option<Vec<u8>>,
    /// What is beside it.
    pub mark: Mark,
}

/// What would be written now; none if what is there stays.
#[must_use]
pub fn image(trust: &TrustStore, clock: &Clock, socket: &Path) -> Option<Image> {
    let content = Truth::now(trust, clock).content(socket, clock.boot_id())?;
    Some(Image {
        file: Some(content.encode().ok()?),
        mark: Mark::of(&content),
    })
}

/// What a start makes of it; as on a real disk, a file that cannot be used is none.
#[must_use]
pub fn load_image(image: &Image, socket: &Path, clock: &Clock) -> Loaded {
    let content = image
        .file
        .as_deref()
        .and_then(|bytes| Content::decode(bytes).ok());
    match content {
        Some(content) if !content.is_of(socket) => Loaded::nothing(),
        content => conclude(content, image.mark, clock),
    }
}
