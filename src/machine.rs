//! What `check-config` sees of this machine. A file may be checked elsewhere than where it will be
//! used, and by somebody else: nothing here is an error, and everything says where it was seen.

use std::io;
use std::os::unix::fs::{FileTypeExt as _, MetadataExt as _};
use std::path::Path;

use actors::bundles::obstacle::Obstacle;
use actors::cache;
use actors::doors::socket::Group;
use config::{Finding, Settings, Severity, Sink, Source, TrustedProxy};
use rustix::fs::{Access, access};

use crate::telemetry::Plan;

/// Writable by whoever has an account here.
const WRITABLE_BY_ALL: u32 = 0o002;

/// Writable by group or others: what is kept there could be anybody's.
const WRITABLE_BY_OTHERS: u32 = 0o022;

/// Everything that would go wrong, or be unwise, here.
pub(crate) fn look(settings: &Settings) -> Vec<Finding> {
    let mut look = Look {
        settings,
        findings: Vec::new(),
    };
    look.at_socket();
    look.at_group();
    look.at_sinks();
    look.at_state_dir();
    look.at_proxies();
    look.at_spire();
    look.findings
}

struct Look<'a> {
    settings: &'a Settings,
    findings: Vec<Finding>,
}

impl Look<'_> {
    fn warn(&mut self, code: &'static str, about: (&str, Source), seen: &str, advice: &str) {
        self.add(Severity::Warning, code, about, seen, advice);
    }

    fn add(
        &mut self,
        severity: Severity,
        code: &'static str,
        about: (&str, Source),
        seen: &str,
        advice: &str,
    ) {
        let whose = match about.1 {
            Source::Default => " (nothing names another: this is the default)",
            Source::Flag(_) | Source::Variable(_) | Source::File | Source::Push => "",
        };
        let message = format!("on this machine {seen}{whose}");
        let finding = self
            .settings
            .finding(severity, code, about, &message, advice);
        self.findings.push(finding);
    }

    fn at_socket(&mut self) {
        let socket = &self.settings.agent().socket;
        let about = ("agent.socket", socket.source);
        let Some(directory) = socket.value.as_path().parent() else {
            return;
        };
        let shown = directory.display();
        if let Err(fault) = writable_directory(directory) {
            let seen = format!("the socket cannot be made in {shown}: {fault}");
            let advice = match fault.kind() {
                io::ErrorKind::NotADirectory => {
                    "a file is in the way: remove it, or choose another socket"
                }
                io::ErrorKind::ReadOnlyFilesystem => {
                    "choose a socket in a directory that mounts and the unit let be written"
                }
                _ => "make the directory, writable by the agent's user, or choose another socket",
            };
            self.warn("socket-directory", about, &seen, advice);
        } else if mode(directory) & WRITABLE_BY_ALL != 0 {
            let seen = format!("everybody can write {shown}, and take the socket's name first");
            let advice = "use a directory of the agent's own, as /run/sentinel-spiffe";
            self.warn("socket-directory-open", about, &seen, advice);
        }
    }

    fn at_group(&mut self) {
        let Some(group) = &self.settings.agent().socket_group else {
            return;
        };
        if Group::find(&group.value).is_err() {
            let seen = format!("socket-group {}: no such group", group.value);
            let about = ("agent.socket-group", group.source);
            let advice = "make the group, or name the one that the proxy runs in";
            self.warn("unknown-group", about, &seen, advice);
        }
    }

    fn at_sinks(&mut self) {
        for (index, sink) in self.settings.agent().sinks.iter().enumerate() {
            let key = format!("audit.sink[{index}]");
            let file = match sink {
                Sink::File(file) => file,
                Sink::Otlp => {
                    self.at_collector(&key);
                    continue;
                }
                Sink::Stdout | Sink::Stderr => continue,
            };
            self.at_file(&key, &file.path);
        }
    }

    fn at_file(&mut self, key: &str, path: &Path) {
        const ADVICE_PIPE: &str = "start its reader before the agent, one that goes on after an end (it sees one at each start and \
             restart of the agent: sh -c 'while cat PIPE; do :; done'), and keep it reading; or name a file";
        let (about, shown) = ((key, Source::File), path.display());
        if is_pipe(path) {
            let seen = format!(
                "{shown} is a pipe: the agent does not start before its reader, and waits when it does not read"
            );
            return self.add(Severity::Advice, "sink-is-pipe", about, &seen, ADVICE_PIPE);
        }
        let Err(fault) = appendable(path) else { return };
        let uid = rustix::process::geteuid().as_raw();
        let seen =
            format!("{shown} cannot be written as uid {uid}: {fault}: the agent would not start");
        let advice = match fault.kind() {
            io::ErrorKind::ReadOnlyFilesystem => {
                "name a file that mounts and the unit let be written (LogsDirectory=, ReadWritePaths=)"
            }
            _ => "name a file in a directory that is there, writable by the agent's user",
        };
        self.warn("sink-unwritable", about, &seen, advice);
    }

    /// The variables are those of whoever checks; the agent's may be others.
    fn at_collector(&mut self, key: &str) {
        if Plan::from_environment().exports_logs() {
            return;
        }
        let seen =
            "no OTEL_* variable names a collector for log records: the agent would not start";
        let advice =
            "set OTEL_EXPORTER_OTLP_ENDPOINT for the agent, and not OTEL_LOGS_EXPORTER=none";
        let about = (key, Source::File);
        self.warn("sink-without-collector", about, seen, advice);
    }

    fn at_state_dir(&mut self) {
        // Said of /tmp, the first half alone would break the machine.
        const ADVICE_OPEN: &str =
            "name a directory that is yet to be made, or chmod 0700 one that is the agent's alone";
        let Some(dir) = &self.settings.agent().state_dir else {
            return;
        };
        let (path, about) = (dir.value.as_path(), ("agent.state-dir", dir.source));
        let shown = path.display();
        if let Err(fault) = makeable_directory(path) {
            let seen = format!("bundles cannot be kept in {shown}: {fault}");
            self.warn("state-dir", about, &seen, cache::of_directory(&fault));
        }
        if mode(path) & WRITABLE_BY_OTHERS != 0 {
            let seen = format!("group or others can write {shown}: the agent will not use it");
            self.warn("state-dir-open", about, &seen, ADVICE_OPEN);
        }
        let us = rustix::process::geteuid().as_raw();
        let owner = path.metadata().map_or(us, |found| found.uid());
        if owner != us && owner != 0 {
            let seen = format!("{shown} belongs to uid {owner}, and this is uid {us}");
            let advice = "only an agent that runs as its owner uses it";
            self.warn("state-dir-foreign", about, &seen, advice);
        }
    }

    fn at_proxies(&mut self) {
        let Some(proxies) = &self.settings.agent().trusted_proxies else {
            return;
        };
        for (index, proxy) in proxies.value.iter().enumerate() {
            let (list, id) = match proxy {
                TrustedProxy::Uid(uid) => ("/etc/passwd", *uid),
                TrustedProxy::Gid(gid) => ("/etc/group", *gid),
                TrustedProxy::Spiffe(_) => continue,
            };
            // A list that cannot be read names nobody, and proves nothing.
            if std::fs::read_to_string(list).is_ok_and(|text| !lists(&text, id)) {
                let key = format!("agent.trusted-proxies[{index}]");
                let about = (key.as_str(), proxies.source);
                let seen = format!("{list} knows no {proxy}");
                let advice = "right if the proxy runs in a container; else see what it runs as";
                self.add(Severity::Advice, "unknown-account", about, &seen, advice);
            }
        }
    }

    fn at_spire(&mut self) {
        let socket = self.settings.spire_socket();
        let path = socket.value.as_path();
        let found = path.metadata();
        let Some(obstacle) = Obstacle::of_file(&found) else {
            return;
        };
        let seen = match found {
            Ok(_) => format!("{} is no socket", path.display()),
            Err(error) => format!("SPIRE's socket is not at {}: {error}", path.display()),
        };
        let advice = &obstacle.seen_at(path).remedy();
        self.warn(
            "spire-socket",
            ("spire.socket", socket.source),
            &seen,
            advice,
        );
    }
}

