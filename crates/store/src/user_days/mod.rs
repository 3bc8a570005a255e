//! All stored data of some days of one user at one moment, for display.

mod context;
mod days;
mod labs;
mod nutrition;
mod report;
mod vitals;

use std::collections::BTreeMap;

use aggregation::local_time::Zone;
use aggregation::{Timestamp, UserId};
use chrono::NaiveDate;
use diesel::deserialize::{self, FromSql, FromSqlRow};
use diesel::pg::{Pg, PgValue};
use diesel::prelude::*;
use diesel::sql_types::Jsonb;

use self::context::Moment;
pub use self::context::{RejectedRows, Waiting};
pub use self::days::{BloodPressureDay, GlucoseDay, SleepNight};
pub use self::labs::{LabName, LabResults};
pub use self::nutrition::{MealEnergy, NutritionSums};
pub use self::report::{DaysBefore, MOST_PROFILE_DAYS, PeriodLength, ReportDates, UserReport};
pub use self::vitals::{VitalDay, VitalHour};
use crate::error::StoreError;
use crate::kinds::day_end::future_rows_of;
use crate::pool::Store;
use crate::snapshot::Snapshot;
use crate::sql::time::{RawTime, from_postgres};

/// The fields of every row of a daily table. `day_columns` lists the columns.
#[derive(Clone, Debug, PartialEq, Eq, Queryable)]
pub struct DayRow {
    /// The local date.
    pub date: NaiveDate,
    /// The zone of the day's bounds.
    pub time_zone: String,
    /// Whether the day had not ended at its computation.
    pub is_partial: bool,
    /// Raw rows of the day that were rejected; None where the table does not say.
    #[diesel(deserialize_as = i32)]
    pub rejected: Option<i32>,
    /// The version of the definitions used.
    pub algorithm_version: i32,
    /// When it was computed.
    #[diesel(deserialize_as = RawTime)]
    pub computed_at: Timestamp,
    /// The sources of its rows, in the order of their names.
    #[diesel(deserialize_as = SourceNames)]
    pub sources: Vec<String>,
}

/// The columns of [`DayRow`] in a table.
macro_rules! day_columns {
    ($table:ident) => {
        (
            $table::local_date,
            $table::time_zone,
            $table::is_partial,
            $table::rejected_count,
            $table::algorithm_version,
            $table::computed_at,
            $table::sources,
        )
    };
}

use day_columns;

/// The names in an object of counts by source.
#[derive(FromSqlRow)]
#[diesel(sql_type = Jsonb)]
pub struct SourceNames(Vec<String>);

impl FromSql<Jsonb, Pg> for SourceNames {
    fn from_sql(value: PgValue<'_>) -> deserialize::Result<Self> {
        // The first byte is the version of the format.
        let json = value.as_bytes().get(1..).unwrap_or_default();
        let counts: BTreeMap<String, i64> = serde_json::from_slice(json)?;
        Ok(Self(counts.into_keys().collect()))
    }
}

impl From<SourceNames> for Vec<String> {
    fn from(names: SourceNames) -> Self {
        names.0
    }
}

/// The days of one user. Each list is in the order of its dates.
#[derive(Clone, Debug)]
pub struct UserDays {
    /// The user.
    pub user_id: UserId,
    /// The first requested date.
    pub from: NaiveDate,
    /// The last requested date.
    pub to: NaiveDate,
    /// The time of the query, by the database's clock.
    pub as_of: Timestamp,
    /// The profile's zone, as written; it may be invalid.
    pub profile_zone: Option<String>,
    /// The profile's order of sources, best first, folded like the source names of figures.
    pub source_priority: Vec<String>,
    /// Whether the user has a profile, raw rows or figures of any date.
    pub is_known: bool,
    /// The figures of earlier dates are frozen; `None` if none are.
    pub frozen_before: Option<NaiveDate>,
    /// The first and the last date with figures, regardless of the requested dates.
    pub extent: Option<(NaiveDate, NaiveDate)>,
    /// Days of `vitals_daily`, by date and metric.
    pub vitals: Vec<VitalDay>,
    /// Hours of `vitals_hourly`, in order; read only for a single requested date.
    pub hours: Vec<VitalHour>,
    /// Days of `sleep_daily`.
    pub sleep: Vec<SleepNight>,
    /// Days of `blood_pressure_daily`.
    pub blood_pressure: Vec<BloodPressureDay>,
    /// Days of `glucose_daily`.
    pub glucose: Vec<GlucoseDay>,
    /// Days of `nutrition_daily`.
    pub nutrition: Vec<NutritionSums>,
    /// Rows of `lab_daily`, by analyte, unit and date.
    pub labs: Vec<LabResults>,
    /// The laboratories' names of those analytes, by analyte.
    pub lab_names: BTreeMap<String, LabName>,
    /// Changes that are not in the figures yet.
    pub waiting: Waiting,
    /// Raw rows of the dates that are excluded from the figures, by kind and reason.
    pub rejected: Vec<RejectedRows>,
    /// Raw rows of the dates that are dated more than a day after the database's clock.
    pub future_rows: i64,
}

impl Store {
    /// Reads the stored data of a user's local dates, both ends included. Raw rows are assigned to the
    /// dates by the profile's zone, or without one by `default_zone`.
    ///
    /// # Errors
    /// If the database fails.
    pub async fn user_days(
        &self,
        user_id: &UserId,
        from: NaiveDate,
        to: NaiveDate,
        default_zone: Zone,
    ) -> Result<UserDays, StoreError> {
        let mut snapshot = self.snapshot("report").await?;
        let moment = context::moment(&mut snapshot, user_id.clone()).await?;
        let zone = moment.zone(default_zone);
        let days = UserDays::read(&mut snapshot, moment, user_id, (from, to), zone).await?;
        snapshot.end().await?;
        Ok(days)
    }
}

impl UserDays {
    async fn read(
        snapshot: &mut Snapshot<'_>,
        moment: Moment,
        user_id: &UserId,
        (from, to): (NaiveDate, NaiveDate),
        zone: Zone,
    ) -> Result<Self, StoreError> {
        let bounds = (zone.day_start(from), zone.day_end(to));
        let labs = labs::days(snapshot, user_id.clone(), from, to).await?;
        Ok(Self {
            user_id: user_id.clone(),
            from,
            to,
            as_of: from_postgres(moment.now),
            profile_zone: moment.profile_zone,
            source_priority: moment.source_priority,
            is_known: moment.is_known,
            frozen_before: moment.frozen_before,
            extent: moment.extent,
            vitals: vitals::days(snapshot, user_id.clone(), from, to).await?,
            hours: match from == to {
                true => vitals::hours(snapshot, user_id.clone(), from).await?,
                false => Vec::new(),
            },
            sleep: days::sleep(snapshot, user_id.clone(), from, to).await?,
            blood_pressure: days::blood_pressure(snapshot, user_id.clone(), from, to).await?,
            glucose: days::glucose(snapshot, user_id.clone(), from, to).await?,
            nutrition: nutrition::days(snapshot, user_id.clone(), from, to).await?,
            lab_names: match labs.is_empty() {
                true => BTreeMap::new(),
                false => labs::names(snapshot, user_id.clone(), bounds).await?,
            },
            labs,
            waiting: context::waiting(snapshot, user_id.clone(), from, to).await?,
            rejected: context::rejected(snapshot, user_id.clone(), bounds).await?,
            future_rows: future_rows_of(snapshot, user_id.clone(), from, to).await?,
        })
    }
}
