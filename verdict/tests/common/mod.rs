//! A certificate writer for tests: every field can be wrong on purpose.
//!
//! [`Certificate`] starts as a good one for its role; a test changes one thing and signs it.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::cast_possible_truncation,
    dead_code,
    unreachable_pub,
    missing_docs,
    reason = "a test may panic, and each test file uses a part of this"
)]

use aws_lc_rs::encoding::{AsDer, PublicKeyX509Der};
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::rsa::KeySize;
use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_ASN1_SIGNING, ECDSA_P384_SHA384_ASN1_SIGNING, ECDSA_P521_SHA512_ASN1_SIGNING,
    EcdsaKeyPair, Ed25519KeyPair, KeyPair as _, RSA_PKCS1_SHA256, RsaKeyPair,
};
use std::sync::atomic::{AtomicU32, Ordering};
use verdict::time::UnixSeconds;

/// Now, in every test that does not say otherwise: 2026-01-01T00:00:00Z.
pub const NOW: UnixSeconds = UnixSeconds(1_767_225_600);

/// NOW and a number of seconds.
pub const fn later(seconds: i64) -> UnixSeconds {
    UnixSeconds(NOW.0 + seconds)
}

pub fn tlv(tag: u8, value: &[u8]) -> Vec<u8> {
    let length = value.len();
    let mut out = vec![tag];
    match length {
        0..=0x7f => out.push(length as u8),
        0x80..=0xff => out.extend([0x81, length as u8]),
        0x100..=0xffff => out.extend([0x82, (length >> 8) as u8, length as u8]),
        _ => out.extend([
            0x83,
            (length >> 16) as u8,
            (length >> 8) as u8,
            length as u8,
        ]),
    }
    out.extend_from_slice(value);
    out
}

pub fn sequence(parts: &[&[u8]]) -> Vec<u8> {
    tlv(0x30, &parts.concat())
}

pub const SKI: &[u8] = &[0x55, 0x1d, 14];
pub const KEY_USAGE: &[u8] = &[0x55, 0x1d, 15];
pub const SAN: &[u8] = &[0x55, 0x1d, 17];
pub const BASIC_CONSTRAINTS: &[u8] = &[0x55, 0x1d, 19];
pub const NAME_CONSTRAINTS: &[u8] = &[0x55, 0x1d, 30];
pub const CERTIFICATE_POLICIES: &[u8] = &[0x55, 0x1d, 32];
pub const AKI: &[u8] = &[0x55, 0x1d, 35];
pub const POLICY_CONSTRAINTS: &[u8] = &[0x55, 0x1d, 36];
pub const EKU: &[u8] = &[0x55, 0x1d, 37];
/// 1.3.6.1.4.1.99999.1: known to nobody.
pub const UNKNOWN: &[u8] = &[0x2b, 6, 1, 4, 1, 0x86, 0x8d, 0x1f, 1];

pub const SERVER_AUTH: &[u8] = &[0x2b, 6, 1, 5, 5, 7, 3, 1];
pub const CLIENT_AUTH: &[u8] = &[0x2b, 6, 1, 5, 5, 7, 3, 2];
pub const ANY_USAGE: &[u8] = &[0x55, 0x1d, 37, 0];

pub const DIGITAL_SIGNATURE: u8 = 0x80;
pub const KEY_ENCIPHERMENT: u8 = 0x20;
pub const KEY_CERT_SIGN: u8 = 0x04;
pub const CRL_SIGN: u8 = 0x02;

pub fn oid(arcs: &[u8]) -> Vec<u8> {
    tlv(6, arcs)
}

pub fn uri(text: &str) -> Vec<u8> {
    tlv(0x86, text.as_bytes())
}

pub fn dns(text: &str) -> Vec<u8> {
    tlv(0x82, text.as_bytes())
}

pub fn name(common_name: &str) -> Vec<u8> {
    let attribute = sequence(&[&oid(&[0x55, 4, 3]), &tlv(0x0c, common_name.as_bytes())]);
    tlv(0x30, &tlv(0x31, &attribute))
}

pub fn key_usage(bits: u8) -> Vec<u8> {
    tlv(3, &[bits.trailing_zeros().min(7) as u8, bits])
}

pub fn extended_key_usage(purposes: &[&[u8]]) -> Vec<u8> {
    tlv(
        0x30,
        &purposes.iter().flat_map(|p| oid(p)).collect::<Vec<_>>(),
    )
}

pub fn authority(path_len: Option<u8>) -> Vec<u8> {
    let path_len = path_len.map(|n| tlv(2, &[n])).unwrap_or_default();
    sequence(&[&[1, 1, 0xff], &path_len])
}

