//! The one place that opens transactions.

pub(crate) mod failpoint;
mod pipeline;

use std::any::TypeId;
use std::collections::BTreeSet;
use std::future::ready;
use std::time::Duration;

use aggregation::Kind;
use diesel::QueryResult;
use diesel::connection::{TransactionDepthChange, TransactionManagerStatus};
use diesel::pg::Pg;
use diesel::query_builder::{QueryFragment, QueryId};
use diesel::result::Error as DieselError;
use diesel::sql_types::{BigInt, Text};
use diesel_async::methods::LoadQuery;
use diesel_async::{AnsiTransactionManager, AsyncPgConnection, RunQueryDsl, TransactionManager};
use futures_util::StreamExt;
use futures_util::future::join;

use crate::cte::{AnyStatement, CteStatement, StatementName};
use crate::error::StoreError;
use crate::pool::{Held, Store};
use crate::queue::Finish;
use crate::statement::statement;
use pipeline::{Answers, Begin, exchange};

/// The transaction of one group: the rows of one kind, one user and one date.
///
/// The modules of the kinds have what it reads and writes. A small group costs hardly more than its messages
/// there and back, each of which wakes the other process. So what is written waits for COMMIT, COMMIT waits for
/// BEGIN of the next group, and all of that goes with the first question of the next group.
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
    /// The end of the group before, not sent yet.
    previous: Option<Ending>,
    /// What became of the group before, once the server has answered.
    previous_end: Option<Result<(), FailedWrite>>,
}

impl std::fmt::Debug for GroupTransaction<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("GroupTransaction").field("kind", &self.kind).finish_non_exhaustive()
    }
}

/// How a transaction ends: the writes that are sent with COMMIT.
struct Ending {
    writes: Vec<CteStatement>,
    finish: Option<Box<Finish>>,
}

/// A group that is done but for its COMMIT, which is sent by [`UnsentCommit::commit`], or with the beginning of
/// the next group. Dropped, it is rolled back.
pub struct UnsentCommit<'p> {
    connection: Held<'p>,
    store: &'p Store,
    ending: Ending,
}

impl std::fmt::Debug for UnsentCommit<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("UnsentCommit").finish_non_exhaustive()
    }
}

/// A group that was not committed, or is not known to be.
#[derive(Debug)]
pub struct FailedWrite {
    /// Why.
    pub(crate) error: StoreError,
    /// Whether all writes but the last, which finishes the group, went well.
    pub(crate) is_last: bool,
    /// What the last write asks for.
    pub(crate) finish: Option<Box<Finish>>,
}

impl From<StoreError> for FailedWrite {
    fn from(error: StoreError) -> Self {
        Self { error, is_last: false, finish: None }
    }
}

/// A statement that is sent later.
struct Deferred {
    id: Option<TypeId>,
    statement: AnyStatement,
    /// What it is called where it is sent as a part of another statement; without a name it never is.
    part: Option<&'static str>,
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

impl<'p> UnsentCommit<'p> {
    /// The next group, on the same connection: its BEGIN is sent with this COMMIT.
    pub fn next_group(self, kind: Kind, user_id: i64) -> GroupTransaction<'p> {
        let previous = Some(self.ending);
        GroupTransaction {
            begun: false,
            previous,
            ..GroupTransaction::on(self.connection, self.store, kind, user_id)
        }
    }

    /// Commits, and gives the connection back.
    ///
    /// # Errors
    /// If the group was not committed. If the server did not answer, that is not known; the group is done again
    /// and finds its sets either deleted or still claimed, so both are harmless.
    pub async fn commit(mut self) -> Result<(), FailedWrite> {
        let answers = exchange(&self.connection, self.ending.writes, true, None, ready(())).await;
        ended(&mut self.connection, answers.writes, answers.commit, self.ending.finish)
    }

    /// The server's process that does it.
    pub fn process(&self) -> i32 {
        self.connection.process()
    }

    /// For how long the connection has been held.
    pub fn held(&self) -> Duration {
        self.connection.held()
    }
}

impl<'p> GroupTransaction<'p> {
    /// A transaction that its caller begins and ends.
    pub(crate) fn on(connection: Held<'p>, store: &'p Store, kind: Kind, user_id: i64) -> Self {
        let (writes, previous, previous_end) = (Vec::new(), None, None);
        Self { connection, store, kind, user_id, begun: true, writes, previous, previous_end }
    }

