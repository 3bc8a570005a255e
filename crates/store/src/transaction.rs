//! The one place that opens transactions.

use std::time::Duration;

use aggregation::Kind;
use diesel::QueryResult;
use diesel_async::methods::ExecuteDsl;
use diesel_async::{
    AnsiTransactionManager, AsyncPgConnection, RunQueryDsl, SimpleAsyncConnection,
    TransactionManager,
};

use crate::crash::CrashPoint;
use crate::error::{ErrorClass, StoreError};
use crate::pool::{Held, Store};

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
        self.begin_locked(&mut connection, kind, user_id).await?;
        CrashPoint::AfterLock.pass();
        Ok(GroupTransaction { connection, kind, user_id })
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
        self.connection.answered = committed.is_ok();
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
        self.connection.answered = rolled_back.is_ok();
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

    /// For statements that are sent in one message, none of which needs what another one does.
    pub(crate) fn shared(&mut self) -> &AsyncPgConnection {
        &self.connection
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

/// Waits for statements that are sent in one message.
///
/// Only ever between a BEGIN that was answered and a COMMIT that is not sent yet: the one that is not
/// prepared yet is overtaken by the others, so nothing is known of their order.
pub(crate) async fn together2<A, B>(
    a: impl Future<Output = QueryResult<A>>,
    b: impl Future<Output = QueryResult<B>>,
) -> Result<(A, B), StoreError> {
    match futures_util::future::join(a, b).await {
        (Ok(a), Ok(b)) => Ok((a, b)),
        (a, b) => Err(cause([a.err(), b.err()])),
    }
}

/// The same for three.
pub(crate) async fn together3<A, B, C>(
    a: impl Future<Output = QueryResult<A>>,
    b: impl Future<Output = QueryResult<B>>,
    c: impl Future<Output = QueryResult<C>>,
) -> Result<(A, B, C), StoreError> {
    match futures_util::future::join3(a, b, c).await {
        (Ok(a), Ok(b), Ok(c)) => Ok((a, b, c)),
        (a, b, c) => Err(cause([a.err(), b.err(), c.err()])),
    }
}

/// Sends a statement, if there is one, and says how many rows it concerned.
pub(crate) async fn if_any<'c, S>(
    statement: Option<S>,
    connection: &'c AsyncPgConnection,
) -> QueryResult<usize>
where
    S: ExecuteDsl<&'c AsyncPgConnection> + Send,
{
    match statement {
        Some(statement) => RunQueryDsl::execute(statement, &mut &*connection).await,
        None => Ok(0),
    }
}

/// Behind the statement that failed all others of the transaction fail, too: with an error that has no
/// class of its own and says nothing.
fn cause<const N: usize>(errors: [Option<diesel::result::Error>; N]) -> StoreError {
    let errors = errors.into_iter().flatten().map(StoreError::from);
    errors
        .min_by_key(|error| error.class() == ErrorClass::Database)
        .unwrap_or(StoreError::Internal("no statement of several has failed"))
}
