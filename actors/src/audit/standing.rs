//! How recording fares: told by the writer, asked by requests, probes and the status.

use std::io;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use config::OnFull;

use super::logfile::ONE_WRITER;
use crate::words::and_to_do;

/// Longer than a disk takes for a batch that it will take: a write under way for longer is stuck.
pub const STUCK_AFTER: Duration = Duration::from_secs(1);

/// Of an error's text: a collector's may quote what it was sent.
const ERROR_MAX_CHARS: usize = 300;

/// Whether records reach their sinks.
#[derive(Clone, Default)]
pub(super) struct Standing(Arc<Shared>);

#[derive(Default)]
struct Shared {
    /// Asked by every request: no lock.
    failing: AtomicBool,
    told: Mutex<Told>,
}

#[derive(Default)]
struct Told {
    /// The write that is under way, and since when.
    writing: Option<(Instant, Turn)>,
    troubles: Vec<Trouble>,
    /// Files that somebody else writes to.
    shared: Vec<Arc<str>>,
    /// When the log last said that it is stuck.
    said: Option<Instant>,
    /// Whether the log says that requests are refused.
    refusing: bool,
}

/// Which sink has its turn at a batch.
#[derive(Clone, Debug)]
pub(super) struct Turn {
    pub(super) sink: Arc<str>,
    /// What to do if it takes no more.
    pub(super) remedy: &'static str,
    /// Records of the batch that do not stand in this sink yet, nor in those whose turn comes after.
    pub(super) unwritten: usize,
}

/// A write that goes on for too long.
#[derive(Clone, Debug)]
pub struct Stuck {
    /// To which sink.
    pub sink: Arc<str>,
    /// For how long.
    pub lasts: Duration,
    /// What to do.
    pub remedy: &'static str,
}

/// A sink that cannot be written to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Trouble {
    /// Which.
    pub sink: String,
    /// Why not.
    pub error: String,
    /// What to do; empty if nothing helps for certain.
    pub remedy: String,
    /// Since when.
    pub since: Instant,
}

impl Trouble {
    pub(super) fn new(sink: String, error: &io::Error, remedy: String) -> Self {
        Self {
            sink,
            error: error.to_string().chars().take(ERROR_MAX_CHARS).collect(),
            remedy,
            since: Instant::now(),
        }
    }
}

/// How recording fares now.
#[derive(Clone, Debug)]
pub struct Recording {
    /// What a record that cannot be kept costs.
    pub on_full: OnFull,
    /// Whether requests are refused for it.
    pub refuses: bool,
    /// Sinks that failed when they were last tried: no more than there are sinks.
    pub troubles: Vec<Trouble>,
    /// Whether records are lost while requests are answered.
    pub loses: bool,
    /// The write that is stuck.
    pub stuck: Option<Stuck>,
    /// Files that another agent writes to, too.
    pub shared: Vec<Arc<str>>,
}

/// What two agents at one file come to.
const ANOTHER_WRITES: &str = "another agent writes to this audit file too";

/// What answers without records; said where requests are refused for the want of one.
pub const MEANWHILE: &str = "to answer meanwhile: audit.on-full \"drop\"";

/// What requests meet while a sink fails.
pub(super) const fn costs(on_full: OnFull) -> &'static str {
    match on_full {
        OnFull::Drop => "answered without their records, which are lost (on-full \"drop\")",
        OnFull::Deny => "refused: 503 OVERLOADED (on-full \"deny\")",
        OnFull::Block => "refused: 503 OVERLOADED at their deadline (on-full \"block\")",
    }
}

/// What requests meet while a write is stuck: records wait for as long as there is room.
pub(super) const fn costs_stuck(on_full: OnFull) -> &'static str {
    match on_full {
        OnFull::Drop => {
            "answered; their records wait, and are lost once audit-queue is full (on-full \"drop\")"
        }
        OnFull::Deny => {
            "answered while their records can wait; refused once audit-queue is full: 503 OVERLOADED (on-full \"deny\")"
        }
        OnFull::Block => costs(OnFull::Block),
    }
}

impl Stuck {
    /// What is in the way.
    pub(super) fn error(&self) -> String {
        format!("a write has been stuck for {} s", self.lasts.as_secs())
    }
}

