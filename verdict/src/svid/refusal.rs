//! Every way an X.509-SVID can fail, each with the rule it broke and where that rule stands.

use super::authority::AuthorityRule;
use super::certificate::CertificateError;
use super::der::DerError;
use super::key::KeyError;
use super::{CERTIFICATE_MAX_BYTES, CHAIN_MAX_CERTIFICATES, PATH_MAX_INTERMEDIATES};
use crate::id::IdError;
use crate::reason::Reason;
use std::fmt;

/// What a rule calls the first certificate presented.
pub(crate) const LEAF: &str = "the leaf";

/// What a rule calls an authority of the bundle.
pub(crate) const ANCHOR: &str = "the trust anchor";

/// Which certificate a refusal speaks of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Place {
    /// The first certificate presented.
    Leaf,
    /// Another certificate presented, by its position; the leaf's is 1.
    Chain(usize),
    /// An authority of the trust bundle.
    Anchor,
}

impl Place {
    /// The place of the certificate at this index of the presented chain.
    pub(crate) const fn at_index(index: usize) -> Self {
        match index {
            0 => Self::Leaf,
            _ => Self::Chain(index.saturating_add(1)),
        }
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Leaf => f.write_str(LEAF),
            Self::Chain(position) => write!(f, "certificate {position} of the chain"),
            Self::Anchor => f.write_str(ANCHOR),
        }
    }
}

/// Why a presented chain is not the identity it claims.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// Check 2: RFC 5280 §4.1 and the limits of this agent.
    #[error(transparent)]
    Malformed(#[from] Malformed),
    /// Check 3, X509-SVID §2: the leaf has no URI SAN.
    #[error("the leaf has no URI SAN, so it names no SPIFFE ID (X509-SVID §2)")]
    NoSpiffeId,
    /// Check 3, X509-SVID §2, §5.2: not exactly one valid SPIFFE ID.
    #[error(transparent)]
    InvalidSpiffeId(#[from] IdRule),
    /// Check 4, X509-SVID §3 to §5: the leaf alone breaks a rule.
    #[error(transparent)]
    NotAnSvid(#[from] LeafRule),
    /// Checks 5 and 9, RFC 5280 §4.1.2.5: after notAfter.
    #[error("{place} expired {seconds_ago} s ago: now is after its notAfter (RFC 5280 §4.1.2.5)")]
    Expired {
        /// The certificate.
        place: Place,
        /// Seconds since notAfter.
        seconds_ago: u64,
    },
    /// Checks 5 and 9, RFC 5280 §4.1.2.5: before notBefore.
    #[error(
        "{place} is not valid for another {seconds_ahead} s: now is before its notBefore (RFC 5280 §4.1.2.5)"
    )]
    NotYetValid {
        /// The certificate.
        place: Place,
        /// Seconds until notBefore.
        seconds_ahead: u64,
    },
    /// Check 9, X509-SVID §5.1: no valid path to the bundle.
    #[error(transparent)]
    Untrusted(#[from] PathRule),
}

impl Refusal {
    /// The stable reason of the verdict.
    #[must_use]
    pub const fn reason(&self) -> Reason {
        match self {
            Self::Malformed(_) => Reason::Malformed,
            Self::NoSpiffeId => Reason::NoSpiffeId,
            Self::InvalidSpiffeId(_) => Reason::InvalidSpiffeId,
            Self::NotAnSvid(_) => Reason::NotAnSvid,
            Self::Expired { .. } => Reason::Expired,
            Self::NotYetValid { .. } => Reason::NotYetValid,
            Self::Untrusted(_) => Reason::Untrusted,
        }
    }

    /// How much a refusal of one path says: of several paths the most telling is reported.
    pub(crate) const fn rank(&self) -> u8 {
        match self {
            Self::Untrusted(PathRule::EmptyBundle | PathRule::UnknownIssuer) => 0,
            Self::Untrusted(PathRule::SearchLimit | PathRule::TooDeep) => 1,
            Self::Untrusted(PathRule::Signature) => 2,
            Self::Untrusted(_) => 3,
            // Only said of a path that would hold at another time.
            Self::NotYetValid { .. } => 4,
            _ => 5,
        }
    }
}

/// Check 2: what is presented is not a chain of certificates.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Malformed {
    /// X509-SVID §5.1: there is no leaf.
    #[error("no certificate is presented (X509-SVID §5.1)")]
    Empty,
    /// A limit of this agent.
    #[error(
        "{found} certificates are presented, more than {CHAIN_MAX_CERTIFICATES} (limit of this agent)"
    )]
    TooManyCertificates {
        /// Certificates presented.
        found: usize,
    },
    /// A limit of this agent.
    #[error("{place} has {bytes} bytes, more than {CERTIFICATE_MAX_BYTES} (limit of this agent)")]
    TooLong {
        /// The certificate.
        place: Place,
        /// Its length.
        bytes: usize,
    },
    /// RFC 5280 §4.1: every certificate presented must be one; nothing is skipped.
    #[error("{place} cannot be read: {rule}")]
    Certificate {
        /// The certificate.
        place: Place,
        /// What is wrong with it.
        rule: CertificateError,
    },
}

