//! What is wrong with a payload: message, field, rule, place. Never what the peer wrote.

use super::limits::MAX_DEPTH;

/// The rule that a payload broke.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Rule {
    /// A field the message cannot do without.
    #[error("is missing")]
    Missing,
    /// Two meanings for one field: nobody can know which was meant.
    #[error("is given twice")]
    Duplicate,
    /// The value is of another type.
    #[error("must be {0}")]
    WrongType(&'static str),
    /// An identifier without a byte names nothing.
    #[error("must not be empty")]
    Empty,
    /// Longer than its named bound.
    #[error("is {length} bytes long, over the limit of {max}")]
    TooLong {
        /// Bytes received.
        length: usize,
        /// Bytes allowed.
        max: usize,
    },
    /// The event names two correlation ids, so its answer has two addresses.
    #[error("differs from the correlation id given elsewhere in the event")]
    Disagrees,
    /// Neither side's versions meet.
    #[error("must contain {0}, the version this agent speaks here")]
    UnsupportedVersion(u32),
    /// A name outside a closed set.
    #[error("is not one of the protocol's names")]
    UnknownName,
    /// Arrays and maps in arrays and maps, without end.
    #[error("is nested deeper than {MAX_DEPTH} levels")]
    TooDeep,
    /// Not JSON or MessagePack at all; the text is the parser's and quotes no input.
    #[error("is malformed: {0}")]
    Syntax(Box<str>),
    /// The payload stops inside a value.
    #[error("ends inside a value")]
    Truncated,
    /// More follows the message.
    #[error("is followed by more bytes")]
    Trailing,
    /// Text that is not UTF-8.
    #[error("is not UTF-8")]
    NotUtf8,
}

/// A message's name and the section of the protocol that defines it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct About {
    pub(super) name: &'static str,
    pub(super) section: u8,
}

/// Where in a JSON text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Place {
    pub(super) line: usize,
    pub(super) column: usize,
}

/// A payload that is not what its frame says it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PayloadError {
    pub(super) about: About,
    pub(super) field: &'static str,
    pub(super) rule: Rule,
    pub(super) place: Option<Place>,
}

impl PayloadError {
    /// The message that was being read.
    #[must_use]
    pub const fn message(&self) -> &'static str {
        self.about.name
    }

    /// The field, as a path from the message; empty for the message itself.
    #[must_use]
    pub const fn field(&self) -> &'static str {
        self.field
    }

    /// The rule that was broken.
    #[must_use]
    pub const fn rule(&self) -> &Rule {
        &self.rule
    }
}

impl std::error::Error for PayloadError {}

impl std::fmt::Display for PayloadError {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(out, "{} ", self.about.name)?;
        if !self.field.is_empty() {
            write!(out, "field `{}` ", self.field)?;
        }
        write!(out, "{}", self.rule)?;
        if let Some(Place { line, column }) = self.place {
            write!(out, " at line {line} column {column}")?;
        }
        write!(out, " (agent protocol, section {})", self.about.section)
    }
}
