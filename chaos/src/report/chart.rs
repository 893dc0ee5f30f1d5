//! What the drawings share: a time axis, and SVG.

use std::fmt::Write as _;

/// Width of a drawing, in its own units.
pub(super) const WIDTH: f64 = 880.0;
/// Room at the left, for a lane's label or a scale.
pub(super) const LEFT: f64 = 74.0;
/// Room at the right.
const RIGHT: f64 = 14.0;
/// Numbers along an axis at most.
const TICKS: u64 = 9;
/// Distances between them that read well, ms.
const ROUND_MS: [u64; 12] = [
    100, 200, 500, 1_000, 2_000, 5_000, 10_000, 20_000, 30_000, 60_000, 120_000, 300_000,
];

/// Time along a drawing.
#[derive(Clone, Copy)]
pub(super) struct Axis {
    end_ms: u64,
}

impl Axis {
    pub(super) fn new(end_ms: u64) -> Self {
        Self {
            end_ms: end_ms.max(1),
        }
    }

    /// Where a moment is.
    pub(super) fn x(&self, at_ms: u64) -> f64 {
        LEFT + share(at_ms.min(self.end_ms), self.end_ms) * (WIDTH - LEFT - RIGHT)
    }

    /// Lines and numbers from `top` to `bottom`.
    pub(super) fn draw(&self, top: f64, bottom: f64) -> String {
        let step = ROUND_MS.iter().find(|step| self.end_ms / **step <= TICKS);
        let step = *step.unwrap_or(&600_000);
        let mut text = String::new();
        let mut at_ms = 0;
        while at_ms <= self.end_ms {
            let x = self.x(at_ms);
            let label = match step.is_multiple_of(1_000) {
                true => format!("{} s", at_ms / 1_000),
                false => format!("{}.{} s", at_ms / 1_000, at_ms % 1_000 / 100),
            };
            // Writing to a string cannot fail.
            let _ = write!(
                text,
                "<line class=\"axis\" x1=\"{x:.1}\" x2=\"{x:.1}\" y1=\"{top}\" y2=\"{bottom}\"/>\
                 <text x=\"{x:.1}\" y=\"{:.1}\" text-anchor=\"middle\">{label}</text>",
                bottom + 15.0
            );
            at_ms += step;
        }
        text
    }
}

/// `part` of `whole`, between 0 and 1.
pub(super) fn share(part: u64, whole: u64) -> f64 {
    // Counts and milliseconds of one run: far below what a double holds exactly.
    let narrow = |number: u64| f64::from(u32::try_from(number).unwrap_or(u32::MAX));
    narrow(part) / narrow(whole.max(1))
}

/// A bar with a title that a pointer shows.
pub(super) fn bar(x: f64, y: f64, width: f64, height: f64, color: &str, title: &str) -> String {
    format!(
        "<rect x=\"{x:.1}\" y=\"{y:.1}\" width=\"{:.1}\" height=\"{height:.1}\" \
         style=\"fill:var(--{color})\"><title>{}</title></rect>",
        width.max(1.0),
        super::escape(title)
    )
}

/// A drawing of this height.
pub(super) fn svg(height: f64, label: &str, inside: &str) -> String {
    format!(
        "<svg viewBox=\"0 0 {WIDTH} {height}\" role=\"img\" aria-label=\"{}\">{inside}</svg>",
        super::escape(label)
    )
}

/// One entry of a key.
pub(super) fn key(color: &str, word: &str) -> String {
    format!(
        "<span><i style=\"background:var(--{color})\"></i>{}</span>",
        super::escape(word)
    )
}
