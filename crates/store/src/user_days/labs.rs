//! Days of laboratory results, and the laboratories' names of analytes.

use std::collections::BTreeMap;

use aggregation::labs::analyte_key;
use aggregation::{Timestamp, UserId};
use chrono::NaiveDate;
use diesel::data_types::PgTimestamp;
use diesel::prelude::*;
use diesel::sql_types::{Nullable, Text, Timestamptz};

use super::DayRow;
use crate::error::StoreError;
use crate::snapshot::Snapshot;
use crate::sql::raw_text::RawText;
use crate::sql::statement::statement;
use crate::sql::time::{RawTime, to_postgres};
use crate::sql::user_key::BoundUser;
use crate::sql::user_key::UserKey;

/// A row of `lab_daily`.
#[derive(Clone, Debug, PartialEq, Queryable)]
pub struct LabResults {
    /// Date, zone and circumstances.
    #[diesel(deserialize_as = LabDayRow)]
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
    /// When it was collected.
    #[diesel(deserialize_as = RawTime)]
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

/// The columns of a [`DayRow`] that `lab_daily` has. It has neither rejected rows nor sources.
#[derive(Queryable)]
pub struct LabDayRow {
    date: NaiveDate,
    time_zone: String,
    is_partial: bool,
    algorithm_version: i32,
    computed_at: RawTime,
}

impl From<LabDayRow> for DayRow {
    fn from(day: LabDayRow) -> Self {
        let LabDayRow { date, time_zone, is_partial, algorithm_version, computed_at } = day;
        Self {
            date,
            time_zone,
            is_partial,
            rejected: None,
            algorithm_version,
            computed_at: computed_at.into(),
            sources: Vec::new(),
        }
    }
}

/// The laboratory's name of an analyte, by its newest result.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LabName {
    /// The name of the test.
    pub test_name: String,
    /// The specimen.
    pub specimen: Option<String>,
}

statement! {
    /// Rows with longer texts are rejected and have no figures. A zone of its own puts a result up to a day away from the dates' bounds.
    struct ReadNames {
        user_id: UserId => UserKey,
        from: PgTimestamp => Timestamptz,
        to: PgTimestamp => Timestamptz,
    } -> (Nullable<Text>, Text, Nullable<Text>)
    include_str!("read_names.sql")
}

pub(super) async fn days(
    snapshot: &mut Snapshot<'_>,
    user_id: UserId,
    from: NaiveDate,
    to: NaiveDate,
) -> Result<Vec<LabResults>, StoreError> {
    use crate::schema::lab_daily as d;
    let read = d::table
        .filter(d::user_id.eq(BoundUser(user_id.clone())).and(d::local_date.between(from, to)))
        .order((d::analyte, d::unit, d::local_date))
        .select((
            (d::local_date, d::time_zone, d::is_partial, d::algorithm_version, d::computed_at),
            d::analyte,
            d::unit,
            d::result_count,
            d::last_value,
            d::last_comparator,
            d::last_text,
            d::last_at,
            d::min,
            d::max,
            d::reference_low,
            d::reference_high,
            d::reported_value,
            d::reported_unit,
            d::reference_text,
            d::last_flag,
            d::worst_flag,
            d::delta,
            d::delta_percent,
        ));
    snapshot.load(read).await
}

pub(super) async fn names(
    snapshot: &mut Snapshot<'_>,
    user_id: UserId,
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
