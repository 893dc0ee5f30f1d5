//! The first exchange on a v2 connection; always JSON (agent protocol, section 2).

use std::borrow::Cow;
use std::marker::PhantomData;

use serde_json::value::RawValue;

use super::Encoding;
use super::error::{About, PayloadError, Rule};
use super::event::missing;
use super::json;
use super::object::{Field, Message, Trace, Value, parse as parse_object};
use super::text::{Each, EachText, OptionalId};

/// The only version spoken on a framed socket.
pub const VERSION: u32 = 2;

const ABOUT: About = About {
    name: "HandshakeRequest",
    section: 2,
};

/// What the proxy says of itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HandshakeRequest<'a> {
    /// `sentinel-proxy` or `zentinel-proxy`, as far as the peer tells the truth.
    pub proxy_id: Option<Cow<'a, str>>,
    /// The proxy's own version.
    pub proxy_version: Option<Cow<'a, str>>,
    /// The agent's `config` block as JSON text; `None` for null and absent.
    pub config: Option<&'a str>,
    /// The encoding to answer with: the first the proxy names that we speak, else JSON.
    pub encoding: Encoding,
}

/// Reads the proxy's handshake.
///
/// # Errors
/// Not the message, or version 2 is not among the supported ones.
pub fn parse(payload: &[u8]) -> Result<HandshakeRequest<'_>, PayloadError> {
    let mut request = Request::default();
    parse_object(ABOUT, Encoding::Json, payload, &mut request)?;
    match request.versions {
        Versions::Missing => return Err(missing(ABOUT, "supported_versions")),
        Versions::WithoutOurs => {
            return Err(PayloadError {
                about: ABOUT,
                field: "supported_versions",
                rule: Rule::UnsupportedVersion(VERSION),
                place: None,
            });
        }
        Versions::WithOurs => {}
    }
    Ok(HandshakeRequest {
        proxy_id: request.proxy_id,
        proxy_version: request.proxy_version,
        config: request.config,
        encoding: request.encoding.unwrap_or_default(),
    })
}

#[derive(Default)]
struct Request<'a> {
    versions: Versions,
    proxy_id: Option<Cow<'a, str>>,
    proxy_version: Option<Cow<'a, str>>,
    config: Option<&'a str>,
    encoding: Option<Encoding>,
}

#[derive(Default)]
enum Versions {
    #[default]
    Missing,
    WithoutOurs,
    WithOurs,
}

impl<'a> Message<'a> for Request<'a> {
    const FIELDS: &'static [Field] = &[
        Field {
            key: "supported_versions",
            path: "supported_versions",
            must_be: "an array of numbers",
        },
        Field {
            key: "proxy_id",
            path: "proxy_id",
            must_be: "a string",
        },
        Field {
            key: "proxy_version",
            path: "proxy_version",
            must_be: "a string",
        },
        Field {
            key: "config",
            path: "config",
            must_be: "a JSON value",
        },
        Field {
            key: "supported_encodings",
            path: "supported_encodings",
            must_be: "an array of strings",
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
                let mut ours = Versions::WithoutOurs;
                value.read(Each(|version| {
                    if version == u64::from(VERSION) {
                        ours = Versions::WithOurs;
                    }
                }))?;
                self.versions = ours;
            }
            1 => self.proxy_id = value.read(OptionalId(trace))?,
            2 => self.proxy_version = value.read(OptionalId(trace))?,
            3 => {
                self.config = value
                    .read(PhantomData::<Option<&'a RawValue>>)?
                    .map(RawValue::get);
            }
            _ => {
                let encoding = &mut self.encoding;
                value.read(EachText(|name: &str| {
                    *encoding = encoding.or(known_encoding(name));
                }))?;
            }
        }
        Ok(())
    }
}

fn known_encoding(name: &str) -> Option<Encoding> {
    [Encoding::Json, Encoding::MsgPack]
        .into_iter()
        .find(|encoding| encoding.as_str() == name)
}

/// Events an agent can be asked about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Event {
    /// A pushed configuration.
    Configure,
    /// A request's headers.
    RequestHeaders,
}

impl Event {
    /// Its number in a handshake on a Unix socket.
    #[must_use]
    pub const fn uds_number(self) -> i32 {
        match self {
            Self::Configure => 0,
            Self::RequestHeaders => 1,
        }
    }

    /// Its number in a handshake over gRPC, where 0 is invalid (agent protocol, section 2).
    #[must_use]
    pub const fn grpc_number(self) -> i32 {
        match self {
            Self::Configure => 8,
            Self::RequestHeaders => 1,
        }
    }
}

/// What this agent says of itself. Features it can never have (bodies, WebSockets, guardrails, flow
/// control) are written as absent.
#[derive(Debug, Clone, Copy)]
pub struct Capabilities<'a> {
    /// The agent's id, as in the proxy's configuration.
    pub agent_id: &'a str,
    /// A name for people.
    pub name: &'a str,
    /// The agent's version.
    pub version: &'a str,
    /// Events it wants.
    pub events: &'a [Event],
    /// Requests answered at once on one connection.
    pub max_concurrency: u32,
}

/// Bytes per body chunk that an agent has to name although it takes none; the clients' default.
pub(super) const PREFERRED_CHUNK_BYTES: u64 = 65_536;

/// Appends the payload that accepts the handshake.
pub fn accept(out: &mut Vec<u8>, capabilities: &Capabilities<'_>, encoding: Encoding) {
    respond(out, capabilities, None, encoding);
}

/// Appends the payload that refuses the handshake; the connection is to be closed after it. The
/// proxy logs `error`.
pub fn refuse(out: &mut Vec<u8>, capabilities: &Capabilities<'_>, error: &str) {
    respond(out, capabilities, Some(error), Encoding::Json);
}

/// Every member is written: clients have no defaults inside `features` and `limits`.
fn respond(
    out: &mut Vec<u8>,
    capabilities: &Capabilities<'_>,
    error: Option<&str>,
    encoding: Encoding,
) {
    out.extend_from_slice(b"{\"protocol_version\":2,\"capabilities\":{\"agent_id\":");
    json::string(out, capabilities.agent_id);
    out.extend_from_slice(b",\"name\":");
    json::string(out, capabilities.name);
    out.extend_from_slice(b",\"version\":");
    json::string(out, capabilities.version);
    out.extend_from_slice(b",\"supported_events\":[");
    json::list(out, capabilities.events, |out, event| {
        json::number(out, u64::from(event.uds_number().unsigned_abs()));
    });
    out.extend_from_slice(
        b"],\"features\":{\"streaming_body\":false,\"websocket\":false,\"guardrails\":false,\
          \"config_push\":true,\"metrics_export\":true,\"concurrent_requests\":",
    );
    json::number(out, u64::from(capabilities.max_concurrency));
    out.extend_from_slice(
        b",\"cancellation\":true,\"flow_control\":false,\"health_reporting\":true},\
          \"limits\":{\"max_body_size\":0,\"max_concurrency\":",
    );
    json::number(out, u64::from(capabilities.max_concurrency));
    out.extend_from_slice(b",\"preferred_chunk_size\":");
    json::number(out, PREFERRED_CHUNK_BYTES);
    out.extend_from_slice(b"}},\"success\":");
    match error {
        None => out.extend_from_slice(b"true,\"error\":null"),
        Some(error) => {
            out.extend_from_slice(b"false,\"error\":");
            json::string(out, error);
        }
    }
    out.extend_from_slice(b",\"encoding\":");
    json::string(out, encoding.as_str());
    out.push(b'}');
}
