//! The SPIFFE Workload API: generated messages, client and server.

#![allow(
    missing_docs,
    clippy::all,
    clippy::pedantic,
    clippy::allow_attributes_without_reason,
    reason = "generated code"
)]

/// Metadata every call must carry, with the value [`SECURITY_HEADER_VALUE`] (Workload Endpoint, section 3).
pub const SECURITY_HEADER: &str = "workload.spiffe.io";
/// The only accepted value of [`SECURITY_HEADER`].
pub const SECURITY_HEADER_VALUE: &str = "true";

include!(concat!(env!("OUT_DIR"), "/_.rs"));
