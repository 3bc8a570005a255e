//! The guarantee of the product: for every order, batching and correction, the stored figures equal
//! those computed from scratch, bit for bit.

#![expect(clippy::unwrap_used, reason = "clippy takes only functions marked #[test] for tests")]

#[path = "support/steps.rs"]
mod steps;
#[path = "support/store.rs"]
mod store;
mod support;

use aggregation::timestamp::HOUR_US;
use proptest::prelude::*;
use steps::{any_night, any_step, any_world, take};
use store::Store;
use support::rows::{World, beats, daily_total, in_zone, steps};

/// The maximum number of rounds of reading until a batch converges.
const MOST_ROUNDS: usize = 4;

fn config(cases: u32) -> ProptestConfig {
    // PROPTEST_CASES raises the number of cases for a long run.
    let default = ProptestConfig { failure_persistence: None, ..ProptestConfig::default() };
    let cases = if std::env::var_os("PROPTEST_CASES").is_some() { default.cases } else { cases };
    ProptestConfig { cases, ..default }
}

proptest! {
    #![proptest_config(config(256))]

    #[test]
    fn stored_figures_are_those_computed_from_scratch(
        world in any_world(),
        night in any_night(),
        steps in prop::collection::vec(any_step(), 1..40),
        batch in 1usize..6,
    ) {
        let mut store = Store::new(world);
        for step in steps {
            take(&mut store, night, step);
        }
        store.process_all(batch);
        store.check();
        prop_assert!(store.most_rounds <= MOST_ROUNDS, "{} rounds", store.most_rounds);
    }
}

proptest! {
    #![proptest_config(config(96))]

    #[test]
    fn another_order_of_sources_or_other_limits_hold_for_every_day_touched_since(
        world in any_world(),
        other in any_world(),
        stricter in any::<bool>(),
        night in any_night(),
        before in prop::collection::vec(any_step(), 1..20),
        after in prop::collection::vec(any_step(), 0..20),
        batch in 1usize..6,
    ) {
        let base_zone = world.base_zone;
        let mut store = Store::new(world);
        for step in before {
            take(&mut store, night, step);
        }
        let other = if stricter { other.with_stricter_limits() } else { other };
        store.world = World { base_zone, ..other };
        for step in after {
            take(&mut store, night, step);
        }
        store.touch_each_day();
        store.process_all(batch);
        store.check();
        prop_assert!(store.most_rounds <= MOST_ROUNDS, "{} rounds", store.most_rounds);
    }

    #[test]
    fn a_backfill_after_a_change_of_the_profile_leaves_nothing_of_the_old_one(
        world in any_world(),
        other in any_world(),
        night in any_night(),
        before in prop::collection::vec(any_step(), 1..20),
        after in prop::collection::vec(any_step(), 0..20),
    ) {
        let mut store = Store::new(world);
        for step in before {
            take(&mut store, night, step);
        }
        store.process_all(7);
        store.world = other;
        for step in after {
            take(&mut store, night, step);
        }
        store.backfill();
        store.check();
        prop_assert!(store.most_rounds <= MOST_ROUNDS, "{} rounds", store.most_rounds);
    }

    #[test]
    fn the_order_in_which_rows_are_read_changes_no_bit(
        world in any_world(),
        night in any_night(),
        steps in prop::collection::vec(any_step(), 1..30),
        keys in prop::collection::vec(any::<u32>(), 30),
    ) {
        let mut store = Store::new(world);
        for step in steps {
            take(&mut store, night, step);
        }
        for metric in ["steps", "workouts", "heart_rate"] {
            let rows = store.rows_of(metric);
            let mut shuffled: Vec<_> = keys.iter().zip(&rows).collect();
            shuffled.sort_by_key(|(key, _)| **key);
            let shuffled: Vec<_> = shuffled.into_iter().map(|(_, row)| row.clone()).collect();
            let (one, other) = (store.world.figures(metric, &rows), store.world.figures(metric, &shuffled));
            prop_assert_eq!(&one, &other);
            prop_assert_eq!(format!("{one:?}"), format!("{other:?}"));
        }
    }
}

const TEN: &str = "2024-05-01T10:00:00Z";
const ELEVEN: &str = "2024-05-01T11:00:00Z";

fn berlin() -> Store {
    Store::new(World::new("Europe/Berlin", &["watch", "phone"]))
}

#[test]
fn a_sample_sent_again_from_another_zone_moves_to_the_date_and_hour_there() {
    let mut store = berlin();
    store.insert(("heart_rate".to_owned(), beats(0, "watch", "2024-05-01T20:15:00Z", 61.0)));
    store.process_all(1);
    let again = in_zone("Asia/Kolkata", beats(0, "watch", "2024-05-01T20:15:00Z", 61.0));
    let again = store.insert(("heart_rate".to_owned(), again));
    store.process_all(1);
    store.check();
    assert_eq!(store.dates("heart_rate"), ["2024-05-02"]);

    store.delete(again);
    store.process_all(1);
    store.check();
    assert_eq!(store.dates("heart_rate"), ["2024-05-01"]);
}

#[test]
fn an_interval_displaced_from_an_hour_leaves_it_on_whatever_date_it_was() {
    let mut store = berlin();
    let in_tokyo = steps(0, "phone", "2024-05-01T14:00:00Z", "2024-05-01T17:00:00Z", 300.0);
    store.insert(("steps".to_owned(), in_zone("Asia/Tokyo", in_tokyo)));
    store.process_all(1);
    assert_eq!(store.dates("steps"), ["2024-05-01", "2024-05-02"]);
    // The watch wins the last of the two hours after midnight in Tokyo, which is on the day before
    // here.
    let watch = steps(0, "watch", "2024-05-01T16:00:00Z", "2024-05-01T17:00:00Z", 50.0);
    store.insert(("steps".to_owned(), watch));
    store.process_all(1);
    store.check();
}

