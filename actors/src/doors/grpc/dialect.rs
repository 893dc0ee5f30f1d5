//! How questions read and replies are written over gRPC.

use std::borrow::Cow;

use proto::sentinel::PayloadError;
use proto::sentinel::event::{HeaderSink, RequestHeaders};
use proto::sentinel::grpc::{self, v1, v2};
use proto::sentinel::limits::MAX_ID_BYTES;
use proto::sentinel::reply::Reply;

use crate::doors::conversation::{Dialect, Question};

/// Version 2, under either name: the messages are the same.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum V2 {
    /// `sentinel.agent.v2`.
    Sentinel,
    /// `zentinel.agent.v2`.
    Zentinel,
}

impl Dialect for V2 {
    type Unit = v2::AgentToProxy;

    fn door(self) -> &'static str {
        match self {
            Self::Sentinel => "sentinel-grpc-v2",
            Self::Zentinel => "zentinel-grpc-v2",
        }
    }

    fn write(self, out: &mut Vec<Self::Unit>, reply: &Reply<'_>, correlation_id: &str) {
        out.push(grpc::response(reply, correlation_id));
    }
}

impl<'a> Question<'a> for &'a v2::RequestHeadersEvent {
    fn read<S: HeaderSink<'a>>(self, sink: &mut S) -> Result<RequestHeaders<'a>, PayloadError> {
        grpc::request_headers(self, sink)
    }

    fn salvage(self) -> Cow<'a, str> {
        let id = self.metadata.as_ref().map(|about| &*about.correlation_id);
        salvaged(id)
    }
}

/// Version 1, which only Sentinel has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct V1;

impl Dialect for V1 {
    type Unit = v1::AgentResponse;

    fn door(self) -> &'static str {
        "sentinel-grpc-v1"
    }

    fn write(self, out: &mut Vec<Self::Unit>, reply: &Reply<'_>, correlation_id: &str) {
        out.push(grpc::response_v1(reply, correlation_id));
    }
}

impl<'a> Question<'a> for &'a v1::RequestHeadersEvent {
    fn read<S: HeaderSink<'a>>(self, sink: &mut S) -> Result<RequestHeaders<'a>, PayloadError> {
        grpc::request_headers_v1(self, sink)
    }

    fn salvage(self) -> Cow<'a, str> {
        let id = self.metadata.as_ref().map(|about| &*about.correlation_id);
        salvaged(id)
    }
}

fn salvaged(id: Option<&str>) -> Cow<'_, str> {
    let id = id.filter(|id| id.len() <= MAX_ID_BYTES);
    Cow::Borrowed(id.unwrap_or_default())
}
