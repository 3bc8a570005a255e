//! Daily figures of blood pressure.

use std::collections::BTreeMap;
use std::sync::LazyLock;

use aggregation::blood_pressure::{BloodPressureDay, Category};
use aggregation::raw::Span;
use aggregation::{ALGORITHM_VERSION, UserId};
use chrono::NaiveDate;
use diesel::data_types::PgTimestamp;
use diesel::sql_types::{Array, BigInt, Date, Double, Integer, Nullable, Text, Timestamptz};

use crate::error::StoreError;
use crate::kinds::daily::{self, row, sources, upserted};
use crate::sql::figure_table::FigureTable;
use crate::sql::statement::statement;
use crate::sql::time::to_postgres;
use crate::sql::user_key::UserKey;
use crate::transaction::GroupTransaction;

const FIGURES: [&str; 11] = [
    "pair_count",
    "unpaired_count",
    "censored_count",
    "systolic_mean",
    "systolic_min",
    "systolic_max",
    "diastolic_mean",
    "diastolic_min",
    "diastolic_max",
    "mean_arterial_pressure",
    "worst_category",
];

static TABLE: LazyLock<FigureTable> =
    LazyLock::new(|| daily::table("blood_pressure_daily", &FIGURES));

static ROW: LazyLock<String> = LazyLock::new(|| row(&FIGURES));

static UPSERTED: LazyLock<String> =
    LazyLock::new(|| upserted("blood_pressure", "blood_pressure_daily", &[], &FIGURES));

statement! {
    struct DayRow {
        user_id: UserId => UserKey,
        local_date: NaiveDate => Date,
        pair_count: i32 => Integer,
        unpaired_count: i32 => Integer,
        censored_count: i32 => Integer,
        systolic_mean: Option<f64> => Nullable<Double>,
        systolic_min: Option<f64> => Nullable<Double>,
        systolic_max: Option<f64> => Nullable<Double>,
        diastolic_mean: Option<f64> => Nullable<Double>,
        diastolic_min: Option<f64> => Nullable<Double>,
        diastolic_max: Option<f64> => Nullable<Double>,
        mean_arterial_pressure: Option<f64> => Nullable<Double>,
        worst_category: Option<&'static str> => Nullable<Text>,
        rejected_count: i32 => Integer,
        sources: String => Text,
        time_zone: String => Text,
        day_start: PgTimestamp => Timestamptz,
        day_end: PgTimestamp => Timestamptz,
        context_fingerprint: i64 => BigInt,
        algorithm_version: i32 => Integer,
    } -> ()
    built &ROW
}

statement! {
    struct DeleteDays {
        user_id: UserId => UserKey,
        dates: Vec<NaiveDate> => Array<Date>,
    } -> ()
    "DELETE FROM blood_pressure_daily WHERE user_id = {user_id} AND local_date = ANY ({dates})
     RETURNING local_date"
}

/// The table of its days.
pub(crate) fn table() -> &'static FigureTable {
    &TABLE
}

impl GroupTransaction<'_> {
    /// The stored dates of blood pressure whose bounds overlap one of the spans: a row may have been
    /// counted there while the profile had another zone.
    ///
    /// # Errors
    /// If the database fails.
    pub async fn blood_pressure_near(
        &mut self,
        spans: &[Span],
    ) -> Result<Vec<NaiveDate>, StoreError> {
        self.dates_near("blood_pressure_daily", spans).await
    }

    /// Writes the figures of some dates, or deletes those of dates without rows.
    ///
    /// # Errors
    /// If the database fails.
    pub async fn write_blood_pressure(
        &mut self,
        days: &BTreeMap<NaiveDate, Option<BloodPressureDay>>,
        context_fingerprint: i64,
    ) -> Result<(), StoreError> {
        let user_id = self.user_id();
        let (gone, kept) = self.split(days);
        if !gone.is_empty() {
            let delete = DeleteDays { user_id: user_id.clone(), dates: gone };
            self.write_figures(
                "gone_blood_pressure",
                delete,
                "SELECT local_date FROM gone_blood_pressure",
            );
        }
        for (date, day) in kept {
            let row = DayRow {
                user_id: user_id.clone(),
                local_date: date,
                pair_count: day.pair_count,
                unpaired_count: day.unpaired_count,
                censored_count: day.censored_count,
                systolic_mean: day.systolic.map(|pressure| pressure.mean),
                systolic_min: day.systolic.map(|pressure| pressure.min),
                systolic_max: day.systolic.map(|pressure| pressure.max),
                diastolic_mean: day.diastolic.map(|pressure| pressure.mean),
                diastolic_min: day.diastolic.map(|pressure| pressure.min),
                diastolic_max: day.diastolic.map(|pressure| pressure.max),
                mean_arterial_pressure: day.mean_arterial_pressure,
                worst_category: day.worst_category.map(Category::name),
                rejected_count: day.rejected_count,
                sources: sources(&day.sources)?,
                time_zone: day.time_zone.clone(),
                day_start: to_postgres(day.day_start),
                day_end: to_postgres(day.day_end),
                context_fingerprint,
                algorithm_version: ALGORITHM_VERSION,
            };
            self.write_rows("blood_pressure", (&TABLE, row), &UPSERTED);
        }
        Ok(())
    }
}
