//! Computes figures beside the stored ones, to compare them.
//!
//! The statements that write figures write into temporary tables of the same names, which only this
//! session sees. So the comparison covers exactly the rows that the worker would write, to the last bit,
//! and stored rows are never changed.

use aggregation::{Kind, UserId};
use chrono::NaiveDate;
use diesel::sql_types::{Array, BigInt, Bool, Date, Text};
use diesel::{QueryResult, QueryableByName, sql_query};
use diesel_async::{
    AnsiTransactionManager, RunQueryDsl, SimpleAsyncConnection, TransactionManager,
};

use crate::connection::session::Pooler;
use crate::error::StoreError;
use crate::pool::Store;
use crate::queue::rejected::{Listed, Verdict};
use crate::sql::statement::statement;
use crate::sql::user_key::UserKey;
use crate::transaction::GroupTransaction;
use crate::verify::comparison::{
    Compare, ComparedColumns, Difference, ReadColumns, RowKey, TABLES, comparison, differing,
};

/// Number of times that the temporary tables are emptied by DELETE before they are truncated. DELETE is
/// fast, but leaves dead rows that every later statement has to skip.
const DELETES: u32 = 32;

/// A session with temporary tables. At the end it is closed, never reused.
pub struct VerifyTables<'p> {
    transaction: GroupTransaction<'p>,
    /// The search path without the temporary tables.
    path: String,
    /// The SQL that compares the figures of each kind.
    comparisons: [(Kind, String); Kind::ALL.len()],
    /// Number of writes to the temporary tables since they were truncated: outside of a transaction, and
    /// in it.
    written: u32,
    written_here: u32,
}

impl std::fmt::Debug for VerifyTables<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("VerifyTables").field("path", &self.path).finish_non_exhaustive()
    }
}

statement! {
    struct ReadPath {} -> (Text)
    "SELECT current_setting('search_path')"
}

