//! Writes of figures in a distributed schema of Citus.
//!
//! Citus plans a statement for the node that holds the schema only if its parts insert nothing. Otherwise it runs the
//! parts one by one, and a later one sees the rows of the earlier ones. So each write is a statement of its own here,
//! and the dates whose figures change are asked for before they are written.
//!
//! The ids of transactions in the feed of changed days are those of the node to which the worker is connected. A
//! query that reads a table would return those of the node that holds the schema.

use std::sync::Arc;

use aggregation::UserId;
use chrono::NaiveDate;
use diesel::QueryResult;
use diesel::pg::Pg;
use diesel::query_builder::{AstPass, Query, QueryFragment, QueryId};
use diesel::sql_types::{Date, Integer, Text};
use diesel_async::RunQueryDsl;
use futures_util::future::{try_join, try_join_all};

use super::{GroupTransaction, UnsentCommit};
use crate::cte::{AnyStatement, CteStatement};
use crate::error::StoreError;
use crate::pool::Store;
use crate::sql::figure_table::FigureTable;
use crate::sql::user_key::UserKey;
use crate::statement::statement;

statement! {
    struct ReadTransaction {} -> (Text)
    "SELECT pg_current_xact_id()::text"
}

statement! {
    struct ReadEpoch {} -> (Integer)
    "SELECT coalesce((SELECT f.epoch FROM figure_feed AS f), 1)"
}

statement! {
    struct RecordDate {
        epoch: i32 => Integer,
        transaction: String => Text,
        user_id: UserId => UserKey,
        local_date: NaiveDate => Date,
        kind: &'static str => Text,
    } -> ()
    "INSERT INTO figure_changes (epoch, transaction_id, user_id, local_date, kind)
     VALUES ({epoch}, {transaction}::text::xid8, {user_id}, {local_date}, {kind})"
}

/// The rows of a query that is part of two statements.
pub(super) struct SharedRows<S>(pub(super) Arc<S>);

impl<S: QueryId> QueryId for SharedRows<S> {
    type QueryId = S::QueryId;
    const HAS_STATIC_QUERY_ID: bool = S::HAS_STATIC_QUERY_ID;
}

impl<S: QueryFragment<Pg>> QueryFragment<Pg> for SharedRows<S> {
    fn walk_ast<'b>(&'b self, out: AstPass<'_, 'b, Pg>) -> QueryResult<()> {
        self.0.walk_ast(out)
    }
}

/// Computed rows of a table, with the names of its columns.
pub(super) struct NamedRows {
    pub(super) table: &'static FigureTable,
    pub(super) rows: Arc<dyn QueryFragment<Pg> + Send + Sync>,
}

impl QueryFragment<Pg> for NamedRows {
    fn walk_ast<'b>(&'b self, mut out: AstPass<'_, 'b, Pg>) -> QueryResult<()> {
        out.push_sql("SELECT * FROM (");
        self.rows.walk_ast(out.reborrow())?;
        out.push_sql(") AS computed (");
        out.push_sql(self.table.columns());
        out.push_sql(")");
        Ok(())
    }
}

/// The dates whose figures a part changes.
struct ChangedDates {
    name: &'static str,
    part: AnyStatement,
    query: &'static str,
}

// There is no static id: a connection caches the statement by its text.
impl QueryId for ChangedDates {
    type QueryId = ();
    const HAS_STATIC_QUERY_ID: bool = false;
}

impl Query for ChangedDates {
    type SqlType = (Date,);
}

impl QueryFragment<Pg> for ChangedDates {
    fn walk_ast<'b>(&'b self, mut out: AstPass<'_, 'b, Pg>) -> QueryResult<()> {
        out.push_sql("WITH ");
        out.push_sql(self.name);
        out.push_sql(" AS (");
        self.part.walk_ast(out.reborrow())?;
        out.push_sql(") ");
        out.push_sql(self.query);
        Ok(())
    }
}

