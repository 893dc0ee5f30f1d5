//! What the agent's parts are called in the log: whoever reads it at night has not drawn the tree.

/// The part at this place of the tree, in plain words; `path` itself where it has no other name.
#[must_use]
pub fn plain(path: &str) -> &str {
    let name = path.rsplit('/').next().unwrap_or(path);
    match name {
        "root" => "all of the agent",
        "admin" => "the status page and probes",
        "audit" => "the writer of audit records",
        "health" => "what lets time pass and says how the agent is",
        "trust" => "all that deals with SPIRE",
        "cache" => "the keeper of bundles on the disk",
        "identity" => "the follower of the agent's own SVID",
        "bundles" => "the watcher of SPIRE's bundles",
        "validation" => "all that checks certificates",
        "doors" => "all doors",
        "sentinel" => "the door on the Unix socket",
        "grpc" => "the gRPC door",
        "connection" => "a proxy's connection",
        worker if worker.starts_with("worker-") => "a checker of certificates not seen before",
        _ => path,
    }
}
