//! Compares the figures of glucose with a simple reference.

#![expect(clippy::unwrap_used, reason = "clippy takes only functions marked #[test] for tests")]

mod support;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::LazyLock;

use aggregation::Timestamp;
use aggregation::catalogue::Catalogue;
use aggregation::glucose::{self, GlucoseDay, span_to_read, touched_dates};
use aggregation::local_time::Zone;
use aggregation::timestamp::{DAY_US, MINUTE_US};
use aggregation::vitals::{Change, Context, RawVital};
use aggregation::zones::BaseZone;
use chrono::{Days, NaiveDate};
use proptest::prelude::*;
use support::rows::{at, date, row};

/// Parsed once for all cases.
static CATALOGUE: LazyLock<Catalogue> = LazyLock::new(|| Catalogue::built_in().unwrap());

const START: &str = "2024-05-01T00:00:00Z";

fn figures(rows: &[RawVital], date: NaiveDate, base_zone: &BaseZone) -> Option<GlucoseDay> {
    let context = Context { catalogue: &CATALOGUE, base_zone, source_order: &[] };
    glucose::figures(rows, date, &context)
}

fn reading(id: i64, source: &str, minute: i64, value: f64) -> RawVital {
    let started_at = at(START).plus(minute * MINUTE_US);
    RawVital { started_at, ended_at: started_at, ..row(id, source, "mg/dL", START, START, value) }
}

/// Rows of three days with few instants, so that many share one; some are rejected.
fn any_rows() -> impl Strategy<Value = Vec<RawVital>> {
    let any_row = (
        0..60i64,
        "[ab]",
        prop_oneof![9 => 20.0..400.0f64, 1 => prop::sample::select(&[54.0, 70.0, 180.0, 1.0, f64::NAN])],
        prop::sample::select(&[3.0, 3.9, 7.8, 10.0, 13.9, 0.0, 0.0, 0.0]),
        prop::option::weighted(0.15, prop::sample::select(&["<", ">", "~"])),
        prop::sample::select(&["mg/dL", "mg/dL", "mg/dl", "mmol/L"]),
        prop::option::weighted(0.3, prop::sample::select(&["Asia/Tokyo", "-10:00", "Mars"])),
    );
    prop::collection::vec(any_row, 0..40).prop_map(|rows| {
        let mut seen = BTreeSet::new();
        let rows = rows.into_iter().zip(1..).map(
            |((step, source, value, limit, comparator, unit, zone), id)| {
                let value = match (unit, limit) {
                    ("mmol/L", 0.0) => value / 18.01559,
                    ("mmol/L", limit) => limit,
                    _ => value,
                };
                RawVital {
                    comparator: comparator.map(Into::into),
                    unit: unit.into(),
                    time_zone: zone.map(Into::into),
                    ..reading(id, &source, step / 20 * 1440 + step % 20 * 10 - 100, value)
                }
            },
        );
        // Two samples of one source and time would be merged.
        rows.filter(|row| seen.insert((row.started_at, row.source.clone()))).collect()
    })
}

fn dates() -> impl Iterator<Item = NaiveDate> {
    (0..6).map(|days| date("2024-04-29") + Days::new(days))
}

fn berlin() -> BaseZone {
    "Europe/Berlin".parse()
}

fn zone_of(row: &RawVital) -> Option<Zone> {
    row.time_zone.as_deref().unwrap_or("Europe/Berlin").parse().ok()
}

fn mg_per_dl(row: &RawVital) -> f64 {
    if &*row.unit == "mmol/L" { row.value * 18.01559 } else { row.value }
}

fn is_sound(row: &RawVital) -> bool {
    matches!(row.comparator.as_deref(), None | Some("<" | ">"))
        && (5.0..=2000.0).contains(&mg_per_dl(row))
}

fn close(one: f64, other: f64) -> bool {
    (one - other).abs() <= 1e-9 * other.abs().max(1e-3)
}

/// Mean and sum of squared deviations, updated value by value (Welford 1962).
fn welford(values: &[f64]) -> (f64, f64) {
    let (mut mean, mut squares) = (0.0, 0.0);
    for (value, n) in values.iter().zip(1..) {
        let before = value - mean;
        mean += before / f64::from(n);
        squares += before * (value - mean);
    }
    (mean, squares)
}

