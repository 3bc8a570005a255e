//! The part of the day that sensors measured.

use std::collections::{BTreeMap, BTreeSet};

use super::Reading;
use crate::raw::{Span, union};
use crate::timestamp::{MINUTE_US, SECOND_US};

/// The lowest coverage, in percent, of a sufficient day: the 70 % of the international consensus
/// (Danne et al. 2017; Battelino et al. 2019).
pub const SUFFICIENT_COVERAGE_PERCENT: f64 = 70.0;

/// A source with a longer interval is a meter. 30 s are added because clocks jitter.
const LONGEST_SENSOR_INTERVAL_US: i64 = LONGEST_INTERVAL_US + 30 * SECOND_US;

/// The longest time that one reading covers.
const LONGEST_INTERVAL_US: i64 = 15 * MINUTE_US;

/// Rows of a source within this time are one reading, since no sensor measures more often than once
/// a minute. 5 s are subtracted because clocks jitter.
const ALWAYS_RESENT_WITHIN_US: i64 = MINUTE_US - 5 * SECOND_US;

/// The longest delay of a re-send: half the longest interval.
const RESENT_WITHIN_US: i64 = LONGEST_INTERVAL_US / 2;

/// The step between the delays that are tried, which bounds their number.
const RESENT_STEP_US: i64 = 5 * SECOND_US;

/// The minimum number of readings that show whether the intervals are regular.
const LEAST_READINGS: usize = 10;

/// One reading in 20 may be irregular: a restarted sensor measures out of turn.
const FEW: usize = 20;

/// The readings by source, in fact order.
pub(super) fn by_source<'r, 'row>(
    readings: &'r [Reading<'row>],
) -> BTreeMap<&'row str, Vec<&'r Reading<'row>>> {
    let mut tracks: BTreeMap<_, Vec<_>> = BTreeMap::new();
    for reading in readings {
        tracks.entry(reading.source).or_default().push(reading);
    }
    tracks
}

/// The readings of a source, each as the span from its first row to its last.
fn readings(track: &[&Reading<'_>]) -> Vec<Span> {
    let mut readings: Vec<Span> = Vec::new();
    for row in track {
        match readings.last_mut() {
            Some((first, last)) if row.at.since(*first) < ALWAYS_RESENT_WITHIN_US => *last = row.at,
            _ => readings.push((row.at, row.at)),
        }
    }
    readings
}

/// Whether a source has two readings, so that durations can be computed.
pub(super) fn has_intervals(track: &[&Reading<'_>]) -> bool {
    readings(track).len() > 1
}

/// The intervals between the readings of a source, in microseconds.
#[derive(Clone, Copy, Debug)]
struct Intervals {
    number: usize,
    /// The median of the shortest intervals that the rows allow. It decides whether the source is a
    /// sensor.
    shortest: i64,
    /// The median of the longest intervals that the rows allow.
    longest: i64,
}

/// The median interval between readings; `None` if there are fewer than two.
fn intervals(readings: &[Span]) -> Option<Intervals> {
    let pairs = || readings.windows(2).map(|pair| (pair[0], pair[1]));
    Some(Intervals {
        number: pairs().count(),
        shortest: median(pairs().map(|(one, next)| next.0.since(one.1)).collect())?,
        longest: median(pairs().map(|(one, next)| next.1.since(one.0)).collect())?,
    })
}

/// The intervals if each reading that follows within `delay` is a re-send of the one before. Apps
/// date a re-send earlier or later, so the intervals are those between the earliest rows, and those
/// between the latest.
///
/// `delay` is accepted only if the remaining intervals are those of a sensor, and re-sends come
/// within half the interval. No interval may be shorter than the median by more than a tenth, as
/// lost readings only make intervals longer. At most half may be longer by more than a tenth. So a
/// sensor without re-sends has the median of all its rows.
fn intervals_of_resent(readings: &[Span], delay: i64) -> impl Iterator<Item = Intervals> {
    let is_resent = |one: &Span, next: &Span| next.0.since(one.1) <= delay;
    let sent =
        || readings.chunk_by(is_resent).filter_map(|sent| Some((*sent.first()?, *sent.last()?)));
    let delays: Vec<i64> = sent()
        .filter(|(earliest, latest)| earliest != latest)
        .map(|(earliest, latest)| latest.1.since(earliest.0))
        .collect();
    let (earliest, latest): (Vec<Span>, Vec<Span>) = sent().unzip();
    [earliest, latest].into_iter().filter_map(move |readings| {
        let found = intervals(&readings)?;
        let (least, most) = (found.shortest / 10 * 9, found.longest / 10 * 11);
        let pairs = || readings.windows(2);
        let too_short = pairs().filter(|pair| pair[1].1.since(pair[0].0) < least).count();
        let too_long = pairs().filter(|pair| pair[1].0.since(pair[0].1) > most).count();
        let too_late = delays.iter().filter(|delay| **delay >= found.shortest / 2).count();
        let is_sensor = readings.len() >= LEAST_READINGS
            && FEW * too_late <= delays.len()
            && FEW * too_short <= found.number
            && 2 * too_long <= found.number
            && found.shortest <= LONGEST_SENSOR_INTERVAL_US;
        is_sensor.then_some(found)
    })
}

/// The median interval of a sensor with at least `at_least` intervals; `None` for a meter.
///
/// Apps send some or all readings again, dated some seconds or minutes later or earlier. The median
/// over all rows would then be too short, and re-sends would reduce the coverage. So the function
/// tries each delay of a re-send and takes the longest median: one of the delays leaves exactly the
/// readings without their re-sends.
pub(super) fn sensor_interval(track: &[&Reading<'_>], at_least: usize) -> Option<i64> {
    let readings = readings(track);
    let gaps = readings.windows(2).map(|pair| pair[1].0.since(pair[0].1));
    let steps: BTreeSet<i64> =
        gaps.filter(|gap| *gap <= RESENT_WITHIN_US).map(|gap| gap / RESENT_STEP_US + 1).collect();
    let delays = steps.into_iter().map(|steps| steps * RESENT_STEP_US - 1);
    let resent = delays.flat_map(|delay| intervals_of_resent(&readings, delay));
    let best = intervals(&readings).into_iter().chain(resent).max_by_key(|found| found.longest)?;
    let is_sensor = best.number >= at_least && best.shortest <= LONGEST_SENSOR_INTERVAL_US;
    is_sensor.then_some(best.longest)
}

/// The middle number, or the mean of the middle two; `None` if there are no numbers.
fn median(mut numbers: Vec<i64>) -> Option<i64> {
    numbers.sort_unstable();
    let upper = *numbers.get(numbers.len() / 2)?;
    let lower = numbers[(numbers.len() - 1) / 2];
    Some(lower.midpoint(upper))
}

/// The part of a day that sensors measured, in percent: the instants within one interval of their
/// source after a reading. `None` if no source is a sensor, or if the day has no length.
///
/// The first reading also covers the time since the start of the day, if that is within one
/// interval: the reading before it belongs to yesterday. Time that two sources cover counts once:
/// an app may copy a sensor's own rows, or a person may wear two sensors.
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
