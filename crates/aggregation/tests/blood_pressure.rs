//! The figures of blood pressure: the examples of the definition.

#![expect(clippy::unwrap_used, reason = "clippy takes only functions marked #[test] for tests")]

mod support;

use std::collections::BTreeMap;

use aggregation::Timestamp;
use aggregation::blood_pressure::{
    BloodPressureDay, Category, DIASTOLIC, REACH_US, SYSTOLIC, figures, readings, span_near,
    touched_dates,
};
use aggregation::timestamp::SECOND_US;
use aggregation::vitals::{Change, RawVital};
use support::rows::{World, at, date, in_zone, row};

const NOON: &str = "2024-05-01T12:00:00Z";
const DAY: &str = "2024-05-01";

/// A pressure, measured this many seconds after noon.
fn mmhg(id: i64, source: &str, seconds: f64, value: f64) -> RawVital {
    let row = row(id, source, "mmHg", NOON, NOON, value);
    moved(row, (seconds * SECOND_US as f64) as i64)
}

fn moved(row: RawVital, microseconds: i64) -> RawVital {
    let at = row.started_at.plus(microseconds);
    RawVital { started_at: at, ended_at: at, ..row }
}

fn beyond(comparator: &str, row: RawVital) -> RawVital {
    RawVital { comparator: Some(comparator.into()), ..row }
}

fn day(systolic: &[RawVital], diastolic: &[RawVital]) -> BloodPressureDay {
    figures_of(DAY, "UTC", systolic, diastolic).unwrap()
}

fn figures_of(
    day: &str,
    zone: &str,
    systolic: &[RawVital],
    diastolic: &[RawVital],
) -> Option<BloodPressureDay> {
    let world = World::new(zone, &[]);
    figures(systolic, diastolic, date(day), &world.context())
}

/// The systolic and diastolic value of the only pair, and the number of unpaired rows.
fn only_pair(systolic: &[RawVital], diastolic: &[RawVital]) -> (f64, f64, i32) {
    let day = day(systolic, diastolic);
    assert_eq!(day.pair_count, 1);
    (day.systolic.unwrap().mean, day.diastolic.unwrap().mean, day.unpaired_count)
}

#[test]
fn a_day_of_measurements_has_the_figures_of_its_pairs() {
    let systolic = [
        mmhg(1, "cuff", 0.0, 118.0),
        mmhg(2, "cuff", 60.0, 131.0),
        mmhg(3, "wrist", 0.0, 122.0),
        mmhg(4, "cuff", 300.0, 200.0),
    ];
    let diastolic =
        [mmhg(5, "cuff", 0.0, 76.0), mmhg(6, "cuff", 61.0, 85.0), mmhg(7, "wrist", 2.0, 79.0)];
    let day = day(&systolic, &diastolic);
    assert_eq!((day.pair_count, day.unpaired_count, day.censored_count), (3, 1, 0));
    let (s, d) = (day.systolic.unwrap(), day.diastolic.unwrap());
    assert_eq!((s.mean, s.min, s.max), (371.0 / 3.0, 118.0, 131.0), "200 has no partner");
    assert_eq!((d.mean, d.min, d.max), (80.0, 76.0, 85.0));
    let arterial = [118.0 + 152.0, 122.0 + 158.0, 131.0 + 170.0].map(|sum| sum / 3.0);
    assert_eq!(day.mean_arterial_pressure, Some(arterial.iter().sum::<f64>() / 3.0));
    assert_eq!(day.worst_category, Some(Category::Stage1));
    assert_eq!(day.sources, BTreeMap::from([("cuff".into(), 2), ("wrist".into(), 1)]));
    assert_eq!(
        (day.day_start, day.day_end),
        (at("2024-05-01T00:00:00Z"), at("2024-05-02T00:00:00Z"))
    );
    assert_eq!((day.rejected_count, day.time_zone.as_str()), (0, "UTC"));
}

