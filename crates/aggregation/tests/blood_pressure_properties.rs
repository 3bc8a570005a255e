//! Compares the figures of blood pressure with a simple reference.

#![expect(clippy::unwrap_used, reason = "clippy takes only functions marked #[test] for tests")]

mod support;

use std::collections::BTreeSet;
use std::sync::LazyLock;

use aggregation::Timestamp;
use aggregation::blood_pressure::{self, BloodPressureDay, span_to_read, touched_dates};
use aggregation::catalogue::Catalogue;
use aggregation::timestamp::{DAY_US, SECOND_US};
use aggregation::vitals::{Change, Context, RawVital};
use aggregation::zones::BaseZone;
use chrono::{Days, NaiveDate};
use proptest::prelude::*;
use support::rows::{at, date, row};

/// Parsed once for all cases.
static CATALOGUE: LazyLock<Catalogue> = LazyLock::new(|| Catalogue::built_in().unwrap());

fn figures(
    systolic: &[RawVital],
    diastolic: &[RawVital],
    date: NaiveDate,
    base_zone: &BaseZone,
) -> Option<BloodPressureDay> {
    let context = Context { catalogue: &CATALOGUE, base_zone, source_order: &[] };
    blood_pressure::figures(systolic, diastolic, date, &context)
}

fn utc() -> BaseZone {
    "UTC".parse()
}

fn berlin() -> BaseZone {
    "Europe/Berlin".parse()
}

/// Rows around midnight, close enough to be near several others, in up to three zones.
fn any_row(seconds: std::ops::Range<i64>) -> impl Strategy<Value = RawVital> {
    (
        seconds,
        0..10i64,
        prop::sample::select(&["a", "a", "a", "b"]),
        30..250i32,
        prop::option::weighted(0.05, prop::sample::select(&["<", ">", "~"])),
        prop::option::weighted(0.1, prop::sample::select(&["Asia/Tokyo", "-03:00", "Mars"])),
        0..2i64,
    )
        .prop_map(|(second, tenths, source, value, comparator, time_zone, length)| {
            let midnight = at("2024-05-02T00:00:00Z");
            let started_at = midnight.plus(second * SECOND_US + tenths * 100_000);
            RawVital {
                comparator: comparator.map(Into::into),
                time_zone: time_zone.map(Into::into),
                started_at,
                ended_at: started_at.plus(length),
                ..row(
                    0,
                    source,
                    "mmHg",
                    "2024-05-02T00:00:00Z",
                    "2024-05-02T00:00:00Z",
                    value.into(),
                )
            }
        })
}

fn rows_of(
    seconds: std::ops::Range<i64>,
    most: usize,
) -> impl Strategy<Value = (Vec<RawVital>, Vec<RawVital>)> {
    let list = || prop::collection::vec(any_row(seconds.clone()), 0..=most);
    (list(), list()).prop_map(|(mut systolic, mut diastolic)| {
        for (row, id) in systolic.iter_mut().chain(&mut diastolic).zip(1..) {
            row.id = id;
        }
        // Two samples of one source, start and end would be merged.
        let mut seen = BTreeSet::new();
        systolic.retain(|row| seen.insert((row.started_at, row.ended_at, row.source.clone())));
        seen.clear();
        diastolic.retain(|row| seen.insert((row.started_at, row.ended_at, row.source.clone())));
        (systolic, diastolic)
    })
}

/// Alternating systolic and diastolic rows, each nearer to the next than to the one before. So the
/// pairs are decided from the end, row by row.
fn chain() -> impl Strategy<Value = (Vec<RawVital>, Vec<RawVital>)> {
    (-100..20i64, 2..36usize, 100..400i64)
        .prop_map(|(second, length, shrink)| chain_of(second * SECOND_US, length, shrink))
}

/// A chain that begins `begin` after midnight; each gap is `shrink` ms shorter than the last.
fn chain_of(begin: i64, length: usize, shrink: i64) -> (Vec<RawVital>, Vec<RawVital>) {
    let mut rows = (Vec::new(), Vec::new());
    let mut at = at("2024-05-02T00:00:00Z").plus(begin);
    let mut gap = 5 * SECOND_US;
    for n in 0..length {
        let template =
            row(n as i64, "a", "mmHg", "2024-05-02T00:00:00Z", "2024-05-02T00:00:00Z", 100.0);
        let row = RawVital { started_at: at, ended_at: at, ..template };
        if n % 2 == 0 {
            rows.0.push(row)
        } else {
            rows.1.push(row)
        }
        at = at.plus(gap);
        gap = (gap - shrink * 1000).max(SECOND_US / 2);
    }
    rows
}

