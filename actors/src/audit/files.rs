//! Files of records, read line by line to be verified.

use std::fs::File;
use std::io::{self, BufRead, BufReader};
use std::path::{Path, PathBuf};

use serde::Deserialize;

use super::chain::{Chain, Content, End, LineHash, LineHasher, Link, claimed};
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
    first: Option<Mark>,
    /// The last record.
    newest: Option<Mark>,
    /// Where it leaves the chain.
    chain: Chain,
    /// The number that its first line has, or had, where it holds no record.
    claimed: Option<u64>,
}

/// A record, by what gives its file a place.
struct Mark {
    link: Link,
    /// RFC 3339 in UTC: its text sorts as its time does.
    time: String,
}

impl Mark {
    fn of(line: &[u8]) -> Option<Self> {
        #[derive(Default, Deserialize)]
        struct Timed {
            #[serde(default)]
            time: String,
        }
        let link = Link::parse(line)?;
        let timed: Timed = serde_json::from_slice(line).unwrap_or_default();
        let time = timed.time;
        Some(Self { link, time })
    }
}

impl Ends {
    fn of(path: &Path) -> io::Result<Self> {
        let (first, claimed) = begins(path)?;
        let end = End::read(path)?;
        let newest = |end: &End| end.lines().into_iter().rev().find_map(Mark::of);
        Ok(Self {
            path: path.to_owned(),
            newest: end.as_ref().and_then(newest),
            chain: end.map_or_else(Chain::default, |end| end.chain(Chain::default())),
            first,
            claimed,
        })
    }

    /// Without a record it is the newest, for only the first line of a new file can be torn.
    fn place(&self) -> (u64, &str) {
        match (&self.first, self.claimed) {
            (Some(first), _) => (first.link.seq, &first.time),
            (None, claimed) => (claimed.unwrap_or(u64::MAX), ""),
        }
    }

    /// Behind lines that crashes tore it is the last whole record that is held.
    fn follows(&self, before: &Self) -> bool {
        let Some(Link { prev, over, .. }) = self.first.as_ref().map(|first| first.link) else {
            return false;
        };
        (prev.is_some() && prev == before.chain.last)
            || (over.is_some() && over == before.chain.whole)
    }

    /// Whether its first record comes next by its number, whatever it holds.
    fn comes_after(&self, seq: u64) -> bool {
        let first = self.first.as_ref().map(|first| first.link.seq);
        first.is_some() && first == seq.checked_add(1)
    }

    fn is_before(&self, seq: u64) -> bool {
        let newest = self.newest.as_ref().map(|newest| newest.link.seq);
        newest.is_some_and(|newest| newest.checked_add(1) == Some(seq))
    }
}

/// By the number of their first record; but what is tied to the end of another file follows it, so that
/// two chains, of which the second began anew, stand one after the other.
fn in_order(mut ends: Vec<Ends>) -> Vec<PathBuf> {
    unclaim_newest(&mut ends);
    // Stable: files without a record stay as they were given.
    ends.sort_by(|one, other| one.place().cmp(&other.place()));
    let mut runs = Vec::with_capacity(ends.len());
    while !ends.is_empty() {
        let mut run = vec![ends.remove(0)];
        while let Some(next) = ends
            .iter()
            .position(|other| run.last().is_some_and(|last| other.follows(last)))
        {
            run.push(ends.remove(next));
        }
        runs.push(Run(run));
    }
    let runs = older_first(runs);
    let files = runs.into_iter().flat_map(|run| run.0);
    files.map(|file| file.path).collect()
}

/// A file without a record stands where its number says only if it was the one that is missing there:
/// the record after it is given, and tied to no other, and the one before is not.
fn unclaim_newest(ends: &mut [Ends]) {
    let is_missing = |seq: u64| {
        let is_heir =
            |file: &Ends| file.comes_after(seq) && !ends.iter().any(|before| file.follows(before));
        ends.iter().any(is_heir) && !ends.iter().any(|file| file.is_before(seq))
    };
    let missing: Vec<bool> = ends
        .iter()
        .map(|file| file.claimed.is_some_and(is_missing))
        .collect();
    for (file, is_missing) in ends.iter_mut().zip(missing) {
        file.claimed = file.claimed.filter(|_| is_missing);
    }
}

/// Files of which each is tied to the one before.
struct Run(Vec<Ends>);

impl Run {
    fn first(&self) -> Option<&Mark> {
        self.0.first()?.first.as_ref()
    }

    fn newest(&self) -> Option<&Mark> {
        self.0.last()?.newest.as_ref()
    }

    /// Whether a chain begins with it.
    fn is_beginning(&self) -> bool {
        self.first().is_some_and(|first| first.link.seq == 1)
    }

    /// Whether all that is known of it was over when the other began, by their times. The newest record
    /// is held by nothing, so the first of each file must say the same.
    fn was_over_before(&self, other: &Self) -> bool {
        let Some(begun) = other.first().map(|first| &first.time) else {
            return false;
        };
        let firsts = self.0.iter().map(|file| file.first.as_ref());
        let mut marks = firsts.chain([self.newest()]);
        marks.all(|mark| mark.is_some_and(|mark| !mark.time.is_empty() && mark.time < *begun))
    }

    /// Whether its numbers end where those of the other begin: then it is the same chain, whatever the
    /// clock said.
    fn is_before(&self, other: &Self) -> bool {
        let begins = other.0.first();
        self.newest()
            .is_some_and(|newest| begins.is_some_and(|file| file.comes_after(newest.link.seq)))
    }
}

/// A chain whose first files are gone stands before one that began when it was over, though its numbers
/// are higher.
fn older_first(runs: Vec<Run>) -> Vec<Run> {
    let mut ordered: Vec<Run> = Vec::with_capacity(runs.len());
    for run in runs {
        let is_older = |other: &Run| other.is_beginning() && run.was_over_before(other);
        let is_tied = run.is_beginning() || ordered.iter().any(|other| other.is_before(&run));
        match ordered.iter().position(is_older) {
            Some(at) if !is_tied => ordered.insert(at, run),
            _ => ordered.push(run),
        }
    }
    ordered
}

fn reading<T>(path: &Path, read: io::Result<T>) -> Result<T, ReadError> {
    read.map_err(|error| ReadError {
        path: path.to_owned(),
        error,
    })
}

/// The first record of a file; where there is none, the number that its first line claims.
fn begins(path: &Path) -> io::Result<(Option<Mark>, Option<u64>)> {
    let mut lines = Lines::open(path)?;
    let mut number = None;
    let mut is_first = true;
    while let Some((_, content)) = lines.next()? {
        if matches!(content, Content::Record(_)) {
            return Ok((Mark::of(&lines.line), None));
        }
        if std::mem::take(&mut is_first) {
            number = claimed(&lines.line);
        }
    }
    Ok((None, number))
}

fn take(mut lines: Lines<impl BufRead>, file: usize, verifier: &mut Verifier) -> io::Result<()> {
    let mut line = 0_u64;
    while let Some((hash, content)) = lines.next()? {
        line = line.saturating_add(1);
        verifier.take(Place { file, line }, hash, content);
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
    fn next(&mut self) -> io::Result<Option<(LineHash, Content)>> {
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
                let content = match self.line.len() < LINE_MAX_BYTES {
                    true => Content::of(&self.line),
                    false => Content::Other,
                };
                return Ok(Some((hasher.finish(), content)));
            }
        }
    }
}

#[cfg(test)]
mod tests;
