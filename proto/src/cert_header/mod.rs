//! How proxies forward the client certificate: the grammars of every format.
//!
//! Two steps, because a proxy shows the same certificate thousands of times a second. [`Collector`]
//! picks the one configured header out of a request and decodes nothing, so that the caller can look
//! its bytes up among those it has judged before. [`CertHeader::decode`] runs for bytes not seen yet.
//!
//! A value must fit one grammar from its first byte to its last. Nothing is skipped or repaired: two
//! readers who understand one header differently are how a forged identity gets in. Whether the
//! certificates are worth anything is not asked here; a forwarded certificate is public data, and
//! only the outermost DER length is looked at.

mod chain;
mod collect;
mod der;
mod error;
mod format;
mod pem;
mod percent;
mod rfc9440;
mod strict_base64;
mod xfcc;

pub use chain::CertChain;
pub use collect::{Collector, Raw};
pub use error::{
    Base64Error, CertHeaderError, DerError, Misread, NameError, PemError, SfError, XfccError,
    XfccKey,
};
pub use format::{Format, Grammar, UnknownFormat, UnknownXfccElement, XfccElement};

use chain::Builder;

/// Bytes of the credential header, `-chain` included. The "Bad input": a chain of three is
/// about 8 KiB and Envoy's ceiling for all headers is 60 KiB, so no honest hop sends more.
pub const MAX_HEADER_BYTES: usize = 64 * 1024;

/// Certificates of one credential, leaf included. The "Bad input".
pub const MAX_CERTIFICATES: usize = 16;

/// Bytes of the configured header name. Real ones stay below 30; with `-chain` the upper-case
/// letters of a name still fit the 128 bits that tell its spellings apart.
pub const MAX_NAME_BYTES: usize = 120;

const CHAIN_SUFFIX: &str = "-chain";

/// Which header carries the certificate and how it is read; valid by construction.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct CertHeader {
    name: String,
    chain_name: String,
    format: Format,
    element: XfccElement,
    bounds: Bounds,
}

/// How much of a credential is read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Bounds {
    /// Bytes of the header, its chain included.
    pub header_bytes: usize,
    /// Certificates, leaf included.
    pub certificates: usize,
}

impl Default for Bounds {
    fn default() -> Self {
        Self {
            header_bytes: MAX_HEADER_BYTES,
            certificates: MAX_CERTIFICATES,
        }
    }
}

impl CertHeader {
    /// The header `name` (any case; kept in lower case), read as `format`.
    ///
    /// `element` matters for XFCC alone. RFC 9440's chain is looked for under `name` + `-chain`, which
    /// for `client-cert` is the name that the RFC gives it.
    ///
    /// # Errors
    /// A name that is not a token of RFC 9110 §5.1, or longer than [`MAX_NAME_BYTES`].
    pub fn new(name: &str, format: Format, element: XfccElement) -> Result<Self, NameError> {
        if name.is_empty() {
            return Err(NameError::Empty);
        }
        if name.len() > MAX_NAME_BYTES {
            return Err(NameError::TooLong);
        }
        if let Some(at) = name.bytes().position(|byte| !is_token_byte(byte)) {
            return Err(NameError::NotAToken { at });
        }
        let name = name.to_ascii_lowercase();
        let chain_name = format!("{name}{CHAIN_SUFFIX}");
        Ok(Self {
            name,
            chain_name,
            format,
            element,
            bounds: Bounds::default(),
        })
    }

    /// The same header with other bounds.
    #[must_use]
    pub fn bounded(self, bounds: Bounds) -> Self {
        Self { bounds, ..self }
    }

    /// The header's name in lower case.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The name of the header that holds an RFC 9440 chain, in lower case.
    pub fn chain_name(&self) -> &str {
        &self.chain_name
    }

    /// The configured format.
    pub fn format(&self) -> Format {
        self.format
    }

    /// Which XFCC element speaks for the caller.
    pub fn element(&self) -> XfccElement {
        self.element
    }

    /// Picks the credential out of header lines; `None` when there is none.
    ///
    /// For callers that hold the lines in a list; a parser that meets them one by one uses
    /// [`Collector`] itself.
    ///
    /// # Errors
    /// See [`Collector::finish`].
    pub fn find<'a>(
        &self,
        lines: impl IntoIterator<Item = (&'a str, &'a str)>,
    ) -> Result<Option<Raw<'a>>, CertHeaderError> {
        let mut collector = Collector::new(self);
        for (name, value) in lines {
            collector.offer(name, value);
        }
        collector.finish()
    }

    /// The grammar that `raw` is read by: the named one, or what "auto" tells from the value.
    pub fn grammar(&self, raw: &Raw<'_>) -> Grammar {
        self.format.grammar_of(raw.value())
    }

    /// The certificates of a credential, leaf first, each exactly one DER SEQUENCE.
    ///
    /// # Errors
    /// The rule of the format that the value breaks: always the reason `MALFORMED`.
    pub fn decode(&self, raw: &Raw<'_>) -> Result<CertChain, CertHeaderError> {
        let value = raw.value();
        if value.starts_with(['{', '[']) {
            return Err(CertHeaderError::Json);
        }
        let mut found = Builder::new(self.bounds.certificates);
        match self.grammar(raw) {
            Grammar::Xfcc => return xfcc::decode(value, self.element, self.bounds.certificates),
            Grammar::Rfc9440 => return rfc9440::decode(value, raw.chain(), found),
            Grammar::PemUrlencoded => pem::decode(&percent::decode(value.as_bytes())?, &mut found)?,
            Grammar::PemSpaces => pem::decode(value.as_bytes(), &mut found)?,
            Grammar::DerBase64 => found.push_base64(&percent::decode(value.as_bytes())?)?,
            Grammar::DerBase64List => {
                for item in percent::decode(value.as_bytes())?.split(|byte| *byte == b',') {
                    found.push_base64(trim_ows(item))?;
                }
            }
            Grammar::DerBase64Concatenated => {
                found.push_concatenated(&percent::decode(value.as_bytes())?)?;
            }
        }
        found.finish()
    }
}

impl CertHeader {
    /// An error of [`CertHeader::decode`] about `raw`, for a person: what the value looks like instead.
    #[must_use]
    pub fn misread(&self, raw: &Raw<'_>, error: CertHeaderError) -> Misread {
        Misread {
            error,
            configured: self.format,
            looks_like: format::looks_unlike(self.format, raw.value().as_bytes()),
        }
    }
}

/// RFC 9110 §5.6.2, `tchar`.
fn is_token_byte(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte)
}

/// RFC 9110 §5.6.3: optional white space is SP and HTAB, nothing else.
fn is_ows(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t')
}

/// `bytes` without optional white space at both ends.
fn trim_ows(mut bytes: &[u8]) -> &[u8] {
    while let Some((first, rest)) = bytes.split_first()
        && is_ows(*first)
    {
        bytes = rest;
    }
    trim_ows_end(bytes)
}

/// `bytes` without optional white space at the end.
fn trim_ows_end(mut bytes: &[u8]) -> &[u8] {
    while let Some((last, rest)) = bytes.split_last()
        && is_ows(*last)
    {
        bytes = rest;
    }
    bytes
}
