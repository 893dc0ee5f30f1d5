//! What the record of a request shows of the forged credential that it carried. Pure.
//!
//! A hop is cleared by what proves it only: that the agent read the header which was forged, and found
//! another credential there, or none. A refusal for any other reason says nothing of the hop.

use actors::audit::Recorded;
use proto::cert_header::CertHeaderError;
use verdict::reason::{Reason, SECOND_ELEMENT};

/// What it shows.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Shown {
    /// A credential was judged, and it was not the forged one.
    Another(String),
    /// There was none.
    Nothing,
    /// Two were there.
    Mixed(String),
    /// Neither.
    Unclear(String),
}

impl Shown {
    /// By a record of the request itself that does not name the marker. `policy` is the fingerprint of
    /// the configuration's, whose header was forged.
    pub(super) fn by(record: &Recorded, policy: Option<&str>) -> Self {
        let decided_by = record.policy.as_ref();
        if decided_by.map(|policy| policy.fingerprint.as_str()) != policy || policy.is_none() {
            return Self::Unclear(
                "it was decided by another policy than this configuration's, which may read another header: name \
                 the file that has it with --config"
                    .to_owned(),
            );
        }
        if let Some(id) = record.spiffe_id.as_ref().or(record.leaf_sha256.as_ref()) {
            return Self::Another(id.clone());
        }
        let rule = record.rule.clone().unwrap_or_default();
        // What a proxy that adds a line leaves, in formats of one line each.
        let several_lines = CertHeaderError::SeveralLines.to_string();
        match record.reason {
            Some(Reason::NoCredential) => Self::Nothing,
            None if record.identity == "anonymous" => Self::Nothing,
            Some(Reason::Malformed)
                if rule.contains(SECOND_ELEMENT) || rule.contains(&several_lines) =>
            {
                Self::Mixed(rule)
            }
            reason => {
                let reason = reason.map_or("no reason", Reason::as_str);
                Self::Unclear(format!(
                    "it was answered with {reason}, which says nothing of the hop: {rule}"
                ))
            }
        }
    }
}
