//! The agent protocol of Sentinel and Zentinel, on Unix sockets and gRPC.
//!
//! Bytes in, values out, and back: nothing here reads a socket. A connection on a Unix socket goes
//!
//! 1. five bytes -> [`frame::sniff`]: which dialect, how long the first payload is;
//! 2. the first payload -> [`handshake::parse`], answered by [`handshake::accept`] or `refuse`;
//! 3. five bytes each -> [`frame::FrameHeader::parse`]; the caller takes the payload's memory from
//!    its budget *before* it reads it, then hands it to [`event`], [`configure`] or [`control`];
//! 4. the answer -> [`reply::Reply::render`] inside [`frame::append`].
//!
//! An older proxy speaks [`v1`] on the same socket; [`grpc`] carries the same messages as protobuf.
//! Every refusal is a [`PayloadError`] or a [`frame::FrameError`]: they name the message, the field,
//! the rule and the place, and never repeat what the peer sent. "Agent protocol, section N" in
//! them is the protocol's description, section N: 1 framing, 2 handshake, 3 configuration, 4 events,
//! 5 replies, 6 control messages, 8 gRPC, 9 version 1.

pub mod configure;
pub mod control;
pub mod event;
pub mod frame;
pub mod grpc;
pub mod handshake;
pub mod limits;
pub mod reply;
pub mod v1;

mod error;
mod json;
mod msgpack;
mod object;
mod text;

pub use error::{PayloadError, Rule};

/// How payloads are written after the handshake (agent protocol, section 2).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Encoding {
    /// What every proxy speaks.
    #[default]
    Json,
    /// MessagePack: structs as maps (Zentinel, and what we write) or positional arrays (Sentinel).
    MsgPack,
}

impl Encoding {
    /// The name on the wire.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Json => "json",
            Self::MsgPack => "msgpack",
        }
    }
}
