//! Reading figures for people: the demo, and later reports.

use aggregation::Timestamp;
use chrono::NaiveDate;
use diesel::data_types::PgTimestamp;
use diesel::sql_types::{BigInt, Date, Double, Integer, Nullable, Text, Timestamptz};

use crate::error::StoreError;
use crate::pool::Store;
use crate::statement::statement;
use crate::time::from_postgres;

/// A row of `vitals_daily` or `vitals_hourly`: what a person looks at first.
#[derive(Clone, Debug, PartialEq)]
pub struct VitalFigures {
    /// The local date.
    pub date: NaiveDate,
    /// The metric.
    pub metric: String,
    /// UCUM unit of the figures.
    pub unit: String,
    /// The instant at which the hour or day begins.
    pub start: Timestamp,
    /// Its zone.
    pub time_zone: String,
    /// Samples behind the figures.
    pub sample_count: i32,
    /// Cumulative metrics: the total.
    pub total: Option<f64>,
    /// Discrete metrics: mean.
    pub mean: Option<f64>,
    /// Sample standard deviation.
    pub stddev: Option<f64>,
    /// Least sample.
    pub min: Option<f64>,
    /// Median.
    pub p50: Option<f64>,
    /// Greatest sample.
    pub max: Option<f64>,
}

/// A row of `nutrition_daily`: what a person looks at first.
#[derive(Clone, Debug, PartialEq)]
pub struct NutritionFigures {
    /// The local date.
    pub date: NaiveDate,
    /// Foods and drinks.
    pub item_count: i32,
    /// Energy in kcal.
    pub energy_kcal: Option<f64>,
    /// Share of carbohydrate in the energy, percent.
    pub carbohydrate_percent: Option<f64>,
    /// Share of protein.
    pub protein_percent: Option<f64>,
    /// Share of fat.
    pub fat_percent: Option<f64>,
    /// Fibre in g.
    pub fiber_g: Option<f64>,
    /// Vitamin C in mg.
    pub vitamin_c_mg: Option<f64>,
}

/// A row of `lab_daily`: what a person looks at first.
#[derive(Clone, Debug, PartialEq)]
pub struct LabFigures {
    /// The local date.
    pub date: NaiveDate,
    /// LOINC code, or the test's name.
    pub analyte: String,
    /// Unit as reported.
    pub unit: String,
    /// The last result, where it is a number.
    pub last_value: Option<f64>,
    /// The range of the last result.
    pub reference_text: Option<String>,
    /// Its flag.
    pub last_flag: Option<String>,
}

/// A row of `blood_pressure_daily`: what a person looks at first.
#[derive(Clone, Debug, PartialEq)]
pub struct BloodPressureFigures {
    /// The local date.
    pub date: NaiveDate,
    /// Measurements: a systolic and a diastolic reading each.
    pub pair_count: i32,
    /// Mean of the systolic readings in mmHg.
    pub systolic_mean: Option<f64>,
    /// Mean of the diastolic readings in mmHg.
    pub diastolic_mean: Option<f64>,
    /// The worst category of the day.
    pub worst_category: Option<String>,
}

/// How many rows the daily and hourly tables hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FigureCounts {
    /// Rows of `vitals_hourly`.
    pub vitals_hours: i64,
    /// Rows of `vitals_daily`.
    pub vitals_days: i64,
    /// Rows of `blood_pressure_daily`.
    pub blood_pressure_days: i64,
    /// Rows of `nutrition_daily`.
    pub nutrition_days: i64,
    /// Rows of `lab_daily`.
    pub lab_days: i64,
}

type VitalColumns = (
    (NaiveDate, String, String, PgTimestamp, String, i32),
    (Option<f64>, Option<f64>, Option<f64>, Option<f64>, Option<f64>, Option<f64>),
);

