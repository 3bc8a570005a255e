//! The configuration and the connection of a worker.

use std::path::Path;
use std::sync::OnceLock;

use anyhow::{Context, bail};
use store::{
    Budget, ConnectError, ConnectionPlan, ListedTarget, PoolSettings, SchemaState, ServerBudgets,
    SessionSettings, Store, Variables, schema_state,
};

use crate::config::{Config, ConfigError, DirectoryRow, Loaded};
use crate::tables::counted;
use crate::{logging, output, verbosity};

/// Reads all layers of the configuration and starts logging.
///
/// # Errors
/// One line for each problem of the configuration.
pub fn configuration(file: Option<&Path>) -> anyhow::Result<Loaded> {
    let loaded = load(file)?;
    logging::start(&loaded.config.log)?;
    Ok(loaded)
}

/// Reads all layers of the configuration.
///
/// # Errors
/// One line for each problem of the configuration.
pub fn load(file: Option<&Path>) -> Result<Loaded, ConfigError> {
    if let Some(selected) = SELECTED.get() {
        output::set_url_origin(selected.url_origin());
        return Ok(selected.clone());
    }
    let loaded = Config::load(file, std::env::vars_os(), verbosity::asked().layer())?;
    output::set_url_origin(loaded.url_origin());
    Ok(loaded)
}

/// The settings of the target that the command line names.
static SELECTED: OnceLock<Loaded> = OnceLock::new();

/// Uses the settings of one target for the rest of the process.
pub fn select(target: Loaded) {
    let _ = SELECTED.set(target);
}

/// The identity of this worker, name@host:process, in `pg_stat_activity` and `worker status`.
pub fn identity(application_name: &str) -> String {
    let host = rustix::system::uname();
    let host = host.nodename().to_string_lossy();
    format!("{application_name}@{host}:{}", std::process::id())
}

/// The longest name that PostgreSQL keeps, in bytes (NAMEDATALEN - 1).
const NAME_BYTES: usize = 63;

/// The worker's name in the server's sessions. If it exceeds the server's limit, the end of the host's
/// name is cut, so that the process is still shown.
fn session_name(application_name: &str) -> String {
    let whole = identity(application_name);
    let Some(excess) = whole.len().checked_sub(NAME_BYTES) else { return whole };
    let Some((host, process)) = whole.rsplit_once(':') else { return whole };
    let end = host.len().saturating_sub(excess).max(application_name.len());
    format!("{}:{process}", host.get(..end).unwrap_or(application_name))
}

/// Connects to the configured database. libpq's variables, and the files that they name, fill in parts
/// that the URL lacks.
///
/// # Errors
/// If no connection can be made.
pub async fn connect(config: &Config) -> Result<Store, ConnectError> {
    connect_with(config, &environment_variable, None).await
}

/// Connects to a target's database, with places in the budget of its server.
///
/// # Errors
/// As [`connect`], and if no place became free in time.
pub async fn connect_within(
    config: &Config,
    budgets: &ServerBudgets,
) -> Result<Store, ConnectError> {
    connect_with(config, &environment_variable, Some(budgets)).await
}

/// Connects with these variables instead of the environment's, within these budgets.
///
/// # Errors
/// If no connection can be made.
pub async fn connect_with(
    config: &Config,
    variables: Variables<'_>,
    budgets: Option<&ServerBudgets>,
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
    let url = config.database.url.expose();
    let store = Store::connect_within(url, pool, &session(config), variables, budgets).await?;
    Ok(store.recording_changes(config.changes.enabled))
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
        schema: config.database.schema.clone(),
    }
}

/// The rows of `targets_from.query`; none without a query.
///
/// # Errors
/// If the directory cannot be read, or a row has no name.
pub async fn directory(config: &Config) -> anyhow::Result<Vec<DirectoryRow>> {
    let from = &config.targets_from;
    if from.query.is_empty() {
        return Ok(Vec::new());
    }
    let name = session_name(&config.session.application_name);
    let listed = store::read_directory(
        from.url.expose(),
        &from.query,
        config.database.connect_timeout,
        &name,
        &environment_variable,
    );
    let listed = listed.await.context("targets_from.query cannot be read")?;
    let row = |(index, listed): (usize, ListedTarget)| {
        let ListedTarget { name, url, schema } = listed;
        let name =
            name.with_context(|| format!("row {} of targets_from.query has no name", index + 1))?;
        anyhow::Ok(DirectoryRow { name, url, schema })
    };
    listed.into_iter().enumerate().map(row).collect()
}

/// Checks the URL without connecting.
///
/// # Errors
/// If the URL cannot be used.
pub fn check_url(config: &Config) -> Result<(), ConnectError> {
    store::check_url(config.database.url.expose(), &session(config), &environment_variable)
}

/// The servers to try, and their verification.
///
/// # Errors
/// If the URL cannot be used.
pub fn connection_plan(config: &Config) -> Result<ConnectionPlan, ConnectError> {
    check_url(config)?;
    store::connection_plan(config.database.url.expose(), &environment_variable)
}

/// A variable of the environment; an empty one counts as not set, as for libpq.
fn environment_variable(name: &str) -> Option<String> {
    std::env::var(name).ok().filter(|value| !value.is_empty())
}

/// Refuses a pool that is larger than the server's limits, and warns of one that is larger than the
/// connections available now. The application would lack the connections that the worker opens.
/// `beside` is the number of connections that it opens beside the pool.
///
/// # Errors
/// The calculation and the advice.
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

/// Refuses a schema that does not match this version.
///
/// # Errors
/// The missing or unknown migrations, and the advice.
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
