//! Days of sleep, blood pressure and glucose.

use aggregation::Timestamp;
use chrono::NaiveDate;
use diesel::data_types::PgTimestamp;
use diesel::sql_types::{Array, BigInt, Bool, Date, Double, Integer, Nullable, Text, Timestamptz};

use super::DayRow;
use super::vitals::{DayColumns, day_row};
use crate::error::StoreError;
use crate::snapshot::Snapshot;
use crate::sql::statement::statement;
use crate::sql::time::from_postgres;

/// A row of `sleep_daily`. Durations are in minutes; `None` if the sources cannot tell.
#[derive(Clone, Debug, PartialEq)]
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
    /// Start of the main session.
    pub main_start: Option<Timestamp>,
    /// End of the main session.
    pub main_end: Option<Timestamp>,
    /// Number of other sessions that contain sleep.
    pub nap_count: i32,
    /// Time asleep in naps.
    pub nap_minutes: Option<f64>,
}

/// A row of `blood_pressure_daily`, in mmHg.
#[derive(Clone, Debug, PartialEq)]
pub struct BloodPressureDay {
    /// Date, zone and circumstances.
    pub day: DayRow,
    /// Number of measurements.
    pub pair_count: i32,
    /// Number of rows without a partner.
    pub unpaired_count: i32,
    /// Number of measurements with a comparator.
    pub censored_count: i32,
    /// Systolic pressure: mean, minimum and maximum.
    pub systolic: [Option<f64>; 3],
    /// Diastolic pressure: mean, minimum and maximum.
    pub diastolic: [Option<f64>; 3],
    /// Mean arterial pressure.
    pub mean_arterial: Option<f64>,
    /// The worst category of the day's measurements.
    pub worst_category: Option<String>,
}

/// A row of `glucose_daily`, in mg/dL and percent of readings.
#[derive(Clone, Debug, PartialEq)]
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

type Number = Option<f64>;

statement! {
    struct ReadSleep {
        user_id: i64 => BigInt,
        from: NaiveDate => Date,
        to: NaiveDate => Date,
    } -> (
        (Date, Text, Bool, Integer, Integer, Timestamptz, Array<Text>),
        (Nullable<Double>, Nullable<Double>, Nullable<Double>, Nullable<Double>, Nullable<Double>,
         Nullable<Double>, Nullable<Double>, Nullable<Double>),
        (Nullable<Timestamptz>, Nullable<Timestamptz>, Integer, Nullable<Double>)
    )
    "SELECT local_date, time_zone, is_partial, rejected_count, algorithm_version, computed_at,
            ARRAY(SELECT jsonb_object_keys(sources) ORDER BY 1),
            asleep_minutes, core_minutes, deep_minutes, rem_minutes, unspecified_minutes,
            awake_minutes, in_bed_minutes, efficiency,
            main_start, main_end, nap_count, nap_minutes
     FROM sleep_daily
     WHERE user_id = {user_id} AND local_date BETWEEN {from} AND {to}
     ORDER BY local_date"
}

statement! {
    struct ReadBloodPressure {
        user_id: i64 => BigInt,
        from: NaiveDate => Date,
        to: NaiveDate => Date,
    } -> (
        (Date, Text, Bool, Integer, Integer, Timestamptz, Array<Text>),
        (Integer, Integer, Integer),
        (Nullable<Double>, Nullable<Double>, Nullable<Double>),
        (Nullable<Double>, Nullable<Double>, Nullable<Double>),
        (Nullable<Double>, Nullable<Text>)
    )
    "SELECT local_date, time_zone, is_partial, rejected_count, algorithm_version, computed_at,
            ARRAY(SELECT jsonb_object_keys(sources) ORDER BY 1),
            pair_count, unpaired_count, censored_count,
            systolic_mean, systolic_min, systolic_max,
            diastolic_mean, diastolic_min, diastolic_max,
            mean_arterial_pressure, worst_category
     FROM blood_pressure_daily
     WHERE user_id = {user_id} AND local_date BETWEEN {from} AND {to}
     ORDER BY local_date"
}

