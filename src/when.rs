//! Times as people write and read them.

use actors::clock::Clock;
pub(crate) use actors::words::span;
use anyhow::{Context as _, bail};
use verdict::time::Now;

/// The machine's clocks.
pub(crate) fn now() -> Now {
    Clock::system().now()
}

/// A moment in milliseconds since 1970: RFC 3339, or seconds.
pub(crate) fn parse(text: &str) -> anyhow::Result<i64> {
    if let Ok(seconds) = text.parse::<i64>() {
        return seconds.checked_mul(1_000).context("too far away");
    }
    read(text).with_context(|| {
        format!("{text:?} is no time: write 2026-11-28T03:12:00Z, or seconds since 1970")
    })
}

/// `2026-11-28T03:12:00Z`, with a fraction or without; an offset instead of the Z.
fn read(text: &str) -> anyhow::Result<i64> {
    let (date, rest) = text.split_once(['T', 't', ' ']).context("no time of day")?;
    let zone = rest.find(['Z', 'z', '+', '-']).context("no zone")?;
    let (time, zone) = rest.split_at(zone);
    let [year, month, day] = numbers(date, '-')?;
    let (whole, fraction) = time.split_once('.').unwrap_or((time, "0"));
    let [hour, minute, second] = numbers(whole, ':')?;
    let fits = (1..=9999).contains(&year)
        && (1..=12).contains(&month)
        && (1..=31).contains(&day)
        && (0..24).contains(&hour)
        && (0..60).contains(&minute)
        && (0..=60).contains(&second);
    if !fits {
        bail!("no such moment");
    }
    let seconds = days(year, month, day) * 86_400 + hour * 3_600 + minute * 60 + second;
    Ok((seconds - offset_s(zone)?) * 1_000 + milliseconds(fraction)?)
}

fn numbers(text: &str, between: char) -> anyhow::Result<[i64; 3]> {
    let digits = |part: &str| !part.is_empty() && part.bytes().all(|b| b.is_ascii_digit());
    let mut parts = text.split(between);
    let mut numbers = [0; 3];
    for number in &mut numbers {
        let part = parts.next().filter(|part| digits(part));
        *number = part.context("three numbers are needed")?.parse()?;
    }
    match parts.next() {
        None => Ok(numbers),
        Some(_) => bail!("three numbers are enough"),
    }
}

fn milliseconds(fraction: &str) -> anyhow::Result<i64> {
    if fraction.is_empty() || !fraction.bytes().all(|b| b.is_ascii_digit()) {
        bail!("no fraction");
    }
    let digits = fraction.chars().chain("000".chars()).take(3);
    Ok(digits.collect::<String>().parse()?)
}

fn offset_s(zone: &str) -> anyhow::Result<i64> {
    if matches!(zone, "Z" | "z") {
        return Ok(0);
    }
    let (sign, rest) = zone.split_at_checked(1).context("no zone")?;
    let [hours, minutes, _] = numbers(&format!("{rest}:0"), ':')?;
    let seconds = hours * 3_600 + minutes * 60;
    Ok(if sign == "-" { -seconds } else { seconds })
}

/// Days since 1970 of a date of the proleptic Gregorian calendar.
const fn days(year: i64, month: i64, day: i64) -> i64 {
    let (year, month) = if month > 2 {
        (year, month - 3)
    } else {
        (year - 1, month + 9)
    };
    let era = year.div_euclid(400);
    let of_era = year.rem_euclid(400);
    let of_year = (153 * month + 2) / 5 + day - 1;
    era * 146_097 + of_era * 365 + of_era / 4 - of_era / 100 + of_year - 719_468
}

/// How far a moment is from now: `in 3 h 2 min`, `5 min 1 s ago`. Unix seconds, and milliseconds.
pub(crate) fn relative(at_s: i64, now_ms: i64) -> String {
    let at_ms = at_s.saturating_mul(1_000);
    let apart = span(at_ms.abs_diff(now_ms));
    if at_ms >= now_ms {
        format!("in {apart}")
    } else {
        format!("{apart} ago")
    }
}

/// Unix seconds as RFC 3339, without a fraction.
pub(crate) fn shown(at_s: i64) -> String {
    let text = actors::audit::rfc3339(at_s.saturating_mul(1_000));
    text.replace(".000Z", "Z")
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test may panic")]
    use super::{parse, relative};

    #[test]
    fn what_is_written_is_read_back() {
        for ms in [
            0,
            951_782_400_123,
            1_704_067_199_999,
            4_107_542_400_000,
            -62_135_596_800_000,
        ] {
            assert_eq!(parse(&actors::audit::rfc3339(ms)).unwrap(), ms);
        }
        for (text, ms) in [
            ("1970-01-01T00:00:01Z", 1_000),
            ("1970-01-01T01:00:01+01:00", 1_000),
            ("1969-12-31 23:00:00.5-01:00", 500),
            ("1700000000", 1_700_000_000_000),
        ] {
            assert_eq!(parse(text).unwrap(), ms, "{text}");
        }
    }

    #[test]
    fn what_is_no_moment_is_refused() {
        for text in [
            "",
            "yesterday",
            "2026-11-28",
            "2026-11-28T03:12:00",
            "2026-13-01T00:00:00Z",
            "2026-1-1-1T00:00:00Z",
            "2026-01-01T24:00:00Z",
            "2026-01-01T00:00:00.Z",
            "99999999999999999",
        ] {
            assert!(parse(text).is_err(), "{text}");
        }
    }

    #[test]
    fn a_moment_is_told_by_its_distance() {
        assert_eq!(relative(60, 0), "in 1 min 0 s");
        assert_eq!(relative(0, 3_660_000), "1 h 1 min ago");
    }
}
