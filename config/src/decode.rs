//! From the tree to typed values: one set of rules for files and pushes.

use std::collections::{BTreeMap, HashSet};

use crate::agent::LIMITS;
use crate::blocks::SCHEMAS;
use crate::problem::{Problem, Problems, Rule, Shown};
use crate::suggest::nearest;
use crate::tree::{Node, Place, Scalar, Value};

/// Where each key that was given stands: `failure.cache-ttl`, `allowlist.exact[0]`.
pub(crate) type Places = BTreeMap<String, Place>;

/// Keys that take any number of values, or a block: two of one are put together, of others one is removed.
const MANY_IN_ONE: [&str; 6] = [
    "exact",
    "prefix",
    "trust-domains",
    "patterns",
    "trusted-proxies",
    LIMITS.name,
];

/// A block: its name and what may stand in it.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Schema {
    pub(crate) name: &'static str,
    pub(crate) keys: &'static [&'static str],
    /// Keys that may be given more than once.
    pub(crate) repeatable: &'static [&'static str],
}

/// What is gathered while reading.
#[derive(Debug, Default)]
pub(crate) struct Decoder {
    pub(crate) problems: Problems,
    pub(crate) places: Places,
}

/// A block being read.
pub(crate) struct Block<'n, 'd> {
    schema: &'static Schema,
    nodes: &'n [Node],
    decoder: &'d mut Decoder,
}

impl Decoder {
    pub(crate) fn problem(&mut self, at: &Place, rule: Rule) {
        self.problems.push(Problem::new(at.clone(), rule));
    }

    /// Checks the shape of a block, and that every key in it exists and is given once.
    pub(crate) fn open<'n>(&mut self, node: &'n Node, schema: &'static Schema) -> Block<'n, '_> {
        if let Some(at) = &node.annotation {
            self.problem(at, Rule::Annotation);
        }
        let values = node.args.iter().map(|value| &value.at);
        let stray = values.chain(node.props.iter().map(|prop| &prop.at)).next();
        match (stray, &node.children) {
            (Some(at), _) => {
                let problem = Problem::new(at.clone(), Rule::ValueOnBlock(schema.name));
                let example = format!("write {} {{ … }}", schema.name);
                self.problems.push(problem.advise(example));
            }
            (None, None) => self.problem(&node.at, Rule::NoBlock(schema.name)),
            (None, Some(_)) => {}
        }
        self.places.insert(schema.name.to_owned(), node.at.clone());
        let nodes = node.children.as_deref().unwrap_or_default();
        self.check_keys(nodes, schema);
        Block {
            schema,
            nodes,
            decoder: self,
        }
    }

    fn check_keys(&mut self, nodes: &[Node], schema: &'static Schema) {
        let mut seen = HashSet::new();
        for node in nodes {
            let name = node.name.as_str();
            if !schema.keys.contains(&name) {
                self.problems.push_with(|| unknown_key(node, schema));
            } else if !seen.insert(name) && !schema.repeatable.contains(&name) {
                let rule = Rule::Duplicate(Shown::new(name));
                let problem = Problem::new(node.at.clone(), rule);
                let advice = match MANY_IN_ONE.contains(&name) {
                    true => "the first stands above; put everything into one",
                    false => "the first stands above; it takes one value: remove one of them",
                };
                self.problems.push(problem.advise(advice));
            }
        }
    }
}

/// Says what was meant: a word nearly so spelled, or the block that has such a key.
fn unknown_key(node: &Node, schema: &'static Schema) -> Problem {
    let key = Shown::new(&node.name);
    let block = schema.name;
    let problem = Problem::new(node.at.clone(), Rule::UnknownKey { key, block });
    let homes = SCHEMAS.iter().copied().chain([&LIMITS]);
    let home = homes
        .into_iter()
        .find(|other| other.keys.contains(&node.name.as_str()));
    if let Some(near) = nearest(&node.name, schema.keys.iter().copied()) {
        return problem.advise(format!("did you mean `{near}`?"));
    }
    if let Some(home) = home {
        return problem.advise(format!("`{}` belongs in `{}`", node.name, home.name));
    }
    problem.advise(format!("`{block}` knows {}", schema.keys.join(", ")))
}

