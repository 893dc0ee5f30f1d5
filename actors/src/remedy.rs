//! What to do about an error of the system: one remedy each, behind the error's own text.

use std::io;
use std::path::Path;

use rustix::io::Errno;

/// For a file or socket that cannot be made or opened; empty if nothing helps for certain.
pub(crate) fn of_path(error: &io::Error, path: &Path) -> String {
    if error.raw_os_error() == Some(Errno::NXIO.raw_os_error()) {
        let path = path.display();
        return format!(
            "; {path} is a pipe that nobody reads, or a socket: start its reader first, one that goes on after an end, or name a file"
        );
    }
    let directory = path.parent().unwrap_or(path).display();
    let uid = rustix::process::geteuid().as_raw();
    match error.kind() {
        io::ErrorKind::NotFound => {
            format!("; make the directory {directory}, owned by uid {uid}")
        }
        io::ErrorKind::NotADirectory => {
            let file = no_directory_above(path).display();
            format!("; {file} is no directory: remove it, or choose another path")
        }
        io::ErrorKind::PermissionDenied => {
            format!("; let uid {uid} write in the directory {directory}")
        }
        io::ErrorKind::ReadOnlyFilesystem => {
            format!("; name a directory that may be written: {directory} may not, by mount or unit")
        }
        io::ErrorKind::AddrInUse => {
            format!("; remove {}, or choose another path", path.display())
        }
        _ => String::new(),
    }
}

/// What lies on the way to a path, and is no directory.
fn no_directory_above(path: &Path) -> &Path {
    let mut above = path.ancestors().skip(1);
    let found = above.find(|part| part.metadata().is_ok_and(|found| !found.is_dir()));
    found.unwrap_or_else(|| path.parent().unwrap_or(path))
}

/// For a file that cannot be written to; it is tried again by itself.
pub(crate) fn of_writing(error: &io::Error, path: &Path) -> String {
    let directory = path.parent().unwrap_or(path).display();
    match error.kind() {
        io::ErrorKind::StorageFull => {
            format!(
                "free space on the file system of {directory} (df {directory}); it goes on by itself"
            )
        }
        io::ErrorKind::QuotaExceeded => {
            format!("raise the quota of {directory}, or free space there; it goes on by itself")
        }
        io::ErrorKind::BrokenPipe => {
            let path = path.display();
            format!("the reader of the pipe {path} is gone: start it again; it goes on by itself")
        }
        io::ErrorKind::FileTooLarge => {
            "raise LimitFSIZE= of the unit or ulimit -f, or have the sink rotate-bytes".to_owned()
        }
        _ => of_path(error, path).trim_start_matches("; ").to_owned(),
    }
}

/// For a standard stream that cannot be written to: nobody can open it again.
pub(crate) const OF_STREAM: &str =
    "whoever read this stream is gone: restart the agent under a log that reads on, or name a file";

/// For a pipe that takes no more.
pub(crate) const OF_STUCK_PIPE: &str = "does the reader of this pipe still read? wake it, or end it and start another; it goes on by itself";

/// For a file that takes no more.
pub(crate) const OF_STUCK_FILE: &str =
    "is its disk or mount alive (df, dmesg)? it goes on by itself";

/// For a path of which nothing is known yet.
pub(crate) const OF_STUCK_PATH: &str =
    "is its disk or mount alive (df, dmesg), or the reader if it is a pipe? it goes on by itself";

/// For a standard stream that takes no more.
pub(crate) const OF_STUCK_STREAM: &str =
    "does whoever reads this stream still read? wake it, or name a file; it goes on by itself";

/// What is left of one of these where the process ends: nothing goes on, by itself or otherwise.
pub(crate) fn at_the_end(remedy: &str) -> &str {
    let left = remedy.strip_suffix("it goes on by itself");
    left.unwrap_or(remedy).trim_end_matches([';', ' '])
}

