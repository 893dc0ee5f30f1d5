//! The rows behind the live view: plain data, changed under the view's lock.

use std::collections::HashMap;
use std::sync::Arc;

use ractor::{ActorCell, ActorId};
use tokio::time::Instant;

use super::root::Ended;
use super::tree::{ChildState, ChildStatus, Role};

/// A place in the tree. Places are added, never removed; their number is fixed by the specs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct Place(pub(super) usize);

pub(super) struct Row {
    pub(super) status: ChildStatus,
    pub(super) parent: Option<Place>,
    pub(super) cell: Option<ActorCell>,
    /// Until when this place's child has to be stopped, once that was ordered.
    pub(super) stop_by: Option<Instant>,
    /// What befalls its child when it is next asked.
    #[cfg(any(test, feature = "chaos-hooks"))]
    pub(super) mishap: Option<super::Mishap>,
}

#[derive(Default)]
pub(super) struct Rows {
    pub(super) rows: Vec<Row>,
    pub(super) temporaries: HashMap<ActorId, (Place, ActorCell)>,
    /// Where somebody had to be killed because its time to stop was over.
    pub(super) overdue: Vec<Arc<str>>,
    /// How the root went down, if it did so in order.
    pub(super) ended: Option<Ended>,
}

impl Row {
    pub(super) fn new(path: Arc<str>, parent: Option<Place>, role: Role) -> Self {
        let status = ChildStatus {
            path,
            role,
            state: ChildState::Starting,
            restarts: 0,
            failures: 0,
            alive: 0,
            last_failure: None,
        };
        Self {
            status,
            parent,
            cell: None,
            stop_by: None,
            #[cfg(any(test, feature = "chaos-hooks"))]
            mishap: None,
        }
    }
}

#[cfg(any(test, feature = "chaos-hooks"))]
impl Row {
    fn is_named(&self, path_or_name: &str) -> bool {
        let path = &*self.status.path;
        path == path_or_name || path.rsplit('/').next() == Some(path_or_name)
    }
}

impl Rows {
    pub(super) fn children(&self, parent: Option<Place>) -> impl Iterator<Item = Place> {
        let rows = self.rows.iter().enumerate();
        rows.filter(move |(_, row)| row.parent == parent)
            .map(|(at, _)| Place(at))
    }

    pub(super) fn path_below(&self, parent: Option<Place>, name: &str) -> Arc<str> {
        match parent.and_then(|parent| self.rows.get(parent.0)) {
            Some(above) => format!("{}/{name}", above.status.path).into(),
            None => name.into(),
        }
    }

    fn is_below(&self, place: Place, above: Place) -> bool {
        let up = |place: &Place| self.rows.get(place.0).and_then(|row| row.parent);
        std::iter::successors(Some(place), up).any(|place| place == above)
    }

    /// Marks `place` and everything below it as down.
    pub(super) fn close(&mut self, place: Place) {
        let closed: Vec<Place> = (0..self.rows.len())
            .map(Place)
            .filter(|p| self.is_below(*p, place))
            .collect();
        self.temporaries.retain(|_, (at, _)| !closed.contains(at));
        for place in closed {
            if let Some(row) = self.rows.get_mut(place.0) {
                row.cell = None;
                row.status.alive = 0;
                // What was given up stays told as the reason its supervisor went down.
                if row.status.state != ChildState::GivenUp {
                    row.status.state = ChildState::Stopped;
                }
            }
        }
    }

    pub(super) fn adopt(&mut self, place: Place, cell: &ActorCell) {
        self.temporaries
            .insert(cell.get_id(), (place, cell.clone()));
        if let Some(row) = self.rows.get_mut(place.0) {
            row.status.alive = row.status.alive.saturating_add(1);
        }
    }

    pub(super) fn release(&mut self, id: ActorId) -> Option<Place> {
        let (place, _) = self.temporaries.remove(&id)?;
        if let Some(row) = self.rows.get_mut(place.0) {
            row.status.alive = row.status.alive.saturating_sub(1);
        }
        Some(place)
    }

    #[cfg(any(test, feature = "chaos-hooks"))]
    pub(super) fn alive_at(&self, path_or_name: &str) -> Vec<ActorCell> {
        let named = |place: &Place| {
            let row = self.rows.get(place.0);
            row.is_some_and(|row| row.is_named(path_or_name))
        };
        let places = (0..self.rows.len()).map(Place).filter(named);
        let single = places.filter_map(|place| self.rows.get(place.0)?.cell.clone());
        let many = self.temporaries.values().filter(|(place, _)| named(place));
        single.chain(many.map(|(_, cell)| cell.clone())).collect()
    }

    #[cfg(any(test, feature = "chaos-hooks"))]
    pub(super) fn doom(&mut self, path_or_name: &str, mishap: super::Mishap) -> usize {
        let named = self.rows.iter_mut().filter(|row| {
            row.is_named(path_or_name) && row.status.role != Role::Temporary && row.parent.is_some()
        });
        named.map(|row| row.mishap = Some(mishap)).count()
    }
}
