//! Replies in MessagePack: maps, without what may be absent.

use serde::ser::SerializeMap as _;
use serde::{Serialize, Serializer};

use super::{Decision, HeaderOp, Reply, Version, WebSocket, custom};

/// A reply as serde sees it, for MessagePack.
pub(super) struct Wire<'r> {
    pub(super) reply: &'r Reply<'r>,
    pub(super) version: Version,
    pub(super) correlation_id: &'r str,
}

impl Serialize for Wire<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(Some(6))?;
        map.serialize_entry("version", &self.version.number())?;
        map.serialize_entry("decision", &self.reply.decision)?;
        map.serialize_entry("request_headers", self.reply.header_ops)?;
        map.serialize_entry("audit", &WireAudit(self))?;
        map.serialize_entry("needs_more", &false)?;
        map.serialize_entry("websocket_decision", &self.reply.websocket)?;
        map.end()
    }
}

struct WireAudit<'r>(&'r Wire<'r>);

impl Serialize for WireAudit<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let audit = &self.0.reply.audit;
        let mut map = serializer.serialize_map(Some(4))?;
        map.serialize_entry("tags", audit.tags)?;
        map.serialize_entry("rule_ids", audit.rule_ids)?;
        map.serialize_entry("reason_codes", audit.reason_codes)?;
        map.serialize_entry("custom", &Pairs(custom(audit, self.0.correlation_id)))?;
        map.end()
    }
}

/// A map of texts, in order. MessagePack wants to know how many before the first.
struct Pairs<I>(I);

impl<'p, I: Iterator<Item = (&'p str, &'p str)> + Clone> Serialize for Pairs<I> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(Some(self.0.clone().count()))?;
        for (key, value) in self.0.clone() {
            map.serialize_entry(key, value)?;
        }
        map.end()
    }
}

/// A map of one entry: how enums with data are tagged.
fn tagged<S: Serializer>(
    serializer: S,
    tag: &'static str,
    content: &impl Serialize,
) -> Result<S::Ok, S::Error> {
    let mut map = serializer.serialize_map(Some(1))?;
    map.serialize_entry(tag, content)?;
    map.end()
}

impl Serialize for Decision<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        #[derive(Serialize)]
        struct Block<'b, H> {
            status: u16,
            body: &'b str,
            headers: H,
        }
        match self {
            Self::Allow => serializer.serialize_str("allow"),
            Self::Block {
                status,
                body,
                headers,
            } => {
                let headers = Pairs(headers.iter().copied());
                let status = status.as_u16();
                tagged(
                    serializer,
                    "block",
                    &Block {
                        status,
                        body,
                        headers,
                    },
                )
            }
        }
    }
}

impl Serialize for HeaderOp<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Set { name, value } => {
                let content = Pairs([("name", *name), ("value", *value)].into_iter());
                tagged(serializer, "set", &content)
            }
            Self::Remove { name } => tagged(
                serializer,
                "remove",
                &Pairs(std::iter::once(("name", *name))),
            ),
        }
    }
}

impl Serialize for WebSocket<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        #[derive(Serialize)]
        struct Close<'c> {
            code: u16,
            reason: &'c str,
        }
        match *self {
            Self::NotAsked => serializer.serialize_none(),
            Self::Allow => serializer.serialize_str("allow"),
            Self::Drop => serializer.serialize_str("drop"),
            Self::Close { code, reason } => tagged(serializer, "close", &Close { code, reason }),
        }
    }
}
