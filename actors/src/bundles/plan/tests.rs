#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test may panic"
)]
use std::collections::BTreeSet;

use proptest::prelude::*;
use verdict::availability::{RETRY_MIN_MS, RETRY_OUR_FAULT_MS};

use super::*;

const PACE: Pace = Pace {
    refresh_ms: 300_000,
    api_timeout_ms: 5_000,
};

/// The random number of the shortest wait and the longest interval.
const NO_JITTER: u64 = 0;

/// A plan driven by hand.
struct Bench {
    plan: Plan,
    now_ms: u64,
}

impl Bench {
    fn new() -> Self {
        Self::with(PACE, Blame::Theirs)
    }

    fn with(pace: Pace, blame: Blame) -> Self {
        Self {
            plan: Plan::new(pace, blame, 0, 0),
            now_ms: 0,
        }
    }

    fn step(&mut self, event: Event) -> Vec<Action> {
        self.plan.step(event, self.now_ms, NO_JITTER)
    }

    fn at(&mut self, now_ms: u64, event: Event) -> Vec<Action> {
        self.now_ms = now_ms;
        self.step(event)
    }

    /// A plan whose first attempt delivered at 0.
    fn live() -> Self {
        let mut bench = Self::new();
        assert_eq!(bench.step(Event::Tick), [open(1)]);
        assert_eq!(bench.step(full(1)), []);
        bench
    }
}

fn open(id: u64) -> Action {
    Action::Open(AttemptId(id))
}

fn dropped(id: u64) -> Action {
    Action::Drop(AttemptId(id))
}

fn full(id: u64) -> Event {
    Event::Message(AttemptId(id), Reading::Full)
}

fn unreadable(id: u64) -> Event {
    Event::Message(AttemptId(id), Reading::Unreadable)
}

fn ended(id: u64, loss: Loss) -> Event {
    Event::Ended(AttemptId(id), loss)
}

fn sighted(inode: Option<u64>, suspended_ms: i64) -> Event {
    let socket = inode.map_or(SocketFile::Absent, |inode| SocketFile::Present {
        device: 1,
        inode,
        changed: (7, 0),
    });
    Event::Sighted(Sighting {
        socket,
        suspended_ms,
    })
}

#[test]
fn the_first_attempt_starts_at_once() {
    let mut bench = Bench::new();
    assert_eq!(bench.plan.wake_at_ms(), Some(0));
    assert_eq!(bench.step(Event::Tick), [open(1)]);
    assert_eq!(bench.step(Event::Tick), []);
    assert_eq!(bench.plan.wake_at_ms(), Some(5_000));
}

#[test]
fn a_full_update_makes_the_attempt_the_stream() {
    let bench = Bench::live();
    assert_eq!(bench.plan.pending(), 0);
    assert_eq!(bench.plan.wake_at_ms(), Some(300_000));
    assert!(bench.plan.knows(AttemptId(1)));
}

#[test]
fn a_refresh_is_make_before_break() {
    let mut bench = Bench::live();
    assert_eq!(bench.at(299_999, Event::Tick), []);
    assert_eq!(bench.at(300_000, Event::Tick), [open(2)]);
    assert!(bench.plan.knows(AttemptId(1)));
    assert_eq!(bench.at(300_010, full(2)), [dropped(1)]);
    assert!(!bench.plan.knows(AttemptId(1)));
    assert_eq!(bench.plan.wake_at_ms(), Some(600_010));
}

#[test]
fn jitter_only_shortens() {
    for random in [0, 1, 29_999, 30_000, 30_001, u64::MAX] {
        let mut plan = Plan::new(PACE, Blame::Theirs, 0, 0);
        assert_eq!(plan.step(Event::Tick, 0, random), [open(1)]);
        assert_eq!(plan.step(full(1), 0, random), []);
        let due_ms = plan.wake_at_ms().unwrap();
        assert!((270_000..=300_000).contains(&due_ms), "{random}: {due_ms}");
    }
}

#[test]
fn a_stream_that_ends_is_a_loss_and_tried_again_within_the_first_backoff() {
    let mut bench = Bench::live();
    let lost = bench.at(1_000, ended(1, Loss::Ended));
    assert_eq!(lost, [Action::Report(Loss::Ended)]);
    assert_eq!(bench.plan.wake_at_ms(), Some(1_000 + RETRY_MIN_MS));
    assert_eq!(bench.at(1_100, Event::Tick), [open(2)]);
}

