//! Episodes of low and of high glucose.
//!
//! The consensus (Danne et al. 2017; Battelino et al. 2019, 2023): an episode begins when glucose
//! is beyond the limit for at least 15 minutes, and ends when it is not for at least 15 minutes.
//! These rules turn readings into minutes:
//!
//! - **A reading lasts until the next one**, at most for the interval of its source. That is the
//!   median of the intervals within [`NEAR_US`] of the reading. So 15 minutes are three readings of
//!   a sensor that measures every 5 minutes, fifteen at one a minute, and one at one every 15
//!   minutes. The package iglu counts the same way (Broll et al., PLoS One 2021;16:e0248560). A
//!   meter has a longer interval, or fewer than two intervals; its reading lasts for its instant
//!   only.
//! - **Between two readings on one side of the limit** glucose was on that side, unless they are
//!   more than 45 minutes apart (`inter_gap` of iglu's `episode_calculation`). Then the time in
//!   between is unknown: the episode is over, and a new one may begin.
//! - **15 minutes are measured from the first reading beyond the limit until the end of the last
//!   one.** Sensors' clocks jitter by seconds, so [`JITTER_US`] less is enough. Three readings
//!   every 4:50 minutes are 14:30, and no episode. Early or late readings within an episode do not
//!   matter, as a reading lasts until the next.
//! - **Each source has episodes of its own**, so that a second source, whose readings differ a
//!   little, does not split an episode. Episodes of several sources that overlap, or follow each
//!   other within 15 minutes, are merged.
//! - **An episode counts once, on the date of its first reading**, wherever midnight is. The
//!   readings within [`BEFORE_US`] before and [`AFTER_US`] after a reading of the date decide
//!   whether an episode continues from the day before, and how long it lasts. If no 15 minutes on
//!   either side of the limit and no gap decide the state for three hours, no episode is assumed.
//!   So the rows to read are bounded.

use chrono::NaiveDate;

use super::Reading;
use super::coverage::{by_source, has_intervals, sensor_interval};
use crate::Timestamp;
use crate::raw::union;
use crate::timestamp::{HOUR_US, MINUTE_US, SECOND_US};

/// The tolerance of the 15 minutes: clocks of sensors are right to a few seconds.
const JITTER_US: i64 = 10 * SECOND_US;

const LEAST_DURATION_US: i64 = 15 * MINUTE_US - JITTER_US;

/// The time between readings farther apart than this is unknown.
const LONGEST_GAP_US: i64 = 45 * MINUTE_US;

/// The distance from a reading of the intervals that count for its source's median.
const NEAR_US: i64 = 90 * MINUTE_US;

/// The minimum number of intervals of a sensor. A meter that was used twice has one, and says
/// nothing about the time in between.
const FEWEST_INTERVALS: usize = 2;

/// The distance before a reading within which other readings decide whether an episode begins with
/// it.
pub(super) const BEFORE_US: i64 = 3 * HOUR_US;

/// The distance after a reading within which other readings decide whether an episode begins with
/// it: 15 minutes, and the readings near the end of these.
pub(super) const AFTER_US: i64 = 2 * HOUR_US;

/// The limit that an episode is beyond.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Side {
    /// Below 70 mg/dL, or 3.9 mmol/L.
    Low,
    /// Above 180 mg/dL, or 10.0 mmol/L.
    High,
}

impl Side {
    fn contains(self, reading: &Reading<'_>) -> bool {
        match self {
            Self::Low => reading.placed < reading.limits.low,
            Self::High => reading.placed > reading.limits.high,
        }
    }
}

/// An episode, from its first reading beyond the limit until the end of the last one.
#[derive(Clone, Copy, Debug)]
struct Episode<'r, 'row> {
    first: &'r Reading<'row>,
    end: Timestamp,
}

