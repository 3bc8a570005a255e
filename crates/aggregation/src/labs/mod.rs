//! Labs: the results of a laboratory on a local day, by analyte and unit.
//!
//! [`judge`] checks a raw row, [`figures`] computes the days of one date, and [`compare`] sets
//! their deltas to the dates before, and those of the dates after.
//!
//! A row is first judged for its time, its zone and its status. A preliminary, cancelled or
//! withdrawn row is then neither counted nor rejected. A row that counts is also judged for its
//! analyte and its value. The first objection is the reason of its rejection.

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
use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};
use std::hash::{DefaultHasher, Hash, Hasher};

use chrono::NaiveDate;

pub use self::analyte::analyte_key;
use self::analyte::{OwnUnit, Unit};
use self::day::DayBuilder;
pub use self::day::{Delta, LabDay};
pub use self::delta::{Neighbours, NextDay, NextDelta, compare};
pub use self::flag::Flag;
use self::flag::OwnFlag;
use self::range::ReferenceRange;
use self::reading::Reading;
pub use self::value::Comparator;
use self::value::LabValue;
use crate::catalogue::{Analytes, tidy_name};
use crate::raw::{LocalDate, LocalDates};
use crate::text::{LONGEST_TEXT_BYTES, require_short};
use crate::zones::BaseZone;
use crate::{Reason, Timestamp};

/// The version of the definitions of this module, stored with every day's figures and raised
/// whenever one changes.
/// - 2: units convert by analyte, and rows have deltas.
/// - 3: rows have the number of their exact results.
/// - 4: a result and its range prove each other's decimal sign. Ranges may have their unit and
///   brackets. The flag A. The newest revision counts. A result that is sent again counts once.
///   Rows have the last result as reported. A unit without a factor is kept by its UCUM code.
///   Glucose converts as in vitals.
/// - 5: the sum behind a mean is exact and rounded once.
///
/// It is separate from the [crate's](crate::ALGORITHM_VERSION), since a change of that recomputes
/// every stored day of vitals.
pub const ALGORITHM_VERSION: i32 = 5;

/// The longest result, in bytes; `last_text` and `reported_value` keep its text. A longer result is
/// rejected rather than cut, since the end of a finding may change its meaning.
pub const LONGEST_RESULT_BYTES: usize = LONGEST_TEXT_BYTES;

/// The longest reference range, in bytes. A longer text is a remark: it is cut here, and not read
/// as a range.
pub const LONGEST_RANGE_BYTES: usize = LONGEST_TEXT_BYTES;

/// A row of `lab_raw`, as the database holds it.
#[derive(Clone, Debug, PartialEq)]
pub struct RawLab {
    /// The row's identity; it only decides which version of a result is the newest.
    pub id: i64,
    /// The name of the test, in the laboratory's words.
    pub test_name: String,
    /// The LOINC code of the test.
    pub loinc_code: Option<String>,
    /// The result: a number, a bound such as `<5`, or text.
    pub value_text: String,
    /// The unit of the result and of its reference range.
    pub unit: Option<String>,
    /// The values expected of healthy people, as the laboratory prints them.
    pub reference_range: Option<String>,
    /// The laboratory's own flag.
    pub flag: Option<String>,
    /// The specimen: blood, urine, …
    pub specimen: Option<String>,
    /// `final`, `amended`, `corrected`, `preliminary`, `cancelled` or `entered-in-error`.
    pub status: String,
    /// The time at which the specimen was taken.
    pub collected_at: Timestamp,
    /// The row's own zone, an IANA name or an offset.
    pub time_zone: Option<String>,
    /// The reporting laboratory or app, [folded](crate::fold_source).
    pub source: String,
}

impl RawLab {
    /// The size of its texts in bytes.
    pub fn text_bytes(&self) -> usize {
        let optional = [&self.loinc_code, &self.unit, &self.reference_range, &self.flag];
        let optional = optional.into_iter().chain([&self.specimen, &self.time_zone]);
        let texts = [&self.test_name, &self.value_text, &self.status, &self.source];
        texts.into_iter().chain(optional.flatten()).map(String::len).sum()
    }
}

/// Judges one row and returns the local date on which its specimen was taken.
///
/// A sound row that does not count (preliminary, cancelled, entered in error) has a date, too.
///
/// # Errors
/// The first that applies of [`Reason::TimeOutOfRange`], [`Reason::UnknownTimeZone`] (the row's own
/// zone, or without one the base zone), [`Reason::TextTooLong`] and [`Reason::UnknownStatus`]. If
/// the row counts, [`Reason::UnnamedTest`], [`Reason::KeyTooLong`], [`Reason::ResultTooLong`],
/// [`Reason::EmptyResult`] and [`Reason::NonFiniteValue`] (as reported or in the canonical unit)
/// follow.
pub fn judge(row: &RawLab, base_zone: &BaseZone, analytes: &Analytes) -> Result<NaiveDate, Reason> {
    examine(row, &mut LocalDates::new(base_zone), analytes).map(|(found, _)| found.date)
}

