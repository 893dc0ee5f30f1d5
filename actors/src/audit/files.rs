//! Files of records, read line by line to be verified.

use std::fs::File;
use std::io::{self, BufRead, BufReader};
use std::path::{Path, PathBuf};

use serde::Deserialize;

use super::chain::{Chain, LineHash, LineHasher, Link, tail};
use super::verify::{Origin, Place, Report, Verifier};

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

/// Verifies files of one chain, given in any order: what a file begins and ends with is its place.
///
/// # Errors
/// A file cannot be read.
pub fn verify_files<P: AsRef<Path>>(
    paths: &[P],
    origin: Origin,
    expect: Option<LineHash>,
) -> Result<Verified, ReadError> {
    let mut ends = Vec::with_capacity(paths.len());
    for path in paths.iter().map(AsRef::as_ref) {
        ends.push(reading(path, Ends::of(path))?);
    }
    let files: Vec<PathBuf> = in_order(ends);
    let mut verifier = Verifier::new(origin, expect);
    for (index, path) in files.iter().enumerate() {
        let taken = Lines::open(path).and_then(|lines| take(lines, index, &mut verifier));
        reading(path, taken)?;
    }
    let report = verifier.finish();
    Ok(Verified { files, report })
}

/// Verifies what comes, in the order in which it comes; `name` stands for it in what is said.
///
/// # Errors
/// It cannot be read.
pub fn verify_lines(
    name: &str,
    from: impl BufRead,
    origin: Origin,
    expect: Option<LineHash>,
) -> Result<Verified, ReadError> {
    let path = PathBuf::from(name);
    let mut verifier = Verifier::new(origin, expect);
    let line = Vec::new();
    reading(&path, take(Lines { from, line }, 0, &mut verifier))?;
    let report = verifier.finish();
    Ok(Verified {
        files: vec![path],
        report,
    })
}

/// What a file begins and ends with.
struct Ends {
    path: PathBuf,
    first: Option<First>,
    last: Option<LineHash>,
}

/// A first record.
struct First {
    link: Link,
    /// RFC 3339 in UTC: its text sorts as its time does.
    time: String,
}

impl Ends {
    fn of(path: &Path) -> io::Result<Self> {
        Ok(Self {
            path: path.to_owned(),
            first: first(path)?,
            last: tail(path, Chain::default())?.and_then(|tail| tail.chain.last),
        })
    }

    /// Without a record it is the newest, for only the first line of a new file can be torn.
    fn place(&self) -> (u64, &str) {
        let first = self.first.as_ref();
        first.map_or((u64::MAX, ""), |first| (first.link.seq, &first.time))
    }

    fn follows(&self, before: &Self) -> bool {
        let prev = self.first.as_ref().and_then(|first| first.link.prev);
        prev.is_some() && prev == before.last
    }
}

/// By the number of their first record; but what is tied to the end of another file follows it, so that
/// two chains, of which the second began anew, stand one after the other.
fn in_order(mut ends: Vec<Ends>) -> Vec<PathBuf> {
    // Stable: files without a record stay as they were given.
    ends.sort_by(|one, other| one.place().cmp(&other.place()));
    let mut files = Vec::with_capacity(ends.len());
    while !ends.is_empty() {
        let mut file = ends.remove(0);
        while let Some(next) = ends.iter().position(|other| other.follows(&file)) {
            files.push(file.path);
            file = ends.remove(next);
        }
        files.push(file.path);
    }
    files
}

fn reading<T>(path: &Path, read: io::Result<T>) -> Result<T, ReadError> {
    read.map_err(|error| ReadError {
        path: path.to_owned(),
        error,
    })
}

fn first(path: &Path) -> io::Result<Option<First>> {
    #[derive(Default, Deserialize)]
    struct Timed {
        #[serde(default)]
        time: String,
    }
    let mut lines = Lines::open(path)?;
    while let Some((_, link)) = lines.next()? {
        if let Some(link) = link {
            let timed: Timed = serde_json::from_slice(&lines.line).unwrap_or_default();
            let time = timed.time;
            return Ok(Some(First { link, time }));
        }
    }
    Ok(None)
}

fn take(mut lines: Lines<impl BufRead>, file: usize, verifier: &mut Verifier) -> io::Result<()> {
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
