//! The thread of the admin listener.

use std::io;

use tokio::runtime::{Builder, Handle, Runtime};

/// A runtime of one thread, ended with its owner.
pub(super) struct AdminThread(Option<Runtime>);

impl AdminThread {
    pub(super) fn start() -> io::Result<Self> {
        let runtime = Builder::new_multi_thread()
            .worker_threads(1)
            // Nothing blocks, so nothing else is needed.
            .max_blocking_threads(1)
            .thread_name("admin")
            .enable_all()
            .build()?;
        Ok(Self(Some(runtime)))
    }

    /// Where to spawn; `None` once it has ended.
    pub(super) fn handle(&self) -> Option<&Handle> {
        self.0.as_ref().map(Runtime::handle)
    }
}

impl Drop for AdminThread {
    fn drop(&mut self) {
        // Whoever drops it may be async, where waiting is forbidden.
        if let Some(runtime) = self.0.take() {
            runtime.shutdown_background();
        }
    }
}