/// The figures of local date `date`, ordered by analyte and unit, from all raw rows of one user
/// around it; rows of other dates are ignored.
///
/// The order of `rows` does not matter. Their ids only tell the newest version of a result. A
/// correction supersedes only results of its own local date: the figures of a date depend on its
/// rows alone, so a changed row concerns no other date.
///
/// Results of one analyte whose units convert share a row. [`compare`] sets the deltas.
pub fn figures(
    rows: &[RawLab],
    date: NaiveDate,
    base_zone: &BaseZone,
    analytes: &Analytes,
) -> Vec<LabDay> {
    explain(rows, date, base_zone, analytes, |_, _| {})
}

/// The fate of a raw row of laboratory results in the figures of one date.
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

/// Computes [`figures`], and reports the fate of each row.
pub fn explain(
    rows: &[RawLab],
    date: NaiveDate,
    base_zone: &BaseZone,
    analytes: &Analytes,
    mut tell: impl FnMut(i64, Fate),
) -> Vec<LabDay> {
    let mut dates = LocalDates::new(base_zone);
    let mut findings = Vec::new();
    for row in rows {
        match examine(row, &mut dates, analytes) {
            Ok((found, _)) if found.date != date => tell(row.id, Fate::OtherDate(found.date)),
            Ok((_, None)) => tell(row.id, Fate::Uncounted),
            Ok((_, Some(finding))) => findings.push(finding),
            Err(reason) => match dates.find(row.collected_at, row.time_zone.as_deref()) {
                Ok(found) if found.date != date => tell(row.id, Fate::OtherDate(found.date)),
                _ => tell(row.id, Fate::Rejected(reason)),
            },
        }
    }
    let seen: Vec<Seen> = findings
        .iter()
        .zip(0..)
        .map(|(finding, place)| Seen::from_finding(finding, place))
        .collect();
    let ids = |seen: &[Seen]| -> BTreeSet<i64> { seen.iter().map(|of| of.id).collect() };
    let revised = without_superseded(seen.clone());
    let last = without_resent(revised.clone());
    ids(&seen).difference(&ids(&revised)).for_each(|id| tell(*id, Fate::Superseded));
    ids(&revised).difference(&ids(&last)).for_each(|id| tell(*id, Fate::SentAgain));
    let mut days = Days::default();
    for Seen { place, .. } in last {
        let finding = &findings[place];
        let (analyte, unit) = (finding.analyte.clone(), finding.unit.kept.to_string());
        tell(finding.row.id, Fate::Counts { analyte, unit });
        days.add(finding);
    }
    days.finish(date, base_zone)
}

/// Examines a row on its own: as [`judge`], and what decides whether it counts on local date `date` beside others.
///
/// # Errors
/// As [`judge`].
pub fn see(
    row: &RawLab,
    date: NaiveDate,
    base_zone: &BaseZone,
    analytes: &Analytes,
) -> Result<Option<Seen>, Reason> {
    let (_, finding) = examine(row, &mut LocalDates::new(base_zone), analytes)?;
    let finding = finding.filter(|finding| finding.local_date.date == date);
    Ok(finding.map(|finding| Seen::from_finding(&finding, 0)))
}

/// The days of a date while rows are added that are known to [count](counting), in any order.
#[derive(Default)]
pub struct Days(BTreeMap<(String, String), DayBuilder>);

impl std::fmt::Debug for Days {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Days").field("days", &self.0.len()).finish()
    }
}

impl Days {
    /// Adds rows that count on local date `date`.
    pub fn add_rows(
        &mut self,
        rows: &[RawLab],
        date: NaiveDate,
        base_zone: &BaseZone,
        analytes: &Analytes,
    ) {
        let mut places = LocalDates::new(base_zone);
        for row in rows {
            if let Ok((place, Some(finding))) = examine(row, &mut places, analytes)
                && place.date == date
            {
                self.add(&finding);
            }
        }
    }

    fn add(&mut self, finding: &Finding<'_>) {
        let (analyte, unit) = finding.key();
        self.0.entry((analyte.to_owned(), unit.to_owned())).or_default().add(finding);
    }

    /// The figures, in the order of analyte and unit.
    pub fn finish(self, date: NaiveDate, base_zone: &BaseZone) -> Vec<LabDay> {
        self.0.into_values().filter_map(|day| day.finish(date, base_zone)).collect()
    }
}

/// The meaning of a row's status; a revision supersedes the results before it.
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
    local_date: LocalDate,
    status: Status,
    analyte: String,
    unit: Unit<'a>,
    /// Lower case with single spaces; empty if there is none.
    specimen: String,
    /// The result in the unit that is kept.
    value: LabValue,
    /// The reference range in the unit that is kept.
    range: Option<ReferenceRange>,
    flag: Option<Flag>,
    context_fingerprint: i64,
}

