//! Every bound of the agent protocol's messages, with where its number comes from.

/// Longest v2 frame, type byte included: 16 MiB (agent protocol, section 1; readers refuse more).
pub const MAX_FRAME_BYTES: u32 = 16 * 1024 * 1024;

/// Longest v2 payload: a frame less its type byte. Writers of the proxies allow one byte more than
/// their readers take, so we count as the readers do.
pub const MAX_PAYLOAD_BYTES: usize = 16 * 1024 * 1024 - 1;

/// Longest v1 message: 10 MiB (agent protocol, section 9).
pub const MAX_V1_BYTES: u32 = 10 * 1024 * 1024;

/// Longest identifier taken from a peer: correlation id, request id, client address, proxy name.
/// Real ones are trace ids, UUIDs and names below 100 bytes; each is copied into the reply or the
/// audit record, so it must not be as long as a frame.
pub const MAX_ID_BYTES: usize = 1024;

/// Deepest nesting of arrays and maps in MessagePack. The same number that serde_json uses where it
/// recurses; events need four levels.
pub const MAX_DEPTH: usize = 128;

/// Longest configuration after MessagePack was rewritten as JSON: one frame. MessagePack says in one
/// byte what takes JSON six, so the input's length is no bound.
pub const MAX_CONFIG_BYTES: usize = 16 * 1024 * 1024;

/// Longest gRPC message to decode: tonic's default, which both clients count on (agent protocol,
/// section 8). An empty header takes two bytes on the wire and some 60 in memory, so decoding can
/// cost thirty times this.
pub const MAX_GRPC_MESSAGE_BYTES: usize = 4 * 1024 * 1024;
