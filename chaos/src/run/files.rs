//! Files around the agent: its configuration, its bundles on disk, its records.

use std::collections::HashMap;
use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use serde::Deserialize;

use crate::scenario::action::Damage;
use crate::scenario::{AgentSetup, Records};

use super::RunError;
use super::recording::Record;

/// A file as such, wherever its name leads by now. A number is given again soon after its file is gone;
/// the moment at which it was made tells the two apart, where the file system knows it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct FileId {
    device: u64,
    inode: u64,
    made: Option<SystemTime>,
}

impl FileId {
    /// Of what lies at the path; a link is itself.
    pub(super) fn at(path: &Path) -> Option<Self> {
        let file = fs::symlink_metadata(path).ok()?;
        Some(Self::of(&file))
    }

    /// Of what the path leads to.
    pub(super) fn behind(path: &Path) -> Option<Self> {
        let file = fs::metadata(path).ok()?;
        Some(Self::of(&file))
    }

    fn of(file: &fs::Metadata) -> Self {
        Self {
            device: file.dev(),
            inode: file.ino(),
            made: file.created().ok(),
        }
    }
}

/// The directory of one run.
pub(super) struct Home {
    directory: tempfile::TempDir,
    /// Held open, so that a pipe nobody reads has somebody who could.
    _pipe: Option<fs::File>,
}

impl Home {
    pub(super) fn new(setup: &AgentSetup) -> Result<Self, RunError> {
        let directory = tempfile::Builder::new().prefix("chaos").tempdir();
        let made = RunError::file("make a directory in it", &std::env::temp_dir());
        let mut home = Self {
            directory: directory.map_err(made)?,
            _pipe: None,
        };
        if setup.keeps_state {
            let state = home.path("state");
            fs::create_dir(&state).map_err(RunError::file("make it", &state))?;
        }
        if setup.records == Records::Stuck {
            let path = home.path("audit.jsonl");
            home._pipe = Some(pipe(&path).map_err(RunError::file("make a pipe there", &path))?);
        }
        let config = home.path("agent.kdl");
        fs::write(&config, home.config(setup)).map_err(RunError::file("write it", &config))?;
        Ok(home)
    }

    pub(super) fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    fn config(&self, setup: &AgentSetup) -> String {
        let sink = match setup.records {
            Records::Full => PathBuf::from("/dev/full"),
            Records::Kept | Records::Lossy | Records::Stuck | Records::Elsewhere => {
                self.path("audit.jsonl")
            }
        };
        format!(
            "{}audit {{\n    sink \"file\" path={sink:?}\n}}\n",
            setup.config
        )
    }

    /// Flags that say where everything is.
    pub(super) fn arguments(&self, setup: &AgentSetup, spire: &Path) -> Vec<String> {
        let mut flags = vec![
            ("--socket", self.path("agent.sock")),
            ("--spire-socket", spire.to_owned()),
            ("--config", self.path("agent.kdl")),
        ];
        if setup.keeps_state {
            flags.push(("--state-dir", self.path("state")));
        }
        let words = flags.into_iter();
        words
            .flat_map(|(flag, path)| [flag.to_owned(), path.display().to_string()])
            .collect()
    }

    /// Does this to the bundles on disk.
    pub(super) fn damage(&self, damage: Damage) -> Result<(), RunError> {
        let path = self.path("state").join("x509-bundles");
        let mut bytes = fs::read(&path).map_err(RunError::file("read the state file", &path))?;
        match damage {
            Damage::Gone => {
                let removed = fs::remove_file(&path);
                return removed.map_err(RunError::file("remove the state file", &path));
            }
            Damage::Torn => bytes.truncate(bytes.len() / 2),
            Damage::Damaged => {
                let middle = bytes.len() / 2;
                if let Some(byte) = bytes.get_mut(middle) {
                    *byte ^= 1;
                }
            }
            Damage::Foreign => bytes = b"{\"some\": \"other program's\"}\n".to_vec(),
        }
        fs::write(&path, bytes).map_err(RunError::file("damage the state file", &path))
    }

    /// The decision records, by the request's id. What a kill cut off is left out.
    pub(super) fn records(
        &self,
        setup: &AgentSetup,
    ) -> Result<HashMap<String, Vec<Record>>, RunError> {
        let mut records: HashMap<String, Vec<Record>> = HashMap::new();
        if matches!(setup.records, Records::Stuck | Records::Full) {
            return Ok(records);
        }
        let path = self.path("audit.jsonl");
        let text = fs::read(&path).map_err(RunError::file("read the agent's records", &path))?;
        for line in text.split(|byte| *byte == b'\n') {
            if let Ok(written) = serde_json::from_slice::<Written>(line) {
                let record = Record {
                    verdict: written.verdict,
                    reason: written.reason,
                    identity: written.identity,
                    state: written.state,
                };
                records
                    .entry(written.correlation_id)
                    .or_default()
                    .push(record);
            }
        }
        Ok(records)
    }
}

/// A pipe that has somebody who could read it.
fn pipe(path: &Path) -> io::Result<fs::File> {
    let mode = rustix::fs::Mode::from_raw_mode(0o600);
    rustix::fs::mkfifoat(rustix::fs::CWD, path, mode)?;
    fs::OpenOptions::new().read(true).write(true).open(path)
}

/// The fields of a record that are looked at.
#[derive(Deserialize)]
struct Written {
    verdict: String,
    reason: Option<String>,
    identity: String,
    state: Option<String>,
    correlation_id: String,
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test may panic")]

    use super::*;
    use crate::scenario::file::ScenarioFile;

    #[test]
    fn a_file_that_is_not_there_is_named() {
        let text = include_str!("../../scenarios/state-file-torn.kdl");
        let setup = ScenarioFile::parse("state-file-torn.kdl", text).unwrap();
        let setup = setup.scenario.agent;
        let home = Home::new(&setup).unwrap();
        let state = home.damage(Damage::Torn).unwrap_err().to_string();
        assert!(state.contains("state/x509-bundles: cannot read"), "{state}");
        let records = home.records(&setup).unwrap_err().to_string();
        assert!(records.contains("audit.jsonl: cannot read"), "{records}");
        assert!(records.contains("No such file"), "{records}");
    }
}
