//! Labs: what a laboratory found on a local day, by analyte and unit.
//!
//! [`judge`] says whether a raw row is sound, [`figures`] makes the days of one date, [`compare`]
//! sets their deltas to the dates before, and those of the dates after.
//!
//! A row is judged for its time, its zone and its status; a preliminary, cancelled or withdrawn
//! row is then neither counted nor rejected, whatever else it holds. One that counts is judged for
//! its analyte and its value. The first objection is the reason of its rejection.

mod analyte;
mod day;
mod delta;
mod flag;
mod number;
mod range;
mod reading;
mod value;

#[cfg(test)]
mod properties;
#[cfg(test)]
mod tests;
#[cfg(test)]
mod unit_tests;

use std::borrow::Cow;
use std::cmp::Ordering;
use std::collections::BTreeSet;

use chrono::NaiveDate;

pub use self::analyte::analyte_key;
pub(crate) use self::analyte::tidy as tidy_name;
use self::analyte::{OwnUnit, Unit};
pub use self::day::LabDay;
pub use self::delta::{Delta, Neighbours, NextDay, NextDelta, compare};
pub use self::flag::Flag;
use self::flag::OwnFlag;
use self::range::ReferenceRange;
use self::reading::Reading;
pub use self::value::Comparator;
use self::value::LabValue;
use crate::catalogue::Analytes;
use crate::place::{Place, Places};
use crate::text::{LONGEST_TEXT_BYTES, require_short};
use crate::zones::BaseZone;
use crate::{Reason, Timestamp};

/// The version of the definitions of this module, stored with every day's figures and raised
/// whenever one changes. 2: units convert by analyte, and rows have deltas. 3: rows tell how many of
/// their results are exact numbers. 4: a result and its range prove each other's decimal sign; ranges with
/// their unit and in brackets; the flag A; the newest revision counts, and a result that is sent again is
/// one; rows have the last result as reported; a unit without a factor is kept by its UCUM code; glucose
/// converts as in vitals.
///
/// It is not the [crate's](crate::ALGORITHM_VERSION), a change of which has every stored day of
/// vitals computed anew.
pub const ALGORITHM_VERSION: i32 = 4;

/// The longest result. `last_text` and `reported_value` keep its text, and the end of a finding that
/// is cut off may be what matters, so that a longer one is rejected.
pub const LONGEST_RESULT_BYTES: usize = LONGEST_TEXT_BYTES;

/// The longest reference range. A longer text is a remark: it is cut here, and no bound is read from it.
pub const LONGEST_RANGE_BYTES: usize = LONGEST_TEXT_BYTES;

/// A row of `lab_raw`, as the database holds it.
#[derive(Clone, Debug, PartialEq)]
pub struct RawLab {
    /// The row's identity; it only tells the newest of the versions of one result.
    pub id: i64,
    /// What was measured, in the laboratory's words.
    pub test_name: String,
    /// What was measured, by LOINC.
    pub loinc_code: Option<String>,
    /// The result: a number, a bound such as `<5`, or text.
    pub value_text: String,
    /// The unit of the result and of its reference range.
    pub unit: Option<String>,
    /// The values expected of healthy people, as the laboratory prints them.
    pub reference_range: Option<String>,
    /// The laboratory's own flag.
    pub flag: Option<String>,
    /// What was examined: blood, urine, …
    pub specimen: Option<String>,
    /// `final`, `amended`, `corrected`, `preliminary`, `cancelled` or `entered-in-error`.
    pub status: String,
    /// When the specimen was taken.
    pub collected_at: Timestamp,
    /// The row's own zone, an IANA name or an offset.
    pub time_zone: Option<String>,
    /// Who reported it, [folded](crate::fold_source).
    pub source: String,
}

impl RawLab {
    /// The bytes of its texts.
    pub fn text_bytes(&self) -> usize {
        let optional = [&self.loinc_code, &self.unit, &self.reference_range, &self.flag];
        let optional = optional.into_iter().chain([&self.specimen, &self.time_zone]);
        let texts = [&self.test_name, &self.value_text, &self.status, &self.source];
        texts.into_iter().chain(optional.flatten()).map(String::len).sum()
    }
}

/// Judges one row: the local date on which its specimen was taken.
///
/// A row that is sound but does not count (preliminary, cancelled, entered in error) has a date
/// too.
///
/// # Errors
/// The first of [`Reason::TimeOutOfRange`], [`Reason::UnknownTimeZone`] (the row's own zone, or
/// without one the base zone), [`Reason::TextTooLong`], [`Reason::UnknownStatus`] and, if the row counts,
/// [`Reason::UnnamedTest`], [`Reason::KeyTooLong`], [`Reason::ResultTooLong`],
/// [`Reason::EmptyResult`] and [`Reason::NonFiniteValue`] (as reported or in the canonical unit) that
/// applies.
pub fn judge(row: &RawLab, base_zone: &BaseZone, analytes: &Analytes) -> Result<NaiveDate, Reason> {
    examine(row, &mut Places::of(base_zone), analytes).map(|(place, _)| place.date)
}