    /// From now on it is another user's, of another kind.
    pub(crate) fn turn_to(&mut self, kind: Kind, user_id: i64) {
        (self.kind, self.user_id) = (kind, user_id);
    }

    /// What became of the group before on the same connection: none as long as that is not known, as before the
    /// first question, or if there is none.
    pub fn take_previous_end(&mut self) -> Option<Result<(), FailedWrite>> {
        self.previous_end.take()
    }

    /// Begins the transaction, unless it has begun.
    async fn begin(&mut self) -> Result<(), StoreError> {
        let opening = self.opening();
        let asked = ask(self.store, &self.connection, opening, ready(Ok(()))).await;
        self.answered(asked).await
    }

    /// Loads the rows of a statement, which sees all that was written before.
    pub(crate) async fn read<'q, S, U>(&mut self, statement: S) -> Result<Vec<U>, StoreError>
    where
        S: for<'c> LoadQuery<'q, &'c AsyncPgConnection, U> + Send + 'q,
        U: Send,
    {
        self.flush().await?;
        let opening = self.opening();
        let connection = &self.connection;
        let question = async {
            let rows = statement.load(&mut &**connection).await;
            rows.map_err(|cause| connection.error(cause))
        };
        let asked = ask(self.store, connection, opening, question).await;
        self.answered(asked).await
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
        self.flush().await?;
        let opening = self.opening();
        let connection = &self.connection;
        let question = async {
            let mut shared = &**connection;
            let rows = RunQueryDsl::load_stream(statement, &mut shared).await;
            let mut rows = std::pin::pin!(rows.map_err(|cause| connection.error(cause))?);
            while let Some(row) = rows.next().await {
                visit(row.map_err(|cause| connection.error(cause))?)?;
            }
            Ok(())
        };
        let asked = ask(self.store, connection, opening, question).await;
        self.answered(asked).await
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
        self.flush().await?;
        let opening = self.opening();
        let connection = &self.connection;
        let question = async {
            let (mut to_first, mut to_second) = (&**connection, &**connection);
            match join(first.load(&mut to_first), second.load(&mut to_second)).await {
                (Ok(first), Ok(second)) => Ok((first, second)),
                (first, second) => Err(first_error(connection, [first.err(), second.err()])),
            }
        };
        let asked = ask(self.store, connection, opening, question).await;
        self.answered(asked).await
    }

    /// What is sent before a question: nothing, once the transaction has begun.
    fn opening(&mut self) -> Option<Opening> {
        self.connection.unfinished = true;
        (!self.begun).then(|| Opening {
            previous: self.previous.take(),
            begin: Begin { sql: self.store.begin_sql(), lock: lock_user(self.kind, self.user_id) },
        })
    }

    /// The answer to a question, and what became of the group before if its COMMIT was sent with it.
    async fn answered<T>(&mut self, asked: Result<Asked<T>, StoreError>) -> Result<T, StoreError> {
        let Asked { answers: Answers { writes, commit, begin, question }, finish, lock } = asked?;
        if commit.is_some() {
            self.previous_end = Some(ended(&mut self.connection, writes, commit, finish));
            self.connection.unfinished = true;
        }
        match (begin, question) {
            (Some(Err(cause)), _) => Err(self.store.not_begun(&mut self.connection, cause).await),
            (begin, Some(answer)) => {
                if begin.is_some() {
                    self.connection.prepared(std::iter::once(lock));
                    change_depth(&mut self.connection, TransactionDepthChange::IncreaseDepth);
                    self.begun = true;
                }
                answer
            }
            (_, None) => Err(StoreError::Internal("a question of a transaction was not asked")),
        }
    }

    /// Sends a statement with the next question, or with COMMIT.
    pub(crate) fn write<S>(&mut self, statement: S)
    where
        S: QueryFragment<Pg> + QueryId + Send + Sync + 'static,
    {
        self.defer(statement, None);
    }

