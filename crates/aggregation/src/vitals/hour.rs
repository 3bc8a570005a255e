//! The figures of one metric in one local hour.

use std::collections::BTreeMap;

use chrono::NaiveDate;

use crate::local_time::LocalSpan;
use crate::{Timestamp, Word};

/// Which hour: local date and first instant. (The same instant can belong to two dates when
/// rows of one user carry different zones.)
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

/// The figures of an hour, and what is needed to merge them into a day's.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct HourFigures {
    /// Samples that count in the figures. An interval counts in the hour in which it starts,
    /// and once more in the first hour of each later day that it reaches.
    pub sample_count: i32,
    /// Samples out of the sensor's range: known only as a bound.
    pub censored_count: i32,
    /// Rejected rows that start in this hour.
    pub rejected_count: i32,
    /// Cumulative metrics: the total, in the canonical unit.
    pub total: Option<f64>,
    /// Discrete metrics with at least one sample: moments, extremes, first and last.
    pub moments: Option<Moments>,
    /// Discrete metrics: the distribution, as stored.
    pub sketch: Option<Vec<u8>>,
    /// Percentiles 5, 25, 50, 75 and 95.
    pub percentiles: Option<[f64; 5]>,
    /// Samples by source.
    pub sources: BTreeMap<Word, i32>,
    /// The zone that all rows of the hour share, else the base zone; empty if there is neither.
    pub time_zone: String,
}

impl HourFigures {
    /// Whether no row at all stands behind these figures, so that there is nothing to store.
    pub fn is_empty(&self) -> bool {
        self.sample_count == 0
            && self.censored_count == 0
            && self.rejected_count == 0
            && self.total.is_none()
    }

    /// Counts one more sample of a source.
    pub(super) fn count_source(&mut self, source: &Word) {
        *self.sources.entry(source.clone()).or_default() += 1;
    }

    /// Whether a sample stands behind these figures, be it rejected ones only.
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
    /// Least sample.
    pub min: f64,
    /// Greatest sample.
    pub max: f64,
    /// Earliest sample.
    pub first_value: f64,
    /// Time of the earliest sample.
    pub first_at: Timestamp,
    /// Latest sample.
    pub last_value: f64,
    /// Time of the latest sample.
    pub last_at: Timestamp,
}

impl Moments {
    /// Arithmetic mean over the samples.
    pub fn mean(&self) -> f64 {
        // A mean lies between the extremes; rounding of the sum may put it one bit beyond.
        (self.sum / f64::from(self.count)).clamp(self.min, self.max)
    }

    /// Sample standard deviation (n − 1); `None` for a single sample.
    pub fn stddev(&self) -> Option<f64> {
        (self.count > 1).then(|| (self.squared_deviations / f64::from(self.count - 1)).sqrt())
    }

    /// Equal samples do not deviate, though their sum, and so their mean, may be rounded.
    pub(super) fn without_noise(self) -> Self {
        if self.min == self.max { Self { squared_deviations: 0.0, ..self } } else { self }
    }

    /// The moments of these samples and of the later ones of `next` together (Chan, Golub,
    /// LeVeque 1979).
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
            // Hours of different zones may overlap, so that the later hour can hold the
            // earlier sample.
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
