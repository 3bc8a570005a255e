//! The pool of connections: small, bounded, and visible.

use std::any::TypeId;
use std::collections::{BTreeMap, HashSet};
use std::fmt;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::{Duration, Instant};

use aggregation::Kind;
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
use crate::connection::session::{Pooler, SessionSettings};
use crate::error::{ConnectError, StoreError};
use crate::queue::ScanWindow;
use crate::sql::cte::StatementName;

type Pooled<'p> = PooledConnection<'p, Manager>;

/// For how long a wait in vain marks the pool as exhausted: as long as people and monitors need to
/// see it, who look every 15 s or so.
const EXHAUSTED_FOR: Duration = Duration::from_secs(30);

/// After a failed attempt to connect, the pool is asked again so soon.
const ASK_AGAIN: Duration = Duration::from_millis(200);

/// So much of a lifetime is up to chance: workers that were started together do not all log in
/// again at the same moment.
const LIFETIME_SPREAD: f64 = 0.1;

/// For the server's answer that a time-out has struck.
const GRACE: Duration = Duration::from_secs(1);

/// How often it is looked for connections that are held for long.
const LEAST_LOOK: Duration = Duration::from_millis(50);
const MOST_LOOK: Duration = Duration::from_secs(1);

/// A connection that worked so short a time ago is not tried before it is used again, a round trip for
/// each group, and for each look of an idle service. That its other end was closed meanwhile shows without
/// one.
const TRUSTED_FOR: Duration = Duration::from_secs(2);

/// How many connections, and for how long.
#[derive(Clone, Copy, Debug)]
pub struct PoolSettings {
    /// The most connections that are ever open.
    pub max_size: u32,
    /// Connections kept open and idle.
    pub min_idle: u32,
    /// The longest wait for a connection, connecting and validation included.
    pub wait_timeout: Duration,
    /// Connections older than this, or up to a tenth less by chance, are replaced.
    pub max_lifetime: Duration,
    /// Connections idle for longer than this are closed.
    pub idle_timeout: Duration,
    /// Whether a connection is tried by a round trip before it is handed out.
    pub test_on_checkout: bool,
    /// The longest time for connecting, over the whole handshake.
    pub connect_timeout: Duration,
    /// A connection held for longer than this is worth a warning.
    pub slow_hold: Duration,
}

/// How full the pool is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PoolHealth {
    /// Less than 70 % in use.
    Healthy,
    /// 70 to 90 % in use.
    Warning,
    /// More than 90 % in use.
    Critical,
    /// Somebody waited in vain for a connection within the last 30 seconds.
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

/// The pool at one moment.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct PoolStats {
    /// Connections handed out.
    pub in_use: u32,
    /// Connections open and free.
    pub idle: u32,
    /// Connections open.
    pub open: u32,
    /// The most that may be open.
    pub max: u32,
    /// Tasks waiting for a connection.
    pub waiting: u32,
    /// In use, in percent of the most.
    pub utilisation: f64,
    /// What that means.
    pub health: PoolHealth,
}

/// The database, as the rest of the worker sees it.
#[derive(Clone)]
pub struct Store {
    pool: bb8::Pool<Manager>,
    shared: Arc<Shared>,
}

struct Shared {
    /// For the pool's sessions.
    target: Target,
    /// For sessions of their own: loading and migrating take their time, and are durable.
    unlimited: Target,
    /// The longest wait for the answer to one statement. The server ends it before, if it can.
    command_timeout: Duration,
    lock_timeout: Duration,
    settings: PoolSettings,
    waiting: AtomicU32,
    last_timed_out: Mutex<Option<Instant>>,
    last_connect_error: Mutex<Option<String>>,
    connect_failed: Notify,
    /// Connections that were there before the pool was.
    ready: Mutex<Vec<Connected>>,
    /// Connections that were opened before are replaced.
    replaced: Mutex<Option<Instant>>,
    holds: Mutex<Holds>,
    /// In microseconds, since it was last asked for.
    longest_wait: AtomicU64,
    /// One for the poll, then one for each kind.
    scan_windows: [Mutex<ScanWindow>; Kind::ALL.len() + 1],
}

