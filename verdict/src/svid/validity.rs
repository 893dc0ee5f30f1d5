//! When a certificate is valid (RFC 5280 §4.1.2.5): both ends belong to the time.

use super::certificate::CertificateError;
use super::der::{Reader, Tlv, tag};
use super::refusal::{Place, Refusal};
use crate::time::UnixSeconds;

/// A span of time, both ends included.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Window {
    pub(crate) not_before: UnixSeconds,
    pub(crate) not_after: UnixSeconds,
}

impl Window {
    /// Reads the contents of `Validity`. GeneralizedTime before 2050 is read, though an issuer
    /// must not write it: its meaning is plain.
    pub(crate) fn parse(mut validity: Reader<'_>) -> Result<Self, CertificateError> {
        let not_before = parse_time(validity.any()?)?;
        let not_after = parse_time(validity.any()?)?;
        validity.end()?;
        Ok(Self {
            not_before,
            not_after,
        })
    }

    /// Whether now lies inside.
    pub(crate) fn judge(self, now: UnixSeconds, place: Place) -> Result<(), Refusal> {
        if now > self.not_after {
            let seconds_ago = now.0.abs_diff(self.not_after.0);
            return Err(Refusal::Expired { place, seconds_ago });
        }
        if now < self.not_before {
            let seconds_ahead = now.0.abs_diff(self.not_before.0);
            return Err(Refusal::NotYetValid {
                place,
                seconds_ahead,
            });
        }
        Ok(())
    }
}

fn parse_time(time: Tlv<'_>) -> Result<UnixSeconds, CertificateError> {
    let (century_digits, rest) = match (time.tag, time.value.len()) {
        (tag::UTC_TIME, 13) => (None, time.value),
        (tag::GENERALIZED_TIME, 15) => time
            .value
            .split_at_checked(2)
            .map(|(century, rest)| (Some(century), rest))
            .ok_or(CertificateError::Time)?,
        _ => return Err(CertificateError::Time),
    };
    parse_digits(century_digits, rest).ok_or(CertificateError::Time)
}

fn parse_digits(century: Option<&[u8]>, rest: &[u8]) -> Option<UnixSeconds> {
    let (digits, zulu) = rest.split_at_checked(12)?;
    if zulu != b"Z" {
        return None;
    }
    let mut pairs = digits.chunks_exact(2).map(pair);
    let mut next =
        |range: std::ops::RangeInclusive<i64>| pairs.next()?.filter(|n| range.contains(n));
    let year_in_century = next(0..=99)?;
    let century = match century {
        Some(digits) => pair(digits)?,
        // RFC 5280 §4.1.2.5.1: 50..99 is the twentieth century.
        None if year_in_century >= 50 => 19,
        None => 20,
    };
    let year = century * 100 + year_in_century;
    let month = next(1..=12)?;
    let day = next(1..=days_in_month(year, month))?;
    let (hour, minute, second) = (next(0..=23)?, next(0..=59)?, next(0..=59)?);
    let days = days_from_civil(year, month, day);
    Some(UnixSeconds(
        ((days * 24 + hour) * 60 + minute) * 60 + second,
    ))
}

fn pair(digits: &[u8]) -> Option<i64> {
    match *digits {
        [a @ b'0'..=b'9', b @ b'0'..=b'9'] => Some(i64::from(a - b'0') * 10 + i64::from(b - b'0')),
        _ => None,
    }
}

const fn is_leap(year: i64) -> bool {
    year % 4 == 0 && (year % 100 != 0 || year % 400 == 0)
}

const fn days_in_month(year: i64, month: i64) -> i64 {
    match month {
        4 | 6 | 9 | 11 => 30,
        2 if is_leap(year) => 29,
        2 => 28,
        _ => 31,
    }
}

/// Days since 1970-01-01 of a date in the Gregorian calendar, for years 0 to 9999.
const fn days_from_civil(year: i64, month: i64, day: i64) -> i64 {
    // Years begin in March, so that the leap day is the last of its year.
    let (year, month) = if month <= 2 {
        (year - 1, month + 9)
    } else {
        (year, month - 3)
    };
    let leap_days = year.div_euclid(4) - year.div_euclid(100) + year.div_euclid(400);
    let days_before_month = (153 * month + 2) / 5;
    // 719 469 days lie between 0000-03-01 and 1970-01-01, counting days from one.
    year * 365 + leap_days + days_before_month + day - 719_469
}

#[cfg(test)]
mod tests {
    use super::*;

    fn utc(text: &str) -> Option<i64> {
        let tlv = Tlv {
            tag: tag::UTC_TIME,
            value: text.as_bytes(),
            whole: &[],
        };
        parse_time(tlv).ok().map(|t| t.0)
    }

    fn generalized(text: &str) -> Option<i64> {
        let tlv = Tlv {
            tag: tag::GENERALIZED_TIME,
            value: text.as_bytes(),
            whole: &[],
        };
        parse_time(tlv).ok().map(|t| t.0)
    }

    #[test]
    fn dates_are_read_as_rfc_5280_writes_them() {
        assert_eq!(utc("700101000000Z"), Some(0));
        assert_eq!(utc("491231235959Z"), Some(2_524_607_999));
        assert_eq!(utc("500101000000Z"), Some(-631_152_000));
        assert_eq!(utc("240229120000Z"), Some(1_709_208_000));
        assert_eq!(generalized("20500101000000Z"), Some(2_524_608_000));
        assert_eq!(generalized("99991231235959Z"), Some(253_402_300_799));
        assert_eq!(generalized("20240229120000Z"), Some(1_709_208_000));
        assert_eq!(generalized("20000301000000Z"), Some(951_868_800));
    }

    #[test]
    fn other_spellings_are_refused() {
        for text in [
            "230229000000Z",
            "231301000000Z",
            "230001000000Z",
            "230100000000Z",
            "230132000000Z",
            "230101240000Z",
            "230101006000Z",
            "230101000060Z",
            "2301010000Z",
            "230101000000+0000",
            "23010100000Z ",
            "230101000000z",
            "2301010000 0Z",
        ] {
            assert_eq!(utc(text), None, "{text}");
        }
        for text in [
            "20230101000000",
            "20230101000000.5Z",
            "2023010100Z",
            "230101000000Z",
        ] {
            assert_eq!(generalized(text), None, "{text}");
        }
    }
}
