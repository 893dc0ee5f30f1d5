//! Accepts connections. The listening socket is owned above: a successor serves who waits in its queue.

use std::sync::Arc;
use std::time::Duration;

use ractor::{Actor, ActorProcessingErr, ActorRef};
use tokio::time::Instant;
use tokio_util::task::AbortOnDropHandle;

use super::{ConnectionActor, ConnectionArgs, Doors, Entrance, Places};
use crate::episode::Episode;
use crate::metrics::count;
use crate::remedy::of_accepting;
use crate::sparse;
use crate::supervision::{Ping, Pings, Temporaries, attentive};

/// Wait after a failed accept, milliseconds: out of descriptors, trying harder makes it worse.
const ACCEPT_PAUSE_MS: u64 = 50;

/// How long who comes early waits in the queue for the source's first word. It comes, or fails, within
/// a few milliseconds: until then nobody could be told anything but that it has not come.
const OPENING_MAX: Duration = Duration::from_millis(100);

/// What the actor is started with.
#[derive(Clone)]
pub struct ListenerArgs {
    /// Where connections come in, owned above.
    pub entrance: Entrance,
    /// What doors share.
    pub doors: Arc<Doors>,
    /// One place for each connection, owned above.
    pub places: Arc<Places>,
    /// Starts the actor of a connection; absent only if the tree names no such temporaries.
    pub connections: Option<Temporaries>,
}

/// The actor.
pub struct ListenerActor;

/// What reaches the actor.
pub enum ListenerMsg {
    /// The accept loop ended by a panic.
    Stopped(String),
    /// The supervisor asks: it is the accept loop that has to answer.
    Ping(Ping),
}

/// The accept loop, which ends with its actor.
pub struct Accepting {
    pings: Pings,
    _task: AbortOnDropHandle<()>,
}

impl From<Ping> for ListenerMsg {
    fn from(ping: Ping) -> Self {
        Self::Ping(ping)
    }
}

impl Actor for ListenerActor {
    type Msg = ListenerMsg;
    type State = Accepting;
    type Arguments = ListenerArgs;

    async fn pre_start(
        &self,
        myself: ActorRef<ListenerMsg>,
        args: ListenerArgs,
    ) -> Result<Self::State, ActorProcessingErr> {
        let (pings, passed) = Pings::new();
        let task = tokio::spawn(async move {
            let accepting = tokio::spawn(attentive(passed, serve(args)));
            if let Err(error) = AbortOnDropHandle::new(accepting).await {
                let _ = myself.cast(ListenerMsg::Stopped(error.to_string()));
            }
        });
        Ok(Accepting {
            pings,
            _task: AbortOnDropHandle::new(task),
        })
    }

    async fn handle(
        &self,
        _myself: ActorRef<ListenerMsg>,
        message: ListenerMsg,
        state: &mut Self::State,
    ) -> Result<(), ActorProcessingErr> {
        match message {
            ListenerMsg::Stopped(why) => Err(why.into()),
            ListenerMsg::Ping(ping) => {
                state.pings.pass(ping);
                Ok(())
            }
        }
    }
}

/// A door that drains is closed and well: whoever asks how it is has his answer until the tree is
/// stopped, or it would be killed as wedged, and the drain cost restarts.
async fn serve(args: ListenerArgs) {
    accept(args).await;
    std::future::pending().await
}

/// Accepts until draining.
async fn accept(args: ListenerArgs) {
    args.doors.judge.trust.started(OPENING_MAX).await;
    let mut trouble = Episode::new();
    loop {
        let arrival = tokio::select! {
            arrival = args.entrance.accept(&args.doors, &args.places) => arrival,
            () = args.doors.health.draining() => return,
        };
        match arrival {
            Ok(Ok(guest)) => {
                trouble.ends();
                count(&args.doors.metrics.connections);
                let connection = ConnectionArgs {
                    served: guest.served,
                    peer: guest.peer,
                    open: args.doors.open.token(),
                };
                if let Some(connections) = &args.connections
                    && let Err(error) = connections.spawn(ConnectionActor, connection).await
                {
                    tracing::error!(%error, "a connection's actor could not be started");
                }
            }
            Ok(Err(error)) => {
                count(&args.doors.metrics.untrusted_proxy);
                if let Some(left_out) = sparse::UNTRUSTED.admits() {
                    tracing::warn!(
                        %error,
                        process = error.process(),
                        remedy = error.remedy(),
                        left_out = left_out.some(),
                        "UNTRUSTED_PROXY: connection closed before its request was read"
                    );
                }
            }
            Err(error) => {
                complain(&error, &mut trouble);
                tokio::time::sleep(Duration::from_millis(ACCEPT_PAUSE_MS)).await;
            }
        }
    }
}

/// Once, until one is accepted, and never more often than the log can bear.
fn complain(error: &std::io::Error, trouble: &mut Episode) {
    if trouble.begins(Instant::now()) {
        let remedy = of_accepting(error);
        tracing::warn!(%error, remedy, "a connection could not be accepted");
    }
}
