//! What can be wrong with a text before it means anything.

use crate::kdl::{MAX_DEPTH, MAX_ITEMS};
use crate::tree::Place;

/// One mistake and its place.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct SyntaxError {
    pub(crate) what: Syntax,
    pub(crate) at: Place,
    /// Where a string began that ran over the end of its line, before the mistake was met.
    pub(crate) string_from: Option<Place>,
}

/// A rule of KDL that is broken, or a bound.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Syntax {
    /// KDL 2, 3.19.
    #[error("the character U+{0:04X} must not stand in a KDL file (KDL 2, 3.19)")]
    Disallowed(u32),
    /// A `{` to the end of the file.
    #[error("this `{{` is never closed")]
    UnclosedBlock,
    /// A `}` too many.
    #[error("this `}}` closes nothing")]
    StrayBrace,
    /// A `[` that runs into a block or the end.
    #[error("this `[` is never closed")]
    UnclosedList,
    /// `[ [`.
    #[error("a list cannot stand in a list")]
    ListInList,
    /// `[ a=b ]`.
    #[error("a list holds values, not key=value")]
    PropertyInList,
    /// `“a”`, as word processors write quotes.
    #[error("this quote (U+{0:04X}) is a typographic one, and begins or ends no string")]
    CurlyQuote(u32),
    /// A quote without its partner.
    #[error("this string is never closed")]
    UnclosedString,
    /// `/*` to the end.
    #[error("this comment is never closed")]
    UnclosedComment,
    /// Behind `}`, or a second block.
    #[error("a new node begins on a new line or after `;`")]
    NoTerminator,
    /// `"a""b"`.
    #[error("values are separated by white space")]
    NoSpace,
    /// A character no value begins with.
    #[error("a value was expected here")]
    NoValue,
    /// A character no name begins with.
    #[error("a name was expected here")]
    NoName,
    /// `300 "x"`.
    #[error("a node's name cannot be a number")]
    NumberAsName,
    /// `1=2`.
    #[error("the key before `=` must be a word or a string")]
    BadKey,
    /// `( )`.
    #[error("a type annotation is one word in parentheses")]
    BadAnnotation,
    /// `spiffe://…` without quotes, of which a comment would leave `spiffe:`.
    #[error("`//` begins a comment, and would cut this off")]
    CutByComment,
    /// `#yes`.
    #[error("the words with `#` are #true, #false, #null, #inf, #-inf and #nan")]
    UnknownKeyword,
    /// `0x`, `1__x`, `1.`.
    #[error("this is not a number as KDL writes them")]
    BadNumber,
    /// Beyond 128 bits.
    #[error("this number is too large")]
    HugeNumber,
    /// `\q`.
    #[error(
        "unknown escape in a string; known are \\n \\r \\t \\b \\f \\s \\\\ \\\" \\/ and \\u{{…}}"
    )]
    BadEscape,
    /// `"""` with text behind it, or a line outside its indentation.
    #[error(
        "a string in `\"\"\"` begins on the next line, and each line is indented as the closing one"
    )]
    BadMultiline,
    /// `\` in the middle of a line.
    #[error("a `\\` continues a line only at its end")]
    BadContinuation,
    /// `/-` with nothing behind.
    #[error("this `/-` hides nothing")]
    NothingHidden,
    /// The bound on depth.
    #[error("blocks are limited to {MAX_DEPTH} levels")]
    TooDeep,
    /// The bound on size.
    #[error("a file is limited to {MAX_ITEMS} nodes and values")]
    TooMany,
}

impl Syntax {
    pub(crate) const fn at(self, start: usize, end: usize) -> SyntaxError {
        SyntaxError {
            what: self,
            at: Place::span(start, end),
            string_from: None,
        }
    }

    /// What to do about it, where there is more to say than the rule.
    pub(crate) const fn advice(self) -> Option<&'static str> {
        Some(match self {
            Self::NoSpace => "put a blank or a line end between them",
            Self::NoTerminator => "end the line behind the closing `}`",
            Self::CurlyQuote(_) => {
                "write \" in place of it, at both ends: an editor or a chat has changed it"
            }
            Self::CutByComment => "put it in quotes: \"spiffe://…\"",
            Self::NoValue => "texts go in quotes: \"…\"",
            Self::UnclosedList => "close it with `]` before the block ends",
            Self::UnknownKeyword => "write #true or #false (KDL 2), or true or false (KDL 1)",
            Self::BadEscape => "a backslash in a pattern is written twice: \"example\\\\.org\"",
            Self::Disallowed(_) => "delete it; such characters hide what a line really says",
            Self::HugeNumber => "if it is meant as a text, put it in quotes",
            Self::BadNumber => "a number stands alone, without a unit; a text goes in quotes",
            _ => return None,
        })
    }
}

impl SyntaxError {
    pub(crate) fn with_string_from(mut self, start: Option<usize>) -> Self {
        let earlier = start.filter(|start| self.at != Place::span(*start, *start + 1));
        self.string_from = earlier.map(|start| Place::span(start, start + 1));
        self
    }
}