fn in_second(second: i64, source: &str) -> RawVital {
    let started_at = at(START).plus(second * 1_000_000);
    RawVital { started_at, ended_at: started_at, ..reading(second, source, 0, 100.0) }
}

fn coverage_of(seconds: &[i64]) -> Option<f64> {
    let rows: Vec<_> = seconds.iter().map(|second| in_second(*second, "sensor")).collect();
    figures(&rows, date("2024-05-01"), &"UTC".parse()).unwrap().coverage_percent
}

fn median_gap(seconds: &[i64]) -> Option<f64> {
    let mut gaps: Vec<i64> = seconds.windows(2).map(|pair| pair[1] - pair[0]).collect();
    gaps.sort_unstable();
    let middle = |place: usize| gaps.get(place).copied();
    let lower = middle(gaps.len().checked_sub(1)? / 2)?;
    Some((lower + middle(gaps.len() / 2)?) as f64 / 2.0)
}

/// The coverage of a day of UTC by one source, gap by gap.
fn plain_coverage(seconds: &[i64]) -> Option<f64> {
    let interval = median_gap(seconds).filter(|gap| *gap <= 930.0)?.min(900.0);
    let (first, last) = (*seconds.first()? as f64, *seconds.last()? as f64);
    let gaps = seconds.windows(2).map(|pair| ((pair[1] - pair[0]) as f64).min(interval));
    let before = if first <= interval { first } else { 0.0 };
    Some((before + gaps.sum::<f64>() + interval.min(86_400.0 - last)) / 864.0)
}

/// The coverage of a day of UTC by one source at whole minutes, computed in steps of 30 seconds.
fn walked_coverage(seconds: &[i64]) -> Option<f64> {
    let interval = median_gap(seconds).filter(|gap| *gap <= 930.0)?.min(900.0);
    let first = seconds.first()?;
    let is_covered =
        |at: i64| match seconds[..seconds.partition_point(|second| *second <= at)].last() {
            Some(before) => ((at - before) as f64) < interval,
            None => *first as f64 <= interval,
        };
    let covered = (0..2880).filter(|step| is_covered(step * 30)).count();
    Some(covered as f64 / 28.8)
}

