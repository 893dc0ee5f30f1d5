//! The anchors of one trust domain: an X.509 bundle as the Workload API delivers it (§5.1).
//!
//! Parsed once, judged at every use: which anchors may be used depends on the time, and a skewed
//! clock at load must not empty a bundle. An anchor that may not be used is kept, so that it can
//! be shown with the rule it breaks; it never verifies anything.

mod barren;

pub use self::barren::Barren;
use crate::svid::{
    Authority, AuthorityRule, Certificate, CertificateError, DerError, PathRule, Place, Reader,
    Refusal, name_text, tag,
};
use crate::time::UnixSeconds;
use rustls_pki_types::{CertificateDer, TrustAnchor};
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::sync::Arc;

/// Bytes of one bundle: the largest Workload API message that is accepted.
pub const BUNDLE_MAX_BYTES: usize = 16 * 1024 * 1024;

/// Anchors in one bundle. Rotation keeps two or three, a corporate store some hundred.
pub const ANCHORS_MAX: usize = 10_000;

/// Why bytes are not a bundle. The bundle in force then stays.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AnchorError {
    /// A limit of this agent.
    #[error("the bundle has {bytes} bytes, more than {BUNDLE_MAX_BYTES} (limit of this agent)")]
    TooLong {
        /// Bytes delivered.
        bytes: usize,
    },
    /// A limit of this agent.
    #[error("the bundle has more than {ANCHORS_MAX} authorities (limit of this agent)")]
    TooMany,
    /// Workload API §5.1: certificates in DER, one after the other, nothing between.
    #[error(
        "the bundle is not DER certificates one after the other: at authority {position}, {rule} (Workload API §5.1)"
    )]
    NotConcatenatedDer {
        /// Position of the authority; the first is 1.
        position: usize,
        /// What is wrong.
        rule: DerError,
    },
    /// RFC 5280 §4.1.
    #[error("authority {position} of the bundle cannot be read: {rule} (Workload API §5.1)")]
    Certificate {
        /// Position of the authority; the first is 1.
        position: usize,
        /// What is wrong.
        rule: CertificateError,
    },
}

/// The anchors of one trust domain, and of no other. Cloning costs a counter.
#[derive(Clone)]
pub struct AnchorSet {
    bundle: Arc<Bundle>,
}

struct Bundle {
    der: Box<[u8]>,
    anchors: Vec<Anchor>,
    by_subject: BTreeMap<Box<[u8]>, Namesakes>,
}

/// Anchors of one name, as indices. Roots of SPIRE servers often share one.
#[derive(Default)]
struct Namesakes {
    with_key_id: BTreeMap<Box<[u8]>, Vec<usize>>,
    without_key_id: Vec<usize>,
}

/// How a certificate's key identifier for its issuer fits a possible issuer (RFC 5280 §4.2.1.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Fit {
    /// Both say the same.
    Exact,
    /// One of them says nothing.
    Unknown,
    /// They differ.
    Contradiction,
}

impl Fit {
    pub(crate) const BEST_FIRST: [Self; 3] = [Self::Exact, Self::Unknown, Self::Contradiction];

    pub(crate) fn of(wanted: Option<&[u8]>, offered: Option<&[u8]>) -> Self {
        match (wanted, offered) {
            (Some(wanted), Some(offered)) if wanted == offered => Self::Exact,
            (Some(_), Some(_)) => Self::Contradiction,
            _ => Self::Unknown,
        }
    }
}

impl AnchorSet {
    /// Reads a bundle: DER certificates one after the other. No bytes are a bundle too: one that
    /// trusts nothing.
    ///
    /// # Errors
    /// [`AnchorError`] if any of it cannot be read: half a bundle is no bundle.
    pub fn from_der(der: &[u8]) -> Result<Self, AnchorError> {
        if der.len() > BUNDLE_MAX_BYTES {
            return Err(AnchorError::TooLong { bytes: der.len() });
        }
        let mut reader = Reader::new(der);
        let mut anchors = Vec::new();
        let mut by_subject: BTreeMap<_, Namesakes> = BTreeMap::new();
        let mut seen = BTreeSet::new();
        while !reader.at_end() {
            if anchors.len() == ANCHORS_MAX {
                return Err(AnchorError::TooMany);
            }
            let index = anchors.len();
            let position = index.saturating_add(1);
            let certificate = reader.expect(tag::SEQUENCE);
            let certificate =
                certificate.map_err(|rule| AnchorError::NotConcatenatedDer { position, rule })?;
            let anchor = Anchor::read(certificate.whole)
                .map_err(|rule| AnchorError::Certificate { position, rule })?;
            if seen.insert(certificate.whole) {
                let subject = anchor.authority.subject.clone();
                by_subject
                    .entry(subject)
                    .or_default()
                    .add(&anchor.authority, index);
            }
            anchors.push(anchor);
        }
        let bundle = Bundle {
            der: der.into(),
            anchors,
            by_subject,
        };
        Ok(Self {
            bundle: Arc::new(bundle),
        })
    }

    /// The bytes it was read from, to keep and to compare.
    #[must_use]
    pub fn as_der(&self) -> &[u8] {
        &self.bundle.der
    }

