//! A file of records: rotated by us or by somebody else, brought to the disk as the policy says.

use std::fs::{File, Metadata, OpenOptions};
use std::io;
use std::os::unix::fs::{FileTypeExt as _, MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use config::{FileSink, Fsync, Rotation};
use rustix::fs::{FlockOperation, OFlags};
use rustix::io::Errno;

use super::before::end_before;
use super::chain::{Chain, TAIL_MAX_BYTES, Tail, tail};
use crate::sparse;

/// An open file.
pub(super) struct LogFile {
    sink: FileSink,
    file: File,
    identity: Identity,
    size_bytes: u64,
    is_pipe: bool,
    /// Since when something is written and not known to be on the disk.
    unsynced: Option<Instant>,
    company: Company,
}

/// Whether somebody else writes to a file too.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Company {
    Alone,
    /// Somebody does, as far as is known; looked at again then.
    Shared(Instant),
}

/// How often it is looked whether the lock of somebody else is gone.
const LOCKED_LOOK: Duration = Duration::from_secs(1);

/// For so long whoever has written to the file is taken to go on.
const GROWN_LOOK: Duration = Duration::from_mins(1);

/// Which file a path leads to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Identity {
    device: u64,
    inode: u64,
}

impl Identity {
    fn of(about: &Metadata) -> Self {
        Self {
            device: about.dev(),
            inode: about.ino(),
        }
    }
}

/// What somebody else did to an open file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Meddling {
    /// It has another name, and its records are there.
    Moved,
    /// It has no name any more.
    Removed,
    /// It is shorter than what we wrote.
    Cut,
}

impl Meddling {
    /// What to do about it.
    pub(super) const fn remedy(self) -> &'static str {
        match self {
            Self::Moved => {
                "if logrotate did it, all is well: give audit verify the file that was moved, too"
            }
            Self::Removed => {
                "its records are gone: find out who removes it, and keep its directory to this agent"
            }
            Self::Cut => {
                "records may be gone: find out who cuts it; have logrotate move it (no copytruncate)"
            }
        }
    }
}

/// Opens for appending; created with mode 0640. A pipe that nobody reads is an error, and no wait.
pub(super) fn open(path: &Path) -> io::Result<File> {
    let mut options = OpenOptions::new();
    options.append(true).create(true).mode(0o640);
    // A link planted in a shared directory must not choose the file.
    let flags = OFlags::NOFOLLOW | OFlags::NONBLOCK;
    options.custom_flags(flags.bits().cast_signed());
    let file = options.open(path)?;
    // What is written waits for its reader: only opening does not.
    let flags = rustix::fs::fcntl_getfl(&file)?;
    rustix::fs::fcntl_setfl(&file, flags - OFlags::NONBLOCK)?;
    Ok(file)
}

/// Says so if somebody else writes to this file too: two chains in one file look like tampering. It
/// is no error: an agent that drains still writes when its successor starts. Gives whether it is so.
pub(super) fn claim(file: &File, path: &Path) -> io::Result<bool> {
    let shared = is_anothers(file)?;
    if shared {
        warn_of_company(path);
    }
    Ok(shared)
}

fn warn_of_company(path: &Path) {
    let Some(left_out) = sparse::SHARED.admits() else {
        return;
    };
    let (sink, left_out) = (path.display(), left_out.some());
    tracing::warn!(%sink, left_out, remedy = ONE_WRITER, "another agent writes to this audit file too");
}

/// Whether another one holds the lock of the file; else we do, until it is closed. A file system
/// without locks cannot tell.
fn is_anothers(file: &File) -> io::Result<bool> {
    if !file.metadata()?.is_file() {
        return Ok(false);
    }
    let locked = rustix::fs::flock(file, FlockOperation::NonBlockingLockExclusive);
    Ok(locked == Err(Errno::WOULDBLOCK))
}

/// What to do about a second writer.
pub(super) const ONE_WRITER: &str = "give each agent a file of its own: audit verify will take two chains in one \
     file for tampering. An agent that is just stopping is none to worry about";

impl LogFile {
    /// Opens the file, or makes it.
    pub(super) fn open(sink: &FileSink) -> io::Result<Self> {
        let file = open(&sink.path)?;
        let company = match claim(&file, &sink.path)? {
            true => Company::Shared(Instant::now() + LOCKED_LOOK),
            false => Company::Alone,
        };
        let about = file.metadata()?;
        if sink.fsync != Fsync::Never && about.len() == 0 {
            sync_directory(&sink.path)?;
        }
        Ok(Self {
            sink: sink.clone(),
            file,
            identity: Identity::of(&about),
            size_bytes: about.len(),
            is_pipe: about.file_type().is_fifo(),
            unsynced: None,
            company,
        })
    }