impl Recording {
    /// In a line: what is in the way, since when, and what to do. Nothing while all is well.
    #[must_use]
    pub fn complaint(&self) -> Option<String> {
        let mut parts: Vec<String> = self.troubles.iter().map(Trouble::told).collect();
        if let Some(stuck) = &self.stuck {
            parts.push(format!(
                "{}: {}; {}",
                stuck.sink,
                stuck.error(),
                stuck.remedy
            ));
        }
        let costs = match (self.refuses, parts.is_empty()) {
            (true, _) => format!(
                "requests are refused, for their records cannot be kept (on-full \"{}\")",
                self.on_full.as_str()
            ),
            (false, false) if self.loses => "records are lost (on-full \"drop\")".to_owned(),
            (false, false) if self.on_full == OnFull::Drop => {
                "records wait, and are lost once audit-queue is full (on-full \"drop\")".to_owned()
            }
            (false, false) => "records wait".to_owned(),
            (false, true) => String::new(),
        };
        if !costs.is_empty() {
            parts.insert(0, costs);
        }
        let shared = self.shared.iter();
        parts.extend(shared.map(|sink| format!("{sink}: {ANOTHER_WRITES}; {ONE_WRITER}")));
        if self.refuses {
            parts.push(MEANWHILE.to_owned());
        }
        (!parts.is_empty()).then(|| parts.join("; "))
    }
}

impl Trouble {
    fn told(&self) -> String {
        let (sink, error, s) = (&self.sink, &self.error, self.since.elapsed().as_secs());
        let remedy = and_to_do(&self.remedy);
        format!("{sink}: {error}, for {s} s{remedy}")
    }
}

impl Standing {
    /// A sink has its turn at a batch; whoever stays in it is stuck.
    pub(super) fn turn(&self, turn: Turn) {
        let mut told = self.told();
        let since = told
            .writing
            .take()
            .map_or_else(Instant::now, |(since, _)| since);
        told.writing = Some((since, turn));
    }

    /// Nothing is written now.
    pub(super) fn rests(&self) {
        self.told().writing = None;
    }

    /// A batch was written; these sinks are in trouble. Gives whether a write that the log called stuck
    /// came to a good end.
    pub(super) fn ended(&self, failing: bool, troubles: Vec<Trouble>) -> bool {
        let mut told = self.told();
        told.writing = None;
        let was_stuck = told.said.take().is_some() && told.troubles.is_empty();
        told.troubles = troubles;
        self.0.failing.store(failing, Ordering::Relaxed);
        was_stuck && !failing
    }

    /// These files have another writer.
    pub(super) fn shared(&self, files: Vec<Arc<str>>) {
        self.told().shared = files;
    }

    /// The write that is stuck, if the log is to say so: once, and again when it has lasted. A sink that
    /// fails has been said.
    pub(super) fn stuck_to_say(&self, again_after: Duration) -> Option<Stuck> {
        let mut told = self.told();
        let stuck = told.stuck(STUCK_AFTER)?;
        let failed = told.troubles.iter().any(|one| *one.sink == *stuck.sink);
        if failed || told.said.is_some_and(|said| said.elapsed() < again_after) {
            return None;
        }
        told.said = Some(Instant::now());
        Some(stuck)
    }

    /// Takes down whether requests are refused; gives it if that is new.
    pub(super) fn refusing(&self, refuses: bool) -> Option<bool> {
        let before = std::mem::replace(&mut self.told().refusing, refuses);
        (before != refuses).then_some(refuses)
    }

    /// Records of the batch that is being written which stand in no file yet, and what is in the way.
    pub(super) fn under_way(&self) -> Option<Turn> {
        self.told().writing.as_ref().map(|(_, turn)| turn.clone())
    }

    pub(super) fn is_failing(&self) -> bool {
        self.0.failing.load(Ordering::Relaxed)
    }

    /// How recording fares, where `is_full` says whether the queue is, and a write that takes longer
    /// than `patience` is stuck.
    pub(super) fn recording(
        &self,
        on_full: OnFull,
        is_full: bool,
        patience: Duration,
    ) -> Recording {
        let told = self.told();
        let stuck = told.stuck(patience.max(STUCK_AFTER));
        let (failing, is_stuck) = (self.is_failing(), stuck.is_some());
        Recording {
            on_full,
            refuses: refuses(on_full, failing, is_stuck, is_full),
            loses: on_full == OnFull::Drop && (failing || is_stuck && is_full),
            troubles: told.troubles.clone(),
            stuck,
            shared: told.shared.clone(),
        }
    }