/// The numbers of episodes of low and of high glucose that begin on a date. `readings` are those of
/// the date and those around it, in fact order. `None` if none begins and no source has two
/// readings on the date, since durations are then unknown.
pub(super) fn count(readings: &[Reading<'_>], date: NaiveDate) -> Option<(usize, usize)> {
    let of_date: Vec<_> = readings.iter().filter(|reading| reading.date == date).copied().collect();
    let near = |reading: &Reading<'_>| (reading.at.plus(-BEFORE_US), reading.at.plus(AFTER_US + 1));
    let (mut low, mut high) = (0, 0);
    for (from, to) in union(of_date.iter().map(near).collect()) {
        let first = readings.partition_point(|reading| reading.at < from);
        let last = readings.partition_point(|reading| reading.at < to);
        low += begun(&readings[first..last], date, Side::Low);
        high += begun(&readings[first..last], date, Side::High);
    }
    let is_known = || by_source(&of_date).values().any(|track| has_intervals(track));
    (low + high > 0 || is_known()).then_some((low, high))
}

/// The number of episodes that begin on a date.
fn begun(readings: &[Reading<'_>], date: NaiveDate, side: Side) -> usize {
    let tracks = by_source(readings);
    let mut episodes: Vec<_> = tracks.values().flat_map(|track| of_source(track, side)).collect();
    episodes.sort_unstable_by_key(|episode| (episode.first.at, episode.first.source));
    let mut begun = 0;
    let mut until: Option<Timestamp> = None;
    for Episode { first, end } in episodes {
        let is_separate = until.is_none_or(|until| first.at.since(until) >= LEAST_DURATION_US);
        begun += usize::from(is_separate && first.date == date);
        until = until.max(Some(end));
    }
    begun
}

/// Readings of one source on one side of the limit: the first, the last, and the one after it.
type Stretch<'r, 'row> = (&'r Reading<'row>, Timestamp, Option<Timestamp>);

/// The episodes of one source.
///
/// The end of a stretch is computed only where it may matter. Each computation reads three hours of
/// readings, and a source that alternates around the limit has as many stretches as readings.
fn of_source<'r, 'row>(track: &[&'r Reading<'row>], side: Side) -> Vec<Episode<'r, 'row>> {
    let is_beyond = |reading: &Reading<'_>| side.contains(reading);
    let is_gap = |from: Timestamp, to: Timestamp| to.since(from) > LONGEST_GAP_US;
    // No reading lasts beyond the next one.
    let is_long = |(first, last, next): Stretch<'_, '_>| {
        let lasts = |end: Timestamp| end.since(first.at) >= LEAST_DURATION_US;
        next.is_none_or(lasts) && lasts(stands_until(track, last, next))
    };
    let mut found: Vec<Stretch<'_, '_>> = Vec::new();
    let mut open: Option<Stretch<'_, '_>> = None;
    let mut before: Option<Timestamp> = None;
    let mut rest = track;
    while let [first, ..] = rest {
        let beyond = is_beyond(first);
        let more = rest
            .windows(2)
            .take_while(|pair| is_beyond(pair[1]) == beyond && !is_gap(pair[0].at, pair[1].at));
        let (stretch, after) = rest.split_at(1 + more.count());
        let last = stretch.last().unwrap_or(first).at;
        let next = after.first().map(|next| next.at);
        if before.is_some_and(|before| is_gap(before, first.at)) {
            found.extend(open.take());
        }
        match (beyond, &mut open) {
            (true, Some(episode)) => (episode.1, episode.2) = (last, next),
            (true, None) if is_long((first, last, next)) => open = Some((first, last, next)),
            (false, Some(_)) if is_long((first, last, next)) => found.extend(open.take()),
            _ => {}
        }
        before = Some(last);
        rest = after;
    }
    found.extend(open);
    let episode = |(first, last, next)| Episode { first, end: stands_until(track, last, next) };
    found.into_iter().map(episode).collect()
}

/// The end of the last reading of a stretch on one side of the limit.
fn stands_until(track: &[&Reading<'_>], last: Timestamp, next: Option<Timestamp>) -> Timestamp {
    match (interval_near(track, last), next) {
        (None, _) => last,
        // A reading that is late by up to a fifth of the interval is not missing.
        (Some(interval), Some(next)) if next.since(last) <= interval + interval / 5 => next,
        (Some(interval), _) => last.plus(interval),
    }
}

/// The interval at which a source measures around an instant; `None` for a meter.
fn interval_near(track: &[&Reading<'_>], at: Timestamp) -> Option<i64> {
    let first = track.partition_point(|reading| reading.at < at.plus(-NEAR_US));
    let last = track.partition_point(|reading| reading.at <= at.plus(NEAR_US));
    sensor_interval(&track[first..last], FEWEST_INTERVALS)
}
