//! The rules for the leaf alone (X509-SVID §2 to §5): checks 3 and 4, in this order.

use super::authority::issuer_key_id;
use super::certificate::{Certificate, CertificateError, ExtensionId};
use super::extensions::{self, BasicConstraints, KeyUsage};
use super::key::KeyKind;
use super::name;
use super::refusal::{IdRule, LeafRule, Place, Refusal};
use super::validity::Window;
use crate::id::{SpiffeId, WorkloadId};
use crate::time::UnixSeconds;
use aws_lc_rs::digest;
use std::fmt;

/// A certificate that obeys every rule an X.509-SVID leaf must obey by itself. Nothing about who
/// signed it follows.
#[derive(Clone)]
pub struct Leaf {
    der: Box<[u8]>,
    id: WorkloadId,
    pub(super) window: Window,
    sha256: [u8; 32],
    serial: Box<[u8]>,
    pub(super) issuer: Box<[u8]>,
    pub(super) issuer_key_id: Option<Box<[u8]>>,
    key: KeyKind,
}

impl Leaf {
    /// Checks 3 and 4; check 2 is done.
    pub(super) fn examine(der: &[u8], certificate: &Certificate<'_>) -> Result<Self, Refusal> {
        let id = read_id(certificate)?;
        let (id, key) = judge(certificate, id)?;
        let serial = certificate.serial().map_err(malformed)?;
        Ok(Self {
            der: der.into(),
            id,
            window: certificate.window,
            sha256: sha256(der),
            serial: serial.into(),
            issuer: certificate.issuer.into(),
            issuer_key_id: issuer_key_id(certificate).map(Into::into),
            key,
        })
    }

    /// The identity it claims.
    #[must_use]
    pub const fn id(&self) -> &WorkloadId {
        &self.id
    }

    /// The first second at which it is valid.
    #[must_use]
    pub const fn not_before(&self) -> UnixSeconds {
        self.window.not_before
    }

    /// The last second at which it is valid.
    #[must_use]
    pub const fn not_after(&self) -> UnixSeconds {
        self.window.not_after
    }

    /// SHA-256 of the DER, as proxies write it in `Hash`.
    #[must_use]
    pub const fn sha256(&self) -> &[u8; 32] {
        &self.sha256
    }

    /// The certificate itself.
    #[must_use]
    pub const fn der(&self) -> &[u8] {
        &self.der
    }

    /// The serial number in lower-case hexadecimal, at most 40 digits.
    #[must_use]
    pub fn serial(&self) -> String {
        let mut text = String::new();
        name::write_hex(&mut text, &self.serial);
        text
    }

    /// The issuer's name as text (RFC 4514), bounded, control characters escaped. Only for people.
    #[must_use]
    pub fn issuer(&self) -> String {
        name::text(&self.issuer)
    }

    /// The type of its public key.
    #[must_use]
    pub const fn key(&self) -> KeyKind {
        self.key
    }

    /// Check 5: whether now lies between notBefore and notAfter, both included.
    ///
    /// # Errors
    /// [`Refusal::Expired`] or [`Refusal::NotYetValid`].
    pub fn judge_validity(&self, now: UnixSeconds) -> Result<(), Refusal> {
        self.window.judge(now, Place::Leaf)
    }
}

/// Shows whose it is, not what it contains: certificates stay out of logs.
impl fmt::Debug for Leaf {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Leaf")
            .field("id", &self.id)
            .field("serial", &self.serial())
            .finish_non_exhaustive()
    }
}

/// Check 3: exactly one URI SAN, and it is a SPIFFE ID.
fn read_id(certificate: &Certificate<'_>) -> Result<SpiffeId, Refusal> {
    let value = certificate
        .extension(ExtensionId::SubjectAltName)
        .ok_or(Refusal::NoSpiffeId)?;
    let names = extensions::subject_names(value).map_err(IdRule::Unreadable)?;
    match names.uris.as_slice() {
        [] => Err(Refusal::NoSpiffeId),
        [uri] => Ok(SpiffeId::parse(uri).map_err(IdRule::NotSpiffe)?),
        several => Err(IdRule::Several {
            count: several.len(),
        }
        .into()),
    }
}

/// Check 4: everything else about the leaf alone.
fn judge(certificate: &Certificate<'_>, id: SpiffeId) -> Result<(WorkloadId, KeyKind), LeafRule> {
    let id = WorkloadId::try_from(id).map_err(|_| LeafRule::NoPath)?;
    if let Some(value) = certificate.extension(ExtensionId::BasicConstraints) {
        match BasicConstraints::parse(value).map_err(LeafRule::BasicConstraints)? {
            BasicConstraints::EndEntity => {}
            BasicConstraints::Authority { .. } => return Err(LeafRule::IsAuthority),
        }
    }
    judge_key_usage(certificate)?;
    if let Some(value) = certificate.extension(ExtensionId::ExtendedKeyUsage)
        && !extensions::permits_client_auth(value).map_err(LeafRule::ExtendedKeyUsage)?
    {
        return Err(LeafRule::NoClientAuth);
    }
    if certificate.has_critical_beyond(&UNDERSTOOD) {
        return Err(LeafRule::CriticalExtension);
    }
    if certificate.has(ExtensionId::PolicyConstraints) {
        return Err(LeafRule::PolicyConstraints);
    }
    let key = KeyKind::of(certificate.spki)?;
    Ok((id, key))
}

/// The extensions whose rules are applied to a leaf. nameConstraints is for authorities only
/// (RFC 5280 §4.2.1.10), so a leaf that insists on it is refused.
const UNDERSTOOD: [ExtensionId; 4] = [
    ExtensionId::KeyUsage,
    ExtensionId::SubjectAltName,
    ExtensionId::BasicConstraints,
    ExtensionId::ExtendedKeyUsage,
];

fn judge_key_usage(certificate: &Certificate<'_>) -> Result<(), LeafRule> {
    let value = certificate
        .extension(ExtensionId::KeyUsage)
        .ok_or(LeafRule::KeyUsageMissing)?;
    let usage = KeyUsage::parse(value).map_err(LeafRule::KeyUsage)?;
    if usage.has(KeyUsage::KEY_CERT_SIGN) {
        return Err(LeafRule::KeyCertSign);
    }
    if usage.has(KeyUsage::CRL_SIGN) {
        return Err(LeafRule::CrlSign);
    }
    if !usage.has(KeyUsage::DIGITAL_SIGNATURE) {
        return Err(LeafRule::NoDigitalSignature);
    }
    Ok(())
}

fn malformed(rule: CertificateError) -> Refusal {
    super::Malformed::Certificate {
        place: Place::Leaf,
        rule,
    }
    .into()
}

/// SHA-256 of a certificate's DER, as [`Leaf::sha256`] has it.
#[must_use]
pub fn sha256(der: &[u8]) -> [u8; 32] {
    let mut octets = [0; 32];
    for (to, from) in octets
        .iter_mut()
        .zip(digest::digest(&digest::SHA256, der).as_ref())
    {
        *to = *from;
    }
    octets
}