    /// Anchors held, usable or not.
    #[must_use]
    pub fn len(&self) -> usize {
        self.bundle.anchors.len()
    }

    /// Whether it holds none: every SVID of its domain is then untrusted.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.bundle.anchors.is_empty()
    }

    /// The anchors in the order of the bundle.
    pub fn iter(&self) -> std::slice::Iter<'_, Anchor> {
        self.bundle.anchors.iter()
    }

    /// Anchors of this name whose key identifier fits so.
    pub(crate) fn issuers<'a>(
        &'a self,
        name: &[u8],
        key_id: Option<&'a [u8]>,
        fit: Fit,
    ) -> impl Iterator<Item = &'a Anchor> + use<'a> {
        let namesakes = self.bundle.by_subject.get(name);
        let indices = namesakes.map(|namesakes| namesakes.fitting(key_id, fit));
        indices
            .into_iter()
            .flatten()
            .filter_map(|index| self.bundle.anchors.get(index))
    }
}

impl Namesakes {
    fn add(&mut self, authority: &Authority, index: usize) {
        match authority.key_id.clone() {
            Some(key_id) => self.with_key_id.entry(key_id).or_default().push(index),
            None => self.without_key_id.push(index),
        }
    }

    fn fitting<'a>(
        &'a self,
        key_id: Option<&'a [u8]>,
        fit: Fit,
    ) -> impl Iterator<Item = usize> + use<'a> {
        let (exact, without, others) = match (fit, key_id) {
            (Fit::Exact, Some(key_id)) => (self.with_key_id.get(key_id), None, None),
            (Fit::Unknown, Some(_)) => (None, Some(&self.without_key_id), None),
            (Fit::Unknown, None) => (None, Some(&self.without_key_id), Some(&self.with_key_id)),
            (Fit::Contradiction, Some(_)) => (None, None, Some(&self.with_key_id)),
            (Fit::Exact | Fit::Contradiction, None) => (None, None, None),
        };
        let others = others.into_iter().flatten();
        let others = others
            .filter(move |(other, _)| Some(&***other) != key_id)
            .flat_map(|(_, is)| is);
        exact
            .into_iter()
            .chain(without)
            .flatten()
            .chain(others)
            .copied()
    }
}

/// Two sets are equal if their bytes are: an identical update changes nothing.
impl PartialEq for AnchorSet {
    fn eq(&self, other: &Self) -> bool {
        self.bundle.der == other.bundle.der
    }
}

impl Eq for AnchorSet {}

impl<'a> IntoIterator for &'a AnchorSet {
    type Item = &'a Anchor;
    type IntoIter = std::slice::Iter<'a, Anchor>;

    fn into_iter(self) -> Self::IntoIter {
        self.iter()
    }
}

/// Counts, no certificates.
impl fmt::Debug for AnchorSet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AnchorSet")
            .field("anchors", &self.len())
            .finish_non_exhaustive()
    }
}

/// One authority of a bundle.
pub struct Anchor {
    authority: Authority,
    /// As webpki takes it: name, key and name constraints.
    trust: Option<TrustAnchor<'static>>,
}

impl Anchor {
    fn read(der: &[u8]) -> Result<Self, CertificateError> {
        let certificate = Certificate::parse(der)?;
        let authority = Authority::read(&certificate);
        let der = CertificateDer::from(der);
        let trust = webpki::anchor_from_trusted_cert(&der)
            .ok()
            .map(|trust| trust.to_owned());
        Ok(Self { authority, trust })
    }

    /// The name as text (RFC 4514), bounded, control characters escaped. Only for people.
    #[must_use]
    pub fn subject(&self) -> String {
        name_text(&self.authority.subject)
    }

    /// Its subject key identifier, if it has one.
    #[must_use]
    pub fn key_id(&self) -> Option<&[u8]> {
        self.authority.key_id.as_deref()
    }

    /// The first second at which it may be used.
    #[must_use]
    pub const fn not_before(&self) -> UnixSeconds {
        self.authority.window.not_before
    }

    /// The last second at which it may be used.
    #[must_use]
    pub const fn not_after(&self) -> UnixSeconds {
        self.authority.window.not_after
    }

    /// Whether SVIDs may be verified with it now.
    ///
    /// # Errors
    /// The rule that forbids it: [`Refusal::Untrusted`] for good, [`Refusal::Expired`] or
    /// [`Refusal::NotYetValid`] now.
    pub fn usable_at(&self, now: UnixSeconds) -> Result<(), Refusal> {
        self.trust()?;
        self.authority.window.judge(now, Place::Anchor)
    }

    pub(crate) const fn authority(&self) -> &Authority {
        &self.authority
    }

    /// The form for webpki, only if every rule about an anchor holds.
    pub(crate) fn trust(&self) -> Result<&TrustAnchor<'static>, PathRule> {
        let place = Place::Anchor;
        self.authority
            .fitness
            .map_err(|rule| PathRule::Authority { place, rule })?;
        self.trust.as_ref().ok_or(PathRule::Authority {
            place,
            rule: AuthorityRule::Unreadable,
        })
    }
}

impl fmt::Debug for Anchor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Anchor")
            .field("subject", &self.subject())
            .finish_non_exhaustive()
    }
}
