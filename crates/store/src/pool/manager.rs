//! Opens the connections of the pool and validates them.

use std::collections::HashSet;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use diesel_async::SimpleAsyncConnection;
use diesel_async::pooled_connection::PoolableConnection;

use super::{Shared, lock};
use crate::connection::connect::Connected;
use crate::connection::server_budget::Need;
use crate::error::{ConnectError, StoreError};
use crate::sql::cte::StatementName;

/// A connection used successfully within this time is not validated before the next use. This saves a
/// round trip for each group and for each poll of an idle service. The socket itself shows if the other
/// end was closed meanwhile.
const TRUSTED_FOR: Duration = Duration::from_secs(2);

/// How often a new connection is checked to be needed still.
const LOOK_AGAIN: Duration = Duration::from_secs(1);

impl Shared {
    /// Whether the connection cannot be used any more.
    pub(super) fn has_broken(&self, connection: &mut Connected) -> bool {
        std::thread::panicking()
            || connection.connection.is_broken()
            || self.has_replaced(connection)
    }

    /// For what the target needs its connections.
    pub(super) fn need(&self) -> Need {
        let waits = self.waiting.load(Ordering::Relaxed) > 0;
        match self.turns.need() {
            Need::Nothing if waits => Need::Look,
            need => need,
        }
    }

    /// Returns when a new connection would take a place in the server's budget for nothing: the task that waited
    /// for it has got another one.
    async fn until_not_needed(&self) {
        if self.target.share().is_none() {
            return std::future::pending().await;
        }
        loop {
            tokio::time::sleep(LOOK_AGAIN).await;
            if self.need() == Need::Nothing {
                return;
            }
        }
    }

    /// Whether the connection was opened before a failure that requires all connections to be replaced.
    pub(super) fn has_replaced(&self, connection: &Connected) -> bool {
        lock(&self.replaced).is_some_and(|since| connection.link.opened <= since)
    }
}

/// The reason why the pool has no connection.
#[derive(Debug, thiserror::Error)]
pub(super) enum PoolError {
    /// Connecting failed.
    #[error(transparent)]
    Connect(ConnectError),
    /// The validation of an open connection failed.
    #[error(transparent)]
    Broken(StoreError),
    /// The task for which the connection was to be opened uses another one.
    #[error("the connection is not needed any more")]
    NotNeeded,
}

/// Logs connections that ended while idle. Otherwise a server or a network device that ends idle
/// sessions would stay unnoticed.
#[derive(Clone, Copy, Debug)]
pub(super) struct SayIdleEnded;

impl bb8::ErrorSink<PoolError> for SayIdleEnded {
    fn sink(&self, error: PoolError) {
        // The waiting task reports connection errors itself.
        if let PoolError::Broken(error) = error {
            tracing::info!(
                event = "idle_connection_ended",
                class = error.class().name(),
                sqlstate = error.sqlstate(),
                pid = error.server().map(|server| server.process),
                "an idle connection had ended; the pool opens another one: {error}"
            );
        }
    }

    fn boxed_clone(&self) -> Box<dyn bb8::ErrorSink<PoolError>> {
        Box::new(*self)
    }
}

/// A connection of the pool with its state.
pub(crate) struct PoolMember {
    pub(super) connection: Connected,
    /// Time of its log-in, or of its last return after success.
    pub(super) worked: Option<Instant>,
    /// Statements prepared on the connection, as far as the order of messages depends on them.
    pub(super) prepared: HashSet<StatementName>,
}

/// Opens connections, and validates them before use unless they were used a moment ago.
pub(super) struct Manager(pub(super) Arc<Shared>);

impl Manager {
    async fn open(&self) -> Result<Connected, PoolError> {
        let ready = lock(&self.0.ready).pop();
        if let Some(ready) = ready {
            return Ok(ready);
        }
        let result = tokio::select! {
            result = self.0.target.connect() => result,
            () = self.0.until_not_needed() => return Err(PoolError::NotNeeded),
        };
        *lock(&self.0.last_connect_error) = result.as_ref().err().map(ToString::to_string);
        if result.is_err() {
            self.0.connect_failed.notify_waiters();
        }
        result.map_err(PoolError::Connect)
    }
}

impl bb8::ManageConnection for Manager {
    type Connection = PoolMember;
    type Error = PoolError;

    async fn connect(&self) -> Result<PoolMember, PoolError> {
        let connection = self.open().await?;
        // The server has just answered its settings.
        Ok(PoolMember { connection, worked: Some(Instant::now()), prepared: HashSet::new() })
    }

    async fn is_valid(&self, member: &mut PoolMember) -> Result<(), PoolError> {
        if self.0.turns.is_returning() {
            return Ok(());
        }
        let trusted = member.worked.is_some_and(|worked| worked.elapsed() < TRUSTED_FOR);
        if trusted && !self.0.has_broken(&mut member.connection) {
            return Ok(());
        }
        let answered = member.connection.batch_execute("SELECT 1").await;
        answered.map_err(|cause| PoolError::Broken(member.connection.link.error(cause)))
    }

    /// Asked when a connection returns to the pool: it is closed if its place is due to another target.
    fn has_broken(&self, member: &mut PoolMember) -> bool {
        self.0.has_broken(&mut member.connection)
            || member.connection.link.is_due_to_others(self.0.need(), self.0.turns.is_idle())
    }
}
