//! Between somebody's agent and his SPIRE: carries bytes, and fails as SPIRE's process or socket would.
//!
//! It counts who comes, by process, and what it cuts: an agent that is not here would pass everything,
//! and somebody else who is here proves nothing of it. And it takes away only what it made itself, or a
//! tool that was killed left: the path may be a production socket's by then.

use std::collections::HashMap;
use std::io;
use std::os::unix::fs::{FileTypeExt as _, MetadataExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use rustix::process::Pid;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::unix::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::watch;
use tokio::task::JoinHandle;

use super::RunError;
use super::files::FileId;
use crate::scenario::action::Spire as Act;
use door::Door;

mod door;

/// Bytes carried at a time.
const BUFFER_BYTES: usize = 64 * 1024;
/// The agent may run as anybody: who is let in is the door's to say.
const SOCKET_MODE: u32 = 0o666;
const FLAG: &str = "--relay";
/// Processes that are told apart; who comes after so many others is not counted.
const PROCESSES_MAX: usize = 1024;

/// What the bytes of every connection may do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Gate {
    Open,
    /// Nothing moves, nothing closes.
    Frozen,
}

/// Who is here, and was, by process; `None` are those that have no number here.
type Arrivals = HashMap<Option<Pid>, Traffic>;

/// The process at the other end of a socket. One in another pid namespace has no number here.
pub(super) fn process_behind(stream: &UnixStream) -> Option<Pid> {
    Pid::from_raw(stream.peer_cred().ok()?.pid()?)
}

/// What came from a process, or from several.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Traffic {
    /// Connections on which SPIRE has said something.
    pub(super) carried: u64,
    /// Those of them that are open.
    pub(super) open: u64,
    /// Whether one of them came from root.
    pub(super) by_root: bool,
}

impl Traffic {
    /// That of a process; of everybody, if it has no number here. Who has one at its own socket has the same
    /// one at ours: whoever comes without is somebody else.
    fn of(arrivals: &Arrivals, process: Option<Pid>) -> Self {
        let may_be = |other: &Option<Pid>| process.is_none() || *other == process;
        let theirs = arrivals.iter().filter(|(other, _)| may_be(other));
        theirs.fold(Self::default(), |sum, (_, one)| Self {
            carried: sum.carried + one.carried,
            open: sum.open + one.open,
            by_root: sum.by_root || one.by_root,
        })
    }
}

/// A socket that leads to another one.
pub(super) struct Relay {
    from: PathBuf,
    to: PathBuf,
    /// What lies at `from`, as far as we put it there.
    ours: Option<FileId>,
    gate: watch::Sender<Gate>,
    /// Every change ends the connections that are there.
    cuts: watch::Sender<u64>,
    arrivals: Arc<watch::Sender<Arrivals>>,
    door: Arc<Door>,
    accepting: Option<JoinHandle<()>>,
}

impl Relay {
    /// Listens on `from`, where nobody may, and carries to `to`; lets in the user of the agent that
    /// listens on `agent`, our own and root.
    pub(super) fn start(from: &Path, to: &Path, agent: &Path) -> Result<Self, RunError> {
        Self::behind(Door::of(agent), from, to)
    }

    fn behind(door: Door, from: &Path, to: &Path) -> Result<Self, RunError> {
        free(from)?;
        let mut relay = Self {
            from: from.to_owned(),
            to: to.to_owned(),
            ours: None,
            gate: watch::Sender::new(Gate::Open),
            cuts: watch::Sender::new(0),
            arrivals: Arc::default(),
            door: Arc::new(door),
            accepting: None,
        };
        relay.listen()?;
        Ok(relay)
    }

    /// Whether this can be done from in between.
    pub(super) const fn can(act: Act) -> bool {
        matches!(
            act,
            Act::Stop
                | Act::Kill
                | Act::Start
                | Act::Freeze
                | Act::Thaw
                | Act::EndStreams
                | Act::SocketDeleted
                | Act::SocketReplaced
                | Act::SocketRecreated
                | Act::SocketForbidden
                | Act::SocketAllowed
        )
    }

    /// Whether this is felt by the connections that are there, and by nobody if there are none.
    pub(super) const fn strikes(act: Act) -> bool {
        matches!(act, Act::Stop | Act::Kill | Act::Freeze | Act::EndStreams)
    }

    /// Whether this ends the connections that are there.
    pub(super) const fn cuts(act: Act) -> bool {
        matches!(act, Act::Stop | Act::Kill | Act::EndStreams)
    }