    /// Where its chain ends; while no record in it is whole, that of the file before it goes on. Not
    /// where so much of it is no record that what stands before the rest is not known.
    pub(super) fn tail(&self) -> io::Result<Option<Tail>> {
        let path = &self.sink.path;
        let own = tail(path, Chain::default())?;
        if own.is_some_and(|own| own.chain.seq > 0) || self.size_bytes > TAIL_MAX_BYTES {
            return Ok(own);
        }
        match (own, end_before(path)?) {
            // The line that a crash tore is covered here, its number is of the chain before.
            (Some(_), Some(before)) => tail(path, before),
            // The next line stands in a file of its own.
            (None, Some(chain)) => Ok(Some(Tail { chain, whole: true })),
            (own, None) => Ok(own),
        }
    }

    /// Whether its last line was cut off.
    pub(super) fn is_torn(&self) -> io::Result<bool> {
        let tail = tail(&self.sink.path, Chain::default())?;
        Ok(tail.is_some_and(|tail| !tail.whole))
    }

    /// Whether somebody has to read it.
    pub(super) const fn is_pipe(&self) -> bool {
        self.is_pipe
    }

    /// Whether nothing was written to it yet.
    pub(super) const fn is_empty(&self) -> bool {
        self.size_bytes == 0
    }

    /// What somebody else did to it since we wrote last.
    pub(super) fn meddling(&mut self) -> io::Result<Option<Meddling>> {
        let ours = self.file.metadata()?;
        let is_here = match std::fs::symlink_metadata(&self.sink.path) {
            Ok(about) => Identity::of(&about) == self.identity,
            Err(error) if error.kind() == io::ErrorKind::NotFound => false,
            Err(error) => return Err(error),
        };
        if is_here && ours.is_file() && ours.len() > self.size_bytes {
            self.grew_to(ours.len());
        }
        Ok(match is_here {
            true if ours.is_file() && ours.len() < self.size_bytes => Some(Meddling::Cut),
            true => None,
            false if ours.nlink() == 0 => Some(Meddling::Removed),
            false => Some(Meddling::Moved),
        })
    }

    /// Who has the lock sees it by this alone.
    fn grew_to(&mut self, size_bytes: u64) {
        if self.company == Company::Alone {
            warn_of_company(&self.sink.path);
        }
        self.size_bytes = size_bytes;
        self.company = Company::Shared(Instant::now() + GROWN_LOOK);
    }

    /// Whether somebody else writes to it too, as last looked at.
    pub(super) const fn is_shared(&self) -> bool {
        matches!(self.company, Company::Shared(_))
    }

    /// Looks whether somebody else is still there, if that is due.
    pub(super) fn look_around(&mut self) -> io::Result<()> {
        let now = Instant::now();
        match self.company {
            Company::Shared(due) if due <= now => {}
            Company::Shared(_) | Company::Alone => return Ok(()),
        }
        self.company = match is_anothers(&self.file)? {
            true => Company::Shared(now + LOCKED_LOOK),
            false => Company::Alone,
        };
        if self.company == Company::Alone {
            let sink = self.sink.path.display();
            tracing::info!(%sink, "no other agent writes to this audit file any more");
        }
        Ok(())
    }

    /// When there is something to do, with nothing more to write.
    pub(super) fn due(&self) -> Option<Instant> {
        let look = match self.company {
            Company::Shared(due) => Some(due),
            Company::Alone => None,
        };
        self.sync_due().into_iter().chain(look).min()
    }

    /// Goes on with the file as somebody else left it.
    pub(super) fn accept(&mut self) -> io::Result<()> {
        self.size_bytes = self.file.metadata()?.len();
        Ok(())
    }

    /// Whether so many more bytes belong in the next file.
    pub(super) fn is_full(&self, more_bytes: usize) -> bool {
        let more_bytes = u64::try_from(more_bytes).unwrap_or(u64::MAX);
        let after = self.size_bytes.saturating_add(more_bytes);
        match self.sink.rotation {
            Some(rotation) => !self.is_empty() && after > rotation.at_bytes,
            None => false,
        }
    }

