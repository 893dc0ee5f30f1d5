//! Distinguished names: their shape, and their text for people to read (RFC 4514). Text is never
//! for comparing.

use super::der::{self, DerError, Reader, Tlv, tag};
use crate::unseen::is_unseen;
use std::fmt::Write as _;

/// Longest text of a name in bytes. SPIRE's are about 20; the record of a decision stays short.
pub const NAME_TEXT_MAX_BYTES: usize = 256;

/// Relative names shown of one name; the bound on text would cut off further ones anyway.
const RELATIVE_NAMES_MAX: usize = 32;

/// Attribute types with a short name (RFC 4514 §3, and serialNumber, which SPIRE uses).
const SHORT_NAMES: [(&[u8], &str); 10] = [
    (&[0x55, 4, 3], "CN"),
    (&[0x55, 4, 5], "serialNumber"),
    (&[0x55, 4, 6], "C"),
    (&[0x55, 4, 7], "L"),
    (&[0x55, 4, 8], "ST"),
    (&[0x55, 4, 9], "STREET"),
    (&[0x55, 4, 10], "O"),
    (&[0x55, 4, 11], "OU"),
    (
        &[0x09, 0x92, 0x26, 0x89, 0x93, 0xf2, 0x2c, 0x64, 1, 1],
        "UID",
    ),
    (
        &[0x09, 0x92, 0x26, 0x89, 0x93, 0xf2, 0x2c, 0x64, 1, 25],
        "DC",
    ),
];

/// Whether these are the contents of a Name (RFC 5280 §4.1.2.4): sets of at least one attribute,
/// each a type and a value. Values are of any type.
pub(crate) fn check(name: &[u8]) -> Result<(), DerError> {
    let mut relative_names = Reader::new(name);
    while !relative_names.at_end() {
        let mut attributes = relative_names.nested(tag::SET)?;
        loop {
            let mut attribute = attributes.nested(tag::SEQUENCE)?;
            der::object_identifier(attribute.expect(tag::OID)?.value)?;
            attribute.any()?;
            attribute.end()?;
            if attributes.at_end() {
                break;
            }
        }
    }
    Ok(())
}

/// The contents of a Name as text: at most [`NAME_TEXT_MAX_BYTES`], every control character
/// escaped; an ellipsis ends what was cut or could not be read.
pub(crate) fn text(name: &[u8]) -> String {
    let mut text = String::new();
    let complete = write_name(&mut text, name).is_ok();
    if complete && text.len() <= NAME_TEXT_MAX_BYTES {
        return text;
    }
    const ELLIPSIS: &str = "…";
    let limit = NAME_TEXT_MAX_BYTES - ELLIPSIS.len();
    text.truncate(text.floor_char_boundary(limit));
    text.push_str(ELLIPSIS);
    text
}

fn write_name(out: &mut String, name: &[u8]) -> Result<(), DerError> {
    let mut reader = Reader::new(name);
    let mut relative = Vec::new();
    while !reader.at_end() && relative.len() < RELATIVE_NAMES_MAX {
        relative.push(reader.nested(tag::SET)?);
    }
    // RFC 4514 §2.1: the last relative name comes first.
    for (index, mut attributes) in relative.into_iter().rev().enumerate() {
        let mut separator = if index == 0 { "" } else { "," };
        while !attributes.at_end() && out.len() <= NAME_TEXT_MAX_BYTES {
            out.push_str(separator);
            write_attribute(out, attributes.nested(tag::SEQUENCE)?)?;
            separator = "+";
        }
    }
    reader.end()
}

fn write_attribute(out: &mut String, mut attribute: Reader<'_>) -> Result<(), DerError> {
    let oid = attribute.expect(tag::OID)?.value;
    let value = attribute.any()?;
    attribute.end()?;
    match SHORT_NAMES.iter().find(|(known, _)| *known == oid) {
        Some((_, short)) => out.push_str(short),
        None => {
            out.push_str("OID.#");
            write_hex(out, oid);
        }
    }
    out.push('=');
    write_value(out, value);
    Ok(())
}

fn write_value(out: &mut String, value: Tlv<'_>) {
    match (value.tag, std::str::from_utf8(value.value)) {
        (tag::UTF8_STRING | tag::PRINTABLE_STRING | tag::IA5_STRING, Ok(text)) => {
            write_escaped(out, text.chars());
        }
        (tag::TELETEX_STRING, _) => write_escaped(out, value.value.iter().copied().map(char::from)),
        (tag::BMP_STRING, _) => {
            let units = value.value.chunks_exact(2).map(|unit| match *unit {
                [high, low] => u16::from_be_bytes([high, low]),
                _ => 0,
            });
            let chars = char::decode_utf16(units);
            write_escaped(out, chars.map(|c| c.unwrap_or(char::REPLACEMENT_CHARACTER)));
        }
        _ => {
            out.push('#');
            write_hex(out, value.whole);
        }
    }
}

