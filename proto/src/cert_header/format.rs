//! The formats by name, and how "auto" tells them apart.

use std::fmt;
use std::str::FromStr;

use thiserror::Error;

use super::{percent, xfcc};

/// Bytes of a value that tell which format it is in: `-----BEGIN CERTIFICATE-----`, percent-encoded.
const LOOKED_AT_BYTES: usize = 96;

/// How the header's value is read.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Format {
    /// `auto`: told from the value, which must then fit that grammar whole.
    #[default]
    Auto,
    /// One grammar, insisted on by name.
    Named(Grammar),
}

/// One way to write certificates into a header.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Grammar {
    /// `xfcc`: Envoy's `x-forwarded-client-cert`.
    Xfcc,
    /// `pem-urlencoded`: percent-encoded PEM blocks (nginx's escaped form, AWS ALB).
    PemUrlencoded,
    /// `pem-spaces`: PEM whose line ends became spaces or tabs (Apache, nginx's old form).
    PemSpaces,
    /// `der-base64`: base64 of exactly one DER certificate (HAProxy, Caddy).
    DerBase64,
    /// `der-base64-concatenated`: base64 of DER certificates one after another (HAProxy's chain).
    DerBase64Concatenated,
    /// `der-base64-list`: several of `der-base64`, between commas (Traefik).
    DerBase64List,
    /// `rfc9440`: `Client-Cert` and `Client-Cert-Chain`.
    Rfc9440,
}

impl Format {
    /// Every format, in the order of the documentation.
    pub const ALL: [Self; 8] = [
        Self::Auto,
        Self::Named(Grammar::Xfcc),
        Self::Named(Grammar::PemUrlencoded),
        Self::Named(Grammar::PemSpaces),
        Self::Named(Grammar::DerBase64),
        Self::Named(Grammar::DerBase64Concatenated),
        Self::Named(Grammar::DerBase64List),
        Self::Named(Grammar::Rfc9440),
    ];

    /// The name in the configuration.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Auto => "auto",
            Self::Named(grammar) => grammar.as_str(),
        }
    }

    /// The grammar that a trimmed `value` is to be read by.
    pub(super) fn grammar_of(self, value: &str) -> Grammar {
        match self {
            Self::Named(grammar) => grammar,
            Self::Auto => detect(value),
        }
    }
}

impl Grammar {
    /// The name in the configuration and in records.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Xfcc => "xfcc",
            Self::PemUrlencoded => "pem-urlencoded",
            Self::PemSpaces => "pem-spaces",
            Self::DerBase64 => "der-base64",
            Self::DerBase64Concatenated => "der-base64-concatenated",
            Self::DerBase64List => "der-base64-list",
            Self::Rfc9440 => "rfc9440",
        }
    }
}

/// The grammar that a value's first bytes speak of, if it is another one than the one insisted on.
///
/// For a person who reads the refusal; nothing is decided by it. Base64 alone looks like anything.
pub(super) fn looks_unlike(insisted_on: Format, value: &[u8]) -> Option<Grammar> {
    let Format::Named(insisted_on) = insisted_on else {
        return None;
    };
    let start = value.get(..LOOKED_AT_BYTES).unwrap_or(value);
    let looks_like = if xfcc::begins_with_known_key(start) {
        Grammar::Xfcc
    } else if start.starts_with(b":") {
        Grammar::Rfc9440
    } else if !percent::begins_with(start, b"-----BEGIN") {
        return None;
    } else if start.contains(&b'%') {
        Grammar::PemUrlencoded
    } else {
        Grammar::PemSpaces
    };
    // Percent-encoding is optional: what has none of it is the other format too.
    let fits = looks_like == insisted_on
        || (looks_like, insisted_on) == (Grammar::PemSpaces, Grammar::PemUrlencoded);
    (!fits).then_some(looks_like)
}

/// The first match, in the order of decisions.md, "The credential header".
///
/// It chooses; the chosen grammar then accepts or refuses. No second grammar is ever tried.
fn detect(value: &str) -> Grammar {
    if xfcc::begins_with_known_key(value.as_bytes()) {
        return Grammar::Xfcc;
    }
    if value.starts_with(':') {
        return Grammar::Rfc9440;
    }
    if percent::begins_with(value.as_bytes(), b"-----BEGIN") {
        return if value.contains('%') {
            Grammar::PemUrlencoded
        } else {
            Grammar::PemSpaces
        };
    }
    let several = value.contains(',') || value.contains("%2C") || value.contains("%2c");
    if several {
        Grammar::DerBase64List
    } else {
        Grammar::DerBase64
    }
}

/// Which element of an XFCC value speaks for the caller.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum XfccElement {
    /// `last`: the one that the nearest proxy appended.
    #[default]
    Last,
    /// `only`: there must be no other. Advised with Envoy's SANITIZE_SET.
    Only,
}

impl XfccElement {
    /// The name in the configuration.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Last => "last",
            Self::Only => "only",
        }
    }
}

/// A `client-cert-format` that does not exist.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error(
    "unknown certificate format: it is one of auto, xfcc, pem-urlencoded, pem-spaces, der-base64, \
     der-base64-concatenated, der-base64-list, rfc9440"
)]
pub struct UnknownFormat;

/// An `xfcc-element` that does not exist.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error("unknown xfcc element: it is one of last, only")]
pub struct UnknownXfccElement;

impl FromStr for Format {
    type Err = UnknownFormat;

    fn from_str(name: &str) -> Result<Self, Self::Err> {
        Self::ALL
            .into_iter()
            .find(|format| format.as_str() == name)
            .ok_or(UnknownFormat)
    }
}

impl FromStr for XfccElement {
    type Err = UnknownXfccElement;

    fn from_str(name: &str) -> Result<Self, Self::Err> {
        [Self::Last, Self::Only]
            .into_iter()
            .find(|element| element.as_str() == name)
            .ok_or(UnknownXfccElement)
    }
}

impl fmt::Display for Format {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.as_str())
    }
}

impl fmt::Display for Grammar {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.as_str())
    }
}

impl fmt::Display for XfccElement {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.as_str())
    }
}
