//! Whether a chain of records is whole: line by line, in memory that does not grow with the files.
//!
//! A line that was changed shows in the line after it, which holds another hash. If the line after
//! that does not fit either, it was the middle one whose `prev` was changed: so a break waits for one
//! more line before somebody is named.

mod found;
mod recent;

pub use self::found::{Anchor, Broken, Note, Origin, Others, Place, Report, Why};
use self::recent::{Again, Recent};
use super::chain::{Content, LineHash, Link};

/// Breaks and notes that are told one by one; the rest are counted.
const TOLD_MAX: usize = 100;

/// A line of the chain, and whether it was named already.
#[derive(Clone, Copy, Debug)]
struct Line {
    place: Place,
    anchor: Anchor,
    named: Named,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Named {
    No,
    Yes,
}

/// Lines that are no records, since the last record.
#[derive(Clone, Copy, Debug)]
struct Strays {
    first: Place,
    last: Place,
    /// Of the last of them.
    hash: LineHash,
    /// Of all of them.
    folded: LineHash,
    count: u64,
    /// The first that is not what a crash leaves.
    other: Option<Place>,
}

impl Note {
    /// What they are, as far as that is known.
    fn of(strays: Strays) -> Self {
        match (strays.count, strays.other) {
            (1, Some(place)) => Self::Other(place),
            (1, None) if strays.hash == LineHash::of(b"") => Self::Empty(strays.last),
            (1, None) => Self::Torn(strays.last),
            (count, Some(_)) => Self::OtherOften(strays.first, count),
            (count, None) => Self::TornOften(strays.first, count),
        }
    }
}

/// Whether an agent that found no record writes this: the first line of all, or behind the last of those
/// that are none. It is the one place where `prev` holds less than all of them: they are of no chain.
fn is_beginning(strays: Option<Strays>, link: Link) -> bool {
    let is_behind = strays.is_some_and(|strays| link.prev == Some(strays.hash));
    link.seq == 1 && link.over.is_none() && (link.prev.is_none() || is_behind)
}

/// Reads lines.
#[derive(Debug, Default)]
pub struct Verifier {
    base: Option<Line>,
    strays: Option<Strays>,
    /// A record that the line after it does not fit; that line is the base.
    suspect: Option<Line>,
    /// The base before the base, which seems to begin a chain: the line after it will tell.
    begun: Option<Line>,
    /// The first record of the chain that began anew last: what begins with it again is a copy.
    begun_with: Option<Anchor>,
    origin: Origin,
    expect: Option<LineHash>,
    recent: Recent,
    report: Report,
}

impl Verifier {
    /// Of lines of this origin; looks for the record whose line has this hash, too.
    #[must_use]
    pub fn new(origin: Origin, expect: Option<LineHash>) -> Self {
        Self {
            origin,
            expect,
            ..Self::default()
        }
    }

    /// Takes the next line: its hash, and what it is.
    pub fn take(&mut self, place: Place, hash: LineHash, content: Content) {
        let Content::Record(link) = content else {
            return self.stray(place, hash, content);
        };
        let line = Line {
            place,
            anchor: Anchor {
                seq: link.seq,
                hash,
            },
            named: Named::No,
        };
        if self.origin == Origin::Collected {
            match self.recent.take(place, hash) {
                Again::No => {}
                Again::First => return self.note(Note::Resent(place)),
                Again::GoesOn => return,
            }
        }
        self.report.records = self.report.records.saturating_add(1);
        if self.expect == Some(hash) {
            self.report.expected = Some(line.anchor);
        }
        match self.base {
            None => self.begin(line, link),
            Some(base) => self.follow(base, line, link),
        }
    }

    /// What was found in all lines.
    #[must_use]
    pub fn finish(mut self) -> Report {
        if let Some(suspect) = self.suspect.take() {
            self.name(suspect, Why::ChangedOrNext);
        }
        match (self.begun.take(), self.base) {
            (Some(before), Some(base)) if base.anchor.seq == 1 => self.began(before, base),
            (Some(before), Some(base)) => {
                self.backwards(before, base);
                self.base = Some(before);
            }
            _ => {}
        }
        match (self.strays.take(), self.base) {
            (Some(strays), Some(base)) => self.behind_all(strays, base),
            (Some(strays), None) => self.note(Note::Unchained(strays.count)),
            (None, _) => {}
        }
        self.report.last = self.base.map(|base| base.anchor);
        self.report
    }

    fn stray(&mut self, place: Place, hash: LineHash, content: Content) {
        if let Some(suspect) = self.suspect.take() {
            self.name(suspect, Why::Changed);
        }
        let is_other = content != Content::Beginning;
        if is_other {
            self.count_other(place, content);
        }
        let before = self.strays;
        self.strays = Some(Strays {
            first: before.map_or(place, |strays| strays.first),
            last: place,
            hash,
            folded: before.map_or(hash, |strays| strays.folded.then(hash)),
            count: before.map_or(1, |strays| strays.count.saturating_add(1)),
            other: before
                .and_then(|strays| strays.other)
                .or(is_other.then_some(place)),
        });
    }

