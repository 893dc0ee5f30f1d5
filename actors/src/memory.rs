//! What is remembered: verified identities with their limits, and, briefly, failures.
//!
//! A hit gives an authenticated identity, so a key that collides would be a way in: the key is
//! every byte and setting the evidence came from, compared whole. The hash only finds the bucket.

use std::sync::Arc;

use proto::cert_header::Raw;
use quick_cache::sync::Cache;
use quick_cache::{Equivalent, Weighter};
use verdict::evidence::{Evidence, Remembered, RememberedFailure};
use verdict::policy::{CertFormat, Failure, XfccElement};
use verdict::time::Now;
use verdict::trust::{Basis, World};

/// How a header is decoded: part of the key, since other settings read other certificates.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Reading {
    /// `tls.client-cert-format`.
    pub format: CertFormat,
    /// `tls.xfcc-element`.
    pub element: XfccElement,
}

/// A credential as it came, with how it is read.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Key {
    reading: Reading,
    value: Box<str>,
    chain: Option<Box<str>>,
}

/// The same, borrowed from the request.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct KeyRef<'a> {
    reading: Reading,
    value: &'a str,
    chain: Option<&'a str>,
}

impl<'a> KeyRef<'a> {
    /// The key of a credential.
    #[must_use]
    pub fn new(reading: Reading, raw: &'a Raw<'_>) -> Self {
        Self {
            reading,
            value: raw.value(),
            chain: raw.chain(),
        }
    }

    /// The key, to be kept.
    #[must_use]
    pub fn to_key(self) -> Key {
        Key {
            reading: self.reading,
            value: self.value.into(),
            chain: self.chain.map(Into::into),
        }
    }
}

impl Equivalent<Key> for KeyRef<'_> {
    fn equivalent(&self, key: &Key) -> bool {
        self.reading == key.reading
            && *self.value == *key.value
            && self.chain == key.chain.as_deref()
    }
}

/// Bytes an entry costs beside its key: the leaf, the identity, the table.
const ENTRY_OVERHEAD_BYTES: u64 = 4_096;

#[derive(Clone)]
struct ByBytes;

impl<V> Weighter<Key, V> for ByBytes {
    fn weight(&self, key: &Key, _: &V) -> u64 {
        let chain = key.chain.as_ref().map_or(0, |chain| chain.len());
        ENTRY_OVERHEAD_BYTES + key.value.len() as u64 + chain as u64
    }
}

/// How much is remembered.
#[derive(Clone, Copy, Debug)]
pub struct Bounds {
    /// Verified identities, in bytes.
    pub identities_bytes: u64,
    /// Failures of a usual credential's size; garbage evicts nothing but garbage.
    pub failures: u64,
    /// How long a failure is remembered, milliseconds.
    pub failure_ms: u64,
}

/// A usual credential, percent-encoded with one intermediate, in bytes.
const USUAL_KEY_BYTES: u64 = 2_048;

/// The two memories.
pub struct Memory {
    identities: Cache<Key, Arc<Remembered>, ByBytes>,
    failures: Cache<Key, Arc<RememberedFailure>, ByBytes>,
    failure_ms: u64,
}

/// Entries expected; the table grows beyond as needed.
const EXPECTED_ENTRIES: usize = 1_024;

impl Memory {
    /// An empty memory.
    #[must_use]
    pub fn new(bounds: Bounds) -> Self {
        Self {
            identities: Cache::with_weighter(EXPECTED_ENTRIES, bounds.identities_bytes, ByBytes),
            failures: Cache::with_weighter(
                EXPECTED_ENTRIES / 4,
                bounds
                    .failures
                    .saturating_mul(ENTRY_OVERHEAD_BYTES + USUAL_KEY_BYTES),
                ByBytes,
            ),
            failure_ms: bounds.failure_ms,
        }
    }

    /// The evidence the memory gives now, if any.
    #[must_use]
    pub fn recall(
        &self,
        key: KeyRef<'_>,
        world: &World,
        basis: &Basis,
        failure: &Failure,
        now: Now,
    ) -> Option<Evidence> {
        let verified = self.identities.get(&key);
        let recalled = verified.and_then(|known| known.recall(world, basis, failure, now));
        if recalled.is_some() {
            return recalled;
        }
        self.failures.get(&key)?.recall(world, basis, failure, now)
    }

    /// Keeps what is worth keeping of this evidence.
    pub fn keep(&self, key: KeyRef<'_>, evidence: &Evidence, now: Now) {
        if let Some(remembered) = evidence.remembered() {
            self.identities.insert(key.to_key(), Arc::new(remembered));
        } else if let Some(failure) = evidence.remembered_failure(now, self.failure_ms) {
            self.failures.insert(key.to_key(), Arc::new(failure));
        }
    }

    /// How many verified identities are remembered.
    #[must_use]
    pub fn identities(&self) -> usize {
        self.identities.len()
    }
}
