//! The figures of one metric in one local hour.

use std::collections::BTreeMap;

use chrono::NaiveDate;

use crate::local_time::LocalSpan;
use crate::{SharedStr, Timestamp};

/// The key of an hour: local date and first instant. The same instant can belong to two dates if
/// rows of one user have different zones.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct HourKey {
    /// The local date.
    pub date: NaiveDate,
    /// The instant at which the hour begins.
    pub start: Timestamp,
}

impl HourKey {
    /// The key of a local hour.
    pub const fn from_hour(hour: LocalSpan) -> Self {
        Self { date: hour.date, start: hour.start }
    }
}

/// The indices of the samples of each hour, ascending.
pub(super) type Members = BTreeMap<HourKey, Vec<usize>>;

/// The figures of an hour, and the values needed to merge them into a day's.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct HourFigures {
    /// Samples that count in the figures. An interval counts in the hour in which it starts,
    /// and once more in the first hour of each later day that it reaches.
    pub sample_count: i32,
    /// Samples out of the sensor's range, whose value is only a bound.
    pub censored_count: i32,
    /// Rejected rows that start in this hour.
    pub rejected_count: i32,
    /// Cumulative metrics: the total, in the canonical unit.
    pub total: Option<f64>,
    /// Metrics of workouts: the parts of the total by type of workout.
    pub by_workout_type: BTreeMap<SharedStr, f64>,
    /// Discrete metrics with at least one sample: moments, extremes, first and last.
    pub moments: Option<Moments>,
    /// Discrete metrics: the distribution, as stored bytes of a sketch.
    pub sketch: Option<Vec<u8>>,
    /// Percentiles 5, 25, 50, 75 and 95.
    pub percentiles: Option<[f64; 5]>,
    /// Samples by source.
    pub sources: BTreeMap<SharedStr, i32>,
    /// The zone that all rows of the hour share, else the base zone; empty if there is neither.
    pub time_zone: String,
}

impl HourFigures {
    /// Whether the hour has no row, so that there is no row to store.
    pub fn is_empty(&self) -> bool {
        self.sample_count == 0
            && self.censored_count == 0
            && self.rejected_count == 0
            && self.total.is_none()
    }

    /// Counts one more sample of a source.
    pub(super) fn count_source(&mut self, source: &SharedStr) {
        *self.sources.entry(source.clone()).or_default() += 1;
    }

    /// Whether the hour has samples, accepted or rejected.
    pub fn has_samples(&self) -> bool {
        self.sample_count > 0 || self.censored_count > 0 || self.total.is_some()
    }
}

/// Moments, extremes, first and last of discrete samples, in the canonical unit.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Moments {
    /// Number of samples, at least 1.
    pub count: i32,
    /// Sum of the samples.
    pub sum: f64,
    /// Sum of the squared deviations from the mean.
    pub squared_deviations: f64,
    /// Minimum of the samples.
    pub min: f64,
    /// Maximum of the samples.
    pub max: f64,
    /// Value of the earliest sample.
    pub first_value: f64,
    /// Time of the earliest sample.
    pub first_at: Timestamp,
    /// Value of the latest sample.
    pub last_value: f64,
    /// Time of the latest sample.
    pub last_at: Timestamp,
}

impl Moments {
    /// Arithmetic mean over the samples.
    pub fn mean(&self) -> f64 {
        // The rounded sum may put the mean one bit beyond the extremes.
        (self.sum / f64::from(self.count)).clamp(self.min, self.max)
    }

    /// Sample standard deviation (n − 1); `None` for a single sample.
    pub fn stddev(&self) -> Option<f64> {
        (self.count > 1).then(|| (self.squared_deviations / f64::from(self.count - 1)).sqrt())
    }

    /// Removes rounding noise: equal samples do not deviate, even if their sum and mean were
    /// rounded.
    pub(super) fn without_noise(self) -> Self {
        if self.min == self.max { Self { squared_deviations: 0.0, ..self } } else { self }
    }

    /// The moments of these samples and the later ones of `next` together (Chan, Golub, LeVeque
    /// 1979).
    #[must_use]
    pub fn then(&self, next: &Self) -> Self {
        let (n, m) = (f64::from(self.count), f64::from(next.count));
        let difference = next.sum / m - self.sum / n;
        Self {
            count: self.count.saturating_add(next.count),
            sum: self.sum + next.sum,
            squared_deviations: self.squared_deviations
                + next.squared_deviations
                + difference * difference * (n * m / (n + m)),
            min: self.min.min(next.min),
            max: self.max.max(next.max),
            // Hours of different zones may overlap, so the later hour can hold the earlier sample.
            first_value: if next.first_at < self.first_at {
                next.first_value
            } else {
                self.first_value
            },
            first_at: self.first_at.min(next.first_at),
            last_value: if next.last_at >= self.last_at {
                next.last_value
            } else {
                self.last_value
            },
            last_at: self.last_at.max(next.last_at),
        }
        .without_noise()
    }
}
