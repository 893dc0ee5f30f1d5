//! Bundles by trust domain, and the world a request is judged in.
//!
//! A full update is the whole truth: what it omits is dropped. A domain whose bundle cannot be read
//! keeps its last one, and that one's contact, and holds back no other.

mod coverage;
mod foreign;

use std::collections::HashMap;
use std::sync::Arc;

pub use self::coverage::Coverage;
pub use self::foreign::{Foreign, Undelivered};
use crate::anchors::{AnchorError, AnchorSet};
use crate::availability::{self, Phase, Stance, State, Timing};
use crate::id::{IdError, SpiffeId, TrustDomain};
use crate::limits::TRUST_DOMAINS_MAX;
use crate::policy::Failure;
use crate::time::{Age, Contact, Now};

/// Counts the different bundles a domain has had in this process.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Generation(u64);

impl Generation {
    /// The number, for logs and audit.
    #[must_use]
    pub const fn get(self) -> u64 {
        self.0
    }
}

/// One trust domain's bundle.
#[derive(Clone, Debug)]
pub struct Bundle {
    anchors: Arc<AnchorSet>,
    generation: Generation,
    contact: Contact,
    standing: Standing,
}

/// Whether the latest full update confirmed a bundle.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Standing {
    /// It did.
    Confirmed,
    /// It held one for this domain that cannot be read: the one before stays, for `cache-ttl`.
    Kept,
}

impl Bundle {
    /// The authorities.
    #[must_use]
    pub fn anchors(&self) -> &AnchorSet {
        &self.anchors
    }

    /// Changes whenever the authorities do.
    #[must_use]
    pub const fn generation(&self) -> Generation {
        self.generation
    }

    /// When these authorities were last confirmed.
    #[must_use]
    pub const fn contact(&self) -> Contact {
        self.contact
    }

    /// Whether the latest full update confirmed them.
    #[must_use]
    pub const fn standing(&self) -> Standing {
        self.standing
    }
}

/// All bundles of one source, immutable.
#[derive(Clone, Debug, Default)]
pub struct Snapshot {
    bundles: HashMap<TrustDomain, Bundle>,
    contact: Option<Contact>,
    last_generation: u64,
}

/// A bundle as it was stored.
#[derive(Clone, Copy, Debug)]
pub struct Stored<'a> {
    /// The trust domain ID.
    pub key: &'a str,
    /// Concatenated DER certificates.
    pub der: &'a [u8],
    /// When it was last confirmed.
    pub contact: Contact,
    /// Whether the latest full update confirmed it.
    pub standing: Standing,
}

/// Why an update was discarded whole.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum UpdateError {
    /// Workload API, section 5.2: a mandatory field is empty.
    #[error("the update holds no bundle at all; a mandatory field is empty (Workload API, 4.5)")]
    Empty,
    /// The bound of [`TRUST_DOMAINS_MAX`].
    #[error("the update holds {0} trust domains; at most {TRUST_DOMAINS_MAX} are taken")]
    TooManyDomains(usize),
    /// Not one bundle can be read.
    #[error("no bundle of the update can be read; the first: {0}")]
    NoneReadable(Unreadable),
}

/// A bundle that could not be read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("bundle of {domain}: {error}")]
pub struct Unreadable {
    /// The key of the bundle, shortened and escaped.
    pub domain: String,
    /// What is wrong with it.
    #[source]
    pub error: BundleError,
}

/// What is wrong with one bundle of an update.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BundleError {
    /// The key is no SPIFFE ID.
    #[error("the key is no trust domain ID: {0}")]
    Key(#[source] IdError),
    /// The key has a path.
    #[error("the key is a SPIFFE ID with a path, not that of a trust domain (Workload API, 5.1)")]
    KeyWithPath,
    /// The value is no sequence of certificates.
    #[error("{0}")]
    Anchors(#[source] AnchorError),
}

/// What an update changed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct UpdateReport {
    /// Domains that are new.
    pub added: Vec<TrustDomain>,
    /// Domains whose authorities changed.
    pub changed: Vec<TrustDomain>,
    /// Domains that are gone.
    pub removed: Vec<TrustDomain>,
    /// Domains whose bundle cannot be read.
    pub unreadable: Vec<Unreadable>,
}