#[test]
fn a_row_at_the_end_of_a_chain_touches_the_date_of_its_beginning_within_reach() {
    let mut farthest = 0;
    for begin in -60..0 {
        // The last row is diastolic, and is removed.
        let before = chain_of(begin * SECOND_US, 16, 1);
        let mut after = before.clone();
        let last = after.1.pop().unwrap();
        let touched = touched_dates(&[&change_of(&last)], after.0.iter().chain(&after.1), &utc());
        let days = |rows: &(Vec<RawVital>, Vec<RawVital>)| -> Vec<_> {
            dates().map(|date| figures(&rows.0, &rows.1, date, &utc())).collect()
        };
        for ((date, before), after) in dates().zip(days(&before)).zip(days(&after)) {
            assert!(before == after || touched.contains(&date), "{date}, begun at {begin} s");
            if before != after && date == dates().nth(1).unwrap() {
                farthest = farthest.max(last.started_at.since(at("2024-05-02T00:00:00Z")));
            }
        }
    }
    assert!(farthest > 45 * SECOND_US, "a chain hands on what happens at its end");
}

fn change_of(row: &RawVital) -> Change {
    Change {
        metric: String::new(),
        starts_at: row.started_at,
        ends_at: row.ended_at,
        time_zone: row.time_zone.as_deref().map(str::to_owned),
        whole_day: row.is_daily_total,
    }
}

fn many_rows() -> impl Strategy<Value = (Vec<RawVital>, Vec<RawVital>)> {
    prop_oneof![rows_of(-90..90, 40), chain()]
}

fn dates() -> impl Iterator<Item = NaiveDate> {
    (0..5).map(|days| date("2024-04-30") + Days::new(days))
}

fn all_days(rows: &(Vec<RawVital>, Vec<RawVital>)) -> Vec<Option<BloodPressureDay>> {
    dates().map(|date| figures(&rows.0, &rows.1, date, &berlin())).collect()
}

fn zone_of(row: &RawVital) -> Option<aggregation::local_time::Zone> {
    row.time_zone.as_deref().unwrap_or("Europe/Berlin").parse().ok()
}

fn is_sound(row: &RawVital, limits: std::ops::RangeInclusive<f64>) -> bool {
    let known = matches!(row.comparator.as_deref(), None | Some("<" | ">"));
    known && zone_of(row).is_some() && limits.contains(&row.value)
}

/// A greedy reference: takes the nearest of all candidate pairs until none is left.
fn greedy(systolic: &[RawVital], diastolic: &[RawVital]) -> Vec<(RawVital, RawVital)> {
    let order = |row: &RawVital| (row.started_at, (row.value * 8.0) as i64, row.ended_at);
    let mut candidates = Vec::new();
    for s in systolic.iter().filter(|row| is_sound(row, 30.0..=350.0)) {
        for d in diastolic.iter().filter(|row| is_sound(row, 0.0..=250.0)) {
            let apart = d.started_at.0 - s.started_at.0;
            if s.source == d.source && apart.abs() <= 5 * SECOND_US {
                candidates.push((apart.abs(), apart < 0, order(s), order(d), s, d));
            }
        }
    }
    candidates.sort_by_key(|a| (a.0, a.1, a.2, a.3));
    let mut pairs: Vec<(RawVital, RawVital)> = Vec::new();
    for (.., s, d) in candidates {
        if !pairs.iter().any(|pair| pair.0 == *s || pair.1 == *d) {
            pairs.push((s.clone(), d.clone()));
        }
    }
    pairs
}

fn close(one: f64, other: f64) -> bool {
    (one - other).abs() <= 1e-9 * other.abs()
}

/// PROPTEST_CASES raises the number of cases for a long run.
fn config() -> ProptestConfig {
    let default = ProptestConfig { failure_persistence: None, ..ProptestConfig::default() };
    let long = std::env::var_os("PROPTEST_CASES").is_some();
    ProptestConfig { cases: if long { default.cases } else { 512 }, ..default }
}

