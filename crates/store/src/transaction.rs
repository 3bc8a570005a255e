//! The one place that opens transactions.

use std::any::TypeId;
use std::collections::BTreeSet;
use std::future::poll_fn;
use std::task::Poll;
use std::time::Duration;

use aggregation::Kind;
use diesel::QueryResult;
use diesel::connection::TransactionDepthChange;
use diesel::pg::Pg;
use diesel::query_builder::{QueryFragment, QueryId};
use diesel::result::Error as DieselError;
use diesel_async::methods::LoadQuery;
use diesel_async::{
    AnsiTransactionManager, AsyncPgConnection, RunQueryDsl, SimpleAsyncConnection,
    TransactionManager,
};
use futures_util::future::{BoxFuture, join, try_join};
use futures_util::{FutureExt, StreamExt};
use tokio::task::unconstrained;

use crate::crash::CrashPoint;
use crate::error::StoreError;
use crate::pool::{Held, Store};
use crate::together::{AnyStatement, StatementName, Together};

/// The transaction of one group: the rows of one kind, one user and one date.
///
/// What it reads and writes stands in the modules of the kinds. A small group costs hardly more than
/// its messages there and back, each of which wakes the other process, so there are but two of them:
/// BEGIN and the lock go with what is read, and what is written waits for COMMIT to go with.
///
/// Dropped without an end, by an error, a panic or an abandoned task, its connection is closed rather
/// than handed on.
pub struct GroupTransaction<'p> {
    connection: Held<'p>,
    store: &'p Store,
    kind: Kind,
    user_id: i64,
    begun: bool,
    /// What is written, but not sent yet.
    writes: Vec<Deferred>,
    /// What goes with COMMIT, behind all of that.
    last: Option<Together>,
}

impl std::fmt::Debug for GroupTransaction<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("GroupTransaction").field("kind", &self.kind).finish_non_exhaustive()
    }
}

/// Why what was written is not.
pub(crate) struct FailedWrite {
    pub(crate) error: StoreError,
    /// Whether all writes but the last went well.
    pub(crate) is_last: bool,
}

impl FailedWrite {
    const fn before_all(error: StoreError) -> Self {
        Self { error, is_last: false }
    }

    fn of(held: &Held<'_>, answers: Vec<QueryResult<usize>>) -> Result<(), Self> {
        let last = answers.len().saturating_sub(1);
        let first_failed = answers.iter().position(Result::is_err);
        let errors: Vec<_> = answers.into_iter().map(Result::err).collect();
        match first_failed {
            Some(place) => Err(Self { error: cause(held, errors), is_last: place == last }),
            None => Ok(()),
        }
    }
}

/// The number of rows that a statement concerned, once it is answered.
type Sending<'c> = BoxFuture<'c, QueryResult<usize>>;

/// A statement that is sent later.
struct Deferred {
    id: Option<TypeId>,
    statement: AnyStatement,
    /// What it is called where it is sent as a part of another statement; without a name it never is.
    part: Option<&'static str>,
}

impl Deferred {
    fn new<S>(statement: S, part: Option<&'static str>) -> Self
    where
        S: QueryFragment<Pg> + QueryId + Send + Sync + 'static,
    {
        Self { id: S::query_id(), statement: Box::new(statement), part }
    }
}

fn send(statement: Together, connection: &AsyncPgConnection) -> Sending<'_> {
    Box::pin(async move { RunQueryDsl::execute(statement, &mut &*connection).await })
}

impl Store {
    /// A connection for the transaction of a group, which begins with the first question to it.
    ///
    /// It begins with waiting until no other worker is at the same user. The lock is a statement of its
    /// own, before any read: a snapshot taken before the lock was granted would miss what the other
    /// worker has just committed. It covers the user, not only the date, because an interval over
    /// midnight and rows with zones of their own reach into other dates; and a transaction takes one
    /// such lock only, so that none can deadlock.
    ///
    /// # Errors
    /// If there is no connection.
    pub async fn open_group(
        &self,
        kind: Kind,
        user_id: i64,
    ) -> Result<GroupTransaction<'_>, StoreError> {
        let connection = self.hold("group").await?;
        Ok(GroupTransaction {
            begun: false,
            ..GroupTransaction::on(connection, self, kind, user_id)
        })
    }

    /// The same, begun.
    ///
    /// # Errors
    /// If there is no connection, or the lock is not granted within the lock time-out.
    pub async fn begin_group(
        &self,
        kind: Kind,
        user_id: i64,
    ) -> Result<GroupTransaction<'_>, StoreError> {
        let mut group = self.open_group(kind, user_id).await?;
        group.begin().await?;
        Ok(group)
    }
}

