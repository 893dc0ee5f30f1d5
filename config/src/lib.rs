//! What the operator says: KDL files and JSON pushes to one validated value.
//!
//! ```text
//! file (KDL) --\
//!               > tree with places -> typed blocks -> Settings, PolicySpec
//! push (JSON) -/
//! ```
//!
//! Both inputs become one tree, so there is one set of rules for both. A configuration is taken
//! whole or not at all, and everything that is wrong is said at once: place, rule, and what to write.

mod agent;
mod blocks;
mod bounds;
mod decode;
mod effective;
mod endpoint;
mod excerpt;
mod file;
mod json;
mod kdl;
mod lint;
mod overrides;
mod problem;
mod push;
mod settings;
mod sinks;
mod spire;
mod suggest;
mod tree;
mod values;

pub use bounds::{Bound, Bounds, Limit};
pub use effective::{Effective, Value};
pub use endpoint::{MAX_SOCKET_PATH_BYTES, SocketPath, SocketPathError};
pub use file::{FileConfig, MAX_CONFIG_BYTES};
pub use json::{Json, MAX_PUSH_DEPTH, MAX_PUSH_VALUES};
pub use kdl::Syntax;
pub use lint::{Finding, Severity, lint};

pub use overrides::{Override, Overrides, Source, Sourced};
pub use problem::{ConfigErrors, MAX_PROBLEMS, Problem, Rule, Shown, Told, line_column};
pub use push::{Applied, Notice, Outcome, Push};
pub use settings::{Agent, DEFAULT_AGENT_SOCKET, DoorSecurity, GrpcDoor, Settings};
pub use spire::{DEFAULT_SPIRE_SOCKET, NamedTimings, Timing, Timings};
pub use tree::Place;
pub use values::{
    AdminAddress, FileSink, Fsync, OnFull, Rotation, Sink, SocketMode, TrustedProxy, ValueError,
};
