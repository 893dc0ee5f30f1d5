//! What an operator should have written instead.

use super::{IdError, MAX_ID_BYTES, SCHEME, SpiffeId, TrustDomain};

impl IdError {
    /// What to do about `written`, an ID or a trust domain from a configuration, where that is plain.
    #[must_use]
    pub fn advice(&self, written: &str) -> Option<String> {
        Some(format!("write \"{}\"", self.suggestion(written)?))
    }

    /// The text to write in place of `written`; it is itself valid.
    ///
    /// Only for what an operator wrote: nobody corrects what a peer sends.
    #[must_use]
    pub fn suggestion(&self, written: &str) -> Option<String> {
        if written.len() > MAX_ID_BYTES {
            return None;
        }
        match self {
            Self::SchemeCase | Self::TrustDomainCase => valid(lower_case(written)),
            Self::Scheme => missing_scheme(written),
            Self::PathInTrustDomain => name_alone(written),
            Self::TrailingSlash => valid(written.trim_end_matches('/').to_owned()),
            _ => None,
        }
    }
}

/// A suggestion that would be refused in its turn is none.
fn valid(text: String) -> Option<String> {
    let right = SpiffeId::parse(text.as_bytes()).is_ok() || TrustDomain::from_config(&text).is_ok();
    right.then_some(text)
}

/// The path is case-sensitive, so only what stands before it changes.
fn lower_case(written: &str) -> String {
    let after_scheme = if written.contains("://") {
        SCHEME.len()
    } else {
        0
    };
    let path_at = written
        .get(after_scheme..)
        .and_then(|rest| rest.find('/'))
        .map(|at| at + after_scheme);
    match path_at.and_then(|at| written.split_at_checked(at)) {
        Some((name, path)) => format!("{}{path}", name.to_ascii_lowercase()),
        None => written.to_ascii_lowercase(),
    }
}

fn missing_scheme(written: &str) -> Option<String> {
    // A path alone: its first segment is no trust domain.
    if written.starts_with('/') && !written.starts_with("//") {
        return None;
    }
    let rest = written.split_once("://").map_or(written, |(_, rest)| rest);
    valid(format!("{SCHEME}{}", rest.trim_start_matches('/')))
}

fn name_alone(written: &str) -> Option<String> {
    let rest = written.strip_prefix(SCHEME).unwrap_or(written);
    let name = rest.split('/').next()?;
    TrustDomain::parse(name.as_bytes())
        .is_ok()
        .then(|| name.to_owned())
}
