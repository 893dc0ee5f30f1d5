//! The proxy's side of the agent protocol, version 2 over a Unix socket.
//!
//! Written from the description of what the real proxies send and accept, and from nothing of ours:
//! a mistake in the agent's own encoder must not be cancelled out by the same mistake here.
//! Requests may be pipelined: send many, then await the answers by id in any order.

mod answer;
mod error;
mod frame;
mod inbox;
mod request;

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use serde_json::{Value, json};
use tokio::io::AsyncWriteExt as _;
use tokio::net::UnixStream;
use tokio::net::unix::OwnedWriteHalf;
use tokio::sync::Mutex;
use tokio::task::JoinHandle;

pub use answer::{Answer, Decision, HeaderOp};
pub use error::ClientError;
pub use frame::{Frame, MAX_FRAME_BYTES, kind};
pub use request::{Headers, Hello, Request};

use inbox::Inbox;

/// How long every await may take unless [`Client::with_timeout`] says otherwise: the real proxy's
/// limit for a handshake.
pub const DEFAULT_TIMEOUT: Duration = Duration::from_secs(5);

/// One connection to an agent.
#[derive(Debug)]
pub struct Client {
    writer: Mutex<OwnedWriteHalf>,
    inbox: Arc<Inbox>,
    reader: JoinHandle<()>,
    timeout: Duration,
    next_number: AtomicU64,
}

impl Client {
    /// Connects and shakes hands.
    ///
    /// # Errors
    /// When nobody listens, or the agent refuses, is silent, or breaks the protocol.
    pub async fn connect(path: impl AsRef<Path>, hello: Hello) -> Result<Self, ClientError> {
        let client = Self::dial(path).await?;
        client.handshake(hello).await?;
        Ok(client)
    }

    /// Connects and says nothing yet.
    ///
    /// # Errors
    /// When nobody listens.
    pub async fn dial(path: impl AsRef<Path>) -> Result<Self, ClientError> {
        let path = path.as_ref();
        let stream = UnixStream::connect(path)
            .await
            .map_err(|source| ClientError::Connect {
                path: path.display().to_string(),
                source,
            })?;
        let (reading, writing) = stream.into_split();
        let inbox = Arc::new(Inbox::default());
        let reader = tokio::spawn(inbox::read_all(reading, Arc::clone(&inbox)));
        let (writer, next_number) = (Mutex::new(writing), AtomicU64::new(1));
        Ok(Self {
            writer,
            inbox,
            reader,
            timeout: DEFAULT_TIMEOUT,
            next_number,
        })
    }

    /// Another limit for every await.
    #[must_use]
    pub fn with_timeout(mut self, timeout: Duration) -> Self {
        self.timeout = timeout;
        self
    }

    /// Sends the handshake and returns the agent's whole answer.
    ///
    /// # Errors
    /// When the agent refuses, is silent, or leaves out what a proxy requires.
    pub async fn handshake(&self, hello: Hello) -> Result<Value, ClientError> {
        self.send_json(kind::HANDSHAKE_REQUEST, &hello.to_json(), "the handshake")
            .await?;
        let answer = self
            .within("the handshake's answer", self.inbox.handshake())
            .await?;
        answer::check_handshake(&answer)?;
        Ok(answer)
    }

    /// Sends a request without waiting; returns its id.
    ///
    /// # Errors
    /// When the connection is gone or the request is too long.
    pub async fn send(&self, request: &Request) -> Result<String, ClientError> {
        let id = request.id.clone().unwrap_or_else(|| self.fresh_id());
        self.send_json(kind::REQUEST_HEADERS, &request.to_json(&id), "the request")
            .await?;
        Ok(id)
    }

    /// Waits for the answer to this id; each answer is given out once.
    ///
    /// # Errors
    /// When it does not come, or no proxy would understand it.
    pub async fn answer(&self, id: &str) -> Result<Answer, ClientError> {
        let what = format!("the answer to {id}");
        let answer = self.within(&what, self.inbox.answer(id)).await?;
        Answer::parse(answer)
    }

    /// Sends a request and waits for its answer.
    ///
    /// # Errors
    /// As [`Client::send`] and [`Client::answer`].
    pub async fn ask(&self, request: &Request) -> Result<Answer, ClientError> {
        let id = self.send(request).await?;
        self.answer(&id).await
    }

    /// Pushes a configuration as the proxy does; allow means accepted.
    ///
    /// # Errors
    /// As [`Client::answer`].
    pub async fn configure(&self, config: &Value) -> Result<Answer, ClientError> {
        let id = format!("configure-{}", self.fresh_id());
        let event = json!({"config": config, "config_version": null, "correlation_id": id});
        self.send_json(kind::CONFIGURE, &event, "the configuration")
            .await?;
        self.answer(&id).await
    }

