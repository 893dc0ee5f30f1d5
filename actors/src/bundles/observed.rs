//! What the peer itself said: the `grpc-status` that came over the wire, and no other.
//!
//! The gRPC library answers with a status of its own making when there is none: 403 becomes
//! `PermissionDenied`, 404 and an unknown encoding become `Unimplemented`. Such a status must never
//! count as SPIRE's word, so the headers and trailers are read as they pass.

use std::pin::Pin;
use std::sync::{Arc, OnceLock};
use std::task::{Context, Poll};

use http::{HeaderMap, Request, Response, StatusCode};
use http_body::{Body as HttpBody, Frame, SizeHint};
use tonic::body::Body;
use tonic::{Code, Status};
use tower::Service;

use super::loss::End;
use super::obstacle::Obstacle;

/// Where gRPC puts the code (gRPC over HTTP/2, "Responses").
const GRPC_STATUS: &str = "grpc-status";

/// What was received for one call, once it was.
#[derive(Clone, Debug, Default)]
pub(super) struct Received(Arc<Heard>);

#[derive(Debug, Default)]
struct Heard {
    code: OnceLock<Code>,
    http: OnceLock<StatusCode>,
}

impl Received {
    /// The code, if one came.
    pub(super) fn code(&self) -> Option<Code> {
        self.0.code.get().copied()
    }

    /// How a call with this status ended.
    pub(super) fn end(&self, status: &Status) -> End {
        let end = End::status(status, self.code());
        match (self.code(), self.0.http.get()) {
            (None, Some(http)) if *http != StatusCode::OK => End {
                obstacle: Obstacle::of_http(*http),
                ..end
            },
            _ => end,
        }
    }

    fn note(&self, headers: &HeaderMap) {
        if let Some(value) = headers.get(GRPC_STATUS) {
            // The first one holds: a call has one status.
            let _ = self.0.code.set(Code::from_bytes(value.as_bytes()));
        }
    }
}

/// A channel for one call, whose status is noted.
#[derive(Clone, Debug)]
pub(super) struct Observed<S> {
    channel: S,
    received: Received,
}

impl<S> Observed<S> {
    pub(super) fn new(channel: S, received: Received) -> Self {
        Self { channel, received }
    }
}

impl<S> Service<Request<Body>> for Observed<S>
where
    S: Service<Request<Body>, Response = Response<Body>>,
    S::Future: Send + 'static,
{
    type Response = Response<ObservedBody>;
    type Error = S::Error;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, S::Error>> + Send>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.channel.poll_ready(cx)
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        let response = self.channel.call(request);
        let received = self.received.clone();
        Box::pin(async move {
            let response = response.await?;
            received.note(response.headers());
            let _ = received.0.http.set(response.status());
            Ok(response.map(|body| ObservedBody { body, received }))
        })
    }
}

/// A body whose trailers are noted.
#[derive(Debug)]
pub(super) struct ObservedBody {
    body: Body,
    received: Received,
}

impl HttpBody for ObservedBody {
    type Data = <Body as HttpBody>::Data;
    type Error = <Body as HttpBody>::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Self::Data>, Self::Error>>> {
        let frame = Pin::new(&mut self.body).poll_frame(cx);
        if let Poll::Ready(Some(Ok(frame))) = &frame
            && let Some(trailers) = frame.trailers_ref()
        {
            self.received.note(trailers);
        }
        frame
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
