//! What is noted while a run goes on, by many at once.

use std::sync::{Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::watch;
use verdict::availability::Phase;

use super::recording::{Event, Life, Observation, Recording, Transition};

/// Lines of the agent's log that are kept: an agent that says more has something wrong with it.
const LINES_MAX: usize = 20_000;

/// Everything noted so far.
pub(super) struct Sheet {
    /// When the load began; what was before is at zero.
    zero: OnceLock<Instant>,
    notes: Mutex<Recording>,
    lines: watch::Sender<usize>,
}

impl Sheet {
    pub(super) fn new() -> Self {
        Self {
            zero: OnceLock::new(),
            notes: Mutex::default(),
            lines: watch::Sender::new(0),
        }
    }

    /// The load begins now. What led here is not part of the run: a real SPIRE may have refused the
    /// agent until it heard of its entry.
    pub(super) fn begin(&self) {
        self.zero.get_or_init(Instant::now);
        let mut notes = self.notes();
        let latest = notes.transitions.pop();
        notes.transitions = latest.into_iter().collect();
        notes.restarts.clear();
    }

    /// Milliseconds since it began.
    pub(super) fn now_ms(&self) -> u64 {
        let since = self.zero.get().map(Instant::elapsed);
        millis(since.unwrap_or_default())
    }

    pub(super) fn observe(&self, observation: Observation) {
        self.notes().observations.push(observation);
    }

    pub(super) fn event(&self, event: Event) {
        self.notes().events.push(event);
    }

    /// A line of the agent's log.
    pub(super) fn line(&self, line: &str) {
        let at_ms = self.now_ms();
        let mut notes = self.notes();
        if notes.log.len() >= LINES_MAX {
            return;
        }
        if line.contains("trust source availability changed") {
            let to = Phase::ALL
                .iter()
                .find(|phase| line.contains(&format!("to=\"{}\"", phase.as_str())));
            notes
                .transitions
                .extend(to.map(|to| Transition { at_ms, to: *to }));
        }
        if line.contains("actor down, restarting it") {
            let path = line.split("path=").nth(1);
            let path = path.and_then(|rest| rest.split_whitespace().next());
            notes
                .restarts
                .extend(path.map(|path| (at_ms, path.to_owned())));
        }
        notes.log.push(line.to_owned());
        let count = notes.log.len();
        drop(notes);
        self.lines.send_replace(count);
    }

    /// A process serves.
    pub(super) fn serves(&self) {
        let serving_ms = self.now_ms();
        self.notes().lives.push(Life {
            serving_ms,
            ended_ms: None,
            as_told: false,
        });
    }

    /// The timeline is about to end the process.
    pub(super) fn will_end(&self) {
        if let Some(life) = self.notes().lives.last_mut() {
            life.as_told = true;
        }
    }

    /// The process has ended.
    pub(super) fn ended(&self) {
        let now_ms = self.now_ms();
        if let Some(life) = self.notes().lives.last_mut() {
            life.ended_ms.get_or_insert(now_ms);
        }
    }

    /// How many lines were logged so far.
    pub(super) fn mark(&self) -> usize {
        *self.lines.borrow()
    }

    /// Whether a line beyond `mark` that contains `text` comes within this time.
    pub(super) async fn said(&self, mark: usize, text: &str, within: Duration) -> bool {
        let mut lines = self.lines.subscribe();
        let heard = lines.wait_for(|_| self.has(mark, text));
        matches!(tokio::time::timeout(within, heard).await, Ok(Ok(_)))
    }

    /// Whether a line beyond `mark` contains `text`.
    pub(super) fn has(&self, mark: usize, text: &str) -> bool {
        let notes = self.notes();
        let mut new = notes.log.iter().skip(mark);
        new.any(|line| line.contains(text))
    }

    /// The last lines, for a person.
    pub(super) fn last_lines(&self, count: usize) -> String {
        let notes = self.notes();
        let from = notes.log.len().saturating_sub(count);
        notes.log.get(from..).unwrap_or_default().join("\n")
    }

    /// The last lines beyond `mark`, for a person.
    pub(super) fn lines_beyond(&self, mark: usize, count: usize) -> String {
        let notes = self.notes();
        let from = notes.log.len().saturating_sub(count).max(mark);
        notes.log.get(from..).unwrap_or_default().join("\n")
    }

    /// Everything, once it is over.
    pub(super) fn take(&self) -> Recording {
        let ended_ms = self.now_ms();
        let mut recording = std::mem::take(&mut *self.notes());
        recording.ended_ms = ended_ms;
        recording.observations.sort_by_key(|seen| seen.sent_ms);
        recording
    }

    fn notes(&self) -> MutexGuard<'_, Recording> {
        // Nothing under this lock can panic half-way.
        self.notes.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Whole milliseconds.
pub(super) fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn changed(sheet: &Sheet, to: Phase) {
        let to = to.as_str();
        sheet.line(&format!("trust source availability changed to=\"{to}\""));
    }

    #[test]
    fn a_run_begins_in_the_state_that_it_was_brought_to() {
        let sheet = Sheet::new();
        changed(&sheet, Phase::Withdrawn);
        sheet.line("actor down, restarting it path=sentinel/bundles");
        changed(&sheet, Phase::Live);
        sheet.begin();
        changed(&sheet, Phase::Interrupted);
        let recording = sheet.take();
        let states: Vec<_> = recording.transitions.iter().map(|one| one.to).collect();
        assert_eq!(states, [Phase::Live, Phase::Interrupted]);
        assert!(recording.restarts.is_empty());
    }
}
