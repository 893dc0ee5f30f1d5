//! Picking the credential out of a request's headers: borrow, do not decode.

use std::borrow::Cow;
use std::fmt;

use super::error::CertHeaderError;
use super::format::{Format, Grammar};
use super::{CertHeader, is_ows, trim_ows};

/// A credential as it stands in the request: present, within the size limit, not decoded.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct Raw<'a> {
    value: Cow<'a, str>,
    chain: Option<Cow<'a, str>>,
}

impl Raw<'_> {
    /// The header's value without white space around it; several XFCC lines are joined with `,`.
    pub fn value(&self) -> &str {
        &self.value
    }

    /// The value of RFC 9440's chain header, its lines joined with `,`.
    pub fn chain(&self) -> Option<&str> {
        self.chain.as_deref()
    }

    /// The same, owning its bytes, for another thread.
    pub fn into_owned(self) -> Raw<'static> {
        Raw {
            value: Cow::Owned(self.value.into_owned()),
            chain: self.chain.map(|chain| Cow::Owned(chain.into_owned())),
        }
    }
}

/// Sizes only: whole certificates never reach logs.
impl fmt::Debug for Raw<'_> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("Raw")
            .field("value_bytes", &self.value.len())
            .field("chain_bytes", &self.chain.as_ref().map(|chain| chain.len()))
            .finish()
    }
}

/// Sees every header of one request once and keeps what the credential consists of.
///
/// A map of names to lists calls [`begin`](Self::begin) for each key and [`value`](Self::value) for
/// each of its values; a list of lines calls [`offer`](Self::offer). Faults wait for
/// [`finish`](Self::finish), the first one wins.
pub struct Collector<'h, 'a> {
    header: &'h CertHeader,
    cert: Lines<'a>,
    chain: Lines<'a>,
    current: Part,
    bytes: usize,
    fault: Option<CertHeaderError>,
}

/// What the key that was begun last is to us.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Part {
    Cert,
    Chain,
    Other,
}

impl<'h, 'a> Collector<'h, 'a> {
    /// Nothing seen yet.
    pub fn new(header: &'h CertHeader) -> Self {
        Self {
            header,
            cert: Lines::default(),
            chain: Lines::default(),
            current: Part::Other,
            bytes: 0,
            fault: None,
        }
    }

    /// A new key of a map begins. Returns whether its values are wanted; others need not be given.
    pub fn begin(&mut self, name: &str) -> bool {
        self.enter(name, Some(CertHeaderError::DuplicateKey))
    }

    /// A value of the key that was begun last.
    pub fn value(&mut self, value: impl Into<Cow<'a, str>>) {
        let lines = match self.current {
            Part::Cert => &mut self.cert,
            Part::Chain => &mut self.chain,
            Part::Other => return,
        };
        let value = value.into();
        // One more for the comma that joins it.
        self.bytes = self
            .bytes
            .saturating_add(value.len())
            .saturating_add(lines.comma());
        let max = self.header.bounds.header_bytes;
        if self.bytes > max {
            self.fail(CertHeaderError::TooLarge { max });
        } else {
            lines.push(value);
        }
    }

    /// One header line. The same name may come again, spelled the same way.
    pub fn offer(&mut self, name: &str, value: impl Into<Cow<'a, str>>) {
        if self.enter(name, None) {
            self.value(value);
        }
    }

    /// The credential, or `None`: no such header, or only empty values, `-` and `(null)`.
    ///
    /// # Errors
    /// The name in two spellings or with `_` for `-`, a key that stood twice, more than
    /// the bound of bytes, several lines of a format that has one, a chain without its certificate.
    pub fn finish(self) -> Result<Option<Raw<'a>>, CertHeaderError> {
        if let Some(fault) = self.fault {
            return Err(fault);
        }
        let several = self.cert.count > 1;
        let Some(value) = self.cert.present() else {
            return match self.chain.present() {
                Some(_) => Err(CertHeaderError::ChainWithoutCert),
                None => Ok(None),
            };
        };
        let chain = self.chain.present();
        // The common case, one line and no chain, need not know the grammar yet.
        if several && self.header.format.grammar_of(&value) != Grammar::Xfcc {
            return Err(CertHeaderError::SeveralLines);
        }
        if chain.is_some() && self.header.format.grammar_of(&value) != Grammar::Rfc9440 {
            return Err(CertHeaderError::ChainOfAnotherFormat);
        }
        Ok(Some(Raw { value, chain }))
    }

    /// Finds out what `name` is to us; `again` is the fault of meeting it a second time.
    fn enter(&mut self, name: &str, again: Option<CertHeaderError>) -> bool {
        self.current = Part::Other;
        if self.fault.is_some() {
            return false;
        }
        let (part, likeness) = self.part(name);
        let lines = match part {
            Part::Cert => &mut self.cert,
            Part::Chain => &mut self.chain,
            Part::Other => return false,
        };
        let spelling = Spelling::of(name);
        let fault = match (likeness, lines.spelling.replace(spelling)) {
            (Likeness::ButForUnderscores, _) => Some(CertHeaderError::Underscore),
            (_, Some(before)) if before != spelling => Some(CertHeaderError::TwoSpellings),
            (_, Some(_)) => again,
            (_, None) => None,
        };
        match fault {
            Some(fault) => self.fail(fault),
            None => self.current = part,
        }
        self.current != Part::Other
    }

    fn part(&self, name: &str) -> (Part, Likeness) {
        match likeness(&self.header.name, name) {
            Likeness::None => {}
            same => return (Part::Cert, same),
        }
        // Only these two can hold a chain in a second header.
        match self.header.format {
            Format::Auto | Format::Named(Grammar::Rfc9440) => {
                match likeness(&self.header.chain_name, name) {
                    Likeness::None => (Part::Other, Likeness::None),
                    same => (Part::Chain, same),
                }
            }
            Format::Named(_) => (Part::Other, Likeness::None),
        }
    }

    fn fail(&mut self, fault: CertHeaderError) {
        self.fault.get_or_insert(fault);
        self.current = Part::Other;
    }
}

