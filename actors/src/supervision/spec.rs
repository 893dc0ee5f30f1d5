//! What a supervisor starts, as data.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwapOption;
use ractor::{Actor, ActorCell, ActorRef, Message, SpawnErr};

use super::ping::{Ask, Ping, ask};
use super::restart::Restart;
use super::rows::Place;
use super::supervisor;
use super::temporaries::Temporaries;
use super::tree::{Role, Tree};
use super::vigil::Vigilance;

/// How long a start may take before it counts as failed. Starts do no network waits, so this is
/// for a start that hangs; the others of the tree wait for it only while the tree is first built.
pub const START_WITHIN: Duration = Duration::from_secs(5);

type Starting = Pin<Box<dyn Future<Output = Result<ActorCell, SpawnErr>> + Send>>;
type Factory = Arc<dyn Fn(Start) -> Starting + Send + Sync>;

/// What a factory gets to start a child with.
#[derive(Clone, Debug)]
pub struct Start {
    /// The supervisor to link the child to.
    pub supervisor: ActorCell,
    /// Which start this is: 0 for the first in the supervisor's life.
    pub attempt: u32,
    tree: Arc<Tree>,
    parent: Place,
    place: Place,
}

impl Start {
    pub(super) fn new(
        supervisor: ActorCell,
        tree: &Arc<Tree>,
        parent: Place,
        place: Place,
        attempt: u32,
    ) -> Self {
        Self {
            supervisor,
            attempt,
            tree: Arc::clone(tree),
            parent,
            place,
        }
    }

    /// The tree the child lives in.
    #[must_use]
    pub fn tree(&self) -> &Arc<Tree> {
        &self.tree
    }

    /// The child's own path.
    #[must_use]
    pub fn path(&self) -> Arc<str> {
        self.tree.path(self.place)
    }

    /// The way to start the temporary actors that the supervisor's spec names `name`; `None` if it
    /// names no such. They are siblings of the child, so they survive its crash.
    #[must_use]
    pub fn temporaries(&self, name: &str) -> Option<Temporaries> {
        let place = self.tree.child(self.parent, name)?;
        Some(Temporaries::new(
            self.supervisor.clone(),
            Arc::clone(&self.tree),
            place,
        ))
    }

    pub(super) fn place(&self) -> Place {
        self.place
    }
}

/// Where a child that is started again and again can be reached. Cheap to clone.
pub struct Address<M> {
    current: Arc<ArcSwapOption<ActorRef<M>>>,
}

/// Nobody is there now: the child has not started yet, or is being restarted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the actor is down")]
pub struct Down;

impl<M: Message> Address<M> {
    /// An address nobody lives at yet.
    #[must_use]
    pub fn new() -> Self {
        Self {
            current: Arc::new(ArcSwapOption::empty()),
        }
    }

    /// Sends to whoever lives here now. The mailbox is unbounded: take a permit first.
    ///
    /// # Errors
    /// [`Down`] when nobody lives here; the message is lost.
    pub fn send(&self, message: M) -> Result<(), Down> {
        let current = self.current.load();
        let actor = current.as_ref().ok_or(Down)?;
        actor.send_message(message).map_err(|_| Down)
    }

    /// Whoever was started last, perhaps ended by now.
    #[must_use]
    pub fn current(&self) -> Option<ActorRef<M>> {
        self.current.load().as_deref().cloned()
    }

    pub(super) fn set(&self, actor: ActorRef<M>) {
        self.current.store(Some(Arc::new(actor)));
    }
}

impl<M: Message> Default for Address<M> {
    fn default() -> Self {
        Self::new()
    }
}

impl<M> Clone for Address<M> {
    fn clone(&self) -> Self {
        Self {
            current: Arc::clone(&self.current),
        }
    }
}

/// A child that is started again whenever it ends, within its restart budget.
#[derive(Clone)]
pub struct ChildSpec {
    pub(super) name: Arc<str>,
    pub(super) restart: Restart,
    pub(super) role: Role,
    /// `None`: a supervisor, whose start is bounded by those of its children.
    pub(super) start_within: Option<Duration>,
    /// `None`: it is not asked whether it still does its work.
    pub(super) ask: Option<Ask>,
    pub(super) vigilance: Vigilance,
    factory: Factory,
}

