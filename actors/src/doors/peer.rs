//! Who is at the other end, and whether it may ask.
//!
//! A forwarded certificate is public data: it counts only from a proxy that did the handshake. On a
//! Unix socket the kernel says who connected; the socket's mode admits, `trusted-proxies` narrows.

use std::fmt;

use tokio::net::UnixStream;
use verdict::id::WorkloadId;

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
    },
}

/// Checks the peer; an empty list admits whoever the socket's mode admits.
///
/// # Errors
/// It may not ask.
pub fn admit(stream: &UnixStream, trusted: &[TrustedPeer]) -> Result<Peer, UntrustedProxy> {
    let peer = stream.peer_cred()?;
    let (uid, gid) = (peer.uid(), peer.gid());
    admit_ids(uid, gid, trusted).map(|()| Peer::User(uid))
}

fn admit_ids(uid: u32, gid: u32, trusted: &[TrustedPeer]) -> Result<(), UntrustedProxy> {
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
        false => Err(UntrustedProxy::NotListed { uid, gid }),
    }
}

#[cfg(test)]
mod tests {
    use super::{TrustedPeer, admit_ids};

    #[test]
    fn an_empty_list_leaves_it_to_the_mode() {
        assert!(admit_ids(1, 1, &[]).is_ok());
    }

    #[test]
    fn a_list_narrows_and_never_means_the_overflow_id() {
        let list = [
            TrustedPeer::Uid(10),
            TrustedPeer::Gid(20),
            TrustedPeer::Uid(65_534),
        ];
        assert!(admit_ids(10, 99, &list).is_ok());
        assert!(admit_ids(99, 20, &list).is_ok());
        assert!(admit_ids(20, 10, &list).is_err());
        assert!(admit_ids(65_534, 65_534, &list).is_err());
    }
}
