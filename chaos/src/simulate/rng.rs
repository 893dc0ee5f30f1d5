//! Random numbers that a seed determines: SplitMix64, one sequence for each purpose.
//!
//! A purpose of its own for everything that draws: taking a fault out of a schedule must not change
//! what the others meet, or no failure could be made smaller.

/// What the numbers are for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Purpose {
    /// Terms and faults.
    Schedule,
    /// Who asks, and when.
    Requests,
    /// One request, by its number.
    Request(u64),
    /// How long the simulated SPIRE takes, by the number of the call.
    Source(u64),
    /// The agent's own draws, by the step of its watcher.
    Agent(u64),
    /// How long the disk takes, and what breaks on it, by the number of the write.
    Disk(u64),
    /// When what was not asked in time is asked.
    MakeUp,
}

impl Purpose {
    const fn salt(self) -> u64 {
        match self {
            Self::Schedule => 0x01,
            Self::Requests => 0x02,
            Self::Request(n) => 0x03 | n << 8,
            Self::Source(n) => 0x04 | n << 8,
            Self::Agent(n) => 0x05 | n << 8,
            Self::Disk(n) => 0x06 | n << 8,
            Self::MakeUp => 0x07,
        }
    }
}

/// A sequence of numbers.
#[derive(Clone, Debug)]
pub struct Rng(u64);

impl Rng {
    /// The sequence of this seed for this purpose.
    #[must_use]
    pub const fn new(seed: u64, purpose: Purpose) -> Self {
        Self(mix(mix(seed) ^ purpose.salt()))
    }

    /// The next number, uniform in 64 bits.
    pub const fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        mix(self.0)
    }

    /// Below `bound`; 0 if that is 0. The bias of the remainder is of no matter here.
    pub const fn below(&mut self, bound: u64) -> u64 {
        if bound == 0 { 0 } else { self.next() % bound }
    }

    /// From `least` to `most`, both included.
    pub const fn between(&mut self, least: u64, most: u64) -> u64 {
        least + self.below(most.saturating_sub(least).saturating_add(1))
    }

    /// True `percent` times in a hundred.
    pub const fn chance(&mut self, percent: u64) -> bool {
        self.below(100) < percent
    }

    /// One of these; none only of nothing.
    pub fn pick<'a, T>(&mut self, of: &'a [T]) -> Option<&'a T> {
        let at = usize::try_from(self.below(of.len() as u64)).ok()?;
        of.get(at)
    }

    /// A duration in ms that is often short and sometimes long: each power of two as likely.
    pub const fn stretch_ms(&mut self, least: u64, most: u64) -> u64 {
        let (low, high) = (ilog2(least), ilog2(most));
        let scale = 1 << (low + self.below(high.saturating_sub(low) + 1));
        let ms = scale + self.below(scale);
        if ms > most { most } else { ms }
    }
}

const fn ilog2(ms: u64) -> u64 {
    match ms.checked_ilog2() {
        Some(log) => log as u64,
        None => 0,
    }
}

/// The finalizer of SplitMix64 (Steele, Lea and Flood, 2014).
const fn mix(mut x: u64) -> u64 {
    x = (x ^ (x >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    x = (x ^ (x >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    x ^ (x >> 31)
}
