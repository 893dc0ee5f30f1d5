//! What a caller may choose about authorities and SVIDs.

use rcgen::{CertificateParams, SignatureAlgorithm};
use std::time::Duration;

use super::CaError;

/// SPIRE lets a certificate begin this long before it is issued, for clocks that run behind.
const BACKDATE_S: u64 = 10;
/// SPIRE's default lifetime of an X.509-SVID.
const SVID_LIFETIME_S: u64 = 3_600;
/// SPIRE's default lifetime of an X.509 authority.
const AUTHORITY_LIFETIME_S: u64 = 24 * 3_600;
/// The last second of the year 9999, the largest a GeneralizedTime can name.
const LAST_MOMENT_S: u64 = 253_402_300_799;
/// Longer than any chain the agent accepts (16 certificates), so that its limit can be crossed.
pub(super) const MAX_INTERMEDIATES: usize = 20;

/// When a certificate is valid, in Unix seconds, both ends included.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Window {
    /// First valid second.
    pub not_before: u64,
    /// Last valid second.
    pub not_after: u64,
}

impl Window {
    /// Valid at `now` and for `lifetime_s` seconds more; begins a little earlier, as SPIRE's do.
    #[must_use]
    pub fn from(now: u64, lifetime_s: u64) -> Self {
        Self {
            not_before: now.saturating_sub(BACKDATE_S),
            not_after: now.saturating_add(lifetime_s),
        }
    }

    /// A window of the same length that ends one second before this one begins.
    pub(super) fn before(self) -> Self {
        let not_after = self.not_before.saturating_sub(1);
        Self {
            not_before: not_after.saturating_sub(self.length()),
            not_after,
        }
    }

    /// A window of the same length that begins one second after this one ends.
    pub(super) fn after(self) -> Self {
        let not_before = self.not_after.saturating_add(1);
        Self {
            not_before,
            not_after: not_before.saturating_add(self.length()),
        }
    }

    pub(super) fn apply_to(self, params: &mut CertificateParams) -> Result<(), CaError> {
        for unix_s in [self.not_before, self.not_after] {
            if unix_s > LAST_MOMENT_S {
                return Err(CaError::TimeOutOfRange { unix_s });
            }
        }
        let epoch = rcgen::date_time_ymd(1970, 1, 1);
        params.not_before = epoch + Duration::from_secs(self.not_before);
        params.not_after = epoch + Duration::from_secs(self.not_after);
        Ok(())
    }

    fn length(self) -> u64 {
        self.not_after.saturating_sub(self.not_before)
    }
}

/// The kinds of key an SVID or an authority can have.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum KeyKind {
    /// ECDSA on P-256, what SPIRE uses.
    #[default]
    P256,
    /// ECDSA on P-384.
    P384,
    /// ECDSA on P-521.
    P521,
    /// Ed25519.
    Ed25519,
    /// RSA, 2048 bits.
    Rsa2048,
}

impl KeyKind {
    /// Every kind, for tests that must hold for all.
    pub const ALL: [Self; 5] = [
        Self::P256,
        Self::P384,
        Self::P521,
        Self::Ed25519,
        Self::Rsa2048,
    ];

    pub(super) fn algorithm(self) -> &'static SignatureAlgorithm {
        match self {
            Self::P256 => &rcgen::PKCS_ECDSA_P256_SHA256,
            Self::P384 => &rcgen::PKCS_ECDSA_P384_SHA384,
            Self::P521 => &rcgen::PKCS_ECDSA_P521_SHA512,
            Self::Ed25519 => &rcgen::PKCS_ED25519,
            Self::Rsa2048 => &rcgen::PKCS_RSA_SHA256,
        }
    }
}

/// How an authority is made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AuthorityOptions {
    /// Validity of the root and of every intermediate.
    pub window: Window,
    /// Kind of key of the root and of every intermediate.
    pub key: KeyKind,
    /// Signing certificates between the root and the leaf, as a nested SPIRE has them (at most 20).
    pub intermediates: usize,
}

