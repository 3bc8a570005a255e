//! Glucose: the readings of a sensor or a meter on a local day, in mg/dL.
//!
//! [`figures`] computes one date. The measures are those of the international consensus on
//! continuous glucose monitoring (Danne et al., Diabetes Care 2017;40:1631; Battelino et al.,
//! Diabetes Care 2019;42:1593, and Lancet Diabetes Endocrinol 2023;11:42). [`formulas`] has them as
//! functions.
//!
//! - **The figures of a date rest on the rows of that date**, each dated by its own zone. Episodes
//!   are the exception: an episode counts on the date on which it begins, so rows of the hours
//!   around the date matter. A row near midnight concerns two dates.
//! - **A row with a comparator** (a sensor's "Low" or "High") counts just beyond its value. It is
//!   in the percentages, the episodes, the risk index and the coverage. It is not in mean and
//!   standard deviation, nor in the figures derived from them.
//! - **A row in mmol/L is compared with the consensus' limits in mmol/L**, in ranges and episodes.
//!   So 10.0 mmol/L are in range, although they are 180.16 mg/dL.
//! - **Mean and percentages combine all sources**, as in `vitals_daily`. Coverage and episodes
//!   count the time that several sources measured once.
//! - **Rows to read** for a date: every row that starts in [`span_to_read`]. More rows change
//!   nothing.

mod coverage;
mod day;
mod episodes;
pub mod formulas;
pub mod profile;

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
/// The UCUM unit of the figures.
pub const UNIT: &str = "mg/dL";
/// The other unit in which the consensus gives its limits.
const MOLAR_UNIT: &str = "mmol/L";

/// The figures of local date `date` from all raw rows of one user that start in [`span_to_read`].
/// Rows of other dates only decide how episodes continue. The result is `None` if the date has
/// neither an accepted nor a rejected row. It is also `None` if the catalogue lacks the metric or
/// gives it a unit that does not convert to mg/dL.
///
/// The order of `rows` does not matter. Their ids only tell the newest of several rows for one
/// sample.
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

    // Rejected rows decide the zone only if no other row names one.
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

/// The time span of the rows to read for the figures of `date`. It lasts as long as it is that date
/// anywhere on earth, since a row's own zone dates it. The hours that decide the episodes of the
/// date are added.
pub fn span_to_read(date: NaiveDate) -> Span {
    let (from, to) = anywhere_on_earth(date);
    (from.plus(-BEFORE_US), to.plus(AFTER_US))
}

/// The time span of the rows to read for [`touched_dates`]: those whose episodes the changed row
/// may decide.
pub fn span_near(change: &Change) -> Span {
    (change.starts_at.plus(-AFTER_US), change.starts_at.plus(BEFORE_US + 1))
}

/// A digest of all inputs of the figures except the raw rows.
pub fn fingerprint(context: &Context<'_>) -> i64 {
    context.catalogue.metric(METRIC).map_or(0, |metric| context.fingerprint(metric))
}

/// The local dates whose figures may change with the changed rows: their own dates, and those of
/// rows near one, whose episodes it may decide. Other rows of the same source, start and end are
/// one sample with a changed row. When the newest of them comes or goes, another one counts or no
/// longer counts, and that one may have another zone.
///
/// `rows` are the current rows that start in [`span_near`]; others do not matter. A row that has
/// changed since its figures were computed has its own entry in `changes`.
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
    /// Glucose in mg/dL.
    value: f64,
    /// Whether the value is only a bound.
    censored: bool,
    /// The value to compare with `limits`: in their unit, or just beyond a bound.
    placed: f64,
    limits: &'static Limits,
}
