//! `decide(evidence, basis, policy) -> Decision`: one pure, total function, and the only maker of verdicts.
//!
//! The checks decide in order; the first that fails decides. What an `Open` basis, `log_and_allow`
//! and `enforce #false` turn a failure into is stated here and nowhere else.

use crate::availability::{Phase, Stance};
use crate::evidence::{Check, Evidence, Fault, Finding, Trust};
use crate::id::WorkloadId;
use crate::lists::{ListName, RuleMatch};
use crate::policy::{Policy, ValidationFailure};
use crate::reason::{Class, Reason};
use crate::svid::VerifiedIdentity;
use crate::trust::Basis;

/// May the request pass, and as whom.
#[derive(Clone, Debug)]
pub enum Verdict {
    /// It may.
    Allow(Permit),
    /// It may not.
    Deny(Denial),
}

/// Leave to pass. Only [`decide`] grants one.
#[derive(Clone, Debug)]
pub struct Permit(Passage);

/// As whom a permitted request passes.
#[derive(Clone, Debug)]
pub enum Passage {
    /// As this identity.
    Verified(VerifiedIdentity),
    /// As nobody, although something is wrong.
    Unverified(Unverified),
    /// As nobody: no credential was presented, and none is required.
    Anonymous,
}

/// Why a request passes unverified.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Unverified {
    /// `fail_open` in an outage.
    FailOpen,
    /// `validation-failure "log_and_allow"`.
    LogAndAllow,
    /// `enforce #false`.
    NotEnforced,
}

impl Unverified {
    /// Every way to pass unverified.
    pub const ALL: [Self; 3] = [Self::FailOpen, Self::LogAndAllow, Self::NotEnforced];

    /// The value of `X-Auth-Method`.
    #[must_use]
    pub const fn auth_method(self) -> &'static str {
        match self {
            Self::FailOpen => "unverified-fail-open",
            Self::LogAndAllow => "unverified-log-and-allow",
            Self::NotEnforced => "unverified-not-enforced",
        }
    }
}

impl Permit {
    /// As whom.
    #[must_use]
    pub const fn passage(&self) -> &Passage {
        &self.0
    }
}

/// A refusal. Only this module makes one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Denial {
    reason: Reason,
    status: u16,
}

impl Denial {
    /// The label.
    #[must_use]
    pub const fn reason(&self) -> Reason {
        self.reason
    }

    /// The HTTP status, 400 to 599.
    #[must_use]
    pub const fn status(&self) -> u16 {
        self.status
    }
}

/// What became of one check.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Outcome {
    /// It held.
    Passed,
    /// It did not hold.
    Failed,
    /// The basis does not ask for it.
    Skipped,
    /// An earlier check had decided.
    #[default]
    NotReached,
}

impl Outcome {
    /// Every outcome.
    pub const ALL: [Self; 4] = [Self::Passed, Self::Failed, Self::Skipped, Self::NotReached];

    /// The label in the audit record.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Passed => "passed",
            Self::Failed => "failed",
            Self::Skipped => "skipped",
            Self::NotReached => "not_reached",
        }
    }
}

/// What became of every check, in the order of [`Check::ALL`].
pub type Trail = [Outcome; Check::ALL.len()];

/// A verdict and what it rests on.
#[derive(Clone, Debug)]
pub struct Decision<'p> {
    verdict: Verdict,
    fault: Option<Fault>,
    rule: Option<(ListName, RuleMatch<'p>)>,
    trail: Trail,
}

impl<'p> Decision<'p> {
    /// The answer.
    #[must_use]
    pub const fn verdict(&self) -> &Verdict {
        &self.verdict
    }

    /// The check that failed, even where it did not deny.
    #[must_use]
    pub const fn fault(&self) -> Option<&Fault> {
        self.fault.as_ref()
    }

    /// The list entry that matched.
    #[must_use]
    pub const fn rule(&self) -> Option<&(ListName, RuleMatch<'p>)> {
        self.rule.as_ref()
    }

    /// What became of each check.
    #[must_use]
    pub const fn trail(&self) -> &Trail {
        &self.trail
    }
}

/// Why a request is refused before anything about it is known (check 0).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Intake {
    /// The event cannot be read.
    BadEvent,
    /// No policy is in force.
    NotConfigured,
    /// No capacity, or too late.
    Overloaded,
    /// An internal fault.
    Internal,
}

impl Intake {
    /// The reason of the refusal.
    #[must_use]
    pub const fn reason(self) -> Reason {
        match self {
            Self::BadEvent => Reason::BadEvent,
            Self::NotConfigured => Reason::NotConfigured,
            Self::Overloaded => Reason::Overloaded,
            Self::Internal => Reason::Internal,
        }
    }
}

