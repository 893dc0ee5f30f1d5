//! Policies in force: shared by the connections that say the same.
//!
//! A pushed policy takes a place, one of `limits.policies`; equal ones share theirs, and the file's
//! needs none. Places are held by peers, as the kernel or TLS knows them, however many connections
//! they open: whoever holds as many as are free gets no more, so what is left is for the others.

use std::collections::HashSet;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

use proto::cert_header::{
    Bounds, CertHeader, Format, Grammar, NameError, XfccElement as WireElement,
};
use verdict::policy::{CertFormat, Policy, PolicySpec, XfccElement};

use crate::doors::peer::Peer;
use crate::fingerprint::fingerprint;
use crate::memory::Reading;

/// A policy, and the reader of its credential header. One for each peer that holds it: as long as
/// a connection or a request of that peer uses it, it is held.
pub struct InForce {
    /// The policy, shared by all who hold it.
    pub policy: Arc<Policy>,
    /// The reader.
    pub header: Arc<CertHeader>,
    /// The settings that the memory's key depends on.
    pub reading: Reading,
    /// Which policy it is, for records.
    pub fingerprint: Arc<str>,
}

/// Why a policy cannot be put in force.
#[derive(Debug, thiserror::Error)]
pub enum PolicyError {
    /// The credential header's name is refused.
    #[error("tls.client-cert-header: {0}")]
    Header(#[from] NameError),
    /// The bound `limits.policies`.
    #[error("{0} different policies are in force, as many as limits.policies permits")]
    TooMany(usize),
    /// The peer's share of it.
    #[error(
        "this proxy holds {held} of limits.policies already, and the {free} that are left are for others"
    )]
    Share {
        /// What the peer holds.
        held: usize,
        /// What nobody holds.
        free: usize,
    },
}

/// The policies in force.
pub struct Policies {
    known: Mutex<Vec<Known>>,
    max: usize,
    credential: Bounds,
}

/// A policy that somebody holds, or held.
struct Known {
    holder: Holder,
    policy: Weak<InForce>,
}

/// Who holds a policy.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Holder {
    /// The operator: it is the file's.
    File,
    /// This peer.
    Peer(Peer),
}

/// What a holder gets.
enum Found {
    /// It holds that very policy.
    Held(Arc<InForce>),
    /// Another does, so that it takes no place.
    Elsewhere(Arc<InForce>),
    /// Nobody does, and there is a place.
    Nowhere,
}

impl Policies {
    /// None yet, and at most `max` different pushed ones at once; `credential` bounds what each reads.
    #[must_use]
    pub const fn new(max: usize, credential: Bounds) -> Self {
        Self {
            known: Mutex::new(Vec::new()),
            max,
            credential,
        }
    }

    /// The file's policy: it takes no place.
    ///
    /// # Errors
    /// The credential header's name is refused.
    pub fn own(&self, spec: PolicySpec) -> Result<Arc<InForce>, PolicyError> {
        self.hold(spec, &Holder::File)
    }

    /// The policy that this peer pushed: the one in force if there is one, else a new one.
    ///
    /// # Errors
    /// The credential header's name is refused, too many are in force, or the peer holds its share.
    pub fn share(&self, spec: PolicySpec, peer: &Peer) -> Result<Arc<InForce>, PolicyError> {
        self.hold(spec, &Holder::Peer(peer.clone()))
    }

    fn hold(&self, spec: PolicySpec, holder: &Holder) -> Result<Arc<InForce>, PolicyError> {
        // Its fingerprint is made before, needed or not: nobody waits for it with the list.
        let new = InForce::new(spec, self.credential)?;
        let mut known = self.list();
        known.retain(|known| known.policy.strong_count() > 0);
        let policy = match find(&known, new.policy.spec(), holder, self.max)? {
            Found::Held(policy) => return Ok(policy),
            Found::Elsewhere(policy) => Arc::new(policy.again()),
            Found::Nowhere => Arc::new(new),
        };
        known.push(Known::of(holder, &policy));
        Ok(policy)
    }

