//! Reading any number of rows: first a limited number at once, and where there are more, by a cursor.
//!
//! Each FETCH is a statement of its own, so that the server's time-out bounds a portion and not the whole date,
//! however many rows an app has stored for it.

use std::marker::PhantomData;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use diesel::QueryResult;
use diesel::pg::Pg;
use diesel::query_builder::{AstPass, Query, QueryFragment, QueryId};
use diesel::sql_types::Text;
use diesel_async::methods::LoadQuery;
use diesel_async::{AsyncPgConnection, RunQueryDsl, SimpleAsyncConnection};

use super::GroupTransaction;
use crate::error::StoreError;
use crate::sql::statement::statement;

/// A group with more rows than this reads them in portions. Fewer are read at once, which saves messages.
pub(crate) const MOST_AT_ONCE: i64 = 5_000;

/// The rows of a portion, which are in memory together: a laboratory result may have 25 kB of text. They are visited
/// when all of them are there, so that the server's time-out does not count what the worker does with them.
pub(crate) const PORTION: i64 = 250;

/// How the rows of a date are read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ReadMode {
    /// In one message with other questions, and only if they are few.
    AtOnce,
    /// By a cursor, however many there are.
    InPortions,
}

impl ReadMode {
    /// The LIMIT of a statement of which `most` rows may be read at once: one more, so that too many can be told from
    /// enough.
    pub(crate) const fn limit(self, most: i64) -> Option<i64> {
        match self {
            Self::AtOnce => Some(most + 1),
            Self::InPortions => None,
        }
    }
}

/// How many portions a transaction has read: a sign that it goes on, however long it takes.
#[derive(Clone, Debug, Default)]
pub struct Progress(Arc<AtomicU64>);

impl Progress {
    /// The number of portions so far.
    pub fn portions(&self) -> u64 {
        AtomicU64::load(&self.0, Ordering::Relaxed)
    }
}

statement! {
    /// A transaction that reads in portions may take longer than one that does not; the time-out of statements
    /// bounds each of its portions. Servers before version 17 do not have the setting.
    struct LiftTransactionTimeout {} -> (Text)
    "SELECT set_config(name, '0', true) FROM pg_settings WHERE name = 'transaction_timeout'"
}

/// Declares a cursor for a statement.
struct Declare<S> {
    cursor: &'static str,
    statement: S,
}

/// The name under which connections cache the declaration for a statement.
struct DeclareId<I>(PhantomData<I>);

impl<S: QueryId> QueryId for Declare<S> {
    type QueryId = DeclareId<S::QueryId>;
    const HAS_STATIC_QUERY_ID: bool = S::HAS_STATIC_QUERY_ID;
}

impl<S: QueryFragment<Pg>> QueryFragment<Pg> for Declare<S> {
    fn walk_ast<'b>(&'b self, mut out: AstPass<'_, 'b, Pg>) -> QueryResult<()> {
        out.push_sql("DECLARE ");
        out.push_sql(self.cursor);
        out.push_sql(" NO SCROLL CURSOR FOR ");
        self.statement.walk_ast(out)
    }
}

/// Fetches the next portion of a statement's cursor.
pub(crate) struct Fetch<S> {
    cursor: &'static str,
    statement: PhantomData<fn() -> S>,
}

/// The name under which connections cache the FETCH for a statement.
pub(crate) struct FetchId<I>(PhantomData<I>);

impl<S: QueryId> QueryId for Fetch<S> {
    type QueryId = FetchId<S::QueryId>;
    const HAS_STATIC_QUERY_ID: bool = S::HAS_STATIC_QUERY_ID;
}

impl<S: Query> Query for Fetch<S> {
    type SqlType = S::SqlType;
}

impl<S> QueryFragment<Pg> for Fetch<S> {
    fn walk_ast<'b>(&'b self, mut out: AstPass<'_, 'b, Pg>) -> QueryResult<()> {
        out.push_sql("FETCH FORWARD ");
        out.push_sql(&PORTION.to_string());
        out.push_sql(" FROM ");
        out.push_sql(self.cursor);
        Ok(())
    }
}

impl GroupTransaction<'_> {
    /// Has `progress` count the portions that are read.
    pub fn report_to(&mut self, progress: &Progress) {
        self.progress = progress.clone();
    }

    /// Visits the rows of a statement whose LIMIT is [`ReadMode::limit`] of `most`. Returns whether it did: if there
    /// are more rows than may be read at once, it visits none.
    ///
    /// # Errors
    /// If the database fails, or the visitor does.
    pub(crate) async fn visit_rows<'q, S, U>(
        &mut self,
        (reading, most): (ReadMode, i64),
        cursor: &'static str,
        statement: S,
        visit: impl FnMut(U) -> Result<(), StoreError> + Send,
    ) -> Result<bool, StoreError>
    where
        S: for<'c> LoadQuery<'q, &'c AsyncPgConnection, U>
            + QueryFragment<Pg>
            + QueryId
            + Send
            + Sync
            + 'static,
        Fetch<S>: for<'c> LoadQuery<'q, &'c AsyncPgConnection, U> + Send + 'q,
        U: Send,
    {
        if reading == ReadMode::InPortions {
            self.read_in_portions(cursor, statement, visit).await?;
            return Ok(true);
        }
        let rows: Vec<U> = self.read(statement).await?;
        let is_enough = rows.len() as i64 <= most;
        if is_enough {
            rows.into_iter().try_for_each(visit)?;
        }
        Ok(is_enough)
    }

    /// Visits the rows of a statement, portion by portion. Each statement has a cursor of its own, because a
    /// connection prepares the FETCH with the columns of the cursor.
    ///
    /// # Errors
    /// If the database fails, or the visitor does.
    pub(crate) async fn read_in_portions<'q, S, U>(
        &mut self,
        cursor: &'static str,
        statement: S,
        mut visit: impl FnMut(U) -> Result<(), StoreError> + Send,
    ) -> Result<(), StoreError>
    where
        S: QueryFragment<Pg> + QueryId + Send + Sync + 'static,
        Fetch<S>: for<'c> LoadQuery<'q, &'c AsyncPgConnection, U> + Send + 'q,
        U: Send,
    {
        if !self.is_long {
            let _: Vec<(String,)> = self.read(LiftTransactionTimeout {}).await?;
            self.is_long = true;
        }
        let connection = self.connection().await?;
        let declared = RunQueryDsl::execute(Declare { cursor, statement }, &mut **connection).await;
        declared.map_err(|cause| connection.error(cause))?;
        loop {
            let fetch = Fetch::<S> { cursor, statement: PhantomData };
            let rows: Vec<U> = self.read(fetch).await?;
            let is_last = (rows.len() as i64) < PORTION;
            rows.into_iter().try_for_each(&mut visit)?;
            self.progress.0.fetch_add(1, Ordering::Relaxed);
            if is_last {
                break;
            }
        }
        let connection = self.connection().await?;
        let closed = connection.batch_execute(&format!("CLOSE {cursor}")).await;
        closed.map_err(|cause| connection.error(cause))
    }
}
