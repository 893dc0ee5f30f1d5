//! The snapshot on disk: still to come; until then nothing is persisted.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use ractor::{Actor, ActorProcessingErr, ActorRef};
use verdict::availability::Found;
use verdict::trust::Snapshot;

use crate::clock::Clock;
use crate::trust::TrustStore;

/// What the actor is started with.
#[derive(Clone)]
pub struct CacheArgs {
    /// The directory.
    pub dir: PathBuf,
    /// The Workload API's socket.
    pub socket: PathBuf,
    /// The world.
    pub trust: Arc<TrustStore>,
    /// The clock.
    pub clock: Clock,
}

/// What was found on disk.
pub struct Loaded {
    /// For the machine.
    pub found: Found,
    /// The material.
    pub snapshot: Snapshot,
}

/// Loads nothing yet.
#[must_use]
pub fn load(_dir: &Path, _socket: &Path, _clock: &Clock) -> Loaded {
    Loaded {
        found: Found::Nothing,
        snapshot: Snapshot::default(),
    }
}

/// The actor.
pub struct CacheActor;

impl Actor for CacheActor {
    type Msg = ();
    type State = ();
    type Arguments = CacheArgs;

    async fn pre_start(&self, _: ActorRef<()>, _: CacheArgs) -> Result<(), ActorProcessingErr> {
        Ok(())
    }
}