#[test]
fn a_refresh_that_fails_is_a_loss_and_the_stream_stays() {
    let mut bench = Bench::live();
    assert_eq!(bench.at(300_000, Event::Tick), [open(2)]);
    let lost = bench.at(300_001, ended(2, Loss::Transport));
    assert_eq!(lost, [Action::Report(Loss::Transport)]);
    assert!(bench.plan.knows(AttemptId(1)));
    // The stream says something after all: the attempts go on, their backoff starts anew.
    assert_eq!(bench.at(300_002, full(1)), []);
    assert_eq!(bench.plan.failures(), 0);
    assert_eq!(bench.plan.wake_at_ms(), Some(300_102));
}

#[test]
fn a_timeout_counts_but_does_not_cancel() {
    let mut bench = Bench::new();
    assert_eq!(bench.step(Event::Tick), [open(1)]);
    assert_eq!(bench.at(4_999, Event::Tick), []);
    let late = bench.at(5_000, Event::Tick);
    assert_eq!(late, [Action::Report(Loss::TimedOut)]);
    assert_eq!(bench.at(5_100, Event::Tick), [open(2)]);
    // A slow SPIRE is not a dead one.
    assert_eq!(bench.at(6_000, full(1)), [dropped(2)]);
    assert_eq!(bench.plan.failures(), 0);
}

#[test]
fn at_most_four_are_pending_and_each_for_thirty_seconds() {
    let mut bench = Bench::with(
        Pace {
            api_timeout_ms: 100,
            ..PACE
        },
        Blame::Theirs,
    );
    let mut opened = Vec::new();
    let mut closed = Vec::new();
    for now_ms in 0..=30_000 {
        for action in bench.at(now_ms, Event::Tick) {
            match action {
                Action::Open(id) => opened.push((id.0, now_ms)),
                Action::Drop(id) => closed.push((id.0, now_ms)),
                Action::Report(loss) => assert_eq!(loss, Loss::TimedOut),
            }
        }
        assert!(bench.plan.pending() <= PENDING_MAX);
    }
    // The fifth takes the place of the first.
    assert_eq!(opened.len(), 5);
    assert_eq!(closed, [(1, 30_000)]);
    assert_eq!(opened[4], (5, 30_000));
}

#[test]
fn an_attempt_that_timed_out_still_tells_why_it_ended() {
    let mut bench = Bench::new();
    assert_eq!(bench.step(Event::Tick), [open(1)]);
    assert_eq!(
        bench.at(5_000, Event::Tick),
        [Action::Report(Loss::TimedOut)]
    );
    let end = bench.at(5_050, ended(1, Loss::Refused));
    assert_eq!(end, [Action::Report(Loss::Refused)]);
    // One attempt, one failure; and the try that was due is not put off.
    assert_eq!(bench.plan.failures(), 1);
    assert_eq!(bench.at(5_100, Event::Tick), [open(2)]);
}

#[test]
fn a_first_message_that_cannot_be_read_is_a_failure_and_the_attempt_stays_open() {
    let mut bench = Bench::new();
    assert_eq!(bench.step(Event::Tick), [open(1)]);
    assert_eq!(
        bench.at(10, unreadable(1)),
        [Action::Report(Loss::Unreadable)]
    );
    assert_eq!(bench.at(11, unreadable(1)), []);
    assert_eq!(bench.at(110, Event::Tick), [open(2)]);
    assert_eq!(bench.at(120, full(1)), [dropped(2)]);
}

#[test]
fn an_unreadable_message_of_the_stream_is_no_loss() {
    let mut bench = Bench::live();
    assert_eq!(bench.at(10, unreadable(1)), []);
    assert_eq!(bench.plan.wake_at_ms(), Some(300_000));
}

#[test]
fn the_fault_mark_slows_the_retries_until_a_full_update() {
    let mut bench = Bench::new();
    assert_eq!(bench.step(Event::Tick), [open(1)]);
    let fault = bench.at(10, ended(1, Loss::OurFault));
    assert_eq!(fault, [Action::Report(Loss::OurFault)]);
    assert_eq!(bench.plan.wake_at_ms(), Some(10 + RETRY_OUR_FAULT_MS));
    assert_eq!(bench.at(30_010, Event::Tick), [open(2)]);
    // Another kind of failure does not wipe the mark.
    let lost = bench.at(30_020, ended(2, Loss::Transport));
    assert_eq!(lost, [Action::Report(Loss::Transport)]);
    assert_eq!(bench.plan.wake_at_ms(), Some(60_020));
    assert_eq!(bench.at(60_020, Event::Tick), [open(3)]);
    assert_eq!(bench.at(60_030, full(3)), []);
    let lost = bench.at(60_040, ended(3, Loss::Ended));
    assert_eq!(lost, [Action::Report(Loss::Ended)]);
    assert_eq!(bench.plan.wake_at_ms(), Some(60_140));
}

