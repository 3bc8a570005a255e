//! A second, simple implementation of the figures: every row is compared with every other, time is
//! cut into cells of five minutes, and means take two passes. It is slow, and shares only the
//! functions with the crate that `tests/local_time.rs` tests: the date of an instant, and the local
//! time.

use std::collections::{BTreeMap, BTreeSet};

use aggregation::Timestamp;
use aggregation::local_time::Zone;
use aggregation::timestamp::{HOUR_US, MINUTE_US};
use aggregation::vitals::RawVital;
use chrono::{NaiveDate, Timelike};

use crate::support::rows::{Figures, World};

/// Rows for this reference start and end on multiples of it.
pub(crate) const CELL_US: i64 = 5 * MINUTE_US;

/// The totals of a cumulative metric by date and hour, and by date its samples by source.
#[derive(Debug, Default)]
struct Totals {
    hours: BTreeMap<(NaiveDate, Timestamp), f64>,
    samples: BTreeMap<NaiveDate, BTreeMap<String, i32>>,
}

fn zone_of(world: &World, row: &RawVital) -> Zone {
    match &row.time_zone {
        Some(zone) => zone.parse().unwrap(),
        None => world.base_zone.unwrap(),
    }
}

/// The rows that count: of those with one source, start and end, the one with the highest id.
fn without_repeats(rows: &[RawVital]) -> Vec<&RawVital> {
    let same = |a: &RawVital, b: &RawVital| {
        (&a.source, a.started_at, a.ended_at) == (&b.source, b.started_at, b.ended_at)
    };
    let repeated = |row: &RawVital| rows.iter().any(|other| same(row, other) && other.id > row.id);
    rows.iter().filter(|row| !repeated(row)).collect()
}

/// The first cell of the local hour: from there on, clocks run without a jump, on one date.
fn hour_start(zone: Zone, cell: Timestamp) -> Timestamp {
    let label = |cell: Timestamp| {
        let clock = zone.clock(cell);
        let ahead = Timestamp::from_utc_clock(clock).since(cell);
        (zone.date_of(cell), clock.hour(), ahead)
    };
    let mut start = cell;
    while label(start.plus(-CELL_US)) == label(cell) {
        start = start.plus(-CELL_US);
    }
    start
}

fn totals(world: &World, rows: &[RawVital]) -> Totals {
    let rows = without_repeats(rows);
    let date_at = |row: &RawVital, at: Timestamp| zone_of(world, row).date_of(at);
    let of_day: Vec<&RawVital> = rows.iter().copied().filter(|row| row.is_daily_total).collect();
    let given = |source: &str, date: NaiveDate| {
        let same = of_day.iter().filter(|row| &*row.source == source);
        same.filter(|row| date_at(row, row.started_at) == date).max_by_key(|row| row.id)
    };
    let stands = |row: &RawVital| {
        given(&row.source, date_at(row, row.started_at)).is_some_and(|given| given.id == row.id)
    };
    // Whether a row may count in a cell, or at an instant.
    let open = |row: &RawVital, cell: Timestamp| {
        let date = date_at(row, cell);
        if row.is_daily_total {
            date_at(row, row.started_at) == date && stands(row)
        } else {
            let within = row.started_at <= cell && cell < row.ended_at;
            (within || row.started_at == cell) && given(&row.source, date).is_none()
        }
    };
    let rank = |row: &RawVital| {
        let listed = world.source_order.iter().position(|source| **source == *row.source);
        let name = if listed.is_some() { String::new() } else { row.source.to_string() };
        (listed.unwrap_or(usize::MAX), name, -row.id)
    };
    let instant = |row: &RawVital| !row.is_daily_total && row.started_at == row.ended_at;
    // Whether a row is open at an instant; a row that ends there is, too.
    let touches =
        |row: &RawVital, at: Timestamp| open(row, at) || !instant(row) && open(row, at.plus(-1));
    let day_length = |row: &RawVital| {
        let date = date_at(row, row.started_at);
        let zone = zone_of(world, row);
        zone.day_end(date).since(zone.day_start(date))
    };

    let mut totals = Totals::default();
    let first = rows.iter().map(|row| row.started_at).min();
    let last = rows.iter().map(|row| row.ended_at).max();
    let (Some(first), Some(last)) = (first, last) else { return totals };
    let mut seen: BTreeMap<(i64, NaiveDate), ()> = BTreeMap::new();
    let mut cell = first.plus(-26 * HOUR_US);
    while cell < last.plus(26 * HOUR_US) {
        let open: Vec<&&RawVital> = rows.iter().filter(|row| open(row, cell)).collect();
        for row in &open {
            let date = date_at(row, cell);
            if seen.insert((row.id, date), ()).is_none() {
                let sources = totals.samples.entry(date).or_default();
                *sources.entry(row.source.to_string()).or_default() += 1;
            }
        }
        let mut add = |row: &RawVital, value: f64| {
            let key = (date_at(row, cell), hour_start(zone_of(world, row), cell));
            *totals.hours.entry(key).or_default() += value;
        };
        let touching = rows.iter().filter(|row| touches(row, cell));
        if let Some(best) = touching.min_by_key(|row| rank(row)).filter(|row| instant(row)) {
            add(best, best.value);
        }
        if let Some(best) = open.iter().filter(|row| !instant(row)).min_by_key(|row| rank(row)) {
            let length = if best.is_daily_total {
                day_length(best)
            } else {
                best.ended_at.since(best.started_at)
            };
            add(best, best.value * (CELL_US as f64 / length as f64));
        }
        cell = cell.plus(CELL_US);
    }
    totals
}

