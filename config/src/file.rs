//! A configuration file: our blocks bare, in `config { … }`, or inside a whole proxy's file.

use std::sync::Arc;

use verdict::policy::PolicySpec;

use crate::blocks::{self, Blocks};
use crate::decode::Decoder;
use crate::excerpt::Excerpt;
use crate::kdl::{self, is_curly_quote};
use crate::problem::{ConfigErrors, Input, Problem, Problems, Rule, Shown, line_column};
use crate::tree::{Node, Place, Scalar};

/// Size of a file or a push: a hundred times the largest policy anybody described.
pub const MAX_CONFIG_BYTES: usize = 1024 * 1024;

/// What a file says, checked.
#[derive(Clone, Debug, PartialEq)]
pub struct FileConfig {
    pub(crate) name: String,
    pub(crate) text: Arc<str>,
    /// The same to be shown.
    pub(crate) excerpt: Excerpt,
    pub(crate) blocks: Blocks,
    /// The policy of the file alone.
    pub(crate) spec: PolicySpec,
}

impl FileConfig {
    /// Reads a file's bytes; `name` is for the errors only.
    ///
    /// # Errors
    /// It is no text, or everything that is wrong with it.
    pub fn from_bytes(name: &str, bytes: &[u8]) -> Result<Self, ConfigErrors> {
        let error = match std::str::from_utf8(bytes) {
            Ok(text) => return Self::parse(name, text),
            Err(error) => error,
        };
        // What is no text is one mark, and what stands before it is as it was.
        let text = String::from_utf8_lossy(bytes);
        let input = Input::File {
            name: name.to_owned(),
            text: Arc::from(&*text),
        };
        let at = error.valid_up_to();
        let place = Place::span(at, at + char::REPLACEMENT_CHARACTER.len_utf8());
        let problem = Problem::new(place, Rule::NotUtf8).advise(encoding_advice(bytes, at));
        Err(ConfigErrors::fatal(problem, input))
    }

    /// Reads a file's text; `name` is for the errors only.
    ///
    /// # Errors
    /// Everything that is wrong with it.
    pub fn parse(name: &str, text: &str) -> Result<Self, ConfigErrors> {
        let input = |text: &str| Input::File {
            name: name.to_owned(),
            text: Arc::from(text),
        };
        if text.len() > MAX_CONFIG_BYTES {
            let rule = Rule::TooLarge {
                max: MAX_CONFIG_BYTES,
                found: text.len(),
            };
            // Without the text: an excerpt of what is too large helps nobody.
            let problem = Problem::new(Place::Whole, rule);
            return Err(ConfigErrors::fatal(problem, input("")));
        }
        let fatal = |problem| ConfigErrors::fatal(problem, input(text));
        let root = kdl::read(text).map_err(|error| fatal(syntax_problem(error, text)))?;
        let mut decoder = Decoder::default();
        let nodes = locate(&root, &mut decoder.problems).map_err(fatal)?;
        let blocks = blocks::read(nodes, &mut decoder);
        let spec = blocks.policy.spec(&blocks.places);
        let spec = spec.map_err(|problem| decoder.problems.push(problem));
        decoder.problems.or((), input(text))?;
        // An error was pushed, and problems have returned.
        let spec = spec.map_err(|()| fatal(Problem::new(Place::Whole, Rule::NothingConfigured)))?;
        let text = Arc::from(text);
        Ok(Self {
            name: name.to_owned(),
            excerpt: Excerpt::of(name, &text),
            text,
            blocks,
            spec,
        })
    }
}

/// What to do about a file that is no UTF-8 from this byte on.
fn encoding_advice(bytes: &[u8], at: usize) -> String {
    let byte = bytes.get(at).copied().unwrap_or_default();
    match bytes {
        [0xff, 0xfe, ..] | [0xfe, 0xff, ..] => {
            "it begins as UTF-16 does: save it as UTF-8 (iconv -f UTF-16 -t UTF-8)".to_owned()
        }
        _ => format!(
            "the byte here is 0x{byte:02X}: save the file as UTF-8; if an editor wrote it as Latin-1 or Windows-1252: \
             iconv -f WINDOWS-1252 -t UTF-8"
        ),
    }
}

fn syntax_problem(error: kdl::SyntaxError, text: &str) -> Problem {
    let advice = match error.string_from {
        Some(Place::Span { start, .. }) => {
            let (line, _) = line_column(text, start);
            let quote = match first_line(text, start).contains(is_curly_quote) {
                true => "its closing quote is a typographic one, which closes nothing: write \"",
                false => "is its closing quote missing?",
            };
            Some(format!(
                "a string that begins on line {line} runs over several lines: {quote}"
            ))
        }
        _ => error.what.advice().map(str::to_owned),
    };
    let advice = match (&error.what, &error.at) {
        (kdl::Syntax::UnclosedString, Place::Span { start, .. })
            if first_line(text, *start).contains(is_curly_quote) =>
        {
            Some(
                "its closing quote is a typographic one, which closes nothing: write \"".to_owned(),
            )
        }
        _ => advice,
    };
    let mut problem = Problem::new(error.at, Rule::Syntax(error.what));
    problem.advice = advice;
    problem
}

/// What stands on the line from there on.
fn first_line(text: &str, at: usize) -> &str {
    let rest = text.get(at..).unwrap_or_default();
    rest.lines().next().unwrap_or_default()
}

/// The nodes that are our blocks.
fn locate<'n>(root: &'n [Node], problems: &mut Problems) -> Result<&'n [Node], Problem> {
    if root.is_empty() {
        let advice =
            "it would deny everybody; say who may call: allowlist { exact \"spiffe://…\" }";
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

/// The one agent named `spiffe`: another's `config` may have blocks that read like ours.
fn only_agent<'n>(agents: &[&'n Node]) -> Result<&'n Node, Problem> {
    let named: Vec<&Node> = agents
        .iter()
        .copied()
        .filter(|agent| agent_name(agent) == Some("spiffe"))
        .collect();
    match (agents, named.as_slice()) {
        ([], _) => Err(Problem::new(Place::Whole, Rule::NoAgent)),
        (_, [spiffe]) => Ok(spiffe),
        ([.., last], []) => {
            let names = agents.iter().map(|agent| agent_name(agent));
            let names: Vec<&str> = names
                .map(|name| name.unwrap_or("one without a name"))
                .collect();
            let rule = Rule::OtherAgents(Shown::new(&names.join(", ")));
            let problem = Problem::new(last.at.clone(), rule);
            Err(problem.advise("name ours \"spiffe\", or give us a file of our own"))
        }
        (_, [.., last]) => {
            let problem = Problem::new(last.at.clone(), Rule::SeveralAgents);
            Err(problem.advise("name one of them \"spiffe\", or give us a file of our own"))
        }
    }
}

fn agent_name(agent: &Node) -> Option<&str> {
    match &agent.args.first()?.scalar {
        Scalar::Text(name) => Some(name),
        _ => None,
    }
}
