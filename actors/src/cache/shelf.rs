//! The file: read with distrust, written so that a crash at any moment leaves the old or the new.
//!
//! Everything happens relative to the opened directory, whose owner and mode were checked: nobody
//! else can put a link or another file in between.

use std::ffi::CStr;
use std::fs::File;
use std::io::{self, Read, Write};
use std::os::fd::{AsFd, OwnedFd};
use std::path::{Path, PathBuf};

use rustix::fs::{AtFlags, FileType, FlockOperation, Mode, OFlags, Stat};
use rustix::io::Errno;

use super::content::{Content, DecodeError, Record};

/// Largest file read or written: 16 MiB of bundles in base64, thrice.
pub(super) const FILE_MAX_BYTES: u64 = 64 * 1024 * 1024;

/// The file of the Workload API's X.509 bundles.
const FILE: &CStr = c"x509-bundles";
/// Where the next one is made; what an earlier crash left there is removed.
const NEXT: &CStr = c"x509-bundles.next";
/// There while SPIRE refuses this agent: an empty file whose name says it, so that no damage to the
/// content of the other makes a withdrawal forgotten. Made before the tombstone is written, removed
/// after new material is; whoever finds it need not read on.
const MARK: &CStr = c"x509-bundles.withdrawn";
/// Names for what cannot be used: the first three that are ever found, and the latest.
const ASIDE: [&CStr; 4] = [
    c"x509-bundles.aside-1",
    c"x509-bundles.aside-2",
    c"x509-bundles.aside-3",
    c"x509-bundles.aside-latest",
];

/// Writable by group or others.
const WRITABLE_BY_OTHERS: u32 = 0o022;

/// What the mark's file says by being there.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Mark {
    /// It is not.
    #[default]
    None,
    /// SPIRE refuses this agent.
    Withdrawn,
}

impl Mark {
    /// The mark beside this content.
    pub(super) const fn of(content: &Content) -> Self {
        match content.record {
            Record::Tombstone => Self::Withdrawn,
            Record::Material { .. } => Self::None,
        }
    }
}

/// A step of writing, each of which may fail or be the last.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Step {
    OpenDirectory,
    Lock,
    EndOthersWithdrawal,
    MakeRoom,
    Mark,
    RemoveStale,
    Create,
    WriteFirstHalf,
    WriteSecondHalf,
    SyncFile,
    Rename,
    SyncDirectory,
    Unmark,
}

/// What may go wrong on purpose before a step.
pub(super) trait Faults: Send + Sync {
    /// An error here is as if the step failed.
    fn before(&self, step: Step) -> io::Result<()>;
}

/// Nothing goes wrong on purpose.
pub(super) struct NoFaults;

impl Faults for NoFaults {
    fn before(&self, _step: Step) -> io::Result<()> {
        Ok(())
    }
}

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
    #[error("it holds {0} bytes, at most {FILE_MAX_BYTES} are read")]
    TooBig(u64),
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
    #[error(
        "group or others can write {path} (mode {mode:03o}); name a directory that is yet to be made, or chmod 0700 this one if it is the agent's alone"
    )]
    Writable { path: String, mode: u32 },
}

/// Why nothing was written.
#[derive(Debug, thiserror::Error)]
pub(super) enum WriteError {
    #[error("{0}")]
    Directory(#[from] DirectoryError),
    /// An orderly predecessor in its last write, or a second agent on the same directory.
    #[error("somebody else is writing there")]
    Busy,
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

/// One state directory, and the file of one source in it.
pub(super) struct Shelf {
    pub(super) dir: PathBuf,
    faults: Box<dyn Faults>,
}

/// The right to write, until it is dropped.
pub(super) struct Locked<'a> {
    shelf: &'a Shelf,
    dir: OwnedFd,
}

impl Shelf {
    pub(super) fn new(dir: PathBuf, faults: Box<dyn Faults>) -> Self {
        Self { dir, faults }
    }

    /// Reads the file of this socket.
    ///
    /// # Errors
    /// Says why it cannot be used. Nothing is changed.
    pub(super) fn read(&self, socket: &Path) -> Result<Content, ReadError> {
        match self.read_any()? {
            content if content.is_of(socket) => Ok(content),
            other => Err(ReadError::OtherSocket(other.socket)),
        }
    }

    /// Reads the file, whose ever it is.
    fn read_any(&self) -> Result<Content, ReadError> {
        let dir = self.open_directory().map_err(missing_directory)?;
        let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
        let file = rustix::fs::openat(&dir, FILE, flags, Mode::empty()).map_err(open_error)?;
        let stat = rustix::fs::fstat(&file).map_err(|errno| ReadError::System(errno.into()))?;
        check_file(&stat)?;
        let mut bytes = Vec::new();
        let read = File::from(file)
            .take(FILE_MAX_BYTES.saturating_add(1))
            .read_to_end(&mut bytes);
        let size = read.map_err(ReadError::System)? as u64;
        if size > FILE_MAX_BYTES {
            return Err(Unusable::TooBig(size).into());
        }
        Ok(Content::decode(&bytes).map_err(Unusable::Content)?)
    }

