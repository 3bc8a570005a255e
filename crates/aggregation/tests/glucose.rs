//! The figures of glucose: the examples of the definition. Those of the published formulas are in
//! `published/glucose.rs`.

#![expect(clippy::unwrap_used, reason = "clippy takes only functions marked #[test] for tests")]

mod support;

use std::collections::BTreeMap;

use aggregation::Timestamp;
use aggregation::catalogue::Catalogue;
use aggregation::glucose::{GlucoseDay, METRIC, Ranges, figures, span_to_read, touched_dates};
use aggregation::timestamp::{HOUR_US, MINUTE_US, SECOND_US};
use aggregation::vitals::{Change, RawVital};
use support::rows::{World, at, date, in_zone, row};

const DAY: &str = "2024-05-01";
const START: &str = "2024-05-01T00:00:00Z";

/// A reading, measured this many minutes after the day's start.
fn reading(minutes: f64, value: f64) -> RawVital {
    from("sensor", START, minutes, value)
}

fn from(source: &str, start: &str, minutes: f64, value: f64) -> RawVital {
    let started_at = at(start).plus((minutes * MINUTE_US as f64) as i64);
    let template = row(0, source, "mg/dL", start, start, value);
    RawVital { started_at, ended_at: started_at, ..template }
}

fn beyond(comparator: &str, row: RawVital) -> RawVital {
    RawVital { comparator: Some(comparator.into()), ..row }
}

/// A sensor's readings, one every `minutes`.
fn every(minutes: f64, values: &[f64]) -> Vec<RawVital> {
    let times = (0..).map(|n| f64::from(n) * minutes);
    times.zip(values).map(|(at, value)| reading(at, *value)).collect()
}

fn figures_of(day: &str, zone: &str, rows: &[RawVital]) -> Option<GlucoseDay> {
    figures(rows, date(day), &World::new(zone, &[]).context())
}

fn day(rows: &[RawVital]) -> GlucoseDay {
    figures_of(DAY, "UTC", rows).unwrap()
}

fn ranges(rows: &[RawVital]) -> Ranges {
    day(rows).ranges.unwrap()
}

fn low(rows: &[RawVital]) -> Option<i32> {
    day(rows).low_episodes
}

fn close(one: f64, other: f64) -> bool {
    (one - other).abs() <= 1e-9 * other.abs()
}

fn percents(ranges: &Ranges) -> [f64; 6] {
    [
        ranges.below_54_percent,
        ranges.below_70_percent,
        ranges.from_70_to_180_percent,
        ranges.from_70_to_140_percent,
        ranges.above_180_percent,
        ranges.above_250_percent,
    ]
}

#[test]
fn a_sensors_low_and_high_count_in_ranges_and_episodes_and_in_no_mean() {
    let mut rows = every(5.0, &[40.0, 40.0, 40.0, 100.0, 120.0, 400.0, 400.0, 400.0]);
    for index in 0..3 {
        rows[index] = beyond("<", rows[index].clone());
        rows[index + 5] = beyond(">", rows[index + 5].clone());
    }
    let day = day(&rows);
    assert_eq!((day.sample_count, day.censored_count), (2, 6));
    assert_eq!(day.moments.unwrap().mean, 110.0);
    assert_eq!(percents(&day.ranges.unwrap()), [37.5, 37.5, 25.0, 25.0, 37.5, 37.5]);
    assert_eq!((day.low_episodes, day.high_episodes), (Some(1), Some(1)));
    assert_eq!(day.sources, BTreeMap::from([("sensor".into(), 2)]));
    assert!(close(day.coverage_percent.unwrap(), 100.0 * 8.0 / 288.0));

    let none = figures_of(DAY, "UTC", &rows[..3]).unwrap();
    assert_eq!((none.sample_count, none.moments), (0, None));
    assert_eq!(none.ranges.unwrap().below_54_percent, 100.0);
}

#[test]
fn a_bound_lies_just_beyond_its_value() {
    let of = |comparator, value| percents(&ranges(&[beyond(comparator, reading(0.0, value))]));
    assert_eq!(of("<", 70.0), [0.0, 100.0, 0.0, 0.0, 0.0, 0.0]);
    assert_eq!(of("<", 54.0), [100.0, 100.0, 0.0, 0.0, 0.0, 0.0]);
    assert_eq!(of(">", 180.0), [0.0, 0.0, 0.0, 0.0, 100.0, 0.0]);
    assert_eq!(of(">", 250.0), [0.0, 0.0, 0.0, 0.0, 100.0, 100.0]);
}

