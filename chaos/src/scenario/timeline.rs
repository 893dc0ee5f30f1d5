//! `timeline`: moments, and what happens in them.

use super::action::action;
use super::error::Rule;
use super::reader::{Node, Read};
use super::{Step, Timeline};

/// Turns of one `repeat`.
const TURNS_MAX: u64 = 1_000;

pub(super) fn timeline(node: &Node<'_>) -> Read<Timeline> {
    node.no_arguments()?;
    node.only_properties(&["lasts-ms"])?;
    let lasts_ms = node.needed("lasts-ms")?;
    if lasts_ms == 0 {
        return Err(node.not("lasts-ms", "zero"));
    }
    let mut steps = Vec::new();
    for child in node.children() {
        match child.name() {
            "at" => moment(&child, 0, &mut steps)?,
            "repeat" => repeat(&child, &mut steps)?,
            other => {
                return Err(child.unknown(
                    "part of a timeline",
                    other,
                    ["at", "repeat"].into_iter(),
                ));
            }
        }
    }
    if let Some(late) = steps.iter().find(|step| step.at_ms >= lasts_ms) {
        let at_ms = late.at_ms;
        return Err(node.fail(Rule::TooLate { at_ms, lasts_ms }));
    }
    steps.sort_by_key(|step| step.at_ms);
    Ok(Timeline { lasts_ms, steps })
}

/// `at 1000 { … }`, from a beginning.
fn moment(node: &Node<'_>, from_ms: u64, steps: &mut Vec<Step>) -> Read<()> {
    node.only_properties(&[])?;
    let at_ms = from_ms.saturating_add(node.number("a moment in ms")?);
    for child in node.children() {
        let action = action(&child)?;
        steps.push(Step { at_ms, action });
    }
    Ok(())
}

/// `repeat 50 from=1000 every-ms=1500 { at 0 { … }; at 700 { … } }`.
fn repeat(node: &Node<'_>, steps: &mut Vec<Step>) -> Read<()> {
    node.only_properties(&["from", "every-ms"])?;
    node.only_children(&["at"])?;
    let turns = node.number("how often")?;
    match turns {
        0 => return Err(node.not("how often", "zero")),
        1..=TURNS_MAX => {}
        _ => return Err(node.not("how often", "more than 1000")),
    }
    let (from_ms, every_ms) = (node.needed("from")?, node.needed("every-ms")?);
    for turn in 0..turns {
        for child in node.children() {
            moment(
                &child,
                from_ms.saturating_add(turn.saturating_mul(every_ms)),
                steps,
            )?;
        }
    }
    Ok(())
}
