//! The agent's own Unix socket: bound under a temporary name, its mode set, then renamed into place.
//!
//! So there is no moment at which a client could connect to a socket that admits too many, or find
//! none where one was. A live listener, or a socket of somebody else, is not pushed aside.

use std::fs;
use std::io;
use std::os::unix::fs::{FileTypeExt as _, MetadataExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::time::Duration;

use tokio::net::UnixListener;
use tokio::sync::watch;
use tokio::time::{Instant, MissedTickBehavior, interval};
use tokio_util::task::AbortOnDropHandle;

use super::lost::Lost;
use crate::episode::Episode;
use crate::remedy;

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
    #[error("socket-group {0}: no such group; make it, or name the group that the proxy runs in")]
    NoSuchGroup(String),
    /// The socket cannot be given to the group.
    #[error("give {} to socket-group {group}: {error}; be a member of it, or run with CAP_CHOWN", path.display())]
    Group {
        /// The socket.
        path: PathBuf,
        /// The group.
        group: String,
        /// Why not.
        #[source]
        error: io::Error,
    },
    /// The system refused.
    #[error("{act} {}: {error}{}", path.display(), remedy::of_path(error, path))]
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

/// How often somebody looks whether the socket is still where proxies find it.
const LOOK_EVERY: Duration = Duration::from_secs(5);

/// Removes the socket when dropped, if it is still ours; until then says so if it is lost.
#[derive(Debug)]
pub struct SocketFile {
    place: Place,
    lost: watch::Receiver<Option<Lost>>,
    _watch: AbortOnDropHandle<()>,
}

impl SocketFile {
    /// Says whether the socket is lost, and how, as last looked.
    #[must_use]
    pub fn lost(&self) -> watch::Receiver<Option<Lost>> {
        self.lost.clone()
    }
}

/// Where the socket was put.
#[derive(Clone, Debug)]
struct Place {
    path: PathBuf,
    inode: Inode,
}

/// A device, and a file's number on it.
type Inode = (u64, u64);

fn inode(found: &fs::Metadata) -> Inode {
    (found.dev(), found.ino())
}

/// A group that may use the socket.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Group {
    name: String,
    gid: u32,
}

/// Binds the socket with this mode and, if given, group.
///
/// # Errors
/// The path is taken, or the system refuses.
pub fn bind(
    path: &Path,
    mode: u32,
    group: Option<&Group>,
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
    let given = group.map_or(Ok(()), |group| group.give(&temporary, path));
    let permissions = fs::Permissions::from_mode(mode);
    let prepared = given.and_then(|()| {
        fs::set_permissions(&temporary, permissions).map_err(io("set the mode of", path))
    });
    let placed =
        prepared.and_then(|()| fs::rename(&temporary, path).map_err(io("rename into place", path)));
    if let Err(error) = placed {
        let _ = fs::remove_file(&temporary);
        return Err(error);
    }
    let metadata = path.symlink_metadata().map_err(io("inspect", path))?;
    let place = Place {
        path: path.to_owned(),
        inode: inode(&metadata),
    };
    let (told, lost) = watch::channel(None);
    let watch = tokio::spawn(look_after(place.clone(), told));
    let file = SocketFile {
        place,
        lost,
        _watch: AbortOnDropHandle::new(watch),
    };
    Ok((listener, file))
}

/// A proxy that is connected notices nothing when the socket is removed or replaced, and the next one
/// finds nobody, or another: only we can say why.
async fn look_after(place: Place, told: watch::Sender<Option<Lost>>) {
    let mut complaints = Complaints::new();
    let mut seen = None;
    let mut looks = interval(LOOK_EVERY);
    looks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        looks.tick().await;
        let found = tokio::fs::symlink_metadata(&place.path).await.ok();
        let found = found.as_ref().map(inode);
        let before = told.borrow().clone();
        let lost = match before.clone().filter(|lost| seen == found && lost.lasts()) {
            _ if found == Some(place.inode) => None,
            Some(lost) => Some(lost),
            None => Some(Lost::at(&place.path).await),
        };
        seen = found;
        complaints.hear(lost.as_ref(), &place.path);
        told.send_replace(lost);
    }
}

/// What is logged, once each.
struct Complaints {
    gone: Episode,
    taken: Episode,
}

impl Complaints {
    const fn new() -> Self {
        Self {
            gone: Episode::new(),
            taken: Episode::new(),
        }
    }

    fn hear(&mut self, lost: Option<&Lost>, path: &Path) {
        let (is, is_not) = match lost {
            None => {
                self.gone.ends();
                return self.taken.ends();
            }
            Some(Lost::Gone | Lost::Replaced) => (&mut self.gone, &mut self.taken),
            Some(Lost::Taken(_)) => (&mut self.taken, &mut self.gone),
        };
        is_not.ends();
        if let Some(lost) = lost.filter(|_| is.begins(Instant::now())) {
            complain(lost, path);
        }
    }
}

fn complain(lost: &Lost, path: &Path) {
    let (socket, remedy) = (path.display(), lost.remedy());
    match lost {
        Lost::Gone | Lost::Replaced => tracing::error!(
            %socket,
            remedy,
            "the agent's socket is gone from its path, removed or replaced: no proxy can connect anew, \
             those connected are served"
        ),
        Lost::Taken(listener) => tracing::error!(
            %socket,
            %listener,
            remedy,
            "another process listens where the agent's socket was: who connects now reaches that one, \
             those connected before are served here"
        ),
    }
}

impl Place {
    fn is(&self, found: &fs::Metadata) -> bool {
        inode(found) == self.inode
    }
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

impl Group {
    /// A group by its number, or by its name in the system's list.
    ///
    /// # Errors
    /// There is no such group.
    pub fn find(name: &str) -> Result<Self, SocketError> {
        let gid = name.parse().ok().or_else(|| listed(name));
        let gid = gid.ok_or_else(|| SocketError::NoSuchGroup(name.to_owned()))?;
        let name = name.to_owned();
        Ok(Self { name, gid })
    }

    /// `shown` is what the socket at `path` will be called.
    fn give(&self, path: &Path, shown: &Path) -> Result<(), SocketError> {
        let given = std::os::unix::fs::chown(path, None, Some(self.gid));
        given.map_err(|error| SocketError::Group {
            path: shown.to_owned(),
            group: self.name.clone(),
            error,
        })
    }
}

fn listed(name: &str) -> Option<u32> {
    let list = fs::read_to_string("/etc/group").ok()?;
    list.lines().find_map(|line| {
        let mut fields = line.split(':');
        let gid = (fields.next() == Some(name)).then(|| fields.nth(1))?;
        gid?.parse().ok()
    })
}

impl Drop for SocketFile {
    fn drop(&mut self) {
        let path = &self.place.path;
        let found = path.symlink_metadata();
        if found.is_ok_and(|found| self.place.is(&found)) {
            let _ = fs::remove_file(path);
        }
    }
}