impl AuthorityOptions {
    /// What SPIRE does without an upstream authority: one root, P-256, a day long from `now` (Unix seconds).
    #[must_use]
    pub fn at(now: u64) -> Self {
        Self {
            window: Window::from(now, AUTHORITY_LIFETIME_S),
            key: KeyKind::default(),
            intermediates: 0,
        }
    }

    /// The same with `depth` intermediates.
    #[must_use]
    pub fn with_intermediates(self, depth: usize) -> Self {
        Self {
            intermediates: depth,
            ..self
        }
    }

    /// The same with another kind of key.
    #[must_use]
    pub fn with_key(self, key: KeyKind) -> Self {
        Self { key, ..self }
    }

    /// The same with another validity.
    #[must_use]
    pub fn with_window(self, window: Window) -> Self {
        Self { window, ..self }
    }
}

/// How an SVID is made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SvidOptions {
    /// Validity of the leaf.
    pub window: Window,
    /// Kind of key of the leaf.
    pub key: KeyKind,
    /// The rule it breaks; none is a good SVID.
    pub defect: Option<Defect>,
}

impl SvidOptions {
    /// A good SVID as SPIRE issues it at `now` (Unix seconds): P-256, one hour.
    #[must_use]
    pub fn at(now: u64) -> Self {
        Self {
            window: Window::from(now, SVID_LIFETIME_S),
            key: KeyKind::default(),
            defect: None,
        }
    }

    /// The same, breaking one rule.
    #[must_use]
    pub fn with_defect(self, defect: Defect) -> Self {
        Self {
            defect: Some(defect),
            ..self
        }
    }

    /// The same with another kind of key.
    #[must_use]
    pub fn with_key(self, key: KeyKind) -> Self {
        Self { key, ..self }
    }

    /// The same with another validity.
    #[must_use]
    pub fn with_window(self, window: Window) -> Self {
        Self { window, ..self }
    }
}

/// One rule broken on purpose, named with the section it comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Defect {
    /// Ended one second before the asked window begins (X509-SVID section 5.1).
    Expired,
    /// Begins one second after the asked window ends (X509-SVID section 5.1).
    NotYetValid,
    /// A DNS SAN instead of the URI SAN: no identity (X509-SVID section 2).
    NoUriSan,
    /// A second URI SAN, `https:` (X509-SVID section 5.2).
    TwoUriSans,
    /// The ID of the trust domain itself, which no workload may have (X509-SVID section 5.2).
    PathlessId,
    /// The URI SAN exactly as given: another trust domain, or no valid ID at all (SPIFFE-ID section 2).
    AnyId,
    /// Extended key usage without clientAuth (X509-SVID section 4.4).
    WrongExtendedKeyUsage,
    /// Basic constraints say it is a CA (X509-SVID section 5.2).
    CaTrue,
    /// No key usage extension (X509-SVID section 4.3).
    NoKeyUsage,
    /// Key usage without digitalSignature (X509-SVID section 4.3).
    NoDigitalSignature,
    /// Key usage with keyCertSign (X509-SVID section 5.2).
    KeyCertSign,
    /// Key usage with cRLSign (X509-SVID section 5.2).
    CrlSign,
    /// Every name and key identifier of the real authority, signed by other keys (X509-SVID section 5.1).
    Forged,
}

impl Defect {
    /// Every defect, for tests that must refuse all.
    pub const ALL: [Self; 13] = [
        Self::Expired,
        Self::NotYetValid,
        Self::NoUriSan,
        Self::TwoUriSans,
        Self::PathlessId,
        Self::AnyId,
        Self::WrongExtendedKeyUsage,
        Self::CaTrue,
        Self::NoKeyUsage,
        Self::NoDigitalSignature,
        Self::KeyCertSign,
        Self::CrlSign,
        Self::Forged,
    ];
}
