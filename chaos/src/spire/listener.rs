//! The process side: socket, connections, stopping and freezing.

use std::io;
use std::os::unix::fs::FileTypeExt;
use std::path::Path;
use std::pin::Pin;
use std::sync::{Arc, MutexGuard, PoisonError};
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio_stream::wrappers::{UnixListenerStream, WatchStream};
use tokio_stream::{Stream, StreamExt as _};
use tonic::transport::Server;
use tonic::transport::server::Connected;

use super::SpireError;
use super::fault::SocketFile;
use super::front::Front;
use super::shared::Shared;

/// Whether the server lives.
#[derive(Debug)]
pub(super) enum Life {
    Stopped,
    Running(Running),
    /// The owner is gone: never again.
    Dropped,
}

#[derive(Debug)]
pub(super) struct Running {
    accepting: JoinHandle<()>,
    gate: watch::Sender<Gate>,
}

/// What the bytes of every connection may do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Gate {
    Open,
    /// As after SIGSTOP: accepted by the system, read and answered by nobody.
    Frozen,
    Cut,
}

pub(super) fn start(shared: &Arc<Shared>) -> Result<(), SpireError> {
    let mut life = lock_life(shared);
    match &*life {
        Life::Running(_) => {
            return Err(SpireError::AlreadyRunning {
                path: shared.path_text(),
            });
        }
        Life::Dropped => {
            return Err(SpireError::Dropped {
                path: shared.path_text(),
            });
        }
        Life::Stopped => {}
    }
    let gate = watch::Sender::new(Gate::Open);
    let accepting = accept(shared, &gate)?;
    *life = Life::Running(Running { accepting, gate });
    Ok(())
}

/// Returns once nothing listens and every connection is cut.
pub(super) async fn stop(shared: &Arc<Shared>, file: SocketFile) -> Result<(), SpireError> {
    let running = take_running(shared)?;
    running.gate.send_replace(Gate::Cut);
    running.accepting.abort();
    // The error says that it was aborted, which is what was asked.
    let _aborted = running.accepting.await;
    let mut connections = shared.connections.subscribe();
    super::handle::reach(&mut connections, "no connection to be left", |count| {
        count == 0
    })
    .await?;
    // The library ends a stream a moment after its connection.
    let mut subscribers = shared.subscribers.subscribe();
    super::handle::reach(&mut subscribers, "no stream to be left", |count| count == 0).await?;
    match file {
        SocketFile::Left => Ok(()),
        SocketFile::Removed => remove(shared),
    }
}

/// A new socket at the path; connections made through the old one live on.
pub(super) async fn recreate(shared: &Arc<Shared>) -> Result<(), SpireError> {
    let old = {
        let mut life = lock_life(shared);
        let Life::Running(running) = &mut *life else {
            return Err(SpireError::NotRunning {
                path: shared.path_text(),
            });
        };
        let fresh = accept(shared, &running.gate)?;
        std::mem::replace(&mut running.accepting, fresh)
    };
    old.abort();
    let _aborted = old.await;
    Ok(())
}

pub(super) fn set_gate(shared: &Shared, gate: Gate) -> Result<(), SpireError> {
    match &*lock_life(shared) {
        Life::Running(running) => {
            running.gate.send_replace(gate);
            Ok(())
        }
        Life::Stopped | Life::Dropped => Err(SpireError::NotRunning {
            path: shared.path_text(),
        }),
    }
}

/// For the owner's end: cannot wait, so tasks finish when the runtime next turns.
pub(super) fn end(shared: &Shared) {
    let life = std::mem::replace(&mut *lock_life(shared), Life::Dropped);
    if let Life::Running(running) = life {
        running.gate.send_replace(Gate::Cut);
        running.accepting.abort();
        // The directory may be gone already; nobody is left to tell.
        let _best_effort = remove(shared);
    }
}

pub(super) fn remove(shared: &Shared) -> Result<(), SpireError> {
    match std::fs::remove_file(&shared.path) {
        Err(source) if source.kind() != io::ErrorKind::NotFound => {
            Err(socket_error("remove", shared, source))
        }
        _ => Ok(()),
    }
}

pub(super) fn socket_error(action: &'static str, shared: &Shared, source: io::Error) -> SpireError {
    SpireError::Socket {
        action,
        path: shared.path_text(),
        source,
    }
}

fn take_running(shared: &Shared) -> Result<Running, SpireError> {
    let mut life = lock_life(shared);
    match std::mem::replace(&mut *life, Life::Stopped) {
        Life::Running(running) => Ok(running),
        other => {
            *life = other;
            Err(SpireError::NotRunning {
                path: shared.path_text(),
            })
        }
    }
}

fn accept(shared: &Arc<Shared>, gate: &watch::Sender<Gate>) -> Result<JoinHandle<()>, SpireError> {
    let listener =
        bind(&shared.path).map_err(|source| socket_error("listen on", shared, source))?;
    let (gate, connections) = (gate.clone(), shared.connections.clone());
    let incoming = UnixListenerStream::new(listener)
        .map(move |accepted| accepted.map(|stream| Connection::new(stream, &gate, &connections)));
    let router = Server::builder().add_service(Front::new(shared));
    Ok(tokio::spawn(async move {
        // An accept error ends this listener; clients then see what they see of a dead SPIRE.
        let _ended = router.serve_with_incoming(incoming).await;
    }))
}

/// Replaces a socket that another run left, as a SPIRE agent does; nothing else.
fn bind(path: &Path) -> io::Result<UnixListener> {
    if std::fs::symlink_metadata(path).is_ok_and(|file| file.file_type().is_socket()) {
        std::fs::remove_file(path)?;
    }
    UnixListener::bind(path)
}

fn lock_life(shared: &Shared) -> MutexGuard<'_, Life> {
    // Nothing under this lock can panic half-way.
    shared.life.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A connection whose bytes a gate can stop or cut.
struct Connection {
    stream: UnixStream,
    gate: Gate,
    changes: WatchStream<Gate>,
    connections: watch::Sender<u64>,
}

impl Connection {
    fn new(
        stream: UnixStream,
        gate: &watch::Sender<Gate>,
        connections: &watch::Sender<u64>,
    ) -> Self {
        connections.send_modify(|count| *count += 1);
        // The stream's first item is the gate as it stands.
        let changes = WatchStream::new(gate.subscribe());
        Self {
            stream,
            gate: Gate::Open,
            changes,
            connections: connections.clone(),
        }
    }

    /// Ready when bytes may flow. Pending wakes at the next change.
    fn poll_gate(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        loop {
            match Pin::new(&mut self.changes).poll_next(cx) {
                Poll::Ready(Some(gate)) => self.gate = gate,
                // The server's end is the connection's end.
                Poll::Ready(None) => {
                    self.gate = Gate::Cut;
                    break;
                }
                Poll::Pending => break,
            }
        }
        match self.gate {
            Gate::Open => Poll::Ready(Ok(())),
            Gate::Frozen => Poll::Pending,
            Gate::Cut => Poll::Ready(Err(io::Error::from(io::ErrorKind::ConnectionReset))),
        }
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        self.connections
            .send_modify(|count| *count = count.saturating_sub(1));
    }
}

impl Connected for Connection {
    type ConnectInfo = ();

    fn connect_info(&self) {}
}

impl AsyncRead for Connection {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        ready!(self.poll_gate(cx))?;
        Pin::new(&mut self.stream).poll_read(cx, buf)
    }
}

impl AsyncWrite for Connection {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        ready!(self.poll_gate(cx))?;
        Pin::new(&mut self.stream).poll_write(cx, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(self.poll_gate(cx))?;
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}
