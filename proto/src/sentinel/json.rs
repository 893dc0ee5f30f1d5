//! Writes JSON into a buffer, without a tree and without a way to fail.

use std::io::Write as _;

/// What a byte needs inside a JSON string (RFC 8259, section 7).
enum Escape {
    Short(u8),
    Unicode,
}

const fn escape(byte: u8) -> Option<Escape> {
    match byte {
        b'"' | b'\\' => Some(Escape::Short(byte)),
        b'\n' => Some(Escape::Short(b'n')),
        b'\r' => Some(Escape::Short(b'r')),
        b'\t' => Some(Escape::Short(b't')),
        0x00..=0x1f => Some(Escape::Unicode),
        _ => None,
    }
}

/// `text` as a JSON string.
pub(super) fn string(out: &mut Vec<u8>, text: &str) {
    out.push(b'"');
    let mut rest = text.as_bytes();
    while let Some((at, byte, escaped)) = first_escape(rest) {
        let (plain, tail) = rest.split_at(at);
        out.extend_from_slice(plain);
        match escaped {
            Escape::Short(letter) => out.extend_from_slice(&[b'\\', letter]),
            Escape::Unicode => _ = write!(out, "\\u{byte:04x}"),
        }
        rest = tail.get(1..).unwrap_or_default();
    }
    out.extend_from_slice(rest);
    out.push(b'"');
}

fn first_escape(bytes: &[u8]) -> Option<(usize, u8, Escape)> {
    bytes
        .iter()
        .enumerate()
        .find_map(|(at, byte)| Some((at, *byte, escape(*byte)?)))
}

/// A number, in decimal.
pub(super) fn number(out: &mut Vec<u8>, number: u64) {
    // Writing into a vector cannot fail.
    _ = write!(out, "{number}");
}

/// Items separated by commas.
pub(super) fn list<T>(
    out: &mut Vec<u8>,
    items: impl IntoIterator<Item = T>,
    mut item: impl FnMut(&mut Vec<u8>, T),
) {
    let mut first = true;
    for each in items {
        if !std::mem::take(&mut first) {
            out.push(b',');
        }
        item(out, each);
    }
}

/// An array of strings.
pub(super) fn strings(out: &mut Vec<u8>, items: &[&str]) {
    out.push(b'[');
    list(out, items, |out, item| string(out, item));
    out.push(b']');
}

/// An object of strings, keys as they come.
pub(super) fn pairs<'p>(out: &mut Vec<u8>, items: impl IntoIterator<Item = (&'p str, &'p str)>) {
    out.push(b'{');
    list(out, items, |out, (key, value)| {
        string(out, key);
        out.push(b':');
        string(out, value);
    });
    out.push(b'}');
}

/// Appends what serde makes of `value`: our own messages off the hot path. They have string keys and
/// finite numbers, so writing them cannot fail; should it, nothing is written.
pub(super) fn value<T: serde::Serialize>(out: &mut Vec<u8>, value: &T) {
    let start = out.len();
    if serde_json::to_writer(&mut *out, value).is_err() {
        out.truncate(start);
    }
}
