//! When to try: the schedule of one source's attempts and streams, as values in and values out.
//!
//! Nothing here reads a clock or draws a random number. Times are milliseconds of one clock that
//! never jumps and does not run while the machine sleeps, so a suspend times nobody out.
//!
//! ```text
//! due ──► attempt opened ──► full update ──► it is the stream; the old one and the rest are dropped
//!              │
//!              ├─ api-timeout-ms: counts as failed, stays open; the next one runs beside it
//!              ├─ no full update in the message: counts as failed, stays open
//!              └─ ended, or open for 30 s: gone
//! ```

use config::Timings;
use verdict::availability::{Blame, Loss, RETRY_MAX_LOCAL_MS, retry_wait_ms};

/// Attempts open at once (decisions, "Trust sources and their availability").
pub const PENDING_MAX: usize = 4;

/// How long an attempt stays open without a full update, ms (decisions, the same).
pub const ATTEMPT_OPEN_MAX_MS: u64 = 30_000;

/// A re-subscription comes early by up to this part of its interval: jitter only shortens.
const JITTER_PART: u64 = 10;

/// Growth of the suspended time that counts as a suspend, ms: well above what lies between two
/// clock readings on a busy machine, well below the shortest sleep that could hide an outage.
pub const SUSPEND_NOTICED_MS: i64 = 1_000;

/// Names one attempt, and the stream it may become. Never used twice by one plan.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct AttemptId(u64);

/// The configured times that the plan goes by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pace {
    /// `bundle-refresh-interval`, ms.
    pub refresh_ms: u64,
    /// `api-timeout-ms`.
    pub api_timeout_ms: u64,
}

impl From<&Timings> for Pace {
    fn from(timings: &Timings) -> Self {
        Self {
            refresh_ms: timings.bundle_refresh_interval_s.saturating_mul(1_000),
            api_timeout_ms: timings.api_timeout_ms,
        }
    }
}

/// What a message turned out to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reading {
    /// A full update, taken.
    Full,
    /// Discarded whole.
    Unreadable,
}

/// The file at the socket's path.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SocketFile {
    /// Nothing, or nothing that can be looked at.
    Absent,
    /// Something; the change time tells a file from a later one with the same number.
    Present {
        /// Number of the file system.
        device: u64,
        /// Number of the file.
        inode: u64,
        /// Last change of the file's entry: seconds and nanoseconds.
        changed: (i64, i64),
    },
}

/// What a look around shows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sighting {
    /// The file at the socket's path.
    pub socket: SocketFile,
    /// How long the machine has slept since boot, ms.
    pub suspended_ms: i64,
}

/// What happens to the plan. Each step also lets time pass.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Event {
    /// Time went by.
    Tick,
    /// A message came.
    Message(AttemptId, Reading),
    /// An attempt or the stream ended.
    Ended(AttemptId, Loss),
    /// Somebody looked around.
    Sighted(Sighting),
    /// Other times are in force.
    Paced(Pace),
}

/// What the shell is to do, in order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    /// Begin this attempt.
    Open(AttemptId),
    /// End this attempt or stream; nothing it says counts any more.
    Drop(AttemptId),
    /// Tell the availability machine.
    Report(Loss),
}

/// An attempt that has delivered no full update yet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Pending {
    id: AttemptId,
    opened_ms: u64,
    standing: Standing,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Standing {
    /// It may still answer in time.
    Awaited,
    /// It has been counted as failed; what it says still counts.
    Failed,
}

/// The attempt whose full update was the last to be a first one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Stream {
    id: AttemptId,
    since_ms: u64,
}

/// What brings about the next attempt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Next {
    /// The stream is well: nothing is pending, re-subscribe then.
    Refresh { at_ms: u64 },
    /// Something failed: try again then.
    Retry { at_ms: u64 },
    /// An attempt is awaited; what becomes of it decides.
    Outcome,
}

/// The schedule of one source.
#[derive(Clone, Debug)]
pub struct Plan {
    pace: Pace,
    stream: Option<Stream>,
    /// In the order of their opening.
    pending: Vec<Pending>,
    next: Next,
    /// In a row, since the last full update.
    failures: u32,
    blame: Blame,
    last_id: u64,
    /// `None` until somebody has looked.
    socket: Option<SocketFile>,
    /// The suspended time that later readings are held against.
    suspended_ms: i64,
}

impl Plan {
    /// A plan whose first attempt is due at once. `blame` is what a predecessor learned: the fault
    /// mark stands until a full update. `suspended_ms` is the suspended time so far.
    #[must_use]
    pub fn new(pace: Pace, blame: Blame, suspended_ms: i64, now_ms: u64) -> Self {
        Self {
            pace,
            stream: None,
            pending: Vec::with_capacity(PENDING_MAX),
            next: Next::Retry { at_ms: now_ms },
            failures: 0,
            blame,
            last_id: 0,
            socket: None,
            suspended_ms,
        }
    }

