//! The figures of one analyte and unit on one day.

use chrono::NaiveDate;
use xsum::{Xsum, XsumSmall};

use super::{Comparator, Facts, Finding, Flag};
use crate::Timestamp;
use crate::raw::SharedZone;
use crate::zones::BaseZone;

/// The figures of one analyte in one unit on one user's local day: a row of `lab_daily`.
///
/// The last result is the maximum by time, then source, specimen and text.
#[derive(Clone, Debug, PartialEq)]
pub struct LabDay {
    /// The LOINC code, else `name:` and the name in lower case with single spaces, then `|` and the
    /// specimen.
    pub analyte: String,
    /// The unit of every figure of this row: the analyte's canonical unit if the catalogue has a
    /// factor, else the laboratory's. Empty if the laboratory gave none.
    pub unit: String,
    /// Results that count: numbers, bounds and texts.
    pub result_count: i32,
    /// Results that are numbers without a comparator, the inputs of [`LabDay::mean`].
    pub exact_count: i32,
    /// The number of the last result; `None` if the result is text.
    pub last_value: Option<f64>,
    /// The comparator before [`LabDay::last_value`]; with one, the value is only a bound.
    pub last_comparator: Option<Comparator>,
    /// The text of the last result; `None` if the result is a number.
    pub last_text: Option<String>,
    /// When the specimen of the last result was taken.
    pub last_at: Timestamp,
    /// The minimum of the numbers without a comparator.
    pub min: Option<f64>,
    /// The maximum of the numbers without a comparator.
    pub max: Option<f64>,
    /// The arithmetic mean of the numbers without a comparator, never outside
    /// [`LabDay::min`]..=[`LabDay::max`].
    pub mean: Option<f64>,
    /// The lower end of the last result's reference range, converted with the result.
    pub reference_low: Option<f64>,
    /// The upper end of the last result's reference range, converted with the result.
    pub reference_high: Option<f64>,
    /// The last result's reference range as the laboratory printed it, in the unit in which it
    /// reported the result.
    pub reference_text: Option<String>,
    /// The last result as the laboratory wrote it.
    pub reported_value: String,
    /// The unit of the last result and of [`LabDay::reference_text`], as the laboratory wrote it;
    /// `None` if it gave none.
    pub reported_unit: Option<String>,
    /// The flag of the last result.
    pub last_flag: Option<Flag>,
    /// The worst flag of the day (LL, HH before L, H before A before N); of equally bad ones, the
    /// last.
    pub worst_flag: Option<Flag>,
    /// The change since the day before; empty until [`compare`](super::compare) fills it.
    pub delta: Delta,
    /// A digest of the catalogue's entry of the analyte.
    pub context_fingerprint: i64,
    /// The zone of [`LabDay::day_start`] and [`LabDay::day_end`].
    pub time_zone: String,
    /// The first instant of the date in that zone.
    pub day_start: Timestamp,
    /// The first instant after the date in that zone.
    pub day_end: Timestamp,
}

/// The difference of two last results.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Delta {
    /// The last value less the previous one, in the unit of both; `None` unless both are numbers
    /// without a comparator.
    pub value: Option<f64>,
    /// The difference in percent of the previous value's amount, so that its sign is that of
    /// [`Delta::value`] also below zero (base excess); `None` if the previous value is 0.
    pub percent: Option<f64>,
}

impl Delta {
    /// The delta between two last results without a comparator; `None` is a bound, a text or no
    /// row.
    pub fn between(last: Option<f64>, previous: Option<f64>) -> Self {
        let Some((last, previous)) = last.zip(previous) else {
            return Self::default();
        };
        let difference = last - previous;
        // A row may claim a number beyond doubles, although no laboratory measures one. Adding zero
        // turns the −0 of a vanishing share into 0.
        let finite = |number: f64| number.is_finite().then_some(number + 0.0);
        Self { value: finite(difference), percent: finite(100.0 * difference / previous.abs()) }
    }
}

