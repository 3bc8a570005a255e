//! Reading the feed, its epochs, and deleting old changes.

use aggregation::{Timestamp, UserId};
use chrono::NaiveDate;
use diesel::data_types::PgTimestamp;
use diesel::sql_types::{BigInt, Date, Double, Integer, Text, Timestamptz};

use crate::error::StoreError;
use crate::pool::Store;
use crate::sql::statement::statement;
use crate::sql::time::from_postgres;
use crate::sql::user_key::UserKey;

/// The greatest number of changes that one statement deletes.
const MOST_FORGOTTEN: i64 = 5_000;

/// The SQLSTATE of a cursor after which changes may be missing.
const CURSOR_IS_LOST: &str = "DF003";

/// A user's date of which figures have changed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FigureChange {
    /// The place in the feed, from which on the next changes are read.
    pub cursor: String,
    /// The user.
    pub user_id: UserId,
    /// The local date.
    pub date: NaiveDate,
    /// The name of the kind.
    pub kind: String,
    /// When the transaction of the change began, by the database's clock.
    pub changed_at: Timestamp,
}

/// The columns of a change.
pub(super) type ChangeColumns = (String, UserId, NaiveDate, String, PgTimestamp);

/// Converts a row.
pub(super) fn change((cursor, user_id, date, kind, at): ChangeColumns) -> FigureChange {
    FigureChange { cursor, user_id, date, kind, changed_at: from_postgres(at) }
}

statement! {
    struct ReadSince { after: String => Text, most: i32 => Integer }
        -> (Text, UserKey, Date, Text, Timestamptz)
    "SELECT cursor, user_id, local_date, kind, changed_at FROM figure_changes_since({after}, {most})"
}

statement! {
    /// The server's timeline, and the id of the next transaction. A standby has no transactions of its own.
    ///
    /// It reads no table: Citus would ask the node that holds the schema, and changes have the ids of the node to
    /// which the worker is connected.
    struct ReadServer {} -> (Text, Text)
    "SELECT left(pg_walfile_name(pg_current_wal_insert_lsn()), 8), pg_snapshot_xmax(pg_current_snapshot())::text
     WHERE NOT pg_is_in_recovery()"
}

statement! {
    /// The epoch that is over; 0 if none has begun. The ids of transactions may have gone back since it began, if the
    /// server has another timeline, or a change is of a transaction that the server has yet to begin.
    struct ReadEndedEpoch { timeline: String => Text, next: String => Text } -> (Integer)
    "SELECT coalesce(f.epoch, 0)
     FROM (VALUES (true)) AS one (is_only)
     LEFT JOIN figure_feed AS f USING (is_only)
     WHERE f.epoch IS NULL OR f.timeline <> {timeline}
        OR EXISTS (SELECT FROM figure_changes AS c
                   WHERE c.epoch = f.epoch AND c.transaction_id >= {next}::text::xid8)"
}

statement! {
    /// Of several workers that connect at once, one begins the epoch.
    struct BeginEpoch { timeline: String => Text, ended: i32 => Integer } -> ()
    "INSERT INTO figure_feed AS f (timeline) VALUES ({timeline})
     ON CONFLICT (is_only) DO UPDATE SET epoch = f.epoch + 1, timeline = excluded.timeline
     WHERE f.epoch = {ended}"
}

statement! {
    /// The oldest changes come first, nearly in the order of their times.
    struct Forget { keep_seconds: f64 => Double, most: i64 => BigInt } -> (BigInt)
    include_str!("forget.sql")
}

impl Store {
    /// At most `most` changes after a cursor; an empty cursor is the beginning. No later commit can add a change
    /// before the last of them.
    ///
    /// # Errors
    /// If the database fails. [`StoreError::cursor_is_lost`] says whether changes after the cursor may be missing.
    pub async fn figure_changes(
        &self,
        after: &str,
        most: u32,
    ) -> Result<Vec<FigureChange>, StoreError> {
        let most = i32::try_from(most).unwrap_or(i32::MAX);
        let read = ReadSince { after: after.to_owned(), most };
        let rows: Vec<ChangeColumns> = self.load("changes", read).await?;
        Ok(rows.into_iter().map(change).collect())
    }

    /// Begins an epoch of the feed if ids of transactions may have gone back: after a restore into another cluster, a
    /// failover, or a recovery to a point in time. A worker calls it before its first group.
    ///
    /// # Errors
    /// If the database fails.
    pub async fn keep_epoch(&self) -> Result<(), StoreError> {
        let server: Vec<(String, String)> = self.load("changes", ReadServer {}).await?;
        let Some((timeline, next)) = server.into_iter().next() else { return Ok(()) };
        let read = ReadEndedEpoch { timeline: timeline.clone(), next };
        let ended: Vec<(i32,)> = self.load("changes", read).await?;
        if let Some((ended,)) = ended.into_iter().next() {
            self.execute("changes", BeginEpoch { timeline, ended }).await?;
        }
        Ok(())
    }

    /// Deletes changes that are older than `keep_days`, 5,000 at most. Returns whether more may be left.
    ///
    /// # Errors
    /// If the database fails.
    pub async fn forget_changes(&self, keep_days: u32) -> Result<bool, StoreError> {
        let forget = Forget { keep_seconds: f64::from(keep_days) * 86_400.0, most: MOST_FORGOTTEN };
        let rows: Vec<(i64,)> = self.load("changes", forget).await?;
        Ok(rows.first().is_some_and(|(gone,)| *gone == MOST_FORGOTTEN))
    }
}

impl StoreError {
    /// Whether changes after the cursor may be missing: they were deleted, or the cursor is of another database.
    pub fn cursor_is_lost(&self) -> bool {
        self.sqlstate() == Some(CURSOR_IS_LOST)
    }
}
