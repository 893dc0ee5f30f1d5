//! KDL as operators really write it: version 2, version 1, and the documented `[ … ]` lists.
//!
//! The documented block is valid in no version of KDL (lists in brackets, bare `true`, children on
//! one line), while the proxies' own files are KDL 2. One reader takes the union of all three. The
//! versions contradict each other nowhere that matters: what both accept means the same in both
//! (a property test holds this reader against the `kdl` crate). Reading ourselves gives one precise
//! error per mistake, linear time, and a stack that a file cannot exhaust.
//!
//! Why not that crate behind bounds on size, depth and comments: its parser of KDL 2 goes on after
//! a mistake, and then skips braces and enters strings, so that what it recurses over is not what
//! was counted before it (600 bytes of `a {b 1.}`, one below the other, end the process). Only a
//! check of every token would keep it from its first mistake, and that check is a reader. Its
//! parser of KDL 1 stops at a mistake, but panics at some, and cannot read KDL 2.

mod error;
mod number;
mod space;
mod text;

pub use error::Syntax;
pub(crate) use error::SyntaxError;

use crate::tree::{Node, Place, Prop, Scalar, Value};
use space::{is_newline, is_space};

/// Blocks within blocks. The deepest documented configuration, inside a proxy's file, needs five.
pub(crate) const MAX_DEPTH: usize = 32;

/// Nodes and values in one file: far beyond any configuration, and bounds memory at about 20 MiB.
pub(crate) const MAX_ITEMS: usize = 100_000;

type Read<T> = Result<T, SyntaxError>;

/// Reads a whole file.
pub(crate) fn read(text: &str) -> Read<Vec<Node>> {
    refuse_disallowed(text)?;
    let mut reader = Reader::new(text);
    let nodes = reader.nodes(0, None);
    nodes.map_err(|error| error.with_string_from(reader.multiline_from))
}

/// KDL 2, 3.19: direction marks and control characters make a file look like another.
fn refuse_disallowed(text: &str) -> Read<()> {
    let disallowed = |at: usize, c: char| {
        matches!(c,
            '\u{0}'..='\u{8}' | '\u{e}'..='\u{1f}' | '\u{7f}' | '\u{200e}' | '\u{200f}'
            | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
            || (c == '\u{feff}' && at != 0)
    };
    match text.char_indices().find(|(at, c)| disallowed(*at, *c)) {
        Some((at, c)) => Err(Syntax::Disallowed(c as u32).at(at, at + c.len_utf8())),
        None => Ok(()),
    }
}

struct Reader<'a> {
    text: &'a str,
    at: usize,
    items: usize,
    /// The first string that ran over the end of its line: where a missing quote is to be sought.
    multiline_from: Option<usize>,
    /// Inside `[ … ]` a comma separates.
    in_list: bool,
}

/// What may follow a node's name, in turn.
#[derive(PartialEq)]
enum Stage {
    Entries,
    AfterChildren,
}

impl<'a> Reader<'a> {
    fn new(text: &'a str) -> Self {
        let at = if text.starts_with('\u{feff}') { 3 } else { 0 };
        Self {
            text,
            at,
            items: 0,
            multiline_from: None,
            in_list: false,
        }
    }

    /// Nodes up to the end, or to the `}` that closes the block opened at `open`.
    fn nodes(&mut self, depth: usize, open: Option<usize>) -> Read<Vec<Node>> {
        let mut nodes = Vec::new();
        loop {
            self.skip_lines()?;
            match (self.peek(), open) {
                (None, None) => return Ok(nodes),
                (None, Some(open)) => return Err(Syntax::UnclosedBlock.at(open, open + 1)),
                (Some('}'), Some(_)) => {
                    self.bump();
                    return Ok(nodes);
                }
                (Some('}'), None) => return Err(Syntax::StrayBrace.at(self.at, self.at + 1)),
                (Some(_), _) => {}
            }
            let hidden = self.slashdash()?;
            let node = self.node(depth)?;
            if !hidden {
                nodes.push(node);
            }
        }
    }

    fn node(&mut self, depth: usize) -> Read<Node> {
        self.count_item()?;
        let annotation = self.annotation()?;
        let start = self.at;
        let name = self.name()?;
        let mut node = Node {
            name,
            at: Place::span(start, self.at),
            args: Vec::new(),
            listed: None,
            props: Vec::new(),
            children: None,
            annotation,
        };
        self.rest_of_node(&mut node, depth)?;
        Ok(node)
    }

