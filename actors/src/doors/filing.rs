//! An answer and its record: which goes out first, and what goes out when the record cannot be kept.

use std::sync::Arc;

use tokio::time::Instant;
use verdict::decide::{Decision, Intake, decide, refuse};
use verdict::evidence::{Evidence, Fault};
use verdict::reason::Reason;

use super::conversation::{Asked, Dialect};
use super::{Doors, answer};
use crate::audit::{self, Corrects, Filed, Grounds, Receipt};
use crate::judge::Scene;
use crate::metrics::Answer as Counted;
use crate::observe::{self, Origin};
use crate::policies::InForce;

/// A decision, and what it was made from.
#[derive(Clone, Copy)]
pub(super) struct Decided<'a> {
    pub(super) decision: &'a Decision<'a>,
    /// Absent where check 0 refused.
    pub(super) grounds: Option<(Grounds<'a>, &'a Scene)>,
    /// Where the evidence came from; absent likewise.
    pub(super) origin: Option<Origin>,
    pub(super) policy: Option<&'a Arc<InForce>>,
}

/// What became of an answer.
pub(super) enum Told<D: Dialect> {
    /// It was appended.
    Answered,
    /// It waits for its record.
    Filing(Box<Filing<D>>),
}

/// What a decision that waits was made from: it is a function of that, and is made again to be told.
enum Again {
    Found(Evidence, Scene, Origin),
    Refused(Intake, String),
}

impl Again {
    fn of(decided: Decided<'_>) -> Self {
        if let (Some((grounds, scene)), Some(origin)) = (decided.grounds, decided.origin) {
            return Self::Found(grounds.evidence.clone(), scene.clone(), origin);
        }
        let fault = decided.decision.fault();
        let intake = match fault.map(Fault::reason) {
            Some(Reason::BadEvent) => Intake::BadEvent,
            Some(Reason::NotConfigured) => Intake::NotConfigured,
            Some(Reason::Overloaded) => Intake::Overloaded,
            _ => Intake::Internal,
        };
        let rule = fault.map(Fault::rule).unwrap_or_default();
        Self::Refused(intake, rule.to_owned())
    }

    fn decided(&self, policy: Option<&Arc<InForce>>, tell: impl FnOnce(Decided<'_>)) {
        match self {
            Self::Found(evidence, scene, origin) => {
                let decision = decide(evidence, &scene.basis, &scene.policy.policy);
                let grounds = Grounds {
                    evidence,
                    basis: &scene.basis,
                };
                tell(Decided {
                    decision: &decision,
                    grounds: Some((grounds, scene)),
                    origin: Some(*origin),
                    policy,
                });
            }
            Self::Refused(intake, rule) => tell(Decided {
                decision: &refuse(*intake, rule),
                grounds: None,
                origin: None,
                policy,
            }),
        }
    }
}

/// An answer that waits for its record.
pub(super) struct Filing<D: Dialect> {
    doors: Arc<Doors>,
    dialect: D,
    asked: Asked<'static>,
    policy: Option<Arc<InForce>>,
    reply: Vec<D::Unit>,
    again: Again,
    receipt: Receipt,
    deadline: Instant,
}

impl Doors {
    /// Appends the reply, counts and records the decision; or has the reply wait for its record.
    pub(super) fn answer<D: Dialect>(
        self: &Arc<Self>,
        dialect: D,
        asked: &Asked<'_>,
        decided: Decided<'_>,
        deadline: Instant,
        out: &mut Vec<D::Unit>,
    ) -> Told<D> {
        let start = out.len();
        self.say(dialect, asked, decided, out);
        let line = self.record(dialect, asked, decided, Corrects::Nothing);
        match line.map_or(Filed::Done, |line| self.audit.file(line)) {
            Filed::Done => self.tell(dialect, asked, decided),
            Filed::Refused(why) => {
                out.truncate(start);
                let decision = refuse(Intake::Overloaded, &why);
                let instead = decided.refused(&decision);
                self.say(dialect, asked, instead, out);
                self.tell(dialect, asked, instead);
                if let Some(line) = self.record(dialect, asked, instead, Corrects::Nothing) {
                    self.audit.put(line);
                }
            }
            Filed::Pending(receipt) => {
                return Told::Filing(Box::new(Filing {
                    doors: Arc::clone(self),
                    dialect,
                    asked: asked.to_owned(),
                    policy: decided.policy.cloned(),
                    reply: out.split_off(start),
                    again: Again::of(decided),
                    receipt,
                    deadline,
                }));
            }
        }
        Told::Answered
    }

