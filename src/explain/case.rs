//! One credential before one policy and one world: the product's own judgement, with what it found.

use std::borrow::Cow;

use actors::policies::InForce;
use actors::validation::examine;
use proto::cert_header::Raw;
use serde::Serialize;
use verdict::decide::{Decision, Intake, Outcome, Passage, Verdict, decide, refuse};
use verdict::evidence::{Check, Evidence, Fault, Finding, Trust};
use verdict::reason::Reason;
use verdict::svid::Leaf;
use verdict::time::{Age, Now};
use verdict::trust::Basis;

use super::away::Away;
use crate::material::Material;
use crate::when;

/// Everything a credential is judged by.
#[derive(Clone, Copy)]
pub(crate) struct Case<'a> {
    pub(crate) policy: Option<&'a InForce>,
    pub(crate) file: Option<&'a str>,
    pub(crate) material: &'a Material,
    pub(crate) now: Now,
}

/// What was decided, and why.
#[derive(Debug, Serialize)]
pub(crate) struct Explanation {
    /// The moment, RFC 3339.
    pub(crate) at: String,
    /// Whose policy: a file's name, or that there is none.
    pub(crate) policy: String,
    /// Where the bundles are from.
    pub(crate) bundles: String,
    /// Where SPIRE is away, or taken to be.
    pub(crate) away: Option<Away>,
    pub(crate) certificate: Option<Certificate>,
    pub(crate) checks: Vec<CheckMade>,
    pub(crate) answer: Answer,
    /// What becomes of it all the same, where a running agent cannot record and refuses.
    pub(crate) meanwhile: Option<String>,
}

/// The leaf, for people.
#[derive(Debug, Serialize)]
pub(crate) struct Certificate {
    pub(crate) spiffe_id: String,
    pub(crate) sha256: String,
    pub(crate) serial: String,
    pub(crate) issuer: String,
    pub(crate) key: String,
    pub(crate) not_before: i64,
    pub(crate) not_after: i64,
}

/// One check.
#[derive(Debug, Serialize)]
pub(crate) struct CheckMade {
    pub(crate) number: usize,
    pub(crate) check: &'static str,
    pub(crate) outcome: &'static str,
    pub(crate) found: Option<String>,
}

/// The answer, in the words of the audit record.
#[derive(Debug, Serialize)]
pub(crate) struct Answer {
    pub(crate) verdict: String,
    pub(crate) status: Option<u16>,
    pub(crate) identity: String,
    pub(crate) reason: Option<&'static str>,
    pub(crate) rule: Option<String>,
    pub(crate) matched: Option<String>,
    pub(crate) means: Option<&'static str>,
    pub(crate) advice: Option<Cow<'static, str>>,
}

/// How a credential came, for the first two checks.
struct Arrival {
    presence: String,
    parse: Option<String>,
}

