//! Latency over time: the median and the 99th percentile of the answers.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use super::chart::{Axis, LEFT, key, share, svg};
use crate::run::recording::{Outcome, Recording};

/// Points along the drawing: each needs enough answers to have a 99th percentile worth the name.
const POINTS: u64 = 40;
const HEIGHT: f64 = 130.0;
const TOP: f64 = 8.0;

pub(super) fn draw(recording: &Recording) -> String {
    let axis = Axis::new(recording.ended_ms);
    let width_ms = recording.ended_ms.div_ceil(POINTS).max(1);
    let mut groups: BTreeMap<u64, Vec<u64>> = BTreeMap::new();
    let (mut all, mut inside) = (Vec::new(), axis.draw(TOP, TOP + HEIGHT));
    for seen in &recording.observations {
        if let Outcome::Said(_) = seen.outcome {
            groups
                .entry(seen.sent_ms / width_ms)
                .or_default()
                .push(seen.took_us);
            all.push(seen.took_us);
        }
    }
    groups.values_mut().for_each(|group| group.sort_unstable());
    all.sort_unstable();
    let most = groups.values().map(|group| percentile(group, 99)).max();
    let most = most.unwrap_or(1).max(1);
    for (percent, class) in [(50, "p50"), (99, "p99")] {
        let points = groups.iter().map(|(number, group)| {
            let x = axis.x(number * width_ms + width_ms / 2);
            let y = TOP + HEIGHT - share(percentile(group, percent), most) * HEIGHT;
            format!("{x:.1},{y:.1}")
        });
        let points: Vec<_> = points.collect();
        // Writing to a string cannot fail.
        let _ = write!(
            inside,
            "<polyline class=\"{class}\" points=\"{}\"/>",
            points.join(" ")
        );
    }
    let _ = write!(
        inside,
        "<text x=\"{:.1}\" y=\"{}\" text-anchor=\"end\">{}</text>",
        LEFT - 6.0,
        TOP + 11.0,
        shown(most)
    );
    let whole = |percent| shown(percentile(&all, percent));
    let keys = [
        key("good", &format!("median; of the whole run {}", whole(50))),
        key(
            "open",
            &format!("99 of 100; of the whole run {}", whole(99)),
        ),
    ];
    svg(TOP + HEIGHT + 22.0, "latency over time", &inside)
        + &format!("</div><div class=\"key\">{}", keys.concat())
}

/// Of sorted values; 0 of none.
fn percentile(sorted: &[u64], percent: usize) -> u64 {
    let rank = (sorted.len() * percent).div_ceil(100).max(1) - 1;
    sorted.get(rank).copied().unwrap_or_default()
}

fn shown(us: u64) -> String {
    match us {
        0..10_000 => format!("{}.{} ms", us / 1_000, us % 1_000 / 100),
        _ => format!("{} ms", us / 1_000),
    }
}
