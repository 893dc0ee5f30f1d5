//! A strict reader of DER elements (X.690): definite, shortest lengths, one-byte tags.
//!
//! Borrowing, without recursion, and linear in the input: safe on what a stranger sends. It is as
//! strict as the reader inside webpki, so the two can never see two different certificates.

/// Tags of the elements that occur in certificates.
pub(crate) mod tag {
    pub(crate) const BOOLEAN: u8 = 0x01;
    pub(crate) const INTEGER: u8 = 0x02;
    pub(crate) const BIT_STRING: u8 = 0x03;
    pub(crate) const OCTET_STRING: u8 = 0x04;
    pub(crate) const NULL: u8 = 0x05;
    pub(crate) const OID: u8 = 0x06;
    pub(crate) const UTF8_STRING: u8 = 0x0c;
    pub(crate) const PRINTABLE_STRING: u8 = 0x13;
    pub(crate) const TELETEX_STRING: u8 = 0x14;
    pub(crate) const IA5_STRING: u8 = 0x16;
    pub(crate) const UTC_TIME: u8 = 0x17;
    pub(crate) const GENERALIZED_TIME: u8 = 0x18;
    pub(crate) const BMP_STRING: u8 = 0x1e;
    pub(crate) const SEQUENCE: u8 = 0x30;
    pub(crate) const SET: u8 = 0x31;
    /// `[n]`, primitive.
    pub(crate) const fn context(n: u8) -> u8 {
        0x80 | n
    }
    /// `[n]`, constructed.
    pub(crate) const fn constructed(n: u8) -> u8 {
        0xa0 | n
    }
}

/// How bytes fail to be DER.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DerError {
    /// X.690 §8.1.3: fewer bytes than the length says.
    #[error("an element is cut short (X.690 §8.1.3)")]
    Truncated,
    /// X.690 §10.1: the length is indefinite or not in its shortest form.
    #[error("a length is indefinite or not in its shortest form (X.690 §10.1)")]
    Length,
    /// Another type of element is due here.
    #[error("an element is missing or of another type (RFC 5280 §4.1)")]
    Unexpected,
    /// Bytes stand where the structure has ended.
    #[error("bytes follow the end of an element (RFC 5280 §4.1)")]
    Trailing,
    /// X.690 §8.2, §8.3, §8.6, §11.1: the contents do not fit the type.
    #[error("the contents of an element do not fit its type (X.690 §8, §11)")]
    Contents,
}

/// One element.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Tlv<'a> {
    pub(crate) tag: u8,
    pub(crate) value: &'a [u8],
    /// Tag, length and value.
    pub(crate) whole: &'a [u8],
}

/// Reads one element after the other.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Reader<'a> {
    rest: &'a [u8],
}

impl<'a> Reader<'a> {
    pub(crate) const fn new(bytes: &'a [u8]) -> Self {
        Self { rest: bytes }
    }

    pub(crate) const fn at_end(&self) -> bool {
        self.rest.is_empty()
    }

    pub(crate) fn peek(&self) -> Option<u8> {
        self.rest.first().copied()
    }

    /// The next element, whatever its tag.
    pub(crate) fn any(&mut self) -> Result<Tlv<'a>, DerError> {
        let (&tag, after_tag) = self.rest.split_first().ok_or(DerError::Unexpected)?;
        if tag & 0x1f == 0x1f {
            return Err(DerError::Unexpected);
        }
        let (length, body) = read_length(after_tag)?;
        let (value, rest) = body.split_at_checked(length).ok_or(DerError::Truncated)?;
        let whole_length = self.rest.len().saturating_sub(rest.len());
        let (whole, _) = self
            .rest
            .split_at_checked(whole_length)
            .ok_or(DerError::Truncated)?;
        self.rest = rest;
        Ok(Tlv { tag, value, whole })
    }

    /// The next element, which must carry this tag.
    pub(crate) fn expect(&mut self, tag: u8) -> Result<Tlv<'a>, DerError> {
        match self.peek() {
            Some(found) if found == tag => self.any(),
            _ => Err(DerError::Unexpected),
        }
    }

    /// The next element if it carries this tag.
    pub(crate) fn optional(&mut self, tag: u8) -> Result<Option<Tlv<'a>>, DerError> {
        match self.peek() {
            Some(found) if found == tag => self.any().map(Some),
            _ => Ok(None),
        }
    }

    /// A reader of the contents of the next element, which must carry this tag.
    pub(crate) fn nested(&mut self, tag: u8) -> Result<Reader<'a>, DerError> {
        self.expect(tag).map(|tlv| Reader::new(tlv.value))
    }

    /// `BOOLEAN DEFAULT FALSE`. An explicit FALSE is read: many encoders write it.
    pub(crate) fn boolean_default_false(&mut self) -> Result<bool, DerError> {
        match self.optional(tag::BOOLEAN)?.map(|tlv| tlv.value) {
            None | Some([0x00]) => Ok(false),
            Some([0xff]) => Ok(true),
            Some(_) => Err(DerError::Contents),
        }
    }

    /// Nothing may follow.
    pub(crate) const fn end(&self) -> Result<(), DerError> {
        if self.at_end() {
            Ok(())
        } else {
            Err(DerError::Trailing)
        }
    }
}