    fn count_other(&mut self, place: Place, content: Content) {
        let others = self.report.others.get_or_insert(Others {
            first: place,
            count: 0,
            prefixed: 0,
        });
        others.count = others.count.saturating_add(1);
        if content == Content::Prefixed {
            others.prefixed = others.prefixed.saturating_add(1);
        }
    }

    /// Lines behind the last record. A file that holds no record is the newest, and its first one was torn;
    /// what else stands in it was another record before, or is none of ours.
    fn behind_all(&mut self, strays: Strays, base: Line) {
        match strays.other {
            Some(place) if self.origin == Origin::Files && place.file != base.place.file => {
                self.broken(place, None, Why::Foreign);
            }
            _ => self.torn(strays),
        }
    }

    /// The first record of all.
    fn begin(&mut self, mut line: Line, link: Link) {
        self.report.first = Some(line.anchor);
        if let Some(strays) = self.strays.take() {
            match link.over {
                None => self.behind_unchained(strays, link),
                // There was a record before them.
                Some(_) => {
                    self.note(Note::Continues);
                    self.torn(strays);
                    if link.prev != Some(strays.folded) {
                        self.broken(strays.first, None, Why::Foreign);
                    }
                }
            }
        } else if link.prev.is_some() {
            self.note(Note::Continues);
        } else if link.seq != 1 {
            // What has nothing before it is the first.
            self.broken(line.place, Some(link.seq), Why::Changed);
            line.named = Named::Yes;
            line.anchor.seq = 1;
        }
        self.base = Some(line);
    }

    /// Lines from before there was a chain: its first record covers the one before it.
    fn behind_unchained(&mut self, strays: Strays, link: Link) {
        self.note(Note::Unchained(strays.count));
        if link.prev != Some(strays.hash) || link.seq != 1 {
            let place = match link.seq {
                1 => strays.last,
                _ => strays.first,
            };
            self.broken(place, None, Why::Foreign);
        }
    }

    fn follow(&mut self, base: Line, line: Line, link: Link) {
        let base = self.settle_begun(base, link);
        let due = base.anchor.seq.saturating_add(1);
        let strays = self.strays.take();
        if is_beginning(strays, link) && (!self.is_first(line) || self.may_begin(base, line)) {
            return self.anew(strays, base, line);
        }
        let before = strays.map_or(base.anchor.hash, |strays| strays.folded);
        if link.prev == Some(before) {
            self.settle_suspect(Why::Changed);
            let Some(strays) = strays else {
                return self.fits(due, line);
            };
            self.torn(strays);
            return self.behind_torn(strays, base, line, link);
        }
        if let Some(strays) = strays {
            self.settle_suspect(Why::Changed);
            return self.behind_strays(strays, base, line, link);
        }
        match link.seq {
            seq if seq == due => self.misfits(base, line),
            seq if seq > due => {
                self.settle_suspect(Why::Changed);
                let to = seq.saturating_sub(1);
                self.broken(line.place, Some(seq), Why::Missing { from: due, to });
                self.base = Some(line);
            }
            _ if line.anchor != base.anchor && self.may_begin(base, line) => {
                self.settle_suspect(Why::Changed);
                self.begun = Some(base);
                self.base = Some(line);
            }
            _ => self.backwards(base, line),
        }
    }

    /// An agent that found nothing to go on with began a chain. Who can write the file can make it look
    /// so, and what stands before is then held by nothing: the note says it.
    fn anew(&mut self, strays: Option<Strays>, base: Line, line: Line) {
        self.settle_suspect(Why::Changed);
        if let Some(strays) = strays {
            self.torn(strays);
        }
        self.begun = Some(base);
        self.base = Some(line);
    }

    /// A chain that seemed to begin has begun if the next record goes on with it; else its first record
    /// stands where it does not belong. Gives the base of the next.
    fn settle_begun(&mut self, base: Line, next: Link) -> Line {
        let Some(before) = self.begun.take() else {
            return base;
        };
        let goes_on = next.prev == Some(base.anchor.hash);
        // A chain begins with each start, or file: then its next records may be gone.
        let is_start = base.anchor.seq == 1
            && match self.may_begin(before, base) {
                true => next.prev != Some(before.anchor.hash),
                false => next.seq <= 2 || self.strays.is_some(),
            };
        if goes_on || is_start {
            self.began(before, base);
            return base;
        }
        self.backwards(before, base);
        before
    }

    /// Whether a chain may begin with a line, by where it stands.
    fn may_begin(&self, before: Line, line: Line) -> bool {
        self.origin == Origin::Collected || before.place.file != line.place.file
    }