    /// Takes one event; `random` is a uniform 64-bit number.
    #[must_use]
    pub fn step(&mut self, event: Event, now_ms: u64, random: u64) -> Vec<Action> {
        let mut actions = Vec::new();
        match event {
            Event::Tick => {}
            Event::Message(id, Reading::Full) => self.adopt(id, now_ms, random, &mut actions),
            Event::Message(id, Reading::Unreadable) => {
                self.refuse(id, now_ms, random, &mut actions)
            }
            Event::Ended(id, loss) => self.end(id, loss, now_ms, random, &mut actions),
            Event::Sighted(sighting) => self.look(sighting, now_ms, &mut actions),
            Event::Paced(pace) => self.set_pace(pace, random),
        }
        self.let_time_pass(now_ms, random, &mut actions);
        actions
    }

    /// When time alone next changes something; `None` never happens, and means that any time does.
    #[must_use]
    pub fn wake_at_ms(&self) -> Option<u64> {
        let pending = self.pending.iter().map(|one| self.deadline_ms(one));
        pending.chain(self.due_ms()).min()
    }

    /// Whether what this attempt says counts.
    #[must_use]
    pub fn knows(&self, id: AttemptId) -> bool {
        self.is_stream(id) || self.pending.iter().any(|one| one.id == id)
    }

    /// Failures in a row, since the last full update.
    #[must_use]
    pub const fn failures(&self) -> u32 {
        self.failures
    }

    /// Attempts open that have delivered no full update.
    #[must_use]
    pub fn pending(&self) -> usize {
        self.pending.len()
    }

    fn is_stream(&self, id: AttemptId) -> bool {
        self.stream.is_some_and(|stream| stream.id == id)
    }

    fn is_awaiting(&self) -> bool {
        self.pending
            .iter()
            .any(|one| one.standing == Standing::Awaited)
    }

    fn timeout_ms(&self) -> u64 {
        self.pace.api_timeout_ms.min(ATTEMPT_OPEN_MAX_MS)
    }

    fn deadline_ms(&self, one: &Pending) -> u64 {
        one.opened_ms.saturating_add(match one.standing {
            Standing::Awaited => self.timeout_ms(),
            Standing::Failed => ATTEMPT_OPEN_MAX_MS,
        })
    }

    /// `None` while only an outcome, or a place among the pending, brings about the next attempt.
    fn due_ms(&self) -> Option<u64> {
        match self.next {
            Next::Refresh { at_ms } | Next::Retry { at_ms } => {
                (self.pending.len() < PENDING_MAX).then_some(at_ms)
            }
            Next::Outcome => None,
        }
    }

    /// A full update: make before break.
    fn adopt(&mut self, id: AttemptId, now_ms: u64, random: u64, actions: &mut Vec<Action>) {
        if !self.knows(id) {
            return;
        }
        self.failures = 0;
        self.blame = Blame::Theirs;
        if self.is_stream(id) {
            // A re-subscription that failed is tried again soon: it was not this stream's fault.
            if let Next::Retry { .. } = self.next {
                self.next = self.retry(now_ms, random);
            }
            return;
        }
        let old = self.stream.replace(Stream {
            id,
            since_ms: now_ms,
        });
        actions.extend(old.map(|old| Action::Drop(old.id)));
        let others = self.pending.drain(..).filter(|one| one.id != id);
        actions.extend(others.map(|one| Action::Drop(one.id)));
        self.next = Next::Refresh {
            at_ms: now_ms.saturating_add(self.jittered_ms(random)),
        };
    }

    /// A message that was discarded: the attempt failed if it was awaited, and stays open.
    fn refuse(&mut self, id: AttemptId, now_ms: u64, random: u64, actions: &mut Vec<Action>) {
        let mut pending = self.pending.iter_mut();
        let awaited = pending.find(|one| one.id == id && one.standing == Standing::Awaited);
        if let Some(one) = awaited {
            one.standing = Standing::Failed;
            self.fail(Loss::Unreadable, now_ms, random, actions);
        }
    }

    fn end(
        &mut self,
        id: AttemptId,
        loss: Loss,
        now_ms: u64,
        random: u64,
        actions: &mut Vec<Action>,
    ) {
        if self.is_stream(id) {
            self.stream = None;
            self.fail(loss, now_ms, random, actions);
        } else if let Some(at) = self.pending.iter().position(|one| one.id == id) {
            match self.pending.remove(at).standing {
                Standing::Awaited => self.fail(loss, now_ms, random, actions),
                // It has been counted, but why it ended may say more than that it was slow.
                Standing::Failed => self.report(loss, now_ms, random, actions),
            }
        }
    }

