//! Daily figures of glucose.

use std::collections::BTreeMap;
use std::sync::LazyLock;

use aggregation::glucose::GlucoseDay;
use aggregation::raw::Span;
use aggregation::{ALGORITHM_VERSION, UserId};
use chrono::NaiveDate;
use diesel::data_types::PgTimestamp;
use diesel::sql_types::{Array, BigInt, Bool, Date, Double, Integer, Nullable, Text, Timestamptz};

use crate::error::StoreError;
use crate::kinds::daily::{self, row, sources, upserted};
use crate::sql::figure_table::FigureTable;
use crate::sql::statement::statement;
use crate::sql::time::to_postgres;
use crate::sql::user_key::UserKey;
use crate::transaction::GroupTransaction;

const FIGURES: [&str; 19] = [
    "sample_count",
    "censored_count",
    "mean",
    "stddev",
    "cv_percent",
    "gmi_percent",
    "ea1c_percent",
    "j_index",
    "below_54_percent",
    "below_70_percent",
    "from_70_to_180_percent",
    "from_70_to_140_percent",
    "above_180_percent",
    "above_250_percent",
    "glycemia_risk_index",
    "low_episodes",
    "high_episodes",
    "coverage_percent",
    "is_sufficient",
];

static TABLE: LazyLock<FigureTable> = LazyLock::new(|| daily::table("glucose_daily", &FIGURES));

static ROW: LazyLock<String> = LazyLock::new(|| row(&FIGURES));

static UPSERTED: LazyLock<String> =
    LazyLock::new(|| upserted("glucose", "glucose_daily", &[], &FIGURES));

statement! {
    struct DayRow {
        user_id: UserId => UserKey,
        local_date: NaiveDate => Date,
        sample_count: i32 => Integer,
        censored_count: i32 => Integer,
        mean: Option<f64> => Nullable<Double>,
        stddev: Option<f64> => Nullable<Double>,
        cv_percent: Option<f64> => Nullable<Double>,
        gmi_percent: Option<f64> => Nullable<Double>,
        ea1c_percent: Option<f64> => Nullable<Double>,
        j_index: Option<f64> => Nullable<Double>,
        below_54_percent: Option<f64> => Nullable<Double>,
        below_70_percent: Option<f64> => Nullable<Double>,
        from_70_to_180_percent: Option<f64> => Nullable<Double>,
        from_70_to_140_percent: Option<f64> => Nullable<Double>,
        above_180_percent: Option<f64> => Nullable<Double>,
        above_250_percent: Option<f64> => Nullable<Double>,
        glycemia_risk_index: Option<f64> => Nullable<Double>,
        low_episodes: Option<i32> => Nullable<Integer>,
        high_episodes: Option<i32> => Nullable<Integer>,
        coverage_percent: Option<f64> => Nullable<Double>,
        is_sufficient: Option<bool> => Nullable<Bool>,
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
    "DELETE FROM glucose_daily WHERE user_id = {user_id} AND local_date = ANY ({dates})
     RETURNING local_date"
}

/// The table of its days.
pub(crate) fn table() -> &'static FigureTable {
    &TABLE
}

impl GroupTransaction<'_> {
    /// The stored dates of glucose whose bounds overlap one of the spans: a row may have been counted
    /// there while the profile had another zone.
    ///
    /// # Errors
    /// If the database fails.
    pub async fn glucose_near(&mut self, spans: &[Span]) -> Result<Vec<NaiveDate>, StoreError> {
        self.dates_near("glucose_daily", spans).await
    }

    /// Writes the figures of some dates, or deletes those of dates without rows.
    ///
    /// # Errors
    /// If the database fails.
    pub async fn write_glucose(
        &mut self,
        days: &BTreeMap<NaiveDate, Option<GlucoseDay>>,
        context_fingerprint: i64,
    ) -> Result<(), StoreError> {
        let user_id = self.user_id();
        let (gone, kept) = self.split(days);
        if !gone.is_empty() {
            let delete = DeleteDays { user_id: user_id.clone(), dates: gone };
            self.write_figures("gone_glucose", delete, "SELECT local_date FROM gone_glucose");
        }
        for (date, day) in kept {
            let row = DayRow {
                user_id: user_id.clone(),
                local_date: date,
                sample_count: day.sample_count,
                censored_count: day.censored_count,
                mean: day.moments.map(|moments| moments.mean),
                stddev: day.moments.and_then(|moments| moments.stddev),
                cv_percent: day.moments.and_then(|moments| moments.cv_percent),
                gmi_percent: day.moments.map(|moments| moments.gmi_percent),
                ea1c_percent: day.moments.map(|moments| moments.ea1c_percent),
                j_index: day.moments.and_then(|moments| moments.j_index),
                below_54_percent: day.ranges.map(|ranges| ranges.below_54_percent),
                below_70_percent: day.ranges.map(|ranges| ranges.below_70_percent),
                from_70_to_180_percent: day.ranges.map(|ranges| ranges.from_70_to_180_percent),
                from_70_to_140_percent: day.ranges.map(|ranges| ranges.from_70_to_140_percent),
                above_180_percent: day.ranges.map(|ranges| ranges.above_180_percent),
                above_250_percent: day.ranges.map(|ranges| ranges.above_250_percent),
                glycemia_risk_index: day.ranges.map(|ranges| ranges.glycemia_risk_index),
                low_episodes: day.low_episodes,
                high_episodes: day.high_episodes,
                coverage_percent: day.coverage_percent,
                is_sufficient: day.is_sufficient,
                rejected_count: day.rejected_count,
                sources: sources(&day.sources)?,
                time_zone: day.time_zone.clone(),
                day_start: to_postgres(day.day_start),
                day_end: to_postgres(day.day_end),
                context_fingerprint,
                algorithm_version: ALGORITHM_VERSION,
            };
            self.write_rows("glucose", (&TABLE, row), &UPSERTED);
        }
        Ok(())
    }
}