impl<'p> GroupTransaction<'p> {
    /// A transaction that its caller begins and ends.
    pub(crate) fn on(connection: Held<'p>, store: &'p Store, kind: Kind, user_id: i64) -> Self {
        let (writes, last) = (Vec::new(), None);
        Self { connection, store, kind, user_id, begun: true, writes, last }
    }

    /// From now on it is another user's, of another kind.
    pub(crate) fn turn_to(&mut self, kind: Kind, user_id: i64) {
        (self.kind, self.user_id) = (kind, user_id);
    }

    /// Where its connection is from.
    pub(crate) const fn store(&self) -> &'p Store {
        self.store
    }
}

impl<'p> GroupTransaction<'p> {
    /// Begins the transaction, unless it has begun.
    async fn begin(&mut self) -> Result<(), StoreError> {
        if self.begun {
            return Ok(());
        }
        self.connection.unfinished = true;
        let begin = self.store.locked(self.kind, self.user_id);
        self.store.begin_with(&mut self.connection, &begin).await?;
        self.begun = true;
        CrashPoint::AfterLock.pass();
        Ok(())
    }

    /// Loads the rows of a statement, which sees all that was written before.
    pub(crate) async fn read<'q, S, U>(&mut self, statement: S) -> Result<Vec<U>, StoreError>
    where
        S: for<'c> LoadQuery<'q, &'c AsyncPgConnection, U> + Send + 'q,
        U: Send,
    {
        let begin = self.before_a_question().await?;
        let (store, connection) = (self.store, &self.connection);
        let question = async {
            let rows = statement.load(&mut &**connection).await;
            rows.map_err(|cause| connection.error(cause))
        };
        let asked = ask(store, connection, begin, question).await;
        self.answer_to(asked).await
    }

