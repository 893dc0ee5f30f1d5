//! What a credential proves: the result of every check, judged against one world at one moment.

use std::sync::Arc;

use crate::id::WorkloadId;
use crate::policy::Failure;
use crate::reason::Reason;
use crate::svid::{self, Leaf, Presented, Refusal, VerifiedIdentity};
use crate::time::Now;
use crate::trust::{Basis, Generation, World};

/// The checks, in the order in which they decide.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Check {
    /// 0: event readable, a policy in force, capacity.
    Intake,
    /// 1: a credential is present.
    Presence,
    /// 2: it parses, within limits.
    Parse,
    /// 3: one valid SPIFFE ID.
    Id,
    /// 4: everything about the leaf alone.
    Leaf,
    /// 5: validity of the leaf.
    Validity,
    /// 6: two credentials agree.
    Agreement,
    /// 7: the basis is not `Refuse`.
    Basis,
    /// 8: the ID's own trust domain has a bundle.
    Bundle,
    /// 9: a path to that bundle.
    Path,
    /// 10: denylist, then allowlist.
    Lists,
}

impl Check {
    /// Every check.
    pub const ALL: [Self; 11] = [
        Self::Intake,
        Self::Presence,
        Self::Parse,
        Self::Id,
        Self::Leaf,
        Self::Validity,
        Self::Agreement,
        Self::Basis,
        Self::Bundle,
        Self::Path,
        Self::Lists,
    ];

    /// The label in the audit record.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Intake => "intake",
            Self::Presence => "presence",
            Self::Parse => "parse",
            Self::Id => "id",
            Self::Leaf => "leaf",
            Self::Validity => "validity",
            Self::Agreement => "agreement",
            Self::Basis => "basis",
            Self::Bundle => "bundle",
            Self::Path => "path",
            Self::Lists => "lists",
        }
    }
}

/// A check that failed, and the rule it failed by.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fault {
    check: Check,
    reason: Reason,
    rule: Arc<str>,
}

impl Fault {
    /// A failed check; `rule` names the rule broken and its section.
    #[must_use]
    pub fn new(check: Check, reason: Reason, rule: &impl ToString) -> Self {
        Self {
            check,
            reason,
            rule: Arc::from(rule.to_string()),
        }
    }

    fn of_examination(refusal: &Refusal) -> Self {
        let check = match refusal.reason() {
            Reason::NoSpiffeId | Reason::InvalidSpiffeId => Check::Id,
            Reason::NotAnSvid => Check::Leaf,
            _ => Check::Parse,
        };
        Self::new(check, refusal.reason(), refusal)
    }

    fn of_validity(refusal: &Refusal) -> Self {
        Self::new(Check::Validity, refusal.reason(), refusal)
    }

    fn of_path(refusal: &Refusal) -> Self {
        Self::new(Check::Path, refusal.reason(), refusal)
    }

    /// Which check failed.
    #[must_use]
    pub const fn check(&self) -> Check {
        self.check
    }

    /// The label.
    #[must_use]
    pub const fn reason(&self) -> Reason {
        self.reason
    }

    /// The rule broken, with its section.
    #[must_use]
    pub fn rule(&self) -> &str {
        &self.rule
    }
}

/// What the trust domain's bundle says of a credential.
#[derive(Clone, Debug)]
pub enum Trust {
    /// The basis did not ask.
    NotJudged,
    /// There is no bundle for the ID's trust domain.
    NoBundle,
    /// No path leads to it.
    Failed(Fault),
    /// It stands.
    Verified(VerifiedIdentity),
}

/// What a credential proves.
#[derive(Clone, Debug)]
pub enum Finding {
    /// There is none.
    Absent,
    /// One of the checks 2 to 6 failed; the leaf, where it was understood.
    Faulty(Fault, Option<Arc<Leaf>>),
    /// The leaf alone is in order and claims an ID.
    Sound {
        /// The leaf.
        leaf: Arc<Leaf>,
        /// What its bundle says.
        trust: Trust,
        /// The generation of that bundle.
        generation: Option<Generation>,
    },
}

