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

/// How often a busy agent is asked, once it is there.
const ASKED_MAX: u32 = 4;

/// Longest pause between, whatever `retry-after` asks for: somebody waits.
const PAUSE_MAX: Duration = Duration::from_secs(1);

/// What came back.
struct Answer {
    status: u16,
    body: Vec<u8>,
    /// It would answer later: others ask too.
    retry_after: Option<Duration>,
}

/// The status as JSON.
pub(super) async fn status(address: SocketAddr) -> anyhow::Result<Vec<u8>> {
    page(address, get(address, "/status").await?)
}

/// The same, asked once: who asks again anyway need not wait here.
pub(super) async fn status_now(address: SocketAddr) -> anyhow::Result<Vec<u8>> {
    let answer = once(address, "/status").await?;
    page(address, (answer.status, answer.body))
}

fn page(address: SocketAddr, answer: (u16, Vec<u8>)) -> anyhow::Result<Vec<u8>> {
    match answer {
        (200, json) => Ok(json),
        (503, _) => bail!(
            "the agent at {address} answers 503: it is busy with others who ask for its pages; ask again \
             (/healthz is answered at once, whoever else asks)"
        ),
        (status, _) => bail!("the agent at {address} answers {status}"),
    }
}

/// Status code and body of a resource; who is busy is asked again, a bounded number of times.
pub(crate) async fn get(address: SocketAddr, path: &str) -> anyhow::Result<(u16, Vec<u8>)> {
    for _ in 1..ASKED_MAX {
        let answer = once(address, path).await?;
        match answer.retry_after {
            Some(pause) => tokio::time::sleep(pause.min(PAUSE_MAX)).await,
            None => return Ok((answer.status, answer.body)),
        }
    }
    let last = once(address, path).await?;
    Ok((last.status, last.body))
}

/// What an agent's `/healthz` says.
pub(crate) enum Health {
    Well,
    /// What fails, on one line.
    Failing(String),
}

/// Probes are answered at once, whoever else asks. `None` where no agent answers.
pub(crate) async fn health(address: SocketAddr) -> Option<Health> {
    let answer = once(address, "/healthz").await.ok()?;
    let said = one_line(&answer.body);
    match answer.status {
        200 if said == "ok" => Some(Health::Well),
        503 if said.ends_with("healthz check failed") => Some(Health::Failing(said)),
        _ => None,
    }
}

/// Longest text of a stranger that is passed on, bytes.
const SAID_MAX_BYTES: usize = 2_000;

/// What is said on several lines, for where there is one.
pub(crate) fn one_line(body: &[u8]) -> String {
    let said = String::from_utf8_lossy(body.get(..SAID_MAX_BYTES).unwrap_or(body));
    said.lines().collect::<Vec<_>>().join("; ")
}

async fn once(address: SocketAddr, path: &str) -> anyhow::Result<Answer> {
    let asked = tokio::time::timeout(PATIENCE, exchange(address, path)).await;
    let late = || format!("{address} did not answer within {} s", PATIENCE.as_secs());
    asked
        .with_context(late)?
        .with_context(|| format!("ask the agent at {address}"))
}

async fn exchange(address: SocketAddr, path: &str) -> anyhow::Result<Answer> {
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
    let status = code.context("what answers does not speak HTTP")?;
    Ok(Answer {
        status,
        body: body.get(4..).unwrap_or_default().to_vec(),
        retry_after: retry_after(&head).filter(|_| status == 503),
    })
}

/// Of a response's head (RFC 9110, 10.2.3); a date there is none of ours.
fn retry_after(head: &str) -> Option<Duration> {
    let mut fields = head.lines().filter_map(|line| line.split_once(':'));
    let (_, value) = fields.find(|(name, _)| name.eq_ignore_ascii_case("retry-after"))?;
    value.trim().parse().ok().map(Duration::from_secs)
}

#[cfg(test)]
mod tests {
    #![allow(
        clippy::unwrap_used,
        clippy::indexing_slicing,
        reason = "a test may panic"
    )]

    use tokio::net::TcpListener;

    use super::*;

    const BUSY: &str = "HTTP/1.0 503 Busy\r\nRetry-After: 0\r\n\r\nbusy\n";

    /// Somebody who gives these answers, one after the other, and the last of them for ever.
    async fn answering(mut answers: Vec<&'static str>) -> SocketAddr {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        tokio::spawn(async move {
            while let Ok((mut stream, _)) = listener.accept().await {
                let mut asked = Vec::new();
                while !asked.ends_with(b"\r\n\r\n") {
                    stream.read_buf(&mut asked).await.unwrap();
                }
                let answer = match answers.len() {
                    1 => answers[0],
                    _ => answers.remove(0),
                };
                stream.write_all(answer.as_bytes()).await.unwrap();
            }
        });
        address
    }

    #[tokio::test]
    async fn who_only_answers_503_is_no_agent() {
        let busy = answering(vec!["HTTP/1.0 503 Busy\r\n\r\nno upstream\n"]).await;
        assert!(health(busy).await.is_none());
        let no = "HTTP/1.0 503 No\r\n\r\n[-]audit no\nhealthz check failed\n";
        let failing = answering(vec![no]).await;
        assert!(
            matches!(health(failing).await, Some(Health::Failing(said)) if said.starts_with("[-]audit"))
        );
    }

    #[tokio::test]
    async fn a_busy_agent_is_asked_again_and_not_for_ever() {
        let well = "HTTP/1.0 200 OK\r\n\r\n{}";
        let later = answering(vec![BUSY, BUSY, BUSY, well]).await;
        assert_eq!(status(later).await.unwrap(), b"{}");
        let busy = answering(vec![BUSY]).await;
        let error = status(busy).await.unwrap_err().to_string();
        assert!(
            error.contains("busy") && error.contains("ask again"),
            "{error}"
        );
        // Who draws again and again does not wait.
        let first = answering(vec![BUSY, well]).await;
        assert!(status_now(first).await.is_err());
        // A probe that fails is an answer: nothing says that another comes.
        let no = "HTTP/1.0 503 No\r\n\r\n[-]audit no\nfailed\n";
        let failing = answering(vec![no, well]).await;
        let expected = (503, b"[-]audit no\nfailed\n".to_vec());
        assert_eq!(get(failing, "/readyz").await.unwrap(), expected);
    }
}
