//! The figures of one metric on one local day: the exact merge of its hours.

use std::collections::BTreeMap;

use chrono::NaiveDate;

use super::hour::{HourFigures, HourKey, Moments};
use super::percentiles::{DamagedSketch, Sketch};
use crate::SharedStr;
use crate::catalogue::AggregationStyle;
use crate::local_time::Zone;
use crate::timestamp::Timestamp;
use crate::zones::BaseZone;

/// The figures of a row of `vitals_daily`, in the metric's canonical unit.
#[derive(Clone, Debug, PartialEq)]
pub struct DayFigures {
    /// Samples that count in the figures.
    pub sample_count: i32,
    /// Cumulative metrics: the total of the day.
    pub total: Option<f64>,
    /// Metrics of workouts: the parts of the total by type of workout.
    pub by_workout_type: BTreeMap<SharedStr, f64>,
    /// Discrete metrics: moments, extremes, first and last.
    pub moments: Option<Moments>,
    /// Percentiles 5, 25, 50, 75 and 95.
    pub percentiles: Option<[f64; 5]>,
    /// Samples with a comparator, whose value is only a bound.
    pub censored_count: i32,
    /// Rejected rows that start on this day.
    pub rejected_count: i32,
    /// Samples by source.
    pub sources: BTreeMap<SharedStr, i32>,
    /// The source that the figure rests on: of a cumulative metric the best in the profile's order,
    /// of a discrete one that with the greatest number of samples.
    pub primary_source: Option<String>,
    /// The zone of the day's bounds: the zone that all rows share, else the base zone.
    pub time_zone: String,
    /// The first instant of the day.
    pub day_start: Timestamp,
    /// The first instant after the day.
    pub day_end: Timestamp,
}

/// Merges the hours of one day, which must be ordered by their keys.
///
/// Returns `None` if there are none: a day whose last row is deleted loses its row.
///
/// # Errors
/// A stored sketch is damaged.
pub fn merge<'h>(
    date: NaiveDate,
    hours: impl Iterator<Item = (&'h HourKey, &'h HourFigures)>,
    style: AggregationStyle,
    source_order: &[String],
    base: &BaseZone,
) -> Result<Option<DayFigures>, DamagedSketch> {
    let mut day = DayFigures {
        sample_count: 0,
        total: None,
        by_workout_type: BTreeMap::new(),
        moments: None,
        percentiles: None,
        censored_count: 0,
        rejected_count: 0,
        sources: BTreeMap::new(),
        primary_source: None,
        time_zone: String::new(),
        day_start: Timestamp::MIN,
        day_end: Timestamp::MIN,
    };
    let mut sketch = Sketch::default();
    let (mut zones, mut zones_of_rejected): (Vec<&str>, Vec<&str>) = Default::default();
    let mut is_empty = true;
    for (_, hour) in hours {
        is_empty = false;
        day.sample_count = day.sample_count.saturating_add(hour.sample_count);
        day.censored_count = day.censored_count.saturating_add(hour.censored_count);
        day.rejected_count = day.rejected_count.saturating_add(hour.rejected_count);
        if let Some(total) = hour.total {
            day.total = Some(day.total.unwrap_or(0.0) + total);
        }
        for (of_type, total) in &hour.by_workout_type {
            *day.by_workout_type.entry(of_type.clone()).or_insert(0.0) += total;
        }
        if let Some(moments) = hour.moments {
            day.moments = Some(day.moments.map_or(moments, |so_far| so_far.then(&moments)));
        }
        if let Some(bytes) = &hour.sketch {
            sketch.merge(&Sketch::from_bytes(bytes)?)?;
        }
        for (source, samples) in &hour.sources {
            let so_far = day.sources.entry(source.clone()).or_default();
            *so_far = so_far.saturating_add(*samples);
        }
        let zones = if hour.has_samples() { &mut zones } else { &mut zones_of_rejected };
        if !zones.contains(&hour.time_zone.as_str()) {
            zones.push(&hour.time_zone);
        }
    }
    if is_empty {
        return Ok(None);
    }
    // Rejected rows decide the zone only if there are no others.
    if zones.is_empty() {
        zones = zones_of_rejected;
    }
    day.percentiles = day.moments.and_then(|m| sketch.percentiles(m.min, m.max));
    day.primary_source = primary_source(&day.sources, style, source_order);

    let shared = match zones.as_slice() {
        [one] => one.parse::<Zone>().ok(),
        _ => None,
    };
    let zone =
        shared.or_else(|| base.as_ref().ok().copied()).or_else(|| zones.first()?.parse().ok());
    if let Some(zone) = zone {
        day.time_zone = zone.to_string();
        day.day_start = zone.day_start(date);
        day.day_end = zone.day_end(date);
    }
    Ok(Some(day))
}

fn primary_source(
    sources: &BTreeMap<SharedStr, i32>,
    style: AggregationStyle,
    source_order: &[String],
) -> Option<String> {
    let rank = |source: &str| {
        source_order.iter().position(|listed| listed == source).unwrap_or(usize::MAX)
    };
    sources
        .iter()
        .min_by_key(|(source, samples)| match style {
            AggregationStyle::Cumulative => (rank(source), -**samples, &***source),
            // Both keys are compared as one tuple type: most samples first, then the order.
            AggregationStyle::Discrete | AggregationStyle::Sleep => (
                usize::try_from(i32::MAX - **samples).unwrap_or(0),
                i32::try_from(rank(source)).unwrap_or(i32::MAX),
                &***source,
            ),
        })
        .map(|(source, _)| source.to_string())
}
