//! The pool of connections: small, bounded, and visible.

use std::fmt;
use std::str::FromStr;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use bb8::PooledConnection;
use diesel_async::pooled_connection::{
    AsyncDieselConnectionManager, ManagerConfig, PoolError, RecyclingMethod,
};
use diesel_async::AsyncPgConnection;
use futures_util::FutureExt;
use tokio_postgres::tls::NoTlsStream;
use tokio_postgres::{Client, NoTls, Socket};
use tokio_postgres::config::{Host, SslMode};

use crate::error::{ConnectError, StoreError};

type Manager = AsyncDieselConnectionManager<AsyncPgConnection>;
type Connection = tokio_postgres::Connection<Socket, NoTlsStream>;
type Pooled<'p> = PooledConnection<'p, Manager>;

/// How many connections, and for how long.
#[derive(Clone, Copy, Debug)]
pub struct PoolSettings {
    /// The most connections that are ever open.
    pub max_size: u32,
    /// Connections kept open and idle.
    pub min_idle: u32,
    /// The longest wait for a connection, connecting and validation included.
    pub wait_timeout: Duration,
    /// Connections older than this are replaced.
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

/// What each session sets at the server.
#[derive(Clone, Debug)]
pub struct SessionSettings {
    /// The server ends statements that run for longer.
    pub statement_timeout: Duration,
    /// The server ends statements that wait for a lock for longer.
    pub lock_timeout: Duration,
    /// The server ends sessions that stay in a transaction without a statement for longer.
    pub idle_in_transaction_timeout: Duration,
    /// Just-in-time compilation; it costs more than it saves on short statements.
    pub jit: bool,
    /// What `pg_stat_activity` shows.
    pub application_name: String,
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
    /// Somebody waited in vain for a connection since the last look.
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
    target: Target,
    settings: PoolSettings,
    waiting: AtomicU32,
    timed_out: AtomicBool,
    last_connect_error: Mutex<Option<String>>,
}

impl fmt::Debug for Store {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Store").field("stats", &self.stats()).finish_non_exhaustive()
    }
}

/// Where to connect to. Its parts hold the password, so it has no `Debug`.
#[derive(Clone)]
struct Target {
    config: tokio_postgres::Config,
    timeout: Duration,
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
    ) -> Result<Self, ConnectError> {
        let target = Target::new(url, settings.connect_timeout, session)?;
        drop(target.connect().await?);

        let shared = Arc::new(Shared {
            target: target.clone(),
            settings,
            waiting: AtomicU32::new(0),
            timed_out: AtomicBool::new(false),
            last_connect_error: Mutex::new(None),
        });
        let mut config = ManagerConfig::default();
        config.recycling_method = RecyclingMethod::Verified;
        let for_setup = Arc::clone(&shared);
        config.custom_setup = Box::new(move |_| {
            let shared = Arc::clone(&for_setup);
            async move {
                let result = shared.target.connect().await;
                let cause = result.as_ref().err().map(ToString::to_string);
                *lock(&shared.last_connect_error) = cause;
                result.map_err(|error| diesel::ConnectionError::BadConnection(error.to_string()))
            }
            .boxed()
        });
        let pool = bb8::Pool::builder()
            .max_size(settings.max_size)
            .min_idle(settings.min_idle)
            .connection_timeout(settings.wait_timeout)
            .max_lifetime(settings.max_lifetime)
            .idle_timeout(settings.idle_timeout)
            .test_on_check_out(settings.test_on_checkout)
            .build_unchecked(Manager::new_with_config("", config));
        Ok(Self { pool, shared })
    }

    /// The pool at this moment. Having shown `exhausted` once, it shows it no more until
    /// somebody waits in vain again.
    pub fn stats(&self) -> PoolStats {
        let state = self.pool.state();
        let max = self.shared.settings.max_size;
        let in_use = state.connections.saturating_sub(state.idle_connections);
        let utilisation = f64::from(in_use) * 100.0 / f64::from(max);
        let health = if self.shared.timed_out.swap(false, Ordering::Relaxed) {
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

    /// A connection for `purpose`, which names it in the warning when it is held for long.
    pub(crate) async fn hold(&self, purpose: &'static str) -> Result<Held<'_>, StoreError> {
        let waiter = Waiter::new(&self.shared.waiting);
        let since = Instant::now();
        let connection = self.pool.get().await;
        drop(waiter);
        match connection {
            Ok(connection) => Ok(Held {
                connection,
                purpose,
                since: Instant::now(),
                slow: self.shared.settings.slow_hold,
            }),
            Err(error) => Err(self.no_connection(since.elapsed(), &error)),
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
            self.shared.timed_out.store(true, Ordering::Relaxed);
        }
        let state = self.pool.state();
        StoreError::NoConnection {
            unreachable: connect_error.is_some(),
            waited_seconds: waited.as_secs_f64(),
            open: state.connections,
            max: self.shared.settings.max_size,
            waiting: self.shared.waiting.load(Ordering::Relaxed),
            cause: connect_error.map_or_else(String::new, |cause| format!(": {cause}")),
        }
    }

    /// A connection outside the pool, for work that must not take one of its places.
    pub(crate) async fn dedicated(&self) -> Result<AsyncPgConnection, ConnectError> {
        self.shared.target.connect().await
    }

    /// The same without diesel, which has no COPY. The caller drives the connection.
    pub(crate) async fn dedicated_client(&self) -> Result<(Client, Connection), ConnectError> {
        let target = &self.shared.target;
        target.within_timeout(target.connect_client()).await
    }
}

/// A connection in use. It goes back to the pool when dropped.
pub(crate) struct Held<'p> {
    connection: Pooled<'p>,
    purpose: &'static str,
    since: Instant,
    slow: Duration,
}

impl Held<'_> {
    /// For how long it has been held.
    pub(crate) fn held(&self) -> Duration {
        self.since.elapsed()
    }
}

