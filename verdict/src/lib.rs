//! verdict
pub mod id;
pub mod lists;
