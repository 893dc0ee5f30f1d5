//! The actors of a scenario's agent: those that its configuration makes.

use std::fmt;

use actors::validation;
use config::{AdminAddress, Bound, DoorSecurity, Settings};

/// In every agent, beside its workers.
const ALWAYS: [&str; 9] = [
    "root",
    "audit",
    "health",
    "trust",
    "bundles",
    "validation",
    "doors",
    "sentinel",
    "connection",
];
/// Whom no supervisor starts again: there is none above the one, and a proxy connects anew to the other.
const NEVER_RESTARTED: [&str; 2] = ["root", "connection"];
const WORKER: &str = "worker-";

/// Names in the tree of one agent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Actors {
    parts: Vec<&'static str>,
    workers: usize,
}

impl Actors {
    /// Those of an agent with these settings, and with a state directory of ours if it gets one.
    pub(super) fn of(settings: &Settings, keeps_state: bool) -> Self {
        let agent = settings.agent();
        let mut parts = ALWAYS.to_vec();
        if agent.admin.value != AdminAddress::Off {
            parts.push("admin");
        }
        if keeps_state || agent.state_dir.is_some() {
            parts.push("cache");
        }
        if let Some(door) = &agent.grpc {
            parts.push("grpc");
            if matches!(door.security, DoorSecurity::MutualTls(_)) {
                parts.push("identity");
            }
        }
        let workers = agent.bounds.value(Bound::ValidationWorkers);
        // Bounded at 1024 by the configuration.
        let workers = validation::workers(usize::try_from(workers).unwrap_or_default());
        Self { parts, workers }
    }

    /// Whether there is such an actor.
    #[must_use]
    pub fn has(&self, name: &str) -> bool {
        match name.strip_prefix(WORKER) {
            Some(number) => (0..self.workers).any(|worker| worker.to_string() == number),
            None => self.parts.contains(&name),
        }
    }

    /// The same without those that no supervisor starts again.
    #[must_use]
    pub fn restarted(&self) -> Self {
        let mut restarted = self.clone();
        restarted
            .parts
            .retain(|part| !NEVER_RESTARTED.contains(part));
        restarted
    }
}

impl fmt::Display for Actors {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let last = self.workers.saturating_sub(1);
        write!(f, "{}, {WORKER}0 to {WORKER}{last}", self.parts.join(", "))
    }
}
