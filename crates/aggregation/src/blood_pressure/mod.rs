//! Blood pressure: the measurements of a local day, each a systolic and a diastolic value.
//!
//! Apps write the two values of a measurement as two rows. [`figures`] pairs them and computes one
//! date.
//!
//! - **A pair** is a systolic and a diastolic row of one source that start at most 5 s apart. The
//!   nearest rows are paired first, each row once. Of two equally near rows, a systolic row takes
//!   the later one and a diastolic row the earlier one. A pair depends on no row farther than ten
//!   minutes ([`REACH_US`]). This limit is exact for up to 60 pairs that follow one another without
//!   a pause of 5 s.
//! - **A pair is dated by its systolic row**, in that row's own zone. One row must decide, or a
//!   measurement at midnight would count on two dates or on none. If the earlier row decided, the
//!   date would depend on which row a device writes first.
//! - **The figures are those of pairs.** So the means of both values and of MAP describe the same
//!   measurements. `vitals_daily` has every single row, with or without a partner.
//! - **A row with a comparator pairs** like any other, since its partner was measured. Its pair is
//!   counted and has a category, by a value just beyond the bound. It is in no mean, minimum or
//!   maximum.
//! - **Rows to read** for a date: every row of both metrics that starts in [`span_to_read`]. More
//!   rows change nothing.

mod category;
mod day;
mod pairs;

use std::collections::{BTreeMap, BTreeSet};

use chrono::NaiveDate;

pub use self::category::Category;
use self::day::Measurement;
pub use self::day::{BloodPressureDay, Pressure};
use self::pairs::pairs;
pub use self::pairs::{FARTHEST_APART_US, REACH_US};
use crate::Timestamp;
use crate::catalogue::Metric;
use crate::fingerprint::Fingerprint;
use crate::local_time::{Zone, anywhere_on_earth};
use crate::raw::{
    Change, Context, Judged, LocalDate, LocalDates, RawVital, Sample, Span, judge_all, touched_near,
};
use crate::zones::{BaseZone, Zones};

/// The metric of systolic rows.
pub const SYSTOLIC: &str = "blood_pressure_systolic";
/// The metric of diastolic rows.
pub const DIASTOLIC: &str = "blood_pressure_diastolic";
/// Both metrics, systolic first.
pub const METRICS: [&str; 2] = [SYSTOLIC, DIASTOLIC];
/// The UCUM unit of every figure.
pub const UNIT: &str = "mm[Hg]";

/// The figures of local date `date` from all raw rows of one user that start in [`span_to_read`].
/// Rows of other dates only serve to find partners. The result is `None` if the date has neither an
/// accepted nor a rejected row of either metric. It is also `None` if the catalogue lacks a metric
/// or gives it a unit that does not convert to mm\[Hg\].
///
/// The order of the rows does not matter. Their ids only tell the newest of several rows for one
/// sample.
pub fn figures(
    systolic: &[RawVital],
    diastolic: &[RawVital],
    date: NaiveDate,
    context: &Context<'_>,
) -> Option<BloodPressureDay> {
    let systolic_metric = context.catalogue.metric(SYSTOLIC)?;
    let diastolic_metric = context.catalogue.metric(DIASTOLIC)?;
    systolic_metric.conversion_from(UNIT).and(diastolic_metric.conversion_from(UNIT))?;
    let mut zones = Zones::new(context.base_zone);
    let systolic = judge_all(systolic, systolic_metric, &mut zones);
    let diastolic = judge_all(diastolic, diastolic_metric, &mut zones);

    let pairs = pairs(&systolic.samples, &diastolic.samples);
    let mut measurements = Vec::new();
    let mut zones_of_rows = Vec::new();
    for (s, d) in &pairs {
        let (s, d) = (&systolic.samples[*s], &diastolic.samples[*d]);
        if s.date() == date {
            measurements.push(measurement((s, systolic_metric), (d, diastolic_metric))?);
            zones_of_rows.extend([s.zone, d.zone]);
        }
    }
    let single_systolic = without_partner(&systolic, pairs.iter().map(|pair| pair.0));
    let single_diastolic = without_partner(&diastolic, pairs.iter().map(|pair| pair.1));
    let single: Vec<Zone> = single_systolic
        .chain(single_diastolic)
        .filter(|sample| sample.date() == date)
        .map(|sample| sample.zone)
        .collect();
    let mut rejected: Vec<(Timestamp, Zone)> = [systolic.rejected, diastolic.rejected].concat();
    rejected.retain(|(at, zone)| zone.date_of(*at) == date);
    rejected.sort_by_cached_key(|(at, zone)| (*at, zone.to_string()));

    // Rejected rows decide the zone only if no other row names one.
    zones_of_rows.extend(&single);
    if zones_of_rows.is_empty() {
        zones_of_rows.extend(rejected.iter().map(|(_, zone)| *zone));
    }
    if zones_of_rows.is_empty() {
        return None;
    }
    let dates = zones_of_rows.into_iter().map(|zone| LocalDate { zone, date });
    let zone = LocalDates::new(context.base_zone).zone_of_day(dates)?;
    Some(BloodPressureDay::from_measurements(
        &measurements,
        single.len(),
        rejected.len(),
        zone,
        date,
    ))
}

