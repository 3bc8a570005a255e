//! Days and hours of vitals.

use aggregation::Timestamp;
use chrono::NaiveDate;
use diesel::data_types::PgTimestamp;
use diesel::sql_types::{Array, BigInt, Bool, Date, Double, Integer, Nullable, Text, Timestamptz};

use super::DayRow;
use crate::error::StoreError;
use crate::snapshot::Snapshot;
use crate::sql::statement::statement;
use crate::sql::time::from_postgres;

/// A row of `vitals_daily`.
#[derive(Clone, Debug, PartialEq)]
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
#[derive(Clone, Debug, PartialEq)]
pub struct VitalHour {
    /// The metric.
    pub metric: String,
    /// UCUM unit of the figures.
    pub unit: String,
    /// The start of the hour.
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

type Number = Option<f64>;
type Numbers = (Number, Number, Number, Number, Number, Number, Number, Number);

statement! {
    struct ReadDays {
        user_id: i64 => BigInt,
        from: NaiveDate => Date,
        to: NaiveDate => Date,
    } -> (
        (Date, Text, Bool, Integer, Integer, Timestamptz, Array<Text>),
        (Text, Text, Integer, Integer),
        (Nullable<Double>, Nullable<Double>, Nullable<Double>, Nullable<Double>, Nullable<Double>,
         Nullable<Double>, Nullable<Double>, Nullable<Double>)
    )
    "SELECT local_date, time_zone, is_partial, rejected_count, algorithm_version, computed_at,
            ARRAY(SELECT jsonb_object_keys(sources) ORDER BY 1),
            metric, unit, sample_count, censored_count,
            total, mean, stddev, min, p25, p50, p75, max
     FROM vitals_daily
     WHERE user_id = {user_id} AND local_date BETWEEN {from} AND {to}
     ORDER BY local_date, metric"
}

statement! {
    struct ReadHours {
        user_id: i64 => BigInt,
        date: NaiveDate => Date,
    } -> (
        (Text, Text, Timestamptz, Text, Integer),
        (Nullable<Double>, Nullable<Double>, Nullable<Double>, Nullable<Double>, Nullable<Double>,
         Nullable<Double>, Nullable<Double>, Nullable<Double>)
    )
    "SELECT metric, unit, hour_start, time_zone, sample_count,
            total, mean, stddev, min, p25, p50, p75, max
     FROM vitals_hourly
     WHERE user_id = {user_id} AND local_date = {date}
     ORDER BY metric, hour_start"
}

/// The columns of [`DayRow`] in the tables that have them all.
pub(super) type DayColumns = (NaiveDate, String, bool, i32, i32, PgTimestamp, Vec<String>);

pub(super) fn day_row(columns: DayColumns) -> DayRow {
    let (date, time_zone, is_partial, rejected, algorithm_version, computed_at, sources) = columns;
    DayRow {
        date,
        time_zone,
        is_partial,
        rejected: Some(rejected),
        algorithm_version,
        computed_at: from_postgres(computed_at),
        sources,
    }
}

pub(super) async fn days(
    snapshot: &mut Snapshot<'_>,
    user_id: i64,
    from: NaiveDate,
    to: NaiveDate,
) -> Result<Vec<VitalDay>, StoreError> {
    type Columns = (DayColumns, (String, String, i32, i32), Numbers);
    let rows: Vec<Columns> = snapshot.load(ReadDays { user_id, from, to }).await?;
    let day = |(day, what, numbers): Columns| {
        let (metric, unit, sample_count, censored_count) = what;
        let (total, mean, stddev, min, p25, p50, p75, max) = numbers;
        VitalDay {
            day: day_row(day),
            metric,
            unit,
            sample_count,
            censored_count,
            total,
            mean,
            stddev,
            min,
            p25,
            p50,
            p75,
            max,
        }
    };
    Ok(rows.into_iter().map(day).collect())
}

pub(super) async fn hours(
    snapshot: &mut Snapshot<'_>,
    user_id: i64,
    date: NaiveDate,
) -> Result<Vec<VitalHour>, StoreError> {
    type Columns = ((String, String, PgTimestamp, String, i32), Numbers);
    let rows: Vec<Columns> = snapshot.load(ReadHours { user_id, date }).await?;
    let hour = |(what, numbers): Columns| {
        let (metric, unit, start, time_zone, sample_count) = what;
        let (total, mean, stddev, min, p25, p50, p75, max) = numbers;
        let start = from_postgres(start);
        VitalHour {
            metric,
            unit,
            start,
            time_zone,
            sample_count,
            total,
            mean,
            stddev,
            min,
            p25,
            p50,
            p75,
            max,
        }
    };
    Ok(rows.into_iter().map(hour).collect())
}
