//! The figures of one day of glucose.

use std::collections::BTreeMap;

use chrono::NaiveDate;

use super::coverage::{self, SUFFICIENT_COVERAGE_PERCENT};
use super::{Limits, Reading, episodes, formulas};
use crate::Timestamp;
use crate::local_time::Zone;

/// The figures of one user's local day: a row of `glucose_daily`.
#[derive(Clone, Debug, PartialEq)]
pub struct GlucoseDay {
    /// Readings without a comparator, the inputs of [`GlucoseDay::moments`].
    pub sample_count: i32,
    /// Readings with a comparator. Percentages include readings with and without a comparator.
    pub censored_count: i32,
    /// Mean, spread and the figures derived from them; `None` without a reading that has no
    /// comparator.
    pub moments: Option<Moments>,
    /// The percent of readings in each range; `None` without a reading.
    pub ranges: Option<Ranges>,
    /// Episodes below 70 mg/dL of at least 15 minutes that begin on this date. Such an episode
    /// begins when glucose is low for 15 minutes. It ends when glucose is not low for 15 minutes,
    /// or is unknown for more than 45 minutes. `None` if none begins and no source has two
    /// readings, since durations are then unknown.
    pub low_episodes: Option<i32>,
    /// Episodes above 180 mg/dL, with the same definitions as for low ones.
    pub high_episodes: Option<i32>,
    /// The percent of the local day (23, 24 or 25 hours) within one interval of a reading. Each
    /// source has its own median interval, at most 15 minutes; readings farther apart are those of
    /// a meter. `None` if no source is a sensor, or if the day has no length.
    pub coverage_percent: Option<f64>,
    /// Whether the coverage is at least [`SUFFICIENT_COVERAGE_PERCENT`]; `None` where it is `None`.
    pub is_sufficient: Option<bool>,
    /// Rejected rows that fall on this date.
    pub rejected_count: i32,
    /// Readings without a comparator, by source.
    pub sources: BTreeMap<String, i32>,
    /// The zone of [`GlucoseDay::day_start`] and [`GlucoseDay::day_end`]: the zone that all
    /// readings share, else the base zone.
    pub time_zone: String,
    /// The first instant of the date in that zone.
    pub day_start: Timestamp,
    /// The first instant after the date in that zone.
    pub day_end: Timestamp,
}

/// Mean, spread, and the figures derived from them.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Moments {
    /// Arithmetic mean in mg/dL.
    pub mean: f64,
    /// Sample standard deviation (n − 1) in mg/dL; `None` for a single reading.
    pub stddev: Option<f64>,
    /// [Coefficient of variation](formulas::coefficient_of_variation) in percent.
    pub cv_percent: Option<f64>,
    /// [Glucose management indicator](formulas::glucose_management_indicator) in percent.
    pub gmi_percent: f64,
    /// [Estimated HbA1c](formulas::estimated_a1c) in percent.
    pub ea1c_percent: f64,
    /// [J-index](formulas::j_index).
    pub j_index: Option<f64>,
}

/// The percent of readings in each range, each by the limits in its own unit, mg/dL or mmol/L. A
/// reading with a comparator counts just beyond its value. A reading that is neither below 70 nor
/// above 180 is from 70 to 180, so these three sum up to 100.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Ranges {
    /// Below 54 mg/dL.
    pub below_54_percent: f64,
    /// Below 70 mg/dL.
    pub below_70_percent: f64,
    /// From 70 to 180 mg/dL, both included: time in range.
    pub from_70_to_180_percent: f64,
    /// From 70 to 140 mg/dL, both included: time in tight range.
    pub from_70_to_140_percent: f64,
    /// Above 180 mg/dL.
    pub above_180_percent: f64,
    /// Above 250 mg/dL.
    pub above_250_percent: f64,
    /// [Glycemia risk index](formulas::glycemia_risk_index).
    pub glycemia_risk_index: f64,
}

