#![allow(clippy::panic, clippy::unwrap_used, reason = "a test may panic")]
use super::*;
use crate::policy::{Failure, Mode};
use crate::time::Contact;

const TIMING: Timing = Timing {
    unavailable_after_ms: 60_000,
    withdrawal_grace_ms: 30_000,
};

const fn at(boot_ms: i64) -> Now {
    Now {
        wall_ms: 1_700_000_000_000 + boot_ms,
        boot_ms,
    }
}

/// Plays events at their times and gives the state afterwards.
fn play(start: State, events: &[(i64, Event)]) -> State {
    events.iter().fold(start, |state, (ms, event)| {
        state.step(*event, TIMING, at(*ms)).0
    })
}

fn fresh() -> State {
    State::start(Found::Nothing, TIMING, at(0))
}

const UPDATE: Event = Event::FullUpdate;
const GONE: Event = Event::Lost(Loss::Transport);
const NO: Event = Event::Lost(Loss::Refused);

#[test]
fn a_start_without_material_waits_and_then_is_an_outage() {
    assert_eq!(
        play(fresh(), &[(10, GONE), (59_999, GONE)]).phase(),
        Phase::Starting
    );
    assert_eq!(
        play(fresh(), &[(10, GONE), (60_000, Event::Tick)]).phase(),
        Phase::Outage
    );
    assert_eq!(play(fresh(), &[(10, UPDATE)]).phase(), Phase::Live);
}

#[test]
fn a_start_with_old_material_is_an_outage_after_the_first_failure() {
    let old = Contact::at(at(-60_000));
    let state = State::start(Found::Material(old), TIMING, at(0));
    assert_eq!(state.phase(), Phase::Starting);
    assert_eq!(play(state, &[(5, GONE)]).phase(), Phase::Outage);
    assert_eq!(play(state, &[(5, UPDATE)]).phase(), Phase::Live);
}

#[test]
fn a_start_with_fresh_material_counts_its_age() {
    let state = State::start(Found::Material(Contact::at(at(-59_000))), TIMING, at(0));
    assert_eq!(state.phase(), Phase::Interrupted);
    assert_eq!(state.settled(TIMING, at(999)).phase(), Phase::Interrupted);
    assert_eq!(state.settled(TIMING, at(1_000)).phase(), Phase::Outage);
}

#[test]
fn material_from_the_future_is_none() {
    let ahead = Contact {
        wall_ms: at(0).wall_ms + 60_001,
        boot_ms: None,
    };
    let state = State::start(Found::Material(ahead), TIMING, at(0));
    assert!(matches!(
        state,
        State::Starting {
            shelf: Shelf::Empty,
            ..
        }
    ));
}

#[test]
fn a_tombstone_starts_withdrawn() {
    let state = State::start(Found::Tombstone, TIMING, at(0));
    assert_eq!(state.phase(), Phase::Withdrawn);
    assert_eq!(
        play(state, &[(1, GONE), (100_000, NO)]).phase(),
        Phase::Withdrawn
    );
    assert_eq!(play(state, &[(1, UPDATE)]).phase(), Phase::Live);
}

/// Started again within the grace: it goes on, in whatever state the start is, and ends when it
/// would have ended, whether SPIRE says it again or is gone.
#[test]
fn a_restart_does_not_begin_the_grace_anew() {
    let found = [
        (Found::Nothing, Phase::Starting),
        (Found::Material(Contact::at(at(-1_000))), Phase::Interrupted),
        (Found::Material(Contact::at(at(-60_000))), Phase::Starting),
    ];
    let earlier = Earlier::Refused(Contact::at(at(-20_000)));
    for (found, phase) in found {
        let start = State::resume(found, earlier, TIMING, at(0));
        assert_eq!(start.phase(), phase);
        assert_eq!(start.refusal(), Refusal::Since(-20_000));
        for events in [&[(1, NO)][..], &[(1, GONE)], &[]] {
            let state = play(start, events);
            assert_ne!(state.settled(TIMING, at(9_999)).phase(), Phase::Withdrawn);
            assert_eq!(state.settled(TIMING, at(10_000)).phase(), Phase::Withdrawn);
        }
        assert_eq!(
            play(start, &[(1, UPDATE), (2, GONE)]).refusal(),
            Refusal::Never
        );
    }
}

/// The larger of both clocks; what nobody can date is over.
#[test]
fn a_start_after_the_grace_is_withdrawn_at_once() {
    let first = |wall_ms: i64, boot_ms| {
        let wall_ms = at(0).wall_ms + wall_ms;
        Earlier::Refused(Contact { wall_ms, boot_ms })
    };
    let found = Found::Material(Contact::at(at(-1_000)));
    for earlier in [
        first(-30_000, Some(0)),
        first(0, Some(-30_000)),
        first(-30_000, None),
        first(60_001, None),
        first(60_001, Some(-1)),
        Earlier::RefusedLongAgo,
    ] {
        let state = State::resume(found, earlier, TIMING, at(0));
        assert_eq!(state.phase(), Phase::Withdrawn, "{earlier:?}");
        assert_eq!(state.blame(), Blame::Theirs);
    }
    let state = State::resume(found, first(-29_999, None), TIMING, at(0));
    assert_eq!(state.phase(), Phase::Interrupted);
}

#[test]
fn a_loss_is_an_interruption_then_an_outage_without_any_tick() {
    let lost = play(fresh(), &[(0, UPDATE), (1_000, GONE)]);
    assert_eq!(lost.phase(), Phase::Interrupted);
    assert_eq!(lost.settled(TIMING, at(60_999)).phase(), Phase::Interrupted);
    assert_eq!(lost.settled(TIMING, at(61_000)).phase(), Phase::Outage);
    // Further failures do not move the deadline.
    let again = play(lost, &[(30_000, GONE), (60_998, GONE)]);
    assert_eq!(again.settled(TIMING, at(61_000)).phase(), Phase::Outage);
}