    pub(super) async fn act(&mut self, act: Act) -> Result<(), RunError> {
        match act {
            Act::Kill => self.end().await,
            Act::Stop => {
                self.end().await;
                self.remove()?;
            }
            Act::Start | Act::SocketRecreated => {
                self.remove()?;
                self.listen()?;
            }
            Act::Freeze => self.turn(Gate::Frozen),
            Act::Thaw => self.turn(Gate::Open),
            Act::EndStreams => self.cut(),
            Act::SocketDeleted => self.remove()?,
            Act::SocketReplaced => self.replace()?,
            Act::SocketForbidden => self.mode(0o000)?,
            Act::SocketAllowed => self.mode(SOCKET_MODE)?,
            other => {
                let why = format!("{other} cannot be done from between an agent and its SPIRE");
                return Err(RunError::Skipped(why));
            }
        }
        Ok(())
    }

    /// What came from a process; from whomever, if its number is not known.
    pub(super) fn traffic(&self, of: Option<Pid>) -> Traffic {
        Traffic::of(&self.arrivals.borrow(), of)
    }

    /// Whether SPIRE answers that process through the relay within this time.
    pub(super) async fn carries(&self, whom: Option<Pid>, within: Duration) -> bool {
        let mut arrivals = self.arrivals.subscribe();
        let carries = arrivals.wait_for(|arrivals| Traffic::of(arrivals, whom).open > 0);
        matches!(tokio::time::timeout(within, carries).await, Ok(Ok(_)))
    }

    /// A user who came and was not let in, the last one.
    pub(super) fn refused_uid(&self) -> Option<u32> {
        self.door.refused()
    }

    fn listen(&mut self) -> Result<(), RunError> {
        let listener = UnixListener::bind(&self.from).map_err(|error| match error.kind() {
            io::ErrorKind::AddrInUse => self.fail("somebody put something else there meanwhile"),
            _ => self.fail(format!("cannot listen there: {error}")),
        })?;
        self.ours = FileId::at(&self.from);
        if let Some(old) = self.accepting.take() {
            old.abort();
        }
        self.turn(Gate::Open);
        let way = Way {
            to: self.to.clone(),
            gate: self.gate.subscribe(),
            cuts: self.cuts.clone(),
            arrivals: Arc::clone(&self.arrivals),
            door: Arc::clone(&self.door),
        };
        self.accepting = Some(tokio::spawn(accept(listener, way)));
        self.mode(SOCKET_MODE)
    }

    /// Nothing listens, every connection is cut.
    async fn end(&mut self) {
        if let Some(old) = self.accepting.take() {
            old.abort();
            // Its error says that it was aborted; nobody is accepted after that and missed by the cut.
            let _aborted = old.await;
        }
        self.cut();
        self.turn(Gate::Open);
    }

    fn cut(&self) {
        self.cuts.send_modify(|cuts| *cuts += 1);
    }

    fn turn(&self, gate: Gate) {
        self.gate.send_replace(gate);
    }

    /// Takes away what we put there. What is somebody else's by now stays.
    fn remove(&mut self) -> Result<(), RunError> {
        let ours = self.ours.take();
        if ours.is_none() || FileId::at(&self.from) != ours {
            return Ok(());
        }
        let removed = std::fs::remove_file(&self.from);
        removed.map_err(|error| self.fail(format!("cannot remove our socket: {error}")))
    }

    fn replace(&mut self) -> Result<(), RunError> {
        self.remove()?;
        let file = std::fs::File::create_new(&self.from);
        file.map_err(|error| self.fail(format!("cannot put a plain file there: {error}")))?;
        self.ours = FileId::at(&self.from);
        Ok(())
    }

    fn mode(&self, mode: u32) -> Result<(), RunError> {
        if self.ours.is_none() || FileId::at(&self.from) != self.ours {
            return Err(self.fail("what lies there is not ours any more"));
        }
        let set = std::fs::set_permissions(&self.from, std::fs::Permissions::from_mode(mode));
        set.map_err(|error| self.fail(format!("cannot set its mode: {error}")))
    }

    fn fail(&self, why: impl Into<String>) -> RunError {
        RunError::flag(FLAG, &self.from, why)
    }
}

impl Drop for Relay {
    fn drop(&mut self) {
        if let Some(old) = self.accepting.take() {
            old.abort();
        }
        self.cut();
        // The directory may be gone already; nobody is left to tell.
        let _ = self.remove();
    }
}