    /// It began with its first record, or those before are gone, or stood before already.
    fn began(&mut self, before: Line, base: Line) {
        let is_headless = base.anchor.seq > 1;
        match self.origin {
            _ if self.is_first(base) => self.name(base, Why::Copied),
            Origin::Files if is_headless => self.name(base, Why::Copied),
            Origin::Collected if is_headless => {
                let to = base.anchor.seq.saturating_sub(1);
                self.name(base, Why::Missing { from: 1, to });
            }
            Origin::Files | Origin::Collected => self.began_anew(before, base),
        }
    }

    /// Whoever moved the files away or collects streams can say why; within one file nobody can.
    fn began_anew(&mut self, before: Line, base: Line) {
        match self.origin {
            Origin::Files if before.place.file == base.place.file => self.name(base, Why::Anew),
            Origin::Files | Origin::Collected => self.note(Note::Anew(base.place)),
        }
        self.begun_with = Some(base.anchor);
    }

    /// Whether it is the first record of all again, or that of the last chain that began.
    fn is_first(&self, line: Line) -> bool {
        [self.report.first, self.begun_with].contains(&Some(line.anchor))
    }

    /// It is the line after the base, by its hash.
    fn fits(&mut self, due: u64, mut line: Line) {
        if line.anchor.seq != due {
            self.broken(line.place, Some(line.anchor.seq), Why::Changed);
            line.named = Named::Yes;
            line.anchor.seq = due;
        }
        self.base = Some(line);
    }

    /// It is tied to the torn line before it, and by `over` to the record before that, which is the base
    /// if nothing is missing.
    fn behind_torn(&mut self, strays: Strays, base: Line, line: Line, link: Link) {
        let due = base.anchor.seq.saturating_add(1);
        let seq = line.anchor.seq;
        if seq <= due {
            match link.over {
                Some(over) if over == base.anchor.hash => {}
                Some(_) if base.named == Named::No => self.name(base, Why::Changed),
                Some(_) => {}
                // The agent saw no record before so much of what is none.
                None => self.broken(strays.first, None, Why::Foreign),
            }
            return self.fits(due, line);
        }
        let to = seq.saturating_sub(1);
        self.broken(line.place, Some(seq), Why::Missing { from: due, to });
        self.base = Some(line);
    }

    /// Its number follows, and its `prev` is another: one of the two lines was changed.
    fn misfits(&mut self, base: Line, mut line: Line) {
        if self.suspect.take().is_some() {
            // Neither fits: what was changed in the middle line is its own `prev`.
            self.name(base, Why::Changed);
        } else if base.named == Named::No {
            self.suspect = Some(base);
        }
        line.named = Named::No;
        self.base = Some(line);
    }

    /// Its number was passed already.
    fn backwards(&mut self, base: Line, line: Line) {
        let why = match line.anchor == base.anchor {
            true => Why::Repeated,
            false => Why::OutOfOrder,
        };
        self.broken(line.place, Some(line.anchor.seq), why);
    }

    /// Between the base and this record stand lines that it does not cover.
    fn behind_strays(&mut self, strays: Strays, base: Line, line: Line, link: Link) {
        let due = base.anchor.seq.saturating_add(1);
        let gap = link.seq.checked_sub(due);
        let why = match gap {
            // Nothing is missing: they were put in.
            Some(0) => Why::Foreign,
            _ => Why::Changed,
        };
        self.broken(strays.first, None, why);
        match gap {
            None => return self.backwards(base, line),
            Some(gap) if gap > strays.count => {
                let from = due.saturating_add(strays.count);
                let to = link.seq.saturating_sub(1);
                self.broken(line.place, Some(link.seq), Why::Missing { from, to });
            }
            Some(_) => {}
        }
        self.base = Some(line);
    }

    /// Lines that crashes tore, each before a record behind it was whole. At the end nothing covers them,
    /// nor what was cut off there.
    fn torn(&mut self, strays: Strays) {
        self.note(Note::of(strays));
    }

    fn settle_suspect(&mut self, why: Why) {
        if let Some(suspect) = self.suspect.take() {
            self.name(suspect, why);
        }
    }

    fn name(&mut self, line: Line, why: Why) {
        self.broken(line.place, Some(line.anchor.seq), why);
    }

    fn broken(&mut self, place: Place, seq: Option<u64>, why: Why) {
        if self.report.broken.len() < TOLD_MAX {
            self.report.broken.push(Broken { place, seq, why });
        } else {
            self.report.more_broken = self.report.more_broken.saturating_add(1);
        }
    }

    fn note(&mut self, note: Note) {
        if self.report.notes.len() < TOLD_MAX {
            self.report.notes.push(note);
        } else {
            self.report.more_notes = self.report.more_notes.saturating_add(1);
        }
    }
}

#[cfg(test)]
mod tests;