/// Check 3: the leaf does not name exactly one SPIFFE ID.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum IdRule {
    /// RFC 5280 §4.2.1.6: what cannot be read could be a second ID.
    #[error("the leaf's subject alternative name cannot be read: {0} (RFC 5280 §4.2.1.6)")]
    Unreadable(DerError),
    /// X509-SVID §2, §5.2: exactly one URI SAN.
    #[error("the leaf has {count} URI SANs, not exactly one (X509-SVID §2)")]
    Several {
        /// URI SANs found.
        count: usize,
    },
    /// SPIFFE-ID §2: the URI is not a SPIFFE ID.
    #[error("the leaf's URI SAN is not a SPIFFE ID: {0}")]
    NotSpiffe(IdError),
}

/// Check 4: the leaf alone breaks a rule.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum LeafRule {
    /// X509-SVID §5.2: a leaf's ID has a non-root path.
    #[error("the leaf's SPIFFE ID has no path, so it names no workload (X509-SVID §5.2)")]
    NoPath,
    /// RFC 5280 §4.2.1.9.
    #[error(
        "the leaf's basicConstraints cannot be read, or limits a path without cA: {0} (RFC 5280 §4.2.1.9)"
    )]
    BasicConstraints(DerError),
    /// X509-SVID §4.1, §5.2: a leaf is not an authority.
    #[error("the leaf is an authority: its cA is true (X509-SVID §4.1)")]
    IsAuthority,
    /// X509-SVID §4.3: an SVID carries keyUsage.
    #[error("the leaf has no keyUsage (X509-SVID §4.3)")]
    KeyUsageMissing,
    /// RFC 5280 §4.2.1.3.
    #[error("the leaf's keyUsage cannot be read: {0} (RFC 5280 §4.2.1.3)")]
    KeyUsage(DerError),
    /// X509-SVID §4.3: a leaf's key signs handshakes.
    #[error("the leaf's keyUsage lacks digitalSignature (X509-SVID §4.3)")]
    NoDigitalSignature,
    /// X509-SVID §5.2: a leaf's key signs no certificates.
    #[error("the leaf's keyUsage has keyCertSign (X509-SVID §5.2)")]
    KeyCertSign,
    /// X509-SVID §5.2: a leaf's key signs no revocation lists.
    #[error("the leaf's keyUsage has cRLSign (X509-SVID §5.2)")]
    CrlSign,
    /// RFC 5280 §4.2.1.12.
    #[error("the leaf's extKeyUsage cannot be read: {0} (RFC 5280 §4.2.1.12)")]
    ExtendedKeyUsage(DerError),
    /// X509-SVID §4.4: if extKeyUsage is there, it has clientAuth.
    #[error("the leaf's extKeyUsage lacks clientAuth (X509-SVID §4.4)")]
    NoClientAuth,
    /// RFC 5280 §4.2: a critical extension that is not understood.
    #[error("the leaf has a critical extension that is not understood (RFC 5280 §4.2)")]
    CriticalExtension,
    /// RFC 5280 §4.2.1.11, §6.1.5: who does not process policies cannot obey it.
    #[error("the leaf has policyConstraints, and policies are not processed (RFC 5280 §4.2.1.11)")]
    PolicyConstraints,
    /// RFC 5280 §4.1.2.7 and the algorithms of this agent.
    #[error(transparent)]
    Key(#[from] KeyError),
}

/// Check 9: no valid path leads from the leaf to the bundle of its trust domain.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PathRule {
    /// SPIFFE Trust Domain and Bundle §4.1.3: an empty bundle trusts nothing.
    #[error(
        "the trust bundle is empty: no SVID of its domain is valid (Trust Domain and Bundle §4.1.3)"
    )]
    EmptyBundle,
    /// RFC 5280 §6.1: the names lead to no anchor.
    #[error("no chain of issuer names leads to an authority of the trust bundle (RFC 5280 §6.1)")]
    UnknownIssuer,
    /// RFC 5280 §6.1.3: an authority has the right name, but its key did not sign.
    #[error(
        "the bundle has an authority of the issuer's name, but its key did not sign: rotated away, or a namesake (RFC 5280 §6.1.3)"
    )]
    Signature,
    /// RFC 5280 §6.1.3: an algorithm that is not accepted, or does not fit the issuer's key.
    #[error(
        "a signature's algorithm is not accepted or does not fit the issuer's key (RFC 5280 §6.1.3)"
    )]
    SignatureAlgorithm,
    /// X509-SVID §3.2, §4: an authority on the path breaks a rule of its own.
    #[error("{place} {rule}")]
    Authority {
        /// The certificate.
        place: Place,
        /// The rule.
        rule: AuthorityRule,
    },
    /// RFC 5280 §4.2.1.9: more authorities follow than pathLenConstraint permits.
    #[error(
        "more authorities follow {place} than its pathLenConstraint permits (RFC 5280 §4.2.1.9)"
    )]
    PathLength {
        /// The certificate.
        place: Place,
    },
    /// RFC 5280 §4.2.1.10: a name lies outside what an authority may sign.
    #[error(
        "a name lies outside the nameConstraints of an authority on the path (RFC 5280 §4.2.1.10)"
    )]
    NameConstraints,
    /// A limit of this agent on the depth of a path.
    #[error(
        "the chain goes on beyond {PATH_MAX_INTERMEDIATES} intermediates between leaf and anchor (limit of this agent)"
    )]
    TooDeep,
    /// A limit of this agent: same-named authorities without key identifiers.
    #[error("too many authorities of the same name to try them all (limit of this agent)")]
    SearchLimit,
    /// RFC 5280 §6.1: the second judge refuses what our own rules passed.
    #[error("path validation refuses the path (RFC 5280 §6.1)")]
    Path,
}