/// NameConstraints that permit, or exclude, one GeneralName.
pub fn name_constraints(permitted: &[u8], excluded: &[u8]) -> Vec<u8> {
    let subtree = |tag: u8, base: &[u8]| match base {
        [] => Vec::new(),
        base => tlv(tag, &sequence(&[base])),
    };
    sequence(&[&subtree(0xa0, permitted), &subtree(0xa1, excluded)])
}

pub fn generalized_time(at: UnixSeconds) -> Vec<u8> {
    let days = at.0.div_euclid(86_400);
    let second = at.0.rem_euclid(86_400);
    let (mut year, mut rest) = (1970, days);
    let leap = |y: i64| y % 4 == 0 && (y % 100 != 0 || y % 400 == 0);
    while rest >= 365 + i64::from(leap(year)) {
        rest -= 365 + i64::from(leap(year));
        year += 1;
    }
    let february = 28 + i64::from(leap(year));
    let mut month = 1;
    for length in [31, february, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31] {
        if rest < length {
            break;
        }
        rest -= length;
        month += 1;
    }
    let (h, m, s) = (second / 3600, second / 60 % 60, second % 60);
    tlv(
        0x18,
        format!("{year:04}{month:02}{:02}{h:02}{m:02}{s:02}Z", rest + 1).as_bytes(),
    )
}

fn utc_time(at: UnixSeconds) -> Vec<u8> {
    tlv(0x17, &generalized_time(at)[4..])
}

pub const P256_OID: &[u8] = &[0x2a, 0x86, 0x48, 0xce, 0x3d, 3, 1, 7];
pub const P384_OID: &[u8] = &[0x2b, 0x81, 4, 0, 0x22];
pub const P521_OID: &[u8] = &[0x2b, 0x81, 4, 0, 0x23];

/// The types of keys that sign.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Algorithm {
    P256,
    P384,
    P521,
    Ed25519,
    Rsa2048,
}

enum Signer {
    Ecdsa(EcdsaKeyPair),
    Ed25519(Ed25519KeyPair),
    Rsa(RsaKeyPair),
}

pub struct Key {
    signer: Signer,
    algorithm: Algorithm,
    /// The SubjectPublicKeyInfo, whole.
    pub spki: Vec<u8>,
}

impl Key {
    pub fn p256() -> Self {
        Self::new(Algorithm::P256)
    }

    pub fn new(algorithm: Algorithm) -> Self {
        let ecdsa = |a| Signer::Ecdsa(EcdsaKeyPair::generate(a).unwrap());
        let signer = match algorithm {
            Algorithm::P256 => ecdsa(&ECDSA_P256_SHA256_ASN1_SIGNING),
            Algorithm::P384 => ecdsa(&ECDSA_P384_SHA384_ASN1_SIGNING),
            Algorithm::P521 => ecdsa(&ECDSA_P521_SHA512_ASN1_SIGNING),
            Algorithm::Ed25519 => Signer::Ed25519(Ed25519KeyPair::generate().unwrap()),
            Algorithm::Rsa2048 => Signer::Rsa(RsaKeyPair::generate(KeySize::Rsa2048).unwrap()),
        };
        Self::of(signer, algorithm)
    }

    /// The same key for the same seed; RSA is drawn anew, as its primes must be searched for.
    pub fn seeded(algorithm: Algorithm, seed: u8) -> Self {
        let curve: (_, &[u8], usize) = match algorithm {
            Algorithm::P256 => (&ECDSA_P256_SHA256_ASN1_SIGNING, P256_OID, 32),
            Algorithm::P384 => (&ECDSA_P384_SHA384_ASN1_SIGNING, P384_OID, 48),
            Algorithm::P521 => (&ECDSA_P521_SHA512_ASN1_SIGNING, P521_OID, 66),
            Algorithm::Ed25519 => {
                let key = Ed25519KeyPair::from_seed_unchecked(&[seed; 32]).unwrap();
                return Self::of(Signer::Ed25519(key), algorithm);
            }
            Algorithm::Rsa2048 => return Self::new(algorithm),
        };
        let mut scalar = vec![seed; curve.2];
        scalar[0] = 0;
        // RFC 5915 §3.
        let der = sequence(&[&tlv(2, &[1]), &tlv(4, &scalar), &tlv(0xa0, &oid(curve.1))]);
        let key = EcdsaKeyPair::from_private_key_der(curve.0, &der).unwrap();
        Self::of(Signer::Ecdsa(key), algorithm)
    }

    fn of(signer: Signer, algorithm: Algorithm) -> Self {
        let spki = |key: PublicKeyX509Der<'_>| key.as_ref().to_vec();
        let spki = match &signer {
            Signer::Ecdsa(key) => spki(key.public_key().as_der().unwrap()),
            Signer::Ed25519(key) => spki(key.public_key().as_der().unwrap()),
            Signer::Rsa(key) => spki(key.public_key().as_der().unwrap()),
        };
        Self {
            signer,
            algorithm,
            spki,
        }
    }

