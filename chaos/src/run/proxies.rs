//! Proxies that behave badly, beside the load.

use std::path::PathBuf;
use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::UnixStream;
use tokio::task::JoinSet;

use crate::client::{Client, Hello, Request};
use crate::scenario::action::Misbehaviour;

/// Requests that one who never reads writes at a time.
const BATCH: usize = 64;
/// A connection that is refused a place is tried again.
const RETRY_AFTER: Duration = Duration::from_millis(50);

/// Misbehaves until it is dropped.
pub(super) struct BadProxies {
    socket: PathBuf,
    running: JoinSet<()>,
}

impl BadProxies {
    pub(super) fn new(socket: PathBuf) -> Self {
        Self {
            socket,
            running: JoinSet::new(),
        }
    }

    /// Begins; `request` is what they ask where they ask something.
    pub(super) fn begin(&mut self, what: Misbehaviour, count: u64, request: &Request) {
        let (socket, request) = (self.socket.clone(), request.clone());
        match what {
            Misbehaviour::DisconnectMidFrame => {
                self.running.spawn(disconnect(socket, request, count));
            }
            Misbehaviour::Flood => {
                self.running.spawn(flood(socket, request, count));
            }
            Misbehaviour::NeverReads => {
                for _ in 0..count {
                    self.running
                        .spawn(never_read(socket.clone(), request.clone()));
                }
            }
            Misbehaviour::Connections => {
                for _ in 0..count {
                    self.running.spawn(keep_still(socket.clone()));
                }
            }
        }
    }
}

/// A connection after the handshake's frame was written.
async fn shaken(socket: &PathBuf) -> Option<UnixStream> {
    let mut stream = UnixStream::connect(socket).await.ok()?;
    let hello = Hello::default().frame().encode()?;
    stream.write_all(&hello).await.ok()?;
    Some(stream)
}

async fn disconnect(socket: PathBuf, request: Request, count: u64) {
    let Some(frame) = request.frame("half").encode() else {
        return;
    };
    for _ in 0..count {
        if let Some(mut stream) = shaken(&socket).await {
            let half = frame.get(..frame.len() / 2).unwrap_or_default();
            // The agent may be down: that is its affair, and judged elsewhere.
            let _ = stream.write_all(half).await;
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

async fn never_read(socket: PathBuf, request: Request) {
    loop {
        if let Some(mut stream) = shaken(&socket).await {
            let frames: Vec<u8> = (0..BATCH)
                .filter_map(|n| request.frame(&format!("unread-{n}")).encode())
                .flatten()
                .collect();
            while stream.write_all(&frames).await.is_ok() {}
        }
        tokio::time::sleep(RETRY_AFTER).await;
    }
}

async fn flood(socket: PathBuf, request: Request, count: u64) {
    let Some(stream) = shaken(&socket).await else {
        return;
    };
    let (mut reading, mut writing) = stream.into_split();
    let reader = tokio::spawn(async move {
        let mut buffer = vec![0; 64 * 1024];
        while reading.read(&mut buffer).await.is_ok_and(|read| read > 0) {}
    });
    for n in 0..count {
        let Some(frame) = request.frame(&format!("flood-{n}")).encode() else {
            break;
        };
        if writing.write_all(&frame).await.is_err() {
            break;
        }
    }
    drop(writing);
    // It ends with the connection.
    let _ = reader.await;
}

async fn keep_still(socket: PathBuf) {
    loop {
        if let Ok(client) = Client::connect(&socket, Hello::default()).await {
            // Says how it ended; whatever it was, another takes its place.
            while client.closed().await.is_err() {}
        }
        tokio::time::sleep(RETRY_AFTER).await;
    }
}
