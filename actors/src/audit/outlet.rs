//! One sink as it is written to: opened when there is something to write, and again after it failed.
//! Here each record is chained to the line before it.

use std::io;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::chain::{self, Chain};
use super::logfile::{LogFile, Meddling, write_all};
use super::standing::{self, Trouble, Turn};
use super::stream::{self, Patient};
use super::{Carrier, OnFull, Sink};
use crate::sparse;

/// Between two tries of a sink that failed.
pub(super) const RETRY_AFTER: Duration = Duration::from_secs(1);

/// That a sink fails is said again so often: as often as that SPIRE is away.
pub(super) const SAID_EVERY: Duration = Duration::from_mins(10);

/// A sink, and how it fares.
pub(super) struct Outlet {
    sink: Sink,
    /// The sink's, as the log and the status have it.
    name: Arc<str>,
    on_full: OnFull,
    state: State,
    chain: Chain,
    tail: Tail,
    /// The chain after a batch that was carried and not acknowledged.
    unanswered: Option<Chain>,
    /// What was in the way when it was last tried.
    trouble: Option<Trouble>,
    /// When that was last logged.
    said: Option<Instant>,
}

enum State {
    /// Nothing was written yet.
    Closed,
    Open(Target),
    /// It failed; it is tried again at this time.
    Failed(Instant),
}

/// What is written to.
enum Target {
    Stream(Box<dyn io::Write + Send>),
    File(LogFile),
    Collector(Arc<dyn Carrier>),
}

/// How the last line ends.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Tail {
    Whole,
    /// It was cut off: the next record begins a line of its own.
    Torn,
}

/// The sink failed; the records from this one on do not stand in it.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Failed {
    pub(super) from: usize,
}

/// Records chained and ready to be written.
struct Prepared {
    bytes: Vec<u8>,
    /// A line end that is not of the first record.
    lead: usize,
    /// Where each line ends, and the chain after it.
    ends: Vec<(usize, Chain)>,
}

impl Outlet {
    pub(super) fn new(sink: Sink, on_full: OnFull) -> Self {
        Self {
            name: sink.to_string().into(),
            sink,
            on_full,
            state: State::Closed,
            chain: Chain::default(),
            tail: Tail::Whole,
            unanswered: None,
            trouble: None,
            said: None,
        }
    }

    /// Writes the records from the `from`th on, and settles them as the sink's policy says; may block
    /// for as long as the sink does.
    pub(super) fn write(&mut self, records: &[Vec<u8>], from: usize) -> Result<(), Failed> {
        let Some((mut to, failed_before)) = self.opened() else {
            return Err(Failed { from });
        };
        let rest = records.get(from..).unwrap_or_default();
        match self.pass_on(&mut to, rest) {
            Ok(()) => {
                if failed_before {
                    tracing::info!(sink = %self.sink, "audit records are written again");
                }
                self.state = State::Open(to);
                self.trouble = None;
                Ok(())
            }
            Err((whole, error)) => {
                self.fail(&error, failed_before);
                Err(Failed { from: from + whole })
            }
        }
    }

    /// Its turn at a batch.
    pub(super) fn turn(&self, unwritten: usize) -> Turn {
        let is_pipe = match &self.state {
            State::Open(Target::File(file)) => Some(file.is_pipe()),
            State::Open(Target::Stream(_) | Target::Collector(_))
            | State::Closed
            | State::Failed(_) => None,
        };
        Turn {
            sink: Arc::clone(&self.name),
            remedy: self.sink.remedy_if_stuck(is_pipe),
            unwritten,
        }
    }

    /// What was in the way when it was last tried.
    pub(super) const fn trouble(&self) -> Option<&Trouble> {
        self.trouble.as_ref()
    }

    /// What was carried and not acknowledged will not be carried again. It may have arrived: what comes
    /// next goes on after it, and if it did not, the chain says what is missing.
    pub(super) fn give_up(&mut self) {
        if let Some(chain) = self.unanswered.take() {
            self.chain = chain;
        }
    }

    /// The file, if somebody else writes to it too.
    pub(super) fn shared(&self) -> Option<Arc<str>> {
        match &self.state {
            State::Open(Target::File(file)) if file.is_shared() => Some(Arc::clone(&self.name)),
            State::Open(_) | State::Closed | State::Failed(_) => None,
        }
    }

    /// When something that is written is to be brought to the disk, or it is to be looked who else writes.
    pub(super) fn sync_due(&self) -> Option<Instant> {
        match &self.state {
            State::Open(Target::File(file)) => file.due(),
            State::Open(_) | State::Closed | State::Failed(_) => None,
        }
    }

