//! One actor per connection, whatever its dialect.
//!
//! The actor is a shell around one task. A connection that fails is closed and forgotten: it is
//! temporary, and nothing it does uses up anybody's restart budget.

use std::error::Error;
use std::pin::Pin;
use std::sync::Arc;

use ractor::{Actor, ActorProcessingErr, ActorRef};
use tokio::sync::OwnedSemaphorePermit;
use tokio_util::task::AbortOnDropHandle;

use super::Doors;

/// A connection served to its end; an error says why we closed it.
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
    /// What doors share.
    pub(super) doors: Arc<Doors>,
    /// The connection's place among the permitted ones.
    pub(super) permit: OwnedSemaphorePermit,
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
            let _permit = args.permit;
            let _open = args.doors.open.token();
            let peer = args.peer;
            let served = tokio::spawn(args.served);
            match AbortOnDropHandle::new(served).await {
                Ok(Ok(())) => tracing::debug!(peer, "connection closed"),
                Ok(Err(error)) => tracing::warn!(peer, %error, "connection closed"),
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
