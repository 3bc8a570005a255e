//! Computes figures beside the stored ones, and compares both.
//!
//! A group's own reads and computations run in a read-only transaction that only computes. The server makes an image
//! of each row that the group would write, and of each stored one. So the comparison covers exactly the rows that the
//! worker would write, to the last bit, and nothing is written.

use aggregation::{Kind, UserId};
use chrono::NaiveDate;
use diesel::sql_types::{Array, BigInt, Date, Double, Nullable, Text};
use diesel::{QueryableByName, sql_query};
use diesel_async::{AnsiTransactionManager, RunQueryDsl, TransactionManager};

use crate::error::StoreError;
use crate::pool::Store;
use crate::queue::rejected::{Listed, Verdict};
use crate::sql::figure_table::{StoredImages, TABLES};
use crate::sql::statement::statement;
use crate::sql::user_key::UserKey;
use crate::transaction::GroupTransaction;
use crate::verify::comparison::{Comparison, Difference, RowKey, stored_images};

/// A session that computes figures and compares them. At the end its connection is closed, never reused.
pub struct VerifySession<'p> {
    transaction: GroupTransaction<'p>,
    store: &'p Store,
}

impl std::fmt::Debug for VerifySession<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("VerifySession").finish_non_exhaustive()
    }
}

/// Declares a query for the zones of a user's rows of figures, by descending frequency.
macro_rules! zones_of {
    ($name:ident, $rows:literal) => {
        statement! {
            struct $name { user_id: UserId => UserKey, most: i64 => BigInt } -> (Text)
            concat!(
                "SELECT time_zone FROM (", $rows, ") AS of_user
                 WHERE user_id = {user_id}
                 GROUP BY 1 ORDER BY count(*) DESC, 1 LIMIT {most}"
            )
        }
    };
}

zones_of!(
    ZonesOfVitals,
    "SELECT user_id, time_zone FROM vitals_daily UNION ALL SELECT user_id, time_zone FROM sleep_daily
     UNION ALL SELECT user_id, time_zone FROM blood_pressure_daily
     UNION ALL SELECT user_id, time_zone FROM glucose_daily"
);
zones_of!(ZonesOfNutrition, "SELECT user_id, time_zone FROM nutrition_daily");
zones_of!(ZonesOfLabs, "SELECT user_id, time_zone FROM lab_daily");

statement! {
    /// The exact values of labs before a date, those of the latest date last.
    struct ReadLabValues { user_id: UserId => UserKey, before: NaiveDate => Date }
        -> (Text, Text, Nullable<Double>)
    "SELECT analyte, unit, CASE WHEN last_comparator IS NULL THEN last_value END
     FROM lab_daily
     WHERE user_id = {user_id} AND local_date < {before}
     ORDER BY local_date"
}

/// Maximum of zones that are tried: a user who travels has days in many zones.
const MOST_ZONES: i64 = 8;

impl Store {
    /// Opens a session that compares figures, on a connection of the pool that is not returned to it.
    ///
    /// # Errors
    /// If there is no connection.
    pub async fn open_verify_session(&self) -> Result<VerifySession<'_>, StoreError> {
        let mut held = self.hold_for_long("verify").await?;
        held.unfinished = true;
        let mut transaction = GroupTransaction::on(held, self, Kind::Vitals, &UserId::from(0));
        transaction.only_compute();
        Ok(VerifySession { transaction, store: self })
    }
}

/// The date of a deleted row of figures.
#[derive(QueryableByName)]
struct ClearedDate {
    #[diesel(sql_type = Date)]
    local_date: NaiveDate,
}

impl GroupTransaction<'_> {
    /// Deletes the user's computed figures of some dates.
    ///
    /// # Errors
    /// If the database fails.
    pub async fn clear(&mut self, dates: &[NaiveDate]) -> Result<(), StoreError> {
        let (kind, user_id) = (self.kind(), self.user_id());
        for (_, table) in TABLES.into_iter().filter(|(of, _)| *of == kind) {
            let sql = format!(
                "DELETE FROM {table} WHERE user_id = $1::user_key AND local_date = ANY ($2)
                 RETURNING local_date"
            );
            let connection = self.connection().await?;
            let delete =
                sql_query(sql).bind::<UserKey, _>(user_id.clone()).bind::<Array<Date>, _>(dates);
            let deleted = delete.load(&mut **connection).await;
            let deleted: Vec<ClearedDate> = deleted.map_err(|cause| connection.error(cause))?;
            self.note_changed(deleted.into_iter().map(|row| row.local_date));
        }
        Ok(())
    }
}

