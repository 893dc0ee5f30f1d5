//! `/status` of the admin listener.

use std::net::SocketAddr;
use std::time::Duration;

use anyhow::{Context as _, bail};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

/// The listener is on this machine, on a thread of its own.
const PATIENCE: Duration = Duration::from_secs(5);

/// The largest status: it is bounded itself, far below.
const MAX_BYTES: u64 = 16 * 1024 * 1024;

/// The status as JSON.
pub(super) async fn status(address: SocketAddr) -> anyhow::Result<Vec<u8>> {
    match get(address, "/status").await? {
        (200, json) => Ok(json),
        (status, _) => bail!("the agent at {address} answers {status}"),
    }
}

/// Status code and body of a resource.
pub(crate) async fn get(address: SocketAddr, path: &str) -> anyhow::Result<(u16, Vec<u8>)> {
    let asked = tokio::time::timeout(PATIENCE, exchange(address, path)).await;
    let late = || format!("{address} did not answer within {} s", PATIENCE.as_secs());
    asked
        .with_context(late)?
        .with_context(|| format!("ask the agent at {address}"))
}

async fn exchange(address: SocketAddr, path: &str) -> anyhow::Result<(u16, Vec<u8>)> {
    let mut stream = TcpStream::connect(address).await?;
    // HTTP/1.0: the answer has no chunks, and ends with the connection. An agent that listens everywhere
    // is asked here, and knows itself by no name of everywhere.
    let host = match address.ip().is_unspecified() {
        true => format!("localhost:{}", address.port()),
        false => address.to_string(),
    };
    let request = format!("GET {path} HTTP/1.0\r\nHost: {host}\r\n\r\n");
    stream.write_all(request.as_bytes()).await?;
    let mut answer = Vec::new();
    stream.take(MAX_BYTES).read_to_end(&mut answer).await?;
    let end = answer.windows(4).position(|four| four == b"\r\n\r\n");
    let (head, body) = answer.split_at(end.context("what answers does not speak HTTP")?);
    let head = String::from_utf8_lossy(head);
    let code = head.split(' ').nth(1).and_then(|code| code.parse().ok());
    let code = code.context("what answers does not speak HTTP")?;
    Ok((code, body.get(4..).unwrap_or_default().to_vec()))
}