impl Store {
    /// Whether Citus places the schema on one of its nodes. It is asked once.
    pub(super) async fn learn_distribution(&self) -> Result<bool, StoreError> {
        if let Some(known) = self.known_distribution().get() {
            return Ok(*known);
        }
        let is_distributed = self.citus().await?.is_some_and(|citus| citus.is_distributed);
        Ok(*self.known_distribution().get_or_init(|| is_distributed))
    }

    /// Whether the schema is known to be a distributed one of Citus.
    pub(super) fn is_distributed(&self) -> bool {
        self.known_distribution().get() == Some(&true)
    }
}

impl<'p> GroupTransaction<'p> {
    /// Notes the dates whose figures the deferred writes change, if the schema is distributed. Those that write no
    /// computed rows are sent thereby.
    pub(super) async fn note_changes(&mut self) -> Result<(), StoreError> {
        let has_changes = self.writes.iter().any(|write| write.changed.is_some());
        if !self.is_distributed || !self.records_changes || !has_changes {
            return Ok(());
        }
        self.begin().await?;
        let (mut questions, mut left) = (Vec::new(), Vec::new());
        for mut write in std::mem::take(&mut self.writes) {
            let (Some(name), Some(query)) = (write.part, write.changed.take()) else {
                left.push(write);
                continue;
            };
            let part = match write.rows.take() {
                Some(rows) => {
                    left.push(write);
                    Box::new(rows) as AnyStatement
                }
                None => write.statement,
            };
            questions.push(ChangedDates { name, part, query });
        }
        self.writes = left;
        let connection = &self.connection;
        let ask = move |question: ChangedDates| async move {
            let mut shared = &**connection;
            let dates: QueryResult<Vec<(NaiveDate,)>> =
                RunQueryDsl::load(question, &mut shared).await;
            dates.map_err(|cause| connection.error(cause))
        };
        let dates = try_join_all(questions.into_iter().map(ask)).await?;
        self.changed_dates.extend(dates.into_iter().flatten().map(|(date,)| date));
        Ok(())
    }

    /// Ends the transaction with a statement that is sent with COMMIT, behind those that were not sent yet.
    pub(super) async fn end_distributed(
        mut self,
        last: Option<CteStatement>,
    ) -> Result<UnsentCommit<'p>, StoreError> {
        let noted = match self.note_changes().await {
            Ok(()) => self.changes().await,
            Err(error) => Err(error),
        };
        let changes = match noted {
            Ok(changes) => changes,
            Err(error) => return Err(self.rolled_back(error).await),
        };
        let mut writes = self.take_writes();
        writes.extend(changes);
        self.end(writes, last).await
    }

    /// The statements that record the changed dates.
    async fn changes(&mut self) -> Result<Vec<CteStatement>, StoreError> {
        let mut dates = std::mem::take(&mut self.changed_dates);
        if dates.is_empty() {
            return Ok(Vec::new());
        }
        dates.sort_unstable();
        dates.dedup();
        self.begin().await?;
        let (mut to_first, mut to_second) = (&*self.connection, &*self.connection);
        let asked = try_join(
            ReadTransaction {}.load::<(String,)>(&mut to_first),
            ReadEpoch {}.load::<(i32,)>(&mut to_second),
        );
        let (transaction, epoch) = asked.await.map_err(|cause| self.connection.error(cause))?;
        let transaction = transaction.into_iter().next().unwrap_or_default().0;
        let epoch = epoch.into_iter().next().map_or(1, |(epoch,)| epoch);
        let (user_id, kind) = (self.user_id(), self.kind().name());
        let record = |local_date| {
            let (user_id, transaction) = (user_id.clone(), transaction.clone());
            let record = RecordDate { epoch, transaction, user_id, local_date, kind };
            CteStatement::alone(RecordDate::query_id(), Box::new(record))
        };
        Ok(dates.into_iter().map(record).collect())
    }
}
