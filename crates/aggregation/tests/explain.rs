//! The explanation of each raw row agrees with the figures: the parts add up to the total, and the rows that count are counted.

#![expect(clippy::unwrap_used, reason = "clippy takes only functions marked #[test] for tests")]

#[path = "support/generated.rs"]
mod generated;
mod support;

use std::collections::{BTreeMap, BTreeSet};

use aggregation::local_time::WIDEST_OFFSET_US;
use aggregation::raw::RawVital;
use aggregation::timestamp::DAY_US;
use aggregation::vitals::explain::{Fate, explain};
use aggregation::vitals::scope::MetricScope;
use aggregation::vitals::{DayFigures, Outcome, Snapshot, recompute};
use chrono::NaiveDate;
use generated::{any_beat, any_interval, any_night, placed};
use proptest::prelude::*;
use support::rows::World;

/// The figures of a date, as they are computed for a backfill.
fn figures(world: &World, metric: &str, date: NaiveDate, rows: &[RawVital]) -> Option<DayFigures> {
    let whole = MetricScope {
        whole_dates: BTreeSet::from([date]),
        dates: BTreeSet::from([date]),
        ..MetricScope::default()
    };
    let scope = BTreeMap::from([(metric.to_owned(), whole)]);
    let snapshot = Snapshot { rows: rows.to_vec(), ..Snapshot::default() };
    let snapshots = BTreeMap::from([(metric.to_owned(), snapshot)]);
    match recompute(&world.context(), &scope, &snapshots).unwrap() {
        Outcome::Complete(mut computed) => {
            computed.remove(metric).unwrap().days.remove(&date).unwrap()
        }
        Outcome::Widen(_) => panic!("a whole date needs no more"),
    }
}

fn dates(night: aggregation::Timestamp) -> Vec<NaiveDate> {
    let first = night.plus(-2 * DAY_US - WIDEST_OFFSET_US).to_utc().date_naive();
    first.iter_days().take(6).collect()
}

fn fates(world: &World, metric: &str, date: NaiveDate, rows: &[RawVital]) -> Vec<(i64, Fate)> {
    explain(&world.context(), world.catalogue.metric(metric).unwrap(), date, rows)
}

/// PROPTEST_CASES raises the number of cases for a long run.
fn config() -> ProptestConfig {
    let default = ProptestConfig { failure_persistence: None, ..ProptestConfig::default() };
    let cases = if std::env::var_os("PROPTEST_CASES").is_some() { default.cases } else { 24 };
    ProptestConfig { cases, ..default }
}

proptest! {
    #![proptest_config(config())]

    #[test]
    fn the_parts_of_the_rows_are_the_total_of_the_day(
        night in any_night(),
        rows in prop::collection::vec(any_interval(), 1..30),
        again in prop::collection::vec((any::<prop::sample::Index>(), 1u32..5000), 0..4),
        listed in prop::bool::ANY,
    ) {
        let rows = placed(night, rows, &again);
        let world = World::new("Europe/Berlin", if listed { &["phone", "watch"] } else { &[] });
        for date in dates(night) {
            let fates = fates(&world, "steps", date, &rows);
            prop_assert_eq!(fates.len(), rows.len(), "each row has one fate");
            let day = figures(&world, "steps", date, &rows);
            let parts: f64 = fates
                .iter()
                .map(|(_, fate)| if let Fate::Contributes { part, .. } = fate { *part } else { 0.0 })
                .sum();
            let total = day.as_ref().and_then(|day| day.total).unwrap_or(0.0);
            prop_assert!((parts - total).abs() <= 1e-6 * total.max(1.0), "{parts} {total} {date}");
            // Who takes part in a day is counted in it, and who is on no row of it is not.
            let on_date = fates.iter().filter(|(_, fate)| matches!(fate, Fate::Contributes { .. })).count();
            let counted = day.as_ref().map_or(0, |day| day.sample_count);
            prop_assert!(on_date as i32 <= counted, "{on_date} {counted}");
            prop_assert_eq!(on_date > 0, counted > 0);
            let rejected = fates.iter().filter(|(_, fate)| matches!(fate, Fate::Rejected(_))).count();
            prop_assert_eq!(rejected as i32, day.as_ref().map_or(0, |day| day.rejected_count));
        }
    }

    #[test]
    fn the_readings_that_count_are_those_of_the_day(
        night in any_night(),
        rows in prop::collection::vec(any_beat(), 1..30),
        again in prop::collection::vec((any::<prop::sample::Index>(), 1u32..400), 0..4),
    ) {
        let rows = placed(night, rows, &again);
        let world = World::new("Europe/Berlin", &[]);
        for date in dates(night) {
            let fates = fates(&world, "heart_rate", date, &rows);
            let day = figures(&world, "heart_rate", date, &rows);
            let counts = |wanted: fn(&Fate) -> bool| fates.iter().filter(|(_, fate)| wanted(fate)).count() as i32;
            let of = |field: fn(&DayFigures) -> i32| day.as_ref().map_or(0, field);
            prop_assert_eq!(counts(|fate| *fate == Fate::Counts), of(|day| day.sample_count));
            prop_assert_eq!(counts(|fate| *fate == Fate::Censored), of(|day| day.censored_count));
            prop_assert_eq!(counts(|fate| matches!(fate, Fate::Rejected(_))), of(|day| day.rejected_count));
        }
    }
}
