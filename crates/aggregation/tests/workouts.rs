//! Workouts by their type: each counts once, and no time of two devices counts twice.

#![expect(clippy::unwrap_used, reason = "clippy takes only functions marked #[test] for tests")]

#[path = "support/generated.rs"]
mod generated;
mod support;

use std::collections::BTreeMap;

use aggregation::Timestamp;
use aggregation::timestamp::MINUTE_US;
use aggregation::vitals::RawVital;
use aggregation::vitals::explain::{Fate, explain};
use chrono::NaiveDate;
use generated::{any_interval, any_night, placed};
use proptest::prelude::*;
use proptest::sample::select;
use support::rows::{Figures, World, daily_total, date, row};

const DAY: &str = "2024-05-01";
const NEXT_DAY: &str = "2024-05-02";

fn utc() -> World {
    World::new("UTC", &["watch", "phone"])
}

/// A workout as a row of `workouts`, and as one of `workout_duration` with its minutes.
fn workout(id: i64, source: &str, kind: &str, from: &str, to: &str) -> [RawVital; 2] {
    let of = |value: f64, unit: &str| {
        let workout_type = (!kind.is_empty()).then(|| kind.into());
        RawVital { workout_type, ..row(id, source, unit, from, to, value) }
    };
    let minutes = of(0.0, "min");
    let length = minutes.ended_at.since(minutes.started_at) as f64 / MINUTE_US as f64;
    [of(1.0, "count"), RawVital { value: length, ..minutes }]
}

/// The figures of `workouts` and of `workout_duration`.
fn figures(workouts: &[[RawVital; 2]]) -> [Figures; 2] {
    let rows = |at: usize| workouts.iter().map(|rows| rows[at].clone()).collect::<Vec<_>>();
    [utc().figures("workouts", &rows(0)), utc().figures("workout_duration", &rows(1))]
}

/// A day's figures by type.
fn by_type<'f>(figures: &'f Figures, day: &str) -> Vec<(&'f str, f64)> {
    let day = figures.days.get(&date(day));
    let types = day.into_iter().flat_map(|day| &day.by_workout_type);
    types.map(|(of_type, total)| (&**of_type, *total)).collect()
}

#[test]
fn a_workout_that_two_devices_recorded_is_one_of_the_type_of_the_best_device() {
    let [count, minutes] = figures(&[
        workout(1, "watch", "Outdoor Run", "2024-05-01T18:00:05Z", "2024-05-01T18:30:00Z"),
        workout(2, "phone", "walking", "2024-05-01T18:00:00Z", "2024-05-01T18:40:00Z"),
        workout(3, "phone", "yoga", "2024-05-01T20:00:00Z", "2024-05-01T20:45:00Z"),
    ]);
    assert_eq!(by_type(&count, DAY), [("running", 1.0), ("yoga", 1.0)]);
    assert_eq!(count.total(DAY), Some(2.0));
    let of_types = by_type(&minutes, DAY);
    assert_eq!(
        of_types.iter().map(|(name, _)| *name).collect::<Vec<_>>(),
        ["running", "walking", "yoga"]
    );
    assert_eq!((of_types[0].1, of_types[2].1), (29.0 + 55.0 / 60.0, 45.0));
    // The phone's time before the watch began and after it stopped.
    assert!((of_types[1].1 - (10.0 + 5.0 / 60.0)).abs() < 1e-9);
}

#[test]
fn a_workout_over_midnight_counts_on_the_date_of_its_middle_and_its_minutes_on_both() {
    let [count, minutes] = figures(&[
        workout(1, "watch", "running", "2024-05-01T23:30:00Z", "2024-05-02T00:20:00Z"),
        workout(2, "watch", "cycling", "2024-05-01T21:00:00Z", "2024-05-01T22:00:00Z"),
    ]);
    assert_eq!(by_type(&count, DAY), [("cycling", 1.0), ("running", 1.0)]);
    assert_eq!(by_type(&count, NEXT_DAY), []);
    assert_eq!(
        count.total(NEXT_DAY),
        Some(0.0),
        "it reaches into the day and does not count there"
    );
    assert_eq!(by_type(&minutes, DAY), [("cycling", 60.0), ("running", 30.0)]);
    assert_eq!(by_type(&minutes, NEXT_DAY), [("running", 20.0)]);
    let rows =
        [workout(1, "watch", "running", "2024-05-01T23:50:00Z", "2024-05-02T00:20:00Z")[0].clone()];
    let world = utc();
    let metric = world.catalogue.metric("workouts").unwrap();
    let fates = |day: &str| explain(&world.context(), metric, date(day), &rows);
    let contributes =
        |part: f64| Fate::Contributes { part, whole: 1.0, is_cut: true, lost_to: Vec::new() };
    assert_eq!(fates(DAY), [(1, contributes(0.0))]);
    assert_eq!(fates(NEXT_DAY), [(1, contributes(1.0))]);
}

#[test]
fn a_workout_without_a_type_is_unknown_and_one_of_an_unlisted_type_is_other() {
    let [count, _] = figures(&[
        workout(1, "watch", "", "2024-05-01T06:00:00Z", "2024-05-01T06:30:00Z"),
        workout(2, "watch", "Quidditch", "2024-05-01T07:00:00Z", "2024-05-01T07:30:00Z"),
        workout(3, "watch", "Other", "2024-05-01T08:00:00Z", "2024-05-01T08:30:00Z"),
    ]);
    assert_eq!(by_type(&count, DAY), [("other", 2.0), ("unknown", 1.0)]);
}

