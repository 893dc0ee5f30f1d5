//! What a scenario promises itself.

use std::collections::BTreeMap;

use verdict::availability::Phase;

use super::always::told;
use crate::run::recording::{Observation, Outcome, Recording};
use crate::scenario::action::{Action, Spire};
use crate::scenario::answer::Said;
use crate::scenario::caller::Caller;
use crate::scenario::promise::Kind;

/// Without an answer for so long, a window says so: no scenario of ours asks so seldom, ms.
const SILENCE_MS: u64 = 1_000;

type Found = Result<String, String>;

pub(super) fn window(kind: &Kind, recording: &Recording) -> Found {
    let Kind::Window {
        from_ms,
        to_ms,
        callers,
        only,
        states,
        least,
    } = kind
    else {
        return Err("no window".to_owned());
    };
    let (from, to) = (recording.after(*from_ms), recording.before(*to_ms));
    let within = |seen: &&Observation| {
        callers.contains(&seen.caller) && seen.sent_ms >= from && seen.ended_ms() <= to
    };
    let mut judged = 0_u64;
    let mut answered = Vec::new();
    let mut counts: BTreeMap<Caller, u64> = callers.iter().map(|caller| (*caller, 0)).collect();
    for seen in recording.observations.iter().filter(within) {
        let Outcome::Said(said) = seen.outcome else {
            continue;
        };
        if !only.contains(&said) {
            return Err(told(seen, &format!("was answered {said}")));
        }
        judged += u64::from(in_state(recording, seen, states)?);
        answered.push(seen.ended_ms());
        *counts.entry(seen.caller).or_default() += 1;
    }
    if let Some((caller, count)) = counts.iter().find(|(_, count)| *count < least) {
        let caller = caller.as_str();
        return Err(format!(
            "{count} answers to {caller} between {from} and {to} ms: at least {least} are needed"
        ));
    }
    if !states.is_empty() && judged == 0 {
        return Err(format!(
            "no record of an answer between {from} and {to} ms names a state"
        ));
    }
    let total: u64 = counts.values().sum();
    let none = silence(answered, from, to).map_or_else(String::new, |(from, to)| {
        format!(", none between {from} and {to}")
    });
    Ok(format!("{total} answers between {from} and {to} ms{none}"))
}

/// The longest stretch of a window in which nobody was answered, if it is one to tell.
fn silence(mut answered: Vec<u64>, from: u64, to: u64) -> Option<(u64, u64)> {
    answered.extend([from, to]);
    answered.sort_unstable();
    let stretches = answered.windows(2).filter_map(|pair| match pair {
        [one, next] => Some((*one, *next)),
        _ => None,
    });
    let longest = stretches.max_by_key(|(one, next)| next - one)?;
    (longest.1 - longest.0 >= SILENCE_MS).then_some(longest)
}

/// The record names one of these states; `false`: it names none. Whether there is a record is promised
/// elsewhere.
fn in_state(recording: &Recording, seen: &Observation, states: &[Phase]) -> Result<bool, String> {
    let records = recording.records.get(&seen.id);
    let Some(record) = records.and_then(|records| records.first()) else {
        return Ok(false);
    };
    let known = |state: &&str| states.iter().any(|phase| phase.as_str() == *state);
    // Who is denied before the trust source is asked has no state.
    match record.state.as_deref() {
        None => Ok(false),
        Some(_) if states.is_empty() => Ok(false),
        Some(state) if known(&state) => Ok(true),
        Some(state) => Err(told(seen, &format!("was judged in state {state}"))),
    }
}

/// `step` is when what is recovered from began and was done.
pub(super) fn recovery(
    recording: &Recording,
    step: (u64, u64),
    within_ms: u64,
    callers: &[Caller],
    answer: Said,
) -> Found {
    let from = step.1;
    let took = took_ms(recording, from, u64::MAX, callers, answer);
    match took {
        Some(took) if took > within_ms => {
            Err(format!("after {took} ms, not within {within_ms} ms"))
        }
        Some(took) if is_unchanged(recording, step, took, callers, answer) => Ok(format!(
            "nothing was lost: {answer} before it and until all had it again"
        )),
        Some(took) => Ok(format!("after {took} ms")),
        None => Err(format!("nobody was answered {answer} after {from} ms")),
    }
}

