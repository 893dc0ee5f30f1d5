//! What the trust source's log lines say: where, why, what to do, and what requests meet.

use std::collections::HashSet;
use std::sync::Arc;

use verdict::availability::{Phase, Transition};
use verdict::policy::{Failure, Policy};
use verdict::reason::Reason;
use verdict::time::Now;
use verdict::trust::{Coverage, Snapshot, Standing, UpdateReport};

use super::absence::Absence;
use super::{TrustStore, meets};
use crate::audit::rfc3339;
use crate::remedy::registration;

impl TrustStore {
    pub(super) fn log_transition(
        &self,
        changed: Transition,
        cause: &str,
        absence: &Absence,
        now: Now,
    ) {
        let (from, to) = (changed.from.as_str(), changed.to.as_str());
        let socket = self.advice.socket.display();
        let (error, remedy) = words(absence);
        let requests = self.requests(now);
        match changed.to {
            Phase::Live => {
                // A start is no absence.
                let away = absence
                    .lasts(now)
                    .filter(|_| changed.from != Phase::Starting);
                tracing::info!(from, to, cause, away, %socket, requests, "trust source availability changed");
            }
            Phase::Starting | Phase::Interrupted | Phase::Outage => {
                tracing::warn!(from, to, cause, %socket, error, remedy, requests, "trust source availability changed");
            }
            Phase::Withdrawn => {
                tracing::error!(
                    from,
                    to,
                    cause,
                    %socket,
                    error,
                    requests,
                    "trust source availability changed: SPIRE refuses this agent, every request with a credential is refused"
                );
                let registration = registration(self.advice.uid);
                tracing::error!("register it: {registration}");
            }
        }
    }

    /// Says again that SPIRE is away, when that is due.
    pub(super) fn remind(&self, absence: &mut Absence, now: Now) {
        let Some(away) = absence.due(now) else { return };
        let state = self.load().state().phase().as_str();
        let (lasts, since) = (away.lasts(now), rfc3339(away.since_ms()));
        let socket = self.advice.socket.display();
        let (error, remedy) = words(absence);
        let requests = self.requests(now);
        tracing::warn!(state, lasts, %since, %socket, error, remedy, requests, "trust source still away");
        absence.said(self.change_in_ms(now), now);
    }

    /// What becomes of requests now, under each policy in force, in words.
    #[must_use]
    pub fn requests_meet(&self) -> String {
        let said = self.requests(self.clock.now());
        if self.phase() == Phase::Live && self.foreign().is_some() {
            return format!(
                "{said}; but nobody whom a policy in force allows can be, as SPIRE delivers no bundle of his trust domain"
            );
        }
        match self.coverage() {
            Coverage::Every => said,
            Coverage::Some => {
                format!("{said}; of some trust domains nobody, for want of a usable authority")
            }
            Coverage::Nobody => {
                format!("{said}; but nobody can be verified, as no authority at hand is usable")
            }
        }
    }

    fn requests(&self, now: Now) -> String {
        meets::requests(&self.load(), &self.failures(), now)
    }

    pub(super) fn change_in_ms(&self, now: Now) -> Option<u64> {
        meets::change_in_ms(&self.load(), &self.failures(), now)
    }

    fn failures(&self) -> Vec<Failure> {
        let policies = self.policies().into_iter();
        policies.map(|policy| *policy.failure()).collect()
    }

    pub(super) fn policies(&self) -> Vec<Arc<Policy>> {
        let in_force = self.in_force.get();
        in_force.map(|in_force| in_force()).unwrap_or_default()
    }
}

/// What happened last, and what to do about it, as far as it is known.
fn words(absence: &Absence) -> (Option<&str>, Option<&str>) {
    let why = absence.why();
    let remedy = why.map(|why| why.remedy.as_str());
    let error = why.map(|why| why.error.as_str());
    (error, remedy.filter(|remedy| !remedy.is_empty()))
}

/// What an update changed, and what of it cannot be read; `after` is what there is now.
pub(super) fn update(report: &UpdateReport, after: &Snapshot) {
    let domains = |list: &[verdict::id::TrustDomain]| {
        list.iter()
            .map(ToString::to_string)
            .collect::<Vec<_>>()
            .join(" ")
    };
    if !(report.added.is_empty() && report.changed.is_empty() && report.removed.is_empty()) {
        tracing::info!(
            added = domains(&report.added),
            changed = domains(&report.changed),
            removed = domains(&report.removed),
            "trust bundles updated"
        );
    }
    if !report.removed.is_empty() {
        let removed = domains(&report.removed);
        let answered = Reason::UnknownTrustDomain.as_str();
        let remedy = "if that was not meant: the federation in SPIRE, and -federatesWith on the agent's own entry";
        tracing::warn!(
            removed,
            answered,
            remedy,
            "SPIRE delivers no bundle of these trust domains any more: their callers are refused"
        );
    }
    let kept = after
        .iter()
        .filter(|(_, bundle)| bundle.standing() == Standing::Kept);
    let kept: HashSet<String> = kept.map(|(domain, _)| domain.id()).collect();
    for unreadable in &report.unreadable {
        if kept.contains(unreadable.domain.as_str()) {
            tracing::warn!(%unreadable, "bundle cannot be read, the domain keeps its last one for cache-ttl");
        } else {
            let answered = Reason::UnknownTrustDomain.as_str();
            tracing::warn!(%unreadable, answered, "bundle cannot be read, and there is none of that domain to keep: its callers are refused");
        }
    }
}
