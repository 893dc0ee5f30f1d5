//! Version 1: one JSON request, one JSON answer, in turn (agent protocol, section 9; Sentinel only).
//!
//! No handshake, no type byte, no routing by id. Events inside are those of version 2.

use std::borrow::Cow;
use std::marker::PhantomData;

use serde::de::{self, DeserializeSeed, Visitor};
use serde_json::value::RawValue;

use super::Encoding;
use super::configure::{CONFIG, read_config};
use super::error::{About, PayloadError, Rule};
use super::event::missing;
use super::object::{Field, Message, Trace, Value, parse as parse_object};
use super::text::OptionalId;

/// The only value of `version`, in requests and answers.
pub const VERSION: u32 = 1;

const REQUEST: About = About {
    name: "version 1 request",
    section: 9,
};
const CONFIGURE: About = About {
    name: "version 1 configure",
    section: 9,
};

/// Every event of version 1.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum EventType {
    /// Once, after connecting; the answer must be allow.
    Configure,
    /// The question this agent exists for.
    RequestHeaders,
    /// A piece of a request's body.
    RequestBodyChunk,
    /// An upstream's response headers.
    ResponseHeaders,
    /// A piece of a response's body.
    ResponseBodyChunk,
    /// A request is over.
    RequestComplete,
    /// A WebSocket frame.
    WebSocketFrame,
    /// Content for a guardrail.
    GuardrailInspect,
}

impl EventType {
    fn from_name(name: &str) -> Option<Self> {
        Some(match name {
            "configure" => Self::Configure,
            "request_headers" => Self::RequestHeaders,
            "request_body_chunk" => Self::RequestBodyChunk,
            "response_headers" => Self::ResponseHeaders,
            "response_body_chunk" => Self::ResponseBodyChunk,
            "request_complete" => Self::RequestComplete,
            "web_socket_frame" => Self::WebSocketFrame,
            "guardrail_inspect" => Self::GuardrailInspect,
            _ => return None,
        })
    }
}

/// A request of version 1.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Request<'a> {
    /// What `payload` is.
    pub event: EventType,
    /// The event as JSON text: for [`super::event`], or [`configure`].
    pub payload: &'a str,
}

/// Reads the envelope of a request.
///
/// # Errors
/// Not the envelope, or its version is not 1.
pub fn parse(message: &[u8]) -> Result<Request<'_>, PayloadError> {
    let mut envelope = Envelope::default();
    parse_object(REQUEST, Encoding::Json, message, &mut envelope)?;
    if envelope.version.is_none() {
        return Err(missing(REQUEST, "version"));
    }
    Ok(Request {
        event: envelope
            .event
            .ok_or_else(|| missing(REQUEST, "event_type"))?,
        payload: envelope
            .payload
            .ok_or_else(|| missing(REQUEST, "payload"))?,
    })
}

#[derive(Default)]
struct Envelope<'a> {
    version: Option<()>,
    event: Option<EventType>,
    payload: Option<&'a str>,
}

impl<'a> Message<'a> for Envelope<'a> {
    const FIELDS: &'static [Field] = &[
        Field {
            key: "version",
            path: "version",
            must_be: "the number 1",
        },
        Field {
            key: "event_type",
            path: "event_type",
            must_be: "a string",
        },
        Field {
            key: "payload",
            path: "payload",
            must_be: "an object",
        },
    ];

    fn field<V: Value<'a>>(
        &mut self,
        index: usize,
        value: V,
        trace: &Trace,
    ) -> Result<(), V::Error> {
        match index {
            0 => {
                if value.read(PhantomData::<u64>)? != u64::from(VERSION) {
                    return Err(trace.fail(Rule::WrongType("the number 1")));
                }
                self.version = Some(());
            }
            1 => self.event = Some(value.read(EventName(trace))?),
            _ => self.payload = Some(value.read(PhantomData::<&'a RawValue>)?.get()),
        }
        Ok(())
    }
}

struct EventName<'t>(&'t Trace);

impl<'de> DeserializeSeed<'de> for EventName<'_> {
    type Value = EventType;

    fn deserialize<D: de::Deserializer<'de>>(self, input: D) -> Result<EventType, D::Error> {
        input.deserialize_str(self)
    }
}

impl Visitor<'_> for EventName<'_> {
    type Value = EventType;

    fn expecting(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.write_str("an event's name")
    }

    fn visit_str<E: de::Error>(self, name: &str) -> Result<EventType, E> {
        EventType::from_name(name).ok_or_else(|| self.0.fail(Rule::UnknownName))
    }
}

/// The configuration that a version 1 proxy sends after connecting.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Configure<'a> {
    /// The agent's id in the proxy's configuration.
    pub agent_id: Option<Cow<'a, str>>,
    /// The block as JSON text; `None` for null.
    pub config: Option<Cow<'a, str>>,
}

/// Reads the payload of a configure request.
///
/// # Errors
/// Not the message; to be answered with a block.
pub fn configure(payload: &str) -> Result<Configure<'_>, PayloadError> {
    let mut event = ConfigureEvent::default();
    parse_object(CONFIGURE, Encoding::Json, payload.as_bytes(), &mut event)?;
    Ok(Configure {
        agent_id: event.agent_id,
        config: event.config.ok_or_else(|| missing(CONFIGURE, "config"))?,
    })
}

#[derive(Default)]
struct ConfigureEvent<'a> {
    agent_id: Option<Cow<'a, str>>,
    /// Outer: was it given; inner: was it more than null.
    config: Option<Option<Cow<'a, str>>>,
}

impl<'a> Message<'a> for ConfigureEvent<'a> {
    const FIELDS: &'static [Field] = &[
        Field {
            key: "agent_id",
            path: "agent_id",
            must_be: "a string",
        },
        CONFIG,
    ];

    fn field<V: Value<'a>>(
        &mut self,
        index: usize,
        value: V,
        trace: &Trace,
    ) -> Result<(), V::Error> {
        match index {
            0 => self.agent_id = value.read(OptionalId(trace))?,
            _ => self.config = Some(read_config(value, trace)?),
        }
        Ok(())
    }
}
