//! The answer to an event (agent protocol, section 5).
//!
//! Deployed proxies forward a request that was answered with a challenge, and answer a redirect
//! with an error of their own: so [`Decision`] has neither. Clients find the request an answer
//! belongs to by `audit.custom.correlation_id` and nothing else: so the renderer writes it itself,
//! into every answer.

mod wire;

use wire::Wire;

use super::Encoding;
use super::json;

/// The key under which clients look for the address of an answer.
pub const CORRELATION_KEY: &str = "correlation_id";

/// Which version's answer it is; a version 1 proxy checks the number.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Version {
    /// One answer per request, in turn.
    V1,
    /// Multiplexed.
    V2,
}

impl Version {
    const fn number(self) -> u32 {
        match self {
            Self::V1 => super::v1::VERSION,
            Self::V2 => super::handshake::VERSION,
        }
    }
}

/// The HTTP status of a block: an error of the client or the server, never a success.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BlockStatus(u16);

/// A status that would not tell the client it was refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("status {0} is not an error: a block answers 400 to 599 (agent protocol, section 5)")]
pub struct NotAnErrorStatus(u16);

impl BlockStatus {
    /// 400: the event could not be read.
    pub const BAD_REQUEST: Self = Self(400);
    /// 401: who is calling is not established.
    pub const UNAUTHORIZED: Self = Self(401);
    /// 403: the caller may not.
    pub const FORBIDDEN: Self = Self(403);
    /// 500: our fault.
    pub const INTERNAL: Self = Self(500);
    /// 503: not now.
    pub const UNAVAILABLE: Self = Self(503);

    /// The number.
    #[must_use]
    pub const fn as_u16(self) -> u16 {
        self.0
    }
}

impl TryFrom<u16> for BlockStatus {
    type Error = NotAnErrorStatus;

    fn try_from(status: u16) -> Result<Self, NotAnErrorStatus> {
        match status {
            400..=599 => Ok(Self(status)),
            _ => Err(NotAnErrorStatus(status)),
        }
    }
}

/// What the proxy is to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Decision<'a> {
    /// Forward, or accept.
    Allow,
    /// Answer in the upstream's place, or reject.
    Block {
        /// The HTTP status.
        status: BlockStatus,
        /// The HTTP body; for Configure the reason that the proxy logs.
        body: &'a str,
        /// HTTP headers; deployed proxies drop them.
        headers: &'a [(&'a str, &'a str)],
    },
}

/// A change to the request's headers, applied in order, on an allow only.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum HeaderOp<'a> {
    /// One line of this name, whatever was there.
    Set {
        /// Header name.
        name: &'a str,
        /// Header value.
        value: &'a str,
    },
    /// No line of this name.
    Remove {
        /// Header name.
        name: &'a str,
    },
}

/// What the proxy logs, and shows to the agents behind us.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Audit<'a> {
    /// Labels.
    pub tags: &'a [&'a str],
    /// Rules that matched.
    pub rule_ids: &'a [&'a str],
    /// Reasons.
    pub reason_codes: &'a [&'a str],
    /// Anything else. A key `correlation_id` is dropped: the renderer owns it.
    pub custom: &'a [(&'a str, &'a str)],
}

/// What is to become of a WebSocket frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum WebSocket<'a> {
    /// The event was no WebSocket frame.
    #[default]
    NotAsked,
    /// Pass it on.
    Allow,
    /// Swallow it.
    Drop,
    /// Close the connection.
    Close {
        /// Close code (RFC 6455, section 7.4).
        code: u16,
        /// Close reason.
        reason: &'a str,
    },
}

/// The answer to one event.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Reply<'a> {
    /// What to do.
    pub decision: Decision<'a>,
    /// Header changes of an allow.
    pub header_ops: &'a [HeaderOp<'a>],
    /// What to log.
    pub audit: Audit<'a>,
    /// What to do with a WebSocket frame.
    pub websocket: WebSocket<'a>,
}

impl<'a> Reply<'a> {
    /// Allow without changes: for events that we do not judge.
    pub const ALLOW: Self = Self {
        decision: Decision::Allow,
        header_ops: &[],
        audit: Audit {
            tags: &[],
            rule_ids: &[],
            reason_codes: &[],
            custom: &[],
        },
        websocket: WebSocket::NotAsked,
    };

