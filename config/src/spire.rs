//! The `spire` block: where SPIRE is, and how long to wait for it.

use crate::blocks::YEAR_S;
use crate::decode::Range;
use crate::endpoint::SocketPath;

/// Where SPIRE agents listen unless told otherwise.
pub const DEFAULT_SPIRE_SOCKET: &str = "/run/spire/sockets/agent.sock";

/// A time of the `spire` block.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Timing {
    /// `bundle-refresh-interval`: how often to re-subscribe, seconds.
    BundleRefreshIntervalS,
    /// `api-timeout-ms`: when an attempt counts as failed.
    ApiTimeoutMs,
    /// `unavailable-after-ms`: from the loss to `Outage`.
    UnavailableAfterMs,
    /// `withdrawal-grace-ms`: from SPIRE's first no to `Withdrawn`.
    WithdrawalGraceMs,
}

impl Timing {
    /// Every one.
    pub const ALL: [Self; 4] = [
        Self::BundleRefreshIntervalS,
        Self::ApiTimeoutMs,
        Self::UnavailableAfterMs,
        Self::WithdrawalGraceMs,
    ];

    /// The configuration key.
    #[must_use]
    pub const fn key(self) -> &'static str {
        match self {
            Self::BundleRefreshIntervalS => "bundle-refresh-interval",
            Self::ApiTimeoutMs => "api-timeout-ms",
            Self::UnavailableAfterMs => "unavailable-after-ms",
            Self::WithdrawalGraceMs => "withdrawal-grace-ms",
        }
    }

    /// Without the key (decisions, "Configuration").
    #[must_use]
    pub const fn default(self) -> u64 {
        match self {
            Self::BundleRefreshIntervalS => 300,
            Self::ApiTimeoutMs => 5000,
            Self::UnavailableAfterMs => 60_000,
            Self::WithdrawalGraceMs => 30_000,
        }
    }

    pub(crate) const fn range(self) -> Range {
        let (min, max, unit) = match self {
            Self::BundleRefreshIntervalS => (1, YEAR_S, "seconds"),
            Self::ApiTimeoutMs => (100, YEAR_S * 1000, "ms"),
            Self::UnavailableAfterMs => (1, YEAR_S * 1000, "ms"),
            Self::WithdrawalGraceMs => (0, YEAR_S * 1000, "ms"),
        };
        Range { min, max, unit }
    }
}

/// The times that one input names.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct NamedTimings([Option<u64>; Timing::ALL.len()]);

impl NamedTimings {
    /// What is named for one time.
    #[must_use]
    pub fn named(&self, timing: Timing) -> Option<u64> {
        self.0.get(timing as usize).copied().flatten()
    }

    pub(crate) fn set(&mut self, timing: Timing, value: Option<u64>) {
        if let Some(place) = self.0.get_mut(timing as usize) {
            *place = value;
        }
    }

    /// These, and the others where these name nothing: a push over the pushes before it.
    #[must_use]
    pub fn over(&self, below: &Self) -> Self {
        let mut merged = *self;
        for timing in Timing::ALL {
            merged.set(timing, self.named(timing).or(below.named(timing)));
        }
        merged
    }

    /// Whether anything is named.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// The times in force.
    #[must_use]
    pub fn or_defaults(&self) -> Timings {
        let value = |timing| self.named(timing).unwrap_or(Timing::default(timing));
        Timings {
            bundle_refresh_interval_s: value(Timing::BundleRefreshIntervalS),
            api_timeout_ms: value(Timing::ApiTimeoutMs),
            unavailable_after_ms: value(Timing::UnavailableAfterMs),
            withdrawal_grace_ms: value(Timing::WithdrawalGraceMs),
        }
    }
}

/// The times in force.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Timings {
    /// How often to re-subscribe.
    pub bundle_refresh_interval_s: u64,
    /// When an attempt counts as failed.
    pub api_timeout_ms: u64,
    /// From the loss to `Outage`.
    pub unavailable_after_ms: u64,
    /// From SPIRE's first no to `Withdrawn`.
    pub withdrawal_grace_ms: u64,
}

impl Timings {
    /// One of them, in the unit of its key.
    #[must_use]
    pub const fn value(&self, timing: Timing) -> u64 {
        match timing {
            Timing::BundleRefreshIntervalS => self.bundle_refresh_interval_s,
            Timing::ApiTimeoutMs => self.api_timeout_ms,
            Timing::UnavailableAfterMs => self.unavailable_after_ms,
            Timing::WithdrawalGraceMs => self.withdrawal_grace_ms,
        }
    }
}

/// The block as named.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct SpireBlock {
    pub(crate) socket: Option<SocketPath>,
    pub(crate) timings: NamedTimings,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_latest_named_value_holds() {
        let mut first = NamedTimings::default();
        first.set(Timing::ApiTimeoutMs, Some(1));
        first.set(Timing::UnavailableAfterMs, Some(2));
        let mut second = NamedTimings::default();
        second.set(Timing::ApiTimeoutMs, Some(3));
        let timings = second.over(&first).or_defaults();
        assert_eq!(timings.api_timeout_ms, 3);
        assert_eq!(timings.unavailable_after_ms, 2);
        assert_eq!(timings.bundle_refresh_interval_s, 300);
    }

    #[test]
    fn the_table_is_in_order_and_each_default_within_its_range() {
        for (at, timing) in Timing::ALL.into_iter().enumerate() {
            assert_eq!(timing as usize, at);
            let range = timing.range();
            let default = Timing::default(timing);
            assert!(range.min <= default && default <= range.max);
        }
    }
}
