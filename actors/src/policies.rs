//! Policies in force: compiled once, shared by the connections that say the same.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

use proto::cert_header::{
    Bounds, CertHeader, Format, Grammar, NameError, XfccElement as WireElement,
};
use verdict::lists::{EntryError, ListName};
use verdict::policy::{CertFormat, Policy, PolicySpec, XfccElement};

use crate::memory::Reading;
use crate::unhurried::{HEAVY_BYTES, unhurried};

/// A policy, and the reader of its credential header.
pub struct InForce {
    /// The policy.
    pub policy: Policy,
    /// The reader.
    pub header: Arc<CertHeader>,
    /// The settings that the memory's key depends on.
    pub reading: Reading,
}

/// Why a policy cannot be put in force.
#[derive(Debug, thiserror::Error)]
pub enum PolicyError {
    /// Entries of the lists are refused.
    #[error("{}", entries(.0))]
    Lists(Vec<(ListName, EntryError)>),
    /// The credential header's name is refused.
    #[error("tls.client-cert-header: {0}")]
    Header(#[from] NameError),
    /// The bound `limits.policies`.
    #[error("{0} different policies are in force, as many as limits.policies permits")]
    TooMany(usize),
}

fn entries(errors: &[(ListName, EntryError)]) -> String {
    let texts = errors
        .iter()
        .map(|(list, error)| format!("{}.{error}", list.as_str()));
    texts.collect::<Vec<_>>().join("; ")
}

/// The policies in force.
pub struct Policies {
    known: Mutex<Vec<Weak<InForce>>>,
    compiling: Mutex<()>,
    max: usize,
    credential: Bounds,
}

impl Policies {
    /// None yet, and at most `max` different ones at once; `credential` bounds what each reads.
    #[must_use]
    pub const fn new(max: usize, credential: Bounds) -> Self {
        Self {
            known: Mutex::new(Vec::new()),
            compiling: Mutex::new(()),
            max,
            credential,
        }
    }

    /// The policy of this specification: the one in force if there is one, else a new one.
    ///
    /// # Errors
    /// It does not compile, or too many are in force.
    pub fn share(&self, spec: PolicySpec) -> Result<Arc<InForce>, PolicyError> {
        if let Some(policy) = self.known(&spec)? {
            return Ok(policy);
        }
        // Compiling takes milliseconds, hundreds for what a hostile proxy pushes: one at a time, and
        // neither the list of policies nor another connection's thread waits for it.
        unhurried(HEAVY_BYTES, || {
            let _one = self
                .compiling
                .lock()
                .unwrap_or_else(PoisonError::into_inner);
            if let Some(policy) = self.known(&spec)? {
                return Ok(policy);
            }
            let policy = Arc::new(InForce::compile(spec, self.credential)?);
            self.list().push(Arc::downgrade(&policy));
            Ok(policy)
        })
    }

    /// The policy of this specification, if it is in force, or whether there is a place for it.
    fn known(&self, spec: &PolicySpec) -> Result<Option<Arc<InForce>>, PolicyError> {
        let mut known = self.list();
        known.retain(|policy| policy.strong_count() > 0);
        let mut policies = known.iter().filter_map(Weak::upgrade);
        match policies.find(|policy| policy.policy.spec() == spec) {
            Some(policy) => Ok(Some(policy)),
            None if known.len() >= self.max => Err(PolicyError::TooMany(self.max)),
            None => Ok(None),
        }
    }

    fn list(&self) -> MutexGuard<'_, Vec<Weak<InForce>>> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// How many different policies are in force.
    #[must_use]
    pub fn len(&self) -> usize {
        let known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        known
            .iter()
            .filter(|policy| policy.strong_count() > 0)
            .count()
    }

    /// Whether no policy is in force.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

impl InForce {
    fn compile(spec: PolicySpec, bounds: Bounds) -> Result<Self, PolicyError> {
        let reading = Reading {
            format: spec.tls.client_cert_format,
            element: spec.tls.xfcc_element,
        };
        let name = spec.tls.client_cert_header.as_str();
        let header = CertHeader::new(name, format(reading.format), element(reading.element))?
            .bounded(bounds);
        Ok(Self {
            policy: Policy::compile(spec).map_err(PolicyError::Lists)?,
            header: Arc::new(header),
            reading,
        })
    }
}

const fn format(format: CertFormat) -> Format {
    match format {
        CertFormat::Auto => Format::Auto,
        CertFormat::Xfcc => Format::Named(Grammar::Xfcc),
        CertFormat::PemUrlencoded => Format::Named(Grammar::PemUrlencoded),
        CertFormat::PemSpaces => Format::Named(Grammar::PemSpaces),
        CertFormat::DerBase64 => Format::Named(Grammar::DerBase64),
        CertFormat::DerBase64Concatenated => Format::Named(Grammar::DerBase64Concatenated),
        CertFormat::DerBase64List => Format::Named(Grammar::DerBase64List),
        CertFormat::Rfc9440 => Format::Named(Grammar::Rfc9440),
    }
}

const fn element(element: XfccElement) -> WireElement {
    match element {
        XfccElement::Last => WireElement::Last,
        XfccElement::Only => WireElement::Only,
    }
}
