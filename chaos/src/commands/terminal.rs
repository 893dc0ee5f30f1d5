//! What is said to whoever may have gone: a reader of a pipe that is closed is no reason to panic.

use std::io::{self, Write as _};

/// A line of the result. False if nobody reads any more.
pub(super) fn say(line: &str) -> bool {
    let mut out = io::stdout().lock();
    writeln!(out, "{line}").and_then(|()| out.flush()).is_ok()
}

/// A line about the work.
pub(super) fn tell(line: &str) {
    // Nobody is left to hear that nobody hears.
    let _ = writeln!(io::stderr().lock(), "{line}");
}
