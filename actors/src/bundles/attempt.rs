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
use super::obstacle::Obstacle;
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
        Err(end) => return end,
    };
    let received = Received::default();
    let mut client = SpiffeWorkloadApiClient::new(Observed::new(channel, received.clone()))
        .max_decoding_message_size(MESSAGE_MAX_BYTES);
    let mut stream = match client.fetch_x509_bundles(request()).await {
        Ok(response) => response.into_inner(),
        Err(status) => return received.end(&status),
    };
    loop {
        match stream.message().await {
            Ok(Some(message)) => hand_over(id, message, &owner).await,
            Ok(None) => return End::in_order(),
            // An error is the end: after an oversized message the library repeats it for ever.
            Err(status) => return received.end(&status),
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

/// Connects, or says what is in the way.
///
/// No HTTP/2 keepalive: Go's gRPC servers drop clients that ping more than once in five minutes.
pub(super) async fn connect(path: &Path) -> Result<Channel, End> {
    let socket = path.to_owned();
    let connector = service_fn(move |_: Uri| {
        let socket = socket.clone();
        async move { Ok::<_, io::Error>(TokioIo::new(UnixStream::connect(socket).await?)) }
    });
    let endpoint = Endpoint::from_static(AUTHORITY);
    match endpoint.connect_with_connector(connector).await {
        Ok(channel) => Ok(channel),
        Err(error) => Err(unconnected(path, &error).await),
    }
}

/// The file tells more than the error: the system refuses a connection to a plain file as it does one
/// to a socket that nobody listens on.
async fn unconnected(path: &Path, error: &tonic::transport::Error) -> End {
    let end = End::transport(error);
    // Off the async workers, as a path on a dead network mount blocks whoever looks.
    let (path, said) = (path.to_owned(), end.obstacle);
    let looked = tokio::task::spawn_blocking(move || {
        let of_file = Obstacle::of_file(&path.metadata());
        of_file.unwrap_or(said).seen_at(&path)
    });
    End {
        obstacle: looked.await.unwrap_or(said),
        ..end
    }
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
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    use verdict::availability::Loss;

    use super::*;

    /// The cause must be in the log, not only that there was one.
    #[tokio::test]
    async fn an_error_before_the_call_says_what_the_system_said() {
        let dir = tempfile::TempDir::new().unwrap();
        let end = connect(&dir.path().join("missing")).await.unwrap_err();
        assert_eq!(end.obstacle, Obstacle::Missing);
        assert!(end.detail.contains("No such file"), "{}", end.detail);
        let file = dir.path().join("file");
        std::fs::write(&file, b"no socket").unwrap();
        let end = connect(&file).await.unwrap_err();
        assert_eq!(end.obstacle, Obstacle::NoSocket);
        assert!(end.detail.contains("refused"), "{}", end.detail);
        let deserted = dir.path().join("deserted");
        drop(tokio::net::UnixListener::bind(&deserted).unwrap());
        let end = connect(&deserted).await.unwrap_err();
        assert_eq!(end.obstacle, Obstacle::Deserted);
    }

    /// What listens there may be anything.
    #[tokio::test]
    async fn a_peer_that_is_no_workload_api_is_told_from_one_that_breaks_off() {
        let dir = tempfile::TempDir::new().unwrap();
        let answers: [(&[u8], Obstacle); 2] = [
            (b"HTTP/1.1 400 Bad Request\r\n\r\n", Obstacle::NoWorkloadApi),
            (b"", Obstacle::Broken),
        ];
        for (name, (answer, obstacle)) in ["one", "two"].into_iter().zip(answers) {
            let path = dir.path().join(name);
            let listener = tokio::net::UnixListener::bind(&path).unwrap();
            let peer = async {
                let (mut stream, _) = listener.accept().await.unwrap();
                // The call is under way once its first bytes are here.
                let _ = stream.read(&mut [0; 64]).await;
                stream.write_all(answer).await.unwrap();
            };
            let asking = async { crate::bundles::ask::bundles(&path).await?.next().await };
            let (asked, ()) = tokio::join!(asking, peer);
            let end = asked.unwrap_err();
            assert_eq!(
                (end.loss, end.obstacle),
                (Loss::Transport, obstacle),
                "{}",
                end.detail
            );
        }
    }
}