#[test]
fn five_seconds_are_a_pair_and_a_microsecond_more_is_none() {
    for seconds in [-5.0, 5.0] {
        let systolic = [mmhg(1, "cuff", 0.0, 120.0)];
        let near = mmhg(2, "cuff", seconds, 80.0);
        let far = moved(near.clone(), if seconds < 0.0 { -1 } else { 1 });
        assert_eq!(day(&systolic, &[near]).pair_count, 1);
        let day = day(&systolic, &[far]);
        assert_eq!((day.pair_count, day.unpaired_count), (0, 2));
        assert_eq!(
            (day.systolic, day.mean_arterial_pressure, day.worst_category),
            (None, None, None)
        );
        assert!(day.sources.is_empty());
    }
}

#[test]
fn rows_of_two_sources_are_never_a_pair() {
    let day = day(&[mmhg(1, "cuff", 0.0, 120.0)], &[mmhg(2, "Cuff", 0.0, 80.0)]);
    assert_eq!((day.pair_count, day.unpaired_count), (0, 2));
}

#[test]
fn of_three_systolic_rows_the_nearest_is_paired() {
    let systolic =
        [mmhg(1, "cuff", 0.0, 110.0), mmhg(2, "cuff", 2.0, 120.0), mmhg(3, "cuff", 4.5, 130.0)];
    assert_eq!(only_pair(&systolic, &[mmhg(4, "cuff", 2.1, 80.0)]), (120.0, 80.0, 2));
    assert_eq!(only_pair(&systolic, &[mmhg(4, "cuff", 4.0, 80.0)]), (130.0, 80.0, 2));
}

#[test]
fn who_loses_the_nearest_takes_the_next_that_is_near_enough() {
    // The first two are 1 s apart; then the last systolic row pairs with the remaining one, 4.5 s
    // away.
    let systolic = [mmhg(1, "cuff", 0.0, 110.0), mmhg(2, "cuff", 2.5, 170.0)];
    let diastolic = [mmhg(3, "cuff", 1.0, 70.0), mmhg(4, "cuff", 7.0, 100.0)];
    let both = day(&systolic, &diastolic);
    assert_eq!((both.pair_count, both.unpaired_count), (2, 0));
    assert_eq!(both.mean_arterial_pressure, Some((250.0 / 3.0 + 370.0 / 3.0) / 2.0));
    // If it were 1 µs farther away, it would stay alone.
    let farther = [diastolic[0].clone(), moved(diastolic[1].clone(), 500_001)];
    assert_eq!(only_pair(&systolic, &farther), (110.0, 70.0, 2));
}

#[test]
fn of_rows_that_come_ever_closer_all_find_a_partner() {
    // Each row is nearest to the next, so pairs are decided from the end. Distances run from 4.9 s
    // down to 3.7 s in steps of a tenth; and as many rounds as the limit allows.
    for (rows, shrink) in [(14, 0.1), (120, 0.01)] {
        let (mut seconds, mut gap) = (0.0, 4.9);
        let mut of_metric = [Vec::new(), Vec::new()];
        for n in 0..rows {
            of_metric[n % 2].push(mmhg(n as i64, "cuff", seconds, 100.0));
            seconds += gap;
            gap -= shrink;
        }
        let [systolic, diastolic] = of_metric;
        let day = day(&systolic, &diastolic);
        assert_eq!((day.pair_count as usize, day.unpaired_count), (rows / 2, 0));
    }
}

#[test]
fn of_two_that_are_equally_near_a_systolic_row_takes_the_one_that_follows_it() {
    let around = [mmhg(2, "cuff", -2.0, 70.0), mmhg(3, "cuff", 2.0, 80.0)];
    assert_eq!(only_pair(&[mmhg(1, "cuff", 0.0, 120.0)], &around), (120.0, 80.0, 1));
    let around = [mmhg(2, "cuff", -2.0, 120.0), mmhg(3, "cuff", 2.0, 130.0)];
    assert_eq!(only_pair(&around, &[mmhg(1, "cuff", 0.0, 80.0)]), (120.0, 80.0, 1));
}

#[test]
fn a_row_of_rows_at_equal_distances_falls_into_pairs_however_long_it_is() {
    let values = (0..50).map(|n| f64::from(n) * 4.0);
    let systolic: Vec<_> =
        values.clone().zip(0..).map(|(at, id)| mmhg(id, "cuff", at, 120.0)).collect();
    let diastolic: Vec<_> =
        values.zip(100..).map(|(at, id)| mmhg(id, "cuff", at + 2.0, 80.0)).collect();
    let day = day(&systolic, &diastolic);
    assert_eq!((day.pair_count, day.unpaired_count), (50, 0));
}