    /// The same, row by row: of all rows, no more than a buffer is in memory at once.
    pub(crate) async fn read_each<'q, S, U>(
        &mut self,
        statement: S,
        mut visit: impl FnMut(U) -> Result<(), StoreError> + Send,
    ) -> Result<(), StoreError>
    where
        S: for<'c> LoadQuery<'q, &'c AsyncPgConnection, U> + Send + 'q,
        U: Send,
    {
        let begin = self.before_a_question().await?;
        let (store, connection) = (self.store, &self.connection);
        let question = async {
            let mut shared = &**connection;
            let rows = RunQueryDsl::load_stream(statement, &mut shared).await;
            let mut rows = std::pin::pin!(rows.map_err(|cause| connection.error(cause))?);
            while let Some(row) = rows.next().await {
                visit(row.map_err(|cause| connection.error(cause))?)?;
            }
            Ok(())
        };
        let asked = ask(store, connection, begin, question).await;
        self.answer_to(asked).await
    }

    /// Loads the rows of two statements that are sent in one message. Which of them is answered
    /// first is not known.
    pub(crate) async fn read2<'q, S1, S2, U1, U2>(
        &mut self,
        (first, second): (S1, S2),
    ) -> Result<(Vec<U1>, Vec<U2>), StoreError>
    where
        S1: for<'c> LoadQuery<'q, &'c AsyncPgConnection, U1> + Send + 'q,
        S2: for<'c> LoadQuery<'q, &'c AsyncPgConnection, U2> + Send + 'q,
        (U1, U2): Send,
        U1: Send,
        U2: Send,
    {
        let begin = self.before_a_question().await?;
        let (store, connection) = (self.store, &self.connection);
        let question = async {
            let (mut to_first, mut to_second) = (&**connection, &**connection);
            match join(first.load(&mut to_first), second.load(&mut to_second)).await {
                (Ok(first), Ok(second)) => Ok((first, second)),
                (first, second) => Err(cause(connection, [first.err(), second.err()])),
            }
        };
        let asked = ask(store, connection, begin, question).await;
        self.answer_to(asked).await
    }

    /// Sends what was written, and says how the transaction begins if it has not yet.
    async fn before_a_question(&mut self) -> Result<Option<String>, StoreError> {
        self.flush().await?;
        if CrashPoint::any_is_asked_for() {
            self.begin().await?;
        }
        self.connection.unfinished = true;
        Ok((!self.begun).then(|| self.store.locked(self.kind, self.user_id)))
    }

    async fn answer_to<T>(
        &mut self,
        asked: Result<Result<Result<T, StoreError>, DieselError>, StoreError>,
    ) -> Result<T, StoreError> {
        match asked? {
            Ok(answer) => {
                if !self.begun {
                    self.change_depth(TransactionDepthChange::IncreaseDepth);
                    self.begun = true;
                }
                answer
            }
            Err(cause) => Err(self.store.not_begun(&mut self.connection, cause).await),
        }
    }

    /// Sends a statement with the next question, or with COMMIT.
    pub(crate) fn write<S>(&mut self, statement: S)
    where
        S: QueryFragment<Pg> + QueryId + Send + Sync + 'static,
    {
        self.writes.push(Deferred::new(statement, None));
    }

    /// The same for one that may become part of the last statement. It then sees the rows as they were
    /// before any of the other parts, so no two may concern the same row.
    pub(crate) fn write_part<S>(&mut self, name: &'static str, statement: S)
    where
        S: QueryFragment<Pg> + QueryId + Send + Sync + 'static,
    {
        self.writes.push(Deferred::new(statement, Some(name)));
    }

    /// Sends a statement with COMMIT, and as parts of it those that were written and not sent yet. If it
    /// is the first to fail, it is known to be the one that failed: the order of all others is known.
    pub(crate) async fn write_last(&mut self, mut last: Together) -> Result<(), StoreError> {
        let (parts, others) = std::mem::take(&mut self.writes)
            .into_iter()
            .partition::<Vec<_>, _>(|write| write.part.is_some());
        self.writes = others;
        if !self.are_writes_prepared() {
            self.flush().await?;
        }
        let names: BTreeSet<_> = parts.iter().map(|part| part.part).collect();
        debug_assert_eq!(names.len(), parts.len(), "two parts of one name");
        for Deferred { id, statement, part } in parts {
            last.add(part.unwrap_or_default(), id, statement);
        }
        self.last = Some(last);
        Ok(())
    }

    /// Sends what was written.
    pub(crate) async fn flush(&mut self) -> Result<(), StoreError> {
        self.send().await.map_err(|failed| failed.error)
    }

    async fn send(&mut self) -> Result<(), FailedWrite> {
        let writes = self.take_writes();
        if writes.is_empty() {
            return Ok(());
        }
        self.begin().await.map_err(FailedWrite::before_all)?;
        let names: Vec<StatementName> = writes.iter().map(|write| write.name().to_vec()).collect();
        let connection = &*self.connection;
        let sending = writes.into_iter().map(|write| send(write, connection)).collect();
        let nothing = |_| -> Sending<'_> { Box::pin(async { Ok(0) }) };
        let (answers, _) = in_order(sending, nothing).await;
        // One that failed may have failed to be prepared.
        let answered = names.into_iter().zip(&answers).filter(|(_, answer)| answer.is_ok());
        self.connection.prepared(answered.map(|(name, _)| name));
        FailedWrite::of(&self.connection, answers)
    }

    /// All that was written, in the order in which it is sent.
    fn take_writes(&mut self) -> Vec<Together> {
        let writes = std::mem::take(&mut self.writes).into_iter();
        writes
            .map(|Deferred { id, statement, .. }| Together::alone(id, statement))
            .chain(self.last.take())
            .collect()
    }

    fn are_writes_prepared(&self) -> bool {
        let writes = self.writes.iter().map(|write| write.id.as_slice());
        self.connection.has_prepared(writes.chain(self.last.as_ref().map(Together::name)))
    }

    /// Crashes here, if that was asked for, when the server has what was written.
    pub(crate) async fn pass_sent(&mut self, point: CrashPoint) -> Result<(), StoreError> {
        if CrashPoint::any_is_asked_for() {
            self.flush().await?;
            point.pass();
        }
        Ok(())
    }

    /// The connection, for what is no question and no write. The transaction has begun by then, and
    /// what was written is sent.
    pub(crate) async fn connection(&mut self) -> Result<&mut Held<'p>, StoreError> {
        self.flush().await?;
        self.begin().await?;
        Ok(&mut self.connection)
    }

    /// Makes everything done in it visible at once. Returns for how long the connection was held.
    ///
    /// # Errors
    /// If a write failed; then it is rolled back. If the server did not confirm, it is unknown
    /// whether it happened; the group is done again and finds its rows either gone or still claimed, so
    /// both are harmless.
    pub async fn commit(self) -> Result<Duration, StoreError> {
        self.try_commit().await.map_err(|failed| failed.error)
    }

    /// The same, and says which write failed, where one did.
    pub(crate) async fn try_commit(mut self) -> Result<Duration, FailedWrite> {
        // What the connection has not prepared yet is prepared first, and would come after COMMIT.
        let one_by_one =
            CrashPoint::any_is_asked_for() || !self.begun || !self.are_writes_prepared();
        if one_by_one && let Err(FailedWrite { error, is_last }) = self.send().await {
            return Err(FailedWrite { error: self.rolled_back(error).await, is_last });
        }
        if !self.begun {
            return Ok(self.connection.held());
        }
        CrashPoint::BeforeCommit.pass();
        let writes = self.take_writes();
        let connection = &*self.connection;
        let sending = writes.into_iter().map(|write| send(write, connection)).collect();
        let end = |sql: &'static str| -> Sending<'_> {
            Box::pin(async move { (&mut &*connection).batch_execute(sql).await.map(|()| 0) })
        };
        // One that is refused before it is sent has no other effect than its absence.
        let last = move |refused: bool| end(if refused { "ROLLBACK" } else { "COMMIT" });
        if CrashPoint::DuringCommit.is_asked_for() {
            // Long enough to send it, and often not long enough to hear of it.
            let _ = tokio::time::timeout(Duration::from_micros(200), in_order(sending, last)).await;
            std::process::abort();
        }
        let (answers, committed) = in_order(sending, last).await;
        let written = FailedWrite::of(&self.connection, answers);
        self.ended(committed, written)
    }

    /// What came of COMMIT and the writes before it. After one that failed, the server takes COMMIT for
    /// ROLLBACK, and says that it was one.
    fn ended(
        mut self,
        committed: QueryResult<usize>,
        written: Result<(), FailedWrite>,
    ) -> Result<Duration, FailedWrite> {
        self.connection.unfinished = false;
        self.connection.answered = committed.is_ok();
        CrashPoint::AfterCommit.pass();
        if committed.is_ok() {
            self.change_depth(TransactionDepthChange::DecreaseDepth);
        }
        written?;
        match committed {
            Ok(_) => Ok(self.connection.held()),
            Err(cause) => Err(FailedWrite::before_all(self.connection.error(cause))),
        }
    }

    /// Undoes everything and hands back the error that made it necessary: what may go wrong
    /// with the rollback itself is less than that, and its connection is closed anyway.
    pub async fn rolled_back(mut self, error: StoreError) -> StoreError {
        if !self.begun {
            return error;
        }
        let rolled_back = AnsiTransactionManager::rollback_transaction(&mut *self.connection).await;
        self.connection.unfinished = false;
        self.connection.answered = rolled_back.is_ok();
        if let Err(cause) = rolled_back {
            let error = self.connection.error(cause);
            tracing::debug!(
                event = "rollback_failed",
                class = error.class().name(),
                sqlstate = error.sqlstate(),
                pid = self.connection.process(),
                "rollback failed; the connection is closed: {error}"
            );
        }
        error
    }

    /// Tells diesel of a transaction that began or ended without it.
    fn change_depth(&mut self, change: TransactionDepthChange) {
        let status = AnsiTransactionManager::transaction_manager_status_mut(&mut *self.connection);
        // A connection that is broken is closed, whatever its depth.
        if let diesel::connection::TransactionManagerStatus::Valid(status) = status {
            status.change_transaction_depth(change).unwrap_or_default();
        }
    }

    /// Forgets what was written and not sent yet.
    pub(crate) fn forget_writes(&mut self) {
        self.take_writes();
    }

    /// The server's process that does it.
    pub fn process(&self) -> i32 {
        self.connection.process()
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

/// Asks a question, behind BEGIN if there is one.
///
/// # Errors
/// If the server does not answer, and inside of that, if it did not begin. The question is not waited
/// for, then.
async fn ask<T>(
    store: &Store,
    held: &Held<'_>,
    begin: Option<String>,
    question: impl Future<Output = Result<T, StoreError>>,
) -> Result<Result<Result<T, StoreError>, DieselError>, StoreError> {
    let Some(begin) = begin else { return Ok(Ok(question.await)) };
    // Polled first, BEGIN is sent first. A task that is out of its budget would be stopped between the
    // two, and go on with whichever.
    let mut connection: &AsyncPgConnection = held;
    let beginning = store.in_time(connection.batch_execute(&begin));
    // An error of BEGIN is told for what it is, and not as one of the question behind it.
    let beginning = beginning.map(|begun| match begun {
        Ok(Ok(())) => Ok(()),
        Ok(Err(cause)) => Err(Ok(cause)),
        Err(no_answer) => Err(Err(no_answer)),
    });
    match unconstrained(try_join(beginning, question.map(Ok))).await {
        Ok(((), answer)) => Ok(Ok(answer)),
        Err(Ok(cause)) => Ok(Err(cause)),
        Err(Err(no_answer)) => Err(no_answer),
    }
}

/// Waits for statements that are sent in this order, and then for a last one, which may depend on whether
/// one of them was refused before it was sent.
///
/// One that the connection has not prepared yet is overtaken by a last one that needs no preparing, but not
/// by its neighbours: they wait for the cache of prepared statements in the order in which they are asked.
async fn in_order<'c>(
    mut sending: Vec<Sending<'c>>,
    last: impl FnOnce(bool) -> Sending<'c>,
) -> (Vec<QueryResult<usize>>, QueryResult<usize>) {
    let mut answers: Vec<Option<QueryResult<usize>>> = sending.iter().map(|_| None).collect();
    let (mut last, mut ending, mut ended) = (Some(last), None, None);
    let all = poll_fn(|context| {
        for (sending, answer) in sending.iter_mut().zip(&mut answers) {
            if answer.is_none()
                && let Poll::Ready(ready) = sending.as_mut().poll(context)
            {
                *answer = Some(ready);
            }
        }
        if let Some(last) = last.take() {
            let refused = answers.iter().any(|answer| matches!(answer, Some(Err(_))));
            ending = Some(last(refused));
        }
        if ended.is_none()
            && let Some(ending) = &mut ending
            && let Poll::Ready(ready) = ending.as_mut().poll(context)
        {
            ended = Some(ready);
        }
        let is_over = ended.is_some() && answers.iter().all(Option::is_some);
        if is_over { Poll::Ready(()) } else { Poll::Pending }
    });
    // A task that is out of its budget would be stopped in the middle of a message.
    unconstrained(all).await;
    (answers.into_iter().flatten().collect(), ended.unwrap_or(Ok(0)))
}

