//! The orderly way down: last-started first, each awaited, all within one bound.

use std::time::Duration;

use ractor::ActorCell;
use tokio::time::Instant;

use super::rows::Place;
use super::slot::Phase;
use super::supervisor::State;
use super::tree::Tree;

/// How long a supervisor that is stopped without a deadline takes at most: the drain's latest end.
pub const STOP_WITHIN: Duration = Duration::from_secs(30);

/// How long a killed actor is awaited. A kill takes one turn of the scheduler, unless a handler
/// blocks its thread; that one is left behind.
pub(super) const KILL_WITHIN: Duration = Duration::from_millis(100);

/// The longest a shutdown may be given; keeps arithmetic on deadlines from overflowing.
const STOP_WITHIN_MAX: Duration = Duration::from_secs(3_600);

/// The moment until which something that begins now has to be stopped.
pub(super) fn deadline(within: Duration) -> Instant {
    Instant::now() + within.min(STOP_WITHIN_MAX)
}

/// Stops everything below a supervisor, temporary actors first: they were started last.
pub(super) async fn stop_children(me: &ActorCell, state: &mut State) {
    let tree = &state.tree;
    let now = Instant::now();
    let stop_by = tree
        .stop_by(state.place)
        .unwrap_or_else(|| deadline(STOP_WITHIN));
    // A tenth is kept so that this supervisor has ended before the one above kills it.
    let stop_by = now + stop_by.saturating_duration_since(now) / 10 * 9;
    let temporaries = temporaries(me, state);
    let slots = state.slots.len();
    stop_temporaries(tree, state.place, &temporaries, share(stop_by, slots)).await;
    while let Some(slot) = state.slots.pop() {
        if let Phase::Running(cell, _) = slot.phase {
            let stop_by = share(stop_by, state.slots.len());
            tree.set_stop_by(slot.place, stop_by);
            stop_one(tree, slot.place, &cell, stop_by).await;
        }
        tree.stopped(slot.place);
    }
}

/// Until when the next one may take. While others still wait behind it, a wedged one gets at most
/// three quarters of what is left, so that a stuck door never costs the audit its last flush.
fn share(stop_by: Instant, waiting: usize) -> Instant {
    if waiting == 0 {
        return stop_by;
    }
    let now = Instant::now();
    now + stop_by.saturating_duration_since(now) / 4 * 3
}

async fn stop_one(tree: &Tree, place: Place, cell: &ActorCell, stop_by: Instant) {
    cell.stop(None);
    if tokio::time::timeout_at(stop_by, cell.wait(None))
        .await
        .is_err()
    {
        tracing::warn!(path = %tree.path(place), "actor did not stop in time, killing it");
        tree.overdue(place);
        cell.kill();
        let _ = cell.wait(Some(KILL_WITHIN)).await;
    }
}

/// Whoever is linked to the supervisor and not in one of its slots.
fn temporaries(me: &ActorCell, state: &State) -> Vec<ActorCell> {
    let mut cells = me.get_children();
    cells.retain(|cell| {
        let mut phases = state.slots.iter().map(|slot| &slot.phase);
        !phases.any(|phase| matches!(phase, Phase::Running(child, _) if child == cell))
    });
    cells
}

async fn stop_temporaries(tree: &Tree, parent: Place, cells: &[ActorCell], stop_by: Instant) {
    cells.iter().for_each(|cell| cell.stop(None));
    let all = async {
        for cell in cells {
            let _ = cell.wait(None).await;
        }
    };
    if tokio::time::timeout_at(stop_by, all).await.is_err() {
        tracing::warn!(path = %tree.path(parent), "temporary actors did not stop in time, killing them");
        tree.overdue(parent);
        cells.iter().for_each(ActorCell::kill);
    }
}
