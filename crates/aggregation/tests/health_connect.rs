//! The sums that Android's own tests expect of its aggregation of several sources (AOSP,
//! packages/modules/HealthFitness, ValuePriorityAggregationTest). The rows are the same, written
//! for this crate.
//!
//! Their clock has ticks, here of six minutes, so that their windows from 10 to 20, 20 to 30 and 30
//! to 40 are hours. Their priority is a number; the highest is the best. Their time of modification
//! decides within a source, as the id of a row does here. A record without priority has a source
//! that the profile does not list.
//!
//! Three more of their tests cover an option that ignores sources without priority; this crate has
//! no such option.

#![expect(clippy::unwrap_used, reason = "clippy takes only functions marked #[test] for tests")]

mod support;

use std::collections::BTreeMap;

use aggregation::Timestamp;
use aggregation::timestamp::MINUTE_US;
use aggregation::vitals::RawVital;
use support::rows::{World, at, steps};

/// A source that the profile does not list.
const NO_PRIORITY: i64 = i64::MIN;

const TICK_US: i64 = 6 * MINUTE_US;

/// Start and end in ticks, value, priority, time of modification.
type Record = (i64, i64, f64, i64, i64);

/// The total of each window that has one, by the tick at which it begins.
fn windows(records: &[Record]) -> BTreeMap<i64, f64> {
    let midnight = at("2024-05-01T00:00:00Z");
    let tick = |tick: i64| midnight.plus(tick * TICK_US);
    let mut priorities: Vec<i64> = records.iter().map(|record| record.3).collect();
    priorities.sort_unstable();
    let order: Vec<String> = priorities
        .iter()
        .rev()
        .filter(|priority| **priority != NO_PRIORITY)
        .map(ToString::to_string)
        .collect();
    let order: Vec<&str> = order.iter().map(String::as_str).collect();
    let rows: Vec<RawVital> = records
        .iter()
        .map(|(start, end, value, priority, modified)| {
            let row = steps(
                *modified,
                &priority.to_string(),
                "2024-05-01T10:00:00Z",
                "2024-05-01T10:00:00Z",
                *value,
            );
            RawVital { started_at: tick(*start), ended_at: tick(*end), ..row }
        })
        .collect();
    let figures = World::new("UTC", &order).figures("steps", &rows);
    let window = |start: Timestamp| start.since(midnight) / TICK_US;
    figures.hours.iter().map(|(key, hour)| (window(key.start), hour.total.unwrap())).collect()
}

/// The total of the window from tick 10 to tick 20.
fn total(records: &[Record]) -> Option<f64> {
    windows(records).get(&10).copied()
}

#[test]
fn one_record_as_long_as_the_window() {
    assert_eq!(total(&[(10, 20, 10.0, 100, 1)]), Some(10.0));
}

#[test]
fn one_record_without_priority_counts() {
    assert_eq!(total(&[(10, 20, 10.0, NO_PRIORITY, 1)]), Some(10.0));
}

#[test]
fn an_instant_at_the_start_of_the_window_counts_and_one_at_its_end_does_not() {
    assert_eq!(total(&[(10, 10, 10.0, 1, 1)]), Some(10.0));
    assert_eq!(total(&[(20, 20, 10.0, 1, 1)]), None);
    assert_eq!(total(&[(20, 20, 10.0, 100, 10), (20, 20, 20.0, 200, 20)]), None);
}

#[test]
fn a_record_in_one_window_leaves_the_others_empty() {
    for window in [10, 20, 30] {
        for end in [window + 10, window] {
            let expected = BTreeMap::from([(window, 10.0)]);
            assert_eq!(windows(&[(window, end, 10.0, 100, 10)]), expected, "{window} {end}");
        }
    }
}

#[test]
fn of_two_instants_at_once_the_one_of_the_highest_priority_counts() {
    assert_eq!(total(&[(15, 15, 10.0, 100, 10), (15, 15, 20.0, 200, 20)]), Some(20.0));
    assert_eq!(total(&[(15, 15, 10.0, 200, 10), (15, 15, 20.0, 100, 20)]), Some(10.0));
    assert_eq!(total(&[(10, 10, 10.0, 100, 10), (10, 10, 20.0, 200, 20)]), Some(20.0));
}

#[test]
fn two_records_overlap_in_the_middle_window() {
    let records = [(15, 27, 12.0, 1, 10), (22, 35, 130.0, 2, 10)];
    assert_eq!(windows(&records), BTreeMap::from([(10, 5.0), (20, 82.0), (30, 50.0)]));
}

#[test]
fn two_records_overlap_between_windows() {
    let records = [(15, 27, 12.0, 1, 10), (19, 30, 110.0, 2, 10)];
    assert_eq!(windows(&records), BTreeMap::from([(10, 14.0), (20, 100.0)]));
    let records = [(15, 27, 12.0, 2, 10), (19, 30, 110.0, 1, 10)];
    assert_eq!(windows(&records), BTreeMap::from([(10, 5.0), (20, 37.0)]));
}

#[test]
fn two_records_that_meet_in_a_point_both_count() {
    assert_eq!(total(&[(10, 12, 10.0, 100, 10), (12, 14, 20.0, 200, 20)]), Some(30.0));
}

#[test]
fn an_instant_of_a_higher_priority_counts_beside_an_interval() {
    for at in [10, 12, 15] {
        assert_eq!(total(&[(at, at, 10.0, 2, 10), (10, 15, 20.0, 1, 20)]), Some(30.0), "{at}");
    }
}

#[test]
fn an_instant_of_a_lower_priority_does_not_count_beside_an_interval() {
    assert_eq!(total(&[(10, 10, 10.0, 1, 10), (10, 15, 20.0, 2, 20)]), Some(20.0));
}

#[test]
fn of_records_of_one_priority_the_newest_counts() {
    let without = NO_PRIORITY;
    assert_eq!(total(&[(10, 20, 10.0, without, 10), (10, 20, 20.0, without, 20)]), Some(20.0));
    assert_eq!(total(&[(10, 20, 20.0, 1, 10), (10, 20, 15.0, 1, 1)]), Some(20.0));
    assert_eq!(total(&[(10, 17, 7.0, 1, 10), (12, 20, 80.0, 1, 1)]), Some(37.0));
    assert_eq!(total(&[(10, 17, 7.0, 1, 1), (12, 20, 80.0, 1, 10)]), Some(82.0));
}

#[test]
fn the_only_record_with_a_priority_counts() {
    let records =
        [(10, 20, 15.0, 1, 1), (10, 20, 20.0, NO_PRIORITY, 10), (10, 20, 25.0, NO_PRIORITY, 20)];
    assert_eq!(total(&records), Some(15.0));
}

#[test]
fn an_instant_where_two_intervals_meet_counts_only_above_both() {
    let with =
        |priority| [(10, 12, 10.0, 1, 10), (12, 12, 10.0, priority, 10), (12, 14, 20.0, 3, 20)];
    assert_eq!(total(&with(2)), Some(30.0));
    assert_eq!(total(&with(4)), Some(40.0));
}