/// RFC 4514 §2.4, and every character that would move the cursor or turn the text around.
fn write_escaped(out: &mut String, chars: impl Iterator<Item = char>) {
    let mut chars = chars.enumerate().peekable();
    while let Some((index, c)) = chars.next() {
        if out.len() > NAME_TEXT_MAX_BYTES {
            return;
        }
        let at_edge = index == 0 || chars.peek().is_none();
        match c {
            ',' | '+' | '"' | '\\' | '<' | '>' | ';' | '=' => out.extend(['\\', c]),
            '#' if index == 0 => out.push_str("\\#"),
            ' ' if at_edge => out.push_str("\\ "),
            c if is_unseen(c) => {
                for byte in c.encode_utf8(&mut [0; 4]).bytes() {
                    out.push('\\');
                    write_hex(out, &[byte]);
                }
            }
            c => out.push(c),
        }
    }
}

/// Lower-case hexadecimal, as far as it can be shown.
pub(crate) fn write_hex(out: &mut String, bytes: &[u8]) {
    for byte in bytes.iter().take(NAME_TEXT_MAX_BYTES) {
        // Writing to a String cannot fail.
        let _ = write!(out, "{byte:02x}");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn element(tag: u8, value: &[u8]) -> Vec<u8> {
        let length = u16::try_from(value.len()).unwrap_or(u16::MAX).to_be_bytes();
        let length = match length {
            [0, short @ 0..0x80] => vec![short],
            [0, short] => vec![0x81, short],
            [high, low] => vec![0x82, high, low],
        };
        [&[tag], &*length, value].concat()
    }

    fn relative(oid: &[u8], tag: u8, value: &[u8]) -> Vec<u8> {
        let attribute = [element(6, oid), element(tag, value)].concat();
        element(0x31, &element(0x30, &attribute))
    }

    #[test]
    fn names_read_as_rfc_4514_writes_them() {
        let name = [
            relative(&[0x55, 4, 6], tag::PRINTABLE_STRING, b"US"),
            relative(&[0x55, 4, 10], tag::UTF8_STRING, "SPIFFE, Größe".as_bytes()),
            relative(&[0x55, 4, 99], tag::UTF8_STRING, b" x"),
        ]
        .concat();
        assert_eq!(text(&name), "OID.#550463=\\ x,O=SPIFFE\\, Größe,C=US");
        assert_eq!(text(&[]), "");
    }

    #[test]
    fn a_name_is_sets_of_attributes() {
        let cn = relative(&[0x55, 4, 3], tag::UTF8_STRING, b"x");
        let any = relative(&[0x55, 4, 45], tag::BIT_STRING, &[0, 1]);
        for good in [vec![], cn.clone(), [&*cn, &any].concat()] {
            assert_eq!(check(&good), Ok(()), "{good:02x?}");
        }
        let attribute = |parts: &[&[u8]]| element(0x31, &element(0x30, &parts.concat()));
        let (oid, value) = (element(6, &[0x55, 4, 3]), element(0x0c, b"x"));
        for bad in [
            element(0x31, &[]),
            element(0x30, &element(0x30, &[&*oid, &value].concat())),
            relative(&[], tag::UTF8_STRING, b"x"),
            relative(&[0x55, 0x84], tag::UTF8_STRING, b"x"),
            attribute(&[&oid]),
            attribute(&[&value, &oid]),
            attribute(&[&oid, &value, &value]),
            [&*cn, &[5, 0]].concat(),
            cn[..cn.len() - 1].to_vec(),
        ] {
            assert!(check(&bad).is_err(), "{bad:02x?}");
        }
    }

    #[test]
    fn nothing_in_a_name_can_forge_a_log_line() {
        let name = relative(
            &[0x55, 4, 3],
            tag::UTF8_STRING,
            "a\n\u{202e}b\u{7f}".as_bytes(),
        );
        assert_eq!(text(&name), "CN=a\\0a\\e2\\80\\aeb\\7f");
    }

    #[test]
    fn text_is_bounded_and_says_so() {
        let long = relative(&[0x55, 4, 3], tag::UTF8_STRING, "ä".repeat(5000).as_bytes());
        let bmp = relative(&[0x55, 4, 3], tag::BMP_STRING, &[0, 7].repeat(5000));
        let raw = relative(&[0x55, 4, 3], 0x1c, &[7; 9000]);
        for name in [long, bmp, raw] {
            let text = text(&name);
            assert!(
                text.len() <= NAME_TEXT_MAX_BYTES && text.ends_with('…'),
                "{text}"
            );
        }
        assert_eq!(text(&[0x31, 5, 1]), "…");
    }
}
