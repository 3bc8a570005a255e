//! Computes the figures to be written from raw rows and stored hours.

use std::collections::BTreeMap;

use chrono::NaiveDate;

use super::day::{self, DayFigures};
use super::discrete::Streamed;
use super::hour::{HourFigures, HourKey};
use super::percentiles::DamagedSketch;
use super::rejected::{Rejected, shared_zone};
use super::scope::{MetricScope, Scope};
use super::{cumulative, discrete};
use crate::catalogue::{AggregationStyle, Metric};
use crate::raw::{Context, Judged, RawVital, judge_all};
use crate::zones::Zones;

/// The input of one metric that was read: every sample in [`MetricScope::spans_to_read`], and the
/// stored figures of the days in [`MetricScope::dates`].
#[derive(Clone, Debug, Default)]
pub struct Snapshot {
    /// Raw rows that start in, or reach into, the spans to read, in any order. Of a cumulative
    /// metric, daily totals that start within [`FARTHEST_DAILY_TOTAL_US`] of a span are included.
    /// So are the rows with the source, start and end of such a total: they are one sample, and the
    /// newest counts.
    ///
    /// [`FARTHEST_DAILY_TOTAL_US`]: super::scope::FARTHEST_DAILY_TOTAL_US
    pub rows: Vec<RawVital>,
    /// The hours made of them, if they were too many to be kept; then `rows` is empty.
    pub streamed: Option<Streamed>,
    /// The stored hours of the days.
    pub hours: BTreeMap<HourKey, HourFigures>,
    /// The fingerprints of the stored days that the scope [concerns](MetricScope::concerns).
    pub days: BTreeMap<NaiveDate, i64>,
}

/// The figures of one metric to be written.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Recomputed {
    /// Hours whose figures differ from the stored ones.
    pub changed_hours: BTreeMap<HourKey, HourFigures>,
    /// Stored hours that have no row any more.
    pub vanished_hours: Vec<HourKey>,
    /// The days of the scope; `None` if the day has no row any more.
    pub days: BTreeMap<NaiveDate, Option<DayFigures>>,
    /// The fingerprint to be stored with the days.
    pub fingerprint: i64,
}

/// The result of a computation.
#[derive(Clone, Debug, PartialEq)]
pub enum Outcome {
    /// The figures to be written, by metric.
    Complete(BTreeMap<String, Recomputed>),
    /// More rows must be read: days stored under another context, or days of rows with other zones.
    Widen(Scope),
}

/// Computes the figures of a scope.
///
/// # Errors
/// A stored sketch is damaged.
pub fn recompute(
    context: &Context<'_>,
    scope: &Scope,
    snapshots: &BTreeMap<String, Snapshot>,
) -> Result<Outcome, DamagedSketch> {
    let empty = Snapshot::default();
    let mut complete = BTreeMap::new();
    let mut wider = scope.clone();
    for (name, of_metric) in scope {
        let Some(metric) = context.catalogue.metric(name) else { continue };
        if metric.aggregation_style == AggregationStyle::Sleep {
            continue;
        }
        let snapshot = snapshots.get(name).unwrap_or(&empty);
        let fingerprint = context.fingerprint(metric);
        let (mut computed, mut widened) = match &snapshot.streamed {
            Some(Streamed { hours, wider }) => (hours.clone(), wider.clone()),
            None => {
                let mut zones = Zones::new(context.base_zone);
                let computed = hours(context, metric, of_metric, &snapshot.rows, &mut zones);
                (
                    computed,
                    of_metric.with_twins(&snapshot.rows, metric.aggregation_style, &mut zones),
                )
            }
        };
        widened.dates.extend(computed.keys().map(|hour| hour.date));
        let outdated = snapshot.days.iter().filter(|(_, stored)| **stored != fingerprint);
        widened.whole_dates.extend(outdated.map(|(date, _)| *date));
        widened.dates.extend(widened.whole_dates.iter());
        if snapshot.days.values().any(|stored| *stored != fingerprint) {
            // Rows that leave an outdated day must be counted on the other dates of the scope, even
            // if no figures of these are stored yet.
            widened.whole_dates.extend(widened.dates.iter());
        }
        if widened != *of_metric {
            wider.insert(name.clone(), widened);
            continue;
        }
        computed.retain(|_, figures| !figures.is_empty());
        let recomputed = compare(context, metric, of_metric, computed, snapshot, fingerprint)?;
        complete.insert(name.clone(), recomputed);
    }
    Ok(if wider == *scope { Outcome::Complete(complete) } else { Outcome::Widen(wider) })
}

/// The hours of the scope, computed from raw rows alone. Empty hours belong to days that must be
/// read.
fn hours(
    context: &Context<'_>,
    metric: &Metric,
    scope: &MetricScope,
    rows: &[RawVital],
    zones: &mut Zones<'_>,
) -> BTreeMap<HourKey, HourFigures> {
    let judged = judge_all(rows, metric, zones);
    let mut hours = match metric.aggregation_style {
        AggregationStyle::Discrete => {
            let mut hours = discrete::Hours::default();
            hours.add(&judged);
            hours.finish(context.base_zone)
        }
        AggregationStyle::Cumulative => cumulative_hours(context, metric, &judged),
        AggregationStyle::Sleep => BTreeMap::new(),
    };
    hours.retain(|key, _| scope.contains(key));
    hours
}

fn cumulative_hours(
    context: &Context<'_>,
    metric: &Metric,
    judged: &Judged<'_>,
) -> BTreeMap<HourKey, HourFigures> {
    let (mut hours, members) = cumulative::hours(&judged.samples, metric, context.source_order);
    for (key, members) in &members {
        if let Some(figures) = hours.get_mut(key) {
            let zones = members.iter().map(|index| judged.samples[*index].zone);
            figures.time_zone = shared_zone(zones, context.base_zone);
        }
    }
    let mut rejected = Rejected::default();
    rejected.add(&judged.rejected);
    rejected.count_in(&mut hours, context.base_zone);
    hours
}

fn compare(
    context: &Context<'_>,
    metric: &Metric,
    scope: &MetricScope,
    computed: BTreeMap<HourKey, HourFigures>,
    snapshot: &Snapshot,
    fingerprint: i64,
) -> Result<Recomputed, DamagedSketch> {
    let mut standing: BTreeMap<HourKey, &HourFigures> = snapshot
        .hours
        .iter()
        .filter(|(key, _)| !scope.contains(key))
        .map(|(k, h)| (*k, h))
        .collect();
    standing.extend(computed.iter().map(|(key, hour)| (*key, hour)));

    let mut days = BTreeMap::new();
    for date in &scope.dates {
        let of_date = standing.iter().filter(|(key, _)| key.date == *date).map(|(k, h)| (k, *h));
        let figures = day::merge(
            *date,
            of_date,
            metric.aggregation_style,
            context.source_order,
            context.base_zone,
        )?;
        days.insert(*date, figures);
    }
    let vanished_hours = snapshot
        .hours
        .keys()
        .filter(|key| scope.contains(key) && !computed.contains_key(key))
        .copied()
        .collect();
    let changed_hours =
        computed.into_iter().filter(|(key, hour)| snapshot.hours.get(key) != Some(hour)).collect();
    Ok(Recomputed { changed_hours, vanished_hours, days, fingerprint })
}
