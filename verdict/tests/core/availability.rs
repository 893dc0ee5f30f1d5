//! Properties of the availability machine, against a model that has no states: it looks at the whole
//! history and says what decisions.md, "Trust sources and their availability", says of it.

use proptest::prelude::*;
use verdict::availability::{
    Blame, Earlier, Effect, Event, Found, Loss, Phase, Refusal, Shelf, Stance, State, Timing,
    Transition, Trouble, stance,
};
use verdict::policy::{Failure, Mode};
use verdict::replay::Grounds;
use verdict::time::{Contact, Now};

use crate::worlds::at;

/// What lay on disk: nothing, material this old, or a tombstone.
#[derive(Clone, Copy, Debug)]
enum Disk {
    Nothing,
    Material(i64),
    Ahead,
    Tombstone,
}

impl Disk {
    fn found(self) -> Found {
        match self {
            Self::Nothing => Found::Nothing,
            Self::Material(age_ms) => Found::Material(Contact::at(at(-age_ms))),
            Self::Ahead => Found::Material(Contact::at(at(60_001))),
            Self::Tombstone => Found::Tombstone,
        }
    }
}

/// The phase at a moment, from everything that happened until then; the process starts at 0, and an
/// earlier one was refused `earlier` before, if it was.
fn phase_by_history(
    (disk, earlier): (Disk, Option<i64>),
    history: &[(i64, Event)],
    timing: Timing,
    now_ms: i64,
) -> Phase {
    let away = timing.unavailable_after_ms as i64;
    let grace = timing.withdrawal_grace_ms as i64;
    let past: Vec<_> = history.iter().filter(|(ms, _)| *ms <= now_ms).collect();
    let last_update = past.iter().rposition(|(_, e)| *e == Event::FullUpdate);
    let since = &past[last_update.map_or(0, |at| at + 1)..];
    let first = |test: &dyn Fn(Loss) -> bool| {
        since.iter().find_map(|(ms, event)| match event {
            Event::Lost(loss) if test(*loss) => Some(*ms),
            _ => None,
        })
    };
    let lost = first(&|_| true);
    let before = earlier.filter(|_| last_update.is_none()).map(|ago| -ago);
    let refused = before.or_else(|| first(&|loss| loss == Loss::Refused));
    let is_over = |start: i64, limit: i64| now_ms - start >= limit;
    if refused.is_some_and(|ms| is_over(ms, grace)) {
        return Phase::Withdrawn;
    }
    let between = |start, before| match is_over(start, away) {
        true => Phase::Outage,
        false => before,
    };
    match (last_update, disk, lost) {
        (None, Disk::Tombstone, _) => Phase::Withdrawn,
        (None, Disk::Material(age), _) if age < away => between(-age, Phase::Interrupted),
        (None, Disk::Material(_), Some(_)) => Phase::Outage,
        (None, _, _) => between(0, Phase::Starting),
        (Some(_), _, None) => Phase::Live,
        (Some(_), _, Some(lost)) => between(lost, Phase::Interrupted),
    }
}

fn blame_by_history(history: &[(i64, Event)]) -> Blame {
    let since_update = history.rsplit(|(_, e)| *e == Event::FullUpdate).next();
    let ours = (i64::MIN, Event::Lost(Loss::OurFault)).1;
    match since_update.unwrap().iter().any(|(_, e)| *e == ours) {
        true => Blame::Ours,
        false => Blame::Theirs,
    }
}

fn disk() -> impl Strategy<Value = Disk> {
    prop_oneof![
        3 => Just(Disk::Nothing),
        4 => (0..200_i64).prop_map(Disk::Material),
        1 => Just(Disk::Ahead),
        1 => Just(Disk::Tombstone),
    ]
}

fn timing() -> impl Strategy<Value = Timing> {
    (1..100_u64, 0..100_u64).prop_map(|(unavailable_after_ms, withdrawal_grace_ms)| Timing {
        unavailable_after_ms,
        withdrawal_grace_ms,
    })
}

fn event() -> impl Strategy<Value = Event> {
    prop_oneof![
        2 => Just(Event::FullUpdate),
        5 => prop::sample::select(Loss::ALL.to_vec()).prop_map(Event::Lost),
        1 => Just(Event::Tick),
    ]
}

