//! The file's bytes, for a disk that is simulated: what an agent would write, and make of what it reads.
//!
//! The same truth and the same content as on a real disk; only the file system is left out.

use std::path::Path;

use super::content::Content;
use super::truth::Truth;
use super::{Loaded, restore};
use crate::clock::Clock;
use crate::trust::TrustStore;

/// What would be written now; none if what is there stays.
#[must_use]
pub fn image(trust: &TrustStore, clock: &Clock, socket: &Path) -> Option<Vec<u8>> {
    let content = Truth::now(trust, clock).content(socket, clock.boot_id())?;
    content.encode().ok()
}

/// What a start makes of these bytes; as on a real disk, what cannot be used is none.
#[must_use]
pub fn load_image(bytes: &[u8], socket: &Path, clock: &Clock) -> Loaded {
    match Content::decode(bytes) {
        Ok(content) if content.is_of(socket) => restore(content, clock),
        Ok(_) | Err(_) => Loaded::nothing(),
    }
}