/// The SQLSTATE of all statements behind the one that failed the transaction.
const IN_FAILED_TRANSACTION: &str = "25P02";

/// The error of the statement that failed first.
fn cause(held: &Held<'_>, errors: impl IntoIterator<Item = Option<DieselError>>) -> StoreError {
    let errors = errors.into_iter().flatten().map(|cause| held.error(cause));
    errors
        .min_by_key(|error| error.sqlstate() == Some(IN_FAILED_TRANSACTION))
        .unwrap_or(StoreError::Internal("no statement of several has failed"))
}

#[cfg(test)]
mod tests {
    use std::cell::RefCell;

    use diesel::result::Error;

    use super::*;

    /// What is sent last, after these writes; each says when it is sent.
    async fn last_after(writes: Vec<QueryResult<usize>>) -> (Vec<usize>, bool) {
        let sent = std::sync::Mutex::new(Vec::new());
        let sending = writes.into_iter().enumerate().map(|(place, answer)| -> Sending<'_> {
            let sent = &sent;
            Box::pin(async move {
                let answer = answer?;
                sent.lock().unwrap().push(place);
                // The server's answer takes its time.
                tokio::task::yield_now().await;
                Ok(answer)
            })
        });
        let was_refused = RefCell::new(None);
        let last = |refused| -> Sending<'_> {
            *was_refused.borrow_mut() = Some(refused);
            Box::pin(async { Ok(0) })
        };
        let (_, ended) = in_order(sending.collect(), last).await;
        ended.unwrap();
        let was_refused = was_refused.borrow().unwrap();
        (sent.into_inner().unwrap(), was_refused)
    }

    #[tokio::test]
    async fn a_group_whose_write_is_refused_before_it_is_sent_is_not_committed() {
        assert_eq!(last_after(vec![Ok(1), Ok(1), Ok(1)]).await, (vec![0, 1, 2], false));
        let refused = vec![Ok(1), Err(Error::NotFound), Ok(1)];
        assert_eq!(last_after(refused).await, (vec![0, 2], true));
    }
}
