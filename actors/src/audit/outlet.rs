//! One sink as it is written to: opened when there is something to write, and again after it failed.
//! Here each record is chained to the line before it.

use std::io;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::chain::Chain;
use super::logfile::{LogFile, write_all};
use super::standing::Trouble;
use super::{Carrier, Sink};

/// Between two tries of a sink that failed.
pub(super) const RETRY_AFTER: Duration = Duration::from_secs(1);

/// A sink, and how it fares.
pub(super) struct Outlet {
    sink: Sink,
    state: State,
    chain: Chain,
    tail: Tail,
    /// The chain after a batch that was carried and not acknowledged.
    unanswered: Option<Chain>,
    /// What was in the way when it was last tried.
    trouble: Option<Trouble>,
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
    pub(super) fn new(sink: Sink) -> Self {
        Self {
            sink,
            state: State::Closed,
            chain: Chain::default(),
            tail: Tail::Whole,
            unanswered: None,
            trouble: None,
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

    /// When something that is written is to be brought to the disk.
    pub(super) fn sync_due(&self) -> Option<Instant> {
        match &self.state {
            State::Open(Target::File(file)) => file.sync_due(),
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
            false => file.sync_if_due(),
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
            Sink::Stdout => Target::Stream(Box::new(io::stdout())),
            Sink::Stderr => Target::Stream(Box::new(io::stderr())),
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
            Ok(Some(tail)) => {
                self.chain = tail.chain;
                self.tail = match tail.whole {
                    true => Tail::Whole,
                    false => Tail::Torn,
                };
            }
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

    /// A file that somebody else moved away is opened anew.
    fn follow(&mut self, to: &mut Target) -> io::Result<()> {
        if let Target::File(file) = to
            && !file.is_current()?
        {
            *to = self.open()?;
        }
        Ok(())
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
        let whole = prepared.ends.iter().take_while(|(end, _)| *end <= count);
        let whole: Vec<_> = whole.collect();
        let mut end = prepared.lead;
        if let Some((at, chain)) = whole.last() {
            end = *at;
            self.chain = *chain;
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

    /// Said once for each failure that lasts, not for each try.
    fn fail(&mut self, error: &io::Error, failed_before: bool) {
        let remedy = self.sink.remedy(error);
        if !failed_before {
            let sink = &self.sink;
            tracing::error!(%sink, %error, %remedy, "audit records are not written until this sink can be");
        }
        // What is in the way may have changed; since when, has not.
        let since = self.trouble.as_ref().map(|before| before.since);
        let mut trouble = Trouble::new(self.sink.to_string(), error, remedy);
        trouble.since = since.unwrap_or(trouble.since);
        self.trouble = Some(trouble);
        self.state = State::Failed(Instant::now() + RETRY_AFTER);
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
    use crate::audit::verify_files;

    fn outlet(path: &Path) -> Outlet {
        Outlet::new(Sink::File(FileSink::at(path.to_owned())))
    }

    fn record(n: usize) -> Vec<u8> {
        format!("{{\"n\":{n}}}\n").into_bytes()
    }

    fn records(range: std::ops::Range<usize>) -> Vec<Vec<u8>> {
        range.map(record).collect()
    }

    fn verified(paths: &[&Path]) -> Report {
        verify_files(paths, None).unwrap().report
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
        let mut outlet = Outlet::new(Sink::File(sink.clone()));
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
        Outlet::new(Sink::File(sink))
            .write(&records(10..11), 0)
            .unwrap();
        let files = std::fs::read_dir(dir.path()).unwrap();
        let files: Vec<_> = files.map(|file| file.unwrap().path()).collect();
        let files: Vec<&Path> = files.iter().map(std::path::PathBuf::as_path).collect();
        assert!(files.len() > 3, "{files:?}");
        let report = verified(&files);
        assert!(report.is_whole(), "{report:?}");
        assert_eq!((report.records, report.last.unwrap().seq), (11, 11));
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
        // The line end alone.
        let lead = outlet.prepare(&records(2..3));
        assert_eq!(outlet.cut_off(&mut stream, &lead, 1), 0);
        assert!(outlet.tail == Tail::Whole);
    }
}
