//! What commands print: for a person, or for a program. Colours are for terminals only.

use std::fmt::{self, Write as _};
use std::io::Write as _;

use anstyle::{AnsiColor, Style};
use clap::ValueEnum;
use serde::Serialize;
use verdict::unseen::{is_unseen, seen_json};

/// Headings.
pub(crate) const STRONG: Style = Style::new().bold();
/// What is as it should be.
pub(crate) const GOOD: Style = AnsiColor::Green.on_default();
/// What is not.
pub(crate) const BAD: Style = AnsiColor::Red.on_default().bold();
/// What might not be.
pub(crate) const DOUBTFUL: Style = AnsiColor::Yellow.on_default();
/// What matters less.
pub(crate) const FAINT: Style = Style::new().dimmed();

/// The form of an answer.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub(crate) enum Output {
    /// For people
    #[default]
    Text,
    /// For programs: one JSON document, or one for each line of a stream
    Json,
}

/// What a command found: data for a program, a page for a person.
pub(crate) trait Report: Serialize {
    /// Writes the page.
    fn write(&self, page: &mut Page);
}

/// A text under way. What others wrote goes through [`clean`] before it stands here.
#[derive(Default)]
pub(crate) struct Page(String);

impl Page {
    /// One more line.
    pub(crate) fn line(&mut self, text: impl fmt::Display) {
        // Writing to a string does not fail.
        let _ = writeln!(self.0, "{text}");
    }

    /// The page, styled.
    pub(crate) fn text(&self) -> &str {
        &self.0
    }
}

/// Prints a report on standard output.
pub(crate) fn show(report: &impl Report, output: Output) -> anyhow::Result<()> {
    match output {
        Output::Json => say_json(&serde_json::to_string(report)?),
        Output::Text => {
            let mut page = Page::default();
            report.write(&mut page);
            say_styled(page.text());
        }
    }
    Ok(())
}

/// Prints one JSON document, whoever wrote it, on a line of its own.
pub(crate) fn say_json(json: &str) {
    // Whoever reads may have read enough.
    let _ = try_say_json(json);
}

/// The same, for what goes on only while somebody reads.
pub(crate) fn try_say_json(json: &str) -> std::io::Result<()> {
    try_say_styled(&format!("{}\n", seen_json(json)))
}

/// Prints, with colours where somebody sees them: on a terminal, without `NO_COLOR`.
pub(crate) fn say_styled(text: &str) {
    // Whoever reads may have read enough.
    let _ = try_say_styled(text);
}

/// The same, for what goes on only while somebody reads.
pub(crate) fn try_say_styled(text: &str) -> std::io::Result<()> {
    let mut stdout = anstream::stdout();
    stdout.write_all(text.as_bytes())?;
    stdout.flush()
}

/// A number and what it counts, in the form that fits.
pub(crate) fn counted(count: usize, one: &str, many: &str) -> String {
    match count {
        1 => format!("1 {one}"),
        count => format!("{count} {many}"),
    }
}

/// Bytes in lower-case hexadecimal.
pub(crate) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Text of others on a terminal: nothing in it moves a cursor, rings a bell or pretends to be a line.
pub(crate) fn clean(text: &str) -> String {
    let visible = |c: char| match is_unseen(c) {
        true => char::REPLACEMENT_CHARACTER,
        false => c,
    };
    text.chars().map(visible).collect()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test may panic")]

    use super::{clean, is_unseen, seen_json};

    #[test]
    fn json_says_the_same_and_hides_nothing() {
        let hostile = "a\u{9b}2J\u{7f}b\u{202e}c\u{feff}d\u{e0041}e\n\u{1b}\"\\é😀";
        let json = serde_json::to_string(&[hostile]).unwrap();
        assert!(json.contains(is_unseen));
        let shown = seen_json(&json);
        assert!(!shown.contains(is_unseen), "{shown}");
        for part in ["\\u009b", "\\u007f", "\\u202e", "\\udb40\\udc41", "é😀"] {
            assert!(shown.contains(part), "no {part} in {shown}");
        }
        let read: Vec<String> = serde_json::from_str(&shown).unwrap();
        assert_eq!(read, [hostile]);
        // Another program's own layout stays.
        assert_eq!(seen_json("{\n\t\"a\": 1\r\n}"), "{\n\t\"a\": 1\r\n}");
    }

    #[test]
    fn nothing_of_others_commands_a_terminal() {
        let hostile = "\x1b]0;owned\x07a\r\nb\u{202e}c\u{9b}2J";
        assert_eq!(
            clean(hostile),
            "\u{fffd}]0;owned\u{fffd}a\u{fffd}\u{fffd}b\u{fffd}c\u{fffd}2J"
        );
    }
}
