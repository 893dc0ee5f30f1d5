//! Doors: where proxies ask. One file per dialect; every dialect reaches the same decision.

mod actor;
pub mod answer;
pub mod budget;
mod connection;
mod conversation;
mod entrance;
mod filing;
pub mod grpc;
mod ledger;
mod listener;
mod lost;
mod meets;
pub mod peer;
mod places;
mod proxies;
mod reader;
mod reports;
mod session;
mod sink;
pub mod socket;
#[cfg(test)]
mod tests;
mod turns;

use std::sync::Arc;

pub use self::actor::{ConnectionActor, ConnectionArgs};
pub use self::entrance::Entrance;
pub use self::listener::{ListenerActor, ListenerArgs};
pub use self::lost::{Listener, Lost};
pub use self::places::{AllPlaces, Full, Places};
pub use self::proxies::{NAME_MAX_CHARS, PROXIES_MAX, Proxies, Seen};

use crate::admin::denials::Denials;
use crate::audit::AuditQueue;
use crate::clock::Clock;
use crate::configured::Configured;
use crate::health::{HealthBoard, PoliciesInForce};
use crate::judge::Judge;
use crate::metrics::Metrics;
use crate::observe::Observer;

use proto::sentinel::handshake::{Capabilities, Event};

use tokio_util::task::TaskTracker;

use verdict::policy::Policy;

use self::budget::FrameBudget;

/// What this agent is called in the handshake.
const CAPABILITIES: Capabilities<'static> = Capabilities {
    agent_id: AGENT_ID,
    name: "Sentinel SPIFFE agent",
    version: env!("CARGO_PKG_VERSION"),
    events: &[Event::Configure, Event::RequestHeaders],
    max_concurrency: 100,
};

/// Our name in handshakes and reports.
const AGENT_ID: &str = "spiffe";

/// What every door shares.
pub struct Doors {
    /// From credential to evidence.
    pub judge: Judge,
    /// Policies, and what a push does to them.
    pub configured: Configured,
    /// Where records go.
    pub audit: AuditQueue,
    /// The last denials, for the status page.
    pub denials: Denials,
    /// Which proxies have introduced themselves.
    pub proxies: Proxies,
    /// How we are, under each policy.
    pub health: HealthBoard,
    /// Counters.
    pub metrics: Arc<Metrics>,
    /// Who is told of each decision.
    pub observer: Arc<dyn Observer>,
    /// The clock.
    pub clock: Clock,
    /// Memory for large frames.
    pub frames: FrameBudget,
    /// Bounds in force.
    pub bounds: Bounds,
    /// The places of each door.
    pub places: AllPlaces,
    /// The connections that are open: draining waits for them.
    pub open: TaskTracker,
}

impl Doors {
    /// To be shared; the log of the trust source says from now on what requests meet.
    #[must_use]
    pub fn shared(self) -> Arc<Self> {
        let doors = Arc::new(self);
        // The store is below the doors: it must not keep them.
        let weak = Arc::downgrade(&doors);
        doors.judge.trust.judge_by(Arc::new(move || {
            let doors = weak.upgrade();
            doors.map(|doors| doors.policies()).unwrap_or_default()
        }));
        doors
    }

    pub(crate) fn policies(&self) -> Vec<Arc<Policy>> {
        let policies = self.configured.policies().in_force().into_iter();
        policies.map(|(one, _)| Arc::clone(&one.policy)).collect()
    }

    /// Asks for the policies in force, again and again, as pushes come and go.
    #[must_use]
    pub fn policies_in_force(self: &Arc<Self>) -> PoliciesInForce {
        let doors = Arc::clone(self);
        Arc::new(move || doors.policies())
    }

    /// Waits until no connection is open.
    pub async fn drained(&self) {
        self.open.close();
        self.open.wait().await;
    }
}

/// Bounds of doors, from `agent.limits`.
#[derive(Clone, Copy, Debug)]
pub struct Bounds {
    /// A reply is written within this time of the complete frame, milliseconds.
    pub decision_deadline_ms: u64,
    /// Connections at once.
    pub connections: usize,
    /// Requests under way on one connection; beyond it, reading stops.
    pub in_flight: usize,
    /// Time until the handshake, and for a started frame to arrive whole, milliseconds.
    pub handshake_timeout_ms: u64,
}