    /// Pings, and checks that the pong repeats the payload.
    ///
    /// # Errors
    /// When no pong comes, or another one.
    pub async fn ping(&self) -> Result<(), ClientError> {
        let ping = json!({"sequence": self.next_number.fetch_add(1, Ordering::Relaxed), "timestamp_ms": 0});
        self.send_json(kind::PING, &ping, "the ping").await?;
        let pong = self.within("the pong", self.inbox.pong()).await?;
        if pong == ping {
            return Ok(());
        }
        Err(ClientError::Protocol {
            what: format!("pong {pong} does not repeat ping {ping}"),
        })
    }

    /// Cancels a request, as the proxy does when its client went away (reason 0).
    ///
    /// # Errors
    /// When the connection is gone.
    pub async fn cancel(&self, id: &str) -> Result<(), ClientError> {
        let event = json!({"correlation_id": id, "reason": 0, "timestamp_ms": 0});
        self.send_json(kind::CANCEL, &event, "the cancellation")
            .await
    }

    /// The next message of the agent's own accord of this kind ([`kind::METRICS_REPORT`],
    /// [`kind::HEALTH_STATUS`]…).
    ///
    /// # Errors
    /// When none comes.
    pub async fn control(&self, kind: u8) -> Result<Value, ClientError> {
        self.within(
            &format!("a message of type {kind:#04x}"),
            self.inbox.control(kind),
        )
        .await
    }

    /// Sends any frame, right or wrong.
    ///
    /// # Errors
    /// When the connection is gone or the frame is too long.
    pub async fn send_frame(&self, frame: &Frame) -> Result<(), ClientError> {
        let what = format!("a frame of type {:#04x}", frame.kind);
        let bytes = frame.encode().ok_or_else(|| ClientError::TooLong {
            what: what.clone(),
            bytes: frame.payload.len(),
        })?;
        self.send_bytes(&bytes, &what).await
    }

    /// Sends bytes that need not be a frame.
    ///
    /// # Errors
    /// When the connection is gone.
    pub async fn send_bytes(&self, bytes: &[u8], what: &str) -> Result<(), ClientError> {
        let mut writer = self
            .within(what, async { Ok(self.writer.lock().await) })
            .await?;
        self.within(what, async {
            let sent = writer.write_all(bytes).await;
            sent.map_err(|source| ClientError::Send {
                what: what.to_owned(),
                source,
            })
        })
        .await
    }

    /// Ends our half: the agent reads the end of the connection, and may still answer.
    ///
    /// # Errors
    /// When the connection is gone.
    pub async fn finish_sending(&self) -> Result<(), ClientError> {
        let shut = self.writer.lock().await.shutdown().await;
        shut.map_err(|source| ClientError::Send {
            what: "the end".to_owned(),
            source,
        })
    }

    /// Waits until the agent has closed the connection and says how.
    ///
    /// # Errors
    /// When it does not.
    pub async fn closed(&self) -> Result<String, ClientError> {
        self.within("the end of the connection", self.inbox.closed())
            .await
    }

    /// Answers nobody has asked for yet.
    #[must_use]
    pub fn unclaimed_answers(&self) -> usize {
        self.inbox.unclaimed_answers()
    }

    fn fresh_id(&self) -> String {
        format!("chaos-{}", self.next_number.fetch_add(1, Ordering::Relaxed))
    }

    async fn send_json(&self, kind: u8, message: &Value, what: &str) -> Result<(), ClientError> {
        let frame = Frame {
            kind,
            payload: message.to_string().into_bytes(),
        };
        let bytes = frame.encode().ok_or_else(|| ClientError::TooLong {
            what: what.to_owned(),
            bytes: frame.payload.len(),
        })?;
        self.send_bytes(&bytes, what).await
    }

    async fn within<T>(
        &self,
        what: &str,
        wait: impl Future<Output = Result<T, ClientError>>,
    ) -> Result<T, ClientError> {
        let after_ms = self.timeout.as_millis();
        tokio::time::timeout(self.timeout, wait)
            .await
            .unwrap_or_else(|_elapsed| {
                Err(ClientError::Timeout {
                    what: what.to_owned(),
                    after_ms,
                })
            })
            .map_err(|error| error.named(what))
    }
}

impl Drop for Client {
    fn drop(&mut self) {
        self.reader.abort();
    }
}