/// One measurement: a systolic row and its partner.
#[derive(Clone, Debug, PartialEq)]
pub struct PressureReading {
    /// When the systolic row starts.
    pub at: Timestamp,
    /// The zone that dates the systolic row.
    pub zone: Zone,
    /// Its local date.
    pub date: NaiveDate,
    /// Systolic pressure in mmHg.
    pub systolic: f64,
    /// Diastolic pressure in mmHg.
    pub diastolic: f64,
    /// Whether one of the values is only a bound.
    pub is_bound: bool,
    /// The category of the measurement.
    pub category: Category,
}

/// The measurements behind the figures, in the order of their systolic rows: the same pairs as those of
/// [`figures`]. They are empty where the catalogue has no figures of blood pressure.
pub fn readings(
    systolic: &[RawVital],
    diastolic: &[RawVital],
    context: &Context<'_>,
) -> Vec<PressureReading> {
    let metrics = METRICS.map(|name| context.catalogue.metric(name));
    let [Some(systolic_metric), Some(diastolic_metric)] = metrics else { return Vec::new() };
    let mut zones = Zones::new(context.base_zone);
    let systolic = judge_all(systolic, systolic_metric, &mut zones).samples;
    let diastolic = judge_all(diastolic, diastolic_metric, &mut zones).samples;
    let reading = |(s, d): (usize, usize)| {
        let (s, d) = (systolic.get(s)?, diastolic.get(d)?);
        let measured = measurement((s, systolic_metric), (d, diastolic_metric))?;
        Some(PressureReading {
            at: s.row.started_at,
            zone: s.zone,
            date: s.date(),
            systolic: measured.systolic,
            diastolic: measured.diastolic,
            is_bound: measured.censored,
            category: measured.category,
        })
    };
    pairs(&systolic, &diastolic).into_iter().filter_map(reading).collect()
}

/// The partner of each row that has one, both ways, by the pairs of which the figures are made.
pub fn partners(
    systolic: &[RawVital],
    diastolic: &[RawVital],
    context: &Context<'_>,
) -> BTreeMap<i64, i64> {
    let metrics = METRICS.map(|name| context.catalogue.metric(name));
    let [Some(systolic_metric), Some(diastolic_metric)] = metrics else { return BTreeMap::new() };
    let mut zones = Zones::new(context.base_zone);
    let systolic = judge_all(systolic, systolic_metric, &mut zones).samples;
    let diastolic = judge_all(diastolic, diastolic_metric, &mut zones).samples;
    let ids = pairs(&systolic, &diastolic)
        .into_iter()
        .map(|(s, d)| (systolic[s].row.id, diastolic[d].row.id));
    ids.flat_map(|(s, d)| [(s, d), (d, s)]).collect()
}

/// A digest of all inputs of the figures except the raw rows: those of both metrics, systolic
/// first.
pub fn fingerprint(context: &Context<'_>) -> i64 {
    let mut digest = Fingerprint::new();
    for metric in METRICS.map(|name| context.catalogue.metric(name)) {
        let of_metric = metric.map_or(0, |metric| context.fingerprint(metric));
        digest.integer(of_metric.cast_unsigned());
    }
    digest.finish().cast_signed()
}

/// The time span of the rows to read for the figures of `date`. It lasts as long as it is that date
/// anywhere on earth, because a row's own zone dates it. [`REACH_US`] is added before and after.
/// The partner of a row may have another date.
pub fn span_to_read(date: NaiveDate) -> Span {
    let (from, to) = anywhere_on_earth(date);
    (from.plus(-REACH_US), to.plus(REACH_US))
}

/// The time span of the rows of either metric to read for [`touched_dates`].
pub fn span_near(change: &Change) -> Span {
    (change.starts_at.plus(-REACH_US), change.starts_at.plus(REACH_US + 1))
}

/// The local dates whose figures may change with the changed rows: their own dates, and those of
/// all rows near one. A changed row may pair with a near row, or end that row's pair. Near
/// midnight, or where rows have zones of their own, they are several dates.
///
/// `rows` are the current rows of both metrics that start in [`span_near`]; others do not matter. A
/// row that has changed since its figures were computed has its own entry in `changes`.
pub fn touched_dates<'r>(
    changes: &[&Change],
    rows: impl IntoIterator<Item = &'r RawVital>,
    base: &BaseZone,
) -> BTreeSet<NaiveDate> {
    touched_near(changes, rows, span_near, base)
}

fn without_partner<'j, 'row>(
    judged: &'j Judged<'row>,
    paired: impl Iterator<Item = usize>,
) -> impl Iterator<Item = &'j Sample<'row>> {
    let paired: BTreeSet<usize> = paired.collect();
    let samples = judged.samples.iter().enumerate();
    samples.filter(move |(index, _)| !paired.contains(index)).map(|(_, sample)| sample)
}

fn measurement<'row>(
    (systolic, systolic_metric): (&Sample<'row>, &Metric),
    (diastolic, diastolic_metric): (&Sample<'row>, &Metric),
) -> Option<Measurement<'row>> {
    let s = systolic.value_in(UNIT, systolic_metric)?;
    let d = diastolic.value_in(UNIT, diastolic_metric)?;
    Some(Measurement {
        source: &systolic.row.source,
        systolic: s,
        diastolic: d,
        category: Category::classify(systolic.placed(s), diastolic.placed(d)),
        censored: systolic.censored || diastolic.censored,
    })
}
