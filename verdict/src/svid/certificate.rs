//! The structure of an X.509 certificate (RFC 5280 §4.1), borrowed from its DER.
//!
//! Only what every certificate must be is judged here; what its extensions say is judged by the
//! rules of the role it plays ([`super::leaf`], [`super::authority`]).

use super::der::{self, DerError, Reader, Tlv, tag};
use super::validity::Window;
use super::{extensions, name};

/// Extensions in one certificate. Public CAs write about ten; the bound keeps the search for
/// duplicates cheap.
pub const EXTENSIONS_MAX: usize = 64;

/// Octets of a serial number (RFC 5280 §4.1.2.2).
pub const SERIAL_MAX_OCTETS: usize = 20;

/// Why bytes are not one readable X.509 certificate.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CertificateError {
    /// X.690, RFC 5280 §4.1: not exactly one certificate in DER.
    #[error("not exactly one DER certificate: {0}")]
    Der(#[from] DerError),
    /// RFC 5280 §4.1.2.1: extensions need version 3, and an SVID needs extensions.
    #[error("the certificate's version is not 3 (RFC 5280 §4.1.2.1)")]
    Version,
    /// RFC 5280 §4.1.2.2: not negative, at most 20 octets. Zero is read, as that section advises.
    #[error(
        "the serial number is negative or longer than {SERIAL_MAX_OCTETS} octets (RFC 5280 §4.1.2.2)"
    )]
    Serial,
    /// RFC 5280 §4.1.1.2: the signed and the outer algorithm are the same.
    #[error("the outer signature algorithm differs from the signed one (RFC 5280 §4.1.1.2)")]
    AlgorithmMismatch,
    /// RFC 5280 §4.1.2.5: UTCTime or GeneralizedTime in Zulu with seconds.
    #[error(
        "a validity date is not a UTCTime or GeneralizedTime in Zulu with seconds (RFC 5280 §4.1.2.5)"
    )]
    Time,
    /// RFC 5280 §4.1.2.8: unique identifiers are not used.
    #[error("the certificate carries a unique identifier (RFC 5280 §4.1.2.8)")]
    UniqueIdentifier,
    /// RFC 5280 §4.2: at most one instance of each extension.
    #[error("an extension appears twice (RFC 5280 §4.2)")]
    DuplicateExtension,
    /// RFC 5280 §4.1.2.4: a Name is a sequence of sets of attributes.
    #[error(
        "the issuer's or the subject's name is no sequence of sets of attributes (RFC 5280 §4.1.2.4)"
    )]
    Name,
    /// RFC 5280 §4.2: an extension is known by an object identifier.
    #[error("an extension's identifier is no object identifier (RFC 5280 §4.2, X.690 §8.19)")]
    ExtensionId,
    /// RFC 5280 §4.2.1.1, §4.2.1.2: key identifiers have one shape and are not critical.
    #[error("a key identifier cannot be read, or is marked critical (RFC 5280 §4.2.1.1, §4.2.1.2)")]
    KeyIdentifier,
    /// A bound of ours on extensions.
    #[error("more than {EXTENSIONS_MAX} extensions (limit of this agent)")]
    TooManyExtensions,
}

/// An extension that a rule of ours reads.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ExtensionId {
    SubjectKeyIdentifier,
    KeyUsage,
    SubjectAltName,
    BasicConstraints,
    NameConstraints,
    AuthorityKeyIdentifier,
    PolicyConstraints,
    ExtendedKeyUsage,
}

impl ExtensionId {
    /// The last arc below id-ce, 2.5.29.
    const fn arc(self) -> u8 {
        match self {
            Self::SubjectKeyIdentifier => 14,
            Self::KeyUsage => 15,
            Self::SubjectAltName => 17,
            Self::BasicConstraints => 19,
            Self::NameConstraints => 30,
            Self::AuthorityKeyIdentifier => 35,
            Self::PolicyConstraints => 36,
            Self::ExtendedKeyUsage => 37,
        }
    }

    fn is(self, oid: &[u8]) -> bool {
        oid == [0x55, 0x1d, self.arc()]
    }
}

#[derive(Clone, Copy, Debug)]
struct Extension<'a> {
    oid: &'a [u8],
    critical: bool,
    value: &'a [u8],
}

/// A certificate, taken apart.
#[derive(Debug)]
pub(crate) struct Certificate<'a> {
    /// What is signed, tag and length included.
    pub(crate) tbs: &'a [u8],
    /// Contents of the signature's AlgorithmIdentifier.
    pub(crate) algorithm: &'a [u8],
    pub(crate) signature: &'a [u8],
    version: Version,
    serial: &'a [u8],
    /// Contents of the issuer's Name.
    pub(crate) issuer: &'a [u8],
    pub(crate) window: Window,
    /// Contents of the subject's Name.
    pub(crate) subject: &'a [u8],
    /// Contents of the SubjectPublicKeyInfo.
    pub(crate) spki: &'a [u8],
    /// Of the issuer or the subject.
    unique_id: Option<&'a [u8]>,
    extensions: Vec<Extension<'a>>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Version {
    V3,
    Older,
}

impl<'a> Certificate<'a> {
    /// Takes exactly one certificate apart. Versions before 3 are read, for [`Self::check_profile`]
    /// to judge: a bundle may hold an old root.
    pub(crate) fn parse(der: &'a [u8]) -> Result<Self, CertificateError> {
        let mut certificate = Reader::new(der::single(der, tag::SEQUENCE)?);
        let tbs = certificate.expect(tag::SEQUENCE)?;
        let outer = certificate.expect(tag::SEQUENCE)?;
        let signature = certificate.expect(tag::BIT_STRING)?;
        certificate.end()?;
        let (unused, signature) = der::bits(signature.value)?;
        if unused != 0 {
            return Err(DerError::Contents.into());
        }
        Self::parse_signed(tbs, outer, signature)
    }