fn mmol(row: RawVital) -> RawVital {
    RawVital { unit: "mmol/L".into(), ..row }
}

#[test]
fn a_row_is_placed_by_the_limits_in_its_own_unit() {
    let rows = [reading(0.0, 90.0), mmol(reading(5.0, 5.5)), mmol(reading(10.0, 10.0))];
    let both = day(&rows);
    assert!(close(both.moments.unwrap().mean, (90.0 + 15.5 * 18.01559) / 3.0));
    assert_eq!(both.ranges.unwrap().from_70_to_180_percent, 100.0, "10 mmol/L are in range");

    let of = |unit: &str, value: f64| {
        percents(&ranges(&[RawVital { unit: unit.into(), ..reading(0.0, value) }]))
            .map(|of| of > 0.0)
    };
    for (milligrams, millimoles) in [
        (53.9, 2.9),
        (54.0, 3.0),
        (69.9, 3.8),
        (70.0, 3.9),
        (140.0, 7.8),
        (140.1, 7.9),
        (180.0, 10.0),
        (180.1, 10.1),
        (250.0, 13.9),
        (250.1, 14.0),
    ] {
        for unit in ["mmol/L", "mmol/l"] {
            assert_eq!(of(unit, millimoles), of("mg/dL", milligrams), "{millimoles} {unit}");
        }
    }
    let bound =
        |comparator, value| percents(&ranges(&[beyond(comparator, mmol(reading(0.0, value)))]));
    assert_eq!(bound(">", 10.0), [0.0, 0.0, 0.0, 0.0, 100.0, 0.0]);
    assert_eq!(bound(">", 13.9), [0.0, 0.0, 0.0, 0.0, 100.0, 100.0]);
    assert_eq!(bound("<", 3.9), [0.0, 100.0, 0.0, 0.0, 0.0, 0.0]);
    assert_eq!(bound("<", 3.0), [100.0, 100.0, 0.0, 0.0, 0.0, 0.0]);
}

#[test]
fn an_episode_in_millimoles_begins_beyond_the_limits_in_millimoles() {
    let episodes = |value: f64| {
        let day = day(&every(5.0, &[value; 4]).into_iter().map(mmol).collect::<Vec<_>>());
        (day.low_episodes, day.high_episodes)
    };
    assert_eq!([3.9, 10.0].map(episodes), [(Some(0), Some(0)); 2]);
    assert_eq!(episodes(3.8), (Some(1), Some(0)));
    assert_eq!(episodes(10.1), (Some(0), Some(1)));
}

#[test]
fn a_catalogue_in_millimoles_changes_no_limit() {
    let toml = include_str!("../../../config/catalogue.toml");
    let entry = |unit: &str, min: &str, max: &str, factors: &str| {
        format!(
            "unit = \"{unit}\"\nloinc = \"2339-0\"\nmin = {min}\nmax = {max}\nfactors = {{ {factors} }}"
        )
    };
    let built_in = entry("mg/dL", "5", "2_000", "\"mmol/L\" = 18.01559");
    assert!(toml.contains(&built_in));
    let mut world = World::new("UTC", &[]);
    let in_mmol = entry("mmol/L", "0.3", "111", "\"mg/dL\" = 0.05550747990");
    world.catalogue = Catalogue::parse(&toml.replace(&built_in, &in_mmol)).unwrap();
    let rows = [
        every(5.0, &[54.0, 70.0, 140.0, 180.0, 250.0]),
        vec![RawVital { unit: "mmol/L".into(), ..reading(25.0, 5.5) }],
    ]
    .concat();
    let there = figures(&rows, date(DAY), &world.context()).unwrap();
    let here = day(&rows);
    assert_eq!(there.ranges, here.ranges);
    assert!(close(there.moments.unwrap().mean, here.moments.unwrap().mean));

    let alone = entry("mmol/L", "0.3", "111", "");
    world.catalogue = Catalogue::parse(&toml.replace(&built_in, &alone)).unwrap();
    assert_eq!(figures(&rows, date(DAY), &world.context()), None, "no way to mg/dL");
}

