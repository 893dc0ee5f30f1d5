//! Where SPIRE's binaries are.

use std::path::{Path, PathBuf};
use std::process::Command;

use super::RealError;

/// SPIRE's two programs.
#[derive(Clone, Debug)]
pub struct Binaries {
    /// `spire-server`.
    pub server: PathBuf,
    /// `spire-agent`.
    pub agent: PathBuf,
}

impl Binaries {
    /// Those that `tests/peers/install spire` has put into its cache.
    ///
    /// # Errors
    /// It has not.
    pub fn installed() -> Result<Self, RealError> {
        Ok(Self {
            server: installed("spire").ok_or(RealError::NotInstalled("spire-server"))?,
            agent: installed("spire-agent").ok_or(RealError::NotInstalled("spire-agent"))?,
        })
    }
}

fn installed(peer: &str) -> Option<PathBuf> {
    let install = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/peers/install");
    let output = Command::new(install).args(["path", peer]).output().ok()?;
    let path = String::from_utf8(output.stdout).ok()?;
    let found = output.status.success() && !path.trim().is_empty();
    found.then(|| PathBuf::from(path.trim()))
}
