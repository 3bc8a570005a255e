//! Judges raw rows: accepts them as samples, or rejects them for a reason.

use std::cmp::Ordering;

use chrono::NaiveDate;

use super::row::{LONGEST_INTERVAL_US, RawVital};
use crate::catalogue::{AggregationStyle, Metric};
use crate::local_time::Zone;
use crate::text::require_short;
use crate::zones::Zones;
use crate::{Reason, SharedStr, Timestamp};

/// An accepted row, its value in the canonical unit.
#[derive(Clone, Debug)]
pub struct Sample<'row> {
    /// The raw row.
    pub row: &'row RawVital,
    /// The value in the metric's canonical unit; 0 for a stage of sleep, of which only the time
    /// counts.
    pub value: f64,
    /// Whether the value is only a bound, since the sensor was out of its range.
    pub censored: bool,
    /// The zone that decides the sample's local date.
    pub zone: Zone,
}

impl Sample<'_> {
    /// The value in `unit`, the unit of a published definition; the catalogue of a user may have
    /// another canonical unit. `None` if `metric`, the sample's own, does not convert.
    ///
    /// A row in `unit` keeps its value to the last bit, so that a value on the border of a range
    /// stays there.
    pub fn value_in(&self, unit: &str, metric: &Metric) -> Option<f64> {
        if metric.unit == unit {
            return Some(self.value);
        }
        let wanted = metric.conversion_from(unit)?;
        let own = metric.conversion_from(&self.row.unit)?;
        Some(if own == wanted { self.row.value + 0.0 } else { wanted.undo(self.value) })
    }

    /// The value to compare with the limits of ranges, in any unit. A reading with a comparator
    /// counts just beyond its value, so that `<70` is below 70.
    pub(crate) fn placed(&self, value: f64) -> f64 {
        match self.row.comparator.as_deref() {
            Some("<") => value.next_down(),
            Some(_) => value.next_up(),
            None => value,
        }
    }

    /// The local date on which the sample starts, in the zone that dates it.
    pub(crate) fn date(&self) -> NaiveDate {
        self.zone.date_of(self.row.started_at)
    }

    /// The order in which sums run: time, source, value. Only facts decide it, so the order of
    /// arrival does not change a figure's last bits.
    pub fn fact_order(&self, other: &Self) -> Ordering {
        (self.row.started_at, &self.row.source)
            .cmp(&(other.row.started_at, &other.row.source))
            .then_with(|| self.value.total_cmp(&other.value))
            .then_with(|| self.row.ended_at.cmp(&other.row.ended_at))
    }
}

/// Judges one raw row against the catalogue's entry of its metric.
///
/// The checks run in this order, and the first failure is returned: time, zone, long text, metric,
/// interval, unit, comparator, value.
///
/// The value of a row of sleep enters no figure, since its stage lasts from its start to its end.
/// Nevertheless it is judged. With a unit it is a duration. Without a unit it may be the code of a
/// category from an export, so it must be finite but has no limits.
///
/// # Errors
/// The reason for which the row is excluded from the figures.
pub fn judge<'row>(
    row: &'row RawVital,
    metric: Option<&Metric>,
    zones: &mut Zones<'_>,
) -> Result<Sample<'row>, Reason> {
    if !(row.started_at.is_datable() && row.ended_at.is_datable()) {
        return Err(Reason::TimeOutOfRange);
    }
    let zone = zones.resolve(row.time_zone.as_deref())?;
    let others = row.comparator.as_deref().into_iter().chain(row.workout_type.as_deref());
    require_short([&*row.unit, &*row.source].into_iter().chain(others), [])?;
    let metric = metric.ok_or(Reason::UnknownMetric)?;
    if row.ended_at < row.started_at {
        return Err(Reason::EndBeforeStart);
    }
    if row.ended_at.since(row.started_at) > LONGEST_INTERVAL_US {
        return Err(Reason::IntervalTooLong);
    }
    let is_sleep = metric.aggregation_style == AggregationStyle::Sleep;
    let conversion = match metric.conversion_from(&row.unit) {
        None if is_sleep && row.unit.is_empty() => None,
        known => Some(known.ok_or(Reason::UnknownUnit)?),
    };
    let censored = match row.comparator.as_deref() {
        None => false,
        Some("<" | ">") => true,
        Some(_) => return Err(Reason::UnknownComparator),
    };
    if !row.value.is_finite() {
        return Err(Reason::NonFiniteValue);
    }
    let value = match conversion {
        // Adding zero turns −0 into 0, which sorts and prints as zero.
        Some(conversion) => metric.in_canonical_unit(row.value, conversion) + 0.0,
        None => 0.0,
    };
    if conversion.is_some() && !metric.is_plausible(value) {
        return Err(Reason::ImplausibleValue);
    }
    if is_sleep {
        return Ok(Sample { row, value: 0.0, censored: false, zone });
    }
    Ok(Sample { row, value, censored, zone })
}

