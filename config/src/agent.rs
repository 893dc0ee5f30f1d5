//! The `agent` block: what only the process's own file may say.

use std::net::SocketAddr;
use std::path::PathBuf;

use crate::bounds::{Bound, Bounds};
use crate::decode::{Block, Complaint, Range, Schema};
use crate::endpoint::SocketPath;
use crate::problem::{Problem, Rule};
use crate::sinks::AuditBlock;
use crate::tree::Place;
use crate::values::{self, AdminAddress, SocketMode, TrustedProxy, ValueError};

/// Proxies in `trusted-proxies`: a fleet's distinct identities, and each is compared per connection.
const MAX_TRUSTED_PROXIES: usize = 256;

pub(crate) const AGENT: Schema = Schema {
    name: "agent",
    keys: &[
        "socket",
        "socket-mode",
        "socket-group",
        "grpc-address",
        "admin-address",
        "degraded-is-unready",
        "trusted-proxies",
        "insecure-plaintext",
        "accept-pushed-config",
        "state-dir",
        "limits",
    ],
    repeatable: &[],
};

static LIMIT_KEYS: [&str; Bound::ALL.len()] = limit_keys();

pub(crate) static LIMITS: Schema = Schema {
    name: "limits",
    keys: &LIMIT_KEYS,
    repeatable: &[],
};

#[expect(
    clippy::indexing_slicing,
    reason = "both arrays are as long as the loop, and the compiler runs it"
)]
const fn limit_keys() -> [&'static str; Bound::ALL.len()] {
    let mut keys = [""; Bound::ALL.len()];
    let mut at = 0;
    while at < keys.len() {
        keys[at] = Bound::ALL[at].limit().key;
        at += 1;
    }
    keys
}

/// The block as named.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct AgentBlock {
    pub(crate) socket: Option<SocketPath>,
    pub(crate) socket_mode: Option<SocketMode>,
    pub(crate) socket_group: Option<String>,
    pub(crate) grpc_address: Option<SocketAddr>,
    pub(crate) admin_address: Option<AdminAddress>,
    pub(crate) degraded_is_unready: Option<bool>,
    pub(crate) trusted_proxies: Option<Vec<TrustedProxy>>,
    pub(crate) insecure_plaintext: Option<bool>,
    pub(crate) accept_pushed_config: Option<bool>,
    pub(crate) state_dir: Option<PathBuf>,
    pub(crate) bounds: Bounds,
    /// From the `audit` block.
    pub(crate) audit: AuditBlock,
}

pub(crate) fn read(block: &mut Block<'_, '_>) -> AgentBlock {
    AgentBlock {
        socket: block.parsed("socket", |text| crate::blocks::socket("agent.socket", text)),
        socket_mode: block.parsed("socket-mode", |text| {
            complaining("socket-mode", SocketMode::parse(text))
        }),
        socket_group: block.parsed("socket-group", |text| {
            complaining("socket-group", values::group(text))
        }),
        grpc_address: block.parsed("grpc-address", |text| {
            complaining("grpc-address", values::listen_address(text))
        }),
        admin_address: block.parsed("admin-address", |text| {
            complaining("admin-address", AdminAddress::parse(text))
        }),
        degraded_is_unready: block.switch("degraded-is-unready"),
        trusted_proxies: trusted_proxies(block),
        insecure_plaintext: block.switch("insecure-plaintext"),
        accept_pushed_config: block.switch("accept-pushed-config"),
        state_dir: block.parsed("state-dir", |text| {
            complaining("state-dir", values::absolute_path(text))
        }),
        bounds: bounds(block),
        audit: AuditBlock::default(),
    }
}

/// A value's error as a complaint about its key.
pub(crate) fn complaining<T>(
    key: &'static str,
    value: Result<T, ValueError>,
) -> Result<T, Complaint> {
    value.map_err(|error| {
        let advice = error.advice();
        Complaint::new(Rule::Value { key, error }, advice)
    })
}

fn trusted_proxies(block: &mut Block<'_, '_>) -> Option<Vec<TrustedProxy>> {
    let key = "trusted-proxies";
    let texts = block.list(key)?;
    if texts.is_empty() {
        let at = block.node(key).map_or(Place::Whole, |node| node.at.clone());
        let advice = "leave the key out to admit whoever the socket's mode admits";
        let problem = Problem::new(at, Rule::NamesNobody(key)).advise(advice);
        block.decoder().problems.push(problem);
    }
    let mut proxies = Vec::new();
    for (text, at) in texts {
        match trusted_proxy(key, text, proxies.len()) {
            Ok(proxy) => proxies.push(proxy),
            Err(complaint) => block.decoder().problems.push(complaint.at(at.clone())),
        }
    }
    Some(proxies)
}

/// One more beside `count` others.
pub(crate) fn trusted_proxy(
    key: &'static str,
    text: &str,
    count: usize,
) -> Result<TrustedProxy, Complaint> {
    if count >= MAX_TRUSTED_PROXIES {
        return complaining(key, Err(ValueError::TooMany(MAX_TRUSTED_PROXIES)));
    }
    complaining(key, TrustedProxy::parse(text))
}

fn bounds(block: &mut Block<'_, '_>) -> Bounds {
    let mut bounds = Bounds::default();
    let Some(node) = block.node("limits") else {
        return bounds;
    };
    let mut limits = block.decoder().open(node, &LIMITS);
    for bound in Bound::ALL {
        let limit = bound.limit();
        let range = Range {
            min: limit.min,
            max: limit.max,
            unit: limit.unit,
        };
        if let Some(value) = limits.number(limit.key, range) {
            bounds.set(bound, value);
        }
    }
    bounds
}
