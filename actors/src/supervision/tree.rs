//! The live view of the tree: written by the supervisors, read by anyone without asking an actor.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use ractor::{ActorCell, ActorId, ActorStatus};
use tokio::sync::watch;
use tokio::time::Instant;

use super::cause::{Cause, Escalation};
use super::root::Ended;
use super::rows::{Place, Row, Rows};

/// What a place in the tree is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// A supervisor: it restarts each failed child alone.
    Supervisor,
    /// An actor that is started again whenever it ends.
    Permanent,
    /// Any number of actors that are never started again, such as one per connection.
    Temporary,
}

/// How the child at a place fares.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ChildState {
    /// Its first start has not ended yet.
    Starting,
    /// It runs. For temporary actors: they may be started.
    Running,
    /// It failed, and is started again after its backoff.
    Restarting,
    /// Its restart budget is used up; its supervisor fails for it.
    GivenUp,
    /// It was stopped, or went down with its supervisor.
    Stopped,
}

/// A failure, and when it was noticed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failure {
    /// Milliseconds since the tree was started.
    pub at_ms: u64,
    /// What happened.
    pub cause: Cause,
}

/// One place in the tree, at the moment of the snapshot.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ChildStatus {
    /// The names from the root down, joined by `/`.
    pub path: Arc<str>,
    /// What the place is for.
    pub role: Role,
    /// How its child fares.
    pub state: ChildState,
    /// Restarts since the tree was started, over all lives of its supervisor.
    pub restarts: u64,
    /// Failures since the tree was started.
    pub failures: u64,
    /// Actors alive at this place: 0 or 1, or any number of temporary ones.
    pub alive: usize,
    /// The latest failure.
    pub last_failure: Option<Failure>,
}

/// The live view of one tree. The lock is held for a moment only, never across an await.
pub struct Tree {
    inner: Mutex<Rows>,
    changes: watch::Sender<u64>,
    started: Instant,
    watcher: Option<Arc<dyn RestartWatcher>>,
}

/// Whoever wants to be told of restarts. It is called by a supervisor, which must not wait.
pub trait RestartWatcher: Send + Sync {
    /// The child at this place runs again, so long after it failed.
    fn restarted(&self, status: &ChildStatus, after: Duration);

    /// What the log calls the place of this path, in plain words.
    fn plain<'a>(&self, path: &'a str) -> &'a str {
        path
    }
}

impl Tree {
    pub(super) fn new(watcher: Option<Arc<dyn RestartWatcher>>) -> Arc<Self> {
        Arc::new(Self {
            inner: Mutex::default(),
            changes: watch::Sender::new(0),
            started: Instant::now(),
            watcher,
        })
    }

    /// Every place, each before those below it.
    #[must_use]
    pub fn snapshot(&self) -> Vec<ChildStatus> {
        let inner = self.lock();
        let mut order = Vec::with_capacity(inner.rows.len());
        let mut below: Vec<Place> = inner.children(None).collect();
        below.reverse();
        while let Some(place) = below.pop() {
            if let Some(row) = inner.rows.get(place.0) {
                order.push(row.status.clone());
            }
            let at = below.len();
            below.extend(inner.children(Some(place)));
            if let Some(added) = below.get_mut(at..) {
                added.reverse();
            }
        }
        order
    }

    /// The place with this path, if there is one.
    #[must_use]
    pub fn status(&self, path: &str) -> Option<ChildStatus> {
        let inner = self.lock();
        let row = inner.rows.iter().find(|row| *row.status.path == *path);
        row.map(|row| row.status.clone())
    }

    /// Says when anything changed; the number counts the changes.
    #[must_use]
    pub fn changes(&self) -> watch::Receiver<u64> {
        self.changes.subscribe()
    }

    /// Waits until the snapshot satisfies `wanted`, and returns it.
    pub async fn wait_until(
        &self,
        mut wanted: impl FnMut(&[ChildStatus]) -> bool,
    ) -> Vec<ChildStatus> {
        let mut changes = self.changes();
        loop {
            changes.borrow_and_update();
            let snapshot = self.snapshot();
            if wanted(&snapshot) {
                return snapshot;
            }
            if changes.changed().await.is_err() {
                // The sender lives in `self`, so it cannot be gone.
                return snapshot;
            }
        }
    }

