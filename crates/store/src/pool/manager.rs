//! Opens the connections of the pool and validates them.

use std::collections::HashSet;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use diesel_async::SimpleAsyncConnection;
use diesel_async::pooled_connection::PoolableConnection;

use super::{Shared, lock};
use crate::connection::connect::Connected;
use crate::error::{ConnectError, StoreError};
use crate::sql::cte::StatementName;

/// A connection used successfully within this time is not validated before the next use. This saves a
/// round trip for each group and for each poll of an idle service. The socket itself shows if the other
/// end was closed meanwhile.
const TRUSTED_FOR: Duration = Duration::from_secs(2);

impl Shared {
    /// Whether the connection cannot be used any more.
    pub(super) fn has_broken(&self, connection: &mut Connected) -> bool {
        std::thread::panicking()
            || connection.connection.is_broken()
            || self.has_replaced(connection)
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
    /// Time of its last return after success.
    pub(super) worked: Option<Instant>,
    /// Statements prepared on the connection, as far as the order of messages depends on them.
    pub(super) prepared: HashSet<StatementName>,
}

/// Opens connections, and validates them before use unless they were used a moment ago.
pub(super) struct Manager(pub(super) Arc<Shared>);

impl Manager {
    async fn open(&self) -> Result<Connected, ConnectError> {
        let ready = lock(&self.0.ready).pop();
        if let Some(ready) = ready {
            return Ok(ready);
        }
        let result = self.0.target.connect().await;
        *lock(&self.0.last_connect_error) = result.as_ref().err().map(ToString::to_string);
        if result.is_err() {
            self.0.connect_failed.notify_waiters();
        }
        result
    }
}

impl bb8::ManageConnection for Manager {
    type Connection = PoolMember;
    type Error = PoolError;

    async fn connect(&self) -> Result<PoolMember, PoolError> {
        let connection = self.open().await.map_err(PoolError::Connect)?;
        Ok(PoolMember { connection, worked: None, prepared: HashSet::new() })
    }

    async fn is_valid(&self, member: &mut PoolMember) -> Result<(), PoolError> {
        let trusted = member.worked.is_some_and(|worked| worked.elapsed() < TRUSTED_FOR);
        if trusted && !self.0.has_broken(&mut member.connection) {
            return Ok(());
        }
        let answered = member.connection.batch_execute("SELECT 1").await;
        answered.map_err(|cause| PoolError::Broken(member.connection.link.error(cause)))
    }

    /// Asked when a connection returns to the pool: it is closed if another target waits for its place.
    fn has_broken(&self, member: &mut PoolMember) -> bool {
        let is_idle = self.0.is_idle.load(Ordering::Relaxed);
        self.0.has_broken(&mut member.connection)
            || member.connection.link.is_due_to_others(is_idle)
    }
}
