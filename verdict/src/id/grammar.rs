//! The grammar of SPIFFE-ID 2, byte by byte.

use super::{IdError, MAX_TRUST_DOMAIN_BYTES, SCHEME};

/// What follows `spiffe://`, in lower case as a peer must write it.
pub(super) fn after_scheme(raw: &[u8]) -> Result<&[u8], IdError> {
    if let Some(rest) = raw.strip_prefix(SCHEME.as_bytes()) {
        return Ok(rest);
    }
    match raw.get(..SCHEME.len()) {
        Some(start) if start.eq_ignore_ascii_case(SCHEME.as_bytes()) => Err(IdError::SchemeCase),
        _ => Err(IdError::Scheme),
    }
}

/// Splits before the first `/`: the path keeps its leading slash.
pub(super) fn name_and_path(rest: &[u8]) -> (&[u8], &[u8]) {
    let name_bytes = rest
        .iter()
        .position(|&byte| byte == b'/')
        .unwrap_or(rest.len());
    rest.split_at(name_bytes)
}

/// SPIFFE-ID 2.1 and 2.3. No rule knows of labels, leading hyphens or IP addresses.
pub(super) fn check_name(name: &[u8]) -> Result<(), IdError> {
    if name.is_empty() {
        return Err(IdError::EmptyTrustDomain);
    }
    if name.len() > MAX_TRUST_DOMAIN_BYTES {
        return Err(IdError::TrustDomainTooLong { bytes: name.len() });
    }
    match name.iter().find(|&&byte| !is_name_byte(byte)) {
        None => Ok(()),
        Some(_) if name.contains(&b'@') => Err(IdError::UserInfo),
        Some(&byte) => Err(name_error(byte)),
    }
}

/// SPIFFE-ID 2.2. An empty path is right; a lone `/` is not.
pub(super) fn check_path(path: &[u8]) -> Result<(), IdError> {
    let Some(mut rest) = path.strip_prefix(b"/") else {
        return Ok(());
    };
    loop {
        let (segment, more) = name_and_path(rest);
        check_segment(segment, more)?;
        match more.strip_prefix(b"/") {
            Some(next) => rest = next,
            None => return Ok(()),
        }
    }
}

fn check_segment(segment: &[u8], more: &[u8]) -> Result<(), IdError> {
    match segment {
        b"" if more.is_empty() => Err(IdError::TrailingSlash),
        b"" => Err(IdError::EmptySegment),
        b"." | b".." => Err(IdError::DotSegment),
        _ => match segment.iter().find(|&&byte| !is_segment_byte(byte)) {
            None => Ok(()),
            Some(&byte) => Err(segment_error(byte)),
        },
    }
}

/// Whether a trust domain name may contain `byte` (SPIFFE-ID 2.1).
pub(crate) const fn is_name_byte(byte: u8) -> bool {
    matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'.' | b'-' | b'_')
}

/// Whether a path segment may contain `byte` (SPIFFE-ID 2.2).
pub(crate) const fn is_segment_byte(byte: u8) -> bool {
    is_name_byte(byte) || byte.is_ascii_uppercase()
}

fn name_error(byte: u8) -> IdError {
    match byte {
        b'A'..=b'Z' => IdError::TrustDomainCase,
        b':' => IdError::Port,
        b'%' => IdError::PercentInTrustDomain,
        b'?' => IdError::Query,
        b'#' => IdError::Fragment,
        _ => IdError::TrustDomainByte { byte },
    }
}

fn segment_error(byte: u8) -> IdError {
    match byte {
        b'%' => IdError::PercentInPath,
        b'?' => IdError::Query,
        b'#' => IdError::Fragment,
        _ => IdError::PathByte { byte },
    }
}
