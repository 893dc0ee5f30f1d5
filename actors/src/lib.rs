//! What lives: the supervision tree and its actors. An actor acts, it never decides.
//!
//! [`agent`] draws the tree and puts it together. On the way of a request no actor stands: a
//! connection's task reads the frame, loads the world once, looks the credential up in the
//! [`memory`], decides, and writes. Actors own what lasts: they watch SPIRE, keep the snapshot on
//! disk, validate what was not seen before, record decisions, and start again when they fail.

pub mod admin;
pub mod agent;
pub mod audit;
pub mod bundles;
pub mod cache;
pub mod clock;
pub mod configured;
pub mod descriptors;
pub mod doors;
mod episode;
mod fingerprint;
mod gate;
pub mod health;
pub mod judge;
pub mod memory;
pub mod metrics;
pub mod mounts;
pub mod observe;
#[cfg(test)]
mod overheard;
pub mod parts;
pub mod policies;
pub mod refused;
mod remedy;
mod sparse;
pub mod supervision;
pub mod trust;
mod unhurried;
pub mod validation;
pub mod words;

pub use remedy::OUT_OF_DESCRIPTORS;
