//! Answers by what they said, stacked over time.

use std::collections::BTreeMap;

use super::chart::{Axis, LEFT, bar, key, share, svg};
use crate::run::recording::{Observation, Outcome, Recording};
use crate::scenario::answer::Said;

/// Bars along the drawing.
const BARS: u64 = 90;
const HEIGHT: f64 = 170.0;
const TOP: f64 = 8.0;

/// What is told apart, from the bottom up.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Kind {
    Verified,
    Open,
    Unavailable,
    Denied,
    None,
}

impl Kind {
    const ALL: [Self; 5] = [
        Self::Verified,
        Self::Open,
        Self::Unavailable,
        Self::Denied,
        Self::None,
    ];

    const fn of(seen: &Observation) -> Self {
        match &seen.outcome {
            Outcome::Said(Said::Verified) => Self::Verified,
            Outcome::Said(Said::FailOpen) => Self::Open,
            Outcome::Said(Said::Denied(reason)) => {
                // `==` on texts is not const.
                match reason.as_bytes() {
                    b"TRUST_UNAVAILABLE" | b"OVERLOADED" | b"INTERNAL" | b"NOT_CONFIGURED" => {
                        Self::Unavailable
                    }
                    _ => Self::Denied,
                }
            }
            Outcome::Wrong(_) | Outcome::Lost | Outcome::Unsent | Outcome::Silent => Self::None,
        }
    }

    const fn color(self) -> &'static str {
        match self {
            Self::Verified => "good",
            Self::Open => "open",
            Self::Unavailable => "refused",
            Self::Denied => "denied",
            Self::None => "lost",
        }
    }

    const fn word(self) -> &'static str {
        match self {
            Self::Verified => "verified",
            Self::Open => "passed without identity",
            Self::Unavailable => "503",
            Self::Denied => "401, 403",
            Self::None => "none, or wrong",
        }
    }
}

/// One bar.
#[derive(Default)]
struct Stack {
    total: u64,
    kinds: BTreeMap<Kind, u64>,
    words: BTreeMap<String, u64>,
}

pub(super) fn draw(recording: &Recording) -> String {
    let axis = Axis::new(recording.ended_ms);
    let width_ms = recording.ended_ms.div_ceil(BARS).max(1);
    let mut stacks: BTreeMap<u64, Stack> = BTreeMap::new();
    for seen in &recording.observations {
        let stack = stacks.entry(seen.sent_ms / width_ms).or_default();
        stack.total += 1;
        *stack.kinds.entry(Kind::of(seen)).or_default() += 1;
        *stack.words.entry(word(seen)).or_default() += 1;
    }
    let most = stacks.values().map(|stack| stack.total).max().unwrap_or(1);
    let mut inside = axis.draw(TOP, TOP + HEIGHT);
    for (number, stack) in &stacks {
        let (from, to) = (number * width_ms, (number + 1) * width_ms);
        let (x, width) = (axis.x(from), axis.x(to) - axis.x(from) - 1.0);
        let title = stack.title(from);
        let mut y = TOP + HEIGHT;
        for kind in Kind::ALL {
            let count = stack.kinds.get(&kind).copied().unwrap_or_default();
            let height = share(count, most) * HEIGHT;
            y -= height;
            if count > 0 {
                inside += &bar(x, y, width, height, kind.color(), &title);
            }
        }
    }
    inside += &format!(
        "<text x=\"{:.1}\" y=\"{}\" text-anchor=\"end\">{most}</text>\
         <text x=\"0\" y=\"{}\">in {width_ms} ms</text>",
        LEFT - 6.0,
        TOP + 11.0,
        TOP + 27.0
    );
    let keys: String = Kind::ALL
        .map(|kind| key(kind.color(), kind.word()))
        .concat();
    svg(
        TOP + HEIGHT + 22.0,
        "answers over time, by what they said",
        &inside,
    ) + &format!("</div><div class=\"key\">{keys}")
}

impl Stack {
    fn title(&self, from_ms: u64) -> String {
        let words: Vec<_> = self
            .words
            .iter()
            .map(|(word, count)| format!("{count} {word}"))
            .collect();
        format!("from {from_ms} ms: {}", words.join(", "))
    }
}

fn word(seen: &Observation) -> String {
    match &seen.outcome {
        Outcome::Said(said) => said.to_string(),
        Outcome::Wrong(_) => "wrong".to_owned(),
        Outcome::Lost => "lost".to_owned(),
        Outcome::Unsent => "without a connection".to_owned(),
        Outcome::Silent => "never answered".to_owned(),
    }
}