/// Who holds a connection.
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
    /// Connects once, so that a wrong URL, password or host shows with its true cause at once,
    /// and makes the pool around it.
    ///
    /// # Errors
    /// Why no connection could be made.
    pub async fn connect(
        url: &str,
        settings: PoolSettings,
        session: &SessionSettings,
        variables: Variables<'_>,
    ) -> Result<Self, ConnectError> {
        let plain =
            Target::new(url, settings.connect_timeout, &session.application_name, variables)?;
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
            // Not closed once the pool is there, nor added to it beside those that it opens itself:
            // either would be one more than `max_size` for a moment.
            ready: Mutex::new(ready),
            replaced: Mutex::default(),
            holds: Mutex::default(),
            longest_wait: AtomicU64::new(0),
            scan_windows: Default::default(),
        });
        tokio::spawn(warn_of_slow_holds(Arc::downgrade(&shared)));
        let pool = bb8::Pool::builder()
            .max_size(settings.max_size)
            .min_idle(settings.min_idle)
            .connection_timeout(settings.wait_timeout)
            .max_lifetime(settings.max_lifetime.mul_f64(1.0 - LIFETIME_SPREAD * fastrand::f64()))
            .idle_timeout(settings.idle_timeout)
            .test_on_check_out(settings.test_on_checkout)
            // The one that was used last, which need not be tried; the others may grow old and go.
            .queue_strategy(QueueStrategy::Lifo)
            // Whoever waits is told at once and decides when to try again. The pool's own attempts
            // would come less and less often, long after the server is back.
            .retry_connection(false)
            .error_sink(Box::new(SayIdleEnded))
            .build_unchecked(Manager(Arc::clone(&shared)));
        Ok(Self { pool, shared })
    }

    /// The pool at this moment.
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

    /// The longest that anybody waited for a connection since this was last asked.
    pub fn take_longest_wait(&self) -> Duration {
        Duration::from_micros(self.shared.longest_wait.swap(0, Ordering::Relaxed))
    }

    /// A connection for `purpose`, which names it in the warning when it is held for long.
    ///
    /// Where there is none and none can be made, that is said at once: waiting for the whole
    /// time-out would only delay what is done about it.
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

    /// The same for work that takes its time: nobody is warned of it.
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
                    // Dropped, it is closed.
                    Ok(pooled) if self.shared.has_replaced(&pooled.connection) => continue,
                    result => return result,
                },
                () = self.shared.connect_failed.notified() => {}
            }
            let none_left = self.pool.state().connections == 0;
            if none_left || since.elapsed() >= self.shared.settings.wait_timeout {
                return Err(bb8::RunError::TimedOut);
            }
            // One in use may come back meanwhile; asking again has the pool try for another one.
            tokio::time::sleep(ASK_AGAIN).await;
        }
    }

    /// bb8 reports every trouble as a time-out; the last failed attempt to connect tells
    /// whether the server could not be reached or all connections were simply in use.
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

    /// Who holds the connections that nobody else can have.
    fn holders(&self) -> String {
        let holds = lock(&self.shared.holds);
        let holders: Vec<String> = holds
            .now
            .values()
            .map(|hold| format!("{} for {:.1} s", hold.purpose, hold.since.elapsed().as_secs_f64()))
            .collect();
        if holders.is_empty() { String::new() } else { format!(": held by {}", holders.join(", ")) }
    }

    /// A connection outside the pool, for work that must not take one of its places.
    pub(crate) async fn dedicated(&self) -> Result<Connected, ConnectError> {
        self.shared.unlimited.connect().await
    }

    /// The same without diesel, which has no COPY.
    pub(crate) async fn dedicated_client(&self) -> Result<(Client, Link), ConnectError> {
        self.shared.unlimited.connect_without_diesel().await
    }

    /// What is said at the beginning of a transaction of such sessions.
    pub(crate) fn in_dedicated_transaction(&self) -> String {
        self.shared.unlimited.in_transaction()
    }

    /// What is said at the beginning of a transaction of the pool's sessions.
    pub(crate) fn in_transaction(&self) -> String {
        self.shared.target.in_transaction()
    }

    /// What stands between the worker and PostgreSQL.
    pub(crate) fn pooler(&self) -> Pooler {
        self.shared.target.pooler()
    }

    /// Of the claims of a kind, or of the poll.
    pub(crate) fn scan_window(&self, kind: Option<Kind>) -> MutexGuard<'_, ScanWindow> {
        let [of_any, of_kinds @ ..] = &self.shared.scan_windows;
        let of_kind = kind.and_then(|kind| of_kinds.get(kind as usize));
        lock(of_kind.unwrap_or(of_any))
    }

    /// After this time the server gives up waiting for a lock.
    pub fn lock_timeout(&self) -> Duration {
        self.shared.lock_timeout
    }

    pub(crate) fn command_timeout(&self) -> Duration {
        self.shared.command_timeout
    }
}

