//! One connection: TLS if asked for, then HTTP/2, to its end.

use std::net::SocketAddr;
use std::pin::pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use http::Request;
use hyper::body::Incoming;
use hyper::rt::Executor;
use hyper::server::conn::http2;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::sync::Notify;
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;
use tokio_util::task::TaskTracker;
use tonic::Status;
use tower::Service as _;

use super::Security;
use super::meter::Metered;
use super::progress::Progress;
use super::service::{Caller, routes};
use super::strangers::Stranger;
use super::tls::{self, UntrustedCaller};
use crate::doors::connection::PARTING_MS;
use crate::doors::conversation::Pushes;
use crate::doors::turns::InTurns;
use crate::doors::{Doors, Places};
use crate::metrics::count;

/// Calls at once on one connection: as many as RFC 9113 (6.5.2) wants at least. Proxies use one,
/// which carries all of a connection's requests.
const STREAMS_MAX: u32 = 100;

/// A call's headers, bytes. Requests travel in messages, so these are gRPC's own few.
const HEADER_LIST_MAX_BYTES: u32 = 16 * 1024;

/// Calls reset before they were answered, before the connection is closed (CVE-2023-44487). No
/// proxy resets calls.
const RESETS_PENDING_MAX: usize = 20;

/// Calls that we reset because they broke the protocol, before the connection is closed
/// (CVE-2025-8671).
const RESETS_OWN_MAX: usize = 100;

/// What a peer may send on one call before we have read it, bytes: a request with the largest
/// credential header fits.
const STREAM_WINDOW_BYTES: u32 = 128 * 1024;

/// The same for all calls of a connection: what one connection can make us hold unread.
const CONNECTION_WINDOW_BYTES: u32 = 512 * 1024;

/// Unsent answers of one call, bytes.
const SEND_MAX_BYTES: usize = 256 * 1024;

/// A peer that says nothing is asked this often whether it is there, and has as long to answer:
/// a host that is gone gives its place back within a minute.
const KEEPALIVE: Duration = Duration::from_secs(30);

/// What a connection without calls has to say goodbye when we drain: a proxy that is there answers
/// within one round trip, and one that is mute is not waited for.
const FAREWELL: Duration = Duration::from_millis(250);

/// Why a connection was closed by us.
#[derive(Debug, thiserror::Error)]
pub(super) enum GrpcError {
    /// It is no proxy of ours.
    #[error("UNTRUSTED_PROXY: connection closed before its request was read: {0}")]
    Untrusted(#[source] std::io::Error),
    /// It did not get through the handshake in time.
    #[error(
        "UNTRUSTED_PROXY: connection closed before its request was read: no TLS handshake within {0} ms"
    )]
    SlowHandshake(u64),
    /// It was a proxy of ours, and is none any more.
    #[error("UNTRUSTED_PROXY: connection closed, its certificate was judged again: {0}")]
    Doubted(#[source] UntrustedCaller),
    /// It was the oldest of too many that did not say who they are.
    #[error("too many connections that stay silent, and this one for longest")]
    CrowdedOut,
    /// It opened no call.
    #[error("no call within {0} ms (agent protocol, section 8)")]
    NoCall(u64),
    /// HTTP/2 broke.
    #[error("{0}")]
    Http(#[from] hyper::Error),
    /// The socket broke.
    #[error("{0}")]
    Io(#[from] std::io::Error),
}

/// A connection that came in.
pub(super) struct Arrival {
    pub(super) stream: TcpStream,
    pub(super) address: SocketAddr,
    pub(super) stranger: Stranger,
    /// Where it takes its place once it is known.
    pub(super) places: Arc<Places>,
}

/// Serves a connection to its end.
pub(super) async fn serve(
    arrival: Arrival,
    security: &Security,
    doors: Arc<Doors>,
) -> Result<(), GrpcError> {
    let Arrival {
        stream,
        address,
        stranger,
        places,
    } = arrival;
    // An answer is one small message, and somebody waits for it.
    stream.set_nodelay(true)?;
    match security {
        Security::Plaintext => {
            let caller = Caller::new(Arc::clone(&doors), address.to_string(), Pushes::Closed);
            let never = std::future::pending();
            speak(stream, caller, &doors, never, Some(stranger)).await
        }
        Security::MutualTls { acceptor, proxies } => {
            let shaken = tokio::select! {
                shaken = shake_hands(stream, acceptor, &doors) => shaken,
                () = stranger.crowded_out() => Err(GrpcError::CrowdedOut),
            };
            let stream = shaken.inspect_err(|_| count(&doors.metrics.untrusted_proxy))?;
            let vouched = tls::caller(stream.get_ref().1, proxies)
                .inspect_err(|_| count(&doors.metrics.untrusted_proxy))
                .map_err(GrpcError::Doubted)?;
            let _place = tokio::select! {
                place = places.take() => place,
                () = stranger.crowded_out() => return Err(GrpcError::CrowdedOut),
                () = doors.health.draining() => return Ok(()),
            };
            drop(stranger);
            let peer = vouched.peer();
            let name = format!("{peer} {address}");
            tracing::debug!(peer = name, "proxy authenticated");
            let caller = Caller::new(Arc::clone(&doors), name, Pushes::Taken(peer));
            speak(stream, caller, &doors, proxies.doubted(vouched), None).await
        }
    }
}

async fn shake_hands(
    stream: TcpStream,
    acceptor: &TlsAcceptor,
    doors: &Doors,
) -> Result<TlsStream<TcpStream>, GrpcError> {
    let within_ms = doors.bounds.handshake_timeout_ms;
    match timeout(Duration::from_millis(within_ms), acceptor.accept(stream)).await {
        Ok(shaken) => shaken.map_err(GrpcError::Untrusted),
        Err(_) => Err(GrpcError::SlowHandshake(within_ms)),
    }
}

/// HTTP/2, until the peer closes, or we drain and the calls in flight are finished, or the caller is
/// trusted no more. A stranger is known by its first call.
async fn speak<S>(
    stream: S,
    caller: Caller,
    doors: &Doors,
    doubted: impl Future<Output = UntrustedCaller>,
    stranger: Option<Stranger>,
) -> Result<(), GrpcError>
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let called = Arc::new(Notify::new());
    let routes = routes(&caller);
    let bell = Arc::clone(&called);
    let (frames, owner) = (doors.frames.clone(), caller.owner());
    let within_ms = doors.bounds.handshake_timeout_ms;
    let standing = caller.standing.clone();
    let progress = Progress::default();
    let seen = progress.clone();
    let service = service_fn(move |request: Request<Incoming>| {
        bell.notify_one();
        let refused = standing.is_cancelled().then(turned_away);
        let mut routes = routes.clone();
        let (frames, owner, seen) = (frames.clone(), owner.clone(), seen.clone());
        let request = request.map(|body| Metered::new(body, frames, owner, within_ms));
        async move {
            let answer = match refused {
                Some(refusal) => Ok(refusal.into_http()),
                None => routes.call(request).await,
            };
            answer.map(|answer| answer.map(|body| seen.of(body)))
        }
    });
    let calls = Calls::default();
    let _ends_with_us = EndOfCalls(calls.clone());
    let http = limited(calls.clone()).serve_connection(TokioIo::new(InTurns::new(stream)), service);
    let mut http = pin!(http);
    let mut doubted = pin!(doubted);
    let parting = parting(doors);
    let error = 'trusted: {
        tokio::select! {
            end = http.as_mut() => return Ok(end?),
            error = doubted.as_mut() => break 'trusted error,
            () = called.notified() => {}
            () = doors.health.draining() => {}
            () = crowded_out(stranger.as_ref()) => return Err(GrpcError::CrowdedOut),
            () = sleep(Duration::from_millis(within_ms)) => return Err(GrpcError::NoCall(within_ms)),
        }
        drop(stranger);
        tokio::select! {
            end = http.as_mut() => return Ok(end?),
            error = doubted.as_mut() => break 'trusted error,
            () = doors.health.draining() => {}
        }
        http.as_mut().graceful_shutdown();
        tokio::select! {
            end = http.as_mut() => return Ok(end?),
            error = doubted.as_mut() => error,
            () = calls.finished() => return Ok(()),
            // What is in flight is answered by then, and it takes none of it.
            () = progress.stands_still(parting) => return Ok(()),
        }
    };
    // It asks nothing from now on. What it asked before is answered, which the deadline bounds.
    count(&doors.metrics.untrusted_proxy);
    caller.standing.cancel();
    http.as_mut().graceful_shutdown();
    // It is closed for that reason, however it takes its leave.
    let _ = timeout(parting, http).await;
    Err(GrpcError::Doubted(error))
}

