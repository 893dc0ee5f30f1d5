//! The `agent` block and the sinks of `audit`: what only the process's own file may say.

use std::net::SocketAddr;
use std::path::PathBuf;

use crate::bounds::{Bound, Bounds};
use crate::decode::{Block, Complaint, Range, Schema};
use crate::endpoint::SocketPath;
use crate::problem::{Problem, Rule};
use crate::tree::{Node, Place, Scalar};
use crate::values::{self, Sink, SocketMode, TrustedProxy, ValueError};

/// Proxies in `trusted-proxies`: a fleet's distinct identities, and each is compared per connection.
const MAX_TRUSTED_PROXIES: usize = 256;

/// Each record is written to every sink.
const MAX_SINKS: usize = 4;

pub(crate) const AGENT: Schema = Schema {
    name: "agent",
    keys: &[
        "socket",
        "socket-mode",
        "socket-group",
        "grpc-address",
        "trusted-proxies",
        "insecure-plaintext",
        "accept-pushed-config",
        "state-dir",
        "limits",
    ],
    repeatable: &[],
};

static LIMIT_KEYS: [&str; Bound::ALL.len()] = limit_keys();

static LIMITS: Schema = Schema {
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
    pub(crate) trusted_proxies: Option<Vec<TrustedProxy>>,
    pub(crate) insecure_plaintext: Option<bool>,
    pub(crate) accept_pushed_config: Option<bool>,
    pub(crate) state_dir: Option<PathBuf>,
    pub(crate) bounds: Bounds,
    /// From the `audit` block.
    pub(crate) sinks: Option<Vec<Sink>>,
}

pub(crate) fn read(block: &mut Block<'_, '_>) -> AgentBlock {
    AgentBlock {
        socket: block.parsed("socket", |text| crate::blocks::socket("socket", text)),
        socket_mode: block.parsed("socket-mode", |text| {
            complaining("socket-mode", SocketMode::parse(text))
        }),
        socket_group: block.parsed("socket-group", |text| {
            complaining("socket-group", values::group(text))
        }),
        grpc_address: block.parsed("grpc-address", |text| {
            complaining("grpc-address", values::listen_address(text))
        }),
        trusted_proxies: trusted_proxies(block),
        insecure_plaintext: block.switch("insecure-plaintext"),
        accept_pushed_config: block.switch("accept-pushed-config"),
        state_dir: block.parsed("state-dir", |text| {
            complaining("state-dir", values::absolute_path(text))
        }),
        bounds: bounds(block),
        sinks: None,
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

/// `sink "stdout"`, `sink "stderr"`, `sink "file" path="/…"`, each at most once, in the `audit` block.
pub(crate) fn sinks(block: &mut Block<'_, '_>) -> Option<Vec<Sink>> {
    let nodes = block.nodes("sink");
    if nodes.is_empty() {
        return None;
    }
    let mut sinks: Vec<Sink> = Vec::new();
    for node in nodes {
        let Some(sink) = sink(block, node) else {
            continue;
        };
        let error = if sinks.contains(&sink) {
            Rule::Duplicate(crate::problem::Shown::new("sink"))
        } else if sinks.len() >= MAX_SINKS {
            let error = ValueError::TooMany(MAX_SINKS);
            Rule::Value { key: "sink", error }
        } else {
            sinks.push(sink);
            continue;
        };
        block.problem(&node.at, error);
    }
    Some(sinks)
}

fn sink(block: &mut Block<'_, '_>, node: &Node) -> Option<Sink> {
    let key = "sink";
    if node.children.is_some() {
        block.problem(&node.at, Rule::BlockOnKey(key));
        return None;
    }
    let [value] = node.args.as_slice() else {
        let found = node.args.len();
        block.problem(&node.at, Rule::OneValue { key, found });
        return None;
    };
    let path = sink_path(block, node)?;
    let Scalar::Text(kind) = &value.scalar else {
        return block.wrong_type(key, "a text", value);
    };
    let error = match (kind.as_str(), path) {
        ("stdout", None) => return Some(Sink::Stdout),
        ("stderr", None) => return Some(Sink::Stderr),
        ("file", Some(path)) => return Some(Sink::File(path)),
        ("stdout" | "stderr", Some(_)) => ValueError::SinkPath,
        ("file", None) => ValueError::NoSinkPath,
        _ => {
            let rule = Rule::NotAChoice {
                key,
                choices: vec!["stdout", "stderr", "file"],
                found: crate::problem::Shown::new(kind),
            };
            block.problem(&value.at, rule);
            return None;
        }
    };
    push_value_error(block, &node.at, error);
    None
}

/// The `path` of a sink: `None` when it is wrong, `Some(None)` when there is none.
fn sink_path(block: &mut Block<'_, '_>, node: &Node) -> Option<Option<PathBuf>> {
    let key = "sink";
    if let Some(other) = node.props.iter().find(|prop| prop.key != "path") {
        let key = crate::problem::Shown::new(&other.key);
        let rule = Rule::UnknownKey { key, block: "sink" };
        let problem = Problem::new(other.at.clone(), rule);
        let advice = "a sink knows path=\"/…\"";
        block.decoder().problems.push(problem.advise(advice));
        return None;
    }
    let prop = match node.props.as_slice() {
        [] => return Some(None),
        [prop] => prop,
        [_, again, ..] => {
            let rule = Rule::Duplicate(crate::problem::Shown::new("path"));
            block.problem(&again.at, rule);
            return None;
        }
    };
    let Scalar::Text(text) = &prop.value.scalar else {
        return block.wrong_type(key, "a text", &prop.value);
    };
    match values::absolute_path(text) {
        Ok(path) => Some(Some(path)),
        Err(error) => {
            push_value_error(block, &prop.value.at, error);
            None
        }
    }
}

fn push_value_error(block: &mut Block<'_, '_>, at: &Place, error: ValueError) {
    let advice = error.advice();
    let complaint = Complaint::new(Rule::Value { key: "sink", error }, advice);
    block.decoder().problems.push(complaint.at(at.clone()));
}
