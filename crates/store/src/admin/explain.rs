//! Finds the cause of an error afterwards: a missing right, a column of another type, or the holder of a
//! lock.

use std::time::Duration;

use aggregation::nutrition::NUTRIENTS;
use aggregation::{Kind, UserId};
use diesel::sql_types::{Array, BigInt, Double, Integer, Nullable, Text};

use crate::error::{ErrorClass, StoreError};
use crate::pool::Store;
use crate::sql::statement::statement;
use crate::transaction::lock_key;

/// The maximum wait for an explanation. A longer wait would delay handling the error.
const PATIENCE: Duration = Duration::from_secs(2);

/// The maximum of lock holders in a message.
const MOST_HOLDERS: usize = 3;

/// The columns of the application's tables that the worker reads, with the categories of their types.
/// The statements read any type of number, text or array. The category of a user's id is that of the
/// domain `user_key`.
const COLUMNS: [(&str, &str, &[&str]); 17] = [
    ("user_profiles", "user", &["user_id"]),
    ("user_profiles", "S", &["time_zone"]),
    ("user_profiles", "A", &["source_priority"]),
    ("vitals_raw", "user", &["user_id"]),
    ("vitals_raw", "N", &["id", "value"]),
    ("vitals_raw", "S", &["metric", "comparator", "unit", "source", "time_zone", "workout_type"]),
    ("vitals_raw", "D", &["started_at", "ended_at"]),
    ("vitals_raw", "B", &["is_daily_total"]),
    ("nutrition_raw", "user", &["user_id"]),
    ("nutrition_raw", "N", &["id"]),
    ("nutrition_raw", "S", &["food_name", "meal_type", "time_zone", "source"]),
    ("nutrition_raw", "D", &["eaten_at"]),
    ("nutrition_raw", "N", &NUTRIENTS),
    ("lab_raw", "user", &["user_id"]),
    ("lab_raw", "N", &["id"]),
    (
        "lab_raw",
        "S",
        &[
            "test_name",
            "loinc_code",
            "value_text",
            "unit",
            "reference_range",
            "flag",
            "specimen",
            "status",
            "time_zone",
            "source",
        ],
    ),
    ("lab_raw", "D", &["collected_at"]),
];

statement! {
    /// Reports nothing for missing tables, because the error itself names them.
    struct ReadOtherColumns {
        tables: Vec<&'static str> => Array<Text>,
        columns: Vec<&'static str> => Array<Text>,
        categories: Vec<&'static str> => Array<Text>,
    } -> (Text, Text, Nullable<Text>)
    include_str!("read_other_columns.sql")
}

statement! {
    struct ReadBlockers { process: i32 => Integer } -> (
        Nullable<Integer>, Nullable<Text>, Nullable<Text>, Nullable<Double>, Nullable<Double>
    )
    include_str!("read_blockers.sql")
}

statement! {
    /// The key equals that of `Store::locked`. A prepared transaction has no process.
    struct ReadLockHolders {
        kind: &'static str => Text,
        number: Option<i64> => Nullable<BigInt>,
        text: Option<String> => Nullable<Text>,
    } -> (Nullable<Integer>, Nullable<Text>, Nullable<Text>, Nullable<Double>, Nullable<Double>)
    include_str!("read_lock_holders.sql")
}

/// Process, application, state, and the ages of transaction and session in seconds.
type HolderColumns = (Option<i32>, Option<String>, Option<String>, Option<f64>, Option<f64>);

fn holders(rows: Vec<HolderColumns>) -> Vec<String> {
    let told = rows.into_iter().take(MOST_HOLDERS).map(|(process, application, state, transaction, session)| {
        let age = transaction
            .map(|age| format!("transaction open for {age:.1} s"))
            .or_else(|| session.map(|age| format!("session open for {age:.1} s")));
        let Some(process) = process else {
            return format!(
                "held by a prepared transaction ({}); ROLLBACK PREPARED ends it, pg_prepared_xacts lists it",
                age.unwrap_or_default()
            );
        };
        let application = application.filter(|name| !name.is_empty());
        let told: Vec<String> = application.into_iter().chain(state).chain(age).collect();
        // A role without pg_read_all_stats sees only the process number of another role's session.
        if told.is_empty() {
            format!("held by process {process}")
        } else {
            format!("held by process {process} ({})", told.join(", "))
        }
    });
    told.collect()
}

impl Store {
    /// The sessions that block the server process `process`. If all connections of the pool are in use,
    /// the result is empty, because the query would wait for the same connections.
    ///
    /// # Errors
    /// If the database fails.
    pub async fn blockers(&self, process: i32) -> Result<Vec<String>, StoreError> {
        let stats = self.stats();
        if stats.in_use >= stats.max {
            return Ok(Vec::new());
        }
        Ok(holders(self.load("lock", ReadBlockers { process }).await?))
    }

    /// Adds the cause of a group's error to it, if it can be found. `blockers` are the sessions that
    /// blocked the group.
    #[must_use]
    pub async fn explain_group(
        &self,
        error: StoreError,
        (kind, user_id): (Kind, &UserId),
        blockers: Vec<String>,
    ) -> StoreError {
        match error.class() {
            ErrorClass::Locked if blockers.is_empty() => {
                let (number, text) = lock_key(user_id);
                let read = ReadLockHolders { kind: kind.name(), number, text };
                let asked = self.load("lock", read);
                let found = tokio::time::timeout(PATIENCE, asked).await;
                error.with_details(found.ok().and_then(Result::ok).map(holders).unwrap_or_default())
            }
            ErrorClass::Locked | ErrorClass::Timeout => error.with_details(blockers),
            _ => self.explain(error).await,
        }
    }

    /// Adds the cause of an error to it, if it can be found.
    #[must_use]
    pub async fn explain(&self, error: StoreError) -> StoreError {
        let found = match error.sqlstate() {
            Some("42501") => tokio::time::timeout(PATIENCE, self.lacking_rights()).await,
            Some(code) if code.starts_with("42") || code.starts_with("22P") => {
                tokio::time::timeout(PATIENCE, self.other_columns()).await
            }
            None if error.unreadable_column().is_some() => {
                tokio::time::timeout(PATIENCE, self.other_columns()).await
            }
            _ => return error,
        };
        error.with_details(found.ok().and_then(Result::ok).unwrap_or_default())
    }

    async fn lacking_rights(&self) -> Result<Vec<String>, StoreError> {
        let missing = self.missing_rights().await?.into_iter().map(|missing| {
            format!("{} on {} {} is missing", missing.rights, missing.kind, missing.object)
        });
        let hidden = self.row_security().await?.into_iter();
        let hidden =
            hidden.map(|table| format!("row security of {table} hides rows from this role"));
        Ok(missing.chain(hidden).collect())
    }

    async fn other_columns(&self) -> Result<Vec<String>, StoreError> {
        let needed = || {
            COLUMNS.iter().flat_map(|(table, category, columns)| {
                columns.iter().map(move |column| (*table, *column, *category))
            })
        };
        let read = ReadOtherColumns {
            tables: needed().map(|(table, ..)| table).collect(),
            columns: needed().map(|(_, column, _)| column).collect(),
            categories: needed().map(|(.., category)| category).collect(),
        };
        let rows: Vec<(String, String, Option<String>)> = self.load("doctor", read).await?;
        Ok(rows
            .into_iter()
            .map(|(table, column, found)| match found {
                Some(found) => format!("column {column} of {table} is of type {found}"),
                None => format!("column {column} of {table} is missing"),
            })
            .collect())
    }
}
