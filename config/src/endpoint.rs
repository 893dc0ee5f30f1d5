//! Where SPIRE listens: a path, or `unix:///path` (SPIFFE Workload Endpoint, section 4).

use std::fmt;
use std::path::{Path, PathBuf};

/// Longest path a Unix socket can be bound to: `sun_path` of Linux without its final zero.
pub const MAX_SOCKET_PATH_BYTES: usize = 107;

/// An absolute path of a Unix socket. Equal when the paths are, however they are written.
#[derive(Clone, Debug)]
pub struct SocketPath(PathBuf);

/// Why a text names no socket.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SocketPathError {
    /// Nothing there.
    #[error("a socket path cannot be empty")]
    Empty,
    /// `agent.sock`, `unix:opaque`, `blah`.
    #[error(
        "a socket is named by an absolute path, or `unix:///` and the path (SPIFFE Workload Endpoint, 4)"
    )]
    NotAbsolute,
    /// `unix://host/path`.
    #[error(
        "`unix://` takes no authority: three slashes, then the path (SPIFFE Workload Endpoint, 4)"
    )]
    Authority,
    /// `unix:///path?query`.
    #[error("a `unix://` address takes no query and no fragment (SPIFFE Workload Endpoint, 4)")]
    Decorated,
    /// `tcp://…`: the caller's identity cannot be attested there.
    #[error("only Unix sockets are supported")]
    Tcp,
    /// The bound of [`MAX_SOCKET_PATH_BYTES`].
    #[error("a socket path is limited to {MAX_SOCKET_PATH_BYTES} bytes")]
    TooLong,
    /// A zero, or another control character.
    #[error("a socket path contains no control characters")]
    Control,
    /// `/`.
    #[error("this path names no file")]
    NoFile,
}

impl SocketPathError {
    /// What to write instead.
    #[must_use]
    pub const fn advice(self) -> &'static str {
        match self {
            Self::Tcp => "SPIRE agents listen on a Unix socket: use its path",
            Self::TooLong => "choose a shorter directory",
            _ => "for example \"/run/spire/sockets/agent.sock\"",
        }
    }
}

impl SocketPath {
    /// Reads a path or a `unix:///` address.
    ///
    /// # Errors
    /// When it is neither, or longer than a socket's path can be.
    pub fn parse(text: &str) -> Result<Self, SocketPathError> {
        let path = match text.split_once(':') {
            _ if text.starts_with('/') => text,
            Some(("unix", rest)) => unix_path(rest)?,
            Some(("tcp", _)) => return Err(SocketPathError::Tcp),
            _ if text.is_empty() => return Err(SocketPathError::Empty),
            _ => return Err(SocketPathError::NotAbsolute),
        };
        if path.chars().any(char::is_control) {
            return Err(SocketPathError::Control);
        }
        if path.len() > MAX_SOCKET_PATH_BYTES {
            return Err(SocketPathError::TooLong);
        }
        if path.ends_with('/') || Path::new(path).file_name().is_none() {
            return Err(SocketPathError::NoFile);
        }
        Ok(Self(PathBuf::from(path)))
    }

    /// The path.
    #[must_use]
    pub fn as_path(&self) -> &Path {
        &self.0
    }
}

/// What follows `unix:`.
fn unix_path(rest: &str) -> Result<&str, SocketPathError> {
    let path = rest
        .strip_prefix("//")
        .ok_or(SocketPathError::NotAbsolute)?;
    if path.is_empty() {
        return Err(SocketPathError::NotAbsolute);
    }
    if !path.starts_with('/') {
        return Err(SocketPathError::Authority);
    }
    if path.contains(['?', '#']) {
        return Err(SocketPathError::Decorated);
    }
    Ok(path)
}

impl PartialEq for SocketPath {
    fn eq(&self, other: &Self) -> bool {
        // By components: `//` and `/./` change nothing. Links are not followed: that is I/O.
        self.0.components().eq(other.0.components())
    }
}

impl Eq for SocketPath {}

impl fmt::Display for SocketPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.display().fmt(f)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test may panic")]
    use super::*;

    /// spec/spiffe.md 5.2 and 5.3.
    #[test]
    fn refuses_the_reference_vectors() {
        use SocketPathError as E;
        for (text, error) in [
            ("", E::Empty),
            ("blah", E::NotAbsolute),
            ("agent.sock", E::NotAbsolute),
            ("unix:opaque", E::NotAbsolute),
            ("unix:/run/a.sock", E::NotAbsolute),
            ("unix://", E::NotAbsolute),
            ("unix://foo", E::Authority),
            ("unix://foo?q", E::Authority),
            ("unix://foo#f", E::Authority),
            ("unix://u:p@foo/p", E::Authority),
            ("unix:///run/a.sock?q", E::Decorated),
            ("unix:///run/a.sock#f", E::Decorated),
            ("tcp:opaque", E::Tcp),
            ("tcp://", E::Tcp),
            ("tcp://host", E::Tcp),
            ("tcp://1.2.3.4:5", E::Tcp),
            ("http://x/", E::NotAbsolute),
            ("/", E::NoFile),
            ("/run/", E::NoFile),
            ("/run/..", E::NoFile),
            ("/run/a\0b", E::Control),
        ] {
            assert_eq!(SocketPath::parse(text), Err(error), "{text}");
        }
        let long = format!("/{}", "a".repeat(MAX_SOCKET_PATH_BYTES));
        assert_eq!(SocketPath::parse(&long), Err(E::TooLong));
    }

    #[test]
    fn paths_are_compared_not_texts() {
        let path = SocketPath::parse("/run/spire/agent.sock").unwrap();
        for same in [
            "unix:///run/spire/agent.sock",
            "/run//spire/./agent.sock",
            "unix:////run/spire/agent.sock",
        ] {
            assert_eq!(SocketPath::parse(same).unwrap(), path, "{same}");
        }
        let other = SocketPath::parse("/run/spire/x/../agent.sock").unwrap();
        assert_ne!(other, path);
    }
}
