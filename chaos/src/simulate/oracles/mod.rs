//! What must never happen, one promise a file. Each looks at every answer, beside the truth.

mod audited;
mod confirmed;
mod extended;
mod finds_back;
mod looks;
mod opened;
mod rests;
mod table;
mod too_old;
mod verified;
mod withdrawn;

use ::actors::metrics::Answer;
use verdict::availability::Phase;
use verdict::policy::Mode;
use verdict::time::Now;

pub use audited::Audited;
pub use confirmed::Confirmed;
pub use extended::extended;
pub use finds_back::{FindsBack, Took, Way};
pub use looks::{Looks, Sight};
pub use rests::Rests;

use super::agent::Validation;
use super::cast::Caller;
use super::ledger::Ledger;

/// One answer, with everything it depends on.
pub struct Seen<'a> {
    /// The clocks.
    pub now: Now,
    /// Who asked.
    pub caller: &'a Caller,
    /// The mode of its policy.
    pub mode: Mode,
    /// `cache-ttl` of its policy, ms.
    pub ttl_ms: i64,
    /// What it was answered.
    pub answer: Answer,
    /// The state the agent said it was in.
    pub phase: Phase,
    /// Whether new credentials could be judged.
    pub validation: Validation,
    /// The truth.
    pub ledger: &'a Ledger,
}

/// A promise that was broken.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Violation {
    /// Which.
    pub oracle: &'static str,
    /// How.
    pub what: String,
}

impl Violation {
    pub(super) fn new(oracle: &'static str, what: impl Into<String>) -> Self {
        Self {
            oracle,
            what: what.into(),
        }
    }
}

/// A promise about single answers.
type Oracle = fn(&Seen<'_>) -> Result<(), Violation>;

const OF_ANSWERS: [Oracle; 5] = [
    verified::verified,
    too_old::too_old,
    opened::opened,
    withdrawn::withdrawn,
    table::table,
];

/// Holds an answer against every promise about answers.
///
/// # Errors
/// The first that is broken.
pub fn judge(seen: &Seen<'_>) -> Result<(), Violation> {
    OF_ANSWERS.iter().try_for_each(|oracle| oracle(seen))
}