/// Exactly one element with this tag.
pub(crate) fn single(bytes: &[u8], tag: u8) -> Result<&[u8], DerError> {
    let mut reader = Reader::new(bytes);
    let tlv = reader.expect(tag)?;
    reader.end()?;
    Ok(tlv.value)
}

/// The contents of an INTEGER, in their shortest form (X.690 §8.3.2).
pub(crate) fn integer(value: &[u8]) -> Result<&[u8], DerError> {
    match value {
        [] | [0x00, 0x00..=0x7f, ..] | [0xff, 0x80..=0xff, ..] => Err(DerError::Contents),
        _ => Ok(value),
    }
}

/// The magnitude of an INTEGER that is not negative, without a leading zero octet.
pub(crate) fn unsigned(value: &[u8]) -> Result<&[u8], DerError> {
    match integer(value)? {
        [0x80..=0xff, ..] => Err(DerError::Contents),
        [0x00, magnitude @ ..] => Ok(magnitude),
        magnitude => Ok(magnitude),
    }
}

/// The contents of a BIT STRING: the number of unused bits, and the octets.
pub(crate) fn bits(value: &[u8]) -> Result<(u8, &[u8]), DerError> {
    let (&unused, octets) = value.split_first().ok_or(DerError::Contents)?;
    let last = octets.last().copied();
    match (unused, last) {
        (0, _) => Ok((0, octets)),
        (1..=7, Some(last)) if last & ((1 << unused) - 1) == 0 => Ok((unused, octets)),
        _ => Err(DerError::Contents),
    }
}

/// The contents of an OBJECT IDENTIFIER: whole subidentifiers, each in its shortest form
/// (X.690 §8.19).
pub(crate) fn object_identifier(value: &[u8]) -> Result<&[u8], DerError> {
    let mut at_start = true;
    for &octet in value {
        if at_start && octet == 0x80 {
            return Err(DerError::Contents);
        }
        at_start = octet & 0x80 == 0;
    }
    if at_start && !value.is_empty() {
        Ok(value)
    } else {
        Err(DerError::Contents)
    }
}

fn read_length(bytes: &[u8]) -> Result<(usize, &[u8]), DerError> {
    match *bytes {
        [] => Err(DerError::Truncated),
        [short @ 0..=0x7f, ref body @ ..] => Ok((usize::from(short), body)),
        [0x81, a, ref body @ ..] if a >= 0x80 => Ok((usize::from(a), body)),
        [0x82, a, b, ref body @ ..] if a != 0 => Ok((from_octets(&[a, b]), body)),
        [0x83, a, b, c, ref body @ ..] if a != 0 => Ok((from_octets(&[a, b, c]), body)),
        [0x81] | [0x82] | [0x82, _] | [0x83] | [0x83, _] | [0x83, _, _] => Err(DerError::Truncated),
        _ => Err(DerError::Length),
    }
}

fn from_octets(octets: &[u8]) -> usize {
    octets
        .iter()
        .fold(0, |length, &octet| (length << 8) | usize::from(octet))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lengths_are_definite_and_shortest() {
        assert_eq!(
            Reader::new(&[4, 1, 9]).any().map(|t| t.value),
            Ok(&[9u8][..])
        );
        for (bytes, error) in [
            (&[4u8, 0x80, 0, 0][..], DerError::Length),
            (&[4, 0x81, 1, 9], DerError::Length),
            (&[4, 0x82, 0, 0x80], DerError::Length),
            (&[4, 0x84, 0, 0, 0, 1, 9], DerError::Length),
            (&[4, 2, 9], DerError::Truncated),
            (&[4, 0x81], DerError::Truncated),
            (&[4], DerError::Truncated),
            (&[0x1f, 1, 9], DerError::Unexpected),
            (&[], DerError::Unexpected),
        ] {
            assert_eq!(Reader::new(bytes).any(), Err(error), "{bytes:02x?}");
        }
    }

    #[test]
    fn integers_and_bit_strings_are_canonical() {
        assert_eq!(unsigned(&[0, 0x80]), Ok(&[0x80u8][..]));
        assert_eq!(unsigned(&[0x80]), Err(DerError::Contents));
        assert_eq!(integer(&[0, 0x7f]), Err(DerError::Contents));
        assert_eq!(integer(&[0xff, 0x80]), Err(DerError::Contents));
        assert_eq!(integer(&[]), Err(DerError::Contents));
        assert_eq!(bits(&[7, 0x80]), Ok((7, &[0x80u8][..])));
        assert_eq!(bits(&[7, 0x81]), Err(DerError::Contents));
        assert_eq!(bits(&[8, 0]), Err(DerError::Contents));
        assert_eq!(bits(&[1]), Err(DerError::Contents));
        assert_eq!(bits(&[]), Err(DerError::Contents));
    }

    #[test]
    fn object_identifiers_are_whole_and_shortest() {
        for good in [&[0x2a_u8, 3][..], &[0x55, 0x1d, 37, 0], &[0x69, 0x81, 0]] {
            assert_eq!(object_identifier(good), Ok(good));
        }
        for bad in [&[][..], &[0x80, 1], &[0x2a, 0x80, 1], &[0x2a, 0x81]] {
            assert_eq!(
                object_identifier(bad),
                Err(DerError::Contents),
                "{bad:02x?}"
            );
        }
    }
}
