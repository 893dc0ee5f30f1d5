//! The table: what was asked, what was answered, and why.

use std::io::IsTerminal as _;

use chaos::client::{Answer, Decision};

use crate::logging::say;

/// What a step must be answered with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Expected {
    /// Allow, with this ID in the identity header.
    As(&'static str),
    /// Allow without identity, and this `X-Auth-Method`.
    Unverified(&'static str),
    /// Block, with this status and reason.
    Denied(u16, &'static str),
}

impl std::fmt::Display for Expected {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::As(id) => write!(f, "allow as {id}"),
            Self::Unverified(method) => write!(f, "allow, {method}"),
            Self::Denied(status, reason) => write!(f, "{status} {reason}"),
        }
    }
}

/// Whether an answer is the expected one; `seen` are the headers that the upstream got.
pub(super) fn fits(
    expected: Expected,
    answer: &Answer,
    header: &impl Fn(&str) -> Option<String>,
) -> bool {
    match expected {
        Expected::As(id) => answer.is_allow() && header("x-spiffe-id").as_deref() == Some(id),
        Expected::Unverified(method) => {
            answer.is_allow()
                && header("x-spiffe-id").is_none()
                && header("x-auth-method").as_deref() == Some(method)
        }
        Expected::Denied(status, reason) => {
            answer.block_status() == Some(status)
                && answer.reason_codes.iter().any(|code| code == reason)
        }
    }
}

/// Prints a chapter's heading.
pub(super) fn chapter(title: &str) {
    say(&format!("\n{title}\n"));
}

/// Prints one row; a difference says what was expected.
pub(super) fn row(asked: &str, answer: &Answer, why: &str, difference: Option<Expected>) {
    let (mark, answered) = (mark(difference.is_none()), in_words(answer));
    say(&format!("{mark} {asked:<44} {answered:<38} {why}"));
    if let Some(expected) = difference {
        say(&format!("     expected: {expected}"));
    }
}

/// Prints a note under a row.
pub(super) fn note(text: &str) {
    say(&format!("       {text}"));
}

/// An answer in a few words.
pub(super) fn in_words(answer: &Answer) -> String {
    let reason = answer.reason_codes.first().map_or("", String::as_str);
    match &answer.decision {
        Decision::Allow => match (answer.custom("spiffe_id"), answer.custom("auth_method")) {
            (Some(id), _) => format!("allow as {}", id.trim_start_matches("spiffe://")),
            (None, Some(method)) => format!("allow, {method}"),
            (None, None) => "allow".to_owned(),
        },
        Decision::Block { status, .. } => format!("{status} {reason}"),
        Decision::Redirect { .. } | Decision::Challenge { .. } => {
            "a decision that no agent of ours makes".to_owned()
        }
    }
}

fn mark(good: bool) -> &'static str {
    let colours = std::io::stdout().is_terminal() && std::env::var_os("NO_COLOR").is_none();
    match (good, colours) {
        (true, true) => "\u{1b}[32m ok \u{1b}[0m",
        (true, false) => " ok ",
        (false, true) => "\u{1b}[31mDIFF\u{1b}[0m",
        (false, false) => "DIFF",
    }
}
