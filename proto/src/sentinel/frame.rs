//! Length-prefixed frames on Unix sockets (agent protocol, sections 1 and 9).
//!
//! Header and payload are read apart: between them the caller takes the payload's memory from a
//! budget that all connections share.

use super::limits::{MAX_FRAME_BYTES, MAX_PAYLOAD_BYTES, MAX_V1_BYTES};

/// Bytes before a v2 payload: length and type.
pub const HEADER_BYTES: usize = 5;

/// Why bytes are not a frame. The connection cannot go on after any of these.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum FrameError {
    /// The length counts the type byte, so it is at least 1.
    #[error("frame length is 0, but it counts the type byte (agent protocol, section 1)")]
    Empty,
    /// Longer than a v2 frame may be.
    #[error(
        "frame length {length} is over the limit of {MAX_FRAME_BYTES} bytes (agent protocol, section 1)"
    )]
    TooLong {
        /// The announced length, type byte included.
        length: u32,
    },
    /// The bytes of a client that speaks something else; as a length they are over every limit.
    #[error(
        "this is {0}, not the agent protocol: is that client meant for the admin listener or the gRPC door? (agent protocol, section 1)"
    )]
    Foreign(&'static str),
    /// Longer than a v1 message may be.
    #[error(
        "version 1 message length {length} is over the limit of {MAX_V1_BYTES} bytes (agent protocol, section 9)"
    )]
    V1TooLong {
        /// The announced length.
        length: u32,
    },
    /// Type bytes are a closed set on this wire.
    #[error("frame type {0:#04x} is not a type of the protocol (agent protocol, section 1)")]
    UnknownType(u8),
    /// A v2 connection begins with a handshake, a v1 connection with a JSON object.
    #[error(
        "the first frame's type is {0:#04x}: neither a handshake nor a version 1 message (agent protocol, sections 1 and 9)"
    )]
    NoHandshake(u8),
    /// What we were about to write does not fit a frame.
    #[error(
        "payload of {length} bytes is over the limit of {MAX_PAYLOAD_BYTES} bytes (agent protocol, section 1)"
    )]
    PayloadTooLong {
        /// Bytes that were to be sent.
        length: usize,
    },
}

/// Who sends a type of message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sender {
    /// The proxy, which asks.
    Proxy,
    /// The agent, which answers.
    Agent,
}

/// Every type of a v2 frame (agent protocol, section 1).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum MessageType {
    /// First frame of a connection; always JSON.
    HandshakeRequest = 0x01,
    /// Its answer; always JSON.
    HandshakeResponse = 0x02,
    /// A request's headers: the question this agent exists for.
    RequestHeaders = 0x10,
    /// A piece of a request's body.
    RequestBodyChunk = 0x11,
    /// An upstream's response headers.
    ResponseHeaders = 0x12,
    /// A piece of a response's body.
    ResponseBodyChunk = 0x13,
    /// A request is over.
    RequestComplete = 0x14,
    /// A WebSocket frame.
    WebSocketFrame = 0x15,
    /// Content for a guardrail.
    GuardrailInspect = 0x16,
    /// A pushed configuration.
    Configure = 0x17,
    /// The answer to every event.
    AgentResponse = 0x20,
    /// How the agent is.
    HealthStatus = 0x30,
    /// The agent's counters.
    MetricsReport = 0x31,
    /// The agent asks for configuration.
    ConfigUpdateRequest = 0x32,
    /// The agent asks for pause.
    FlowControl = 0x33,
    /// An answer is no longer wanted; always JSON.
    Cancel = 0x40,
    /// Are you there; always JSON.
    Ping = 0x41,
    /// Yes.
    Pong = 0x42,
}

impl MessageType {
    /// Every type, in wire order.
    pub const ALL: [Self; 18] = [
        Self::HandshakeRequest,
        Self::HandshakeResponse,
        Self::RequestHeaders,
        Self::RequestBodyChunk,
        Self::ResponseHeaders,
        Self::ResponseBodyChunk,
        Self::RequestComplete,
        Self::WebSocketFrame,
        Self::GuardrailInspect,
        Self::Configure,
        Self::AgentResponse,
        Self::HealthStatus,
        Self::MetricsReport,
        Self::ConfigUpdateRequest,
        Self::FlowControl,
        Self::Cancel,
        Self::Ping,
        Self::Pong,
    ];