#[test]
fn a_daily_total_drops_its_sources_samples_of_that_date_in_every_zone() {
    let mut store = berlin();
    // 23:00 of the 1st of May in Honolulu is nine in the morning of the 2nd in London.
    let in_honolulu = steps(0, "phone", "2024-05-02T09:00:00Z", "2024-05-02T10:00:00Z", 300.0);
    store.insert(("steps".to_owned(), in_zone("Pacific/Honolulu", in_honolulu)));
    let in_paris = steps(0, "watch", "2024-05-02T09:30:00Z", "2024-05-02T09:40:00Z", 50.0);
    store.insert(("steps".to_owned(), in_zone("Europe/Paris", in_paris)));
    store.process_all(1);
    // The 1st of May in Kiritimati had begun 47 hours earlier.
    let total = daily_total(steps(0, "phone", "2024-04-30T10:00:00Z", "2024-05-01T10:00:00Z", 1e4));
    let total = store.insert(("steps".to_owned(), in_zone("Pacific/Kiritimati", total)));
    store.process_all(1);
    store.check();
    // The total also applies to a late row far from it.
    let late = steps(0, "phone", "2024-05-02T09:50:00Z", "2024-05-02T09:59:00Z", 300.0);
    store.insert(("steps".to_owned(), in_zone("Pacific/Honolulu", late)));
    store.process_all(1);
    store.check();
    store.delete(total);
    store.process_all(1);
    store.check();
}

#[test]
fn a_daily_total_sent_again_as_a_sample_is_that_sample() {
    let mut store = berlin();
    let total = daily_total(steps(0, "phone", TEN, ELEVEN, 8000.0));
    store.insert(("steps".to_owned(), total));
    store.process_all(1);
    let sample = store.insert(("steps".to_owned(), steps(0, "phone", TEN, ELEVEN, 300.0)));
    store.process_all(1);
    store.check();
    // An hour far from both: it must not restore the total.
    let late = steps(0, "watch", "2024-05-01T03:00:00Z", "2024-05-01T03:10:00Z", 20.0);
    store.insert(("steps".to_owned(), late));
    store.process_all(1);
    store.check();
    store.delete(sample);
    store.process_all(1);
    store.check();
}

#[test]
fn an_interval_displaces_a_row_without_length_at_its_end_also_in_the_next_hour_or_day() {
    for end in [ELEVEN, "2024-05-01T22:00:00Z"] {
        let mut store = berlin();
        store.insert(("steps".to_owned(), steps(0, "phone", end, end, 7.0)));
        store.process_all(1);
        let start = end.replace("00:00Z", "00:00-01:00");
        let total = daily_total(steps(0, "watch", TEN, TEN, 8000.0));
        for interval in [steps(0, "watch", &start, end, 100.0), total] {
            let interval = store.insert(("steps".to_owned(), interval));
            store.process_all(1);
            store.check();
            store.delete(interval);
            store.process_all(1);
            store.check();
        }
    }
}

#[test]
fn a_day_whose_last_row_is_deleted_loses_its_row() {
    let mut store = berlin();
    let id = store.insert(("steps".to_owned(), steps(0, "phone", TEN, ELEVEN, 300.0)));
    store.process_all(1);
    assert_eq!(store.dates("steps"), ["2024-05-01"]);
    store.delete(id);
    store.process_all(1);
    store.check();
    assert!(store.dates("steps").is_empty());
}

#[test]
fn a_rejected_row_counts_until_it_is_corrected() {
    let mut store = berlin();
    let bad = steps(0, "phone", TEN, ELEVEN, f64::NAN);
    let id = store.insert(("steps".to_owned(), bad));
    store.process_all(1);
    store.check();
    assert_eq!(store.day("steps", "2024-05-01").rejected_count, 1);
    assert_eq!(store.day("steps", "2024-05-01").total, None);
    store.update(id, ("steps".to_owned(), steps(0, "phone", TEN, ELEVEN, 300.0)));
    store.process_all(1);
    store.check();
    assert_eq!(store.day("steps", "2024-05-01").rejected_count, 0);
    assert_eq!(store.day("steps", "2024-05-01").total, Some(300.0));
}

#[test]
fn a_late_row_reads_no_more_than_its_hours() {
    let changes = {
        let mut store = berlin();
        store.insert(("steps".to_owned(), steps(0, "phone", TEN, ELEVEN, 300.0)));
        store.insert(("heart_rate".to_owned(), beats(0, "watch", "2024-05-01T10:59:59Z", 61.0)));
        store.queue
    };
    let world = World::new("Europe/Berlin", &[]);
    let scope = aggregation::vitals::scope::scope(&changes, &world.catalogue, &world.base_zone);
    for (metric, longest) in [("steps", 3 * HOUR_US), ("heart_rate", HOUR_US + 1)] {
        let spans = scope[metric].spans_to_read();
        assert_eq!(spans.len(), 1, "{metric}");
        assert!(spans[0].1.since(spans[0].0) <= longest, "{metric}: {spans:?}");
        assert_eq!(scope[metric].dates.len(), 1, "{metric}");
    }
}
