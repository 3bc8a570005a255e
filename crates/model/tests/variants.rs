//! What each part of the queue is for: without it the checker finds what goes wrong.

use std::collections::BTreeSet;

use model::properties::{
    FIGURES_ARE_RIGHT, LEASES_HOLD, NOTHING_IS_LOST, ONLY_FAILURES_COUNT, ONLY_ONES_OWN,
};
use model::{Budget, Ends, Queue, Variant};
use stateright::{Checker, Expectation, Model};

/// Two changes, a worker that dies, and one that is suspended for longer than its lease.
fn queue(variant: Variant) -> Queue {
    let budget = Budget { changes: 2, crashes: 1, delays: 1, ..Budget::default() };
    Queue { variant, budget, ..Queue::default() }
}

/// The properties for which there is a counterexample.
fn violated(queue: &Queue) -> BTreeSet<&'static str> {
    let checker = queue.clone().checker().spawn_bfs().join();
    let found = checker.discoveries().into_keys();
    found.filter(|name| queue.property(name).expectation == Expectation::Always).collect()
}

/// The variant breaks these properties, and the queue as it is built keeps them all with the same
/// troubles.
#[track_caller]
fn breaks(queue: Queue, properties: &[&'static str]) {
    assert_eq!(violated(&queue), properties.iter().copied().collect());
    assert!(violated(&Queue { variant: Variant::AsBuilt, ..queue }).is_empty());
}

#[test]
fn without_the_token_a_worker_that_was_suspended_touches_what_another_one_has_claimed() {
    breaks(queue(Variant::NoToken), &[ONLY_ONES_OWN]);
}

#[test]
fn by_the_workers_own_clocks_rows_are_taken_from_a_worker_that_holds_them() {
    breaks(queue(Variant::WorkersClock), &[LEASES_HOLD]);
}

#[test]
fn with_the_lock_after_the_read_a_snapshot_is_stale_and_a_change_is_lost() {
    breaks(queue(Variant::LockAfterRead), &[NOTHING_IS_LOST, FIGURES_ARE_RIGHT]);
}

#[test]
fn without_a_lock_of_the_user_two_workers_overwrite_each_other() {
    breaks(queue(Variant::NoLock), &[NOTHING_IS_LOST, FIGURES_ARE_RIGHT]);
}

#[test]
fn with_a_high_water_mark_a_change_that_commits_late_is_lost() {
    let late = queue(Variant::HighWaterMark);
    // Nobody dies, and nobody is suspended.
    let budget = Budget { changes: 2, ..Budget::default() };
    breaks(Queue { budget, ..late }, &[NOTHING_IS_LOST, FIGURES_ARE_RIGHT]);
}

#[test]
fn finishing_by_raw_row_loses_the_change_that_came_while_it_was_processed() {
    let budget = Budget { changes: 2, ..Budget::default() };
    let by_raw_row = Queue { budget, ..queue(Variant::FinishByRawRow) };
    breaks(by_raw_row, &[NOTHING_IS_LOST, FIGURES_ARE_RIGHT]);
}

#[test]
fn with_marks_and_figures_in_two_transactions_a_crash_in_between_loses_the_figures() {
    breaks(queue(Variant::TwoTransactions), &[NOTHING_IS_LOST, FIGURES_ARE_RIGHT]);
}

#[test]
fn an_attempt_that_is_counted_when_a_row_is_claimed_counts_interruptions() {
    breaks(queue(Variant::CountedWhenClaimed), &[ONLY_FAILURES_COUNT]);
}

#[test]
fn tokens_of_a_sequence_alone_are_given_out_twice_by_a_server_that_died() {
    let budget = Budget { changes: 2, server_crashes: 1, ..Budget::default() };
    let sequence = Queue { budget, ..queue(Variant::TokensFromSequence) };
    // The figures are right all the same: whoever finishes them has read under the lock.
    breaks(sequence, &[ONLY_ONES_OWN]);
}

#[test]
fn failures_without_a_last_attempt_go_on_for_ever() {
    let failing = Queue { groups_fail: true, ..queue(Variant::UncountedFailures) };
    assert!(matches!(failing.ends(), Ends::Never(_)), "{:?}", failing.ends());
}

#[test]
fn without_rescue_the_rows_of_a_worker_that_died_stay_where_they_are() {
    let left = queue(Variant::NoRescue);
    assert!(matches!(left.ends(), Ends::Stuck(_)), "{:?}", left.ends());
}

#[test]
fn what_is_taken_along_after_the_raw_rows_were_read_is_lost() {
    let budget = Budget { changes: 2, ..Budget::default() };
    let after = Queue { budget, ..queue(Variant::AlongAfterRead) };
    breaks(after, &[NOTHING_IS_LOST, FIGURES_ARE_RIGHT]);
}

#[test]
fn what_is_taken_along_without_a_lock_may_be_anothers_by_then() {
    let budget = Budget { changes: 2, ..Budget::default() };
    let unlocked = Queue { budget, ..queue(Variant::AlongUnlocked) };
    breaks(unlocked, &[ONLY_ONES_OWN]);
}
