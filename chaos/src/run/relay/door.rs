//! Whom the relay lets in. To SPIRE whoever comes by it is the tool: what it answers are the tool's own
//! SVIDs, with their private keys.

use std::path::{Path, PathBuf};

use tokio::net::UnixStream;
use tokio::sync::watch;

const ROOT_UID: u32 = 0;
/// The user as whom every user without a number in this user namespace is shown (user_namespaces(7)).
const OVERFLOW_UID: &str = "/proc/sys/kernel/overflowuid";
/// The kernel's own default of it.
const OVERFLOW_UID_DEFAULT: u32 = 65_534;

/// Root, our own user, and the one that the agent runs as: who listens on its socket (`SO_PEERCRED`).
pub(super) struct Door {
    always_uids: [u32; 2],
    agent: PathBuf,
    /// Many users are this one here: that the agent is, too, tells nothing of who comes.
    overflow_uid: u32,
    /// The user that was turned away last.
    refused: watch::Sender<Option<u32>>,
}

impl Door {
    pub(super) fn of(agent: &Path) -> Self {
        let known = std::fs::read_to_string(OVERFLOW_UID).unwrap_or_default();
        let overflow_uid = known.trim().parse().unwrap_or(OVERFLOW_UID_DEFAULT);
        let always_uids = [ROOT_UID, rustix::process::geteuid().as_raw()];
        Self::with(always_uids, overflow_uid, agent)
    }

    pub(super) fn with(always_uids: [u32; 2], overflow_uid: u32, agent: &Path) -> Self {
        Self {
            always_uids,
            agent: agent.to_owned(),
            overflow_uid,
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
        let uid = uid_behind(&UnixStream::connect(&self.agent).await.ok()?);
        uid.filter(|uid| *uid != self.overflow_uid)
    }
}

fn uid_behind(stream: &UnixStream) -> Option<u32> {
    stream.peer_cred().ok().map(|peer| peer.uid())
}
