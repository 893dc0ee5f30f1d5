//! Each record is chained to the line before it: `seq` counts, `prev` is the SHA-256 of that line.
//!
//! What is hashed are the line's exact bytes without its line end, whatever they are: a line that a
//! crash tore is covered by the record after it, whose `over` is the hash of the last whole record
//! before: else nothing would tie what follows to what stands before it. Of several such lines each is
//! folded into those before it, so that `prev` covers all. A file continues the chain of
//! the one that was rotated away; the first line of all has no `prev`.

use std::fmt;
use std::fs::OpenOptions;
use std::io::{self, Read as _, Seek as _, SeekFrom, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;

use aws_lc_rs::digest::{Context, SHA256, SHA256_OUTPUT_LEN};
use serde::Deserialize;
use serde::de::IgnoredAny;

/// The end of a file in which its last record is looked for, bytes. A record takes one or two
/// thousand: everything in it that a peer sends is bounded.
pub(super) const TAIL_MAX_BYTES: u64 = 1024 * 1024;

/// The SHA-256 of a line.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct LineHash([u8; SHA256_OUTPUT_LEN]);

impl LineHash {
    /// Of the line's bytes, without its line end.
    #[must_use]
    pub fn of(line: &[u8]) -> Self {
        let mut hasher = LineHasher::default();
        hasher.take(line);
        hasher.finish()
    }

    /// Of a torn line behind others, of which `self` is the hash. No line holds a line end, so none
    /// has the hash of several.
    #[must_use]
    pub(super) fn then(self, line: Self) -> Self {
        let mut hasher = LineHasher::default();
        hasher.take(b"\n");
        hasher.take(&self.0);
        hasher.take(&line.0);
        hasher.finish()
    }

    /// Reads 64 hexadecimal digits.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let mut hash = [0_u8; SHA256_OUTPUT_LEN];
        let digits = text.as_bytes();
        if digits.len() != 2 * hash.len() {
            return None;
        }
        for (byte, pair) in hash.iter_mut().zip(digits.chunks_exact(2)) {
            for digit in pair {
                let value = char::from(*digit).to_digit(16)?;
                *byte = (*byte << 4) | u8::try_from(value).ok()?;
            }
        }
        Some(Self(hash))
    }
}

impl fmt::Display for LineHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for LineHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self}")
    }
}

/// Hashes a line that comes in pieces.
pub(super) struct LineHasher(Context);

impl Default for LineHasher {
    fn default() -> Self {
        Self(Context::new(&SHA256))
    }
}

impl LineHasher {
    /// The next piece.
    pub(super) fn take(&mut self, piece: &[u8]) {
        self.0.update(piece);
    }

    /// The hash of all of them.
    #[must_use]
    pub(super) fn finish(self) -> LineHash {
        let mut hash = [0; SHA256_OUTPUT_LEN];
        for (byte, digest) in hash.iter_mut().zip(self.0.finish().as_ref()) {
            *byte = *digest;
        }
        LineHash(hash)
    }
}

/// What chains a record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Link {
    /// Its number, from 1.
    pub seq: u64,
    /// The hash of the line before; `None` in the first line of all.
    pub prev: Option<LineHash>,
    /// Behind lines that are no records: the hash of the last whole record before them.
    pub over: Option<LineHash>,
}

impl Link {
    /// Reads it from a record.
    #[must_use]
    pub fn parse(line: &[u8]) -> Option<Self> {
        #[derive(Deserialize)]
        struct Written<'a> {
            seq: u64,
            #[serde(borrow)]
            prev: Option<&'a str>,
            #[serde(borrow)]
            over: Option<&'a str>,
        }
        let written: Written<'_> = serde_json::from_slice(line).ok()?;
        let hash = |text: Option<&str>| match text {
            None => Some(None),
            Some(text) => LineHash::parse(text).map(Some),
        };
        Some(Self {
            seq: written.seq,
            prev: hash(written.prev)?,
            over: hash(written.over)?,
        })
    }
}

/// What a chained record begins with.
const BEGINNING: &[u8] = b"{\"seq\":";

/// What a line is to the chain.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Content {
    /// A record, and what chains it.
    Record(Link),
    /// What a crash leaves of one: its beginning, nothing at all, or zeros.
    Beginning,
    /// Something else, with the beginning of a record in it.
    Prefixed,
    /// Something else.
    Other,
}

