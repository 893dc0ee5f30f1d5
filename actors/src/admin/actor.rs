//! Accepts admin connections. The listening socket is owned above: a successor serves who waits in
//! its queue.

use std::sync::Arc;
use std::time::Duration;

use ractor::{Actor, ActorProcessingErr, ActorRef};
use tokio::net::TcpListener;
use tokio::time::{Instant, MissedTickBehavior, interval_at, sleep};
use tokio_util::task::AbortOnDropHandle;

use super::places::Places;
use super::{Admin, connection};
use crate::episode::Episode;
use crate::remedy::of_accepting;
use crate::supervision::{Ping, Pings, Tree, attentive};

/// Wait after a failed accept: out of descriptors, trying harder makes it worse.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// How often the counters are read for decisions per second.
const SAMPLE_EVERY: Duration = Duration::from_secs(1);

/// What the actor is started with.
#[derive(Clone)]
pub struct AdminArgs {
    /// The listener and what it shows, owned above.
    pub admin: Arc<Admin>,
    /// The tree that is shown.
    pub tree: Arc<Tree>,
}

/// The actor.
pub struct AdminActor;

/// What reaches the actor.
pub enum AdminMsg {
    /// A task of the actor ended, and none should.
    Stopped(String),
    /// The supervisor asks: it is the accept loop that has to answer.
    Ping(Ping),
}

impl From<Ping> for AdminMsg {
    fn from(ping: Ping) -> Self {
        Self::Ping(ping)
    }
}

/// Accepting, and reading the counters, both on the admin thread.
pub struct Tasks {
    pings: Pings,
    _accepting: AbortOnDropHandle<()>,
    _sampling: AbortOnDropHandle<()>,
}

impl Actor for AdminActor {
    type Msg = AdminMsg;
    type State = Tasks;
    type Arguments = AdminArgs;

    async fn pre_start(
        &self,
        myself: ActorRef<AdminMsg>,
        AdminArgs { admin, tree }: AdminArgs,
    ) -> Result<Tasks, ActorProcessingErr> {
        let _ = admin.subject.tree.set(tree);
        let thread = admin.thread.handle().ok_or("the admin thread has ended")?;
        let listener = admin.listener.try_clone()?;
        listener.set_nonblocking(true)?;
        // Registered with the runtime that polls it.
        let listener = {
            let _entered = thread.enter();
            TcpListener::from_std(listener)?
        };
        let (pings, passed) = Pings::new();
        let accepting = attentive(passed, accept(listener, Arc::clone(&admin)));
        let accepting = thread.spawn(watch(myself.clone(), accepting));
        let sampling = thread.spawn(watch(myself, sample(Arc::clone(&admin))));
        Ok(Tasks {
            pings,
            _accepting: AbortOnDropHandle::new(accepting),
            _sampling: AbortOnDropHandle::new(sampling),
        })
    }

    async fn handle(
        &self,
        _myself: ActorRef<AdminMsg>,
        message: AdminMsg,
        state: &mut Tasks,
    ) -> Result<(), ActorProcessingErr> {
        match message {
            AdminMsg::Stopped(why) => Err(why.into()),
            AdminMsg::Ping(ping) => {
                state.pings.pass(ping);
                Ok(())
            }
        }
    }
}

/// Runs what never ends, and tells the actor if it does: that is a panic.
async fn watch(
    actor: ActorRef<AdminMsg>,
    endless: impl Future<Output = std::convert::Infallible> + Send + 'static,
) {
    let task = AbortOnDropHandle::new(tokio::spawn(endless));
    let Err(error) = task.await;
    let _ = actor.cast(AdminMsg::Stopped(error.to_string()));
}

/// Whoever comes is served at once: if all places are taken, by the oldest giving way.
async fn accept(listener: TcpListener, admin: Arc<Admin>) -> std::convert::Infallible {
    let (mut places, mut trouble) = (Places::default(), Episode::new());
    loop {
        match listener.accept().await {
            Ok((stream, peer)) => {
                trouble.ends();
                let admin = Arc::clone(&admin);
                places.give(|kind| connection::serve(stream, peer, admin, kind));
                // A flood waits in the queue of the socket: whoever comes out of it is to have his turn
                // before the next one takes his place.
                tokio::task::yield_now().await;
            }
            Err(error) => {
                if trouble.begins(Instant::now()) {
                    let remedy = of_accepting(&error);
                    tracing::warn!(%error, remedy, "an admin connection could not be accepted");
                }
                sleep(ACCEPT_PAUSE).await;
            }
        }
    }
}

async fn sample(admin: Arc<Admin>) -> std::convert::Infallible {
    let subject = &admin.subject;
    let mut ticks = interval_at(Instant::now(), SAMPLE_EVERY);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        let now = subject.doors.clock.now();
        subject.rates.sample(&subject.doors.metrics, now);
    }
}
