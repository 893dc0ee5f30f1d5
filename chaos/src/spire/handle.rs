//! The control handle: what a test, the demo or a scenario does to SPIRE.

use std::fmt;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use tonic::Code;

use super::fault::{CallFault, EndOfStreams, Refusal, SocketFile};
use super::listener::{self, Gate, socket_error};
use super::shared::Shared;
use super::truth::{BundleMap, WorkloadSvid};
use super::{SpireError, WAIT_LIMIT};

/// Controls a [`super::SimulatedSpire`]; clones control the same one.
#[derive(Clone)]
pub struct SpireHandle {
    shared: Arc<Shared>,
}

/// What it says.
impl SpireHandle {
    /// The bundles it holds true.
    #[must_use]
    pub fn bundles(&self) -> BundleMap {
        self.shared.bundles()
    }

    /// The bundles from now on; every open stream gets the full new state, unless nothing changed.
    pub fn set_bundles(&self, bundles: BundleMap) {
        self.shared.set_bundles(bundles);
    }

    /// The SVIDs that a caller of `FetchX509SVID` gets; with none (as at the start) it has no identity.
    pub fn set_svids(&self, svids: Vec<WorkloadSvid>) {
        self.shared.set_svids(svids);
    }

    /// Sends the current state again to every open stream.
    pub fn publish(&self) {
        self.shared.publish();
    }

    /// Sends this to every open stream without holding it true: later subscribers do not get it.
    pub fn send_raw(&self, bundles: BundleMap) {
        self.shared.send_raw(bundles);
    }
}

/// How it answers.
impl SpireHandle {
    /// What happens to calls from now on.
    pub fn set_fault(&self, fault: CallFault) {
        self.shared.fault.send_replace(fault);
    }

    /// Calls are answered well again; hanging ones are answered now.
    pub fn answer_normally(&self) {
        self.set_fault(CallFault::None);
    }

    /// New calls are refused with this.
    pub fn answer_with(&self, code: Code, message: impl Into<String>) {
        self.set_fault(CallFault::Refuse(Refusal::new(code, message)));
    }

    /// New calls are accepted and never answered, until the fault changes.
    pub fn hang(&self) {
        self.set_fault(CallFault::Hang);
    }

    /// New calls are answered this much later.
    pub fn delay(&self, delay: Duration) {
        self.set_fault(CallFault::Delay(delay));
    }

    /// New calls get a bare HTTP status, as from a proxy in between.
    pub fn answer_http(&self, status: u16) {
        self.set_fault(CallFault::Http(status));
    }

    /// The registration entry is gone: open streams end with "no identity issued", new calls get the same.
    pub fn withdraw(&self) {
        self.shared.withdraw();
    }

    /// Ends every open stream; new calls are answered as before.
    pub fn end_streams(&self, how: EndOfStreams) {
        self.shared.end_streams(how);
    }

    /// Open streams deliver nothing until [`Self::thaw`]; new calls do.
    pub fn freeze_streams(&self) {
        self.shared.freeze_streams();
    }
}

/// Its process and its socket.
impl SpireHandle {
    /// The socket's path.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.shared.path
    }

    /// Serves (again) on the same path.
    ///
    /// # Errors
    /// When it runs already, or the path cannot be bound.
    pub fn start(&self) -> Result<(), SpireError> {
        listener::start(&self.shared)
    }

    /// The process is gone: nothing listens, every connection is cut. Returns once that is so.
    ///
    /// # Errors
    /// When it does not run, or a connection outlives [`WAIT_LIMIT`].
    pub async fn stop(&self, file: SocketFile) -> Result<(), SpireError> {
        listener::stop(&self.shared, file).await
    }

    /// As SIGSTOP: connections stay, new ones are accepted by the system, no byte moves until [`Self::thaw`].
    ///
    /// # Errors
    /// When it does not run.
    pub fn freeze(&self) -> Result<(), SpireError> {
        listener::set_gate(&self.shared, Gate::Frozen)
    }

    /// Ends [`Self::freeze`] and [`Self::freeze_streams`]; what was held back is delivered.
    ///
    /// # Errors
    /// When it does not run.
    pub fn thaw(&self) -> Result<(), SpireError> {
        self.shared.frozen_below.send_replace(0);
        listener::set_gate(&self.shared, Gate::Open)
    }

    /// Removes the socket's file; connections live on, new ones find nothing.
    ///
    /// # Errors
    /// What the system says, except that there was none.
    pub fn delete_socket(&self) -> Result<(), SpireError> {
        listener::remove(&self.shared)
    }

    /// A new socket at the path (deleted before or not); old connections live on.
    ///
    /// # Errors
    /// When it does not run, or the path cannot be bound.
    pub async fn recreate_socket(&self) -> Result<(), SpireError> {
        listener::recreate(&self.shared).await
    }

    /// A plain file where the socket was; connections live on.
    ///
    /// # Errors
    /// What the system says.
    pub fn replace_socket_with_file(&self) -> Result<(), SpireError> {
        listener::remove(&self.shared)?;
        std::fs::write(self.path(), b"not a socket\n")
            .map_err(|source| socket_error("write a file to", &self.shared, source))
    }

    /// The permissions of the socket's file (`0o000`: nobody but root may connect).
    ///
    /// # Errors
    /// What the system says.
    pub fn set_socket_mode(&self, mode: u32) -> Result<(), SpireError> {
        std::fs::set_permissions(self.path(), std::fs::Permissions::from_mode(mode))
            .map_err(|source| socket_error("change the mode of", &self.shared, source))
    }
}