    /// Moves the file out of the way and begins a new one.
    pub(super) fn rotate(&mut self) -> io::Result<()> {
        let Some(Rotation { keep, .. }) = self.sink.rotation else {
            return Ok(());
        };
        if self.sink.fsync != Fsync::Never {
            self.sync()?;
        }
        let path = &self.sink.path;
        // A crash among the renames leaves a gap: nothing beyond it need move, and nothing is lost.
        let gap = (1..keep).find(|n| !numbered(path, *n).exists());
        for n in (1..gap.unwrap_or(keep)).rev() {
            std::fs::rename(numbered(path, n), numbered(path, n.saturating_add(1)))?;
        }
        std::fs::rename(path, numbered(path, 1))?;
        *self = Self::open(&self.sink.clone())?;
        Ok(())
    }

    /// Writes all of it, or says how much was written before it failed.
    pub(super) fn write(&mut self, bytes: &[u8]) -> Result<(), (usize, io::Error)> {
        let written = write_all(&mut self.file, bytes);
        let count = match &written {
            Ok(()) => bytes.len(),
            Err((count, _)) => *count,
        };
        if count > 0 {
            self.size_bytes = self
                .size_bytes
                .saturating_add(u64::try_from(count).unwrap_or(u64::MAX));
            self.unsynced = self.unsynced.or_else(|| Some(Instant::now()));
        }
        written
    }

    /// Takes back the last bytes, which are part of a line and were written by us just now.
    pub(super) fn take_back(&mut self, count: usize) -> io::Result<()> {
        let about = self.file.metadata()?;
        let count = u64::try_from(count).unwrap_or(u64::MAX);
        // Only of a file that nobody else has written to or cut.
        if !about.is_file() || about.len() != self.size_bytes {
            return Err(io::ErrorKind::Unsupported.into());
        }
        let size_bytes = self.size_bytes.saturating_sub(count);
        self.file.set_len(size_bytes)?;
        self.size_bytes = size_bytes;
        Ok(())
    }

    /// What the policy demands before records are acknowledged.
    pub(super) fn settle(&mut self) -> io::Result<()> {
        match self.sink.fsync {
            Fsync::Always => self.sync(),
            Fsync::Never => Ok(()),
            Fsync::Interval { .. } => self.sync_if_due(),
        }
    }

    /// When it is to be brought to the disk.
    fn sync_due(&self) -> Option<Instant> {
        match self.sink.fsync {
            Fsync::Interval { ms } => Some(self.unsynced? + Duration::from_millis(ms)),
            Fsync::Always | Fsync::Never => None,
        }
    }

    pub(super) fn sync_if_due(&mut self) -> io::Result<()> {
        match self.sync_due() {
            Some(due) if due <= Instant::now() => self.sync(),
            Some(_) | None => Ok(()),
        }
    }

    /// At the end: what an interval would have brought to the disk later.
    pub(super) fn sync_at_end(&mut self) -> io::Result<()> {
        match self.sync_due() {
            Some(_) => self.sync(),
            None => Ok(()),
        }
    }

    fn sync(&mut self) -> io::Result<()> {
        match self.file.sync_data() {
            Ok(()) => {
                self.unsynced = None;
                Ok(())
            }
            // A pipe or a device: there is nothing to bring anywhere.
            Err(error) if error.kind() == io::ErrorKind::InvalidInput => {
                self.unsynced = None;
                Ok(())
            }
            Err(error) => Err(error),
        }
    }
}

/// Writes all of it, or says how much was written before it failed.
pub(super) fn write_all(to: &mut impl io::Write, bytes: &[u8]) -> Result<(), (usize, io::Error)> {
    let mut written = 0;
    while let Some(rest) = bytes.get(written..).filter(|rest| !rest.is_empty()) {
        match to.write(rest) {
            Ok(0) => return Err((written, io::ErrorKind::WriteZero.into())),
            Ok(count) => written += count.min(rest.len()),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err((written, error)),
        }
    }
    to.flush().map_err(|error| (written, error))
}

/// The `n`th file back: `audit.jsonl.1` is the one before `audit.jsonl`.
fn numbered(path: &Path, n: u32) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(format!(".{n}"));
    PathBuf::from(name)
}

