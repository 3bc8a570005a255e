//! Tests whether changes of raw rows reach the queue, with a real row that is rolled back.

use std::time::Duration;

use aggregation::{Kind, UserId, UserIdType};
use diesel::QueryResult;
use diesel::prelude::{
    BoolExpressionMethods, ExpressionMethods, PgArrayExpressionMethods, QueryDsl,
};
use diesel::sql_types::{BigInt, Bool, Nullable, Text};
use diesel_async::{AnsiTransactionManager, RunQueryDsl, TransactionManager};
use futures_util::FutureExt;

use crate::admin::import::raw_table;
use crate::error::{ErrorClass, StoreError};
use crate::pool::{PooledConnection, Store};
use crate::schema::aggregation_queue as q;
use crate::sql::statement::statement;
use crate::sql::user_key::{BoundUser, UserKey};

/// The maximum wait for a lock: a trial must not block other sessions.
const LOCK_TIMEOUT: Duration = Duration::from_secs(1);

/// The id of the trial row. Sequences never produce it, and the trial uses up no number of one.
const ID: i64 = i64::MIN;

/// The result of the trial of one raw table.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Trial {
    /// An insert, an update and a delete each reached the queue.
    Works,
    /// At least one of them failed, or did not reach the queue.
    Fails(String),
    /// The trial was not possible, with the reason.
    NotTried(String),
}

statement! {
    /// An existing user, because the application may have a foreign key on users.
    struct ReadTrial {
        table: &'static str => Text,
    } -> (Bool, Text, Text, Nullable<UserKey>)
    include_str!("read_trial.sql")
}

/// Whether the role may write, the role, the table's owner, and a user.
type TrialColumns = (bool, String, String, Option<UserId>);

