//! A small, bounded pool of connections that reports its use.

mod checkout;
mod holds;
mod manager;
mod stats;
mod turns;

use std::fmt;
use std::sync::atomic::{AtomicU32, AtomicU64};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::{Duration, Instant};

use aggregation::{Kind, UserIdType};
use bb8::QueueStrategy;
use tokio::sync::Notify;
use tokio_postgres::Client;

use crate::connection::connect::{Connected, Link, Target};
use crate::connection::libpq::Variables;
use crate::connection::probe;
use crate::connection::server_budget::{ClosesShare, ServerBudgets};
use crate::connection::session::{Pooler, SessionSettings};
use crate::error::ConnectError;
use crate::queue::ScanWindow;
use holds::{Holds, warn_of_slow_holds};
use manager::{Manager, SayIdleEnded};
use turns::Turns;

pub(crate) use checkout::PooledConnection;
pub use stats::{PoolHealth, PoolStats};
pub use turns::{Drains, Looks};

/// Random part of a lifetime, as a fraction. It keeps workers that started together from all logging in
/// again at the same moment.
const LIFETIME_SPREAD: f64 = 0.1;

/// Extra wait for the server's report that a time-out ended the statement.
const GRACE: Duration = Duration::from_secs(1);

/// The pool's limit on waits if the budget of the server limits them.
const NO_LIMIT: Duration = Duration::from_secs(86_400);

/// The part of the pool's time-out for which a connection waits for a place in the server's budget.
const WAIT_FOR_PLACE: f64 = 0.9;

/// Size and time limits of the pool.
#[derive(Clone, Copy, Debug)]
pub struct PoolSettings {
    /// Maximum of open connections.
    pub max_size: u32,
    /// Connections kept open and idle.
    pub min_idle: u32,
    /// The maximum wait for a connection, including connecting and validation.
    pub wait_timeout: Duration,
    /// Maximum age of a connection, reduced at random by up to a tenth. Older connections are replaced.
    pub max_lifetime: Duration,
    /// Maximum idle time of a connection. Then it is closed.
    pub idle_timeout: Duration,
    /// Whether a connection is validated by a round trip before use.
    pub test_on_checkout: bool,
    /// Time limit of connecting, including the whole handshake.
    pub connect_timeout: Duration,
    /// A connection held for longer than this causes a warning.
    pub slow_hold: Duration,
}

/// The database as the rest of the worker uses it.
#[derive(Clone)]
pub struct Store {
    pool: bb8::Pool<Manager>,
    shared: Arc<Shared>,
    /// Held by all clones, and by nothing else.
    _share: Option<Arc<ClosesShare>>,
    /// Whether groups record the dates whose figures change.
    records_changes: bool,
}

struct Shared {
    /// The target of the pool's sessions.
    target: Target,
    /// The target of dedicated sessions: imports and migrations have no time limit, and their commits
    /// are durable.
    unlimited: Target,
    /// The maximum wait for the answer to one statement. The server's own time-out normally ends it
    /// earlier.
    command_timeout: Duration,
    lock_timeout: Duration,
    settings: PoolSettings,
    waiting: AtomicU32,
    last_timed_out: Mutex<Option<Instant>>,
    last_connect_error: Mutex<Option<String>>,
    connect_failed: Notify,
    /// Connections opened before the pool existed, which the pool takes first.
    ready: Mutex<Vec<Connected>>,
    /// Connections opened before this time are replaced.
    replaced: Mutex<Option<Instant>>,
    /// How this target shares its connections, and the server's, with others.
    turns: Turns,
    holds: Mutex<Holds>,
    /// Longest wait for a connection since the last query of it, in microseconds.
    longest_wait: AtomicU64,
    /// Scan windows: one for the poll, then one per kind.
    scan_windows: [Mutex<ScanWindow>; Kind::ALL.len() + 1],
    user_id_type: OnceLock<UserIdType>,
    /// Whether the schema is a distributed one of Citus.
    is_distributed: OnceLock<bool>,
}

impl fmt::Debug for Store {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Store").field("stats", &self.stats()).finish_non_exhaustive()
    }
}

impl Store {
    /// Connects once, so that a wrong URL, password or host is reported at once with its true cause.
    /// Then creates the pool around the connection.
    ///
    /// # Errors
    /// The reason why connecting failed.
    pub async fn connect(
        url: &str,
        settings: PoolSettings,
        session: &SessionSettings,
        variables: Variables<'_>,
    ) -> Result<Self, ConnectError> {
        Self::connect_within(url, settings, session, variables, None).await
    }

