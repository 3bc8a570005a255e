//! Explains a day's figure: the fate of each raw row, by the functions that compute the figure.

use chrono::NaiveDate;

use super::cumulative;
use crate::Reason;
use crate::catalogue::{AggregationStyle, Metric};
use crate::local_time::Zone;
use crate::raw::{Context, Judgement, RawVital, Sample, judge_each};
use crate::zones::Zones;

/// The fate of a raw row in the figures of one date.
#[derive(Clone, Debug, PartialEq)]
pub enum Fate {
    /// It counts.
    Counts,
    /// The sensor was out of its range: it counts in ranges and in the count of such rows.
    Censored,
    /// A cumulative metric: it contributes this much to the total, in the canonical unit.
    Contributes {
        /// The part that it contributes to the date.
        part: f64,
        /// Its whole value, of all dates that it touches.
        whole: f64,
        /// Whether it begins or ends on another date.
        is_cut: bool,
        /// Rows of better sources that count for some of its time.
        lost_to: Vec<i64>,
    },
    /// Its source gave a total for the whole date.
    Replaced {
        /// The row of that total.
        by: i64,
    },
    /// The same sample was sent again later.
    SentAgain {
        /// The row that counts in its place.
        newest: i64,
    },
    /// It is rejected.
    Rejected(Reason),
    /// It belongs to another date.
    OtherDate(NaiveDate),
}

impl Fate {
    /// Whether some of it is in the figures.
    pub fn counts(&self) -> bool {
        match self {
            Self::Counts | Self::Censored => true,
            Self::Contributes { part, whole, lost_to, .. } => {
                *part != 0.0 || (*whole == 0.0 && lost_to.is_empty())
            }
            Self::Replaced { .. }
            | Self::SentAgain { .. }
            | Self::Rejected(_)
            | Self::OtherDate(_) => false,
        }
    }
}

/// The fate of each row of a metric on a date, by its id. `rows` are those that [`super::recompute()`] needs for
/// the whole date. Sleep has [an explanation of its own](crate::sleep::explain()).
pub fn explain(
    context: &Context<'_>,
    metric: &Metric,
    date: NaiveDate,
    rows: &[RawVital],
) -> Vec<(i64, Fate)> {
    let mut zones = Zones::new(context.base_zone);
    let mut fates = Vec::with_capacity(rows.len());
    let mut samples: Vec<Sample<'_>> = Vec::new();
    judge_each(rows, metric, &mut zones, |row, zones, judgement| match judgement {
        Judgement::Sample(sample) => samples.push(sample),
        Judgement::SentAgain { newest } => fates.push((row.id, Fate::SentAgain { newest })),
        Judgement::Rejected(reason) => {
            let zone = zones.resolve(row.time_zone.as_deref()).ok();
            fates.push((row.id, rejected(row, zone, reason, date)));
        }
    });
    samples.sort_by(Sample::fact_order);
    if metric.aggregation_style == AggregationStyle::Cumulative {
        let of_samples = cumulative::fates(&samples, metric, context.source_order, date);
        let id = |index: &usize| samples[*index].row.id;
        for (sample, fate) in samples.iter().zip(of_samples) {
            let is_cut = !sample.row.is_daily_total
                && [sample.row.started_at, sample.row.ended_at]
                    .iter()
                    .any(|at| sample.zone.date_of(*at) != date);
            let fate = match fate.replaced_by {
                _ if sample.censored => by_date(sample, date, Fate::Censored),
                Some(by) => Fate::Replaced { by: id(&by) },
                None if fate.is_there => Fate::Contributes {
                    part: fate.part,
                    whole: sample.value,
                    is_cut,
                    lost_to: fate.lost_to.iter().map(id).collect(),
                },
                None => Fate::OtherDate(sample.date()),
            };
            fates.push((sample.row.id, fate));
        }
    } else {
        for sample in &samples {
            let fate = if sample.censored { Fate::Censored } else { Fate::Counts };
            fates.push((sample.row.id, by_date(sample, date, fate)));
        }
    }
    fates.sort_unstable_by_key(|(id, _)| *id);
    fates
}

fn by_date(sample: &Sample<'_>, date: NaiveDate, fate: Fate) -> Fate {
    if sample.date() == date { fate } else { Fate::OtherDate(sample.date()) }
}

/// A rejected row of another date is of no interest to this one.
pub(crate) fn rejected(
    row: &RawVital,
    zone: Option<Zone>,
    reason: Reason,
    date: NaiveDate,
) -> Fate {
    let of_row =
        zone.filter(|_| row.started_at.is_datable()).map(|zone| zone.date_of(row.started_at));
    match of_row {
        Some(other) if other != date => Fate::OtherDate(other),
        _ => Fate::Rejected(reason),
    }
}
