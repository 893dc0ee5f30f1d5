//! What requests meet now, in words: the state and the policies in force, for the log.
//!
//! It follows from the same stance that decisions are made by, so that the log promises nothing else.

use std::fmt::Write as _;

use verdict::availability::{Blame, Phase, Refusal, Stance, State, Timing, Trouble};
use verdict::policy::{Failure, Mode, ValidationFailure};
use verdict::reason::Reason;
use verdict::time::{Age, Now};
use verdict::trust::{Basis, World};

use crate::words::span;

/// Policies that are told of in one line; each more is counted.
const POLICIES_TOLD_MAX: usize = 3;

/// What becomes of requests from now on, under each policy in force.
#[must_use]
pub fn requests(world: &World, in_force: &[Failure], now: Now) -> String {
    let mut said: Vec<String> = Vec::new();
    for failure in in_force {
        let words = under(world, failure, now);
        if !said.contains(&words) {
            said.push(words);
        }
    }
    let more = said.len().saturating_sub(POLICIES_TOLD_MAX);
    said.truncate(POLICIES_TOLD_MAX);
    let mut line = said.join("; under another policy: ");
    if line.is_empty() {
        let reason = Reason::NotConfigured.as_str();
        line = format!(
            "no policy is in force: every request is refused, 503 {reason}, until --config or a push gives one"
        );
    }
    if more > 0 {
        // A `String` takes whatever is written.
        let _ = write!(line, "; and {more} more policies");
    }
    line
}

/// How soon time alone changes what requests meet, milliseconds: the first `cache-ttl` to end.
pub(super) fn change_in_ms(world: &World, in_force: &[Failure], now: Now) -> Option<u64> {
    let ends = in_force.iter().filter_map(|failure| {
        let basis = world.basis(failure, now);
        match basis.stance {
            // Within `cache-ttl` is up to and with its last millisecond.
            Stance::Verify | Stance::OpenMaterial if basis.phase == Phase::Outage => {
                left_ms(failure, basis).map(|ms| ms.saturating_add(1))
            }
            Stance::Verify | Stance::OpenMaterial | Stance::Open | Stance::Refuse => None,
        }
    });
    ends.min()
}

fn under(world: &World, failure: &Failure, now: Now) -> String {
    let decided = decided(world, failure, now);
    let refuses = world.basis(failure, now).stance == Stance::Refuse;
    match (failure.enforce, failure.validation_failure) {
        (false, _) => {
            format!("enforce is off: who would be denied passes unverified; with it: {decided}")
        }
        (true, ValidationFailure::LogAndAllow) if !refuses => format!(
            "{decided}; whose credential does not stand passes unverified (validation-failure \"log_and_allow\")"
        ),
        (true, ValidationFailure::LogAndAllow | ValidationFailure::Reject) => decided,
    }
}

/// What is decided, enforced or not.
fn decided(world: &World, failure: &Failure, now: Now) -> String {
    let timing = world.timing();
    let state = world.state().settled(timing, now);
    let withdrawn_in = withdrawn_in(state, timing, now);
    match state {
        State::Live { .. } => "verified by the bundles of SPIRE".to_owned(),
        State::Starting { .. } => {
            overruled(starting(failure, world.basis(failure, now)), withdrawn_in)
        }
        State::Interrupted { since_ms, trouble } => {
            let outage_ms = since_ms.saturating_add_unsigned(timing.unavailable_after_ms);
            let outage_in_ms = outage_ms.saturating_sub(now.boot_ms).max(0).unsigned_abs();
            let left_ms = withdrawn_in.map_or(outage_in_ms, |ms| ms.min(outage_in_ms));
            let (left, then) = (span(left_ms), then(failure, trouble));
            match withdrawn_in {
                Some(ms) if ms <= outage_in_ms => format!(
                    "verified as before, for another {left}; then SPIRE's refusal holds, in every mode"
                ),
                _ => overruled(
                    format!("verified as before, for another {left}; {then}"),
                    withdrawn_in,
                ),
            }
        }
        State::Outage { .. } => overruled(
            in_outage(failure, world.basis(failure, now), state.blame()),
            withdrawn_in,
        ),
        State::Withdrawn { .. } => {
            let refused = refused(failure);
            format!("{refused}, in every mode, until SPIRE gives this agent bundles again")
        }
    }
}