impl<'p> VerifySession<'p> {
    /// Begins a snapshot of one user's figures of one kind. All reads until the next call see that
    /// moment.
    ///
    /// # Errors
    /// If the database fails.
    pub async fn look_at(&mut self, kind: Kind, user_id: &UserId) -> Result<(), StoreError> {
        self.close().await?;
        self.transaction.turn_to(kind, user_id);
        let begin = "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY";
        self.store.begin_by(self.transaction.connection().await?, begin).await
    }

    /// Ends the snapshot and forgets the computed figures.
    ///
    /// # Errors
    /// If the database fails.
    pub async fn close(&mut self) -> Result<(), StoreError> {
        self.transaction.forget_computed(true);
        let connection = self.transaction.connection().await?;
        let depth = AnsiTransactionManager::transaction_manager_status_mut(&mut **connection)
            .transaction_depth();
        if depth.map_err(|cause| connection.error(cause))?.is_some() {
            let rolled_back = AnsiTransactionManager::rollback_transaction(&mut **connection).await;
            rolled_back.map_err(|cause| connection.error(cause))?;
        }
        Ok(())
    }

    /// The transaction. It finds no stored figures, and writes none.
    pub fn transaction(&mut self) -> &mut GroupTransaction<'p> {
        &mut self.transaction
    }

    /// The transaction, without the figures that were computed before. Those of labs remain, because later dates
    /// depend on them.
    pub fn next_portion(&mut self) -> &mut GroupTransaction<'p> {
        self.transaction.forget_computed(false);
        &mut self.transaction
    }

    /// Forgets all computed figures, also those of labs, so that they can be computed in another way.
    pub fn start_over(&mut self) {
        self.transaction.forget_computed(true);
    }

    /// For labs, takes the stored figures of dates before this one as computed. They are not computed again, and the
    /// deltas of later dates depend on them.
    ///
    /// # Errors
    /// If the database fails.
    pub async fn keep_frozen_labs(&mut self, before: Option<NaiveDate>) -> Result<(), StoreError> {
        if let Some(before) = before.filter(|_| self.transaction.kind() == Kind::Labs) {
            let read = ReadLabValues { user_id: self.transaction.user_id(), before };
            let values: Vec<(String, String, Option<f64>)> = self.transaction.read(read).await?;
            let values = values.iter().map(|(analyte, unit, value)| (&**analyte, &**unit, *value));
            self.transaction.note_lab_values(values);
        }
        Ok(())
    }

    /// Compares the stored figures of some dates with the computed ones. Returns the rows that differ.
    ///
    /// # Errors
    /// If the database fails.
    pub async fn compare(
        &mut self,
        dates: &[NaiveDate],
    ) -> Result<Vec<(RowKey, Difference)>, StoreError> {
        let (kind, user_id) = (self.transaction.kind(), self.transaction.user_id());
        let mut comparison = Comparison::new(self.transaction.take_images(dates).await?);
        let stored = StoredImages { user_id, dates, sql: stored_images(kind) };
        let add = |columns| {
            comparison.add_stored(columns);
            Ok(())
        };
        self.transaction.read_each(stored, add).await?;
        Ok(comparison.finish())
    }

    /// The zones of the stored figures, by descending frequency.
    ///
    /// # Errors
    /// If the database fails.
    pub async fn stored_zones(&mut self) -> Result<Vec<String>, StoreError> {
        let (user_id, most) = (self.transaction.user_id(), MOST_ZONES);
        let zones: Vec<(String,)> = match self.transaction.kind() {
            Kind::Vitals => self.transaction.read(ZonesOfVitals { user_id, most }).await?,
            Kind::Nutrition => self.transaction.read(ZonesOfNutrition { user_id, most }).await?,
            Kind::Labs => self.transaction.read(ZonesOfLabs { user_id, most }).await?,
        };
        Ok(zones.into_iter().map(|(zone,)| zone).collect())
    }

    /// Those of the rejected rows that `rejected_rows` lacks.
    ///
    /// # Errors
    /// If the database fails.
    pub async fn unlisted(&mut self, verdicts: &[Verdict]) -> Result<Vec<i64>, StoreError> {
        let rejected = verdicts.iter().filter(|verdict| verdict.reason.is_some());
        let raw_ids: Vec<i64> = rejected.map(|verdict| verdict.raw_id).collect();
        if raw_ids.is_empty() { Ok(raw_ids) } else { self.transaction.read_unlisted(raw_ids).await }
    }

    /// The entries of `rejected_rows` for the user and kind. Also includes `unlisted` raw rows, and those
    /// that no computation of figures reads. Rows waiting in the queue are left out.
    ///
    /// # Errors
    /// If the database fails.
    pub async fn listed(
        &mut self,
        unlisted: Vec<i64>,
        metrics: Vec<String>,
    ) -> Result<Vec<Listed>, StoreError> {
        self.transaction.read_listed(unlisted, metrics).await
    }
}