impl Snapshot {
    /// The snapshot after a message from the source; `bundles` are its keys and values.
    ///
    /// # Errors
    /// When the update is discarded whole: then the last good one stays, and contact is not renewed.
    pub fn updated<'a>(
        &self,
        bundles: impl ExactSizeIterator<Item = (&'a str, &'a [u8])>,
        now: Now,
    ) -> Result<(Self, UpdateReport), UpdateError> {
        match bundles.len() {
            0 => return Err(UpdateError::Empty),
            n if n > TRUST_DOMAINS_MAX => return Err(UpdateError::TooManyDomains(n)),
            _ => {}
        }
        let contact = Contact::at(now);
        let mut next = Self {
            bundles: HashMap::with_capacity(bundles.len()),
            contact: Some(contact),
            last_generation: self.last_generation,
        };
        let mut report = UpdateReport::default();
        let mut readable = 0_usize;
        for (key, der) in bundles {
            match read(key, der) {
                Ok((domain, anchors)) => {
                    readable += 1;
                    next.take(domain, anchors, contact, self, &mut report);
                }
                Err((known, unreadable)) => {
                    next.keep(known, self);
                    report.unreadable.push(unreadable);
                }
            }
        }
        if readable == 0 {
            let first = report.unreadable.into_iter().next();
            return Err(first.map_or(UpdateError::Empty, UpdateError::NoneReadable));
        }
        report.removed = self
            .bundles
            .keys()
            .filter(|domain| !next.bundles.contains_key(*domain))
            .cloned()
            .collect();
        Ok((next, report))
    }

    fn take(
        &mut self,
        domain: TrustDomain,
        anchors: AnchorSet,
        contact: Contact,
        before: &Self,
        report: &mut UpdateReport,
    ) {
        let last = before.bundles.get(&domain);
        let bundle = match last.filter(|last| last.anchors.as_der() == anchors.as_der()) {
            Some(same) => Bundle {
                contact,
                standing: Standing::Confirmed,
                ..same.clone()
            },
            None => {
                let list = if last.is_some() {
                    &mut report.changed
                } else {
                    &mut report.added
                };
                list.push(domain.clone());
                self.new_bundle(anchors, contact, Standing::Confirmed)
            }
        };
        self.bundles.insert(domain, bundle);
    }

    fn new_bundle(&mut self, anchors: AnchorSet, contact: Contact, standing: Standing) -> Bundle {
        self.last_generation = self.last_generation.saturating_add(1);
        Bundle {
            anchors: Arc::new(anchors),
            generation: Generation(self.last_generation),
            contact,
            standing,
        }
    }

    fn keep(&mut self, known: Option<TrustDomain>, before: &Self) {
        if let Some((domain, last)) = known.and_then(|domain| before.bundles.get_key_value(&domain))
        {
            let kept = Bundle {
                standing: Standing::Kept,
                ..last.clone()
            };
            self.bundles.insert(domain.clone(), kept);
        }
    }

    /// The snapshot that was stored: each domain with its own contact. A domain that cannot be read
    /// any more is left out; what is left out is returned.
    #[must_use]
    pub fn restored<'a>(
        bundles: impl Iterator<Item = Stored<'a>>,
        contact: Contact,
    ) -> (Self, Vec<Unreadable>) {
        let mut snapshot = Self {
            contact: Some(contact),
            ..Self::default()
        };
        let mut left_out = Vec::new();
        for stored in bundles.take(TRUST_DOMAINS_MAX) {
            match read(stored.key, stored.der) {
                Ok((domain, anchors)) => {
                    let bundle = snapshot.new_bundle(anchors, stored.contact, stored.standing);
                    snapshot.bundles.insert(domain, bundle);
                }
                Err((_, unreadable)) => left_out.push(unreadable),
            }
        }
        if snapshot.is_empty() {
            // Nothing that can be read is no material: `cache` must refuse, not judge by nothing.
            snapshot.contact = None;
        }
        (snapshot, left_out)
    }

    /// Nothing left, after a withdrawal. Generations go on: what was remembered stays forgotten.
    #[must_use]
    pub fn withdrawn(&self) -> Self {
        Self {
            bundles: HashMap::new(),
            contact: None,
            last_generation: self.last_generation,
        }
    }

    /// When the last full update was received; `None` without material.
    #[must_use]
    pub const fn contact(&self) -> Option<Contact> {
        self.contact
    }

    /// The bundle a credential of this domain is judged by.
    ///
    /// A bundle that a later update could not replace is none once it is older than `cache_ttl_ms`,
    /// in every state.
    #[must_use]
    pub fn bundle(&self, domain: &TrustDomain, cache_ttl_ms: u64, now: Now) -> Option<&Bundle> {
        let bundle = self.bundles.get(domain)?;
        let counts = match bundle.standing {
            Standing::Confirmed => true,
            Standing::Kept => bundle.contact.age(now).within(cache_ttl_ms),
        };
        counts.then_some(bundle)
    }

    /// Every domain with its bundle.
    pub fn iter(&self) -> impl Iterator<Item = (&TrustDomain, &Bundle)> {
        self.bundles.iter()
    }

    /// How many trust domains there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.bundles.len()
    }

    /// Whether there is no material.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.bundles.is_empty()
    }
}

