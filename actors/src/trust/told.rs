//! What the trust source's log lines say: where, why, what to do, and what requests meet.

use std::collections::HashSet;
use std::sync::Arc;

use verdict::availability::{Phase, Transition};
use verdict::id::TrustDomain;
use verdict::policy::{Failure, Policy};
use verdict::reason::Reason;
use verdict::time::Now;
use verdict::trust::{Coverage, Snapshot, Standing, Unreadable, UpdateError, UpdateReport};

use super::absence::Absence;
use super::{TrustStore, meets};
use crate::audit::rfc3339;
use crate::remedy::registration;
use crate::sparse::Rare;

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

/// Trust domains named in one line; each more is counted.
const NAMES_MAX: usize = 8;

/// Bundles of one update that are told of as unreadable, each in a line of its own: more are counted.
const UNREADABLE_MAX: usize = 8;

/// Lines that SPIRE can cause with each of its messages, by kind.
#[derive(Debug, Default)]
pub(super) struct Lines {
    discarded: Rare,
    updated: Rare,
    removed: Rare,
    unreadable: Rare,
}

impl Lines {
    /// An update was discarded whole.
    pub(super) fn discarded(&self, error: &UpdateError) {
        if let Some(left_out) = self.discarded.admits() {
            let left_out = left_out.some();
            tracing::warn!(%error, left_out, "update discarded, the last good one stays");
        }
    }

    /// What an update changed, and what of it cannot be read; `after` is what there is now.
    pub(super) fn updated(&self, report: &UpdateReport, after: &Snapshot) {
        let (added, changed) = (&report.added, &report.changed);
        let is_same = added.is_empty() && changed.is_empty() && report.removed.is_empty();
        if !is_same && let Some(left_out) = self.updated.admits() {
            tracing::info!(
                added = names(added),
                changed = names(changed),
                removed = names(&report.removed),
                left_out = left_out.some(),
                "trust bundles updated"
            );
        }
        if !report.removed.is_empty() {
            self.removed(&report.removed);
        }
        if !report.unreadable.is_empty() {
            self.unreadable(&report.unreadable, after);
        }
    }

    fn removed(&self, removed: &[TrustDomain]) {
        let Some(left_out) = self.removed.admits() else {
            return;
        };
        let answered = Reason::UnknownTrustDomain.as_str();
        let remedy = "if that was not meant: the federation in SPIRE, and -federatesWith on the agent's own entry";
        tracing::warn!(
            removed = names(removed),
            answered,
            remedy,
            left_out = left_out.some(),
            "SPIRE delivers no bundle of these trust domains any more: their callers are refused"
        );
    }

    fn unreadable(&self, all: &[Unreadable], after: &Snapshot) {
        let kept = after
            .iter()
            .filter(|(_, bundle)| bundle.standing() == Standing::Kept);
        let kept: HashSet<String> = kept.map(|(domain, _)| domain.id()).collect();
        for unreadable in all.iter().take(UNREADABLE_MAX) {
            let Some(left_out) = self.unreadable.admits() else {
                return;
            };
            let left_out = left_out.some();
            if kept.contains(unreadable.domain.as_str()) {
                tracing::warn!(%unreadable, left_out, "bundle cannot be read, the domain keeps its last one for cache-ttl");
            } else {
                let answered = Reason::UnknownTrustDomain.as_str();
                tracing::warn!(%unreadable, answered, left_out, "bundle cannot be read, and there is none of that domain to keep: its callers are refused");
            }
        }
        let more = all.len().saturating_sub(UNREADABLE_MAX);
        if more > 0 && self.unreadable.admits().is_some() {
            tracing::warn!(
                more,
                "these further bundles of the same update cannot be read"
            );
        }
    }
}

fn names(domains: &[TrustDomain]) -> String {
    let shown = domains.iter().take(NAMES_MAX).map(ToString::to_string);
    let shown = shown.collect::<Vec<_>>().join(" ");
    match domains.len().saturating_sub(NAMES_MAX) {
        0 => shown,
        more => format!("{shown} and {more} more"),
    }
}
