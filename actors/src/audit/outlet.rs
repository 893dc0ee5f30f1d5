//! One sink as it is written to: opened when there is something to write, and again after it failed.

use std::io::{self, Write};
use std::time::{Duration, Instant};

use super::Sink;

/// Between two tries of a sink that failed.
const RETRY_AFTER: Duration = Duration::from_secs(1);

/// A sink, and how it fares.
pub(super) struct Outlet {
    sink: Sink,
    state: State,
    /// Whether the last record was cut off: the next one begins a line of its own.
    tail: Tail,
}

enum State {
    /// Nothing was written yet.
    Closed,
    Open(Box<dyn Write + Send>),
    /// It failed; it is tried again at this time.
    Failed(Instant),
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Tail {
    Whole,
    Torn,
}

/// The lines were not written, or not all.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Lost;

impl Outlet {
    pub(super) const fn new(sink: Sink) -> Self {
        Self {
            sink,
            state: State::Closed,
            tail: Tail::Whole,
        }
    }

    /// Writes whole lines, or says that they are lost; may block for as long as the sink does.
    pub(super) fn write(&mut self, lines: &[u8]) -> Result<(), Lost> {
        let (mut to, failed_before) = match std::mem::replace(&mut self.state, State::Closed) {
            State::Open(to) => (to, false),
            State::Failed(retry_at) if Instant::now() < retry_at => {
                self.state = State::Failed(retry_at);
                return Err(Lost);
            }
            state => match self.sink.open() {
                Ok(to) => (to, matches!(state, State::Failed(_))),
                Err(error) => return Err(self.fail(&error, matches!(state, State::Failed(_)))),
            },
        };
        if let Err(error) = self.pass_on(&mut to, lines) {
            return Err(self.fail(&error, failed_before));
        }
        if failed_before {
            tracing::info!(sink = %self.sink, "audit records are written again");
        }
        self.state = State::Open(to);
        Ok(())
    }

    fn pass_on(&mut self, to: &mut impl Write, lines: &[u8]) -> io::Result<()> {
        if self.tail == Tail::Torn {
            to.write_all(b"\n")?;
            self.tail = Tail::Whole;
        }
        let mut rest = lines;
        while !rest.is_empty() {
            match to.write(rest) {
                Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
                Ok(bytes) => {
                    let (written, left) = rest.split_at_checked(bytes).unwrap_or((rest, &[]));
                    self.tail = match written.last() {
                        Some(b'\n') | None => Tail::Whole,
                        Some(_) => Tail::Torn,
                    };
                    rest = left;
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        to.flush()
    }

    /// Said once for each failure that lasts, not for each try.
    fn fail(&mut self, error: &io::Error, failed_before: bool) -> Lost {
        if !failed_before {
            tracing::error!(sink = %self.sink, %error, "audit records are lost until this sink can be written to");
        }
        self.state = State::Failed(Instant::now() + RETRY_AFTER);
        Lost
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test may panic")]

    use std::time::Instant;

    use super::{Lost, Outlet, State, Tail};
    use crate::audit::Sink;

    #[test]
    fn a_sink_is_opened_again_after_it_failed_and_a_torn_record_stands_alone() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("later/audit.jsonl");
        let mut outlet = Outlet::new(Sink::File(path.clone()));
        assert_eq!(outlet.write(b"1\n"), Err(Lost));
        std::fs::create_dir(dir.path().join("later")).unwrap();
        // Not yet due.
        assert_eq!(outlet.write(b"2\n"), Err(Lost));
        outlet.state = State::Failed(Instant::now());
        assert_eq!(outlet.write(b"3\n"), Ok(()));
        outlet.tail = Tail::Torn;
        assert_eq!(outlet.write(b"4\n"), Ok(()));
        assert_eq!(std::fs::read_to_string(path).unwrap(), "3\n\n4\n");
    }

    #[test]
    fn a_full_disk_loses_records_and_is_tried_again() {
        let mut outlet = Outlet::new(Sink::File("/dev/full".into()));
        assert_eq!(outlet.write(b"1\n"), Err(Lost));
        assert!(matches!(outlet.state, State::Failed(_)));
    }
}
