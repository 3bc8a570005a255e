//! Days of sleep, blood pressure and glucose.

use aggregation::{Timestamp, UserId};
use chrono::NaiveDate;
use diesel::prelude::*;

use super::{DayRow, day_columns};
use crate::error::StoreError;
use crate::snapshot::Snapshot;
use crate::sql::time::OptionalTime;
use crate::sql::user_key::BoundUser;

type Three = (Option<f64>, Option<f64>, Option<f64>);

/// A row of `sleep_daily`. Durations are in minutes; None is what the sources cannot tell.
#[derive(Clone, Debug, PartialEq, Queryable)]
pub struct SleepNight {
    /// Date of waking, zone and circumstances.
    pub day: DayRow,
    /// Time asleep in all stages, including naps.
    pub asleep: Option<f64>,
    /// Core sleep.
    pub core: Option<f64>,
    /// Deep sleep.
    pub deep: Option<f64>,
    /// REM sleep.
    pub rem: Option<f64>,
    /// Asleep in an unknown stage.
    pub unspecified: Option<f64>,
    /// Awake within sessions.
    pub awake: Option<f64>,
    /// In bed or asleep.
    pub in_bed: Option<f64>,
    /// Asleep / in bed, from 0 to 1.
    pub efficiency: Option<f64>,
    /// Begin of the main session.
    #[diesel(deserialize_as = OptionalTime)]
    pub main_start: Option<Timestamp>,
    /// End of the main session.
    #[diesel(deserialize_as = OptionalTime)]
    pub main_end: Option<Timestamp>,
    /// Number of other sessions that contain sleep.
    pub nap_count: i32,
    /// Time asleep in naps.
    pub nap_minutes: Option<f64>,
}

/// A row of `blood_pressure_daily`, in mmHg.
#[derive(Clone, Debug, PartialEq, Queryable)]
pub struct BloodPressureDay {
    /// Date, zone and circumstances.
    pub day: DayRow,
    /// Number of measurements.
    pub pair_count: i32,
    /// Number of rows without a partner.
    pub unpaired_count: i32,
    /// Number of measurements with a comparator.
    pub censored_count: i32,
    /// Systolic pressure: mean, least and greatest.
    #[diesel(deserialize_as = Three)]
    pub systolic: [Option<f64>; 3],
    /// Diastolic pressure: mean, least and greatest.
    #[diesel(deserialize_as = Three)]
    pub diastolic: [Option<f64>; 3],
    /// Mean arterial pressure.
    pub mean_arterial: Option<f64>,
    /// The worst category of the day's measurements.
    pub worst_category: Option<String>,
}

/// A row of `glucose_daily`, in mg/dL and percent of readings.
#[derive(Clone, Debug, PartialEq, Queryable)]
pub struct GlucoseDay {
    /// Date, zone and circumstances.
    pub day: DayRow,
    /// Number of readings without a comparator.
    pub sample_count: i32,
    /// Number of readings with a comparator, which count in the percentages.
    pub censored_count: i32,
    /// Mean.
    pub mean: Option<f64>,
    /// Sample standard deviation.
    pub stddev: Option<f64>,
    /// Coefficient of variation, percent.
    pub cv_percent: Option<f64>,
    /// Glucose management indicator, percent.
    pub gmi_percent: Option<f64>,
    /// Readings below 54.
    pub below_54: Option<f64>,
    /// Readings below 70, including those below 54.
    pub below_70: Option<f64>,
    /// Readings from 70 to 180, inclusive.
    pub in_range: Option<f64>,
    /// Readings above 180, including those above 250.
    pub above_180: Option<f64>,
    /// Readings above 250.
    pub above_250: Option<f64>,
    /// Glycemia risk index.
    pub risk_index: Option<f64>,
    /// Episodes below 70 of at least 15 minutes.
    pub low_episodes: Option<i32>,
    /// Episodes above 180 of at least 15 minutes.
    pub high_episodes: Option<i32>,
    /// Percentage of the day covered by sensors; `None` for a meter.
    pub coverage_percent: Option<f64>,
    /// Whether the coverage is at least 70 percent.
    pub is_sufficient: Option<bool>,
}

pub(super) async fn sleep(
    snapshot: &mut Snapshot<'_>,
    user_id: UserId,
    from: NaiveDate,
    to: NaiveDate,
) -> Result<Vec<SleepNight>, StoreError> {
    use crate::schema::sleep_daily as d;
    let read = d::table
        .filter(d::user_id.eq(BoundUser(user_id.clone())).and(d::local_date.between(from, to)))
        .order(d::local_date)
        .select((
            day_columns!(d),
            d::asleep_minutes,
            d::core_minutes,
            d::deep_minutes,
            d::rem_minutes,
            d::unspecified_minutes,
            d::awake_minutes,
            d::in_bed_minutes,
            d::efficiency,
            d::main_start,
            d::main_end,
            d::nap_count,
            d::nap_minutes,
        ));
    snapshot.load(read).await
}

pub(super) async fn blood_pressure(
    snapshot: &mut Snapshot<'_>,
    user_id: UserId,
    from: NaiveDate,
    to: NaiveDate,
) -> Result<Vec<BloodPressureDay>, StoreError> {
    use crate::schema::blood_pressure_daily as d;
    let read = d::table
        .filter(d::user_id.eq(BoundUser(user_id.clone())).and(d::local_date.between(from, to)))
        .order(d::local_date)
        .select((
            day_columns!(d),
            d::pair_count,
            d::unpaired_count,
            d::censored_count,
            (d::systolic_mean, d::systolic_min, d::systolic_max),
            (d::diastolic_mean, d::diastolic_min, d::diastolic_max),
            d::mean_arterial_pressure,
            d::worst_category,
        ));
    snapshot.load(read).await
}

pub(super) async fn glucose(
    snapshot: &mut Snapshot<'_>,
    user_id: UserId,
    from: NaiveDate,
    to: NaiveDate,
) -> Result<Vec<GlucoseDay>, StoreError> {
    use crate::schema::glucose_daily as d;
    let read = d::table
        .filter(d::user_id.eq(BoundUser(user_id.clone())).and(d::local_date.between(from, to)))
        .order(d::local_date)
        .select((
            day_columns!(d),
            d::sample_count,
            d::censored_count,
            d::mean,
            d::stddev,
            d::cv_percent,
            d::gmi_percent,
            d::below_54_percent,
            d::below_70_percent,
            d::from_70_to_180_percent,
            d::above_180_percent,
            d::above_250_percent,
            d::glycemia_risk_index,
            d::low_episodes,
            d::high_episodes,
            d::coverage_percent,
            d::is_sufficient,
        ));
    snapshot.load(read).await
}
