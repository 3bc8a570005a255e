//! The purpose of each part of the queue: without it the checker finds a counterexample.

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

/// Two changes; no worker dies or is suspended.
fn smooth(variant: Variant) -> Queue {
    let budget = Budget { changes: 2, ..Budget::default() };
    Queue { budget, ..queue(variant) }
}

/// The properties for which there is a counterexample.
fn violated(queue: &Queue) -> BTreeSet<&'static str> {
    let checker = queue.clone().checker().spawn_bfs().join();
    let found = checker.discoveries().into_keys();
    found.filter(|name| queue.property(name).expectation == Expectation::Always).collect()
}

/// Asserts that the variant violates these properties, and that the queue as built keeps them with
/// the same failures.
#[track_caller]
fn breaks(queue: Queue, properties: &[&'static str]) {
    assert_eq!(violated(&queue), properties.iter().copied().collect());
    assert!(violated(&Queue { variant: Variant::AsBuilt, ..queue }).is_empty());
}

#[test]
fn heads_that_are_not_locked_are_claimed_twice() {
    breaks(smooth(Variant::HeadsNotLocked), &[LEASES_HOLD]);
}

#[test]
fn a_set_that_is_deleted_by_its_first_date_is_lost_if_a_later_one_is_never_done() {
    breaks(queue(Variant::DeletedByFirstDate), &[NOTHING_IS_LOST, FIGURES_ARE_RIGHT]);
}

#[test]
fn without_counting_dates_a_server_that_died_loses_a_first_date_whose_set_the_last_deletes() {
    let budget = Budget { changes: 2, server_crashes: 1, ..Budget::default() };
    let uncounted = Queue { budget, ..queue(Variant::DatesNotCounted) };
    breaks(uncounted, &[NOTHING_IS_LOST, FIGURES_ARE_RIGHT]);
}

#[test]
fn a_set_that_is_retried_in_part_loses_the_dates_that_were_not_done() {
    let failing = Queue { groups_fail: true, ..smooth(Variant::RetriedInPart) };
    breaks(failing, &[NOTHING_IS_LOST, FIGURES_ARE_RIGHT]);
}

#[test]
fn without_the_token_a_worker_that_was_suspended_touches_what_another_one_has_claimed() {
    breaks(queue(Variant::NoToken), &[ONLY_ONES_OWN]);
}

#[test]
fn rescue_by_time_alone_repeats_work_whose_lease_is_renewed() {
    let budget = Budget { changes: 1, delays: 2, ..Budget::default() };
    breaks(Queue { budget, lease: 2, ..queue(Variant::RescueByTimeAlone) }, &[LEASES_HOLD]);
}

#[test]
fn by_the_workers_own_clocks_sets_are_taken_from_a_worker_that_holds_them() {
    breaks(queue(Variant::WorkersClock), &[LEASES_HOLD]);
}

#[test]
fn with_the_read_before_the_lock_a_snapshot_is_stale_and_a_change_is_lost() {
    breaks(smooth(Variant::ReadBeforeLock), &[NOTHING_IS_LOST, FIGURES_ARE_RIGHT]);
}

#[test]
fn without_a_lock_of_the_user_two_workers_overwrite_each_other() {
    breaks(smooth(Variant::NoLock), &[NOTHING_IS_LOST, FIGURES_ARE_RIGHT]);
}

#[test]
fn with_a_high_water_mark_a_change_that_commits_late_is_lost() {
    breaks(smooth(Variant::HighWaterMark), &[NOTHING_IS_LOST, FIGURES_ARE_RIGHT]);
}

#[test]
fn finishing_by_raw_row_loses_the_change_that_came_while_it_was_processed() {
    breaks(smooth(Variant::FinishByRawRow), &[NOTHING_IS_LOST, FIGURES_ARE_RIGHT]);
}

#[test]
fn with_marks_and_figures_in_two_transactions_a_crash_in_between_loses_the_figures() {
    breaks(queue(Variant::TwoTransactions), &[NOTHING_IS_LOST, FIGURES_ARE_RIGHT]);
}

#[test]
fn an_attempt_that_is_counted_when_a_set_is_claimed_counts_interruptions() {
    breaks(queue(Variant::CountedWhenClaimed), &[ONLY_FAILURES_COUNT]);
}

#[test]
fn failures_without_a_last_attempt_go_on_for_ever() {
    let failing = Queue { groups_fail: true, ..smooth(Variant::UncountedFailures) };
    assert!(matches!(failing.ends(), Ends::Never(_)), "{:?}", failing.ends());
}

#[test]
fn without_counting_lost_leases_a_set_ends_one_worker_after_the_other_for_ever() {
    let crashing = Queue { groups_crash: true, ..smooth(Variant::UncountedLostLeases) };
    assert!(matches!(crashing.ends(), Ends::Never(_)), "{:?}", crashing.ends());
}

#[test]
fn without_rescue_the_sets_of_a_worker_that_died_stay_where_they_are() {
    let left = queue(Variant::NoRescue);
    assert!(matches!(left.ends(), Ends::Stuck(_)), "{:?}", left.ends());
}
