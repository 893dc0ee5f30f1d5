//! The trust source and its bundles.

use verdict::anchors::{Anchor, Barren};
use verdict::availability::{Blame, Phase};
use verdict::id::TrustDomain;
use verdict::reason::Reason;
use verdict::time::{Age, Now};
use verdict::trust::{Bundle, Foreign, Snapshot, Standing, Undelivered};

use super::observed::since;
use super::{
    Authority, BarrenView, Change, Domain, FaultView, ForeignView, MissingView, RefusedView,
    TrustView, UnreadableView,
};
use crate::audit::rfc3339;
use crate::bundles::obstacle::Obstacle;
use crate::trust::{self, Fault, TrustStore, Why};

/// Trust domains shown: who federates with more reads `inspect`.
const DOMAINS_SHOWN: usize = 64;

/// Trust domains without a usable authority shown.
const BARREN_SHOWN: usize = 8;

/// Authorities of one domain shown. Rotation keeps two or three.
const AUTHORITIES_SHOWN: usize = 16;

impl TrustView {
    pub(super) fn of(store: &TrustStore, now: Now) -> Self {
        let world = store.load();
        let state = world.state().settled(world.timing(), now);
        let mut bundles: Vec<_> = world.snapshot().iter().collect();
        bundles.sort_by_key(|(domain, _)| domain.to_string());
        let domains_total = bundles.len();
        let mut barren: Vec<_> = world.snapshot().barren(now).collect();
        barren.sort_by_key(|(domain, _)| domain.to_string());
        let barren_total = barren.len();
        barren.truncate(BARREN_SHOWN);
        let faults = store.faults();
        let why = store.why();
        let foreign = store.foreign();
        // Where none is the policy's, `foreign` says so, and names them all.
        let missing = foreign.is_none().then(|| store.undelivered()).flatten();
        let refused = refused(state.phase(), why.as_ref());
        let (error, remedy) = why.map(|why| (why.error, why.remedy)).unzip();
        bundles.truncate(DOMAINS_SHOWN);
        Self {
            state: state.phase().as_str().to_owned(),
            for_ms: since(state.since_ms(), now),
            fault: match (state.phase(), state.blame()) {
                (Phase::Live, _) => "none",
                (_, Blame::Ours) => "ours",
                (_, Blame::Theirs) => "theirs",
            }
            .to_owned(),
            error,
            remedy: remedy.filter(|remedy| !remedy.is_empty()),
            age_ms: world
                .snapshot()
                .contact()
                .and_then(|contact| known(contact.age(now))),
            timeline: store
                .timeline()
                .snapshot()
                .into_iter()
                .map(|change| seen(change, now))
                .collect(),
            domains: bundles
                .into_iter()
                .map(|(domain, bundle)| Domain::of(domain, bundle, now))
                .collect(),
            domains_total,
            barren: barren.into_iter().map(BarrenView::from).collect(),
            barren_total,
            foreign: foreign.map(ForeignView::from),
            missing: missing.map(MissingView::from),
            refused,
            unreadable: faults
                .unreadable
                .iter()
                .map(|(key, fault)| unreadable(key, fault, world.snapshot(), now))
                .collect(),
            unreadable_total: faults.unreadable_total,
            discarded: faults.discarded.map(|fault| FaultView::of(&fault, now)),
        }
    }
}

fn unreadable(key: &str, fault: &Fault, snapshot: &Snapshot, now: Now) -> UnreadableView {
    let mut bundles = snapshot.iter();
    UnreadableView {
        key: key.to_owned(),
        kept: bundles.any(|(domain, _)| domain.id() == key),
        fault: FaultView::of(fault, now),
    }
}

impl FaultView {
    fn of(fault: &Fault, now: Now) -> Self {
        Self {
            error: fault.error.clone(),
            for_ms: since(fault.since.boot_ms, now),
        }
    }
}

impl From<Foreign> for ForeignView {
    fn from(why: Foreign) -> Self {
        Self {
            error: why.to_string(),
            remedy: why.remedy(),
        }
    }
}

/// Of an agent that SPIRE refused before something else got in the way.
fn refused(phase: Phase, why: Option<&Why>) -> Option<RefusedView> {
    let error = why.map_or("", |why| why.error.as_str());
    let is_other = !error.is_empty() && !error.contains(Obstacle::NotRegistered.what());
    (phase == Phase::Withdrawn && is_other).then(|| RefusedView {
        error: "SPIRE refused this agent before that; or its state-dir could not be looked into, as its log says"
            .to_owned(),
        remedy: format!("when SPIRE is back, {}", Obstacle::NotRegistered.remedy()),
    })
}

impl From<Undelivered> for MissingView {
    fn from(why: Undelivered) -> Self {
        let answered = Reason::UnknownTrustDomain.as_str();
        Self {
            trust_domains: why.domains().map(ToString::to_string).collect(),
            total: why.total(),
            error: format!("{why}: who comes from there meets {answered}"),
            remedy: why.remedy(),
        }
    }
}

impl From<(&TrustDomain, Barren)> for BarrenView {
    fn from((domain, why): (&TrustDomain, Barren)) -> Self {
        Self {
            trust_domain: domain.to_string(),
            error: why.to_string(),
            remedy: why.remedy().to_owned(),
        }
    }
}

fn known(age: Age) -> Option<u64> {
    match age {
        Age::Ms(age_ms) => Some(age_ms),
        Age::InTheFuture => None,
    }
}

fn seen(change: trust::Change, now: Now) -> Change {
    Change {
        time: rfc3339(change.at.wall_ms),
        ago_ms: since(change.at.boot_ms, now),
        from: change.from.map(|phase| phase.as_str().to_owned()),
        to: change.to.as_str().to_owned(),
        cause: change.cause.to_owned(),
    }
}

impl Domain {
    fn of(domain: &TrustDomain, bundle: &Bundle, now: Now) -> Self {
        let mut anchors: Vec<&Anchor> = bundle.anchors().iter().collect();
        anchors.sort_by_key(|anchor| anchor.not_after());
        anchors.truncate(AUTHORITIES_SHOWN);
        let standing = match bundle.standing() {
            Standing::Confirmed => "confirmed",
            Standing::Kept => "kept",
        };
        Self {
            trust_domain: domain.to_string(),
            generation: bundle.generation().get(),
            standing: standing.to_owned(),
            age_ms: known(bundle.contact().age(now)),
            authorities: anchors
                .into_iter()
                .map(|anchor| Authority::of(anchor, now))
                .collect(),
            authorities_total: bundle.anchors().len(),
        }
    }
}

impl Authority {
    fn of(anchor: &Anchor, now: Now) -> Self {
        Self {
            subject: anchor.subject(),
            not_before: anchor.not_before().0,
            not_after: anchor.not_after().0,
            unusable: anchor
                .usable_at(now.unix_seconds())
                .err()
                .map(|refusal| refusal.to_string()),
        }
    }
}