#[test]
fn a_late_fault_puts_off_the_try_that_was_due() {
    let mut bench = Bench::new();
    assert_eq!(bench.step(Event::Tick), [open(1)]);
    assert_eq!(
        bench.at(5_000, Event::Tick),
        [Action::Report(Loss::TimedOut)]
    );
    let fault = bench.at(5_050, ended(1, Loss::OurFault));
    assert_eq!(fault, [Action::Report(Loss::OurFault)]);
    assert_eq!(bench.plan.wake_at_ms(), Some(35_050));
}

#[test]
fn a_successor_takes_up_the_fault_mark() {
    let mut bench = Bench::with(PACE, Blame::Ours);
    assert_eq!(bench.step(Event::Tick), [open(1)]);
    assert_eq!(
        bench.at(10, ended(1, Loss::Transport)),
        [Action::Report(Loss::Transport)]
    );
    assert_eq!(bench.plan.wake_at_ms(), Some(30_010));
}

#[test]
fn a_socket_that_appears_or_changes_is_tried_at_once() {
    let mut bench = Bench::new();
    assert_eq!(bench.step(Event::Tick), [open(1)]);
    assert_eq!(bench.step(sighted(None, 0)), []);
    assert_eq!(
        bench.at(1, ended(1, Loss::OurFault)),
        [Action::Report(Loss::OurFault)]
    );
    assert_eq!(bench.at(2, sighted(None, 0)), []);
    // Even the fault mark does not hold back: it is another SPIRE.
    assert_eq!(bench.at(3, sighted(Some(10), 0)), [open(2)]);
    assert_eq!(bench.at(4, sighted(Some(10), 0)), []);
    assert_eq!(bench.at(5, sighted(Some(11), 0)), [open(3)]);
    assert_eq!(bench.at(6, sighted(None, 0)), []);
    // The same number after an absence is another file.
    assert_eq!(bench.at(7, sighted(Some(11), 0)), [open(4)]);
}

#[test]
fn the_first_look_is_no_change() {
    let mut bench = Bench::live();
    assert_eq!(bench.step(sighted(Some(10), 0)), []);
}

#[test]
fn a_change_of_the_socket_makes_room_for_its_try() {
    let mut bench = Bench::new();
    assert_eq!(bench.step(Event::Tick), [open(1)]);
    assert_eq!(bench.step(sighted(Some(1), 0)), []);
    for inode in 2..=4 {
        assert_eq!(bench.step(sighted(Some(inode), 0)), [open(inode)]);
    }
    assert_eq!(bench.step(sighted(Some(5), 0)), [dropped(1), open(5)]);
    assert_eq!(bench.plan.pending(), PENDING_MAX);
}

#[test]
fn a_suspend_resubscribes_at_once_and_drift_does_not() {
    let mut bench = Bench::live();
    // A reading that came out high is not remembered as the base.
    assert_eq!(bench.at(20, sighted(Some(1), 999)), []);
    assert_eq!(bench.at(30, sighted(Some(1), 0)), []);
    assert_eq!(bench.at(40, sighted(Some(1), 1_000)), [open(2)]);
    assert_eq!(bench.at(50, sighted(Some(1), 1_000)), []);
    // Naps add up.
    assert_eq!(bench.at(60, full(2)), [dropped(1)]);
    assert_eq!(bench.at(70, sighted(Some(1), 1_600)), []);
    assert_eq!(bench.at(80, sighted(Some(1), 2_000)), [open(3)]);
}

#[test]
fn other_times_take_effect_at_once() {
    let mut bench = Bench::live();
    let faster = Pace {
        refresh_ms: 10_000,
        api_timeout_ms: 200,
    };
    assert_eq!(bench.at(4_000, Event::Paced(faster)), []);
    assert_eq!(bench.plan.wake_at_ms(), Some(10_000));
    assert_eq!(bench.at(10_000, Event::Tick), [open(2)]);
    assert_eq!(bench.plan.wake_at_ms(), Some(10_200));
    assert_eq!(bench.at(10_100, Event::Paced(PACE)), []);
    assert_eq!(bench.plan.wake_at_ms(), Some(15_000));
    // Already over by the new times.
    assert_eq!(bench.at(10_150, full(2)), [dropped(1)]);
    assert_eq!(bench.at(60_000, Event::Paced(faster)), [open(3)]);
}