    /// A certificate with this content, whatever it is.
    pub fn certify(&self, tbs: &[u8]) -> Vec<u8> {
        let signature = [&[0][..], &self.sign(tbs)].concat();
        sequence(&[tbs, &self.algorithm_id(), &tlv(3, &signature)])
    }

    pub fn algorithm_id(&self) -> Vec<u8> {
        let ecdsa = |last| sequence(&[&oid(&[0x2a, 0x86, 0x48, 0xce, 0x3d, 4, 3, last])]);
        match self.algorithm {
            Algorithm::P256 => ecdsa(2),
            Algorithm::P384 => ecdsa(3),
            Algorithm::P521 => ecdsa(4),
            Algorithm::Ed25519 => sequence(&[&oid(&[0x2b, 0x65, 0x70])]),
            Algorithm::Rsa2048 => sequence(&[
                &oid(&[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 1, 1, 11]),
                &[5, 0],
            ]),
        }
    }

    fn sign(&self, message: &[u8]) -> Vec<u8> {
        let random = SystemRandom::new();
        match &self.signer {
            Signer::Ecdsa(key) => key.sign(&random, message).unwrap().as_ref().to_vec(),
            Signer::Ed25519(key) => key.sign(message).as_ref().to_vec(),
            Signer::Rsa(key) => {
                let mut signature = vec![0; key.public_modulus_len()];
                key.sign(&RSA_PKCS1_SHA256, &random, message, &mut signature)
                    .unwrap();
                signature
            }
        }
    }
}

#[derive(Clone)]
pub struct Extension {
    pub oid: Vec<u8>,
    pub critical: bool,
    pub value: Vec<u8>,
}

/// A certificate before it is signed.
#[derive(Clone)]
pub struct Certificate {
    /// Contents of `[0]`; `None` leaves the version out.
    pub version: Option<Vec<u8>>,
    pub serial: Vec<u8>,
    /// The signed AlgorithmIdentifier if it is not the signer's.
    pub inner_algorithm: Option<Vec<u8>>,
    pub not_before: Vec<u8>,
    pub not_after: Vec<u8>,
    pub subject: Vec<u8>,
    pub spki: Vec<u8>,
    /// Bytes between the key and the extensions.
    pub before_extensions: Vec<u8>,
    pub extensions: Vec<Extension>,
    /// Bytes after the extensions.
    pub after_extensions: Vec<u8>,
    /// A key identifier for the issuer, in place of the right one.
    pub issuer_key_id: Option<Option<Vec<u8>>>,
}

static SERIAL: AtomicU32 = AtomicU32::new(1);

impl Certificate {
    fn new(subject: Vec<u8>, key: &Key) -> Self {
        let serial = SERIAL.fetch_add(1, Ordering::Relaxed).to_be_bytes();
        Self {
            version: Some(tlv(2, &[2])),
            serial: [&[0x40][..], &serial].concat(),
            inner_algorithm: None,
            not_before: utc_time(later(-3600)),
            not_after: utc_time(later(3600)),
            subject,
            spki: key.spki.clone(),
            before_extensions: Vec::new(),
            extensions: Vec::new(),
            after_extensions: Vec::new(),
            issuer_key_id: None,
        }
    }

    /// What SPIRE issues to a workload.
    pub fn leaf(id: &str, key: &Key) -> Self {
        let subject = sequence(&[]);
        Self::new(subject, key)
            .with(
                KEY_USAGE,
                true,
                key_usage(DIGITAL_SIGNATURE | KEY_ENCIPHERMENT),
            )
            .with(EKU, false, extended_key_usage(&[SERVER_AUTH, CLIENT_AUTH]))
            .with(BASIC_CONSTRAINTS, true, sequence(&[]))
            .with(SAN, true, tlv(0x30, &uri(id)))
    }

    /// What SPIRE issues to a server.
    pub fn authority(common_name: &str, key: &Key) -> Self {
        let certificate = Self::new(name(common_name), key)
            .with(KEY_USAGE, true, key_usage(KEY_CERT_SIGN | CRL_SIGN))
            .with(BASIC_CONSTRAINTS, true, authority(None))
            .with(SAN, false, tlv(0x30, &uri("spiffe://example.org")));
        let key_id = key_id(&certificate.spki);
        certificate
            .with(SKI, false, tlv(4, &key_id))
            .valid(-86_400, 86_400)
    }

