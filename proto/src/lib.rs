//! What is said on the wires: Sentinel frames and gRPC, the Workload API, certificate headers.
//!
//! This crate knows shapes, not meanings: it turns bytes into values and values into bytes, and
//! says precisely what was wrong with bytes that are neither. What follows from a value is
//! `verdict`'s business.

pub mod cert_header;
pub mod sentinel;
pub mod trace_context;
pub mod workload;
