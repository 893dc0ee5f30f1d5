//! A record as it is written: nothing in it commands a terminal or turns text around.
//!
//! JSON escapes the ASCII control characters; the others of Unicode may stand in its strings as they
//! are. A record is read in a terminal at three in the morning, so they are escaped too: the value
//! is the same, and the chain is made over the bytes that are written.

use std::fmt::Write as _;

use verdict::unseen::is_unseen;

/// The same JSON with such characters as `\uXXXX`. Beyond ASCII JSON has none but in its strings.
pub(super) fn escaped(line: Vec<u8>) -> Vec<u8> {
    if line.iter().all(|byte| *byte < 0x7f) {
        return line;
    }
    let Ok(text) = std::str::from_utf8(&line) else {
        return line;
    };
    if !text.chars().any(is_unseen) {
        return line;
    }
    let mut plain = String::with_capacity(text.len());
    for c in text.chars() {
        match is_unseen(c) {
            true => escape(&mut plain, c),
            false => plain.push(c),
        }
    }
    plain.into_bytes()
}

/// JSON writes what lies beyond the basic plane as two (RFC 8259 §7).
fn escape(plain: &mut String, c: char) {
    for unit in c.encode_utf16(&mut [0; 2]) {
        // Writing to a string cannot fail.
        let _ = write!(plain, "\\u{unit:04x}");
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test may panic")]

    use super::*;

    #[test]
    fn what_turns_text_around_is_unseen_and_says_the_same() {
        let hostile = "a\u{202e}b\u{7f}\u{9b}2J\u{2066}\u{feff}\u{2028}\u{200b}\u{e0041} \u{e4}\u{1f600}\u{4e2d}";
        let line = serde_json::to_vec(&serde_json::json!({ "id": hostile })).unwrap();
        let plain = escaped(line);
        let text = std::str::from_utf8(&plain).unwrap();
        assert!(text.contains("a\\u202eb\\u007f\\u009b2J"), "{text}");
        assert!(text.contains("\\u200b\\udb40\\udc41 "), "{text}");
        assert!(!text.chars().any(is_unseen), "{text:?}");
        assert!(
            text.contains("\u{e4}\u{1f600}\u{4e2d}"),
            "what is seen stays"
        );
        let back: serde_json::Value = serde_json::from_slice(&plain).unwrap();
        assert_eq!(back.get("id").unwrap(), hostile);
    }
}
