//! What was wrong with a header: one variant for each rule, and never a piece of its content.

use thiserror::Error;

use super::{Format, Grammar, MAX_NAME_BYTES};

/// Why a name cannot be the credential header's.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum NameError {
    /// Nothing there.
    #[error("the certificate header needs a name (RFC 9110 §5.1)")]
    Empty,
    /// Longer than [`MAX_NAME_BYTES`].
    #[error("the certificate header's name is longer than {MAX_NAME_BYTES} bytes")]
    TooLong,
    /// A byte that no header name has.
    #[error(
        "byte {at} of the certificate header's name is not a token character (RFC 9110 §5.6.2)"
    )]
    NotAToken {
        /// Bytes from 0.
        at: usize,
    },
}

/// Why a credential header is `MALFORMED`. Positions are bytes from 0 of what the rule is about: the
/// trimmed value, or the text that percent-decoding made of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum CertHeaderError {
    /// decisions.md, "The credential header".
    #[error("the certificate header stands twice as a key: one of its values would be hidden")]
    DuplicateKey,
    /// decisions.md, "The credential header".
    #[error("the certificate header is there in two spellings: one of them is not the proxy's")]
    TwoSpellings,
    /// decisions.md, "The credential header".
    #[error(
        "a header equals the certificate header only when \"_\" counts as \"-\": \
         behind some servers both are one"
    )]
    Underscore,
    /// The "Bad input".
    #[error("the certificate header is larger than {max} bytes (limits.header-bytes)")]
    TooLarge {
        /// The bound in force.
        max: usize,
    },
    /// decisions.md, "The credential header": only XFCC spreads over lines.
    #[error("the certificate header has several lines: only xfcc lines are joined")]
    SeveralLines,
    /// RFC 9440 §2.3.
    #[error("the certificate chain header came without a certificate (RFC 9440 §2.3)")]
    ChainWithoutCert,
    /// RFC 9440 §2.3: the two headers are one credential; nothing is skipped.
    #[error("a certificate chain header goes with the rfc9440 format only (RFC 9440 §2.3)")]
    ChainOfAnotherFormat,
    /// decisions.md, "The credential header": a client can choose Envoy's JSON form when appending.
    #[error("the certificate header begins as JSON, which no format allows")]
    Json,
    /// The "Bad input".
    #[error("the certificate header holds more than {max} certificates (limits.certificates)")]
    TooManyCertificates {
        /// The bound in force.
        max: usize,
    },
    /// The value is a text, but of no certificate.
    #[error("the certificate header holds no certificate (RFC 7468 §5.1)")]
    NoCertificate,
    /// RFC 3986 §2.1.
    #[error("byte {at}: \"%\" must be followed by two hexadecimal digits (RFC 3986 §2.1)")]
    Percent {
        /// Bytes from 0.
        at: usize,
    },
    /// RFC 4648 §4.
    #[error("certificate {certificate}: {rule}")]
    Base64 {
        /// From 1, the leaf.
        certificate: usize,
        /// The rule broken.
        rule: Base64Error,
    },
    /// X.690.
    #[error("certificate {certificate}: {rule}")]
    Der {
        /// From 1, the leaf.
        certificate: usize,
        /// The rule broken.
        rule: DerError,
    },
    /// RFC 7468.
    #[error(transparent)]
    Pem(#[from] PemError),
    /// Envoy's grammar.
    #[error(transparent)]
    Xfcc(#[from] XfccError),
    /// RFC 9440.
    #[error(transparent)]
    Sf(#[from] SfError),
}

/// The rule that a value broke, and what a value that begins so is usually written in: the likeliest
/// mistake of all is a `client-cert-format` that is another proxy's.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error("{error}{}", other_format(self))]
pub struct Misread {
    pub(super) error: CertHeaderError,
    pub(super) configured: Format,
    pub(super) looks_like: Option<Grammar>,
}

fn other_format(misread: &Misread) -> String {
    match misread.looks_like {
        None => String::new(),
        Some(looks_like) => format!(
            "; the value looks like {looks_like}, and client-cert-format is {}",
            misread.configured
        ),
    }
}

/// Rules of RFC 4648 §4; nothing is forgiven.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum Base64Error {
    /// Url-safe letters, white space, anything else, or `=` before the end.
    #[error(
        "byte {at} is not in base64's standard alphabet, or padding before the end (RFC 4648 §4)"
    )]
    Alphabet {
        /// Bytes from 0 of the base64 text.
        at: usize,
    },
    /// One letter more than whole bytes need.
    #[error("{bytes} letters are no base64 text (RFC 4648 §4)")]
    Length {
        /// Letters of the text.
        bytes: usize,
    },
    /// Two spellings of the same bytes are not tolerated.
    #[error("byte {at} leaves spare bits that are not zero (RFC 4648 §3.5)")]
    SpareBits {
        /// Bytes from 0 of the base64 text.
        at: usize,
    },
    /// Missing, or too much.
    #[error("base64 padding is missing or wrong (RFC 4648 §3.2)")]
    Padding,
}

