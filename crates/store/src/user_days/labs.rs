//! Days of laboratory results, and the laboratories' names of analytes.

use std::collections::BTreeMap;

use aggregation::Timestamp;
use aggregation::labs::analyte_key;
use chrono::NaiveDate;
use diesel::data_types::PgTimestamp;
use diesel::sql_types::{BigInt, Bool, Date, Double, Integer, Nullable, Text, Timestamptz};

use super::DayRow;
use crate::error::StoreError;
use crate::snapshot::Snapshot;
use crate::sql::raw_text::RawText;
use crate::sql::statement::statement;
use crate::sql::time::{from_postgres, to_postgres};

/// A row of `lab_daily`.
#[derive(Clone, Debug, PartialEq)]
pub struct LabResults {
    /// Date, zone and circumstances.
    pub day: DayRow,
    /// LOINC code, or `name:` and the test's name.
    pub analyte: String,
    /// The unit of the figures; empty where the results have none.
    pub unit: String,
    /// Number of the day's results.
    pub result_count: i32,
    /// The last result where it is a number.
    pub last_value: Option<f64>,
    /// The comparator of the last result, if it has one.
    pub last_comparator: Option<String>,
    /// The last result where it is not a number.
    pub last_text: Option<String>,
    /// Collection time of the last result.
    pub last_at: Timestamp,
    /// Minimum of the exact results.
    pub min: Option<f64>,
    /// Maximum of the exact results.
    pub max: Option<f64>,
    /// Lower limit of the last result's reference range.
    pub reference_low: Option<f64>,
    /// Upper limit of the last result's reference range.
    pub reference_high: Option<f64>,
    /// The last result as the laboratory wrote it; `None` in days computed by older versions.
    pub reported_value: Option<String>,
    /// The unit as the laboratory wrote it, if it gave one.
    pub reported_unit: Option<String>,
    /// The last result's reference range as the laboratory wrote it.
    pub reported_range: Option<String>,
    /// The last result's flag.
    pub last_flag: Option<String>,
    /// The day's worst flag.
    pub worst_flag: Option<String>,
    /// The difference to the previous day with results.
    pub delta: Option<f64>,
    /// The difference in percent.
    pub delta_percent: Option<f64>,
}

/// The laboratory's name of an analyte, from its newest result.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LabName {
    /// The name of the test.
    pub test_name: String,
    /// The specimen.
    pub specimen: Option<String>,
}

statement! {
    struct ReadDays {
        user_id: i64 => BigInt,
        from: NaiveDate => Date,
        to: NaiveDate => Date,
    } -> (
        (Date, Text, Bool, Integer, Timestamptz),
        (Text, Text, Integer),
        (Nullable<Double>, Nullable<Text>, Nullable<Text>, Timestamptz),
        (Nullable<Double>, Nullable<Double>, Nullable<Double>, Nullable<Double>),
        (Nullable<Text>, Nullable<Text>, Nullable<Text>),
        (Nullable<Text>, Nullable<Text>, Nullable<Double>, Nullable<Double>)
    )
    "SELECT local_date, time_zone, is_partial, algorithm_version, computed_at,
            analyte, unit, result_count,
            last_value, last_comparator, last_text, last_at,
            min, max, reference_low, reference_high,
            reported_value, reported_unit, reference_text,
            last_flag, worst_flag, delta, delta_percent
     FROM lab_daily
     WHERE user_id = {user_id} AND local_date BETWEEN {from} AND {to}
     ORDER BY analyte, unit, local_date"
}

statement! {
    /// Rows with longer texts are rejected and have no figures. A row's own zone moves a result by up to
    /// a day across the dates' bounds.
    struct ReadNames {
        user_id: i64 => BigInt,
        from: PgTimestamp => Timestamptz,
        to: PgTimestamp => Timestamptz,
    } -> (Nullable<Text>, Text, Nullable<Text>)
    "SELECT loinc_code::text, test_name::text, specimen::text
     FROM lab_raw
     WHERE user_id = {user_id}
       AND collected_at BETWEEN {from} - interval '27 hours' AND {to} + interval '27 hours'
       AND octet_length(test_name::text) <= 4096
       AND coalesce(octet_length(loinc_code::text), 0) <= 1024
       AND coalesce(octet_length(specimen::text), 0) <= 4096
     GROUP BY loinc_code, test_name, specimen
     ORDER BY max(collected_at), loinc_code, test_name, specimen"
}

pub(super) async fn days(
    snapshot: &mut Snapshot<'_>,
    user_id: i64,
    from: NaiveDate,
    to: NaiveDate,
) -> Result<Vec<LabResults>, StoreError> {
    type Number = Option<f64>;
    type Words = Option<String>;
    type Columns = (
        (NaiveDate, String, bool, i32, PgTimestamp),
        (String, String, i32),
        (Number, Words, Words, PgTimestamp),
        (Number, Number, Number, Number),
        (Words, Words, Words),
        (Words, Words, Number, Number),
    );
    let rows: Vec<Columns> = snapshot.load(ReadDays { user_id, from, to }).await?;
    let day = |(day, what, last, range, reported, flags): Columns| {
        let (date, time_zone, is_partial, algorithm_version, computed_at) = day;
        let (analyte, unit, result_count) = what;
        let (last_value, last_comparator, last_text, last_at) = last;
        let (min, max, reference_low, reference_high) = range;
        let (reported_value, reported_unit, reported_range) = reported;
        let (last_flag, worst_flag, delta, delta_percent) = flags;
        LabResults {
            day: DayRow {
                date,
                time_zone,
                is_partial,
                rejected: None,
                algorithm_version,
                computed_at: from_postgres(computed_at),
                sources: Vec::new(),
            },
            analyte,
            unit,
            result_count,
            last_value,
            last_comparator,
            last_text,
            last_at: from_postgres(last_at),
            min,
            max,
            reference_low,
            reference_high,
            reported_value,
            reported_unit,
            reported_range,
            last_flag,
            worst_flag,
            delta,
            delta_percent,
        }
    };
    Ok(rows.into_iter().map(day).collect())
}

pub(super) async fn names(
    snapshot: &mut Snapshot<'_>,
    user_id: i64,
    (from, to): (Timestamp, Timestamp),
) -> Result<BTreeMap<String, LabName>, StoreError> {
    type Columns = (Option<RawText>, RawText, Option<RawText>);
    let read = ReadNames { user_id, from: to_postgres(from), to: to_postgres(to) };
    let rows: Vec<Columns> = snapshot.load(read).await?;
    let named = rows.into_iter().filter_map(|(code, test_name, specimen)| {
        let (code, test_name) = (code.map(String::from), String::from(test_name));
        let specimen = specimen.map(String::from);
        // A row without a key has no figures either.
        let key = analyte_key(code.as_deref(), &test_name, specimen.as_deref()).ok()?;
        Some((key, LabName { test_name, specimen }))
    });
    // The newest result comes last and replaces the others.
    Ok(named.collect())
}
