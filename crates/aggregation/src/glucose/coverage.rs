//! How much of the day was measured.

use std::collections::BTreeMap;

use super::Reading;
use crate::timestamp::{MINUTE_US, SECOND_US};
use crate::vitals::scope::{Span, union};

/// The least coverage, in percent, that lets a day stand for itself: the 70 % of the
/// international consensus (Danne et al. 2017; Battelino et al. 2019).
pub const SUFFICIENT_COVERAGE_PERCENT: f64 = 70.0;

/// Sensors that measure less often than this are meters. Their clocks jitter.
const LONGEST_SENSOR_INTERVAL_US: i64 = LONGEST_INTERVAL_US + 30 * SECOND_US;

/// No reading covers more time than this.
const LONGEST_INTERVAL_US: i64 = 15 * MINUTE_US;

/// No sensor measures more often than once a minute.
const RESENT_WITHIN_US: i64 = MINUTE_US;

/// The readings of each source, in fact order.
pub(super) fn by_source<'r, 'row>(
    readings: &'r [Reading<'row>],
) -> BTreeMap<&'row str, Vec<&'r Reading<'row>>> {
    let mut tracks: BTreeMap<_, Vec<_>> = BTreeMap::new();
    for reading in readings {
        tracks.entry(reading.source).or_default().push(reading);
    }
    tracks
}

/// The time between two successive readings of a source, in microseconds.
#[derive(Clone, Copy, Debug)]
struct Interval {
    /// From the last row of one reading to the first row of the next.
    shortest: i64,
    /// From the first row of one reading to the last row of the next.
    longest: i64,
}

/// The intervals of a source. Apps send a reading again some seconds earlier or later, so rows within
/// [`RESENT_WITHIN_US`] of the first are one reading.
fn intervals(track: &[&Reading<'_>]) -> Vec<Interval> {
    let mut readings: Vec<Span> = Vec::new();
    for row in track {
        match readings.last_mut() {
            Some((first, last)) if row.at.since(*first) < RESENT_WITHIN_US => *last = row.at,
            _ => readings.push((row.at, row.at)),
        }
    }
    let pairs = readings.windows(2);
    let interval = |((first, last), (next_first, next_last)): (Span, Span)| Interval {
        shortest: next_first.since(last),
        longest: next_last.since(first),
    };
    pairs.map(|pair| interval((pair[0], pair[1]))).collect()
}

/// Whether a source has two readings, so that something is known of durations.
pub(super) fn has_intervals(track: &[&Reading<'_>]) -> bool {
    !intervals(track).is_empty()
}

/// The median interval of a sensor with at least so many; `None` of a meter.
///
/// It is the longest that the rows allow: so a reading that is sent again never shortens it, and
/// never uncovers what was covered. The shortest decides whether the source is a sensor.
pub(super) fn sensor_interval(track: &[&Reading<'_>], at_least: usize) -> Option<i64> {
    let intervals = intervals(track);
    let median_of = |length: fn(&Interval) -> i64| median(intervals.iter().map(length).collect());
    let shortest = median_of(|interval| interval.shortest)?;
    let is_sensor = intervals.len() >= at_least && shortest <= LONGEST_SENSOR_INTERVAL_US;
    median_of(|interval| interval.longest).filter(|_| is_sensor)
}

/// The middle one, or the mean of the middle two; `None` of none.
fn median(mut numbers: Vec<i64>) -> Option<i64> {
    numbers.sort_unstable();
    let upper = *numbers.get(numbers.len() / 2)?;
    let lower = numbers[(numbers.len() - 1) / 2];
    Some(lower.midpoint(upper))
}

/// The part of a day that sensors measured, in percent: the instants that lie within one interval of
/// their source after a reading. `None` if no source is a sensor, or if the day has no length.
///
/// The first reading covers the time since the day began, too, if that is within one interval: the
/// reading before it belongs to yesterday. A stretch of time is covered once, whether an app passes on
/// what a sensor wrote itself or two sensors are worn.
pub(super) fn percent(readings: &[Reading<'_>], day: Span) -> Option<f64> {
    let mut covered = Vec::new();
    let mut has_sensor = false;
    for track in by_source(readings).values() {
        let (Some(first), Some(interval)) = (track.first(), sensor_interval(track, 1)) else {
            continue;
        };
        has_sensor = true;
        let interval = interval.min(LONGEST_INTERVAL_US);
        if (0..=interval).contains(&first.at.since(day.0)) {
            covered.push((day.0, first.at));
        }
        covered.extend(track.iter().map(|reading| (reading.at, reading.at.plus(interval))));
    }
    let of_day = union(covered).into_iter().map(|(from, to)| (from.max(day.0), to.min(day.1)));
    let covered: i64 = of_day.map(|(from, to)| to.since(from).max(0)).sum();
    let length = day.1.since(day.0);
    (has_sensor && length > 0).then(|| 100.0 * covered as f64 / length as f64)
}