/// The figures of local date `date`, by analyte and unit and in their order, from all raw rows
/// of one user around it; rows of other dates are left out.
///
/// The order of `rows` does not matter, nor do their ids but for [`RawLab::id`]'s purpose. A
/// correction supersedes results of its own local date: figures of a date depend on its rows
/// alone, so that a changed row never concerns a date that is not computed again.
///
/// Results of one analyte whose units convert share a row. Deltas are left to [`compare`].
pub fn figures(
    rows: &[RawLab],
    date: NaiveDate,
    base_zone: &BaseZone,
    analytes: &Analytes,
) -> Vec<LabDay> {
    explain(rows, date, base_zone, analytes, |_, _| {})
}

/// What became of a raw row of laboratory results in the figures of one date.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fate {
    /// It counts in the row of the daily table with this analyte and unit.
    Counts {
        /// The analyte.
        analyte: String,
        /// The unit of the figures.
        unit: String,
    },
    /// Its status does not count.
    Uncounted,
    /// A later revision of it counts.
    Superseded,
    /// The same result was sent again later.
    SentAgain,
    /// It is rejected.
    Rejected(Reason),
    /// It belongs to another date.
    OtherDate(NaiveDate),
}

/// Computes [`figures`], and says what became of each row.
pub fn explain(
    rows: &[RawLab],
    date: NaiveDate,
    base_zone: &BaseZone,
    analytes: &Analytes,
    mut tell: impl FnMut(i64, Fate),
) -> Vec<LabDay> {
    let mut places = Places::of(base_zone);
    let mut counting = Vec::new();
    for row in rows {
        match examine(row, &mut places, analytes) {
            Ok((place, _)) if place.date != date => tell(row.id, Fate::OtherDate(place.date)),
            Ok((_, None)) => tell(row.id, Fate::Uncounted),
            Ok((_, Some(finding))) => counting.push(finding),
            Err(reason) => match places.find(row.collected_at, row.time_zone.as_deref()) {
                Ok(place) if place.date != date => tell(row.id, Fate::OtherDate(place.date)),
                _ => tell(row.id, Fate::Rejected(reason)),
            },
        }
    }
    let ids = |findings: &[Finding<'_>]| -> BTreeSet<i64> {
        findings.iter().map(|finding| finding.row.id).collect()
    };
    let all = ids(&counting);
    let counting = without_superseded(counting);
    let revised = ids(&counting);
    let mut findings = without_resent(counting);
    let last = ids(&findings);
    all.difference(&revised).for_each(|id| tell(*id, Fate::Superseded));
    revised.difference(&last).for_each(|id| tell(*id, Fate::SentAgain));
    for finding in &findings {
        let (analyte, unit) = (finding.analyte.clone(), finding.unit.kept.to_string());
        tell(finding.row.id, Fate::Counts { analyte, unit });
    }
    findings.sort_by(|a, b| a.key().cmp(&b.key()).then_with(|| a.fact_order(b)));
    findings
        .chunk_by(|a, b| a.key() == b.key())
        .filter_map(|of_key| {
            let zone = places.zone_of_day(of_key.iter().map(|finding| finding.place))?;
            LabDay::of(of_key, zone, date)
        })
        .collect()
}

/// What the status of a row says; a revision supersedes those before it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Status {
    Uncounted,
    Final,
    /// Amended or corrected.
    Revised,
}

impl Status {
    fn read(text: &str) -> Result<Self, Reason> {
        match text.trim().to_ascii_lowercase().as_str() {
            "final" => Ok(Self::Final),
            "amended" | "corrected" => Ok(Self::Revised),
            "preliminary" | "cancelled" | "entered-in-error" => Ok(Self::Uncounted),
            _ => Err(Reason::UnknownStatus),
        }
    }
}

/// A row that counts.
#[derive(Debug)]
struct Finding<'a> {
    row: &'a RawLab,
    place: Place,
    status: Status,
    analyte: String,
    unit: Unit<'a>,
    /// Lower case with single spaces; empty if there is none.
    specimen: String,
    /// In the unit that is kept.
    value: LabValue,
    /// In the unit that is kept.
    range: Option<ReferenceRange>,
    flag: Option<Flag>,
    context_fingerprint: i64,
}

