//! One connection: one request, then closed. Nobody keeps a place by saying nothing.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use http::Request;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::TcpStream;
use tokio::time::sleep;

use super::Admin;
use super::answer::answer;
use super::places::Kind;

/// Time to send a request: it is a few hundred bytes, from nearby.
const REQUEST_WITHIN: Duration = Duration::from_secs(5);

/// Time for request and response together.
const RESPONSE_WITHIN: Duration = Duration::from_secs(10);

/// A stream of events ends after this long, and the page opens another: who holds one without
/// reading it gives it back.
const STREAM_WITHIN: Duration = Duration::from_secs(600);

/// Unread data is held for at most this long, milliseconds; then the kernel ends the connection.
const UNREAD_WITHIN_MS: u32 = 20_000;

/// A request's head, bytes: a browser's cookies for other servers on `localhost` fit.
const HEAD_MAX_BYTES: usize = 16 * 1024;

/// Its headers.
const HEADERS_MAX: usize = 64;

/// Serves it to its end.
pub(super) async fn serve(stream: TcpStream, peer: SocketAddr, admin: Arc<Admin>, kind: Kind) {
    // Without it the bounds below hold all the same, only later.
    let _ = rustix::net::sockopt::set_tcp_user_timeout(&stream, UNREAD_WITHIN_MS);
    let told = kind.clone();
    let service = service_fn(move |request: Request<Incoming>| {
        let response = answer(request, peer, Arc::clone(&admin), told.clone());
        async move { Ok::<_, Infallible>(response.await) }
    });
    let http = http1::Builder::new()
        .timer(TokioTimer::new())
        .keep_alive(false)
        .header_read_timeout(REQUEST_WITHIN)
        .max_buf_size(HEAD_MAX_BYTES)
        .max_headers(HEADERS_MAX)
        .serve_connection(TokioIo::new(stream), service);
    tokio::select! {
        served = http => if let Err(error) = served {
            tracing::debug!(%peer, %error, "admin connection closed");
        },
        () = too_long(&kind) => tracing::debug!(%peer, "admin connection closed: it took too long"),
    }
}

async fn too_long(kind: &Kind) {
    sleep(RESPONSE_WITHIN).await;
    if kind.streams() {
        sleep(STREAM_WITHIN).await;
    }
}
