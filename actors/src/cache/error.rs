//! Why the directory cannot be read, or not written.

use std::io;

use rustix::fs::{FileType, Stat};
use rustix::io::Errno;

use super::content::DecodeError;
use super::shelf::{FILE_MAX_BYTES, WRITABLE_BY_OTHERS, our_uid, permissions};

/// Why there is nothing to read.
#[derive(Debug, thiserror::Error)]
pub(super) enum ReadError {
    /// No such file, or no such directory.
    #[error("there is none")]
    Missing,
    /// The directory is not safe to read from; nothing in it is touched.
    #[error("{0}")]
    Directory(#[source] DirectoryError),
    /// The system failed; the file may be good, and stays where it is.
    #[error("it cannot be read: {0}")]
    System(#[source] io::Error),
    /// The file is none of ours, or damaged.
    #[error("{0}")]
    Unusable(#[from] Unusable),
    /// A good file, of another socket; it stays until there is something to write, for the path may
    /// be mistyped. The mark beside it is that socket's too.
    #[error("it holds the bundles of another socket, {0}")]
    OtherSocket(String),
}

/// Why a file is of no use to anybody, and set aside.
#[derive(Debug, thiserror::Error)]
pub(super) enum Unusable {
    #[error("it is no regular file, or a link to one; links are not followed")]
    NotAFile,
    #[error("it cannot be opened: permission denied")]
    Closed,
    #[error("it belongs to uid {owner}, not to uid {us}")]
    Foreign { owner: u32, us: u32 },
    #[error("group or others can write it (mode {mode:03o})")]
    Writable { mode: u32 },
    #[error("it holds {size} bytes, at most {max} are read")]
    TooBig { size: u64, max: u64 },
    #[error("{0}")]
    Content(#[from] DecodeError),
}

/// What is wrong with the state directory.
#[derive(Debug, thiserror::Error)]
pub(super) enum DirectoryError {
    #[error("{path}: {error}")]
    System { path: String, error: io::Error },
    #[error("{path} belongs to uid {owner}; the state directory must be ours (uid {us}) or root's")]
    Foreign { path: String, owner: u32, us: u32 },
    #[error("group or others can write {path} (mode {mode:03o})")]
    Writable { path: String, mode: u32 },
}

/// Why nothing was written.
#[derive(Debug, thiserror::Error)]
pub(super) enum WriteError {
    #[error("{0}")]
    Directory(#[from] DirectoryError),
    /// An orderly predecessor in its last write, or a second agent on the same directory.
    #[error("another process of ours is writing there: its x509-bundles.lock is held")]
    Busy,
    /// Only we and root can have put it there.
    #[error("its x509-bundles.lock cannot be locked: {0}")]
    Lock(#[source] Unusable),
    /// Only we and root can have put it there.
    #[error("its x509-bundles.withdrawn cannot be written: {0}")]
    Mark(#[source] Unusable),
    /// Nothing failed yet, and nothing was written.
    #[error("a write has not come to an end in {} s", super::SLOW_AFTER.as_secs())]
    Slow,
    #[error("cannot {step}: {error}")]
    System {
        step: &'static str,
        error: io::Error,
    },
    #[error("it would be {0} bytes, at most {FILE_MAX_BYTES} are read back")]
    TooBig(u64),
    #[error("writing panicked: {0}")]
    Panicked(String),
}

pub(super) fn failed(step: &'static str) -> impl Fn(Errno) -> WriteError {
    move |errno| WriteError::System {
        step,
        error: errno.into(),
    }
}

/// Why the mark could not be opened to be written.
pub(super) fn mark_error(step: &'static str) -> impl Fn(Errno) -> WriteError {
    move |errno| match errno {
        // What opening a pipe that nobody reads says, and what O_NOFOLLOW says of a link.
        Errno::NXIO | Errno::LOOP => WriteError::Mark(Unusable::NotAFile),
        errno => failed(step)(errno),
    }
}

/// What is written as the mark must be ours.
pub(super) fn check_mark(stat: &Stat) -> Result<(), WriteError> {
    check_owner(stat).map_err(WriteError::Mark)
}

pub(super) fn missing_directory(error: DirectoryError) -> ReadError {
    match error {
        DirectoryError::System { error, .. } if error.kind() == io::ErrorKind::NotFound => {
            ReadError::Missing
        }
        error => ReadError::Directory(error),
    }
}

pub(super) fn open_error(errno: Errno) -> ReadError {
    match errno {
        Errno::NOENT => ReadError::Missing,
        // What O_NOFOLLOW says of a link; what opening a socket says.
        Errno::LOOP | Errno::NXIO => Unusable::NotAFile.into(),
        Errno::ACCESS | Errno::PERM => Unusable::Closed.into(),
        errno => ReadError::System(errno.into()),
    }
}

/// What is read as ours must be ours.
pub(super) fn check_file(stat: &Stat, max: u64) -> Result<(), Unusable> {
    check_owner(stat)?;
    let mode = permissions(stat);
    if mode & WRITABLE_BY_OTHERS != 0 {
        return Err(Unusable::Writable { mode });
    }
    match u64::try_from(stat.st_size) {
        Ok(size) if size > max => Err(Unusable::TooBig { size, max }),
        _ => Ok(()),
    }
}

/// What is locked must be ours; its mode is set.
pub(super) fn check_lock(stat: &Stat) -> Result<(), WriteError> {
    check_owner(stat).map_err(WriteError::Lock)
}

fn check_owner(stat: &Stat) -> Result<(), Unusable> {
    let (us, owner) = (our_uid(), stat.st_uid);
    if FileType::from_raw_mode(stat.st_mode) != FileType::RegularFile {
        return Err(Unusable::NotAFile);
    }
    if owner != us {
        return Err(Unusable::Foreign { owner, us });
    }
    Ok(())
}