impl Shared {
    /// Whether others are to be opened instead of those that were opened before this one failed.
    fn has_replaced(&self, connection: &Connected) -> bool {
        lock(&self.replaced).is_some_and(|since| connection.link.opened <= since)
    }
}

/// Why the pool has no connection to give.
#[derive(Debug, thiserror::Error)]
enum PoolError {
    /// None can be opened.
    #[error(transparent)]
    Connect(ConnectError),
    /// One that was open fails.
    #[error(transparent)]
    Broken(StoreError),
}

/// Says that a connection was found ended before it was used: else a server that ends sessions, or
/// something on the way to it, would stay unseen for as long as it hits idle ones.
#[derive(Clone, Copy, Debug)]
struct SayIdleEnded;

impl bb8::ErrorSink<PoolError> for SayIdleEnded {
    fn sink(&self, error: PoolError) {
        // Why connecting failed is said by whoever waits for it.
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

/// What the pool keeps.
pub(crate) struct PoolMember {
    connection: Connected,
    /// When it was last given back and nothing was wrong with it.
    worked: Option<Instant>,
    /// The statements that are prepared on it, as far as that matters to anybody.
    prepared: HashSet<StatementName>,
}

/// Opens connections and tries them before they are handed out, but for those just used.
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
        if trusted && !self.has_broken(member) {
            return Ok(());
        }
        let answered = member.connection.batch_execute("SELECT 1").await;
        answered.map_err(|cause| PoolError::Broken(member.connection.link.error(cause)))
    }

    fn has_broken(&self, member: &mut PoolMember) -> bool {
        std::thread::panicking()
            || member.connection.connection.is_broken()
            || self.0.has_replaced(&member.connection)
    }
}

/// A connection in use. It goes back to the pool when dropped.
pub(crate) struct Held<'p> {
    pooled: Pooled<'p>,
    /// Whether something may still run on it that nobody would wait for when it is dropped now.
    pub(crate) unfinished: bool,
    /// Whether the last that was asked of it went well.
    pub(crate) answered: bool,
    shared: &'p Shared,
    number: u64,
    purpose: &'static str,
    since: Instant,
}

impl Held<'_> {
    /// Ends at the server what nobody waits for any more: it would find out about the closed
    /// connection only when its statement ends, and hold the locks until then. The connection is not
    /// handed on, or the request to cancel could meet the statement of the next one.
    fn abandon(&mut self) {
        AnsiTransactionManager::transaction_manager_status_mut(&mut **self).set_in_error();
        if let Ok(runtime) = tokio::runtime::Handle::try_current() {
            let Connected { connection, link } = &self.pooled.connection;
            let cancelling = link.cancel(connection.cancel_token());
            runtime.spawn(tokio::time::timeout(self.shared.target.timeout(), cancelling));
        }
    }

    /// An error of the connection, with what the server said about it.
    pub(crate) fn error(&self, cause: DieselError) -> StoreError {
        let error = self.pooled.connection.link.error(cause);
        if error.class().concerns_all_connections(error.sqlstate()) {
            *lock(&self.shared.replaced) = Some(Instant::now());
        }
        error
    }

    /// The server's process behind it.
    pub(crate) fn process(&self) -> i32 {
        self.pooled.connection.link.process()
    }

    /// Remembers that statements are prepared on it; those without a name cannot be known again.
    pub(crate) fn prepared(&mut self, statements: impl Iterator<Item = StatementName>) {
        self.pooled.prepared.extend(statements.filter(|name| !name.is_empty()));
    }

    /// Whether all statements are prepared on it, so that none is overtaken by what is sent behind it.
    pub(crate) fn has_prepared<'n>(
        &self,
        mut statements: impl Iterator<Item = &'n [TypeId]>,
    ) -> bool {
        statements.all(|name| self.pooled.prepared.contains(name))
    }

    /// For how long it has been held.
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
        // After an error it is tried before it is used again: the server may have closed it with that.
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

/// Says who holds a connection for long while that is so: who waits for a server that does not
/// answer would otherwise be heard of only when it does. Ends with the pool.
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

/// Counts a waiting task, also when its wait is given up.
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
