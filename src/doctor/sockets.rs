//! The two sockets: there, a socket, reachable by us, and somebody behind it.

use std::io::ErrorKind;
use std::os::unix::fs::{FileTypeExt as _, MetadataExt as _};
use std::os::unix::net::UnixStream;
use std::path::Path;

use config::Settings;

use super::finding::Examination;

/// What there is at a socket's path.
enum Seen {
    Missing,
    NoSocket,
    Forbidden,
    /// The file is there, and nobody listens.
    Deserted,
    Strange(String),
    Answers,
}

pub(super) fn look(settings: &Settings, examination: &mut Examination) {
    spire(settings.spire_socket().value.as_path(), examination);
    ours(settings, examination);
}

fn see(path: &Path) -> Seen {
    match path.metadata() {
        Err(error) if error.kind() == ErrorKind::NotFound => return Seen::Missing,
        Err(error) if error.kind() == ErrorKind::PermissionDenied => return Seen::Forbidden,
        Err(error) => return Seen::Strange(error.to_string()),
        Ok(found) if !found.file_type().is_socket() => return Seen::NoSocket,
        Ok(_) => {}
    }
    // Linux does not wait in connect() on a Unix socket unless its backlog is full.
    match UnixStream::connect(path) {
        Ok(_) => Seen::Answers,
        Err(error) => match error.kind() {
            ErrorKind::ConnectionRefused => Seen::Deserted,
            ErrorKind::PermissionDenied => Seen::Forbidden,
            ErrorKind::NotFound => Seen::Missing,
            _ => Seen::Strange(error.to_string()),
        },
    }
}

fn spire(path: &Path, examination: &mut Examination) {
    let shown = path.display().to_string();
    let mounted = is_mounted(path);
    match see(path) {
        Seen::Answers if mounted => examination.warn(
            "socket-mounted",
            "SPIRE's socket is mounted as a file: after a restart of SPIRE it leads nowhere",
            &format!("{shown} is a mount point of its own"),
            "mount the directory that the socket is in, not the socket",
        ),
        Seen::Answers => examination.well(format!("SPIRE's socket is listened on: {shown}")),
        Seen::Deserted if mounted => examination.problem(
            "socket-stale",
            "SPIRE's socket is that of a SPIRE agent that is gone",
            &format!("{shown} is a mount point of its own, and connections are refused"),
            "mount the directory that the socket is in, not the socket, and restart this agent",
        ),
        Seen::Deserted => examination.problem(
            "spire-down",
            "nobody listens on SPIRE's socket",
            &format!("connections to {shown} are refused"),
            "start the SPIRE agent; in a container, mount the directory of the socket, not the file",
        ),
        Seen::Missing => examination.problem(
            "spire-socket-missing",
            "SPIRE's socket is not there",
            &shown,
            "is the SPIRE agent up, and does it listen there? --spire-socket says where",
        ),
        Seen::NoSocket => examination.problem(
            "spire-socket-wrong",
            "what should be SPIRE's socket is none",
            &shown,
            "name SPIRE's socket with --spire-socket",
        ),
        Seen::Forbidden => examination.problem(
            "spire-socket-forbidden",
            "this user may not connect to SPIRE's socket",
            &format!("{shown}, as uid {}", uid()),
            "let the agent's user pass the directories, and read and write the socket",
        ),
        Seen::Strange(error) => {
            examination.problem("spire-socket-wrong", "SPIRE's socket cannot be used", &error, &shown);
        }
    }
}

fn ours(settings: &Settings, examination: &mut Examination) {
    let agent = settings.agent();
    let path = agent.socket.value.as_path();
    let shown = path.display().to_string();
    match see(path) {
        Seen::Answers => examination.well(format!("the agent listens: {shown}")),
        Seen::Missing | Seen::Deserted => examination.problem(
            "agent-down",
            "no agent listens where proxies connect",
            &shown,
            "start the agent; its log, or its exit code, says why it ended",
        ),
        Seen::Forbidden => examination.warn(
            "agent-socket-forbidden",
            "this user may not connect to the agent's socket",
            &format!("{shown}, as uid {}", uid()),
            "run this as the proxy's user: if it is refused too, see socket-group and socket-mode",
        ),
        Seen::NoSocket => examination.problem(
            "agent-socket-wrong",
            "where proxies connect, something else lies",
            &shown,
            "remove it, or choose another socket",
        ),
        Seen::Strange(error) => {
            examination.problem(
                "agent-socket-wrong",
                "the agent's socket cannot be used",
                &error,
                &shown,
            );
        }
    }
    let Ok(found) = path.metadata() else { return };
    let (mode, wanted) = (found.mode() & 0o777, agent.socket_mode.bits());
    if found.file_type().is_socket() && mode != wanted {
        examination.warn(
            "agent-socket-mode",
            "the socket's mode is not the configured one",
            &format!("{shown} has {mode:04o}, socket-mode is {wanted:04o}"),
            "somebody changed it, or another configuration runs: restart the agent",
        );
    }
}

fn uid() -> u32 {
    rustix::process::geteuid().as_raw()
}

/// Whether the file itself is a mount point of ours (proc(5), mountinfo: the fifth field).
fn is_mounted(path: &Path) -> bool {
    let Ok(mounts) = std::fs::read_to_string("/proc/self/mountinfo") else {
        return false;
    };
    let path = path.canonicalize().unwrap_or_else(|_| path.to_owned());
    let mut points = mounts.lines().filter_map(|line| line.split(' ').nth(4));
    points.any(|point| Path::new(&point.replace("\\040", " ")) == path)
}
