//! Standard streams: directed to a file (`agent >> audit.jsonl`), or to a pipe that is full now and then.

use std::fs::File;
use std::io;
use std::os::fd::AsFd;
use std::path::Path;

use rustix::event::{PollFd, PollFlags};
use rustix::fs::FileType;
use rustix::io::Errno;

use super::chain::{self, Chain, Tail};

/// Where the kernel shows standard output.
pub(super) const STDOUT: &str = "/proc/self/fd/1";
/// Where the kernel shows standard error.
pub(super) const STDERR: &str = "/proc/self/fd/2";

/// A stream that waits while its pipe is full, whoever shares it: each who does can make it one that
/// fails instead (`O_NONBLOCK` is the pipe's, not ours), and a full pipe is no trouble. Unbuffered, so
/// that what was written is known to the byte.
pub(super) struct Patient(File);

impl Patient {
    /// Of another descriptor for this stream.
    pub(super) fn of(stream: impl AsFd) -> io::Result<Self> {
        let stream = stream.as_fd().try_clone_to_owned()?;
        Ok(Self(stream.into()))
    }

    fn wait(&self) -> io::Result<()> {
        let mut fds = [PollFd::new(&self.0, PollFlags::OUT)];
        match rustix::event::poll(&mut fds, None) {
            Ok(_) | Err(Errno::INTR) => Ok(()),
            Err(errno) => Err(errno.into()),
        }
    }
}

impl io::Write for Patient {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        loop {
            match self.0.write(bytes) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => self.wait()?,
                written => return written,
            }
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        self.0.flush()
    }
}

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

    use std::io::{Read as _, Write as _};
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

    #[test]
    fn a_full_pipe_is_waited_for_though_somebody_made_it_one_that_fails() {
        let (mut reader, writer) = io::pipe().unwrap();
        let flags = rustix::fs::fcntl_getfl(&writer).unwrap();
        rustix::fs::fcntl_setfl(&writer, flags | rustix::fs::OFlags::NONBLOCK).unwrap();
        let bytes = vec![b'x'; 1 << 20];
        let mut stream = Patient::of(&writer).unwrap();
        drop(writer);
        std::thread::scope(|scope| {
            // Dropped at its end, which ends the reading.
            scope.spawn(move || stream.write_all(&bytes).unwrap());
            let mut read = Vec::new();
            reader.read_to_end(&mut read).unwrap();
            assert_eq!(read.len(), 1 << 20);
        });
        // Nobody reads any more: an error, and no wait.
        let (reader, writer) = io::pipe().unwrap();
        drop(reader);
        let mut stream = Patient::of(&writer).unwrap();
        let error = stream.write(b"x").unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::BrokenPipe);
    }
}