impl GlucoseDay {
    /// The figures of the `readings` of `date`, in fact order. Readings of other dates only decide
    /// how episodes continue.
    pub(super) fn from_readings(
        around: &[Reading<'_>],
        rejected: usize,
        zone: Zone,
        date: NaiveDate,
    ) -> Self {
        let of_date = around.iter().filter(|reading| reading.date == date);
        let readings: &[Reading<'_>] = &of_date.copied().collect::<Vec<_>>();
        let episodes = episodes::count(around, date);
        let known: Vec<_> = readings.iter().filter(|reading| !reading.censored).collect();
        let mut sources = BTreeMap::new();
        for reading in &known {
            *sources.entry(reading.source.to_owned()).or_default() += 1;
        }
        let values: Vec<f64> = known.iter().map(|reading| reading.value).collect();
        let (day_start, day_end) = (zone.day_start(date), zone.day_end(date));
        let coverage_percent = coverage::percent(readings, (day_start, day_end));
        Self {
            sample_count: count(known.len()),
            censored_count: count(readings.len() - known.len()),
            moments: Moments::from_values(&values),
            ranges: Ranges::from_readings(readings),
            low_episodes: episodes.map(|(low, _)| count(low)),
            high_episodes: episodes.map(|(_, high)| count(high)),
            coverage_percent,
            is_sufficient: coverage_percent.map(|percent| percent >= SUFFICIENT_COVERAGE_PERCENT),
            rejected_count: count(rejected),
            sources,
            time_zone: zone.to_string(),
            day_start,
            day_end,
        }
    }
}

impl Moments {
    /// Sums the values in the given order; `None` if there are none.
    fn from_values(values: &[f64]) -> Option<Self> {
        let min = values.iter().copied().reduce(f64::min)?;
        let max = values.iter().copied().reduce(f64::max)?;
        let number = f64::from(count(values.len()));
        // The rounded sum may put the mean one bit beyond the extremes. The clamp also gives equal
        // readings no deviation.
        let mean = (values.iter().sum::<f64>() / number).clamp(min, max);
        let squares: f64 = values.iter().map(|value| (value - mean).powi(2)).sum();
        let stddev = (values.len() > 1).then(|| (squares / (number - 1.0)).sqrt());
        Some(Self {
            mean,
            stddev,
            cv_percent: stddev.and_then(|sd| formulas::coefficient_of_variation(mean, sd)),
            gmi_percent: formulas::glucose_management_indicator(mean),
            ea1c_percent: formulas::estimated_a1c(mean),
            j_index: stddev.map(|sd| formulas::j_index(mean, sd)),
        })
    }
}

impl Ranges {
    fn from_readings(readings: &[Reading<'_>]) -> Option<Self> {
        if readings.is_empty() {
            return None;
        }
        let percent_where = |is_in: fn(f64, &Limits) -> bool| {
            let inside = readings.iter().filter(|reading| is_in(reading.placed, reading.limits));
            100.0 * f64::from(count(inside.count())) / f64::from(count(readings.len()))
        };
        let very_low = percent_where(|placed, limits| placed < limits.very_low);
        let very_high = percent_where(|placed, limits| placed > limits.very_high);
        Some(Self {
            below_54_percent: very_low,
            below_70_percent: percent_where(|placed, limits| placed < limits.low),
            from_70_to_180_percent: percent_where(|placed, limits| {
                (limits.low..=limits.high).contains(&placed)
            }),
            from_70_to_140_percent: percent_where(|placed, limits| {
                (limits.low..=limits.tight).contains(&placed)
            }),
            above_180_percent: percent_where(|placed, limits| placed > limits.high),
            above_250_percent: very_high,
            glycemia_risk_index: formulas::glycemia_risk_index(
                very_low,
                percent_where(|placed, limits| (limits.very_low..limits.low).contains(&placed)),
                very_high,
                percent_where(|placed, limits| placed > limits.high && placed <= limits.very_high),
            ),
        })
    }
}

fn count(rows: usize) -> i32 {
    i32::try_from(rows).unwrap_or(i32::MAX)
}
