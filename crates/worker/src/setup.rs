//! The configuration, the settings and the connection of a worker.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use aggregation::catalogue::Catalogue;
use aggregation::local_time::Zone;
use anyhow::{Context, bail};
use store::{
    Budget, ConnectError, PoolSettings, RetryPolicy, SchemaState, SessionSettings, Store,
    StoreError, Variables, Way, schema_state,
};
use tokio::sync::watch;

use crate::assumed_zone::AssumedZone;
use crate::config::{Config, ConfigError, Loaded};
use crate::heartbeat::Heartbeat;
use crate::run::batch_sizer::BatchSizer;
use crate::run::crash_loop::Suspects;
use crate::stop::Stop;
use crate::tables::counted;
use crate::throttle::Throttle;
use crate::{logging, output, verbosity};

/// The settings of the drain, checked.
#[derive(Clone, Debug)]
pub struct Settings {
    /// The smallest and the largest batch, in rows.
    pub batch_bounds: Bounds,
    /// How many batches run at once.
    pub concurrency: u32,
    /// How many rows the process claims each second; 0 is no limit.
    pub max_rows_per_second: u32,
    /// How long claimed rows belong to this worker.
    pub lease: Duration,
    /// When rows whose group failed are tried again.
    pub failure_policy: RetryPolicy,
    /// The longest time for one group, after which the server counts as silent. It is longer than the time-outs by
    /// which the server ends statements and waits for locks, so that only a server that is silent or gone exceeds it.
    pub group_timeout: Duration,
    /// The zone of rows that name none and whose user has no profile.
    pub default_zone: Zone,
    /// Metrics, units and limits.
    pub catalogue: Catalogue,
}

/// A smallest and a largest number, both included.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bounds {
    /// The smallest.
    pub min: u32,
    /// The largest.
    pub max: u32,
}

/// The time for a connection, a lock and the statements of a group. It has room for two statements that run into
/// their time-outs.
fn group_timeout(config: &Config) -> Duration {
    let (pool, session) = (&config.pool, &config.session);
    pool.wait_timeout + session.statement_timeout * 2 + session.lock_timeout + GRACE
}

/// The time in which the server's answer about a time-out arrives.
const GRACE: Duration = Duration::from_secs(1);

/// Waits for an answer for at most `limit`.
///
/// # Errors
/// As the question, and [`StoreError::NoAnswer`].
pub async fn with_timeout<T>(
    limit: Duration,
    question: impl Future<Output = Result<T, StoreError>>,
) -> Result<T, StoreError> {
    match tokio::time::timeout(limit, question).await {
        Ok(answer) => answer,
        Err(_) => Err(StoreError::NoAnswer(limit.as_secs_f64())),
    }
}

impl Settings {
    /// Checks the values that the configuration itself cannot check.
    ///
    /// # Errors
    /// One line that names the key whose value cannot be used.
    pub fn from_config(config: &Config) -> anyhow::Result<Self> {
        Ok(Self {
            batch_bounds: Bounds { min: config.batch.min_size, max: config.batch.max_size },
            concurrency: config.batch.concurrency,
            max_rows_per_second: config.batch.max_rows_per_second,
            lease: config.batch.lease,
            failure_policy: RetryPolicy {
                max_attempts: config.batch.max_attempts,
                first: config.batch.backoff_first,
                max: config.batch.backoff_max,
            },
            group_timeout: group_timeout(config),
            // Without the text, as in all problems of the configuration: it may be a secret in the wrong place.
            default_zone: config
                .aggregation
                .default_time_zone
                .parse()
                .context("aggregation.default_time_zone cannot be used")?,
            catalogue: catalogue(config)?,
        })
    }
}

/// The catalogue that the configuration names.
///
/// # Errors
/// The file, the line and the value that cannot be used.
pub fn catalogue(config: &Config) -> anyhow::Result<Catalogue> {
    let Some(path) = &config.aggregation.catalogue else { return Ok(Catalogue::built_in()?) };
    let shown = path.display();
    let text = std::fs::read_to_string(path)
        .with_context(|| format!("aggregation.catalogue: {shown} cannot be read"))?;
    Catalogue::extended_by(&text).with_context(|| format!("{shown} cannot be used"))
}

