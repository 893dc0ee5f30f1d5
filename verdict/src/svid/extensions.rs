//! What the extensions of a certificate say (RFC 5280 §4.2.1), each read whole or not at all.

use super::der::{self, DerError, Reader, tag};

/// RFC 5280 §4.2.1.9.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum BasicConstraints {
    /// `cA` is false.
    EndEntity,
    /// `cA` is true; at most this many certificates of authorities may follow.
    Authority { path_len: Option<u32> },
}

impl BasicConstraints {
    pub(crate) fn parse(value: &[u8]) -> Result<Self, DerError> {
        let mut fields = Reader::new(der::single(value, tag::SEQUENCE)?);
        let is_authority = fields.boolean_default_false()?;
        let path_len = fields.optional(tag::INTEGER)?;
        fields.end()?;
        let path_len = path_len
            .map(|length| small_unsigned(length.value))
            .transpose()?;
        match (is_authority, path_len) {
            (true, path_len) => Ok(Self::Authority { path_len }),
            (false, None) => Ok(Self::EndEntity),
            // A pathLenConstraint means nothing without cA, and must not be written.
            (false, Some(_)) => Err(DerError::Contents),
        }
    }
}

fn small_unsigned(value: &[u8]) -> Result<u32, DerError> {
    let magnitude = der::unsigned(value)?;
    if magnitude.len() > 4 {
        return Err(DerError::Contents);
    }
    Ok(magnitude
        .iter()
        .fold(0, |n, &octet| (n << 8) | u32::from(octet)))
}

/// RFC 5280 §4.2.1.3: the bits that matter here, all of them in the first octet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct KeyUsage(u8);

impl KeyUsage {
    pub(crate) const DIGITAL_SIGNATURE: u8 = 0x80;
    pub(crate) const KEY_CERT_SIGN: u8 = 0x04;
    pub(crate) const CRL_SIGN: u8 = 0x02;

    pub(crate) fn parse(value: &[u8]) -> Result<Self, DerError> {
        let (_, octets) = der::bits(der::single(value, tag::BIT_STRING)?)?;
        Ok(Self(octets.first().copied().unwrap_or(0)))
    }

    pub(crate) const fn has(self, bit: u8) -> bool {
        self.0 & bit != 0
    }
}

/// id-kp-clientAuth, 1.3.6.1.5.5.7.3.2.
const CLIENT_AUTH: &[u8] = &[0x2b, 6, 1, 5, 5, 7, 3, 2];

/// Whether an ExtKeyUsageSyntax lists clientAuth. `anyExtendedKeyUsage` does not stand in for it:
/// the credential must say that it is for authenticating clients.
pub(crate) fn permits_client_auth(value: &[u8]) -> Result<bool, DerError> {
    let mut purposes = Reader::new(der::single(value, tag::SEQUENCE)?);
    let mut permits = false;
    loop {
        // RFC 5280 §4.2.1.12: one purpose at least.
        permits |= der::object_identifier(purposes.expect(tag::OID)?.value)? == CLIENT_AUTH;
        if purposes.at_end() {
            return Ok(permits);
        }
    }
}

/// The forms of a GeneralName, RFC 5280 §4.2.1.6.
mod name_form {
    use super::tag::{constructed, context};
    pub(super) const OTHER: u8 = constructed(0);
    pub(super) const EMAIL: u8 = context(1);
    pub(super) const DNS: u8 = context(2);
    pub(super) const X400: u8 = constructed(3);
    pub(super) const DIRECTORY: u8 = constructed(4);
    pub(super) const EDI: u8 = constructed(5);
    pub(super) const URI: u8 = context(6);
    pub(super) const IP: u8 = context(7);
    pub(super) const REGISTERED_ID: u8 = context(8);
}

/// What a SubjectAltName says.
pub(crate) struct SubjectNames<'a> {
    /// The URIs, raw.
    pub(crate) uris: Vec<&'a [u8]>,
    /// Names of a form that is read: URIs, DNS names, email and IP addresses.
    pub(crate) read: usize,
}

/// The names of a SubjectAltName. Every entry must be one of the known forms, and text and
/// addresses must be such: what cannot be read could be a second identity.
pub(crate) fn subject_names(value: &[u8]) -> Result<SubjectNames<'_>, DerError> {
    use name_form::{DIRECTORY, DNS, EDI, EMAIL, IP, OTHER, REGISTERED_ID, URI, X400};
    let mut names = Reader::new(der::single(value, tag::SEQUENCE)?);
    let (mut uris, mut read) = (Vec::new(), 0_usize);
    while !names.at_end() {
        let name = names.any()?;
        match name.tag {
            URI | EMAIL | DNS if !name.value.is_ascii() => return Err(DerError::Contents),
            IP if !matches!(name.value.len(), 4 | 16) => return Err(DerError::Contents),
            URI => uris.push(name.value),
            EMAIL | DNS | IP => {}
            OTHER | X400 | DIRECTORY | EDI | REGISTERED_ID => continue,
            _ => return Err(DerError::Unexpected),
        }
        read = read.saturating_add(1);
    }
    Ok(SubjectNames { uris, read })
}

/// The SubjectKeyIdentifier (RFC 5280 §4.2.1.2). Only a hint for path building: empty is absent.
pub(crate) fn subject_key_id(value: &[u8]) -> Result<Option<&[u8]>, DerError> {
    let id = der::single(value, tag::OCTET_STRING)?;
    Ok(Some(id).filter(|id| !id.is_empty()))
}

/// The keyIdentifier of the AuthorityKeyIdentifier (RFC 5280 §4.2.1.1). Only a hint, as above.
pub(crate) fn authority_key_id(value: &[u8]) -> Result<Option<&[u8]>, DerError> {
    let mut fields = Reader::new(der::single(value, tag::SEQUENCE)?);
    let id = fields.optional(tag::context(0))?;
    // authorityCertIssuer and authorityCertSerialNumber.
    fields.optional(tag::constructed(1))?;
    fields.optional(tag::context(2))?;
    fields.end()?;
    Ok(id.map(|id| id.value).filter(|id| !id.is_empty()))
}

/// Whether every NameConstraint is of a form that webpki applies (DNS, IP), or one that cannot
/// concern an SVID. A constraint on URIs or directory names is refused, whether critical or not
/// (RFC 5280 §4.2.1.10): it is never ignored.
pub(crate) fn name_constraints_supported(value: &[u8]) -> Result<bool, DerError> {
    let mut fields = Reader::new(der::single(value, tag::SEQUENCE)?);
    let permitted = fields.optional(tag::constructed(0))?;
    let excluded = fields.optional(tag::constructed(1))?;
    fields.end()?;
    // At least one of the two, and neither without contents.
    if permitted.or(excluded).is_none() {
        return Err(DerError::Contents);
    }
    let mut supported = true;
    for subtrees in [permitted, excluded].into_iter().flatten() {
        let mut subtrees = Reader::new(subtrees.value);
        loop {
            let base = subtrees.nested(tag::SEQUENCE)?.any()?;
            supported &= !matches!(base.tag, name_form::URI | name_form::DIRECTORY);
            if subtrees.at_end() {
                break;
            }
        }
    }
    Ok(supported)
}