    /// The protocol's name of the type.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::HandshakeRequest => "HandshakeRequest",
            Self::HandshakeResponse => "HandshakeResponse",
            Self::RequestHeaders => "RequestHeaders",
            Self::RequestBodyChunk => "RequestBodyChunk",
            Self::ResponseHeaders => "ResponseHeaders",
            Self::ResponseBodyChunk => "ResponseBodyChunk",
            Self::RequestComplete => "RequestComplete",
            Self::WebSocketFrame => "WebSocketFrame",
            Self::GuardrailInspect => "GuardrailInspect",
            Self::Configure => "Configure",
            Self::AgentResponse => "AgentResponse",
            Self::HealthStatus => "HealthStatus",
            Self::MetricsReport => "MetricsReport",
            Self::ConfigUpdateRequest => "ConfigUpdateRequest",
            Self::FlowControl => "FlowControl",
            Self::Cancel => "Cancel",
            Self::Ping => "Ping",
            Self::Pong => "Pong",
        }
    }

    /// Who may send it.
    #[must_use]
    pub const fn sender(self) -> Sender {
        match self {
            Self::HandshakeRequest
            | Self::RequestHeaders
            | Self::RequestBodyChunk
            | Self::ResponseHeaders
            | Self::ResponseBodyChunk
            | Self::RequestComplete
            | Self::WebSocketFrame
            | Self::GuardrailInspect
            | Self::Configure
            | Self::Cancel
            | Self::Ping => Sender::Proxy,
            Self::HandshakeResponse
            | Self::AgentResponse
            | Self::HealthStatus
            | Self::MetricsReport
            | Self::ConfigUpdateRequest
            | Self::FlowControl
            | Self::Pong => Sender::Agent,
        }
    }
}

impl TryFrom<u8> for MessageType {
    type Error = FrameError;

    fn try_from(byte: u8) -> Result<Self, FrameError> {
        Self::ALL
            .into_iter()
            .find(|kind| *kind as u8 == byte)
            .ok_or(FrameError::UnknownType(byte))
    }
}

/// The first five bytes of a v2 frame, checked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FrameHeader {
    kind: MessageType,
    payload_len: usize,
}

impl FrameHeader {
    /// Checks length and type. Lengths come first: they decide whether memory is taken.
    ///
    /// # Errors
    /// A length of 0 or over [`MAX_FRAME_BYTES`], or an unknown type.
    pub fn parse(bytes: [u8; HEADER_BYTES]) -> Result<Self, FrameError> {
        let (length, byte) = split(bytes);
        let payload_len = match length {
            0 => return Err(FrameError::Empty),
            1..=MAX_FRAME_BYTES => (length - 1) as usize,
            _ => return Err(FrameError::TooLong { length }),
        };
        Ok(Self {
            kind: MessageType::try_from(byte)?,
            payload_len,
        })
    }

    /// What the payload is.
    #[must_use]
    pub const fn kind(self) -> MessageType {
        self.kind
    }

    /// Bytes of payload that follow; at most [`MAX_PAYLOAD_BYTES`].
    #[must_use]
    pub const fn payload_len(self) -> usize {
        self.payload_len
    }
}

/// What the first five bytes of a connection say about it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Dialect {
    /// Version 1: the fifth byte was the payload's first, `{`.
    V1 {
        /// Bytes of the message that follow, without the `{` already read.
        rest_len: usize,
    },
    /// Version 2, whose first frame is a handshake.
    V2 {
        /// Bytes of the handshake's payload.
        payload_len: usize,
    },
}

/// Tells version 1 from version 2 by the fifth byte: no v2 type is `{`, and v1 sends JSON objects.
///
/// # Errors
/// A length out of the dialect's bounds, or a v2 frame that is no handshake.
pub fn sniff(first: [u8; HEADER_BYTES]) -> Result<Dialect, FrameError> {
    dialect(first).map_err(|error| match (error, foreign(first)) {
        (FrameError::TooLong { .. } | FrameError::V1TooLong { .. }, Some(spoken)) => {
            FrameError::Foreign(spoken)
        }
        (error, _) => error,
    })
}

