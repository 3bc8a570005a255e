//! From configuration to a connected worker.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use aggregation::catalogue::Catalogue;
use aggregation::local_time::Zone;
use anyhow::{Context, bail};
use store::{
    ConnectError, PoolSettings, RetryPolicy, SchemaState, SessionSettings, Store, StoreError,
    Variables, Way, schema_state,
};
use tokio::sync::watch;

use crate::assumed_zone::AssumedZone;
use crate::config::{Config, ConfigError, Loaded};
use crate::heartbeat::Heartbeat;
use crate::pace::Pace;
use crate::stop::Stop;
use crate::run::crash_loop::Suspects;
use crate::tables::counted;
use crate::throttle::Throttle;
use crate::{logging, output, verbosity};

/// What the drain needs to know, checked.
#[derive(Clone, Debug)]
pub struct Settings {
    /// The fewest and the most rows claimed at once.
    pub batch_bounds: Bounds,
    /// How many batches run at once.
    pub concurrency: u32,
    /// How many rows the process claims each second; 0 is no limit.
    pub max_rows_per_second: u32,
    /// For how long claimed rows belong to this worker.
    pub lease: Duration,
    /// What becomes of rows whose group failed.
    pub failure_policy: RetryPolicy,
    /// The longest wait for one group before the server counts as silent: longer than the time-outs
    /// by which the server itself ends what takes too long, so that only one that is silent, or gone,
    /// exceeds it.
    pub group_patience: Duration,
    /// The zone of rows that name none and whose user has no profile.
    pub default_zone: Zone,
    /// Metrics, units and limits.
    pub catalogue: Catalogue,
}

/// The fewest and the most, both included.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bounds {
    /// The fewest.
    pub min: u32,
    /// The most.
    pub max: u32,
}

/// For a connection, a lock and the statements of a group. Two statements at the end of their time
/// are an accident; more do not happen.
fn group_patience(config: &Config) -> Duration {
    let (pool, session) = (&config.pool, &config.session);
    pool.wait_timeout + session.statement_timeout * 2 + session.lock_timeout + GRACE
}

/// For the server's answer that a time-out has struck.
const GRACE: Duration = Duration::from_secs(1);

/// Waits for an answer no longer than this.
///
/// # Errors
/// As the question, and [`StoreError::NoAnswer`].
pub async fn in_time<T>(
    limit: Duration,
    question: impl Future<Output = Result<T, StoreError>>,
) -> Result<T, StoreError> {
    match tokio::time::timeout(limit, question).await {
        Ok(answer) => answer,
        Err(_) => Err(StoreError::NoAnswer(limit.as_secs_f64())),
    }
}