    /// Kills whoever is alive at the places of this path or last name; returns how many. For chaos
    /// tests only: absent from default builds.
    #[cfg(any(test, feature = "chaos-hooks"))]
    pub fn kill(&self, path_or_name: &str) -> usize {
        let cells = self.lock().alive_at(path_or_name);
        cells.iter().for_each(ActorCell::kill);
        cells.len()
    }

    /// Lets a mishap befall the permanent children at the places of this path or last name, when they
    /// are next asked whether they work: within [`LOOK_EVERY_MS`](super::LOOK_EVERY_MS). Returns how
    /// many. For chaos tests only: absent from default builds.
    #[cfg(any(test, feature = "chaos-hooks"))]
    pub fn befall(&self, path_or_name: &str, mishap: super::Mishap) -> usize {
        self.lock().doom(path_or_name, mishap)
    }

    /// The question as it is put to the child at `place`.
    #[cfg(any(test, feature = "chaos-hooks"))]
    pub(super) fn afflict(&self, place: Place, ping: super::Ping) -> super::Ping {
        let mut inner = self.lock();
        let row = inner.rows.get_mut(place.0);
        ping.with(row.and_then(|row| row.mishap.take()))
    }

    /// The question as it is put to the child at `place`.
    #[cfg(not(any(test, feature = "chaos-hooks")))]
    #[expect(clippy::unused_self, reason = "the other build looks a mishap up")]
    pub(super) fn afflict(&self, _place: Place, ping: super::Ping) -> super::Ping {
        ping
    }

    /// Milliseconds since the tree was started, on the runtime's clock.
    pub(super) fn now_ms(&self) -> u64 {
        u64::try_from(self.started.elapsed().as_millis()).unwrap_or(u64::MAX)
    }

    /// The place of this name below `parent`: the one it had before, or a new one.
    pub(super) fn place(&self, parent: Option<Place>, name: &str, role: Role) -> Place {
        self.change(|inner| {
            let path = inner.path_below(parent, name);
            let known = inner
                .rows
                .iter()
                .position(|row| row.status.path == path)
                .map(Place);
            let place = known.unwrap_or(Place(inner.rows.len()));
            if known.is_none() {
                inner.rows.push(Row::new(path, parent, role));
            }
            if let Some(row) = inner.rows.get_mut(place.0) {
                row.stop_by = None;
                row.status.state = match role {
                    Role::Temporary => ChildState::Running,
                    Role::Supervisor | Role::Permanent => ChildState::Starting,
                };
            }
            place
        })
    }

    pub(super) fn path(&self, place: Place) -> Arc<str> {
        let inner = self.lock();
        let row = inner.rows.get(place.0);
        row.map_or_else(|| Arc::from(""), |row| Arc::clone(&row.status.path))
    }