    fn parse_signed(
        tbs: Tlv<'a>,
        outer: Tlv<'a>,
        signature: &'a [u8],
    ) -> Result<Self, CertificateError> {
        let mut fields = Reader::new(tbs.value);
        let version = read_version(&mut fields)?;
        let serial = der::integer(fields.expect(tag::INTEGER)?.value)?;
        let algorithm = fields.expect(tag::SEQUENCE)?;
        if algorithm.whole != outer.whole {
            return Err(CertificateError::AlgorithmMismatch);
        }
        let issuer = fields.expect(tag::SEQUENCE)?.value;
        let window = Window::parse(fields.nested(tag::SEQUENCE)?)?;
        let subject = fields.expect(tag::SEQUENCE)?.value;
        let spki = fields.expect(tag::SEQUENCE)?.value;
        let issuer_unique_id = fields.optional(tag::context(1))?;
        let subject_unique_id = fields.optional(tag::context(2))?;
        let extensions = match fields.optional(tag::constructed(3))? {
            Some(wrapped) => read_extensions(der::single(wrapped.value, tag::SEQUENCE)?)?,
            None => Vec::new(),
        };
        fields.end()?;
        Ok(Self {
            tbs: tbs.whole,
            algorithm: algorithm.value,
            signature,
            version,
            serial,
            issuer,
            window,
            subject,
            spki,
            unique_id: issuer_unique_id.or(subject_unique_id).map(|id| id.value),
            extensions,
        })
    }

    /// What RFC 5280 asks of every certificate that says something in extensions.
    pub(crate) fn check_profile(&self) -> Result<(), CertificateError> {
        if self.version != Version::V3 {
            return Err(CertificateError::Version);
        }
        if self.unique_id.is_some() {
            return Err(CertificateError::UniqueIdentifier);
        }
        let mut rest = self.extensions.as_slice();
        while let Some((first, after)) = rest.split_first() {
            if after.iter().any(|other| other.oid == first.oid) {
                return Err(CertificateError::DuplicateExtension);
            }
            rest = after;
        }
        for part in [self.issuer, self.subject] {
            name::check(part).map_err(|_| CertificateError::Name)?;
        }
        self.check_extensions()
    }

    /// The shape of what no rule of a role looks at. Other extensions that nobody reads say
    /// nothing, in whatever shape (RFC 5280 §4.2).
    fn check_extensions(&self) -> Result<(), CertificateError> {
        for extension in &self.extensions {
            der::object_identifier(extension.oid).map_err(|_| CertificateError::ExtensionId)?;
            let key_id = if ExtensionId::SubjectKeyIdentifier.is(extension.oid) {
                extensions::subject_key_id(extension.value)
            } else if ExtensionId::AuthorityKeyIdentifier.is(extension.oid) {
                extensions::authority_key_id(extension.value)
            } else {
                continue;
            };
            if extension.critical || key_id.is_err() {
                return Err(CertificateError::KeyIdentifier);
            }
        }
        Ok(())
    }

    /// The serial number's octets: not negative, no leading zero.
    pub(crate) fn serial(&self) -> Result<&'a [u8], CertificateError> {
        match der::unsigned(self.serial) {
            Ok(serial) if serial.len() <= SERIAL_MAX_OCTETS => Ok(serial),
            _ => Err(CertificateError::Serial),
        }
    }

    /// The DER value of an extension.
    pub(crate) fn extension(&self, id: ExtensionId) -> Option<&'a [u8]> {
        self.extensions
            .iter()
            .find(|e| id.is(e.oid))
            .map(|e| e.value)
    }

    pub(crate) fn has(&self, id: ExtensionId) -> bool {
        self.extension(id).is_some()
    }

    pub(crate) fn has_critical(&self, id: ExtensionId) -> bool {
        self.extensions.iter().any(|e| e.critical && id.is(e.oid))
    }

    /// Whether a critical extension is none of these (RFC 5280 §4.2: it must then be refused).
    pub(crate) fn has_critical_beyond(&self, understood: &[ExtensionId]) -> bool {
        let unknown = |e: &Extension<'_>| !understood.iter().any(|id| id.is(e.oid));
        self.extensions.iter().any(|e| e.critical && unknown(e))
    }
}

fn read_version(fields: &mut Reader<'_>) -> Result<Version, DerError> {
    match fields.optional(tag::constructed(0))? {
        None => Ok(Version::Older),
        Some(wrapped) => match der::single(wrapped.value, tag::INTEGER)? {
            [2] => Ok(Version::V3),
            [0 | 1] => Ok(Version::Older),
            _ => Err(DerError::Contents),
        },
    }
}

/// An empty list is read, against RFC 5280 §4.1.2.9, because encoders write it; it says nothing.
fn read_extensions(list: &[u8]) -> Result<Vec<Extension<'_>>, CertificateError> {
    let mut reader = Reader::new(list);
    let mut extensions = Vec::new();
    while !reader.at_end() {
        if extensions.len() == EXTENSIONS_MAX {
            return Err(CertificateError::TooManyExtensions);
        }
        let mut fields = reader.nested(tag::SEQUENCE)?;
        let oid = fields.expect(tag::OID)?.value;
        let critical = fields.boolean_default_false()?;
        let value = fields.expect(tag::OCTET_STRING)?.value;
        fields.end()?;
        extensions.push(Extension {
            oid,
            critical,
            value,
        });
    }
    Ok(extensions)
}
