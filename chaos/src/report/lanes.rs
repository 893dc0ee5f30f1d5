//! Steps; SPIRE, the trust source's states, the process: one lane each.

use std::fmt::Write as _;

use verdict::availability::Phase;

use super::chart::{Axis, bar, svg};
use super::escape;
use crate::run::recording::Recording;
use crate::scenario::action::{Action, Spire};

/// Numbered lines at most: fifty outages are told in a sentence instead.
const STEPS_MAX: usize = 24;

const TOP: f64 = 22.0;
const LANE: f64 = 24.0;
const GAP: f64 = 10.0;

pub(super) fn draw(recording: &Recording) -> String {
    let axis = Axis::new(recording.ended_ms);
    let bottom = TOP + 3.0 * LANE + 3.0 * GAP;
    let mut inside = axis.draw(TOP, bottom);
    inside += &spire(recording, axis, TOP + GAP / 2.0);
    inside += &states(recording, axis, TOP + LANE + 1.5 * GAP);
    inside += &lives(recording, axis, TOP + 2.0 * (LANE + GAP) + GAP / 2.0);
    for (number, event) in recording.events.iter().take(STEPS_MAX).enumerate() {
        let x = axis.x(event.began_ms);
        // Steps of one moment stand beside each other.
        let same = recording.events.iter().take(number);
        let beside = same
            .filter(|other| event.began_ms.abs_diff(other.began_ms) < 60)
            .count();
        let offset = [0.0, 14.0, 28.0, 42.0].get(beside).copied().unwrap_or(56.0);
        let _ = write!(
            inside,
            "<line class=\"step\" x1=\"{x:.1}\" x2=\"{x:.1}\" y1=\"{TOP}\" y2=\"{bottom}\"/>\
             <text class=\"number\" x=\"{:.1}\" y=\"{:.1}\" text-anchor=\"middle\">{}</text>",
            x + offset,
            TOP - 7.0,
            number + 1
        );
    }
    svg(
        bottom + 22.0,
        "steps, states and processes over time",
        &inside,
    )
}

/// SPIRE as the steps leave it: there, away, or there and wrong.
fn spire(recording: &Recording, axis: Axis, y: f64) -> String {
    let changes = recording
        .events
        .iter()
        .filter_map(|event| match event.action {
            Action::Spire(act) => becomes(act).map(|now| (event.began_ms, now)),
            _ => None,
        });
    let mut changes: Vec<(u64, (&str, &str))> = [(0, THERE)].into_iter().chain(changes).collect();
    // Of several at one moment, as by a restart in one step, the last is how it stays.
    changes.push((recording.ended_ms, THERE));
    let mut text = label("SPIRE", y);
    for pair in changes.windows(2) {
        let [(from_ms, (word, color)), (to_ms, _)] = *pair else {
            continue;
        };
        let (from, to) = (axis.x(from_ms), axis.x(to_ms));
        let title = format!("SPIRE {word}, {from_ms} to {to_ms} ms");
        text += &bar(from, y, to - from, LANE, color, &title);
        if to - from > 70.0 {
            text += &inscription(from, y, word);
        }
    }
    text
}

const THERE: (&str, &str) = ("there", "live");
const AWAY: (&str, &str) = ("away", "outage");
const WRONG: (&str, &str) = ("faulty", "interrupted");

/// What SPIRE is after a step; nothing, if the step is no change to it as a whole.
const fn becomes(act: Spire) -> Option<(&'static str, &'static str)> {
    match act {
        Spire::Start
        | Spire::Thaw
        | Spire::AnswerWell
        | Spire::EntryCreated
        | Spire::SayWell
        | Spire::SocketRecreated
        | Spire::SocketAllowed => Some(THERE),
        Spire::Stop
        | Spire::Kill
        | Spire::SocketDeleted
        | Spire::SocketReplaced
        | Spire::SocketForbidden => Some(AWAY),
        Spire::Freeze
        | Spire::Hang
        | Spire::Slow(_)
        | Spire::Answer(_)
        | Spire::AnswerHttp(_)
        | Spire::EntryDeleted
        | Spire::BadBundle
        | Spire::EmptyBundle
        | Spire::PartnerGone => Some(WRONG),
        Spire::EndStreams
        | Spire::Garbage
        | Spire::NoBundles
        | Spire::RotateOverlapping
        | Spire::RotateAbruptly
        | Spire::RemoveOldAuthority
        | Spire::ServersStop
        | Spire::ServersStart => None,
    }
}