/// Whether all of them had this answer before the step, and no other until they had it again: there was
/// no way back to be measured.
fn is_unchanged(
    recording: &Recording,
    (began_ms, done_ms): (u64, u64),
    took_ms: u64,
    callers: &[Caller],
    answer: Said,
) -> bool {
    let so = |seen: &Observation| seen.outcome == Outcome::Said(answer);
    callers.iter().all(|caller| {
        let theirs = || {
            let all = recording.observations.iter();
            all.filter(|seen| seen.caller == *caller)
        };
        let before = theirs().filter(|seen| seen.ended_ms() <= began_ms);
        let mut since = theirs().filter(|seen| {
            seen.ended_ms() > began_ms && seen.sent_ms <= done_ms.saturating_add(took_ms)
        });
        let last = before.max_by_key(|seen| seen.ended_ms());
        last.is_some_and(so) && since.all(so)
    })
}

/// From a moment to the first such answer of the last of the callers, if before `end`.
fn took_ms(
    recording: &Recording,
    from: u64,
    end: u64,
    callers: &[Caller],
    answer: Said,
) -> Option<u64> {
    let first = |caller: &Caller| {
        let so = recording.observations.iter().filter(|seen| {
            seen.caller == *caller
                && seen.outcome == Outcome::Said(answer)
                && (from..end).contains(&seen.ended_ms())
                // What was asked before may have been judged before.
                && seen.sent_ms >= from
        });
        so.map(Observation::ended_ms).min()
    };
    let mut last = 0;
    for caller in callers {
        last = last.max(first(caller)? - from);
    }
    Some(last)
}

/// Times of those that were one: where nothing was lost there was no way back to be measured.
pub(super) fn recoveries(
    recording: &Recording,
    after: Spire,
    within_ms: u64,
    callers: &[Caller],
    answer: Said,
) -> Found {
    let events = recording.events.iter();
    let wanted = events.filter(|event| event.action == Action::Spire(after));
    let steps: Vec<(u64, u64)> = wanted
        .map(|event| (event.began_ms, event.done_ms))
        .collect();
    if steps.is_empty() {
        return Err(format!("spire {after} never happened"));
    }
    let mut took = Vec::new();
    for (at, step) in steps.iter().enumerate() {
        let end = steps.get(at + 1).map_or(u64::MAX, |next| next.1);
        let back = took_ms(recording, step.1, end, callers, answer);
        let lost = |back| !is_unchanged(recording, *step, back, callers, answer);
        // Never is later than any limit.
        took.extend(Some(back.unwrap_or(u64::MAX)).filter(|_| back.is_none_or(lost)));
    }
    took.sort_unstable();
    let at = |percent: usize| {
        let rank = (took.len() * percent).div_ceil(100).max(1) - 1;
        took.get(rank).copied()
    };
    let (Some(p50), Some(p99), Some(longest)) = (at(50), at(99), at(100)) else {
        return Ok(format!("nothing was lost, {} times", steps.len()));
    };
    let ms = |ms| match ms {
        u64::MAX => "never".to_owned(),
        ms => format!("{ms} ms"),
    };
    let figures = format!(
        "{} times: p50 {}, p99 {}, longest {}{}",
        took.len(),
        ms(p50),
        ms(p99),
        ms(longest),
        match steps.len() - took.len() {
            0 => String::new(),
            count => format!("; {count} times more nothing was lost"),
        }
    );
    match p99 <= within_ms {
        true => Ok(figures),
        false => Err(format!("{figures}; not within {within_ms} ms")),
    }
}

pub(super) fn transitions(recording: &Recording, in_order: &[Phase], never: &[Phase]) -> Found {
    let seen: Vec<&str> = recording
        .transitions
        .iter()
        .map(|one| one.to.as_str())
        .collect();
    let path = seen.join(" → ");
    if let Some(phase) = never.iter().find(|phase| seen.contains(&phase.as_str())) {
        return Err(format!("{} in {path}", phase.as_str()));
    }
    let mut rest = recording.transitions.iter();
    for phase in in_order {
        if !rest.any(|one| one.to == *phase) {
            let wanted: Vec<&str> = in_order.iter().map(|phase| phase.as_str()).collect();
            return Err(format!("{path}, not {}", wanted.join(" → ")));
        }
    }
    Ok(path)
}

pub(super) fn restarts(recording: &Recording, actor: &str, least: u64, most: u64) -> Found {
    let ours = |path: &str| path == actor || path.rsplit('/').next() == Some(actor);
    let count = recording
        .restarts
        .iter()
        .filter(|(_, path)| ours(path))
        .count() as u64;
    match (least..=most).contains(&count) {
        true => Ok(format!("{count}")),
        false => Err(format!("{count}, not between {least} and {most}")),
    }
}

pub(super) fn says(recording: &Recording, texts: &[String]) -> Found {
    for text in texts {
        if !recording
            .log
            .iter()
            .any(|line| line.contains(text.as_str()))
        {
            return Err(format!("the log never says {text:?}"));
        }
    }
    Ok("it does".to_owned())
}
