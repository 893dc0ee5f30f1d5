//! `agent` and `load`: how the agent is set up, and who asks.

use config::{Bound, ConfigErrors, FileConfig, Overrides, Settings};

use verdict::policy::DenyStatus;

use super::actors::Actors;
use super::caller::{Caller, callers};
use super::error::{Rule, ScenarioError};
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
const CONNECTIONS: u16 = 2;
/// Its pace: a hundred requests a second on each connection.
const EVERY_MS: u64 = 10;

/// A load with all its keys, the numbers as they are if not said.
pub(super) const LOAD: &str = "load connections=2 every-ms=10 { callers frontend partner forged }";

/// The agent, where the later of two blocks of one name (the twin's) holds.
pub(super) fn agent(root: &Node<'_>, nodes: &[Node<'_>]) -> Read<AgentSetup> {
    let (mut keeps_state, mut kept, mut read) = (false, Records::Kept, AgentClock::Kernel);
    let mut blocks: Vec<(&str, String)> = DEFAULTS
        .iter()
        .map(|(name, text)| (*name, (*text).to_owned()))
        .collect();
    for node in nodes {
        node.no_arguments()?;
        node.only_properties(&[])?;
        for child in node.children() {
            if OURS.contains(&child.name()) {
                child.only(&[], &[])?;
            }
            match child.name() {
                "audit" => return Err(child.fail(Rule::Audit)),
                "state-dir" => keeps_state = child.truth()?,
                "records" => kept = records(&child)?,
                "clock" => read = clock(&child)?,
                name => {
                    blocks.retain(|(known, _)| *known != name);
                    blocks.push((name, format!("{}\n", child.node.to_string().trim())));
                }
            }
        }
    }
    let config: String = blocks.into_iter().map(|(_, text)| text).collect();
    let resolved = FileConfig::parse("agent", &config)
        .and_then(|file| Settings::resolve(Some(file), &Overrides::default()));
    // Said at the block that is written last; our own defaults are right, a test says.
    let settings =
        resolved.map_err(|errors| nodes.last().unwrap_or(root).fail(refused(&errors)))?;
    Ok(AgentSetup {
        config,
        deadline_ms: settings.agent().bounds.value(Bound::DecisionDeadlineMs),
        unavailable_status: settings
            .policy()
            .map_or_else(DenyStatus::default, |policy| {
                policy.failure.unavailable_status
            }),
        keeps_state,
        records: kept,
        clock: read,
        actors: Actors::of(&settings, keeps_state),
    })
}

fn refused(errors: &ConfigErrors) -> Rule {
    let lines: Vec<_> = errors.lines().collect();
    Rule::Config(format!(
        "{}; besides its own keys: {}",
        lines.join("; "),
        OURS.join(", ")
    ))
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
            connections: CONNECTIONS,
            every_ms: EVERY_MS,
        });
    };
    only_its_keys(&node).map_err(|error| ScenarioError {
        rule: Rule::Load {
            rule: error.rule.to_string(),
            as_in: LOAD,
        },
        ..error
    })?;
    let connections = node.count("connections")?.unwrap_or(CONNECTIONS.into());
    let connections = u16::try_from(connections)
        .ok()
        .filter(|count| *count > 0)
        .ok_or_else(|| node.not("connections", "not between 1 and 65535"))?;
    let every_ms = node.count("every-ms")?.unwrap_or(EVERY_MS);
    if every_ms == 0 {
        return Err(node.not("every-ms", "zero"));
    }
    Ok(Load {
        callers: match node.child("callers")? {
            Some(list) => callers(&list)?,
            None => everybody,
        },
        connections,
        every_ms,
    })
}

/// Whoever writes a key where it does not belong hears of all of them, and where they do.
fn only_its_keys(node: &Node<'_>) -> Read<()> {
    node.no_arguments()?;
    node.only(&["connections", "every-ms"], &["callers"])
}

#[cfg(test)]
mod tests {
    use super::{DEFAULTS, LOAD};

    #[test]
    fn a_load_with_all_its_keys_is_in_the_readme() {
        let readme = include_str!("../../README.md");
        assert!(readme.contains(&format!("\n{LOAD}\n")));
    }

    /// Whoever runs a scenario on an agent of his own sets it up by these.
    #[test]
    fn the_blocks_that_no_file_writes_are_in_the_readme() {
        let words = |text: &str| {
            let text = text.replace(['{', '}', ';'], " ");
            let words: Vec<_> = text.split_whitespace().map(str::to_owned).collect();
            words.join(" ")
        };
        let readme = words(include_str!("../../README.md"));
        for (name, block) in DEFAULTS {
            assert!(readme.contains(&words(block)), "{name}");
        }
    }
}
