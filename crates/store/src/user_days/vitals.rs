//! Days and hours of vitals.

use std::collections::BTreeMap;

use aggregation::{Timestamp, UserId};
use chrono::NaiveDate;
use diesel::deserialize::{self, FromSql, FromSqlRow};
use diesel::pg::{Pg, PgValue};
use diesel::prelude::*;
use diesel::sql_types::{Jsonb, Nullable};

use super::{DayRow, day_columns};
use crate::error::StoreError;
use crate::schema::vitals_hourly;
use crate::snapshot::Snapshot;
use crate::sql::time::RawTime;
use crate::sql::user_key::BoundUser;

/// A row of `vitals_daily`.
#[derive(Clone, Debug, PartialEq, Queryable)]
pub struct VitalDay {
    /// Date, zone and circumstances.
    pub day: DayRow,
    /// The metric.
    pub metric: String,
    /// UCUM unit of the figures.
    pub unit: String,
    /// Number of samples behind the figures.
    pub sample_count: i32,
    /// Number of samples out of the sensor's range, which the other figures exclude.
    pub censored_count: i32,
    /// The total of a cumulative metric.
    pub total: Option<f64>,
    /// The parts of the total by type of workout.
    #[diesel(deserialize_as = StoredTotals)]
    pub by_workout_type: BTreeMap<String, f64>,
    /// The mean of a discrete metric.
    pub mean: Option<f64>,
    /// Sample standard deviation.
    pub stddev: Option<f64>,
    /// Minimum.
    pub min: Option<f64>,
    /// 25th percentile.
    pub p25: Option<f64>,
    /// Median.
    pub p50: Option<f64>,
    /// 75th percentile.
    pub p75: Option<f64>,
    /// Maximum.
    pub max: Option<f64>,
}

/// Totals by type of workout in a column of JSON.
#[derive(FromSqlRow)]
#[diesel(sql_type = Jsonb)]
pub struct TotalsByType(BTreeMap<String, f64>);

impl FromSql<Jsonb, Pg> for TotalsByType {
    fn from_sql(value: PgValue<'_>) -> deserialize::Result<Self> {
        // The first byte is the version of the format.
        let json = value.as_bytes().get(1..).unwrap_or_default();
        Ok(Self(serde_json::from_slice(json)?))
    }
}

/// Totals by type of workout; none if the column is NULL.
pub struct StoredTotals(BTreeMap<String, f64>);

impl Queryable<Nullable<Jsonb>, Pg> for StoredTotals {
    type Row = Option<TotalsByType>;

    fn build(totals: Self::Row) -> deserialize::Result<Self> {
        Ok(Self(totals.map_or_else(BTreeMap::new, |totals| totals.0)))
    }
}

impl From<StoredTotals> for BTreeMap<String, f64> {
    fn from(totals: StoredTotals) -> Self {
        totals.0
    }
}

/// A row of `vitals_hourly`.
#[derive(Clone, Debug, PartialEq, Queryable, Selectable)]
#[diesel(table_name = vitals_hourly)]
pub struct VitalHour {
    /// The metric.
    pub metric: String,
    /// UCUM unit of the figures.
    pub unit: String,
    /// The instant at which the hour begins.
    #[diesel(column_name = hour_start, deserialize_as = RawTime)]
    pub start: Timestamp,
    /// The zone of its local clock.
    pub time_zone: String,
    /// Number of samples behind the figures.
    pub sample_count: i32,
    /// The total of a cumulative metric.
    pub total: Option<f64>,
    /// The mean of a discrete metric.
    pub mean: Option<f64>,
    /// Sample standard deviation.
    pub stddev: Option<f64>,
    /// Minimum.
    pub min: Option<f64>,
    /// 25th percentile.
    pub p25: Option<f64>,
    /// Median.
    pub p50: Option<f64>,
    /// 75th percentile.
    pub p75: Option<f64>,
    /// Maximum.
    pub max: Option<f64>,
}

pub(super) async fn days(
    snapshot: &mut Snapshot<'_>,
    user_id: UserId,
    from: NaiveDate,
    to: NaiveDate,
) -> Result<Vec<VitalDay>, StoreError> {
    use crate::schema::vitals_daily as d;
    let read = d::table
        .filter(d::user_id.eq(BoundUser(user_id.clone())).and(d::local_date.between(from, to)))
        .order((d::local_date, d::metric))
        .select((
            day_columns!(d),
            d::metric,
            d::unit,
            d::sample_count,
            d::censored_count,
            d::total,
            d::by_workout_type,
            d::mean,
            d::stddev,
            d::min,
            d::p25,
            d::p50,
            d::p75,
            d::max,
        ));
    snapshot.load(read).await
}

pub(super) async fn hours(
    snapshot: &mut Snapshot<'_>,
    user_id: UserId,
    date: NaiveDate,
) -> Result<Vec<VitalHour>, StoreError> {
    use crate::schema::vitals_hourly as h;
    let read = h::table
        .filter(h::user_id.eq(BoundUser(user_id.clone())).and(h::local_date.eq(date)))
        .order((h::metric, h::hour_start))
        .select(VitalHour::as_select());
    snapshot.load(read).await
}
