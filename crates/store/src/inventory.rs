//! Which users and dates there are, from raw rows and from figures, without the queue.

use aggregation::Kind;
use chrono::NaiveDate;
use diesel::sql_types::{BigInt, Date, Nullable, Text};
use diesel_async::RunQueryDsl;

use crate::error::StoreError;
use crate::pool::Store;
use crate::shadow::Shadow;
use crate::statement::statement;
use crate::transaction::GroupTransaction;

/// The raw rows of a user that start on one date in UTC.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RawDate {
    /// The date in UTC.
    pub date: NaiveDate,
    /// The last date in UTC on which one of them ends.
    pub last: NaiveDate,
    /// How many there are.
    pub rows: i64,
}

/// What a user has of one kind.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Inventory {
    /// Raw rows by date, in order. Rows that no calendar can date are left out.
    pub raw: Vec<RawDate>,
    /// Dates with figures, in order.
    pub stored: Vec<NaiveDate>,
}

/// Declares the statements of one kind: its raw table with start and end of a row, and its figures.
macro_rules! of_kind {
    ($next:ident, $raw_dates:ident, $stored:ident, $raw:literal, $start:literal, $end:literal, $figures:literal) => {
        statement! {
            struct $next { from: i64 => BigInt } -> (Nullable<BigInt>)
            concat!(
                "WITH asked AS NOT MATERIALIZED (SELECT {from}::bigint AS first)
                 SELECT least(
                     (SELECT user_id FROM ", $raw, ", asked
                      WHERE user_id >= asked.first ORDER BY user_id LIMIT 1),
                     (SELECT user_id FROM ", $figures, ", asked
                      WHERE user_id >= asked.first ORDER BY user_id LIMIT 1))"
            )
        }

        statement! {
            /// The bounds are what the calendar of the figures can date.
            struct $raw_dates {
                user_id: i64 => BigInt,
                from: NaiveDate => Date,
                to: NaiveDate => Date,
            } -> (Date, Date, BigInt)
            concat!(
                "SELECT (", $start, " AT TIME ZONE 'UTC')::date AS date,
                        max((", $end, " AT TIME ZONE 'UTC')::date),
                        count(*)
                 FROM ", $raw, "
                 WHERE user_id = {user_id}
                   AND ", $start, " >= {from}::date::timestamp AT TIME ZONE 'UTC'
                   AND ", $start, " < ({to}::date + 1)::timestamp AT TIME ZONE 'UTC'
                   AND ", $end, " >= timestamptz '0001-01-01 00:00Z'
                   AND ", $end, " < timestamptz '9999-12-31 00:00Z'
                 GROUP BY date
                 ORDER BY date"
            )
        }

        statement! {
            struct $stored {
                user_id: i64 => BigInt,
                from: NaiveDate => Date,
                to: NaiveDate => Date,
            } -> (Date)
            concat!(
                "SELECT DISTINCT local_date FROM ", $figures, "
                 WHERE user_id = {user_id} AND local_date BETWEEN {from} AND {to}
                 ORDER BY local_date"
            )
        }
    };
}

of_kind!(
    NextVitals,
    VitalsRaw,
    VitalsStored,
    "vitals_raw",
    "started_at",
    "ended_at",
    "(SELECT user_id, local_date FROM vitals_daily
      UNION ALL SELECT user_id, local_date FROM sleep_daily
      UNION ALL SELECT user_id, local_date FROM blood_pressure_daily
      UNION ALL SELECT user_id, local_date FROM glucose_daily) AS figures"
);
of_kind!(
    NextNutrition,
    NutritionRaw,
    NutritionStored,
    "nutrition_raw",
    "eaten_at",
    "eaten_at",
    "nutrition_daily"
);
of_kind!(NextLabs, LabsRaw, LabsStored, "lab_raw", "collected_at", "collected_at", "lab_daily");

impl Store {
    /// The first user from this number on that has raw rows or figures of one of the kinds.
    ///
    /// # Errors
    /// If the database fails.
    pub async fn next_user(&self, kinds: &[Kind], from: i64) -> Result<Option<i64>, StoreError> {
        let mut first = None;
        for kind in kinds {
            let next: Vec<(Option<i64>,)> = match kind {
                Kind::Vitals => self.load("inventory", NextVitals { from }).await?,
                Kind::Nutrition => self.load("inventory", NextNutrition { from }).await?,
                Kind::Labs => self.load("inventory", NextLabs { from }).await?,
            };
            first = next.into_iter().filter_map(|(user,)| user).chain(first).min();
        }
        Ok(first)
    }
}

impl Shadow<'_> {
    /// As [`Store::next_user`], on the shadow's own connection.
    ///
    /// # Errors
    /// If the database fails.
    pub async fn next_user(
        &mut self,
        kinds: &[Kind],
        from: i64,
    ) -> Result<Option<i64>, StoreError> {
        self.leave().await?;
        let mut first = None;
        for kind in kinds {
            let connection = self.stored().connection();
            let next: Vec<(Option<i64>,)> = match kind {
                Kind::Vitals => NextVitals { from }.load(connection).await?,
                Kind::Nutrition => NextNutrition { from }.load(connection).await?,
                Kind::Labs => NextLabs { from }.load(connection).await?,
            };
            first = next.into_iter().filter_map(|(user,)| user).chain(first).min();
        }
        Ok(first)
    }
}

statement! {
    struct ReadPending<'a> { user_id: i64 => BigInt, kind: &'a str => Text } -> (Date, Date)
    "SELECT DISTINCT (starts_at AT TIME ZONE 'UTC')::date, (ends_at AT TIME ZONE 'UTC')::date
     FROM aggregation_queue
     WHERE user_id = {user_id} AND kind = {kind}"
}

/// First and last date in UTC, and how many rows.
type RawColumns = (NaiveDate, NaiveDate, i64);

impl GroupTransaction<'_> {
    /// The dates in UTC, first and last, of the user's changes of this kind that are not in the
    /// figures yet, dead ones among them.
    ///
    /// # Errors
    /// If the database fails.
    pub async fn pending(&mut self) -> Result<Vec<(NaiveDate, NaiveDate)>, StoreError> {
        let read = ReadPending { user_id: self.user_id(), kind: self.kind().name() };
        Ok(read.load(self.connection()).await?)
    }

    /// What the user has of the transaction's kind between two dates, both included.
    ///
    /// # Errors
    /// If the database fails.
    pub async fn inventory(
        &mut self,
        from: NaiveDate,
        to: NaiveDate,
    ) -> Result<Inventory, StoreError> {
        let (kind, user_id) = (self.kind(), self.user_id());
        let connection = self.connection();
        macro_rules! read {
            ($raw:ident, $stored:ident) => {
                (
                    $raw { user_id, from, to }.load(connection).await?,
                    $stored { user_id, from, to }.load(connection).await?,
                )
            };
        }
        let (raw, stored): (Vec<RawColumns>, Vec<(NaiveDate,)>) = match kind {
            Kind::Vitals => read!(VitalsRaw, VitalsStored),
            Kind::Nutrition => read!(NutritionRaw, NutritionStored),
            Kind::Labs => read!(LabsRaw, LabsStored),
        };
        Ok(Inventory {
            raw: raw.into_iter().map(|(date, last, rows)| RawDate { date, last, rows }).collect(),
            stored: stored.into_iter().map(|(date,)| date).collect(),
        })
    }
}
