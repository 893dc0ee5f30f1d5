//! Times in words, and the words of others.

/// What somebody calls himself, as it can stand in any line: escaped, and cut to so many characters.
#[must_use]
pub fn escaped(text: &str, max_chars: usize) -> String {
    text.chars()
        .flat_map(char::escape_default)
        .take(max_chars)
        .collect()
}

/// What to do about what was said, behind it; nothing where the error says it.
#[must_use]
pub fn and_to_do(remedy: &str) -> String {
    match remedy {
        "" => String::new(),
        remedy => format!("; {remedy}"),
    }
}

/// A length of time in its two largest units; `ms` is milliseconds.
#[must_use]
pub fn span(ms: u64) -> String {
    let seconds = ms / 1_000;
    let (days, hours, minutes) = (seconds / 86_400, seconds / 3_600 % 24, seconds / 60 % 60);
    match (days, hours, minutes, seconds % 60) {
        (0, 0, 0, 0) => format!("{ms} ms"),
        (0, 0, 0, seconds) => format!("{seconds} s"),
        (0, 0, minutes, seconds) => format!("{minutes} min {seconds} s"),
        (0, hours, minutes, _) => format!("{hours} h {minutes} min"),
        (days, hours, ..) => format!("{days} d {hours} h"),
    }
}

#[cfg(test)]
mod tests {
    use super::span;

    #[test]
    fn spans_are_told_in_two_units() {
        for (ms, words) in [
            (12, "12 ms"),
            (59_999, "59 s"),
            (61_000, "1 min 1 s"),
            (3_660_000, "1 h 1 min"),
            (90_061_000, "1 d 1 h"),
        ] {
            assert_eq!(span(ms), words);
        }
    }
}
