//! The audit record: one JSON line per decision, with every check's result.
//!
//! Never a key, a token, or a whole certificate: the leaf stands by its SHA-256.

use std::fmt::Write as _;

use serde::Serialize;
use verdict::decide::{Decision, Passage, Trail, Verdict};
use verdict::evidence::{Check, Evidence};
use verdict::svid::Leaf;
use verdict::time::{Age, Now};
use verdict::trust::Basis;

use super::plain;
use crate::policies::InForce;

/// What is known of a request besides its credential.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct Request<'a> {
    /// The proxy's id of the request, which the deny body names.
    #[serde(rename = "request_id")]
    pub id: Option<&'a str>,
    /// The id the answer is routed by.
    pub correlation_id: &'a str,
    /// From the W3C trace context, where it is well-formed.
    pub trace_id: Option<&'a str>,
    /// The client's address, as the proxy has it.
    pub client_ip: Option<&'a str>,
    /// The proxy that asked.
    pub proxy: &'a str,
    /// The door it came through.
    pub door: &'static str,
}

#[derive(Serialize)]
struct Record<'a> {
    time: String,
    verdict: &'static str,
    reason: Option<&'static str>,
    status: Option<u16>,
    rule: Option<&'a str>,
    spiffe_id: Option<&'a str>,
    identity: &'static str,
    matched_list: Option<&'static str>,
    matched_rule: Option<String>,
    mode: &'static str,
    enforced: bool,
    policy: Option<PolicyTerms<'a>>,
    state: Option<&'static str>,
    basis: Option<&'static str>,
    generation: Option<u64>,
    age_ms: Option<u64>,
    leaf_sha256: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    cert: Option<Cert>,
    checks: Checks<'a>,
    #[serde(flatten)]
    request: Request<'a>,
    #[serde(skip_serializing_if = "Corrects::is_nothing")]
    corrects: Corrects,
}

/// Whether a record takes the place of another.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Corrects {
    /// It is the only one.
    Nothing,
    /// The one before with the same correlation id, from the same proxy: its answer did not go out.
    Earlier,
}

impl Corrects {
    #[expect(
        clippy::trivially_copy_pass_by_ref,
        reason = "serde passes what it asks about by reference"
    )]
    const fn is_nothing(&self) -> bool {
        matches!(self, Self::Nothing)
    }
}

/// What the decision depended on besides the lists: with the checks, enough to decide again.
#[derive(Serialize)]
struct PolicyTerms<'a> {
    fingerprint: &'a str,
    require_mtls: bool,
    validation_failure: &'static str,
    unavailable_status: u16,
    cache_ttl_s: u64,
}

#[derive(Serialize)]
struct Cert {
    serial: String,
    issuer: String,
    not_before: i64,
    not_after: i64,
}

struct Checks<'a>(&'a Trail);

impl Serialize for Checks<'_> {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let pairs = Check::ALL.into_iter().zip(self.0);
        serializer.collect_map(pairs.map(|(check, outcome)| (check.as_str(), outcome.as_str())))
    }
}

/// What a decision was made from; absent where check 0 refused.
#[derive(Clone, Copy)]
pub struct Grounds<'a> {
    /// The evidence.
    pub evidence: &'a Evidence,
    /// The basis.
    pub basis: &'a Basis,
}

/// Renders the record, or `None` where the policy wants none. A decision without a policy is recorded,
/// and what corrects a record is.
#[must_use]
pub fn render(
    decision: &Decision<'_>,
    grounds: Option<Grounds<'_>>,
    policy: Option<&InForce>,
    request: Request<'_>,
    now: Now,
    corrects: Corrects,
) -> Option<Vec<u8>> {
    let audit = policy
        .map(|policy| policy.policy.spec().audit)
        .unwrap_or_default();
    let wanted = match decision.verdict() {
        Verdict::Allow(_) => audit.log_success,
        Verdict::Deny(_) => audit.log_failure,
    };
    if !wanted && corrects == Corrects::Nothing {
        return None;
    }
    let leaf = grounds.and_then(|grounds| grounds.evidence.leaf());
    let (verdict, identity, status) = in_words(decision.verdict());
    let record = Record {
        time: rfc3339(now.wall_ms),
        verdict,
        identity,
        status,
        reason: decision.fault().map(|fault| fault.reason().as_str()),
        rule: decision.fault().map(verdict::evidence::Fault::rule),
        spiffe_id: leaf.map(|leaf| leaf.id().as_str()),
        matched_list: decision.rule().map(|(list, _)| list.as_str()),
        matched_rule: decision.rule().map(|(_, rule)| rule.to_string()),
        mode: policy.map_or("none", |policy| {
            policy.policy.failure().spire_unavailable.as_str()
        }),
        enforced: policy.is_none_or(|policy| policy.policy.failure().enforce),
        policy: policy.map(terms),
        state: grounds.map(|grounds| grounds.basis.phase.as_str()),
        basis: grounds.map(|grounds| grounds.basis.stance.as_str()),
        generation: grounds
            .and_then(|grounds| grounds.evidence.generation())
            .map(verdict::trust::Generation::get),
        age_ms: grounds.and_then(|grounds| known_age(grounds.basis)),
        leaf_sha256: leaf.map(|leaf| hex(leaf.sha256())),
        cert: leaf
            .filter(|_| audit.include_cert_info)
            .map(|leaf| cert(leaf)),
        checks: Checks(decision.trail()),
        request,
        corrects,
    };
    let mut line = plain::escaped(serde_json::to_vec(&record).ok()?);
    line.push(b'\n');
    Some(line)
}

