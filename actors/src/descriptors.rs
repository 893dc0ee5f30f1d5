//! File descriptors: each connection takes one, and when they are gone nobody new is heard.

use config::{Bound, Settings};
use rustix::process::{Resource, getrlimit};

/// What is open beside connections: sockets, records, state, the runtime's own, the admin page's.
const BESIDE: u64 = 96;

/// Fewer than may be needed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Shortage {
    /// As many as this process may have.
    pub limit: u64,
    /// As many as it may come to need.
    pub needed: u64,
}

/// Whether this process may have too few for these settings, as the system has it now.
#[must_use]
pub fn shortage(settings: &Settings) -> Option<Shortage> {
    let needed = needed(settings);
    // None: there is no limit.
    let limit = getrlimit(Resource::Nofile).current?;
    (limit < needed).then_some(Shortage { limit, needed })
}

fn needed(settings: &Settings) -> u64 {
    let agent = settings.agent();
    let doors = if agent.grpc.is_some() { 2 } else { 1 };
    let connections = agent.bounds.value(Bound::Connections);
    connections.saturating_mul(doors).saturating_add(BESIDE)
}
