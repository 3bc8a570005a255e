//! Figures computed beside those that are stored, to compare them.
//!
//! The same statements that write figures write them into temporary tables of the same names, which
//! only this session sees. So what is compared is what the worker would write, to the last bit, and
//! nothing stored is touched.

use aggregation::Kind;
use chrono::NaiveDate;
use diesel::sql_types::{Array, BigInt, Bool, Date, Text};
use diesel::{QueryResult, sql_query};
use diesel_async::{
    AnsiTransactionManager, RunQueryDsl, SimpleAsyncConnection, TransactionManager,
};

use crate::connection::session::Pooler;
use crate::error::StoreError;
use crate::pool::Store;
use crate::queue::rejected::{Listed, Verdict};
use crate::sql::statement::statement;
use crate::transaction::GroupTransaction;
use crate::verify::comparison::{
    Compare, ComparedColumns, Difference, ReadColumns, RowKey, TABLES, comparison, differing,
};

/// So often the own tables are emptied by DELETE, which is quick but leaves the rows where they are, for
/// every later statement to pass by. Then they are cut off.
const DELETES: u32 = 32;

/// A session with tables of its own. It is closed at the end, never handed on.
pub struct VerifyTables<'p> {
    transaction: GroupTransaction<'p>,
    /// The search path without the session's own tables.
    path: String,
    /// How the figures of each kind are compared.
    comparisons: [(Kind, String); Kind::ALL.len()],
    /// How often the own tables were written since they were cut off outside of a transaction, and in it.
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

/// Declares a question for the zones of a user's rows of figures, the most frequent first.
macro_rules! zones_of {
    ($name:ident, $rows:literal) => {
        statement! {
            struct $name { user_id: i64 => BigInt, most: i64 => BigInt } -> (Text)
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

/// More zones than these are not tried: a user who travels has days of many.
const MOST_ZONES: i64 = 8;

/// Takes what a session's own table holds. No other one is meant, whatever the search path.
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

impl Store {
    /// Opens a session whose tables of figures are its own, on a connection of the pool that does
    /// not go back to it.
    ///
    /// # Errors
    /// If the database fails, or stands behind a pooler that gives out no sessions.
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
        let transaction = GroupTransaction::on(held, self, Kind::Vitals, 0);
        Ok(VerifyTables { transaction, path, comparisons, written: 0, written_here: 0 })
    }
}

impl GroupTransaction<'_> {
    /// Takes away the user's figures of some dates.
    ///
    /// # Errors
    /// If the database fails.
    pub async fn clear(&mut self, dates: &[NaiveDate]) -> Result<(), StoreError> {
        let (kind, user_id) = (self.kind(), self.user_id());
        for (_, table) in TABLES.into_iter().filter(|(of, _)| *of == kind) {
            let sql = format!("DELETE FROM {table} WHERE user_id = $1 AND local_date = ANY ($2)");
            let connection = self.connection().await?;
            let delete = sql_query(sql).bind::<BigInt, _>(user_id).bind::<Array<Date>, _>(dates);
            let deleted = delete.execute(&mut **connection).await;
            deleted.map_err(|cause| connection.error(cause))?;
        }
        Ok(())
    }
}

impl<'p> VerifyTables<'p> {
    /// Begins to look at one user's figures of one kind: from here on everything is seen as it is at
    /// this moment, until the next call.
    ///
    /// # Errors
    /// If the database fails.
    pub async fn look_at(&mut self, kind: Kind, user_id: i64) -> Result<(), StoreError> {
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

    /// Ends looking. What was computed is forgotten.
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

    /// The transaction, in which the stored figures are seen.
    pub fn stored(&mut self) -> &mut GroupTransaction<'p> {
        &mut self.transaction
    }

    /// The transaction, in which the figures that are seen and written are the session's own: none to
    /// begin with, and those of earlier calls only where dates build upon each other, as the deltas
    /// of labs do.
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

    /// Gives the own tables' pages back, and with them what was in the tables.
    async fn cut_off(&mut self) -> Result<(), StoreError> {
        let tables = TABLES.map(|(_, table)| format!("pg_temp.{table}")).join(", ");
        let connection = self.transaction.connection().await?;
        let cut_off = connection.batch_execute(&format!("TRUNCATE {tables}")).await;
        cut_off.map_err(|cause| connection.error(cause))
    }

    /// Forgets what was computed, also where dates build upon each other, so that they can be computed
    /// in another way.
    pub fn start_over(&mut self) {
        self.transaction.write(ForgetLabs {});
    }

    /// Compares the figures of some dates with the computed ones: the rows that differ, by table and
    /// date.
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

    /// The zones of the stored figures, the most frequent first.
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

    /// Which of these rejected rows `rejected_rows` does not have. None of its rows is the session's own.
    ///
    /// # Errors
    /// If the database fails.
    pub async fn unlisted(&mut self, verdicts: &[Verdict]) -> Result<Vec<i64>, StoreError> {
        let rejected = verdicts.iter().filter(|verdict| verdict.reason.is_some());
        let raw_ids: Vec<i64> = rejected.map(|verdict| verdict.raw_id).collect();
        if raw_ids.is_empty() { Ok(raw_ids) } else { self.transaction.read_unlisted(raw_ids).await }
    }

    /// What `rejected_rows` says of the user's raw rows of this kind, of `unlisted` ones, and of those
    /// that no computation of figures reads; rows that wait in the queue are left out.
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

    /// Has the tables of this session's own behind the stored ones.
    fn see_stored(&mut self) {
        self.set_path(format!("{}, pg_temp", self.path));
    }

    /// Names are looked for along this path from the next statement on, as long as the look lasts.
    fn set_path(&mut self, path: String) {
        self.transaction.write(SetPath { path, locally: true });
    }
}
