//! Glucose: what a sensor, or a meter, showed on a local day, in mg/dL.
//!
//! [`figures`] makes the day of one date. The measures are those of the international consensus
//! on continuous glucose monitoring (Danne et al., Diabetes Care 2017;40:1631; Battelino et al.,
//! Diabetes Care 2019;42:1593, and Lancet Diabetes Endocrinol 2023;11:42); [`formulas`] has them
//! as functions.
//!
//! - **The figures of a date rest on the rows of that date**, each dated by its own zone, but
//!   episodes: one counts on the date on which it begins, so that rows of the hours around the date
//!   matter, and a row near midnight concerns two dates.
//! - **A row with a comparator** (a sensor's "Low" or "High") lies just beyond its value: it is
//!   in the percentages, the episodes, the risk index and the coverage, but not in mean and
//!   standard deviation, nor in what follows from them.
//! - **A row in mmol/L is placed by the consensus' limits in mmol/L**, in ranges and episodes. So 10.0
//!   mmol/L are in range, although they are 180.16 mg/dL.
//! - **Several sources** are taken together in mean and percentages, as in `vitals_daily`. Where
//!   time is measured, in coverage and episodes, none counts twice.
//! - **What must be read** for a date is every row that starts in [`span_to_read`]. More rows
//!   change nothing.

mod coverage;
mod day;
mod episodes;
pub mod formulas;

use std::collections::BTreeSet;

use chrono::NaiveDate;

pub use self::coverage::SUFFICIENT_COVERAGE_PERCENT;
pub use self::day::{GlucoseDay, Moments, Ranges};
use self::episodes::{AFTER_US, BEFORE_US};
use crate::Timestamp;
use crate::local_time::{Zone, anywhere_on_earth};
use crate::raw::{Change, Context, LocalDate, LocalDates, RawVital, Span, judge_all, touched_near};
use crate::zones::{BaseZone, Zones};

/// The metric of the raw rows.
pub const METRIC: &str = "blood_glucose";
/// The UCUM unit in which glucose is given.
pub const UNIT: &str = "mg/dL";
/// The other unit in which the consensus gives its limits.
const MOLAR_UNIT: &str = "mmol/L";

/// The figures of local date `date` from all raw rows of one user that start in
/// [`span_to_read`]; rows of other dates only tell how episodes go on. `None` if the date has neither an
/// accepted nor a rejected row, or if the catalogue lacks the metric or gives it a unit that
/// does not convert to mg/dL.
///
/// The order of `rows` does not matter, nor do their ids but to tell the newest of several rows
/// for one sample.
pub fn figures(rows: &[RawVital], date: NaiveDate, context: &Context<'_>) -> Option<GlucoseDay> {
    let metric = context.catalogue.metric(METRIC)?;
    metric.conversion_from(UNIT)?;
    let molar = metric.conversion_from(MOLAR_UNIT);
    let judged = judge_all(rows, metric, &mut Zones::new(context.base_zone));
    let (mut readings, mut zones) = (Vec::new(), Vec::new());
    for sample in &judged.samples {
        let value = sample.value_in(UNIT, metric)?;
        let is_molar = molar.is_some() && metric.conversion_from(&sample.row.unit) == molar;
        let (own, limits) =
            if is_molar { (sample.row.value, &MMOL_PER_L) } else { (value, &MG_PER_DL) };
        let reading = Reading {
            at: sample.row.started_at,
            date: sample.date(),
            source: &sample.row.source,
            value,
            censored: sample.censored,
            placed: sample.placed(own),
            limits,
        };
        if reading.date == date {
            zones.push(sample.zone);
        }
        readings.push(reading);
    }
    let mut rejected: Vec<(Timestamp, Zone)> = judged.rejected;
    rejected.retain(|(at, zone)| zone.date_of(*at) == date);
    rejected.sort_by_cached_key(|(at, zone)| (*at, zone.to_string()));

    // Rejected rows have no say in the zone unless nothing else names one.
    if zones.is_empty() {
        zones.extend(rejected.iter().map(|(_, zone)| *zone));
    }
    if zones.is_empty() {
        return None;
    }
    let dates = zones.into_iter().map(|zone| LocalDate { zone, date });
    let zone = LocalDates::new(context.base_zone).zone_of_day(dates)?;
    Some(GlucoseDay::from_readings(&readings, rejected.len(), zone, date))
}

/// The instants at which every row must be read for the figures of `date`: as long as it is that
/// date anywhere on earth, since a row's own zone dates it, and the hours that decide its episodes.
pub fn span_to_read(date: NaiveDate) -> Span {
    let (from, to) = anywhere_on_earth(date);
    (from.plus(-BEFORE_US), to.plus(AFTER_US))
}

/// The instants at which every row must be read for [`touched_dates`]: those whose episodes the
/// changed row may decide.
pub fn span_near(change: &Change) -> Span {
    (change.starts_at.plus(-AFTER_US), change.starts_at.plus(BEFORE_US + 1))
}

/// A digest of everything but the raw rows that decides the figures.
pub fn fingerprint(context: &Context<'_>) -> i64 {
    context.catalogue.metric(METRIC).map_or(0, |metric| context.fingerprint(metric))
}

/// The local dates whose figures changed rows may change: their own; those of other rows of the very
/// same time, which are one sample with one if they have its source and end, so that when the newest
/// of them comes or goes another goes or comes, which may have another zone; and those of rows near
/// one, whose episodes it may decide.
///
/// `rows` are the rows that start in [`span_near`], as they stand now; others do not matter. A row
/// that has changed since its figures were computed has a change of its own.
pub fn touched_dates<'r>(
    changes: &[&Change],
    rows: impl IntoIterator<Item = &'r RawVital>,
    base: &BaseZone,
) -> BTreeSet<NaiveDate> {
    touched_near(changes, rows, span_near, base)
}

/// The limits of the ranges in one unit.
#[derive(Debug)]
struct Limits {
    very_low: f64,
    low: f64,
    tight: f64,
    high: f64,
    very_high: f64,
}

static MG_PER_DL: Limits =
    Limits { very_low: 54.0, low: 70.0, tight: 140.0, high: 180.0, very_high: 250.0 };
static MMOL_PER_L: Limits =
    Limits { very_low: 3.0, low: 3.9, tight: 7.8, high: 10.0, very_high: 13.9 };

/// An accepted row.
#[derive(Clone, Copy, Debug)]
struct Reading<'row> {
    at: Timestamp,
    /// The local date, in the zone of its row.
    date: NaiveDate,
    source: &'row str,
    /// mg/dL.
    value: f64,
    /// Whether the value is only a bound.
    censored: bool,
    /// Where it lies among `limits`: its value in their unit, or just beyond a bound.
    placed: f64,
    limits: &'static Limits,
}