    /// Whether the mark of a withdrawal is there.
    pub(super) fn mark(&self) -> Mark {
        let found = self
            .open_directory()
            .ok()
            .and_then(|dir| rustix::fs::statat(dir, MARK, AtFlags::SYMLINK_NOFOLLOW).ok());
        match found {
            Some(_) => Mark::Withdrawn,
            None => Mark::None,
        }
    }

    /// Gives the file another name; returns it.
    ///
    /// # Errors
    /// The system's.
    pub(super) fn set_aside(&self) -> io::Result<PathBuf> {
        let dir = self.open_directory().map_err(io::Error::other)?;
        self.set_aside_in(&dir)
    }

    fn set_aside_in(&self, dir: &OwnedFd) -> io::Result<PathBuf> {
        let free = |name: &&&CStr| {
            let found = rustix::fs::statat(dir, **name, AtFlags::SYMLINK_NOFOLLOW);
            found.is_err_and(|errno| errno == Errno::NOENT)
        };
        let [.., latest] = ASIDE;
        let name = ASIDE.iter().find(free).copied().unwrap_or(latest);
        rustix::fs::renameat(dir, FILE, dir, name)?;
        Ok(self.dir.join(name.to_string_lossy().as_ref()))
    }

    /// The right to write. While it is held nobody else writes, in this process or another, so what
    /// is true can be looked up and written as one: a killed predecessor cannot write over it.
    ///
    /// # Errors
    /// Another one writes now, or the directory is not safe.
    pub(super) fn lock(&self) -> Result<Locked<'_>, WriteError> {
        self.before(Step::OpenDirectory, "open the state directory")?;
        let dir = self.open_or_make_directory()?;
        self.before(Step::Lock, "lock the state directory")?;
        match rustix::fs::flock(&dir, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => Ok(Locked { shelf: self, dir }),
            Err(Errno::WOULDBLOCK) => Err(WriteError::Busy),
            Err(errno) => Err(failed("lock the state directory")(errno)),
        }
    }

    fn open_or_make_directory(&self) -> Result<OwnedFd, DirectoryError> {
        match self.open_directory() {
            Err(DirectoryError::System { error, .. })
                if error.kind() == io::ErrorKind::NotFound =>
            {
                // Only its own last step is made: a path that is mistyped is not.
                let made = rustix::fs::mkdir(&self.dir, Mode::RWXU);
                made.map_err(|errno| self.directory_error(errno))?;
                self.open_directory()
            }
            opened => opened,
        }
    }

    /// Links on the way to the directory are followed, they are the operator's; what is found must
    /// be ours alone.
    fn open_directory(&self) -> Result<OwnedFd, DirectoryError> {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let dir = rustix::fs::open(&self.dir, flags, Mode::empty())
            .map_err(|errno| self.directory_error(errno))?;
        let stat = rustix::fs::fstat(&dir).map_err(|errno| self.directory_error(errno))?;
        let (us, owner) = (our_uid(), stat.st_uid);
        let path = || self.dir.display().to_string();
        if owner != us && owner != 0 {
            return Err(DirectoryError::Foreign {
                path: path(),
                owner,
                us,
            });
        }
        match permissions(&stat) {
            mode if mode & WRITABLE_BY_OTHERS != 0 => {
                Err(DirectoryError::Writable { path: path(), mode })
            }
            _ => Ok(dir),
        }
    }

    fn directory_error(&self, errno: Errno) -> DirectoryError {
        DirectoryError::System {
            path: self.dir.display().to_string(),
            error: errno.into(),
        }
    }

    fn before(&self, step: Step, name: &'static str) -> Result<(), WriteError> {
        let fault = self.faults.before(step);
        fault.map_err(|error| WriteError::System { step: name, error })
    }
}

