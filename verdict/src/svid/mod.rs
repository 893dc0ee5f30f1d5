//! X.509-SVIDs: what makes a certificate an identity, and who may vouch for it.
//!
//! The checks are those of the verdict, in its order, and the first that fails decides:
//!
//! 1. [`examine`] is checks 2 to 4: every certificate presented is one, the leaf names exactly one
//!    SPIFFE ID, and obeys every rule about a leaf alone. No trust is needed, no time.
//! 2. [`Presented::judge_validity`] is check 5.
//! 3. [`validate`] is check 9: a path from the leaf to **one** trust domain's anchors. Only it can
//!    make a [`VerifiedIdentity`].
//!
//! Paths have two judges. Our own rules read every certificate with a strict reader and know what
//! webpki does not look at (key usage, names, the leaf's key, the anchors themselves); webpki
//! checks signatures, names, constraints and time of the very path we found. Both must agree.
//! Anchors and issuers are tried by key identifier first, so that a bundle may hold many
//! authorities of one name.
//!
//! Limits, on purpose: constraints on URIs or directory names make an authority unfit (webpki
//! cannot apply them, and ignoring them would be a wrong allow); revocation lists are not read.

mod authority;
mod certificate;
mod der;
mod extensions;
mod identity;
mod key;
mod leaf;
mod name;
mod path;
mod refusal;
mod signature;
mod validity;

pub use authority::AuthorityRule;
pub use certificate::{CertificateError, EXTENSIONS_MAX, SERIAL_MAX_OCTETS};
pub use der::DerError;
pub use identity::VerifiedIdentity;
pub use key::{KeyError, KeyKind, RSA_MAX_BITS, RSA_MIN_BITS};
pub use leaf::{Leaf, sha256 as fingerprint};
pub use name::NAME_TEXT_MAX_BYTES;
pub use path::{PATH_MAX_INTERMEDIATES, SIGNATURES_MAX, validate};
pub(crate) use refusal::{ANCHOR, LEAF};
pub use refusal::{IdRule, LeafRule, Malformed, PathRule, Place, Refusal};

pub(crate) use authority::Authority;
pub(crate) use certificate::Certificate;
pub(crate) use der::{Reader, tag};
pub(crate) use name::text as name_text;

use crate::id::WorkloadId;
use crate::time::UnixSeconds;
use std::sync::Arc;

/// Certificates presented at once, the leaf included: the limit of the crate `spiffe`.
pub const CHAIN_MAX_CERTIFICATES: usize = 16;

/// Bytes of one certificate presented. SVIDs have 400 to 2000; RSA-8192 with long names stays
/// below 8 KiB.
pub const CERTIFICATE_MAX_BYTES: usize = 16 * 1024;

/// A chain whose leaf obeys every rule about a leaf alone. Its ID is claimed, not proven.
#[derive(Clone, Debug)]
pub struct Presented {
    leaf: Arc<Leaf>,
    intermediates: Vec<Intermediate>,
}

/// A certificate presented after the leaf: an untrusted hint for path building.
#[derive(Clone)]
struct Intermediate {
    der: Box<[u8]>,
    authority: Authority,
}

impl std::fmt::Debug for Intermediate {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Intermediate")
            .field("bytes", &self.der.len())
            .finish_non_exhaustive()
    }
}

/// Checks 2, 3 and 4 of a chain in DER, the leaf first.
///
/// # Errors
/// The first rule broken: [`Refusal::Malformed`], [`Refusal::NoSpiffeId`],
/// [`Refusal::InvalidSpiffeId`] or [`Refusal::NotAnSvid`].
pub fn examine(chain: &[Vec<u8>]) -> Result<Presented, Refusal> {
    if chain.len() > CHAIN_MAX_CERTIFICATES {
        return Err(Malformed::TooManyCertificates { found: chain.len() }.into());
    }
    let mut certificates = Vec::with_capacity(chain.len());
    for (index, der) in chain.iter().enumerate() {
        certificates.push((der.as_slice(), read(der, Place::at_index(index))?));
    }
    let mut certificates = certificates.into_iter();
    let (der, certificate) = certificates.next().ok_or(Malformed::Empty)?;
    let leaf = Arc::new(Leaf::examine(der, &certificate)?);
    let intermediates = certificates.map(|(der, certificate)| Intermediate {
        der: der.into(),
        authority: Authority::read(&certificate),
    });
    Ok(Presented {
        leaf,
        intermediates: intermediates.collect(),
    })
}

/// Check 2 of one certificate.
fn read(der: &[u8], place: Place) -> Result<Certificate<'_>, Malformed> {
    if der.len() > CERTIFICATE_MAX_BYTES {
        return Err(Malformed::TooLong {
            place,
            bytes: der.len(),
        });
    }
    let checked = Certificate::parse(der).and_then(|certificate| {
        certificate.check_profile()?;
        certificate.serial()?;
        Ok(certificate)
    });
    checked.map_err(|rule| Malformed::Certificate { place, rule })
}

impl Presented {
    /// The leaf, for the record of the decision.
    #[must_use]
    pub const fn leaf(&self) -> &Arc<Leaf> {
        &self.leaf
    }

    /// The identity claimed.
    #[must_use]
    pub fn id(&self) -> &WorkloadId {
        self.leaf.id()
    }

    /// Check 5: the leaf's validity now.
    ///
    /// # Errors
    /// [`Refusal::Expired`] or [`Refusal::NotYetValid`].
    pub fn judge_validity(&self, now: UnixSeconds) -> Result<(), Refusal> {
        self.leaf.judge_validity(now)
    }
}
