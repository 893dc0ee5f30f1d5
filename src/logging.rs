//! Logs, and everything that is said to a person: standard error, but for what was asked for.

use std::io::Write as _;

use tracing_subscriber::EnvFilter;

/// Starts logging to standard error. `RUST_LOG` says more precisely what `--verbose` says roughly.
pub(crate) fn start(verbose: bool) {
    let default = if verbose { "debug" } else { "info" };
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new(default));
    let logging = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .with_ansi(false);
    // Only a second call can fail, and then logging is on already.
    let _ = logging.try_init();
}

/// Says what went wrong, on standard error.
pub(crate) fn say_error(text: &str) {
    // Nobody is left to tell when standard error is closed.
    let _ = writeln!(std::io::stderr(), "error: {text}");
}

/// Prints what was asked for, on standard output.
pub(crate) fn say(text: &str) {
    let _ = writeln!(std::io::stdout(), "{text}");
}
