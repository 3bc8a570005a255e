//! Figures computed beside those that are stored, to compare them.
//!
//! The same statements that write figures write them into temporary tables of the same names, which
//! only this session sees. So what is compared is what the worker would write, to the last bit, and
//! nothing stored is touched.

use aggregation::Kind;
use chrono::NaiveDate;
use diesel::pg::Pg;
use diesel::query_builder::{AstPass, Query, QueryFragment, QueryId};
use diesel::sql_types::{Array, BigInt, Bool, Date, Integer, Nullable, Text};
use diesel::{QueryResult, sql_query};
use diesel_async::{
    AnsiTransactionManager, RunQueryDsl, SimpleAsyncConnection, TransactionManager,
};

use crate::day_end::contradicts_clock;
use crate::error::StoreError;
use crate::pool::Store;
use crate::rejected::Verdict;
use crate::session::Pooler;
use crate::statement::statement;
use crate::transaction::GroupTransaction;

/// The tables of figures, by kind.
const TABLES: [(Kind, &str); 7] = [
    (Kind::Vitals, "vitals_hourly"),
    (Kind::Vitals, "vitals_daily"),
    (Kind::Vitals, "sleep_daily"),
    (Kind::Vitals, "blood_pressure_daily"),
    (Kind::Vitals, "glucose_daily"),
    (Kind::Nutrition, "nutrition_daily"),
    (Kind::Labs, "lab_daily"),
];

/// How a stored row of figures differs from the computed one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Difference {
    /// There should be one, and is none.
    Missing,
    /// There is one, and should be none.
    Surplus,
    /// It is right for what it was computed with: another zone, profile, catalogue or version.
    Outdated,
    /// A figure is another one.
    Different,
}

impl Difference {
    /// The stable name used in reports.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Missing => "missing",
            Self::Surplus => "surplus",
            Self::Outdated => "outdated",
            Self::Different => "different",
        }
    }
}

/// Rows of figures of one date that differ.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Drift {
    /// The table.
    pub table: &'static str,
    /// The local date.
    pub date: NaiveDate,
    /// How they differ.
    pub difference: Difference,
    /// The zone of the stored rows; none if they are missing.
    pub stored_zone: Option<String>,
    /// The zone that they would have now; none if they are surplus.
    pub zone: Option<String>,
    /// How many rows.
    pub rows: i64,
}

/// Verdicts that `rejected_rows` does not have.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct WrongVerdicts {
    /// It has another reason: the row was judged by another catalogue or version.
    pub outdated: i64,
    /// It has none.
    pub absent: i64,
}

/// So often the own tables are emptied by DELETE, which is quick but leaves the rows where they are, for
/// every later statement to pass by. Then they are cut off.
const DELETES: u32 = 32;

/// A session with tables of its own. It is closed at the end, never handed on.
pub struct Shadow<'p> {
    transaction: GroupTransaction<'p>,
    /// The search path without the session's own tables.
    path: String,
    /// How the figures of each kind are compared.
    comparisons: [(Kind, String); Kind::ALL.len()],
    /// How often the own tables were written since they were cut off outside of a transaction, and in it.
    written: u32,
    written_here: u32,
}

impl std::fmt::Debug for Shadow<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Shadow").field("path", &self.path).finish_non_exhaustive()
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

statement! {
    /// The columns that must be equal, and the key. The columns that depend on the clock are no figures.
    struct ReadColumns<'a> { table: &'a str => Text } -> (Text, Bool, Bool)
    "SELECT quote_ident(a.attname),
            EXISTS (SELECT FROM pg_index AS i
                    WHERE i.indrelid = a.attrelid AND i.indisprimary AND a.attnum = ANY (i.indkey)),
            a.attname IN ('computed_at', 'is_partial', 'future_count')
     FROM pg_attribute AS a
     WHERE a.attrelid = to_regclass({table}) AND a.attnum > 0 AND NOT a.attisdropped
     ORDER BY a.attnum"
}

statement! {
    struct CountWrongVerdicts<'a> {
        user_id: i64 => BigInt,
        kind: &'a str => Text,
        raw_ids: Vec<i64> => Array<BigInt>,
        reasons: Vec<Option<&'static str>> => Array<Nullable<Text>>,
    } -> (BigInt, BigInt)
    "SELECT count(r.reason), count(*) FILTER (WHERE r.reason IS NULL)
     FROM unnest({raw_ids}::bigint[], {reasons}::text[]) AS judged (raw_id, reason)
     LEFT JOIN rejected_rows AS r
            ON r.user_id = {user_id} AND r.kind = {kind} AND r.raw_id = judged.raw_id
     WHERE r.reason IS DISTINCT FROM judged.reason"
}

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

/// The comparison of all tables of a kind. Its text depends on their columns, so that it is no
/// `statement!`; it is prepared once for each connection all the same.
struct Compare<'a> {
    user_id: i64,
    dates: &'a [NaiveDate],
    /// What comes behind the parameters; no data is in it.
    sql: &'a str,
}

impl QueryId for Compare<'_> {
    type QueryId = ();
    const HAS_STATIC_QUERY_ID: bool = false;
}

impl Query for Compare<'_> {
    type SqlType = (Integer, Date, Text, Nullable<Text>, Nullable<Text>, BigInt);
}

impl QueryFragment<Pg> for Compare<'_> {
    fn walk_ast<'b>(&'b self, mut out: AstPass<'_, 'b, Pg>) -> QueryResult<()> {
        out.push_sql("WITH asked AS MATERIALIZED (SELECT ");
        out.push_bind_param::<BigInt, _>(&self.user_id)?;
        out.push_sql("::bigint AS user_id, ");
        out.push_bind_param::<Array<Date>, _>(self.dates)?;
        out.push_sql("::date[] AS dates) ");
        out.push_sql(self.sql);
        Ok(())
    }
}