/// For a collector.
pub(crate) const OF_COLLECTOR: &str = "is the collector up, and where OTEL_EXPORTER_OTLP_LOGS_ENDPOINT \
     or OTEL_EXPORTER_OTLP_ENDPOINT says? it goes on by itself";

/// For an address that cannot be listened on.
pub(crate) fn of_address(error: &io::Error) -> &'static str {
    match error.kind() {
        io::ErrorKind::AddrInUse => "; stop what listens there (ss -tlnp), or choose another port",
        io::ErrorKind::AddrNotAvailable => "; choose an address that this machine has (ip address)",
        io::ErrorKind::PermissionDenied => {
            "; choose a port from 1024 on, or run with CAP_NET_BIND_SERVICE"
        }
        _ => "",
    }
}

/// What to do when no more files can be opened.
pub const OUT_OF_DESCRIPTORS: &str =
    "raise LimitNOFILE= of the unit or ulimit -n, or lower agent.limits.connections";

/// Whether this process, or the machine, may open no more files.
pub(crate) fn is_out_of_descriptors(error: &io::Error) -> bool {
    let code = error.raw_os_error();
    [Errno::MFILE, Errno::NFILE]
        .map(Errno::raw_os_error)
        .iter()
        .any(|no| code == Some(*no))
}

/// What to do where a connection could not be accepted.
pub(crate) fn of_accepting(error: &io::Error) -> &'static str {
    match is_out_of_descriptors(error) {
        true => OUT_OF_DESCRIPTORS,
        false => "look at the machine: is it out of memory or of sockets?",
    }
}

/// What registers this agent in SPIRE.
pub(crate) fn registration(uid: u32) -> String {
    format!(
        "spire-server entry create -spiffeID spiffe://TRUST_DOMAIN/sentinel-spiffe-agent \
         -parentID spiffe://TRUST_DOMAIN/NODE -selector unix:uid:{uid}, and one \
         -federatesWith for each partner domain; or set allow_unauthenticated_verifiers = true in the SPIRE agent (then without federated bundles)"
    )
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test may panic")]
    use super::*;

    #[test]
    fn at_the_end_of_a_process_nothing_goes_on() {
        for remedy in [
            OF_STUCK_PIPE,
            OF_STUCK_FILE,
            OF_STUCK_PATH,
            OF_STUCK_STREAM,
            OF_COLLECTOR,
        ] {
            let said = at_the_end(remedy);
            assert!(!said.is_empty() && !said.contains("goes on"), "{said}");
        }
    }

    #[test]
    fn each_error_of_binding_has_its_remedy() {
        let kinds = [
            (io::ErrorKind::NotFound, "make the directory /run/agent"),
            (
                io::ErrorKind::PermissionDenied,
                "write in the directory /run/agent",
            ),
            (io::ErrorKind::AddrInUse, "remove /run/agent/agent.sock"),
        ];
        for (kind, says) in kinds {
            let said = of_path(&kind.into(), Path::new("/run/agent/agent.sock"));
            assert!(said.contains(says), "{said}");
        }
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("file");
        std::fs::write(&file, "").unwrap();
        let said = of_path(
            &io::ErrorKind::NotADirectory.into(),
            &file.join("agent.sock"),
        );
        let says = format!(
            "; {} is no directory: remove it, or choose another path",
            file.display()
        );
        assert_eq!(said, says);
        let said = of_writing(&io::ErrorKind::BrokenPipe.into(), Path::new("/run/pipe"));
        assert!(said.contains("reader of the pipe /run/pipe"), "{said}");
        let kinds = [
            (io::ErrorKind::AddrInUse, "stop what listens there"),
            (io::ErrorKind::AddrNotAvailable, "that this machine has"),
            (io::ErrorKind::PermissionDenied, "CAP_NET_BIND_SERVICE"),
        ];
        for (kind, says) in kinds {
            let said = of_address(&kind.into());
            assert!(said.contains(says), "{said}");
        }
    }
}
