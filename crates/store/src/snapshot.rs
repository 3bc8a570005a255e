//! Reads of several statements at one moment.

use diesel_async::methods::LoadQuery;
use diesel_async::{AnsiTransactionManager, AsyncPgConnection, RunQueryDsl, TransactionManager};

use crate::error::StoreError;
use crate::pool::{PooledConnection, Store};

/// A read-only transaction that sees everything as of its first read, regardless of later commits. It
/// takes no lock that blocks other sessions.
///
/// If it is dropped before its end, its connection is closed instead of reused.
pub(crate) struct Snapshot<'s> {
    store: &'s Store,
    connection: PooledConnection<'s>,
}

impl Store {
    /// Begins a snapshot on a connection held for `purpose`.
    ///
    /// # Errors
    /// If there is no connection, or the database fails.
    pub(crate) async fn snapshot(&self, purpose: &'static str) -> Result<Snapshot<'_>, StoreError> {
        let mut connection = self.hold(purpose).await?;
        connection.unfinished = true;
        self.begin_by(&mut connection, "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY").await?;
        Ok(Snapshot { store: self, connection })
    }
}

impl Snapshot<'_> {
    /// Loads the rows of a statement.
    ///
    /// # Errors
    /// If the database fails, or does not answer in time; the statement is then cancelled.
    pub(crate) async fn load<'q, S, U>(&mut self, statement: S) -> Result<Vec<U>, StoreError>
    where
        S: LoadQuery<'q, AsyncPgConnection, U> + Send + 'q,
        U: Send,
    {
        let asked = self.store.in_time(RunQueryDsl::load(statement, &mut self.connection)).await?;
        asked.map_err(|cause| self.connection.error(cause))
    }

    /// Ends the transaction, so that its connection can be reused.
    ///
    /// # Errors
    /// If the database fails.
    pub(crate) async fn end(mut self) -> Result<(), StoreError> {
        let end = AnsiTransactionManager::commit_transaction(&mut *self.connection);
        self.store.in_time(end).await?.map_err(|cause| self.connection.error(cause))?;
        self.connection.unfinished = false;
        Ok(())
    }
}
