//! A configuration file that says something else than the agent that was started with it: it is read once.
//!
//! Meanings are compared, not texts: the policy by its fingerprint, which records carry too, and each
//! setting of the process that flags and variables have no part in. A pushed policy is nobody's file.

use std::sync::Arc;

use actors::admin::status::{Setting, Status};
use actors::configured::credential_bounds;
use actors::policies::{InForce, Policies, PolicyError};
use config::{Effective, Settings, Source};

/// What a file says otherwise than the running agent.
#[derive(Debug, Default)]
pub(crate) struct Edited {
    /// Whether it is the policy.
    pub(crate) policy: bool,
    /// The process's own settings.
    pub(crate) settings: Vec<Changed>,
}

/// One setting.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Changed {
    pub(crate) key: String,
    /// In the running agent.
    runs: String,
    /// In the file.
    written: String,
}

/// What is said of it wherever it is told.
pub(crate) const READ_ONCE: &str = "the agent reads its file at its start only: restart it";

/// Blocks and keys that are no policy's.
const OWN: [&str; 4] = ["spire.", "agent.", "audit.on-full", "audit.sink"];

/// As [`config::Value`] writes what is not set, which a status leaves out.
const UNSET: &str = "-";

/// The policy as the agent would put it in force.
pub(crate) fn in_force(settings: &Settings) -> Result<Option<Arc<InForce>>, PolicyError> {
    let policies = Policies::new(0, credential_bounds(&settings.agent().bounds));
    let policy = settings.policy().cloned();
    policy.map(|spec| policies.own(spec)).transpose()
}

impl Edited {
    /// `None` where nothing is known to differ: the file's agent is another, of another version, or none.
    pub(crate) fn of(status: &Status, settings: &Settings) -> Option<Self> {
        if !has_this_file(status, settings) {
            return None;
        }
        let edited = Self {
            policy: has_another_policy(status, settings),
            settings: changed(&status.configuration, settings.effective()),
        };
        let is_elsewhere = !is_spire(status, settings)
            && !edited.says("spire.socket")
            && !is_told_apart(status, settings);
        let differs = edited.policy || !edited.settings.is_empty();
        (differs && !is_elsewhere).then_some(edited)
    }

    /// Whether the file says another value of this.
    pub(crate) fn says(&self, key: &str) -> bool {
        self.settings.iter().any(|changed| changed.key == key)
    }

    /// Each difference, for people.
    pub(crate) fn told(&self) -> String {
        let policy = self
            .policy
            .then(|| "the agent runs with another policy than the file has".to_owned());
        let settings = self.settings.iter().map(|changed| {
            let Changed { key, runs, written } = changed;
            format!("{key} is {runs} in the agent, {written} in the file")
        });
        policy
            .into_iter()
            .chain(settings)
            .collect::<Vec<_>>()
            .join("; ")
    }
}

/// Whether the agent's policy of its file is not that of these settings. Fingerprints of different
/// versions are not held against each other, nor is one that an agent does not tell.
pub(crate) fn has_another_policy(status: &Status, settings: &Settings) -> bool {
    if status.process.version != env!("CARGO_PKG_VERSION") {
        return false;
    }
    let mut policies = status.policies.shown.iter();
    let runs = policies.find(|policy| policy.source == "file");
    let Ok(written) = in_force(settings) else {
        return false;
    };
    match (runs, written) {
        (None, written) => written.is_some(),
        (Some(_), None) => true,
        (Some(runs), Some(written)) => {
            let told = runs.fingerprint.as_deref();
            told.is_some_and(|told| told != &*written.fingerprint)
        }
    }
}

/// Whether the agent was started with this very file.
pub(crate) fn has_this_file(status: &Status, settings: &Settings) -> bool {
    let told = status.process.config.as_deref();
    told.zip(settings.file_name())
        .is_some_and(|(told, file)| same(told, file))
}

/// Whether it asks this SPIRE.
pub(crate) fn is_spire(status: &Status, settings: &Settings) -> bool {
    let spire = settings.spire_socket().value.to_string();
    let told = status.process.spire_socket.as_deref();
    told.is_some_and(|told| same(told, &spire))
}

