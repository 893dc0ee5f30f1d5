//! PEM blocks (RFC 7468) on one header line, where line ends have become anything or nothing.

use super::chain::Builder;
use super::error::{CertHeaderError, PemError};

const BEGIN: &[u8] = b"-----BEGIN CERTIFICATE-----";
const END: &[u8] = b"-----END CERTIFICATE-----";

/// One or more CERTIFICATE blocks with white space between them, and nothing else.
pub(super) fn decode(text: &[u8], found: &mut Builder) -> Result<(), CertHeaderError> {
    let mut body = Vec::new();
    let mut rest = skip_white_space(text);
    while !rest.is_empty() {
        let at = text.len() - rest.len();
        let inside = rest
            .strip_prefix(BEGIN)
            .ok_or(PemError::BeginExpected { at })?;
        rest = read_body(inside, &mut body, text.len())?;
        found.push_base64(&body)?;
        rest = skip_white_space(rest);
    }
    Ok(())
}

/// Whatever stands for a line end: LF and CR, nginx's TAB, Apache's SP.
pub(super) fn is_white_space(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t' | b'\r' | b'\n')
}

/// Copies a block's base64 without white space into `body`; returns what follows the END line.
fn read_body<'a>(inside: &'a [u8], body: &mut Vec<u8>, whole: usize) -> Result<&'a [u8], PemError> {
    // `-` is in no base64 text of RFC 4648 §4: the first one must open the END line.
    let length = inside
        .iter()
        .position(|byte| *byte == b'-')
        .ok_or(PemError::EndMissing)?;
    let (base64, tail) = inside
        .split_at_checked(length)
        .ok_or(PemError::EndMissing)?;
    let at = whole - tail.len();
    let after = tail.strip_prefix(END).ok_or(PemError::EndExpected { at })?;
    body.clear();
    body.extend(base64.iter().copied().filter(|byte| !is_white_space(*byte)));
    Ok(after)
}

fn skip_white_space(text: &[u8]) -> &[u8] {
    let start = text
        .iter()
        .position(|byte| !is_white_space(*byte))
        .unwrap_or(text.len());
    text.get(start..).unwrap_or_default()
}
