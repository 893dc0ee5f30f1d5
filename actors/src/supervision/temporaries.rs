//! Temporary actors: one per connection, thousands of them, never started again.

use std::sync::Arc;

use ractor::{Actor, ActorCell, ActorRef, SpawnErr};

use super::rows::Place;
use super::tree::Tree;

/// Starts temporary actors under one supervisor. Cheap to clone.
///
/// They are linked to the supervisor directly, without a message to it, so that a flood of
/// connections never fills its mailbox. Their failures are counted and cost nobody's budget.
#[derive(Clone, Debug)]
pub struct Temporaries {
    supervisor: ActorCell,
    tree: Arc<Tree>,
    place: Place,
}

impl Temporaries {
    pub(super) fn new(supervisor: ActorCell, tree: Arc<Tree>, place: Place) -> Self {
        Self {
            supervisor,
            tree,
            place,
        }
    }

    /// Starts one. The caller bounds how many there are, by a permit that the actor's state holds.
    ///
    /// # Errors
    /// When its start fails, or the supervisor is on its way down.
    pub async fn spawn<A: Actor>(
        &self,
        handler: A,
        arguments: A::Arguments,
    ) -> Result<ActorRef<A::Msg>, SpawnErr> {
        let supervisor = self.supervisor.clone();
        let (actor, _) = Actor::spawn_linked(None, handler, arguments, supervisor).await?;
        self.tree
            .adopt(self.place, &actor.get_cell(), &self.supervisor);
        Ok(actor)
    }

    #[cfg(test)]
    pub(super) fn adopt_for_test(&self, cell: &ActorCell) {
        self.tree.adopt(self.place, cell, &self.supervisor);
    }
}
