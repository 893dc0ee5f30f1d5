//! Logs, and everything that is said to a person: standard error, but for what was asked for.
//!
//! Whoever reads standard error may be stuck, and peers cause lines: so the log is a bounded queue
//! and a thread that writes it, and no request waits for a reader. What finds no room is counted.

use std::ffi::OsStr;
use std::io::{self, Write};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{Arc, Once, OnceLock};
use std::time::Duration;

use tracing_subscriber::EnvFilter;
use tracing_subscriber::layer::{Layer as _, SubscriberExt as _};
use tracing_subscriber::util::SubscriberInitExt as _;

use crate::output::clean;
use crate::telemetry::LogLayer;

/// Lines that wait to be written at most: a busy second, about a megabyte.
const QUEUE_LINES: usize = 4_096;
/// Time for what still waits when the process ends; a reader that is stuck must not hold it up.
const FLUSH_WITHIN: Duration = Duration::from_millis(200);

/// A library whose spans would stand before every line of ours, naming actors by number. It goes before
/// what the operator says, which may name it all the same.
const QUIET: &str = "ractor=warn";

/// The queue of this process, once logging is on.
static QUEUE: OnceLock<Queue> = OnceLock::new();

/// What is logged. `RUST_LOG` says more precisely what `--verbose` says roughly; a log is no reason
/// not to serve, so one that cannot be read is told once, and left out.
pub(crate) fn filter(verbose: bool) -> EnvFilter {
    let said = std::env::var_os(EnvFilter::DEFAULT_ENV);
    let default = if verbose { "debug" } else { "info" };
    said.and_then(|said| match precise(&said) {
        Ok(filter) => Some(filter),
        Err(error) => {
            static TOLD: Once = Once::new();
            TOLD.call_once(|| say_ignored(&error));
            None
        }
    })
    .unwrap_or_else(|| EnvFilter::new(format!("{QUIET},{default}")))
}

fn precise(said: &OsStr) -> Result<EnvFilter, String> {
    let said = said.to_str().ok_or("this is not UTF-8")?;
    EnvFilter::try_new(format!("{QUIET},{said}")).map_err(|error| error.to_string())
}

fn say_ignored(error: &str) {
    let _ = writeln!(
        io::stderr(),
        "warning: RUST_LOG is ignored: {}; write for example info, or warn,actors=debug",
        clean(error)
    );
}

/// Starts logging to standard error, and to `exported` if there is one.
pub(crate) fn start(verbose: bool, exported: Option<LogLayer>) {
    let queue = QUEUE.get_or_init(Queue::start).clone();
    let lines = tracing_subscriber::fmt::layer()
        .with_writer(move || queue.clone())
        .with_ansi(false)
        .with_filter(filter(verbose));
    let layers = std::iter::once(lines.boxed()).chain(exported);
    let logging = tracing_subscriber::registry().with(layers.collect::<Vec<LogLayer>>());
    // Only a second call can fail, and then logging is on already.
    let _ = logging.try_init();
    // The default hook writes to standard error itself, and so may wait for ever.
    std::panic::set_hook(Box::new(|panic| {
        let backtrace = std::backtrace::Backtrace::capture();
        tracing::error!(%panic, %backtrace, "panicked");
    }));
}

/// Writes what still waits, if somebody reads it.
pub(crate) fn finish() {
    let Some(queue) = QUEUE.get() else { return };
    let (written, wait) = sync_channel(1);
    if queue.lines.try_send(Line::Flush(written)).is_ok() {
        // Late or gone: then nobody reads.
        let _ = wait.recv_timeout(FLUSH_WITHIN);
    }
}

/// Says what went wrong, on standard error.
pub(crate) fn say_error(text: &str) {
    // Nobody is left to tell when standard error is closed.
    let _ = writeln!(io::stderr(), "error: {text}");
}

/// The same, where it says itself that it is an error.
pub(crate) fn say_plainly(text: &str) {
    let _ = writeln!(io::stderr(), "{text}");
}

/// Prints what was asked for, on standard output.
pub(crate) fn say(text: &str) {
    let _ = writeln!(io::stdout(), "{text}");
}

/// Where events are written to; never waits.
#[derive(Clone)]
struct Queue {
    lines: SyncSender<Line>,
    dropped: Arc<AtomicU64>,
}

enum Line {
    Text(Vec<u8>),
    Flush(SyncSender<()>),
}

impl Queue {
    fn start() -> Self {
        let (lines, waiting) = sync_channel(QUEUE_LINES);
        let dropped = Arc::new(AtomicU64::new(0));
        let count = Arc::clone(&dropped);
        let writing = std::thread::Builder::new().name("log".to_owned());
        if let Err(error) = writing.spawn(move || write_all(&waiting, &count)) {
            say_error(&format!("no thread for the log, it is lost: {error}"));
        }
        Self { lines, dropped }
    }
}

impl Write for Queue {
    /// One call is one event: the formatter hands it over whole.
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        if self.lines.try_send(Line::Text(line.to_vec())).is_err() {
            self.dropped.fetch_add(1, Ordering::Relaxed);
        }
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Writes until the process ends. A closed standard error loses lines, as it always does.
fn write_all(waiting: &Receiver<Line>, dropped: &AtomicU64) {
    let mut stderr = io::stderr();
    for line in waiting {
        let _ = match line {
            Line::Text(text) => stderr.write_all(&text),
            Line::Flush(written) => {
                let _ = written.send(());
                Ok(())
            }
        };
        let lost = dropped.swap(0, Ordering::Relaxed);
        if lost > 0 {
            let _ = writeln!(
                stderr,
                "{lost} lines of this log are missing: it was not read"
            );
        }
    }
}
