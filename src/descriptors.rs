//! File descriptors: each connection takes one, and when they are gone nobody new is heard.

use actors::OUT_OF_DESCRIPTORS;
use config::{Bound, Settings};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// What is open beside connections: sockets, records, state, the runtime's own, the admin page's.
const BESIDE: u64 = 96;

/// Takes what the system allows, and says so if that may be too few.
pub(crate) fn provide(settings: &Settings) {
    let limit = raised(getrlimit(Resource::Nofile));
    let needed = needed(settings);
    if let Some(limit) = limit.filter(|limit| *limit < needed) {
        tracing::warn!(
            limit,
            needed,
            remedy = OUT_OF_DESCRIPTORS,
            "fewer file descriptors than agent.limits.connections may take: once they are gone \
             nobody new is heard and SPIRE cannot be asked"
        );
    }
}

fn needed(settings: &Settings) -> u64 {
    let agent = settings.agent();
    let doors = if agent.grpc.is_some() { 2 } else { 1 };
    let connections = agent.bounds.value(Bound::Connections);
    connections.saturating_mul(doors).saturating_add(BESIDE)
}

/// The soft limit is for programs that cannot do with many; `None`: there is no limit.
fn raised(limit: Rlimit) -> Option<u64> {
    let all = Rlimit {
        current: limit.maximum,
        ..limit
    };
    match setrlimit(Resource::Nofile, all) {
        Ok(()) => all.current,
        Err(_) => limit.current,
    }
}
