//! What the agent answers, read as strictly as the proxies read it.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::Value;

use super::ClientError;
use super::request::Headers;

/// The answer to one event.
#[derive(Debug, Clone, PartialEq)]
pub struct Answer {
    /// What the proxy is to do.
    pub decision: Decision,
    /// What it does to the request's headers after an allow, in this order.
    pub header_ops: Vec<HeaderOp>,
    /// `audit.tags`.
    pub tags: Vec<String>,
    /// `audit.rule_ids`.
    pub rule_ids: Vec<String>,
    /// `audit.reason_codes`.
    pub reason_codes: Vec<String>,
    /// The whole message.
    pub json: Value,
}

/// The decision, tagged from outside, snake_case.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Decision {
    /// The request goes on.
    Allow,
    /// The proxy answers it.
    Block {
        /// HTTP status.
        status: u16,
        /// Body, if any.
        #[serde(default)]
        body: Option<String>,
        /// Headers; the real proxies discard them.
        #[serde(default)]
        headers: Option<BTreeMap<String, String>>,
    },
    /// The real proxies answer 500.
    Redirect {
        /// Where to.
        url: String,
        /// HTTP status.
        status: u16,
    },
    /// The real proxies forward the request as if it were allowed.
    Challenge {
        /// Its kind.
        challenge_type: String,
        /// Its parameters.
        #[serde(default)]
        params: BTreeMap<String, String>,
    },
}

/// One change to the request's headers.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum HeaderOp {
    /// Replaces every line of that name.
    Set {
        /// The header.
        name: String,
        /// Its one value.
        value: String,
    },
    /// Adds a line.
    Add {
        /// The header.
        name: String,
        /// The line's value.
        value: String,
    },
    /// Removes every line of that name.
    Remove {
        /// The header.
        name: String,
    },
}

/// The members that the proxies require or read; anything else they ignore.
#[derive(Deserialize)]
struct Wire {
    /// Required; its value is not looked at in version 2.
    #[serde(rename = "version")]
    _version: u32,
    decision: Decision,
    #[serde(default)]
    request_headers: Vec<HeaderOp>,
    #[serde(default)]
    audit: WireAudit,
}

#[derive(Deserialize, Default)]
struct WireAudit {
    #[serde(default)]
    tags: Vec<String>,
    #[serde(default)]
    rule_ids: Vec<String>,
    #[serde(default)]
    reason_codes: Vec<String>,
}

impl Answer {
    pub(super) fn parse(json: Value) -> Result<Self, ClientError> {
        let wire = Wire::deserialize(&json).map_err(|error| ClientError::Protocol {
            what: format!("an answer no proxy can read: {error}: {json}"),
        })?;
        let WireAudit {
            tags,
            rule_ids,
            reason_codes,
        } = wire.audit;
        Ok(Self {
            decision: wire.decision,
            header_ops: wire.request_headers,
            tags,
            rule_ids,
            reason_codes,
            json,
        })
    }

    /// Whether the request goes on.
    #[must_use]
    pub fn is_allow(&self) -> bool {
        self.decision == Decision::Allow
    }

    /// The status of a block.
    #[must_use]
    pub fn block_status(&self) -> Option<u16> {
        match self.decision {
            Decision::Block { status, .. } => Some(status),
            _ => None,
        }
    }

    /// The body of a block.
    #[must_use]
    pub fn block_body(&self) -> Option<&str> {
        match &self.decision {
            Decision::Block { body, .. } => body.as_deref(),
            _ => None,
        }
    }

    /// A text under `audit.custom`.
    #[must_use]
    pub fn custom(&self, key: &str) -> Option<&str> {
        self.json.get("audit")?.get("custom")?.get(key)?.as_str()
    }

    /// The headers that reach the upstream when a request with these is allowed.
    #[must_use]
    pub fn upstream_headers(&self, sent: &Headers) -> Headers {
        let mut headers = sent.clone();
        for op in &self.header_ops {
            op.apply(&mut headers);
        }
        headers
    }
}

impl HeaderOp {
    fn apply(&self, headers: &mut Headers) {
        match self {
            Self::Set { name, value } => {
                headers.insert(name.to_ascii_lowercase(), vec![value.clone()]);
            }
            Self::Add { name, value } => headers
                .entry(name.to_ascii_lowercase())
                .or_default()
                .push(value.clone()),
            Self::Remove { name } => {
                headers.remove(&name.to_ascii_lowercase());
            }
        }
    }
}

/// Every member here is required by the proxies' own types.
pub(super) fn check_handshake(answer: &Value) -> Result<(), ClientError> {
    #[derive(Deserialize)]
    struct Handshake {
        protocol_version: u32,
        capabilities: Capabilities,
        success: bool,
        error: Option<String>,
    }
    let read = Handshake::deserialize(answer).map_err(|error| ClientError::Protocol {
        what: format!("a handshake no proxy can read: {error}: {answer}"),
    })?;
    if !read.success {
        return Err(ClientError::Refused {
            reason: read.error.unwrap_or_default(),
        });
    }
    if read.protocol_version != 2 {
        return Err(ClientError::Protocol {
            what: format!("version {} was not offered", read.protocol_version),
        });
    }
    let encoding = answer.get("encoding").map_or(Some("json"), Value::as_str);
    if encoding != Some("json") {
        return Err(ClientError::Protocol {
            what: format!("encoding {encoding:?} was not offered"),
        });
    }
    let _all_present = read.capabilities;
    Ok(())
}

#[expect(dead_code, reason = "their presence and type is what is checked")]
#[derive(Deserialize)]
struct Capabilities {
    agent_id: String,
    name: String,
    version: String,
    supported_events: Vec<i32>,
    features: Features,
    limits: Limits,
}

#[expect(dead_code, reason = "their presence and type is what is checked")]
#[derive(Deserialize)]
struct Features {
    streaming_body: bool,
    websocket: bool,
    guardrails: bool,
    config_push: bool,
    metrics_export: bool,
    concurrent_requests: u32,
    cancellation: bool,
    flow_control: bool,
    health_reporting: bool,
}

#[expect(dead_code, reason = "their presence and type is what is checked")]
#[derive(Deserialize)]
struct Limits {
    max_body_size: u64,
    max_concurrency: u32,
    preferred_chunk_size: u64,
}
