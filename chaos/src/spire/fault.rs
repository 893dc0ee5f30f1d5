//! The faults by name.

use std::time::Duration;

use tonic::{Code, Status};

/// An answer other than OK.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refusal {
    /// The gRPC code.
    pub code: Code,
    /// Its text.
    pub message: String,
}

impl Refusal {
    /// A refusal with this code and text.
    pub fn new(code: Code, message: impl Into<String>) -> Self {
        Self {
            code,
            message: message.into(),
        }
    }

    /// What SPIRE answers a caller without a registration entry.
    #[must_use]
    pub fn no_identity() -> Self {
        Self::new(Code::PermissionDenied, "no identity issued")
    }

    pub(super) fn status(&self) -> Status {
        Status::new(self.code, self.message.clone())
    }
}

/// What happens to calls that come from now on; streams already open do not notice.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum CallFault {
    /// Answered as SPIRE answers.
    #[default]
    None,
    /// Refused with a gRPC status.
    Refuse(Refusal),
    /// Accepted, and not even response headers come until the fault changes.
    Hang,
    /// Response headers come, the first message only once the fault changes.
    HangAfterHeaders,
    /// Answered well, this much later.
    Delay(Duration),
    /// Answered by something else in between: a bare HTTP status, no gRPC status.
    Http(u16),
}

/// How open streams end.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum EndOfStreams {
    /// The server closes them in order (gRPC status OK).
    Cleanly,
    /// With a gRPC status.
    With(Refusal),
}

/// What a stopped server leaves in the file system.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SocketFile {
    /// The socket stays, with nobody behind it: the process was killed.
    Left,
    /// The socket is gone: the process ended in order.
    Removed,
}