    /// Brings to the disk what is due, or at the end everything.
    pub(super) fn sync(&mut self, at_end: bool) {
        let State::Open(Target::File(file)) = &mut self.state else {
            return;
        };
        let synced = match at_end {
            true => file.sync_at_end(),
            false => file.sync_if_due().and_then(|()| file.look_around()),
        };
        if let Err(error) = synced {
            self.fail(&error, false);
        }
    }

    /// What to write to, and whether it failed the last time; `None` if it cannot be opened, or is
    /// not to be tried yet.
    fn opened(&mut self) -> Option<(Target, bool)> {
        let failed_before = match std::mem::replace(&mut self.state, State::Closed) {
            State::Open(to) => return Some((to, false)),
            State::Failed(retry_at) if Instant::now() < retry_at => {
                self.state = State::Failed(retry_at);
                return None;
            }
            State::Failed(_) => true,
            State::Closed => false,
        };
        match self.open() {
            Ok(to) => Some((to, failed_before)),
            Err(error) => {
                self.fail(&error, failed_before);
                None
            }
        }
    }

    fn open(&mut self) -> io::Result<Target> {
        Ok(match &self.sink {
            Sink::Stdout => {
                self.appends_to(stream::tail(io::stdout(), stream::STDOUT));
                Target::Stream(Box::new(Patient::of(io::stdout())?))
            }
            Sink::Stderr => {
                self.appends_to(stream::tail(io::stderr(), stream::STDERR));
                Target::Stream(Box::new(Patient::of(io::stderr())?))
            }
            Sink::Otlp(carrier) => Target::Collector(Arc::clone(carrier)),
            Sink::File(sink) => {
                let file = LogFile::open(sink)?;
                self.go_on(&file);
                Target::File(file)
            }
        })
    }

    /// Goes on with the chain that the file ends with. An empty file goes on with ours, if we have one.
    fn go_on(&mut self, file: &LogFile) {
        if file.is_empty() {
            self.tail = Tail::Whole;
            if self.chain.last.is_some() {
                return;
            }
        }
        match file.tail() {
            Ok(Some(tail)) => self.take_up(tail),
            Ok(None) => {}
            Err(error) => {
                tracing::warn!(
                    sink = %self.sink,
                    %error,
                    "the audit file cannot be read: its chain begins anew"
                );
            }
        }
    }

    /// A stream that is a file, to which others wrote before, is gone on with by a new process only:
    /// what stands at its end later may be anybody's.
    fn appends_to(&mut self, tail: Option<chain::Tail>) {
        if self.chain.last.is_none()
            && let Some(tail) = tail
        {
            self.take_up(tail);
        }
    }

    const fn take_up(&mut self, tail: chain::Tail) {
        self.chain = tail.chain;
        self.tail = match tail.whole {
            true => Tail::Whole,
            false => Tail::Torn,
        };
    }

    /// Gives, with an error, how many records stand all the same.
    fn pass_on(&mut self, to: &mut Target, records: &[Vec<u8>]) -> Result<(), (usize, io::Error)> {
        self.follow(to).map_err(|error| (0, error))?;
        let mut prepared = self.prepare(records);
        let written = match to {
            Target::Stream(to) => write_all(to, &prepared.bytes),
            Target::Collector(to) => {
                self.unanswered = prepared.ends.last().map(|(_, chain)| *chain);
                // It has no halves: what is tried again is the same lines.
                to.carry(std::mem::take(&mut prepared.bytes))
                    .map_err(|error| (0, error))
            }
            Target::File(file) => {
                if file.is_full(prepared.bytes.len()) {
                    file.rotate().map_err(|error| (0, error))?;
                    // A line that was cut off ends the file before: nothing leads here.
                    self.tail = Tail::Whole;
                    prepared = self.prepare(records);
                }
                file.write(&prepared.bytes)
            }
        };
        match written {
            Ok(()) => self.written(&prepared),
            Err((count, error)) => return Err((self.cut_off(to, &prepared, count), error)),
        }
        match to {
            Target::Stream(_) | Target::Collector(_) => Ok(()),
            // What the disk did not confirm is written again.
            Target::File(file) => file.settle().map_err(|error| (0, error)),
        }
    }

