//! The ambulatory glucose profile: all readings of some days as if they were of one day.
//!
//! The profile is that of the international consensus (Danne et al., Diabetes Care 2017;40:1631; Battelino
//! et al., Diabetes Care 2019;42:1593), which takes it over from Bergenstal et al., Diabetes Technol Ther
//! 2013;15:198: the readings of all days are pooled by the time of day, and of each time the 5th, 25th,
//! 50th, 75th and 95th percentile are drawn. Bergenstal et al., Diabetes Care 2018;41:2275 has the glucose
//! management indicator that is printed beside it, see [`super::formulas`].
//!
//! The sources leave the smoothing open. Here each point pools the readings of one hour, half an hour
//! before and after it, and the points are half an hour apart. So each reading is in two points, the curve
//! is smooth without a fitted model, and a percentile is one of the readings or lies between two of them.
//! A day's stored hours are not enough: a percentile of several days does not follow from the percentiles
//! of each.
//!
//! - **The time of day** is that of the local clock in the zone that dates the reading.
//! - **A reading with a comparator** (a sensor's "Low" or "High") has a rank like any other, at its bound.
//!   Without it, the outer percentiles would lie nearer to the middle than glucose was. The daily figures
//!   leave such rows out of their percentiles, because a mean beside them does.
//! - **Percentiles** are those of Hyndman & Fan 1996, type 7, as everywhere in the figures.

use std::collections::BTreeSet;

use chrono::{NaiveDate, Timelike};

use super::{METRIC, UNIT};
use crate::raw::{Context, RawVital, judge_all};
use crate::vitals::percentiles::PERCENTILES;
use crate::zones::Zones;

/// Minutes between two points.
pub const STEP_MINUTES: u32 = 30;

/// Minutes before and after a point from which it pools readings.
const REACH_MINUTES: u32 = 30;

const MINUTES_OF_A_DAY: u32 = 24 * 60;

/// The minimum number of days with a reading near a time of day. With fewer, the outer percentiles are
/// single readings; devices ask for five days as well.
pub const FEWEST_DAYS: usize = 5;

/// The profile of some days.
#[derive(Clone, Debug, PartialEq)]
pub struct Profile {
    /// A point for each half hour, from midnight on.
    pub points: Vec<ProfilePoint>,
    /// Days with a reading.
    pub days: usize,
    /// Readings, with and without a comparator.
    pub readings: usize,
}

/// The distribution of the readings around one time of day.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct ProfilePoint {
    /// Minutes after midnight by the local clock.
    pub minute: u32,
    /// The 5th, 25th, 50th, 75th and 95th percentile in mg/dL; `None` with readings of fewer than
    /// [`FEWEST_DAYS`] days.
    pub percentiles: Option<[f64; 5]>,
}

/// The profile of the readings of the local dates `from` to `to`, both included. The result is `None`
/// without a reading, or if the catalogue lacks the metric or gives it a unit that does not convert to
/// mg/dL. The order of `rows` does not matter, and rows of other dates change nothing.
pub fn profile(
    rows: &[RawVital],
    (from, to): (NaiveDate, NaiveDate),
    context: &Context<'_>,
) -> Option<Profile> {
    let metric = context.catalogue.metric(METRIC)?;
    let judged = judge_all(rows, metric, &mut Zones::new(context.base_zone));
    let mut readings: Vec<(u32, NaiveDate, f64)> = Vec::with_capacity(judged.samples.len());
    for sample in &judged.samples {
        let date = sample.date();
        if (from..=to).contains(&date) {
            let clock = sample.zone.clock(sample.row.started_at);
            let minute = clock.num_seconds_from_midnight() / 60;
            readings.push((minute, date, sample.value_in(UNIT, metric)?));
        }
    }
    if readings.is_empty() {
        return None;
    }
    readings.sort_by(|a, b| a.0.cmp(&b.0).then_with(|| a.2.total_cmp(&b.2)));
    let days: BTreeSet<NaiveDate> = readings.iter().map(|reading| reading.1).collect();
    let minutes = (0..MINUTES_OF_A_DAY).step_by(STEP_MINUTES as usize);
    let points =
        minutes.map(|minute| ProfilePoint { minute, percentiles: around(&readings, minute) });
    Some(Profile { points: points.collect(), days: days.len(), readings: readings.len() })
}

/// The percentiles of the readings within [`REACH_MINUTES`] of a time of day; midnight is crossed.
fn around(readings: &[(u32, NaiveDate, f64)], minute: u32) -> Option<[f64; 5]> {
    let first = (minute + MINUTES_OF_A_DAY - REACH_MINUTES) % MINUTES_OF_A_DAY;
    let behind = (minute + REACH_MINUTES) % MINUTES_OF_A_DAY;
    let from = |minute: u32| readings.partition_point(|reading| reading.0 < minute);
    let (first, behind) = (from(first), from(behind));
    let near: Vec<&(u32, NaiveDate, f64)> = if minute < REACH_MINUTES {
        readings[first..].iter().chain(&readings[..behind]).collect()
    } else if minute + REACH_MINUTES >= MINUTES_OF_A_DAY {
        readings[first..].iter().collect()
    } else {
        readings[first..behind].iter().collect()
    };
    let days: BTreeSet<NaiveDate> = near.iter().map(|reading| reading.1).collect();
    if days.len() < FEWEST_DAYS {
        return None;
    }
    let mut values: Vec<f64> = near.iter().map(|reading| reading.2).collect();
    values.sort_by(f64::total_cmp);
    Some(PERCENTILES.map(|percent| percentile(&values, percent)))
}

/// The percentile of sorted values, of which there is at least one.
fn percentile(sorted: &[f64], percent: f64) -> f64 {
    let position = sorted.len().saturating_sub(1) as f64 * percent / 100.0;
    let value = |rank: f64| sorted.get(rank as usize).copied().unwrap_or_default();
    let below = value(position.floor());
    below + (value(position.ceil()) - below) * position.fract()
}
