//! The thread of the admin listener.

use std::io;

use tokio::runtime::{Builder, Handle, Runtime};

/// How far the thread stands back where processors are few: requests go first. It keeps a tenth of one
/// beside a thread that wants all of it, and a probe is answered in far less.
const NICE: i32 = 10;

/// A runtime of one thread, ended with its owner.
pub(super) struct AdminThread(Option<Runtime>);

impl AdminThread {
    pub(super) fn start() -> io::Result<Self> {
        let runtime = Builder::new_multi_thread()
            .worker_threads(1)
            // Nothing blocks, so nothing else is needed.
            .max_blocking_threads(1)
            .thread_name("admin")
            .on_thread_start(stand_back)
            .enable_all()
            .build()?;
        Ok(Self(Some(runtime)))
    }

    /// Where to spawn; `None` once it has ended.
    pub(super) fn handle(&self) -> Option<&Handle> {
        self.0.as_ref().map(Runtime::handle)
    }
}

/// On Linux niceness is a thread's. A sandbox may forbid it; then it is one like the others.
fn stand_back() {
    let _ = rustix::process::nice(NICE);
}

impl Drop for AdminThread {
    fn drop(&mut self) {
        // Whoever drops it may be async, where waiting is forbidden.
        if let Some(runtime) = self.0.take() {
            runtime.shutdown_background();
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test may panic")]

    use super::*;

    #[tokio::test]
    async fn requests_go_before_pages() {
        let niceness = || rustix::process::getpriority_process(None).unwrap();
        let thread = AdminThread::start().unwrap();
        let admin = thread.handle().unwrap().spawn(async move { niceness() });
        assert_eq!(admin.await.unwrap(), (niceness() + NICE).min(19));
    }
}
