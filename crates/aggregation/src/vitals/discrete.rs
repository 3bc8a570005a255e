//! Hours of discrete metrics: samples.

use super::hour::{HourFigures, Moments};
use super::percentiles::Sketch;
use crate::raw::Sample;

/// The figures of one hour, from samples in fact order.
///
/// A sample belongs to the hour in which it starts. A sample with a comparator is counted in
/// `censored_count` and enters no other figure.
pub(super) fn figures<'s, 'row: 's>(
    samples: impl Iterator<Item = &'s Sample<'row>> + Clone,
) -> HourFigures {
    let mut figures = HourFigures::default();
    let known = samples.clone().filter(|sample| !sample.censored);
    let mut ends: Option<(&Sample<'_>, &Sample<'_>)> = None;
    let mut sum = 0.0;
    for sample in samples {
        if sample.censored {
            figures.censored_count += 1;
        } else {
            figures.sample_count += 1;
            figures.count_source(&sample.row.source);
            ends = Some((ends.map_or(sample, |(first, _)| first), sample));
            sum += sample.value;
        }
    }
    let Some((first, last)) = ends else { return figures };

    let mean = sum / f64::from(figures.sample_count);
    let mut moments = Moments {
        count: figures.sample_count,
        sum,
        squared_deviations: 0.0,
        min: f64::INFINITY,
        max: f64::NEG_INFINITY,
        first_value: first.value,
        first_at: first.row.started_at,
        last_value: last.value,
        last_at: last.row.started_at,
    };
    let mut sketch = Sketch::default();
    for sample in known {
        let deviation = sample.value - mean;
        moments.squared_deviations += deviation * deviation;
        moments.min = moments.min.min(sample.value);
        moments.max = moments.max.max(sample.value);
        sketch.add(sample.value);
    }
    figures.percentiles = sketch.percentiles(moments.min, moments.max);
    figures.sketch = Some(sketch.to_bytes());
    figures.moments = Some(moments.without_noise());
    figures
}