    /// What the log calls the place of this path.
    pub(super) fn plain<'a>(&self, path: &'a str) -> &'a str {
        let watcher = self.watcher.as_ref();
        watcher.map_or(path, |watcher| watcher.plain(path))
    }

    /// How often the child at this place has failed since the tree was started.
    pub(super) fn failures(&self, place: Place) -> u64 {
        let inner = self.lock();
        inner.rows.get(place.0).map_or(0, |row| row.status.failures)
    }

    pub(super) fn child(&self, parent: Place, name: &str) -> Option<Place> {
        let inner = self.lock();
        let path = inner.path_below(Some(parent), name);
        let found = inner.rows.iter().position(|row| row.status.path == path);
        found.map(Place)
    }

    pub(super) fn running(&self, place: Place, cell: ActorCell) {
        let again = self.change(|inner| {
            let status = &mut inner.rows.get_mut(place.0)?.status;
            let again = status.state == ChildState::Restarting;
            status.state = ChildState::Running;
            status.alive = 1;
            let status = again.then(|| status.clone());
            inner.rows.get_mut(place.0)?.cell = Some(cell);
            status
        });
        let (Some(status), Some(watcher)) = (again, &self.watcher) else {
            return;
        };
        let failed_at = status.last_failure.as_ref().map(|failure| failure.at_ms);
        let down_ms = self.now_ms().saturating_sub(failed_at.unwrap_or_default());
        watcher.restarted(&status, Duration::from_millis(down_ms));
    }

    /// The child at `place` failed and everything below it went down; `state` says what follows.
    pub(super) fn failed(&self, place: Place, cause: Cause, state: ChildState) {
        let at_ms = self.now_ms();
        self.change(|inner| {
            inner.close(place);
            if let Some(row) = inner.rows.get_mut(place.0) {
                row.status.state = state;
                row.status.failures = row.status.failures.saturating_add(1);
                row.status.last_failure = Some(Failure { at_ms, cause });
            }
        });
    }

    pub(super) fn restarted(&self, place: Place) {
        self.change_row(place, |row| {
            row.status.restarts = row.status.restarts.saturating_add(1);
        });
    }

    /// The child at `place` is down for good, and everything below it.
    pub(super) fn stopped(&self, place: Place) {
        self.change(|inner| inner.close(place));
    }

    pub(super) fn stop_by(&self, place: Place) -> Option<Instant> {
        self.lock().rows.get(place.0).and_then(|row| row.stop_by)
    }

    pub(super) fn set_stop_by(&self, place: Place, deadline: Instant) {
        if let Some(row) = self.lock().rows.get_mut(place.0) {
            row.stop_by = Some(deadline);
        }
    }

    pub(super) fn overdue(&self, place: Place) {
        let path = self.path(place);
        self.change(|inner| {
            // Each place once: the list is bounded by the number of places.
            if !inner.overdue.contains(&path) {
                inner.overdue.push(path);
            }
        });
    }

    pub(super) fn all_overdue(&self) -> Vec<Arc<str>> {
        self.lock().overdue.clone()
    }

    /// A supervisor went down in order; how, is kept for the root, above which nobody is told.
    pub(super) fn went_down(&self, place: Place, escalation: Option<Escalation>) {
        self.change(|inner| {
            let row = inner.rows.get(place.0);
            if row.is_some_and(|row| row.parent.is_none()) {
                inner.ended = Some(escalation.map_or(Ended::Stopped, Ended::GaveUp));
            }
        });
    }

    pub(super) fn ended(&self) -> Ended {
        self.lock().ended.clone().unwrap_or(Ended::Died)
    }

    /// Takes a temporary actor into the view, unless it or its supervisor already ended: their end
    /// may have been told before.
    pub(super) fn adopt(&self, place: Place, cell: &ActorCell, supervisor: &ActorCell) {
        self.change(|inner| inner.adopt(place, cell));
        let ended = |cell: &ActorCell| cell.get_status() >= ActorStatus::Stopping;
        if ended(cell) || ended(supervisor) {
            self.change(|inner| inner.release(cell.get_id()));
        }
    }

    /// Takes note of a temporary actor's end. Returns its place and how many failed there so far.
    pub(super) fn temporary_ended(
        &self,
        id: ActorId,
        failure: Option<Cause>,
    ) -> Option<(Place, u64)> {
        let at_ms = self.now_ms();
        self.change(|inner| {
            let place = inner.release(id)?;
            let row = inner.rows.get_mut(place.0)?;
            if let Some(cause) = failure {
                row.status.failures = row.status.failures.saturating_add(1);
                row.status.last_failure = Some(Failure { at_ms, cause });
            }
            Some((place, row.status.failures))
        })
    }

    fn change<T>(&self, change: impl FnOnce(&mut Rows) -> T) -> T {
        let out = change(&mut self.lock());
        self.changes.send_modify(|n| *n = n.wrapping_add(1));
        out
    }

    fn change_row(&self, place: Place, change: impl FnOnce(&mut Row)) {
        self.change(|inner| inner.rows.get_mut(place.0).map(change));
    }

    fn lock(&self) -> MutexGuard<'_, Rows> {
        // Every change leaves the rows readable, so a panic elsewhere does not take the view away.
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl std::fmt::Debug for Tree {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.render())
    }
}
