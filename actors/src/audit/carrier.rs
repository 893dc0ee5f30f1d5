//! How records leave by a way that only the process has.

use std::fmt::Debug;
use std::io;

/// Brings records to a collector.
pub trait Carrier: Debug + Send + Sync {
    /// Brings them there: whole lines, each with its line end. Called on a thread that may block, and
    /// blocks until the collector has acknowledged all of them, within a bound of the carrier's own.
    ///
    /// # Errors
    /// They were not acknowledged. Whether they arrived is not known.
    fn carry(&self, lines: Vec<u8>) -> io::Result<()>;
}
