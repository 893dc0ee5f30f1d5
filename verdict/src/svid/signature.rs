//! One signature by one key, with the algorithms we accept.

use super::certificate::Certificate;
use super::der::{self, Reader, tag};
use super::refusal::PathRule;
use rustls_pki_types::SignatureVerificationAlgorithm;
use webpki::aws_lc_rs as algorithm;

/// The signature algorithms of issuers: ECDSA on the three NIST curves, Ed25519, and RSA of 2048
/// to 8192 bits with SHA-2. SHA-1 and other curves are absent. RSA's parameters may be absent
/// (RFC 4055 §5).
pub(crate) static ALGORITHMS: &[&dyn SignatureVerificationAlgorithm] = &[
    algorithm::ECDSA_P256_SHA256,
    algorithm::ECDSA_P256_SHA384,
    algorithm::ECDSA_P256_SHA512,
    algorithm::ECDSA_P384_SHA256,
    algorithm::ECDSA_P384_SHA384,
    algorithm::ECDSA_P384_SHA512,
    algorithm::ECDSA_P521_SHA256,
    algorithm::ECDSA_P521_SHA384,
    algorithm::ECDSA_P521_SHA512,
    algorithm::ED25519,
    algorithm::RSA_PKCS1_2048_8192_SHA256,
    algorithm::RSA_PKCS1_2048_8192_SHA384,
    algorithm::RSA_PKCS1_2048_8192_SHA512,
    algorithm::RSA_PKCS1_2048_8192_SHA256_ABSENT_PARAMS,
    algorithm::RSA_PKCS1_2048_8192_SHA384_ABSENT_PARAMS,
    algorithm::RSA_PKCS1_2048_8192_SHA512_ABSENT_PARAMS,
    algorithm::RSA_PSS_2048_8192_SHA256_LEGACY_KEY,
    algorithm::RSA_PSS_2048_8192_SHA384_LEGACY_KEY,
    algorithm::RSA_PSS_2048_8192_SHA512_LEGACY_KEY,
];

/// Whether the key in this SubjectPublicKeyInfo signed the certificate.
pub(crate) fn check(certificate: &Certificate<'_>, spki: &[u8]) -> Result<(), PathRule> {
    let (key_algorithm, key) = read_key(spki).ok_or(PathRule::SignatureAlgorithm)?;
    let fits = |a: &&&dyn SignatureVerificationAlgorithm| {
        a.signature_alg_id().as_ref() == certificate.algorithm
            && a.public_key_alg_id().as_ref() == key_algorithm
    };
    let algorithm = ALGORITHMS
        .iter()
        .find(fits)
        .ok_or(PathRule::SignatureAlgorithm)?;
    let verdict = algorithm.verify_signature(key, certificate.tbs, certificate.signature);
    verdict.map_err(|_| PathRule::Signature)
}

fn read_key(spki: &[u8]) -> Option<(&[u8], &[u8])> {
    let mut fields = Reader::new(spki);
    let algorithm = fields.expect(tag::SEQUENCE).ok()?.value;
    let (unused, key) = der::bits(fields.expect(tag::BIT_STRING).ok()?.value).ok()?;
    (unused == 0 && fields.at_end()).then_some((algorithm, key))
}