/// Episodes of a sensor that measures at whole minutes, computed in steps of 30 seconds.
fn walked_episodes(readings: &BTreeMap<i64, f64>, is_beyond: fn(f64) -> bool) -> i32 {
    let minutes: Vec<i64> = readings.keys().copied().collect();
    // The maximum number of steps that a reading lasts: the median of the gaps within an hour and a
    // half.
    let holds_at = |minute: i64| {
        let near: Vec<i64> = minutes.iter().copied().filter(|m| (m - minute).abs() <= 90).collect();
        let mut gaps: Vec<i64> = near.windows(2).map(|pair| pair[1] - pair[0]).collect();
        gaps.sort_unstable();
        // Twice the median in minutes equals the median in steps.
        let median = || gaps[gaps.len() / 2] + gaps[(gaps.len() - 1) / 2];
        if gaps.len() < 2 || median() > 31 { 0 } else { median() }
    };

    // One letter for each step: in, out, short unknown, long unknown.
    let mut steps = String::new();
    for (index, minute) in minutes.iter().enumerate() {
        let beyond = is_beyond(readings[minute]);
        let letter = if beyond { 'i' } else { 'o' };
        let holds = holds_at(*minute);
        let Some(next) = minutes.get(index + 1) else {
            (0..holds).for_each(|_| steps.push(letter));
            break;
        };
        let length = 2 * (next - minute);
        let same = is_beyond(readings[next]) == beyond;
        // A reading that is late by up to a fifth is not missing.
        let holds = if length > holds && 5 * length <= 6 * holds { length } else { holds };
        for step in 0..length {
            steps.push(match () {
                () if step < holds || (same && length <= 90) => letter,
                () if length <= 90 => '?',
                () => '-',
            });
        }
        if holds >= length && length > 90 {
            steps.push('-');
        }
    }
    let (mut episodes, mut inside) = (0, false);
    let (mut current, mut length) = ('-', 0);
    for step in steps.chars() {
        length = if step == current { length + 1 } else { 1 };
        current = step;
        match (current, length >= 30) {
            ('i', true) if !inside => {
                inside = true;
                episodes += 1;
            }
            ('o', true) | ('-', _) => inside = false,
            _ => {}
        }
    }
    episodes
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
    fn figures_agree_with_a_plain_computation(rows in any_rows()) {
        let mut appeared = 0;
        for date in dates() {
            let of_date: Vec<_> = rows
                .iter()
                .filter(|row| zone_of(row).is_some_and(|zone| zone.date_of(row.started_at) == date))
                .collect();
            appeared += of_date.len();
            let Some(day) = figures(&rows, date, &berlin()) else {
                prop_assert!(of_date.is_empty());
                continue;
            };
            let sound: Vec<_> = of_date.iter().filter(|row| is_sound(row)).collect();
            let known: Vec<f64> = sound
                .iter()
                .filter(|row| row.comparator.is_none())
                .map(|row| mg_per_dl(row))
                .collect();
            prop_assert_eq!(day.rejected_count as usize, of_date.len() - sound.len());
            prop_assert_eq!(day.sample_count as usize, known.len());
            prop_assert_eq!(day.censored_count as usize, sound.len() - known.len());
            prop_assert_eq!(day.sources.values().sum::<i32>(), day.sample_count);
            prop_assert_eq!(day.low_episodes.is_some(), day.high_episodes.is_some());

            let (mean, squares) = welford(&known);
            prop_assert_eq!(day.moments.is_some(), !known.is_empty());
            if let Some(moments) = day.moments {
                prop_assert!(close(moments.mean, mean));
                prop_assert!(close(moments.gmi_percent, 3.31 + mean / 41.806_020_066_889_63));
                prop_assert!(close(moments.ea1c_percent, mean / 28.7 + 467.0 / 287.0));
                prop_assert_eq!(moments.stddev.is_some(), known.len() > 1);
                if let Some(stddev) = moments.stddev {
                    let expected = (squares / (known.len() - 1) as f64).sqrt();
                    prop_assert!(close(stddev, expected));
                    prop_assert!(close(moments.cv_percent.unwrap(), expected / mean * 100.0));
                    let j = (mean * mean + 2.0 * mean * expected + expected * expected) / 1000.0;
                    prop_assert!(close(moments.j_index.unwrap(), j));
                }
            }

            prop_assert_eq!(day.ranges.is_some(), !sound.is_empty());
            if let Some(ranges) = day.ranges {
                // Whether a row is beyond a limit in mg/dL, which has another value in mmol/L.
                let percent = |limit: f64, side: &str| {
                    let in_mmol = [(54.0, 3.0), (70.0, 3.9), (140.0, 7.8), (180.0, 10.0), (250.0, 13.9)];
                    let inside = sound.iter().filter(|row| {
                        let is_mmol = &*row.unit == "mmol/L";
                        let limit = if is_mmol { in_mmol.iter().find(|one| one.0 == limit).unwrap().1 } else { limit };
                        let is_bound = row.value == limit && row.comparator.as_deref() == Some(side);
                        is_bound || if side == "<" { row.value < limit } else { row.value > limit }
                    });
                    inside.count() as f64 / sound.len() as f64 * 100.0
                };
                let below = |limit: f64| percent(limit, "<");
                let above = |limit: f64| percent(limit, ">");
                let expected = [
                    (ranges.below_54_percent, below(54.0)),
                    (ranges.below_70_percent, below(70.0)),
                    (ranges.above_180_percent, above(180.0)),
                    (ranges.above_250_percent, above(250.0)),
                    (ranges.from_70_to_180_percent, 100.0 - below(70.0) - above(180.0)),
                    (ranges.from_70_to_140_percent, 100.0 - below(70.0) - above(140.0)),
                ];
                for (figure, expected) in expected {
                    prop_assert!(close(figure, expected), "{figure} {expected}");
                }
                // Cumulative shares instead of disjoint bands.
                let index = 2.4 * below(70.0) + 0.6 * below(54.0) + 0.8 * (above(180.0) + above(250.0));
                prop_assert!(close(ranges.glycemia_risk_index, index.min(100.0)));
            }
        }
        prop_assert_eq!(appeared, rows.iter().filter(|row| zone_of(row).is_some()).count());
    }

    #[test]
    fn episodes_and_coverage_agree_with_a_walk_through_the_day(
        interval in 1..=20i64,
        // Stretches of readings: their number, their value, and the number of missing ones before
        // them.
        stretches in prop::collection::vec(
            (1..8i64, prop::sample::select(&[50.0, 70.0, 69.9, 120.0, 180.0, 180.1, 300.0]),
                prop_oneof![6 => Just(0), 1 => 1..4i64, 1 => 1..90i64]),
            1..40,
        ),
    ) {
        let mut readings = BTreeMap::new();
        let mut minute = 0;
        for (number, value, missing) in stretches {
            minute += missing;
            for _ in 0..number {
                if minute < 1440 {
                    readings.insert(minute, value);
                }
                minute += interval;
            }
        }
        prop_assume!(readings.len() > 1);
        let rows: Vec<_> =
            readings.iter().zip(0..).map(|((minute, value), id)| reading(id, "sensor", *minute, *value)).collect();
        let day = figures(&rows, date("2024-05-01"), &"UTC".parse()).unwrap();
        prop_assert_eq!(day.low_episodes, Some(walked_episodes(&readings, |value| value < 70.0)));
        prop_assert_eq!(day.high_episodes, Some(walked_episodes(&readings, |value| value > 180.0)));

        let coverage = walked_coverage(&readings.keys().map(|minute| minute * 60).collect::<Vec<_>>());
        prop_assert_eq!(day.coverage_percent.is_some(), coverage.is_some());
        if let (Some(one), Some(other)) = (day.coverage_percent, coverage) {
            prop_assert!(close(one, other), "{} {}", one, other);
        }
        prop_assert_eq!(day.is_sufficient, coverage.map(|percent| percent >= 70.0));
    }

    #[test]
    fn sending_readings_again_never_lowers_the_coverage(
        interval in 1..=15i64,
        begin in 0..600i64,
        present in prop::collection::vec(any::<bool>(), 2..200),
        again in prop::collection::vec((any::<prop::sample::Index>(), -25..=25i64), 1..400),
    ) {
        let seconds: Vec<i64> = (0..)
            .zip(present)
            .filter(|(_, is_present)| *is_present)
            .map(|(n, _)| (begin + n * interval) * 60)
            .filter(|second| *second < 86_400)
            .collect();
        prop_assume!(!seconds.is_empty());
        let mut all = seconds.clone();
        for (index, later) in again {
            all.push((index.get(&seconds) + later).clamp(0, 86_399));
        }
        all.sort_unstable();
        all.dedup();
        let (before, after) = (coverage_of(&seconds), coverage_of(&all));
        prop_assert!(after >= before, "{:?} became {:?}", before, after);
    }

    /// Readings of a sensor whose clock jitters, on a part of the day. Some are lost, and some are
    /// sent again, up to half the interval later or earlier.
    #[test]
    fn readings_sent_again_up_to_half_an_interval_later_or_earlier_never_lower_the_coverage(
        interval in prop::sample::select(&[60, 120, 180, 300, 600, 900]),
        begin in 0..40_000i64,
        readings in prop::collection::vec(
            // Whether it is lost, the jitter, whether it is sent again, the delay.
            (0.0..1.0f64, -1.0..=1.0f64, 0.0..1.0f64, 0.0..=1.0f64),
            30..300,
        ),
        lost in prop::sample::select(&[0.0, 0.0, 0.05, 0.3]),
        sent_again in prop::sample::select(&[1.0, 0.9, 0.6, 0.5, 0.3]),
        jitter in prop::sample::select(&[0.0, 0.0, 0.02]),
        spread in prop::sample::select(&[0.0, 0.3, 1.0]),
        latest in 0.0..=1.0f64,
        side in prop::sample::select(&[1, -1]),
    ) {
        let length = f64::from(interval);
        let mut seconds: Vec<i64> = Vec::new();
        let mut all: Vec<i64> = Vec::new();
        let mut measured = 0;
        // The next reading comes after another half interval, for every jitter.
        let latest = 1.0_f64.max(latest * (length / 2.0 * (1.0 - 4.0 * jitter) - 6.0));
        for (n, (loss, jitters, again, later)) in readings.into_iter().enumerate() {
            let at = begin + (n as f64 * length + jitters * jitter * length).round() as i64;
            measured += usize::from((0..86_400).contains(&at));
            if loss < lost || !(0..86_400).contains(&at) {
                continue;
            }
            seconds.push(at);
            all.push(at);
            let later = latest * (1.0 - spread * later);
            if again < sent_again {
                all.push((at + side * later.round() as i64).clamp(0, 86_399));
            }
        }
        prop_assume!(seconds.len() >= 10 && 3 * seconds.len() >= 2 * measured);
        all.sort_unstable();
        all.dedup();
        let (before, after) = (coverage_of(&seconds), coverage_of(&all));
        prop_assert!(after >= before, "{:?} became {:?}", before, after);
    }

    /// The sensor may lose any number of readings, as long as more than half follow each other.
    #[test]
    fn a_sensor_that_sends_nothing_again_covers_by_the_plain_median(
        interval in prop::sample::select(&[60, 120, 180, 300, 600, 900]),
        readings in prop::collection::vec((0.0..1.0f64, -1.0..=1.0f64), 2..1440),
        lost in 0.0..0.4f64,
        jitter in prop::sample::select(&[0.0, 0.01, 0.04, 0.1]),
    ) {
        let seconds: Vec<i64> = (0..)
            .zip(readings)
            .filter(|(_, (loss, _))| *loss >= lost)
            .map(|(n, (_, jitters))| n * interval + (jitters * jitter * interval as f64).round() as i64)
            .filter(|second| (0..86_400).contains(second))
            .collect();
        // Rows less than a minute apart are one reading.
        prop_assume!(seconds.len() > 1 && seconds.windows(2).all(|pair| pair[1] - pair[0] >= 55));
        let plain = plain_coverage(&seconds);
        let coverage = coverage_of(&seconds);
        prop_assert_eq!(coverage.is_some(), plain.is_some());
        if let (Some(one), Some(other)) = (coverage, plain) {
            prop_assert!(close(one, other), "{} {}", one, other);
        }
    }

    #[test]
    fn more_readings_never_lower_the_coverage_unless_their_source_measures_more_often_than_it_seemed(
        some in prop::collection::btree_set(0..300i64, 2..80),
        others in prop::collection::btree_set(0..300i64, 1..80),
        of_another_source in any::<bool>(),
    ) {
        let seconds = |minutes: &BTreeSet<i64>| -> Vec<i64> { minutes.iter().map(|minute| minute * 60).collect() };
        let of = |minutes: &BTreeSet<i64>, source: &str| -> Vec<_> {
            minutes.iter().map(|minute| in_second(minute * 60, source)).collect()
        };
        let coverage = |rows: &[RawVital]| {
            figures(rows, date("2024-05-01"), &"UTC".parse()).unwrap().coverage_percent
        };
        let before = coverage(&of(&some, "sensor"));
        let (after, is_shorter) = if of_another_source {
            (coverage(&[of(&some, "sensor"), of(&others, "other")].concat()), false)
        } else {
            let all = some.union(&others).copied().collect();
            let (was, is) = (median_gap(&seconds(&some)), median_gap(&seconds(&all)));
            (coverage(&of(&all, "sensor")), is < was || is.is_some_and(|is| is > 930.0))
        };
        prop_assert!(after >= before || is_shorter, "{:?} became {:?}", before, after);
    }

    #[test]
    fn wherever_midnight_lies_the_episodes_are_as_many(
        values in prop::collection::vec(
            (1..9usize, prop::sample::select(&[60.0, 100.0, 200.0])), 60..100,
        ),
        offset in -12..=12i32,
        jitter in prop::collection::vec(-3..=3i64, 900),
    ) {
        let values = values.into_iter().flat_map(|(number, value)| vec![value; number]);
        let rows: Vec<_> = values
            .zip(jitter)
            .zip(0..)
            .map(|((value, jitter), n)| {
                let row = reading(n, "sensor", n * 5, value);
                let at = row.started_at.plus(jitter * 1_000_000);
                RawVital { started_at: at, ended_at: at, ..row }
            })
            .collect();
        let all = |zone: &str| {
            let days = dates().filter_map(|date| figures(&rows, date, &zone.parse()));
            let counts = days.map(|day| (day.low_episodes.unwrap_or(0), day.high_episodes.unwrap_or(0)));
            counts.fold((0, 0), |sum, counts| (sum.0 + counts.0, sum.1 + counts.1))
        };
        prop_assert_eq!(all("UTC"), all(&format!("{offset:+03}:00")));
    }

    #[test]
    fn any_order_and_any_ids_give_the_same_bits(
        (rows, shuffled) in any_rows().prop_flat_map(|rows| (Just(rows.clone()), Just(rows).prop_shuffle())),
        base in prop::sample::select(&["Europe/Berlin", "nowhere"]),
    ) {
        let renumbered: Vec<_> =
            shuffled.into_iter().zip(0..).map(|(row, id)| RawVital { id, ..row }).collect();
        for date in dates() {
            // Debug prints every float so that it parses back to the same bits.
            let (one, other) = (figures(&rows, date, &base.parse()), figures(&renumbered, date, &base.parse()));
            prop_assert_eq!(format!("{one:?}"), format!("{other:?}"));
        }
    }

    #[test]
    fn rows_outside_the_span_to_read_change_nothing(
        rows in any_rows(),
        base in prop::sample::select(&["+14:00", "-14:00", "Europe/Berlin"]),
    ) {
        for date in dates() {
            let (from, to) = span_to_read(date);
            let read: Vec<_> =
                rows.iter().filter(|row| from <= row.started_at && row.started_at < to).cloned().collect();
            let (all, read) = (figures(&rows, date, &base.parse()), figures(&read, date, &base.parse()));
            prop_assert_eq!(format!("{all:?}"), format!("{read:?}"));
        }
    }

    #[test]
    fn a_change_concerns_no_other_dates_than_those_it_touches(
        mut rows in any_rows(),
        which in any::<prop::sample::Index>(),
        twin_zone in prop::option::of(prop::sample::select(&["Pacific/Auckland", "Mars"])),
    ) {
        prop_assume!(!rows.is_empty());
        // An older version of the row, hidden until the newer one is deleted.
        let index = which.index(rows.len());
        let twin = RawVital { id: 0, value: 77.0, time_zone: twin_zone.map(Into::into), ..rows[index].clone() };
        rows.push(twin);
        let before: Vec<_> = dates().map(|date| figures(&rows, date, &berlin())).collect();
        let gone = rows.remove(index);
        let change = Change {
            metric: String::new(),
            starts_at: gone.started_at,
            ends_at: gone.ended_at,
            time_zone: gone.time_zone.as_deref().map(str::to_owned),
            whole_day: false,
        };
        let touched = touched_dates(&[&change], &rows, &berlin());
        for (date, before) in dates().zip(before) {
            prop_assert!(before == figures(&rows, date, &berlin()) || touched.contains(&date));
        }
    }

    #[test]
    fn nothing_makes_it_panic(
        texts in (any::<String>(), prop_oneof![Just("mg/dL".to_owned()), any::<String>()]),
        options in (any::<Option<String>>(), any::<Option<String>>()),
        numbers in prop::collection::vec((any::<f64>(), any::<i64>(), any::<i64>()), 0..8),
        extreme in prop::sample::select(&[i64::MIN, Timestamp::MIN.0, 0, Timestamp::MAX.0, i64::MAX]),
        base in prop_oneof![any::<String>(), Just("UTC".to_owned())],
        days in -DAY_US..DAY_US,
    ) {
        let base = base.parse();
        let rows: Vec<_> = numbers
            .into_iter()
            .zip(0..)
            .map(|((value, start, end), id)| RawVital {
                id,
                value: if id % 2 == 0 { value } else { 100.0 },
                comparator: options.0.clone().filter(|_| id % 4 == 0).map(Into::into),
                unit: texts.1.clone().into(),
                source: texts.0.clone().into(),
                started_at: if id % 3 == 0 { Timestamp(start) } else { Timestamp(extreme).plus(id) },
                ended_at: if id % 3 == 0 { Timestamp(end) } else { Timestamp(extreme).plus(id) },
                time_zone: options.1.clone().filter(|_| id % 4 == 1).map(Into::into),
                is_daily_total: id % 2 == 0,
                workout_type: None,
            })
            .collect();
        let near = Timestamp(extreme).plus(days).to_utc().date_naive();
        for date in [near, NaiveDate::MIN, NaiveDate::MAX] {
            let _ = figures(&rows, date, &base);
            let _ = span_to_read(date);
        }
        for row in &rows {
            let change = Change {
                metric: String::new(),
                starts_at: row.started_at,
                ends_at: row.ended_at,
                time_zone: row.time_zone.as_deref().map(str::to_owned),
                whole_day: row.is_daily_total,
            };
            let _ = touched_dates(&[&change], &rows, &base);
        }
    }
}
