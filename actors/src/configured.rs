//! The configuration in force: the file's policy, and what pushes make of it for their connections.

use std::sync::{Arc, Mutex, PoisonError};

use config::{Bound, NamedTimings, Outcome, Settings, Timings};
use tokio::sync::watch;
use tokio::time::Instant;
use verdict::availability::Timing;

use crate::doors::peer::Peer;
use crate::gate::Gate;
use crate::metrics::{Metrics, count};
use crate::observe::{Happened, Happening, Observer};
use crate::policies::{InForce, Policies, PolicyError};
use crate::refused::{LastRefused, RefusedPush};
use crate::sparse;
use crate::trust::TrustStore;
use crate::unhurried::{HEAVY_BYTES, unhurried};

/// What became of a push.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Pushed {
    /// It governs the frames after it.
    Applied,
    /// Answered allow, without effect.
    Ignored,
    /// Answered block, with this reason.
    Refused(String),
}

/// The configuration in force; owned above the doors.
pub struct Configured {
    settings: Settings,
    policies: Policies,
    /// Where pushes wait for each other.
    gate: Gate,
    initial: Option<Arc<InForce>>,
    /// The latest pushed value of each timing: it outlives a push that omits it.
    pushed: Mutex<NamedTimings>,
    timings: watch::Sender<Timings>,
    trust: Arc<TrustStore>,
    metrics: Arc<Metrics>,
    observer: Arc<dyn Observer>,
    refused: LastRefused,
}

/// How much of a credential is read under these bounds.
#[must_use]
pub fn credential_bounds(bounds: &config::Bounds) -> proto::cert_header::Bounds {
    proto::cert_header::Bounds {
        header_bytes: bounds.count(Bound::HeaderBytes),
        certificates: bounds.count(Bound::Certificates),
    }
}

impl Configured {
    /// Puts the settings in force.
    ///
    /// # Errors
    /// The file's policy cannot be put in force.
    pub fn new(
        settings: Settings,
        trust: Arc<TrustStore>,
        metrics: Arc<Metrics>,
        observer: Arc<dyn Observer>,
    ) -> Result<Self, PolicyError> {
        let bounds = &settings.agent().bounds;
        let policies = Policies::new(bounds.count(Bound::Policies), credential_bounds(bounds));
        let initial = settings
            .policy()
            .cloned()
            .map(|spec| policies.own(spec))
            .transpose()?;
        let pushed = NamedTimings::default();
        Ok(Self {
            timings: watch::Sender::new(settings.timings(&pushed)),
            pushed: Mutex::new(pushed),
            settings,
            policies,
            gate: Gate::new(),
            initial,
            trust,
            metrics,
            observer,
            refused: LastRefused::default(),
        })
    }

    /// The policy of a connection before any push; `None`: `NOT_CONFIGURED`.
    #[must_use]
    pub fn initial(&self) -> Option<Arc<InForce>> {
        self.initial.clone()
    }

    /// The settings of the process.
    #[must_use]
    pub const fn settings(&self) -> &Settings {
        &self.settings
    }

    /// The policies in force.
    #[must_use]
    pub const fn policies(&self) -> &Policies {
        &self.policies
    }

    #[cfg(test)]
    pub(crate) const fn gate(&self) -> &Gate {
        &self.gate
    }

    /// Where one of the timings in force comes from.
    #[must_use]
    pub fn timing_source(&self, timing: config::Timing) -> config::Source {
        let pushed = self.pushed.lock().unwrap_or_else(PoisonError::into_inner);
        self.settings.timing_source(timing, &pushed)
    }

    /// The timings in force, and every change of them.
    #[must_use]
    pub fn timings(&self) -> watch::Receiver<Timings> {
        self.timings.subscribe()
    }