/// Settings that a reload may replace; each batch uses those in force at its beginning.
#[derive(Clone, Debug)]
pub struct SharedSettings(watch::Sender<Arc<Settings>>);

impl SharedSettings {
    /// Begins with these settings.
    pub fn new(settings: Settings) -> Self {
        Self(watch::Sender::new(Arc::new(settings)))
    }

    /// The settings in force.
    pub fn get(&self) -> Arc<Settings> {
        Arc::clone(&self.0.borrow())
    }

    /// Whether the settings in force lead to the same figures as `settings`.
    pub fn same_inputs_as(&self, settings: &Settings) -> bool {
        let current = self.get();
        std::ptr::eq(&*current, settings)
            || (current.default_zone == settings.default_zone
                && current.catalogue == settings.catalogue)
    }

    /// Puts other settings in force.
    pub fn set(&self, settings: Settings) {
        self.0.send_replace(Arc::new(settings));
    }

    /// The settings in force, and each change of them.
    pub fn changes(&self) -> watch::Receiver<Arc<Settings>> {
        self.0.subscribe()
    }
}

/// The state that all batches of a process share.
#[derive(Clone, Debug)]
pub struct WorkerContext {
    /// The database.
    pub store: Store,
    /// The settings.
    pub settings: SharedSettings,
    /// The request to stop.
    pub stop: Stop,
    /// Beaten at all progress.
    pub heartbeat: Heartbeat,
    /// Groups whose transactions were interrupted.
    pub suspects: Suspects,
    /// The size of the next batch.
    pub batch_sizer: BatchSizer,
    /// The limit on rows each second.
    pub throttle: Throttle,
    /// Users for whom the default zone is assumed.
    pub assumed_zone: AssumedZone,
}

/// Reads the configuration in all its layers and starts logging as it says.
///
/// # Errors
/// One line for each problem of the configuration.
pub fn configuration(file: Option<&Path>) -> anyhow::Result<Loaded> {
    let loaded = load(file)?;
    logging::start(&loaded.config.log)?;
    Ok(loaded)
}

/// Reads the configuration in all its layers.
///
/// # Errors
/// One line for each problem of the configuration.
pub fn load(file: Option<&Path>) -> Result<Loaded, ConfigError> {
    let loaded = Config::load(file, std::env::vars_os(), verbosity::asked().layer())?;
    output::set_url_origin(loaded.url_origin());
    Ok(loaded)
}

/// The identity of this worker, name@host:process, in `pg_stat_activity` and `worker status`.
pub fn identity(application_name: &str) -> String {
    let host = rustix::system::uname();
    let host = host.nodename().to_string_lossy();
    format!("{application_name}@{host}:{}", std::process::id())
}

/// The longest name that PostgreSQL keeps, in bytes (NAMEDATALEN - 1).
const NAME_BYTES: usize = 63;

/// The identity as the server shows it. If it is longer than the server keeps, the end of the host's name is cut,
/// so that the process is still shown.
fn session_name(application_name: &str) -> String {
    let whole = identity(application_name);
    let Some(excess) = whole.len().checked_sub(NAME_BYTES) else { return whole };
    let Some((host, process)) = whole.rsplit_once(':') else { return whole };
    let end = host.len().saturating_sub(excess).max(application_name.len());
    format!("{}:{process}", host.get(..end).unwrap_or(application_name))
}

/// Connects to the configured database. Variables of libpq, and the files that they name, fill in the parts that
/// the URL lacks.
///
/// # Errors
/// If no connection can be made.
pub async fn connect(config: &Config) -> Result<Store, ConnectError> {
    connect_with(config, &environment_variable).await
}

/// Connects with these variables in place of the environment's.
///
/// # Errors
/// If no connection can be made.
pub async fn connect_with(
    config: &Config,
    variables: Variables<'_>,
) -> Result<Store, ConnectError> {
    let pool = PoolSettings {
        max_size: config.pool.max_size,
        min_idle: config.pool.min_idle,
        wait_timeout: config.pool.wait_timeout,
        max_lifetime: config.pool.max_lifetime,
        idle_timeout: config.pool.idle_timeout,
        test_on_checkout: config.pool.test_on_checkout,
        connect_timeout: config.database.connect_timeout,
        slow_hold: config.log.slow_hold,
    };
    Store::connect(config.database.url.expose(), pool, &session(config), variables).await
}