#[test]
fn fifteen_minutes_are_an_episode_with_any_sensor() {
    let values = |low: usize| [vec![100.0; 4], vec![60.0; low], vec![100.0; 20]].concat();
    for (minutes, least) in [(1.0, 15), (3.0, 5), (5.0, 3), (10.0, 2), (15.0, 1)] {
        assert_eq!(low(&every(minutes, &values(least))), Some(1), "{least} every {minutes} min");
        let less = low(&every(minutes, &values(least - 1)));
        assert_eq!(less, Some(0), "{} every {minutes} min", least - 1);
    }
}

#[test]
fn a_high_episode_mirrors_a_low_one() {
    let rows = every(5.0, &[180.0, 180.1, 200.0, 300.0, 180.0, 180.0, 180.0, 70.0, 70.0, 69.9]);
    let day = day(&rows);
    assert_eq!((day.high_episodes, day.low_episodes), (Some(1), Some(0)));
}

#[test]
fn an_episode_is_over_after_fifteen_minutes_out_of_it_and_not_before() {
    let with_pause = |normal: usize, low: usize| {
        [vec![100.0; 3], vec![60.0; 3], vec![100.0; normal], vec![60.0; low]].concat()
    };
    assert_eq!(low(&every(5.0, &with_pause(2, 3))), Some(1), "10 minutes");
    assert_eq!(low(&every(5.0, &with_pause(3, 3))), Some(2), "15 minutes");
    assert_eq!(low(&every(5.0, &with_pause(3, 2))), Some(1), "the second is too short");
    // 10 minutes low, twice, are not 15 minutes without a break.
    assert_eq!(low(&every(5.0, &[60.0, 60.0, 100.0, 60.0, 60.0, 100.0, 100.0, 100.0])), Some(0));
}

#[test]
fn sensors_that_measure_some_seconds_early_or_late_show_the_same_episodes() {
    let jitter = [0.2, -0.2, 0.1, -0.25, 0.2, -0.1];
    let values = [100.0, 60.0, 60.0, 60.0, 100.0, 100.0];
    let rows: Vec<_> = values
        .iter()
        .zip(0..)
        .map(|(value, n)| reading(f64::from(n) * 5.0 + 1.0 + jitter[n as usize], *value))
        .collect();
    assert_eq!(low(&rows), Some(1));
}

#[test]
fn an_episode_spans_missing_readings_but_no_gap_of_more_than_45_minutes() {
    let sensor = every(5.0, &[100.0; 12]);
    let with = |minutes: &[f64]| {
        let lows = minutes.iter().map(|at| reading(110.0 + at, 60.0));
        low(&sensor.iter().cloned().chain(lows).collect::<Vec<_>>())
    };
    assert_eq!(with(&[0.0, 10.0]), Some(1), "10 minutes, and 5 for the last reading");
    assert_eq!(with(&[0.0, 9.0]), Some(0));
    assert_eq!(with(&[0.0, 45.0]), Some(1));
    assert_eq!(with(&[0.0, 45.1]), Some(0), "nothing is known of the 45 minutes");
    assert_eq!(with(&[0.0, 5.0, 10.0, 55.0, 60.0, 65.0]), Some(1));
    assert_eq!(with(&[0.0, 5.0, 10.0, 55.1, 60.1, 65.1]), Some(2));
    // A reading before a gap lasts for its interval, not for the gap.
    let mut after_gap = sensor.clone();
    after_gap.extend([reading(60.0, 60.0), reading(100.0, 100.0)]);
    assert_eq!(low(&after_gap), Some(0));
}

#[test]
fn a_meter_shows_an_episode_only_where_it_was_used_twice() {
    let meter = |minutes: &[(f64, f64)]| -> Vec<_> {
        minutes.iter().map(|(at, value)| reading(*at, *value)).collect()
    };
    let day = [(420.0, 60.0), (720.0, 110.0), (1080.0, 130.0), (1320.0, 60.0)];
    assert_eq!(low(&meter(&day)), Some(0), "single readings");
    let again = [&day[..], &[(1340.0, 65.0)]].concat();
    assert_eq!(low(&meter(&again)), Some(1), "still low after 20 minutes");
}