/// A finding and the world it was made in.
#[derive(Clone, Debug)]
pub struct Evidence {
    finding: Finding,
    serial: u64,
}

/// A credential seen before: its leaf, what was verified, and against which bundle.
///
/// The identity and its limits are remembered, never a verdict.
#[derive(Clone, Debug)]
pub struct Remembered {
    leaf: Arc<Leaf>,
    identity: VerifiedIdentity,
    generation: Generation,
}

impl Evidence {
    /// No credential was presented.
    #[must_use]
    pub const fn absent(world: &World) -> Self {
        Self {
            finding: Finding::Absent,
            serial: world.serial(),
        }
    }

    /// The credential failed before a leaf was understood.
    #[must_use]
    pub const fn faulty(fault: Fault, world: &World) -> Self {
        Self {
            finding: Finding::Faulty(fault, None),
            serial: world.serial(),
        }
    }

    /// Judges a chain in this world: checks 2 to 5, and 8 and 9 where the basis asks for them.
    #[must_use]
    pub fn judge(
        chain: &[Vec<u8>],
        world: &World,
        basis: &Basis,
        failure: &Failure,
        now: Now,
    ) -> Self {
        let finding = match svid::examine(chain) {
            Err(refusal) => Finding::Faulty(Fault::of_examination(&refusal), None),
            Ok(presented) => Self::judge_presented(&presented, world, basis, failure, now),
        };
        Self {
            finding,
            serial: world.serial(),
        }
    }

    fn judge_presented(
        presented: &Presented,
        world: &World,
        basis: &Basis,
        failure: &Failure,
        now: Now,
    ) -> Finding {
        let leaf = Arc::clone(presented.leaf());
        if let Err(refusal) = leaf.judge_validity(now.unix_seconds()) {
            return Finding::Faulty(Fault::of_validity(&refusal), Some(leaf));
        }
        if !basis.stance.judges_trust() {
            return Finding::sound(leaf, Trust::NotJudged, None);
        }
        let domain = leaf.id().trust_domain();
        let Some(bundle) = world.snapshot().bundle(domain, failure.cache_ttl_ms(), now) else {
            return Finding::sound(leaf, Trust::NoBundle, None);
        };
        let trust = match svid::validate(presented, bundle.anchors(), now.unix_seconds()) {
            Ok(identity) => Trust::Verified(identity),
            Err(refusal) => Trust::Failed(Fault::of_path(&refusal)),
        };
        Finding::sound(leaf, trust, Some(bundle.generation()))
    }

    /// What was found.
    #[must_use]
    pub const fn finding(&self) -> &Finding {
        &self.finding
    }

    /// The leaf, where one was understood.
    #[must_use]
    pub fn leaf(&self) -> Option<&Arc<Leaf>> {
        match &self.finding {
            Finding::Absent => None,
            Finding::Faulty(_, leaf) => leaf.as_ref(),
            Finding::Sound { leaf, .. } => Some(leaf),
        }
    }

    /// The generation of the bundle the credential was judged by.
    #[must_use]
    pub const fn generation(&self) -> Option<Generation> {
        match &self.finding {
            Finding::Sound { generation, .. } => *generation,
            Finding::Absent | Finding::Faulty(..) => None,
        }
    }

    /// What is worth remembering: a verified identity with its limits.
    #[must_use]
    pub fn remembered(&self) -> Option<Remembered> {
        match &self.finding {
            Finding::Sound {
                leaf,
                trust: Trust::Verified(identity),
                generation: Some(generation),
            } => Some(Remembered {
                leaf: Arc::clone(leaf),
                identity: identity.clone(),
                generation: *generation,
            }),
            Finding::Absent | Finding::Faulty(..) | Finding::Sound { .. } => None,
        }
    }

