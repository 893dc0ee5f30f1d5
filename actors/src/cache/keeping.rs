//! How the disk fares: told by the cache, asked by probes, the status and metrics.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use super::error::WriteError;

/// Whether the disk is as the world is; owned above the actor.
#[derive(Clone, Debug, Default)]
pub struct Keeping(Arc<Mutex<Kept>>);

#[derive(Debug)]
enum Kept {
    /// The last write succeeded, or there was none yet.
    Well(Holds),
    /// It did not.
    Trouble(Unkept),
}

impl Default for Kept {
    fn default() -> Self {
        Self::Well(Holds::Nothing)
    }
}

/// What this process has brought to the disk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Holds {
    /// Nothing, for want of bundles.
    Nothing,
    /// The bundles at hand.
    Bundles,
    /// That SPIRE refuses us, and no bundles.
    Withdrawal,
}

impl Holds {
    /// In words.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Nothing => "nothing to keep yet: SPIRE has given no bundles",
            Self::Bundles => "bundles are kept on disk",
            Self::Withdrawal => {
                "SPIRE refuses this agent: the bundles on disk are removed, and a mark says so"
            }
        }
    }
}

/// What the disk does not take.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Missing {
    /// Bundles: who starts while SPIRE is away has older ones, or none.
    Bundles,
    /// That SPIRE refuses us: who starts may trust whom SPIRE trusts no more.
    Refusal,
}

/// A state directory that cannot be written.
#[derive(Clone, Debug)]
pub struct Unkept {
    /// Which.
    pub dir: PathBuf,
    /// What it does not take.
    pub missing: Missing,
    /// Why not.
    pub error: String,
    /// What to do about that.
    pub remedy: &'static str,
    /// Failed writes in a row.
    pub failures: u32,
    /// Since the first of them.
    pub since: Instant,
}

impl Keeping {
    /// What is in the way; nothing while writes succeed.
    #[must_use]
    pub fn trouble(&self) -> Option<Unkept> {
        match &*self.shared() {
            Kept::Well(_) => None,
            Kept::Trouble(unkept) => Some(unkept.clone()),
        }
    }

    /// What was written last; nothing while writes fail.
    #[must_use]
    pub fn holds(&self) -> Holds {
        match &*self.shared() {
            Kept::Well(holds) => *holds,
            Kept::Trouble(_) => Holds::Nothing,
        }
    }

    pub(super) fn failed(&self, dir: &Path, missing: Missing, failures: u32, error: &WriteError) {
        let mut shared = self.shared();
        let since = match &*shared {
            Kept::Well(_) => Instant::now(),
            Kept::Trouble(before) => before.since,
        };
        *shared = Kept::Trouble(Unkept {
            dir: dir.to_owned(),
            missing,
            error: error.to_string(),
            remedy: error.remedy(),
            failures,
            since,
        });
    }

    pub(super) fn succeeded(&self, holds: Holds) {
        *self.shared() = Kept::Well(holds);
    }

    /// A poisoned lock guards a value that is replaced whole.
    fn shared(&self) -> MutexGuard<'_, Kept> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Unkept {
    /// For how long.
    #[must_use]
    pub fn lasts(&self) -> Duration {
        self.since.elapsed()
    }

    /// What is missing on the disk, and why.
    #[must_use]
    pub fn what(&self) -> String {
        let (dir, error) = (self.dir.display(), &self.error);
        match self.missing {
            Missing::Bundles => format!(
                "bundles cannot be written to {dir}: {error}; a restart while SPIRE is away finds older ones, or none"
            ),
            Missing::Refusal => {
                format!("SPIRE refuses this agent, and {dir} cannot be told: {error}")
            }
        }
    }

    /// What to do about that.
    #[must_use]
    pub fn to_do(&self) -> String {
        let mend = self.remedy;
        match self.missing {
            Missing::Bundles => mend.to_owned(),
            Missing::Refusal => {
                let dir = self.dir.display();
                format!("do not restart the agent before it is, or remove {dir} first; {mend}")
            }
        }
    }

    /// In a line: what is missing on the disk, why, for how long, and what to do.
    #[must_use]
    pub fn complaint(&self) -> String {
        let (what, s, to_do) = (self.what(), self.lasts().as_secs(), self.to_do());
        format!("{what}; so for {s} s; {to_do}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cache::error::DirectoryError;

    /// Also where the error's own words say it: whoever shows the remedy alone has one.
    #[test]
    fn each_trouble_has_a_remedy_of_its_own() {
        let (path, mode) = ("/d".to_owned(), 0o777);
        let writable = WriteError::Directory(DirectoryError::Writable { path, mode });
        for error in [writable, WriteError::Busy, WriteError::TooBig(1)] {
            let keeping = Keeping::default();
            keeping.failed(Path::new("/d"), Missing::Bundles, 1, &error);
            let trouble = keeping.trouble().unwrap();
            assert!(!trouble.to_do().is_empty(), "{error}");
            assert!(trouble.what().contains(&error.to_string()), "{error}");
        }
    }

    #[test]
    fn a_trouble_lasts_from_its_first_failure_to_the_next_write() {
        let keeping = Keeping::default();
        assert!(keeping.trouble().is_none());
        assert_eq!(keeping.holds(), Holds::Nothing);
        keeping.failed(Path::new("/d"), Missing::Bundles, 1, &WriteError::Busy);
        let first = keeping.trouble().unwrap();
        assert!(
            first
                .complaint()
                .contains("bundles cannot be written to /d"),
            "{}",
            first.complaint()
        );
        assert_eq!(first.to_do(), WriteError::Busy.remedy());
        keeping.failed(Path::new("/d"), Missing::Refusal, 2, &WriteError::Busy);
        let next = keeping.trouble().unwrap();
        assert_eq!((next.since, next.failures), (first.since, 2));
        let said = next.complaint();
        for part in ["SPIRE refuses", "do not restart", "; give each agent"] {
            assert!(said.contains(part), "{said}");
        }
        assert!(
            next.to_do().starts_with("do not restart the agent before"),
            "{}",
            next.to_do()
        );
        keeping.succeeded(Holds::Bundles);
        assert_eq!(keeping.holds(), Holds::Bundles);
        assert!(keeping.trouble().is_none());
    }
}
