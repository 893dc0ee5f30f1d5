//! Whom the relay lets in. To SPIRE whoever comes by it is the tool: what it answers are the tool's own
//! SVIDs, with their private keys.

use std::path::{Path, PathBuf};

use tokio::net::UnixStream;
use tokio::sync::watch;

const ROOT_UID: u32 = 0;

/// Root, our own user, and the one that the agent runs as: who listens on its socket (`SO_PEERCRED`).
pub(super) struct Door {
    always_uids: [u32; 2],
    agent: PathBuf,
    /// The user that was turned away last.
    refused: watch::Sender<Option<u32>>,
}

impl Door {
    pub(super) fn of(agent: &Path) -> Self {
        Self::with([ROOT_UID, rustix::process::geteuid().as_raw()], agent)
    }

    pub(super) fn with(always_uids: [u32; 2], agent: &Path) -> Self {
        Self {
            always_uids,
            agent: agent.to_owned(),
            refused: watch::Sender::new(None),
        }
    }

    /// The agent may have been started just now, so its user is looked up each time.
    pub(super) async fn admits(&self, stream: &UnixStream) -> bool {
        let Some(uid) = uid_behind(stream) else {
            return false;
        };
        let admits = self.always_uids.contains(&uid) || self.agent_uid().await == Some(uid);
        if !admits {
            self.refused.send_replace(Some(uid));
        }
        admits
    }

    /// The user that was turned away last, if one was.
    pub(super) fn refused(&self) -> Option<u32> {
        *self.refused.borrow()
    }

    async fn agent_uid(&self) -> Option<u32> {
        uid_behind(&UnixStream::connect(&self.agent).await.ok()?)
    }
}

fn uid_behind(stream: &UnixStream) -> Option<u32> {
    stream.peer_cred().ok().map(|peer| peer.uid())
}
