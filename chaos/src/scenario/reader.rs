//! KDL nodes with their places: reading that says where it failed.

use std::thread;

use kdl::{KdlDocument, KdlNode, KdlValue};

use super::error::{Rule, ScenarioError};

/// Bytes of a file: the longest of ours has three thousand.
pub(super) const BYTES_MAX: usize = 64 * 1024;
/// Blocks within blocks: ours need six.
const DEPTH_MAX: usize = 32;
/// The parser calls itself for each block: stack for a file of nothing but braces.
const STACK_BYTES: usize = 1024 * 1024 * 1024;

/// A file's name and text: where places are counted in.
pub(super) struct Source<'t> {
    pub(super) file: &'t str,
    pub(super) text: &'t str,
}

/// A node, and the text it stands in.
#[derive(Clone, Copy)]
pub(super) struct Node<'d> {
    pub(super) node: &'d KdlNode,
    source: &'d Source<'d>,
}

/// The result of reading.
pub(super) type Read<T> = Result<T, ScenarioError>;

impl Source<'_> {
    /// On a stack of its own, which is address space and no memory until it is used.
    pub(super) fn parse(&self) -> Read<KdlDocument> {
        if self.text.len() > BYTES_MAX {
            return Err(self.fail(0, Rule::TooLong));
        }
        let parsed = thread::scope(|scope| {
            let parser = thread::Builder::new().stack_size(STACK_BYTES);
            let parsing = parser.spawn_scoped(scope, || self.parse_here()).ok()?;
            parsing.join().ok()
        });
        parsed.unwrap_or_else(|| Err(self.fail(0, Rule::Syntax("the parser gave up".to_owned()))))
    }

    fn parse_here(&self) -> Read<KdlDocument> {
        let document = KdlDocument::parse_v2(self.text).map_err(|error| {
            let first = error.diagnostics.first();
            let at = first.map_or(0, |first| first.span.offset());
            let what = first.and_then(|first| first.message.clone());
            let what = what.unwrap_or_else(|| "the parser does not say why".to_owned());
            self.fail(at, Rule::Syntax(what))
        })?;
        match too_deep(&document, DEPTH_MAX) {
            Some(node) => Err(self.fail(node.span().offset(), Rule::TooDeep)),
            None => Ok(document),
        }
    }

    pub(super) fn fail(&self, at: usize, rule: Rule) -> ScenarioError {
        let before = self.text.get(..at).unwrap_or(self.text);
        let line_start = before.rfind('\n').map_or(0, |end| end + 1);
        let in_line = before.get(line_start..).unwrap_or_default();
        ScenarioError {
            file: self.file.to_owned(),
            line: before.matches('\n').count() + 1,
            column: in_line.chars().count() + 1,
            rule,
        }
    }
}

/// A node that lies deeper than this.
fn too_deep(document: &KdlDocument, depth: usize) -> Option<&KdlNode> {
    let mut nodes = document.nodes().iter();
    nodes.find_map(|node| match depth.checked_sub(1) {
        None => Some(node),
        Some(left) => too_deep(node.children()?, left),
    })
}

impl<'d> Node<'d> {
    pub(super) fn new(node: &'d KdlNode, source: &'d Source<'d>) -> Self {
        Self { node, source }
    }

