//! The file: read with distrust, written so that a crash at any moment leaves the old or the new.
//!
//! Everything happens relative to the opened directory, whose owner and mode were checked: nobody
//! else can put a link or another file in between.

use std::ffi::CStr;
use std::fs::File;
use std::io::{self, Read, Write};
use std::os::fd::{AsFd, OwnedFd};
use std::path::{Path, PathBuf};

use rustix::fs::{AtFlags, FlockOperation, Mode, OFlags, Stat};
use rustix::io::Errno;

use super::content::{Content, Record};
use super::error::{
    DirectoryError, ReadError, Unusable, WriteError, check_file, check_lock, check_mark, failed,
    mark_error, missing_directory, open_error,
};
use super::faults::{Faults, Step};
use super::refusal::{Kept, Note};

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
/// There from the first refusal to the next full update, or to the mark: since when SPIRE says no.
const REFUSED: &CStr = c"x509-bundles.refused";
/// Locked by whoever writes. A file of our own, for whoever can open what is locked, if only to read
/// it, can hold the lock: of a directory that is every local user.
const LOCK: &CStr = c"x509-bundles.lock";
/// Names for what cannot be used: the first three that are ever found, and the latest.
const ASIDE: [&CStr; 4] = [
    c"x509-bundles.aside-1",
    c"x509-bundles.aside-2",
    c"x509-bundles.aside-3",
    c"x509-bundles.aside-latest",
];

/// Writable by group or others.
pub(super) const WRITABLE_BY_OTHERS: u32 = 0o022;

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

/// The mode of what we make.
const OURS_ALONE: Mode = Mode::RUSR.union(Mode::WUSR);

/// Largest note of a refusal that is read: two numbers, a boot's id and a socket's path, thrice.
const NOTE_MAX_BYTES: u64 = 64 * 1024;

/// How bundles go of which the withdrawal cannot be written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Removal {
    /// Their file becomes the mark: one step, that needs neither space nor an inode.
    IntoTheMark,
    /// They go, and nothing comes: somebody writes now, whose mark or bundles are none of ours.
    Alone,
}

/// What a look at a name shows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Sight {
    There,
    NotThere,
    /// The directory is there, and cannot be looked into.
    Barred,
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
    _lock: OwnedFd,
}

impl Shelf {
    pub(super) fn new(dir: PathBuf, faults: Box<dyn Faults>) -> Self {
        Self { dir, faults }
    }

    /// Reads the file of this socket, or the withdrawal that it says of any.
    ///
    /// # Errors
    /// Says why it cannot be used. Nothing is changed.
    pub(super) fn read(&self, socket: &Path) -> Result<Content, ReadError> {
        match self.read_any()? {
            content if content.counts_at(socket) => Ok(content),
            other => Err(ReadError::OtherSocket(other.socket)),
        }
    }

    /// Reads the file, whose ever it is.
    fn read_any(&self) -> Result<Content, ReadError> {
        let bytes = self.bytes(FILE, FILE_MAX_BYTES)?;
        Ok(Content::decode(&bytes).map_err(Unusable::Content)?)
    }

    /// Since when SPIRE says no to this agent, as far as anybody has noted.
    pub(super) fn note(&self) -> Kept {
        if self.sight(MARK) == Sight::Barred {
            return Kept::Barred("the mark of a withdrawal cannot be looked for".to_owned());
        }
        let why = match self.bytes(REFUSED, NOTE_MAX_BYTES) {
            Ok(bytes) => return Kept::read(&bytes),
            Err(why) => why,
        };
        match self.sight(REFUSED) {
            Sight::There => Kept::Unreadable(why.to_string()),
            Sight::NotThere => Kept::Nothing,
            Sight::Barred => Kept::Barred(why.to_string()),
        }
    }

