//! The two sockets: there, a socket, reachable by us, and somebody behind it.

use std::os::unix::fs::{FileTypeExt as _, MetadataExt as _};
use std::path::Path;
use std::time::Duration;

use actors::admin::status::Status;
use actors::bundles::obstacle::Obstacle;
use actors::mounts::Mount;
use config::Settings;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::UnixStream;
use tokio::time::timeout;

use super::finding::Examination;
use crate::edited::same;

/// The finding that it listens, and answers nobody.
pub(super) const AGENT_SILENT: &str = "agent-silent";

/// What the agent calls the door behind its Unix socket.
const UNIX_DOOR: &str = "sentinel";

/// An agent closes a connection that was given up at once; one that is busy, within a moment.
const HEARD_WITHIN: Duration = Duration::from_secs(5);

/// `status` is what an agent at the admin address says, which may be another.
pub(super) async fn look(
    settings: &Settings,
    status: Option<&Status>,
    examination: &mut Examination,
) {
    spire(settings.spire_socket().value.as_path(), examination).await;
    let socket = settings.agent().socket.value.to_string();
    let is_ours = |told: &str| same(told, &socket);
    let status = status.filter(|status| status.process.socket.as_deref().is_some_and(is_ours));
    ours(settings, status, examination).await;
}

/// Whether whoever listens takes connections, or nobody does any more.
enum Met {
    Taken(UnixStream),
    /// The queue of those who wait is full.
    Queued,
}

impl Met {
    /// Whether somebody notices that the connection was given up.
    async fn hears_the_end(self) -> bool {
        let Self::Taken(mut stream) = self else {
            return false;
        };
        let closed = async {
            // Who has closed it already has heard.
            let _ = stream.shutdown().await;
            let _ = stream.read(&mut [0]).await;
        };
        timeout(HEARD_WITHIN, closed).await.is_ok()
    }
}

/// What is in the way of a connection, and what the system said.
async fn see(path: &Path) -> Result<Met, (Obstacle, String)> {
    let found = path.metadata();
    if let Some(obstacle) = Obstacle::of_file(&found) {
        let said = found.map_or_else(|error| error.to_string(), |file| kind(file.file_type()));
        return Err((obstacle, said));
    }
    match UnixStream::connect(path).await {
        Ok(stream) => Ok(Met::Taken(stream)),
        // unix(7), connect: the backlog is full, and this end does not wait.
        Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => Ok(Met::Queued),
        Err(error) => Err((Obstacle::of_io(&error), error.to_string())),
    }
}

/// What lies where a socket should, in words.
fn kind(kind: std::fs::FileType) -> String {
    let what = match kind {
        kind if kind.is_file() => "a regular file",
        kind if kind.is_dir() => "a directory",
        kind if kind.is_fifo() => "a named pipe",
        kind if kind.is_block_device() || kind.is_char_device() => "a device",
        _ => "something else",
    };
    format!("it is {what}")
}

async fn spire(path: &Path, examination: &mut Examination) {
    let shown = path.display().to_string();
    // The file itself, for which its directory stands elsewhere.
    let mounted =
        Mount::around(path).is_some_and(|mount| path.canonicalize().ok() == Some(mount.point));
    let seen = see(path).await;
    match seen.map_err(|(obstacle, said)| (obstacle.seen_at(path), said)) {
        Ok(_) if mounted => examination.warn(
            "socket-mounted",
            "SPIRE's socket is mounted as a file: after a restart of SPIRE it leads nowhere",
            &format!("{shown} is a mount point of its own"),
            "mount the directory that the socket is in, not the socket",
        ),
        Ok(_) => examination.well(format!("SPIRE's socket is listened on: {shown}")),
        Err((Obstacle::Deserted | Obstacle::DesertedInMount | Obstacle::Stale, _)) if mounted => {
            examination.problem(
                "socket-stale",
                "SPIRE's socket is that of a SPIRE agent that is gone",
                &format!("{shown} is a mount point of its own, and connections are refused"),
                "mount the directory that the socket is in, not the socket, and restart this agent",
            )
        }
        Err((obstacle, said)) => examination.problem(
            code(obstacle),
            obstacle.what(),
            &format!("{shown}, as uid {}: {said}", uid()),
            &obstacle.remedy(),
        ),
    }
}