    /// The same for one that may become part of the last statement. It then sees the rows as they were
    /// before any of the other parts, so no two may concern the same row.
    pub(crate) fn write_part<S>(&mut self, name: &'static str, statement: S)
    where
        S: QueryFragment<Pg> + QueryId + Send + Sync + 'static,
    {
        self.defer(statement, Some(name));
    }

    fn defer<S>(&mut self, statement: S, part: Option<&'static str>)
    where
        S: QueryFragment<Pg> + QueryId + Send + Sync + 'static,
    {
        self.writes.push(Deferred { id: S::query_id(), statement: Box::new(statement), part });
    }

    /// Sends what was written.
    pub(crate) async fn flush(&mut self) -> Result<(), StoreError> {
        let writes = self.take_writes();
        if writes.is_empty() {
            return Ok(());
        }
        self.begin().await?;
        self.send(writes).await.map_err(|(error, _)| error)
    }

    /// All that was written, in the order in which it is sent.
    fn take_writes(&mut self) -> Vec<CteStatement> {
        let writes = std::mem::take(&mut self.writes).into_iter();
        writes.map(|Deferred { id, statement, .. }| CteStatement::alone(id, statement)).collect()
    }

    /// Sends writes and waits for their answers. The error also says whether it is that of the last one.
    async fn send(&mut self, writes: Vec<CteStatement>) -> Result<(), (StoreError, bool)> {
        let names: Vec<StatementName> = writes.iter().map(|write| write.name().to_vec()).collect();
        let Answers { writes: answers, .. } =
            exchange(&self.connection, writes, false, None, ready(())).await;
        // One that failed may have failed to be prepared.
        let answered = names.into_iter().zip(&answers).filter(|(_, answer)| answer.is_ok());
        self.connection.prepared(answered.map(|(name, _)| name));
        written(&self.connection, answers)
    }

    /// Ends the transaction with a statement that is sent with COMMIT, and has as its parts those that were
    /// written and not sent yet. If it is the first to fail, it is known to be the one that failed: the order of
    /// all others is known.
    ///
    /// # Errors
    /// If what cannot wait for COMMIT failed; then the transaction is rolled back.
    pub(crate) async fn end_with(
        mut self,
        mut last: CteStatement,
        finish: Finish,
    ) -> Result<UnsentCommit<'p>, FailedWrite> {
        let (parts, others) = std::mem::take(&mut self.writes)
            .into_iter()
            .partition::<Vec<_>, _>(|write| write.part.is_some());
        let names: BTreeSet<_> = parts.iter().map(|part| part.part).collect();
        debug_assert_eq!(names.len(), parts.len(), "two parts of one name");
        for Deferred { id, statement, part } in parts {
            last.add(part.unwrap_or_default(), id, statement);
        }
        self.writes = others;
        self.end(Some(last), Some(Box::new(finish))).await
    }

    async fn end(
        mut self,
        last: Option<CteStatement>,
        finish: Option<Box<Finish>>,
    ) -> Result<UnsentCommit<'p>, FailedWrite> {
        if !self.begun
            && let Err(error) = self.begin().await
        {
            return Err(error.into());
        }
        let mut writes = self.take_writes();
        writes.extend(last);
        // What the connection has not prepared yet is prepared first, and would come after COMMIT.
        if !self.connection.has_prepared(writes.iter().map(CteStatement::name))
            && let Err((error, is_last)) = self.send(std::mem::take(&mut writes)).await
        {
            return Err(FailedWrite { error: self.rolled_back(error).await, is_last, finish });
        }
        let Self { connection, store, .. } = self;
        Ok(UnsentCommit { connection, store, ending: Ending { writes, finish } })
    }

    /// Makes everything done in it visible at once.
    ///
    /// # Errors
    /// As [`UnsentCommit::commit`].
    pub async fn commit(self) -> Result<(), StoreError> {
        let committed = async { self.end(None, None).await?.commit().await };
        committed.await.map_err(|failed| failed.error)
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

    /// The connection, for what is no question and no write. The transaction has begun by then, and
    /// what was written is sent.
    pub(crate) async fn connection(&mut self) -> Result<&mut Held<'p>, StoreError> {
        self.flush().await?;
        if !self.begun {
            self.begin().await?;
        }
        Ok(&mut self.connection)
    }