/// Whether the agent has its SPIRE from a flag or variable of its own, of which nobody told us.
fn is_told_apart(status: &Status, settings: &Settings) -> bool {
    let mut running = status.configuration.iter();
    let spire = running.find(|setting| setting.key == "spire.socket");
    let is_of_file = spire.is_none_or(|spire| matches!(spire.source.as_str(), "file" | "default"));
    let ours = settings.spire_socket().source;
    !is_of_file && matches!(ours, Source::File | Source::Default)
}

/// Whether two paths lead to one file.
pub(crate) fn same(one: &str, other: &str) -> bool {
    let real = |path: &str| std::fs::canonicalize(path).ok();
    one == other || real(one).is_some_and(|path| real(other) == Some(path))
}

/// Settings that the file alone decides, here as there, and that it decides otherwise now.
fn changed(running: &[Setting], written: Vec<Effective>) -> Vec<Changed> {
    let written = written.into_iter();
    let written = written.filter(|one| OWN.iter().any(|own| one.key.starts_with(own)));
    let differs = written.filter_map(|written| {
        let runs = running.iter().find(|setting| setting.key == written.key);
        let is_told = runs.is_none_or(|runs| matches!(runs.source.as_str(), "file" | "default"));
        let is_ours = matches!(written.source, Source::File | Source::Default);
        let runs = runs.map_or(UNSET, |runs| runs.value.as_str());
        let value = written.value.to_string();
        (is_told && is_ours && runs != value).then(|| Changed {
            key: written.key,
            runs: runs.to_owned(),
            written: value,
        })
    });
    differs.collect()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test may panic")]

    use config::{FileConfig, Override, Overrides};

    use super::*;

    fn written(text: &str) -> Vec<Effective> {
        let file = FileConfig::parse("a.kdl", text).unwrap();
        let flags = Overrides::default().with_flag(Override::Socket, "/run/flag.sock");
        Settings::resolve(Some(file), &flags).unwrap().effective()
    }

    /// As an agent tells it that was started with this file.
    fn running(text: &str) -> Vec<Setting> {
        let told = written(text).into_iter().map(|one| Setting {
            key: one.key,
            value: one.value.to_string(),
            source: one.source.to_string(),
        });
        told.filter(|one| one.value != UNSET).collect()
    }

    #[test]
    fn what_the_file_alone_decides_is_compared_and_nothing_else() {
        let text =
            "agent { state-dir \"/a\"; limits { policies 7 } }\nspire { api-timeout-ms 900 }";
        assert_eq!(changed(&running(text), written(text)), []);
        let moved = "spire {\n  api-timeout-ms 900\n}\n\n// c\nagent { limits { policies 7 }; state-dir \"/a\" }";
        assert_eq!(changed(&running(text), written(moved)), []);
        let edited = "agent { socket-group \"p\"; limits { policies 8 } }\nallowlist { any #true }";
        let keys = |changed: Vec<Changed>| -> Vec<String> {
            changed.into_iter().map(|one| one.key).collect()
        };
        let expected = [
            "spire.api-timeout-ms",
            "agent.socket-group",
            "agent.state-dir",
            "agent.limits.policies",
        ];
        let mut found = keys(changed(&running(text), written(edited)));
        let mut expected = expected.map(str::to_owned);
        found.sort();
        expected.sort();
        assert_eq!(found, expected);
        // A variable, a flag or a push speaks louder than the file, and may be unknown here.
        let mut told = running(text);
        for setting in &mut told {
            match setting.key.as_str() {
                "spire.api-timeout-ms" => setting.source = "push".to_owned(),
                "agent.state-dir" => setting.source = "STATE_DIRECTORY".to_owned(),
                "agent.socket" => setting.value = "\"/elsewhere\"".to_owned(),
                _ => {}
            }
        }
        let found = keys(changed(&told, written(edited)));
        assert_eq!(found, ["agent.socket-group", "agent.limits.policies"]);
    }
}
