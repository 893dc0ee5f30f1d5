//! What the newest records tell.

use std::collections::{BTreeMap, VecDeque};
use std::fs::File;
use std::io::{BufRead as _, BufReader, Read as _, Seek as _, SeekFrom};
use std::os::unix::fs::FileTypeExt as _;
use std::path::Path;

use actors::audit::Recorded;
use config::Settings;
use verdict::policy::{Mode, PolicySpec, ValidationFailure};
use verdict::reason::{Reason, SECOND_ELEMENT};

use super::alike::{Alike, Example};
use super::finding::Examination;
use super::marker::MARKERS;
use super::spire::{LONG_LIFETIME_S, long_lived};
use crate::output::counted;

/// The newest records: about ten thousand.
const TAIL_BYTES: u64 = 8 * 1024 * 1024;

/// Records that show how it is now.
const NEWEST: usize = 60;

/// What is counted in them.
#[derive(Default)]
struct Told {
    unconfigured: BTreeMap<String, u64>,
    several_elements: u64,
    longest: Option<(i64, String)>,
    unverified: u64,
    /// The newest, each with its reason and what else it tells if it was denied.
    newest: VecDeque<Option<(Reason, Example)>>,
}

pub(super) fn look(path: &Path, settings: &Settings, examination: &mut Examination) {
    let shown = path.display();
    let lines = match tail(path) {
        Ok(lines) => lines,
        Err(error) => return unreadable(&format!("{shown}: {error}"), fix_of(&error), examination),
    };
    let mut told = Told::default();
    let records = lines.iter().map(|line| Recorded::parse(line.as_bytes()));
    let records = records.filter_map(Result::ok).inspect(|one| told.take(one));
    let records = records.count();
    if records == 0 && !lines.is_empty() {
        let lines = counted(lines.len(), "line", "lines");
        let seen = format!("{shown}: {lines} read, and none of them is a record");
        return unreadable(&seen, ELSEWHERE, examination);
    }
    told.tell(settings, examination);
    // Where only denials are recorded their share says nothing.
    if settings
        .policy()
        .is_none_or(|policy| policy.audit.log_success)
    {
        told.newest(settings, examination);
    }
    let records = counted(records, "record", "records");
    examination.well(format!("{records} read: {shown}"));
}

const ELSEWHERE: &str = "name the file with --records";

fn unreadable(seen: &str, fix: &str, examination: &mut Examination) {
    let what = "the records cannot be read: what they tell was not looked at";
    examination.warn("records-unreadable", what, seen, fix);
}

fn fix_of(error: &std::io::Error) -> &'static str {
    match error.kind() {
        std::io::ErrorKind::PermissionDenied => "run this as the agent's user",
        std::io::ErrorKind::Unsupported => {
            "name the file that the pipe's reader writes them to with --records"
        }
        _ => ELSEWHERE,
    }
}

/// Whole lines of the end of a file. What a crash tears may end within a character.
pub(super) fn tail(path: &Path) -> std::io::Result<Vec<String>> {
    // It would wait for somebody who writes there.
    if path.metadata()?.file_type().is_fifo() {
        let pipe = std::io::ErrorKind::Unsupported;
        return Err(std::io::Error::new(pipe, "it is a pipe"));
    }
    let mut file = File::open(path)?;
    let start = file.metadata()?.len().saturating_sub(TAIL_BYTES);
    file.seek(SeekFrom::Start(start))?;
    let mut reader = BufReader::new(file.take(TAIL_BYTES));
    if start > 0 {
        reader.skip_until(b'\n')?;
    }
    let lines = reader.split(b'\n');
    lines
        .map(|line| Ok(String::from_utf8_lossy(&line?).into_owned()))
        .collect()
}

impl Told {
    fn take(&mut self, recorded: &Recorded) {
        let id = recorded.spiffe_id.as_deref().unwrap_or_default();
        if id.starts_with(MARKERS) {
            return;
        }
        if self.newest.len() == NEWEST {
            self.newest.pop_front();
        }
        let denied = recorded.reason.filter(|_| recorded.status.is_some());
        let example = |reason| (reason, Example::from(recorded));
        self.newest.push_back(denied.map(example));
        if recorded.reason == Some(Reason::NotConfigured) {
            *self.unconfigured.entry(recorded.proxy.clone()).or_default() += 1;
        }
        let rule = recorded.rule.as_deref().unwrap_or_default();
        if recorded.reason == Some(Reason::Malformed) && rule.contains(SECOND_ELEMENT) {
            self.several_elements += 1;
        }
        if recorded.identity.starts_with("unverified-") {
            self.unverified += 1;
        }
        let lifetime = recorded
            .cert
            .as_ref()
            .map(|cert| cert.not_after.saturating_sub(cert.not_before));
        if let (Some(lifetime), Some(id)) = (lifetime, &recorded.spiffe_id)
            && self
                .longest
                .as_ref()
                .is_none_or(|(longest, _)| lifetime > *longest)
        {
            self.longest = Some((lifetime, id.clone()));
        }
    }