/// What the calls of a connection that is to end have, to be answered and read.
const fn parting(doors: &Doors) -> Duration {
    Duration::from_millis(doors.bounds.decision_deadline_ms.saturating_add(PARTING_MS))
}

async fn crowded_out(stranger: Option<&Stranger>) {
    match stranger {
        Some(stranger) => stranger.crowded_out().await,
        None => std::future::pending().await,
    }
}

/// Why a call is not taken.
pub(super) fn turned_away() -> Status {
    Status::unauthenticated("UNTRUSTED_PROXY: this connection's certificate is trusted no more")
}

fn limited(calls: Calls) -> http2::Builder<Calls> {
    let mut http = http2::Builder::new(calls);
    http.timer(TokioTimer::new())
        .max_concurrent_streams(STREAMS_MAX)
        .max_header_list_size(HEADER_LIST_MAX_BYTES)
        .max_pending_accept_reset_streams(RESETS_PENDING_MAX)
        .max_local_error_reset_streams(RESETS_OWN_MAX)
        .initial_stream_window_size(STREAM_WINDOW_BYTES)
        .initial_connection_window_size(CONNECTION_WINDOW_BYTES)
        .max_send_buf_size(SEND_MAX_BYTES)
        .keep_alive_interval(KEEPALIVE)
        .keep_alive_timeout(KEEPALIVE);
    http
}

/// The tasks of a connection's calls: they end with it, not some time after.
#[derive(Clone, Default)]
struct Calls {
    tasks: Arc<Mutex<JoinSet<()>>>,
    open: TaskTracker,
}

impl Calls {
    /// Waits until no call is open, and none was opened within the [`FAREWELL`].
    async fn finished(&self) {
        self.open.close();
        loop {
            self.open.wait().await;
            sleep(FAREWELL).await;
            if self.open.is_empty() {
                return;
            }
        }
    }
}

impl<F> Executor<F> for Calls
where
    F: Future + Send + 'static,
    F::Output: Send + 'static,
{
    fn execute(&self, call: F) {
        let mut calls = self.tasks.lock().unwrap_or_else(PoisonError::into_inner);
        // Those that ended are forgotten, so there are never more than streams.
        while calls.try_join_next().is_some() {}
        let call = self.open.track_future(call);
        calls.spawn(async move {
            call.await;
        });
    }
}

/// Ends the calls of a connection that is killed.
struct EndOfCalls(Calls);

impl Drop for EndOfCalls {
    fn drop(&mut self) {
        let mut calls = self.0.tasks.lock().unwrap_or_else(PoisonError::into_inner);
        calls.abort_all();
    }
}
