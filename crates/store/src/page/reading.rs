//! A user's raw rows as of one moment, read by the statements that read them for the figures.

use std::ops::{Deref, DerefMut};

use aggregation::raw::RawVital;
use aggregation::{Kind, Timestamp, UserId};
use diesel::data_types::PgTimestamp;
use diesel::sql_types::{Array, BigInt, Text, Timestamptz};
use diesel_async::{AnsiTransactionManager, TransactionManager};

use crate::error::StoreError;
use crate::kinds::raw_vital::{RawVitalColumns, RawVitalSql, raw_vital, raw_vital_columns};
use crate::pool::Store;
use crate::sql::raw_text::{RawText, short_name};
use crate::sql::statement::statement;
use crate::sql::time::to_postgres;
use crate::sql::user_key::UserKey;
use crate::transaction::GroupTransaction;

/// A transaction that only reads. It takes no lock that anybody waits for, and sees one moment. Dropped
/// without an end, its connection is closed.
pub struct Reading<'s>(GroupTransaction<'s>);

impl std::fmt::Debug for Reading<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Reading").finish_non_exhaustive()
    }
}

impl Store {
    /// Begins to read a user's raw rows.
    ///
    /// # Errors
    /// If the database fails.
    pub async fn reading(&self, kind: Kind, user_id: &UserId) -> Result<Reading<'_>, StoreError> {
        let mut connection = self.hold("page").await?;
        connection.unfinished = true;
        self.begin_by(&mut connection, "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY").await?;
        Ok(Reading(GroupTransaction::on(connection, self, kind, user_id)))
    }
}

statement! {
    /// Raw rows that no computation of figures reads, as the catalogue does not know their metric or nothing dates
    /// them.
    struct ReadUnread {
        user_id: UserId => UserKey,
        known: Vec<String> => Array<Text>,
        from: PgTimestamp => Timestamptz,
        to: PgTimestamp => Timestamptz,
        most: i64 => BigInt,
    } -> (Text, RawVitalSql)
    concat!(
        "SELECT ",
        short_name!("v.metric"),
        ", ",
        raw_vital_columns!("v"),
        "
     FROM rejected_rows AS r
     JOIN vitals_raw AS v ON v.user_id = r.user_id AND v.id = r.raw_id
     WHERE r.user_id = {user_id} AND r.kind = 'vitals' AND v.metric <> ALL ({known})
       AND v.started_at >= {from} AND v.started_at < {to}
     LIMIT {most}"
    )
}

impl Reading<'_> {
    /// Rejected vitals that start in a span and whose metric is none of these, with their metrics.
    ///
    /// # Errors
    /// If the database fails.
    pub async fn unknown_vitals(
        &mut self,
        known: Vec<String>,
        (from, to): (Timestamp, Timestamp),
        most: i64,
    ) -> Result<Vec<(String, RawVital)>, StoreError> {
        let (user_id, from, to) = (self.0.user_id(), to_postgres(from), to_postgres(to));
        let read = ReadUnread { user_id, known, from, to, most };
        let rows: Vec<(RawText, RawVitalColumns)> = self.0.read(read).await?;
        Ok(rows.into_iter().map(|(metric, row)| (metric.into(), raw_vital(row))).collect())
    }

    /// Ends it, so that its connection can be used again.
    ///
    /// # Errors
    /// If the database fails.
    pub async fn end(mut self) -> Result<(), StoreError> {
        let connection = self.0.connection().await?;
        let ended = AnsiTransactionManager::commit_transaction(&mut **connection).await;
        ended.map_err(|cause| connection.error(cause))?;
        connection.unfinished = false;
        Ok(())
    }
}

impl<'s> Deref for Reading<'s> {
    type Target = GroupTransaction<'s>;

    fn deref(&self) -> &GroupTransaction<'s> {
        &self.0
    }
}

impl DerefMut for Reading<'_> {
    fn deref_mut(&mut self) -> &mut Self::Target {
        &mut self.0
    }
}