/// Whether we may make files in it.
fn writable_directory(path: &Path) -> io::Result<()> {
    if !path.metadata()?.is_dir() {
        return Err(io::ErrorKind::NotADirectory.into());
    }
    Ok(access(path, Access::WRITE_OK | Access::EXEC_OK)?)
}

/// The same of one that is there, or of where it will be made: only its own last step is.
fn makeable_directory(path: &Path) -> io::Result<()> {
    match (writable_directory(path), path.parent()) {
        (Err(error), Some(parent)) if error.kind() == io::ErrorKind::NotFound => {
            writable_directory(parent)
        }
        (found, _) => found,
    }
}

/// Whether it is one by itself that may be written: links are not followed.
fn is_pipe(path: &Path) -> bool {
    let found = path.symlink_metadata();
    let is_pipe = found.is_ok_and(|found| found.file_type().is_fifo());
    is_pipe && access(path, Access::WRITE_OK).is_ok()
}

/// Whether records can be appended to it, as the agent opens it: links are not followed.
fn appendable(path: &Path) -> io::Result<()> {
    match path.symlink_metadata() {
        Ok(found) if found.is_symlink() => Err(io::Error::other("links are not followed")),
        Ok(found) if found.is_dir() => Err(io::ErrorKind::IsADirectory.into()),
        Ok(found) if found.file_type().is_socket() => Err(io::Error::other("it is a socket")),
        Ok(_) => Ok(access(path, Access::WRITE_OK)?),
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            path.parent().map_or(Err(error), writable_directory)
        }
        Err(error) => Err(error),
    }
}

fn mode(path: &Path) -> u32 {
    path.metadata().map_or(0, |found| found.mode())
}

/// Whether a list such as /etc/passwd has this number, its third field.
fn lists(text: &str, id: u32) -> bool {
    let mut lines = text.lines().filter_map(|line| line.split(':').nth(2));
    lines.any(|field| field.parse() == Ok(id))
}
