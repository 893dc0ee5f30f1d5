//! What an answer is, read as an upstream would: what matters is what it would see.

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

/// What this answer to this question is worth.
pub(super) fn classify(question: &Question, answer: &Answer) -> Outcome {
    let wrong = |what: String| Outcome::Wrong(format!("{what}: {}", answer.json));
    match &answer.decision {
        Decision::Allow => {
            let upstream = answer.upstream_headers(&question.request.headers);
            match allowed(question, &upstream) {
                Ok(said) => Outcome::Said(said),
                Err(what) => wrong(what),
            }
        }
        Decision::Block { .. } => {
            let reason = answer.reason_codes.first();
            match reason.and_then(|reason| Said::from_word(reason)) {
                Some(said @ Said::Denied(_)) => Outcome::Said(said),
                _ => wrong("was denied without a reason".to_owned()),
            }
        }
        // Deployed proxies forward a challenge, and break a redirect.
        Decision::Redirect { .. } | Decision::Challenge { .. } => {
            wrong("was neither allowed nor blocked".to_owned())
        }
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
