//! The rules for a signing certificate, presented or in a bundle (X509-SVID §3.2, §4).

use super::certificate::{Certificate, CertificateError, ExtensionId};
use super::extensions::{self, BasicConstraints, KeyUsage};
use super::validity::Window;
use crate::id::{SpiffeId, WorkloadId};

/// Why a certificate may not sign SVIDs. Each text continues "the certificate ...".
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AuthorityRule {
    /// RFC 5280 §4.1.2.1, §4.2: only version 3 can say that it is an authority.
    #[error("is no certificate that could say it is an authority: {0}")]
    Profile(CertificateError),
    /// X509-SVID §4.1, RFC 5280 §4.2.1.9.
    #[error(
        "is not an authority: cA is not true, or basicConstraints cannot be read (X509-SVID §4.1)"
    )]
    NotAnAuthority,
    /// X509-SVID §4.3: every SVID carries keyUsage, a bundle's authority too.
    #[error("has no keyUsage (X509-SVID §4.3)")]
    KeyUsageMissing,
    /// X509-SVID §4.3.
    #[error(
        "may not sign certificates: keyUsage lacks keyCertSign, or cannot be read (X509-SVID §4.3)"
    )]
    NoKeyCertSign,
    /// X509-SVID §4.4, RFC 5280 §4.2.1.12.
    #[error(
        "may not sign for clients: extKeyUsage lacks clientAuth, or cannot be read (X509-SVID §4.4)"
    )]
    NoClientAuth,
    /// RFC 5280 §4.2.
    #[error("has a critical extension that is not understood (RFC 5280 §4.2)")]
    CriticalExtension,
    /// RFC 5280 §4.2.1.6.
    #[error("has a subject alternative name that cannot be read (RFC 5280 §4.2.1.6)")]
    SubjectAltName,
    /// SPIFFE-ID §2.
    #[error("has a URI SAN that begins like a SPIFFE ID and is none (SPIFFE-ID §2)")]
    InvalidSpiffeId,
    /// X509-SVID §3.2: an authority's ID has no path.
    #[error("carries the ID of a workload, and a workload signs nothing (X509-SVID §3.2)")]
    WorkloadId,
    /// X509-SVID §4.2, RFC 5280 §4.2.1.10: constraints on URIs or directory names are refused.
    #[error(
        "has nameConstraints on URIs or directory names, which are refused rather than ignored (X509-SVID §4.2)"
    )]
    NameConstraints,
    /// RFC 5280 §4.2.1.11: it is critical, by rule or by name, and policies are not processed.
    #[error("has policyConstraints, and policies are not processed (RFC 5280 §4.2.1.11)")]
    PolicyConstraints,
    /// RFC 5280 §6.1.1: the second judge cannot read it.
    #[error("cannot serve as a trust anchor (RFC 5280 §6.1.1)")]
    Unreadable,
}

/// What path validation needs to know of a signing certificate.
#[derive(Clone, Debug)]
pub(crate) struct Authority {
    pub(crate) subject: Box<[u8]>,
    pub(crate) issuer: Box<[u8]>,
    pub(crate) spki: Box<[u8]>,
    pub(crate) key_id: Option<Box<[u8]>>,
    pub(crate) issuer_key_id: Option<Box<[u8]>>,
    pub(crate) window: Window,
    /// May it sign, and above how many further authorities?
    pub(crate) fitness: Result<PathLength, AuthorityRule>,
}

/// How many authorities may stand between this one and the leaf.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum PathLength {
    Unlimited,
    AtMost(u32),
}

impl PathLength {
    pub(crate) fn permits(self, below: usize) -> bool {
        match self {
            Self::Unlimited => true,
            Self::AtMost(most) => u32::try_from(below).is_ok_and(|below| below <= most),
        }
    }
}

impl Authority {
    pub(crate) fn read(certificate: &Certificate<'_>) -> Self {
        let key_id = certificate.extension(ExtensionId::SubjectKeyIdentifier);
        Self {
            subject: certificate.subject.into(),
            issuer: certificate.issuer.into(),
            spki: certificate.spki.into(),
            key_id: key_id
                .and_then(|value| extensions::subject_key_id(value).ok().flatten())
                .map(Into::into),
            issuer_key_id: issuer_key_id(certificate).map(Into::into),
            window: certificate.window,
            fitness: judge(certificate),
        }
    }
}

