//! Envoy's `x-forwarded-client-cert`.
//!
//! `element *("," element)`, `element = pair *(";" pair)`, `pair = key "=" value`. Envoy quotes only
//! `Cert`, `Chain` and `Subject`; it writes `By`, `URI` and `DNS` raw, so a SAN with `,` or `;` in it
//! can add elements and keys. Hence the rules on top of the grammar: identity comes from `Cert` and
//! `Chain` alone, `Hash` must fit them, no key that matters stands twice, and where a raw SAN stands
//! before a `,` nobody can tell an element from a forgery.

use aws_lc_rs::digest;

use super::chain::{Builder, CertChain};
use super::error::{CertHeaderError, XfccError, XfccKey};
use super::format::XfccElement;
use super::{is_ows, is_token_byte, pem, percent, trim_ows_end};

/// The certificates of the chosen element, after every element has been parsed.
pub(super) fn decode(
    value: &str,
    which: XfccElement,
    max: usize,
) -> Result<CertChain, CertHeaderError> {
    let element = chosen(value.as_bytes(), which)?;
    if let Some(key) = element.twice {
        return Err(XfccError::Twice { key }.into());
    }
    let presented = match (element.cert, element.chain) {
        (None, None) => return Err(XfccError::NoCertificate.into()),
        (Some(cert), None) => leaf_only(cert, max)?,
        (None, Some(chain)) => certificates(chain, max)?,
        (Some(cert), Some(chain)) => {
            let leaf = leaf_only(cert, max)?.leaf;
            let presented = certificates(chain, max)?;
            if presented.leaf != leaf {
                return Err(XfccError::CertIsNotChainsFirst.into());
            }
            presented
        }
    };
    if let Some(hash) = element.hash {
        check_hash(hash, &presented.leaf)?;
    }
    Ok(presented)
}

/// Whether `value` begins as only XFCC does: one of Envoy's keys and `=`.
pub(super) fn begins_with_known_key(value: &[u8]) -> bool {
    let end = value
        .iter()
        .position(|byte| !is_token_byte(*byte))
        .unwrap_or(value.len());
    match value.split_at_checked(end) {
        Some((key, [b'=', ..])) => XfccKey::from_bytes(key).is_some(),
        _ => false,
    }
}

fn leaf_only(cert: &[u8], max: usize) -> Result<CertChain, CertHeaderError> {
    let presented = certificates(cert, max)?;
    if presented.intermediates.is_empty() {
        Ok(presented)
    } else {
        Err(XfccError::CertHoldsSeveral.into())
    }
}

/// Percent-encoded PEM. A backslash is legal in quotes, but never part of such a text.
fn certificates(value: &[u8], max: usize) -> Result<CertChain, CertHeaderError> {
    let mut found = Builder::new(max);
    pem::decode(&percent::decode(value)?, &mut found)?;
    found.finish()
}

/// `Hash` is the SHA-256 of the leaf's DER: 64 hexadecimal digits.
fn check_hash(hash: &[u8], leaf: &[u8]) -> Result<(), XfccError> {
    let (pairs, rest) = hash.as_chunks::<2>();
    let said = pairs
        .iter()
        .map(|[high, low]| Some(percent::hex_digit(*high)? << 4 | percent::hex_digit(*low)?))
        .collect::<Option<Vec<u8>>>()
        .filter(|said| rest.is_empty() && said.len() == digest::SHA256_OUTPUT_LEN)
        .ok_or(XfccError::HashNotSha256)?;
    if digest::digest(&digest::SHA256, leaf).as_ref() == said.as_slice() {
        Ok(())
    } else {
        Err(XfccError::HashDiffers)
    }
}

/// What one element says, as far as it is asked.
#[derive(Default)]
struct Element<'a> {
    hash: Option<&'a [u8]>,
    cert: Option<&'a [u8]>,
    chain: Option<&'a [u8]>,
    subject: Option<&'a [u8]>,
    /// The first key found a second time.
    twice: Option<XfccKey>,
    /// Carries `URI` or `DNS`, which Envoy writes raw.
    raw_san: bool,
}

