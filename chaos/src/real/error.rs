//! Why a real SPIRE does not do as it is told.

use std::io;

/// Why a real SPIRE does not do as it is told.
#[derive(Debug, thiserror::Error)]
pub enum RealError {
    /// Nobody has installed it.
    #[error("{0} is not installed: tests/peers/install spire")]
    NotInstalled(&'static str),
    /// A file or process of its.
    #[error("{what}: {source}")]
    System {
        /// What was tried.
        what: String,
        /// What the system said.
        source: io::Error,
    },
    /// A command ended badly.
    #[error("{command}: {said}")]
    Refused {
        /// The command.
        command: String,
        /// What it said.
        said: String,
    },
    /// Something did not come in time.
    #[error("{what}: not within {within_s} s{told}")]
    Late {
        /// What.
        what: String,
        /// How long it was waited for.
        within_s: u64,
        /// The end of a log, if there is one.
        told: String,
    },
    /// An answer is not as its command documents it.
    #[error("{command}: its answer has no {field}")]
    Answer {
        /// The command.
        command: String,
        /// What is missing.
        field: &'static str,
    },
}

impl RealError {
    pub(super) fn system(what: impl Into<String>) -> impl FnOnce(io::Error) -> Self {
        let what = what.into();
        move |source| Self::System { what, source }
    }
}
