//! Bounds of the rules, each with where its number comes from.

/// Longest configured header name in bytes: real ones stay below 30, and the credential's reader
/// tells spellings apart up to this length.
pub const HEADER_NAME_MAX_BYTES: usize = 120;

/// Trust domains in one update. A 16 MiB message holds no more useful bundles than this.
pub const TRUST_DOMAINS_MAX: usize = 10_000;