    /// A poisoned lock guards plain values, each whole.
    fn told(&self) -> MutexGuard<'_, Told> {
        self.0.told.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Told {
    fn stuck(&self, after: Duration) -> Option<Stuck> {
        let (since, turn) = self.writing.as_ref()?;
        let lasts = since.elapsed();
        (lasts > after).then(|| Stuck {
            sink: Arc::clone(&turn.sink),
            lasts,
            remedy: turn.remedy,
        })
    }
}

/// Whether whoever is to be recorded is refused. A full queue alone may be a burst, and a writer that
/// is stuck costs `deny` nothing while there is room.
const fn refuses(on_full: OnFull, failing: bool, stuck: bool, is_full: bool) -> bool {
    match on_full {
        OnFull::Drop => false,
        OnFull::Deny => failing || stuck && is_full,
        OnFull::Block => failing || stuck,
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test may panic")]

    use super::*;

    #[test]
    fn what_a_sink_that_fails_or_is_stuck_costs() {
        for (on_full, failing, stuck, is_full, expected) in [
            (OnFull::Drop, true, true, true, false),
            (OnFull::Deny, true, false, false, true),
            (OnFull::Deny, false, true, false, false),
            (OnFull::Deny, false, true, true, true),
            (OnFull::Deny, false, false, true, false),
            (OnFull::Block, true, false, false, true),
            (OnFull::Block, false, true, false, true),
            (OnFull::Block, false, false, true, false),
        ] {
            let found = refuses(on_full, failing, stuck, is_full);
            assert_eq!(found, expected, "{on_full:?} {failing} {stuck} {is_full}");
        }
    }

    fn stuck(standing: &Standing) {
        let long_ago = Instant::now().checked_sub(STUCK_AFTER * 2).unwrap();
        let turn = Turn {
            sink: "/var/pipe".into(),
            remedy: "wake its reader",
            unwritten: 3,
        };
        standing.told().writing = Some((long_ago, turn));
    }

    /// Under `drop` no record is lost while there is room.
    #[test]
    fn a_stuck_write_names_its_sink_and_loses_nothing_while_records_wait() {
        let standing = Standing::default();
        stuck(&standing);
        let look = |on_full, is_full| standing.recording(on_full, is_full, Duration::ZERO);
        for (on_full, is_full, begins) in [
            (OnFull::Drop, false, "records wait, and are lost once"),
            (OnFull::Drop, true, "records are lost"),
            (OnFull::Deny, false, "records wait; "),
            (OnFull::Block, false, "requests are refused"),
        ] {
            let recording = look(on_full, is_full);
            assert_eq!(recording.loses, begins == "records are lost");
            let said = recording.complaint().unwrap();
            assert!(said.starts_with(begins), "{said}");
            let names = "/var/pipe: a write has been stuck for 2 s; wake its reader";
            assert!(said.contains(names), "{said}");
        }
    }

    #[test]
    fn a_second_writer_is_a_complaint_that_costs_no_request() {
        let standing = Standing::default();
        standing.shared(vec!["/var/a".into()]);
        let recording = standing.recording(OnFull::Block, false, Duration::ZERO);
        assert!(!recording.refuses && !recording.loses);
        let said = recording.complaint().unwrap();
        let begins = "/var/a: another agent writes to this audit file too; give each agent";
        assert!(said.starts_with(begins), "{said}");
        standing.shared(Vec::new());
        let recording = standing.recording(OnFull::Block, false, Duration::ZERO);
        assert_eq!(recording.complaint(), None);
    }

    #[test]
    fn a_stuck_write_is_to_be_said_once_until_it_has_lasted_or_is_over() {
        let standing = Standing::default();
        let hour = Duration::from_secs(3_600);
        stuck(&standing);
        assert!(standing.stuck_to_say(hour).is_some());
        assert!(standing.stuck_to_say(hour).is_none());
        assert!(standing.stuck_to_say(Duration::ZERO).is_some());
        assert!(standing.ended(false, Vec::new()), "it goes on");
        assert!(standing.stuck_to_say(hour).is_none());
        assert!(!standing.ended(false, Vec::new()), "nothing was said");
        // Whoever failed has said so.
        let gone = io::Error::from(io::ErrorKind::BrokenPipe);
        let trouble = Trouble::new("/var/pipe".to_owned(), &gone, String::new());
        standing.ended(true, vec![trouble]);
        stuck(&standing);
        assert!(standing.stuck_to_say(hour).is_none());
    }

    #[test]
    fn a_complaint_names_the_sink_the_error_and_the_remedy_and_ends_with_them() {
        let standing = Standing::default();
        let look = || standing.recording(OnFull::Deny, false, Duration::ZERO);
        assert_eq!(look().complaint(), None);
        let full = io::Error::from(io::ErrorKind::StorageFull);
        let trouble = Trouble::new("/var/a".to_owned(), &full, "free space".to_owned());
        standing.ended(true, vec![trouble]);
        let said = look().complaint().unwrap();
        for part in ["on-full \"deny\"", "/var/a: ", "free space", MEANWHILE] {
            assert!(said.contains(part), "{said}");
        }
        standing.ended(false, Vec::new());
        assert_eq!(look().complaint(), None);
    }
}
