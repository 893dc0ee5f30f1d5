//! What can go wrong on the proxy's side.

use super::frame::MAX_FRAME_BYTES;

/// Why the agent did not answer, or not so that a proxy would understand.
#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    /// No connection.
    #[error("cannot connect to {path}: {source}")]
    Connect {
        /// The agent's socket.
        path: String,
        /// What the system said.
        source: std::io::Error,
    },
    /// The connection broke while writing.
    #[error("cannot send {what}: {source}")]
    Send {
        /// What was being sent.
        what: String,
        /// What the system said.
        source: std::io::Error,
    },
    /// Longer than a frame may be.
    #[error("{what} is {bytes} bytes; a frame carries at most {MAX_FRAME_BYTES}")]
    TooLong {
        /// What was being sent.
        what: String,
        /// Its length.
        bytes: usize,
    },
    /// Nothing came in time.
    #[error("waited {after_ms} ms in vain for {what}")]
    Timeout {
        /// What was awaited.
        what: String,
        /// How long, in milliseconds.
        after_ms: u128,
    },
    /// The connection ended before it came.
    #[error("the connection ended ({why}) while waiting for {what}")]
    Closed {
        /// What was awaited.
        what: String,
        /// How it ended.
        why: String,
    },
    /// The agent sent something a proxy would not understand.
    #[error("the agent broke the protocol: {what}")]
    Protocol {
        /// Which rule, and how.
        what: String,
    },
    /// The agent refused the handshake.
    #[error("the agent refused the handshake: {reason}")]
    Refused {
        /// The agent's words.
        reason: String,
    },
}

impl ClientError {
    /// The inbox knows that the connection ended; only the caller knows what for.
    pub(super) fn named(self, waiting_for: &str) -> Self {
        match self {
            Self::Closed { why, .. } => Self::Closed {
                what: waiting_for.to_owned(),
                why,
            },
            other => other,
        }
    }
}
