//! The only module that opens transactions.

mod answers;
mod computed;
mod distributed;
pub(crate) mod failpoint;
mod figures;
mod pipeline;
mod portions;
mod user_lock;

use std::any::TypeId;
use std::future::ready;
use std::time::Duration;

use aggregation::{Kind, UserId};
use chrono::NaiveDate;
use diesel::connection::TransactionDepthChange;
use diesel::pg::Pg;
use diesel::query_builder::{QueryFragment, QueryId};
use diesel_async::methods::LoadQuery;
use diesel_async::{AnsiTransactionManager, AsyncPgConnection, RunQueryDsl, TransactionManager};
use futures_util::StreamExt;
use futures_util::future::join;

use crate::changes::record::RecordChanges;
use crate::cte::{AnyStatement, CteStatement, StatementName};
use crate::error::StoreError;
use crate::pool::{PooledConnection, Store};
use answers::{Asked, Opening, ask, change_depth, ended, first_error, written};
use computed::Computed;
use distributed::NamedRows;
use pipeline::{Answers, Begin, exchange};
use user_lock::lock_user;

pub(crate) use portions::{MOST_AT_ONCE, PORTION};
pub use portions::{Progress, ReadMode};
pub(crate) use user_lock::lock_key;

/// The transaction of one group: the rows of one kind, one user and one date.
///
/// The modules of the kinds contain its reads and writes. For a small group, the round trips cost nearly
/// everything, because each message wakes the other process. So writes wait for COMMIT, and COMMIT waits
/// for BEGIN of the next group. All of these are sent with the first query of the next group.
///
/// If it is dropped before its end, by an error, a panic or a cancelled task, its connection is closed
/// instead of reused.
pub struct GroupTransaction<'p> {
    connection: PooledConnection<'p>,
    store: &'p Store,
    kind: Kind,
    user_id: UserId,
    begun: bool,
    /// Writes that are not sent yet.
    writes: Vec<Deferred>,
    /// The writes of the group before, which are sent with its COMMIT.
    previous: Option<Vec<CteStatement>>,
    /// The end of the group before, once the server has answered.
    previous_end: Option<Result<(), StoreError>>,
    /// The portions that it has read.
    progress: Progress,
    /// Whether it reads in portions, so that no limit on the whole transaction holds.
    is_long: bool,
    /// Whether it records the dates whose figures change.
    records_changes: bool,
    /// Dates that have changed and are not recorded yet.
    changed_dates: Vec<NaiveDate>,
    /// The computed figures, if they are not written.
    computed: Option<Box<Computed>>,
    /// It writes no figures of earlier dates.
    frozen_before: Option<NaiveDate>,
    /// Whether the schema is a distributed one of Citus.
    is_distributed: bool,
}

impl std::fmt::Debug for GroupTransaction<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("GroupTransaction").field("kind", &self.kind).finish_non_exhaustive()
    }
}

/// A group that is done but for its COMMIT, which is sent by [`UnsentCommit::commit`], or with the beginning of
/// the next group. Dropped, it is rolled back.
pub struct UnsentCommit<'p> {
    connection: PooledConnection<'p>,
    store: &'p Store,
    /// Sent with COMMIT.
    writes: Vec<CteStatement>,
}

impl std::fmt::Debug for UnsentCommit<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("UnsentCommit").finish_non_exhaustive()
    }
}

/// A statement that is sent later.
struct Deferred {
    id: Option<TypeId>,
    statement: AnyStatement,
    /// Its name if it becomes a part of another statement; without a name it never does.
    part: Option<&'static str>,
    /// The query for the dates whose figures it changes; it names the part.
    changed: Option<&'static str>,
    /// The rows that it writes, if they are asked for before.
    rows: Option<NamedRows>,
}

impl Store {
    /// Takes a connection for the transaction of a group, which begins with its first query.
    ///
    /// The transaction first waits until no other worker processes the same user. The lock is a separate
    /// statement before any read: a snapshot taken before the lock was granted would miss the other
    /// worker's last commit. The lock covers the user, not only the date, because intervals over
    /// midnight and rows with their own zones affect other dates. A transaction takes only one such
    /// lock, so no deadlock can arise.
    ///
    /// # Errors
    /// If there is no connection.
    pub async fn open_group(
        &self,
        kind: Kind,
        user_id: &UserId,
    ) -> Result<GroupTransaction<'_>, StoreError> {
        self.learn_distribution().await?;
        let connection = self.hold("group").await?;
        Ok(GroupTransaction {
            begun: false,
            records_changes: self.records_changes(),
            ..GroupTransaction::on(connection, self, kind, user_id)
        })
    }

    /// Takes a connection, begins the group's transaction, and takes the user's lock.
    ///
    /// # Errors
    /// If there is no connection, or the lock is not granted within the lock time-out.
    pub async fn begin_group(
        &self,
        kind: Kind,
        user_id: &UserId,
    ) -> Result<GroupTransaction<'_>, StoreError> {
        let mut group = self.open_group(kind, user_id).await?;
        group.begin().await?;
        Ok(group)
    }
}