/// The values of one header, joined as they come.
#[derive(Default)]
struct Lines<'a> {
    spelling: Option<Spelling>,
    joined: Option<Cow<'a, str>>,
    count: usize,
    /// Lines that say something, so not empty, `-` or `(null)`.
    speaking: usize,
}

impl<'a> Lines<'a> {
    /// Bytes that joining one more line costs beside its own.
    fn comma(&self) -> usize {
        usize::from(self.count > 0)
    }

    fn push(&mut self, line: Cow<'a, str>) {
        let line = trim(line);
        self.count += 1;
        self.speaking += usize::from(!matches!(&*line, "" | "-" | "(null)"));
        match &mut self.joined {
            // A silent line between speaking ones stays: the grammar will refuse the gap.
            Some(joined) => {
                let joined = joined.to_mut();
                joined.push(',');
                joined.push_str(&line);
            }
            None => self.joined = Some(line),
        }
    }

    fn present(self) -> Option<Cow<'a, str>> {
        self.joined.filter(|_| self.speaking > 0)
    }
}

/// Which letters of a name are capitals: all that names alike but for case can differ in.
#[derive(Clone, Copy, PartialEq, Eq)]
struct Spelling(u128);

impl Spelling {
    /// `name` is at most 128 bytes long: `MAX_NAME_BYTES` and `-chain`.
    fn of(name: &str) -> Self {
        Self(name.bytes().fold(0, |bits, byte| {
            bits << 1 | u128::from(byte.is_ascii_uppercase())
        }))
    }
}

/// How alike a name is to a configured one.
#[derive(Clone, Copy)]
enum Likeness {
    None,
    /// Equal but for case.
    Same,
    /// Equal only when `_` counts as `-`, as CGI and WSGI have it.
    ButForUnderscores,
}

fn likeness(configured: &str, name: &str) -> Likeness {
    if configured.len() != name.len() {
        return Likeness::None;
    }
    let mut likeness = Likeness::Same;
    for (ours, theirs) in configured.bytes().zip(name.bytes()) {
        let theirs = theirs.to_ascii_lowercase();
        if ours == theirs {
            continue;
        }
        if !matches!((ours, theirs), (b'-', b'_') | (b'_', b'-')) {
            return Likeness::None;
        }
        likeness = Likeness::ButForUnderscores;
    }
    likeness
}

/// `value` without optional white space at both ends; copied only if it is owned and has some.
fn trim(value: Cow<'_, str>) -> Cow<'_, str> {
    let blank = |letter: char| u8::try_from(letter).is_ok_and(is_ows);
    match value {
        Cow::Borrowed(text) => Cow::Borrowed(text.trim_matches(blank)),
        Cow::Owned(text) if trim_ows(text.as_bytes()).len() == text.len() => Cow::Owned(text),
        Cow::Owned(text) => Cow::Owned(text.trim_matches(blank).to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::super::{CHAIN_SUFFIX, MAX_NAME_BYTES};
    use super::*;

    #[test]
    fn a_spelling_has_a_bit_for_every_letter_of_the_longest_name() {
        assert!(MAX_NAME_BYTES + CHAIN_SUFFIX.len() <= 128);
        let longest = "a".repeat(MAX_NAME_BYTES);
        let capital = format!("A{}", "a".repeat(MAX_NAME_BYTES - 1));
        assert!(Spelling::of(&longest) != Spelling::of(&capital));
    }
}