#[test]
fn a_workout_of_a_single_instant_counts_as_before() {
    let start = "2024-05-01T06:00:00Z";
    let one = workout(1, "phone", "run", start, start)[0].clone();
    assert_eq!(utc().figures("workouts", std::slice::from_ref(&one)).total(DAY), Some(1.0));
    // The watch recorded the same time.
    let watch =
        workout(2, "watch", "run", "2024-05-01T05:59:00Z", "2024-05-01T06:30:00Z")[0].clone();
    let both = utc().figures("workouts", &[one, watch]);
    assert_eq!(by_type(&both, DAY), [("running", 1.0)]);
}

#[test]
fn a_sources_total_of_a_day_replaces_its_workouts_and_is_no_workout_itself() {
    let run = workout(1, "watch", "run", "2024-05-01T06:00:00Z", "2024-05-01T07:00:00Z")[0].clone();
    let total = daily_total(RawVital { value: 3.0, id: 2, workout_type: None, ..run.clone() });
    let figures = utc().figures("workouts", &[run, total]);
    assert_eq!(figures.total(DAY), Some(3.0));
    assert_eq!(by_type(&figures, DAY), [("unknown", 3.0)]);
}

#[test]
fn other_metrics_have_no_types() {
    let steps = RawVital {
        workout_type: Some("run".into()),
        ..row(1, "watch", "steps", "2024-05-01T06:00:00Z", "2024-05-01T07:00:00Z", 9.0)
    };
    assert_eq!(by_type(&utc().figures("steps", &[steps]), DAY), []);
}

/// Counts and minutes by date and type, in cells of five minutes: in each cell the best row counts, and
/// with it its workout if the cell has the middle.
fn in_cells(world: &World, rows: &[RawVital]) -> [BTreeMap<(NaiveDate, String), f64>; 2] {
    const CELL_US: i64 = 5 * MINUTE_US;
    let types = world.catalogue.workout_types();
    let rank = |row: &RawVital| {
        let listed = world.source_order.iter().position(|source| **source == *row.source);
        (listed.unwrap_or(usize::MAX), row.source.to_string(), -row.id)
    };
    let same = |a: &RawVital, b: &RawVital| {
        (&a.source, a.started_at, a.ended_at) == (&b.source, b.started_at, b.ended_at)
    };
    let newest = |row: &&RawVital| !rows.iter().any(|other| same(row, other) && other.id > row.id);
    let rows: Vec<&RawVital> = rows.iter().filter(newest).collect();
    let [mut counts, mut minutes] = <[BTreeMap<(NaiveDate, String), f64>; 2]>::default();
    let mut cell = rows.iter().map(|row| row.started_at).min().unwrap();
    while cell < rows.iter().map(|row| row.ended_at).max().unwrap() {
        let open = rows.iter().filter(|row| row.started_at <= cell && cell < row.ended_at);
        if let Some(best) = open.min_by_key(|row| rank(row)) {
            let zone = match &best.time_zone {
                Some(zone) => zone.parse().unwrap(),
                None => world.base_zone.unwrap(),
            };
            let of_type = types.of_row(best.workout_type.as_deref()).to_string();
            let key = |at: Timestamp| (zone.date_of(at), of_type.clone());
            let length = best.ended_at.since(best.started_at);
            *minutes.entry(key(cell)).or_default() += best.value * CELL_US as f64 / length as f64;
            let middle = best.started_at.plus(length / 2);
            if cell <= middle && middle < cell.plus(CELL_US) {
                *counts.entry(key(middle)).or_default() += best.value;
            }
        }
        cell = cell.plus(CELL_US);
    }
    [counts, minutes]
}

fn found(figures: &Figures) -> BTreeMap<(NaiveDate, String), f64> {
    let days = figures.days.iter().flat_map(|(date, day)| {
        day.by_workout_type.iter().map(|(of_type, total)| ((*date, of_type.to_string()), *total))
    });
    days.collect()
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, cases: 128, ..ProptestConfig::default() })]

    #[test]
    fn figures_by_type_are_those_of_a_plain_count_of_cells(
        night in any_night(),
        zone in select(vec!["Europe/Berlin", "Asia/Kolkata", "Pacific/Apia"]),
        order in select(vec![&["watch", "phone"][..], &["ring"], &[]]),
        rows in prop::collection::vec((any_interval(), select(vec!["", "run", "Yoga", "x"])), 1..12),
        again in prop::collection::vec((any::<prop::sample::Index>(), 1u32..2000), 0..3),
    ) {
        let world = World::new(zone, order);
        let rows = rows.into_iter().map(|(row, kind)| RawVital {
            value: row.value.min(2_000.0),
            unit: "min".into(),
            ended_at: row.ended_at.max(row.started_at.plus(5 * MINUTE_US)),
            workout_type: (!kind.is_empty()).then(|| kind.into()),
            is_daily_total: false,
            ..row
        });
        let rows = placed(night, rows.collect(), &again);
        let ones = |row: &RawVital| RawVital { unit: "count".into(), value: row.value % 100.0, ..row.clone() };
        let ones: Vec<RawVital> = rows.iter().map(ones).collect();
        for (metric, rows, which) in [("workouts", &ones, 0), ("workout_duration", &rows, 1)] {
            let expected = &in_cells(&world, rows)[which];
            let found = found(&world.figures(metric, rows));
            prop_assert_eq!(found.keys().collect::<Vec<_>>(), expected.keys().collect::<Vec<_>>());
            for (key, expected) in expected {
                prop_assert!((found[key] - expected).abs() <= 1e-9 * expected, "{} {:?}", metric, key);
            }
        }
    }
}