const fn code(obstacle: Obstacle) -> &'static str {
    match obstacle {
        Obstacle::Missing | Obstacle::MissingInMount => "spire-socket-missing",
        Obstacle::Stale => "socket-stale",
        Obstacle::Forbidden => "spire-socket-forbidden",
        Obstacle::Deserted | Obstacle::DesertedInMount => "spire-down",
        _ => "spire-socket-wrong",
    }
}

async fn ours(settings: &Settings, status: Option<&Status>, examination: &mut Examination) {
    let agent = settings.agent();
    let path = agent.socket.value.as_path();
    let shown = path.display().to_string();
    match see(path).await {
        Ok(met) => answers(met, &shown, status, examination).await,
        Err((Obstacle::Missing | Obstacle::Deserted, _)) => examination.problem(
            "agent-down",
            "no agent listens where proxies connect",
            &shown,
            "start the agent; its log, or its exit code, says why it ended. If it runs, its socket was \
             removed: restart it",
        ),
        Err((Obstacle::Forbidden, _)) => examination.warn(
            "agent-socket-forbidden",
            "this user may not connect to the agent's socket",
            &format!("{shown}, as uid {}", uid()),
            "run this as the proxy's user: if it is refused too, see socket-group and socket-mode",
        ),
        Err((Obstacle::NoSocket, said)) => examination.problem(
            "agent-socket-wrong",
            "where proxies connect, something else lies",
            &format!("{shown}: {said}"),
            "remove it, or choose another socket",
        ),
        Err((_, error)) => {
            examination.problem(
                "agent-socket-wrong",
                "the agent's socket cannot be used",
                &format!("{shown}: {error}"),
                "look at the socket, its directories and their mounts, and restart the agent",
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

/// Whether an agent that listens answers too: one that is stopped does the one and not the other.
async fn answers(met: Met, shown: &str, status: Option<&Status>, examination: &mut Examination) {
    // The agent knows its own socket from another's.
    if let Some(taken) = status.and_then(|status| taken(status, shown)) {
        let (seen, remedy) = taken;
        return examination.problem(
            "agent-socket-taken",
            "another process listens where proxies connect: not the agent that has the admin address",
            &seen,
            remedy,
        );
    }
    if met.hears_the_end().await {
        return examination.well(format!("the agent listens: {shown}"));
    }
    // Told of where the agent is.
    if status.is_some_and(|status| status.full_doors.iter().any(|full| full.door == UNIX_DOOR)) {
        return;
    }
    let within_s = HEARD_WITHIN.as_secs();
    let fix = match status {
        Some(_) => {
            "its status page answers, so its process is not stopped: its log says what became of this door; \
             restart the agent"
        }
        None => {
            "is its process stopped (state T in `ps`; `ss -xlp` says which it is)? kill -CONT it, or restart the \
             agent; if it runs, its log says whether every place of this door is taken"
        }
    };
    examination.problem(
        AGENT_SILENT,
        "the agent answers nobody who connects",
        &format!("{shown}: a connection was not noticed within {within_s} s"),
        fix,
    );
}

/// What the agent at the admin address says of who listens in its place, and what to do.
fn taken<'a>(status: &'a Status, shown: &str) -> Option<(String, &'a str)> {
    let process = &status.process;
    let lost = process.socket_lost.as_ref().filter(|lost| lost.taken)?;
    let (pid, error) = (process.pid, &lost.error);
    let seen = format!("{shown}: the socket of the agent with pid {pid} is {error}");
    Some((seen, &lost.remedy))
}

pub(super) fn uid() -> u32 {
    rustix::process::geteuid().as_raw()
}