#[test]
fn what_a_dropped_attempt_says_does_not_count() {
    let mut bench = Bench::live();
    assert_eq!(bench.at(300_000, Event::Tick), [open(2)]);
    assert_eq!(bench.at(300_010, full(2)), [dropped(1)]);
    for event in [full(1), unreadable(1), ended(1, Loss::Refused), full(99)] {
        assert_eq!(bench.at(300_020, event), []);
    }
    assert!(bench.plan.knows(AttemptId(2)));
}

#[test]
fn backoff_grows_to_the_cap_and_is_reset_by_a_full_update() {
    let mut bench = Bench::new();
    let mut longest = Vec::new();
    for id in 1..=6 {
        let due_ms = bench.plan.wake_at_ms().unwrap();
        assert_eq!(bench.at(due_ms, Event::Tick), [open(id)]);
        let random = 900;
        let lost = bench.plan.step(ended(id, Loss::Transport), due_ms, random);
        assert_eq!(lost, [Action::Report(Loss::Transport)]);
        let cap_ms = 1_000.min(100 << id);
        let wait_ms = bench.plan.wake_at_ms().unwrap() - due_ms;
        assert!((100..=cap_ms).contains(&wait_ms), "{id}: {wait_ms}");
        longest.push(wait_ms);
    }
    assert_eq!(longest, [192, 398, 299, 1_000, 1_000, 1_000]);
    assert_eq!(bench.plan.failures(), 6);
}

/// What a hostile or unlucky world does next.
#[derive(Clone, Copy, Debug)]
enum Move {
    Wait(u64),
    ToTheNextDeadline,
    Full(usize),
    Unreadable(usize),
    End(usize, Loss),
    Stranger(u64),
    Path(Option<u64>),
    Sleep(i64),
    Pace(u64, u64),
}

fn moves() -> impl Strategy<Value = Move> {
    prop_oneof![
        3 => (0_u64..40_000).prop_map(Move::Wait),
        6 => Just(Move::ToTheNextDeadline),
        2 => (0_usize..6).prop_map(Move::Full),
        2 => (0_usize..6).prop_map(Move::Unreadable),
        4 => (0_usize..6, prop::sample::select(&Loss::ALL[..])).prop_map(|(at, loss)| Move::End(at, loss)),
        1 => any::<u64>().prop_map(Move::Stranger),
        1 => prop::option::of(0_u64..3).prop_map(Move::Path),
        1 => (0_i64..3_000).prop_map(Move::Sleep),
        1 => (1_u64..600, 100_u64..60_000).prop_map(|(s, ms)| Move::Pace(s * 1_000, ms)),
    ]
}

/// The shell's part: what is open, kept by the plan's own orders.
struct Shell {
    plan: Plan,
    open: BTreeSet<AttemptId>,
    now_ms: u64,
    pace: Pace,
    last_opened_ms: u64,
    sighting: Sighting,
    random: u64,
}