/// Longest key quoted in a report, characters.
const KEY_SHOWN_MAX_CHARS: usize = 80;

fn read(
    key: &str,
    der: &[u8],
) -> Result<(TrustDomain, AnchorSet), (Option<TrustDomain>, Unreadable)> {
    let unreadable = |known, error| {
        let domain = key
            .chars()
            .take(KEY_SHOWN_MAX_CHARS)
            .flat_map(char::escape_default)
            .collect();
        (known, Unreadable { domain, error })
    };
    let id = SpiffeId::parse(key.as_bytes())
        .map_err(|error| unreadable(None, BundleError::Key(error)))?;
    if !id.path().is_empty() {
        return Err(unreadable(None, BundleError::KeyWithPath));
    }
    let domain = id.trust_domain().clone();
    match AnchorSet::from_der(der) {
        Ok(anchors) => Ok((domain, anchors)),
        Err(error) => Err(unreadable(Some(domain), BundleError::Anchors(error))),
    }
}

/// Everything a request is judged by besides its policy: published whole, replaced whole.
#[derive(Clone, Debug)]
pub struct World {
    serial: u64,
    state: State,
    timing: Timing,
    snapshot: Arc<Snapshot>,
}

/// What may be concluded, and the world it was concluded from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Basis {
    /// The conclusion.
    pub stance: Stance,
    /// The state it was drawn from.
    pub phase: Phase,
    /// Age of the material, if there is any.
    pub age: Option<Age>,
    serial: u64,
}

impl Basis {
    pub(crate) const fn serial(&self) -> u64 {
        self.serial
    }
}

impl World {
    /// The world at the start of the process.
    #[must_use]
    pub fn new(state: State, timing: Timing, snapshot: Snapshot) -> Self {
        Self {
            serial: 1,
            state,
            timing,
            snapshot: Arc::new(snapshot),
        }
    }

    /// The world after a step: a new one, never the old one changed.
    #[must_use]
    pub fn next(&self, state: State, timing: Timing, snapshot: Arc<Snapshot>) -> Self {
        Self {
            serial: self.serial.wrapping_add(1),
            state,
            timing,
            snapshot,
        }
    }

    /// The state as last stepped; time may have passed since (see [`State::settled`]).
    #[must_use]
    pub const fn state(&self) -> State {
        self.state
    }

    /// The deadlines in force.
    #[must_use]
    pub const fn timing(&self) -> Timing {
        self.timing
    }

    /// The material.
    #[must_use]
    pub const fn snapshot(&self) -> &Arc<Snapshot> {
        &self.snapshot
    }

    pub(crate) const fn serial(&self) -> u64 {
        self.serial
    }

    /// What may be concluded at this moment under this policy.
    #[must_use]
    pub fn basis(&self, failure: &Failure, now: Now) -> Basis {
        let contact = self.snapshot.contact();
        Basis {
            stance: availability::stance(self.state, self.timing, contact, failure, now),
            phase: self.state.settled(self.timing, now).phase(),
            age: contact.map(|contact| contact.age(now)),
            serial: self.serial,
        }
    }
}
