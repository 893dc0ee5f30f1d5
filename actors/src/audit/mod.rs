//! Audit: decision records, off the critical path unless the operator puts them on it.
//!
//! The queue is bounded and owned above the actor that drains it: while the actor is down, records
//! wait. What a full queue or a sink that fails costs is for `audit.on-full` to say: `drop` loses and
//! counts records, and no request waits for a disk; `deny` answers `OVERLOADED` instead of an answer
//! that would not be recorded; `block` writes an answer when its record is acknowledged by every sink.

mod before;
mod carrier;
mod chain;
mod desk;
mod files;
mod logfile;
mod outlet;
mod plain;
mod queue;
mod record;
mod recorded;
mod sink;
mod standing;
mod stream;
pub mod verify;
mod watch;

pub use config::OnFull;

pub use self::carrier::Carrier;
pub use self::chain::{Content, LineHash};
pub use self::desk::{Desk, SharedDesk};
pub use self::files::{ReadError, Verified, verify_files, verify_lines};
use self::queue::Entry;
pub use self::queue::{AuditQueue, AuditRecords, Filed, Late, Receipt, Unrecorded};
pub(crate) use self::record::hex;
pub use self::record::{Corrects, Grounds, Request, render, rfc3339};
pub use self::recorded::{Recorded, RecordedCert, RecordedChecks, RecordedError, RecordedPolicy};
pub use self::sink::{AuditActor, AuditArgs, AuditMessage, Sink, SinkError};
pub use self::standing::{MEANWHILE, Recording, STUCK_AFTER, Stuck, Trouble};
pub use self::verify::Origin;