    /// A failure worth remembering for a moment: one that neither time nor another bundle cures.
    #[must_use]
    pub fn remembered_failure(&self, now: Now, for_ms: u64) -> Option<RememberedFailure> {
        let lasting = match &self.finding {
            Finding::Faulty(fault, _) => fault.check() < Check::Validity,
            Finding::Sound {
                trust: Trust::Failed(fault),
                ..
            } => fault.reason() == Reason::Untrusted,
            Finding::Absent | Finding::Sound { .. } => false,
        };
        lasting.then(|| RememberedFailure {
            finding: self.finding.clone(),
            until_boot_ms: now.boot_ms.saturating_add_unsigned(for_ms),
        })
    }

    pub(crate) const fn serial(&self) -> u64 {
        self.serial
    }
}

/// A credential that failed a moment ago.
#[derive(Clone, Debug)]
pub struct RememberedFailure {
    finding: Finding,
    until_boot_ms: i64,
}

impl RememberedFailure {
    /// The evidence this memory gives now, or `None` when the credential must be judged anew.
    #[must_use]
    pub fn recall(
        &self,
        world: &World,
        basis: &Basis,
        failure: &Failure,
        now: Now,
    ) -> Option<Evidence> {
        if now.boot_ms >= self.until_boot_ms {
            return None;
        }
        let finding = match &self.finding {
            Finding::Absent => None,
            faulty @ Finding::Faulty(..) => Some(faulty.clone()),
            sound @ Finding::Sound {
                leaf, generation, ..
            } => {
                leaf.judge_validity(now.unix_seconds()).ok()?;
                if !basis.stance.judges_trust() {
                    return None;
                }
                let domain = leaf.id().trust_domain();
                let bundle = world
                    .snapshot()
                    .bundle(domain, failure.cache_ttl_ms(), now)?;
                (Some(bundle.generation()) == *generation).then(|| sound.clone())
            }
        };
        finding.map(|finding| Evidence {
            finding,
            serial: world.serial(),
        })
    }
}

impl Finding {
    const fn sound(leaf: Arc<Leaf>, trust: Trust, generation: Option<Generation>) -> Self {
        Self::Sound {
            leaf,
            trust,
            generation,
        }
    }
}

impl Remembered {
    /// The evidence this memory gives now, or `None` when the credential must be judged anew: the
    /// bundle has changed, or the remembered path (not the leaf) is past its time and another may stand.
    #[must_use]
    pub fn recall(
        &self,
        world: &World,
        basis: &Basis,
        failure: &Failure,
        now: Now,
    ) -> Option<Evidence> {
        let finding = if let Err(refusal) = self.leaf.judge_validity(now.unix_seconds()) {
            Finding::Faulty(Fault::of_validity(&refusal), Some(Arc::clone(&self.leaf)))
        } else if basis.stance.judges_trust() {
            self.recall_trust(world, failure, now)?
        } else {
            Finding::sound(Arc::clone(&self.leaf), Trust::NotJudged, None)
        };
        Some(Evidence {
            finding,
            serial: world.serial(),
        })
    }

    fn recall_trust(&self, world: &World, failure: &Failure, now: Now) -> Option<Finding> {
        let domain = self.leaf.id().trust_domain();
        let leaf = Arc::clone(&self.leaf);
        let Some(bundle) = world.snapshot().bundle(domain, failure.cache_ttl_ms(), now) else {
            return Some(Finding::sound(leaf, Trust::NoBundle, None));
        };
        if bundle.generation() != self.generation
            || self.identity.judge(now.unix_seconds()).is_err()
        {
            return None;
        }
        let trust = Trust::Verified(self.identity.clone());
        Some(Finding::sound(leaf, trust, Some(self.generation)))
    }

    /// The identity as it was verified.
    #[must_use]
    pub fn id(&self) -> &WorkloadId {
        self.leaf.id()
    }
}