impl Case<'_> {
    /// Explains a header's value.
    pub(crate) fn header(&self, value: &str, chain: Option<&str>) -> Explanation {
        let Some(policy) = self.policy else {
            return self.not_configured();
        };
        let header = &policy.header;
        let lines = [(header.name(), Some(value)), (header.chain_name(), chain)];
        let lines = lines
            .into_iter()
            .filter_map(|(name, value)| Some((name, value?)));
        let basis = self.basis(policy);
        let world = &self.material.world;
        let (evidence, arrival) = match header.find(lines) {
            Err(error) => {
                let fault = Fault::new(Check::Parse, Reason::Malformed, &error);
                (Evidence::faulty(fault, world), Arrival::of(value, None))
            }
            Ok(None) => (Evidence::absent(world), Arrival::none()),
            Ok(Some(raw)) => {
                let failure = policy.policy.failure();
                let evidence = examine(header, &raw, world, &basis, failure, self.now);
                (evidence, Arrival::of(value, read_as(policy, &raw)))
            }
        };
        self.explain(policy, &evidence, &basis, arrival)
    }

    /// Explains certificates that came in no header.
    pub(crate) fn chain(&self, chain: &[Vec<u8>]) -> Explanation {
        let Some(policy) = self.policy else {
            return self.not_configured();
        };
        let basis = self.basis(policy);
        let failure = policy.policy.failure();
        let evidence = Evidence::judge(chain, &self.material.world, &basis, failure, self.now);
        let arrival = Arrival {
            presence: "certificates, not a header".to_owned(),
            parse: Some(counted(chain.len())),
        };
        self.explain(policy, &evidence, &basis, arrival)
    }

    fn basis(&self, policy: &InForce) -> Basis {
        self.material.world.basis(policy.policy.failure(), self.now)
    }

    fn not_configured(&self) -> Explanation {
        let decision = refuse(
            Intake::NotConfigured,
            &"no policy is in force: --config gives one, or the proxy's push would",
        );
        self.explanation(&decision, None, |_| None)
    }

    fn explain(
        &self,
        policy: &InForce,
        evidence: &Evidence,
        basis: &Basis,
        arrival: Arrival,
    ) -> Explanation {
        let decision = decide(evidence, basis, &policy.policy);
        let leaf = evidence.leaf();
        let mode = policy.policy.failure().spire_unavailable.as_str();
        let matched = matched(&decision);
        self.explanation(&decision, leaf.map(AsRef::as_ref), |check| match check {
            Check::Intake => Some("a policy is in force".to_owned()),
            Check::Presence => Some(arrival.presence.clone()),
            Check::Parse => arrival.parse.clone(),
            Check::Id => leaf.map(|leaf| leaf.id().to_string()),
            Check::Leaf => leaf.map(|leaf| format!("{}, issued by {}", leaf.key(), leaf.issuer())),
            Check::Validity => leaf.map(|leaf| window(leaf, self.now)),
            Check::Agreement => Some("there is one credential".to_owned()),
            Check::Basis => Some(concluded(basis, mode)),
            Check::Bundle => self.bundle(policy, leaf?),
            Check::Path => path(evidence, self.now),
            Check::Lists => matched.clone(),
        })
    }

    fn bundle(&self, policy: &InForce, leaf: &Leaf) -> Option<String> {
        let domain = leaf.id().trust_domain();
        let ttl_ms = policy.policy.failure().cache_ttl_ms();
        let snapshot = self.material.world.snapshot();
        let bundle = snapshot.bundle(domain, ttl_ms, self.now)?;
        let count = bundle.anchors().len();
        Some(format!("the bundle of {domain} has {count} authorities"))
    }

    fn explanation(
        &self,
        decision: &Decision<'_>,
        leaf: Option<&Leaf>,
        found: impl Fn(Check) -> Option<String>,
    ) -> Explanation {
        let policy = self.policy.and(self.file).unwrap_or("none");
        let checks = Check::ALL.into_iter().zip(decision.trail()).enumerate();
        let check = |(number, (check, outcome)): (usize, (Check, &Outcome))| CheckMade {
            number,
            check: check.as_str(),
            outcome: outcome.as_str(),
            found: match outcome {
                Outcome::Passed => found(check),
                Outcome::Failed => failure(decision, check),
                Outcome::Skipped | Outcome::NotReached => None,
            },
        };
        Explanation {
            at: actors::audit::rfc3339(self.now.wall_ms),
            policy: policy.to_owned(),
            bundles: self.material.origin.clone(),
            away: None,
            certificate: leaf.map(Certificate::of),
            checks: checks.map(check).collect(),
            answer: Answer::of(decision),
            meanwhile: None,
        }
    }
}

impl Arrival {
    fn none() -> Self {
        Self {
            presence: String::new(),
            parse: None,
        }
    }

    fn of(value: &str, parse: Option<String>) -> Self {
        Self {
            presence: format!("a header of {} bytes", value.len()),
            parse,
        }
    }
}

fn read_as(policy: &InForce, raw: &Raw<'_>) -> Option<String> {
    let chain = policy.header.decode(raw).ok()?;
    let grammar = policy.header.grammar(raw);
    Some(format!(
        "{}, read as {grammar}",
        counted(chain.iter().count())
    ))
}

