//! Memory for large frames, out of one budget for the whole process.
//!
//! A frame may be 16 MiB, and there may be hundreds of connections. Small frames are covered by
//! the number of connections; a large one takes its memory from here before it is read. None left:
//! the connection stops reading until there is, and nobody else notices.

use std::sync::Arc;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// Frames up to this size need no permit: times the connections it is a fixed, small amount.
pub const SMALL_FRAME_BYTES: usize = 64 * 1024;

/// What one permit stands for, bytes.
const PERMIT_BYTES: usize = 1_024;

/// The budget.
#[derive(Clone)]
pub struct FrameBudget {
    permits: Arc<Semaphore>,
    total: u32,
}

/// A part of the budget; given back when dropped.
#[derive(Debug)]
pub struct FrameMemory(
    #[expect(dead_code, reason = "held for its drop")] Option<OwnedSemaphorePermit>,
);

impl FrameBudget {
    /// A budget of this many bytes; at least one frame of the protocol's largest size fits.
    #[must_use]
    pub fn new(bytes: usize) -> Self {
        let largest = proto::sentinel::limits::MAX_FRAME_BYTES as usize;
        let permits = bytes
            .max(largest)
            .div_ceil(PERMIT_BYTES)
            .min(Semaphore::MAX_PERMITS);
        Self {
            permits: Arc::new(Semaphore::new(permits)),
            total: u32::try_from(permits).unwrap_or(u32::MAX),
        }
    }

    /// Memory for a frame of this many bytes; waits until there is some.
    pub async fn take(&self, bytes: usize) -> FrameMemory {
        if bytes <= SMALL_FRAME_BYTES {
            return FrameMemory(None);
        }
        let permits = u32::try_from(bytes.div_ceil(PERMIT_BYTES))
            .unwrap_or(u32::MAX)
            .min(self.total);
        // The semaphore is never closed.
        let permit = Arc::clone(&self.permits).acquire_many_owned(permits).await;
        FrameMemory(permit.ok())
    }
}