impl Content {
    /// Looks at a line, without its line end.
    #[must_use]
    pub fn of(line: &[u8]) -> Self {
        if let Some(link) = Link::parse(line) {
            return Self::Record(link);
        }
        if is_beginning(line) {
            return Self::Beginning;
        }
        let mut places = line.windows(BEGINNING.len()).skip(1);
        match places.any(|place| place == BEGINNING) {
            true => Self::Prefixed,
            false => Self::Other,
        }
    }
}

/// Whether a record may begin so: what is missing of it is its end alone, and no byte of it another.
fn is_beginning(line: &[u8]) -> bool {
    let zeros = line.iter().rev().take_while(|byte| **byte == 0).count();
    let line = line
        .get(..line.len().saturating_sub(zeros))
        .unwrap_or_default();
    let is_cut = |line: &[u8]| {
        let read = serde_json::from_slice::<IgnoredAny>(line);
        read.is_err_and(|error| error.is_eof())
    };
    match line.strip_prefix(BEGINNING) {
        None => BEGINNING.starts_with(line),
        // A number that is cut behind its sign or point is not called an end.
        Some(_) => is_cut(line) || is_cut(&[line, b"0"].concat()),
    }
}

/// The number of the record that a line was, or is the beginning of.
pub(super) fn claimed(line: &[u8]) -> Option<u64> {
    let rest = line.strip_prefix(BEGINNING)?;
    let end = rest.iter().position(|byte| *byte == b',')?;
    std::str::from_utf8(rest.get(..end)?).ok()?.parse().ok()
}

/// Where a chain ends.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Chain {
    /// The number of its last record, 0 before the first.
    pub(super) seq: u64,
    /// The hash of the last line.
    pub(super) last: Option<LineHash>,
    /// The hash of the last whole record: another than `last` behind a line that is none.
    pub(super) whole: Option<LineHash>,
}

impl Chain {
    /// Appends `record`, an object of at least one field with its line end, as the next line.
    pub(super) fn append(&mut self, record: &[u8], out: &mut Vec<u8>) {
        let start = out.len();
        let seq = self.seq.saturating_add(1);
        // Writing to a Vec cannot fail.
        let _ = match self.last {
            Some(hash) => write!(out, "{{\"seq\":{seq},\"prev\":\"{hash}\","),
            None => write!(out, "{{\"seq\":{seq},\"prev\":null,"),
        };
        if let Some(over) = self.whole.filter(|whole| Some(*whole) != self.last) {
            let _ = write!(out, "\"over\":\"{over}\",");
        }
        let fields = record.strip_prefix(b"{").unwrap_or(record);
        out.extend_from_slice(fields);
        let line = out.get(start..).unwrap_or_default();
        let line = line.strip_suffix(b"\n").unwrap_or(line);
        self.last = Some(LineHash::of(line));
        self.whole = self.last;
        self.seq = seq;
    }

    /// The chain after a line that is no whole record. Lines before a first record are of no chain:
    /// it holds the last of them.
    pub(super) fn torn(self, fragment: &[u8]) -> Self {
        let fragment = LineHash::of(fragment);
        let last = match (self.whole, self.last) {
            (Some(whole), Some(torn)) if torn != whole => torn.then(fragment),
            _ => fragment,
        };
        Self {
            last: Some(last),
            ..self
        }
    }
}

/// The end of a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Tail {
    pub(super) chain: Chain,
    /// Whether the last line is whole.
    pub(super) whole: bool,
}

/// Reads where the chain of a file ends; while no record in it is whole it goes on with `before`.
/// `None` where it holds nothing.
pub(super) fn tail(path: &Path, before: Chain) -> io::Result<Option<Tail>> {
    Ok(End::read(path)?.map(|end| Tail {
        chain: end.chain(before),
        whole: end.bytes.ends_with(b"\n"),
    }))
}

/// The bytes at the end of a file.
pub(super) struct End {
    bytes: Vec<u8>,
    /// Whether more stands before them.
    is_part: bool,
}

impl End {
    /// `None` where there are none.
    pub(super) fn read(path: &Path) -> io::Result<Option<Self>> {
        let mut options = OpenOptions::new();
        // A pipe has no end to look at, and is not waited for.
        options.custom_flags(rustix::fs::OFlags::NONBLOCK.bits().cast_signed());
        let mut file = options.read(true).open(path)?;
        let about = file.metadata()?;
        if !about.is_file() || about.len() == 0 {
            return Ok(None);
        }
        let from = about.len().saturating_sub(TAIL_MAX_BYTES);
        file.seek(SeekFrom::Start(from))?;
        let mut bytes = Vec::new();
        file.take(TAIL_MAX_BYTES).read_to_end(&mut bytes)?;
        Ok(Some(Self {
            bytes,
            is_part: from > 0,
        }))
    }