    /// A file that somebody else moved or removed is opened anew, and one that was cut is gone on with;
    /// the chain goes on as it was: what was taken from it is missing, and found to be.
    fn follow(&mut self, to: &mut Target) -> io::Result<()> {
        let Target::File(file) = to else {
            return Ok(());
        };
        let Some(meddling) = file.meddling()? else {
            return Ok(());
        };
        match (meddling, &self.sink) {
            (Meddling::Moved | Meddling::Removed, Sink::File(sink)) => *file = LogFile::open(sink)?,
            _ => file.accept()?,
        }
        self.tail = match file.is_torn()? {
            true => Tail::Torn,
            false => Tail::Whole,
        };
        self.tell(meddling);
        Ok(())
    }

    fn tell(&self, meddling: Meddling) {
        let Some(left_out) = sparse::MEDDLED.admits() else {
            return;
        };
        let (sink, seq) = (&self.sink, self.chain.seq.saturating_add(1));
        let (left_out, remedy) = (left_out.some(), meddling.remedy());
        match meddling {
            Meddling::Moved => {
                tracing::warn!(%sink, seq, left_out, remedy, "the audit file was moved; opened anew at this seq");
            }
            Meddling::Removed => {
                tracing::warn!(%sink, seq, left_out, remedy, "the audit file was removed; opened anew at this seq");
            }
            Meddling::Cut => {
                tracing::warn!(%sink, seq, left_out, remedy, "the audit file was cut; it goes on at this seq");
            }
        }
    }

    fn prepare(&self, records: &[Vec<u8>]) -> Prepared {
        let mut bytes = Vec::new();
        if self.tail == Tail::Torn {
            bytes.push(b'\n');
        }
        let lead = bytes.len();
        let mut chain = self.chain;
        let ends = records.iter().map(|record| {
            chain.append(record, &mut bytes);
            (bytes.len(), chain)
        });
        let ends = ends.collect();
        Prepared { bytes, lead, ends }
    }

    fn written(&mut self, prepared: &Prepared) {
        self.tail = Tail::Whole;
        self.unanswered = None;
        if let Some((_, chain)) = prepared.ends.last() {
            self.chain = *chain;
        }
    }

    /// After so many bytes the sink failed: how many records stand, and what the chain goes on from.
    fn cut_off(&mut self, to: &mut Target, prepared: &Prepared, count: usize) -> usize {
        if count < prepared.lead || count == 0 {
            return 0;
        }
        self.tail = Tail::Whole;
        // A record stands without its line end, too.
        let whole = prepared
            .ends
            .iter()
            .take_while(|(end, _)| *end <= count + 1);
        let whole: Vec<_> = whole.collect();
        let mut end = prepared.lead;
        if let Some((at, chain)) = whole.last() {
            end = *at;
            self.chain = *chain;
        }
        if end > count {
            self.tail = Tail::Torn;
            return whole.len();
        }
        let fragment = prepared.bytes.get(end..count).unwrap_or_default();
        let taken_back = match to {
            Target::File(file) => file.take_back(fragment.len()).is_ok(),
            Target::Stream(_) | Target::Collector(_) => false,
        };
        if !fragment.is_empty() && !taken_back {
            self.chain = self.chain.torn(fragment);
            self.tail = Tail::Torn;
        }
        whole.len()
    }

    /// Said once for each failure, and again every ten minutes while it lasts, not for each try.
    fn fail(&mut self, error: &io::Error, failed_before: bool) {
        let remedy = self.sink.remedy(error);
        let now = Instant::now();
        if !failed_before || self.said.is_none_or(|said| now >= said + SAID_EVERY) {
            self.said = Some(now);
            let (sink, requests) = (&self.sink, standing::costs(self.on_full));
            tracing::error!(%sink, %error, %remedy, requests, "audit records are not written until this sink can be");
        }
        // What is in the way may have changed; since when, has not.
        let since = self.trouble.as_ref().map(|before| before.since);
        let mut trouble = Trouble::new(self.sink.to_string(), error, remedy);
        trouble.since = since.unwrap_or(trouble.since);
        self.trouble = Some(trouble);
        self.state = State::Failed(now + RETRY_AFTER);
    }
}

