//! From a decision to what the Sentinel protocol says: reply, header changes, audit fields, body.

use std::borrow::Cow;

use proto::sentinel::reply::{Audit, BlockStatus, Decision as Answer, HeaderOp, Reply};
use verdict::decide::{Decision, Denial, Passage, Verdict};
use verdict::time::Now;
use verdict::trust::Basis;
use verdict::upstream::{self, header_ops};

use crate::policies::InForce;

/// Longest request id repeated in a body, bytes; real ones are UUIDs.
const SHOWN_ID_MAX_BYTES: usize = 128;

/// Makes the reply to a decision, and has it written in whatever dialect; `seen` are the names of
/// the request's headers that could pass for ours.
pub fn reply(
    decision: &Decision<'_>,
    request_id: Option<&str>,
    basis: Option<&Basis>,
    policy: Option<&InForce>,
    seen: &[&str],
    now: Now,
    write: impl FnOnce(&Reply<'_>),
) {
    let rule = decision
        .rule()
        .map(|(list, rule)| format!("{}: {rule}", list.as_str()));
    let rules: Vec<&str> = rule.as_deref().into_iter().collect();
    let reasons: Vec<&str> = decision
        .fault()
        .map(|fault| fault.reason().as_str())
        .into_iter()
        .collect();
    match decision.verdict() {
        Verdict::Deny(denial) => {
            let reveal = policy.is_some_and(|policy| policy.policy.failure().reveal_reason);
            let body = body(denial, request_id, reveal);
            let headers: &[(&str, &str)] = match denial.status() {
                401 => &[("www-authenticate", "mTLS")],
                _ => &[],
            };
            // The status of a denial is between 400 and 599 by construction.
            let status = BlockStatus::try_from(denial.status()).unwrap_or(BlockStatus::INTERNAL);
            let reply = Reply {
                decision: Answer::Block {
                    status,
                    body: &body,
                    headers,
                },
                audit: Audit {
                    tags: &["spiffe"],
                    rule_ids: &rules,
                    reason_codes: &reasons,
                    custom: &[],
                },
                ..Reply::ALLOW
            };
            write(&reply);
        }
        Verdict::Allow(permit) => {
            let Some(policy) = policy else {
                // Nothing allows without a policy; were it otherwise, this answers a refusal.
                let refusal = Reply::block(BlockStatus::INTERNAL, "internal error");
                return write(&refusal);
            };
            let names = &policy.policy.spec().headers;
            let ops = header_ops(permit, basis, names, seen, now);
            let ops: Vec<HeaderOp<'_>> = ops.iter().map(wire_op).collect();
            let custom = custom(permit.passage(), basis);
            let custom: Vec<(&str, &str)> = custom
                .iter()
                .map(|(key, value)| (*key, value.as_ref()))
                .collect();
            let reply = Reply {
                header_ops: &ops,
                audit: Audit {
                    tags: &["spiffe"],
                    rule_ids: &rules,
                    reason_codes: &reasons,
                    custom: &custom,
                },
                ..Reply::ALLOW
            };
            write(&reply);
        }
    }
}

fn wire_op<'a>(op: &'a upstream::HeaderOp<'a>) -> HeaderOp<'a> {
    match op {
        upstream::HeaderOp::Remove(name) => HeaderOp::Remove { name },
        upstream::HeaderOp::Set(name, value) => HeaderOp::Set { name, value },
    }
}

/// For the agents behind us: who it is, how that is known, and what it rests on.
fn custom<'a>(passage: &'a Passage, basis: Option<&Basis>) -> Vec<(&'static str, Cow<'a, str>)> {
    let mut fields = match passage {
        Passage::Verified(identity) => vec![
            ("spiffe_id", Cow::Borrowed(identity.id().as_str())),
            ("auth_method", Cow::Borrowed("spiffe")),
        ],
        Passage::Unverified(why) => vec![("auth_method", Cow::Borrowed(why.auth_method()))],
        Passage::Anonymous => vec![("auth_method", Cow::Borrowed("anonymous"))],
    };
    if let Some(basis) = basis {
        fields.push(("trust_basis", Cow::Owned(upstream::trust_basis(basis))));
    }
    fields
}

/// The class and the request's id; the reason only if the policy reveals it.
fn body(denial: &Denial, request_id: Option<&str>, reveal: bool) -> String {
    let reason = denial.reason();
    let mut body = reason.class().as_str().to_owned();
    if reveal {
        body.push_str(": ");
        body.push_str(reason.as_str());
    }
    let shown = request_id.filter(|id| {
        id.len() <= SHOWN_ID_MAX_BYTES && id.bytes().all(|byte| byte.is_ascii_graphic())
    });
    if let Some(id) = shown {
        body.push_str(" (request ");
        body.push_str(id);
        body.push(')');
    }
    body
}