    /// The lines of which the beginning is there.
    pub(super) fn lines(&self) -> Vec<&[u8]> {
        let text = self.bytes.strip_suffix(b"\n").unwrap_or(&self.bytes);
        let lines = text.split(|byte| *byte == b'\n');
        lines.skip(usize::from(self.is_part)).collect()
    }

    /// Where it leaves the chain.
    pub(super) fn chain(&self, before: Chain) -> Chain {
        end_of(self.lines(), before)
    }
}

/// Where the last record among these lines leaves the chain, and the torn ones after it.
fn end_of(lines: Vec<&[u8]>, before: Chain) -> Chain {
    let mut records = lines.iter().enumerate().rev();
    let record = records.find_map(|(at, line)| Some((at, LineHash::of(line), Link::parse(line)?)));
    let (from, chain) = match record {
        None => (0, before),
        Some((at, hash, link)) => {
            let (last, whole) = (Some(hash), Some(hash));
            let seq = link.seq;
            (at.saturating_add(1), Chain { seq, last, whole })
        }
    };
    let torn = lines.iter().skip(from);
    torn.fold(chain, |chain, fragment| chain.torn(fragment))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test may panic")]

    use super::*;

    #[test]
    fn a_record_is_chained_to_the_bytes_before_it() {
        let mut chain = Chain::default();
        let mut out = Vec::new();
        chain.append(b"{\"a\":1}\n", &mut out);
        chain.append(b"{\"a\":2}\n", &mut out);
        let text = String::from_utf8(out).unwrap();
        let lines: Vec<&str> = text.lines().collect();
        assert_eq!(lines.first(), Some(&"{\"seq\":1,\"prev\":null,\"a\":1}"));
        let links: Vec<Link> = lines
            .iter()
            .map(|line| Link::parse(line.as_bytes()).unwrap())
            .collect();
        let first = LineHash::of(b"{\"seq\":1,\"prev\":null,\"a\":1}");
        assert_eq!(links.last().unwrap().prev, Some(first));
        assert_eq!(LineHash::parse(&first.to_string()), Some(first));
    }

    #[test]
    fn what_a_crash_leaves_is_the_beginning_of_a_record_and_nothing_else() {
        let mut line = Vec::new();
        Chain::default().append(
            "{\"a\":\"é\\u00e9\",\"b\":[1.5,-7,null]}\n".as_bytes(),
            &mut line,
        );
        line.pop();
        assert!(matches!(Content::of(&line), Content::Record(_)));
        for end in 0..line.len() {
            let mut torn = line.get(..end).unwrap().to_vec();
            assert_eq!(Content::of(&torn), Content::Beginning, "{end}");
            torn.extend([0; 9]);
            assert_eq!(Content::of(&torn), Content::Beginning, "{end}");
        }
        for other in ["{\"a\":1", "{}", "{\"seq\":1}x", "{\"seq\":x", "INFO", " "] {
            assert_eq!(Content::of(other.as_bytes()), Content::Other, "{other}");
        }
        let behind = [b"host agent[7]: ", &line[..]].concat();
        assert_eq!(Content::of(&behind), Content::Prefixed);
        assert_eq!(claimed(&line), Some(1));
        assert_eq!(claimed(b"{\"seq\":12"), None);
    }

    #[test]
    fn the_tail_is_found_behind_a_torn_line() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("audit.jsonl");
        let mut chain = Chain::default();
        let mut out = Vec::new();
        for _ in 0..3 {
            chain.append(b"{\"a\":1}\n", &mut out);
        }
        std::fs::write(&path, &out).unwrap();
        let whole = Tail { chain, whole: true };
        assert_eq!(tail(&path, Chain::default()).unwrap(), Some(whole));
        out.extend_from_slice(b"{\"seq\":4,\"pr");
        std::fs::write(&path, &out).unwrap();
        let torn = Tail {
            chain: chain.torn(b"{\"seq\":4,\"pr"),
            whole: false,
        };
        assert_eq!(tail(&path, Chain::default()).unwrap(), Some(torn));
        out.extend_from_slice(b"\n{\"seq\":4,");
        std::fs::write(&path, &out).unwrap();
        let twice = Tail {
            chain: torn.chain.torn(b"{\"seq\":4,"),
            whole: false,
        };
        assert_eq!(tail(&path, Chain::default()).unwrap(), Some(twice));
        std::fs::write(&path, "").unwrap();
        assert_eq!(tail(&path, Chain::default()).unwrap(), None);
    }
}
