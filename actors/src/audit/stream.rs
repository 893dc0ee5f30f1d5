//! A standard stream that was directed to a file (`agent >> audit.jsonl`).

use std::os::fd::AsFd;
use std::path::Path;

use rustix::fs::FileType;

use super::chain::{self, Chain, Tail};

/// Where the kernel shows standard output.
pub(super) const STDOUT: &str = "/proc/self/fd/1";
/// Where the kernel shows standard error.
pub(super) const STDERR: &str = "/proc/self/fd/2";

/// How the file behind a stream ends; `None` if there is none, or it cannot be read.
pub(super) fn tail(stream: impl AsFd, shown_at: &str) -> Option<Tail> {
    let about = rustix::fs::fstat(stream).ok()?;
    match FileType::from_raw_mode(about.st_mode) {
        FileType::RegularFile => chain::tail(Path::new(shown_at), Chain::default()).ok()?,
        // A pipe or a terminal.
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test may panic")]

    use std::os::fd::AsRawFd as _;

    use super::*;
    use crate::audit::chain::LineHash;

    #[test]
    fn a_file_behind_a_stream_is_looked_at_and_a_pipe_is_not() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("out");
        std::fs::write(&path, "{\"seq\":7,\"prev\":null}\n{\"seq\":8,").unwrap();
        // Only to be written to, as a shell opens it.
        let file = std::fs::File::options().append(true).open(&path).unwrap();
        let shown_at = format!("/proc/self/fd/{}", file.as_raw_fd());
        let found = tail(&file, &shown_at).unwrap();
        assert_eq!((found.chain.seq, found.whole), (7, false));
        assert_eq!(found.chain.last, Some(LineHash::of(b"{\"seq\":8,")));
        let (_reader, writer) = std::io::pipe().unwrap();
        assert_eq!(tail(&writer, "/nowhere"), None);
    }
}