impl Shell {
    fn step(&mut self, event: Event) -> Result<(), TestCaseError> {
        self.random = self
            .random
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1);
        let actions = self.plan.step(event, self.now_ms, self.random >> 16);
        let failed = actions
            .iter()
            .any(|action| matches!(action, Action::Report(_)));
        for action in actions {
            match action {
                Action::Open(id) => {
                    prop_assert!(self.open.insert(id), "an id is used twice");
                    self.last_opened_ms = self.now_ms;
                }
                Action::Drop(id) => prop_assert!(self.open.remove(&id), "dropped what is not open"),
                Action::Report(_) => {}
            }
        }
        self.check(failed)
    }

    fn check(&self, failed: bool) -> Result<(), TestCaseError> {
        let plan = &self.plan;
        prop_assert!(plan.pending() <= PENDING_MAX);
        // The plan and its shell agree on what is open.
        let streams = usize::from(plan.stream.is_some());
        prop_assert_eq!(plan.pending() + streams, self.open.len());
        prop_assert!(self.open.iter().all(|id| plan.knows(*id)));
        // Something always brings about the next step, and time has not passed it by.
        let wake_at_ms = plan.wake_at_ms();
        prop_assert!(
            wake_at_ms.is_some_and(|at_ms| at_ms > self.now_ms),
            "{:?}",
            plan
        );
        match plan.next {
            Next::Outcome => prop_assert!(plan.is_awaiting()),
            Next::Refresh { at_ms } => {
                prop_assert!(plan.stream.is_some() && plan.pending.is_empty());
                prop_assert!(at_ms <= self.now_ms + self.pace.refresh_ms);
            }
            // After a failure the next attempt starts within the cap, unless all four places are
            // taken, or the fault is ours.
            Next::Retry { at_ms } => {
                let cap_ms = match plan.blame {
                    Blame::Ours => RETRY_OUR_FAULT_MS,
                    Blame::Theirs => RETRY_MAX_LOCAL_MS,
                };
                let full = plan.pending() == PENDING_MAX;
                prop_assert!(at_ms <= self.now_ms + cap_ms);
                prop_assert!(full || at_ms > self.now_ms);
            }
        }
        if failed && plan.pending() < PENDING_MAX && !plan.is_awaiting() {
            let retrying = matches!(plan.next, Next::Retry { .. });
            prop_assert!(retrying);
        }
        // Never silent for longer than the interval, the time of an attempt, and a wait.
        let slack_ms = ATTEMPT_OPEN_MAX_MS + RETRY_OUR_FAULT_MS;
        let quiet_ms = self.now_ms - self.last_opened_ms;
        prop_assert!(
            quiet_ms <= self.pace.refresh_ms + slack_ms,
            "silent for {} ms",
            quiet_ms
        );
        Ok(())
    }

    /// Lets time pass as the shell does: it wakes at each deadline.
    fn wait(&mut self, until_ms: u64) -> Result<(), TestCaseError> {
        while let Some(at_ms) = self.plan.wake_at_ms().filter(|at_ms| *at_ms <= until_ms) {
            self.now_ms = at_ms;
            self.step(Event::Tick)?;
        }
        self.now_ms = until_ms;
        self.step(Event::Tick)
    }

    fn make(&mut self, next: Move) -> Result<(), TestCaseError> {
        let one = |open: &BTreeSet<AttemptId>, at: usize| {
            open.iter().nth(at % open.len().max(1)).copied()
        };
        match next {
            Move::Wait(ms) => self.wait(self.now_ms + ms),
            Move::ToTheNextDeadline => self.wait(self.plan.wake_at_ms().unwrap_or(self.now_ms)),
            Move::Full(at) => match one(&self.open, at) {
                Some(id) => self.step(Event::Message(id, Reading::Full)),
                None => Ok(()),
            },
            Move::Unreadable(at) => match one(&self.open, at) {
                Some(id) => self.step(Event::Message(id, Reading::Unreadable)),
                None => Ok(()),
            },
            Move::End(at, loss) => match one(&self.open, at) {
                Some(id) => {
                    self.open.remove(&id);
                    self.step(Event::Ended(id, loss))
                }
                None => Ok(()),
            },
            Move::Stranger(id) => self.step(Event::Ended(AttemptId(id | 1 << 63), Loss::Refused)),
            Move::Path(inode) => {
                self.sighting.socket =
                    inode.map_or(SocketFile::Absent, |inode| SocketFile::Present {
                        device: 1,
                        inode,
                        changed: (0, 0),
                    });
                self.step(Event::Sighted(self.sighting))
            }
            Move::Sleep(ms) => {
                self.sighting.suspended_ms += ms;
                self.step(Event::Sighted(self.sighting))
            }
            Move::Pace(refresh_ms, api_timeout_ms) => {
                // An interval that grows counts from the stream's begin, as does the silence.
                self.pace = Pace {
                    refresh_ms: self.pace.refresh_ms.max(refresh_ms),
                    api_timeout_ms,
                };
                self.step(Event::Paced(Pace {
                    refresh_ms,
                    api_timeout_ms,
                }))
            }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(500))]

    /// Whatever the world does: never more than four pending, never silent, never late after a failure.
    #[test]
    fn the_plan_keeps_its_promises(random in any::<u64>(), moves in prop::collection::vec(moves(), 1..80)) {
        let mut shell = Shell {
            plan: Plan::new(PACE, Blame::Theirs, 0, 0),
            open: BTreeSet::new(),
            now_ms: 0,
            pace: PACE,
            last_opened_ms: 0,
            sighting: Sighting { socket: SocketFile::Absent, suspended_ms: 0 },
            random,
        };
        shell.step(Event::Tick)?;
        for next in moves {
            shell.make(next)?;
        }
    }
}