/// The figures of one analyte and unit while findings are added, in any order. However many there are, it keeps the
/// texts of two of them.
#[derive(Default)]
pub(super) struct DayBuilder {
    result_count: usize,
    exact_count: usize,
    sum: XsumSmall,
    /// The sum of the numbers divided by [`SCALE`], for numbers whose sum is beyond what a double holds.
    scaled_sum: XsumSmall,
    min: Option<f64>,
    max: Option<f64>,
    last: Option<(Facts<'static>, LabDay)>,
    worst: Option<(Facts<'static>, Flag)>,
    zone: SharedZone,
}

/// A power of two, so that a division by it is exact.
const SCALE: f64 = (1_u64 << 40) as f64;

impl DayBuilder {
    /// Adds a finding; all of one builder share a key.
    pub(super) fn add(&mut self, finding: &Finding<'_>) {
        self.result_count += 1;
        self.zone.add(finding.row.collected_at, finding.local_date.zone);
        if let Some(number) = finding.value.exact() {
            self.exact_count += 1;
            self.sum.add(number);
            self.scaled_sum.add(number / SCALE);
            let least = self.min.filter(|min| min.total_cmp(&number).is_le());
            let greatest = self.max.filter(|max| max.total_cmp(&number).is_ge());
            (self.min, self.max) = (least.or(Some(number)), greatest.or(Some(number)));
        }
        let facts = finding.facts();
        // Of equally bad flags the last is taken.
        if let Some(flag) = finding.flag
            && self.worst.as_ref().is_none_or(|(of_worst, worst)| {
                (worst.severity(), of_worst) <= (flag.severity(), &facts)
            })
        {
            self.worst = Some((facts.to_owned(), flag));
        }
        if self.last.as_ref().is_none_or(|(last, _)| *last <= facts) {
            self.last = Some((facts.to_owned(), LabDay::from_finding(finding)));
        }
    }

    /// The figures of the date; `None` if no finding was added.
    pub(super) fn finish(mut self, date: NaiveDate, base: &BaseZone) -> Option<LabDay> {
        let zone = self.zone.find(base)?;
        let mean = self.mean();
        let (_, last) = self.last?;
        Some(LabDay {
            result_count: count(self.result_count),
            exact_count: count(self.exact_count),
            min: self.min,
            max: self.max,
            mean,
            worst_flag: self.worst.map(|(_, flag)| flag),
            time_zone: zone.to_string(),
            day_start: zone.day_start(date),
            day_end: zone.day_end(date),
            ..last
        })
    }

    /// The arithmetic mean: the sum is exact and rounded once, so that no order leaves a trace in it.
    fn mean(&mut self) -> Option<f64> {
        let (min, max) = self.min.zip(self.max)?;
        let count = self.exact_count as f64;
        let mean = self.sum.sum() / count;
        // Numbers near the end of what a double holds, which nothing measures but a row may claim.
        let mean = if mean.is_finite() { mean } else { self.scaled_sum.sum() / count * SCALE };
        Some(mean.max(min).min(max))
    }
}

impl LabDay {
    /// The fields of a day that come from its last finding alone.
    fn from_finding(last: &Finding<'_>) -> Self {
        Self {
            analyte: last.analyte.clone(),
            unit: last.unit.kept.to_string(),
            result_count: 0,
            exact_count: 0,
            last_value: last.value.value(),
            last_comparator: last.value.comparator(),
            last_text: last.value.text().map(str::to_owned),
            last_at: last.row.collected_at,
            min: None,
            max: None,
            mean: None,
            reference_low: last.range.and_then(|range| range.low).map(|end| end.value),
            reference_high: last.range.and_then(|range| range.high).map(|end| end.value),
            reference_text: last.reference_text().map(Into::into),
            reported_value: last.value_text().to_owned(),
            reported_unit: Some(last.unit.reported).filter(|u| !u.is_empty()).map(str::to_owned),
            last_flag: last.flag,
            worst_flag: None,
            delta: Delta::default(),
            context_fingerprint: last.context_fingerprint,
            time_zone: String::new(),
            day_start: Timestamp::MIN,
            day_end: Timestamp::MIN,
        }
    }
}

fn count(results: usize) -> i32 {
    i32::try_from(results).unwrap_or(i32::MAX)
}
