//! Which fault has met which state.

use std::collections::BTreeMap;
use std::fmt;

use super::fault::Fault;

/// The states of a row, the absence of the agent included.
const STATES: [&str; 6] = [
    "Starting",
    "Live",
    "Interrupted",
    "Outage",
    "Withdrawn",
    "down",
];

/// Counts of fault by state.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Coverage {
    met: BTreeMap<(&'static str, &'static str), u64>,
}

impl Coverage {
    /// A fault happened in a state.
    pub fn met(&mut self, fault: Fault, state: &'static str) {
        *self.met.entry((fault.name(), state)).or_default() += 1;
    }

    /// Adds another's.
    pub fn add(&mut self, other: &Self) {
        for (key, count) in &other.met {
            *self.met.entry(*key).or_default() += count;
        }
    }

    /// The pairs that were never met.
    #[must_use]
    pub fn missing(&self) -> Vec<(&'static str, &'static str)> {
        let pairs = Fault::rows().flat_map(|fault| STATES.map(|state| (fault, state)));
        pairs.filter(|pair| !self.met.contains_key(pair)).collect()
    }

    /// Faults that were met and have no row: a kind that somebody added and forgot to demand.
    #[must_use]
    pub fn without_row(&self) -> Vec<&'static str> {
        let mut met: Vec<_> = self.met.keys().map(|(fault, _)| *fault).collect();
        met.dedup();
        met.retain(|fault| !Fault::rows().any(|row| row == *fault));
        met
    }
}

impl fmt::Display for Coverage {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{:26}", "fault")?;
        for state in STATES {
            write!(out, "{state:>12}")?;
        }
        for fault in Fault::rows() {
            write!(out, "\n{fault:26}")?;
            for state in STATES {
                let count = self.met.get(&(fault, state)).copied().unwrap_or_default();
                write!(out, "{count:>12}")?;
            }
        }
        Ok(())
    }
}