#[test]
fn an_episode_over_midnight_counts_once_on_the_date_on_which_it_begins() {
    let night = |from: i32, to: i32| -> Vec<_> {
        let normal = (1200..1640).step_by(5).map(|at| (at, 100.0));
        let values =
            normal.map(|(at, value)| (at, if (from..to).contains(&at) { 60.0 } else { value }));
        values.map(|(at, value)| reading(f64::from(at), value)).collect()
    };
    let episodes = |rows: &[RawVital]| {
        [DAY, "2024-05-02"].map(|day| figures_of(day, "UTC", rows).unwrap().low_episodes)
    };
    assert_eq!(episodes(&night(1400, 1460)), [Some(1), Some(0)]);
    assert_eq!(episodes(&night(1425, 1450)), [Some(1), Some(0)]);
    assert_eq!(episodes(&night(1430, 1450)), [Some(1), Some(0)], "on neither date 15 minutes");
    assert_eq!(episodes(&night(1430, 1440)), [Some(0), Some(0)]);
    assert_eq!(episodes(&night(1440, 1455)), [Some(0), Some(1)]);
    assert_eq!(episodes(&night(1200, 1640)), [Some(1), Some(0)]);
    // The only reading of its date, which begins an episode.
    let begins: Vec<_> = night(1435, 1455).into_iter().skip(47).collect();
    assert_eq!(episodes(&begins), [Some(1), Some(0)]);
    // Two sources, one of which begins after midnight: one episode.
    let late = night(1440, 1455).into_iter().map(|row| RawVital { source: "b".into(), ..row });
    assert_eq!(episodes(&[night(1430, 1450), late.collect()].concat()), [Some(1), Some(0)]);
}

#[test]
fn an_episode_of_a_traveller_counts_on_the_date_of_the_reading_with_which_it_begins() {
    let tokyo = |row| in_zone("Asia/Tokyo", row);
    let values = [100.0, 60.0, 60.0, 60.0, 60.0, 100.0, 100.0, 100.0];
    let mut rows = every(5.0, &values);
    for row in &mut rows {
        (row.started_at, row.ended_at) =
            (row.started_at.plus(20 * HOUR_US), row.ended_at.plus(20 * HOUR_US));
    }
    // 20:00 UTC is 05:00 of the next date in Tokyo.
    rows[3..].iter_mut().for_each(|row| *row = tokyo(row.clone()));
    let of = |day| figures_of(day, "UTC", &rows).unwrap().low_episodes;
    assert_eq!([of(DAY), of("2024-05-02")], [Some(1), Some(0)]);
}

#[test]
fn fourteen_and_a_half_minutes_are_no_episode() {
    let minutes = 4.0 + 50.0 / 60.0;
    let values = |low: usize| [vec![100.0; 4], vec![60.0; low], vec![100.0; 20]].concat();
    assert_eq!(low(&every(minutes, &values(3))), Some(0));
    assert_eq!(low(&every(minutes, &values(4))), Some(1));
    // Seconds of jitter come from the clock, not from the person.
    assert_eq!(low(&every(4.0 + 58.0 / 60.0, &values(3))), Some(1));
}

#[test]
fn a_second_source_neither_cuts_an_episode_nor_counts_it_again() {
    let sensor = every(5.0, &[100.0, 60.0, 60.0, 60.0, 60.0, 100.0, 100.0, 100.0, 100.0]);
    let meter = [from("meter", START, 11.0, 75.0), from("meter", START, 300.0, 100.0)];
    assert_eq!(low(&[&sensor[..], &meter].concat()), Some(1));
    let again: Vec<_> = sensor
        .iter()
        .map(|row| RawVital {
            source: "app".into(),
            started_at: row.started_at.plus(SECOND_US),
            ended_at: row.ended_at.plus(SECOND_US),
            ..row.clone()
        })
        .collect();
    let both = [sensor.clone(), again].concat();
    assert_eq!(low(&both), Some(1));
    // The last one ends a second later.
    assert_eq!(day(&both).coverage_percent, Some(100.0 * (45.0 * 60.0 + 1.0) / 86_400.0));
    assert_eq!(day(&both).sample_count, 18);
    assert_eq!(day(&both).sources, BTreeMap::from([("app".into(), 9), ("sensor".into(), 9)]));
}

#[test]
fn episodes_of_two_sources_are_one_if_the_second_begins_within_fifteen_minutes() {
    let old = every(5.0, &[60.0, 60.0, 60.0]);
    let new = |begin: f64| [0.0, 5.0, 10.0].map(|at| from("new", START, begin + at, 60.0));
    let both = |begin| low(&[&old[..], &new(begin)].concat());
    assert_eq!([5.0, 16.0, 29.0, 30.0].map(both), [Some(1), Some(1), Some(1), Some(2)]);
}

