//! The figures of vitals: the examples of the definition, and a comparison with a simple reference.

#![expect(clippy::unwrap_used, reason = "clippy takes only functions marked #[test] for tests")]

#[path = "support/generated.rs"]
mod generated;
#[path = "support/reference.rs"]
mod reference;
mod support;

use std::collections::BTreeMap;

use aggregation::timestamp::{DAY_US, HOUR_US};
use aggregation::vitals::{RawVital, judge};
use aggregation::zones::Zones;
use aggregation::{Reason, Timestamp};
use generated::{any_beat, any_interval, any_night, placed};
use proptest::prelude::*;
use proptest::sample::select;
use reference::{check_samples, check_totals};
use support::rows::{World, at, beats, daily_total, in_zone, row, steps};

const DAY: &str = "2024-05-01";
const WATCH_FIRST: &[&str] = &["watch", "phone"];
const PHONE_FIRST: &[&str] = &["phone", "watch"];

fn utc(source_order: &[&str]) -> World {
    World::new("UTC", source_order)
}

fn berlin() -> World {
    World::new("Europe/Berlin", WATCH_FIRST)
}

fn watch_and_phone() -> Vec<RawVital> {
    vec![
        steps(1, "watch", "2024-05-01T10:00:00Z", "2024-05-01T11:00:00Z", 600.0),
        steps(2, "phone", "2024-05-01T10:30:00Z", "2024-05-01T11:30:00Z", 900.0),
    ]
}

#[test]
fn the_watch_and_the_phone_never_count_the_same_steps_twice() {
    let figures = utc(WATCH_FIRST).figures("steps", &watch_and_phone());
    assert_eq!(figures.total(DAY), Some(1050.0));
    assert_eq!(figures.hour_totals(), [Some(600.0), Some(450.0)]);
    assert_eq!(figures.day(DAY).primary_source.as_deref(), Some("watch"));

    let figures = utc(PHONE_FIRST).figures("steps", &watch_and_phone());
    assert_eq!(figures.total(DAY), Some(1200.0));
    assert_eq!(figures.day(DAY).primary_source.as_deref(), Some("phone"));
}

#[test]
fn a_listed_source_comes_before_the_others_which_follow_by_name() {
    assert_eq!(utc(&["watch"]).figures("steps", &watch_and_phone()).total(DAY), Some(1050.0));
    assert_eq!(utc(&["phone"]).figures("steps", &watch_and_phone()).total(DAY), Some(1200.0));
    assert_eq!(utc(&[]).figures("steps", &watch_and_phone()).total(DAY), Some(1200.0));
    let mut rows = watch_and_phone();
    rows[0].id = 3;
    assert_eq!(utc(&[]).figures("steps", &rows).total(DAY), Some(1200.0));
}

#[test]
fn of_overlapping_rows_of_one_source_the_newest_counts() {
    for (order, total) in [(&["phone"] as &[&str], 1200.0), (&[], 1200.0)] {
        let mut rows = watch_and_phone();
        rows[0].source = "phone".into();
        assert_eq!(utc(order).figures("steps", &rows).total(DAY), Some(total));
        rows[0].id = 3;
        assert_eq!(utc(order).figures("steps", &rows).total(DAY), Some(1050.0));
    }
}

#[test]
fn an_interval_over_midnight_is_split_by_time() {
    let rows = [steps(1, "watch", "2024-05-01T21:30:00Z", "2024-05-01T22:15:00Z", 900.0)];
    let figures = berlin().figures("steps", &rows);
    assert_eq!(figures.total("2024-05-01"), Some(600.0));
    assert_eq!(figures.total("2024-05-02"), Some(300.0));
    assert_eq!(figures.day("2024-05-01").day_end, at("2024-05-01T22:00:00Z"));
    assert_eq!(figures.day("2024-05-02").day_start, at("2024-05-01T22:00:00Z"));
}

#[test]
fn an_interval_that_ends_at_midnight_is_nothing_to_the_next_day() {
    let rows = [steps(1, "watch", "2024-05-01T21:00:00Z", "2024-05-01T22:00:00Z", 900.0)];
    let figures = berlin().figures("steps", &rows);
    assert_eq!(figures.days.keys().map(ToString::to_string).collect::<Vec<_>>(), [DAY]);
}

