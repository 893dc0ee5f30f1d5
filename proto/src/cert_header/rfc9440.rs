//! `Client-Cert` and `Client-Cert-Chain` (RFC 9440 §2), as structured fields (RFC 8941).

use super::chain::{Builder, CertChain};
use super::error::{CertHeaderError, SfError};
use super::is_ows;

/// The Item of `cert` and, if there is one, the List of `chain`.
pub(super) fn decode(
    cert: &str,
    chain: Option<&str>,
    mut found: Builder,
) -> Result<CertChain, CertHeaderError> {
    match byte_sequence(cert.as_bytes(), cert.len(), &mut found)? {
        [] => {}
        after => {
            let at = cert.len() - after.len();
            return Err(SfError::NotOneItem { at }.into());
        }
    }
    if let Some(chain) = chain {
        list(chain.as_bytes(), &mut found)?;
    }
    without_repeated_leaf(found.finish()?)
}

/// RFC 8941 §4.2.1, with byte sequences as the only members.
fn list(text: &[u8], found: &mut Builder) -> Result<(), CertHeaderError> {
    let mut rest = text;
    loop {
        rest = skip_ows(byte_sequence(rest, text.len(), found)?);
        match rest.split_first() {
            None => return Ok(()),
            Some((b',', after)) => rest = skip_ows(after),
            Some(_) => {
                let at = text.len() - rest.len();
                return Err(SfError::CommaExpected { at }.into());
            }
        }
    }
}

/// One `:base64:` (RFC 8941 §4.2.7), strict as §4.2.7 allows; returns what follows it.
fn byte_sequence<'a>(
    text: &'a [u8],
    whole: usize,
    found: &mut Builder,
) -> Result<&'a [u8], CertHeaderError> {
    let at = whole - text.len();
    let inside = text
        .strip_prefix(b":")
        .ok_or(SfError::ColonExpected { at })?;
    let end = inside
        .iter()
        .position(|byte| *byte == b':')
        .ok_or(SfError::Unterminated { at })?;
    let (base64, tail) = inside
        .split_at_checked(end)
        .ok_or(SfError::Unterminated { at })?;
    found.push_base64(base64)?;
    Ok(tail.strip_prefix(b":").unwrap_or(tail))
}

/// RFC 9440 §2.3: the chain is without the leaf. Producers that begin with it are forgiven.
fn without_repeated_leaf(mut presented: CertChain) -> Result<CertChain, CertHeaderError> {
    if presented.intermediates.first() == Some(&presented.leaf) {
        presented.intermediates.remove(0);
    }
    if presented.intermediates.contains(&presented.leaf) {
        return Err(SfError::LeafInChain.into());
    }
    Ok(presented)
}

fn skip_ows(text: &[u8]) -> &[u8] {
    let start = text
        .iter()
        .position(|byte| !is_ows(*byte))
        .unwrap_or(text.len());
    text.get(start..).unwrap_or_default()
}
