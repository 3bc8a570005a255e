//! A small, bounded pool of connections that reports its use.

use std::any::TypeId;
use std::collections::{BTreeMap, HashSet};
use std::fmt;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError, Weak};
use std::time::{Duration, Instant};

use aggregation::{Kind, UserIdType};
use bb8::{PooledConnection, QueueStrategy};
use diesel::result::Error as DieselError;
use diesel_async::pooled_connection::PoolableConnection;
use diesel_async::{
    AnsiTransactionManager, AsyncPgConnection, SimpleAsyncConnection, TransactionManager,
};
use tokio::sync::Notify;
use tokio_postgres::Client;

use crate::connection::connect::{Connected, Link, Target};
use crate::connection::libpq::Variables;
use crate::connection::probe;
use crate::connection::server_budget::{ClosesShare, ServerBudgets};
use crate::connection::session::{Pooler, SessionSettings};
use crate::error::{ConnectError, StoreError};
use crate::queue::ScanWindow;
use crate::sql::cte::StatementName;

type Pooled<'p> = PooledConnection<'p, Manager>;

/// How long an unsuccessful wait marks the pool as exhausted. Operators and monitors look every 15 s or
/// so, and must see it.
const EXHAUSTED_FOR: Duration = Duration::from_secs(30);

/// Pause before the pool is asked again after a failed attempt to connect.
const ASK_AGAIN: Duration = Duration::from_millis(200);

/// Random part of a lifetime, as a fraction. It keeps workers that started together from all logging in
/// again at the same moment.
const LIFETIME_SPREAD: f64 = 0.1;

/// Extra wait for the server's report that a time-out ended the statement.
const GRACE: Duration = Duration::from_secs(1);

/// The minimum interval of the check for connections held for long.
const LEAST_LOOK: Duration = Duration::from_millis(50);
const MOST_LOOK: Duration = Duration::from_secs(1);

/// The part of the pool's time-out for which a connection waits for a place in the server's budget.
const WAIT_FOR_PLACE: f64 = 0.9;

/// A connection used successfully within this time is not validated before the next use. This saves a
/// round trip for each group and for each poll of an idle service. The socket itself shows if the other
/// end was closed meanwhile.
const TRUSTED_FOR: Duration = Duration::from_secs(2);

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

/// The load of the pool.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PoolHealth {
    /// Less than 70 % in use.
    Healthy,
    /// 70 to 90 % in use.
    Warning,
    /// More than 90 % in use.
    Critical,
    /// A task waited in vain for a connection within the last 30 seconds.
    Exhausted,
}

impl fmt::Display for PoolHealth {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Healthy => "healthy",
            Self::Warning => "warning",
            Self::Critical => "critical",
            Self::Exhausted => "exhausted",
        })
    }
}

/// The state of the pool at one moment.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct PoolStats {
    /// Connections in use.
    pub in_use: u32,
    /// Connections open and free.
    pub idle: u32,
    /// Open connections: in use and idle.
    pub open: u32,
    /// Maximum of open connections.
    pub max: u32,
    /// Tasks waiting for a connection.
    pub waiting: u32,
    /// `in_use` in percent of `max`.
    pub utilisation: f64,
    /// The load class of `utilisation`.
    pub health: PoolHealth,
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
    /// Whether the database had no work for long.
    is_idle: AtomicBool,
    holds: Mutex<Holds>,
    /// Longest wait for a connection since the last query of it, in microseconds.
    longest_wait: AtomicU64,
    /// Scan windows: one for the poll, then one per kind.
    scan_windows: [Mutex<ScanWindow>; Kind::ALL.len() + 1],
    user_id_type: OnceLock<UserIdType>,
}

/// The holders of connections, with the start of each hold.
#[derive(Default)]
struct Holds {
    last: u64,
    now: BTreeMap<u64, Hold>,
}