/// A new file is there after a loss of power only if its directory is on the disk.
fn sync_directory(path: &Path) -> io::Result<()> {
    let directory = path.parent().unwrap_or(Path::new("/"));
    File::open(directory)?.sync_all()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test may panic")]

    use super::*;

    fn sink(path: PathBuf, keep: u32) -> FileSink {
        FileSink {
            rotation: Some(Rotation { at_bytes: 8, keep }),
            ..FileSink::at(path)
        }
    }

    fn read(path: &Path) -> String {
        std::fs::read_to_string(path).unwrap_or_default()
    }

    #[test]
    fn the_last_files_are_kept_and_a_gap_costs_none() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a");
        let mut file = LogFile::open(&sink(path.clone(), 3)).unwrap();
        for n in 1..=6 {
            if file.is_full(8) {
                file.rotate().unwrap();
            }
            file.write(format!("line {n}\n").as_bytes()).unwrap();
        }
        let kept = [1, 2, 3].map(|n| read(&numbered(&path, n)));
        assert_eq!(kept, ["line 5\n", "line 4\n", "line 3\n"]);
        assert_eq!(read(&path), "line 6\n");
        assert!(!numbered(&path, 4).exists());
        std::fs::remove_file(numbered(&path, 2)).unwrap();
        file.rotate().unwrap();
        let kept = [1, 2, 3].map(|n| read(&numbered(&path, n)));
        assert_eq!(kept, ["line 6\n", "line 5\n", "line 3\n"]);
        let mode = std::fs::metadata(&path).unwrap().mode();
        assert_eq!(mode & 0o777 & !0o640, 0, "{mode:o}");
    }

    #[test]
    fn what_somebody_else_does_to_a_file_is_noticed() {
        let dir = tempfile::tempdir().unwrap();
        let (path, moved) = (dir.path().join("a"), dir.path().join("b"));
        let mut file = LogFile::open(&sink(path.clone(), 1)).unwrap();
        file.write(b"line 1\n").unwrap();
        assert_eq!(file.meddling().unwrap(), None);
        File::options()
            .write(true)
            .open(&path)
            .unwrap()
            .set_len(3)
            .unwrap();
        assert_eq!(file.meddling().unwrap(), Some(Meddling::Cut));
        file.accept().unwrap();
        assert_eq!(file.meddling().unwrap(), None);
        std::fs::rename(&path, &moved).unwrap();
        assert_eq!(file.meddling().unwrap(), Some(Meddling::Moved));
        std::fs::write(&path, "").unwrap();
        assert_eq!(file.meddling().unwrap(), Some(Meddling::Moved));
        std::fs::remove_file(&moved).unwrap();
        assert_eq!(file.meddling().unwrap(), Some(Meddling::Removed));
    }

    #[test]
    fn a_second_writer_is_noticed_and_a_successor_is_none() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a");
        let first = LogFile::open(&sink(path.clone(), 1)).unwrap();
        assert!(is_anothers(&open(&path).unwrap()).unwrap());
        drop(first);
        assert!(!is_anothers(&open(&path).unwrap()).unwrap());
    }

    /// Each of two sees the other, and that it is gone.
    #[test]
    fn whoever_writes_beside_another_knows_it_until_that_is_over() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a");
        let mut first = LogFile::open(&sink(path.clone(), 1)).unwrap();
        assert!(!first.is_shared() && first.due().is_none());
        let mut second = LogFile::open(&sink(path, 1)).unwrap();
        assert!(second.is_shared() && second.due().is_some());
        second.write(b"line 1\n").unwrap();
        assert_eq!(first.meddling().unwrap(), None);
        assert!(first.is_shared());
        // Its time has come, and the lock is the first one's still.
        second.company = Company::Shared(Instant::now());
        second.look_around().unwrap();
        assert!(second.is_shared());
        drop(first);
        second.company = Company::Shared(Instant::now());
        second.look_around().unwrap();
        assert!(!second.is_shared() && second.due().is_none());
        assert_eq!(second.meddling().unwrap(), None);
        assert!(!second.is_shared(), "its own records are nobody else's");
    }

    /// By whoever starts the agent before the reader: it must say so, and not wait.
    #[test]
    fn a_pipe_that_nobody_reads_is_an_error_and_no_wait() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("pipe");
        let fifo = rustix::fs::FileType::Fifo;
        let mode = rustix::fs::Mode::from_raw_mode(0o600);
        rustix::fs::mknodat(rustix::fs::CWD, &path, fifo, mode, 0).unwrap();
        let error = open(&path).unwrap_err();
        let remedy = crate::remedy::of_path(&error, &path);
        assert!(remedy.contains("start its reader first"), "{error}{remedy}");
    }
}