impl<'n> Block<'n, '_> {
    /// The node of a key, where it is given.
    pub(crate) fn node(&mut self, key: &'static str) -> Option<&'n Node> {
        let node = self.nodes.iter().find(|node| node.name == key)?;
        let path = format!("{}.{key}", self.schema.name);
        self.decoder.places.insert(path, node.at.clone());
        Some(node)
    }

    /// All nodes of a repeatable key.
    pub(crate) fn nodes(&mut self, key: &'static str) -> Vec<&'n Node> {
        self.node(key);
        self.nodes.iter().filter(|node| node.name == key).collect()
    }

    pub(crate) fn decoder(&mut self) -> &mut Decoder {
        self.decoder
    }

    pub(crate) fn problem(&mut self, at: &Place, rule: Rule) {
        self.decoder.problem(at, rule);
    }

    /// Says where one of several values stands.
    pub(crate) fn place(&mut self, path: String, at: &Place) {
        self.decoder.places.insert(path, at.clone());
    }

    /// The one value of a key.
    fn value(&mut self, key: &'static str) -> Option<&'n Value> {
        let node = self.node(key)?;
        if !self.is_plain(node, key) {
            return None;
        }
        self.one_value(node, key)
    }

    /// The value of a node that has just one.
    pub(crate) fn one_value(&mut self, node: &'n Node, key: &'static str) -> Option<&'n Value> {
        if let Some(at) = &node.listed {
            let (expected, found) = ("one value", "a list");
            let rule = Rule::WrongType {
                key,
                expected,
                found,
            };
            self.problem(at, rule);
            return None;
        }
        if let [value] = node.args.as_slice() {
            return Some(value);
        }
        let found = node.args.len();
        self.problem(&node.at, Rule::OneValue { key, found });
        None
    }

    /// No block, no key=value, no annotation.
    pub(crate) fn is_plain(&mut self, node: &Node, key: &'static str) -> bool {
        let annotated = node.args.iter().find_map(|value| value.annotation.as_ref());
        if let Some(at) = node.annotation.as_ref().or(annotated) {
            self.problem(at, Rule::Annotation);
        } else if node.children.is_some() {
            self.problem(&node.at, Rule::BlockOnKey(key));
        } else if let Some(prop) = node.props.first() {
            self.problem(&prop.at, Rule::PropertyOnKey(key));
        } else {
            return true;
        }
        false
    }

    pub(crate) fn switch(&mut self, key: &'static str) -> Option<bool> {
        let value = self.value(key)?;
        match value.scalar {
            Scalar::Bool(switch) => Some(switch),
            _ => self.wrong_type(key, "true or false", value),
        }
    }

    pub(crate) fn text(&mut self, key: &'static str) -> Option<(&'n str, &'n Place)> {
        let value = self.value(key)?;
        match &value.scalar {
            Scalar::Text(text) => Some((text, &value.at)),
            _ => self.wrong_type(key, "a text", value),
        }
    }

    /// A text that a rule of its own reads.
    pub(crate) fn parsed<T>(
        &mut self,
        key: &'static str,
        parse: impl FnOnce(&str) -> Result<T, Complaint>,
    ) -> Option<T> {
        let (text, at) = self.text(key)?;
        match parse(text) {
            Ok(value) => Some(value),
            Err(complaint) => {
                let problem = complaint.at(at.clone());
                self.decoder.problems.push(problem);
                None
            }
        }
    }

    /// A whole number from `min` to `max`.
    pub(crate) fn number(&mut self, key: &'static str, range: Range) -> Option<u64> {
        let value = self.value(key)?;
        let Scalar::Integer(found) = value.scalar else {
            return self.wrong_type(key, "a whole number", value);
        };
        let number = u64::try_from(found).ok();
        let within = number.filter(|number| (range.min..=range.max).contains(number));
        if within.is_none() {
            let Range { min, max, unit } = range;
            let rule = Rule::OutOfRange {
                key,
                min,
                max,
                unit,
                found,
            };
            self.problem(&value.at, rule);
        }
        within
    }

    /// One of a few words.
    pub(crate) fn choice<T: Copy>(
        &mut self,
        key: &'static str,
        choices: &[(&'static str, T)],
    ) -> Option<T> {
        self.choice_of(key, choices, &[])
    }

    /// One of a few words; for some that are none it is known which is meant.
    pub(crate) fn choice_of<T: Copy>(
        &mut self,
        key: &'static str,
        choices: &[(&'static str, T)],
        meant: &[(&str, &str)],
    ) -> Option<T> {
        let (text, at) = self.text(key)?;
        if let Some((_, choice)) = choices.iter().find(|(word, _)| *word == text) {
            return Some(*choice);
        }
        let words: Vec<&'static str> = choices.iter().map(|(word, _)| *word).collect();
        let near = nearest(text, words.iter().copied());
        let rule = Rule::NotAChoice {
            key,
            choices: words,
            found: Shown::new(text),
        };
        let mut problem = Problem::new(at.clone(), rule);
        let mut meant = meant.iter();
        let meant = meant.find(|(other, _)| text.eq_ignore_ascii_case(other));
        problem.advice = match (meant, near) {
            (Some((other, word)), _) => Some(format!("of {other} it is \"{word}\"")),
            (None, near) => near.map(|near| format!("did you mean \"{near}\"?")),
        };
        self.decoder.problems.push(problem);
        None
    }

    /// Any number of texts; one is a list of one.
    pub(crate) fn list(&mut self, key: &'static str) -> Option<Vec<(&'n str, &'n Place)>> {
        let node = self.node(key)?;
        let children = node.children.as_deref().unwrap_or_default();
        if children.iter().any(|child| child.name == "-") {
            let problem = Problem::new(node.at.clone(), Rule::DashList(key));
            let advice = format!("write all entries behind the key: {key} \"…\" \"…\"");
            self.decoder.problems.push(problem.advise(advice));
            return None;
        }
        if !self.is_plain(node, key) {
            return None;
        }
        let mut texts = Vec::with_capacity(node.args.len());
        for (index, value) in node.args.iter().enumerate() {
            if let Scalar::Text(text) = &value.scalar {
                let path = format!("{}.{key}[{index}]", self.schema.name);
                self.decoder.places.insert(path, value.at.clone());
                texts.push((text.as_str(), &value.at));
            } else {
                self.wrong_type::<()>(key, "texts", value);
            }
        }
        Some(texts)
    }

    pub(crate) fn wrong_type<T>(
        &mut self,
        key: &'static str,
        expected: &'static str,
        value: &Value,
    ) -> Option<T> {
        let found = value.scalar.kind();
        let rule = Rule::WrongType {
            key,
            expected,
            found,
        };
        let mut problem = Problem::new(value.at.clone(), rule);
        problem.advice = match (&value.scalar, expected) {
            (_, "true or false") => {
                Some("write #true or #false; in JSON and KDL 1 true or false".to_owned())
            }
            (Scalar::Text(_), "a whole number") => {
                Some("write the number alone, without quotes or unit".to_owned())
            }
            (Scalar::Integer(_) | Scalar::Fraction | Scalar::Bool(_), "a text" | "texts") => {
                Some("put it in quotes".to_owned())
            }
            _ => None,
        };
        self.decoder.problems.push(problem);
        None
    }
}

/// What a number may be.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Range {
    pub(crate) min: u64,
    pub(crate) max: u64,
    pub(crate) unit: &'static str,
}

/// A rule that a text broke; the place is added by who knows it.
pub(crate) struct Complaint {
    rule: Rule,
    advice: Option<String>,
}

impl Complaint {
    pub(crate) fn new(rule: Rule, advice: Option<&str>) -> Self {
        let advice = advice.map(str::to_owned);
        Self { rule, advice }
    }

    pub(crate) fn at(self, at: Place) -> Problem {
        Problem {
            advice: self.advice,
            ..Problem::new(at, self.rule)
        }
    }
}