/// Events at their times, oldest first.
fn history() -> impl Strategy<Value = Vec<(i64, Event)>> {
    let gap = prop_oneof![Just(0), 0..20_i64, 0..150_i64];
    prop::collection::vec((gap, event()), 0..14).prop_map(|gaps| {
        let mut now = 0;
        gaps.into_iter()
            .map(|(gap, event)| {
                now += gap;
                (now, event)
            })
            .collect()
    })
}

fn any_state() -> impl Strategy<Value = State> {
    let ms = || prop_oneof![Just(i64::MIN), Just(i64::MAX), any::<i64>(), -200..200_i64];
    let refusal = prop_oneof![Just(Refusal::Never), ms().prop_map(Refusal::Since)];
    let blame = prop_oneof![Just(Blame::Theirs), Just(Blame::Ours)];
    let shelf = prop_oneof![Just(Shelf::Empty), Just(Shelf::Older)];
    (0..5_u8, ms(), refusal, blame, shelf).prop_map(|(kind, since_ms, refusal, blame, shelf)| {
        let trouble = Trouble { refusal, blame };
        match kind {
            0 => State::Starting {
                since_ms,
                shelf,
                trouble,
            },
            1 => State::Live { since_ms },
            2 => State::Interrupted { since_ms, trouble },
            3 => State::Outage { since_ms, trouble },
            _ => State::Withdrawn { since_ms, blame },
        }
    })
}

fn any_now() -> impl Strategy<Value = Now> {
    let ms = || prop_oneof![Just(i64::MIN), Just(i64::MAX), any::<i64>(), -400..400_i64];
    (ms(), ms()).prop_map(|(wall_ms, boot_ms)| Now { wall_ms, boot_ms })
}

fn any_timing() -> impl Strategy<Value = Timing> {
    let ms = || prop_oneof![Just(0), Just(u64::MAX), any::<u64>(), 0..200_u64];
    (ms(), ms()).prop_map(|(unavailable_after_ms, withdrawal_grace_ms)| Timing {
        unavailable_after_ms,
        withdrawal_grace_ms,
    })
}

/// decisions.md: "every transition: logged once … with its cause", even if nobody ticked.
#[test]
fn what_time_did_unnoticed_is_reported_before_the_event() {
    let timing = crate::worlds::TIMING;
    let refused = Event::Lost(Loss::Refused);
    let played = |cause| {
        let events = [(at(0), Event::FullUpdate), (at(1), cause)];
        crate::worlds::played(at(0), &events)
    };
    let report = |from, to, trigger| Effect::Report(Transition { from, to, trigger });
    let (by_time, transport) = (Event::Tick, Event::Lost(Loss::Transport));
    let (_, effects) = played(transport).step(Event::FullUpdate, timing, at(60_001));
    let expected = [
        report(Phase::Interrupted, Phase::Outage, by_time),
        report(Phase::Outage, Phase::Live, Event::FullUpdate),
    ];
    assert_eq!(effects, expected);
    let (_, effects) = played(refused).step(transport, timing, at(30_001));
    let expected = [
        report(Phase::Interrupted, Phase::Withdrawn, by_time),
        Effect::Withdraw,
    ];
    assert_eq!(effects, expected);
}

/// The limits to the millisecond, which random numbers seldom hit: material "younger than"
/// `unavailable-after-ms` interrupts, "beyond 60 s" ahead it is unusable.
#[test]
fn material_is_judged_to_the_millisecond() {
    let started = |age_ms: i64| {
        let found = Found::Material(Contact::at(at(-age_ms)));
        State::start(found, crate::worlds::TIMING, at(0))
    };
    assert_eq!(started(59_999).phase(), Phase::Interrupted);
    assert_eq!(started(60_000).phase(), Phase::Starting);
    assert_eq!(started(-60_000).phase(), Phase::Interrupted);
    assert_eq!(started(-60_001).phase(), Phase::Starting);
    let usable = |ahead_ms: i64| Contact::at(at(ahead_ms)).age(at(0)).within(0);
    assert!(usable(60_000) && !usable(60_001));
}

