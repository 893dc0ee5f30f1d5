//! An agent's socket that is no more where proxies look for it: gone, or another's.
//!
//! Who is connected notices nothing of either. But what the next one meets differs, and what to do:
//! where another process listens, a start of ours fails before that one has ended.

use std::fmt;
use std::os::unix::fs::FileTypeExt as _;
use std::path::Path;

use tokio::net::UnixStream;

use super::peer::name_of;

/// What is at the path instead.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Lost {
    /// Nothing.
    Gone,
    /// Something that nobody listens at.
    Replaced,
    /// A socket that another process listens at.
    Taken(Listener),
}

/// Who listens.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Listener {
    /// Absent where it is in a namespace that this process does not see into.
    pid: Option<i32>,
    /// As it calls itself; absent where the system does not tell.
    name: Option<String>,
}

impl Lost {
    /// What is at this path, which is known not to be ours. Whoever listens is connected to, and let go:
    /// nothing else tells who it is.
    pub(super) async fn at(path: &Path) -> Self {
        let Ok(found) = tokio::fs::symlink_metadata(path).await else {
            return Self::Gone;
        };
        if !found.file_type().is_socket() {
            return Self::Replaced;
        }
        match UnixStream::connect(path).await {
            Ok(stream) => Self::Taken(Listener::of(&stream)),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Self::Gone,
            Err(error) if error.kind() == std::io::ErrorKind::ConnectionRefused => Self::Replaced,
            // Its queue is full, or it may not be asked: somebody listens.
            Err(_) => Self::Taken(Listener::UNSEEN),
        }
    }

    /// Whether it need not be looked at again while the same file is there: a stranger is not knocked at
    /// every few seconds.
    pub(super) fn lasts(&self) -> bool {
        match self {
            Self::Gone | Self::Replaced => false,
            Self::Taken(listener) => listener.pid.is_none_or(is_alive),
        }
    }

    /// What to do about it.
    #[must_use]
    pub const fn remedy(&self) -> &'static str {
        match self {
            Self::Gone => {
                "restart the agent: it makes its socket anew; and find out who cleans up there"
            }
            Self::Replaced => {
                "remove what lies there, and restart the agent: it makes its socket anew; and find out who put it there"
            }
            Self::Taken(_) => {
                "stop the one of the two that should not run (ss -xlp lists both); if this one is to stay, \
                 start it anew after the other has ended: until then a start finds the socket in use; or \
                 give each a --socket of its own"
            }
        }
    }
}

impl fmt::Display for Lost {
    /// Behind "the agent's socket is".
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Gone => f.write_str(
                "gone from its path: no proxy can connect anew, those connected are served",
            ),
            Self::Replaced => f.write_str(
                "gone from its path, where something lies that nobody listens at: no proxy can connect \
                 anew, those connected are served",
            ),
            Self::Taken(listener) => write!(
                f,
                "not at its path, where another process listens, {listener}: who connects now reaches that \
                 one, those connected before are served here"
            ),
        }
    }
}

impl Listener {
    const UNSEEN: Self = Self {
        pid: None,
        name: None,
    };

    /// Who listens at the other end (unix(7), SO_PEERCRED: as it was when it began to).
    fn of(stream: &UnixStream) -> Self {
        let peer = stream.peer_cred().ok();
        // Another namespace's process is 0 here.
        let pid = peer.and_then(|peer| peer.pid()).filter(|pid| *pid > 0);
        let name = pid.and_then(name_of);
        Self { pid, name }
    }
}

impl fmt::Display for Listener {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.pid, &self.name) {
            (None, _) => f.write_str("which cannot be told from here"),
            (Some(pid), None) => write!(f, "pid {pid}"),
            (Some(pid), Some(name)) => write!(f, "pid {pid} ({name})"),
        }
    }
}

/// A number that was given anew since is taken for the same: its file would be another's, too.
fn is_alive(pid: i32) -> bool {
    Path::new("/proc").join(pid.to_string()).exists()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test may panic")]

    use std::os::unix::net::UnixListener;

    use super::*;

    #[tokio::test]
    async fn what_lies_there_is_told_apart() {
        let home = tempfile::tempdir().unwrap();
        let path = home.path().join("agent.sock");
        assert_eq!(Lost::at(&path).await, Lost::Gone);
        let listener = UnixListener::bind(&path).unwrap();
        let taken = Lost::at(&path).await;
        let pid = i32::try_from(std::process::id()).unwrap();
        assert!(
            matches!(&taken, Lost::Taken(listener) if listener.pid == Some(pid)),
            "{taken:?}"
        );
        assert!(taken.lasts() && taken.to_string().contains(&format!("pid {pid} (")));
        assert!(!taken.remedy().contains("restart"));
        drop(listener);
        assert_eq!(Lost::at(&path).await, Lost::Replaced);
        std::fs::remove_file(&path).unwrap();
        std::fs::write(&path, "no socket").unwrap();
        assert_eq!(Lost::at(&path).await, Lost::Replaced);
    }
}
