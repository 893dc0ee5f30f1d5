//! The one place for output: what is said to whoever may have gone. A reader of a pipe that is closed is
//! no reason to panic, and the end of what there is to do.

use std::io::{self, Write as _};

use super::CommandError;

/// A line of the result.
///
/// # Errors
/// Nobody reads any more, or what is written to takes no more.
pub(super) fn say(line: &str) -> Result<(), CommandError> {
    let mut out = io::stdout().lock();
    let said = writeln!(out, "{line}").and_then(|()| out.flush());
    said.map_err(|error| match error.kind() {
        io::ErrorKind::BrokenPipe => CommandError::Closed,
        _ => CommandError::Output(error),
    })
}

/// A line about the work.
pub(super) fn tell(line: &str) {
    // Nobody is left to hear that nobody hears.
    let _ = writeln!(io::stderr().lock(), "{line}");
}
