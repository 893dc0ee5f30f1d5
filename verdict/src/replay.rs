//! A decision made again from what its audit record keeps: the outcome of every check, the label of
//! the failure, the stance and the terms of the policy.
//!
//! A record cannot give an identity back, and must not: what comes out here are words, not a
//! [`crate::decide::Permit`]. The table of verdicts is read a second time (decisions, "Verdicts"), so
//! that a record which does not follow from its own checks is told.

use crate::availability::{Phase, Stance, in_outage};
use crate::decide::{Outcome, Trail, Unverified};
use crate::evidence::Check;
use crate::lists::ListName;
use crate::policy::{DenyStatus, Mode, ValidationFailure};
use crate::reason::{Class, Reason};
use crate::time::Age;

/// What a policy says about failures: all of it that a decision depends on, besides the lists.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Terms {
    /// `tls.require-mtls`.
    pub require_mtls: bool,
    /// `failure.validation-failure`.
    pub validation_failure: ValidationFailure,
    /// `failure.enforce`.
    pub enforce: bool,
    /// `failure.unavailable-status`.
    pub unavailable_status: DenyStatus,
}

/// What a record keeps of the grounds of its decision.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Account {
    /// What became of each check.
    pub trail: Trail,
    /// The label of the failure: of several, the last.
    pub reason: Option<Reason>,
    /// What could be concluded; `None` where check 0 refused.
    pub stance: Option<Stance>,
    /// The policy's terms; `None` where none was in force.
    pub terms: Option<Terms>,
    /// The list whose entry decided.
    pub listed: Option<ListName>,
}

/// The answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Answer {
    /// Allowed as the identity in the certificate.
    Verified,
    /// Allowed without identity, although something is wrong.
    Unverified(Unverified),
    /// Allowed without credential.
    Anonymous,
    /// Denied, with this status.
    Denied(u16),
}

impl Answer {
    /// `allow` or `deny`.
    #[must_use]
    pub const fn verdict(self) -> &'static str {
        match self {
            Self::Denied(_) => "deny",
            Self::Verified | Self::Unverified(_) | Self::Anonymous => "allow",
        }
    }

    /// What the ID in the certificate is worth.
    #[must_use]
    pub const fn identity(self) -> &'static str {
        match self {
            Self::Verified => "verified",
            Self::Unverified(why) => why.auth_method(),
            Self::Anonymous => "anonymous",
            Self::Denied(_) => "none",
        }
    }

    /// The status of a denial.
    #[must_use]
    pub const fn status(self) -> Option<u16> {
        match self {
            Self::Denied(status) => Some(status),
            Self::Verified | Self::Unverified(_) | Self::Anonymous => None,
        }
    }
}

/// A decision as it follows from its account.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Replayed {
    /// The answer.
    pub answer: Answer,
    /// The label of the failure, even where it did not deny.
    pub reason: Option<Reason>,
    /// The check that decided; `None` where nothing failed.
    pub decided_by: Option<Check>,
}

/// The account contradicts itself: no decision can have left it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Contradiction {
    /// A check has an outcome that does not follow from those before it.
    #[error("check {} cannot have had this outcome after those before it (README, Reasons)", .0.as_str())]
    Outcome(Check),
    /// A failure without a label, a label without a failure, or one of another check.
    #[error("the reason is not one of check {} (README, Reasons)", .0.as_str())]
    Reason(Check),
    /// A reason stands there and no check failed.
    #[error("there is a reason, and no check failed (README, Reasons)")]
    Unfounded,
    /// Check 0 passed, and the basis or the policy is missing.
    #[error("check intake passed, and the record holds no basis or no policy (README, Reasons)")]
    NoGrounds,
    /// What could be concluded is not what the state, the mode and the age of the bundles allow.
    #[error("{} is no basis in state {} under {} (README, When SPIRE is away)", .stance.as_str(), .state.as_str(), .mode.as_str())]
    Basis {
        /// As recorded.
        stance: Stance,
        /// As recorded.
        state: Phase,
        /// As recorded.
        mode: Mode,
    },
    /// The list that decided is not the one that the reason and the outcome name.
    #[error("the list that matched does not fit the outcome of check lists (README, Reasons)")]
    List,
}

/// Decides again.
///
/// # Errors
/// The account contradicts itself.
pub fn replay(account: &Account) -> Result<Replayed, Contradiction> {
    let mut reader = Reader::new(account);
    let replayed = reader.read()?;
    reader.end()?;
    Ok(replayed)
}