impl<'p> UnsentCommit<'p> {
    /// The next group on the same connection: its BEGIN is sent with this COMMIT.
    pub fn next_group(self, kind: Kind, user_id: &UserId) -> GroupTransaction<'p> {
        let previous = Some(self.writes);
        GroupTransaction {
            begun: false,
            previous,
            records_changes: self.store.records_changes(),
            ..GroupTransaction::on(self.connection, self.store, kind, user_id)
        }
    }

    /// Commits and returns the connection to the pool.
    ///
    /// # Errors
    /// If the group was not committed. The class is `lease_lost` if another worker has claimed any of the sets, or if
    /// the server has crashed and forgotten an earlier date of one. It is `outdated` if the user's profile has changed
    /// since it was read. If the server did not answer, the outcome is unknown. The group is then done again, and
    /// finds its sets either deleted or still claimed; both are harmless.
    pub async fn commit(mut self) -> Result<(), StoreError> {
        let answers = exchange(&self.connection, self.writes, true, None, ready(())).await;
        ended(&mut self.connection, answers.writes, answers.commit)
    }

    /// The server's process of the transaction.
    pub fn process(&self) -> i32 {
        self.connection.process()
    }

    /// How long the connection has been held.
    pub fn held(&self) -> Duration {
        self.connection.held()
    }
}

impl<'p> GroupTransaction<'p> {
    /// A transaction that its caller begins and ends. It records no changes.
    pub(crate) fn on(
        connection: PooledConnection<'p>,
        store: &'p Store,
        kind: Kind,
        user_id: &UserId,
    ) -> Self {
        let (writes, previous, previous_end) = (Vec::new(), None, None);
        Self {
            connection,
            store,
            kind,
            user_id: user_id.clone(),
            begun: true,
            writes,
            previous,
            previous_end,
            progress: Progress::default(),
            is_long: false,
            records_changes: false,
            changed_dates: Vec::new(),
            computed: None,
            frozen_before: None,
            is_distributed: store.is_distributed(),
        }
    }

    /// From now on, it writes and deletes no figures of vitals, sleep, blood pressure and glucose of dates before
    /// this one: they are frozen. Figures of nutrition and labs are computed for whole dates only, which the caller
    /// selects.
    pub fn freeze_before(&mut self, date: Option<NaiveDate>) {
        self.frozen_before = date;
    }

    /// Whether figures of this date may be written.
    pub(crate) fn is_open(&self, date: NaiveDate) -> bool {
        self.frozen_before.is_none_or(|frozen_before| date >= frozen_before)
    }

    /// Assigns the transaction to another user and kind.
    pub(crate) fn turn_to(&mut self, kind: Kind, user_id: &UserId) {
        (self.kind, self.user_id) = (kind, user_id.clone());
        self.frozen_before = None;
    }

    /// The end of the group before on the same connection: none as long as that is not known, as before the
    /// first question, or if there is none.
    pub fn take_previous_end(&mut self) -> Option<Result<(), StoreError>> {
        self.previous_end.take()
    }

    /// Begins the transaction, unless it has begun.
    async fn begin(&mut self) -> Result<(), StoreError> {
        let opening = self.opening();
        let asked = ask(self.store, &self.connection, opening, ready(Ok(()))).await;
        self.answered(asked).await
    }

    /// Loads the rows of a query, which sees all earlier writes.
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

    /// Visits the rows of a query one by one. At most a buffer of them is in memory at once.
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

    /// Loads the rows of two queries that are sent in one message. They may be answered in any order.
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

    /// The messages before a query: none, once the transaction has begun.
    fn opening(&mut self) -> Option<Opening> {
        self.connection.unfinished = true;
        (!self.begun).then(|| Opening {
            previous: self.previous.take(),
            begin: Begin { sql: self.store.begin_sql(), lock: lock_user(self.kind, &self.user_id) },
        })
    }

    /// Returns the answer to a query, and records the outcome of the previous group if its COMMIT was
    /// sent with it.
    async fn answered<T>(&mut self, asked: Result<Asked<T>, StoreError>) -> Result<T, StoreError> {
        let Asked { answers: Answers { writes, commit, begin, question }, lock } = asked?;
        if commit.is_some() {
            self.previous_end = Some(ended(&mut self.connection, writes, commit));
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
            (_, None) => Err(StoreError::Internal("a query of a transaction was not sent")),
        }
    }

