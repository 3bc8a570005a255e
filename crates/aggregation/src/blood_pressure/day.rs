//! The figures of one day of blood pressure.

use std::collections::BTreeMap;

use chrono::NaiveDate;

use super::Category;
use crate::Timestamp;
use crate::local_time::Zone;

/// The figures of one user's local day: a row of `blood_pressure_daily`.
#[derive(Clone, Debug, PartialEq)]
pub struct BloodPressureDay {
    /// Measurements: pairs whose systolic row falls on this date.
    pub pair_count: i32,
    /// Accepted rows of this date, systolic and diastolic, that have no partner.
    pub unpaired_count: i32,
    /// Pairs with a comparator: one of their values is only a bound. They are in `pair_count`,
    /// `sources` and `worst_category`, but in no mean, minimum or maximum.
    pub censored_count: i32,
    /// Systolic pressure over the pairs; `None` if there is no pair without a comparator.
    pub systolic: Option<Pressure>,
    /// Diastolic pressure over the pairs; `None` if there is no pair without a comparator.
    pub diastolic: Option<Pressure>,
    /// Mean arterial pressure, (S + 2 D) / 3 in mmHg, averaged over the pairs; `None` if there is
    /// no pair without a comparator.
    pub mean_arterial_pressure: Option<f64>,
    /// The worst category of all pairs; `None` if there is no pair.
    pub worst_category: Option<Category>,
    /// Rejected rows of either metric that fall on this date.
    pub rejected_count: i32,
    /// Pairs by source.
    pub sources: BTreeMap<String, i32>,
    /// The zone of [`BloodPressureDay::day_start`] and [`BloodPressureDay::day_end`]: the zone that
    /// all rows of the day share, else the base zone.
    pub time_zone: String,
    /// The first instant of the date in that zone.
    pub day_start: Timestamp,
    /// The first instant after the date in that zone.
    pub day_end: Timestamp,
}

/// One of the two pressures over the pairs of a day, in mmHg.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Pressure {
    /// Arithmetic mean.
    pub mean: f64,
    /// Minimum.
    pub min: f64,
    /// Maximum.
    pub max: f64,
}

/// A pair of a systolic and a diastolic row.
#[derive(Clone, Copy, Debug)]
pub(super) struct Measurement<'row> {
    pub(super) source: &'row str,
    /// Systolic pressure in mmHg.
    pub(super) systolic: f64,
    /// Diastolic pressure in mmHg.
    pub(super) diastolic: f64,
    pub(super) category: Category,
    /// Whether one of the values is only a bound.
    pub(super) censored: bool,
}

/// The mean arterial pressure of one measurement, in the unit of its values. It is the usual
/// estimate at rest: a third of the beat is systole and two thirds are diastole.
pub(super) fn mean_arterial_pressure(systolic: f64, diastolic: f64) -> f64 {
    (systolic + 2.0 * diastolic) / 3.0
}

impl BloodPressureDay {
    /// The figures of `measurements`, which are in fact order of their systolic rows.
    pub(super) fn from_measurements(
        measurements: &[Measurement<'_>],
        unpaired: usize,
        rejected: usize,
        zone: Zone,
        date: NaiveDate,
    ) -> Self {
        let known = || measurements.iter().filter(|measurement| !measurement.censored);
        let mut sources = BTreeMap::new();
        for measurement in measurements {
            *sources.entry(measurement.source.to_owned()).or_default() += 1;
        }
        let arterial =
            Pressure::summarize(known().map(|m| mean_arterial_pressure(m.systolic, m.diastolic)));
        Self {
            pair_count: count(measurements.len()),
            unpaired_count: count(unpaired),
            censored_count: count(measurements.len() - known().count()),
            systolic: Pressure::summarize(known().map(|measurement| measurement.systolic)),
            diastolic: Pressure::summarize(known().map(|measurement| measurement.diastolic)),
            mean_arterial_pressure: arterial.map(|pressure| pressure.mean),
            worst_category: measurements.iter().map(|measurement| measurement.category).max(),
            rejected_count: count(rejected),
            sources,
            time_zone: zone.to_string(),
            day_start: zone.day_start(date),
            day_end: zone.day_end(date),
        }
    }
}

impl Pressure {
    /// Sums the values in the given order; `None` if there are none.
    fn summarize(values: impl Iterator<Item = f64> + Clone) -> Option<Self> {
        let number = count(values.clone().count());
        let min = values.clone().reduce(f64::min)?;
        let max = values.clone().reduce(f64::max)?;
        let mean = values.sum::<f64>() / f64::from(number);
        // The rounded sum may put the mean one bit beyond the extremes.
        Some(Self { mean: mean.clamp(min, max), min, max })
    }
}

fn count(rows: usize) -> i32 {
    i32::try_from(rows).unwrap_or(i32::MAX)
}
