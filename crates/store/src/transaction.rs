//! The one place that opens transactions.

use std::time::Duration;

use aggregation::Kind;
use diesel::sql_types::{BigInt, Text};
use diesel_async::{
    AnsiTransactionManager, AsyncPgConnection, RunQueryDsl, SimpleAsyncConnection,
    TransactionManager,
};

use crate::crash::CrashPoint;
use crate::error::{ErrorClass, StoreError};
use crate::pool::{Held, Store};
use crate::statement::statement;

statement! {
    struct LockUser<'a> {
        kind: &'a str => Text,
        user_id: i64 => BigInt,
    } -> ()
    // The queue is part of the key, so that workers on several schemas of one database do not wait
    // for each other, and those on one do, whatever their search_paths begin with. A collision of
    // hashes costs a wait and nothing else.
    "SELECT pg_advisory_xact_lock(
         hashtext('dayfold ' || {kind} || ' ' || 'aggregation_queue'::regclass::oid),
         hashint8({user_id}))"
}

/// The transaction of one group: the rows of one kind, one user and one date.
///
/// What it reads and writes stands in the modules of the kinds. Dropped without an end, by an
/// error, a panic or an abandoned task, its connection is closed rather than handed on.
pub struct GroupTransaction<'p> {
    connection: Held<'p>,
    kind: Kind,
    user_id: i64,
}

impl std::fmt::Debug for GroupTransaction<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("GroupTransaction").field("kind", &self.kind).finish_non_exhaustive()
    }
}

impl Store {
    /// Begins the transaction of a group and waits until no other worker is at the same user.
    ///
    /// The lock is a statement of its own, before any read: a snapshot taken before the lock
    /// was granted would miss what the other worker has just committed. It covers the user, not
    /// only the date, because an interval over midnight and rows with zones of their own reach
    /// into other dates; and a transaction takes one such lock only, so that none can deadlock.
    ///
    /// # Errors
    /// If there is no connection, or the lock is not granted within the lock time-out.
    pub async fn begin_group(
        &self,
        kind: Kind,
        user_id: i64,
    ) -> Result<GroupTransaction<'_>, StoreError> {
        let mut connection = self.hold("group").await?;
        connection.unfinished = true;
        self.begin(&mut connection).await?;
        let mut transaction = GroupTransaction { connection, kind, user_id };
        let lock = LockUser { kind: kind.name(), user_id };
        match lock.execute(transaction.connection()).await {
            Ok(_) => {
                CrashPoint::AfterLock.pass();
                Ok(transaction)
            }
            Err(error) => Err(transaction.rolled_back(error.into()).await),
        }
    }
}

impl<'p> GroupTransaction<'p> {
    /// A transaction that its caller begins and ends.
    pub(crate) fn on(connection: Held<'p>, kind: Kind, user_id: i64) -> Self {
        Self { connection, kind, user_id }
    }

    /// From now on it is another user's, of another kind.
    pub(crate) fn turn_to(&mut self, kind: Kind, user_id: i64) {
        (self.kind, self.user_id) = (kind, user_id);
    }
}

impl GroupTransaction<'_> {
    /// Makes everything done in it visible at once. Returns for how long the connection was held.
    ///
    /// # Errors
    /// If the server did not confirm. Then it is unknown whether it happened; the group is done
    /// again and finds its rows either gone or still claimed, so both are harmless.
    pub async fn commit(mut self) -> Result<Duration, StoreError> {
        CrashPoint::BeforeCommit.pass();
        let committing = AnsiTransactionManager::commit_transaction(&mut *self.connection);
        if CrashPoint::DuringCommit.is_asked_for() {
            // Long enough to send it, and often not long enough to hear of it.
            let _ = tokio::time::timeout(Duration::from_micros(200), committing).await;
            std::process::abort();
        }
        let committed = committing.await;
        self.connection.unfinished = false;
        CrashPoint::AfterCommit.pass();
        let Err(error) = committed else { return Ok(self.connection.held()) };
        let error = StoreError::from(error);
        if error.class() != ErrorClass::Database {
            return Err(error);
        }
        // An error of no class may be the end of the session, told in a language that is not known.
        // Nothing is left to roll back, so it is asked for.
        let gone = self.connection.batch_execute("").await.map_err(StoreError::from);
        Err(gone.err().filter(|gone| gone.class() == ErrorClass::ConnectionLost).unwrap_or(error))
    }

    /// Undoes everything and hands back the error that made it necessary: what may go wrong
    /// with the rollback itself is less than that, and its connection is closed anyway. Only where
    /// the server gave an error of no class, a connection that is gone tells more than that.
    pub async fn rolled_back(mut self, error: StoreError) -> StoreError {
        let rolled_back = AnsiTransactionManager::rollback_transaction(&mut *self.connection).await;
        self.connection.unfinished = false;
        let Err(rollback) = rolled_back else { return error };
        let rollback = StoreError::from(rollback);
        tracing::debug!(
            event = "rollback_failed",
            class = rollback.class().name(),
            "the connection is closed"
        );
        let lost = rollback.class() == ErrorClass::ConnectionLost;
        if lost && error.class() == ErrorClass::Database { rollback } else { error }
    }

    pub(crate) fn connection(&mut self) -> &mut AsyncPgConnection {
        &mut self.connection
    }

    /// The user whose rows it handles.
    pub const fn user_id(&self) -> i64 {
        self.user_id
    }

    /// The kind of the rows it handles.
    pub const fn kind(&self) -> Kind {
        self.kind
    }
}
