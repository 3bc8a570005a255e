//! Takes connections from the pool.

use std::any::TypeId;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use diesel::result::Error as DieselError;
use diesel_async::{AnsiTransactionManager, AsyncPgConnection, TransactionManager};
use tokio::sync::SemaphorePermit;

use super::holds::{Hold, warn_of_slow_hold};
use super::manager::{Manager, PoolError};
use super::{Shared, Store, lock};
use crate::connection::connect::Connected;
use crate::error::StoreError;
use crate::sql::cte::StatementName;

/// Pause before the pool is asked again after a failed attempt to connect.
const ASK_AGAIN: Duration = Duration::from_millis(200);

impl Store {
    /// Takes a connection for `purpose`, which the warning about long holds names.
    ///
    /// If none is free and connecting fails, the error is returned at once: waiting for the whole
    /// time-out would only delay the reaction.
    pub(crate) async fn hold(
        &self,
        purpose: &'static str,
    ) -> Result<PooledConnection<'_>, StoreError> {
        let waiter = Waiter::new(&self.shared.waiting);
        let since = Instant::now();
        let turn = self.turn().await;
        let connection = self.get_or_fail().await;
        drop(waiter);
        let waited = since.elapsed();
        self.shared.longest_wait.fetch_max(waited.as_micros() as u64, Ordering::Relaxed);
        metrics::histogram!("dayfold_pool_wait_seconds").record(waited);
        match connection {
            Ok(connection) => {
                let since = Instant::now();
                let mut holds = lock(&self.shared.holds);
                holds.last += 1;
                let number = holds.last;
                holds.now.insert(number, Hold { purpose, since, warned: false });
                Ok(PooledConnection {
                    pooled: connection,
                    turn,
                    unfinished: false,
                    answered: false,
                    shared: &self.shared,
                    number,
                    purpose,
                    since,
                })
            }
            Err(error) => Err(self.no_connection(since.elapsed(), &error)),
        }
    }

    /// Takes a connection for long work, for which no warning is logged.
    pub(crate) async fn hold_for_long(
        &self,
        purpose: &'static str,
    ) -> Result<PooledConnection<'_>, StoreError> {
        let mut held = self.hold(purpose).await?;
        held.turn = None;
        lock(&self.shared.holds).now.remove(&held.number);
        Ok(held)
    }

    async fn get_or_fail(
        &self,
    ) -> Result<bb8::PooledConnection<'_, Manager>, bb8::RunError<PoolError>> {
        let since = Instant::now();
        loop {
            tokio::select! {
                biased;
                result = self.pool.get() => match result {
                    // Dropping the connection closes it.
                    Ok(pooled) if self.shared.has_replaced(&pooled.connection) => continue,
                    result => return result,
                },
                () = self.shared.connect_failed.notified() => {}
                () = self.waited_too_long(since) => return Err(bb8::RunError::TimedOut),
            }
            let none_left = self.pool.state().connections == 0;
            if none_left || since.elapsed() >= self.shared.settings.wait_timeout {
                return Err(bb8::RunError::TimedOut);
            }
            // A connection in use may be returned meanwhile. Asking again also makes the pool try to
            // connect.
            tokio::time::sleep(ASK_AGAIN).await;
        }
    }

    /// Returns when the wait for a connection since this time is too long. A wait for a place in the server's budget
    /// has its own limit.
    async fn waited_too_long(&self, since: Instant) {
        if self.shared.target.share().is_none() {
            // The pool's own limit applies.
            return std::future::pending().await;
        }
        let longest = self.shared.settings.wait_timeout;
        tokio::time::sleep(longest.saturating_sub(since.elapsed())).await;
        while self.pool.state().connections == 0 {
            tokio::time::sleep(ASK_AGAIN).await;
        }
    }

    /// Converts an error of the pool. bb8 reports every error as a time-out, so the last connection
    /// error tells an unreachable server from a pool with all connections in use.
    fn no_connection(&self, waited: Duration, error: &bb8::RunError<PoolError>) -> StoreError {
        let connect_error = match error {
            bb8::RunError::User(error) => Some(error.to_string()),
            bb8::RunError::TimedOut => lock(&self.shared.last_connect_error).clone(),
        };
        if connect_error.is_none() {
            *lock(&self.shared.last_timed_out) = Some(Instant::now());
            metrics::counter!("dayfold_pool_timeouts_total").increment(1);
        }
        let state = self.pool.state();
        StoreError::NoConnection {
            unreachable: connect_error.is_some(),
            waited_seconds: waited.as_secs_f64(),
            open: state.connections,
            max: self.shared.settings.max_size,
            waiting: self.shared.waiting.load(Ordering::Relaxed),
            cause: match connect_error {
                Some(cause) => format!(": {cause}"),
                None => self.holders(),
            },
        }
    }

    /// The holders of the pool's connections, for messages.
    fn holders(&self) -> String {
        let holds = lock(&self.shared.holds);
        let holders: Vec<String> = holds
            .now
            .values()
            .map(|hold| format!("{} for {:.1} s", hold.purpose, hold.since.elapsed().as_secs_f64()))
            .collect();
        if holders.is_empty() { String::new() } else { format!(": held by {}", holders.join(", ")) }
    }
}