    pub(super) fn name(&self) -> &'d str {
        self.node.name().value()
    }

    pub(super) fn fail(&self, rule: Rule) -> ScenarioError {
        self.source.fail(self.node.span().offset(), rule)
    }

    pub(super) fn children(&self) -> impl Iterator<Item = Self> {
        let source = self.source;
        let document = self.node.children();
        document
            .into_iter()
            .flat_map(KdlDocument::nodes)
            .map(move |node| Self { node, source })
    }

    /// The one child of this name.
    pub(super) fn child(&self, name: &'static str) -> Read<Option<Self>> {
        let mut named = self.children().filter(|child| child.name() == name);
        let first = named.next();
        match named.next() {
            Some(second) => Err(second.fail(Rule::Twice(name.to_owned()))),
            None => Ok(first),
        }
    }

    /// Refuses children that are not among these.
    pub(super) fn only_children(&self, known: &[&str]) -> Read<()> {
        let mut strange = self
            .children()
            .filter(|child| !known.contains(&child.name()));
        match strange.next() {
            Some(child) if known.is_empty() => {
                Err(self.unwanted(&format!("{:?} in it", child.name())))
            }
            Some(child) => Err(child.unknown("key here", child.name(), known.iter().copied())),
            None => Ok(()),
        }
    }

    /// Refuses properties that are not among these.
    pub(super) fn only_properties(&self, known: &[&str]) -> Read<()> {
        for entry in self.node.entries() {
            let Some(name) = entry.name() else { continue };
            if known.is_empty() {
                return Err(self.unwanted(&format!("{}=", name.value())));
            }
            if !known.contains(&name.value()) {
                return Err(self.unknown("property here", name.value(), known.iter().copied()));
            }
        }
        Ok(())
    }

    /// Refuses whatever is not among these: what is written is in force, or it is an error.
    pub(super) fn only(&self, properties: &[&str], children: &[&str]) -> Read<()> {
        self.only_properties(properties)?;
        self.only_children(children)
    }

    pub(super) fn unknown<'k>(
        &self,
        what: &'static str,
        word: &str,
        known: impl Iterator<Item = &'k str>,
    ) -> ScenarioError {
        let known: Vec<_> = known.collect();
        self.fail(Rule::Unknown {
            what,
            word: word.to_owned(),
            known: known.join(", "),
        })
    }

    /// Its arguments, all words.
    pub(super) fn words(&self) -> Read<Vec<&'d str>> {
        self.arguments()
            .map(|value| {
                value
                    .as_string()
                    .ok_or_else(|| self.not("an argument", "not a word"))
            })
            .collect()
    }

    /// Its one argument, a word.
    pub(super) fn word(&self, what: &'static str) -> Read<&'d str> {
        match *self.words()? {
            [word] => Ok(word),
            [] => Err(self.missing(what)),
            _ => Err(self.unwanted("second argument")),
        }
    }

    /// Its one argument, a number.
    pub(super) fn number(&self, what: &'static str) -> Read<u64> {
        let mut arguments = self.arguments();
        let first = arguments.next().ok_or_else(|| self.missing(what))?;
        if arguments.next().is_some() {
            return Err(self.unwanted("second argument"));
        }
        self.whole(first, what)
    }

    /// Its one argument, `#true` or `#false`.
    pub(super) fn truth(&self) -> Read<bool> {
        let mut arguments = self.arguments();
        let (first, second) = (arguments.next(), arguments.next());
        first
            .filter(|_| second.is_none())
            .and_then(KdlValue::as_bool)
            .ok_or_else(|| self.not("the argument", "neither #true nor #false"))
    }

    /// A property that is a whole number.
    pub(super) fn count(&self, key: &'static str) -> Read<Option<u64>> {
        match self.node.get(key) {
            Some(value) => self.whole(value, key).map(Some),
            None => Ok(None),
        }
    }

    /// The same; it must be there.
    pub(super) fn needed(&self, key: &'static str) -> Read<u64> {
        self.count(key)?.ok_or_else(|| self.missing(key))
    }

    /// A property that is a word.
    pub(super) fn named(&self, key: &'static str) -> Read<Option<&'d str>> {
        let Some(value) = self.node.get(key) else {
            return Ok(None);
        };
        let word = value.as_string();
        word.map(Some).ok_or_else(|| self.not(key, "not a word"))
    }

    /// Refuses any argument.
    pub(super) fn no_arguments(&self) -> Read<()> {
        match self.arguments().next() {
            Some(value) => Err(self.unwanted(&format!("argument {value}"))),
            None => Ok(()),
        }
    }

    pub(super) fn missing(&self, what: &'static str) -> ScenarioError {
        let of = self.name().to_owned();
        self.fail(Rule::Missing { of, what })
    }

    pub(super) fn unwanted(&self, what: &str) -> ScenarioError {
        let (of, what) = (self.name().to_owned(), what.to_owned());
        self.fail(Rule::Unwanted { of, what })
    }

    fn arguments(&self) -> impl Iterator<Item = &'d KdlValue> {
        let entries = self.node.entries().iter();
        entries
            .filter(|entry| entry.name().is_none())
            .map(kdl::KdlEntry::value)
    }

    fn whole(&self, value: &KdlValue, what: &str) -> Read<u64> {
        let number = value.as_integer().and_then(|n| u64::try_from(n).ok());
        number.ok_or_else(|| self.not(what, "not a whole number of zero or more"))
    }

    /// A value breaks a rule.
    pub(super) fn not(&self, what: &str, rule: &'static str) -> ScenarioError {
        let what = what.to_owned();
        self.fail(Rule::Value { what, rule })
    }
}
