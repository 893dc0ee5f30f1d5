//! Bounds of the rules, each with where its number comes from.

/// Longest configured header name in bytes; proxies commonly refuse longer ones.
pub const HEADER_NAME_MAX_BYTES: usize = 256;

/// Trust domains in one update. A 16 MiB message holds no more useful bundles than this.
pub const TRUST_DOMAINS_MAX: usize = 10_000;
