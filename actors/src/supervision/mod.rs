//! The supervision tree: who is started again, how often, and in which order all stop.
//!
//! It knows nothing of SPIFFE. A [`SupervisorSpec`] says what a supervisor starts; [`Root::start`]
//! brings the tree up and [`Root::shutdown`] takes it down in order. Each child is restarted alone
//! (one_for_one), within a [`Restart`] budget; a budget used up makes the supervisor fail, which
//! spends the budget above it, up to the root, where the process ends. It never loops.
//!
//! - *Any* end of a child that we did not order is a failure: panic, error, kill, a stop of its own,
//!   and a start that fails, panics or hangs.
//! - A child that is *wedged* does not end, so it is asked from time to time ([`Ping`]); one that does
//!   not answer within its [`Vigilance`] is killed, which is a failure like any other. One that even
//!   so does not end has blocked its thread: it is left behind, and its successor starts. Nobody asks
//!   the root, whose handler never waits, nor temporary actors, which are stuck for themselves alone.
//! - Temporary actors ([`Temporaries`], one per connection) are never restarted and cost no
//!   budget: what a peer does must not use one up.
//! - The [`Tree`] is readable without asking an actor, so a status page works while all restart.
//! - Nothing is registered under a name: the registry is global to the process, the tree is not.
//! - An actor's state may outlive its end by a moment, and its successor may start before. Keep
//!   what is exclusive (a bound socket, a lock) above the actor, and hand it out.
//!
//! Rejected: the ready-made supervisor for this framework, which takes a killed child for one that
//! ended well, and sleeps inside its handler while the other children wait.

mod cause;
mod ping;
mod render;
mod restart;
mod root;
mod rows;
mod shutdown;
mod slot;
mod spec;
mod supervisor;
mod temporaries;
mod tree;
mod vigil;
mod watched;

#[cfg(test)]
mod tests;

pub use cause::{CAUSE_TEXT_MAX, Cause, Escalation};
#[cfg(any(test, feature = "chaos-hooks"))]
pub use ping::Mishap;
pub use ping::{Passed, Ping, Pings, attentive};
pub use restart::{
    FIRST_BACKOFF_MS_MAX, RESTARTS_MAX, Restart, RestartBudget, RestartError, Ruling,
};
pub use root::{Ended, Farewell, Root, Shutdown, StartError};
pub use shutdown::STOP_WITHIN;
pub use spec::{Address, ChildSpec, Down, START_WITHIN, SpecError, Start, SupervisorSpec};
pub use temporaries::Temporaries;
pub use tree::{ChildState, ChildStatus, Failure, RestartWatcher, Role, Tree};
pub use vigil::{LOOK_EVERY_MS, LOOKS_MIN, TooImpatient, Vigilance};
pub use watched::{TaskPanicked, spawn_watched};