    /// A block with nothing but status and body.
    #[must_use]
    pub const fn block(status: BlockStatus, body: &'a str) -> Self {
        Self {
            decision: Decision::Block {
                status,
                body,
                headers: &[],
            },
            ..Self::ALLOW
        }
    }

    /// Appends the payload of an AgentResponse. `correlation_id` is the event's, byte for byte.
    pub fn render(
        &self,
        out: &mut Vec<u8>,
        version: Version,
        encoding: Encoding,
        correlation_id: &str,
    ) {
        match encoding {
            Encoding::Json => self.render_json(out, version, correlation_id),
            Encoding::MsgPack => super::msgpack::append(
                out,
                &Wire {
                    reply: self,
                    version,
                    correlation_id,
                },
            ),
        }
    }

    /// By hand, since this is the hot path's last step: about a fifth of serde_json's time.
    fn render_json(&self, out: &mut Vec<u8>, version: Version, correlation_id: &str) {
        out.extend_from_slice(match version {
            Version::V1 => b"{\"version\":1,\"decision\":",
            Version::V2 => b"{\"version\":2,\"decision\":",
        });
        decision_json(out, &self.decision);
        out.extend_from_slice(b",\"request_headers\":[");
        json::list(out, self.header_ops, header_op_json);
        out.extend_from_slice(
            b"],\"response_headers\":[],\"routing_metadata\":{},\"audit\":{\"tags\":",
        );
        json::strings(out, self.audit.tags);
        out.extend_from_slice(b",\"rule_ids\":");
        json::strings(out, self.audit.rule_ids);
        out.extend_from_slice(b",\"confidence\":null,\"reason_codes\":");
        json::strings(out, self.audit.reason_codes);
        out.extend_from_slice(b",\"custom\":");
        json::pairs(out, custom(&self.audit, correlation_id));
        out.extend_from_slice(
            b"},\"needs_more\":false,\"request_body_mutation\":null,\
              \"response_body_mutation\":null,\"websocket_decision\":",
        );
        websocket_json(out, self.websocket);
        out.push(b'}');
    }
}

/// The id first, then what the caller added, less anything that would contradict the id.
pub(super) fn custom<'a>(
    audit: &Audit<'a>,
    correlation_id: &'a str,
) -> impl Iterator<Item = (&'a str, &'a str)> + Clone {
    let others = audit.custom.iter().copied();
    std::iter::once((CORRELATION_KEY, correlation_id))
        .chain(others.filter(|(key, _)| *key != CORRELATION_KEY))
}

fn decision_json(out: &mut Vec<u8>, decision: &Decision<'_>) {
    let Decision::Block {
        status,
        body,
        headers,
    } = decision
    else {
        return out.extend_from_slice(b"\"allow\"");
    };
    out.extend_from_slice(b"{\"block\":{\"status\":");
    json::number(out, u64::from(status.as_u16()));
    out.extend_from_slice(b",\"body\":");
    json::string(out, body);
    out.extend_from_slice(b",\"headers\":");
    json::pairs(out, headers.iter().copied());
    out.extend_from_slice(b"}}");
}

fn header_op_json(out: &mut Vec<u8>, op: &HeaderOp<'_>) {
    match op {
        HeaderOp::Set { name, value } => {
            out.extend_from_slice(b"{\"set\":{\"name\":");
            json::string(out, name);
            out.extend_from_slice(b",\"value\":");
            json::string(out, value);
        }
        HeaderOp::Remove { name } => {
            out.extend_from_slice(b"{\"remove\":{\"name\":");
            json::string(out, name);
        }
    }
    out.extend_from_slice(b"}}");
}

fn websocket_json(out: &mut Vec<u8>, decision: WebSocket<'_>) {
    match decision {
        WebSocket::NotAsked => out.extend_from_slice(b"null"),
        WebSocket::Allow => out.extend_from_slice(b"\"allow\""),
        WebSocket::Drop => out.extend_from_slice(b"\"drop\""),
        WebSocket::Close { code, reason } => {
            out.extend_from_slice(b"{\"close\":{\"code\":");
            json::number(out, u64::from(code));
            out.extend_from_slice(b",\"reason\":");
            json::string(out, reason);
            out.extend_from_slice(b"}}");
        }
    }
}
