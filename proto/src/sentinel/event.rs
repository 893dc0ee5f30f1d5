//! Events that a proxy sends (agent protocol, section 4).
//!
//! Of a request's headers we want few, of its method, URI and body nothing: so the payload is
//! walked once, in place, and a [`HeaderSink`] picks what it wants. No map is built, and what a map
//! would hide, one name given twice, stays visible.

use std::borrow::Cow;

use serde::de::{self, DeserializeSeed, IgnoredAny, MapAccess, SeqAccess, Visitor};

use super::Encoding;
use super::error::{About, PayloadError, Rule};
use super::frame::MessageType;
use super::limits::{MAX_DEPTH, MAX_ID_BYTES};
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
    /// The answer's address; 1 to [`MAX_ID_BYTES`] bytes, to be echoed byte for byte.
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
    const WHOLE: Field = Field {
        key: "",
        path: "",
        must_be: "an object",
    };
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

struct HeaderMap<'s, S>(&'s mut S);

impl<'de, S: HeaderSink<'de>> DeserializeSeed<'de> for HeaderMap<'_, S> {
    type Value = ();

    fn deserialize<D: de::Deserializer<'de>>(self, input: D) -> Result<(), D::Error> {
        input.deserialize_map(self)
    }
}

impl<'de, S: HeaderSink<'de>> Visitor<'de> for HeaderMap<'_, S> {
    type Value = ();

    fn expecting(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.write_str("an object of arrays of strings")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        while let Some(()) = map.next_key_seed(HeaderName(&mut *self.0))? {
            map.next_value_seed(HeaderValues(&mut *self.0))?;
        }
        Ok(())
    }
}

struct HeaderName<'s, S>(&'s mut S);

impl<'de, S: HeaderSink<'de>> DeserializeSeed<'de> for HeaderName<'_, S> {
    type Value = ();

    fn deserialize<D: de::Deserializer<'de>>(self, input: D) -> Result<(), D::Error> {
        input.deserialize_str(self)
    }
}

impl<'de, S: HeaderSink<'de>> Visitor<'de> for HeaderName<'_, S> {
    type Value = ();

    fn expecting(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.write_str("a header name")
    }

    fn visit_str<E: de::Error>(self, name: &str) -> Result<(), E> {
        self.0.begin(name);
        Ok(())
    }
}

struct HeaderValues<'s, S>(&'s mut S);

impl<'de, S: HeaderSink<'de>> DeserializeSeed<'de> for HeaderValues<'_, S> {
    type Value = ();

    fn deserialize<D: de::Deserializer<'de>>(self, input: D) -> Result<(), D::Error> {
        input.deserialize_seq(self)
    }
}

impl<'de, S: HeaderSink<'de>> Visitor<'de> for HeaderValues<'_, S> {
    type Value = ();

    fn expecting(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.write_str("an array of strings")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<(), A::Error> {
        while let Some(()) = seq.next_element_seed(HeaderValue(&mut *self.0))? {}
        Ok(())
    }
}

struct HeaderValue<'s, S>(&'s mut S);

impl<'de, S: HeaderSink<'de>> DeserializeSeed<'de> for HeaderValue<'_, S> {
    type Value = ();

    fn deserialize<D: de::Deserializer<'de>>(self, input: D) -> Result<(), D::Error> {
        input.deserialize_str(self)
    }
}

impl<'de, S: HeaderSink<'de>> Visitor<'de> for HeaderValue<'_, S> {
    type Value = ();

    fn expecting(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.write_str("a string")
    }

    fn visit_borrowed_str<E: de::Error>(self, value: &'de str) -> Result<(), E> {
        self.0.value_in_place(value);
        Ok(())
    }

    fn visit_str<E: de::Error>(self, value: &str) -> Result<(), E> {
        self.0.value(value);
        Ok(())
    }
}

/// Any other event: only its address matters.
struct OtherEvent<'a>(Option<Cow<'a, str>>);

impl<'a> Message<'a> for OtherEvent<'a> {
    const WHOLE: Field = Field {
        key: "",
        path: "",
        must_be: "an object",
    };
    const FIELDS: &'static [Field] = &[CORRELATION_ID];
    const REPEATED: Option<usize> = Some(0);

    fn field<V: Value<'a>>(&mut self, _: usize, value: V, trace: &Trace) -> Result<(), V::Error> {
        take_correlation_id(&mut self.0, value, trace)
    }
}