#[test]
fn a_row_without_length_counts_whole_if_it_is_the_best_one_open() {
    let instant = |id, source: &str, clock: &str, value| {
        let at = format!("2024-05-01T{clock}:00Z");
        steps(id, source, &at, &at, value)
    };
    let with = |row: RawVital| {
        let rows = [watch_and_phone(), vec![row]].concat();
        utc(WATCH_FIRST).figures("steps", &rows).total(DAY)
    };
    // The watch is open to 11:00, the phone to 11:30, both ends included.
    assert_eq!(with(instant(3, "watch", "10:15", 7.0)), Some(1057.0));
    assert_eq!(with(instant(0, "watch", "10:15", 7.0)), Some(1050.0), "older than its interval");
    assert_eq!(with(instant(3, "phone", "10:15", 7.0)), Some(1050.0));
    assert_eq!(with(instant(3, "ring", "10:45", 7.0)), Some(1050.0));
    assert_eq!(with(instant(3, "phone", "11:00", 7.0)), Some(1050.0));
    assert_eq!(with(instant(3, "phone", "11:15", 7.0)), Some(1057.0));
    assert_eq!(with(instant(3, "ring", "11:30", 7.0)), Some(1050.0));
    assert_eq!(with(instant(3, "ring", "11:31", 7.0)), Some(1057.0));
}

#[test]
fn a_daily_total_stands_for_its_sources_samples_and_takes_its_turn_with_other_sources() {
    let phone =
        daily_total(steps(3, "phone", "2024-05-01T20:00:00Z", "2024-05-01T20:00:00Z", 2400.0));
    let rows = [watch_and_phone(), vec![phone]].concat();
    // The watch's hour replaces one of 24; the phone's own 900 are part of its 2400.
    assert_eq!(utc(WATCH_FIRST).figures("steps", &rows).total(DAY), Some(2900.0));
    let figures = utc(PHONE_FIRST).figures("steps", &rows);
    assert_eq!(figures.total(DAY), Some(2400.0));
    assert_eq!(
        figures.day(DAY).sources,
        BTreeMap::from([("phone".into(), 1), ("watch".into(), 1)])
    );
    assert_eq!(figures.hours.len(), 24);
}

#[test]
fn the_newest_daily_total_of_a_source_replaces_the_others() {
    let at_time = |id, hour: &str, value| daily_total(steps(id, "phone", hour, hour, value));
    let rows = [
        at_time(2, "2024-05-01T12:00:00Z", 5000.0),
        at_time(3, "2024-05-01T09:00:00Z", 7000.0),
        at_time(1, "2024-05-01T20:00:00Z", 3000.0),
    ];
    assert_eq!(utc(&[]).figures("steps", &rows).total(DAY), Some(7000.0));
    assert_eq!(utc(&[]).figures("steps", &rows[..1]).total(DAY), Some(5000.0));
}

#[test]
fn a_daily_total_is_its_days_total_to_the_last_bit() {
    for (zone, date) in [
        ("UTC", "2024-05-01"),
        ("Europe/Berlin", "2024-03-31"),
        ("Europe/Berlin", "2024-10-27"),
        ("Asia/Kolkata", "2024-05-01"),
        ("Australia/Lord_Howe", "2024-10-06"),
        ("America/Sao_Paulo", "2018-11-04"),
    ] {
        let noon = format!("{date}T12:00:00Z");
        for value in [1000.0, 999.0, 7.0, 0.1, 12_345.678, 1e-3, 98_765.432_1] {
            let row = daily_total(steps(1, "phone", &noon, &noon, value));
            let figures = World::new(zone, &[]).figures("steps", &[row]);
            assert_eq!(figures.total(date), Some(value), "{zone} {date}");
        }
    }
}

#[test]
fn a_daily_total_covers_23_hours_in_spring() {
    let noon = "2024-03-31T10:00:00Z";
    let rows = [daily_total(steps(1, "phone", noon, noon, 2300.0))];
    let figures = berlin().figures("steps", &rows);
    assert_eq!(figures.hour_totals(), vec![Some(100.0); 23]);
    assert_eq!(figures.total("2024-03-31"), Some(2300.0));
}

#[test]
fn of_rows_for_one_sample_the_newest_counts() {
    let ten = "2024-05-01T10:00:00Z";
    let mut rows = vec![
        beats(3, "watch", ten, 80.0),
        beats(5, "watch", ten, 60.0),
        beats(4, "watch", ten, 100.0),
        beats(6, "phone", ten, 70.0),
    ];
    let figures = utc(&[]).figures("heart_rate", &rows);
    let moments = figures.day(DAY).moments.unwrap();
    assert_eq!((moments.count, moments.mean()), (2, 65.0));
    // The source's last row cannot be used, and it replaced the earlier one.
    rows.push(beats(7, "watch", ten, 1000.0));
    let day = utc(&[]).figures("heart_rate", &rows).day(DAY).clone();
    let moments = day.moments.unwrap();
    assert_eq!((moments.count, moments.mean(), day.rejected_count), (1, 70.0, 1));
    // A rejected row that was sent again counts as rejected, and its successor counts as a sample.
    rows.push(beats(8, "watch", ten, 90.0));
    let day = utc(&[]).figures("heart_rate", &rows).day(DAY).clone();
    let moments = day.moments.unwrap();
    assert_eq!((moments.count, moments.mean(), day.rejected_count), (2, 80.0, 1));
}

