//! What a file that begins goes on with: the file before it, by whatever name rotation gave it.

use std::ffi::OsString;
use std::io;
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use super::chain::{Chain, tail};

/// A file that was rotated away.
struct Moved {
    written: SystemTime,
    name: OsString,
    path: PathBuf,
    /// We, or logrotate, number files: then an older one may be asked.
    numbered: bool,
}

/// Where the chain ended before the file at `path` began: in the newest of those that stand beside it
/// under its name and a number or date (`audit.jsonl.1`, `audit.jsonl-20260102`). `None` if there is
/// none, or the newest cannot be read as it is, as one that was compressed: an older one must not be
/// gone on with in its place.
pub(super) fn end_before(path: &Path) -> io::Result<Option<Chain>> {
    for moved in moved_from(path)? {
        match tail(&moved.path, Chain::default())? {
            Some(tail) if tail.chain.seq > 0 => return Ok(Some(tail.chain)),
            // A crash left it without one whole record.
            Some(_) if moved.numbered => {}
            Some(_) => return Ok(None),
            None => {}
        }
    }
    Ok(None)
}

/// The newest first.
fn moved_from(path: &Path) -> io::Result<Vec<Moved>> {
    let (Some(directory), Some(name)) = (path.parent(), path.file_name()) else {
        return Ok(Vec::new());
    };
    let mut found = Vec::new();
    for entry in std::fs::read_dir(directory)? {
        let entry = entry?;
        let entry_name = entry.file_name();
        let Some(suffix) = entry_name.as_bytes().strip_prefix(name.as_bytes()) else {
            continue;
        };
        let [b'.' | b'-', number @ ..] = suffix else {
            continue;
        };
        // One that is gone by now, or no file, is none of ours.
        if !number.first().is_some_and(u8::is_ascii_digit) {
            continue;
        }
        if let Ok(about) = entry.metadata()
            && about.is_file()
        {
            found.push(Moved {
                written: about.modified()?,
                path: entry.path(),
                numbered: number.iter().all(u8::is_ascii_digit),
                name: entry_name,
            });
        }
    }
    found.sort_by(|one, other| {
        let by_time = other.written.cmp(&one.written);
        // Within one tick of the file system's clock: `.1` is newer than `.2`.
        by_time.then_with(|| (one.name.len(), &one.name).cmp(&(other.name.len(), &other.name)))
    });
    Ok(found)
}