/// Rules of X.690 about the outermost header of a certificate.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum DerError {
    /// No byte at all.
    #[error("the certificate is empty (RFC 5280 §4.1)")]
    Empty,
    /// Another tag than SEQUENCE.
    #[error("a certificate is a DER SEQUENCE (RFC 5280 §4.1)")]
    NotASequence,
    /// BER, not DER.
    #[error("DER has no indefinite length (X.690 §10.1)")]
    IndefiniteLength,
    /// BER, not DER.
    #[error("the DER length is not in its shortest form (X.690 §10.1)")]
    LengthNotMinimal,
    /// More octets of length than any header could fill.
    #[error("the DER length says more than a header can hold (X.690 §8.1.3)")]
    LengthTooLong,
    /// The bytes end before the SEQUENCE does.
    #[error("the DER certificate is cut short (X.690 §8.1.3)")]
    Truncated,
    /// The bytes go on after the SEQUENCE.
    #[error("bytes follow the DER certificate at byte {at} (X.690 §8.1.3)")]
    Trailing {
        /// Bytes from 0 of the DER.
        at: usize,
    },
}

/// Rules of RFC 7468.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum PemError {
    /// Another label, or text before, between or after the blocks.
    #[error("byte {at}: only \"-----BEGIN CERTIFICATE-----\" may stand here (RFC 7468 §5.1)")]
    BeginExpected {
        /// Bytes from 0.
        at: usize,
    },
    /// Another label, another BEGIN, or a stray `-`.
    #[error("byte {at}: only \"-----END CERTIFICATE-----\" may stand here (RFC 7468 §5.1)")]
    EndExpected {
        /// Bytes from 0.
        at: usize,
    },
    /// The value was cut.
    #[error("a PEM block has no end: the header was cut short (RFC 7468 §2)")]
    EndMissing,
}

/// Rules of RFC 8941 and RFC 9440.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum SfError {
    /// Not a byte sequence.
    #[error("byte {at}: a byte sequence opens with \":\" (RFC 9440 §2.1, RFC 8941 §3.3.5)")]
    ColonExpected {
        /// Bytes from 0.
        at: usize,
    },
    /// A byte sequence without its end.
    #[error("byte {at}: this byte sequence is not closed with \":\" (RFC 8941 §3.3.5)")]
    Unterminated {
        /// Bytes from 0, where it opens.
        at: usize,
    },
    /// A list, parameters, or anything else behind the leaf.
    #[error("byte {at}: one byte sequence without parameters is all there may be (RFC 9440 §2.2)")]
    NotOneItem {
        /// Bytes from 0.
        at: usize,
    },
    /// Parameters, or anything else between the members of the chain.
    #[error("byte {at}: members of a list stand between commas (RFC 9440 §2.3, RFC 8941 §3.1)")]
    CommaExpected {
        /// Bytes from 0 of the chain header.
        at: usize,
    },
    /// The chain goes without the leaf, or at most begins with it.
    #[error("the chain repeats the leaf behind its first place (RFC 9440 §2.3)")]
    LeafInChain,
}