/// Judges `row`; the finding is there if it counts.
fn examine<'a>(
    row: &'a RawLab,
    places: &mut Places<'a>,
    analytes: &'a Analytes,
) -> Result<(Place, Option<Finding<'a>>), Reason> {
    let place = places.find(row.collected_at, row.time_zone.as_deref())?;
    require_short(
        [&*row.status, &*row.source]
            .into_iter()
            .chain(row.unit.as_deref())
            .chain(row.loinc_code.as_deref()),
        [&*row.test_name].into_iter().chain(row.specimen.as_deref()).chain(row.flag.as_deref()),
    )?;
    let status = Status::read(&row.status)?;
    if status == Status::Uncounted {
        return Ok((place, None));
    }
    let analyte = analyte::key(row)?;
    let reported_unit = analyte::reported_unit(row)?;
    let value_text = row.value_text.trim();
    if value_text.len() > LONGEST_RESULT_BYTES {
        return Err(Reason::ResultTooLong);
    }
    let known = analytes.find(row.loinc_code.as_deref(), &row.test_name);
    let own_unit = OwnUnit::new(reported_unit, known);
    let range = range_text(row).filter(|text| text.len() <= LONGEST_RANGE_BYTES);
    let own_flag = OwnFlag::read(row.flag.as_deref());
    // Result and range are compared as they were reported: rounding may draw a value onto an end.
    let reported = Reading::of(value_text, range.unwrap_or_default(), &own_unit, own_flag)?;
    let unit = Unit::of(reported_unit, &reported.value, known, analytes);
    let value = reported.value.converted(unit.step)?;
    let range = reported.range.and_then(|range| range.converted(unit.step));
    let flag = reported.flag;
    let specimen = analyte::tidy(row.specimen.as_deref().unwrap_or_default());
    let context_fingerprint = analytes.fingerprint(known);
    Ok((
        place,
        Some(Finding {
            row,
            place,
            status,
            analyte,
            unit,
            specimen,
            value,
            range,
            flag,
            context_fingerprint,
        }),
    ))
}

/// The reference range as printed; `None` if it is blank.
fn range_text(row: &RawLab) -> Option<&str> {
    row.reference_range.as_deref().map(str::trim).filter(|text| !text.is_empty())
}

/// Leaves out results that the laboratory has revised: where rows of one analyte, unit, source,
/// specimen and instant are amended or corrected, only the one of these with the highest id counts.
/// Where all are final, all count.
fn without_superseded(mut findings: Vec<Finding<'_>>) -> Vec<Finding<'_>> {
    findings.sort_by(|a, b| {
        let newest_first = (b.status, b.row.id).cmp(&(a.status, a.row.id));
        a.identity().cmp(&b.identity()).then(newest_first).then_with(|| a.fact_order(b))
    });
    findings.dedup_by(|later, newest| {
        newest.status == Status::Revised && newest.identity() == later.identity()
    });
    findings
}

/// Leaves out results that were sent again: of rows with one analyte, unit, instant, source and value
/// only the one with the highest id counts. Its range and flag may differ from those before it.
fn without_resent(mut findings: Vec<Finding<'_>>) -> Vec<Finding<'_>> {
    let by_result = |a: &Finding<'_>, b: &Finding<'_>| {
        (a.key(), a.row.collected_at, &a.row.source)
            .cmp(&(b.key(), b.row.collected_at, &b.row.source))
            .then_with(|| a.value.order(&b.value))
    };
    findings.sort_by(|a, b| {
        by_result(a, b).then(b.row.id.cmp(&a.row.id)).then_with(|| a.fact_order(b))
    });
    findings.dedup_by(|later, newest| by_result(newest, later).is_eq());
    findings
}

impl Finding<'_> {
    /// The key of the daily row within its date.
    fn key(&self) -> (&str, &str) {
        (&self.analyte, &self.unit.kept)
    }

    /// What revisions of one result have in common.
    fn identity(&self) -> (&str, &str, Timestamp, &str, &str) {
        (
            &self.analyte,
            &self.unit.canonical,
            self.row.collected_at,
            &self.row.source,
            &self.specimen,
        )
    }

    fn value_text(&self) -> &str {
        self.row.value_text.trim()
    }

    /// The reference range as printed, or its beginning; `None` if it is blank.
    fn reference_text(&self) -> Option<Cow<'_, str>> {
        let text = range_text(self.row)?;
        if text.len() <= LONGEST_RANGE_BYTES {
            return Some(text.into());
        }
        const ELLIPSIS: char = '\u{2026}';
        let ends = (0..=LONGEST_RANGE_BYTES - ELLIPSIS.len_utf8()).rev();
        let beginning = ends.map(|end| text.get(..end)).find_map(|beginning| beginning)?;
        Some(format!("{beginning}{ELLIPSIS}").into())
    }

    /// The order in which sums run and the last result is found: everything that the figures of
    /// one key are made of, and nothing else, so that findings which compare equal can change
    /// places unnoticed.
    fn fact_order(&self, other: &Self) -> Ordering {
        let (a, b) = (self.row, other.row);
        a.collected_at
            .cmp(&b.collected_at)
            .then_with(|| a.source.cmp(&b.source))
            .then_with(|| self.specimen.cmp(&other.specimen))
            .then_with(|| self.value_text().cmp(other.value_text()))
            .then_with(|| self.unit.reported.cmp(other.unit.reported))
            .then_with(|| self.reference_text().cmp(&other.reference_text()))
            .then_with(|| self.flag.cmp(&other.flag))
            .then_with(|| a.time_zone.cmp(&b.time_zone))
    }
}