#[test]
fn a_new_sensor_goes_on_where_the_old_one_ended() {
    let old = (0..144).map(|n| from("old", START, f64::from(n) * 5.0, 100.0));
    let new = (144..288).map(|n| from("new", START, f64::from(n) * 5.0, 100.0));
    let day = day(&old.chain(new).collect::<Vec<_>>());
    assert_eq!(day.coverage_percent, Some(100.0));
}

#[test]
fn coverage_is_of_the_local_days_23_24_or_25_hours() {
    for (day, start, hours) in [
        ("2024-03-31", "2024-03-30T23:00:00Z", 23),
        ("2024-05-01", "2024-04-30T22:00:00Z", 24),
        ("2024-10-27", "2024-10-26T22:00:00Z", 25),
    ] {
        let readings = |number: i32| -> Vec<_> {
            (0..number).map(|n| from("sensor", start, f64::from(n) * 5.0, 100.0)).collect()
        };
        let of = |number| figures_of(day, "Europe/Berlin", &readings(number)).unwrap();
        let (whole, half) = (of(hours * 12), of(hours * 6));
        assert_eq!(whole.day_end.since(whole.day_start), i64::from(hours) * HOUR_US);
        assert_eq!((whole.coverage_percent, whole.is_sufficient), (Some(100.0), Some(true)));
        assert_eq!((half.coverage_percent, half.is_sufficient), (Some(50.0), Some(false)));
        assert_eq!(whole.sample_count, hours * 12);
    }
}

#[test]
fn coverage_is_the_part_of_the_day_within_one_interval_of_a_reading() {
    let coverage = |minutes: &[f64]| {
        let rows: Vec<_> = minutes.iter().map(|at| reading(*at, 100.0)).collect();
        day(&rows).coverage_percent
    };
    let percent = |minutes: f64| Some(100.0 * minutes / 1440.0);
    // 1, 5, 5 and 60 minutes: the median is 5; the second reading comes 4 minutes early.
    assert_eq!(coverage(&[0.0, 1.0, 6.0, 11.0, 71.0]), percent(21.0));
    // 10 and 20 minutes: the median is 15.
    assert_eq!(coverage(&[0.0, 10.0, 30.0]), percent(40.0));
    // The reading before the first belongs to yesterday.
    assert_eq!(coverage(&[3.0, 8.0, 13.0]), percent(18.0));
    assert_eq!(coverage(&[6.0, 11.0, 16.0]), percent(15.0));
    assert_eq!(coverage(&[1427.0, 1432.0, 1437.0]), percent(13.0), "the day ends");
}

#[test]
fn readings_more_than_fifteen_minutes_apart_are_those_of_a_meter() {
    let of = |minutes: f64| day(&every(minutes, &[100.0; 4])).coverage_percent;
    // Half a minute is the jitter of a clock; no reading covers more than 15 minutes.
    assert_eq!([15.0, 15.5].map(of), [Some(100.0 * 60.0 / 1440.0); 2]);
    assert_eq!(of(15.6), None);
    let meter = day(&[reading(5.0, 100.0), reading(725.0, 120.0)]);
    assert_eq!((meter.coverage_percent, meter.is_sufficient), (None, None));
    // A person who is low measures more often.
    let again = [420.0, 435.0, 720.0, 1080.0, 1320.0].map(|at| reading(at, 65.0));
    assert_eq!(day(&again).coverage_percent, None);
    let mut with_sensor = every(5.0, &[100.0; 144]);
    with_sensor.extend(again.map(|row| RawVital { source: "meter".into(), ..row }));
    assert_eq!(day(&with_sensor).coverage_percent, Some(50.0));
}

#[test]
fn each_sensor_covers_by_its_own_interval() {
    let five = (0..144).map(|n| from("five", START, f64::from(n) * 5.0, 100.0));
    let fifteen = (48..96).map(|n| from("fifteen", START, f64::from(n) * 15.0, 100.0));
    let day = day(&five.chain(fifteen).collect::<Vec<_>>());
    assert_eq!((day.coverage_percent, day.is_sufficient), (Some(100.0), Some(true)));
}