#[test]
fn minus_zero_is_zero() {
    let ten = "2024-05-01T10:00:00Z";
    for metric in ["steps", "heart_rate_variability_sdnn"] {
        let unit = if metric == "steps" { "steps" } else { "ms" };
        let figures = utc(&[]).figures(metric, &[row(1, "watch", unit, ten, ten, -0.0)]);
        assert!(!format!("{figures:?}").contains("-0.0"), "{figures:?}");
        assert_eq!(figures.day(DAY).sample_count, 1);
    }
}

#[test]
fn a_sample_beyond_the_sensors_range_is_counted_apart() {
    let ten = "2024-05-01T10:00:00Z";
    let low = RawVital { comparator: Some("<".into()), ..beats(2, "watch", ten, 30.0) };
    let eleven = beats(1, "watch", "2024-05-01T11:00:00Z", 60.0);
    let day = utc(&[]).figures("heart_rate", &[low.clone(), eleven]).day(DAY).clone();
    assert_eq!((day.sample_count, day.censored_count), (1, 1));
    assert_eq!(day.moments.map(|moments| moments.min), Some(60.0));

    let day = utc(&[]).figures("heart_rate", &[low]).day(DAY).clone();
    assert_eq!((day.sample_count, day.censored_count, day.moments), (0, 1, None));
    assert_eq!((day.percentiles, day.total), (None, None));
}

#[test]
fn a_day_carries_the_zone_that_all_its_rows_share_else_the_profiles() {
    let ten = "2024-05-01T10:00:00Z";
    let noon = "2024-05-01T12:00:00Z";
    let zone = |rows: &[RawVital]| berlin().figures("heart_rate", rows).day(DAY).time_zone.clone();
    let here = beats(1, "watch", ten, 60.0);
    let there = |id, time| in_zone("Asia/Kolkata", beats(id, "watch", time, 60.0));
    assert_eq!(zone(&[there(2, ten), there(3, noon)]), "Asia/Kolkata");
    assert_eq!(zone(&[here.clone(), there(3, noon)]), "Europe/Berlin");
    assert_eq!(
        zone(&[there(2, ten), in_zone("+05:30", beats(4, "watch", noon, 60.0))]),
        "Europe/Berlin"
    );
    // A rejected row does not decide the zone if there is a sample.
    assert_eq!(zone(&[there(2, ten), beats(5, "watch", noon, f64::NAN)]), "Asia/Kolkata");
}

#[test]
fn rejected_rows_are_counted_and_name_a_zone_only_among_themselves() {
    let ten = "2024-05-01T10:00:00Z";
    let bad = |id, zone| in_zone(zone, beats(id, "watch", ten, f64::NAN));
    let mut rows = vec![bad(1, "Europe/Rome"), bad(2, "Europe/Paris"), bad(3, "Europe/Rome")];
    let day = |rows: &[RawVital]| berlin().figures("heart_rate", rows).day(DAY).clone();
    let one = day(&rows);
    assert_eq!((one.rejected_count, one.sample_count), (3, 0));
    assert_eq!(one.time_zone, "Europe/Berlin");
    let hours = |rows: &[RawVital]| berlin().figures("heart_rate", rows).hours;
    let before = hours(&rows);
    assert_eq!(before.values().map(|hour| hour.rejected_count).collect::<Vec<_>>(), [3]);
    rows.reverse();
    rows.swap(0, 1);
    assert_eq!(hours(&rows), before);
}

/// An accepted row of an hour before, so that the day has figures.
fn sound(metric: &str) -> RawVital {
    let unit = if metric == "steps" { "steps" } else { "mm[Hg]" };
    row(100, "cuff", unit, "2024-05-01T09:00:00Z", "2024-05-01T09:00:00Z", 120.0)
}