    /// Counts what was answered and tells it, each once.
    fn tell<D: Dialect>(&self, dialect: D, asked: &Asked<'_>, decided: Decided<'_>) {
        self.metrics.decision(Counted::of(decided.decision));
        let request = asked.for_audit(dialect.door());
        let grounds = decided.grounds.map(|(grounds, _)| grounds);
        self.denials
            .take(decided.decision, grounds, request, decided.now(self));
        let policy = decided.policy.map(|policy| &policy.policy);
        self.observer.decided(&observe::Decided {
            decision: decided.decision,
            grounds,
            origin: decided.origin,
            failure: policy.map(|policy| policy.failure()),
            request,
            traceparent: asked.traceparent.as_deref(),
            started: asked.at,
            ended: Instant::now(),
            now: decided.now(self),
        });
    }

    fn say<D: Dialect>(
        &self,
        dialect: D,
        asked: &Asked<'_>,
        decided: Decided<'_>,
        out: &mut Vec<D::Unit>,
    ) {
        let basis = decided.grounds.map(|(grounds, _)| grounds.basis);
        let policy = decided.policy.map(|policy| &**policy);
        let seen: Vec<&str> = asked.spoofed.iter().map(String::as_str).collect();
        let request_id = asked.request_id.as_deref();
        let now = decided.now(self);
        let decision = decided.decision;
        answer::reply(decision, request_id, basis, policy, &seen, now, |reply| {
            dialect.write(out, reply, &asked.correlation_id);
        });
    }

    fn record<D: Dialect>(
        &self,
        dialect: D,
        asked: &Asked<'_>,
        decided: Decided<'_>,
        corrects: Corrects,
    ) -> Option<Vec<u8>> {
        audit::render(
            decided.decision,
            decided.grounds.map(|(grounds, _)| grounds),
            decided.policy.map(|policy| &**policy),
            asked.for_audit(dialect.door()),
            decided.now(self),
            corrects,
        )
    }
}

impl<'a> Decided<'a> {
    /// The same request refused at check 0.
    const fn refused<'b>(&self, decision: &'b Decision<'b>) -> Decided<'b>
    where
        'a: 'b,
    {
        Decided {
            decision,
            grounds: None,
            origin: None,
            policy: self.policy,
        }
    }

    fn now(&self, doors: &Doors) -> verdict::time::Now {
        self.grounds
            .map_or_else(|| doors.clock.now(), |(_, scene)| scene.now)
    }
}

impl<D: Dialect> Filing<D> {
    /// The reply once its record stands, or at the deadline a refusal.
    pub(super) async fn answer(self) -> Vec<D::Unit> {
        let doors = &self.doors;
        let late = match self.receipt.acknowledged(self.deadline).await {
            Ok(()) => {
                let policy = self.policy.as_ref();
                self.again.decided(policy, |decided| {
                    doors.tell(self.dialect, &self.asked, decided);
                });
                return self.reply;
            }
            Err(late) => late,
        };
        let decision = refuse(Intake::Overloaded, &audit::Unrecorded::Late);
        let instead = Decided {
            decision: &decision,
            grounds: None,
            origin: None,
            policy: self.policy.as_ref(),
        };
        let mut out = Vec::new();
        doors.say(self.dialect, &self.asked, instead, &mut out);
        doors.tell(self.dialect, &self.asked, instead);
        late.instead(|corrects| doors.record(self.dialect, &self.asked, instead, corrects));
        out
    }
}
