//! The simulator: the agent's own rules under a virtual clock and a schedule of faults that a seed gives.
//!
//! What decides is the product's: the availability machine, the watcher's plan, the store, the memory,
//! the examination of certificates, `decide`, the content of the state file, restart budgets, audit
//! records. What is simulated is time, SPIRE, the disk, and who dies when. A play has two phases: in
//! the first anything may break, and no wrong answer may come of it; then everything is mended, and
//! the agent must be back within a bound.
//!
//! | module | what it is |
//! |---|---|
//! | [`cast`] | authorities, callers, policies: real certificates, made once |
//! | [`fault`], [`schedule`] | what may break, and when it does under a seed |
//! | [`source`], [`disk`], [`machine`] | the world around the agent |
//! | [`agent`], [`actors`] | the product's parts, called as its actors call them |
//! | [`ledger`] | the truth, by the words of the decisions |
//! | [`oracles`] | the promises, one a file |
//! | [`play`](mod@play) | one seed from begin to end |
//! | [`shrink`](mod@shrink), [`log`], [`coverage`] | what is told of it |

pub mod actors;
pub mod agent;
pub mod cast;
pub mod coverage;
pub mod disk;
pub mod fault;
pub mod ledger;
pub mod log;
pub mod machine;
pub mod oracles;
pub mod play;
pub mod queue;
pub mod rng;
pub mod schedule;
pub mod shrink;
pub mod source;

use crate::ca::CaError;

/// Why a simulation cannot begin.
#[derive(Debug, thiserror::Error)]
pub enum SimulateError {
    /// A certificate cannot be made.
    #[error(transparent)]
    Ca(#[from] CaError),
    /// A policy does not compile.
    #[error(transparent)]
    Policy(#[from] ::actors::policies::PolicyError),
    /// A name of the policy is refused.
    #[error("the simulated policy is refused: {0}")]
    Terms(String),
}