    fn bytes(&self, name: &CStr, max: u64) -> Result<Vec<u8>, ReadError> {
        let dir = self.open_directory().map_err(missing_directory)?;
        let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
        let file = rustix::fs::openat(&dir, name, flags, Mode::empty()).map_err(open_error)?;
        let stat = rustix::fs::fstat(&file).map_err(|errno| ReadError::System(errno.into()))?;
        check_file(&stat, max)?;
        let mut bytes = Vec::new();
        let read = File::from(file)
            .take(max.saturating_add(1))
            .read_to_end(&mut bytes);
        let size = read.map_err(ReadError::System)? as u64;
        if size > max {
            return Err(Unusable::TooBig { size, max }.into());
        }
        Ok(bytes)
    }

    /// Whether the mark of a withdrawal is there.
    pub(super) fn mark(&self) -> Mark {
        match self.sight(MARK) {
            Sight::There => Mark::Withdrawn,
            // Where nothing can be seen the note says so.
            Sight::NotThere | Sight::Barred => Mark::None,
        }
    }

    /// Whether something of this name is there. A directory that is not safe is looked into, too:
    /// bundles are not believed there, but a "no" that was said is not forgotten for a `chmod`.
    fn sight(&self, name: &CStr) -> Sight {
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let found = rustix::fs::open(&self.dir, flags, Mode::empty())
            .and_then(|dir| rustix::fs::statat(dir, name, AtFlags::SYMLINK_NOFOLLOW));
        match found {
            Ok(_) => Sight::There,
            Err(Errno::NOENT) => Sight::NotThere,
            Err(_) => Sight::Barred,
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
        let step = "lock the state directory";
        self.before(Step::Lock, step)?;
        let lock = open_lock(&dir)?;
        match rustix::fs::flock(&lock, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => Ok(Locked {
                shelf: self,
                dir,
                _lock: lock,
            }),
            Err(Errno::WOULDBLOCK) => Err(WriteError::Busy),
            Err(errno) => Err(failed(step)(errno)),
        }
    }

    /// Takes the bundles of this socket away, though nothing can be written: a removal is safe
    /// whatever the disk lacks, and whoever holds the lock. Says whether the mark stands then.
    ///
    /// # Errors
    /// They are there as before.
    pub(super) fn forget(&self, socket: &Path, how: Removal) -> Result<Mark, WriteError> {
        match self.read(socket) {
            // Of no use to any start.
            Err(ReadError::Missing | ReadError::Unusable(_)) => return Ok(self.mark()),
            // Of another socket, which may be ours by another path: who writes now may have news of it.
            Err(ReadError::OtherSocket(_)) if how == Removal::Alone => return Ok(self.mark()),
            Err(ReadError::Directory(error)) => return Err(error.into()),
            Ok(content) if Mark::of(&content) == Mark::Withdrawn => return Ok(Mark::Withdrawn),
            Ok(_) | Err(ReadError::System(_) | ReadError::OtherSocket(_)) => {}
        }
        let dir = self.open_directory()?;
        let is_mark = match how {
            Removal::IntoTheMark => self.make_mark_of_bundles(&dir).is_ok(),
            Removal::Alone => false,
        };
        if !is_mark {
            remove(&dir, FILE).map_err(failed("remove the bundles"))?;
        }
        rustix::fs::fsync(&dir).map_err(failed("sync the state directory"))?;
        Ok(self.mark())
    }

    fn make_mark_of_bundles(&self, dir: &OwnedFd) -> Result<(), WriteError> {
        let step = "make the bundles' file the mark of a withdrawal";
        self.before(Step::MarkByRename, step)?;
        rustix::fs::renameat(dir, FILE, dir, MARK).map_err(failed(step))
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
        self.make_room(&content.socket)?;
        self.put(content)
    }

    /// Notes since when SPIRE says no. Beside the bundles: one that cannot be written harms none.
    ///
    /// # Errors
    /// Names the step that failed; what was noted before stands.
    pub(super) fn refused(&self, note: &Note) -> Result<(), WriteError> {
        let encoded = note.encode().map_err(io::Error::other);
        let bytes = encoded.map_err(|error| WriteError::System {
            step: "encode the refusal",
            error,
        })?;
        self.replace(REFUSED, &bytes)
    }

    /// Removes the note: a full update has come, or the mark says more.
    ///
    /// # Errors
    /// It stands.
    pub(super) fn refused_no_more(&self) -> Result<(), WriteError> {
        let step = "remove the note of a refusal";
        self.shelf.before(Step::RefusedNoMore, step)?;
        remove(&self.dir, REFUSED).map_err(failed(step))
    }

    /// Sets the bundles of another socket aside; but not those that a withdrawal is about, or may be:
    /// under their own name again they would undo it.
    fn make_room(&self, socket: &str) -> Result<(), WriteError> {
        let Ok(other) = self.shelf.read_any() else {
            return Ok(());
        };
        let withdrawn = Mark::of(&other) == Mark::Withdrawn
            || self.shelf.mark() == Mark::Withdrawn
            || self.shelf.note() != Kept::Nothing;
        if other.socket == socket || withdrawn {
            return Ok(());
        }
        let step = "set the file of another socket aside";
        self.shelf.before(Step::MakeRoom, step)?;
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
        self.replace(FILE, &bytes)?;
        match Mark::of(content) {
            Mark::Withdrawn => Ok(()),
            Mark::None => self.unmark(),
        }
    }

    /// The old or the new, whole.
    fn replace(&self, name: &CStr, bytes: &[u8]) -> Result<(), WriteError> {
        self.remove_stale()?;
        let file = self.create()?;
        self.fill(file, bytes)?;
        let step = "move the new file into place";
        self.shelf.before(Step::Rename, step)?;
        rustix::fs::renameat(&self.dir, NEXT, &self.dir, name).map_err(failed(step))?;
        let step = "sync the state directory";
        self.shelf.before(Step::SyncDirectory, step)?;
        rustix::fs::fsync(&self.dir).map_err(failed(step))
    }

    fn mark(&self) -> Result<(), WriteError> {
        let step = "mark the withdrawal";
        self.shelf.before(Step::Mark, step)?;
        // It may hold the bundles that were made the mark: their space is wanted back.
        let flags = OFlags::WRONLY
            | OFlags::CREATE
            | OFlags::TRUNC
            | OFlags::NOFOLLOW
            // A pipe in its place would wait for a reader, and nothing would be written any more.
            | OFlags::NONBLOCK
            | OFlags::CLOEXEC;
        let made = rustix::fs::openat(self.dir.as_fd(), MARK, flags, OURS_ALONE);
        let made = made.map_err(mark_error(step))?;
        check_mark(&rustix::fs::fstat(&made).map_err(failed(step))?)
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
        let file = rustix::fs::openat(self.dir.as_fd(), NEXT, flags, OURS_ALONE);
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

/// The file that is locked; whoever made it wider, it is ours alone from now on.
fn open_lock(dir: &OwnedFd) -> Result<OwnedFd, WriteError> {
    let step = "open the lock of the state directory";
    let flags =
        OFlags::RDWR | OFlags::CREATE | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
    let lock = rustix::fs::openat(dir, LOCK, flags, OURS_ALONE).map_err(failed(step))?;
    let stat = rustix::fs::fstat(&lock).map_err(failed(step))?;
    check_lock(&stat)?;
    if permissions(&stat) != OURS_ALONE.as_raw_mode() {
        rustix::fs::fchmod(&lock, OURS_ALONE).map_err(failed(step))?;
    }
    Ok(lock)
}

/// What is not there is removed.
fn remove(dir: &OwnedFd, name: &CStr) -> Result<(), Errno> {
    match rustix::fs::unlinkat(dir, name, AtFlags::empty()) {
        Err(Errno::NOENT) => Ok(()),
        removed => removed,
    }
}

pub(super) fn permissions(stat: &Stat) -> u32 {
    stat.st_mode & 0o7777
}

pub(super) fn our_uid() -> u32 {
    rustix::process::geteuid().as_raw()
}