/// Refuses at check 0. No mode, no `enforce #false` and no `log_and_allow` excuses it.
#[must_use]
pub fn refuse(intake: Intake, rule: &impl ToString) -> Decision<'static> {
    let reason = intake.reason();
    Course::new().deny(
        Fault::new(Check::Intake, reason, rule),
        reason.class().status(),
    )
}

/// Decides.
#[must_use]
pub fn decide<'p>(evidence: &Evidence, basis: &Basis, policy: &'p Policy) -> Decision<'p> {
    if evidence.serial() != basis.serial() {
        return refuse(
            Intake::Internal,
            &"evidence and basis were made in different worlds (README, Reasons)",
        );
    }
    let mut course = Course::new();
    course.pass(Check::Intake);
    match evidence.finding() {
        Finding::Absent => course.absent(policy),
        Finding::Faulty(fault, _) => course.faulty(fault, basis, policy),
        Finding::Sound { leaf, trust, .. } => course.sound(leaf.id(), trust, basis, policy),
    }
}

/// Whether this is one of the 401s of checks 2 to 6. Anything else in evidence is a defect of ours,
/// and `log_and_allow` or `enforce #false` must not excuse it.
fn is_of_a_credential(fault: &Fault) -> bool {
    (Check::Parse..=Check::Agreement).contains(&fault.check())
        && matches!(fault.reason().class(), Class::Unauthenticated)
}

/// A decision under way.
struct Course {
    trail: Trail,
}

impl Course {
    const fn new() -> Self {
        Self {
            trail: [Outcome::NotReached; Check::ALL.len()],
        }
    }

    fn mark(&mut self, check: Check, outcome: Outcome) {
        if let Some(place) = self.trail.get_mut(check as usize) {
            *place = outcome;
        }
    }

    fn pass(&mut self, check: Check) {
        self.mark(check, Outcome::Passed);
    }

    fn pass_before(&mut self, check: Check) {
        for earlier in Check::ALL
            .into_iter()
            .take_while(|earlier| *earlier < check)
        {
            self.pass(earlier);
        }
    }