    /// As [`Store::connect`], but all connections have places in the budget of their server, if there are
    /// budgets. The pool then keeps no idle connection beside the busy ones.
    ///
    /// # Errors
    /// As [`Store::connect`], and if no place became free within most of `settings.wait_timeout`.
    pub async fn connect_within(
        url: &str,
        settings: PoolSettings,
        session: &SessionSettings,
        variables: Variables<'_>,
        budgets: Option<&ServerBudgets>,
    ) -> Result<Self, ConnectError> {
        let mut plain =
            Target::new(url, settings.connect_timeout, &session.application_name, variables)?;
        if let Some(budgets) = budgets {
            // Less than the pool's time-out, so that an error names the cause.
            plain = plain.within(budgets, settings.wait_timeout.mul_f64(WAIT_FOR_PLACE));
        }
        let share = plain.share().map(|share| Arc::new(ClosesShare(share)));
        let target = plain.with_session(session.limited())?;
        let ready = probe::proven(&target, settings.max_size).await?;
        let shared = Arc::new(Shared {
            target,
            unlimited: plain.with_session(session.unlimited())?,
            command_timeout: session.statement_timeout + GRACE,
            lock_timeout: session.lock_timeout,
            settings,
            waiting: AtomicU32::new(0),
            last_timed_out: Mutex::new(None),
            last_connect_error: Mutex::new(None),
            connect_failed: Notify::new(),
            // The pool takes over these connections. Closing them, or adding them to the pool's own,
            // would briefly open more than `max_size`.
            ready: Mutex::new(ready),
            replaced: Mutex::default(),
            turns: Turns::new(),
            holds: Mutex::default(),
            longest_wait: AtomicU64::new(0),
            scan_windows: Default::default(),
            user_id_type: OnceLock::new(),
            is_distributed: OnceLock::new(),
        });
        tokio::spawn(warn_of_slow_holds(Arc::downgrade(&shared)));
        let pool = bb8::Pool::builder()
            .max_size(settings.max_size)
            .min_idle(if budgets.is_some() { 0 } else { settings.min_idle })
            .connection_timeout(if budgets.is_some() { NO_LIMIT } else { settings.wait_timeout })
            .max_lifetime(settings.max_lifetime.mul_f64(1.0 - LIFETIME_SPREAD * fastrand::f64()))
            .idle_timeout(settings.idle_timeout)
            .test_on_check_out(settings.test_on_checkout)
            // The connection used last needs no validation, and the others can reach their idle
            // time-out.
            .queue_strategy(QueueStrategy::Lifo)
            // A waiting task learns of the error at once and decides when to retry. The pool's own
            // retries would become rare, and continue long after the server is back.
            .retry_connection(false)
            .error_sink(Box::new(SayIdleEnded))
            .build_unchecked(Manager(Arc::clone(&shared)));
        Ok(Self { pool, shared, records_changes: true, _share: share })
    }

    /// With or without the feed of changed days.
    #[must_use]
    pub fn recording_changes(mut self, records_changes: bool) -> Self {
        self.records_changes = records_changes;
        self
    }

    /// Whether groups record the dates whose figures change.
    pub(crate) const fn records_changes(&self) -> bool {
        self.records_changes
    }

    /// A dedicated connection, for work that must not occupy one of the pool.
    pub(crate) async fn dedicated(&self) -> Result<Connected, ConnectError> {
        self.shared.unlimited.connect().await
    }

    /// A dedicated connection without diesel, which has no COPY.
    pub(crate) async fn dedicated_client(&self) -> Result<(Client, Link), ConnectError> {
        self.shared.unlimited.connect_without_diesel().await
    }

    /// The SQL of the settings at the beginning of a transaction of dedicated sessions.
    pub(crate) fn in_dedicated_transaction(&self) -> String {
        self.shared.unlimited.in_transaction()
    }

    /// The SQL of the settings at the beginning of a transaction of the pool's sessions.
    pub(crate) fn in_transaction(&self) -> String {
        self.shared.target.in_transaction()
    }

    /// The pooler between the worker and PostgreSQL.
    pub(crate) fn pooler(&self) -> Pooler {
        self.shared.target.pooler()
    }

    /// The scan window of a kind's claims, or of the poll.
    pub(crate) fn scan_window(&self, kind: Option<Kind>) -> MutexGuard<'_, ScanWindow> {
        let [of_any, of_kinds @ ..] = &self.shared.scan_windows;
        let of_kind = kind.and_then(|kind| of_kinds.get(kind as usize));
        lock(of_kind.unwrap_or(of_any))
    }

    /// Whether the schema is a distributed one of Citus, once it was asked.
    pub(crate) fn known_distribution(&self) -> &OnceLock<bool> {
        &self.shared.is_distributed
    }

    /// The type of user ids, once it was read.
    pub(crate) fn known_user_id_type(&self) -> &OnceLock<UserIdType> {
        &self.shared.user_id_type
    }

    /// The server's `lock_timeout` in the pool's sessions.
    pub fn lock_timeout(&self) -> Duration {
        self.shared.lock_timeout
    }

    pub(crate) fn command_timeout(&self) -> Duration {
        self.shared.command_timeout
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
