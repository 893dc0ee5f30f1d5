//! From bytes to frames: incremental, bounded, and never reading past what there is memory for.

use bytes::{Buf as _, BufMut, BytesMut};
use proto::sentinel::frame::{
    Dialect, FrameError, FrameHeader, HEADER_BYTES, MessageType, sniff, v1_header,
};

use super::budget::{FrameMemory, SMALL_FRAME_BYTES};

/// What is read at once while frames are small, bytes.
const CHUNK_BYTES: usize = 16 * 1024;

/// Length prefix of a version 1 message, bytes.
const V1_HEADER_BYTES: usize = 4;

/// What the next payload is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// A version 2 frame.
    V2(MessageType),
    /// A version 1 message.
    V1,
}

/// A whole message.
#[derive(Debug)]
pub(super) struct Message {
    pub(super) kind: Kind,
    pub(super) payload: BytesMut,
    /// Given back when the message has been dealt with.
    _memory: Option<FrameMemory>,
}

impl Message {
    /// Whether it may push a configuration, which takes long.
    pub(super) const fn may_push(&self) -> bool {
        matches!(
            self.kind,
            Kind::V1 | Kind::V2(MessageType::Configure | MessageType::HandshakeRequest)
        )
    }
}

/// Where reading stands.
#[derive(Debug)]
enum Stage {
    /// Nothing was read yet: the first bytes tell the dialect.
    Sniffing,
    /// A header of this dialect is next.
    Header(Speaks),
    /// A payload is next, and there is memory for it, or for its next bytes.
    Payload(Coming, Option<FrameMemory>),
    /// A payload is under way, and there is no memory for its next bytes.
    Short(Coming),
}

#[derive(Clone, Copy, Debug)]
enum Speaks {
    V1,
    V2,
}

/// A payload announced by its header.
#[derive(Clone, Copy, Debug)]
struct Coming {
    kind: Kind,
    bytes: usize,
}

impl Coming {
    const fn is_large(self) -> bool {
        self.bytes > SMALL_FRAME_BYTES
    }
}

/// How many bytes of a payload there is memory for.
fn room(coming: Coming, memory: Option<&FrameMemory>) -> usize {
    let granted = memory.map_or(SMALL_FRAME_BYTES, FrameMemory::granted);
    granted.min(coming.bytes)
}

/// Reads one connection.
#[derive(Debug)]
pub(super) struct Reader {
    buffer: BytesMut,
    stage: Stage,
}

/// What there is to do.
pub(super) enum Next {
    /// Deal with this.
    Message(Message),
    /// Read more.
    More,
    /// Have this frame's memory grow, or enter a frame of that many bytes and have that one's grow;
    /// then [`Reader::grant`] it.
    Memory(Option<FrameMemory>, usize),
    /// Nothing: memory was asked for.
    Wait,
}

impl Reader {
    pub(super) fn new() -> Self {
        Self {
            buffer: BytesMut::new(),
            stage: Stage::Sniffing,
        }
    }

    /// Where to read to; has room.
    pub(super) fn space(&mut self) -> impl BufMut {
        let wanted = match &self.stage {
            Stage::Payload(coming, memory) => {
                let room = room(*coming, memory.as_ref()).saturating_sub(self.buffer.len());
                match coming.is_large() {
                    // Nothing beyond what is granted, not even what follows the frame. No room at all
                    // would read like the peer's end.
                    true => room.max(1),
                    false => room.max(CHUNK_BYTES),
                }
            }
            Stage::Sniffing | Stage::Header(_) | Stage::Short(_) => CHUNK_BYTES,
        };
        self.buffer.reserve(wanted);
        (&mut self.buffer).limit(wanted)
    }

    /// Whether a frame is under way that holds memory which others may wait for.
    pub(super) const fn is_large(&self) -> bool {
        matches!(&self.stage, Stage::Payload(_, Some(_)) | Stage::Short(_))
    }

