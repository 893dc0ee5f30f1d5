//! Where the numbers are.

use std::sync::{Arc, Weak};

use actors::agent::Agent;
use actors::doors::Doors;
use actors::supervision::Tree;
use actors::trust::TrustStore;

use super::super::losses::Losses;

/// What metrics are read from. Weak: being looked at must not keep the agent.
pub(super) struct Sources {
    doors: Weak<Doors>,
    trust: Weak<TrustStore>,
    tree: Weak<Tree>,
    /// What telemetry itself lost.
    pub(super) losses: Vec<Arc<Losses>>,
}

impl Sources {
    pub(super) fn of(agent: &Agent, losses: Vec<Arc<Losses>>) -> Self {
        Self {
            doors: Arc::downgrade(agent.doors()),
            trust: Arc::downgrade(agent.trust()),
            tree: Arc::downgrade(agent.root().tree()),
            losses,
        }
    }

    pub(super) fn doors(&self) -> Option<Arc<Doors>> {
        self.doors.upgrade()
    }

    pub(super) fn trust(&self) -> Option<Arc<TrustStore>> {
        self.trust.upgrade()
    }

    pub(super) fn tree(&self) -> Option<Arc<Tree>> {
        self.tree.upgrade()
    }
}
