//! The decision core held against `decisions.md`: one binary, so that a mutant costs one link.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    clippy::cast_possible_wrap,
    unreachable_pub,
    reason = "a test may panic, and counts here are small"
)]

mod availability;
#[path = "../common/mod.rs"]
mod common;
mod decide;
mod memory;
mod trust;
mod upstream;
mod worlds;