#[test]
fn of_two_at_one_instant_the_lower_is_taken_whatever_the_ids() {
    // Different ends make them two samples.
    let longer = |row: RawVital| RawVital { ended_at: row.ended_at.plus(SECOND_US), ..row };
    let systolic = [mmhg(1, "cuff", 0.0, 120.0)];
    for (one, other) in [(2, 3), (3, 2)] {
        let diastolic = [mmhg(one, "cuff", 1.0, 90.0), longer(mmhg(other, "cuff", 1.0, 80.0))];
        assert_eq!(only_pair(&systolic, &diastolic), (120.0, 80.0, 1));
    }
}

#[test]
fn of_rows_sent_again_the_newest_counts() {
    let systolic = [mmhg(1, "cuff", 0.0, 120.0)];
    let diastolic = [mmhg(9, "cuff", 0.0, 85.0), mmhg(2, "cuff", 0.0, 80.0)];
    assert_eq!(only_pair(&systolic, &diastolic), (120.0, 85.0, 0));
}

#[test]
fn a_value_known_as_a_bound_counts_in_the_category_and_in_no_mean() {
    let systolic = [mmhg(1, "cuff", 0.0, 110.0), beyond(">", mmhg(2, "cuff", 60.0, 180.0))];
    let diastolic = [mmhg(3, "cuff", 0.0, 70.0), mmhg(4, "cuff", 60.0, 100.0)];
    let day = day(&systolic, &diastolic);
    assert_eq!((day.pair_count, day.unpaired_count, day.censored_count), (2, 0, 1));
    assert_eq!(day.worst_category, Some(Category::Severe), "above 180");
    assert_eq!((day.systolic.unwrap().max, day.diastolic.unwrap().max), (110.0, 70.0));

    let low = [beyond("<", mmhg(1, "cuff", 0.0, 120.0))];
    let day = figures_of(DAY, "UTC", &low, &diastolic).unwrap();
    assert_eq!(day.worst_category, Some(Category::Normal), "below 120");
    assert_eq!((day.systolic, day.diastolic, day.mean_arterial_pressure), (None, None, None));
    assert_eq!(day.sources, BTreeMap::from([("cuff".into(), 1)]));
}

#[test]
fn a_pair_over_midnight_is_one_measurement_of_its_systolic_rows_date() {
    let midnight = |seconds: f64, value| mmhg(1, "cuff", 12.0 * 3600.0 + seconds, value);
    for (s, d, expected) in [(-1.0, 1.0, DAY), (1.0, -1.0, "2024-05-02"), (0.0, -5.0, "2024-05-02")]
    {
        let (systolic, diastolic) = ([midnight(s, 120.0)], [midnight(d, 80.0)]);
        for day in [DAY, "2024-05-02"] {
            let figures = figures_of(day, "UTC", &systolic, &diastolic);
            let counts = figures.map(|day| (day.pair_count, day.unpaired_count));
            assert_eq!(counts, (day == expected).then_some((1, 0)));
        }
        let change = Change {
            metric: DIASTOLIC.to_owned(),
            starts_at: diastolic[0].started_at,
            ends_at: diastolic[0].ended_at,
            time_zone: None,
            whole_day: false,
        };
        let base = Ok("UTC".parse().unwrap());
        let dates = touched_dates(&[&change], &systolic, &base);
        assert_eq!(dates.into_iter().collect::<Vec<_>>(), [date(DAY), date("2024-05-02")]);
    }
}

#[test]
fn a_change_far_from_midnight_touches_its_own_date_alone() {
    let systolic = mmhg(1, "cuff", 0.0, 120.0);
    let change = Change {
        metric: SYSTOLIC.to_owned(),
        starts_at: systolic.started_at,
        ends_at: systolic.ended_at,
        time_zone: None,
        whole_day: false,
    };
    let base = Ok("UTC".parse().unwrap());
    let others = [
        in_zone("Pacific/Auckland", mmhg(2, "cuff", 601.0, 80.0)),
        in_zone("Mars", mmhg(3, "cuff", 0.0, 80.0)),
    ];
    let dates = touched_dates(&[&change], &others, &base);
    assert_eq!(dates.into_iter().collect::<Vec<_>>(), [date(DAY)]);
    assert_eq!(span_near(&change), (at(NOON).plus(-REACH_US), at(NOON).plus(REACH_US + 1)));
    let near = in_zone("Pacific/Auckland", mmhg(2, "cuff", 600.0, 80.0));
    assert_eq!(touched_dates(&[&change], [&near], &base).len(), 2);

    let nowhere = Change { starts_at: Timestamp(i64::MAX), ..change };
    assert!(touched_dates(&[&nowhere], &others, &base).is_empty());
}

