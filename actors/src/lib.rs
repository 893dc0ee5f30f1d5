//! What lives: the supervision tree and its actors. An actor acts, it never decides.

pub mod clock;
pub mod supervision;
