//! Frames: `u32` big-endian length, one byte of type, payload; the length counts the type byte.

use std::io;

use tokio::io::{AsyncRead, AsyncReadExt as _};

/// The largest length a frame may name.
pub const MAX_FRAME_BYTES: usize = 16 * 1024 * 1024;

/// The type bytes of the protocol.
pub mod kind {
    /// Proxy to agent: the first frame.
    pub const HANDSHAKE_REQUEST: u8 = 0x01;
    /// Agent to proxy: its answer.
    pub const HANDSHAKE_RESPONSE: u8 = 0x02;
    /// Proxy to agent: a request's head.
    pub const REQUEST_HEADERS: u8 = 0x10;
    /// Proxy to agent: a response's head.
    pub const RESPONSE_HEADERS: u8 = 0x12;
    /// Proxy to agent: a configuration.
    pub const CONFIGURE: u8 = 0x17;
    /// Agent to proxy: the answer to an event.
    pub const AGENT_RESPONSE: u8 = 0x20;
    /// Agent to proxy: its health.
    pub const HEALTH_STATUS: u8 = 0x30;
    /// Agent to proxy: its metrics.
    pub const METRICS_REPORT: u8 = 0x31;
    /// Agent to proxy: asks for a configuration.
    pub const CONFIG_UPDATE_REQUEST: u8 = 0x32;
    /// Agent to proxy: pause or resume.
    pub const FLOW_CONTROL: u8 = 0x33;
    /// Proxy to agent: a request is moot.
    pub const CANCEL: u8 = 0x40;
    /// Proxy to agent: are you there?
    pub const PING: u8 = 0x41;
    /// Agent to proxy: yes.
    pub const PONG: u8 = 0x42;
}

/// One frame.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Frame {
    /// Its type.
    pub kind: u8,
    /// Its payload.
    pub payload: Vec<u8>,
}

impl Frame {
    /// The bytes on the wire; none when the payload is too long for a frame.
    #[must_use]
    pub fn encode(&self) -> Option<Vec<u8>> {
        let length = self.payload.len() + 1;
        if length > MAX_FRAME_BYTES {
            return None;
        }
        let mut bytes = Vec::with_capacity(length + 4);
        bytes.extend(u32::try_from(length).ok()?.to_be_bytes());
        bytes.push(self.kind);
        bytes.extend(&self.payload);
        Some(bytes)
    }

    /// The next frame; none at an end between frames.
    pub(super) async fn read(reader: &mut (impl AsyncRead + Unpin)) -> io::Result<Option<Self>> {
        let mut length = [0_u8; 4];
        let read = reader.read(&mut length).await?;
        if read == 0 {
            return Ok(None);
        }
        reader
            .read_exact(length.get_mut(read..).unwrap_or_default())
            .await?;
        let length = u32::from_be_bytes(length) as usize;
        if length == 0 || length > MAX_FRAME_BYTES {
            return Err(io::Error::other(format!("a frame of {length} bytes")));
        }
        let kind = reader.read_u8().await?;
        let mut payload = vec![0; length - 1];
        reader.read_exact(&mut payload).await?;
        Ok(Some(Self { kind, payload }))
    }
}
