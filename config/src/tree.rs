//! What KDL and JSON have in common: nodes with values, each with the place it was written.

use std::fmt;

/// Where something was said, so that a complaint can point at it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Place {
    /// The input as a whole.
    Whole,
    /// Bytes of a file.
    Span {
        /// First byte.
        start: usize,
        /// Number of bytes.
        len: usize,
    },
    /// A path in a push: `allowlist.exact[2]`.
    Json(String),
    /// A command line flag.
    Flag(&'static str),
    /// An environment variable.
    Variable(&'static str),
}

impl Place {
    /// The bytes from `start` up to `end`.
    pub(crate) const fn span(start: usize, end: usize) -> Self {
        Self::Span {
            start,
            len: end.saturating_sub(start),
        }
    }

    /// Whether a flag or a variable said it, whatever input there is besides.
    pub(crate) const fn is_outside(&self) -> bool {
        matches!(self, Self::Flag(_) | Self::Variable(_))
    }

    /// Where it begins in the file; 0 for what is in no file.
    pub(crate) const fn start(&self) -> usize {
        match self {
            Self::Span { start, .. } => *start,
            _ => 0,
        }
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Whole => f.write_str("the configuration"),
            Self::Span { start, .. } => write!(f, "byte {start}"),
            Self::Json(path) => f.write_str(path),
            Self::Flag(name) | Self::Variable(name) => f.write_str(name),
        }
    }
}

/// One `name value… key=value… { … }`.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Node {
    pub(crate) name: String,
    /// Where the name stands.
    pub(crate) at: Place,
    pub(crate) args: Vec<Value>,
    /// Where `[ … ]` stands, if the values were written so.
    pub(crate) listed: Option<Place>,
    pub(crate) props: Vec<Prop>,
    /// `Some` when there are braces, even with nothing between them.
    pub(crate) children: Option<Vec<Node>>,
    /// Where a type annotation stands, if there is one.
    pub(crate) annotation: Option<Place>,
}

/// One `key=value`.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Prop {
    pub(crate) key: String,
    pub(crate) at: Place,
    pub(crate) value: Value,
}

/// One value and its place.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Value {
    pub(crate) scalar: Scalar,
    pub(crate) at: Place,
    pub(crate) annotation: Option<Place>,
}

/// What a value is. Nothing here is measured in fractions, so their size does not matter.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Scalar {
    Text(String),
    Integer(i128),
    Fraction,
    Bool(bool),
    Null,
    /// A JSON object or list where KDL could only have a value.
    Nested(Nesting),
}

/// What was nested.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Nesting {
    Object,
    List,
}

impl Scalar {
    /// The word for an error text.
    pub(crate) const fn kind(&self) -> &'static str {
        match self {
            Self::Text(_) => "a text",
            Self::Integer(_) => "a whole number",
            Self::Fraction => "a fraction",
            Self::Bool(_) => "true or false",
            Self::Null => "null",
            Self::Nested(Nesting::Object) => "an object",
            Self::Nested(Nesting::List) => "a list",
        }
    }
}