/// Statistics of samples in time order.
#[derive(Debug)]
struct Statistics {
    mean: f64,
    /// The sample standard deviation (n − 1); `None` for one sample.
    stddev: Option<f64>,
    min: f64,
    max: f64,
    percentiles: [f64; 5],
}

fn statistics(values: &[f64]) -> Statistics {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    let n = values.len() as f64;
    let mean = sorted.iter().sum::<f64>() / n;
    let squares: f64 = sorted.iter().map(|value| (value - mean).powi(2)).sum();
    let percentiles = [5.0, 25.0, 50.0, 75.0, 95.0].map(|percent| {
        let position = (n - 1.0) * percent / 100.0;
        let (below, above) = (sorted[position.floor() as usize], sorted[position.ceil() as usize]);
        below + (above - below) * position.fract()
    });
    Statistics {
        mean,
        stddev: (values.len() > 1).then(|| (squares / (n - 1.0)).sqrt()),
        min: sorted[0],
        max: sorted[sorted.len() - 1],
        percentiles,
    }
}

pub(crate) fn close(a: f64, b: f64) -> bool {
    (a - b).abs() <= 1e-9 * a.abs().max(b.abs())
}

/// Checks that hours and days have the totals and samples counted here.
pub(crate) fn check_totals(figures: &Figures, world: &World, rows: &[RawVital]) {
    let expected = totals(world, rows);
    let found: BTreeMap<_, _> = figures
        .hours
        .iter()
        .map(|(key, hour)| ((key.date, key.start), hour.total.unwrap()))
        .collect();
    let keys: BTreeSet<_> = expected.hours.keys().chain(found.keys()).collect();
    for key in keys {
        // An hour in which a sample starts but does not count has the figure zero.
        let (expected, found) = (expected.hours.get(key).unwrap_or(&0.0), found.get(key));
        assert!(close(*expected, *found.unwrap_or(&0.0)), "{key:?}: {expected} {found:?}");
    }
    let mut by_date: BTreeMap<NaiveDate, f64> = BTreeMap::new();
    for ((date, _), total) in &expected.hours {
        *by_date.entry(*date).or_default() += total;
    }
    for (date, day) in &figures.days {
        let expected_total = by_date.get(date).copied().unwrap_or(0.0);
        assert!(close(expected_total, day.total.unwrap()), "{date}: {expected_total} {day:?}");
        let sources = expected.samples.get(date).cloned().unwrap_or_default();
        assert_eq!(day.sources, sources, "{date}");
        assert_eq!(day.sample_count, sources.values().sum::<i32>(), "{date}");
    }
    assert!(expected.samples.keys().all(|date| figures.days.contains_key(date)));
}

/// Checks that days have the statistics of two passes over all their samples.
pub(crate) fn check_samples(figures: &Figures, world: &World, rows: &[RawVital]) {
    let mut by_date: BTreeMap<NaiveDate, Vec<&RawVital>> = BTreeMap::new();
    for row in without_repeats(rows) {
        by_date.entry(zone_of(world, row).date_of(row.started_at)).or_default().push(row);
    }
    assert_eq!(figures.days.keys().collect::<Vec<_>>(), by_date.keys().collect::<Vec<_>>());
    for (date, mut rows) in by_date {
        rows.sort_by_key(|row| row.started_at);
        let day = &figures.days[&date];
        let (known, censored): (Vec<&RawVital>, Vec<_>) =
            rows.into_iter().partition(|row| row.comparator.is_none());
        assert_eq!(day.censored_count as usize, censored.len());
        assert_eq!(day.sample_count as usize, known.len());
        assert_eq!(day.total, None);
        let Some(moments) = day.moments else {
            assert!(known.is_empty() && day.percentiles.is_none());
            continue;
        };
        let values: Vec<f64> = known.iter().map(|row| row.value).collect();
        let Statistics { mean, stddev, min, max, percentiles } = statistics(&values);
        assert_eq!(moments.count as usize, values.len());
        assert!(close(moments.sum, values.iter().sum()), "{date}");
        assert!(close(moments.mean(), mean), "{date}");
        assert_eq!((moments.min, moments.max), (min, max));
        assert_eq!(moments.stddev().is_some(), stddev.is_some());
        let (found, expected) = (moments.stddev().unwrap_or(0.0), stddev.unwrap_or(0.0));
        assert!((found - expected).abs() <= 1e-9 * mean, "{date}: {found} {expected}");
        for (found, exact) in day.percentiles.unwrap().into_iter().zip(percentiles) {
            assert!((found - exact).abs() <= 0.010_000_1 * exact, "{date}: {found} {exact}");
        }
        let (first, last) = (known[0], known[known.len() - 1]);
        assert_eq!((moments.first_at, moments.last_at), (first.started_at, last.started_at));
        let at = |instant| known.iter().filter(move |row| row.started_at == instant);
        assert!(at(moments.first_at).any(|row| row.value == moments.first_value));
        assert!(at(moments.last_at).any(|row| row.value == moments.last_value));
        let of_day = figures.hours.iter().filter(|(key, _)| key.date == date);
        assert_eq!(day.sample_count, of_day.map(|(_, hour)| hour.sample_count).sum::<i32>());
    }
}
