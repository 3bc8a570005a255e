//! How far the webhook has come. Of several workers, the one with the lease sends; it holds no connection meanwhile.

use std::time::Duration;

use diesel::sql_types::{BigInt, Bool, Date, Double, Integer, Nullable, Text, Timestamptz};
use futures_util::FutureExt;

use super::feed::{ChangeColumns, FigureChange, change};
use crate::error::StoreError;
use crate::pool::Store;
use crate::queue::Holder;
use crate::sql::statement::statement;
use crate::sql::user_key::UserKey;

/// Changes that the webhook has not delivered.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct UnsentChanges {
    /// The age of the oldest of them, by the database's clock; zero without one.
    pub oldest: Duration,
    /// Whether there is one.
    pub any: bool,
}

/// A batch of changes, taken with a lease.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TakenChanges {
    /// The token by which the outcome is recorded.
    token: i64,
    /// Failed attempts in a row so far.
    pub attempts: i32,
    /// Whether changes before the first one were deleted before they were delivered.
    pub is_incomplete: bool,
    /// The changes, in order; at least one.
    pub changes: Vec<FigureChange>,
}

/// The condition that the change `c` is not delivered by the webhook `w`, which may have delivered none.
macro_rules! unsent {
    () => {
        "(c.epoch, c.transaction_id, c.number)
         > (coalesce(w.sent_epoch, 0), coalesce(w.sent_transaction, '0'), coalesce(w.sent_number, 0))"
    };
}

/// The view `figure_changes_settled`, by a horizon that was read before.
macro_rules! settled {
    () => {
        "(SELECT format('%s-%s-%s', c.epoch, c.transaction_id, c.number) AS cursor, c.*
          FROM figure_changes AS c
          WHERE (c.epoch, c.transaction_id)
                < (coalesce((SELECT f.epoch FROM figure_feed AS f), 1), {horizon}::text::xid8))"
    };
}

statement! {
    /// Before this transaction, all have ended. It reads no table: Citus would ask the node that holds the schema, and
    /// changes have the ids of the node to which the worker is connected.
    struct ReadHorizon {} -> (Text)
    "SELECT pg_snapshot_xmin(pg_current_snapshot())::text"
}

statement! {
    /// The webhook begins with the oldest change that is kept.
    struct Begin {} -> ()
    "INSERT INTO figure_webhook (is_only) VALUES (true) ON CONFLICT (is_only) DO NOTHING"
}

statement! {
    struct ReadOldest { horizon: String => Text } -> (Double)
    concat!(
        "SELECT extract(epoch FROM clock_timestamp() - c.changed_at)::float8
         FROM (VALUES (true)) AS one (is_only)
         LEFT JOIN figure_webhook AS w USING (is_only)
         CROSS JOIN LATERAL (
             SELECT c.changed_at FROM ", settled!(), " AS c WHERE ", unsent!(), "
             ORDER BY c.epoch, c.transaction_id, c.number LIMIT 1) AS c"
    )
}

statement! {
    /// The token is random: a sequence may repeat a number after a crash of the server.
    struct Take { lease_seconds: f64 => Double, token: i64 => BigInt } -> (BigInt, Integer, Bool)
    include_str!("take_webhook.sql")
}

statement! {
    struct ReadBatch { token: i64 => BigInt, most: i64 => BigInt, horizon: String => Text }
        -> (Text, UserKey, Date, Text, Timestamptz)
    concat!(
        "SELECT c.cursor, c.user_id, c.local_date, c.kind, c.changed_at
         FROM figure_webhook AS w
         CROSS JOIN LATERAL (
             SELECT * FROM ", settled!(), " AS c WHERE ", unsent!(), "
             ORDER BY c.epoch, c.transaction_id, c.number LIMIT {most}) AS c
         WHERE w.lease_token = {token}
         ORDER BY c.epoch, c.transaction_id, c.number"
    )
}

