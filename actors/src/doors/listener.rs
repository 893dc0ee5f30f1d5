//! Accepts connections. The listening socket is owned above: a successor serves who waits in its queue.

use std::sync::Arc;
use std::time::Duration;

use ractor::{Actor, ActorProcessingErr, ActorRef};
use tokio::sync::Semaphore;
use tokio_util::task::AbortOnDropHandle;

use super::{ConnectionActor, ConnectionArgs, Doors, Entrance};
use crate::metrics::count;
use crate::supervision::Temporaries;

/// Wait after a failed accept, milliseconds: out of descriptors, trying harder makes it worse.
const ACCEPT_PAUSE_MS: u64 = 50;

/// What the actor is started with.
#[derive(Clone)]
pub struct ListenerArgs {
    /// Where connections come in, owned above.
    pub entrance: Entrance,
    /// What doors share.
    pub doors: Arc<Doors>,
    /// One permit per connection, owned above.
    pub permits: Arc<Semaphore>,
    /// Starts the actor of a connection; absent only if the tree names no such temporaries.
    pub connections: Option<Temporaries>,
}

/// The actor.
pub struct ListenerActor;

/// The accept loop ended by a panic.
pub struct Stopped(String);

impl Actor for ListenerActor {
    type Msg = Stopped;
    type State = AbortOnDropHandle<()>;
    type Arguments = ListenerArgs;

    async fn pre_start(
        &self,
        myself: ActorRef<Stopped>,
        args: ListenerArgs,
    ) -> Result<Self::State, ActorProcessingErr> {
        Ok(AbortOnDropHandle::new(tokio::spawn(async move {
            let accepting = AbortOnDropHandle::new(tokio::spawn(accept(args)));
            if let Err(error) = accepting.await {
                let _ = myself.cast(Stopped(error.to_string()));
            }
        })))
    }

    async fn handle(
        &self,
        _myself: ActorRef<Stopped>,
        Stopped(why): Stopped,
        _state: &mut Self::State,
    ) -> Result<(), ActorProcessingErr> {
        Err(why.into())
    }
}

/// Accepts until draining. A permit first: who finds none free waits in the socket's own queue.
async fn accept(args: ListenerArgs) {
    loop {
        let accepted = async {
            // The semaphore is never closed.
            let permit = Arc::clone(&args.permits).acquire_owned().await;
            (permit, args.entrance.accept(&args.doors).await)
        };
        let (permit, arrival) = tokio::select! {
            accepted = accepted => accepted,
            () = args.doors.health.draining() => return,
        };
        match (permit, arrival) {
            (Ok(permit), Ok(Ok(guest))) => {
                count(&args.doors.metrics.connections);
                let connection = ConnectionArgs {
                    served: guest.served,
                    peer: guest.peer,
                    doors: Arc::clone(&args.doors),
                    permit,
                };
                if let Some(connections) = &args.connections
                    && let Err(error) = connections.spawn(ConnectionActor, connection).await
                {
                    tracing::error!(%error, "a connection's actor could not be started");
                }
            }
            (Ok(_), Ok(Err(error))) => {
                count(&args.doors.metrics.untrusted_proxy);
                tracing::warn!(%error, "UNTRUSTED_PROXY: connection closed before its request was read");
            }
            (_, Err(error)) => {
                tracing::warn!(%error, "a connection could not be accepted");
                tokio::time::sleep(Duration::from_millis(ACCEPT_PAUSE_MS)).await;
            }
            (Err(_), Ok(_)) => return,
        }
    }
}