fn counted(certificates: usize) -> String {
    match certificates {
        1 => "1 certificate".to_owned(),
        several => format!("{several} certificates, the first is the leaf"),
    }
}

fn window(leaf: &Leaf, now: Now) -> String {
    let (from, to) = (leaf.not_before().0, leaf.not_after().0);
    let ends = when::relative(to, now.wall_ms);
    format!(
        "from {} to {}, which is {ends}",
        when::shown(from),
        when::shown(to)
    )
}

fn concluded(basis: &Basis, mode: &str) -> String {
    let age = match basis.age {
        None => "no bundles".to_owned(),
        Some(Age::Ms(ms)) => format!("bundles confirmed {} ago", when::span(ms)),
        Some(Age::InTheFuture) => "bundles from the future".to_owned(),
    };
    let (phase, stance) = (basis.phase.as_str(), basis.stance.as_str());
    format!("state {phase}, {age}, mode {mode}: {stance}")
}

fn path(evidence: &Evidence, now: Now) -> Option<String> {
    match evidence.finding() {
        Finding::Sound {
            trust: Trust::Verified(identity),
            ..
        } => {
            let until = identity.not_after().0;
            let ends = when::relative(until, now.wall_ms);
            Some(format!(
                "a valid path, until {}, which is {ends}",
                when::shown(until)
            ))
        }
        Finding::Absent | Finding::Faulty(..) | Finding::Sound { .. } => None,
    }
}

fn matched(decision: &Decision<'_>) -> Option<String> {
    let (list, rule) = decision.rule()?;
    Some(format!("{} {rule}", list.as_str()))
}

/// The rule that a failed check broke. Of two failures the decision names the last.
fn failure(decision: &Decision<'_>, check: Check) -> Option<String> {
    let fault = decision.fault().filter(|fault| fault.check() == check)?;
    Some(fault.rule().to_owned())
}

impl Certificate {
    fn of(leaf: &Leaf) -> Self {
        Self {
            spiffe_id: leaf.id().to_string(),
            sha256: crate::output::hex(leaf.sha256()),
            serial: leaf.serial(),
            issuer: leaf.issuer(),
            key: leaf.key().to_string(),
            not_before: leaf.not_before().0,
            not_after: leaf.not_after().0,
        }
    }
}

impl Explanation {
    /// Where SPIRE was asked, and is none of the policy's: it is not only one trust domain that is missing.
    pub(crate) fn doubt_spire(&mut self, case: &Case<'_>) {
        let unknown = Some(Reason::UnknownTrustDomain.as_str());
        let snapshot = case.material.world.snapshot();
        let foreign = case
            .policy
            .and_then(|policy| snapshot.foreign_to(policy.policy.allow()));
        if let Some(foreign) = foreign.filter(|_| self.answer.reason == unknown) {
            let advice = format!("{}: {foreign}", foreign.remedy());
            self.answer.advice = Some(advice.into());
        }
    }
}

impl Answer {
    fn of(decision: &Decision<'_>) -> Self {
        let (verdict, identity, status) = match decision.verdict() {
            Verdict::Deny(denial) => ("deny", "none", Some(denial.status())),
            Verdict::Allow(permit) => match permit.passage() {
                Passage::Verified(_) => ("allow", "verified", None),
                Passage::Unverified(why) => ("allow", why.auth_method(), None),
                Passage::Anonymous => ("allow", "anonymous", None),
            },
        };
        let fault = decision.fault();
        let reason = fault.map(Fault::reason);
        Self {
            verdict: verdict.to_owned(),
            status,
            identity: identity.to_owned(),
            reason: reason.map(Reason::as_str),
            rule: fault.map(|fault| fault.rule().to_owned()),
            matched: matched(decision),
            means: reason.map(Reason::means),
            advice: fault.map(|fault| fault.reason().advice_on(fault.rule()).into()),
        }
    }
}