macro_rules! trial_of {
    ($insert:ident, $update:ident, $delete:ident, $table:literal, $columns:literal, $values:literal) => {
        statement! {
            struct $insert { user_id: UserId => UserKey, id: i64 => BigInt } -> ()
            concat!("INSERT INTO ", $table, " (user_id, id, source, ", $columns, ")
                     VALUES ({user_id}, {id}, 'worker doctor', ", $values, ")")
        }
        statement! {
            struct $update { user_id: UserId => UserKey, id: i64 => BigInt } -> ()
            concat!("UPDATE ", $table, " SET source = source WHERE user_id = {user_id} AND id = {id}")
        }
        statement! {
            struct $delete { user_id: UserId => UserKey, id: i64 => BigInt } -> ()
            concat!("DELETE FROM ", $table, " WHERE user_id = {user_id} AND id = {id}")
        }
    };
}

trial_of!(
    InsertVital,
    UpdateVital,
    DeleteVital,
    "vitals_raw",
    "metric, value, unit, started_at, ended_at",
    "'heart_rate', 60, 'bpm', now(), now()"
);
trial_of!(
    InsertMeal,
    UpdateMeal,
    DeleteMeal,
    "nutrition_raw",
    "food_name, meal_type, eaten_at",
    "'', 'other', now()"
);
trial_of!(
    InsertLab,
    UpdateLab,
    DeleteLab,
    "lab_raw",
    "test_name, value_text, status, collected_at",
    "'', '', 'final', now()"
);

impl Store {
    /// Inserts, updates and deletes a row of the kind's raw table in a transaction that is rolled back.
    /// After each statement it checks that the change is in the queue.
    ///
    /// # Errors
    /// If there is no connection, or the connection is lost.
    pub async fn try_queueing(&self, kind: Kind) -> Result<Trial, StoreError> {
        let id_type = self.user_id_type().await?;
        let mut connection = self.hold("doctor").await?;
        connection.unfinished = true;
        let begin = format!(
            "BEGIN ISOLATION LEVEL READ COMMITTED;{} SET LOCAL lock_timeout = {}",
            self.in_transaction(),
            LOCK_TIMEOUT.as_millis()
        );
        self.begin_with(&mut connection, &begin).await?;
        let tried = self.try_each(&mut connection, kind, id_type).await;
        let rollback = AnsiTransactionManager::rollback_transaction(&mut *connection);
        self.in_time(rollback).await?.map_err(|cause| connection.error(cause))?;
        connection.unfinished = false;
        connection.answered = true;
        tried
    }

    async fn try_each(
        &self,
        connection: &mut PooledConnection<'_>,
        kind: Kind,
        id_type: UserIdType,
    ) -> Result<Trial, StoreError> {
        let (id, table) = (ID, raw_table(kind));
        let asked: QueryResult<Vec<TrialColumns>> =
            self.in_time(RunQueryDsl::load(ReadTrial { table }, &mut *connection)).await?;
        let asked = match asked.map_err(|cause| connection.error(cause)) {
            Ok(asked) => asked.into_iter().next(),
            Err(error) => return not_done(error, "SELECT", table),
        };
        let Some((may, role, owner, user_id)) = asked else {
            return Ok(Trial::NotTried(format!("{table} is not there")));
        };
        if !may {
            let why =
                format!("role {role} may not write to {table}, of which {owner} is the owner");
            return Ok(Trial::NotTried(why));
        }
        let user_id = user_id.unwrap_or_else(|| some_user(id_type));
        let mut before = 0;
        for verb in ["INSERT", "UPDATE", "DELETE"] {
            macro_rules! run {
                ($statement:ident) => {{
                    let statement = $statement { user_id: user_id.clone(), id };
                    self.in_time(RunQueryDsl::execute(statement, &mut *connection)).await?
                }};
            }
            let changed = match (kind, verb) {
                (Kind::Vitals, "INSERT") => run!(InsertVital),
                (Kind::Vitals, "UPDATE") => run!(UpdateVital),
                (Kind::Vitals, _) => run!(DeleteVital),
                (Kind::Nutrition, "INSERT") => run!(InsertMeal),
                (Kind::Nutrition, "UPDATE") => run!(UpdateMeal),
                (Kind::Nutrition, _) => run!(DeleteMeal),
                (Kind::Labs, "INSERT") => run!(InsertLab),
                (Kind::Labs, "UPDATE") => run!(UpdateLab),
                (Kind::Labs, _) => run!(DeleteLab),
            };
            match changed.map_err(|cause| connection.error(cause)) {
                Ok(0) => {
                    let why =
                        format!("another trigger or rule of {table} drops the row of a {verb}");
                    return Ok(Trial::NotTried(why));
                }
                Ok(_) => {}
                Err(error) => return not_done(error, verb, table),
            }
            let of_user = q::user_id.eq(BoundUser(user_id.clone())).and(q::kind.eq(kind.name()));
            let queued = q::table.filter(of_user).filter(q::raw_ids.contains(vec![id])).count();
            let counted: QueryResult<i64> =
                self.in_time(RunQueryDsl::get_result(queued, &mut *connection)).boxed().await?;
            let after = match counted.map_err(|cause| connection.error(cause)) {
                Ok(after) => after,
                Err(error) => return not_done(error, "SELECT", "aggregation_queue"),
            };
            if after <= before {
                let what = format!("{verb} of a row of {table} does not reach the queue");
                return Ok(Trial::Fails(what));
            }
            before = after;
        }
        Ok(Trial::Works)
    }
}

/// The user of a trial row in a database without users.
fn some_user(id_type: UserIdType) -> UserId {
    id_type.parse("1").unwrap_or_else(|_| id_type.least())
}

/// The result of the trial after a statement failed. The application may have added columns and
/// constraints that the trial row does not satisfy.
fn not_done(error: StoreError, verb: &str, table: &str) -> Result<Trial, StoreError> {
    let class = error.class();
    let StoreError::Database { cause: diesel::result::Error::DatabaseError(_, told), .. } = &error
    else {
        return Err(error);
    };
    // The first line names only objects, and the row is the trial's own.
    let message = told.message().lines().next().unwrap_or_default();
    match class {
        ErrorClass::ConnectionLost => Err(error),
        ErrorClass::Locked => Ok(Trial::NotTried(format!(
            "{verb} in {table} waited for a lock for more than {} s",
            LOCK_TIMEOUT.as_secs()
        ))),
        ErrorClass::Refused if told.table_name() == Some(table) => {
            Ok(Trial::NotTried(format!("{table} refuses the trial row: {message}")))
        }
        _ => Ok(Trial::Fails(format!("{verb} in {table} fails: {message}"))),
    }
}