impl Settings {
    /// Checks what only the code that uses it can check.
    ///
    /// # Errors
    /// One line that says which key cannot be used.
    pub fn of(config: &Config) -> anyhow::Result<Self> {
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
            group_patience: group_patience(config),
            // Without its text, as in all problems of the configuration: it may be a secret that
            // came into the wrong place.
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
/// In which file and line what cannot be used.
pub fn catalogue(config: &Config) -> anyhow::Result<Catalogue> {
    let Some(path) = &config.aggregation.catalogue else { return Ok(Catalogue::built_in()?) };
    let shown = path.display();
    let text = std::fs::read_to_string(path)
        .with_context(|| format!("aggregation.catalogue: {shown} cannot be read"))?;
    Catalogue::extended_by(&text).with_context(|| format!("{shown} cannot be used"))
}

/// Settings that may be replaced while they are in use; each batch takes those in force.
#[derive(Clone, Debug)]
pub struct Current(watch::Sender<Arc<Settings>>);

impl Current {
    /// With these to begin with.
    pub fn new(settings: Settings) -> Self {
        Self(watch::Sender::new(Arc::new(settings)))
    }

    /// Those in force.
    pub fn get(&self) -> Arc<Settings> {
        Arc::clone(&self.0.borrow())
    }

    /// Whether figures are still computed as these settings say.
    pub fn decide_as(&self, settings: &Settings) -> bool {
        let current = self.get();
        std::ptr::eq(&*current, settings)
            || (current.default_zone == settings.default_zone
                && current.catalogue == settings.catalogue)
    }

    /// Puts others in force.
    pub fn set(&self, settings: Settings) {
        self.0.send_replace(Arc::new(settings));
    }

    /// Those in force, and each change of them.
    pub fn changes(&self) -> watch::Receiver<Arc<Settings>> {
        self.0.subscribe()
    }
}

/// What every batch has in common.
#[derive(Clone, Debug)]
pub struct Job {
    /// The database.
    pub store: Store,
    /// How it is worked on.
    pub settings: Current,
    /// Whether to stop.
    pub stop: Stop,
    /// Told of all progress.
    pub heartbeat: Heartbeat,
    /// Where it was interrupted.
    pub suspects: Suspects,
    /// How many rows a batch takes.
    pub pace: Pace,
    /// How many rows the process claims each second.
    pub throttle: Throttle,
    /// For whom the default zone is assumed.
    pub assumed_zone: AssumedZone,
}

/// Reads the configuration in all its layers and starts logging as it says.
///
/// # Errors
/// What is wrong with it, one line for each problem.
pub fn configuration(file: Option<&Path>) -> anyhow::Result<Loaded> {
    let loaded = load(file)?;
    logging::start(&loaded.config.log)?;
    Ok(loaded)
}

/// Reads the configuration in all its layers.
///
/// # Errors
/// What is wrong with it, one line for each problem.
pub fn load(file: Option<&Path>) -> Result<Loaded, ConfigError> {
    let loaded = Config::load(file, std::env::vars_os(), verbosity::asked().layer())?;
    output::set_url_origin(loaded.url_origin());
    Ok(loaded)
}

/// Tells several workers apart: name@host:process, in `pg_stat_activity` as in `worker status`.
pub fn identity(application_name: &str) -> String {
    let host = rustix::system::uname();
    let host = host.nodename().to_string_lossy();
    format!("{application_name}@{host}:{}", std::process::id())
}

/// What PostgreSQL keeps of a name, in bytes (NAMEDATALEN - 1).
const NAME_BYTES: usize = 63;

/// The identity for the server, which cuts what is longer: then the host's name loses its end, so
/// that the process stays to be seen.
fn session_name(application_name: &str) -> String {
    let whole = identity(application_name);
    let Some(excess) = whole.len().checked_sub(NAME_BYTES) else { return whole };
    let Some((host, process)) = whole.rsplit_once(':') else { return whole };
    let end = host.len().saturating_sub(excess).max(application_name.len());
    format!("{}:{process}", host.get(..end).unwrap_or(application_name))
}

/// Connects to the configured database. What the URL does not say is taken from the variables of
/// libpq, and from the files that they name.
///
/// # Errors
/// Why that is not possible.
pub async fn connect(config: &Config) -> Result<Store, ConnectError> {
    connect_with(config, &of_environment).await
}

/// The same with other variables than the environment's.
///
/// # Errors
/// Why that is not possible.
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

/// Checks the URL as far as that is possible without connecting.
///
/// # Errors
/// Why it cannot be used.
pub fn check_url(config: &Config) -> Result<(), ConnectError> {
    store::check_url(config.database.url.expose(), &session(config), &of_environment)
}

/// The way to the configured database.
///
/// # Errors
/// Why there is none.
pub fn way(config: &Config) -> Result<Way, ConnectError> {
    check_url(config)?;
    store::way(config.database.url.expose(), &of_environment)
}

/// This host's clock, in microseconds since 1970; for telling people how far off it is, never for
/// what the database's clock decides.
#[allow(clippy::disallowed_methods)]
pub fn own_clock() -> i64 {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    since.map_or(0, |time| time.as_micros() as i64)
}

/// A variable of the environment; an empty one is none, as for libpq.
fn of_environment(name: &str) -> Option<String> {
    std::env::var(name).ok().filter(|value| !value.is_empty())
}

/// Refuses a pool that is larger than the server could ever bear, and warns of one that it cannot
/// bear now: what the worker opened, the application would lack.
///
/// # Errors
/// The arithmetic, and what to do.
pub async fn require_budget(store: &Store) -> anyhow::Result<()> {
    let budget = store.budget().await?;
    if budget.is_impossible() {
        bail!(
            "the server does not have as many connections for the worker as it may open: {budget}; \
             lower pool.max_size to {} or less, or raise the limit",
            budget.ceiling()
        );
    }
    if budget.is_tight() {
        tracing::warn!(
            event = "budget_tight",
            wanted = budget.wanted,
            left = budget.left(),
            max_connections = budget.max_connections,
            reserved = budget.reserved,
            others = budget.others,
            "left for the worker: {}: {budget}",
            counted(budget.left(), "connection", "connections")
        );
    }
    Ok(())
}

/// Refuses a schema that is not the one this version works on.
///
/// # Errors
/// Says what is missing or unknown, and what to do.
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