    fn list(&self) -> MutexGuard<'_, Vec<Known>> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The different policies in force, the oldest first, each with whether it is the file's.
    #[must_use]
    pub fn in_force(&self) -> Vec<(Arc<InForce>, bool)> {
        let mut seen = HashSet::new();
        let known = self.list();
        let held = known
            .iter()
            .filter_map(|known| Some((known.policy.upgrade()?, known.holder == Holder::File)));
        held.filter(|(policy, _)| seen.insert(address(policy)))
            .collect()
    }

    /// How many different policies are in force, the file's among them.
    #[must_use]
    pub fn len(&self) -> usize {
        let known = self.list();
        let held = known.iter().filter_map(|known| known.policy.upgrade());
        held.map(|policy| address(&policy))
            .collect::<HashSet<_>>()
            .len()
    }

    /// Whether no policy is in force.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

/// What this holder gets for this specification.
fn find(
    known: &[Known],
    spec: &PolicySpec,
    holder: &Holder,
    max: usize,
) -> Result<Found, PolicyError> {
    let held: Vec<(&Holder, Arc<InForce>)> = known
        .iter()
        .filter_map(|known| Some((&known.holder, known.policy.upgrade()?)))
        .collect();
    let mut equal = held
        .iter()
        .filter(|(_, policy)| policy.policy.spec() == spec)
        .collect::<Vec<_>>();
    equal.sort_by_key(|(by, _)| *by != holder);
    if let Some((by, policy)) = equal.first() {
        let policy = Arc::clone(policy);
        return Ok(match *by == holder {
            true => Found::Held(policy),
            false => Found::Elsewhere(policy),
        });
    }
    if *holder == Holder::File {
        return Ok(Found::Nowhere);
    }
    let distinct = |wanted: &dyn Fn(&Holder) -> bool| -> HashSet<usize> {
        let held = held.iter().filter(|(by, _)| wanted(by));
        held.map(|(_, policy)| address(policy)).collect()
    };
    let free_of_charge = distinct(&|by| *by == Holder::File);
    let taken = distinct(&|_| true).difference(&free_of_charge).count();
    let own = distinct(&|by| by == holder);
    let own = own.difference(&free_of_charge).count();
    judge_share(own, taken, max).map(|()| Found::Nowhere)
}

/// Whether a peer may take one more place: it must leave as many as it holds. So the last is never
/// taken by one who has any, and whoever comes with none finds one while there is one.
const fn judge_share(held: usize, taken: usize, max: usize) -> Result<(), PolicyError> {
    match max.saturating_sub(taken) {
        0 => Err(PolicyError::TooMany(max)),
        free if held >= free => Err(PolicyError::Share { held, free }),
        _ => Ok(()),
    }
}

/// What tells policies apart.
fn address(policy: &InForce) -> usize {
    Arc::as_ptr(&policy.policy).addr()
}

impl Known {
    fn of(holder: &Holder, policy: &Arc<InForce>) -> Self {
        Self {
            holder: holder.clone(),
            policy: Arc::downgrade(policy),
        }
    }
}

impl InForce {
    /// The same policy for another holder.
    fn again(&self) -> Self {
        Self {
            policy: Arc::clone(&self.policy),
            header: Arc::clone(&self.header),
            reading: self.reading,
            fingerprint: Arc::clone(&self.fingerprint),
        }
    }

