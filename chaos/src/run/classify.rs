//! What an answer is, read as an upstream would: what matters is what it would see.

use verdict::policy::DenyStatus;
use verdict::reason::Reason;

use crate::client::{Answer, Decision, Headers};
use crate::run::recording::Outcome;
use crate::scenario::answer::Said;
use crate::scenario::caller::Caller;

use super::callers::Question;

/// The identity headers, by their default names.
const IDENTITY: [&str; 5] = [
    "x-spiffe-id",
    "x-spiffe-trust-domain",
    "x-spiffe-workload-id",
    "x-auth-method",
    "x-auth-timestamp",
];

/// What this answer to this question is worth. `unavailable` is the status that the agent's policy gives
/// `TRUST_UNAVAILABLE`, where that is known.
pub(super) fn classify(
    question: &Question,
    answer: &Answer,
    unavailable: Option<DenyStatus>,
) -> Outcome {
    let wrong = |what: String| Outcome::Wrong(format!("{what}: {}", answer.json));
    match &answer.decision {
        Decision::Allow => {
            let upstream = answer.upstream_headers(&question.request.headers);
            match allowed(question, &upstream) {
                Ok(said) => Outcome::Said(said),
                Err(what) => wrong(what),
            }
        }
        Decision::Block { status, .. } => {
            match denied(answer.reason_codes.first(), *status, unavailable) {
                Ok(said) => Outcome::Said(said),
                Err(what) => wrong(what),
            }
        }
        // Deployed proxies forward a challenge, and break a redirect.
        Decision::Redirect { .. } | Decision::Challenge { .. } => {
            wrong("was neither allowed nor blocked".to_owned())
        }
    }
}

/// The setting by which an agent lets somebody pass without identity while SPIRE is well, if it has one
/// (README, "Headers": `X-Auth-Method`). The outage's own mode is none of them.
pub(super) fn let_pass_by(question: &Question, answer: &Answer) -> Option<&'static str> {
    if answer.decision != Decision::Allow {
        return None;
    }
    let upstream = answer.upstream_headers(&question.request.headers);
    let method = upstream.get("x-auth-method").map(Vec::as_slice);
    match method.unwrap_or_default() {
        [method] if method == "unverified-not-enforced" => Some("`enforce #false`"),
        [method] if method == "unverified-log-and-allow" => {
            Some("`validation-failure \"log_and_allow\"`")
        }
        [] if question.caller == Caller::Nobody => Some("`require-mtls #false`"),
        _ => None,
    }
}

/// A denial is what its status says to whoever asked: a 200 lets nobody pass and looks as if it did, a
/// 503 in place of a 403 is asked again.
fn denied(
    reason: Option<&String>,
    status: u16,
    unavailable: Option<DenyStatus>,
) -> Result<Said, String> {
    let mut known = Reason::ALL.iter();
    let reason = known.find(|known| reason.is_some_and(|reason| reason == known.as_str()));
    let reason = reason.ok_or_else(|| "was denied without a reason".to_owned())?;
    let name = reason.as_str();
    let is_right = match (reason, unavailable) {
        // A policy may set any status that denies.
        (Reason::TrustUnavailable, None) => DenyStatus::new(status).is_some(),
        (Reason::TrustUnavailable, Some(set)) => status == set.get(),
        (other, _) => status == other.class().status(),
    };
    match is_right {
        true => Ok(Said::Denied(name)),
        false => Err(format!("was denied as {name} with status {status}")),
    }
}

fn allowed(question: &Question, upstream: &Headers) -> Result<Said, String> {
    for name in upstream.keys() {
        let spelled = name.to_ascii_lowercase().replace('_', "-");
        if IDENTITY.contains(&spelled.as_str()) && !IDENTITY.contains(&name.as_str()) {
            return Err(format!(
                "was allowed, and its own {name} reaches the upstream"
            ));
        }
    }
    let is = |name: &str| upstream.get(name).map_or(&[][..], Vec::as_slice);
    match is("x-auth-method") {
        [method] if method == "spiffe" => verified(question, upstream),
        [method] if method == "unverified-fail-open" => unverified(question, upstream),
        other => Err(format!("was allowed by the method {other:?}")),
    }
}

fn verified(question: &Question, upstream: &Headers) -> Result<Said, String> {
    let is = |name: &str| upstream.get(name).map_or(&[][..], Vec::as_slice);
    let named = is("x-spiffe-id");
    let Some(id) = &question.id else {
        return Err(format!("was allowed as {named:?}"));
    };
    let (domain, path) = split(id);
    let right = named == [id.as_str()]
        && is("x-spiffe-trust-domain") == [domain]
        && is("x-spiffe-workload-id") == [path]
        && is("x-auth-timestamp").len() == 1;
    match right {
        true => Ok(Said::Verified),
        false => Err(format!("is {id}, and the upstream gets {upstream:?}")),
    }
}

/// Who passes without identity shows none, and is at least a caller with a certificate that is his own
/// affair: checks 1 to 6 hold in every mode.
fn unverified(question: &Question, upstream: &Headers) -> Result<Said, String> {
    let named = IDENTITY
        .iter()
        .take(3)
        .find(|name| upstream.contains_key(**name));
    if let Some(name) = named {
        return Err(format!("was allowed unverified, with {name}"));
    }
    match question.caller {
        Caller::Expired | Caller::NoSvid | Caller::Garbage | Caller::Nobody | Caller::Stranger => {
            Err("was let pass, though no mode lets it".to_owned())
        }
        _ => Ok(Said::FailOpen),
    }
}

fn split(id: &str) -> (&str, &str) {
    let rest = id.strip_prefix("spiffe://").unwrap_or(id);
    rest.split_at(rest.find('/').unwrap_or(rest.len()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn said(reason: &str, status: u16, unavailable: Option<u16>) -> Result<Said, String> {
        let unavailable = unavailable.and_then(DenyStatus::new);
        denied(Some(&reason.to_owned()), status, unavailable)
    }

    #[test]
    fn a_denial_with_another_status_than_its_reasons_is_wrong() {
        for reason in Reason::ALL {
            let (name, status) = (reason.as_str(), reason.class().status());
            assert_eq!(said(name, status, None), Ok(Said::Denied(name)));
            for other in [200, 302, 418] {
                let is_free = reason == Reason::TrustUnavailable && other == 418;
                assert_eq!(said(name, other, None).is_ok(), is_free, "{name} {other}");
            }
        }
        let wrong = said("NOT_ALLOWED", 200, None);
        assert_eq!(
            wrong,
            Err("was denied as NOT_ALLOWED with status 200".to_owned())
        );
        assert!(denied(None, 403, None).is_err() && said("verified", 403, None).is_err());
    }

    #[test]
    fn the_status_of_an_outage_is_the_policys_where_it_is_known() {
        let away = "TRUST_UNAVAILABLE";
        assert!(said(away, 429, Some(429)).is_ok() && said(away, 503, Some(503)).is_ok());
        assert!(said(away, 503, Some(429)).is_err());
        // It is set for an outage, and for no other reason.
        assert!(said("NOT_ALLOWED", 429, Some(429)).is_err());
    }
}