fn states(recording: &Recording, axis: Axis, y: f64) -> String {
    let mut text = label("state", y);
    if recording.transitions.is_empty() {
        return text
            + &unseen(
                axis,
                y,
                "not seen: only --admin-address shows the agent’s states",
            );
    }
    let ends = recording.transitions.iter().skip(1).map(|next| next.at_ms);
    let ends = ends.chain([recording.ended_ms]);
    for (transition, end) in recording.transitions.iter().zip(ends) {
        let (from, to) = (axis.x(transition.at_ms), axis.x(end));
        let phase = transition.to.as_str();
        let title = format!("{phase}, {} to {end} ms", transition.at_ms);
        text += &bar(from, y, to - from, LANE, color(transition.to), &title);
        if to - from > 70.0 {
            text += &inscription(from, y, phase);
        }
    }
    text
}

fn lives(recording: &Recording, axis: Axis, y: f64) -> String {
    let mut text = label("process", y);
    if recording.lives.is_empty() {
        return text + &unseen(axis, y, "not seen: the process is its owner’s");
    }
    for (number, life) in recording.lives.iter().enumerate() {
        let end = life.ended_ms.unwrap_or(recording.ended_ms);
        let (from, to) = (axis.x(life.serving_ms), axis.x(end));
        let title = format!("process {}, {} to {end} ms", number + 1, life.serving_ms);
        text += &bar(from, y, to - from, LANE, "accent", &title);
    }
    for (at_ms, path) in &recording.restarts {
        let title = format!("{path} started again at {at_ms} ms");
        text += &bar(axis.x(*at_ms) - 1.5, y, 3.0, LANE, "open", &title);
    }
    text
}

/// An empty lane says why it is so.
fn unseen(axis: Axis, y: f64, why: &str) -> String {
    let (x, y) = (axis.x(0) + 6.0, y + 16.5);
    format!("<text class=\"lane\" x=\"{x:.1}\" y=\"{y:.1}\">{why}</text>")
}

fn inscription(x: f64, y: f64, word: &str) -> String {
    let (x, y) = (x + 6.0, y + 16.5);
    format!("<text class=\"on\" x=\"{x:.1}\" y=\"{y:.1}\">{word}</text>")
}

fn label(word: &str, y: f64) -> String {
    format!(
        "<text class=\"lane\" x=\"0\" y=\"{:.1}\">{word}</text>",
        y + 16.5
    )
}

const fn color(phase: Phase) -> &'static str {
    match phase {
        Phase::Starting => "starting",
        Phase::Live => "live",
        Phase::Interrupted => "interrupted",
        Phase::Outage => "outage",
        Phase::Withdrawn => "withdrawn",
    }
}

/// The steps by their numbers.
pub(super) fn legend(recording: &Recording) -> String {
    if recording.events.is_empty() {
        return String::new();
    }
    let mut text = "<section><h2>Steps</h2><ol class=\"steps\">".to_owned();
    for event in recording.events.iter().take(STEPS_MAX) {
        let _ = write!(
            text,
            "<li>{} ms: <code>{}</code></li>",
            event.began_ms,
            escape(&event.action.to_string())
        );
    }
    text += "</ol>";
    if let Some(more) = recording
        .events
        .len()
        .checked_sub(STEPS_MAX)
        .filter(|more| *more > 0)
    {
        let _ = write!(
            text,
            "<p class=\"note\">and {more} more of the same kind</p>"
        );
    }
    text + "</section>"
}