statement! {
    struct ReadVitalDays {
        user_id: i64 => BigInt,
        from: NaiveDate => Date,
        to: NaiveDate => Date,
    } -> (
        (Date, Text, Text, Timestamptz, Text, Integer),
        (Nullable<Double>, Nullable<Double>, Nullable<Double>, Nullable<Double>, Nullable<Double>, Nullable<Double>)
    )
    "SELECT local_date, metric, unit, day_start, time_zone, sample_count,
            total, mean, stddev, min, p50, max
     FROM vitals_daily
     WHERE user_id = {user_id} AND local_date BETWEEN {from} AND {to}
     ORDER BY local_date, metric"
}

statement! {
    struct ReadVitalHours<'a> {
        user_id: i64 => BigInt,
        date: NaiveDate => Date,
        metric: &'a str => Text,
    } -> (
        (Date, Text, Text, Timestamptz, Text, Integer),
        (Nullable<Double>, Nullable<Double>, Nullable<Double>, Nullable<Double>, Nullable<Double>, Nullable<Double>)
    )
    "SELECT local_date, metric, unit, hour_start, time_zone, sample_count,
            total, mean, stddev, min, p50, max
     FROM vitals_hourly
     WHERE user_id = {user_id} AND local_date = {date} AND metric = {metric}
     ORDER BY hour_start"
}

statement! {
    struct ReadBloodPressureDays {
        user_id: i64 => BigInt,
        from: NaiveDate => Date,
        to: NaiveDate => Date,
    } -> (Date, Integer, Nullable<Double>, Nullable<Double>, Nullable<Text>)
    "SELECT local_date, pair_count, systolic_mean, diastolic_mean, worst_category
     FROM blood_pressure_daily
     WHERE user_id = {user_id} AND local_date BETWEEN {from} AND {to}
     ORDER BY local_date"
}

statement! {
    struct ReadNutritionDays {
        user_id: i64 => BigInt,
        from: NaiveDate => Date,
        to: NaiveDate => Date,
    } -> (
        Date, Integer, Nullable<Double>, Nullable<Double>, Nullable<Double>, Nullable<Double>,
        Nullable<Double>, Nullable<Double>
    )
    "SELECT local_date, item_count, energy_kcal, carbohydrate_percent, protein_percent,
            fat_percent, fiber_g, vitamin_c_mg
     FROM nutrition_daily
     WHERE user_id = {user_id} AND local_date BETWEEN {from} AND {to}
     ORDER BY local_date"
}

statement! {
    struct ReadLabDays {
        user_id: i64 => BigInt,
        from: NaiveDate => Date,
        to: NaiveDate => Date,
    } -> (Date, Text, Text, Nullable<Double>, Nullable<Text>, Nullable<Text>)
    "SELECT local_date, analyte, unit, last_value, reference_text, last_flag
     FROM lab_daily
     WHERE user_id = {user_id} AND local_date BETWEEN {from} AND {to}
     ORDER BY local_date, analyte, unit"
}

statement! {
    struct CountFigures {} -> (BigInt, BigInt, BigInt, BigInt, BigInt)
    "SELECT (SELECT count(*) FROM vitals_hourly), (SELECT count(*) FROM vitals_daily),
            (SELECT count(*) FROM blood_pressure_daily),
            (SELECT count(*) FROM nutrition_daily), (SELECT count(*) FROM lab_daily)"
}

impl Store {
    /// A user's daily vitals of some dates, both ends included, in order.
    ///
    /// # Errors
    /// If the database fails.
    pub async fn vital_days(
        &self,
        user_id: i64,
        from: NaiveDate,
        to: NaiveDate,
    ) -> Result<Vec<VitalFigures>, StoreError> {
        let read = ReadVitalDays { user_id, from, to };
        Ok(vital_figures(self.load("figures", read).await?))
    }

    /// A user's hours of one metric on one date, in order.
    ///
    /// # Errors
    /// If the database fails.
    pub async fn vital_hours(
        &self,
        user_id: i64,
        date: NaiveDate,
        metric: &str,
    ) -> Result<Vec<VitalFigures>, StoreError> {
        let read = ReadVitalHours { user_id, date, metric };
        Ok(vital_figures(self.load("figures", read).await?))
    }