/// What a record keeps of how its basis came about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Grounds {
    /// The trust source's state.
    pub state: Phase,
    /// The policy's outage mode.
    pub mode: Mode,
    /// How long ago SPIRE confirmed the bundles; `None`: never, or nobody knows.
    pub age_ms: Option<u64>,
    /// The policy's `cache-ttl`.
    pub cache_ttl_ms: u64,
    /// What could be concluded.
    pub stance: Stance,
}

impl Grounds {
    /// Holds the basis against the table of states and modes (decisions, "Basis: state × mode").
    ///
    /// # Errors
    /// It is another than the table's.
    pub fn check(&self) -> Result<(), Contradiction> {
        let age = self.age_ms.map(Age::Ms);
        let usable = age.is_some_and(|age| age.within(self.cache_ttl_ms));
        let follows = match self.state {
            Phase::Starting | Phase::Withdrawn => self.stance == Stance::Refuse,
            Phase::Live | Phase::Interrupted => self.stance == Stance::Verify,
            Phase::Outage => {
                // With a fault of ours `fail_open` acts as `fail_closed`; a record does not say whose it was.
                let ours = self.mode == Mode::FailOpen && self.stance == Stance::Refuse;
                ours || self.stance == in_outage(self.mode, usable)
            }
        };
        match follows {
            true => Ok(()),
            false => Err(Contradiction::Basis {
                stance: self.stance,
                state: self.state,
                mode: self.mode,
            }),
        }
    }
}

/// Reads a trail from its beginning, and nothing twice.
struct Reader<'a> {
    account: &'a Account,
    at: usize,
    list: Option<ListName>,
}

impl<'a> Reader<'a> {
    const fn new(account: &'a Account) -> Self {
        Self {
            account,
            at: 0,
            list: None,
        }
    }

    /// The outcome of the next check.
    fn next(&mut self) -> (Check, Outcome) {
        let check = Check::ALL.get(self.at).copied().unwrap_or(Check::Lists);
        let outcome = self.account.trail.get(self.at).copied();
        self.at += 1;
        (check, outcome.unwrap_or_default())
    }

    /// Nothing after what decided was looked at, and no other list is named.
    fn end(&self) -> Result<(), Contradiction> {
        let rest = Check::ALL.into_iter().zip(self.account.trail).skip(self.at);
        for (check, outcome) in rest {
            if outcome != Outcome::NotReached {
                return Err(Contradiction::Outcome(check));
            }
        }
        match self.list == self.account.listed {
            true => Ok(()),
            false => Err(Contradiction::List),
        }
    }

    fn read(&mut self) -> Result<Replayed, Contradiction> {
        match self.next() {
            (check, Outcome::Failed) => return self.refused(check),
            (_, Outcome::Passed) => {}
            (check, Outcome::Skipped | Outcome::NotReached) => {
                return Err(Contradiction::Outcome(check));
            }
        }
        let (Some(terms), Some(stance)) = (self.account.terms, self.account.stance) else {
            return Err(Contradiction::NoGrounds);
        };
        let judged = Judged { terms, stance };
        match (self.next(), terms.require_mtls) {
            ((_, Outcome::Passed), _) => self.credential(judged),
            ((_, Outcome::Skipped), false) => self.unfailed(Answer::Anonymous),
            ((check, Outcome::Failed), true) => {
                let reason = self.reason(check, |reason| reason == Reason::NoCredential)?;
                Ok(judged.fails(check, reason))
            }
            ((check, _), _) => Err(Contradiction::Outcome(check)),
        }
    }

    /// Check 0 refused: no mode excuses it.
    fn refused(&self, check: Check) -> Result<Replayed, Contradiction> {
        let reason = self.reason(check, |reason| reason <= Reason::Internal)?;
        Ok(Replayed {
            answer: Answer::Denied(reason.class().status()),
            reason: Some(reason),
            decided_by: Some(check),
        })
    }

    /// Checks 2 to 7.
    fn credential(&mut self, judged: Judged) -> Result<Replayed, Contradiction> {
        loop {
            match (self.next(), judged.stance) {
                ((Check::Basis, Outcome::Failed), Stance::Refuse) => {
                    let check = Check::Basis;
                    let reason = self.reason(check, |reason| reason == Reason::TrustUnavailable)?;
                    return Ok(judged.fails(check, reason));
                }
                ((Check::Basis, Outcome::Passed), Stance::Verify | Stance::OpenMaterial) => {
                    return self.trust(judged);
                }
                ((Check::Basis, Outcome::Passed), Stance::Open) => return self.open(judged),
                ((check @ Check::Basis, _), _) => return Err(Contradiction::Outcome(check)),
                ((_, Outcome::Passed), _) => {}
                ((check, Outcome::Failed), stance) => {
                    let reason = self.reason(check, is_of_a_credential)?;
                    return Ok(match stance {
                        Stance::Refuse => judged.fails(check, reason),
                        Stance::Verify | Stance::OpenMaterial | Stance::Open => {
                            judged.fails_or_is_tolerated(check, reason)
                        }
                    });
                }
                ((check, _), _) => return Err(Contradiction::Outcome(check)),
            }
        }
    }

