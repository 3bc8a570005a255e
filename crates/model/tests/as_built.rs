//! The queue as built: in every history of these sizes, no change is lost and every run ends.

use model::{Budget, Ends, Queue};
use stateright::{Checker, Model};

/// Two statements of the app, without failures.
const TWO: Budget = Budget {
    changes: 2,
    crashes: 0,
    interruptions: 0,
    orphans: 0,
    delays: 0,
    lock_timeouts: 0,
    server_crashes: 0,
};

/// Asserts that each property holds in each state, each run ends well, and both explorers saw the
/// same states.
#[track_caller]
fn holds(queue: Queue) {
    let checker = queue.clone().checker().spawn_bfs().join();
    checker.assert_properties();
    assert_eq!(queue.ends(), Ends::Well(checker.unique_state_count()));
}

#[test]
fn every_kind_of_trouble_together() {
    let budget =
        Budget { crashes: 1, interruptions: 1, orphans: 1, delays: 1, lock_timeouts: 1, ..TWO };
    holds(Queue { budget, ..Queue::default() });
}

#[test]
fn groups_that_fail_are_given_up_after_the_last_attempt_and_hold_up_no_other() {
    let budget = Budget { crashes: 1, delays: 1, ..TWO };
    holds(Queue { budget, groups_fail: true, ..Queue::default() });
}

#[test]
fn sets_that_end_each_worker_are_given_up_after_too_many_lost_leases() {
    let budget = Budget { delays: 1, ..TWO };
    holds(Queue { budget, groups_crash: true, ..Queue::default() });
}

#[test]
fn a_dense_hour_is_claimed_whole() {
    let budget = Budget { changes: 3, crashes: 1, delays: 1, ..TWO };
    holds(Queue { rows: vec![(0, 0)], batch: 1, budget, ..Queue::default() });
    let budget = Budget { interruptions: 1, orphans: 1, delays: 1, ..TWO };
    holds(Queue { rows: vec![(0, 0), (0, 0)], batch: 1, budget, ..Queue::default() });
}

#[test]
fn a_row_that_changes_three_times_while_workers_are_suspended() {
    let budget = Budget { changes: 3, delays: 1, ..TWO };
    holds(Queue { budget, ..Queue::default() });
}

#[test]
fn a_batch_of_two_users_has_a_transaction_for_each() {
    let budget = Budget { orphans: 1, interruptions: 1, delays: 1, ..TWO };
    holds(Queue { rows: vec![(0, 0), (1, 0), (1, 1)], budget, batch: 3, ..Queue::default() });
}

#[test]
fn three_workers() {
    let budget = Budget { changes: 3, delays: 1, interruptions: 1, ..TWO };
    holds(Queue { workers: 3, rows: vec![(0, 0)], batch: 1, budget, ..Queue::default() });
}

#[test]
fn a_lease_that_is_renewed_half_way() {
    let budget = Budget { delays: 3, crashes: 1, ..TWO };
    holds(Queue { lease: 2, budget, ..Queue::default() });
}

#[test]
fn a_server_that_dies_and_forgets_what_the_workers_had_just_committed() {
    let budget = Budget { server_crashes: 1, delays: 1, ..TWO };
    holds(Queue { budget, ..Queue::default() });
}
