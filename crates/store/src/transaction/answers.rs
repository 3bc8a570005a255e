//! The messages around the statements of a transaction, and their answers.

use std::future::ready;

use diesel::QueryResult;
use diesel::connection::{TransactionDepthChange, TransactionManagerStatus};
use diesel::result::Error as DieselError;
use diesel_async::{AnsiTransactionManager, TransactionManager};

use super::pipeline::{Answers, Begin, exchange};
use crate::error::StoreError;
use crate::pool::{PooledConnection, Store};
use crate::sql::cte::{CteStatement, StatementName};

/// The messages before the first query of a transaction.
pub(super) struct Opening {
    pub(super) previous: Option<Vec<CteStatement>>,
    pub(super) begin: Begin,
}

/// The answers.
pub(super) struct Asked<T> {
    pub(super) answers: Answers<Result<T, StoreError>>,
    /// The lock, which is prepared by then.
    pub(super) lock: StatementName,
}

/// Sends a query, after the opening of the transaction if it has not begun.
///
/// # Errors
/// If the server does not answer the opening in time.
pub(super) async fn ask<T>(
    store: &Store,
    connection: &PooledConnection<'_>,
    opening: Option<Opening>,
    question: impl Future<Output = Result<T, StoreError>>,
) -> Result<Asked<T>, StoreError> {
    let Some(Opening { previous, begin }) = opening else {
        let answers = exchange(connection, Vec::new(), false, None, question).await;
        return Ok(Asked { answers, lock: StatementName::new() });
    };
    let commits = previous.is_some();
    let writes = previous.unwrap_or_default();
    // The question would overtake a lock that the connection has not prepared yet.
    let lock = begin.lock.name().to_vec();
    let answers = if connection.has_prepared(std::iter::once(lock.as_slice())) {
        store.in_time(exchange(connection, writes, commits, Some(begin), question)).await?
    } else {
        let opening = exchange(connection, writes, commits, Some(begin), ready(()));
        let Answers { writes, commit, begin, question: has_begun } = store.in_time(opening).await?;
        let question = if has_begun.is_some() { Some(question.await) } else { None };
        Answers { writes, commit, begin, question }
    };
    Ok(Asked { answers, lock })
}

/// The outcome of COMMIT and the writes before it. After a failed write, the server treats COMMIT as
/// ROLLBACK and answers so.
pub(super) fn ended(
    connection: &mut PooledConnection<'_>,
    writes: Vec<QueryResult<usize>>,
    commit: Option<QueryResult<()>>,
) -> Result<(), StoreError> {
    let commit = commit.unwrap_or(Ok(()));
    connection.unfinished = false;
    connection.answered = commit.is_ok();
    // A failed COMMIT, as by a deferred constraint, also ends the transaction.
    if matches!(commit, Ok(()) | Err(DieselError::DatabaseError(..))) {
        change_depth(connection, TransactionDepthChange::DecreaseDepth);
    }
    written(connection, writes)?;
    commit.map_err(|cause| connection.error(cause))
}

/// The first error of several writes.
pub(super) fn written(
    connection: &PooledConnection<'_>,
    answers: Vec<QueryResult<usize>>,
) -> Result<(), StoreError> {
    if answers.iter().all(Result::is_ok) {
        return Ok(());
    }
    Err(first_error(connection, answers.into_iter().map(Result::err)))
}

/// Informs diesel of a transaction that began or ended without it.
pub(super) fn change_depth(connection: &mut PooledConnection<'_>, change: TransactionDepthChange) {
    let status = AnsiTransactionManager::transaction_manager_status_mut(&mut **connection);
    // A broken connection is closed at any depth.
    if let TransactionManagerStatus::Valid(status) = status {
        status.change_transaction_depth(change).unwrap_or_default();
    }
}

/// The SQLSTATE of all statements after the one that failed the transaction.
const IN_FAILED_TRANSACTION: &str = "25P02";

/// The error of the statement that failed first.
pub(super) fn first_error(
    connection: &PooledConnection<'_>,
    errors: impl IntoIterator<Item = Option<DieselError>>,
) -> StoreError {
    let errors = errors.into_iter().flatten().map(|cause| connection.error(cause));
    errors
        .min_by_key(|error| error.sqlstate() == Some(IN_FAILED_TRANSACTION))
        .unwrap_or(StoreError::Internal("no error was found among failed statements"))
}