impl Locked<'_> {
    /// Replaces the file. What fails leaves the old one or the new one, whole.
    ///
    /// # Errors
    /// Names the step that failed. From the last sync on the new file is in place already: only its
    /// surviving a power cut is in doubt, and that a start takes it before the mark is gone.
    pub(super) fn write(&self, content: &Content) -> Result<(), WriteError> {
        self.make_room(content)?;
        self.put(content)
    }

    /// Sets a file of another socket aside. The mark goes first: left alone it would be taken for
    /// ours. So that it is not lost, a withdrawal that it began is brought to an end before.
    fn make_room(&self, content: &Content) -> Result<(), WriteError> {
        let Ok(mut other) = self.shelf.read_any() else {
            return Ok(());
        };
        if other.socket == content.socket {
            return Ok(());
        }
        if self.shelf.mark() == Mark::Withdrawn && Mark::of(&other) == Mark::None {
            other.record = Record::Tombstone;
            let step = "end the withdrawal of another socket";
            self.shelf.before(Step::EndOthersWithdrawal, step)?;
            self.put(&other)?;
        }
        let step = "set the file of another socket aside";
        self.shelf.before(Step::MakeRoom, step)?;
        remove(&self.dir, MARK).map_err(failed(step))?;
        let aside = self.shelf.set_aside_in(&self.dir);
        let aside = aside.map_err(|error| WriteError::System { step, error })?;
        tracing::warn!(
            socket = other.socket,
            aside = %aside.display(),
            "bundles on disk are not used: they are of another socket, and set aside"
        );
        Ok(())
    }

    fn put(&self, content: &Content) -> Result<(), WriteError> {
        let encoded = content.encode().map_err(io::Error::other);
        let bytes = encoded.map_err(|error| WriteError::System {
            step: "encode the content",
            error,
        })?;
        let size = bytes.len() as u64;
        if size > FILE_MAX_BYTES {
            return Err(WriteError::TooBig(size));
        }
        if Mark::of(content) == Mark::Withdrawn {
            self.mark()?;
        }
        self.remove_stale()?;
        let file = self.create()?;
        self.fill(file, &bytes)?;
        let step = "move the new file into place";
        self.shelf.before(Step::Rename, step)?;
        rustix::fs::renameat(&self.dir, NEXT, &self.dir, FILE).map_err(failed(step))?;
        let step = "sync the state directory";
        self.shelf.before(Step::SyncDirectory, step)?;
        rustix::fs::fsync(&self.dir).map_err(failed(step))?;
        match Mark::of(content) {
            Mark::Withdrawn => Ok(()),
            Mark::None => self.unmark(),
        }
    }

    fn mark(&self) -> Result<(), WriteError> {
        let step = "mark the withdrawal";
        self.shelf.before(Step::Mark, step)?;
        let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let mode = Mode::RUSR | Mode::WUSR;
        let made = rustix::fs::openat(self.dir.as_fd(), MARK, flags, mode);
        made.map(drop).map_err(failed(step))
    }

    fn unmark(&self) -> Result<(), WriteError> {
        let step = "remove the mark of a withdrawal";
        self.shelf.before(Step::Unmark, step)?;
        remove(&self.dir, MARK).map_err(failed(step))
    }

    fn remove_stale(&self) -> Result<(), WriteError> {
        let step = "remove what an earlier crash left";
        self.shelf.before(Step::RemoveStale, step)?;
        remove(&self.dir, NEXT).map_err(failed(step))
    }

    fn create(&self) -> Result<File, WriteError> {
        let step = "make the new file";
        self.shelf.before(Step::Create, step)?;
        let flags =
            OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let mode = Mode::RUSR | Mode::WUSR;
        let file = rustix::fs::openat(self.dir.as_fd(), NEXT, flags, mode);
        file.map(File::from).map_err(failed(step))
    }

    fn fill(&self, mut file: File, bytes: &[u8]) -> Result<(), WriteError> {
        let step = "write the new file";
        let (first, second) = bytes.split_at(bytes.len() / 2);
        for (at, half) in [
            (Step::WriteFirstHalf, first),
            (Step::WriteSecondHalf, second),
        ] {
            self.shelf.before(at, step)?;
            let written = file.write_all(half);
            written.map_err(|error| WriteError::System { step, error })?;
        }
        let step = "sync the new file";
        self.shelf.before(Step::SyncFile, step)?;
        file.sync_all()
            .map_err(|error| WriteError::System { step, error })
    }
}

/// What is not there is removed.
fn remove(dir: &OwnedFd, name: &CStr) -> Result<(), Errno> {
    match rustix::fs::unlinkat(dir, name, AtFlags::empty()) {
        Err(Errno::NOENT) => Ok(()),
        removed => removed,
    }
}

fn failed(step: &'static str) -> impl Fn(Errno) -> WriteError {
    move |errno| WriteError::System {
        step,
        error: errno.into(),
    }
}

fn missing_directory(error: DirectoryError) -> ReadError {
    match error {
        DirectoryError::System { error, .. } if error.kind() == io::ErrorKind::NotFound => {
            ReadError::Missing
        }
        error => ReadError::Directory(error),
    }
}

fn open_error(errno: Errno) -> ReadError {
    match errno {
        Errno::NOENT => ReadError::Missing,
        // What O_NOFOLLOW says of a link; what opening a socket says.
        Errno::LOOP | Errno::NXIO => Unusable::NotAFile.into(),
        Errno::ACCESS | Errno::PERM => Unusable::Closed.into(),
        errno => ReadError::System(errno.into()),
    }
}

fn check_file(stat: &Stat) -> Result<(), Unusable> {
    let (us, owner, mode) = (our_uid(), stat.st_uid, permissions(stat));
    if FileType::from_raw_mode(stat.st_mode) != FileType::RegularFile {
        return Err(Unusable::NotAFile);
    }
    if owner != us {
        return Err(Unusable::Foreign { owner, us });
    }
    if mode & WRITABLE_BY_OTHERS != 0 {
        return Err(Unusable::Writable { mode });
    }
    match u64::try_from(stat.st_size) {
        Ok(size) if size > FILE_MAX_BYTES => Err(Unusable::TooBig(size)),
        _ => Ok(()),
    }
}

fn permissions(stat: &Stat) -> u32 {
    stat.st_mode & 0o7777
}

fn our_uid() -> u32 {
    rustix::process::geteuid().as_raw()
}