statement! {
    struct ReadGlucose {
        user_id: i64 => BigInt,
        from: NaiveDate => Date,
        to: NaiveDate => Date,
    } -> (
        (Date, Text, Bool, Integer, Integer, Timestamptz, Array<Text>),
        (Integer, Integer, Nullable<Double>, Nullable<Double>, Nullable<Double>, Nullable<Double>),
        (Nullable<Double>, Nullable<Double>, Nullable<Double>, Nullable<Double>, Nullable<Double>),
        (Nullable<Double>, Nullable<Integer>, Nullable<Integer>, Nullable<Double>, Nullable<Bool>)
    )
    "SELECT local_date, time_zone, is_partial, rejected_count, algorithm_version, computed_at,
            ARRAY(SELECT jsonb_object_keys(sources) ORDER BY 1),
            sample_count, censored_count, mean, stddev, cv_percent, gmi_percent,
            below_54_percent, below_70_percent, from_70_to_180_percent, above_180_percent,
            above_250_percent,
            glycemia_risk_index, low_episodes, high_episodes, coverage_percent, is_sufficient
     FROM glucose_daily
     WHERE user_id = {user_id} AND local_date BETWEEN {from} AND {to}
     ORDER BY local_date"
}

pub(super) async fn sleep(
    snapshot: &mut Snapshot<'_>,
    user_id: i64,
    from: NaiveDate,
    to: NaiveDate,
) -> Result<Vec<SleepNight>, StoreError> {
    type Columns = (
        DayColumns,
        (Number, Number, Number, Number, Number, Number, Number, Number),
        (Option<PgTimestamp>, Option<PgTimestamp>, i32, Number),
    );
    let rows: Vec<Columns> = snapshot.load(ReadSleep { user_id, from, to }).await?;
    let night = |(day, times, (main_start, main_end, nap_count, nap_minutes)): Columns| {
        let (asleep, core, deep, rem, unspecified, awake, in_bed, efficiency) = times;
        SleepNight {
            day: day_row(day),
            asleep,
            core,
            deep,
            rem,
            unspecified,
            awake,
            in_bed,
            efficiency,
            main_start: main_start.map(from_postgres),
            main_end: main_end.map(from_postgres),
            nap_count,
            nap_minutes,
        }
    };
    Ok(rows.into_iter().map(night).collect())
}

pub(super) async fn blood_pressure(
    snapshot: &mut Snapshot<'_>,
    user_id: i64,
    from: NaiveDate,
    to: NaiveDate,
) -> Result<Vec<BloodPressureDay>, StoreError> {
    type Three = (Number, Number, Number);
    type Columns = (DayColumns, (i32, i32, i32), Three, Three, (Number, Option<String>));
    let rows: Vec<Columns> = snapshot.load(ReadBloodPressure { user_id, from, to }).await?;
    let day = |(day, counts, systolic, diastolic, (mean_arterial, worst_category)): Columns| {
        let (pair_count, unpaired_count, censored_count) = counts;
        BloodPressureDay {
            day: day_row(day),
            pair_count,
            unpaired_count,
            censored_count,
            systolic: systolic.into(),
            diastolic: diastolic.into(),
            mean_arterial,
            worst_category,
        }
    };
    Ok(rows.into_iter().map(day).collect())
}

pub(super) async fn glucose(
    snapshot: &mut Snapshot<'_>,
    user_id: i64,
    from: NaiveDate,
    to: NaiveDate,
) -> Result<Vec<GlucoseDay>, StoreError> {
    type Columns = (
        DayColumns,
        (i32, i32, Number, Number, Number, Number),
        (Number, Number, Number, Number, Number),
        (Number, Option<i32>, Option<i32>, Number, Option<bool>),
    );
    let rows: Vec<Columns> = snapshot.load(ReadGlucose { user_id, from, to }).await?;
    let day = |(day, readings, bands, rest): Columns| {
        let (sample_count, censored_count, mean, stddev, cv_percent, gmi_percent) = readings;
        let (below_54, below_70, in_range, above_180, above_250) = bands;
        let (risk_index, low_episodes, high_episodes, coverage_percent, is_sufficient) = rest;
        GlucoseDay {
            day: day_row(day),
            sample_count,
            censored_count,
            mean,
            stddev,
            cv_percent,
            gmi_percent,
            below_54,
            below_70,
            in_range,
            above_180,
            above_250,
            risk_index,
            low_episodes,
            high_episodes,
            coverage_percent,
            is_sufficient,
        }
    };
    Ok(rows.into_iter().map(day).collect())
}
