//! A file of records: rotated by us or by somebody else, brought to the disk as the policy says.

use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use config::{FileSink, Fsync, Rotation};

use super::chain::{Tail, tail};

/// An open file.
pub(super) struct LogFile {
    sink: FileSink,
    file: File,
    identity: Identity,
    size_bytes: u64,
    /// Since when something is written and not known to be on the disk.
    unsynced: Option<Instant>,
}

/// Which file a path leads to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Identity {
    device: u64,
    inode: u64,
}

/// Opens for appending; created with mode 0640.
pub(super) fn open(path: &Path) -> io::Result<File> {
    let mut options = OpenOptions::new();
    options.append(true).create(true).mode(0o640);
    // A link planted in a shared directory must not choose the file.
    options.custom_flags(rustix::fs::OFlags::NOFOLLOW.bits().cast_signed());
    options.open(path)
}

impl LogFile {
    /// Opens the file, or makes it.
    pub(super) fn open(sink: &FileSink) -> io::Result<Self> {
        let file = open(&sink.path)?;
        let about = file.metadata()?;
        if sink.fsync != Fsync::Never && about.len() == 0 {
            sync_directory(&sink.path)?;
        }
        Ok(Self {
            sink: sink.clone(),
            file,
            identity: Identity {
                device: about.dev(),
                inode: about.ino(),
            },
            size_bytes: about.len(),
            unsynced: None,
        })
    }

    /// Where its chain ends: its own, or while it is empty that of the file rotated before it.
    pub(super) fn tail(&self) -> io::Result<Option<Tail>> {
        if let Some(own) = tail(&self.sink.path)? {
            return Ok(Some(own));
        }
        match tail(&numbered(&self.sink.path, 1)) {
            // The next line stands in a file of its own.
            Ok(before) => Ok(before.map(|before| Tail {
                whole: true,
                ..before
            })),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Whether nothing was written to it yet.
    pub(super) const fn is_empty(&self) -> bool {
        self.size_bytes == 0
    }

    /// Whether the path still leads here; not after somebody else has rotated or deleted the file.
    pub(super) fn is_current(&self) -> io::Result<bool> {
        match std::fs::symlink_metadata(&self.sink.path) {
            Ok(about) => Ok(self.identity
                == Identity {
                    device: about.dev(),
                    inode: about.ino(),
                }),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
            Err(error) => Err(error),
        }
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

    /// When it is to be brought to the disk, with nothing more to write.
    pub(super) fn sync_due(&self) -> Option<Instant> {
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
    fn a_file_that_was_moved_away_is_not_current() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a");
        let file = LogFile::open(&sink(path.clone(), 1)).unwrap();
        assert!(file.is_current().unwrap());
        std::fs::rename(&path, dir.path().join("b")).unwrap();
        assert!(!file.is_current().unwrap());
        std::fs::write(&path, "").unwrap();
        assert!(!file.is_current().unwrap());
    }
}
