//! Who is at the other end, and whether it may ask.
//!
//! A forwarded certificate is public data: it counts only from a proxy that did the handshake. On a
//! Unix socket the kernel says who connected; the socket's mode admits, `trusted-proxies` narrows.

use std::fmt;

use tokio::net::UnixStream;
use verdict::id::WorkloadId;

use crate::words::escaped;

/// The user the kernel reports for one it cannot map; it may be anybody.
const OVERFLOW_ID: u32 = 65_534;

/// A peer that is known: what it is by the word of the kernel or of TLS, not by its own. Fair shares
/// are kept by it, so that more connections are not more of anything.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Peer {
    /// A process of this user, on the Unix socket.
    User(u32),
    /// This workload, by mutual TLS.
    Workload(WorkloadId),
}

impl fmt::Display for Peer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::User(uid) => write!(f, "uid:{uid}"),
            Self::Workload(id) => f.write_str(id.as_str()),
        }
    }
}

/// A uid or gid that may ask.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TrustedPeer {
    /// This user.
    Uid(u32),
    /// This group.
    Gid(u32),
}

/// Why a caller is closed before its request is parsed: `UNTRUSTED_PROXY`.
#[derive(Debug, thiserror::Error)]
pub enum UntrustedProxy {
    /// The kernel does not say.
    #[error("the peer's credentials cannot be read: {0}")]
    Unknown(#[from] std::io::Error),
    /// It is the overflow user or group.
    #[error("uid {uid}, gid {gid}: the overflow id may be anybody (README, trusted-proxies)")]
    Overflow {
        /// The peer's user.
        uid: u32,
        /// The peer's group.
        gid: u32,
    },
    /// It is not in the list.
    #[error("uid {uid}, gid {gid} is not in trusted-proxies (README, trusted-proxies)")]
    NotListed {
        /// The peer's user.
        uid: u32,
        /// The peer's group.
        gid: u32,
        /// Its process, where the system tells it.
        pid: Option<i32>,
    },
}

/// Longest name of a process that is shown, characters after escaping; Linux has 15 bytes.
const PROCESS_MAX_CHARS: usize = 60;

/// As a process calls itself, escaped: that is its own choice. `None` where it is gone.
pub(super) fn name_of(pid: i32) -> Option<String> {
    let name = std::fs::read_to_string(format!("/proc/{pid}/comm")).ok()?;
    Some(escaped(name.trim_end(), PROCESS_MAX_CHARS))
}

impl UntrustedProxy {
    /// Its process by number and name, which is its own choice; it may be gone already, and its number
    /// somebody else's. Asks the system, and so only for a line that is written.
    #[must_use]
    pub fn process(&self) -> Option<String> {
        let Self::NotListed { pid: Some(pid), .. } = self else {
            return None;
        };
        let name = name_of(*pid).unwrap_or_else(|| "which is gone".to_owned());
        Some(format!("{pid}, {name}"))
    }

    /// What to do, if it is a proxy of ours.
    #[must_use]
    pub fn remedy(&self) -> String {
        match self {
            Self::NotListed { uid, .. } => {
                format!("if it is your proxy: --trusted-proxy uid:{uid}, or trusted-proxies in the file")
            }
            Self::Overflow { .. } => {
                "let the proxy share this agent's user namespace: its user cannot be told from others".to_owned()
            }
            Self::Unknown(_) => "is the proxy gone before it was accepted? otherwise report it".to_owned(),
        }
    }
}

/// Checks the peer; an empty list admits whoever the socket's mode admits.
///
/// # Errors
/// It may not ask.
pub fn admit(stream: &UnixStream, trusted: &[TrustedPeer]) -> Result<Peer, UntrustedProxy> {
    let peer = stream.peer_cred()?;
    let (uid, gid) = (peer.uid(), peer.gid());
    admit_ids(uid, gid, peer.pid(), trusted).map(|()| Peer::User(uid))
}

fn admit_ids(
    uid: u32,
    gid: u32,
    pid: Option<i32>,
    trusted: &[TrustedPeer],
) -> Result<(), UntrustedProxy> {
    if trusted.is_empty() {
        return Ok(());
    }
    let listed = trusted.iter().any(|entry| match *entry {
        TrustedPeer::Uid(listed) => listed == uid && uid != OVERFLOW_ID,
        TrustedPeer::Gid(listed) => listed == gid && gid != OVERFLOW_ID,
    });
    match listed {
        true => Ok(()),
        false if uid == OVERFLOW_ID || gid == OVERFLOW_ID => {
            Err(UntrustedProxy::Overflow { uid, gid })
        }
        false => Err(UntrustedProxy::NotListed { uid, gid, pid }),
    }
}

#[cfg(test)]
mod tests {
    use super::{TrustedPeer, admit_ids};

    #[test]
    fn an_empty_list_leaves_it_to_the_mode() {
        assert!(admit_ids(1, 1, None, &[]).is_ok());
    }

    #[test]
    fn a_list_narrows_and_never_means_the_overflow_id() {
        let list = [
            TrustedPeer::Uid(10),
            TrustedPeer::Gid(20),
            TrustedPeer::Uid(65_534),
        ];
        assert!(admit_ids(10, 99, None, &list).is_ok());
        assert!(admit_ids(99, 20, None, &list).is_ok());
        assert!(admit_ids(20, 10, None, &list).is_err());
        assert!(admit_ids(65_534, 65_534, None, &list).is_err());
    }
}
