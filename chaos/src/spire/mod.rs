//! A simulated SPIRE agent: the Workload API on a Unix socket, and every fault a client can see.
//!
//! It keeps to the specification where a client could lean on it: the security header is demanded, the
//! current state is sent at once, every later message is the whole state, nothing is sent in between.
//!
//! | what breaks | how |
//! |---|---|
//! | the process | [`SpireHandle::stop`], [`SpireHandle::start`], [`SpireHandle::freeze`] |
//! | its answers to new calls | [`SpireHandle::set_fault`] with a [`CallFault`], [`SpireHandle::withdraw`] |
//! | its open streams | [`SpireHandle::end_streams`], [`SpireHandle::freeze_streams`] |
//! | what it says | [`SpireHandle::send_raw`], [`SpireHandle::set_bundles`] (the bytes are the caller's) |
//! | its socket | [`SpireHandle::delete_socket`], [`SpireHandle::recreate_socket`], [`SpireHandle::replace_socket_with_file`], [`SpireHandle::set_socket_mode`] |

mod fault;
mod front;
mod handle;
mod listener;
mod service;
mod shared;
mod subscription;
mod truth;

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

pub use fault::{CallFault, EndOfStreams, Refusal, SocketFile};
pub use handle::SpireHandle;
pub use truth::{BundleMap, WorkloadSvid};

use shared::Shared;

/// How long a wait for something the simulation must reach may take before it is an error.
pub const WAIT_LIMIT: Duration = Duration::from_secs(10);

/// Why the simulated SPIRE could not do what it was told.
#[derive(Debug, thiserror::Error)]
pub enum SpireError {
    /// The socket or its file refused an operation.
    #[error("cannot {action} {path}: {source}")]
    Socket {
        /// What was tried.
        action: &'static str,
        /// The socket's path.
        path: String,
        /// What the system said.
        source: std::io::Error,
    },
    /// It runs already.
    #[error("the simulated SPIRE is already running on {path}")]
    AlreadyRunning {
        /// The socket's path.
        path: String,
    },
    /// Only a running server can do that.
    #[error("the simulated SPIRE on {path} is not running")]
    NotRunning {
        /// The socket's path.
        path: String,
    },
    /// The owner was dropped; only it could have kept the server alive.
    #[error("the simulated SPIRE on {path} has been dropped")]
    Dropped {
        /// The socket's path.
        path: String,
    },
    /// What was waited for did not come.
    #[error("waited {waited_ms} ms for {wanted}; it stands at {actual}")]
    WaitedTooLong {
        /// What was waited for.
        wanted: String,
        /// What was there instead.
        actual: u64,
        /// How long, in milliseconds.
        waited_ms: u128,
    },
}

/// The owner of a simulated SPIRE: dropping it ends the server and every connection, and removes the socket.
#[derive(Debug)]
pub struct SimulatedSpire {
    shared: Arc<Shared>,
}

impl SimulatedSpire {
    /// Serves `bundles` on a new socket at `path`, on the tokio runtime of the caller.
    ///
    /// # Errors
    /// When the path cannot be bound; a socket left there by another run is replaced, anything else is not.
    pub fn start(path: impl AsRef<Path>, bundles: BundleMap) -> Result<Self, SpireError> {
        let spire = Self::stopped(path, bundles);
        listener::start(&spire.shared)?;
        Ok(spire)
    }

    /// The same, not yet started: for clients that come before SPIRE does.
    #[must_use]
    pub fn stopped(path: impl AsRef<Path>, bundles: BundleMap) -> Self {
        Self {
            shared: Arc::new(Shared::new(path.as_ref().to_owned(), bundles)),
        }
    }

    /// A control handle; it does not keep the server alive.
    #[must_use]
    pub fn handle(&self) -> SpireHandle {
        SpireHandle::new(Arc::clone(&self.shared))
    }
}

impl Drop for SimulatedSpire {
    fn drop(&mut self) {
        listener::end(&self.shared);
    }
}
