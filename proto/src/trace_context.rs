//! `traceparent`: the trace that a request is part of (W3C Trace Context, section 3.2).
//!
//! The proxies hand it over in the metadata of a request. There is no `tracestate` there.

/// The span that called, as its caller named it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TraceParent {
    trace_id: u128,
    parent_id: u64,
    sampled: bool,
}

/// Length of what every version begins with, bytes.
const KNOWN_BYTES: usize = 55;

impl TraceParent {
    /// Reads a header's value; `None` where the standard says to begin a trace of one's own.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let (known, rest) = text.as_bytes().split_at_checked(KNOWN_BYTES)?;
        let version = hex(known.get(0..2)?)?;
        // A later version may go on after another dash (section 4.3).
        let whole = match version {
            0 => rest.is_empty(),
            0xff => false,
            _ => matches!(rest.first(), None | Some(b'-')),
        };
        let dashed = [2, 35, 52].iter().all(|at| known.get(*at) == Some(&b'-'));
        let trace_id = hex(known.get(3..35)?)?;
        let parent_id = u64::try_from(hex(known.get(36..52)?)?).ok()?;
        let flags = hex(known.get(53..55)?)?;
        (whole && dashed && trace_id != 0 && parent_id != 0).then_some(Self {
            trace_id,
            parent_id,
            sampled: flags & 1 == 1,
        })
    }

    /// The trace; never zero.
    #[must_use]
    pub const fn trace_id(self) -> u128 {
        self.trace_id
    }

    /// The span that called; never zero.
    #[must_use]
    pub const fn parent_id(self) -> u64 {
        self.parent_id
    }

    /// Whether the caller may have recorded its span.
    #[must_use]
    pub const fn is_sampled(self) -> bool {
        self.sampled
    }
}

/// Lower-case hexadecimal digits only. Read for every request: nothing is copied.
fn hex(digits: &[u8]) -> Option<u128> {
    digits.iter().try_fold(0, |value: u128, digit| {
        let digit = match digit {
            b'0'..=b'9' => digit - b'0',
            b'a'..=b'f' => digit - b'a' + 10,
            _ => return None,
        };
        Some((value << 4) | u128::from(digit))
    })
}

#[cfg(test)]
mod tests {
    use super::TraceParent;

    const TRACE: u128 = 0x4bf9_2f35_77b3_4da6_a3ce_929d_0e0e_4736;
    const PARENT: u64 = 0x00f0_67aa_0ba9_02b7;

    #[test]
    fn what_the_standard_shows_is_read() {
        for (flags, sampled) in [("00", false), ("01", true), ("02", false), ("ff", true)] {
            let text = format!("00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-{flags}");
            let expected = TraceParent {
                trace_id: TRACE,
                parent_id: PARENT,
                sampled,
            };
            assert_eq!(TraceParent::parse(&text), Some(expected), "{text}");
        }
    }

    #[test]
    fn later_versions_may_go_on_after_a_dash() {
        let known = "4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
        for (version, more, read) in [
            ("cc", "", true),
            ("cc", "-what-comes", true),
            ("cc", ".what", false),
            ("00", "-what", false),
            ("ff", "", false),
        ] {
            let text = format!("{version}-{known}{more}");
            assert_eq!(TraceParent::parse(&text).is_some(), read, "{text}");
        }
    }

    #[test]
    fn what_the_standard_forbids_begins_a_trace_of_its_own() {
        for wrong in [
            "",
            "00-4bf9-01",
            "00-00000000000000000000000000000000-00f067aa0ba902b7-01",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-0000000000000000-01",
            "00-4BF92F3577B34DA6A3CE929D0E0E4736-00f067aa0ba902b7-01",
            "00-+bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
            "00_4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-0",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-0g",
            "00-4bf92f3577b34da6a3ce929d0e0e473\u{e9}-00f067aa0ba902b7-01",
        ] {
            assert_eq!(TraceParent::parse(wrong), None, "{wrong:?}");
        }
    }
}