fn session(config: &Config) -> SessionSettings {
    SessionSettings {
        statement_timeout: config.session.statement_timeout,
        lock_timeout: config.session.lock_timeout,
        idle_in_transaction_timeout: config.session.idle_in_transaction_timeout,
        transaction_timeout: config.session.transaction_timeout,
        jit: config.session.jit,
        synchronous_commit: config.session.synchronous_commit,
        application_name: session_name(&config.session.application_name),
        pooler: config.database.pooler,
    }
}

/// Checks the URL without connecting.
///
/// # Errors
/// If the URL cannot be used.
pub fn check_url(config: &Config) -> Result<(), ConnectError> {
    store::check_url(config.database.url.expose(), &session(config), &environment_variable)
}

/// The way to the configured database.
///
/// # Errors
/// If the URL cannot be used.
pub fn way(config: &Config) -> Result<Way, ConnectError> {
    check_url(config)?;
    store::way(config.database.url.expose(), &environment_variable)
}

/// This host's clock, in microseconds since 1970. Only for messages to people: leases and days are decided by the
/// database's clock.
#[allow(clippy::disallowed_methods)]
pub fn own_clock() -> i64 {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    since.map_or(0, |time| time.as_micros() as i64)
}

/// A variable of the environment; an empty one counts as not set, as for libpq.
fn environment_variable(name: &str) -> Option<String> {
    std::env::var(name).ok().filter(|value| !value.is_empty())
}

/// Refuses a pool that is larger than the server allows at any time, and warns of one that is larger than the
/// connections left now: the application would lack connections that the worker opens. `beside` are those that it
/// opens beside the pool.
///
/// # Errors
/// The arithmetic, and the advice.
pub async fn require_budget(store: &Store, beside: u32) -> anyhow::Result<()> {
    let budget = Budget { beside: beside.into(), ..store.budget().await? };
    if budget.is_impossible() {
        bail!(
            "the server does not have as many connections for the worker as it may open: {budget}; \
             lower pool.max_size to {} or less, or raise the limit",
            budget.ceiling() - budget.beside
        );
    }
    if budget.is_tight() {
        tracing::warn!(
            event = "budget_tight",
            wanted = budget.wanted + budget.beside,
            left = budget.left(),
            max_connections = budget.max_connections,
            reserved = budget.reserved,
            others = budget.others,
            "Connection budget is tight: {} left for the worker: {budget}",
            counted(budget.left(), "connection", "connections")
        );
    }
    Ok(())
}

/// Refuses a schema that does not fit this version.
///
/// # Errors
/// The migrations that are missing or unknown, and the advice.
pub async fn require_current_schema(store: &Store) -> anyhow::Result<()> {
    match schema_state(store).await? {
        SchemaState::Current => Ok(()),
        SchemaState::TooOld { pending } => bail!(
            "the database's schema is too old: {} not applied ({}); run `worker migrate`",
            count(pending.len()),
            pending.join(", ")
        ),
        SchemaState::OutOfSight => bail!(
            "no schema of the search_path exists, or may be used by this role: set the role's \
             search_path, or GRANT USAGE ON SCHEMA"
        ),
        SchemaState::Elsewhere(elsewhere) => bail!("{elsewhere}"),
        SchemaState::NamesTaken(taken) => bail!("{taken}"),
        SchemaState::TooNew { unknown } => bail!(
            "the database's schema is newer than this worker: it has {} that version {} does not know ({}); install the newer worker",
            count(unknown.len()),
            env!("CARGO_PKG_VERSION"),
            unknown.join(", ")
        ),
    }
}

fn count(migrations: usize) -> String {
    counted(migrations as i64, "migration", "migrations")
}

#[cfg(test)]
mod tests {
    use super::{NAME_BYTES, identity, session_name};

    #[test]
    fn the_server_sees_name_host_and_process_as_far_as_it_keeps_them() {
        assert_eq!(session_name("a"), identity("a"));
        let process = format!(":{}", std::process::id());
        for length in [1, 40, 50, 60, 63] {
            let name = "n".repeat(length);
            let shown = session_name(&name);
            assert!(shown.starts_with(&name), "{shown}");
            assert!(shown.ends_with(&process), "{shown}");
            assert!(shown.len() <= NAME_BYTES.max(length + process.len()), "{shown}");
        }
    }
}
