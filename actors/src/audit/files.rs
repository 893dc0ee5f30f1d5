//! Files of records, read line by line to be verified.

use std::fs::File;
use std::io::{self, BufRead, BufReader};
use std::path::{Path, PathBuf};

use super::chain::{LineHash, LineHasher, Link};
use super::verify::{Place, Report, Verifier};

/// Longest line that is looked into, bytes; a longer one is hashed, and is no record. A record takes
/// one or two thousand.
const LINE_MAX_BYTES: usize = 1024 * 1024;

/// A file that cannot be read.
#[derive(Debug, thiserror::Error)]
#[error("read {}: {error}", path.display())]
pub struct ReadError {
    /// Which.
    path: PathBuf,
    /// Why not.
    #[source]
    error: io::Error,
}

/// What was verified.
#[derive(Clone, Debug)]
pub struct Verified {
    /// The files, in the order of their records.
    pub files: Vec<PathBuf>,
    /// What was found; a [`Place`] names a file by its index.
    pub report: Report,
}

/// Verifies files of one chain, given in any order: the number of a file's first record is its place.
///
/// # Errors
/// A file cannot be read.
pub fn verify_files<P: AsRef<Path>>(
    paths: &[P],
    expect: Option<LineHash>,
) -> Result<Verified, ReadError> {
    let mut files = Vec::with_capacity(paths.len());
    for path in paths.iter().map(AsRef::as_ref) {
        let first = reading(path, first_seq(path))?;
        files.push((first, path.to_owned()));
    }
    // Stable: files without a record stay where they were, before all others.
    files.sort_by_key(|(first, _)| *first);
    let files: Vec<PathBuf> = files.into_iter().map(|(_, path)| path).collect();
    let mut verifier = Verifier::expecting(expect);
    for (index, path) in files.iter().enumerate() {
        reading(path, take(path, index, &mut verifier))?;
    }
    let report = verifier.finish();
    Ok(Verified { files, report })
}

fn reading<T>(path: &Path, read: io::Result<T>) -> Result<T, ReadError> {
    read.map_err(|error| ReadError {
        path: path.to_owned(),
        error,
    })
}

fn first_seq(path: &Path) -> io::Result<Option<u64>> {
    let mut lines = Lines::open(path)?;
    while let Some((_, link)) = lines.next()? {
        if let Some(link) = link {
            return Ok(Some(link.seq));
        }
    }
    Ok(None)
}

fn take(path: &Path, file: usize, verifier: &mut Verifier) -> io::Result<()> {
    let mut lines = Lines::open(path)?;
    let mut line = 0_u64;
    while let Some((hash, link)) = lines.next()? {
        line = line.saturating_add(1);
        verifier.take(Place { file, line }, hash, link);
    }
    Ok(())
}

/// The lines of a file, each hashed and looked into.
struct Lines<R> {
    from: R,
    line: Vec<u8>,
}

impl Lines<BufReader<File>> {
    fn open(path: &Path) -> io::Result<Self> {
        Ok(Self {
            from: BufReader::new(File::open(path)?),
            line: Vec::new(),
        })
    }
}

impl<R: BufRead> Lines<R> {
    fn next(&mut self) -> io::Result<Option<(LineHash, Option<Link>)>> {
        let mut hasher = LineHasher::default();
        self.line.clear();
        let mut size = 0_usize;
        loop {
            let piece = self.from.fill_buf()?;
            if piece.is_empty() && size == 0 {
                return Ok(None);
            }
            let end = piece.iter().position(|byte| *byte == b'\n');
            let (part, used) = match end {
                Some(end) => (piece.get(..end).unwrap_or_default(), end.saturating_add(1)),
                None => (piece, piece.len()),
            };
            hasher.take(part);
            if self.line.len() < LINE_MAX_BYTES {
                self.line.extend_from_slice(part);
            }
            let is_end = end.is_some() || piece.is_empty();
            self.from.consume(used);
            size = size.saturating_add(used);
            if is_end {
                let link = match self.line.len() < LINE_MAX_BYTES {
                    true => Link::parse(&self.line),
                    false => None,
                };
                return Ok(Some((hasher.finish(), link)));
            }
        }
    }
}
