//! Days and hours of vitals.

use aggregation::{Timestamp, UserId};
use chrono::NaiveDate;
use diesel::prelude::*;

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