    fn rest_of_node(&mut self, node: &mut Node, depth: usize) -> Read<()> {
        let mut stage = Stage::Entries;
        loop {
            let spaced = self.skip_space()?;
            if self.end_of_node() {
                return Ok(());
            }
            let hidden = self.slashdash()?;
            if !hidden && stage == Stage::AfterChildren {
                return Err(self.unexpected(Syntax::NoTerminator));
            }
            if self.peek() == Some('{') {
                let children = self.children(depth)?;
                if !hidden {
                    node.children = Some(children);
                    stage = Stage::AfterChildren;
                }
                continue;
            }
            if stage == Stage::AfterChildren {
                return Err(self.unexpected(Syntax::NoTerminator));
            }
            if !spaced && !hidden {
                return Err(self.unexpected(Syntax::NoSpace));
            }
            self.entry(node, hidden)?;
        }
    }

    /// Takes a line end or `;`; leaves a `}` and the end of the file for the block.
    fn end_of_node(&mut self) -> bool {
        match self.peek() {
            None | Some('}') => true,
            Some(c) if c == ';' || is_newline(c) => {
                self.bump();
                true
            }
            Some(_) => self.skip_line_comment(),
        }
    }

    fn children(&mut self, depth: usize) -> Read<Vec<Node>> {
        let open = self.at;
        if depth + 1 >= MAX_DEPTH {
            return Err(Syntax::TooDeep.at(open, open + 1));
        }
        self.bump();
        self.nodes(depth + 1, Some(open))
    }

    fn entry(&mut self, node: &mut Node, hidden: bool) -> Read<()> {
        if self.peek() == Some('[') {
            let open = self.at;
            let values = self.list()?;
            if !hidden {
                node.args.extend(values);
                node.listed = Some(Place::span(open, self.at));
            }
            return Ok(());
        }
        let annotation = self.annotation()?;
        let value = self.value(annotation)?;
        let after_value = self.at;
        self.skip_space()?;
        if self.peek() != Some('=') {
            self.at = after_value;
            if !hidden {
                node.args.push(value);
            }
            return Ok(());
        }
        let prop = self.property(value)?;
        if !hidden {
            node.props.push(prop);
        }
        Ok(())
    }

    /// At the `=` behind what turns out to be a key.
    fn property(&mut self, key: Value) -> Read<Prop> {
        let Scalar::Text(name) = key.scalar else {
            return Err(self.unexpected(Syntax::BadKey));
        };
        self.bump();
        self.skip_space()?;
        let annotation = self.annotation()?;
        let value = self.value(annotation)?;
        Ok(Prop {
            key: name,
            at: key.at,
            value,
        })
    }

    /// The documented `[ "a" "b" ]`; line ends, comments and commas between values are blanks.
    fn list(&mut self) -> Read<Vec<Value>> {
        let open = self.at;
        self.bump();
        self.in_list = true;
        let mut values = Vec::new();
        loop {
            let before = self.at;
            self.skip_list_space()?;
            let spaced = self.at > before || values.is_empty();
            match self.peek() {
                None | Some('{' | '}' | ';') => {
                    return Err(Syntax::UnclosedList.at(open, open + 1));
                }
                Some(']') => {
                    self.bump();
                    self.in_list = false;
                    return Ok(values);
                }
                Some('[') => return Err(self.unexpected(Syntax::ListInList)),
                Some(_) if !spaced => return Err(self.unexpected(Syntax::NoSpace)),
                Some(_) => {}
            }
            let hidden = self.slashdash()?;
            let annotation = self.annotation()?;
            let value = self.value(annotation)?;
            if self.peek() == Some('=') {
                return Err(self.unexpected(Syntax::PropertyInList));
            }
            if !hidden {
                values.push(value);
            }
        }
    }

    fn value(&mut self, annotation: Option<Place>) -> Read<Value> {
        self.count_item()?;
        let start = self.at;
        let scalar = self.scalar()?;
        Ok(Value {
            scalar,
            at: Place::span(start, self.at),
            annotation,
        })
    }

    fn scalar(&mut self) -> Read<Scalar> {
        if let Some(text) = self.quoted()? {
            return Ok(Scalar::Text(text));
        }
        let start = self.at;
        if self.peek() == Some('#') {
            self.bump();
            let word = self.word();
            return keyword(word).ok_or_else(|| Syntax::UnknownKeyword.at(start, self.at));
        }
        let word = self.word();
        if word.is_empty() {
            return Err(self.unexpected(Syntax::NoValue));
        }
        self.refuse_curly(word, start)?;
        self.refuse_cut(word, start)?;
        if number::is_number(word) {
            return number::read(word).map_err(|what| what.at(start, self.at));
        }
        Ok(match word {
            "true" => Scalar::Bool(true),
            "false" => Scalar::Bool(false),
            "null" => Scalar::Null,
            _ => Scalar::Text(word.to_owned()),
        })
    }