struct Hold {
    purpose: &'static str,
    since: Instant,
    warned: bool,
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
            is_idle: AtomicBool::new(false),
            holds: Mutex::default(),
            longest_wait: AtomicU64::new(0),
            scan_windows: Default::default(),
            user_id_type: OnceLock::new(),
        });
        tokio::spawn(warn_of_slow_holds(Arc::downgrade(&shared)));
        let pool = bb8::Pool::builder()
            .max_size(settings.max_size)
            .min_idle(if budgets.is_some() { 0 } else { settings.min_idle })
            .connection_timeout(settings.wait_timeout)
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

    /// The current state of the pool.
    pub fn stats(&self) -> PoolStats {
        let state = self.pool.state();
        let max = self.shared.settings.max_size;
        let in_use = state.connections.saturating_sub(state.idle_connections);
        let utilisation = f64::from(in_use) * 100.0 / f64::from(max);
        let last_timed_out = *lock(&self.shared.last_timed_out);
        let health = if last_timed_out.is_some_and(|last| last.elapsed() < EXHAUSTED_FOR) {
            PoolHealth::Exhausted
        } else if utilisation > 90.0 {
            PoolHealth::Critical
        } else if utilisation >= 70.0 {
            PoolHealth::Warning
        } else {
            PoolHealth::Healthy
        };
        PoolStats {
            in_use,
            idle: state.idle_connections,
            open: state.connections,
            max,
            waiting: self.shared.waiting.load(Ordering::Relaxed),
            utilisation,
            health,
        }
    }

    /// Says whether the database had no work for long. Then its connection is closed after use if the budget
    /// of its server is nearly used up.
    pub fn set_idle(&self, is_idle: bool) {
        self.shared.is_idle.store(is_idle, Ordering::Relaxed);
    }

    /// The longest wait for a connection since the last call.
    pub fn take_longest_wait(&self) -> Duration {
        Duration::from_micros(self.shared.longest_wait.swap(0, Ordering::Relaxed))
    }

    /// Takes a connection for `purpose`, which the warning about long holds names.
    ///
    /// If none is free and connecting fails, the error is returned at once: waiting for the whole
    /// time-out would only delay the reaction.
    pub(crate) async fn hold(&self, purpose: &'static str) -> Result<Held<'_>, StoreError> {
        let waiter = Waiter::new(&self.shared.waiting);
        let since = Instant::now();
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
                Ok(Held {
                    pooled: connection,
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
    ) -> Result<Held<'_>, StoreError> {
        let held = self.hold(purpose).await?;
        lock(&self.shared.holds).now.remove(&held.number);
        Ok(held)
    }

    async fn get_or_fail(&self) -> Result<Pooled<'_>, bb8::RunError<PoolError>> {
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

impl Shared {
    /// Whether the connection cannot be used any more.
    fn has_broken(&self, connection: &mut Connected) -> bool {
        std::thread::panicking()
            || connection.connection.is_broken()
            || self.has_replaced(connection)
    }

    /// Whether the connection was opened before a failure that requires all connections to be replaced.
    fn has_replaced(&self, connection: &Connected) -> bool {
        lock(&self.replaced).is_some_and(|since| connection.link.opened <= since)
    }
}

/// The reason why the pool has no connection.
#[derive(Debug, thiserror::Error)]
enum PoolError {
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
struct SayIdleEnded;

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
    connection: Connected,
    /// Time of its last return after success.
    worked: Option<Instant>,
    /// Statements prepared on the connection, as far as the order of messages depends on them.
    prepared: HashSet<StatementName>,
}

/// Opens connections, and validates them before use unless they were used a moment ago.
struct Manager(Arc<Shared>);

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

/// A connection in use. Dropping it returns it to the pool.
pub(crate) struct Held<'p> {
    pooled: Pooled<'p>,
    /// Whether a statement may still run on it, which a drop now would leave without a reader.
    pub(crate) unfinished: bool,
    /// Whether its last statement succeeded.
    pub(crate) answered: bool,
    shared: &'p Shared,
    number: u64,
    purpose: &'static str,
    since: Instant,
}

impl Held<'_> {
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

impl std::ops::Deref for Held<'_> {
    type Target = AsyncPgConnection;

    fn deref(&self) -> &AsyncPgConnection {
        &self.pooled.connection
    }
}

impl std::ops::DerefMut for Held<'_> {
    fn deref_mut(&mut self) -> &mut AsyncPgConnection {
        &mut self.pooled.connection
    }
}

impl Drop for Held<'_> {
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

fn warn_of_slow_hold(purpose: &'static str, held: Duration, still_held: bool) {
    tracing::warn!(
        event = "slow_hold",
        purpose,
        held_ms = held.as_millis() as u64,
        still_held,
        "a database connection {} for {:.1} s by {purpose}",
        if still_held { "has been held" } else { "is free, after it was held" },
        held.as_secs_f64(),
    );
}

/// Logs a warning while a connection is held for long. Otherwise a wait for an unresponsive server would
/// be reported only at its end. The task ends with the pool.
async fn warn_of_slow_holds(shared: Weak<Shared>) {
    while let Some(shared) = shared.upgrade() {
        let slow = shared.settings.slow_hold;
        for hold in lock(&shared.holds).now.values_mut() {
            let held = hold.since.elapsed();
            if held > slow && !hold.warned {
                hold.warned = true;
                warn_of_slow_hold(hold.purpose, held, true);
            }
        }
        drop(shared);
        tokio::time::sleep(slow.clamp(LEAST_LOOK, MOST_LOOK)).await;
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

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
