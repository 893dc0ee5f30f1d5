//! Which actors live, and which are stuck.

use std::collections::{BTreeMap, BTreeSet};

use super::fault::Actor;

/// The actors of a process.
#[derive(Clone, Debug, Default)]
pub struct Actors {
    down: BTreeSet<Actor>,
    /// Until when each is stuck, ms.
    wedged: BTreeMap<Actor, u64>,
    sink: Sink,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Sink {
    #[default]
    Takes,
    Stuck,
}

impl Actors {
    /// A sink outlives a process.
    #[must_use]
    pub fn with_audit_of(self, other: &Self) -> Self {
        Self {
            sink: other.sink,
            ..self
        }
    }

    /// Whether it lives and moves.
    #[must_use]
    pub fn is_up(&self, actor: Actor, at_ms: u64) -> bool {
        !self.is_down(actor) && self.wedged_until(actor, at_ms).is_none()
    }

    /// Whether it is dead.
    #[must_use]
    pub fn is_down(&self, actor: Actor) -> bool {
        self.down.contains(&actor)
    }

    /// Until when it is stuck, if it is.
    #[must_use]
    pub fn wedged_until(&self, actor: Actor, at_ms: u64) -> Option<u64> {
        self.wedged
            .get(&actor)
            .copied()
            .filter(|until_ms| *until_ms > at_ms)
    }

    /// Whether records go out.
    #[must_use]
    pub fn takes_records(&self, at_ms: u64) -> bool {
        self.sink == Sink::Takes && self.is_up(Actor::Audit, at_ms)
    }

    /// It died; a successor is not stuck.
    pub fn down(&mut self, actor: Actor) {
        self.down.insert(actor);
        self.wedged.remove(&actor);
    }

    /// It is back.
    pub fn up(&mut self, actor: Actor) {
        self.down.remove(&actor);
    }

    /// It is stuck; what held it before holds it still.
    pub fn wedge(&mut self, actor: Actor, until_ms: u64) {
        let until = self.wedged.entry(actor).or_default();
        *until = until_ms.max(*until);
    }

    /// The sink takes nothing.
    pub const fn stick_audit(&mut self) {
        self.sink = Sink::Stuck;
    }

    /// The sink takes records again.
    pub const fn loosen_audit(&mut self) {
        self.sink = Sink::Takes;
    }
}