/// How far time alone has taken a source.
fn rank(phase: Phase) -> u8 {
    match phase {
        Phase::Live | Phase::Starting | Phase::Interrupted => 0,
        Phase::Outage => 1,
        Phase::Withdrawn => 2,
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 4_000, ..ProptestConfig::default() })]

    /// The machine says what the history says, however often somebody ticked.
    #[test]
    fn the_machine_says_what_the_history_says(
        disk in disk(),
        earlier in prop::option::weighted(0.3, 0..120_i64),
        history in history(),
        timing in timing(),
        ticks in prop::collection::vec(0..1_000_i64, 0..40),
        asked in 0..300_i64,
    ) {
        let noted = earlier.map_or(Earlier::Nothing, |ago| Earlier::Refused(Contact::at(at(-ago))));
        let start = State::resume(disk.found(), noted, timing, at(0));
        let end = history.last().map_or(0, |(ms, _)| *ms) + asked;
        let mut ticked: Vec<_> = ticks.into_iter().filter(|ms| *ms <= end).map(|ms| (ms, Event::Tick)).collect();
        ticked.extend(history.iter().copied());
        // A tick at the same moment comes before or after, as sorting leaves it: both must do.
        ticked.sort_by_key(|(ms, _)| *ms);
        let play = |events: &[(i64, Event)]| {
            events.iter().fold(start, |state, (ms, event)| state.step(*event, timing, at(*ms)).0)
        };
        let (plain, ticked) = (play(&history).settled(timing, at(end)), play(&ticked).settled(timing, at(end)));
        let expected = phase_by_history((disk, earlier), &history, timing, end);
        prop_assert_eq!(plain.phase(), expected);
        // Not the phase alone: since when, what was refused, whose fault.
        prop_assert_eq!(plain, ticked);
        if expected != Phase::Live {
            prop_assert_eq!(plain.blame(), blame_by_history(&history));
        }
    }

    /// Each transition is reported once, with its cause, time's own before the event's; forgetting is ordered exactly on entering
    /// `Withdrawn`; only a full update leads to `Live`; ticks bring about what time does, no more.
    #[test]
    fn effects_tell_what_happened(disk in disk(), history in history(), timing in timing()) {
        let mut state = State::start(disk.found(), timing, at(0));
        let mut refused = false;
        for (ms, event) in history {
            let before = state;
            let (after, effects) = state.step(event, timing, at(ms));
            let (from, to) = (before.phase(), after.phase());
            refused = event != Event::FullUpdate && (refused || event == Event::Lost(Loss::Refused));
            let waited = before.settled(timing, at(ms)).phase();
            let mut expected = Vec::new();
            for (from, to, trigger) in [(from, waited, Event::Tick), (waited, to, event)] {
                if from != to {
                    expected.push(Effect::Report(Transition { from, to, trigger }));
                }
            }
            if from != Phase::Withdrawn && to == Phase::Withdrawn {
                expected.push(Effect::Withdraw);
                prop_assert!(refused);
            }
            prop_assert_eq!(effects, expected);
            if to == Phase::Live && from != Phase::Live {
                prop_assert_eq!(event, Event::FullUpdate);
            }
            if event == Event::FullUpdate {
                prop_assert_eq!(to, Phase::Live);
            }
            if event == Event::Tick {
                prop_assert_eq!(after, before.settled(timing, at(ms)));
            }
            // A second tick at once finds nothing to do.
            prop_assert_eq!(after.step(Event::Tick, timing, at(ms)), (after, vec![]));
            state = after;
        }
    }

    /// Settling again changes nothing, and time only leads away.
    #[test]
    fn settling_is_idempotent_and_monotone(state in any_state(), timing in any_timing(), a in any_now(), b in any_now()) {
        let settled = state.settled(timing, a);
        prop_assert_eq!(settled.settled(timing, a), settled);
        let (early, late) = if a.boot_ms <= b.boot_ms { (a, b) } else { (b, a) };
        let (early, late) = (state.settled(timing, early), state.settled(timing, late));
        prop_assert!(rank(early.phase()) <= rank(late.phase()));
        // From where it was early, it comes to the same as without that stop.
        let now = if a.boot_ms <= b.boot_ms { b } else { a };
        prop_assert_eq!(early.settled(timing, now), late);
        // Only the clock that no one can set counts.
        let other_wall = Now { wall_ms: b.wall_ms, ..a };
        prop_assert_eq!(state.settled(timing, other_wall), settled);
    }

    /// Nothing panics, whatever clocks and deadlines say (overflow checks are on in tests).
    #[test]
    fn extremes_do_no_harm(
        state in any_state(),
        timing in any_timing(),
        now in any_now(),
        event in event(),
        contact in any_now(),
        rebooted in any::<bool>(),
        cache_ttl_s in any::<u64>(),
        mode in prop::sample::select(Mode::ALL.to_vec()),
    ) {
        let contact = Contact { wall_ms: contact.wall_ms, boot_ms: (!rebooted).then_some(contact.boot_ms) };
        let start = State::start(Found::Material(contact), timing, now);
        prop_assert!(matches!(start.phase(), Phase::Starting | Phase::Interrupted));
        let failure = Failure { cache_ttl_s, spire_unavailable: mode, ..Failure::default() };
        for state in [start, state] {
            let (after, _) = state.step(event, timing, now);
            let _ = stance(after, timing, Some(contact), &failure, now);
        }
    }

    /// "Basis: state × mode", for any state whatever.
    #[test]
    fn the_stance_is_the_table_s(
        state in any_state(),
        timing in any_timing(),
        now in any_now(),
        contact_ago_ms in prop::option::of(prop_oneof![Just(0), -60_001..120_000_i64]),
        cache_ttl_s in prop::sample::select(vec![0_u64, 1, 60, 3600]),
        mode in prop::sample::select(Mode::ALL.to_vec()),
    ) {
        let contact = contact_ago_ms.map(|ago| Contact { wall_ms: now.wall_ms.saturating_sub(ago), boot_ms: None });
        let failure = Failure { cache_ttl_s, spire_unavailable: mode, ..Failure::default() };
        let settled = state.settled(timing, now);
        let age = contact.map(|c| i128::from(now.wall_ms) - i128::from(c.wall_ms));
        let within = age.is_some_and(|age| age >= -60_000 && age <= i128::from(cache_ttl_s) * 1000);
        let ours = settled.blame() == Blame::Ours;
        let expected = match (settled.phase().as_str(), mode.as_str(), within) {
            ("Live" | "Interrupted", _, _) | ("Outage", "cache", true) => Stance::Verify,
            ("Outage", "fail_open", true) if !ours => Stance::OpenMaterial,
            ("Outage", "fail_open", false) if !ours => Stance::Open,
            _ => Stance::Refuse,
        };
        prop_assert_eq!(stance(state, timing, contact, &failure, now), expected);
    }

    /// decisions.md, "Time": the larger of the two clocks; the future beyond 60 s is unusable.
    #[test]
    fn age_is_the_larger_of_two_clocks(
        wall in -200_000..200_000_i64,
        boot in prop::option::of(-200_000..200_000_i64),
        limit in 0..200_000_u64,
    ) {
        let contact = Contact { wall_ms: at(-wall).wall_ms, boot_ms: boot.map(|ms| at(-ms).boot_ms) };
        let clocks = [Some(wall), boot].into_iter().flatten();
        let oldest = clocks.clone().max().unwrap().max(0) as u64;
        let usable = clocks.clone().min().unwrap() >= -60_000;
        prop_assert_eq!(contact.age(at(0)).within(limit), usable && oldest <= limit);
    }
}

