//! Whether nearly everybody is denied, and for one reason: then it is no caller's affair.

use config::Settings;
use verdict::reason::Reason;

use super::finding::Examination;

/// Fewer decisions show nothing.
const DECISIONS_MIN: u64 = 10;

/// So many of the latest decisions were denied for this reason.
pub(super) struct Alike<'a> {
    pub(super) reason: Reason,
    /// The rule of one of them, if it is known.
    pub(super) rule: &'a str,
    pub(super) denied: u64,
    pub(super) of: u64,
    /// Which decisions were looked at.
    pub(super) seen: &'a str,
}

impl Alike<'_> {
    /// A finding, if that is most of them and it was not found yet.
    pub(super) fn tell(&self, settings: &Settings, examination: &mut Examination) {
        let (reason, denied, of) = (self.reason, self.denied, self.of);
        let found = |codes: &[&str]| {
            let mut findings = examination.findings.iter();
            findings.any(|one| codes.contains(&one.code))
        };
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
                ]),
                Reason::Overloaded => found(&["audit-refuses"]),
                _ => false,
            };
        if is_told || of < DECISIONS_MIN || denied.saturating_mul(2) <= of {
            return;
        }
        let advice = reason.advice_on(self.rule);
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
        examination.problem(
            "most-denied",
            &format!(
                "most requests are denied, and for one reason: {}",
                reason.means()
            ),
            &format!("{denied} of the last {of} {} are {reason}", self.seen),
            &fix,
        );
    }
}
