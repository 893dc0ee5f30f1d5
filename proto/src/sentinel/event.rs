//! Events that a proxy sends (agent protocol, section 4).
//!
//! Of a request's headers we want few, of its method, URI and body nothing: so the payload is
//! walked once, in place, and a [`HeaderSink`] picks what it wants. No map is built, and what a map
//! would hide, one name given twice, stays visible.

mod headers;
mod salvage;

use std::borrow::Cow;

use headers::HeaderMap;
pub use salvage::salvage_correlation_id;

use super::Encoding;
use super::error::{About, PayloadError, Rule};
use super::frame::MessageType;
use super::object::{Field, Message, Object, Trace, Value, parse};
use super::text::{Id, OptionalId};

/// Receives a request's headers in the order of the wire.
///
/// One `begin` per name, then one `value` per header line of that name. In JSON and MessagePack a
/// name that comes twice begins twice: no proxy writes that, so a sink that reads the credential
/// must take it as malformed.
pub trait HeaderSink<'a> {
    /// The values that follow belong to `name`, which is lower-case as proxies write it.
    fn begin(&mut self, name: &str);

    /// One header line. Text that was escaped in the payload lives only for this call.
    fn value(&mut self, value: &str);

    /// One header line that stands unescaped in the payload, to be kept without a copy.
    fn value_in_place(&mut self, value: &'a str) {
        self.value(value);
    }
}

/// What a RequestHeaders event says beside its headers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RequestHeaders<'a> {
    /// The answer's address; 1 to [`MAX_ID_BYTES`](super::limits::MAX_ID_BYTES) bytes, to be echoed
    /// byte for byte.
    pub correlation_id: Cow<'a, str>,
    /// The proxy's id of the request.
    pub request_id: Option<Cow<'a, str>>,
    /// The client's address as the proxy writes it.
    pub client_ip: Option<Cow<'a, str>>,
    /// W3C Trace Context, unchecked.
    pub traceparent: Option<Cow<'a, str>>,
}

const REQUEST_HEADERS: About = About {
    name: "RequestHeaders",
    section: 4,
};

/// Reads a RequestHeaders event and shows its headers to `sink`.
///
/// # Errors
/// The payload is not the event; `sink` may have seen headers already, which then mean nothing.
pub fn request_headers<'a, S: HeaderSink<'a>>(
    encoding: Encoding,
    payload: &'a [u8],
    sink: &mut S,
) -> Result<RequestHeaders<'a>, PayloadError> {
    let mut event = Event {
        sink,
        correlation_id: None,
        metadata: None,
        headers: Headers::Missing,
    };
    parse(REQUEST_HEADERS, encoding, payload, &mut event)?;
    event.finish()
}

/// Reads the correlation id of any event but Configure, all that is needed to answer it.
///
/// # Errors
/// The payload is not an object with a correlation id.
pub fn correlation_id(
    kind: MessageType,
    encoding: Encoding,
    payload: &[u8],
) -> Result<Cow<'_, str>, PayloadError> {
    let about = About {
        name: kind.name(),
        section: 4,
    };
    let mut event = OtherEvent(None);
    parse(about, encoding, payload, &mut event)?;
    event.0.ok_or_else(|| missing(about, CORRELATION_ID.path))
}

pub(super) const fn missing(about: About, field: &'static str) -> PayloadError {
    PayloadError {
        about,
        field,
        rule: Rule::Missing,
        place: None,
    }
}

pub(super) const CORRELATION_ID: Field = Field {
    key: "correlation_id",
    path: "correlation_id",
    must_be: "a string",
};

/// Keeps the first correlation id; another one must equal it.
pub(super) fn take_correlation_id<'de, V: Value<'de>>(
    kept: &mut Option<Cow<'de, str>>,
    value: V,
    trace: &Trace,
) -> Result<(), V::Error> {
    let id = value.read(Id(trace))?;
    match kept {
        Some(first) if *first != id => Err(trace.fail(Rule::Disagrees)),
        Some(_) => Ok(()),
        None => {
            *kept = Some(id);
            Ok(())
        }
    }
}

struct Event<'s, 'a, S> {
    sink: &'s mut S,
    correlation_id: Option<Cow<'a, str>>,
    metadata: Option<Metadata<'a>>,
    headers: Headers,
}

/// Whether the headers were there: an event without them is not a request without a credential.
enum Headers {
    Missing,
    Seen,
}

