//! A scenario: what breaks and when, who asks meanwhile, and what is promised. A file says it (KDL 2):
//!
//! ```kdl
//! scenario "spire-killed-cache" {
//!     shows "callers stay verified while SPIRE is dead, and by nothing less than a chain"
//!     agent { failure { spire-unavailable "cache" } }
//!     timeline lasts-ms=3500 {
//!         at 1000 { spire kill }
//!         at 2500 { spire start }
//!     }
//!     promises {
//!         window "verified throughout" from=0 to=3500 { callers frontend; only verified }
//!         transitions "seen, and over" { in-order Outage Live }
//!     }
//!     twin breaks="verified throughout" { agent { failure { spire-unavailable "fail_closed" } } }
//! }
//! ```
//!
//! | module | reads |
//! |---|---|
//! | [`action`] | what a step of the timeline does |
//! | [`actors`] | which actors the agent has |
//! | [`caller`], [`answer`] | who asks, and what may be answered |
//! | [`promise`] | what is promised; what every scenario promises unasked |
//! | [`file`](mod@file) | the file itself, and its twin |
//!
//! Every word is known or refused, with its place and the words that would do.

pub mod action;
pub mod actors;
pub mod answer;
pub mod caller;
mod ends;
mod error;
pub mod file;
mod process;
pub mod promise;
mod reader;
mod setup;
mod timeline;

pub use error::{Rule, ScenarioError};

use verdict::policy::DenyStatus;

use action::Action;
use actors::Actors;
use caller::Caller;
use promise::Promise;

/// One scenario, checked.
#[derive(Clone, Debug, PartialEq)]
pub struct Scenario {
    /// Its name: that of its file.
    pub name: String,
    /// What it shows, in one sentence.
    pub shows: String,
    /// How the agent is set up.
    pub agent: AgentSetup,
    /// Who asks, and how often.
    pub load: Load,
    /// What happens when.
    pub timeline: Timeline,
    /// What is promised beyond what every scenario promises.
    pub promises: Vec<Promise>,
}

/// The same with one thing altered, so that one promise must break.
#[derive(Clone, Debug, PartialEq)]
pub struct Twin {
    /// The promise that must break, and no other.
    pub breaks: String,
    /// The altered scenario.
    pub scenario: Scenario,
}

/// The agent: its configuration, and what is around its process.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AgentSetup {
    /// Blocks of a configuration file, without sinks and paths.
    pub config: String,
    /// How long it may take over an answer, by that configuration, ms.
    pub deadline_ms: u64,
    /// The status of `TRUST_UNAVAILABLE`, by that configuration.
    pub unavailable_status: DenyStatus,
    /// Whether it has a state directory.
    pub keeps_state: bool,
    /// Where its records go.
    pub records: Records,
    /// Which clock it reads.
    pub clock: AgentClock,
    /// Its actors, by that configuration.
    pub actors: Actors,
}

/// Where decision records go, and so what can be promised about them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Records {
    /// Into a file: each answer exactly once.
    Kept,
    /// Into a file that may lose some: each answer at most once.
    Lossy,
    /// Into a pipe that is open and never read.
    Stuck,
    /// Onto a full disk.
    Full,
    /// Where the owner of a deployment wants them: nothing is promised. No file says so.
    Elsewhere,
}

/// The clock of the agent's process.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AgentClock {
    /// The kernel's.
    Kernel,
    /// One that steps of the timeline can move; needs an agent with the chaos hooks.
    Driven,
}

/// Who asks, and how often. Requests are sent by the clock, whether or not answers come.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Load {
    /// In turn.
    pub callers: Vec<Caller>,
    /// Connections to the agent.
    pub connections: u16,
    /// Between two requests on one connection, ms.
    pub every_ms: u64,
}

/// What happens when.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Timeline {
    /// From the moment that the agent is ready, ms.
    pub lasts_ms: u64,
    /// In order.
    pub steps: Vec<Step>,
}

/// One moment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Step {
    /// After the beginning, ms.
    pub at_ms: u64,
    /// What is done.
    pub action: Action,
}
