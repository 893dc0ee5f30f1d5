//! What every scenario promises.

use crate::run::recording::{Observation, Outcome, Recording};
use crate::scenario::action::{Action, Part};
use crate::scenario::promise::Always;
use crate::scenario::{Records, Scenario};

/// What a busy machine may add to `decision-deadline-ms` between the two ends of a socket, ms. The
/// agent's own limit is tested where nothing else runs; here several scenarios share a machine.
pub(in crate::run) const SLACK_MS: u64 = 1_500;
/// Records that were still on their way when the process was killed: those of the last moments, ms.
const UNWRITTEN_MS: u64 = 500;
/// Around a death, requests that meet it are lost, ms.
const DEATH_MS: u64 = 250;

pub(super) fn finding(
    always: Always,
    scenario: &Scenario,
    recording: &Recording,
) -> Result<String, String> {
    match always {
        Always::NoWrongAllow => no_wrong_allow(recording),
        Always::Answered => answered(scenario, recording),
        Always::Recorded => recorded(scenario, recording),
        Always::Lives => lives(recording),
    }
}

fn no_wrong_allow(recording: &Recording) -> Result<String, String> {
    for seen in &recording.observations {
        if let Outcome::Wrong(what) = &seen.outcome {
            return Err(told(seen, what));
        }
    }
    let answers = answers(recording).count();
    Ok(format!("{answers} answers"))
}

/// Answers, each with when it came.
fn answers(recording: &Recording) -> impl Iterator<Item = &Observation> {
    let seen = recording.observations.iter();
    seen.filter(|seen| matches!(seen.outcome, Outcome::Said(_) | Outcome::Wrong(_)))
}

fn answered(scenario: &Scenario, recording: &Recording) -> Result<String, String> {
    let limit_ms = scenario.agent.deadline_ms.saturating_add(SLACK_MS);
    let excused = excuses(recording);
    let excuse = |seen: &Observation| {
        let mut excused = excused.iter();
        excused.any(|(from, to)| seen.sent_ms <= *to && seen.ended_ms() >= *from)
    };
    let (mut slowest_us, mut lost) = (0, 0_u64);
    for seen in &recording.observations {
        let what = match &seen.outcome {
            Outcome::Said(_) | Outcome::Wrong(_) if seen.took_us / 1_000 <= limit_ms => {
                slowest_us = slowest_us.max(seen.took_us);
                continue;
            }
            _ if excuse(seen) => {
                lost += 1;
                continue;
            }
            Outcome::Said(_) | Outcome::Wrong(_) => "was answered too late",
            Outcome::Lost => "was lost with its connection",
            Outcome::Unsent => "found no connection",
            Outcome::Silent => "was not answered",
        };
        return Err(told(
            seen,
            &format!("{what}, after {} ms", seen.took_us / 1_000),
        ));
    }
    let met = match lost {
        0 => String::new(),
        lost => format!(", {lost} met a process that was down as told"),
    };
    let slowest_ms = slowest_us / 1_000;
    Ok(format!(
        "the slowest after {slowest_ms} of {limit_ms} ms{met}"
    ))
}

/// Absences of the process, and deaths of connections, with a moment around each.
fn excuses(recording: &Recording) -> Vec<(u64, u64)> {
    let kills = recording.events.iter().filter(
        |event| matches!(&event.action, Action::Actor(Part::Kill, name) if name == "connection"),
    );
    let deaths = kills.map(|event| (event.began_ms, event.done_ms));
    let all = recording.absences().into_iter().chain(deaths);
    all.map(|(from, to)| (from.saturating_sub(DEATH_MS), to.saturating_add(DEATH_MS)))
        .collect()
}

fn recorded(scenario: &Scenario, recording: &Recording) -> Result<String, String> {
    let kept = match scenario.agent.records {
        Records::Kept => true,
        Records::Lossy => false,
        Records::Stuck | Records::Full => return Ok("the sink takes none".to_owned()),
        Records::Elsewhere => return Ok("not looked at: they are their owner's".to_owned()),
    };
    let ends: Vec<u64> = recording
        .lives
        .iter()
        .filter_map(|life| life.ended_ms)
        .collect();
    let may_be_lost = |seen: &Observation| {
        let answered = seen.ended_ms();
        let mut ends = ends.iter();
        ends.any(|end| (end.saturating_sub(UNWRITTEN_MS)..=end + DEATH_MS).contains(&answered))
    };
    let (mut count, mut lost) = (0_u64, 0_u64);
    for seen in answers(recording) {
        let Outcome::Said(said) = seen.outcome else {
            continue;
        };
        let records = recording
            .records
            .get(&seen.id)
            .map_or(&[][..], Vec::as_slice);
        match records {
            [record] if record.said() == Some(said) => count += 1,
            [record] => {
                let what = format!("was answered {said}, its record says {record}");
                return Err(told(seen, &what));
            }
            [] if !kept || may_be_lost(seen) => lost += 1,
            [] => return Err(told(seen, "has no record")),
            many => return Err(told(seen, &format!("has {} records", many.len()))),
        }
    }
    let why = if kept {
        "a process that ended"
    } else {
        "a sink that may lose some"
    };
    Ok(match lost {
        0 => format!("{count} records"),
        lost => format!("{count} records, {lost} lost with {why}"),
    })
}

fn lives(recording: &Recording) -> Result<String, String> {
    let mut untold = recording.lives.iter().filter(|life| !life.as_told);
    match untold.find_map(|life| life.ended_ms) {
        Some(at_ms) => Err(format!("the agent ended by itself at {at_ms} ms")),
        None if recording.lives.is_empty() => Ok("not seen from outside".to_owned()),
        None => Ok(format!("{} in all", recording.lives.len())),
    }
}

/// A request and what is to be said of it.
pub(super) fn told(seen: &Observation, what: &str) -> String {
    format!(
        "{} ({}) at {} ms {what}",
        seen.caller.as_str(),
        seen.id,
        seen.sent_ms
    )
}
