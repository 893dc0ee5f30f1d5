//! The simulator: the agent's own rules under a virtual clock and a schedule of faults that a seed gives.
//!
//! What decides is the product's: the availability machine, the watcher's plan, the store, the memory,
//! the examination of certificates, `decide`, the content of the state file, restart budgets, audit
//! records. What is simulated is time, SPIRE, the disk, and who dies when. A play has two phases: in
//! the first anything may break, and no wrong answer may come of it; then everything is mended, and
//! the agent must be back within a bound.
//!
//! # How to run and read it
//!
//! ```text
//! cargo run --release -p chaos -- simulate --seeds 10000     the seeds of chaos/seeds.txt, then 0, 1, 2 ...
//! cargo run --release -p chaos -- replay 17 [--step]         every event of one seed
//! cargo run --release -p chaos -- replay target/chaos/seed-17.log --step
//! cargo run --release -p chaos -- damage                     a million damaged state files
//! cargo test -p chaos --test model -- --nocapture            every order of a few faults, exhaustively
//! chaos/mutants/run                                          is a broken safety check noticed?
//! ```
//!
//! A seed is an hour of faults and two minutes of peace. `simulate` prints how often each fault met
//! each state, the figures of all seeds and of the poorest, and how long the way back to `Live` took
//! after outages longer than the longest wait between two attempts. It exits with 1 if a promise was
//! broken; if a thousand seeds leave a fault and a state that never met; if a seed held less than a
//! thousand decisions or twenty faults; or if the way back is over 2 s at p99.
//!
//! A broken seed is made smaller first: the same promise broken by as few faults as can be found. What
//! is left is printed, and played into `target/chaos/seed-N.log`, whose first line is all that `replay`
//! needs to play it again and to tell whether the code still does the same. A line of a log is a moment
//! (seconds of the play) and what happened: `fault`, `lost` (with the states before and after),
//! `update`, `ask` (caller, mode, `cache-ttl`, state, answer), and at the end `BROKEN` with the promise.
//! Once it is repaired, its number goes into `chaos/seeds.txt`.
//!
//! # What is promised
//!
//! The truth is kept by a [`ledger`] that reads the decisions anew: it knows authorities and callers by
//! name and never asks the agent, but for what only a caller can say of its own call (it timed out; its
//! message was no update).
//!
//! | promise | after every event, or every answer |
//! |---|---|
//! | `verified` | nothing is `Verified` without a chain to an authority in the bundle of its own trust domain, valid then |
//! | `too_old` | nothing rests on material beyond `cache-ttl` but in `Live` and `Interrupted` |
//! | `opened` | `fail_open` opens in `Outage` alone, and not while we call SPIRE wrongly |
//! | `withdrawn` | `Withdrawn` refuses in every mode, also after a restart and with a damaged state file |
//! | `table` | the answer, its reason and the state are those of the tables: no false denial either |
//! | `update` | a message is taken for a full update if it is one |
//! | `extended` | contact is that of the last full update: a failed refresh extends nothing |
//! | `confirmed` | `Live` was heard of within a refresh interval: silence keeps nothing alive |
//! | `audited` | each decision is recorded once, waits, or is counted as lost |
//! | `looks` | a file that is new at SPIRE's socket, and a sleep of the machine, are each tried at once |
//! | `rests` | time goes on: the agent never spins |
//! | `finds_back` | with the way clear, every state is `Live` within a bound; at the end it is |
//!
//! # What is where
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
//! | [`damage`](mod@damage) | the state file, damaged at random |
//! | [`shrink`](mod@shrink), [`log`], [`recipe`], [`coverage`] | what is told of it |

pub mod actors;
pub mod agent;
pub mod cast;
pub mod coverage;
pub mod damage;
pub mod disk;
pub mod fault;
pub mod ledger;
pub mod log;
pub mod machine;
pub mod oracles;
pub mod play;
pub mod queue;
pub mod recipe;
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