/// Looks for the correlation id of a payload that could not be read, so that its refusal arrives.
///
/// Best effort: the id at the top level (which is what clients wait for), else the metadata's, if it
/// stands before the first byte that is no JSON or MessagePack. `None`: the proxy has to time out.
#[must_use]
pub fn salvage_correlation_id(encoding: Encoding, payload: &[u8]) -> Option<Cow<'_, str>> {
    let mut found = Found::default();
    // What fails here failed before; what was found until then is the result.
    let _ = match encoding {
        Encoding::Json => {
            let mut reader = serde_json::Deserializer::from_slice(payload);
            Search::Top(&mut found).deserialize(&mut reader).is_ok()
        }
        Encoding::MsgPack => {
            let mut reader = rmp_serde::Deserializer::from_read_ref(payload);
            reader.set_max_depth(MAX_DEPTH);
            Search::Top(&mut found).deserialize(&mut reader).is_ok()
        }
    };
    found
        .top
        .or(found.metadata)
        .filter(|id| !id.is_empty() && id.len() <= MAX_ID_BYTES)
}

#[derive(Default)]
struct Found<'a> {
    top: Option<Cow<'a, str>>,
    metadata: Option<Cow<'a, str>>,
}

/// Takes whatever stands at a place of the payload, and remembers ids on the way.
enum Search<'f, 'a> {
    Top(&'f mut Found<'a>),
    Metadata(&'f mut Found<'a>),
    TopId(&'f mut Found<'a>),
    MetadataId(&'f mut Found<'a>),
}

/// The keys on the way to an id.
enum Step {
    Id,
    Metadata,
    Other,
}

impl<'de> Search<'_, 'de> {
    /// The search behind `step`, or `None` where no id can be.
    fn below(&mut self, step: &Step) -> Option<Search<'_, 'de>> {
        match (self, step) {
            (Search::Top(found), Step::Id) => Some(Search::TopId(found)),
            (Search::Top(found), Step::Metadata) => Some(Search::Metadata(found)),
            (Search::Metadata(found), Step::Id) => Some(Search::MetadataId(found)),
            _ => None,
        }
    }

    fn keep(self, text: Cow<'de, str>) {
        match self {
            Search::TopId(found) => _ = found.top.get_or_insert(text),
            Search::MetadataId(found) => _ = found.metadata.get_or_insert(text),
            Search::Top(_) | Search::Metadata(_) => {}
        }
    }
}

impl<'de> DeserializeSeed<'de> for Search<'_, 'de> {
    type Value = ();

    fn deserialize<D: de::Deserializer<'de>>(self, input: D) -> Result<(), D::Error> {
        input.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Search<'_, 'de> {
    type Value = ();

    fn expecting(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.write_str("anything")
    }

    fn visit_bool<E: de::Error>(self, _: bool) -> Result<(), E> {
        Ok(())
    }

    fn visit_i64<E: de::Error>(self, _: i64) -> Result<(), E> {
        Ok(())
    }

    fn visit_u64<E: de::Error>(self, _: u64) -> Result<(), E> {
        Ok(())
    }

    fn visit_f64<E: de::Error>(self, _: f64) -> Result<(), E> {
        Ok(())
    }

    fn visit_unit<E: de::Error>(self) -> Result<(), E> {
        Ok(())
    }

    fn visit_bytes<E: de::Error>(self, _: &[u8]) -> Result<(), E> {
        Ok(())
    }

    fn visit_str<E: de::Error>(self, text: &str) -> Result<(), E> {
        // Longer than any id we echo: not worth a copy.
        if text.len() <= MAX_ID_BYTES {
            self.keep(Cow::Owned(text.to_owned()));
        }
        Ok(())
    }

    fn visit_borrowed_str<E: de::Error>(self, text: &'de str) -> Result<(), E> {
        self.keep(Cow::Borrowed(text));
        Ok(())
    }

    fn visit_map<A: MapAccess<'de>>(mut self, mut map: A) -> Result<(), A::Error> {
        while let Some(step) = map.next_key::<Step>()? {
            match self.below(&step) {
                Some(search) => map.next_value_seed(search)?,
                None => map.next_value::<IgnoredAny>().map(drop)?,
            }
        }
        Ok(())
    }

    /// Positional metadata and events begin with the id, positional headers with the metadata.
    fn visit_seq<A: SeqAccess<'de>>(mut self, mut seq: A) -> Result<(), A::Error> {
        if let Some(search) = self.below(&Step::Id) {
            seq.next_element_seed(search)?;
        }
        while seq.next_element::<IgnoredAny>()?.is_some() {}
        Ok(())
    }
}

impl<'de> de::Deserialize<'de> for Step {
    fn deserialize<D: de::Deserializer<'de>>(input: D) -> Result<Self, D::Error> {
        input.deserialize_identifier(StepKey)
    }
}

struct StepKey;

impl Visitor<'_> for StepKey {
    type Value = Step;

    fn expecting(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.write_str("a field's name")
    }

    fn visit_str<E: de::Error>(self, key: &str) -> Result<Step, E> {
        Ok(match key {
            "correlation_id" => Step::Id,
            "metadata" => Step::Metadata,
            _ => Step::Other,
        })
    }
}
