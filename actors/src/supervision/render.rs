//! The tree as text, in the form the crate's documentation draws it.

use std::fmt::Write as _;

use super::tree::{ChildState, ChildStatus, Role, Tree};

/// Where the second column begins; the longest name a drawing needs fits before it.
const COLUMN: usize = 24;

impl Tree {
    /// The tree as drawn in documentation; a place that is not simply running says so.
    #[must_use]
    pub fn render(&self) -> String {
        let rows = self.snapshot();
        let mut text = String::new();
        for (at, row) in rows.iter().enumerate() {
            let after = rows.get(at + 1..).unwrap_or_default();
            let name = branch(row, after);
            // Writing to a string cannot fail.
            let _ = write!(text, "{name:<COLUMN$}{}{}", role(row), deviation(row));
            text.push('\n');
        }
        text
    }
}

/// The name with the lines that lead to it. `after` are the rows below it in the drawing.
fn branch(row: &ChildStatus, after: &[ChildStatus]) -> String {
    let mut text = String::new();
    let names: Vec<&str> = row.path.split('/').collect();
    for depth in 1..names.len() {
        let level = names.get(..depth).unwrap_or_default().join("/");
        let node = names.get(..=depth).unwrap_or_default().join("/");
        let goes_on = after
            .iter()
            .any(|other| is_below(&other.path, &level) && !is_within(&other.path, &node));
        text.push_str(match (depth + 1 == names.len(), goes_on) {
            (true, true) => "|- ",
            (true, false) => "`- ",
            (false, true) => "|  ",
            (false, false) => "   ",
        });
    }
    text.push_str(names.last().copied().unwrap_or_default());
    text
}

fn is_below(path: &str, above: &str) -> bool {
    path.strip_prefix(above)
        .is_some_and(|rest| rest.starts_with('/'))
}

fn is_within(path: &str, node: &str) -> bool {
    path == node || is_below(path, node)
}

fn role(row: &ChildStatus) -> &'static str {
    match row.role {
        Role::Supervisor => "one_for_one",
        Role::Permanent => "permanent",
        Role::Temporary => "temporary",
    }
}

fn deviation(row: &ChildStatus) -> String {
    let mut notes = Vec::new();
    match row.state {
        ChildState::Running => {}
        ChildState::Starting => notes.push("starting".to_owned()),
        ChildState::Restarting => notes.push("restarting".to_owned()),
        ChildState::GivenUp => notes.push("given up".to_owned()),
        ChildState::Stopped => notes.push("stopped".to_owned()),
    }
    if row.role == Role::Temporary && row.alive > 0 {
        notes.push(format!("{} alive", row.alive));
    }
    if row.restarts > 0 {
        notes.push(format!("{} restarts", row.restarts));
    }
    if let Some(failure) = &row.last_failure {
        notes.push(format!("{} at {} ms", failure.cause, failure.at_ms));
    }
    match notes.is_empty() {
        true => String::new(),
        false => format!(", {}", notes.join(", ")),
    }
}
