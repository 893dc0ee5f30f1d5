//! A certificate authority per trust domain.
//!
//! Issues X.509-SVIDs shaped as SPIRE shapes them, and certificates that break one rule each. The
//! clock is the caller's: every validity is given in Unix seconds.

mod authority;
mod hierarchy;
mod options;
mod render;
mod svid;

pub use authority::{Authority, Rotation};
pub use options::{AuthorityOptions, Defect, KeyKind, SvidOptions, Window};
pub use svid::IssuedSvid;

/// Why a certificate could not be made.
#[derive(Debug, thiserror::Error)]
pub enum CaError {
    /// The library refused the parameters or could not make a key.
    #[error("cannot make the certificate: {0}")]
    Certificate(#[from] rcgen::Error),
    /// Certificates can name no moment after the year 9999 (RFC 5280, section 4.1.2.5).
    #[error(
        "{unix_s} is past the year 9999, which no certificate can name (RFC 5280 section 4.1.2.5)"
    )]
    TimeOutOfRange {
        /// The moment asked for, in Unix seconds.
        unix_s: u64,
    },
    /// An authority vouches for its own trust domain only, unless [`Defect::AnyId`] is asked for.
    #[error(
        "{id} is not a workload of {trust_domain}; ask for the defect `AnyId` to sign it all the same"
    )]
    ForeignId {
        /// The ID asked for.
        id: String,
        /// The authority's trust domain.
        trust_domain: String,
    },
    /// More levels than any chain needs to cross every limit on chains.
    #[error("{asked} intermediates are more than {max}")]
    TooManyIntermediates {
        /// How many were asked for.
        asked: usize,
        /// The bound.
        max: usize,
    },
}