    /// Checks 8 and 9 are not asked.
    fn open(&mut self, judged: Judged) -> Result<Replayed, Contradiction> {
        for _ in [Check::Bundle, Check::Path] {
            if let (check, Outcome::Passed | Outcome::Failed | Outcome::NotReached) = self.next() {
                return Err(Contradiction::Outcome(check));
            }
        }
        self.lists(judged, Answer::Unverified(Unverified::FailOpen), None)
    }

    /// Checks 8 and 9.
    fn trust(&mut self, judged: Judged) -> Result<Replayed, Contradiction> {
        let failed = match (self.next(), self.next()) {
            ((_, Outcome::Passed), (_, Outcome::Passed)) => {
                return self.lists(judged, Answer::Verified, None);
            }
            ((check, Outcome::Failed), (_, Outcome::NotReached))
            | ((_, Outcome::Passed), (check, Outcome::Failed)) => check,
            ((_, Outcome::Passed), (check, _)) | ((check, _), _) => {
                return Err(Contradiction::Outcome(check));
            }
        };
        if judged.stance == Stance::OpenMaterial {
            let passes = Answer::Unverified(Unverified::FailOpen);
            return self.lists(judged, passes, Some(failed));
        }
        let reason = self.reason_of_trust(failed)?;
        Ok(judged.fails_or_is_tolerated(failed, reason))
    }

    /// Check 10; `failed` is what failed before, and does not deny.
    fn lists(
        &mut self,
        judged: Judged,
        passes: Answer,
        failed: Option<Check>,
    ) -> Result<Replayed, Contradiction> {
        match self.next() {
            (check, Outcome::Failed) => {
                let reason = self.reason(check, |reason| reason >= Reason::Denied)?;
                self.list = (reason == Reason::Denied).then_some(ListName::Deny);
                Ok(judged.fails(check, reason))
            }
            (_, Outcome::Passed) => {
                self.list = Some(ListName::Allow);
                match failed {
                    None => self.unfailed(passes),
                    Some(check) => Ok(Replayed {
                        answer: passes,
                        reason: Some(self.reason_of_trust(check)?),
                        decided_by: Some(check),
                    }),
                }
            }
            (check, Outcome::Skipped | Outcome::NotReached) => Err(Contradiction::Outcome(check)),
        }
    }

    fn unfailed(&self, answer: Answer) -> Result<Replayed, Contradiction> {
        match self.account.reason {
            None => Ok(Replayed {
                answer,
                reason: None,
                decided_by: None,
            }),
            Some(_) => Err(Contradiction::Unfounded),
        }
    }

    fn reason_of_trust(&self, check: Check) -> Result<Reason, Contradiction> {
        self.reason(check, |reason| match check {
            Check::Bundle => reason == Reason::UnknownTrustDomain,
            _ => is_of_a_credential(reason),
        })
    }

    fn reason(
        &self,
        check: Check,
        fits: impl FnOnce(Reason) -> bool,
    ) -> Result<Reason, Contradiction> {
        let reason = self.account.reason.filter(|reason| fits(*reason));
        reason.ok_or(Contradiction::Reason(check))
    }
}

fn is_of_a_credential(reason: Reason) -> bool {
    matches!(reason.class(), Class::Unauthenticated)
}

/// What every answer from here on depends on.
#[derive(Clone, Copy)]
struct Judged {
    terms: Terms,
    stance: Stance,
}

impl Judged {
    const fn fails_or_is_tolerated(self, check: Check, reason: Reason) -> Replayed {
        match self.terms.validation_failure {
            ValidationFailure::LogAndAllow => Replayed {
                answer: Answer::Unverified(Unverified::LogAndAllow),
                reason: Some(reason),
                decided_by: Some(check),
            },
            ValidationFailure::Reject => self.fails(check, reason),
        }
    }

    const fn fails(self, check: Check, reason: Reason) -> Replayed {
        let answer = match (self.terms.enforce, reason) {
            (false, _) => Answer::Unverified(Unverified::NotEnforced),
            (true, Reason::TrustUnavailable) => Answer::Denied(self.terms.unavailable_status.get()),
            (true, other) => Answer::Denied(other.class().status()),
        };
        Replayed {
            answer,
            reason: Some(reason),
            decided_by: Some(check),
        }
    }
}