/// What it has seen.
impl SpireHandle {
    /// Calls since the beginning, refused and hanging ones included.
    #[must_use]
    pub fn calls(&self) -> u64 {
        *self.shared.calls.borrow()
    }

    /// Calls refused for want of the security header.
    #[must_use]
    pub fn calls_without_header(&self) -> u64 {
        *self.shared.calls_without_header.borrow()
    }

    /// Streams open now.
    #[must_use]
    pub fn subscribers(&self) -> u64 {
        *self.shared.subscribers.borrow()
    }

    /// Connections open now.
    #[must_use]
    pub fn connections(&self) -> u64 {
        *self.shared.connections.borrow()
    }

    /// Returns once exactly `count` streams are open.
    ///
    /// # Errors
    /// After [`WAIT_LIMIT`].
    pub async fn wait_for_subscribers(&self, count: u64) -> Result<(), SpireError> {
        let mut subscribers = self.shared.subscribers.subscribe();
        reach(
            &mut subscribers,
            &format!("{count} open streams"),
            |actual| actual == count,
        )
        .await
    }

    /// Returns once exactly `count` connections are open.
    ///
    /// # Errors
    /// After [`WAIT_LIMIT`].
    pub async fn wait_for_connections(&self, count: u64) -> Result<(), SpireError> {
        let mut connections = self.shared.connections.subscribe();
        reach(
            &mut connections,
            &format!("{count} open connections"),
            |actual| actual == count,
        )
        .await
    }

    /// Returns once at least `count` calls have come since the beginning.
    ///
    /// # Errors
    /// After [`WAIT_LIMIT`].
    pub async fn wait_for_calls(&self, count: u64) -> Result<(), SpireError> {
        let mut calls = self.shared.calls.subscribe();
        reach(&mut calls, &format!("{count} calls"), |actual| {
            actual >= count
        })
        .await
    }
}

impl SpireHandle {
    pub(super) fn new(shared: Arc<Shared>) -> Self {
        Self { shared }
    }
}

impl fmt::Debug for SpireHandle {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.debug_struct("SpireHandle")
            .field("path", &self.path())
            .finish_non_exhaustive()
    }
}

/// Waits until a counter is where it should be.
pub(super) async fn reach(
    counter: &mut watch::Receiver<u64>,
    wanted: &str,
    reached: impl Fn(u64) -> bool,
) -> Result<(), SpireError> {
    reach_within(WAIT_LIMIT, counter, wanted, reached).await
}

async fn reach_within(
    limit: Duration,
    counter: &mut watch::Receiver<u64>,
    wanted: &str,
    reached: impl Fn(u64) -> bool,
) -> Result<(), SpireError> {
    // The guard that `wait_for` returns holds the counter: it must not outlive this statement.
    let came = matches!(
        tokio::time::timeout(limit, counter.wait_for(|count| reached(*count))).await,
        Ok(Ok(_))
    );
    if came {
        return Ok(());
    }
    let (wanted, actual) = (wanted.to_owned(), *counter.borrow());
    Err(SpireError::WaitedTooLong {
        wanted,
        actual,
        waited_ms: limit.as_millis(),
    })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test may panic")]

    use super::*;

    #[tokio::test]
    async fn a_wait_in_vain_says_what_it_waited_for() {
        let counter = watch::Sender::new(1);
        let limit = Duration::from_millis(5);
        let mut receiver = counter.subscribe();
        let wait = reach_within(limit, &mut receiver, "3 open streams", |count| count == 3);
        let error = wait.await.unwrap_err();
        assert_eq!(
            error.to_string(),
            "waited 5 ms for 3 open streams; it stands at 1"
        );
    }
}
