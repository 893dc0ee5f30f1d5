//! A configuration file: our blocks bare, in `config { … }`, or inside a whole proxy's file.

use std::sync::Arc;

use verdict::policy::PolicySpec;

use crate::blocks::{self, Blocks};
use crate::decode::Decoder;
use crate::kdl;
use crate::problem::{ConfigErrors, Input, Problem, Problems, Rule, Shown};
use crate::tree::{Node, Place, Scalar};

/// Size of a file or a push: a hundred times the largest policy anybody described.
pub const MAX_CONFIG_BYTES: usize = 1024 * 1024;

/// What a file says, checked.
#[derive(Clone, Debug, PartialEq)]
pub struct FileConfig {
    pub(crate) name: String,
    pub(crate) text: Arc<str>,
    pub(crate) blocks: Blocks,
    /// The policy of the file alone.
    pub(crate) spec: PolicySpec,
}

impl FileConfig {
    /// Reads a file's text; `name` is for the errors only.
    ///
    /// # Errors
    /// Everything that is wrong with it.
    pub fn parse(name: &str, text: &str) -> Result<Self, ConfigErrors> {
        if text.len() > MAX_CONFIG_BYTES {
            let rule = Rule::TooLarge {
                max: MAX_CONFIG_BYTES,
                found: text.len(),
            };
            // Without the text: an excerpt of what is too large helps nobody.
            let input = Input::File {
                name: name.to_owned(),
                text: Arc::from(""),
            };
            return Err(ConfigErrors::fatal(Problem::new(Place::Whole, rule), input));
        }
        let text: Arc<str> = Arc::from(text);
        let input = Input::File {
            name: name.to_owned(),
            text: Arc::clone(&text),
        };
        let fatal = |problem| ConfigErrors::fatal(problem, input.clone());
        let root = kdl::read(&text).map_err(syntax_problem).map_err(fatal)?;
        let mut decoder = Decoder::default();
        let nodes = locate(&root, &mut decoder.problems).map_err(fatal)?;
        let blocks = blocks::read(nodes, &mut decoder);
        let spec = blocks.policy.spec(&blocks.places);
        let mut problems = decoder.problems;
        let spec = match spec {
            Ok(spec) => Some(spec),
            Err(problem) => {
                problems.push(problem);
                None
            }
        };
        let spec = problems.or(spec, input.clone())?;
        // No specification is a problem, and problems have returned.
        let spec =
            spec.ok_or_else(|| fatal(Problem::new(Place::Whole, Rule::NothingConfigured)))?;
        let name = name.to_owned();
        Ok(Self {
            name,
            text,
            blocks,
            spec,
        })
    }
}

fn syntax_problem(error: kdl::SyntaxError) -> Problem {
    let advice = match error.string_from {
        Some(Place::Span { .. }) => {
            Some("an earlier string runs over several lines: is its closing quote missing?")
        }
        _ => error.what.advice(),
    };
    let mut problem = Problem::new(error.at, Rule::Syntax(error.what));
    problem.advice = advice.map(str::to_owned);
    problem
}

/// The nodes that are our blocks.
fn locate<'n>(root: &'n [Node], problems: &mut Problems) -> Result<&'n [Node], Problem> {
    if root.is_empty() {
        let advice = "a file without a policy would deny everybody; leave --config out instead";
        return Err(Problem::new(Place::Whole, Rule::NothingConfigured).advise(advice));
    }
    if let Some(config) = root.iter().find(|node| node.name == "config") {
        for other in root.iter().filter(|node| !std::ptr::eq(*node, config)) {
            problems.push(beside_config(other));
        }
        return config_block(config);
    }
    if root.iter().any(is_proxys) {
        return in_proxy_file(root);
    }
    Ok(root)
}

fn beside_config(other: &Node) -> Problem {
    let name = Shown::new(&other.name);
    let rule = if other.name == "config" {
        Rule::Duplicate(name)
    } else {
        Rule::BesideConfig(name)
    };
    Problem::new(other.at.clone(), rule).advise("move it into the block")
}

fn config_block(config: &Node) -> Result<&[Node], Problem> {
    let at = || config.at.clone();
    if !config.args.is_empty() || !config.props.is_empty() {
        return Err(Problem::new(at(), Rule::ValueOnBlock("config")));
    }
    let children = config.children.as_deref();
    children.ok_or_else(|| Problem::new(at(), Rule::NoBlock("config")))
}

/// `agents { … }`, or `agent "name" { … }`, which unlike our own block of that name has a name.
fn is_proxys(node: &Node) -> bool {
    node.name == "agents" || (node.name == "agent" && !node.args.is_empty())
}

fn in_proxy_file(root: &[Node]) -> Result<&[Node], Problem> {
    let mut agents = Vec::new();
    for node in root.iter().filter(|node| is_proxys(node)) {
        if node.name == "agent" {
            agents.push(node);
        } else {
            let children = node.children.as_deref().unwrap_or_default();
            agents.extend(children.iter().filter(|node| node.name == "agent"));
        }
    }
    let agent = only_agent(&agents)?;
    let children = agent.children.as_deref().unwrap_or_default();
    let mut configs = children.iter().filter(|node| node.name == "config");
    let Some(config) = configs.next() else {
        let problem = Problem::new(agent.at.clone(), Rule::NoConfigBlock);
        return Err(problem.advise("add config { … } with the blocks tls, allowlist and so on"));
    };
    match configs.next() {
        Some(second) => Err(Problem::new(
            second.at.clone(),
            Rule::Duplicate(Shown::new("config")),
        )),
        None => config_block(config),
    }
}

/// The one agent, or of several the one named `spiffe`.
fn only_agent<'n>(agents: &[&'n Node]) -> Result<&'n Node, Problem> {
    let named: Vec<&Node> = agents
        .iter()
        .copied()
        .filter(|agent| agent_name(agent) == Some("spiffe"))
        .collect();
    match (agents, named.as_slice()) {
        ([], _) => Err(Problem::new(Place::Whole, Rule::NoAgent)),
        (_, [spiffe]) => Ok(spiffe),
        ([only], _) => Ok(only),
        ([.., last], _) => {
            let names = agents.iter().filter_map(|agent| agent_name(agent));
            let names: Vec<&str> = names.collect();
            let rule = Rule::SeveralAgents(Shown::new(&names.join(", ")));
            let problem = Problem::new(last.at.clone(), rule);
            Err(problem.advise("name exactly one of them \"spiffe\", or give us a file of our own"))
        }
    }
}

fn agent_name(agent: &Node) -> Option<&str> {
    match &agent.args.first()?.scalar {
        Scalar::Text(name) => Some(name),
        _ => None,
    }
}