/// The judged rows of one metric: one sample for each (source, start, end), the newest row of it,
/// in fact order; and the rejected rows that have a date.
#[derive(Debug)]
pub struct Judged<'row> {
    /// Accepted samples in fact order.
    pub samples: Vec<Sample<'row>>,
    /// Start and zone of each rejected row that can be dated.
    pub rejected: Vec<(Timestamp, Zone)>,
}

/// The identity of a sample: rows with the same one are one sample.
fn identity(row: &RawVital) -> (Timestamp, Timestamp, &SharedStr) {
    (row.started_at, row.ended_at, &row.source)
}

/// One sample after the other, of each the newest row first.
fn newest_first(a: &RawVital, b: &RawVital) -> Ordering {
    identity(a).cmp(&identity(b)).then_with(|| b.id.cmp(&a.id))
}

/// Start and zone of a rejected row, if it can be dated.
fn rejected_at(row: &RawVital, zones: &mut Zones<'_>) -> Option<(Timestamp, Zone)> {
    let zone = zones.resolve(row.time_zone.as_deref()).ok()?;
    row.started_at.is_datable().then_some((row.started_at, zone))
}

/// Judges the rows of one metric and drops what was sent again: rows with the same source,
/// start and end are one sample, of which the newest (highest id) counts. If that one is rejected,
/// there is no sample: the source itself took back what it had sent before. Every rejected row is
/// counted, also one that was sent again since.
pub fn judge_all<'row>(
    rows: &'row [RawVital],
    metric: &Metric,
    zones: &mut Zones<'_>,
) -> Judged<'row> {
    let mut samples = Vec::with_capacity(rows.len());
    let mut rejected = Vec::new();
    judge_each(rows, metric, zones, |row, zones, judgement| match judgement {
        Judgement::Sample(sample) => samples.push(sample),
        Judgement::Rejected(_) => rejected.extend(rejected_at(row, zones)),
        Judgement::SentAgain { .. } => {}
    });
    samples.sort_by(Sample::fact_order);
    Judged { samples, rejected }
}

/// The judgement of one row.
#[derive(Clone, Debug)]
pub enum Judgement<'row> {
    /// A sample.
    Sample(Sample<'row>),
    /// The same sample was sent again later.
    SentAgain {
        /// The row that replaces it.
        newest: i64,
    },
    /// The row counts in no figure.
    Rejected(Reason),
}

/// Judges the rows of one metric, and reports the judgement of each. [`judge_all`] has the rules.
pub fn judge_each<'row, 'z>(
    rows: &'row [RawVital],
    metric: &Metric,
    zones: &mut Zones<'z>,
    mut tell: impl FnMut(&'row RawVital, &mut Zones<'z>, Judgement<'row>),
) {
    let mut sorted: Vec<&'row RawVital> = rows.iter().collect();
    sorted.sort_unstable_by(|a, b| newest_first(a, b));
    let mut newest: Option<&RawVital> = None;
    for row in sorted {
        let newest_of_sample = newest.filter(|newest| identity(newest) == identity(row));
        if newest_of_sample.is_none() {
            newest = Some(row);
        }
        let judgement = match (judge(row, Some(metric), zones), newest_of_sample) {
            (Ok(sample), None) => Judgement::Sample(sample),
            (Ok(_), Some(newest)) => Judgement::SentAgain { newest: newest.id },
            (Err(reason), _) => Judgement::Rejected(reason),
        };
        tell(row, zones, judgement);
    }
}

/// Drops the rows that were sent again, so that [`judge_all`] finds the same samples in what is
/// left. Start and zone of each rejected row among them that can be dated. The remaining rows do
/// not show it.
pub(crate) fn leave_out_resent(
    rows: &mut Vec<RawVital>,
    metric: &Metric,
    zones: &mut Zones<'_>,
) -> Vec<(Timestamp, Zone)> {
    rows.sort_unstable_by(newest_first);
    let mut rejected = Vec::new();
    rows.dedup_by(|row, newer| {
        let is_resent = identity(newer) == identity(row);
        if is_resent && judge(row, Some(metric), zones).is_err() {
            rejected.extend(rejected_at(row, zones));
        }
        is_resent
    });
    rejected
}