#[test]
fn a_row_that_cannot_be_right_is_rejected_with_the_reason_and_the_rest_counts() {
    const SBP: &str = "blood_pressure_systolic";
    let base =
        |value| row(1, "cuff", "mm[Hg]", "2024-05-01T10:00:00Z", "2024-05-01T10:00:00Z", value);
    let good = base(120.0);
    let ending = |at: Timestamp| RawVital { ended_at: at, ..good.clone() };
    let end = |text| ending(at(text));
    let unit = |unit: &str| RawVital { unit: unit.into(), ..good.clone() };
    let comparator = |text: &str| RawVital { comparator: Some(text.into()), ..good.clone() };
    // The last column says whether the day counts the row. A row without a zone or a time has no
    // day.
    let cases = [
        (base(f64::NAN), Reason::NonFiniteValue, true),
        (base(f64::INFINITY), Reason::NonFiniteValue, true),
        (base(f64::NEG_INFINITY), Reason::NonFiniteValue, true),
        (base(13682.0), Reason::ImplausibleValue, true),
        (base(f64::MAX), Reason::ImplausibleValue, true),
        (base(-120.0), Reason::ImplausibleValue, true),
        (base(-0.0), Reason::ImplausibleValue, true),
        (unit("furlong"), Reason::UnknownUnit, true),
        (unit(""), Reason::UnknownUnit, true),
        (unit("mg/dL"), Reason::UnknownUnit, true),
        (unit("{steps}"), Reason::UnknownUnit, true),
        (comparator("="), Reason::UnknownComparator, true),
        (comparator("<="), Reason::UnknownComparator, true),
        (comparator(""), Reason::UnknownComparator, true),
        (end("2024-05-01T09:59:59Z"), Reason::EndBeforeStart, true),
        (ending(Timestamp(good.started_at.0 + 2 * DAY_US + 1)), Reason::IntervalTooLong, true),
        (ending(Timestamp(i64::MAX)), Reason::TimeOutOfRange, true),
        (ending(Timestamp(i64::MIN)), Reason::TimeOutOfRange, true),
        (ending(Timestamp(Timestamp::MAX.0 + 1)), Reason::TimeOutOfRange, true),
        (
            RawVital { started_at: Timestamp(i64::MIN), ..good.clone() },
            Reason::TimeOutOfRange,
            false,
        ),
        (
            RawVital { started_at: Timestamp(i64::MAX), ..good.clone() },
            Reason::TimeOutOfRange,
            false,
        ),
        (in_zone("Mars/Phobos", good.clone()), Reason::UnknownTimeZone, false),
        (in_zone("", good.clone()), Reason::UnknownTimeZone, false),
        (in_zone("+15:00", good.clone()), Reason::UnknownTimeZone, false),
    ];
    let world = utc(&[]);
    for (row, reason, is_dated) in cases {
        for metric in [SBP, "steps"] {
            let mut row = row.clone();
            if metric == "steps" && &*row.unit == "mm[Hg]" {
                row.unit = "steps".into();
            }
            if metric == "steps" && (&*row.unit == "{steps}" || row.value.abs() < 1e6) {
                // These are valid for steps, or steps have no such limits.
                if matches!(reason, Reason::ImplausibleValue | Reason::UnknownUnit) {
                    continue;
                }
            }
            let mut zones = Zones::new(&world.base_zone);
            let found = judge(&row, world.catalogue.metric(metric), &mut zones);
            assert_eq!(found.err(), Some(reason), "{metric} {row:?}");

            let figures = world.figures(metric, &[row.clone(), sound(metric)]);
            let day = figures.day(DAY);
            assert_eq!(day.sample_count, 1, "{row:?}");
            assert_eq!(day.rejected_count, i32::from(is_dated), "{row:?}");
            let value = day.total.or(day.moments.map(|moments| moments.mean()));
            assert_eq!(value, Some(120.0), "{row:?}");
        }
    }
    let mut zones = Zones::new(&world.base_zone);
    assert_eq!(judge(&good, None, &mut zones).err(), Some(Reason::UnknownMetric));
    let mut nowhere = Zones::new(&Err(aggregation::local_time::UnknownZone));
    let metric = world.catalogue.metric(SBP);
    assert_eq!(judge(&good, metric, &mut nowhere).err(), Some(Reason::UnknownTimeZone));
}

