//! What is wrong with an ID: one variant for each rule.

use std::ascii::escape_default;

use thiserror::Error;

use super::{MAX_ID_BYTES, MAX_TRUST_DOMAIN_BYTES, SpiffeId};

/// The rule of the SPIFFE ID grammar that was broken; the text never repeats the input.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Error)]
pub enum IdError {
    /// Nothing at all (SPIFFE-ID 2).
    #[error("a SPIFFE ID cannot be empty (SPIFFE-ID 2)")]
    Empty,
    /// Another scheme, or none (SPIFFE-ID 2).
    #[error("a SPIFFE ID begins with spiffe:// (SPIFFE-ID 2)")]
    Scheme,
    /// `SPIFFE://`: we refuse what others would lower-case (SPIFFE-ID 2.1 over 2.4).
    #[error("the scheme spiffe:// is written in lower case (SPIFFE-ID 2.1)")]
    SchemeCase,
    /// Longer than anyone must accept (SPIFFE-ID 2.3).
    #[error("a SPIFFE ID has at most {MAX_ID_BYTES} bytes, this one has {bytes} (SPIFFE-ID 2.3)")]
    TooLong {
        /// Length found, in bytes.
        bytes: usize,
    },
    /// `spiffe:///a` (SPIFFE-ID 2.1).
    #[error("the trust domain cannot be empty (SPIFFE-ID 2.1)")]
    EmptyTrustDomain,
    /// A name over 255 bytes (SPIFFE-ID 2.3).
    #[error(
        "a trust domain has at most {MAX_TRUST_DOMAIN_BYTES} bytes, this one has {bytes} (SPIFFE-ID 2.3)"
    )]
    TrustDomainTooLong {
        /// Length found, in bytes.
        bytes: usize,
    },
    /// `A-Z` in the name (SPIFFE-ID 2.1).
    #[error("a trust domain is written in lower case (SPIFFE-ID 2.1)")]
    TrustDomainCase,
    /// `user@` (SPIFFE-ID 2.1).
    #[error("a trust domain has no user information before an @ (SPIFFE-ID 2.1)")]
    UserInfo,
    /// `:8443` (SPIFFE-ID 2.1).
    #[error("a trust domain has no port, and no colon (SPIFFE-ID 2.1)")]
    Port,
    /// `%6d` in the name (SPIFFE-ID 2.1).
    #[error("a trust domain has no percent-encoding (SPIFFE-ID 2.1)")]
    PercentInTrustDomain,
    /// Any other byte outside the set (SPIFFE-ID 2.1).
    #[error("a trust domain consists of a-z 0-9 . - _ and not of '{}' (SPIFFE-ID 2.1)", escape_default(*byte))]
    TrustDomainByte {
        /// The first such byte.
        byte: u8,
    },
    /// A path where a configuration wants a trust domain alone.
    #[error("a trust domain has no path (SPIFFE-ID 2.1)")]
    PathInTrustDomain,
    /// `?` anywhere (SPIFFE-ID 2).
    #[error("a SPIFFE ID has no query (SPIFFE-ID 2)")]
    Query,
    /// `#` anywhere (SPIFFE-ID 2).
    #[error("a SPIFFE ID has no fragment (SPIFFE-ID 2)")]
    Fragment,
    /// A slash at the end, the root path included (SPIFFE-ID 2.2).
    #[error("a path cannot end with a slash (SPIFFE-ID 2.2)")]
    TrailingSlash,
    /// Two slashes in a row (SPIFFE-ID 2.2).
    #[error("path segments cannot be empty (SPIFFE-ID 2.2)")]
    EmptySegment,
    /// `.` or `..` as a segment (SPIFFE-ID 2.2).
    #[error("path segments cannot be . or .. (SPIFFE-ID 2.2)")]
    DotSegment,
    /// `%2F` in the path (SPIFFE-ID 2.2).
    #[error("a path has no percent-encoding (SPIFFE-ID 2.2)")]
    PercentInPath,
    /// Any other byte outside the set (SPIFFE-ID 2.2).
    #[error("path segments consist of A-Z a-z 0-9 . - _ and not of '{}' (SPIFFE-ID 2.2)", escape_default(*byte))]
    PathByte {
        /// The first such byte.
        byte: u8,
    },
}

/// A valid SPIFFE ID that names a trust domain instead of a workload (X509-SVID 5.2).
#[derive(Clone, PartialEq, Eq, Debug, Error)]
#[error("a workload's SPIFFE ID has a path, {id} has none (X509-SVID 5.2)")]
pub struct NoPath {
    /// The ID that has no path.
    pub id: SpiffeId,
}