impl<'a, S: HeaderSink<'a>> Message<'a> for Event<'_, 'a, S> {
    // The order of Sentinel's struct, then what its client adds.
    const FIELDS: &'static [Field] = &[
        Field {
            key: "metadata",
            path: "metadata",
            must_be: "an object",
        },
        Field {
            key: "method",
            path: "method",
            must_be: "a string",
        },
        Field {
            key: "uri",
            path: "uri",
            must_be: "a string",
        },
        Field {
            key: "headers",
            path: "headers",
            must_be: "an object of arrays of strings",
        },
        CORRELATION_ID,
    ];
    const REPEATED: Option<usize> = Some(4);

    fn field<V: Value<'a>>(
        &mut self,
        index: usize,
        value: V,
        trace: &Trace,
    ) -> Result<(), V::Error> {
        match index {
            0 => {
                let metadata = self.metadata.insert(Metadata::default());
                value.read(Object {
                    message: metadata,
                    trace,
                })
            }
            3 => {
                self.headers = Headers::Seen;
                value.read(HeaderMap(&mut *self.sink))
            }
            4 => take_correlation_id(&mut self.correlation_id, value, trace),
            _ => value.skip(),
        }
    }
}

impl<'a, S> Event<'_, 'a, S> {
    fn finish(self) -> Result<RequestHeaders<'a>, PayloadError> {
        let Some(metadata) = self.metadata else {
            return Err(missing(REQUEST_HEADERS, "metadata"));
        };
        if matches!(self.headers, Headers::Missing) {
            return Err(missing(REQUEST_HEADERS, "headers"));
        }
        let correlation_id = match (self.correlation_id, metadata.correlation_id) {
            (Some(top), Some(inner)) if top != inner => Err(PayloadError {
                about: REQUEST_HEADERS,
                field: "metadata.correlation_id",
                rule: Rule::Disagrees,
                place: None,
            }),
            (Some(id), _) | (None, Some(id)) => Ok(id),
            (None, None) => Err(missing(REQUEST_HEADERS, "metadata.correlation_id")),
        }?;
        Ok(RequestHeaders {
            correlation_id,
            request_id: metadata.request_id,
            client_ip: metadata.client_ip,
            traceparent: metadata.traceparent,
        })
    }
}

#[derive(Default)]
struct Metadata<'a> {
    correlation_id: Option<Cow<'a, str>>,
    request_id: Option<Cow<'a, str>>,
    client_ip: Option<Cow<'a, str>>,
    traceparent: Option<Cow<'a, str>>,
}

/// A field of the metadata that we step over.
const fn unread(key: &'static str) -> Field {
    Field {
        key,
        path: "metadata",
        must_be: "an object",
    }
}

impl<'a> Message<'a> for Metadata<'a> {
    const WHOLE: Field = Field {
        key: "metadata",
        path: "metadata",
        must_be: "an object",
    };
    // The order of the clients' struct: MessagePack may be positional, and leaves out the last.
    const FIELDS: &'static [Field] = &[
        Field {
            key: "correlation_id",
            path: "metadata.correlation_id",
            must_be: "a string",
        },
        Field {
            key: "request_id",
            path: "metadata.request_id",
            must_be: "a string",
        },
        Field {
            key: "client_ip",
            path: "metadata.client_ip",
            must_be: "a string",
        },
        unread("client_port"),
        unread("server_name"),
        unread("protocol"),
        unread("tls_version"),
        unread("tls_cipher"),
        unread("route_id"),
        unread("upstream_id"),
        unread("timestamp"),
        Field {
            key: "traceparent",
            path: "metadata.traceparent",
            must_be: "a string or null",
        },
    ];

    fn field<V: Value<'a>>(
        &mut self,
        index: usize,
        value: V,
        trace: &Trace,
    ) -> Result<(), V::Error> {
        match index {
            0 => take_correlation_id(&mut self.correlation_id, value, trace)?,
            1 => self.request_id = value.read(OptionalId(trace))?,
            2 => self.client_ip = value.read(OptionalId(trace))?,
            11 => self.traceparent = value.read(OptionalId(trace))?,
            _ => value.skip()?,
        }
        Ok(())
    }
}

/// Any other event: only its address matters.
struct OtherEvent<'a>(Option<Cow<'a, str>>);

impl<'a> Message<'a> for OtherEvent<'a> {
    const FIELDS: &'static [Field] = &[CORRELATION_ID];
    const REPEATED: Option<usize> = Some(0);

    fn field<V: Value<'a>>(&mut self, _: usize, value: V, trace: &Trace) -> Result<(), V::Error> {
        take_correlation_id(&mut self.0, value, trace)
    }
}