fn starting(failure: &Failure, basis: Basis) -> String {
    let refused = refused(failure);
    match basis.age {
        None => format!("{refused}: SPIRE has given no bundles yet"),
        Some(_) => {
            let (age, mode) = (span(age_ms(basis)), failure.spire_unavailable.as_str());
            format!(
                "{refused}, until SPIRE answers or is known to be away (api-timeout-ms); then {mode} says what \
                 the bundles on disk, of {age} ago, are good for"
            )
        }
    }
}

fn refused(failure: &Failure) -> String {
    let (status, reason) = (failure.unavailable_status.get(), Reason::TrustUnavailable);
    let reason = reason.as_str();
    format!("every request with a credential is refused, {status} {reason}")
}

/// In how many milliseconds a refusal of SPIRE holds, if it stands and does not yet.
fn withdrawn_in(state: State, timing: Timing, now: Now) -> Option<u64> {
    match state.refusal() {
        Refusal::Never => None,
        Refusal::Since(ms) => {
            let at_ms = ms.saturating_add_unsigned(timing.withdrawal_grace_ms);
            Some(at_ms.saturating_sub(now.boot_ms).max(0).unsigned_abs())
        }
    }
}

/// What is promised, and that a refusal will end it.
fn overruled(said: String, withdrawn_in: Option<u64>) -> String {
    match withdrawn_in.map(span) {
        None => said,
        Some(left) => format!(
            "{said}; but SPIRE refuses this agent, and in {left} that holds: every request with a credential is then refused, in every mode"
        ),
    }
}

/// What an interruption turns into.
fn then(failure: &Failure, trouble: Trouble) -> String {
    let mode = failure.spire_unavailable.as_str();
    let does = match failure.spire_unavailable {
        Mode::FailOpen if trouble.blame == Blame::Ours => "refuses, as this is no outage of SPIRE",
        Mode::FailClosed => "refuses every request with a credential",
        Mode::Cache => "goes on with the bundles at hand until cache-ttl",
        Mode::FailOpen => "lets pass who cannot be verified",
    };
    format!("then {mode} {does}")
}

fn in_outage(failure: &Failure, basis: Basis, blame: Blame) -> String {
    let mode = failure.spire_unavailable.as_str();
    let ttl_s = failure.cache_ttl_s;
    let said = match (basis.stance, failure.spire_unavailable) {
        (Stance::Refuse, Mode::FailClosed) => format!("{}, until SPIRE is back", refused(failure)),
        (Stance::Refuse, Mode::FailOpen) if blame == Blame::Ours => {
            let refused = refused(failure);
            format!(
                "{refused}, as with fail_closed: SPIRE does not accept our call, which is no outage"
            )
        }
        (Stance::Refuse, _) => {
            let refused = refused(failure);
            format!("{refused}: there are no bundles younger than cache-ttl ({ttl_s} s)")
        }
        (Stance::Verify, _) => {
            let at_hand = at_hand(failure, basis);
            format!("verified by {at_hand}; then refused, until SPIRE is back")
        }
        (Stance::OpenMaterial, _) => {
            let at_hand = at_hand(failure, basis);
            format!("verified by {at_hand}; who cannot be verified passes unverified")
        }
        (Stance::Open, _) => {
            "nobody can be verified; who passes the lists by the ID claimed passes unverified"
                .to_owned()
        }
    };
    format!("{mode}: {said}")
}

/// The bundles at hand, and how long they still count.
fn at_hand(failure: &Failure, basis: Basis) -> String {
    let (age, left) = (
        span(age_ms(basis)),
        span(left_ms(failure, basis).unwrap_or(0)),
    );
    let ttl_s = failure.cache_ttl_s;
    format!("the bundles of {age} ago, for another {left}, until cache-ttl ({ttl_s} s) is over")
}

const fn age_ms(basis: Basis) -> u64 {
    match basis.age {
        Some(Age::Ms(age_ms)) => age_ms,
        Some(Age::InTheFuture) | None => 0,
    }
}

/// What remains of `cache-ttl`, milliseconds.
fn left_ms(failure: &Failure, basis: Basis) -> Option<u64> {
    match basis.age? {
        Age::Ms(age_ms) => failure.cache_ttl_ms().checked_sub(age_ms),
        Age::InTheFuture => None,
    }
}
