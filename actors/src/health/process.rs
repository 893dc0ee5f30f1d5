//! How the process is as a whole: what probes and the status page tell.

use tokio::sync::watch;

use super::{Health, Heartbeat, Readiness, Seen, Wanting};

/// Health, readiness and the sign of life of the process; owned above the health actor.
#[derive(Debug)]
pub struct ProcessHealth {
    health: watch::Sender<Health>,
    readiness: watch::Sender<Readiness>,
    heartbeat: Heartbeat,
}

impl Default for ProcessHealth {
    fn default() -> Self {
        Self {
            health: watch::Sender::new(Health::Unhealthy),
            readiness: watch::Sender::new(Readiness::Starting(Wanting::Policy)),
            heartbeat: Heartbeat::default(),
        }
    }
}

impl ProcessHealth {
    /// Health now: that of the policy in force that fares worst.
    #[must_use]
    pub fn health(&self) -> Health {
        *self.health.borrow()
    }

    /// Readiness now.
    #[must_use]
    pub fn readiness(&self) -> Readiness {
        *self.readiness.borrow()
    }

    /// Told of every change of readiness.
    #[must_use]
    pub fn subscribe(&self) -> watch::Receiver<Readiness> {
        self.readiness.subscribe()
    }

    /// Whether the runtime still moves.
    #[must_use]
    pub const fn heartbeat(&self) -> &Heartbeat {
        &self.heartbeat
    }

    /// Judged anew, which is a sign of life too.
    pub(super) fn see(&self, seen: Seen) {
        self.readiness.send_if_modified(|now| {
            let next = now.step(seen);
            std::mem::replace(now, next) != next
        });
        self.health.send_if_modified(|now| {
            let next = match *now {
                Health::Draining => Health::Draining,
                _ => seen.health,
            };
            std::mem::replace(now, next) != next
        });
        self.heartbeat.beat();
    }

    /// Draining is final.
    pub(super) fn drain(&self) {
        self.readiness.send_replace(Readiness::Draining);
        self.health.send_replace(Health::Draining);
    }
}