    fn absent<'p>(self, policy: &'p Policy) -> Decision<'p> {
        if policy.spec().tls.require_mtls {
            let rule = "no credential was presented and tls.require-mtls is true (README, Reasons)";
            let fault = Fault::new(Check::Presence, Reason::NoCredential, &rule);
            return self.fail(fault, policy);
        }
        let mut course = self;
        course.mark(Check::Presence, Outcome::Skipped);
        course.allow(Passage::Anonymous, None, None)
    }

    fn faulty<'p>(mut self, fault: &Fault, basis: &Basis, policy: &'p Policy) -> Decision<'p> {
        if !is_of_a_credential(fault) {
            return refuse(
                Intake::Internal,
                &"the evidence names a failure that no credential has by itself (README, Reasons)",
            );
        }
        self.pass_before(fault.check());
        let tolerated = matches!(
            policy.failure().validation_failure,
            ValidationFailure::LogAndAllow
        );
        match basis.stance {
            Stance::Verify | Stance::OpenMaterial | Stance::Open if tolerated => {
                self.tolerate(fault.clone())
            }
            Stance::Verify | Stance::OpenMaterial | Stance::Open | Stance::Refuse => {
                self.fail(fault.clone(), policy)
            }
        }
    }

    fn sound<'p>(
        mut self,
        claim: &WorkloadId,
        trust: &Trust,
        basis: &Basis,
        policy: &'p Policy,
    ) -> Decision<'p> {
        self.pass_before(Check::Basis);
        match basis.stance {
            Stance::Refuse => {
                let fault = Fault::new(Check::Basis, Reason::TrustUnavailable, &refusal(basis));
                self.fail(fault, policy)
            }
            Stance::Verify => {
                self.pass(Check::Basis);
                self.verify(claim, trust, policy)
            }
            Stance::OpenMaterial => {
                self.pass(Check::Basis);
                self.open_with_material(claim, trust, policy)
            }
            Stance::Open => {
                self.pass(Check::Basis);
                self.mark(Check::Bundle, Outcome::Skipped);
                self.mark(Check::Path, Outcome::Skipped);
                self.lists(
                    claim,
                    Passage::Unverified(Unverified::FailOpen),
                    None,
                    policy,
                )
            }
        }
    }

    fn verify<'p>(mut self, claim: &WorkloadId, trust: &Trust, policy: &'p Policy) -> Decision<'p> {
        match self.judge(trust) {
            Err(decision) => decision,
            Ok(Ok(identity)) => self.lists(claim, Passage::Verified(identity), None, policy),
            Ok(Err(fault)) => match policy.failure().validation_failure {
                ValidationFailure::LogAndAllow => self.tolerate(fault),
                ValidationFailure::Reject => self.fail(fault, policy),
            },
        }
    }

    fn open_with_material<'p>(
        mut self,
        claim: &WorkloadId,
        trust: &Trust,
        policy: &'p Policy,
    ) -> Decision<'p> {
        match self.judge(trust) {
            Err(decision) => decision,
            Ok(Ok(identity)) => self.lists(claim, Passage::Verified(identity), None, policy),
            Ok(Err(fault)) => {
                self.mark(fault.check(), Outcome::Failed);
                self.lists(
                    claim,
                    Passage::Unverified(Unverified::FailOpen),
                    Some(fault),
                    policy,
                )
            }
        }
    }

    /// Checks 8 and 9; the outer error is a defect of ours.
    fn judge(
        &mut self,
        trust: &Trust,
    ) -> Result<Result<VerifiedIdentity, Fault>, Decision<'static>> {
        match trust {
            Trust::NotJudged => Err(refuse(
                Intake::Internal,
                &"the basis asks for a judgement that the evidence does not hold (README, Reasons)",
            )),
            Trust::NoBundle => {
                let rule = "there is no bundle for the trust domain of the ID (SPIFFE Federation, 7.3; X.509-SVID, 5)";
                Ok(Err(Fault::new(
                    Check::Bundle,
                    Reason::UnknownTrustDomain,
                    &rule,
                )))
            }
            Trust::Failed(fault) => {
                self.pass(Check::Bundle);
                Ok(Err(fault.clone()))
            }
            Trust::Verified(identity) => {
                self.pass(Check::Bundle);
                self.pass(Check::Path);
                Ok(Ok(identity.clone()))
            }
        }
    }

    fn lists<'p>(
        mut self,
        claim: &WorkloadId,
        passage: Passage,
        fault: Option<Fault>,
        policy: &'p Policy,
    ) -> Decision<'p> {
        if let Some(rule) = policy.deny().matches(claim) {
            let text = format!("denylist {rule} matches (README, Reasons)");
            let mut decision = self.fail(Fault::new(Check::Lists, Reason::Denied, &text), policy);
            decision.rule = Some((ListName::Deny, rule));
            return decision;
        }
        let Some(rule) = policy.allow().matches(claim) else {
            let text = "no allowlist entry matches (README, Reasons)";
            return self.fail(Fault::new(Check::Lists, Reason::NotAllowed, &text), policy);
        };
        self.pass(Check::Lists);
        self.allow(passage, fault, Some((ListName::Allow, rule)))
    }

    fn tolerate<'p>(mut self, fault: Fault) -> Decision<'p> {
        self.mark(fault.check(), Outcome::Failed);
        self.allow(
            Passage::Unverified(Unverified::LogAndAllow),
            Some(fault),
            None,
        )
    }

    /// What a failed check from 1 to 10 leads to.
    fn fail<'p>(mut self, fault: Fault, policy: &'p Policy) -> Decision<'p> {
        self.pass(Check::Intake);
        if !policy.failure().enforce {
            self.mark(fault.check(), Outcome::Failed);
            return self.allow(
                Passage::Unverified(Unverified::NotEnforced),
                Some(fault),
                None,
            );
        }
        let status = match fault.reason() {
            Reason::TrustUnavailable => policy.failure().unavailable_status.get(),
            other => other.class().status(),
        };
        self.deny(fault, status)
    }

    fn deny<'p>(mut self, fault: Fault, status: u16) -> Decision<'p> {
        self.mark(fault.check(), Outcome::Failed);
        Decision {
            verdict: Verdict::Deny(Denial {
                reason: fault.reason(),
                status,
            }),
            fault: Some(fault),
            rule: None,
            trail: self.trail,
        }
    }

    const fn allow<'p>(
        self,
        passage: Passage,
        fault: Option<Fault>,
        rule: Option<(ListName, RuleMatch<'p>)>,
    ) -> Decision<'p> {
        Decision {
            verdict: Verdict::Allow(Permit(passage)),
            fault,
            rule,
            trail: self.trail,
        }
    }
}

/// Why the basis refuses: no mode helps where SPIRE itself said no, or has said nothing yet.
const fn refusal(basis: &Basis) -> &'static str {
    match basis.phase {
        Phase::Withdrawn => {
            "SPIRE refuses this agent, and in every mode that ends its trust (README, When SPIRE is away)"
        }
        Phase::Starting if basis.age.is_some() => {
            "SPIRE has not answered yet, and bundles on disk count once it is known to be away (README, When SPIRE is away)"
        }
        Phase::Starting => "SPIRE has given no bundles yet (README, When SPIRE is away)",
        Phase::Live | Phase::Interrupted | Phase::Outage => {
            "the trust source is away and failure.spire-unavailable refuses (README, When SPIRE is away)"
        }
    }
}