    /// Whether a message has begun and is not whole: it must not take for ever.
    pub(super) fn is_amid(&self) -> bool {
        match self.stage {
            Stage::Sniffing | Stage::Header(_) => !self.buffer.is_empty(),
            Stage::Payload(..) | Stage::Short(_) => true,
        }
    }

    /// Memory that was asked for.
    pub(super) fn grant(&mut self, memory: FrameMemory) {
        if let Stage::Short(coming) = self.stage {
            self.stage = Stage::Payload(coming, Some(memory));
        }
    }

    /// The next message, or what it takes to have it.
    pub(super) fn next(&mut self) -> Result<Next, FrameError> {
        loop {
            match std::mem::replace(&mut self.stage, Stage::Sniffing) {
                Stage::Sniffing => match self.sniff()? {
                    Some(coming) => self.announce(coming),
                    None => return Ok(self.wait(Stage::Sniffing)),
                },
                Stage::Header(speaks) => match self.header(speaks)? {
                    Some(coming) => self.announce(coming),
                    None => return Ok(self.wait(Stage::Header(speaks))),
                },
                Stage::Short(coming) => {
                    self.stage = Stage::Short(coming);
                    return Ok(Next::Wait);
                }
                Stage::Payload(coming, memory)
                    if self.buffer.len() < room(coming, memory.as_ref()) =>
                {
                    return Ok(self.wait(Stage::Payload(coming, memory)));
                }
                Stage::Payload(coming, memory) if self.buffer.len() < coming.bytes => {
                    self.stage = Stage::Short(coming);
                    return Ok(Next::Memory(memory, coming.bytes));
                }
                Stage::Payload(coming, memory) => {
                    return Ok(Next::Message(self.take(coming, memory)));
                }
            }
        }
    }

    fn wait(&mut self, stage: Stage) -> Next {
        self.stage = stage;
        Next::More
    }

    fn announce(&mut self, coming: Coming) {
        self.stage = Stage::Payload(coming, None);
    }

    fn take(&mut self, coming: Coming, memory: Option<FrameMemory>) -> Message {
        self.stage = Stage::Header(match coming.kind {
            Kind::V1 => Speaks::V1,
            Kind::V2(_) => Speaks::V2,
        });
        let payload = self.buffer.split_to(coming.bytes);
        if memory.is_some() {
            // The buffer would be used again, and keep what the budget thinks was given back.
            self.buffer = BytesMut::from(&*self.buffer);
        }
        Message {
            kind: coming.kind,
            payload,
            _memory: memory,
        }
    }

    fn sniff(&mut self) -> Result<Option<Coming>, FrameError> {
        let Some(first) = self.buffer.first_chunk::<HEADER_BYTES>() else {
            return Ok(None);
        };
        let coming = match sniff(*first)? {
            Dialect::V1 { rest_len } => {
                // The brace that told the dialect is the message's own.
                self.buffer.advance(V1_HEADER_BYTES);
                Coming {
                    kind: Kind::V1,
                    bytes: rest_len + 1,
                }
            }
            Dialect::V2 { payload_len } => {
                self.buffer.advance(HEADER_BYTES);
                Coming {
                    kind: Kind::V2(MessageType::HandshakeRequest),
                    bytes: payload_len,
                }
            }
        };
        Ok(Some(coming))
    }

    fn header(&mut self, speaks: Speaks) -> Result<Option<Coming>, FrameError> {
        match speaks {
            Speaks::V1 => {
                let Some(prefix) = self.buffer.first_chunk::<V1_HEADER_BYTES>() else {
                    return Ok(None);
                };
                let bytes = v1_header(*prefix)?;
                self.buffer.advance(V1_HEADER_BYTES);
                Ok(Some(Coming {
                    kind: Kind::V1,
                    bytes,
                }))
            }
            Speaks::V2 => {
                let Some(first) = self.buffer.first_chunk::<HEADER_BYTES>() else {
                    return Ok(None);
                };
                let header = FrameHeader::parse(*first)?;
                self.buffer.advance(HEADER_BYTES);
                Ok(Some(Coming {
                    kind: Kind::V2(header.kind()),
                    bytes: header.payload_len(),
                }))
            }
        }
    }
}