impl std::ops::Deref for Held<'_> {
    type Target = AsyncPgConnection;

    fn deref(&self) -> &AsyncPgConnection {
        &self.connection
    }
}

impl std::ops::DerefMut for Held<'_> {
    fn deref_mut(&mut self) -> &mut AsyncPgConnection {
        &mut self.connection
    }
}

impl Drop for Held<'_> {
    fn drop(&mut self) {
        let held = self.held();
        if held > self.slow {
            tracing::warn!(
                event = "slow_hold",
                purpose = self.purpose,
                held_ms = held.as_millis() as u64,
                "a database connection was held for long"
            );
        }
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

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Target {
    fn new(url: &str, timeout: Duration, session: &SessionSettings) -> Result<Self, ConnectError> {
        if url.is_empty() {
            return Err(ConnectError::NotConfigured);
        }
        refuse_tls(url)?;
        // The parser's own text names the key, never a value of it.
        let mut config = tokio_postgres::Config::from_str(url).map_err(|error| {
            let cause = std::error::Error::source(&error);
            ConnectError::Url(cause.map_or_else(|| error.to_string(), ToString::to_string))
        })?;
        if config.get_hosts().is_empty() {
            return Err(ConnectError::Url("it names no host".to_owned()));
        }
        if config.get_ssl_mode() == SslMode::Require {
            return Err(ConnectError::Tls("require".to_owned()));
        }
        let milliseconds = |duration: Duration| duration.as_millis();
        // In the start-up packet, so that they cost no round trip and always hold.
        let mut options = format!(
            "-c statement_timeout={} -c lock_timeout={} -c idle_in_transaction_session_timeout={} -c jit={}",
            milliseconds(session.statement_timeout),
            milliseconds(session.lock_timeout),
            milliseconds(session.idle_in_transaction_timeout),
            if session.jit { "on" } else { "off" },
        );
        if let Some(own) = config.get_options() {
            // The last setting wins: the limits that the lease relies on are not the URL's.
            options = format!("{own} {options}");
        }
        config.options(options).connect_timeout(timeout);
        if config.get_application_name().is_none() {
            config.application_name(&session.application_name);
        }
        Ok(Self { config, timeout })
    }

    async fn connect(&self) -> Result<AsyncPgConnection, ConnectError> {
        self.within_timeout(async {
            let (client, connection) = self.connect_client().await?;
            AsyncPgConnection::try_from_client_and_connection(client, connection)
                .await
                .map_err(|error| error.to_string())
        })
        .await
    }

    async fn connect_client(&self) -> Result<(Client, Connection), String> {
        self.config.connect(NoTls).await.map_err(|error| cause(&error))
    }

    /// The library's own limit covers TCP only; a server that accepts and never answers would
    /// hold the attempt, and the pool's place for it, for ever.
    async fn within_timeout<T>(
        &self,
        connecting: impl Future<Output = Result<T, String>>,
    ) -> Result<T, ConnectError> {
        match tokio::time::timeout(self.timeout, connecting).await {
            Ok(Ok(connected)) => Ok(connected),
            Ok(Err(cause)) => Err(self.failure(cause)),
            Err(_) => Err(self.failure(format!(
                "no answer within {:.1} s (database.connect_timeout_seconds)",
                self.timeout.as_secs_f64()
            ))),
        }
    }

    fn failure(&self, cause: String) -> ConnectError {
        let port = self.config.get_ports().first().copied().unwrap_or(5432);
        let host = match self.config.get_hosts().first() {
            Some(Host::Tcp(name)) => format!("{name}:{port}"),
            Some(Host::Unix(directory)) => format!("socket {}", directory.display()),
            None => "an unnamed host".to_owned(),
        };
        let user = self.config.get_user().unwrap_or_default();
        let database = self.config.get_dbname().unwrap_or(user);
        ConnectError::Connect { host, database: format!("{database:?}"), cause }
    }
}

/// What the server or the network said, without the library's preamble.
fn cause(error: &tokio_postgres::Error) -> String {
    match error.as_db_error() {
        Some(error) => error.message().to_owned(),
        None => std::error::Error::source(error)
            .map_or_else(|| error.to_string(), ToString::to_string),
    }
}

/// The modes that the driver's parser does not know would only give "invalid connection string".
fn refuse_tls(url: &str) -> Result<(), ConnectError> {
    for mode in ["verify-ca", "verify-full"] {
        if url.contains(&format!("sslmode={mode}")) {
            return Err(ConnectError::Tls(mode.to_owned()));
        }
    }
    Ok(())
}