    /// A user's blood pressure of some dates, both ends included, in order.
    ///
    /// # Errors
    /// If the database fails.
    pub async fn blood_pressure_days(
        &self,
        user_id: i64,
        from: NaiveDate,
        to: NaiveDate,
    ) -> Result<Vec<BloodPressureFigures>, StoreError> {
        type Columns = (NaiveDate, i32, Option<f64>, Option<f64>, Option<String>);
        let read = ReadBloodPressureDays { user_id, from, to };
        let rows: Vec<Columns> = self.load("figures", read).await?;
        let figures = |(date, pair_count, systolic_mean, diastolic_mean, worst_category)| {
            BloodPressureFigures { date, pair_count, systolic_mean, diastolic_mean, worst_category }
        };
        Ok(rows.into_iter().map(figures).collect())
    }

    /// A user's nutrition of some dates, both ends included, in order.
    ///
    /// # Errors
    /// If the database fails.
    pub async fn nutrition_days(
        &self,
        user_id: i64,
        from: NaiveDate,
        to: NaiveDate,
    ) -> Result<Vec<NutritionFigures>, StoreError> {
        type Columns = (
            NaiveDate,
            i32,
            Option<f64>,
            Option<f64>,
            Option<f64>,
            Option<f64>,
            Option<f64>,
            Option<f64>,
        );
        let read = ReadNutritionDays { user_id, from, to };
        let rows: Vec<Columns> = self.load("figures", read).await?;
        Ok(rows
            .into_iter()
            .map(|row| NutritionFigures {
                date: row.0,
                item_count: row.1,
                energy_kcal: row.2,
                carbohydrate_percent: row.3,
                protein_percent: row.4,
                fat_percent: row.5,
                fiber_g: row.6,
                vitamin_c_mg: row.7,
            })
            .collect())
    }

    /// A user's laboratory results of some dates, both ends included, in order.
    ///
    /// # Errors
    /// If the database fails.
    pub async fn lab_days(
        &self,
        user_id: i64,
        from: NaiveDate,
        to: NaiveDate,
    ) -> Result<Vec<LabFigures>, StoreError> {
        type Columns = (NaiveDate, String, String, Option<f64>, Option<String>, Option<String>);
        let read = ReadLabDays { user_id, from, to };
        let rows: Vec<Columns> = self.load("figures", read).await?;
        Ok(rows
            .into_iter()
            .map(|(date, analyte, unit, last_value, reference_text, last_flag)| LabFigures {
                date,
                analyte,
                unit,
                last_value,
                reference_text,
                last_flag,
            })
            .collect())
    }

    /// How many rows of figures there are.
    ///
    /// # Errors
    /// If the database fails.
    pub async fn count_figures(&self) -> Result<FigureCounts, StoreError> {
        let counts: Vec<(i64, i64, i64, i64, i64)> = self.load("figures", CountFigures {}).await?;
        let counts = counts.into_iter().next();
        let (vitals_hours, vitals_days, blood_pressure_days, nutrition_days, lab_days) =
            counts.ok_or(StoreError::Internal("the figures cannot be counted"))?;
        Ok(FigureCounts {
            vitals_hours,
            vitals_days,
            blood_pressure_days,
            nutrition_days,
            lab_days,
        })
    }
}

fn vital_figures(rows: Vec<VitalColumns>) -> Vec<VitalFigures> {
    rows.into_iter()
        .map(|((date, metric, unit, start, time_zone, sample_count), numbers)| {
            let (total, mean, stddev, min, p50, max) = numbers;
            VitalFigures {
                date,
                metric,
                unit,
                start: from_postgres(start),
                time_zone,
                sample_count,
                total,
                mean,
                stddev,
                min,
                p50,
                max,
            }
        })
        .collect()
}