/// Rules of Envoy's header, and ours on top of it (decisions.md, "The credential header").
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum XfccError {
    /// An empty pair or element, or a byte that no key has.
    #[error("byte {at}: a key must stand here (Envoy XFCC grammar)")]
    KeyExpected {
        /// Bytes from 0.
        at: usize,
    },
    /// Bare text.
    #[error("byte {at}: \"=\" must follow the key (Envoy XFCC grammar)")]
    EqualsExpected {
        /// Bytes from 0.
        at: usize,
    },
    /// `=` or `"` in a value without quotes.
    #[error("byte {at}: a value with \"=\" or a quote in it must be quoted (Envoy XFCC grammar)")]
    QuotesNeeded {
        /// Bytes from 0.
        at: usize,
    },
    /// The value was cut, or a quote forged.
    #[error("byte {at}: this quote is never closed (Envoy XFCC grammar)")]
    Unterminated {
        /// Bytes from 0, where it opens.
        at: usize,
    },
    /// decisions.md, "The credential header".
    #[error(
        "byte {at}: only \";\", \",\" or white space may follow a closing quote (Envoy XFCC grammar)"
    )]
    TextAfterQuote {
        /// Bytes from 0.
        at: usize,
    },
    /// `xfcc-element "only"`.
    #[error("byte {at}: a second XFCC element begins, where xfcc-element allows one only")]
    NotTheOnly {
        /// Bytes from 0, the comma.
        at: usize,
    },
    /// decisions.md, "The credential header".
    #[error(
        "byte {at}: an XFCC element other than the last carries URI or DNS; Envoy writes them raw, \
         so what follows may be forged"
    )]
    RawSanBeforeLast {
        /// Bytes from 0, the comma.
        at: usize,
    },
    /// decisions.md, "The credential header".
    #[error("{} stands twice in the XFCC element that counts", key.as_str())]
    Twice {
        /// Which one.
        key: XfccKey,
    },
    /// decisions.md, "The credential header".
    #[error(
        "the XFCC element that counts has neither Cert nor Chain: \
         add cert to Envoy's set_current_client_cert_details"
    )]
    NoCertificate,
    /// Envoy documents `Cert` as the leaf.
    #[error("XFCC's Cert holds several certificates, not the leaf alone (Envoy XFCC grammar)")]
    CertHoldsSeveral,
    /// Envoy documents `Chain` as including the leaf.
    #[error("XFCC's Cert is not the first certificate of its Chain (Envoy XFCC grammar)")]
    CertIsNotChainsFirst,
    /// Envoy documents `Hash` as SHA-256.
    #[error("XFCC's Hash is not 64 hexadecimal digits (Envoy XFCC grammar)")]
    HashNotSha256,
    /// decisions.md, "The credential header".
    #[error("XFCC's Hash is not the SHA-256 of its leaf certificate (Envoy XFCC grammar)")]
    HashDiffers,
}

/// The keys that Envoy writes; case does not matter.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum XfccKey {
    /// URI SAN of the proxy's own certificate.
    By,
    /// SHA-256 of the leaf.
    Hash,
    /// The leaf.
    Cert,
    /// All that was presented, the leaf first.
    Chain,
    /// Subject of the leaf.
    Subject,
    /// URI SAN of the leaf, raw.
    Uri,
    /// DNS SAN of the leaf, raw.
    Dns,
    /// Issuer of the leaf, from very recent versions.
    Issuer,
}

impl XfccKey {
    const ALL: [Self; 8] = [
        Self::By,
        Self::Hash,
        Self::Cert,
        Self::Chain,
        Self::Subject,
        Self::Uri,
        Self::Dns,
        Self::Issuer,
    ];

    /// As Envoy writes it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::By => "By",
            Self::Hash => "Hash",
            Self::Cert => "Cert",
            Self::Chain => "Chain",
            Self::Subject => "Subject",
            Self::Uri => "URI",
            Self::Dns => "DNS",
            Self::Issuer => "Issuer",
        }
    }

    /// `None`: a key we do not know, ignored if well-formed.
    pub(super) fn from_bytes(key: &[u8]) -> Option<Self> {
        Self::ALL
            .into_iter()
            .find(|known| known.as_str().as_bytes().eq_ignore_ascii_case(key))
    }
}