/// A path is free, or it is said what lies there and what to do. What a tool that was killed has left, a
/// socket of our own user on which nobody listens, is taken away.
fn free(path: &Path) -> Result<(), RunError> {
    let fail = |why: &str| Err(RunError::flag(FLAG, path, why));
    let Ok(there) = std::fs::symlink_metadata(path) else {
        return Ok(());
    };
    if !there.file_type().is_socket() {
        return fail("a file lies there, and the relay makes its own socket: name another path");
    }
    let is_ours = there.uid() == rustix::process::geteuid().as_raw();
    match std::os::unix::net::UnixStream::connect(path) {
        Err(error) if error.kind() == io::ErrorKind::ConnectionRefused && is_ours => {
            let removed = std::fs::remove_file(path);
            removed.map_err(|error| {
                let why = format!("cannot remove the socket on which nobody listens: {error}");
                RunError::flag(FLAG, path, why)
            })
        }
        Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => fail(
            "a socket of another user lies there on which nobody listens: remove it, or name another path",
        ),
        _ => fail("a socket lies there, and it is not ours: name a path that does not exist yet"),
    }
}

/// Where connections lead, and what may happen to them.
#[derive(Clone)]
struct Way {
    to: PathBuf,
    gate: watch::Receiver<Gate>,
    cuts: watch::Sender<u64>,
    arrivals: Arc<watch::Sender<Arrivals>>,
    door: Arc<Door>,
}

async fn accept(listener: UnixListener, way: Way) {
    while let Ok((near, _)) = listener.accept().await {
        // Nothing is awaited in between: the next cut is one for this connection.
        let cuts = way.cuts.subscribe();
        if !way.door.admits(&near).await {
            continue;
        }
        let way = way.clone();
        tokio::spawn(async move {
            // A SPIRE that is not there is one that hangs up.
            if let Ok(far) = UnixStream::connect(&way.to).await {
                carry(near, far, way, cuts).await;
            }
        });
    }
}

/// Both ways until one side ends or the connection is cut.
async fn carry(near: UnixStream, far: UnixStream, way: Way, mut cuts: watch::Receiver<u64>) {
    let is_root = near.peer_cred().is_ok_and(|peer| peer.uid() == 0);
    let process = process_behind(&near);
    let (near_read, near_write) = near.into_split();
    let (far_read, far_write) = far.into_split();
    let mut open = Open {
        process,
        is_root,
        is_counted: false,
        arrivals: Arc::clone(&way.arrivals),
    };
    tokio::select! {
        // A gate that opens after the cut lets nothing through.
        biased;
        _ = cuts.changed() => {}
        _ = pump(near_read, far_write, way.gate.clone(), || {}) => {}
        _ = pump(far_read, near_write, way.gate, || open.count()) => {}
    }
}

/// A connection that counts once SPIRE has spoken on it, until it ends.
struct Open {
    process: Option<Pid>,
    is_root: bool,
    is_counted: bool,
    arrivals: Arc<watch::Sender<Arrivals>>,
}

impl Open {
    fn count(&mut self) {
        if self.is_counted {
            return;
        }
        self.is_counted = self.arrivals.send_if_modified(|arrivals| {
            if arrivals.len() >= PROCESSES_MAX && !arrivals.contains_key(&self.process) {
                return false;
            }
            let traffic = arrivals.entry(self.process).or_default();
            traffic.carried += 1;
            traffic.open += 1;
            traffic.by_root |= self.is_root;
            true
        });
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        if self.is_counted {
            self.arrivals.send_modify(|arrivals| {
                let traffic = arrivals.entry(self.process).or_default();
                traffic.open = traffic.open.saturating_sub(1);
            });
        }
    }
}

async fn pump(
    mut from: OwnedReadHalf,
    mut to: OwnedWriteHalf,
    mut gate: watch::Receiver<Gate>,
    mut passed: impl FnMut(),
) -> io::Result<()> {
    let mut buffer = vec![0; BUFFER_BYTES];
    loop {
        let read = from.read(&mut buffer).await?;
        // The relay's end is the gate's, and the connection's.
        let closed = gate.wait_for(|gate| *gate == Gate::Open).await.is_err();
        if read == 0 || closed {
            return Ok(());
        }
        to.write_all(buffer.get(..read).unwrap_or_default()).await?;
        passed();
    }
}

#[cfg(test)]
mod tests;