    fn new(spec: PolicySpec, bounds: Bounds) -> Result<Self, PolicyError> {
        let reading = Reading {
            format: spec.tls.client_cert_format,
            element: spec.tls.xfcc_element,
        };
        let name = spec.tls.client_cert_header.as_str();
        let header = CertHeader::new(name, format(reading.format), element(reading.element))?
            .bounded(bounds);
        let fingerprint = fingerprint(&spec).into();
        Ok(Self {
            fingerprint,
            policy: Arc::new(Policy::new(spec)),
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

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test may panic")]
    use config::{Outcome, Overrides, Settings};
    use proptest::prelude::*;

    use super::*;

    /// A specification for each number.
    fn spec(number: usize) -> PolicySpec {
        let settings = Settings::resolve(None, &Overrides::default()).unwrap();
        let push = format!(r#"{{"allowlist":{{"exact":"spiffe://example.org/n-{number}"}}}}"#);
        match settings.take_push(push.as_bytes()).unwrap() {
            Outcome::Applied(applied) => applied.policy,
            other => unreachable!("{other:?}"),
        }
    }

    fn policies(max: usize) -> Policies {
        Policies::new(max, Bounds::default())
    }

    /// Pushes different policies until one is refused; they are held until dropped.
    fn take_all(policies: &Policies, peer: u32, from: usize) -> Vec<Arc<InForce>> {
        let pushes = (from..).map(|number| policies.share(spec(number), &Peer::User(peer)));
        pushes.map_while(Result::ok).collect()
    }

    #[test]
    fn one_peer_leaves_places_for_the_others() {
        let policies = policies(8);
        let greedy = take_all(&policies, 1, 0);
        assert_eq!(greedy.len(), 4);
        let refused = policies.share(spec(100), &Peer::User(1)).err().unwrap();
        assert!(
            matches!(refused, PolicyError::Share { held: 4, free: 4 }),
            "{refused}"
        );
        let neighbour = policies.share(spec(100), &Peer::User(2)).unwrap();
        // What another holds is shared, whatever the share.
        let joined = policies.share(spec(100), &Peer::User(1)).unwrap();
        assert!(Arc::ptr_eq(&joined.policy, &neighbour.policy));
        assert_eq!(policies.len(), 5);
        drop((greedy, joined));
        assert_eq!(policies.len(), 1);
        assert_eq!(take_all(&policies, 1, 0).len(), 4);
    }

    /// Many connections of one peer with one policy hold one place, until the last lets go.
    #[test]
    fn equal_policies_of_one_peer_are_one() {
        let policies = policies(4);
        let one = policies.share(spec(1), &Peer::User(1)).unwrap();
        let two = policies.share(spec(1), &Peer::User(1)).unwrap();
        assert!(Arc::ptr_eq(&one, &two));
        let other = policies.share(spec(2), &Peer::User(1)).unwrap();
        assert!(policies.share(spec(3), &Peer::User(1)).is_err());
        drop((one, other));
        assert!(policies.share(spec(3), &Peer::User(1)).is_ok());
        drop(two);
    }

    #[test]
    fn the_files_policy_needs_no_place() {
        let policies = policies(1);
        let file = policies.own(spec(0)).unwrap();
        let same = policies.share(spec(0), &Peer::User(1)).unwrap();
        assert!(Arc::ptr_eq(&file.policy, &same.policy));
        let other = policies.share(spec(1), &Peer::User(1)).unwrap();
        assert!(policies.share(spec(2), &Peer::User(2)).is_err());
        assert_eq!(policies.len(), 2);
        drop(other);
    }

    proptest! {
        /// Whatever peers push and let go of: never more places than there are, a peer with none is
        /// refused only when none is left, and no peer takes the last while it holds another.
        #[test]
        fn shares_are_fair(
            max in 1..12_usize,
            steps in prop::collection::vec((0..4_u32, 0..20_usize, any::<bool>()), 0..120),
        ) {
            let policies = policies(max);
            let specs: Vec<PolicySpec> = (0..20).map(spec).collect();
            let mut held: Vec<(u32, usize, Arc<InForce>)> = Vec::new();
            for (peer, number, lets_go) in steps {
                if lets_go {
                    held.retain(|(by, of, _)| (*by, *of) != (peer, number));
                    continue;
                }
                let taken: HashSet<usize> = held.iter().map(|(_, of, _)| *of).collect();
                let own: HashSet<usize> =
                    held.iter().filter(|(by, ..)| *by == peer).map(|(_, of, _)| *of).collect();
                let spec = specs.get(number).unwrap().clone();
                let pushed = policies.share(spec, &Peer::User(peer));
                let free = max - taken.len();
                prop_assert_eq!(pushed.is_ok(), taken.contains(&number) || own.len() < free);
                held.extend(pushed.ok().map(|policy| (peer, number, policy)));
                prop_assert!(policies.len() <= max);
            }
        }
    }
}
