//! File descriptors: taken as many as the system allows, once, at the start.

use actors::OUT_OF_DESCRIPTORS;
use actors::descriptors::{Shortage, shortage};
use config::Settings;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// Takes what the system allows, and says so if that may be too few.
pub(crate) fn provide(settings: &Settings) {
    raise(getrlimit(Resource::Nofile));
    if let Some(Shortage { limit, needed }) = shortage(settings) {
        tracing::warn!(
            limit,
            needed,
            remedy = OUT_OF_DESCRIPTORS,
            "fewer file descriptors than agent.limits.connections may take: once they are gone \
             nobody new is heard and SPIRE cannot be asked"
        );
    }
}

/// The soft limit is for programs that cannot do with many.
fn raise(limit: Rlimit) {
    let all = Rlimit {
        current: limit.maximum,
        ..limit
    };
    // Where that is refused, what there is has to do.
    let _ = setrlimit(Resource::Nofile, all);
}