/// The key identifier of a certificate's issuer, if it says one.
pub(crate) fn issuer_key_id<'a>(certificate: &Certificate<'a>) -> Option<&'a [u8]> {
    let value = certificate.extension(ExtensionId::AuthorityKeyIdentifier)?;
    extensions::authority_key_id(value).ok().flatten()
}

fn judge(certificate: &Certificate<'_>) -> Result<PathLength, AuthorityRule> {
    certificate
        .check_profile()
        .map_err(AuthorityRule::Profile)?;
    let path_length = judge_basic_constraints(certificate)?;
    judge_key_usage(certificate)?;
    if let Some(value) = certificate.extension(ExtensionId::ExtendedKeyUsage) {
        match extensions::permits_client_auth(value) {
            Ok(true) => {}
            Ok(false) | Err(_) => return Err(AuthorityRule::NoClientAuth),
        }
    }
    if certificate.has_critical_beyond(&UNDERSTOOD) {
        return Err(AuthorityRule::CriticalExtension);
    }
    if let Some(value) = certificate.extension(ExtensionId::NameConstraints) {
        match extensions::name_constraints_supported(value) {
            Ok(true) => {}
            Ok(false) | Err(_) => return Err(AuthorityRule::NameConstraints),
        }
    }
    if certificate.has(ExtensionId::PolicyConstraints) {
        return Err(AuthorityRule::PolicyConstraints);
    }
    judge_ids(certificate)?;
    Ok(path_length)
}

/// The extensions whose rules are applied to an authority, by us or by webpki (nameConstraints).
const UNDERSTOOD: [ExtensionId; 5] = [
    ExtensionId::KeyUsage,
    ExtensionId::SubjectAltName,
    ExtensionId::BasicConstraints,
    ExtensionId::NameConstraints,
    ExtensionId::ExtendedKeyUsage,
];

fn judge_basic_constraints(certificate: &Certificate<'_>) -> Result<PathLength, AuthorityRule> {
    let value = certificate.extension(ExtensionId::BasicConstraints);
    match value.map(BasicConstraints::parse) {
        Some(Ok(BasicConstraints::Authority { path_len: None })) => Ok(PathLength::Unlimited),
        Some(Ok(BasicConstraints::Authority { path_len: Some(n) })) => Ok(PathLength::AtMost(n)),
        Some(Ok(BasicConstraints::EndEntity) | Err(_)) | None => Err(AuthorityRule::NotAnAuthority),
    }
}

fn judge_key_usage(certificate: &Certificate<'_>) -> Result<(), AuthorityRule> {
    let value = certificate.extension(ExtensionId::KeyUsage);
    match value.map(KeyUsage::parse) {
        Some(Ok(usage)) if usage.has(KeyUsage::KEY_CERT_SIGN) => Ok(()),
        Some(_) => Err(AuthorityRule::NoKeyCertSign),
        None => Err(AuthorityRule::KeyUsageMissing),
    }
}

/// An authority needs no ID, and it may be of another trust domain; but it is no workload.
fn judge_ids(certificate: &Certificate<'_>) -> Result<(), AuthorityRule> {
    let Some(value) = certificate.extension(ExtensionId::SubjectAltName) else {
        return Ok(());
    };
    let names = extensions::subject_names(value).map_err(|_| AuthorityRule::SubjectAltName)?;
    if names.read == 0 && certificate.has_critical(ExtensionId::SubjectAltName) {
        return Err(AuthorityRule::CriticalExtension);
    }
    for uri in names.uris {
        let scheme = uri.get(..SPIFFE_SCHEME.len());
        if !scheme.is_some_and(|scheme| scheme.eq_ignore_ascii_case(SPIFFE_SCHEME)) {
            continue;
        }
        let id = SpiffeId::parse(uri).map_err(|_| AuthorityRule::InvalidSpiffeId)?;
        if WorkloadId::try_from(id).is_ok() {
            return Err(AuthorityRule::WorkloadId);
        }
    }
    Ok(())
}

/// RFC 3986 §3.1: schemes compare without regard to case, so a misspelt ID counts as one here.
const SPIFFE_SCHEME: &[u8] = b"spiffe:";
