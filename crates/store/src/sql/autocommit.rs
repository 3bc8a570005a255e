//! Statements that are committed at once.

use diesel::QueryResult;
use diesel::result::Error as DieselError;
use diesel_async::methods::{ExecuteDsl, LoadQuery};
use diesel_async::{
    AnsiTransactionManager, AsyncPgConnection, RunQueryDsl, SimpleAsyncConnection,
    TransactionManager,
};

use crate::connection::session::Pooler;
use crate::error::{ErrorClass, StoreError};
use crate::pool::{PooledConnection, Store};

impl Store {
    /// Runs a statement on a connection held for `purpose` and loads its rows.
    ///
    /// # Errors
    /// If the database fails, or does not answer in time; the statement is then cancelled.
    pub(crate) async fn load<'q, S, U>(
        &self,
        purpose: &'static str,
        statement: S,
    ) -> Result<Vec<U>, StoreError>
    where
        S: LoadQuery<'q, AsyncPgConnection, U> + Clone + Send + 'q,
        U: Send,
    {
        match self.load_once(purpose, statement.clone()).await {
            Err(error) if error.class() == ErrorClass::StaleSession => {
                self.load_once(purpose, statement).await
            }
            answer => answer,
        }
    }

    async fn load_once<'q, S, U>(
        &self,
        purpose: &'static str,
        statement: S,
    ) -> Result<Vec<U>, StoreError>
    where
        S: LoadQuery<'q, AsyncPgConnection, U> + Send + 'q,
        U: Send,
    {
        let mut connection = self.hold(purpose).await?;
        self.begin_single(&mut connection).await?;
        let asked = self.in_time(RunQueryDsl::load(statement, &mut connection)).await;
        self.end_single(connection, asked).await
    }

    /// Runs a statement on a connection held for `purpose` and returns the number of affected rows.
    ///
    /// # Errors
    /// As [`Store::load`].
    pub(crate) async fn execute<S>(
        &self,
        purpose: &'static str,
        statement: S,
    ) -> Result<usize, StoreError>
    where
        S: ExecuteDsl<AsyncPgConnection> + Clone + Send,
    {
        match self.execute_once(purpose, statement.clone()).await {
            Err(error) if error.class() == ErrorClass::StaleSession => {
                self.execute_once(purpose, statement).await
            }
            answer => answer,
        }
    }

    async fn execute_once<S>(
        &self,
        purpose: &'static str,
        statement: S,
    ) -> Result<usize, StoreError>
    where
        S: ExecuteDsl<AsyncPgConnection> + Send,
    {
        let mut connection = self.hold(purpose).await?;
        self.begin_single(&mut connection).await?;
        let asked = self.in_time(RunQueryDsl::execute(statement, &mut connection)).await;
        self.end_single(connection, asked).await
    }

    async fn begin_single(&self, connection: &mut PooledConnection<'_>) -> Result<(), StoreError> {
        connection.unfinished = true;
        if self.pooler() == Pooler::Transaction { self.begin(connection).await } else { Ok(()) }
    }

    async fn end_single<T>(
        &self,
        mut connection: PooledConnection<'_>,
        asked: Result<QueryResult<T>, StoreError>,
    ) -> Result<T, StoreError> {
        let in_transaction = self.pooler() == Pooler::Transaction;
        // Send nothing more to an unresponsive server, except the request to cancel.
        let answer = match asked?.map_err(|cause| connection.error(cause)) {
            Err(error) => {
                if in_transaction {
                    let rolled_back =
                        AnsiTransactionManager::rollback_transaction(&mut *connection);
                    let _ = self.in_time(rolled_back).await;
                }
                Err(error)
            }
            Ok(answer) if in_transaction => {
                let committing = AnsiTransactionManager::commit_transaction(&mut *connection);
                let committed = self.in_time(committing).await?;
                committed.map(|()| answer).map_err(|cause| connection.error(cause))
            }
            Ok(answer) => Ok(answer),
        };
        connection.unfinished = false;
        connection.answered = answer.is_ok();
        answer
    }

    /// Begins a transaction. Behind a pooler in transaction mode, its settings follow BEGIN.
    ///
    /// # Errors
    /// If the database fails.
    pub(crate) async fn begin(
        &self,
        connection: &mut PooledConnection<'_>,
    ) -> Result<(), StoreError> {
        self.begin_with(connection, &format!("BEGIN;{}", self.in_transaction())).await
    }

    /// The SQL that begins a group's transaction. Its isolation level is explicit. At another level,
    /// which may be the default of a role or database, it would see nothing newer than the moment at
    /// which it began to wait for its lock.
    pub(crate) fn begin_sql(&self) -> String {
        format!("BEGIN ISOLATION LEVEL READ COMMITTED;{}", self.in_transaction())
    }

    /// Begins a transaction by a statement other than a plain `BEGIN`.
    ///
    /// # Errors
    /// If the database fails.
    pub(crate) async fn begin_by(
        &self,
        connection: &mut PooledConnection<'_>,
        begin: &'static str,
    ) -> Result<(), StoreError> {
        self.begin_with(connection, &format!("{begin};{}", self.in_transaction())).await
    }

    /// Begins a transaction by the given SQL.
    ///
    /// # Errors
    /// If the database fails.
    pub(crate) async fn begin_with(
        &self,
        connection: &mut PooledConnection<'_>,
        begin: &str,
    ) -> Result<(), StoreError> {
        let begun = AnsiTransactionManager::begin_transaction_sql(&mut **connection, begin);
        match self.in_time(begun).await? {
            Ok(()) => Ok(()),
            Err(cause) => Err(self.not_begun(connection, cause).await),
        }
    }

    /// Cleans up after a failed BEGIN, and returns the error.
    pub(crate) async fn not_begun(
        &self,
        connection: &mut PooledConnection<'_>,
        cause: DieselError,
    ) -> StoreError {
        let error = connection.error(cause);
        // The transaction may have begun before a setting was refused, and diesel does not know of it.
        let rolled_back = self.in_time(connection.batch_execute("ROLLBACK")).await;
        connection.unfinished &= !matches!(rolled_back, Ok(Ok(())));
        error
    }

    /// Waits for an answer no longer than the server's own limit, plus a margin for the network.
    pub(crate) async fn in_time<T>(
        &self,
        question: impl Future<Output = T>,
    ) -> Result<T, StoreError> {
        let limit = self.command_timeout();
        let answer = tokio::time::timeout(limit, question).await;
        answer.map_err(|_| StoreError::NoAnswer(limit.as_secs_f64()))
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use aggregation::local_time::Zone;
    use chrono::NaiveDate;
    use diesel::sql_types::{Array, Text};
    use local_postgres::{Binaries, LocalPostgres};

    use crate::sql::statement::statement;
    use crate::{PoolSettings, Pooler, SessionSettings, Store, migrate};

    statement! {
        struct ReadPrepared {} -> (Array<Text>)
        "SELECT array_agg(statement ORDER BY statement) FROM pg_prepared_statements"
    }

    async fn prepared(store: &Store) -> Vec<String> {
        let rows: Vec<(Vec<String>,)> = store.load("test", ReadPrepared {}).await.unwrap();
        rows.into_iter().next().unwrap().0
    }

    /// Queries of diesel's query builder.
    async fn ask(store: &Store, user_id: i64) {
        let date = NaiveDate::from_ymd_opt(2024, 5, 1).unwrap();
        store.status(5).await.unwrap();
        store.pending(&[]).await.unwrap();
        store.clock().await.unwrap();
        store.forget_old_alerts().await.unwrap();
        store.user_days(&user_id.into(), date, date, "UTC".parse::<Zone>().unwrap()).await.unwrap();
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn a_connection_prepares_each_statement_once_whatever_its_parameters() {
        let server =
            LocalPostgres::start_with(&Binaries::find_or_install(|_| {}).unwrap(), &[]).unwrap();
        let pool = PoolSettings {
            max_size: 1,
            min_idle: 1,
            wait_timeout: Duration::from_secs(10),
            max_lifetime: Duration::from_secs(300),
            idle_timeout: Duration::from_secs(300),
            test_on_checkout: true,
            connect_timeout: Duration::from_secs(10),
            slow_hold: Duration::from_secs(60),
        };
        let session = SessionSettings {
            statement_timeout: Duration::from_secs(30),
            lock_timeout: Duration::from_secs(10),
            idle_in_transaction_timeout: Duration::from_secs(30),
            transaction_timeout: Duration::from_secs(45),
            jit: false,
            synchronous_commit: false,
            application_name: "dayfold-test".to_owned(),
            pooler: Pooler::None,
            schema: None,
        };
        let store =
            Store::connect(&server.url("postgres"), pool, &session, &|_| None).await.unwrap();
        migrate(&store, Duration::from_secs(10)).await.unwrap();
        ask(&store, 1).await;
        let first = prepared(&store).await;
        ask(&store, 2).await;
        ask(&store, 3).await;

        assert_eq!(prepared(&store).await, first, "nothing is prepared a second time");
        for table in ["aggregation_runs", "alert_outbox", "vitals_hourly", "sleep_daily"] {
            let of_table = |sql: &&String| sql.contains(&format!("\"{table}\""));
            assert_eq!(first.iter().filter(of_table).count(), 1, "{table}: {first:#?}");
        }
    }
}