impl<'a> Element<'a> {
    fn add(&mut self, key: XfccKey, value: &'a [u8]) {
        let slot = match key {
            XfccKey::Hash => &mut self.hash,
            XfccKey::Cert => &mut self.cert,
            XfccKey::Chain => &mut self.chain,
            XfccKey::Subject => &mut self.subject,
            XfccKey::Uri | XfccKey::Dns => {
                self.raw_san = true;
                return;
            }
            XfccKey::By | XfccKey::Issuer => return,
        };
        if slot.replace(value).is_some() {
            self.twice.get_or_insert(key);
        }
    }
}

/// Parses every element; returns the last.
fn chosen(value: &[u8], which: XfccElement) -> Result<Element<'_>, XfccError> {
    let mut parser = Parser {
        whole: value.len(),
        rest: value,
    };
    loop {
        let element = parser.element()?;
        if parser.rest.is_empty() {
            return Ok(element);
        }
        let at = parser.at();
        if which == XfccElement::Only {
            return Err(XfccError::NotTheOnly { at });
        }
        if element.raw_san {
            return Err(XfccError::RawSanBeforeLast { at });
        }
        parser.skip_one();
    }
}

/// A cursor; `rest` is what has not been read.
struct Parser<'a> {
    whole: usize,
    rest: &'a [u8],
}

impl<'a> Parser<'a> {
    /// Reads pairs until a `,` (left in place) or the end.
    fn element(&mut self) -> Result<Element<'a>, XfccError> {
        let mut element = Element::default();
        loop {
            let (key, value) = self.pair()?;
            if let Some(key) = XfccKey::from_bytes(key) {
                element.add(key, value);
            }
            if self.rest.first() != Some(&b';') {
                return Ok(element);
            }
            self.skip_one();
        }
    }

    /// Reads one pair; what is left is empty or begins with `;` or `,`.
    fn pair(&mut self) -> Result<(&'a [u8], &'a [u8]), XfccError> {
        self.skip_ows();
        let key = self.take_while(is_token_byte);
        if key.is_empty() {
            return Err(XfccError::KeyExpected { at: self.at() });
        }
        if self.rest.first() != Some(&b'=') {
            return Err(XfccError::EqualsExpected { at: self.at() });
        }
        self.skip_one();
        let value = if self.rest.first() == Some(&b'"') {
            self.quoted()?
        } else {
            self.plain()?
        };
        Ok((key, value))
    }

    fn plain(&mut self) -> Result<&'a [u8], XfccError> {
        let value = self.take_while(|byte| !matches!(byte, b',' | b';' | b'=' | b'"'));
        match self.rest.first() {
            None | Some(b',' | b';') => Ok(trim_ows_end(value)),
            Some(_) => Err(XfccError::QuotesNeeded { at: self.at() }),
        }
    }

    fn quoted(&mut self) -> Result<&'a [u8], XfccError> {
        let open = XfccError::Unterminated { at: self.at() };
        self.skip_one();
        let inside = self.rest;
        loop {
            self.take_while(|byte| !matches!(byte, b'"' | b'\\'));
            match self.rest {
                [b'"', after @ ..] => {
                    let length = inside.len() - self.rest.len();
                    self.rest = after;
                    self.after_quote()?;
                    return Ok(inside.get(..length).unwrap_or_default());
                }
                [b'\\', _, after @ ..] => self.rest = after,
                _ => return Err(open),
            }
        }
    }

    fn after_quote(&mut self) -> Result<(), XfccError> {
        self.skip_ows();
        match self.rest.first() {
            None | Some(b',' | b';') => Ok(()),
            Some(_) => Err(XfccError::TextAfterQuote { at: self.at() }),
        }
    }

    fn take_while(&mut self, belongs: impl Fn(u8) -> bool) -> &'a [u8] {
        let end = self
            .rest
            .iter()
            .position(|byte| !belongs(*byte))
            .unwrap_or(self.rest.len());
        let (taken, rest) = self.rest.split_at_checked(end).unwrap_or((self.rest, &[]));
        self.rest = rest;
        taken
    }

    fn skip_ows(&mut self) {
        self.take_while(is_ows);
    }

    fn skip_one(&mut self) {
        self.rest = self.rest.get(1..).unwrap_or_default();
    }

    /// The place of the cursor, in bytes from 0.
    fn at(&self) -> usize {
        self.whole - self.rest.len()
    }
}