proptest! {
    #![proptest_config(config())]

    #[test]
    fn pairs_are_those_of_a_greedy_search(rows in rows_of(-8..8, 6)) {
        let pairs = greedy(&rows.0, &rows.1);
        for (date, day) in dates().zip(all_days(&rows)) {
            let of_date: Vec<_> = pairs
                .iter()
                .filter(|(s, _)| zone_of(s).unwrap().date_of(s.started_at) == date)
                .collect();
            let known: Vec<_> = of_date
                .iter()
                .filter(|(s, d)| s.comparator.is_none() && d.comparator.is_none())
                .collect();
            let Some(day) = day else {
                prop_assert!(of_date.is_empty());
                continue;
            };
            prop_assert_eq!(day.pair_count as usize, of_date.len());
            prop_assert_eq!(day.censored_count as usize, of_date.len() - known.len());
            prop_assert_eq!(day.sources.values().sum::<i32>(), day.pair_count);
            let n = known.len() as f64;
            let mean = |of: fn(&RawVital, &RawVital) -> f64| {
                (n > 0.0).then(|| known.iter().map(|(s, d)| of(s, d)).sum::<f64>() / n)
            };
            for (figure, expected) in [
                (day.systolic.map(|p| p.mean), mean(|s, _| s.value)),
                (day.diastolic.map(|p| p.mean), mean(|_, d| d.value)),
                (day.mean_arterial_pressure, mean(|s, d| d.value + (s.value - d.value) / 3.0)),
            ] {
                prop_assert_eq!(figure.is_some(), expected.is_some());
                prop_assert!(figure.zip(expected).is_none_or(|(one, other)| close(one, other)));
            }
        }
    }

    #[test]
    fn no_row_is_lost_and_none_counts_twice(rows in rows_of(-20..20, 30)) {
        let days: Vec<_> = all_days(&rows).into_iter().flatten().collect();
        let sound = rows.0.iter().filter(|row| is_sound(row, 30.0..=350.0)).count()
            + rows.1.iter().filter(|row| is_sound(row, 0.0..=250.0)).count();
        let dated = rows.0.iter().chain(&rows.1).filter(|row| zone_of(row).is_some()).count();
        let counted: i32 = days.iter().map(|day| 2 * day.pair_count + day.unpaired_count).sum();
        let rejected: i32 = days.iter().map(|day| day.rejected_count).sum();
        prop_assert_eq!(counted as usize, sound);
        prop_assert_eq!((counted + rejected) as usize, dated);
    }

    #[test]
    fn any_order_and_any_ids_give_the_same_bits(
        (rows, systolic, diastolic) in rows_of(-12..12, 12).prop_flat_map(|rows| {
            let (s, d) = rows.clone();
            (Just(rows), Just(s).prop_shuffle(), Just(d).prop_shuffle())
        }),
    ) {
        let renumbered = |rows: Vec<RawVital>| {
            rows.into_iter().zip(0..).map(|(row, id)| RawVital { id, ..row }).collect()
        };
        let shuffled = (renumbered(systolic), renumbered(diastolic));
        prop_assert_eq!(format!("{:?}", all_days(&rows)), format!("{:?}", all_days(&shuffled)));
    }

    /// Chains of rows that cross the ends of the span, at midnight of +14:00.
    #[test]
    fn rows_outside_the_span_to_read_change_nothing(
        mut rows in many_rows(),
        zone in prop::sample::select(&["+14:00", "-14:00"]),
        shift in prop::sample::select(&[-16i64, -14, -10, 0, 10, 14, 16]),
    ) {
        for row in rows.0.iter_mut().chain(&mut rows.1) {
            row.started_at = row.started_at.plus(shift * 3600 * SECOND_US);
            row.ended_at = row.ended_at.plus(shift * 3600 * SECOND_US);
        }
        let zone = zone.parse();
        for date in dates() {
            let (from, to) = span_to_read(date);
            let read = |rows: &[RawVital]| -> Vec<RawVital> {
                rows.iter().filter(|row| from <= row.started_at && row.started_at < to).cloned().collect()
            };
            prop_assert_eq!(
                figures(&rows.0, &rows.1, date, &zone),
                figures(&read(&rows.0), &read(&rows.1), date, &zone)
            );
        }
    }

    #[test]
    fn a_change_concerns_no_other_dates_than_those_it_touches(
        rows in many_rows(),
        which in any::<prop::sample::Index>(),
        replacement in prop::option::of(any_row(-90..90)),
    ) {
        prop_assume!(!rows.0.is_empty());
        let mut after = rows.clone();
        let index = which.index(rows.0.len());
        let mut changes = vec![after.0.remove(index)];
        if let Some(row) = replacement {
            let row = RawVital { id: 1000, ..row };
            changes.push(row.clone());
            after.0.push(row);
        }
        let mut touched = BTreeSet::new();
        for row in changes {
            let change = change_of(&row);
            touched.extend(touched_dates(&[&change], after.0.iter().chain(&after.1), &berlin()));
        }
        for ((date, before), after) in dates().zip(all_days(&rows)).zip(all_days(&after)) {
            prop_assert!(before == after || touched.contains(&date));
        }
    }

    #[test]
    fn nothing_makes_it_panic(
        texts in (any::<String>(), prop_oneof![Just("mmHg".to_owned()), any::<String>()]),
        options in (any::<Option<String>>(), any::<Option<String>>()),
        numbers in prop::collection::vec((any::<f64>(), any::<i64>(), any::<i64>()), 0..8),
        extremes in prop::sample::select(&[i64::MIN, Timestamp::MIN.0, 0, Timestamp::MAX.0, i64::MAX]),
        base in prop_oneof![any::<String>(), Just("UTC".to_owned())],
        days in -DAY_US..DAY_US,
    ) {
        let rows: Vec<_> = numbers
            .into_iter()
            .zip(0..)
            .map(|((value, start, length), id)| RawVital {
                id,
                value: if id % 2 == 0 { value } else { 100.0 },
                comparator: options.0.clone().map(Into::into),
                unit: texts.1.clone().into(),
                source: texts.0.clone().into(),
                started_at: Timestamp(if id % 3 == 0 { start } else { extremes }),
                ended_at: Timestamp(if id % 3 == 0 { length } else { extremes }),
                time_zone: options.1.clone().map(Into::into),
                is_daily_total: id % 2 == 0,
                workout_type: None,
            })
            .collect();
        let base = base.parse();
        for date in [Timestamp(extremes).plus(days).to_utc().date_naive(), NaiveDate::MIN, NaiveDate::MAX] {
            let _ = figures(&rows, &rows, date, &base);
            let _ = span_to_read(date);
        }
        for row in &rows {
            let change = change_of(row);
            let _ = touched_dates(&[&change], &rows, &base);
        }
    }
}