impl ChildSpec {
    /// A child started by `factory`, which must link it to [`Start::supervisor`] and give it no
    /// registered name: the registry is the process's, and two trees would collide in it. Nobody
    /// notices when it is wedged; [`Self::actor`] is what an actor of ours is made with.
    pub fn new<F>(
        name: impl Into<Arc<str>>,
        restart: Restart,
        factory: impl Fn(Start) -> F + Send + Sync + 'static,
    ) -> Self
    where
        F: Future<Output = Result<ActorCell, SpawnErr>> + Send + 'static,
    {
        Self {
            name: name.into(),
            restart,
            role: Role::Permanent,
            start_within: Some(START_WITHIN),
            ask: None,
            vigilance: Vigilance::STANDARD,
            factory: Arc::new(move |start| Box::pin(factory(start))),
        }
    }

    /// An actor made anew for each start by `make`, reachable at `address`, and asked whether it works.
    /// What must outlive a crash, `make` holds and hands out.
    pub fn actor<A: Actor>(
        name: impl Into<Arc<str>>,
        restart: Restart,
        address: &Address<A::Msg>,
        make: impl Fn(&Start) -> (A, A::Arguments) + Send + Sync + 'static,
    ) -> Self
    where
        A::Msg: From<Ping>,
    {
        let address = address.clone();
        let actor = Self::new(name, restart, move |start| {
            let (handler, arguments) = make(&start);
            let address = address.clone();
            async move {
                let supervisor = start.supervisor.clone();
                let (actor, _) = Actor::spawn_linked(None, handler, arguments, supervisor).await?;
                address.set(actor.clone());
                Ok(actor.get_cell())
            }
        });
        Self {
            ask: Some(ask::<A::Msg>),
            ..actor
        }
    }

    /// The same child with another patience.
    #[must_use]
    pub fn vigilance(self, vigilance: Vigilance) -> Self {
        Self { vigilance, ..self }
    }

    /// A supervisor as a child: `restart` is for the supervisor itself, and takes its children
    /// along, each with a fresh budget.
    #[must_use]
    pub fn supervisor(restart: Restart, spec: SupervisorSpec) -> Self {
        let name = Arc::clone(&spec.name);
        let nested = Self::new(name, restart, move |start| {
            supervisor::start_nested(spec.clone(), start)
        });
        Self {
            role: Role::Supervisor,
            start_within: None,
            ask: Some(supervisor::ASK),
            ..nested
        }
    }

    pub(super) fn start(&self, start: Start) -> Starting {
        (self.factory)(start)
    }
}

impl std::fmt::Debug for ChildSpec {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let mut f = f.debug_struct("ChildSpec");
        f.field("name", &self.name).field("restart", &self.restart);
        f.finish_non_exhaustive()
    }
}

/// A supervisor: its children in the order of their start, and its kinds of temporary actors.
#[derive(Clone, Debug)]
pub struct SupervisorSpec {
    pub(super) name: Arc<str>,
    pub(super) children: Vec<ChildSpec>,
    pub(super) temporaries: Vec<Arc<str>>,
}

/// Which rule a spec breaks.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SpecError {
    /// Two children would share a path.
    #[error("two children of one supervisor are named {0}")]
    DuplicateName(Arc<str>),
    /// A path would be ambiguous.
    #[error("the name of a child must not be empty or contain a slash: {0:?}")]
    BadName(Arc<str>),
}

impl SupervisorSpec {
    /// A supervisor without children.
    pub fn new(name: impl Into<Arc<str>>) -> Self {
        Self {
            name: name.into(),
            children: Vec::new(),
            temporaries: Vec::new(),
        }
    }

    /// Adds a child, started after those added before and stopped before them.
    #[must_use]
    pub fn child(mut self, child: ChildSpec) -> Self {
        self.children.push(child);
        self
    }

    /// Adds a kind of temporary actors; see [`Start::temporaries`]. Their number is bounded by
    /// whoever starts them.
    #[must_use]
    pub fn temporary(mut self, name: impl Into<Arc<str>>) -> Self {
        self.temporaries.push(name.into());
        self
    }

    pub(super) fn check(&self) -> Result<(), SpecError> {
        let children = self.children.iter().map(|child| &child.name);
        let mut seen = std::collections::HashSet::new();
        for name in children.chain(&self.temporaries).chain([&self.name]) {
            if name.is_empty() || name.contains('/') {
                return Err(SpecError::BadName(Arc::clone(name)));
            }
        }
        let children = self.children.iter().map(|child| &child.name);
        for name in children.chain(&self.temporaries) {
            if !seen.insert(name) {
                return Err(SpecError::DuplicateName(Arc::clone(name)));
            }
        }
        Ok(())
    }
}
