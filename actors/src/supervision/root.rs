//! The tree from outside: start it, wait for its end, stop it in order.

use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use ractor::{Actor, ActorCell, SpawnErr};

use super::cause::{Cause, Escalation};
use super::rows::Place;
use super::shutdown::{KILL_WITHIN, deadline};
use super::spec::SupervisorSpec;
use super::supervisor::{Arguments, OnGiveUp, Supervisor};
use super::tree::{RestartWatcher, Role, Tree};

/// A running tree. Dropping it leaves the tree running; end it with [`Root::shutdown`].
#[derive(Debug)]
pub struct Root {
    cell: ActorCell,
    place: Place,
    tree: Arc<Tree>,
}

/// How a tree ended.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Ended {
    /// It was stopped.
    #[error("it was stopped")]
    Stopped,
    /// A restart budget was used up, all the way to the root.
    #[error("{0}")]
    GaveUp(Escalation),
    /// The root itself was killed or panicked; nobody below it was stopped in order.
    #[error("its root died")]
    Died,
}

/// What a root does that has given up, before its tree is gone.
#[derive(Clone)]
pub struct Farewell {
    /// Comes first, while the others still work; more than [`Self::first_within`] it does not get.
    pub first: Arc<dyn Fn() -> Pin<Box<dyn Future<Output = ()> + Send>> + Send + Sync>,
    /// For `first`.
    pub first_within: Duration,
    /// Then the others are stopped in order, within this time.
    pub stop_within: Duration,
}

impl Farewell {
    /// Nothing comes first.
    #[must_use]
    pub fn at_once(stop_within: Duration) -> Self {
        Self {
            first: Arc::new(|| Box::pin(std::future::ready(()))),
            first_within: Duration::ZERO,
            stop_within,
        }
    }
}

impl std::fmt::Debug for Farewell {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let mut f = f.debug_struct("Farewell");
        f.field("first_within", &self.first_within);
        f.field("stop_within", &self.stop_within);
        f.finish_non_exhaustive()
    }
}

/// What a shutdown came to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Shutdown {
    /// How the tree ended.
    pub ended: Ended,
    /// Where somebody did not stop in time and was killed.
    pub killed: Vec<Arc<str>>,
}

/// The tree could not be started.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the supervision tree did not start: {0}")]
pub struct StartError(Cause);

impl Root {
    /// Starts the tree; once this returns, every child was tried once. When the root gives up, the
    /// rest is stopped in order within `stop_within`.
    ///
    /// # Errors
    /// When a spec breaks a rule, or a budget is used up by first starts alone.
    pub async fn start(spec: SupervisorSpec, stop_within: Duration) -> Result<Self, StartError> {
        Self::start_with(spec, Farewell::at_once(stop_within)).await
    }

    /// The same, with something that comes before the stop when the root gives up.
    ///
    /// # Errors
    /// As [`Self::start`].
    pub async fn start_with(spec: SupervisorSpec, farewell: Farewell) -> Result<Self, StartError> {
        Self::start_watched(spec, farewell, None).await
    }

    /// The same; `watcher` is told of every restart.
    ///
    /// # Errors
    /// As [`Self::start`].
    pub async fn start_watched(
        spec: SupervisorSpec,
        farewell: Farewell,
        watcher: Option<Arc<dyn RestartWatcher>>,
    ) -> Result<Self, StartError> {
        let tree = Tree::new(watcher);
        let place = tree.place(None, &spec.name, Role::Supervisor);
        let arguments = Arguments {
            spec,
            tree: Arc::clone(&tree),
            place,
            on_give_up: OnGiveUp::Drain(farewell),
        };
        let started = Actor::spawn(None, Supervisor, arguments).await;
        let (actor, _) = started.map_err(|err: SpawnErr| StartError(Cause::of_start(&err)))?;
        let cell = actor.get_cell();
        tree.running(place, cell.clone());
        Ok(Self { cell, place, tree })
    }

    /// The live view.
    #[must_use]
    pub fn tree(&self) -> &Arc<Tree> {
        &self.tree
    }

    /// Waits until the tree has ended, by whatever cause.
    pub async fn ended(&self) -> Ended {
        // Without a timeout there is nothing to fail.
        let _ = self.cell.wait(None).await;
        self.tree.stopped(self.place);
        self.tree.ended()
    }

    /// Stops all children, last-started first, each awaited; who is not done in time is killed.
    /// Returns after `within` at the latest, and a moment for the killed.
    pub async fn shutdown(&self, within: Duration) -> Shutdown {
        let stop_by = deadline(within);
        self.tree.set_stop_by(self.place, stop_by);
        self.cell.stop(None);
        if tokio::time::timeout_at(stop_by, self.cell.wait(None))
            .await
            .is_err()
        {
            self.tree.overdue(self.place);
            self.cell.kill();
            let _ = self.cell.wait(Some(KILL_WITHIN)).await;
        }
        self.tree.stopped(self.place);
        Shutdown {
            ended: self.tree.ended(),
            killed: self.tree.all_overdue(),
        }
    }
}
