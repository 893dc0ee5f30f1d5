//! The simulator in small: some seeds, those that once failed, and its own promises.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test may panic"
)]

use chaos::simulate::cast::Cast;
use chaos::simulate::damage::damage;
use chaos::simulate::log::Log;
use chaos::simulate::play::{Outcome, play};
use chaos::simulate::recipe::Recipe;
use chaos::simulate::schedule::Schedule;

/// Seeds played here. CI plays ten thousand with the optimized program.
const SEEDS: u64 = 3;

/// What a seed holds at least.
const DECISIONS_MIN: u64 = 1_000;
const FAULTS_MIN: u64 = 20;

fn played(cast: &Cast, seed: u64) -> Outcome {
    let outcome = play(cast, &Schedule::of(seed), Log::Off);
    if let Some((at_ms, violation)) = &outcome.violation {
        panic!(
            "seed {seed}, at {at_ms} ms: {} broken: {}",
            violation.oracle, violation.what
        );
    }
    outcome
}

#[test]
fn no_seed_breaks_a_promise() {
    let cast = Cast::new().unwrap();
    let mut resumed = 0;
    for seed in 0..SEEDS {
        let outcome = played(&cast, seed);
        assert!(outcome.decisions >= DECISIONS_MIN, "{}", outcome.decisions);
        assert!(outcome.faults >= FAULTS_MIN, "{}", outcome.faults);
        assert!(
            !outcome.took.is_empty(),
            "it never had to find its way back"
        );
        assert!(outcome.coverage.without_row().is_empty());
        resumed += outcome.resumed;
    }
    assert!(resumed > 0, "no start fell into the grace of a refusal");
}

#[test]
fn seeds_that_once_failed_do_not_fail_again() {
    let cast = Cast::new().unwrap();
    let lines = include_str!("../seeds.txt").lines();
    let numbers = lines.filter_map(|line| line.split('#').next()?.trim().parse().ok());
    let played: Vec<_> = numbers.map(|seed| played(&cast, seed)).collect();
    assert!(!played.is_empty());
}

/// With certificates of its own each time: nothing of them may reach the log.
#[test]
fn the_same_seed_is_the_same_play_byte_for_byte() {
    let log = || {
        let cast = Cast::new().unwrap();
        let schedule = Schedule::of(7);
        play(&cast, &schedule, Log::On(Vec::new())).log
    };
    let first = log();
    assert!(first.lines().len() > 1_000);
    assert_eq!(first, log());
}

/// What a log begins with is all that it takes to play the same again.
#[test]
fn a_recipe_makes_the_schedule_it_was_made_of() {
    let mut schedule = Schedule::of(3);
    let mut odd = false;
    schedule.faults.retain(|_| {
        odd = !odd;
        odd
    });
    let log = format!("{}\n    0.000 the agent starts\n", Recipe::of(&schedule));
    assert_eq!(Recipe::parse(&log).unwrap().schedule(), schedule);
    assert!(Recipe::parse("    0.000 the agent starts\n").is_err());
}

/// In small what `chaos damage` does a million times.
#[test]
fn damage_makes_no_start_believe_what_was_never_written() {
    let told = damage(&Cast::new().unwrap(), 1, 20_000);
    assert_eq!(told.broken, Vec::<u64>::new());
    assert!(told.unharmed < told.read / 10);
}