#[test]
fn a_refusal_counts_from_the_first_whatever_lies_between() {
    let events = [(0, UPDATE), (1_000, NO), (5_000, GONE), (20_000, NO)];
    let state = play(fresh(), &events);
    assert_eq!(
        state.settled(TIMING, at(30_999)).phase(),
        Phase::Interrupted
    );
    assert_eq!(state.settled(TIMING, at(31_000)).phase(), Phase::Withdrawn);
    // A full update in between starts the count anew.
    let state = play(
        fresh(),
        &[(0, UPDATE), (1_000, NO), (5_000, UPDATE), (6_000, NO)],
    );
    assert_eq!(
        state.settled(TIMING, at(35_999)).phase(),
        Phase::Interrupted
    );
    assert_eq!(state.settled(TIMING, at(36_000)).phase(), Phase::Withdrawn);
}

#[test]
fn without_grace_one_refusal_withdraws() {
    let timing = Timing {
        withdrawal_grace_ms: 0,
        ..TIMING
    };
    let (state, effects) = fresh().step(NO, timing, at(5));
    assert_eq!(state.phase(), Phase::Withdrawn);
    assert_eq!(effects.last(), Some(&Effect::Withdraw));
}

#[test]
fn each_transition_is_reported_once() {
    let (live, effects) = fresh().step(UPDATE, TIMING, at(1));
    let transition = Transition {
        from: Phase::Starting,
        to: Phase::Live,
        trigger: UPDATE,
    };
    assert_eq!(effects, [Effect::Report(transition)]);
    assert_eq!(live.step(UPDATE, TIMING, at(2)), (live, vec![]));
    let (lost, _) = live.step(GONE, TIMING, at(3));
    assert_eq!(lost.step(GONE, TIMING, at(4)).1, []);
}

#[test]
fn our_own_fault_marks_until_the_next_full_update() {
    let state = play(
        fresh(),
        &[(0, UPDATE), (1, Event::Lost(Loss::OurFault)), (2, GONE)],
    );
    assert_eq!(state.blame(), Blame::Ours);
    assert_eq!(
        play(state, &[(3, UPDATE), (4, GONE)]).blame(),
        Blame::Theirs
    );
}

/// The table "Basis: state × mode" of the decisions, row by row.
#[test]
fn the_basis_table() {
    use Mode::{Cache, FailClosed, FailOpen};
    use Stance::{Open, OpenMaterial, Refuse, Verify};
    let live = play(fresh(), &[(0, UPDATE)]);
    let lost = play(live, &[(1, GONE)]);
    let withdrawn = State::start(Found::Tombstone, TIMING, at(0));
    let fresh_contact = Some(Contact::at(at(100_000)));
    let stale_contact = Some(Contact::at(at(100_000 - 3_600_001)));
    let rows = [
        (
            "Starting",
            fresh(),
            at(1),
            fresh_contact,
            [Refuse, Refuse, Refuse],
        ),
        (
            "Live",
            live,
            at(100_000),
            stale_contact,
            [Verify, Verify, Verify],
        ),
        (
            "Interrupted",
            lost,
            at(2),
            stale_contact,
            [Verify, Verify, Verify],
        ),
        (
            "Outage, within",
            lost,
            at(100_000),
            fresh_contact,
            [Refuse, Verify, OpenMaterial],
        ),
        (
            "Outage, none",
            lost,
            at(100_000),
            None,
            [Refuse, Refuse, Open],
        ),
        (
            "Outage, older",
            lost,
            at(100_000),
            stale_contact,
            [Refuse, Refuse, Open],
        ),
        (
            "Withdrawn",
            withdrawn,
            at(100_000),
            fresh_contact,
            [Refuse, Refuse, Refuse],
        ),
    ];
    for (name, state, now, contact, expected) in rows {
        for (mode, expected) in [FailClosed, Cache, FailOpen].into_iter().zip(expected) {
            let failure = Failure {
                spire_unavailable: mode,
                ..Failure::default()
            };
            assert_eq!(
                stance(state, TIMING, contact, &failure, now),
                expected,
                "{name} {mode:?}"
            );
        }
    }
}

#[test]
fn fail_open_closes_while_the_fault_is_ours() {
    let failure = Failure {
        spire_unavailable: Mode::FailOpen,
        ..Failure::default()
    };
    let ours = play(fresh(), &[(0, UPDATE), (1, Event::Lost(Loss::OurFault))]);
    let theirs = play(fresh(), &[(0, UPDATE), (1, GONE)]);
    assert_eq!(
        stance(ours, TIMING, None, &failure, at(100_000)),
        Stance::Refuse
    );
    assert_eq!(
        stance(theirs, TIMING, None, &failure, at(100_000)),
        Stance::Open
    );
}

#[test]
fn waits_stay_in_their_range_and_grow() {
    for failures in [0, 1, 3, 10, 63, 64, u32::MAX] {
        for random in [0, 1, u64::MAX / 2, u64::MAX] {
            let wait = retry_wait_ms(failures, RETRY_MAX_LOCAL_MS, Blame::Theirs, random);
            let ceiling = if failures >= 4 {
                1_000
            } else {
                100 << failures
            };
            assert!(
                (100..=ceiling).contains(&wait),
                "{failures} {random} {wait}"
            );
        }
    }
    assert_eq!(retry_wait_ms(0, RETRY_MAX_LOCAL_MS, Blame::Ours, 7), 30_000);
}