    /// Takes a push from this peer, which calls itself `proxy`; the policy, if there is one, is its
    /// connection's from now on.
    pub fn push(&self, json: &str, peer: &Peer, proxy: &str) -> (Pushed, Option<Arc<InForce>>) {
        let since = Instant::now();
        // However short it is, reading it may take long, and it may have to wait: patterns are small.
        let tried = unhurried(HEAVY_BYTES, || self.try_push(json, peer, proxy));
        let (pushed, policy) = match tried {
            Ok(Some(policy)) => (Pushed::Applied, Some(policy)),
            Ok(None) => (Pushed::Ignored, None),
            Err(reason) => (Pushed::Refused(reason), None),
        };
        let what = Happening::Pushed {
            proxy,
            pushed: &pushed,
        };
        self.count(&pushed, proxy);
        let mut tell = || self.log(&pushed, proxy);
        self.observer.happened(&Happened { what, since }, &mut tell);
        (pushed, policy)
    }

    /// The push that was refused last, while its proxy has brought none that is in order.
    #[must_use]
    pub fn refused_push(&self) -> Option<RefusedPush> {
        self.refused.get()
    }

    fn count(&self, pushed: &Pushed, proxy: &str) {
        match pushed {
            Pushed::Applied => {
                count(&self.metrics.pushes_applied);
                self.refused.applied(proxy);
            }
            Pushed::Refused(reason) => {
                count(&self.metrics.pushes_refused);
                self.refused.refused(proxy, reason);
            }
            Pushed::Ignored => {}
        }
    }

    fn log(&self, pushed: &Pushed, proxy: &str) {
        if *pushed == Pushed::Ignored {
            return;
        }
        let Some(left_out) = sparse::PUSHED.admits() else {
            return;
        };
        match pushed {
            Pushed::Applied => tracing::info!(
                proxy,
                left_out = left_out.some(),
                policies = self.policies.len(),
                "pushed configuration applied"
            ),
            Pushed::Refused(reason) => tracing::error!(
                proxy,
                reason,
                left_out = left_out.some(),
                "pushed configuration refused: what was in force before stays, if anything was"
            ),
            Pushed::Ignored => {}
        }
    }

    fn try_push(
        &self,
        json: &str,
        peer: &Peer,
        proxy: &str,
    ) -> Result<Option<Arc<InForce>>, String> {
        let turn = match self.settings.agent().accept_pushed_config.value {
            true => Some(self.gate.enter(peer).map_err(|error| error.to_string())?),
            false => None,
        };
        let outcome = self.settings.take_push(json.as_bytes());
        let applied =
            match outcome.map_err(|errors| errors.lines().collect::<Vec<_>>().join("; "))? {
                Outcome::Ignored => {
                    if let Some(left_out) = sparse::PUSHED.admits() {
                        tracing::info!(
                            proxy,
                            left_out = left_out.some(),
                            "pushed configuration ignored: accept-pushed-config is false"
                        );
                    }
                    return Ok(None);
                }
                Outcome::Nothing => return Ok(None),
                Outcome::Applied(applied) => applied,
            };
        let policy = self
            .policies
            .share(applied.policy, peer)
            .map_err(|error| error.to_string())?;
        drop(turn);
        for notice in &applied.notices {
            tracing::warn!(proxy, %notice, "part of a push was not applied");
        }
        self.set_timings(applied.timings);
        Ok(Some(policy))
    }

    fn set_timings(&self, named: NamedTimings) {
        let mut pushed = self.pushed.lock().unwrap_or_else(PoisonError::into_inner);
        *pushed = named.over(&pushed);
        let timings = self.settings.timings(&pushed);
        self.timings
            .send_if_modified(|now| std::mem::replace(now, timings) != timings);
        self.trust.set_timing(availability_timing(&timings));
    }
}

/// The part of the timings that the availability machine judges by.
#[must_use]
pub const fn availability_timing(timings: &Timings) -> Timing {
    Timing {
        unavailable_after_ms: timings.unavailable_after_ms,
        withdrawal_grace_ms: timings.withdrawal_grace_ms,
    }
}
