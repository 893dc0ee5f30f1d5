//! Percent-decoding (RFC 3986 §2.1), once, with `+` left alone.

use std::borrow::Cow;

use super::error::CertHeaderError;

/// `text` with every `%XX` replaced; borrowed when there is none.
///
/// A form decoder would turn `+` into a space and so ruin base64: AWS ALB sends `+` raw.
pub(super) fn decode(text: &[u8]) -> Result<Cow<'_, [u8]>, CertHeaderError> {
    let Some((before, mut rest)) = split_at_percent(text) else {
        return Ok(Cow::Borrowed(text));
    };
    let mut decoded = Vec::with_capacity(text.len());
    decoded.extend_from_slice(before);
    loop {
        let (byte, after) = escape(rest).ok_or(CertHeaderError::Percent {
            at: text.len() - rest.len(),
        })?;
        decoded.push(byte);
        let Some((run, next)) = split_at_percent(after) else {
            decoded.extend_from_slice(after);
            return Ok(Cow::Owned(decoded));
        };
        decoded.extend_from_slice(run);
        rest = next;
    }
}

/// Whether `text`, percent-decoded and without white space in front, begins with `prefix`.
///
/// Looks at no more than it needs, and calls a bad escape "no": the decoder will say why.
pub(super) fn begins_with(text: &[u8], prefix: &[u8]) -> bool {
    let mut rest = text;
    let mut wanted = prefix.iter();
    let mut inside = false;
    while let Some(want) = wanted.as_slice().first() {
        let Some((byte, after)) = escape(rest).or_else(|| rest.split_first().map(|(b, r)| (*b, r)))
        else {
            return false;
        };
        rest = after;
        if byte == *want {
            inside = true;
            wanted.next();
        } else if inside || !super::pem::is_white_space(byte) {
            return false;
        }
    }
    true
}

/// `text` up to its first `%`, and from there on.
fn split_at_percent(text: &[u8]) -> Option<(&[u8], &[u8])> {
    let at = text.iter().position(|byte| *byte == b'%')?;
    text.split_at_checked(at)
}

/// The byte that a leading `%XX` stands for, and what follows it.
fn escape(text: &[u8]) -> Option<(u8, &[u8])> {
    let ([b'%', high, low], rest) = text.split_first_chunk::<3>()? else {
        return None;
    };
    Some((hex_digit(*high)? << 4 | hex_digit(*low)?, rest))
}

/// The value of a hexadecimal digit of either case.
pub(super) fn hex_digit(byte: u8) -> Option<u8> {
    match byte {
        b'0'..=b'9' => Some(byte - b'0'),
        b'a'..=b'f' => Some(byte - b'a' + 10),
        b'A'..=b'F' => Some(byte - b'A' + 10),
        _ => None,
    }
}
