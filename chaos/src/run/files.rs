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
    pub(super) fn new(setup: &AgentSetup) -> io::Result<Self> {
        let directory = tempfile::Builder::new().prefix("chaos").tempdir()?;
        let mut home = Self {
            directory,
            _pipe: None,
        };
        if setup.keeps_state {
            fs::create_dir(home.path("state"))?;
        }
        if setup.records == Records::Stuck {
            let path = home.path("audit.jsonl");
            rustix::fs::mkfifoat(
                rustix::fs::CWD,
                &path,
                rustix::fs::Mode::from_raw_mode(0o600),
            )?;
            home._pipe = Some(fs::OpenOptions::new().read(true).write(true).open(path)?);
        }
        fs::write(home.path("agent.kdl"), home.config(setup))?;
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
    pub(super) fn damage(&self, damage: Damage) -> io::Result<()> {
        let path = self.path("state").join("x509-bundles");
        let mut bytes = fs::read(&path)?;
        match damage {
            Damage::Gone => return fs::remove_file(&path),
            Damage::Torn => bytes.truncate(bytes.len() / 2),
            Damage::Damaged => {
                let middle = bytes.len() / 2;
                if let Some(byte) = bytes.get_mut(middle) {
                    *byte ^= 1;
                }
            }
            Damage::Foreign => bytes = b"{\"some\": \"other program's\"}\n".to_vec(),
        }
        fs::write(path, bytes)
    }

    /// The decision records, by the request's id. What a kill cut off is left out.
    pub(super) fn records(&self, setup: &AgentSetup) -> io::Result<HashMap<String, Vec<Record>>> {
        let mut records: HashMap<String, Vec<Record>> = HashMap::new();
        if matches!(setup.records, Records::Stuck | Records::Full) {
            return Ok(records);
        }
        let text = fs::read(self.path("audit.jsonl"))?;
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

/// The fields of a record that are looked at.
#[derive(Deserialize)]
struct Written {
    verdict: String,
    reason: Option<String>,
    identity: String,
    state: Option<String>,
    correlation_id: String,
}