#[test]
fn the_rows_of_a_pair_may_have_different_zones_and_the_systolic_row_decides() {
    let systolic = [in_zone("Pacific/Auckland", mmhg(1, "cuff", 0.0, 120.0))];
    let diastolic = [mmhg(2, "cuff", 0.0, 80.0)];
    assert_eq!(figures_of(DAY, "UTC", &systolic, &diastolic), None);
    let day = figures_of("2024-05-02", "UTC", &systolic, &diastolic).unwrap();
    assert_eq!((day.pair_count, day.time_zone.as_str()), (1, "UTC"), "they share no zone");

    let diastolic = [in_zone("Pacific/Auckland", diastolic[0].clone())];
    let day = figures_of("2024-05-02", "UTC", &systolic, &diastolic).unwrap();
    assert_eq!((day.pair_count, day.time_zone.as_str()), (1, "Pacific/Auckland"));
}

#[test]
fn a_rejected_row_is_counted_and_leaves_its_partner_alone() {
    let systolic = [mmhg(1, "cuff", 0.0, 120.0), mmhg(2, "cuff", 1.0, f64::NAN)];
    let diastolic = [mmhg(3, "cuff", 0.0, 800.0), in_zone("Mars", mmhg(4, "cuff", 0.0, 80.0))];
    let day = day(&systolic, &diastolic);
    assert_eq!((day.pair_count, day.unpaired_count, day.rejected_count), (0, 1, 2));

    let rejected = figures_of(DAY, "nowhere", &[], &[in_zone("UTC", diastolic[0].clone())]);
    let day = rejected.unwrap();
    assert_eq!((day.unpaired_count, day.rejected_count, day.time_zone.as_str()), (0, 1, "UTC"));
    assert_eq!(figures_of("2024-05-02", "UTC", &systolic, &diastolic), None);
}

#[test]
fn kilopascals_become_millimetres_of_mercury() {
    let kpa = |row: RawVital| RawVital { unit: "kPa".into(), ..row };
    let (s, d, _) =
        only_pair(&[kpa(mmhg(1, "cuff", 0.0, 16.0))], &[kpa(mmhg(2, "cuff", 0.0, 10.0))]);
    // UCUM: m[Hg] = 133.322 kPa.
    assert!((s - 16_000.0 / 133.322).abs() < 1e-9, "{s}");
    assert!((d - 10_000.0 / 133.322).abs() < 1e-9, "{d}");
}

#[test]
fn the_single_readings_are_the_pairs_of_the_figures() {
    let systolic = [mmhg(1, "cuff", 0.0, 118.0), mmhg(2, "cuff", 60.0, 141.0)];
    let diastolic =
        [mmhg(3, "cuff", 61.0, 92.0), mmhg(4, "cuff", 1.0, 76.0), mmhg(5, "other", 300.0, 70.0)];
    let world = World::new("Europe/Berlin", &[]);
    let found = readings(&systolic, &diastolic, &world.context());
    let shown: Vec<(f64, f64, Category)> =
        found.iter().map(|of| (of.systolic, of.diastolic, of.category)).collect();
    assert_eq!(shown, [(118.0, 76.0, Category::Normal), (141.0, 92.0, Category::Stage2)]);
    assert_eq!(found[0].at, systolic[0].started_at);
    assert_eq!(found[0].zone.clock(found[0].at).to_string(), "2024-05-01 14:00:00");
    assert_eq!((found[0].date, found[0].is_bound), (date(DAY), false));
    let bound = [beyond("<", mmhg(6, "cuff", 0.0, 90.0))];
    assert!(readings(&bound, &diastolic, &world.context())[0].is_bound);
}