/// Judges `row`; returns a finding if the row counts.
fn examine<'a>(
    row: &'a RawLab,
    dates: &mut LocalDates<'a>,
    analytes: &'a Analytes,
) -> Result<(LocalDate, Option<Finding<'a>>), Reason> {
    let local_date = dates.find(row.collected_at, row.time_zone.as_deref())?;
    require_short(
        [&*row.status, &*row.source]
            .into_iter()
            .chain(row.unit.as_deref())
            .chain(row.loinc_code.as_deref()),
        [&*row.test_name].into_iter().chain(row.specimen.as_deref()).chain(row.flag.as_deref()),
    )?;
    let status = Status::read(&row.status)?;
    if status == Status::Uncounted {
        return Ok((local_date, None));
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
    // Result and range are compared as reported: rounding may move a value onto an end of the
    // range.
    let reported = Reading::read(value_text, range.unwrap_or_default(), &own_unit, own_flag)?;
    let unit = Unit::for_value(reported_unit, &reported.value, known, analytes);
    let value = reported.value.converted(unit.step)?;
    let range = reported.range.and_then(|range| range.converted(unit.step));
    let flag = reported.flag;
    let specimen = tidy_name(row.specimen.as_deref().unwrap_or_default());
    let context_fingerprint = analytes.fingerprint(known);
    Ok((
        local_date,
        Some(Finding {
            row,
            local_date,
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

/// The parts of a row that decide whether it counts beside others: hashes in place of texts, so that a date with any texts
/// can be seen as a whole.
#[derive(Clone, Copy, Debug)]
pub struct Seen {
    /// The row.
    pub id: i64,
    /// The same number for all rows of one analyte and unit; some others may have it, too.
    pub key: u64,
    /// The bytes of the row's texts.
    pub text_bytes: usize,
    place: usize,
    status: Status,
    /// The same for revisions of one result.
    identity: [u64; 2],
    /// The same for a result that is sent again.
    result: [u64; 2],
}

impl Seen {
    fn from_finding(finding: &Finding<'_>, place: usize) -> Self {
        let value = (finding.value.comparator(), finding.value.value().map(f64::to_bits));
        let (row, key) = (finding.row, finding.key());
        let result = (key, row.collected_at, &row.source, value, finding.value.text());
        Self {
            id: row.id,
            key: hash(0, &key),
            text_bytes: row.text_bytes(),
            place,
            status: finding.status,
            identity: [0, 1].map(|seed| hash(seed, &finding.identity())),
            result: [0, 1].map(|seed| hash(seed, &result)),
        }
    }
}

fn hash(seed: u8, of: &impl Hash) -> u64 {
    let mut hasher = DefaultHasher::new();
    (seed, of).hash(&mut hasher);
    hasher.finish()
}

/// The rows of a date that count: neither superseded nor sent again.
pub fn counting(seen: Vec<Seen>) -> Vec<Seen> {
    without_resent(without_superseded(seen))
}

/// Removes results that the laboratory has revised. Among amended or corrected rows of one analyte, unit, source,
/// specimen and instant, only the one with the highest id counts. If all are final, all count.
fn without_superseded(mut seen: Vec<Seen>) -> Vec<Seen> {
    seen.sort_unstable_by_key(|of| (of.identity, Reverse((of.status, of.id)), of.place));
    seen.dedup_by(|later, newest| {
        newest.status == Status::Revised && newest.identity == later.identity
    });
    seen
}

/// Removes results that were sent again: of rows with one analyte, unit, instant, source and value, only the one with
/// the highest id counts. Its range and flag may differ from those before it.
fn without_resent(mut seen: Vec<Seen>) -> Vec<Seen> {
    seen.sort_unstable_by_key(|of| (of.key, of.result, Reverse(of.id), of.place));
    seen.dedup_by(|later, newest| newest.result == later.result);
    seen
}

/// Exactly the inputs of the figures of one key, in the order in which the last result is found. So the figures do
/// not depend on the order of findings that compare equal.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Facts<'a> {
    collected_at: Timestamp,
    source: Cow<'a, str>,
    specimen: Cow<'a, str>,
    value: Cow<'a, str>,
    unit: Cow<'a, str>,
    reference: Option<Cow<'a, str>>,
    flag: Option<Flag>,
    time_zone: Option<Cow<'a, str>>,
}

impl Facts<'_> {
    fn to_owned(&self) -> Facts<'static> {
        let owned = |text: &Cow<'_, str>| Cow::Owned(text.to_string());
        Facts {
            collected_at: self.collected_at,
            source: owned(&self.source),
            specimen: owned(&self.specimen),
            value: owned(&self.value),
            unit: owned(&self.unit),
            reference: self.reference.as_ref().map(owned),
            flag: self.flag,
            time_zone: self.time_zone.as_ref().map(owned),
        }
    }
}

impl Finding<'_> {
    /// The key of the daily row within its date.
    fn key(&self) -> (&str, &str) {
        (&self.analyte, &self.unit.kept)
    }

    /// The key that all revisions of one result share.
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

    fn facts(&self) -> Facts<'_> {
        Facts {
            collected_at: self.row.collected_at,
            source: (&*self.row.source).into(),
            specimen: (&*self.specimen).into(),
            value: self.value_text().into(),
            unit: self.unit.reported.into(),
            reference: self.reference_text(),
            flag: self.flag,
            time_zone: self.row.time_zone.as_deref().map(Cow::from),
        }
    }
}
