//! What lives: the supervision tree and its actors. An actor acts, it never decides.

pub mod bundles;
pub mod cache;
pub mod clock;
pub mod metrics;
pub mod supervision;
pub mod trust;
