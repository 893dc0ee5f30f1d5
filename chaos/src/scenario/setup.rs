//! `agent` and `load`: how the agent is set up, and who asks.

use config::FileConfig;

use super::caller::{Caller, callers};
use super::error::Rule;
use super::reader::{Node, Read};
use super::{AgentClock, AgentSetup, Load, Records};

/// Blocks that a scenario gets unless it writes its own: everybody who is somebody may pass, and an
/// outage is one after half a second. The deadline is wide: the machine is busy with several scenarios.
const DEFAULTS: [(&str, &str); 4] = [
    (
        "allowlist",
        "allowlist {\n    exact \"spiffe://example.org/frontend\" \"spiffe://partner.test/orders\"\n    \
         prefix \"spiffe://example.org/services/\"\n}\n",
    ),
    ("failure", "failure { spire-unavailable \"fail_closed\" }\n"),
    (
        "spire",
        "spire {\n    bundle-refresh-interval 1\n    api-timeout-ms 300\n    \
         unavailable-after-ms 500\n    withdrawal-grace-ms 300\n}\n",
    ),
    ("agent", "agent { limits { decision-deadline-ms 500 } }\n"),
];
/// Keys of `agent` that are ours; everything else is the agent's configuration, word for word.
const OURS: [&str; 3] = ["state-dir", "records", "clock"];
const RECORDS: [(&str, Records); 4] = [
    ("kept", Records::Kept),
    ("lossy", Records::Lossy),
    ("stuck", Records::Stuck),
    ("full", Records::Full),
];

/// Connections of a load that names none.
const CONNECTIONS: u64 = 2;
/// Its pace: a hundred requests a second on each connection.
const EVERY_MS: u64 = 10;

/// The agent, where the later of two blocks of one name (the twin's) holds.
pub(super) fn agent(nodes: &[Node<'_>]) -> Read<AgentSetup> {
    let mut setup = AgentSetup {
        config: String::new(),
        keeps_state: false,
        records: Records::Kept,
        clock: AgentClock::Kernel,
    };
    let mut blocks: Vec<(&str, String)> = DEFAULTS
        .iter()
        .map(|(name, text)| (*name, (*text).to_owned()))
        .collect();
    for node in nodes {
        node.no_arguments()?;
        for child in node.children() {
            match child.name() {
                "state-dir" => setup.keeps_state = child.truth()?,
                "records" => setup.records = records(&child)?,
                "clock" => setup.clock = clock(&child)?,
                name => {
                    blocks.retain(|(known, _)| *known != name);
                    blocks.push((name, format!("{}\n", child.node.to_string().trim())));
                }
            }
        }
    }
    setup.config = blocks.into_iter().map(|(_, text)| text).collect();
    if let Err(errors) = FileConfig::parse("agent", &setup.config) {
        let lines: Vec<_> = errors.lines().collect();
        let rule = format!(
            "{}; besides its own keys: {}",
            lines.join("; "),
            OURS.join(", ")
        );
        let place = nodes
            .last()
            .map(|node| node.fail(Rule::Config(rule.clone())));
        // Without a node these are our own defaults, and a test parses them.
        return place.map_or(Ok(setup), Err);
    }
    Ok(setup)
}

fn records(node: &Node<'_>) -> Read<Records> {
    let word = node.word("where records go")?;
    let found = RECORDS.iter().find(|(known, _)| *known == word);
    let known = RECORDS.iter().map(|(known, _)| *known);
    found
        .map(|(_, records)| *records)
        .ok_or_else(|| node.unknown("fate of records", word, known))
}

fn clock(node: &Node<'_>) -> Read<AgentClock> {
    match node.word("whose clock")? {
        "kernel" => Ok(AgentClock::Kernel),
        "driven" => Ok(AgentClock::Driven),
        other => Err(node.unknown("clock", other, ["kernel", "driven"].into_iter())),
    }
}

/// The load, or one of everybody.
pub(super) fn load(node: Option<Node<'_>>) -> Read<Load> {
    let everybody = Caller::ALL.iter().map(|(_, caller)| *caller).collect();
    let Some(node) = node else {
        return Ok(Load {
            callers: everybody,
            connections: 2,
            every_ms: EVERY_MS,
        });
    };
    node.no_arguments()?;
    node.only_properties(&["connections", "every-ms"])?;
    node.only_children(&["callers"])?;
    let connections = node.count("connections")?.unwrap_or(CONNECTIONS).max(1);
    let connections = u16::try_from(connections).map_err(|_| {
        node.fail(Rule::Value {
            what: "connections".to_owned(),
            rule: "more than 65535",
        })
    })?;
    Ok(Load {
        callers: match node.child("callers")? {
            Some(list) => callers(&list)?,
            None => everybody,
        },
        connections,
        every_ms: node.count("every-ms")?.unwrap_or(EVERY_MS).max(1),
    })
}
