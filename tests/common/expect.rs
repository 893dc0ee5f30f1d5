//! What an answer must be, checked whole.

use chaos::client::{Answer, Decision, HeaderOp, Request};

/// Names of the identity headers, as documented.
pub const IDENTITY: [&str; 5] = [
    "x-spiffe-id",
    "x-spiffe-trust-domain",
    "x-spiffe-workload-id",
    "x-auth-method",
    "x-auth-timestamp",
];

/// The answer that is right.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Expected {
    /// Allowed as this ID, with all headers.
    As(String),
    /// Allowed without identity, by this method.
    Unverified(&'static str),
    /// Allowed without anything: no credential is required.
    Anonymous,
    /// Denied.
    Denied(u16, &'static str),
}

impl Expected {
    pub fn allowed_as(id: &str) -> Self {
        Self::As(id.to_owned())
    }

    /// Says what differs.
    pub fn check(&self, request: &Request, answer: &Answer) -> Result<(), String> {
        let wrong = |what: String| Err(format!("{self:?}: {what}: {}", answer.json));
        let upstream = answer.upstream_headers(&request.headers);
        let is = |name: &str| upstream.get(name).cloned().unwrap_or_default();
        if answer.is_allow() {
            // Nothing that merely looks like one of ours passes either.
            for name in upstream.keys() {
                let spelled = name.to_ascii_lowercase().replace('_', "-");
                if IDENTITY.contains(&spelled.as_str()) && !IDENTITY.contains(&name.as_str()) {
                    return wrong(format!("{name} passes"));
                }
            }
            let adds = |op: &HeaderOp| matches!(op, HeaderOp::Add { .. });
            if answer.header_ops.iter().any(adds) {
                return wrong("adds to what the client sent".to_owned());
            }
        }
        match self {
            Self::As(id) => {
                let (domain, path) = split(id);
                let stamp = is("x-auth-timestamp");
                let fresh = stamp.iter().all(|at| {
                    at.parse::<u64>()
                        .is_ok_and(|at| at.abs_diff(super::unix_now()) < 60)
                });
                if !answer.is_allow()
                    || is("x-spiffe-id") != [id.as_str()]
                    || is("x-spiffe-trust-domain") != [domain]
                    || is("x-spiffe-workload-id") != [path]
                    || is("x-auth-method") != ["spiffe"]
                    || stamp.len() != 1
                    || !fresh
                {
                    return wrong(format!("upstream gets {upstream:?}"));
                }
            }
            Self::Unverified(method) => {
                let named = [
                    "x-spiffe-id",
                    "x-spiffe-trust-domain",
                    "x-spiffe-workload-id",
                ];
                if !answer.is_allow()
                    || named.iter().any(|name| !is(name).is_empty())
                    || is("x-auth-method") != [*method]
                {
                    return wrong(format!("upstream gets {upstream:?}"));
                }
            }
            Self::Anonymous => {
                if !answer.is_allow() || IDENTITY.iter().any(|name| !is(name).is_empty()) {
                    return wrong(format!("upstream gets {upstream:?}"));
                }
            }
            Self::Denied(status, reason) => {
                let Decision::Block { headers, .. } = &answer.decision else {
                    return wrong("no block".to_owned());
                };
                let asks = headers
                    .as_ref()
                    .is_some_and(|headers| headers.contains_key("www-authenticate"));
                if answer.block_status() != Some(*status)
                    || answer.reason_codes != [*reason]
                    || asks != (*status == 401)
                {
                    return wrong("another denial".to_owned());
                }
            }
        }
        Ok(())
    }

    /// Fails the test where the answer differs.
    #[track_caller]
    pub fn of(&self, request: &Request, answer: &Answer) {
        if let Err(wrong) = self.check(request, answer) {
            panic!("{wrong}");
        }
    }
}

fn split(id: &str) -> (&str, &str) {
    let rest = id.strip_prefix("spiffe://").unwrap();
    rest.split_at(rest.find('/').unwrap())
}