statement! {
    struct Delivered { token: i64 => BigInt, cursor: String => Text } -> ()
    include_str!("webhook_delivered.sql")
}

statement! {
    struct Failed { token: i64 => BigInt, error: Option<String> => Nullable<Text>, pause: f64 => Double }
        -> ()
    include_str!("webhook_failed.sql")
}

impl Store {
    /// Looks for changes that the webhook has not delivered.
    ///
    /// # Errors
    /// If the database fails.
    pub async fn unsent_changes(&self) -> Result<UnsentChanges, StoreError> {
        let rows: Vec<(f64,)> =
            self.load("changes", ReadOldest { horizon: self.horizon().await? }).boxed().await?;
        let oldest =
            rows.first().map(|(age,)| Duration::try_from_secs_f64(*age).unwrap_or_default());
        Ok(UnsentChanges { oldest: oldest.unwrap_or_default(), any: oldest.is_some() })
    }

    /// Takes the next batch of at most `most` changes, unless another worker has the lease, a back-off has not passed,
    /// or there is none.
    ///
    /// # Errors
    /// If the database fails; a lease that was taken then expires.
    pub async fn take_changes(
        &self,
        most: u32,
        lease: Duration,
    ) -> Result<Option<TakenChanges>, StoreError> {
        self.execute("changes", Begin {}).boxed().await?;
        let take = Take { lease_seconds: lease.as_secs_f64(), token: Holder::new_token() };
        let rows: Vec<(i64, i32, bool)> = self.load("changes", take).boxed().await?;
        let Some((token, attempts, is_incomplete)) = rows.into_iter().next() else {
            return Ok(None);
        };
        let read = ReadBatch { token, most: most.into(), horizon: self.horizon().await? };
        let rows: Vec<ChangeColumns> = self.load("changes", read).boxed().await?;
        let changes: Vec<FigureChange> = rows.into_iter().map(change).collect();
        let taken = TakenChanges { token, attempts, is_incomplete, changes };
        if taken.changes.is_empty() {
            self.release_changes(&taken).await?;
            return Ok(None);
        }
        Ok(Some(taken))
    }

    /// Records that a batch was delivered. Returns whether this worker still held it: its lease may have expired, and
    /// another worker may send the batch again.
    ///
    /// # Errors
    /// If the database fails; then the batch is sent once more.
    pub async fn changes_delivered(&self, taken: &TakenChanges) -> Result<bool, StoreError> {
        let Some(last) = taken.changes.last() else { return Ok(false) };
        let delivered = Delivered { token: taken.token, cursor: last.cursor.clone() };
        Ok(self.execute("changes", delivered).boxed().await? > 0)
    }

    /// Records that a batch could not be delivered, and why. It may be sent again after `pause`.
    ///
    /// # Errors
    /// If the database fails; then the batch is sent again when its lease expires.
    pub async fn changes_failed(
        &self,
        taken: &TakenChanges,
        error: &str,
        pause: Duration,
    ) -> Result<(), StoreError> {
        self.end_lease(taken, Some(error.to_owned()), pause).await
    }

    /// Gives up the lease of a batch without an attempt.
    ///
    /// # Errors
    /// If the database fails; then the lease expires.
    pub async fn release_changes(&self, taken: &TakenChanges) -> Result<(), StoreError> {
        self.end_lease(taken, None, Duration::ZERO).await
    }

    async fn horizon(&self) -> Result<String, StoreError> {
        let rows: Vec<(String,)> = self.load("changes", ReadHorizon {}).boxed().await?;
        Ok(rows.into_iter().next().unwrap_or_default().0)
    }

    async fn end_lease(
        &self,
        taken: &TakenChanges,
        error: Option<String>,
        pause: Duration,
    ) -> Result<(), StoreError> {
        let failed = Failed { token: taken.token, error, pause: pause.as_secs_f64() };
        self.execute("changes", failed).boxed().await?;
        Ok(())
    }
}