#[cfg(test)]
mod tests {
    #![allow(
        clippy::unwrap_used,
        clippy::indexing_slicing,
        reason = "a test may panic"
    )]

    use std::path::Path;

    use config::{FileSink, Fsync, Rotation};

    use super::*;
    use crate::audit::verify::{Note, Report};
    use crate::audit::{Origin, verify_files};

    fn outlet(path: &Path) -> Outlet {
        of(FileSink::at(path.to_owned()))
    }

    fn of(sink: FileSink) -> Outlet {
        Outlet::new(Sink::File(sink), OnFull::Drop)
    }

    fn record(n: usize) -> Vec<u8> {
        format!("{{\"n\":{n}}}\n").into_bytes()
    }

    fn records(range: std::ops::Range<usize>) -> Vec<Vec<u8>> {
        range.map(record).collect()
    }

    fn verified(paths: &[&Path]) -> Report {
        verify_files(paths, Origin::Files, None).unwrap().report
    }

    #[test]
    fn a_sink_is_opened_again_after_it_failed() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("later/audit.jsonl");
        let mut outlet = outlet(&path);
        assert_eq!(outlet.write(&records(0..1), 0), Err(Failed { from: 0 }));
        std::fs::create_dir(dir.path().join("later")).unwrap();
        // Not yet due.
        assert_eq!(outlet.write(&records(0..1), 0), Err(Failed { from: 0 }));
        outlet.state = State::Failed(Instant::now());
        assert_eq!(outlet.write(&records(0..2), 1), Ok(()));
        let report = verified(&[&path]);
        assert_eq!((report.records, report.is_whole()), (1, true));
    }

    #[test]
    fn a_full_disk_is_tried_again() {
        let mut outlet = outlet(Path::new("/dev/full"));
        assert_eq!(outlet.write(&records(0..1), 0), Err(Failed { from: 0 }));
        assert!(matches!(outlet.state, State::Failed(_)));
        assert_eq!(outlet.chain, Chain::default());
        // Said once, and again when it has lasted.
        let first = outlet.said.unwrap();
        let again = |outlet: &mut Outlet| {
            outlet.state = State::Failed(Instant::now());
            assert_eq!(outlet.write(&records(0..1), 0), Err(Failed { from: 0 }));
            outlet.said.unwrap()
        };
        assert_eq!(again(&mut outlet), first);
        let long_ago = first.checked_sub(SAID_EVERY).unwrap();
        outlet.said = Some(long_ago);
        assert!(again(&mut outlet) > first);
    }

    /// The second before a record was whole behind the first torn line, and a third.
    #[test]
    fn the_chain_goes_on_over_crashes_in_a_row() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("audit.jsonl");
        outlet(&path).write(&records(0..3), 0).unwrap();
        for crash in 0..3 {
            outlet(&path).write(&records(3..4), 0).unwrap();
            let size = std::fs::metadata(&path).unwrap().len();
            tear(&path, usize::try_from(size).unwrap() - 9 - crash);
        }
        outlet(&path).write(&records(4..6), 0).unwrap();
        let report = verified(&[&path]);
        assert!(report.is_whole(), "{report:?}");
        assert_eq!(report.last.unwrap().seq, 5);
        let text = std::fs::read_to_string(&path).unwrap();
        let mut lines: Vec<&str> = text.lines().collect();
        assert_eq!(lines.len(), 3 + 3 + 2);
        for torn in 3..6 {
            let mut without = lines.clone();
            without.remove(torn);
            std::fs::write(&path, without.join("\n") + "\n").unwrap();
            assert!(!verified(&[&path]).is_whole(), "without line {torn}");
        }
        lines.swap(3, 4);
        std::fs::write(&path, lines.join("\n") + "\n").unwrap();
        assert!(!verified(&[&path]).is_whole());
    }

    /// Junk before a start, more than the agent looks through: what stands before it is not known, and
    /// that the chain begins anew behind it is a break.
    #[test]
    fn a_chain_does_not_begin_anew_within_a_file() {
        let junk = "x".repeat(usize::try_from(chain::TAIL_MAX_BYTES).unwrap() + 9) + "\n";
        for junk in [junk.as_str(), "{\"seq\":1,\"prev\":null}\n"] {
            let dir = tempfile::tempdir().unwrap();
            let path = dir.path().join("audit.jsonl");
            outlet(&path).write(&records(0..3), 0).unwrap();
            let text = std::fs::read_to_string(&path).unwrap();
            std::fs::write(&path, text + junk).unwrap();
            outlet(&path).write(&records(3..6), 0).unwrap();
            let report = verified(&[&path]);
            assert!(!report.is_whole(), "{report:?}");
        }
    }

    /// Over a restart, a crash that tore the last line, and a second crash.
    #[test]
    fn the_chain_goes_on_over_restarts_and_a_torn_line() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("audit.jsonl");
        outlet(&path).write(&records(0..3), 0).unwrap();
        outlet(&path).write(&records(3..5), 0).unwrap();
        let whole = std::fs::read(&path).unwrap();
        std::fs::write(&path, &whole[..whole.len() - 9]).unwrap();
        outlet(&path).write(&records(5..7), 0).unwrap();
        let report = verified(&[&path]);
        assert!(report.is_whole(), "{report:?}");
        assert_eq!(report.last.unwrap().seq, 6);
        assert!(matches!(report.notes[..], [Note::Torn(place)] if place.line == 5));
    }

    #[test]
    fn the_chain_goes_on_over_rotation_by_us_and_by_others() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("audit.jsonl");
        let sink = FileSink {
            rotation: Some(Rotation {
                at_bytes: 400,
                keep: 9,
            }),
            fsync: Fsync::Always,
            ..FileSink::at(path.clone())
        };
        let mut outlet = of(sink.clone());
        for n in 0..9 {
            outlet.write(&records(n..n + 1), 0).unwrap();
        }
        let moved = dir.path().join("moved");
        std::fs::rename(&path, &moved).unwrap();
        outlet.write(&records(9..10), 0).unwrap();
        // Right after a rotation the file is empty or gone, and the process ends.
        let newest = dir.path().join("audit.jsonl.1");
        std::fs::rename(&newest, dir.path().join("older")).unwrap();
        std::fs::rename(&path, &newest).unwrap();
        of(sink).write(&records(10..11), 0).unwrap();
        let files = std::fs::read_dir(dir.path()).unwrap();
        let files: Vec<_> = files.map(|file| file.unwrap().path()).collect();
        let files: Vec<&Path> = files.iter().map(std::path::PathBuf::as_path).collect();
        assert!(files.len() > 3, "{files:?}");
        let report = verified(&files);
        assert!(report.is_whole(), "{report:?}");
        assert_eq!((report.records, report.last.unwrap().seq), (11, 11));
    }

    fn rotating(path: &Path) -> FileSink {
        FileSink {
            rotation: Some(Rotation {
                at_bytes: 400,
                keep: 9,
            }),
            ..FileSink::at(path.to_owned())
        }
    }

    fn tear(path: &Path, bytes: usize) {
        let whole = std::fs::read(path).unwrap();
        std::fs::write(path, &whole[..bytes.min(whole.len())]).unwrap();
    }

    /// The file is full with the line that a crash tore: the line end that is due is of that file.
    #[test]
    fn a_torn_line_before_a_rotation_leaves_the_chain_whole() {
        let dir = tempfile::tempdir().unwrap();
        let (path, before) = (dir.path().join("a"), dir.path().join("a.1"));
        of(rotating(&path)).write(&records(0..4), 0).unwrap();
        let size = std::fs::metadata(&path).unwrap().len();
        tear(&path, usize::try_from(size).unwrap() - 9);
        of(rotating(&path)).write(&records(4..6), 0).unwrap();
        let begins = std::fs::read(&path).unwrap();
        assert!(begins.starts_with(b"{\"seq\":4"), "{begins:?}");
        let report = verified(&[&path, &before]);
        assert!(report.is_whole(), "{report:?}");
        assert_eq!((report.records, report.last.unwrap().seq), (5, 5));
    }

    /// The first line of a new file is torn: the number is of the file before, and what is taken from
    /// that one is missed.
    #[test]
    fn a_file_without_a_whole_record_goes_on_with_the_one_before() {
        let dir = tempfile::tempdir().unwrap();
        let (path, before) = (dir.path().join("a"), dir.path().join("a.1"));
        let mut outlet = of(rotating(&path));
        outlet.write(&records(0..5), 0).unwrap();
        outlet.write(&records(5..6), 0).unwrap();
        drop(outlet);
        tear(&path, 20);
        let report = verified(&[&path, &before]);
        assert!(report.is_whole(), "before a restart: {report:?}");
        of(rotating(&path)).write(&records(6..7), 0).unwrap();
        let report = verified(&[&path, &before]);
        assert!(report.is_whole(), "{report:?}");
        assert_eq!((report.records, report.last.unwrap().seq), (6, 6));
        let text = std::fs::read_to_string(&before).unwrap();
        let kept: Vec<&str> = text.lines().take(3).collect();
        std::fs::write(&before, kept.join("\n") + "\n").unwrap();
        assert!(!verified(&[&path, &before]).is_whole());
    }

    /// As logrotate's `dateext` does it, and then a restart.
    #[test]
    fn the_chain_goes_on_after_a_rename_by_date_and_a_restart() {
        let dir = tempfile::tempdir().unwrap();
        let (path, moved) = (dir.path().join("a"), dir.path().join("a-20260102"));
        outlet(&path).write(&records(0..3), 0).unwrap();
        std::fs::rename(&path, &moved).unwrap();
        outlet(&path).write(&records(3..5), 0).unwrap();
        let report = verified(&[&path, &moved]);
        assert!(report.is_whole(), "{report:?}");
        assert_eq!((report.last.unwrap().seq, &report.notes[..]), (5, &[][..]));
    }

    /// Compressed, or moved to elsewhere: nothing to go on with, which is noted and no break. A
    /// file of somebody else's is none of ours.
    #[test]
    fn a_chain_that_has_nothing_to_go_on_with_begins_anew() {
        let dir = tempfile::tempdir().unwrap();
        let (path, moved) = (dir.path().join("a"), dir.path().join("elsewhere"));
        outlet(&path).write(&records(0..3), 0).unwrap();
        std::fs::rename(&path, &moved).unwrap();
        std::fs::copy(&moved, dir.path().join("a-b")).unwrap();
        std::fs::write(dir.path().join("a-20260102.gz"), b"\x1f\x8b").unwrap();
        outlet(&path).write(&records(3..5), 0).unwrap();
        let report = verified(&[&moved, &path]);
        assert!(report.is_whole(), "{report:?}");
        assert!(
            matches!(report.notes[..], [Note::Anew(place)] if (place.file, place.line) == (1, 1))
        );
    }

    /// While the agent runs: it goes on with its own chain, so what was taken is missed.
    #[test]
    fn what_is_taken_from_a_file_under_the_agent_is_missed() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a");
        let mut outlet = outlet(&path);
        outlet.write(&records(0..3), 0).unwrap();
        let line = std::fs::read_to_string(&path).unwrap();
        tear(&path, line.find('\n').unwrap() + 1);
        outlet.write(&records(3..4), 0).unwrap();
        let report = verified(&[&path]);
        assert_eq!((report.records, report.broken.len()), (2, 1), "{report:?}");
        std::fs::remove_file(&path).unwrap();
        outlet.write(&records(4..5), 0).unwrap();
        assert_eq!(verified(&[&path]).first.unwrap().seq, 5);
    }

    /// `agent >> file`, and the process before was killed in the middle of a line.
    #[test]
    fn a_stream_that_is_a_file_is_gone_on_with_on_a_line_of_its_own() {
        let mut outlet = outlet(Path::new("/dev/null"));
        let chain = Chain::default().torn(b"{\"seq\":1,");
        let whole = false;
        outlet.appends_to(Some(chain::Tail { chain, whole }));
        let prepared = outlet.prepare(&records(0..1));
        assert!(prepared.bytes.starts_with(b"\n{\"seq\":1,\"prev\":\""));
        // Later, others may have written there.
        outlet.written(&prepared);
        let ours = outlet.chain;
        outlet.appends_to(Some(chain::Tail { chain, whole }));
        assert_eq!(outlet.chain, ours);
    }

    /// A pipe takes a part, then fails: what stands is not written again, and the part is covered.
    #[test]
    fn a_part_of_a_batch_is_counted_by_its_lines() {
        let mut outlet = outlet(Path::new("/dev/null"));
        let prepared = outlet.prepare(&records(0..3));
        let second = prepared.ends[1];
        let mut stream = Target::Stream(Box::new(io::sink()));
        assert_eq!(outlet.cut_off(&mut stream, &prepared, second.0), 2);
        assert_eq!(outlet.chain, second.1);
        assert!(outlet.tail == Tail::Whole);
        let again = outlet.prepare(&records(2..3));
        assert_eq!(outlet.cut_off(&mut stream, &again, 5), 0);
        assert!(outlet.tail == Tail::Torn);
        assert_eq!(outlet.chain, second.1.torn(&again.bytes[..5]));
        // All but the line end: the record stands, and its number is used.
        let third = again.ends[0];
        assert_eq!(outlet.cut_off(&mut stream, &again, third.0 - 1), 1);
        assert!(outlet.tail == Tail::Torn);
        assert_eq!(outlet.chain, third.1);
        // The line end alone.
        let lead = outlet.prepare(&records(2..3));
        assert_eq!(outlet.cut_off(&mut stream, &lead, 1), 0);
        assert!(outlet.tail == Tail::Whole);
    }
}