/// A connection in use. Dropping it returns it to the pool.
pub(crate) struct PooledConnection<'p> {
    pooled: bb8::PooledConnection<'p, Manager>,
    /// Ends after the connection has returned to the pool, as fields are dropped in order.
    turn: Option<SemaphorePermit<'p>>,
    /// Whether a statement may still run on it, which a drop now would leave without a reader.
    pub(crate) unfinished: bool,
    /// Whether its last statement succeeded.
    pub(crate) answered: bool,
    shared: &'p Shared,
    number: u64,
    purpose: &'static str,
    since: Instant,
}

impl PooledConnection<'_> {
    /// Cancels the running statement at the server. Otherwise the server would notice the closed
    /// connection only at the end of the statement, and hold the locks until then. The connection is not
    /// reused, because the cancel request could hit the next statement.
    fn abandon(&mut self) {
        AnsiTransactionManager::transaction_manager_status_mut(&mut **self).set_in_error();
        if let Ok(runtime) = tokio::runtime::Handle::try_current() {
            let Connected { connection, link } = &self.pooled.connection;
            let cancelling = link.cancel(connection.cancel_token());
            runtime.spawn(tokio::time::timeout(self.shared.target.timeout(), cancelling));
        }
    }

    /// Converts a driver's error and adds the server's error fields.
    pub(crate) fn error(&self, cause: DieselError) -> StoreError {
        let error = self.pooled.connection.link.error(cause);
        if error.class().concerns_all_connections(error.sqlstate()) {
            *lock(&self.shared.replaced) = Some(Instant::now());
        }
        error
    }

    /// The server's process for this connection.
    pub(crate) fn process(&self) -> i32 {
        self.pooled.connection.link.process()
    }

    /// Records that statements are prepared on it. Statements without a name cannot be recognised again.
    pub(crate) fn prepared(&mut self, statements: impl Iterator<Item = StatementName>) {
        self.pooled.prepared.extend(statements.filter(|name| !name.is_empty()));
    }

    /// Whether all statements are prepared on it, so that no later message overtakes them.
    pub(crate) fn has_prepared<'n>(
        &self,
        mut statements: impl Iterator<Item = &'n [TypeId]>,
    ) -> bool {
        statements.all(|name| self.pooled.prepared.contains(name))
    }

    /// Time since the connection was taken.
    pub(crate) fn held(&self) -> Duration {
        self.since.elapsed()
    }
}

impl std::ops::Deref for PooledConnection<'_> {
    type Target = AsyncPgConnection;

    fn deref(&self) -> &AsyncPgConnection {
        &self.pooled.connection
    }
}

impl std::ops::DerefMut for PooledConnection<'_> {
    fn deref_mut(&mut self) -> &mut AsyncPgConnection {
        &mut self.pooled.connection
    }
}

impl Drop for PooledConnection<'_> {
    fn drop(&mut self) {
        if self.unfinished {
            self.abandon();
        }
        // After an error it is validated before the next use, because the server may have closed it.
        self.pooled.worked = self.answered.then(Instant::now);
        let held = self.held();
        metrics::histogram!("dayfold_pool_hold_seconds", "purpose" => self.purpose).record(held);
        let watched = lock(&self.shared.holds).now.remove(&self.number).is_some();
        if watched && held > self.shared.settings.slow_hold {
            warn_of_slow_hold(self.purpose, held, false);
        }
    }
}

/// Counts a waiting task, and stops counting it if its wait is cancelled.
struct Waiter<'a>(&'a AtomicU32);

impl<'a> Waiter<'a> {
    fn new(count: &'a AtomicU32) -> Self {
        count.fetch_add(1, Ordering::Relaxed);
        Self(count)
    }
}

impl Drop for Waiter<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}
