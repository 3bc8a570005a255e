//! Hours of discrete metrics: samples.
//!
//! A sample belongs to the hour in which it starts. An hour keeps only the value of each, because
//! the deviations are from the mean of all. So an hour with more readings than fit into memory as
//! rows is computed from rows that come one after the other.

use std::collections::BTreeMap;

use super::hour::{HourFigures, HourKey, Moments};
use super::percentiles::Sketch;
use super::rejected::Rejected;
use super::scope::MetricScope;
use crate::Timestamp;
use crate::catalogue::Metric;
use crate::local_time::Zone;
use crate::raw::{Context, Judged, RawVital, Sample, judge_all, leave_out_resent};
use crate::zones::{BaseZone, Zones};

/// An hour while its samples are added, in fact order.
#[derive(Debug, Default)]
struct Hour {
    /// The counts of it.
    figures: HourFigures,
    /// The samples but for those with a comparator, which take no part in any number.
    values: Vec<f64>,
    /// When the first and the last of them were taken.
    ends: Option<(Timestamp, Timestamp)>,
    /// The zone of the first sample, and whether all others have it.
    zone: Option<(Zone, bool)>,
}

impl Hour {
    fn add(&mut self, sample: &Sample<'_>) {
        let (first, is_shared) = self.zone.unwrap_or((sample.zone, true));
        self.zone = Some((first, is_shared && first == sample.zone));
        if sample.censored {
            self.figures.censored_count += 1;
            return;
        }
        self.figures.sample_count += 1;
        self.figures.count_source(&sample.row.source);
        self.values.push(sample.value);
        let at = sample.row.started_at;
        self.ends = Some((self.ends.map_or(at, |(first, _)| first), at));
    }

    fn finish(self, base: &BaseZone) -> HourFigures {
        let Self { mut figures, values, ends, zone } = self;
        if let Some((first, is_shared)) = zone {
            let zone = if is_shared { &first } else { base.as_ref().unwrap_or(&first) };
            figures.time_zone = zone.to_string();
        }
        let (Some((first_at, last_at)), [first_value, .., last_value] | [first_value @ last_value]) =
            (ends, values.as_slice())
        else {
            return figures;
        };
        let sum = values.iter().fold(0.0, |sum, value| sum + value);
        let mean = sum / f64::from(figures.sample_count);
        let mut moments = Moments {
            count: figures.sample_count,
            sum,
            squared_deviations: 0.0,
            min: f64::INFINITY,
            max: f64::NEG_INFINITY,
            first_value: *first_value,
            first_at,
            last_value: *last_value,
            last_at,
        };
        let mut sketch = Sketch::default();
        for value in &values {
            let deviation = value - mean;
            moments.squared_deviations += deviation * deviation;
            moments.min = moments.min.min(*value);
            moments.max = moments.max.max(*value);
            sketch.add(*value);
        }
        figures.percentiles = sketch.percentiles(moments.min, moments.max);
        figures.sketch = Some(sketch.to_bytes());
        figures.moments = Some(moments.without_noise());
        figures
    }
}

/// The hours of judged rows, of which all samples and rejected rows were added, in fact order.
#[derive(Debug, Default)]
pub(super) struct Hours {
    hours: BTreeMap<HourKey, Hour>,
    rejected: Rejected,
}

impl Hours {
    pub(super) fn add(&mut self, judged: &Judged<'_>) {
        for sample in &judged.samples {
            let key = HourKey::from_hour(sample.zone.hour_of(sample.row.started_at));
            self.hours.entry(key).or_default().add(sample);
        }
        self.rejected.add(&judged.rejected);
    }

    pub(super) fn finish(self, base: &BaseZone) -> BTreeMap<HourKey, HourFigures> {
        let mut hours =
            self.hours.into_iter().map(|(key, hour)| (key, hour.finish(base))).collect();
        self.rejected.count_in(&mut hours, base);
        hours
    }
}

/// The hours made of raw rows that were not kept.
#[derive(Clone, Debug)]
pub struct Streamed {
    /// The hours of its scope.
    pub(super) hours: BTreeMap<HourKey, HourFigures>,
    /// The scope, and what the samples touch that may be one with a changed row.
    pub(super) wider: MetricScope,
}

/// The hours of a discrete metric, from raw rows that come in the order of their start and are not kept.
#[derive(Debug)]
pub struct HoursOfStream<'c> {
    context: &'c Context<'c>,
    metric: &'c Metric,
    scope: &'c MetricScope,
    zones: Zones<'c>,
    /// The rows of the last instant: which of them are one sample, and in which order they count, is known when all
    /// of them are there.
    instant: Vec<RawVital>,
    /// With this number of rows, those that were sent again are left out.
    many: usize,
    hours: Hours,
    wider: MetricScope,
}

/// From this number of rows of one instant on, rows that were sent again are dropped before the
/// instant is over.
const MANY_OF_AN_INSTANT: usize = 10_000;

impl<'c> HoursOfStream<'c> {
    /// Before the first row.
    pub fn new(context: &'c Context<'c>, metric: &'c Metric, scope: &'c MetricScope) -> Self {
        Self {
            context,
            metric,
            scope,
            zones: Zones::new(context.base_zone),
            instant: Vec::new(),
            many: MANY_OF_AN_INSTANT,
            hours: Hours::default(),
            wider: scope.clone(),
        }
    }

    /// Adds the next row, which starts no earlier than the one before it.
    pub fn add(&mut self, row: RawVital) {
        if self.instant.last().is_some_and(|last| last.started_at != row.started_at) {
            self.end_instant();
        } else if self.instant.len() >= self.many {
            self.wider.touch_twins(&self.instant, self.metric.aggregation_style, &mut self.zones);
            let rejected = leave_out_resent(&mut self.instant, self.metric, &mut self.zones);
            self.hours.rejected.add(&rejected);
            self.many = MANY_OF_AN_INSTANT.max(2 * self.instant.len());
        }
        self.instant.push(row);
    }

    fn end_instant(&mut self) {
        self.wider.touch_twins(&self.instant, self.metric.aggregation_style, &mut self.zones);
        self.hours.add(&judge_all(&self.instant, self.metric, &mut self.zones));
        self.instant.clear();
        self.many = MANY_OF_AN_INSTANT;
    }

    /// The hours of the scope, behind the last row.
    pub fn finish(mut self) -> Streamed {
        self.end_instant();
        let mut hours = self.hours.finish(self.context.base_zone);
        hours.retain(|key, _| self.scope.contains(key));
        self.wider.unite();
        Streamed { hours, wider: self.wider }
    }
}
