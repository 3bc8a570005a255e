//! Judging raw rows: which are samples, and which are rejected for what reason.

use std::cmp::Ordering;

use chrono::NaiveDate;

use crate::catalogue::{Metric, Style};
use crate::local_time::Zone;
use crate::text::require_short;
use crate::timestamp::HOUR_US;
use crate::zones::Zones;
use crate::{Reason, Timestamp, Word};

/// An interval over this length is rejected: no device counts for longer without a break,
/// and it bounds how far back the rows of an hour can begin.
pub const LONGEST_INTERVAL_US: i64 = 48 * HOUR_US;

/// A row of `vitals_raw`; its metric is the list it stands in.
#[derive(Clone, Debug, PartialEq)]
pub struct RawVital {
    /// `id`; used only to tell the newest of several rows for one sample.
    pub id: i64,
    /// `value`, in `unit`.
    pub value: f64,
    /// `comparator`: the sensor was out of its range.
    pub comparator: Option<Word>,
    /// `unit` as the app wrote it.
    pub unit: Word,
    /// `source`: the device or app that measured, [folded](crate::fold_source).
    pub source: Word,
    /// `started_at`.
    pub started_at: Timestamp,
    /// `ended_at`; equal to `started_at` for an instant.
    pub ended_at: Timestamp,
    /// `time_zone`: the row's own zone, if it names one.
    pub time_zone: Option<Word>,
    /// `is_daily_total`: the source's total for the whole local day.
    pub is_daily_total: bool,
}

/// An accepted row, its value in the canonical unit.
#[derive(Clone, Debug)]
pub struct Sample<'row> {
    /// The raw row.
    pub row: &'row RawVital,
    /// The value in the metric's canonical unit; 0 for a stage of sleep, of which only the time counts.
    pub value: f64,
    /// Whether the sensor was out of its range, so that the value is only a bound.
    pub censored: bool,
    /// The zone that decides the sample's local date.
    pub zone: Zone,
}

impl Sample<'_> {
    /// The value in `unit`, in which a published definition speaks; the catalogue of a user may
    /// have another canonical unit. `None` if `metric`, the sample's own, does not convert.
    ///
    /// A row that was measured in `unit` keeps its value to the last bit, so that one on the
    /// border of a range stays there.
    pub fn value_in(&self, unit: &str, metric: &Metric) -> Option<f64> {
        if metric.unit == unit {
            return Some(self.value);
        }
        let wanted = metric.conversion_from(unit)?;
        let own = metric.conversion_from(&self.row.unit)?;
        Some(if own == wanted { self.row.value + 0.0 } else { wanted.undo(self.value) })
    }

    /// Where a value in any unit lies when it is compared with the limits of ranges: a reading
    /// with a comparator lies just beyond its value, so that `<70` is below 70.
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

    /// The order in which sums run: time, source, value. It is given by the facts alone, so
    /// that arrival leaves no trace in a figure's last bits.
    pub fn fact_order(&self, other: &Self) -> Ordering {
        (self.row.started_at, &self.row.source)
            .cmp(&(other.row.started_at, &other.row.source))
            .then_with(|| self.value.total_cmp(&other.value))
            .then_with(|| self.row.ended_at.cmp(&other.row.ended_at))
    }
}

/// Judges one raw row against the catalogue's entry of its metric.
///
/// The first of these reasons that holds is given: time, zone, long text, metric, interval, unit,
/// comparator, value.
///
/// The value of a row of sleep takes no part in any figure, since its stage lasts from its start to
/// its end; it is judged all the same. With a unit it is a duration. Without one it is what an
/// export puts in the place of one, the code of a category perhaps, so that it must be finite, but
/// has no limits.
///
/// # Errors
/// The reason for which the row takes no part in the figures.
pub fn judge<'row>(
    row: &'row RawVital,
    metric: Option<&Metric>,
    zones: &mut Zones<'_>,
) -> Result<Sample<'row>, Reason> {
    if !(row.started_at.is_datable() && row.ended_at.is_datable()) {
        return Err(Reason::TimeOutOfRange);
    }
    let zone = zones.of(row.time_zone.as_deref())?;
    require_short([&*row.unit, &*row.source].into_iter().chain(row.comparator.as_deref()), [])?;
    let metric = metric.ok_or(Reason::UnknownMetric)?;
    if row.ended_at < row.started_at {
        return Err(Reason::EndBeforeStart);
    }
    if row.ended_at.since(row.started_at) > LONGEST_INTERVAL_US {
        return Err(Reason::IntervalTooLong);
    }
    let is_sleep = metric.style == Style::Sleep;
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
        // Adding zero turns −0 into 0, which sorts and prints like the zero that it is.
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

/// The rows of one metric after judging: one sample for each (source, start, end), the
/// newest row of it, in fact order; and the rejected rows that have a date.
#[derive(Debug)]
pub struct Judged<'row> {
    /// Accepted samples in fact order.
    pub samples: Vec<Sample<'row>>,
    /// Start and zone of each rejected row that can be dated.
    pub rejected: Vec<(Timestamp, Zone)>,
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
        Judgement::Rejected(_) if row.started_at.is_datable() => {
            if let Ok(zone) = zones.of(row.time_zone.as_deref()) {
                rejected.push((row.started_at, zone));
            }
        }
        Judgement::Rejected(_) | Judgement::SentAgain { .. } => {}
    });
    samples.sort_by(Sample::fact_order);
    Judged { samples, rejected }
}

/// What a row is.
#[derive(Clone, Debug)]
pub enum Judgement<'row> {
    /// A sample.
    Sample(Sample<'row>),
    /// The same sample was sent again later.
    SentAgain {
        /// The row that counts in its place, or takes it back.
        newest: i64,
    },
    /// It takes no part in the figures.
    Rejected(Reason),
}

/// Judges the rows of one metric, as [`judge_all`] has it, and says what each of them is.
pub fn judge_each<'row, 'z>(
    rows: &'row [RawVital],
    metric: &Metric,
    zones: &mut Zones<'z>,
    mut tell: impl FnMut(&'row RawVital, &mut Zones<'z>, Judgement<'row>),
) {
    fn identity(row: &RawVital) -> (Timestamp, Timestamp, &Word) {
        (row.started_at, row.ended_at, &row.source)
    }
    let mut newest_first: Vec<&'row RawVital> = rows.iter().collect();
    newest_first
        .sort_unstable_by(|a, b| identity(a).cmp(&identity(b)).then_with(|| b.id.cmp(&a.id)));
    let mut newest: Option<&RawVital> = None;
    for row in newest_first {
        let newest_of_it = newest.filter(|newest| identity(newest) == identity(row));
        if newest_of_it.is_none() {
            newest = Some(row);
        }
        let judgement = match (judge(row, Some(metric), zones), newest_of_it) {
            (Ok(sample), None) => Judgement::Sample(sample),
            (Ok(_), Some(newest)) => Judgement::SentAgain { newest: newest.id },
            (Err(reason), _) => Judgement::Rejected(reason),
        };
        tell(row, zones, judgement);
    }
}
