//! Why a pattern was refused.

use std::ascii::escape_default;

use regex_syntax::{ast, hir};
use thiserror::Error;

use crate::lists::limits::MAX_PATTERN_BYTES;

/// The rule that a pattern broke. What could match nothing is refused as well: on a denylist it
/// would let everybody in.
#[derive(Clone, PartialEq, Eq, Debug, Error)]
pub enum PatternError {
    /// Over `MAX_PATTERN_BYTES`.
    #[error("a pattern has at most {MAX_PATTERN_BYTES} bytes, this one has {bytes}")]
    TooLong {
        /// Length found, in bytes.
        bytes: usize,
    },
    /// Text that no ID contains.
    #[error("a pattern is ASCII, as SPIFFE IDs are (SPIFFE-ID 2.1, 2.2)")]
    NotAscii,
    /// Not a regular expression (of the kind without look-around and back-references).
    #[error("not a regular expression: {message}")]
    Syntax {
        /// What the parser says, on one line.
        message: String,
    },
    /// `a|b` outside of any group: it would end the first alternative's trust domain, or begin anew.
    #[error("a pattern cannot have a | outside of a group")]
    Alternation,
    /// Anything but `spiffe://` at the beginning.
    #[error("a pattern begins with the literal spiffe://")]
    Beginning,
    /// Nothing tells the trust domain from the path.
    #[error(
        "a pattern needs a literal / outside of groups and repetitions, between trust domain and path"
    )]
    NoSlash,
    /// `(?i)` that would reach from the trust domain into the path.
    #[error("a pattern cannot set flags before its path")]
    FlagsBeforePath,
    /// `(?x)` or `(?u)`.
    #[error("a pattern cannot use the flags x and u")]
    Flag,
    /// A slash in a group, class or repetition before the first literal one.
    #[error(
        "what stands before the first literal / is matched against the trust domain alone and cannot contain a /"
    )]
    SlashInTrustDomain,
    /// `^` or `$` where neither the ID begins nor it ends.
    #[error("an anchor inside a pattern can never match")]
    AnchorInside,
    /// `\p{…}`.
    #[error("a pattern cannot use Unicode classes")]
    UnicodeClass,
    /// Well-formed, but no trust domain fits.
    #[error("what stands before the path can match no trust domain (SPIFFE-ID 2.1)")]
    NoTrustDomain,
    /// Well-formed, but no workload's path fits.
    #[error("what stands after the trust domain can match no workload's path (SPIFFE-ID 2.2)")]
    NoPath,
    /// Each part could match, all together cannot.
    #[error(
        "no ID fits: parts of the pattern contradict each other, or ask for more than an ID holds"
    )]
    NothingFits,
    /// A part that can match no byte of a trust domain.
    #[error("no trust domain contains '{}' (SPIFFE-ID 2.1)", escape_default(*byte))]
    ByteInTrustDomain {
        /// The first such byte.
        byte: u8,
    },
    /// A part that can match no byte of a path.
    #[error("no path contains '{}' (SPIFFE-ID 2.2)", escape_default(*byte))]
    ByteInPath {
        /// The first such byte.
        byte: u8,
    },
    /// Compiled, over the last of `PATTERN_TABLE_SIZES_BYTES` or what making one may take.
    #[error("the pattern is too large when compiled")]
    TooLarge,
    /// Compiled, all patterns of the list are over `PATTERNS_BUDGET_BYTES`.
    #[error("the patterns of this list are too large together when compiled")]
    BudgetSpent,
}

impl From<ast::Error> for PatternError {
    fn from(error: ast::Error) -> Self {
        let at = error.span().start.offset;
        Self::Syntax {
            message: format!("{} (at byte {at})", error.kind()),
        }
    }
}

impl From<regex_syntax::Error> for PatternError {
    fn from(error: regex_syntax::Error) -> Self {
        match error {
            regex_syntax::Error::Parse(error) => error.into(),
            regex_syntax::Error::Translate(error)
                if *error.kind() == hir::ErrorKind::UnicodeNotAllowed =>
            {
                Self::UnicodeClass
            }
            other => Self::Syntax {
                message: other.to_string(),
            },
        }
    }
}
