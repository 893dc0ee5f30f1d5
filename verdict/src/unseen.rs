//! Characters that nobody sees: wherever text of others is shown, they are not shown as they are.

use std::fmt::Write as _;

/// Whether this one commands a terminal, or has no shape and changes how others are shown: controls, marks
/// of direction, separators of lines, what has no width, tags (Unicode, general categories Cc and Cf, and
/// U+2028 and U+2029). A line end is one: who shows several lines asks for it first.
#[must_use]
pub fn is_unseen(c: char) -> bool {
    c.is_control()
        || matches!(c, '\u{ad}' | '\u{61c}' | '\u{180e}' | '\u{200b}'..='\u{200f}'
            | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{feff}'
            | '\u{fff9}'..='\u{fffb}' | '\u{e0000}'..='\u{e007f}')
}

/// The same JSON document, written so that a terminal shows all of it: what is unseen becomes `\uXXXX` (RFC
/// 8259, 7). Such a character stands in strings alone, but for blanks between tokens.
#[must_use]
pub fn seen_json(json: &str) -> String {
    let mut shown = String::with_capacity(json.len());
    for c in json.chars() {
        if !is_unseen(c) || matches!(c, '\n' | '\r' | '\t') {
            shown.push(c);
            continue;
        }
        for unit in c.encode_utf16(&mut [0; 2]) {
            // Writing to a string does not fail.
            let _ = write!(shown, "\\u{unit:04x}");
        }
    }
    shown
}
