//! The properties of every state, and the states that must be reached.

use stateright::Property;

use crate::queue::Queue;
use crate::state::{MAX_ROWS, QueueState, State, Worker};

/// A raw row that changed is in the figures, or has a change set in the queue.
pub const NOTHING_IS_LOST: &str = "nothing is lost";
/// If the queue is empty, the figures are those of the raw rows.
pub const FIGURES_ARE_RIGHT: &str = "figures are right once nothing is left to do";
/// A worker finishes, fails, renews and releases only sets of its own claim.
pub const ONLY_ONES_OWN: &str = "only what was claimed is touched";
/// A worker claims no set of another worker's valid lease.
pub const LEASES_HOLD: &str = "a lease that has not expired is respected";
/// An interruption counts no attempt, and makes no set dead.
pub const ONLY_FAILURES_COUNT: &str = "only a failure counts as an attempt";

pub(crate) fn all(queue: &Queue) -> Vec<Property<Queue>> {
    let mut properties = vec![
        Property::always(NOTHING_IS_LOST, |queue: &Queue, state: &State| {
            (0..queue.rows.len())
                .all(|row| is_current(state, row) || is_queued(state, row, |_| true))
        }),
        Property::always(FIGURES_ARE_RIGHT, |queue, state| {
            !is_done(queue, state)
                || (0..queue.rows.len()).all(|row| {
                    is_current(state, row) || is_queued(state, row, |of| of == QueueState::Dead)
                })
        }),
        Property::always(ONLY_ONES_OWN, |_, state: &State| !state.wrongs.touched_anothers),
        Property::always(LEASES_HOLD, |_, state: &State| !state.wrongs.robbed),
        Property::always(ONLY_FAILURES_COUNT, |queue: &Queue, state: &State| {
            state.database.queue.iter().flatten().all(|set| {
                set.attempts <= set.failures
                    && (set.state != QueueState::Dead
                        || set.attempts >= queue.max_attempts
                        || set.lost_leases >= queue.max_lost_leases)
            })
        }),
        // Without these, the other properties would hold in a model without any step.
        Property::sometimes(
            "a raw row changes while it is processed",
            |queue: &Queue, state: &State| {
                (0..queue.rows.len()).any(|row| {
                    is_queued(state, row, |of| of == QueueState::Processing)
                        && is_queued(state, row, |of| of == QueueState::Pending)
                })
            },
        ),
        Property::sometimes(
            "a set is rescued from a worker that still runs",
            |_, state: &State| {
                state.workers.iter().filter_map(Worker::claim).any(|claim| {
                    claim.left.iter().any(|id| {
                        state.database.queue[id].is_some_and(|set| {
                            set.state == QueueState::Processing && set.lease_token != claim.token
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
                    && state.database.raw != [0; MAX_ROWS]
            },
        ),
    ];
    // Any set fills a batch of one raw row, so claims of a dense hour exceed it.
    properties.push(if queue.batch == 1 {
        Property::sometimes("a claim takes the rest of a dense hour along", |_, state: &State| {
            state.workers.iter().filter_map(Worker::claim).any(|claim| claim.left.count() > 1)
        })
    } else {
        Property::sometimes("a set waits for its last date", |_, state: &State| {
            state.workers.iter().filter_map(Worker::claim).any(|claim| !claim.done.is_empty())
        })
    });
    properties
}

/// Whether the figures contain the current version of the raw row.
fn is_current(state: &State, row: usize) -> bool {
    state.database.figures[row] == state.database.raw[row]
}

/// Whether the raw row has a change set in a state that `such` accepts.
fn is_queued(state: &State, row: usize, such: impl Fn(QueueState) -> bool) -> bool {
    let queue = state.database.queue.iter().zip(state.rows);
    queue
        .filter_map(|(set, rows)| Some((set.as_ref()?, rows)))
        .any(|(set, rows)| rows.has(row) && such(set.state))
}

/// Whether no work is left and all workers are idle.
pub(crate) fn is_done(queue: &Queue, state: &State) -> bool {
    let left = state.database.queue.iter().flatten().any(|set| set.state != QueueState::Dead);
    let idle = state.workers[..queue.workers].iter().all(|worker| *worker == Worker::Idle);
    !left && idle && state.orphan.is_none() && state.open.iter().all(Option::is_none)
}
