//! Whether nearly everybody is denied, and for one reason: then it is no caller's affair.

use actors::admin::status::Denial;
use actors::audit::Recorded;
use config::Settings;
use verdict::reason::Reason;

use super::finding::Examination;

/// Fewer decisions show nothing.
const DECISIONS_MIN: u64 = 10;

/// So many of the latest decisions were denied for this reason.
pub(super) struct Alike<'a> {
    pub(super) reason: Reason,
    pub(super) example: Example,
    pub(super) denied: u64,
    pub(super) of: u64,
    /// Which decisions were looked at.
    pub(super) seen: &'a str,
}

/// What is known of one of them: texts of a peer, and the rule that the advice is about.
#[derive(Clone, Default)]
pub(super) struct Example {
    rule: String,
    matched: Option<String>,
    id: Option<String>,
}

impl From<&Denial> for Example {
    fn from(denial: &Denial) -> Self {
        Self {
            rule: denial.rule.clone(),
            matched: denial.matched_rule.clone(),
            id: denial.spiffe_id.clone(),
        }
    }
}

impl From<&Recorded> for Example {
    fn from(recorded: &Recorded) -> Self {
        Self {
            rule: recorded.rule.clone().unwrap_or_default(),
            matched: recorded.matched_rule.clone(),
            id: recorded.spiffe_id.clone(),
        }
    }
}

impl Example {
    /// What stands in the record of it.
    fn told(&self) -> String {
        let fields = [
            ("rule", Some(&self.rule).filter(|rule| !rule.is_empty())),
            ("matched_rule", self.matched.as_ref()),
            ("spiffe_id", self.id.as_ref()),
        ];
        let told = fields
            .into_iter()
            .filter_map(|(name, value)| Some(format!("{name} `{}`", value?)));
        told.collect::<Vec<_>>().join(", ")
    }
}

impl Alike<'_> {
    /// A finding, if that is most of them and it was not found yet.
    pub(super) fn tell(&self, settings: &Settings, examination: &mut Examination) {
        let (reason, denied, of) = (self.reason, self.denied, self.of);
        let found = |codes: &[&str]| examination.has_any(codes);
        let is_told = found(&["most-denied"])
            || match reason {
                // Who has no policy is told of by name.
                Reason::NotConfigured => true,
                // One trouble is told of once.
                Reason::TrustUnavailable => found(&[
                    "not-ready",
                    "requests-refused",
                    "requests-unverified",
                    "no-bundles",
                    "update-discarded",
                ]),
                Reason::Overloaded => found(&["audit-refuses"]),
                _ => false,
            };
        if is_told || of < DECISIONS_MIN || denied.saturating_mul(2) <= of {
            return;
        }
        let advice = reason.advice_on(&self.example.rule);
        let fix = match reason {
            Reason::NoCredential => {
                let policy = settings.policy();
                let header = policy.map_or("X-Forwarded-Client-Cert", |policy| {
                    policy.tls.client_cert_header.as_str()
                });
                format!("does the hop write {header}? {advice}")
            }
            _ => advice.to_owned(),
        };
        let mut seen = format!("{denied} of the last {of} {} are {reason}", self.seen);
        let example = self.example.told();
        if !example.is_empty() {
            seen.push_str(&format!("; of the newest: {example}"));
        }
        examination.problem(
            "most-denied",
            &format!(
                "most requests are denied, and for one reason: {}",
                reason.means()
            ),
            &seen,
            &fix,
        );
    }
}