    /// Whether one reason is that of most of the newest.
    fn newest(&self, settings: &Settings, examination: &mut Examination) {
        for reason in Reason::ALL {
            let alike = self.newest.iter().rev().flatten();
            let mut alike = alike.filter(|(other, _)| *other == reason);
            let Some((_, example)) = alike.next() else {
                continue;
            };
            let told = Alike {
                reason,
                example: example.clone(),
                denied: 1 + alike.count() as u64,
                of: self.newest.len() as u64,
                seen: "records",
            };
            told.tell(settings, examination);
        }
    }

    fn tell(&self, settings: &Settings, examination: &mut Examination) {
        for (proxy, count) in &self.unconfigured {
            examination.problem(
                "no-policy-delivered",
                &format!("{proxy} brings no policy"),
                &format!("{count} records with NOT_CONFIGURED"),
                "give the agent --config: Sentinel never delivers its config block, Zentinel up to 0.6.45 neither",
            );
        }
        if self.several_elements > 0 {
            examination.problem(
                "hop-appends",
                "a hop appends to the credential header instead of overwriting it",
                &format!(
                    "{} records of values with several XFCC elements",
                    self.several_elements
                ),
                "Envoy: forward_client_cert_details: SANITIZE_SET, on every listener",
            );
        }
        if let Some((lifetime_s, id)) = &self.longest
            && *lifetime_s > LONG_LIFETIME_S
        {
            long_lived(id, *lifetime_s, examination);
        }
        if self.unverified > 0 {
            self.tell_unverified(settings, examination);
        }
    }
}

impl Told {
    /// Records outlive the mode that they were decided in: what is on now is for the settings to say.
    fn tell_unverified(&self, settings: &Settings, examination: &mut Examination) {
        let modes = settings.policy().map_or_else(Vec::new, open_modes);
        let fix = match modes.is_empty() {
            true => {
                "fail_open, log_and_allow or enforce #false was on when they were decided, and is not in this \
                 configuration: nothing is to be done, unless a push or another agent had it; their reason says \
                 what would have been denied"
                    .to_owned()
            }
            false => format!(
                "{} is on: their reason says what would be denied",
                modes.join(" and ")
            ),
        };
        examination.warn(
            "unverified-passed",
            "requests have passed without a verified identity",
            &format!("{} records", self.unverified),
            &fix,
        );
    }
}

/// What of a policy lets pass who is not verified.
fn open_modes(policy: &PolicySpec) -> Vec<&'static str> {
    let failure = &policy.failure;
    let open = [
        (failure.spire_unavailable == Mode::FailOpen, "fail_open"),
        (
            failure.validation_failure == ValidationFailure::LogAndAllow,
            "log_and_allow",
        ),
        (!failure.enforce, "enforce #false"),
    ];
    let open = open.into_iter().filter(|(is_on, _)| *is_on);
    open.map(|(_, name)| name).collect()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test may panic")]

    use super::*;

    /// Or doctor would clear what comes after.
    #[test]
    fn a_line_that_is_no_text_hides_none_behind_it() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("records");
        std::fs::write(&path, b"one\nissuer=\xc3\nthree\n").unwrap();
        let lines = tail(&path).unwrap();
        assert_eq!(lines, ["one", "issuer=\u{fffd}", "three"]);
        // Nor is what cannot be read taken for the end of the file.
        tail(dir.path()).unwrap_err();
    }

    #[test]
    fn a_pipe_is_not_waited_for() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("pipe");
        let fifo = rustix::fs::FileType::Fifo;
        let mode = rustix::fs::Mode::from_raw_mode(0o600);
        rustix::fs::mknodat(rustix::fs::CWD, &path, fifo, mode, 0).unwrap();
        assert_eq!(tail(&path).unwrap_err().to_string(), "it is a pipe");
    }
}