    /// Defers a statement until the next query or COMMIT.
    pub(crate) fn write<S>(&mut self, statement: S)
    where
        S: QueryFragment<Pg> + QueryId + Send + Sync + 'static,
    {
        self.defer(statement, None, None, None);
    }

    /// Defers a statement that may become part of the last statement. It then sees the rows as they were
    /// before all other parts, so no two parts may affect the same row.
    pub(crate) fn write_part<S>(&mut self, name: &'static str, statement: S)
    where
        S: QueryFragment<Pg> + QueryId + Send + Sync + 'static,
    {
        self.defer(statement, Some(name), None, None);
    }

    fn defer<S>(
        &mut self,
        statement: S,
        part: Option<&'static str>,
        changed: Option<&'static str>,
        rows: Option<NamedRows>,
    ) where
        S: QueryFragment<Pg> + QueryId + Send + Sync + 'static,
    {
        let (id, statement) = (S::query_id(), Box::new(statement));
        self.writes.push(Deferred { id, statement, part, changed, rows });
    }

    /// Sends the deferred writes. If figures are only computed, their images are read instead.
    pub(crate) async fn flush(&mut self) -> Result<(), StoreError> {
        self.read_images().await?;
        self.note_changes().await?;
        let writes = self.take_writes();
        if writes.is_empty() {
            return Ok(());
        }
        self.begin().await?;
        self.send(writes).await
    }

    /// Sends writes and waits for their answers.
    async fn send(&mut self, writes: Vec<CteStatement>) -> Result<(), StoreError> {
        let names: Vec<StatementName> = writes.iter().map(|write| write.name().to_vec()).collect();
        let Answers { writes: answers, .. } =
            exchange(&self.connection, writes, false, None, ready(())).await;
        // A failed statement may have failed while it was prepared.
        let answered = names.into_iter().zip(&answers).filter(|(_, answer)| answer.is_ok());
        self.connection.prepared(answered.map(|(name, _)| name));
        written(&self.connection, answers)
    }

    /// Ends the transaction with a statement that is sent with COMMIT, and has as its parts those that were
    /// written and not sent yet.
    ///
    /// # Errors
    /// If a write that cannot wait for COMMIT failed; then the transaction is rolled back.
    pub(crate) async fn end_with(
        mut self,
        mut last: CteStatement,
    ) -> Result<UnsentCommit<'p>, StoreError> {
        if self.is_distributed {
            return self.end_distributed(Some(last)).await;
        }
        let (first, parts) = self.split_writes();
        let dates = std::mem::take(&mut self.changed_dates);
        let record = self.record(&parts, dates);
        parts.into_iter().for_each(|part| part.add_to(&mut last));
        if let Some((id, record)) = record {
            last.add(RecordChanges::PART, Some(id), record);
        }
        self.end(first, [last]).await
    }

    async fn end(
        mut self,
        mut writes: Vec<CteStatement>,
        last: impl IntoIterator<Item = CteStatement>,
    ) -> Result<UnsentCommit<'p>, StoreError> {
        if !self.begun {
            self.begin().await?;
        }
        writes.extend(last);
        // The connection prepares an unknown statement first, so its execution would come after COMMIT.
        if !self.connection.has_prepared(writes.iter().map(CteStatement::name))
            && let Err(error) = self.send(std::mem::take(&mut writes)).await
        {
            return Err(self.rolled_back(error).await);
        }
        let Self { connection, store, .. } = self;
        Ok(UnsentCommit { connection, store, writes })
    }

    /// Commits the transaction.
    ///
    /// # Errors
    /// As [`UnsentCommit::commit`].
    pub async fn commit(mut self) -> Result<(), StoreError> {
        if self.is_distributed {
            return self.end_distributed(None).await?.commit().await;
        }
        let writes = self.take_writes();
        let dates = std::mem::take(&mut self.changed_dates);
        let record = self.record(&[], dates);
        let record = record.map(|(id, record)| CteStatement::alone(Some(id), record));
        self.end(writes, record).await?.commit().await
    }

    /// Rolls back and returns the error that caused it. An error of the rollback itself is less
    /// important, and its connection is closed anyway.
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

    /// The connection, for uses that are neither query nor write. The transaction has begun by then, and
    /// the deferred writes are sent.
    pub(crate) async fn connection(&mut self) -> Result<&mut PooledConnection<'p>, StoreError> {
        self.flush().await?;
        if !self.begun {
            self.begin().await?;
        }
        Ok(&mut self.connection)
    }

    /// The server's process of the transaction.
    pub fn process(&self) -> i32 {
        self.connection.process()
    }

    /// The user of the group.
    pub fn user_id(&self) -> UserId {
        self.user_id.clone()
    }

    /// The kind of the group.
    pub const fn kind(&self) -> Kind {
        self.kind
    }
}
