//! One attempt: a connection of its own, one call, and its messages one at a time.

use std::io;
use std::path::{Path, PathBuf};

use hyper_util::rt::TokioIo;
use proto::workload::spiffe_workload_api_client::SpiffeWorkloadApiClient;
use proto::workload::{
    SECURITY_HEADER, SECURITY_HEADER_VALUE, X509BundlesRequest, X509BundlesResponse,
};
use ractor::ActorRef;
use tokio::net::UnixStream;
use tokio::sync::oneshot;
use tonic::Request;
use tonic::metadata::MetadataValue;
use tonic::transport::{Channel, Endpoint, Uri};
use tower::service_fn;

use super::WatcherMsg;
use super::loss::End;
use super::observed::{Observed, Received};
use super::plan::AttemptId;

/// Largest message taken (decisions, "Trust sources": up to 16 MiB).
pub const MESSAGE_MAX_BYTES: usize = 16 * 1024 * 1024;

/// The authority of the requests: a Unix socket has no host, HTTP/2 demands a name.
const AUTHORITY: &str = "http://localhost";

/// Runs until the call ends. Each message waits until the owner has taken the one before, so that
/// the owner's mailbox never holds more than one.
pub(super) async fn run(socket: PathBuf, id: AttemptId, owner: ActorRef<WatcherMsg>) -> End {
    let channel = match connect(&socket).await {
        Ok(channel) => channel,
        Err(error) => return End::transport(&error),
    };
    let received = Received::default();
    let mut client = SpiffeWorkloadApiClient::new(Observed::new(channel, received.clone()))
        .max_decoding_message_size(MESSAGE_MAX_BYTES);
    let mut stream = match client.fetch_x509_bundles(request()).await {
        Ok(response) => response.into_inner(),
        Err(status) => return End::status(&status, received.code()),
    };
    loop {
        match stream.message().await {
            Ok(Some(message)) => hand_over(id, message, &owner).await,
            Ok(None) => return End::in_order(),
            // An error is the end: after an oversized message the library repeats it for ever.
            Err(status) => return End::status(&status, received.code()),
        }
    }
}

async fn hand_over(id: AttemptId, message: X509BundlesResponse, owner: &ActorRef<WatcherMsg>) {
    let (done, taken) = oneshot::channel();
    let message = WatcherMsg::Received { id, message, done };
    if owner.send_message(message).is_ok() {
        // An owner that is gone has dropped its end, and ends this task.
        let _ = taken.await;
    }
}

/// No HTTP/2 keepalive: Go's gRPC servers drop clients that ping more than once in five minutes.
pub(super) async fn connect(socket: &Path) -> Result<Channel, tonic::transport::Error> {
    let socket = socket.to_owned();
    let connector = service_fn(move |_: Uri| {
        let socket = socket.clone();
        async move { Ok::<_, io::Error>(TokioIo::new(UnixStream::connect(socket).await?)) }
    });
    Endpoint::from_static(AUTHORITY)
        .connect_with_connector(connector)
        .await
}

pub(super) fn request() -> Request<X509BundlesRequest> {
    with_header(X509BundlesRequest {})
}

/// Without this header no call is answered (Workload Endpoint, section 3).
pub(super) fn with_header<T>(message: T) -> Request<T> {
    let mut request = Request::new(message);
    request.metadata_mut().insert(
        SECURITY_HEADER,
        MetadataValue::from_static(SECURITY_HEADER_VALUE),
    );
    request
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test may panic")]
    use super::*;

    /// The cause must be in the log, not only that there was one.
    #[tokio::test]
    async fn an_error_before_the_call_says_what_the_system_said() {
        let dir = tempfile::TempDir::new().unwrap();
        let missing = connect(&dir.path().join("missing")).await.unwrap_err();
        let end = End::transport(&missing);
        assert!(end.detail.contains("No such file"), "{}", end.detail);
        let file = dir.path().join("file");
        std::fs::write(&file, b"no socket").unwrap();
        let refused = connect(&file).await.unwrap_err();
        let end = End::transport(&refused);
        assert!(end.detail.contains("refused"), "{}", end.detail);
    }
}
