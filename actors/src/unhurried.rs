//! Work that grows with what a peer sent, kept from holding up everybody else.

use tokio::runtime::{Handle, RuntimeFlavor};

/// Work on more than this is heavy, bytes. Below, it takes well under a millisecond.
pub(crate) const HEAVY_BYTES: usize = 64 * 1024;

/// Does heavy work in place while the other tasks of this thread are moved to another. Unlike work
/// that is sent away it cannot be torn apart by the end of the task that does it.
pub(crate) fn unhurried<T>(size_bytes: usize, work: impl FnOnce() -> T) -> T {
    let flavor = Handle::try_current().map(|handle| handle.runtime_flavor());
    match flavor {
        Ok(RuntimeFlavor::MultiThread) if size_bytes >= HEAVY_BYTES => {
            tokio::task::block_in_place(work)
        }
        _ => work(),
    }
}