statement! {
    struct SetPath { path: String => Text, locally: bool => Bool } -> (Text)
    "SELECT set_config('search_path', {path}, {locally})"
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

/// Maximum of zones that are tried: a user who travels has days in many zones.
const MOST_ZONES: i64 = 8;

/// Empties a temporary table. The statement names its schema, so it cannot hit a stored table.
macro_rules! forget {
    ($name:ident, $table:literal) => {
        statement! { struct $name {} -> () concat!("DELETE FROM pg_temp.", $table) }
    };
}

forget!(ForgetHours, "vitals_hourly");
forget!(ForgetDays, "vitals_daily");
forget!(ForgetSleep, "sleep_daily");
forget!(ForgetBloodPressure, "blood_pressure_daily");
forget!(ForgetGlucose, "glucose_daily");
forget!(ForgetNutrition, "nutrition_daily");
forget!(ForgetLabs, "lab_daily");

statement! {
    struct KeepLabs { user_id: UserId => UserKey, frozen_before: NaiveDate => Date } -> ()
    "INSERT INTO pg_temp.lab_daily
     SELECT * FROM lab_daily WHERE user_id = {user_id} AND local_date < {frozen_before}"
}

impl Store {
    /// Opens a session with temporary tables of figures, on a connection of the pool that is not
    /// returned to it.
    ///
    /// # Errors
    /// If the database fails, or a pooler in transaction mode is in between.
    pub async fn open_verify_tables(&self) -> Result<VerifyTables<'_>, StoreError> {
        if self.pooler() == Pooler::Transaction {
            return Err(StoreError::NeedsSession("comparing"));
        }
        let mut held = self.hold_for_long("verify").await?;
        held.unfinished = true;
        let paths = ReadPath {}.load(&mut *held).await;
        let paths: Vec<(String,)> = paths.map_err(|cause| held.error(cause))?;
        let Some((path,)) = paths.into_iter().next() else {
            return Err(StoreError::Internal("the session has no search_path"));
        };
        let set = SetPath { path: format!("{path}, pg_temp"), locally: false };
        let set: QueryResult<Vec<(String,)>> = set.load(&mut *held).await;
        set.map_err(|cause| held.error(cause))?;
        let mut comparisons = Kind::ALL.map(|kind| (kind, Vec::new()));
        for ((of, table), place) in TABLES.into_iter().zip(0..) {
            let create = format!(
                "CREATE TEMP TABLE {table} (LIKE {table} INCLUDING DEFAULTS INCLUDING INDEXES)"
            );
            held.batch_execute(&create).await.map_err(|cause| held.error(cause))?;
            let columns = ReadColumns { table }.load(&mut *held).await;
            let columns: Vec<(String, bool, bool)> = columns.map_err(|cause| held.error(cause))?;
            for (_, tables) in comparisons.iter_mut().filter(|(kind, _)| *kind == of) {
                tables.push(comparison(place, table, &columns));
            }
        }
        let comparisons = comparisons.map(|(kind, tables)| {
            (kind, format!("{} ORDER BY place, local_date", tables.join(" UNION ALL ")))
        });
        let transaction = GroupTransaction::on(held, self, Kind::Vitals, &UserId::from(0));
        Ok(VerifyTables { transaction, path, comparisons, written: 0, written_here: 0 })
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

impl<'p> VerifyTables<'p> {
    /// Begins a snapshot of one user's figures of one kind. All reads until the next call see that
    /// moment.
    ///
    /// # Errors
    /// If the database fails.
    pub async fn look_at(&mut self, kind: Kind, user_id: &UserId) -> Result<(), StoreError> {
        self.close().await?;
        if self.written >= DELETES {
            self.cut_off().await?;
            self.written = 0;
        }
        self.written_here = 0;
        self.transaction.turn_to(kind, user_id);
        let begin = "BEGIN ISOLATION LEVEL REPEATABLE READ";
        let connection = self.transaction.connection().await?;
        let begun = AnsiTransactionManager::begin_transaction_sql(&mut **connection, begin).await;
        begun.map_err(|cause| connection.error(cause))
    }

    /// Ends the snapshot and discards the computed figures.
    ///
    /// # Errors
    /// If the database fails.
    pub async fn close(&mut self) -> Result<(), StoreError> {
        self.transaction.forget_writes();
        let connection = self.transaction.connection().await?;
        let depth = AnsiTransactionManager::transaction_manager_status_mut(&mut **connection)
            .transaction_depth();
        if depth.map_err(|cause| connection.error(cause))?.is_some() {
            let rolled_back = AnsiTransactionManager::rollback_transaction(&mut **connection).await;
            rolled_back.map_err(|cause| connection.error(cause))?;
        }
        Ok(())
    }

    /// The transaction with the stored figures in view.
    pub fn stored(&mut self) -> &mut GroupTransaction<'p> {
        &mut self.transaction
    }

    /// The transaction with the temporary tables in view, for reading and writing figures. They are
    /// empty at first. Figures of earlier calls remain only where dates depend on each other, as for the
    /// deltas of labs.
    ///
    /// # Errors
    /// If the database fails.
    pub async fn own(&mut self) -> Result<&mut GroupTransaction<'p>, StoreError> {
        self.set_path(format!("pg_temp, {}", self.path));
        if self.written_here == DELETES && self.transaction.kind() != Kind::Labs {
            self.cut_off().await?;
            self.written_here = 0;
        }
        match self.transaction.kind() {
            Kind::Vitals => {
                self.transaction.write(ForgetHours {});
                self.transaction.write(ForgetDays {});
                self.transaction.write(ForgetSleep {});
                self.transaction.write(ForgetBloodPressure {});
                self.transaction.write(ForgetGlucose {});
            }
            Kind::Nutrition => self.transaction.write(ForgetNutrition {}),
            Kind::Labs => {}
        }
        self.written += 1;
        self.written_here += 1;
        Ok(&mut self.transaction)
    }

    /// Truncates the temporary tables.
    async fn cut_off(&mut self) -> Result<(), StoreError> {
        let tables = TABLES.map(|(_, table)| format!("pg_temp.{table}")).join(", ");
        let connection = self.transaction.connection().await?;
        let cut_off = connection.batch_execute(&format!("TRUNCATE {tables}")).await;
        cut_off.map_err(|cause| connection.error(cause))
    }

    /// Discards all computed figures, even where dates depend on each other, so that they can be
    /// computed in another way.
    pub fn start_over(&mut self) {
        self.transaction.write(ForgetLabs {});
    }

    /// For labs, copies the stored figures of dates before this one. They are not computed again, and the deltas of
    /// later dates depend on them.
    ///
    /// # Errors
    /// If the database fails.
    pub async fn keep_frozen_labs(&mut self, before: Option<NaiveDate>) -> Result<(), StoreError> {
        if let Some(frozen_before) = before.filter(|_| self.transaction.kind() == Kind::Labs) {
            self.see_stored();
            let user_id = self.transaction.user_id();
            self.transaction.write(KeepLabs { user_id, frozen_before });
            self.transaction.flush().await?;
        }
        Ok(())
    }

    /// Compares the stored figures of some dates with the computed ones. Returns the rows that differ,
    /// by table and date.
    ///
    /// # Errors
    /// If the database fails.
    pub async fn compare(
        &mut self,
        dates: &[NaiveDate],
    ) -> Result<Vec<(RowKey, Difference)>, StoreError> {
        self.see_stored();
        let (kind, user_id) = (self.transaction.kind(), self.transaction.user_id());
        let Some((_, sql)) = self.comparisons.iter().find(|(of, _)| *of == kind) else {
            return Err(StoreError::Internal("a kind without tables"));
        };
        let rows: Vec<ComparedColumns> =
            self.transaction.read(Compare { user_id, dates, sql }).await?;
        rows.into_iter().map(differing).collect()
    }

    /// The zones of the stored figures, by descending frequency.
    ///
    /// # Errors
    /// If the database fails.
    pub async fn stored_zones(&mut self) -> Result<Vec<String>, StoreError> {
        self.see_stored();
        let (user_id, most) = (self.transaction.user_id(), MOST_ZONES);
        let zones: Vec<(String,)> = match self.transaction.kind() {
            Kind::Vitals => self.transaction.read(ZonesOfVitals { user_id, most }).await?,
            Kind::Nutrition => self.transaction.read(ZonesOfNutrition { user_id, most }).await?,
            Kind::Labs => self.transaction.read(ZonesOfLabs { user_id, most }).await?,
        };
        Ok(zones.into_iter().map(|(zone,)| zone).collect())
    }

    /// Those of the rejected rows that `rejected_rows` lacks. That table has no temporary copy.
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
        self.see_stored();
        self.transaction.read_listed(unlisted, metrics).await
    }

    /// Puts the temporary tables behind the stored ones in the search path.
    fn see_stored(&mut self) {
        self.set_path(format!("{}, pg_temp", self.path));
    }

    /// Sets the search path for the next statements, until the end of the snapshot.
    fn set_path(&mut self, path: String) {
        self.transaction.write(SetPath { path, locally: true });
    }
}