    /// Sets an extension, in place of any of the same OID.
    pub fn with(mut self, oid: &[u8], critical: bool, value: Vec<u8>) -> Self {
        self.extensions.retain(|e| e.oid != oid);
        self.extensions.push(Extension {
            oid: oid.to_vec(),
            critical,
            value,
        });
        self
    }

    /// Adds an extension, even a second of the same OID.
    pub fn and(mut self, oid: &[u8], critical: bool, value: Vec<u8>) -> Self {
        self.extensions.push(Extension {
            oid: oid.to_vec(),
            critical,
            value,
        });
        self
    }

    pub fn without(mut self, oid: &[u8]) -> Self {
        self.extensions.retain(|e| e.oid != oid);
        self
    }

    pub fn san(self, names: &[Vec<u8>]) -> Self {
        self.with(SAN, true, tlv(0x30, &names.concat()))
    }

    /// Validity in seconds relative to NOW.
    pub fn valid(mut self, from: i64, to: i64) -> Self {
        self.not_before = utc_time(later(from));
        self.not_after = utc_time(later(to));
        self
    }

    pub fn edit(mut self, edit: impl FnOnce(&mut Self)) -> Self {
        edit(&mut self);
        self
    }

    /// Signed by an authority of this name and key.
    pub fn sign(&self, issuer: &[u8], issuer_key: &Key) -> Vec<u8> {
        issuer_key.certify(&self.tbs(issuer, issuer_key))
    }

    /// What is signed.
    pub fn tbs(&self, issuer: &[u8], issuer_key: &Key) -> Vec<u8> {
        let version = self
            .version
            .as_ref()
            .map(|v| tlv(0xa0, v))
            .unwrap_or_default();
        let algorithm = self
            .inner_algorithm
            .clone()
            .unwrap_or_else(|| issuer_key.algorithm_id());
        let mut extensions = self.extensions.clone();
        let key_id = match &self.issuer_key_id {
            Some(given) => given.clone(),
            None => Some(key_id(&issuer_key.spki)),
        };
        if let Some(key_id) = key_id {
            let value = tlv(0x30, &tlv(0x80, &key_id));
            extensions.push(Extension {
                oid: AKI.to_vec(),
                critical: false,
                value,
            });
        }
        let extensions: Vec<u8> = extensions.iter().flat_map(encode_extension).collect();
        let extensions = match extensions.is_empty() || self.version.is_none() {
            true => Vec::new(),
            false => tlv(0xa3, &tlv(0x30, &extensions)),
        };
        sequence(&[
            &version,
            &tlv(2, &self.serial),
            &algorithm,
            issuer,
            &sequence(&[&self.not_before, &self.not_after]),
            &self.subject,
            &self.spki,
            &self.before_extensions,
            &extensions,
            &self.after_extensions,
        ])
    }
}

fn encode_extension(extension: &Extension) -> Vec<u8> {
    let critical: &[u8] = if extension.critical {
        &[1, 1, 0xff]
    } else {
        &[]
    };
    sequence(&[&oid(&extension.oid), critical, &tlv(4, &extension.value)])
}

/// A key identifier as SPIRE writes it: 20 octets made from the key.
pub fn key_id(spki: &[u8]) -> Vec<u8> {
    aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA1_FOR_LEGACY_USE_ONLY, spki)
        .as_ref()
        .to_vec()
}

/// An authority ready to sign: its name, its key, its certificate.
pub struct Issuer {
    pub name: Vec<u8>,
    pub key: Key,
    pub der: Vec<u8>,
}

impl Issuer {
    /// A self-signed root.
    pub fn root(common_name: &str) -> Self {
        Self::root_with(Key::p256(), common_name, |c| c)
    }

    pub fn root_with(
        key: Key,
        common_name: &str,
        edit: impl FnOnce(Certificate) -> Certificate,
    ) -> Self {
        let certificate = edit(Certificate::authority(common_name, &key));
        let der = certificate.sign(&certificate.subject, &key);
        Self {
            name: certificate.subject,
            key,
            der,
        }
    }

    /// An authority below this one.
    pub fn below(&self, common_name: &str) -> Self {
        self.below_with(common_name, |c| c)
    }

    pub fn below_with(
        &self,
        common_name: &str,
        edit: impl FnOnce(Certificate) -> Certificate,
    ) -> Self {
        let key = Key::p256();
        let certificate = edit(Certificate::authority(common_name, &key));
        let der = self.sign(&certificate);
        Self {
            name: certificate.subject,
            key,
            der,
        }
    }

    pub fn sign(&self, certificate: &Certificate) -> Vec<u8> {
        certificate.sign(&self.name, &self.key)
    }

    /// A good leaf.
    pub fn leaf(&self, id: &str) -> Vec<u8> {
        self.sign(&Certificate::leaf(id, &Key::p256()))
    }
}
