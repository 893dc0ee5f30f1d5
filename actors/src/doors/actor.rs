//! One actor per connection, whatever its dialect.
//!
//! The actor is a shell around one task. A connection that fails is closed and forgotten: it is
//! temporary, and nothing it does uses up anybody's restart budget.

use std::error::Error;
use std::pin::Pin;

use ractor::{Actor, ActorProcessingErr, ActorRef};
use tokio_util::task::AbortOnDropHandle;
use tokio_util::task::task_tracker::TaskTrackerToken;

use crate::sparse;

/// A connection served to its end, which holds its place; an error says why we closed it.
pub(super) type Served = Pin<Box<dyn Future<Output = Result<(), ClosedBecause>> + Send>>;

/// Why a connection was closed by us.
pub(super) type ClosedBecause = Box<dyn Error + Send + Sync>;

/// The actor.
pub struct ConnectionActor;

/// What it is started with.
pub struct ConnectionArgs {
    /// What it does.
    pub(super) served: Served,
    /// Who is at the other end.
    pub(super) peer: String,
    /// Counts it among the open ones, which a drain waits for.
    pub(super) open: TaskTrackerToken,
}

/// The task ended.
pub struct Ended;

impl Actor for ConnectionActor {
    type Msg = Ended;
    type State = AbortOnDropHandle<()>;
    type Arguments = ConnectionArgs;

    async fn pre_start(
        &self,
        myself: ActorRef<Ended>,
        args: ConnectionArgs,
    ) -> Result<Self::State, ActorProcessingErr> {
        Ok(AbortOnDropHandle::new(tokio::spawn(async move {
            let _open = args.open;
            let peer = args.peer;
            let served = tokio::spawn(args.served);
            match AbortOnDropHandle::new(served).await {
                Ok(Ok(())) => tracing::debug!(peer, "connection closed"),
                Ok(Err(error)) => {
                    if let Some(left_out) = sparse::CLOSED.admits() {
                        tracing::warn!(peer, %error, left_out = left_out.some(), "connection closed");
                    }
                }
                Err(error) => tracing::error!(peer, %error, "connection closed by a panic"),
            }
            let _ = myself.cast(Ended);
        })))
    }

    async fn handle(
        &self,
        myself: ActorRef<Ended>,
        _message: Ended,
        _state: &mut Self::State,
    ) -> Result<(), ActorProcessingErr> {
        myself.stop(None);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::panic, reason = "a test may panic")]

    use std::sync::{Arc, Mutex};
    use std::time::Duration;

    use tokio::sync::Semaphore;
    use tokio_util::task::TaskTracker;

    use super::*;
    use crate::supervision::{
        Address, ChildSpec, ChildState, Ping, Restart, Root, SupervisorSpec, Temporaries,
    };

    /// What a listener is to its connections.
    struct Landlord;

    impl Actor for Landlord {
        type Msg = Ping;
        type State = ();
        type Arguments = ();

        async fn pre_start(&self, _: ActorRef<Ping>, (): ()) -> Result<(), ActorProcessingErr> {
            Ok(())
        }

        async fn handle(
            &self,
            _: ActorRef<Ping>,
            ping: Ping,
            (): &mut (),
        ) -> Result<(), ActorProcessingErr> {
            ping.answer().await;
            Ok(())
        }
    }

    async fn door() -> (Root, Temporaries) {
        let found = Arc::new(Mutex::new(None));
        let give = Arc::clone(&found);
        let landlord = ChildSpec::actor("door", Restart::STANDARD, &Address::new(), move |start| {
            *give.lock().unwrap() = start.temporaries("connection");
            (Landlord, ())
        });
        let spec = SupervisorSpec::new("root").child(landlord);
        let root = Root::start(spec.temporary("connection"), Duration::ZERO)
            .await
            .unwrap();
        let connections = found.lock().unwrap().take().unwrap();
        (root, connections)
    }

    fn args(served: Served, permits: &Arc<Semaphore>, open: &TaskTracker) -> ConnectionArgs {
        let place = Arc::clone(permits).try_acquire_owned().unwrap();
        ConnectionArgs {
            served: Box::pin(async move {
                let _place = place;
                served.await
            }),
            peer: "test".to_owned(),
            open: open.token(),
        }
    }

    /// Panicking, refused or well: its place is given back, and it was nobody's failure.
    #[tokio::test(start_paused = true)]
    async fn however_a_connection_ends_its_place_is_given_back_and_nobody_fails() {
        let (root, connections) = door().await;
        let (permits, open) = (Arc::new(Semaphore::new(1)), TaskTracker::new());
        for n in 0..300 {
            let served: Served = match n % 3 {
                0 => Box::pin(async { panic!("a frame of the peer's") }),
                1 => Box::pin(async { Err("a frame of the peer's".into()) }),
                _ => Box::pin(async { Ok(()) }),
            };
            let args = args(served, &permits, &open);
            connections.spawn(ConnectionActor, args).await.unwrap();
            drop(permits.acquire().await.unwrap());
        }
        root.tree()
            .wait_until(|places| {
                places
                    .iter()
                    .all(|place| !place.path.ends_with("connection") || place.alive == 0)
            })
            .await;
        for place in root.tree().snapshot() {
            assert_eq!(
                (place.state, place.failures),
                (ChildState::Running, 0),
                "{place:?}"
            );
        }
        open.close();
        open.wait().await;
    }

    /// A wedged one holds its own place and nobody else's, and a shutdown ends it.
    #[tokio::test(start_paused = true)]
    async fn a_wedged_connection_is_stuck_for_itself_alone() {
        let (root, connections) = door().await;
        let (permits, open) = (Arc::new(Semaphore::new(2)), TaskTracker::new());
        let stuck: Served = Box::pin(std::future::pending());
        let args_of_stuck = args(stuck, &permits, &open);
        connections
            .spawn(ConnectionActor, args_of_stuck)
            .await
            .unwrap();
        for _ in 0..100 {
            let well: Served = Box::pin(async { Ok(()) });
            connections
                .spawn(ConnectionActor, args(well, &permits, &open))
                .await
                .unwrap();
            drop(permits.acquire().await.unwrap());
        }
        assert_eq!(open.len(), 1);
        let shutdown = root.shutdown(Duration::from_secs(1)).await;
        assert!(shutdown.killed.is_empty(), "{shutdown:?}");
        drop(permits.acquire_many(2).await.unwrap());
    }
}
