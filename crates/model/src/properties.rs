//! What must hold in every state, and what must happen in some.

use stateright::Property;

use crate::queue::Queue;
use crate::state::{QueueState, State, Worker};

/// A raw row that changed is in the figures, or has a row in the queue.
pub const NOTHING_IS_LOST: &str = "nothing is lost";
/// With an empty queue the figures are those of the raw rows.
pub const FIGURES_ARE_RIGHT: &str = "figures are right once nothing is left to do";
/// Only what a worker claimed is finished, failed, renewed or released by it, and only what it locked is
/// taken along.
pub const ONLY_ONES_OWN: &str = "only what was claimed is touched";
/// Nobody takes what another one holds.
pub const LEASES_HOLD: &str = "a lease that has not run out is respected";
/// What interrupts a group counts no attempt, and nothing is given up for it.
pub const ONLY_FAILURES_COUNT: &str = "only a failure counts as an attempt";

pub(crate) fn all() -> Vec<Property<Queue>> {
    vec![
        Property::always(NOTHING_IS_LOST, nothing_is_lost),
        Property::always(FIGURES_ARE_RIGHT, |queue, state| {
            !is_done(queue, state) || figures_are_right(queue, state)
        }),
        Property::always(ONLY_ONES_OWN, |_, state: &State| !state.wrongs.touched_anothers),
        Property::always(LEASES_HOLD, |_, state: &State| !state.wrongs.robbed),
        Property::always(ONLY_FAILURES_COUNT, only_failures_count),
        // Without these the others would hold for want of anything that happens.
        Property::sometimes("a raw row changes while it is processed", |_, state: &State| {
            let entries = || state.database.queue.iter().flatten();
            entries().any(|one| {
                one.state == QueueState::Processing
                    && entries().any(|other| {
                        other.raw_id == one.raw_id && other.state == QueueState::Pending
                    })
            })
        }),
        Property::sometimes(
            "a row is rescued from a worker that still runs",
            |_, state: &State| {
                state.workers.iter().filter_map(Worker::claim).any(|claim| {
                    claim.left.iter().any(|id| {
                        state.database.queue[id].is_some_and(|entry| {
                            entry.state == QueueState::Processing && entry.claim != claim.number
                        })
                    })
                })
            },
        ),
        Property::sometimes(
            "everything that was changed is in the figures",
            |queue, state: &State| {
                state.budget.changes == 0
                    && is_done(queue, state)
                    && state.database.raw != [0; crate::state::MOST_ROWS]
            },
        ),
    ]
}

fn nothing_is_lost(queue: &Queue, state: &State) -> bool {
    let database = &state.database;
    (0..queue.users.len()).all(|row| {
        database.figures[row] == database.raw[row]
            || database.queue.iter().flatten().any(|entry| usize::from(entry.raw_id) == row)
    })
}

/// Nothing is left to do, and nobody is at it.
pub(crate) fn is_done(queue: &Queue, state: &State) -> bool {
    let left = state.database.queue.iter().flatten().any(|e| e.state != QueueState::Dead);
    let idle = state.workers[..queue.workers].iter().all(|worker| *worker == Worker::Idle);
    !left && idle && state.orphan.is_none() && state.open.iter().all(Option::is_none)
}

/// Each raw row is in the figures as it is now, unless a change of it was given up.
fn figures_are_right(queue: &Queue, state: &State) -> bool {
    let database = &state.database;
    let given_up = |row: usize| {
        let dead = |e: &&crate::state::Entry| e.state == QueueState::Dead;
        database.queue.iter().flatten().filter(dead).any(|e| usize::from(e.raw_id) == row)
    };
    (0..queue.users.len()).all(|row| database.figures[row] == database.raw[row] || given_up(row))
}

fn only_failures_count(queue: &Queue, state: &State) -> bool {
    state.database.queue.iter().flatten().all(|entry| {
        entry.attempts <= entry.failures
            && (entry.state != QueueState::Dead || entry.attempts >= queue.max_attempts)
    })
}