/// The verdict in words: what was answered, as whom, with which status.
const fn in_words(verdict: &Verdict) -> (&'static str, &'static str, Option<u16>) {
    match verdict {
        Verdict::Deny(denial) => ("deny", "none", Some(denial.status())),
        Verdict::Allow(permit) => match permit.passage() {
            Passage::Verified(_) => ("allow", "verified", None),
            Passage::Unverified(why) => ("allow", why.auth_method(), None),
            Passage::Anonymous => ("allow", "anonymous", None),
        },
    }
}

fn terms(policy: &InForce) -> PolicyTerms<'_> {
    let failure = policy.policy.failure();
    PolicyTerms {
        fingerprint: &policy.fingerprint,
        require_mtls: policy.policy.spec().tls.require_mtls,
        validation_failure: failure.validation_failure.as_str(),
        unavailable_status: failure.unavailable_status.get(),
        cache_ttl_s: failure.cache_ttl_s,
    }
}

fn cert(leaf: &Leaf) -> Cert {
    Cert {
        serial: leaf.serial(),
        issuer: leaf.issuer(),
        not_before: leaf.not_before().0,
        not_after: leaf.not_after().0,
    }
}

fn known_age(basis: &Basis) -> Option<u64> {
    match basis.age? {
        Age::Ms(age_ms) => Some(age_ms),
        Age::InTheFuture => None,
    }
}

pub(crate) fn hex(bytes: &[u8]) -> String {
    bytes
        .iter()
        .fold(String::with_capacity(bytes.len() * 2), |mut text, byte| {
            // Writing to a String cannot fail.
            let _ = write!(text, "{byte:02x}");
            text
        })
}

/// RFC 3339 in UTC with milliseconds, from civil-from-days arithmetic (proleptic Gregorian).
#[must_use]
pub fn rfc3339(wall_ms: i64) -> String {
    let (days, ms_of_day) = (
        wall_ms.div_euclid(86_400_000),
        wall_ms.rem_euclid(86_400_000),
    );
    let shifted = days + 719_468;
    let era = shifted.div_euclid(146_097);
    let day_of_era = shifted.rem_euclid(146_097);
    let year_of_era =
        (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted_month = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * shifted_month + 2) / 5 + 1;
    let month = if shifted_month < 10 {
        shifted_month + 3
    } else {
        shifted_month - 9
    };
    let year = year_of_era + era * 400 + i64::from(month <= 2);
    let (seconds, ms) = (ms_of_day / 1000, ms_of_day % 1000);
    let (hour, minute, second) = (seconds / 3600, seconds / 60 % 60, seconds % 60);
    format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}.{ms:03}Z")
}

#[cfg(test)]
mod tests {
    use super::rfc3339;

    #[test]
    fn dates_are_right_at_the_edges() {
        assert_eq!(rfc3339(0), "1970-01-01T00:00:00.000Z");
        assert_eq!(rfc3339(951_782_400_123), "2000-02-29T00:00:00.123Z");
        assert_eq!(rfc3339(1_704_067_199_999), "2023-12-31T23:59:59.999Z");
        assert_eq!(rfc3339(-1), "1969-12-31T23:59:59.999Z");
        assert_eq!(rfc3339(4_107_542_400_000), "2100-03-01T00:00:00.000Z");
    }
}