#[test]
fn the_limits_are_plausible_themselves() {
    let world = utc(&[]);
    let length = |micros: i64| {
        let mut row = steps(1, "watch", "2024-05-01T10:00:00Z", "2024-05-01T10:00:00Z", 200_000.0);
        row.ended_at = row.started_at.plus(micros);
        row
    };
    let rows = [length(0), length(2 * DAY_US)];
    let figures = world.figures("steps", &rows);
    assert!(figures.days.values().all(|day| day.rejected_count == 0));
    for (year, instant) in [("0001-01-01", Timestamp::MIN), ("9999-12-31", Timestamp::MAX)] {
        let row = RawVital { started_at: instant, ended_at: instant, ..length(0) };
        assert_eq!(world.figures("steps", &[row]).total(year), Some(200_000.0));
    }
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, cases: 128, ..ProptestConfig::default() })]

    #[test]
    fn totals_are_those_of_a_plain_count_of_cells(
        night in any_night(),
        zone in select(vec!["Europe/Berlin", "Asia/Kolkata", "Pacific/Apia"]),
        order in select(vec![WATCH_FIRST, PHONE_FIRST, &["ring"], &[]]),
        rows in prop::collection::vec(any_interval(), 1..12),
        again in prop::collection::vec((any::<prop::sample::Index>(), 1u32..5000), 0..3),
    ) {
        let world = World::new(zone, order);
        let rows = placed(night, rows, &again);
        check_totals(&world.figures("steps", &rows), &world, &rows);
    }

    #[test]
    fn statistics_are_those_of_two_passes_over_the_whole_day(
        night in any_night(),
        zone in select(vec!["Europe/Berlin", "Asia/Kolkata", "Pacific/Apia"]),
        rows in prop::collection::vec(any_beat(), 1..120),
        again in prop::collection::vec((any::<prop::sample::Index>(), 15u32..350), 0..4),
    ) {
        let world = World::new(zone, &[]);
        let rows = placed(night, rows, &again);
        check_samples(&world.figures("heart_rate", &rows), &world, &rows);
    }

    #[test]
    fn any_row_is_a_sample_or_rejected_but_never_a_panic(
        rows in prop::collection::vec(any_row(), 1..8),
        base_zone in prop_oneof![Just("Europe/Berlin".to_owned()), any::<String>()],
        order in prop::collection::vec(any::<String>(), 0..3),
    ) {
        let order: Vec<&str> = order.iter().map(String::as_str).collect();
        let world = World::new(&base_zone, &order);
        for metric in ["steps", "heart_rate", "body_temperature", "blood_glucose"] {
            let mut zones = Zones::new(&world.base_zone);
            let judged = rows.iter().map(|row| judge(row, world.catalogue.metric(metric), &mut zones));
            let mut samples = 0;
            for sample in judged.flatten() {
                prop_assert!(sample.value.is_finite());
                samples += 1;
            }
            let figures = world.figures(metric, &rows);
            let of_days = figures.days.values().map(|day| day.sample_count + day.censored_count);
            prop_assert_eq!(samples > 0, of_days.sum::<i32>() > 0);
        }
    }
}

fn any_instant() -> impl Strategy<Value = i64> {
    let near = at("2024-05-01T00:00:00Z").0;
    prop_oneof![
        3 => near - 3 * DAY_US..near + 3 * DAY_US,
        1 => any::<i64>(),
        1 => select(vec![i64::MIN, i64::MAX, 0, Timestamp::MIN.0, Timestamp::MAX.0, Timestamp::MAX.0 + 1]),
    ]
}

/// Any row that fits the columns.
fn any_row() -> impl Strategy<Value = RawVital> {
    let units =
        vec!["steps", "bpm", "°F", "µg/L", "mmol/L", "((((", "10*", "[degF]", "%", "1", "2.m"];
    let text = |known: Vec<&'static str>| prop_oneof![3 => select(known).prop_map(str::to_owned), 1 => any::<String>()];
    let symbols = "[a-z0-9/.*{}\\[\\]()+\\-^'\" ]{0,12}";
    (
        any::<i64>(),
        prop_oneof![0.0f64..400.0, any::<f64>()],
        prop_oneof![3 => Just(None), 1 => text(vec!["<", ">", "~"]).prop_map(Some)],
        prop_oneof![3 => text(units), 1 => symbols],
        any_instant(),
        prop_oneof![2 => (0..50 * HOUR_US).prop_map(Ok), 1 => any_instant().prop_map(Err)],
        prop_oneof![2 => Just(None), 1 => text(vec!["Asia/Kolkata", "-11:00"]).prop_map(Some)],
        (text(vec!["watch"]), any::<bool>()),
    )
        .prop_map(|(id, value, comparator, unit, start, end, time_zone, (source, total))| {
            RawVital {
                id,
                value,
                comparator: comparator.map(Into::into),
                unit: unit.into(),
                source: source.into(),
                started_at: Timestamp(start),
                ended_at: end.map_or_else(Timestamp, |length| Timestamp(start).plus(length)),
                time_zone: time_zone.map(Into::into),
                is_daily_total: total,
                workout_type: None,
            }
        })
}
