//! The settings of operators for all workers: paused kinds, and the limit on rows.

use aggregation::{Kind, Timestamp};
use diesel::data_types::PgTimestamp;
use diesel::sql_types::{Integer, Text, Timestamptz};

use crate::error::StoreError;
use crate::pool::Store;
use crate::sql::statement::statement;
use crate::sql::time::from_postgres;

/// A kind of which no worker claims rows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PausedKind {
    /// The kind.
    pub kind: Kind,
    /// Since when.
    pub paused_at: Timestamp,
    /// Who paused it.
    pub paused_by: String,
}

/// The limit on rows that the database sets for each service.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Throttled {
    /// Rows each second; 0 is no limit.
    pub max_rows_per_second: i32,
    /// Since when.
    pub changed_at: Timestamp,
    /// Who set it.
    pub changed_by: String,
}

statement! {
    struct ReadPaused {} -> (Text, Timestamptz, Text)
    "SELECT kind, paused_at, paused_by FROM paused_kinds ORDER BY kind"
}

statement! {
    struct Pause<'a> { kind: &'a str => Text, by: &'a str => Text } -> ()
    "INSERT INTO paused_kinds (kind, paused_by) VALUES ({kind}, {by}) ON CONFLICT (kind) DO NOTHING"
}

statement! {
    struct Resume<'a> { kind: &'a str => Text } -> ()
    "DELETE FROM paused_kinds WHERE kind = {kind}"
}

statement! {
    struct ReadThrottle {} -> (Integer, Timestamptz, Text)
    "SELECT max_rows_per_second, changed_at, changed_by FROM worker_throttle"
}

statement! {
    struct SetThrottle<'a> { limit: i32 => Integer, by: &'a str => Text } -> ()
    "INSERT INTO worker_throttle (max_rows_per_second, changed_by) VALUES ({limit}, {by})
     ON CONFLICT (is_only) DO UPDATE
     SET max_rows_per_second = excluded.max_rows_per_second, changed_by = excluded.changed_by,
         changed_at = now()"
}

statement! {
    struct UnsetThrottle {} -> ()
    "DELETE FROM worker_throttle"
}

impl Store {
    /// The kinds that are paused.
    ///
    /// # Errors
    /// If the database fails.
    pub async fn paused(&self) -> Result<Vec<PausedKind>, StoreError> {
        let rows: Vec<(String, PgTimestamp, String)> = self.load("control", ReadPaused {}).await?;
        let paused = |(kind, at, paused_by): (String, PgTimestamp, String)| {
            let kind = kind.parse().ok()?;
            Some(PausedKind { kind, paused_at: from_postgres(at), paused_by })
        };
        Ok(rows.into_iter().filter_map(paused).collect())
    }

    /// Has all workers claim nothing of a kind from their next claim on. Says whether that is new.
    ///
    /// # Errors
    /// If the database fails.
    pub async fn pause(&self, kind: Kind, by: &str) -> Result<bool, StoreError> {
        Ok(self.execute("control", Pause { kind: kind.name(), by }).await? > 0)
    }

    /// Ends a pause. Says whether there was one.
    ///
    /// # Errors
    /// If the database fails.
    pub async fn resume(&self, kind: Kind) -> Result<bool, StoreError> {
        Ok(self.execute("control", Resume { kind: kind.name() }).await? > 0)
    }

    /// The limit that the database sets, if it sets one.
    ///
    /// # Errors
    /// If the database fails.
    pub async fn throttle(&self) -> Result<Option<Throttled>, StoreError> {
        let rows: Vec<(i32, PgTimestamp, String)> = self.load("control", ReadThrottle {}).await?;
        Ok(rows.into_iter().next().map(|(max_rows_per_second, at, changed_by)| Throttled {
            max_rows_per_second,
            changed_at: from_postgres(at),
            changed_by,
        }))
    }

    /// Sets the limit that each service obeys in place of its own; `None` gives them back their own.
    ///
    /// # Errors
    /// If the database fails.
    pub async fn set_throttle(&self, limit: Option<i32>, by: &str) -> Result<(), StoreError> {
        match limit {
            Some(limit) => self.execute("control", SetThrottle { limit, by }).await?,
            None => self.execute("control", UnsetThrottle {}).await?,
        };
        Ok(())
    }
}