/// A record's basis is held against the table: of every state, mode and age the one stance passes, and
/// what nobody could have concluded does not.
#[test]
fn a_recorded_basis_is_the_tables() {
    let mut told = 0;
    for state in Phase::ALL {
        for mode in Mode::ALL {
            for age_ms in [None, Some(0), Some(60_000), Some(60_001)] {
                for stance in Stance::ALL {
                    let grounds = Grounds {
                        state,
                        mode,
                        age_ms,
                        cache_ttl_ms: 60_000,
                        stance,
                    };
                    let usable = age_ms.is_some_and(|age| age <= 60_000);
                    let possible = match (state, mode, stance) {
                        (Phase::Starting | Phase::Withdrawn, _, stance) => stance == Stance::Refuse,
                        (Phase::Live | Phase::Interrupted, _, stance) => stance == Stance::Verify,
                        (Phase::Outage, Mode::FailClosed, stance) => stance == Stance::Refuse,
                        (Phase::Outage, Mode::Cache, Stance::Refuse) => !usable,
                        (Phase::Outage, Mode::Cache, Stance::Verify) => usable,
                        // By a fault of ours, which a record does not name.
                        (Phase::Outage, Mode::FailOpen, Stance::Refuse) => true,
                        (Phase::Outage, Mode::FailOpen, Stance::OpenMaterial) => usable,
                        (Phase::Outage, Mode::FailOpen, Stance::Open) => !usable,
                        (Phase::Outage, _, _) => false,
                    };
                    assert_eq!(grounds.check().is_ok(), possible, "{grounds:?}");
                    told += u64::from(!possible);
                }
            }
        }
    }
    assert!(told > 150, "{told}");
}
