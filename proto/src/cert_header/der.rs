//! The outermost DER header, and nothing below it.

use super::error::DerError;

/// X.690: universal, constructed, tag number 16. A Certificate is a SEQUENCE (RFC 5280 §4.1).
const SEQUENCE: u8 = 0x30;

/// Length octets read at most: four say 4 GiB, and a header is 64 KiB.
const MAX_LENGTH_OCTETS: usize = 4;

/// `bytes` are one SEQUENCE and end with it.
pub(super) fn exactly_one(bytes: &[u8]) -> Result<(), DerError> {
    match split_first(bytes)? {
        (_, []) => Ok(()),
        (one, _) => Err(DerError::Trailing { at: one.len() }),
    }
}

/// The SEQUENCE that `bytes` begin with, its header included, and what follows it.
pub(super) fn split_first(bytes: &[u8]) -> Result<(&[u8], &[u8]), DerError> {
    let (tag, rest) = bytes.split_first().ok_or(DerError::Empty)?;
    if *tag != SEQUENCE {
        return Err(DerError::NotASequence);
    }
    let (first, rest) = rest.split_first().ok_or(DerError::Truncated)?;
    let (length, body) = match *first {
        short @ 0..=0x7f => (usize::from(short), rest),
        0x80 => return Err(DerError::IndefiniteLength),
        long => long_length(usize::from(long & 0x7f), rest)?,
    };
    let header = bytes.len() - body.len();
    let total = header.checked_add(length).ok_or(DerError::Truncated)?;
    bytes.split_at_checked(total).ok_or(DerError::Truncated)
}

/// The length in the next `octets` octets, which must be the shortest way to say it (X.690 §10.1).
fn long_length(octets: usize, rest: &[u8]) -> Result<(usize, &[u8]), DerError> {
    if octets > MAX_LENGTH_OCTETS {
        return Err(DerError::LengthTooLong);
    }
    let (digits, body) = rest.split_at_checked(octets).ok_or(DerError::Truncated)?;
    if digits.first() == Some(&0) {
        return Err(DerError::LengthNotMinimal);
    }
    let length = digits
        .iter()
        .fold(0_u64, |sum, digit| (sum << 8) | u64::from(*digit));
    if length < 0x80 {
        return Err(DerError::LengthNotMinimal);
    }
    let length = usize::try_from(length).map_err(|_| DerError::LengthTooLong)?;
    Ok((length, body))
}
