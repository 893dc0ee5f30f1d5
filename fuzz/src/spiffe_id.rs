//! SPIFFE IDs, against a second reading of the same rules.
//!
//! - accepted exactly when [`model`] accepts;
//! - what was accepted is kept byte for byte, and parses to itself, whole and in parts;
//! - a workload ID exactly when there is a path; a trust domain's name never a workload.

use verdict::id::{SpiffeId, TrustDomain, WorkloadId};

pub fn check(data: &[u8]) {
    let parsed = SpiffeId::parse(data);
    assert_eq!(parsed.is_ok(), model(data), "the model disagrees");
    match parsed {
        Ok(id) => check_accepted(&id, data),
        Err(error) => super::check_error(&error),
    }
    if let Ok(text) = std::str::from_utf8(data)
        && let Ok(domain) = TrustDomain::from_config(text)
    {
        let bare = text.strip_prefix("spiffe://").unwrap_or(text);
        assert_eq!(domain.as_str(), bare, "a trust domain is what was written");
        assert!(model(domain.id().as_bytes()), "a trust domain's ID is one");
    }
}

fn check_accepted(id: &SpiffeId, data: &[u8]) {
    assert_eq!(id.as_str().as_bytes(), data, "kept as it came");
    let domain = id.trust_domain();
    assert_eq!(
        format!("spiffe://{domain}{}", id.path()),
        id.as_str(),
        "the parts make the whole"
    );
    assert_eq!(
        TrustDomain::parse(domain.as_str().as_bytes()).as_ref(),
        Ok(domain)
    );
    assert_eq!(
        SpiffeId::parse(id.as_str().as_bytes()).as_ref(),
        Ok(id),
        "it parses to itself"
    );
    let workload = WorkloadId::try_from(id.clone());
    assert_eq!(
        workload.is_ok(),
        !id.path().is_empty(),
        "a workload has a path"
    );
}

/// SPIFFE-ID 2, read once more and written differently: by splitting, not by walking.
fn model(data: &[u8]) -> bool {
    let Ok(text) = std::str::from_utf8(data) else {
        return false;
    };
    let Some(rest) = text.strip_prefix("spiffe://") else {
        return false;
    };
    let mut parts = rest.split('/');
    let name = parts.next().unwrap_or_default();
    let name_fits = (1..=255).contains(&name.len())
        && name
            .chars()
            .all(|c| matches!(c, 'a'..='z' | '0'..='9' | '.' | '-' | '_'));
    let segment_fits = |segment: &str| {
        !matches!(segment, "" | "." | "..")
            && segment
                .chars()
                .all(|c| matches!(c, 'a'..='z' | 'A'..='Z' | '0'..='9' | '.' | '-' | '_'))
    };
    text.len() <= 2048 && name_fits && parts.all(segment_fits)
}
