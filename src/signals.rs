//! Signals: two that end the process, and those whose default would end it without a drain.

use anyhow::Context as _;
use rustix::process::Signal as RawSignal;
use tokio::signal::unix::{Signal, SignalKind, signal};

/// The signals that are waited for; none of them kills while this is alive, nor after.
pub(crate) struct Signals {
    terminate: Signal,
    interrupt: Signal,
    hangup: Signal,
    user_1: Signal,
    user_2: Signal,
    file_size: Signal,
}

impl Signals {
    /// Begins to wait for them.
    pub(crate) fn listen() -> anyhow::Result<Self> {
        let on = |kind, name| signal(kind).with_context(|| format!("listen for {name}"));
        Ok(Self {
            terminate: on(SignalKind::terminate(), "SIGTERM")?,
            interrupt: on(SignalKind::interrupt(), "SIGINT")?,
            hangup: on(SignalKind::hangup(), "SIGHUP")?,
            user_1: on(SignalKind::user_defined1(), "SIGUSR1")?,
            user_2: on(SignalKind::user_defined2(), "SIGUSR2")?,
            file_size: on(SignalKind::from_raw(RawSignal::XFSZ.as_raw()), "SIGXFSZ")?,
        })
    }

    /// Waits for one that asks for the end; gives its name.
    pub(crate) async fn end(&mut self) -> &'static str {
        loop {
            let other = tokio::select! {
                _ = self.terminate.recv() => return "SIGTERM",
                _ = self.interrupt.recv() => return "SIGINT",
                _ = self.hangup.recv() => "SIGHUP",
                _ = self.user_1.recv() => "SIGUSR1",
                _ = self.user_2.recv() => "SIGUSR2",
                // A file has reached a limit (`ulimit -f`): who writes it gets an error, as of a full disk.
                _ = self.file_size.recv() => continue,
            };
            // Audit files that somebody moved away are opened anew without being asked to.
            tracing::info!("{other}: nothing to reload: restart to read the file again");
        }
    }
}
