//! What a proxy sends.

use std::borrow::Cow;

use super::{v1, v2};
use crate::sentinel::Encoding;
use crate::sentinel::error::{About, PayloadError, Rule};
use crate::sentinel::event::{HeaderSink, RequestHeaders, missing};
use crate::sentinel::handshake::{HandshakeRequest, VERSION};
use crate::sentinel::limits::MAX_ID_BYTES;

const HANDSHAKE: About = About {
    name: "gRPC HandshakeRequest",
    section: 8,
};
const REQUEST_HEADERS: About = About {
    name: "gRPC RequestHeadersEvent",
    section: 8,
};
const OTHER: About = About {
    name: "gRPC event",
    section: 8,
};
const REQUEST_HEADERS_V1: About = About {
    name: "version 1 gRPC RequestHeadersEvent",
    section: 9,
};
const OTHER_V1: About = About {
    name: "version 1 gRPC event",
    section: 9,
};

/// Reads a handshake. Its `encoding` has no meaning here, and its `config` is not yet known to be
/// JSON.
///
/// # Errors
/// Version 2 is not among the supported ones, or a name is over its bound.
pub fn handshake(request: &v2::HandshakeRequest) -> Result<HandshakeRequest<'_>, PayloadError> {
    if !request.supported_versions.contains(&VERSION) {
        return Err(error(
            HANDSHAKE,
            "supported_versions",
            Rule::UnsupportedVersion(VERSION),
        ));
    }
    Ok(HandshakeRequest {
        proxy_id: optional(HANDSHAKE, "proxy_id", &request.proxy_id)?,
        proxy_version: optional(HANDSHAKE, "proxy_version", &request.proxy_version)?,
        config: configuration(&request.config_json),
        encoding: Encoding::Json,
    })
}

/// The pushed configuration in a `config_json`, of which proxies write something when there is
/// none: `None` for the empty text. `{}` is handed on, and means no push there too.
#[must_use]
pub fn configuration(config_json: &str) -> Option<&str> {
    (!config_json.is_empty()).then_some(config_json)
}

/// Reads an event and shows its headers to `sink`, one `begin` for each name: here a name that
/// comes again is another line of the header, not a duplicate.
///
/// # Errors
/// No metadata, or an id missing or over its bound; the sink has seen nothing then.
pub fn request_headers<'a, S: HeaderSink<'a>>(
    event: &'a v2::RequestHeadersEvent,
    sink: &mut S,
) -> Result<RequestHeaders<'a>, PayloadError> {
    let about = REQUEST_HEADERS;
    let Some(metadata) = &event.metadata else {
        return Err(missing(about, "metadata"));
    };
    let read = read_metadata(
        about,
        [
            &metadata.correlation_id,
            &metadata.request_id,
            &metadata.client_ip,
            metadata.traceparent.as_deref().unwrap_or_default(),
        ],
    )?;
    show_grouped(&event.headers, sink);
    Ok(read)
}

/// Clients flatten a map, in whose order names may be torn apart: sorting brings them together, and
/// keeps the order of each name's lines.
fn show_grouped<'a, S: HeaderSink<'a>>(headers: &'a [v2::Header], sink: &mut S) {
    let mut lines: Vec<&v2::Header> = headers.iter().collect();
    lines.sort_by(|a, b| a.name.cmp(&b.name));
    for group in lines.chunk_by(|a, b| a.name == b.name) {
        if let Some(first) = group.first() {
            sink.begin(&first.name);
        }
        for line in group {
            sink.value_in_place(&line.value);
        }
    }
}

/// Reads an event of version 1. Its headers are a map, so a name that comes twice is a duplicate,
/// and begins twice.
///
/// # Errors
/// No metadata, or an id missing or over its bound; the sink has seen nothing then.
pub fn request_headers_v1<'a, S: HeaderSink<'a>>(
    event: &'a v1::RequestHeadersEvent,
    sink: &mut S,
) -> Result<RequestHeaders<'a>, PayloadError> {
    let about = REQUEST_HEADERS_V1;
    let Some(metadata) = &event.metadata else {
        return Err(missing(about, "metadata"));
    };
    let read = read_metadata(
        about,
        [
            &metadata.correlation_id,
            &metadata.request_id,
            &metadata.client_ip,
            metadata.traceparent.as_deref().unwrap_or_default(),
        ],
    )?;
    for entry in &event.headers {
        sink.begin(&entry.key);
        let values = entry.value.iter().flat_map(|value| &value.values);
        values.for_each(|value| sink.value_in_place(value));
    }
    Ok(read)
}

/// The correlation id of any other event.
///
/// # Errors
/// Missing, or over its bound.
pub fn other_event(event: &v2::OtherEvent) -> Result<&str, PayloadError> {
    required(OTHER, "correlation_id", &event.correlation_id)
}

/// The correlation id of any other event of version 1.
///
/// # Errors
/// Missing, or over its bound.
pub fn other_event_v1(event: &v1::OtherEvent) -> Result<&str, PayloadError> {
    required(OTHER_V1, "correlation_id", &event.correlation_id)
}

fn read_metadata<'a>(
    about: About,
    [correlation_id, request_id, client_ip, traceparent]: [&'a str; 4],
) -> Result<RequestHeaders<'a>, PayloadError> {
    let correlation_id = required(about, "metadata.correlation_id", correlation_id)?;
    Ok(RequestHeaders {
        correlation_id: Cow::Borrowed(correlation_id),
        request_id: optional(about, "metadata.request_id", request_id)?,
        client_ip: optional(about, "metadata.client_ip", client_ip)?,
        traceparent: optional(about, "metadata.traceparent", traceparent)?,
    })
}

/// Protobuf does not tell absent from empty.
fn required<'a>(about: About, field: &'static str, text: &'a str) -> Result<&'a str, PayloadError> {
    match bounded(about, field, text)? {
        "" => Err(missing(about, field)),
        text => Ok(text),
    }
}

fn optional<'a>(
    about: About,
    field: &'static str,
    text: &'a str,
) -> Result<Option<Cow<'a, str>>, PayloadError> {
    let text = bounded(about, field, text)?;
    Ok((!text.is_empty()).then_some(Cow::Borrowed(text)))
}

fn bounded<'a>(about: About, field: &'static str, text: &'a str) -> Result<&'a str, PayloadError> {
    if text.len() > MAX_ID_BYTES {
        let length = text.len();
        let max = MAX_ID_BYTES;
        return Err(error(about, field, Rule::TooLong { length, max }));
    }
    Ok(text)
}

const fn error(about: About, field: &'static str, rule: Rule) -> PayloadError {
    PayloadError {
        about,
        field,
        rule,
        place: None,
    }
}