    fn fail(&mut self, loss: Loss, now_ms: u64, random: u64, actions: &mut Vec<Action>) {
        self.failures = self.failures.saturating_add(1);
        self.report(loss, now_ms, random, actions);
    }

    fn report(&mut self, loss: Loss, now_ms: u64, random: u64, actions: &mut Vec<Action>) {
        if loss == Loss::OurFault {
            self.blame = Blame::Ours;
        }
        actions.push(Action::Report(loss));
        if !self.is_awaiting() {
            let retry = self.retry(now_ms, random);
            self.next = match (self.next, retry, self.blame) {
                // Another failure never puts off a try; a fault of ours does.
                (Next::Retry { at_ms }, Next::Retry { at_ms: other }, Blame::Theirs) => {
                    Next::Retry {
                        at_ms: at_ms.min(other),
                    }
                }
                (_, retry, _) => retry,
            };
        }
    }

    fn retry(&self, now_ms: u64, random: u64) -> Next {
        let wait = retry_wait_ms(self.failures, RETRY_MAX_LOCAL_MS, self.blame, random);
        Next::Retry {
            at_ms: now_ms.saturating_add(wait),
        }
    }

    fn jittered_ms(&self, random: u64) -> u64 {
        let interval = self.pace.refresh_ms;
        interval - random % (interval / JITTER_PART + 1)
    }

    /// A socket that appears or changes, and a suspend, are each worth a try at once.
    fn look(&mut self, sighting: Sighting, now_ms: u64, actions: &mut Vec<Action>) {
        let before = self.socket.replace(sighting.socket);
        let appeared = sighting.socket != SocketFile::Absent
            && before.is_some_and(|before| before != sighting.socket);
        let slept = self.has_slept(sighting.suspended_ms);
        if appeared || slept {
            self.make_room(actions);
            self.open(now_ms, actions);
        }
    }

    /// Growth that is not noticed yet adds up; a reading that came out high is forgotten.
    fn has_slept(&mut self, suspended_ms: i64) -> bool {
        let slept = suspended_ms.saturating_sub(self.suspended_ms) >= SUSPEND_NOTICED_MS;
        self.suspended_ms = if slept {
            suspended_ms
        } else {
            suspended_ms.min(self.suspended_ms)
        };
        slept
    }

    /// The oldest attempt goes: it leads through a socket that is no more, or to a peer as it was
    /// before the machine slept.
    fn make_room(&mut self, actions: &mut Vec<Action>) {
        if self.pending.len() >= PENDING_MAX {
            actions.push(Action::Drop(self.pending.remove(0).id));
        }
    }

    fn set_pace(&mut self, pace: Pace, random: u64) {
        self.pace = pace;
        if let (Next::Refresh { .. }, Some(stream)) = (self.next, self.stream) {
            self.next = Next::Refresh {
                at_ms: stream.since_ms.saturating_add(self.jittered_ms(random)),
            };
        }
    }

    fn let_time_pass(&mut self, now_ms: u64, random: u64, actions: &mut Vec<Action>) {
        self.time_out(now_ms, random, actions);
        self.pending.retain(|one| {
            let open = one.opened_ms.saturating_add(ATTEMPT_OPEN_MAX_MS) > now_ms;
            if !open {
                actions.push(Action::Drop(one.id));
            }
            open
        });
        if self.due_ms().is_some_and(|due_ms| due_ms <= now_ms) {
            self.open(now_ms, actions);
        }
    }

    fn time_out(&mut self, now_ms: u64, random: u64, actions: &mut Vec<Action>) {
        let timeout_ms = self.timeout_ms();
        let mut late = 0;
        for one in &mut self.pending {
            let due = one.opened_ms.saturating_add(timeout_ms) <= now_ms;
            if due && one.standing == Standing::Awaited {
                one.standing = Standing::Failed;
                late += 1;
            }
        }
        for _ in 0..late {
            self.fail(Loss::TimedOut, now_ms, random, actions);
        }
    }

    fn open(&mut self, now_ms: u64, actions: &mut Vec<Action>) {
        self.last_id = self.last_id.saturating_add(1);
        let id = AttemptId(self.last_id);
        self.pending.push(Pending {
            id,
            opened_ms: now_ms,
            standing: Standing::Awaited,
        });
        self.next = Next::Outcome;
        actions.push(Action::Open(id));
    }
}

#[cfg(test)]
mod tests;
