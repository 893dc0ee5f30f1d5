//! The agent's own Unix socket: bound under a temporary name, its mode set, then renamed into place.
//!
//! So there is no moment at which a client could connect to a socket that admits too many, or find
//! none where one was. A live listener, or a socket of somebody else, is not pushed aside.

use std::fs;
use std::io;
use std::os::unix::fs::{FileTypeExt as _, MetadataExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

use tokio::net::UnixListener;

/// Connections the kernel queues while none is accepted.
const BACKLOG: i32 = 1_024;

/// Why the socket cannot be served.
#[derive(Debug, thiserror::Error)]
pub enum SocketError {
    /// Somebody answers there.
    #[error("{}: another process listens on this socket; stop it, or choose another --socket", .0.display())]
    InUse(PathBuf),
    /// It belongs to another user.
    #[error("{}: the socket belongs to uid {owner}, not to us; remove it, or choose another --socket", path.display())]
    Foreign {
        /// The path.
        path: PathBuf,
        /// Who owns it.
        owner: u32,
    },
    /// Something else is there.
    #[error("{}: not a socket; remove it, or choose another --socket", .0.display())]
    NotASocket(PathBuf),
    /// The group is unknown.
    #[error("socket-group {0}: no such group")]
    NoSuchGroup(String),
    /// The system refused.
    #[error("{act} {}: {error}", path.display())]
    Io {
        /// What was attempted.
        act: &'static str,
        /// On what.
        path: PathBuf,
        /// Why not.
        #[source]
        error: io::Error,
    },
}

/// Removes the socket when dropped, if it is still ours.
#[derive(Debug)]
pub struct SocketFile {
    path: PathBuf,
    inode: (u64, u64),
}

/// Binds the socket with this mode and, if given, group.
///
/// # Errors
/// The path is taken, or the system refuses.
pub fn bind(
    path: &Path,
    mode: u32,
    gid: Option<u32>,
) -> Result<(UnixListener, SocketFile), SocketError> {
    clear(path)?;
    let temporary = path.with_extension(format!("{}.new", std::process::id()));
    let io = |act, path: &Path| {
        let path = path.to_owned();
        move |error| SocketError::Io { act, path, error }
    };
    // A leftover of a process that had our number and died between two lines below.
    if temporary
        .symlink_metadata()
        .is_ok_and(|found| found.file_type().is_socket())
    {
        fs::remove_file(&temporary).map_err(io("remove", &temporary))?;
    }
    let listener = listen(&temporary).map_err(io("bind", path))?;
    let prepared = prepare(&temporary, mode, gid).map_err(io("set owner and mode of", path));
    let placed =
        prepared.and_then(|()| fs::rename(&temporary, path).map_err(io("rename into place", path)));
    if let Err(error) = placed {
        let _ = fs::remove_file(&temporary);
        return Err(error);
    }
    let metadata = path.symlink_metadata().map_err(io("inspect", path))?;
    let file = SocketFile {
        path: path.to_owned(),
        inode: (metadata.dev(), metadata.ino()),
    };
    Ok((listener, file))
}

fn listen(path: &Path) -> io::Result<UnixListener> {
    use rustix::net::{
        AddressFamily, SocketAddrUnix, SocketFlags, SocketType, bind, listen, socket_with,
    };
    let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
    let socket = socket_with(AddressFamily::UNIX, SocketType::STREAM, flags, None)?;
    bind(&socket, &SocketAddrUnix::new(path)?)?;
    // Nobody may connect until the mode is set: bound, but not listening, refuses.
    fs::set_permissions(path, fs::Permissions::from_mode(0o600))?;
    listen(&socket, BACKLOG)?;
    UnixListener::from_std(std::os::unix::net::UnixListener::from(socket))
}

fn prepare(path: &Path, mode: u32, gid: Option<u32>) -> io::Result<()> {
    if gid.is_some() {
        std::os::unix::fs::chown(path, None, gid)?;
    }
    fs::set_permissions(path, fs::Permissions::from_mode(mode))
}

/// Makes sure that what lies at the path may be replaced.
fn clear(path: &Path) -> Result<(), SocketError> {
    let metadata = match path.symlink_metadata() {
        Ok(metadata) => metadata,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(error) => {
            return Err(SocketError::Io {
                act: "inspect",
                path: path.to_owned(),
                error,
            });
        }
    };
    if !metadata.file_type().is_socket() {
        return Err(SocketError::NotASocket(path.to_owned()));
    }
    let owner = metadata.uid();
    if owner != rustix::process::geteuid().as_raw() {
        return Err(SocketError::Foreign {
            path: path.to_owned(),
            owner,
        });
    }
    match std::os::unix::net::UnixStream::connect(path) {
        Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => Ok(()),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        // It answers, or its queue is full, or it may not be asked: in each case it lives.
        Ok(_) | Err(_) => Err(SocketError::InUse(path.to_owned())),
    }
}

/// The number of a group: itself, or looked up by name in the system's list.
///
/// # Errors
/// There is no such group.
pub fn group_id(group: &str) -> Result<u32, SocketError> {
    if let Ok(gid) = group.parse() {
        return Ok(gid);
    }
    let unknown = || SocketError::NoSuchGroup(group.to_owned());
    let list = fs::read_to_string("/etc/group").map_err(|_| unknown())?;
    let entry = list.lines().find_map(|line| {
        let mut fields = line.split(':');
        (fields.next() == Some(group)).then(|| fields.nth(1))?
    });
    entry.and_then(|gid| gid.parse().ok()).ok_or_else(unknown)
}

impl Drop for SocketFile {
    fn drop(&mut self) {
        let ours = self
            .path
            .symlink_metadata()
            .is_ok_and(|found| (found.dev(), found.ino()) == self.inode);
        if ours {
            let _ = fs::remove_file(&self.path);
        }
    }
}
