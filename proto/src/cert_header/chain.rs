//! The certificates of one credential, and the budget they are gathered under.

use std::fmt;

use super::error::CertHeaderError;
use super::{der, strict_base64};

/// What a header presented: DER certificates, each one whole SEQUENCE, not judged yet.
#[derive(Clone, PartialEq, Eq)]
pub struct CertChain {
    /// The certificate that the TLS client proved to hold the key of, if the proxy is honest.
    pub leaf: Vec<u8>,
    /// What came with it, in the order sent.
    pub intermediates: Vec<Vec<u8>>,
}

impl CertChain {
    /// Leaf first; never empty.
    pub fn iter(&self) -> impl Iterator<Item = &[u8]> {
        std::iter::once(self.leaf.as_slice()).chain(self.intermediates.iter().map(Vec::as_slice))
    }

    /// Leaf first; never empty.
    pub fn into_vec(self) -> Vec<Vec<u8>> {
        std::iter::once(self.leaf)
            .chain(self.intermediates)
            .collect()
    }
}

/// Sizes only: whole certificates never reach logs.
impl fmt::Debug for CertChain {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("CertChain")
            .field("leaf_bytes", &self.leaf.len())
            .field("intermediates", &self.intermediates.len())
            .finish()
    }
}

/// Certificates as they are found, at most `max` of them.
pub(super) struct Builder {
    found: Vec<Vec<u8>>,
    max: usize,
}

impl Builder {
    pub(super) const fn new(max: usize) -> Self {
        Self {
            found: Vec::new(),
            max,
        }
    }

    /// One base64 text that holds exactly one DER certificate.
    pub(super) fn push_base64(&mut self, text: &[u8]) -> Result<(), CertHeaderError> {
        let certificate = self.next()?;
        let der = strict_base64::decode(text)
            .map_err(|rule| CertHeaderError::Base64 { certificate, rule })?;
        der::exactly_one(&der).map_err(|rule| CertHeaderError::Der { certificate, rule })?;
        self.found.push(der);
        Ok(())
    }

    /// One base64 text that holds one or more DER certificates, end to end.
    pub(super) fn push_concatenated(&mut self, text: &[u8]) -> Result<(), CertHeaderError> {
        let certificate = self.next()?;
        let all = strict_base64::decode(text)
            .map_err(|rule| CertHeaderError::Base64 { certificate, rule })?;
        let mut rest = all.as_slice();
        loop {
            let certificate = self.next()?;
            let (one, after) = der::split_first(rest)
                .map_err(|rule| CertHeaderError::Der { certificate, rule })?;
            self.found.push(one.to_vec());
            if after.is_empty() {
                return Ok(());
            }
            rest = after;
        }
    }

    /// All that was found, leaf first.
    pub(super) fn finish(self) -> Result<CertChain, CertHeaderError> {
        let mut found = self.found.into_iter();
        let leaf = found.next().ok_or(CertHeaderError::NoCertificate)?;
        Ok(CertChain {
            leaf,
            intermediates: found.collect(),
        })
    }

    /// The number, from 1, of the next certificate; refused before any of its bytes are decoded.
    fn next(&self) -> Result<usize, CertHeaderError> {
        if self.found.len() >= self.max {
            return Err(CertHeaderError::TooManyCertificates { max: self.max });
        }
        Ok(self.found.len() + 1)
    }
}
