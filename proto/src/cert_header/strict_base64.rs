//! Base64 of RFC 4648 §4, with nothing forgiven.

use base64::engine::{Engine as _, general_purpose::STANDARD};

use super::error::Base64Error;

/// Standard alphabet, padding required, spare bits zero, no white space.
///
/// One certificate has one spelling: a second one would be a second key in the memory of what was
/// judged, and a second reader might disagree about it.
pub(super) fn decode(text: &[u8]) -> Result<Vec<u8>, Base64Error> {
    use base64::DecodeError;

    STANDARD.decode(text).map_err(|error| match error {
        DecodeError::InvalidByte(at, _) => Base64Error::Alphabet { at },
        DecodeError::InvalidLength(bytes) => Base64Error::Length { bytes },
        DecodeError::InvalidLastSymbol(at, _) => Base64Error::SpareBits { at },
        DecodeError::InvalidPadding => Base64Error::Padding,
    })
}