    /// A node's name: quoted or bare.
    fn name(&mut self) -> Read<String> {
        if let Some(text) = self.quoted()? {
            return Ok(text);
        }
        let start = self.at;
        let word = self.word();
        if word.is_empty() {
            return Err(self.unexpected(Syntax::NoName));
        }
        self.refuse_curly(word, start)?;
        self.refuse_cut(word, start)?;
        if number::is_number(word) {
            return Err(Syntax::NumberAsName.at(start, self.at));
        }
        Ok(word.to_owned())
    }

    /// `(type)` before a name or value: read, and refused later if it stands in a block of ours.
    fn annotation(&mut self) -> Read<Option<Place>> {
        let start = self.at;
        if self.peek() != Some('(') {
            return Ok(None);
        }
        self.bump();
        self.skip_space()?;
        if self.quoted()?.is_none() && self.word().is_empty() {
            return Err(self.unexpected(Syntax::BadAnnotation));
        }
        self.skip_space()?;
        if self.peek() != Some(')') {
            return Err(self.unexpected(Syntax::BadAnnotation));
        }
        self.bump();
        let place = Place::span(start, self.at);
        self.skip_space()?;
        Ok(Some(place))
    }

    /// A bare word, perhaps empty.
    fn word(&mut self) -> &'a str {
        let rest = self.rest();
        let in_list = self.in_list;
        let end = rest
            .find(|c: char| !is_word_char(c) || (in_list && c == ','))
            .unwrap_or(rest.len());
        self.at += end;
        rest.get(..end).unwrap_or_default()
    }

    /// KDL takes typographic quotes for letters; at the ends of a word they were hardly meant as such.
    fn refuse_curly(&self, word: &str, start: usize) -> Read<()> {
        let last = word.char_indices().next_back();
        let ends = word.char_indices().next().into_iter().chain(last);
        match ends.into_iter().find(|(_, c)| is_curly_quote(*c)) {
            Some((at, c)) => {
                let at = start + at;
                Err(Syntax::CurlyQuote(c as u32).at(at, at + c.len_utf8()))
            }
            None => Ok(()),
        }
    }

    /// KDL lets a comment follow a word at once; behind `spiffe:` it was hardly meant as one.
    fn refuse_cut(&self, word: &str, start: usize) -> Read<()> {
        match word.ends_with(':') && self.rest().starts_with("//") {
            true => Err(Syntax::CutByComment.at(start, self.at + 2)),
            false => Ok(()),
        }
    }

    /// `/-` hides the next node, value or block.
    fn slashdash(&mut self) -> Read<bool> {
        if !self.rest().starts_with("/-") {
            return Ok(false);
        }
        let start = self.at;
        self.at += 2;
        self.skip_lines()?;
        match self.peek() {
            None | Some('}' | ']') => Err(Syntax::NothingHidden.at(start, start + 2)),
            Some('/') => Err(Syntax::NothingHidden.at(start, start + 2)),
            Some(_) => Ok(true),
        }
    }

    fn count_item(&mut self) -> Read<()> {
        self.items += 1;
        if self.items > MAX_ITEMS {
            return Err(Syntax::TooMany.at(self.at, self.at));
        }
        Ok(())
    }

    fn rest(&self) -> &'a str {
        self.text.get(self.at..).unwrap_or_default()
    }

    fn peek(&self) -> Option<char> {
        self.rest().chars().next()
    }

    fn bump(&mut self) {
        self.at += self.peek().map_or(0, char::len_utf8);
    }

    fn unexpected(&self, what: Syntax) -> SyntaxError {
        what.at(self.at, self.at + self.peek().map_or(0, char::len_utf8))
    }
}

fn keyword(word: &str) -> Option<Scalar> {
    match word {
        "true" => Some(Scalar::Bool(true)),
        "false" => Some(Scalar::Bool(false)),
        "null" => Some(Scalar::Null),
        "inf" | "-inf" | "nan" => Some(Scalar::Fraction),
        _ => None,
    }
}

/// What editors make of `"` and `'`.
pub(crate) const fn is_curly_quote(c: char) -> bool {
    matches!(
        c,
        '\u{2018}'..='\u{201f}' | '\u{ab}' | '\u{bb}' | '\u{2039}' | '\u{203a}' | '\u{ff02}'
    )
}

/// KDL 2, 3.10.
const fn is_word_char(c: char) -> bool {
    !is_newline(c)
        && !is_space(c)
        && !matches!(
            c,
            '\\' | '/' | '(' | ')' | '{' | '}' | ';' | '[' | ']' | '"' | '#' | '='
        )
}

#[cfg(test)]
mod tests;
