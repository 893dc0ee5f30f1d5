//! Looks around: at the socket's path, and for signs that the machine has slept.

use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use config::Timings;
use ractor::ActorRef;
use tokio::sync::{oneshot, watch};

use super::WatcherMsg;
use super::plan::{Pace, Sighting, SocketFile};
use crate::clock::Clock;

/// How often. A socket that appears is tried within this time; a look costs some microseconds.
/// Polled, because a path that leads through links and mounts cannot be watched as one thing.
const LOOK_EVERY: Duration = Duration::from_millis(250);

/// Looks for ever. Each look waits until the owner has taken the one before.
pub(super) async fn around(socket: PathBuf, clock: Clock, owner: ActorRef<WatcherMsg>) {
    loop {
        let sighting = Sighting {
            socket: file_at(&socket).await,
            suspended_ms: clock.suspended_ms(),
        };
        let (done, taken) = oneshot::channel();
        let told = owner.send_message(WatcherMsg::Sighted { sighting, done });
        if told.is_err() || taken.await.is_err() {
            return;
        }
        tokio::time::sleep(LOOK_EVERY).await;
    }
}

/// Follows the configured times until nobody can change them any more.
pub(super) async fn at_timings(mut timings: watch::Receiver<Timings>, owner: ActorRef<WatcherMsg>) {
    while timings.changed().await.is_ok() {
        let pace = Pace::from(&*timings.borrow_and_update());
        let (done, taken) = oneshot::channel();
        let told = owner.send_message(WatcherMsg::Paced { pace, done });
        if told.is_err() || taken.await.is_err() {
            return;
        }
    }
}

/// Runs off the async workers: a path on a dead network mount blocks whoever looks.
async fn file_at(socket: &Path) -> SocketFile {
    match tokio::fs::metadata(socket).await {
        Ok(file) => SocketFile::Present {
            device: file.dev(),
            inode: file.ino(),
            changed: (file.ctime(), file.ctime_nsec()),
        },
        Err(_) => SocketFile::Absent,
    }
}
