//! Between somebody's agent and his SPIRE: carries bytes, and fails as SPIRE's process or socket would.

use std::io;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::unix::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::watch;
use tokio::task::JoinHandle;

use super::RunError;
use crate::scenario::action::Spire as Act;

/// Bytes carried at a time.
const BUFFER_BYTES: usize = 64 * 1024;

/// What the bytes of every connection may do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Gate {
    Open,
    /// Nothing moves, nothing closes.
    Frozen,
    Cut,
}

/// A socket that leads to another one.
pub(super) struct Relay {
    from: PathBuf,
    to: PathBuf,
    /// Of the connections made since the last cut.
    gate: watch::Sender<Gate>,
    accepting: Option<JoinHandle<()>>,
}

impl Relay {
    /// Listens on `from`, which must not exist, and carries to `to`.
    pub(super) fn start(from: &Path, to: &Path) -> io::Result<Self> {
        let mut relay = Self {
            from: from.to_owned(),
            to: to.to_owned(),
            gate: watch::Sender::new(Gate::Open),
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

    pub(super) fn act(&mut self, act: Act) -> Result<(), RunError> {
        match act {
            Act::Kill => self.end(),
            Act::Stop => {
                self.end();
                self.remove()?;
            }
            Act::Start | Act::SocketRecreated => {
                self.remove()?;
                self.listen()?;
            }
            Act::Freeze => self.turn(Gate::Frozen),
            Act::Thaw => self.turn(Gate::Open),
            Act::EndStreams => {
                self.end();
                self.remove()?;
                self.listen()?;
            }
            Act::SocketDeleted => self.remove()?,
            Act::SocketReplaced => {
                self.remove()?;
                std::fs::write(&self.from, b"not a socket\n")?;
            }
            Act::SocketForbidden => self.mode(0o000)?,
            Act::SocketAllowed => self.mode(0o777)?,
            other => {
                let why = format!("{other} cannot be done from between an agent and its SPIRE");
                return Err(RunError::Skipped(why));
            }
        }
        Ok(())
    }

    fn listen(&mut self) -> io::Result<()> {
        let listener = UnixListener::bind(&self.from)?;
        if let Some(old) = self.accepting.take() {
            old.abort();
        }
        if *self.gate.borrow() == Gate::Cut {
            self.gate = watch::Sender::new(Gate::Open);
        }
        let (to, gate) = (self.to.clone(), self.gate.subscribe());
        self.accepting = Some(tokio::spawn(accept(listener, to, gate)));
        Ok(())
    }

    /// Nothing listens, every connection is cut.
    fn end(&mut self) {
        self.turn(Gate::Cut);
        if let Some(old) = self.accepting.take() {
            old.abort();
        }
    }

    fn turn(&self, gate: Gate) {
        self.gate.send_replace(gate);
    }

    fn remove(&self) -> io::Result<()> {
        match std::fs::remove_file(&self.from) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
            _ => Ok(()),
        }
    }

    fn mode(&self, mode: u32) -> io::Result<()> {
        std::fs::set_permissions(&self.from, std::fs::Permissions::from_mode(mode))
    }
}

impl Drop for Relay {
    fn drop(&mut self) {
        self.end();
        // The directory may be gone already; nobody is left to tell.
        let _ = self.remove();
    }
}

async fn accept(listener: UnixListener, to: PathBuf, gate: watch::Receiver<Gate>) {
    while let Ok((near, _)) = listener.accept().await {
        let (to, gate) = (to.clone(), gate.clone());
        tokio::spawn(async move {
            // A SPIRE that is not there is one that hangs up.
            if let Ok(far) = UnixStream::connect(to).await {
                carry(near, far, gate).await;
            }
        });
    }
}

/// Both ways until one side ends or the gate is cut.
async fn carry(near: UnixStream, far: UnixStream, gate: watch::Receiver<Gate>) {
    let (near_read, near_write) = near.into_split();
    let (far_read, far_write) = far.into_split();
    let mut cut = gate.clone();
    tokio::select! {
        _ = pump(near_read, far_write, gate.clone()) => {}
        _ = pump(far_read, near_write, gate) => {}
        // The guard that `wait_for` returns must not outlive it.
        () = async { drop(cut.wait_for(|gate| *gate == Gate::Cut).await) } => {}
    }
}

async fn pump(
    mut from: OwnedReadHalf,
    mut to: OwnedWriteHalf,
    mut gate: watch::Receiver<Gate>,
) -> io::Result<()> {
    let mut buffer = vec![0; BUFFER_BYTES];
    loop {
        let read = from.read(&mut buffer).await?;
        // The relay's end is the gate's, and the connection's.
        let closed = gate.wait_for(|gate| *gate != Gate::Frozen).await.is_err();
        if read == 0 || closed {
            return Ok(());
        }
        to.write_all(buffer.get(..read).unwrap_or_default()).await?;
    }
}