#[test]
fn a_day_sent_again_some_seconds_later_is_as_covered_and_has_the_same_episodes() {
    let lows = [vec![100.0; 12], vec![60.0; 3], vec![100.0; 273]].concat();
    let rows = every(5.0, &lows);
    assert_eq!((day(&rows).coverage_percent, day(&rows).low_episodes), (Some(100.0), Some(1)));
    for seconds in [-45, -9, 9, 45] {
        let again = rows.iter().map(|row| {
            let started_at = row.started_at.plus(seconds * SECOND_US);
            RawVital { started_at, ended_at: started_at, ..row.clone() }
        });
        let twice = day(&rows.iter().cloned().chain(again).collect::<Vec<_>>());
        assert_eq!(twice.coverage_percent, Some(100.0), "{seconds} s");
        assert_eq!(twice.low_episodes, Some(1), "{seconds} s");
    }
    // A reading of a meter that is sent again counts once.
    let meter = day(&[reading(5.0, 100.0), reading(5.2, 100.0)]);
    assert_eq!((meter.coverage_percent, meter.low_episodes), (None, None));
}

#[test]
fn a_day_sent_again_minutes_later_is_as_covered_as_before() {
    let later = |rows: &[RawVital], seconds: i64| -> Vec<RawVital> {
        let again = rows.iter().map(|row| {
            let started_at = row.started_at.plus(seconds * SECOND_US);
            RawVital { started_at, ended_at: started_at, ..row.clone() }
        });
        rows.iter().cloned().chain(again).collect()
    };
    let (whole, half) = (every(5.0, &[100.0; 288]), every(5.0, &[100.0; 144]));
    for seconds in [60, 75, 120, 149, -60, -149] {
        assert_eq!(day(&later(&whole, seconds)).coverage_percent, Some(100.0), "{seconds} s");
        // The last reading is sent again, too, and covers the time after it.
        let covered = 100.0 * (43_200.0 + f64::from(seconds.max(0) as i32)) / 86_400.0;
        let coverage = day(&later(&half, seconds)).coverage_percent.unwrap();
        assert!(close(coverage, covered), "{seconds} s: {coverage}");
    }
    // Half of the readings are sent again, and a tenth of them is lost.
    let lossy: Vec<_> =
        (0..288).filter(|n| n % 10 != 7).map(|n| reading(f64::from(n) * 5.0, 100.0)).collect();
    let twice = later(&lossy[..130], 60);
    let some = [&twice[..], &lossy[130..]].concat();
    let (before, after) =
        (day(&lossy).coverage_percent.unwrap(), day(&some).coverage_percent.unwrap());
    assert!(before < after && after < before + 1.0, "{before} {after}");
}

#[test]
fn seventy_percent_are_sufficient() {
    // 1440 minutes / 10 = 144; 70 % of them are 100.8 readings. With 14.4: 70 of 100.
    let readings = |number: i32| -> Vec<_> {
        (0..number).map(|n| reading(f64::from(n) * 14.4, 100.0)).collect()
    };
    assert_eq!(day(&readings(70)).coverage_percent, Some(70.0));
    assert_eq!(day(&readings(70)).is_sufficient, Some(true));
    assert_eq!(day(&readings(69)).is_sufficient, Some(false));
}

#[test]
fn a_single_reading_says_nothing_of_durations() {
    let single = day(&[reading(0.0, 60.0)]);
    assert_eq!(
        (single.low_episodes, single.high_episodes, single.coverage_percent),
        (None, None, None)
    );
    assert_eq!(single.is_sufficient, None);
    let two_sources = [reading(0.0, 60.0), from("meter", START, 5.0, 60.0)];
    assert_eq!((day(&two_sources).low_episodes, day(&two_sources).coverage_percent), (None, None));
}

#[test]
fn the_day_agrees_with_its_row_of_vitals() {
    let mut rows = every(5.0, &[61.5, 300.1, 110.7, 99.9, 5000.0]);
    for (row, id) in rows.iter_mut().zip(1..) {
        row.id = id;
    }
    rows.push(RawVital { id: 9, value: 120.0, ..rows[2].clone() });
    rows.push(beyond("<", reading(500.0, 40.0)));
    rows.push(reading(505.0, f64::NAN));
    let vitals = World::new("UTC", &[]).figures(METRIC, &rows);
    let (vitals, glucose) = (vitals.day(DAY), day(&rows));
    assert_eq!((glucose.sample_count, glucose.censored_count, glucose.rejected_count), (4, 1, 2));
    assert_eq!(vitals.sample_count, glucose.sample_count);
    assert_eq!(vitals.censored_count, glucose.censored_count);
    assert_eq!(vitals.rejected_count, glucose.rejected_count);
    assert_eq!(vitals.sources, glucose.sources);
    assert!(close(vitals.moments.unwrap().mean(), glucose.moments.unwrap().mean));
    let (one, other) = (vitals.moments.unwrap().stddev(), glucose.moments.unwrap().stddev);
    assert!(close(one.unwrap(), other.unwrap()));
}