    /// Forgets what was written and not sent yet.
    pub(crate) fn forget_writes(&mut self) {
        self.writes.clear();
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

statement! {
    /// Waits until no other worker is at the same user.
    ///
    /// The queue is part of the lock's key, so that workers on several schemas of one database do not
    /// wait for each other, and those on one do, with any search_path. A collision of
    /// hashes costs a wait and nothing else. The setting is what a group's last statement knows its
    /// transaction by.
    struct LockUser {
        kind: &'static str => Text,
        user_id: i64 => BigInt,
    } -> ()
    "SELECT set_config('dayfold.group', 'begun', true), pg_advisory_xact_lock(
         hashtext('dayfold ' || {kind} || ' ' || 'aggregation_queue'::regclass::oid), hashint8({user_id}))"
}

fn lock_user(kind: Kind, user_id: i64) -> CteStatement {
    CteStatement::alone(LockUser::query_id(), Box::new(LockUser { kind: kind.name(), user_id }))
}

/// What is sent before the first question of a transaction.
struct Opening {
    previous: Option<Ending>,
    begin: Begin,
}

/// What was answered, and what the group before was to finish.
struct Asked<T> {
    answers: Answers<Result<T, StoreError>>,
    finish: Option<Box<Finish>>,
    /// The lock, which is prepared by then.
    lock: StatementName,
}

/// Asks a question, behind the opening of the transaction if that has not begun.
///
/// # Errors
/// If the server does not answer to the opening in time.
async fn ask<T>(
    store: &Store,
    held: &Held<'_>,
    opening: Option<Opening>,
    question: impl Future<Output = Result<T, StoreError>>,
) -> Result<Asked<T>, StoreError> {
    let Some(Opening { previous, begin }) = opening else {
        let answers = exchange(held, Vec::new(), false, None, question).await;
        return Ok(Asked { answers, finish: None, lock: StatementName::new() });
    };
    let commits = previous.is_some();
    let (writes, finish) =
        previous.map(|ending| (ending.writes, ending.finish)).unwrap_or_default();
    // The question would overtake a lock that the connection has not prepared yet.
    let lock = begin.lock.name().to_vec();
    let answers = if held.has_prepared(std::iter::once(lock.as_slice())) {
        store.in_time(exchange(held, writes, commits, Some(begin), question)).await?
    } else {
        let opening = exchange(held, writes, commits, Some(begin), ready(()));
        let Answers { writes, commit, begin, question: has_begun } = store.in_time(opening).await?;
        let question = if has_begun.is_some() { Some(question.await) } else { None };
        Answers { writes, commit, begin, question }
    };
    Ok(Asked { answers, finish, lock })
}

/// What came of COMMIT and the writes before it. After one that failed, the server takes COMMIT for ROLLBACK, and
/// says that it was one.
fn ended(
    held: &mut Held<'_>,
    writes: Vec<QueryResult<usize>>,
    commit: Option<QueryResult<()>>,
    finish: Option<Box<Finish>>,
) -> Result<(), FailedWrite> {
    let commit = commit.unwrap_or(Ok(()));
    held.unfinished = false;
    held.answered = commit.is_ok();
    // A COMMIT that fails, as for a deferred constraint, ends the transaction, too.
    if matches!(commit, Ok(()) | Err(DieselError::DatabaseError(..))) {
        change_depth(held, TransactionDepthChange::DecreaseDepth);
    }
    if let Err((error, is_last)) = written(held, writes) {
        return Err(FailedWrite { error, is_last, finish });
    }
    commit.map_err(|cause| FailedWrite { error: held.error(cause), is_last: false, finish })
}

/// The first error of several writes, and whether it is that of the last one.
fn written(held: &Held<'_>, answers: Vec<QueryResult<usize>>) -> Result<(), (StoreError, bool)> {
    let last = answers.len().saturating_sub(1);
    let Some(failed) = answers.iter().position(Result::is_err) else { return Ok(()) };
    Err((first_error(held, answers.into_iter().map(Result::err)), failed == last))
}

/// Tells diesel of a transaction that began or ended without it.
fn change_depth(held: &mut Held<'_>, change: TransactionDepthChange) {
    let status = AnsiTransactionManager::transaction_manager_status_mut(&mut **held);
    // A connection that is broken is closed at any depth.
    if let TransactionManagerStatus::Valid(status) = status {
        status.change_transaction_depth(change).unwrap_or_default();
    }
}

/// The SQLSTATE of all statements behind the one that failed the transaction.
const IN_FAILED_TRANSACTION: &str = "25P02";

/// The error of the statement that failed first.
fn first_error(
    held: &Held<'_>,
    errors: impl IntoIterator<Item = Option<DieselError>>,
) -> StoreError {
    let errors = errors.into_iter().flatten().map(|cause| held.error(cause));
    errors
        .min_by_key(|error| error.sqlstate() == Some(IN_FAILED_TRANSACTION))
        .unwrap_or(StoreError::Internal("no statement of several has failed"))
}