impl Store {
    /// Opens a session whose tables of figures are its own, on a connection of the pool that does
    /// not go back to it.
    ///
    /// # Errors
    /// If the database fails, or stands behind a pooler that gives out no sessions.
    pub async fn shadow(&self) -> Result<Shadow<'_>, StoreError> {
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
            (kind, format!("{} ORDER BY place, local_date, difference", tables.join(" UNION ALL ")))
        });
        let transaction = GroupTransaction::on(held, self, Kind::Vitals, 0);
        Ok(Shadow { transaction, path, comparisons, written: 0, written_here: 0 })
    }
}

/// Compares the images of rows, byte by byte: −0 is not 0.
fn comparison(place: i32, table: &str, columns: &[(String, bool, bool)]) -> String {
    let names = |of: &str, wanted: fn(&&(String, bool, bool)) -> bool| {
        let columns = columns.iter().filter(wanted).map(|(name, ..)| format!("{of}{name}"));
        columns.collect::<Vec<_>>().join(", ")
    };
    let key = names("", |(_, is_key, _)| *is_key);
    let of = |side: &str| names(side, |(_, is_key, is_time)| !is_key && !is_time);
    let has = |wanted: &str| columns.iter().any(|(name, ..)| name == wanted);
    let outdated: Vec<String> = ["time_zone", "context_fingerprint", "algorithm_version"]
        .into_iter()
        .filter(|column| has(column))
        .map(|column| format!("s.{column} <> c.{column}"))
        .collect();
    let outdated = outdated.join(" OR ");
    let of_clock = if has("is_partial") { contradicts_clock(table) } else { "false".to_owned() };
    format!(
        "SELECT {place} AS place, local_date, difference, stored_zone, zone, count(*) AS rows
         FROM (SELECT local_date, s.time_zone AS stored_zone, c.time_zone AS zone,
                      CASE WHEN s.is_there IS NULL THEN 'missing'
                           WHEN c.is_there IS NULL THEN 'surplus'
                           WHEN {outdated} THEN 'outdated'
                           WHEN (SELECT x FROM (SELECT {}) AS x) *<> (SELECT x FROM (SELECT {}) AS x)
                                OR {of_clock} THEN 'different'
                      END AS difference
               FROM (SELECT *, true AS is_there FROM {table}
                     WHERE user_id = (SELECT user_id FROM asked)
                       AND local_date = ANY ((SELECT dates FROM asked)::date[])) AS s
               FULL JOIN (SELECT *, true AS is_there FROM pg_temp.{table}
                          WHERE user_id = (SELECT user_id FROM asked)
                            AND local_date = ANY ((SELECT dates FROM asked)::date[])) AS c
               USING ({key})) AS compared
         WHERE difference IS NOT NULL
         GROUP BY local_date, difference, stored_zone, zone",
        of("s."),
        of("c."),
    )
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

impl<'p> Shadow<'p> {
    /// Begins to look at one user's figures of one kind: from here on everything is seen as it is at
    /// this moment, until the next call.
    ///
    /// # Errors
    /// If the database fails.
    pub async fn look_at(&mut self, kind: Kind, user_id: i64) -> Result<(), StoreError> {
        self.leave().await?;
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
    pub async fn leave(&mut self) -> Result<(), StoreError> {
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

    /// Compares the figures of some dates with the computed ones.
    ///
    /// # Errors
    /// If the database fails.
    pub async fn compare(&mut self, dates: &[NaiveDate]) -> Result<Vec<Drift>, StoreError> {
        self.set_path(format!("{}, pg_temp", self.path));
        let (kind, user_id) = (self.transaction.kind(), self.transaction.user_id());
        let Some((_, sql)) = self.comparisons.iter().find(|(of, _)| *of == kind) else {
            return Err(StoreError::Internal("a kind without tables"));
        };
        type Columns = (i32, NaiveDate, String, Option<String>, Option<String>, i64);
        let rows: Vec<Columns> = self.transaction.read(Compare { user_id, dates, sql }).await?;
        let drift = |(place, date, difference, stored_zone, zone, rows): Columns| {
            let table = usize::try_from(place).ok().and_then(|place| TABLES.get(place));
            let (_, table) = *table.ok_or(StoreError::Internal("a table that is not compared"))?;
            let difference = match difference.as_str() {
                "missing" => Difference::Missing,
                "surplus" => Difference::Surplus,
                "outdated" => Difference::Outdated,
                _ => Difference::Different,
            };
            Ok(Drift { table, date, difference, stored_zone, zone, rows })
        };
        rows.into_iter().map(drift).collect()
    }

    /// How many of these verdicts `rejected_rows` does not have, or has otherwise. None of its rows is
    /// the session's own.
    ///
    /// # Errors
    /// If the database fails.
    pub async fn wrong_verdicts(
        &mut self,
        verdicts: &[Verdict],
    ) -> Result<WrongVerdicts, StoreError> {
        let count = CountWrongVerdicts {
            user_id: self.transaction.user_id(),
            kind: self.transaction.kind().name(),
            raw_ids: verdicts.iter().map(|verdict| verdict.raw_id).collect(),
            reasons: verdicts
                .iter()
                .map(|verdict| verdict.reason.map(aggregation::Reason::code))
                .collect(),
        };
        let counts: Vec<(i64, i64)> = self.transaction.read(count).await?;
        let (outdated, absent) = counts.into_iter().next().unwrap_or_default();
        Ok(WrongVerdicts { outdated, absent })
    }

    /// Names are looked for along this path from the next statement on, as long as the look lasts.
    fn set_path(&mut self, path: String) {
        self.transaction.write(SetPath { path, locally: true });
    }
}