#[test]
fn a_row_counts_on_the_date_of_its_own_zone_which_the_day_takes_if_all_share_it() {
    let tokyo = in_zone("Asia/Tokyo", reading(900.0, 100.0));
    let rows = [tokyo.clone(), in_zone("Mars", reading(0.0, 100.0))];
    assert_eq!(figures_of(DAY, "UTC", &rows), None, "15:00 UTC is tomorrow in Tokyo");
    let day = figures_of("2024-05-02", "UTC", &rows).unwrap();
    assert_eq!((day.sample_count, day.time_zone.as_str()), (1, "Asia/Tokyo"));
    assert_eq!(day.day_start, at("2024-05-01T15:00:00Z"));
    let both = [tokyo, reading(1440.0, 100.0)];
    let day = figures_of("2024-05-02", "UTC", &both).unwrap();
    assert_eq!((day.sample_count, day.time_zone.as_str()), (2, "UTC"));
}

#[test]
fn a_date_with_rejected_rows_only_counts_them_and_knows_nothing_else() {
    let rows = [in_zone("Asia/Tokyo", reading(0.0, 1.0))];
    let day = figures_of(DAY, "nowhere", &rows).unwrap();
    assert_eq!((day.sample_count, day.censored_count, day.rejected_count), (0, 0, 1));
    assert_eq!((day.moments, day.ranges, day.low_episodes), (None, None, None));
    assert_eq!((day.time_zone.as_str(), day.is_sufficient), ("Asia/Tokyo", None));
    assert_eq!(figures_of("2024-05-03", "UTC", &rows), None);
}

#[test]
fn a_changed_row_touches_its_date_and_those_of_its_twins() {
    let base = Ok("UTC".parse().unwrap());
    let change = |zone: Option<&str>| Change {
        metric: METRIC.to_owned(),
        starts_at: at("2024-05-01T23:00:00Z"),
        ends_at: at("2024-05-01T23:00:00Z"),
        time_zone: zone.map(str::to_owned),
        whole_day: false,
    };
    let dates = |change: &Change, rows: &[RawVital]| -> Vec<_> {
        touched_dates(&[change], rows, &base).iter().map(ToString::to_string).collect()
    };
    assert_eq!(dates(&change(None), &[]), ["2024-05-01"]);
    assert_eq!(dates(&change(Some("Europe/Berlin")), &[]), ["2024-05-02"]);
    let twin = in_zone("Asia/Tokyo", reading(23.0 * 60.0, 100.0));
    let other = in_zone("Asia/Tokyo", reading(23.0 * 60.0 + 1.0, 100.0));
    assert_eq!(dates(&change(None), &[twin]), ["2024-05-01", "2024-05-02"]);
    assert_eq!(dates(&change(None), &[other]), ["2024-05-01", "2024-05-02"], "of its episodes");
    let far = in_zone("Asia/Tokyo", reading(29.0 * 60.0 + 1.0, 100.0));
    assert_eq!(dates(&change(None), &[far]), ["2024-05-01"]);
    let evening = Change { starts_at: at("2024-05-01T21:00:00Z"), ..change(None) };
    let next = |minute| dates(&evening, &[reading(minute, 100.0)]);
    assert_eq!((next(1438.0).len(), next(1380.0).len(), next(1441.0).len()), (1, 1, 1));
    let later = Change { starts_at: at("2024-05-01T21:01:00Z"), ..change(None) };
    assert_eq!(dates(&later, &[reading(1441.0, 100.0)]), ["2024-05-01", "2024-05-02"]);
    assert!(dates(&change(Some("Mars")), &[]).is_empty());
    assert!(dates(&Change { starts_at: Timestamp::MAX.plus(1), ..change(None) }, &[]).is_empty());
    let (from, to) = span_to_read(date(DAY));
    assert_eq!((from, to), (at("2024-04-30T05:00:00Z"), at("2024-05-02T18:00:00Z")));
}
