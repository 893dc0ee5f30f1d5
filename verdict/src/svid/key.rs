//! The leaf's own key: type and size (NIST SP 800-57 strength, X509-SVID §4.3 use).
//!
//! Path validation never looks at it, since nothing in the path is signed with it. The proxy's
//! handshake did use it, and a weak key there proves nothing.

use super::der::{self, DerError, Reader, tag};
use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_ASN1, ECDSA_P384_SHA384_ASN1, ECDSA_P521_SHA512_ASN1, ParsedPublicKey,
};
use std::fmt;

/// Smallest RSA modulus: below it a key is within reach (NIST SP 800-131A).
pub const RSA_MIN_BITS: usize = 2048;

/// Largest RSA modulus: the largest that aws-lc verifies; checking a signature costs its square.
pub const RSA_MAX_BITS: usize = 8192;

/// Smallest RSA public exponent (FIPS 186-5 §A.1.1).
const RSA_MIN_EXPONENT: u64 = 65_537;

/// Bits of the RSA public exponent: aws-lc's and BoringSSL's limit.
const RSA_EXPONENT_MAX_BITS: usize = 33;

/// The type of a public key that may authenticate a workload.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum KeyKind {
    /// ECDSA on NIST P-256.
    EcdsaP256,
    /// ECDSA on NIST P-384.
    EcdsaP384,
    /// ECDSA on NIST P-521.
    EcdsaP521,
    /// Ed25519.
    Ed25519,
    /// RSA with a modulus of this many bits.
    Rsa {
        /// Bits of the modulus.
        bits: usize,
    },
}

impl fmt::Display for KeyKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::EcdsaP256 => f.write_str("ECDSA P-256"),
            Self::EcdsaP384 => f.write_str("ECDSA P-384"),
            Self::EcdsaP521 => f.write_str("ECDSA P-521"),
            Self::Ed25519 => f.write_str("Ed25519"),
            Self::Rsa { bits } => write!(f, "RSA {bits}"),
        }
    }
}

/// Why a leaf's key is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum KeyError {
    /// RFC 5280 §4.1.2.7: not a SubjectPublicKeyInfo of its algorithm.
    #[error("the leaf's public key is not encoded as its algorithm asks (RFC 5280 §4.1.2.7): {0}")]
    Encoding(#[from] DerError),
    /// RFC 5480 §2.1.1, RFC 8410 §3, RFC 3279 §2.3.1: P-256, P-384, P-521, Ed25519 or RSA.
    #[error("the leaf's key is not ECDSA P-256, P-384 or P-521, Ed25519 or RSA (RFC 5480 §2.1.1)")]
    Algorithm,
    /// NIST SP 800-131A §3: RSA of 2048 to 8192 bits.
    #[error(
        "the leaf's RSA key has {bits} bits, not {RSA_MIN_BITS} to {RSA_MAX_BITS} (NIST SP 800-131A §3)"
    )]
    RsaSize {
        /// Bits of the modulus found.
        bits: usize,
    },
    /// FIPS 186-5 §A.1.1: an odd exponent from 65537 on.
    #[error("the leaf's RSA exponent is even, below 65537 or too long (FIPS 186-5 §A.1.1)")]
    RsaExponent,
    /// SEC 1 §3.2.2: the point of an EC key lies on its curve.
    #[error("the leaf's EC key is no point of its curve (SEC 1 §3.2.2)")]
    Point,
}

const EC_PUBLIC_KEY: &[u8] = &[0x2a, 0x86, 0x48, 0xce, 0x3d, 2, 1];
const P256: &[u8] = &[0x2a, 0x86, 0x48, 0xce, 0x3d, 3, 1, 7];
const P384: &[u8] = &[0x2b, 0x81, 4, 0, 0x22];
const P521: &[u8] = &[0x2b, 0x81, 4, 0, 0x23];
const ED25519: &[u8] = &[0x2b, 0x65, 0x70];
const RSA_ENCRYPTION: &[u8] = &[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 1, 1, 1];

impl KeyKind {
    /// Reads the contents of a SubjectPublicKeyInfo.
    pub(crate) fn of(spki: &[u8]) -> Result<Self, KeyError> {
        let mut fields = Reader::new(spki);
        let mut algorithm = fields.nested(tag::SEQUENCE)?;
        let key = fields.expect(tag::BIT_STRING)?;
        fields.end()?;
        let (unused, key) = der::bits(key.value)?;
        if unused != 0 {
            return Err(DerError::Contents.into());
        }
        match algorithm.expect(tag::OID)?.value {
            EC_PUBLIC_KEY => elliptic(algorithm, key),
            ED25519 => {
                algorithm.end()?;
                exact_length(key, 32).map(|()| Self::Ed25519)
            }
            RSA_ENCRYPTION => {
                let parameters = algorithm.expect(tag::NULL)?;
                algorithm.end()?;
                // X.690 §8.8.2: NULL has no contents.
                exact_length(parameters.value, 0)?;
                rsa(key)
            }
            _ => Err(KeyError::Algorithm),
        }
    }
}

/// Only named curves, and only the uncompressed point that TLS uses (RFC 8422 §5.4.1).
fn elliptic(mut parameters: Reader<'_>, point: &[u8]) -> Result<KeyKind, KeyError> {
    let curve = parameters.optional(tag::OID)?.ok_or(KeyError::Algorithm)?;
    parameters.end()?;
    let (kind, coordinate_octets, algorithm) = match curve.value {
        P256 => (KeyKind::EcdsaP256, 32, &ECDSA_P256_SHA256_ASN1),
        P384 => (KeyKind::EcdsaP384, 48, &ECDSA_P384_SHA384_ASN1),
        P521 => (KeyKind::EcdsaP521, 66, &ECDSA_P521_SHA512_ASN1),
        _ => return Err(KeyError::Algorithm),
    };
    let coordinates = point.strip_prefix(&[4]).ok_or(DerError::Contents)?;
    exact_length(coordinates, 2 * coordinate_octets)?;
    // Parsing validates the point; nothing is verified with the key.
    let parsed = ParsedPublicKey::new(algorithm, point);
    parsed.map(|_| kind).map_err(|_| KeyError::Point)
}

fn rsa(key: &[u8]) -> Result<KeyKind, KeyError> {
    let mut fields = Reader::new(der::single(key, tag::SEQUENCE)?);
    let modulus = der::unsigned(fields.expect(tag::INTEGER)?.value)?;
    let exponent = der::unsigned(fields.expect(tag::INTEGER)?.value)?;
    fields.end()?;
    let bits = bit_length(modulus);
    if !(RSA_MIN_BITS..=RSA_MAX_BITS).contains(&bits) {
        return Err(KeyError::RsaSize { bits });
    }
    if bit_length(exponent) > RSA_EXPONENT_MAX_BITS {
        return Err(KeyError::RsaExponent);
    }
    let exponent = exponent
        .iter()
        .fold(0u64, |n, &octet| (n << 8) | u64::from(octet));
    if exponent < RSA_MIN_EXPONENT || exponent % 2 == 0 {
        return Err(KeyError::RsaExponent);
    }
    Ok(KeyKind::Rsa { bits })
}

/// Bits of a magnitude without leading zero octets.
fn bit_length(magnitude: &[u8]) -> usize {
    let unused = magnitude
        .first()
        .map_or(0, |first| first.leading_zeros() as usize);
    magnitude.len() * 8 - unused
}

fn exact_length(octets: &[u8], length: usize) -> Result<(), KeyError> {
    if octets.len() == length {
        Ok(())
    } else {
        Err(DerError::Contents.into())
    }
}