/// What other clients begin with, as far as the length of a frame reaches.
const METHODS: [&[u8]; 9] = [
    b"GET ", b"HEAD", b"POST", b"PUT ", b"DELE", b"OPTI", b"PATC", b"CONN", b"TRAC",
];

/// What is spoken instead (RFC 9110, section 9; RFC 9113, section 3.4; RFC 8446, section 5.1).
fn foreign(first: [u8; HEADER_BYTES]) -> Option<&'static str> {
    match first {
        [0x16, 0x03, ..] => Some("TLS"),
        [b'P', b'R', b'I', b' ', _] => Some("HTTP/2"),
        _ if METHODS.iter().any(|method| first.starts_with(method)) => Some("HTTP"),
        _ => None,
    }
}

fn dialect(first: [u8; HEADER_BYTES]) -> Result<Dialect, FrameError> {
    let (length, byte) = split(first);
    if byte == b'{' && length != 0 {
        let rest_len = v1_payload_len(length)?.saturating_sub(1);
        return Ok(Dialect::V1 { rest_len });
    }
    match FrameHeader::parse(first) {
        Ok(header) if header.kind == MessageType::HandshakeRequest => Ok(Dialect::V2 {
            payload_len: header.payload_len,
        }),
        Ok(_) | Err(FrameError::UnknownType(_)) => Err(FrameError::NoHandshake(byte)),
        Err(error) => Err(error),
    }
}

/// Checks the length of a v1 message, which is all its header.
///
/// # Errors
/// 0, or over [`MAX_V1_BYTES`].
pub fn v1_header(bytes: [u8; 4]) -> Result<usize, FrameError> {
    v1_payload_len(u32::from_be_bytes(bytes))
}

fn v1_payload_len(length: u32) -> Result<usize, FrameError> {
    match length {
        0 => Err(FrameError::Empty),
        1..=MAX_V1_BYTES => Ok(length as usize),
        _ => Err(FrameError::V1TooLong { length }),
    }
}

fn split(bytes: [u8; HEADER_BYTES]) -> (u32, u8) {
    let [a, b, c, d, byte] = bytes;
    (u32::from_be_bytes([a, b, c, d]), byte)
}

/// Appends one v2 frame to `out`: `fill` writes the payload straight behind the header.
///
/// # Errors
/// The payload does not fit a frame; `out` is as it was.
pub fn append(
    out: &mut Vec<u8>,
    kind: MessageType,
    fill: impl FnOnce(&mut Vec<u8>),
) -> Result<(), FrameError> {
    append_prefixed(out, Some(kind as u8), MAX_PAYLOAD_BYTES, fill)
}

/// Appends one v1 message to `out`.
///
/// # Errors
/// The payload is longer than a proxy reads; `out` is as it was.
pub fn append_v1(out: &mut Vec<u8>, fill: impl FnOnce(&mut Vec<u8>)) -> Result<(), FrameError> {
    append_prefixed(out, None, MAX_V1_BYTES as usize, fill)
}

fn append_prefixed(
    out: &mut Vec<u8>,
    type_byte: Option<u8>,
    max_payload: usize,
    fill: impl FnOnce(&mut Vec<u8>),
) -> Result<(), FrameError> {
    let start = out.len();
    out.extend_from_slice(&[0; 4]);
    let counted = out.len();
    out.extend(type_byte);
    let payload = out.len();
    fill(out);
    let length = out.len().saturating_sub(payload);
    let prefix = u32::try_from(out.len().saturating_sub(counted)).ok();
    match (prefix, out.get_mut(start..counted)) {
        (Some(prefix), Some(place)) if length <= max_payload => {
            place.copy_from_slice(&prefix.to_be_bytes());
            Ok(())
        }
        _ => {
            out.truncate(start);
            Err(FrameError::PayloadTooLong { length })
        }
    }
}
