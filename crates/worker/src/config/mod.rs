//! The configuration: its keys, and how layers combine into one value.
//!
//! `config/default.toml` documents every key and is the schema: other keys are unknown. The layers over
//! it, in ascending priority: the profile named by `pool.profile`, the file given by `--config`,
//! systemd's credentials, `DATABASE_URL`, variables `WORKER__SECTION__KEY`, `--quiet` and `-v`. One load
//! reports all problems, one per line. Each says what is wrong, where it was set and how to correct it.
//!
//! A problem quotes only key names and numbers, never text: misplaced text may be the database's
//! password.

mod environment;
mod error;
mod file;
mod layers;
mod nearest;
mod profile;
mod read;
mod reload;
mod schedule;
mod setting;
mod source;
mod syntax;
mod targets;
#[cfg(test)]
mod tests;
mod value;

use std::ffi::OsString;
use std::net::{IpAddr, SocketAddr};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use alerts::{Mail, PostUrl, Rules, Webhook};
use config_values::limits::{attempts, backoff, port, timeout};
use config_values::{filled, path};
use serde::Deserialize;
use store::Pooler;

pub(crate) use config_values::Secret;
pub(crate) use error::ConfigError;
pub(crate) use read::MAX_ROWS_PER_SECOND;
pub(crate) use reload::Reload;
pub(crate) use targets::{DirectoryRow, Target};

use read::{
    address, application_name, batch_size, changes, concurrency, connection_age, host_names,
    keep_days, lease, log_format, observe, old_transaction, pattern, poll, pool_idle, pool_size,
    pooler, post_url, rows_per_second, schema, server_connections, shutdown, slow_hold, stuck,
    summary, targets_reload, time_budget, token,
};

/// The first layer, and the list of valid keys.
const DEFAULTS: &str = include_str!("../../../../config/default.toml");

/// The settings in force. Each is documented in `config/default.toml`.
#[derive(Clone, Debug, Deserialize, PartialEq)]
#[serde(deny_unknown_fields)]
pub(crate) struct Config {
    /// The database's address.
    pub(crate) database: Database,
    /// Number and lifetimes of connections.
    pub(crate) pool: Pool,
    /// Settings of the server's sessions.
    pub(crate) session: Session,
    /// Size, lease and retries of batches.
    pub(crate) batch: Batch,
    /// Inputs of the figures besides the raw rows.
    pub(crate) aggregation: Aggregation,
    /// When the service checks for work.
    pub(crate) schedule: Schedule,
    /// Time limits of the service.
    pub(crate) service: Service,
    /// The address of health and metrics.
    pub(crate) http: Http,
    /// Level and format of the log.
    pub(crate) log: Log,
    /// The rules of alerts.
    pub(crate) alerts: Rules,
    /// The mail server for alerts.
    pub(crate) mail: Mail,
    /// The webhook for alerts.
    pub(crate) webhook: Webhook,
    /// The feed of changed days.
    pub(crate) changes: Changes,
    /// The lists of targets outside the configuration.
    pub(crate) targets_from: TargetsFrom,
}

/// `[database]`
#[derive(Clone, Debug, Deserialize, PartialEq)]
#[serde(deny_unknown_fields)]
pub(crate) struct Database {
    /// The connection URL; empty if none is set.
    pub(crate) url: Secret,
    /// The schema of the tables; `None` if the search path decides.
    #[serde(deserialize_with = "schema")]
    pub(crate) schema: Option<String>,
    /// The pooler between the worker and PostgreSQL.
    #[serde(deserialize_with = "pooler")]
    pub(crate) pooler: Pooler,
    /// Time limit of a connection's whole handshake.
    #[serde(rename = "connect_timeout_seconds", deserialize_with = "timeout")]
    pub(crate) connect_timeout: Duration,
}

/// `[pool]`
#[derive(Clone, Debug, Deserialize, PartialEq)]
#[serde(deny_unknown_fields)]
pub(crate) struct Pool {
    /// The profile applied over the defaults.
    pub(crate) profile: String,
    /// Maximum of open connections.
    #[serde(deserialize_with = "pool_size")]
    pub(crate) max_size: u32,
    /// Idle connections kept open; at most `max_size`.
    #[serde(deserialize_with = "pool_idle")]
    pub(crate) min_idle: u32,
    /// Maximum wait for a connection.
    #[serde(rename = "wait_timeout_seconds", deserialize_with = "timeout")]
    pub(crate) wait_timeout: Duration,
    /// Age at which a connection is replaced.
    #[serde(rename = "max_lifetime_seconds", deserialize_with = "connection_age")]
    pub(crate) max_lifetime: Duration,
    /// Idle time after which a connection is closed.
    #[serde(rename = "idle_timeout_seconds", deserialize_with = "connection_age")]
    pub(crate) idle_timeout: Duration,
    /// Whether a connection is validated before use.
    pub(crate) test_on_checkout: bool,
    /// Maximum of connections to one server, for all targets.
    #[serde(deserialize_with = "server_connections")]
    pub(crate) max_per_server: u32,
}

/// `[session]`. Time-outs are at least a millisecond; PostgreSQL's 0 for "none" is refused.
#[derive(Clone, Debug, Deserialize, PartialEq)]
#[serde(deny_unknown_fields)]
pub(crate) struct Session {
    /// Time limit of a statement; always shorter than a lease.
    #[serde(rename = "statement_timeout_seconds", deserialize_with = "timeout")]
    pub(crate) statement_timeout: Duration,
    /// Maximum wait for a lock.
    #[serde(rename = "lock_timeout_seconds", deserialize_with = "timeout")]
    pub(crate) lock_timeout: Duration,
    /// Time limit of an idle transaction.
    #[serde(rename = "idle_in_transaction_timeout_seconds", deserialize_with = "timeout")]
    pub(crate) idle_in_transaction_timeout: Duration,
    /// Time limit of a transaction; at least that of a statement.
    #[serde(rename = "transaction_timeout_seconds", deserialize_with = "timeout")]
    pub(crate) transaction_timeout: Duration,
    /// Whether the server may compile statements (JIT).
    pub(crate) jit: bool,
    /// Whether a commit waits for the server's disk.
    pub(crate) synchronous_commit: bool,
    /// 1 to 63 printable ASCII characters, including spaces.
    #[serde(deserialize_with = "application_name")]
    pub(crate) application_name: String,
}

/// `[batch]`
#[derive(Clone, Debug, Deserialize, PartialEq)]
#[serde(deny_unknown_fields)]
pub(crate) struct Batch {
    /// Size of the first batch, in raw rows.
    #[serde(deserialize_with = "batch_size")]
    pub(crate) size: u32,
    /// Minimum batch size when the database is slow; at most `size`.
    #[serde(deserialize_with = "batch_size")]
    pub(crate) min_size: u32,
    /// Maximum batch size when the database is fast; at least `size`.
    #[serde(deserialize_with = "batch_size")]
    pub(crate) max_size: u32,
    /// Maximum of concurrent batches. With more than one, it must be less than the maximum of
    /// connections.
    #[serde(deserialize_with = "concurrency")]
    pub(crate) concurrency: u32,
    /// Maximum of rows claimed each second; 0 means no limit.
    #[serde(deserialize_with = "rows_per_second")]
    pub(crate) max_rows_per_second: u32,
    /// Length of the lease on claimed rows.
    #[serde(rename = "lease_seconds", deserialize_with = "lease")]
    pub(crate) lease: Duration,
    /// Number of attempts after which a row is dead.
    #[serde(deserialize_with = "attempts")]
    pub(crate) max_attempts: i32,
    /// Wait after the first failed attempt.
    #[serde(rename = "backoff_first_seconds", deserialize_with = "backoff")]
    pub(crate) backoff_first: Duration,
    /// Maximum wait between attempts; at least `backoff_first`.
    #[serde(rename = "backoff_max_seconds", deserialize_with = "backoff")]
    pub(crate) backoff_max: Duration,
}

/// `[aggregation]`
#[derive(Clone, Debug, Deserialize, PartialEq)]
#[serde(deny_unknown_fields)]
pub(crate) struct Aggregation {
    /// Not blank. Its user checks that it names a zone.
    #[serde(deserialize_with = "filled")]
    pub(crate) default_time_zone: String,
    /// A file that extends the catalogue; `None` if empty. Its user checks the content.
    #[serde(deserialize_with = "path")]
    pub(crate) catalogue: Option<PathBuf>,
}

/// `[schedule]`; each pattern has six fields and matches some time, or is empty for never.
#[derive(Clone, Debug, Deserialize, PartialEq)]
#[serde(deny_unknown_fields)]
pub(crate) struct Schedule {
    /// When to check for vitals.
    #[serde(deserialize_with = "pattern")]
    pub(crate) vitals: String,
    /// When to check for nutrition.
    #[serde(deserialize_with = "pattern")]
    pub(crate) nutrition: String,
    /// When to check for labs.
    #[serde(deserialize_with = "pattern")]
    pub(crate) labs: String,
    /// Time between two polls; `None` if only the schedule applies.
    #[serde(rename = "poll_seconds", deserialize_with = "poll")]
    pub(crate) poll: Option<Duration>,
}

/// `[service]`
#[derive(Clone, Debug, Deserialize, PartialEq)]
#[serde(deny_unknown_fields)]
pub(crate) struct Service {
    /// Maximum time of work without a break.
    #[serde(rename = "time_budget_seconds", deserialize_with = "time_budget")]
    pub(crate) time_budget: Duration,
    /// Time between two observations of backlog and pool.
    #[serde(rename = "observe_seconds", deserialize_with = "observe")]
    pub(crate) observe: Duration,
    /// Time between two summaries in the log.
    #[serde(rename = "summary_seconds", deserialize_with = "summary")]
    pub(crate) summary: Duration,
    /// Time limit of a stop.
    #[serde(rename = "shutdown_timeout_seconds", deserialize_with = "shutdown")]
    pub(crate) shutdown_timeout: Duration,
    /// Time without progress after which the service counts as stuck.
    #[serde(rename = "stuck_after_seconds", deserialize_with = "stuck")]
    pub(crate) stuck_after: Duration,
}

/// `[http]`
#[derive(Clone, Debug, Deserialize, PartialEq)]
#[serde(deny_unknown_fields)]
pub(crate) struct Http {
    /// The address to listen on.
    #[serde(deserialize_with = "address")]
    pub(crate) address: IpAddr,
    /// The port to listen on; 0 means none.
    #[serde(deserialize_with = "port")]
    pub(crate) port: u16,
    /// Host names that requests may contain, besides IP addresses and `localhost`.
    #[serde(deserialize_with = "host_names")]
    pub(crate) allowed_hosts: Vec<String>,
    /// The token of viewers; none if empty.
    #[serde(deserialize_with = "token")]
    pub(crate) token: Secret,
    /// The token of operators; none if empty, and never that of viewers.
    #[serde(deserialize_with = "token")]
    pub(crate) operator_token: Secret,
}

/// `[log]`
#[derive(Clone, Debug, Deserialize, PartialEq)]
#[serde(deny_unknown_fields)]
pub(crate) struct Log {
    /// The format of log lines.
    #[serde(deserialize_with = "log_format")]
    pub(crate) format: LogFormat,
    /// Not blank. Its user checks that it is a valid filter.
    #[serde(deserialize_with = "filled")]
    pub(crate) level: String,
    /// A connection held for longer causes a warning.
    #[serde(rename = "slow_hold_seconds", deserialize_with = "slow_hold")]
    pub(crate) slow_hold: Duration,
    /// A transaction open for longer, of any client, causes a warning.
    #[serde(rename = "old_transaction_seconds", deserialize_with = "old_transaction")]
    pub(crate) old_transaction: Duration,
}

/// `[targets_from]`
#[derive(Clone, Debug, Deserialize, PartialEq)]
#[serde(deny_unknown_fields)]
pub(crate) struct TargetsFrom {
    /// A file that lists targets; `None` if empty.
    #[serde(deserialize_with = "path")]
    pub(crate) file: Option<PathBuf>,
    /// The database that `query` asks.
    pub(crate) url: Secret,
    /// A query that lists targets; empty for none.
    pub(crate) query: String,
    /// Time between two readings.
    #[serde(rename = "reload_seconds", deserialize_with = "targets_reload")]
    pub(crate) reload: Duration,
}

/// `[changes]`
#[derive(Clone, Debug, Deserialize, PartialEq)]
#[serde(deny_unknown_fields)]
pub(crate) struct Changes {
    /// Whether groups record the dates whose figures change.
    pub(crate) enabled: bool,
    /// Days for which a change is kept.
    #[serde(deserialize_with = "keep_days")]
    pub(crate) keep_days: u32,
    /// The URL that gets the changes; no webhook if absent.
    #[serde(deserialize_with = "post_url")]
    pub(crate) webhook_url: Option<PostUrl>,
    /// The key of the signatures; not empty if there is a URL.
    #[serde(deserialize_with = "token")]
    pub(crate) webhook_secret: Secret,
    /// Maximum of changes in one message.
    #[serde(deserialize_with = "changes")]
    pub(crate) webhook_batch_size: u32,
    /// A file of trusted certificates, instead of the operating system's authorities.
    #[serde(deserialize_with = "path")]
    pub(crate) webhook_ca_file: Option<PathBuf>,
    /// Maximum time to connect, over all addresses.
    #[serde(rename = "webhook_connect_timeout_seconds", deserialize_with = "timeout")]
    pub(crate) webhook_connect_timeout: Duration,
    /// Maximum time to receive the answer.
    #[serde(rename = "webhook_send_timeout_seconds", deserialize_with = "timeout")]
    pub(crate) webhook_send_timeout: Duration,
}

impl Changes {
    /// The webhook; `None` without a URL.
    pub(crate) fn webhook(&self) -> Option<Webhook> {
        self.webhook_url.is_some().then(|| Webhook {
            url: self.webhook_url.clone(),
            ca_file: self.webhook_ca_file.clone(),
            connect_timeout: self.webhook_connect_timeout,
            send_timeout: self.webhook_send_timeout,
        })
    }
}

/// The format of the log.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum LogFormat {
    /// Text on a terminal, otherwise JSON.
    #[default]
    Auto,
    /// Lines of text.
    Text,
    /// One JSON object per line.
    Json,
    /// Fields of systemd's journal.
    Journald,
}

/// A configuration with the origin of each value.
#[derive(Clone, Debug)]
pub(crate) struct Loaded {
    /// The settings in force.
    pub(crate) config: Config,
    /// Every key, in the order of `config/default.toml`.
    pub(crate) entries: Vec<Entry>,
    /// The settings from which those of each target are made.
    common: Arc<targets::Common>,
}

/// One key with its value in force, safe to print.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Entry {
    /// The dotted key, such as `pool.max_size`.
    pub(crate) key: String,
    /// The value as text; for a secret only `(set)` or `(not set)`.
    pub(crate) value: String,
    /// `default`, the profile, the file's path, the credential, the variable or the flag.
    pub(crate) origin: String,
    /// The line in the file.
    pub(crate) line: Option<usize>,
}

impl Loaded {
    /// The origin of the database's URL, for advice.
    pub(crate) fn url_origin(&self) -> String {
        let url = self.entries.iter().find(|entry| entry.key == "database.url");
        match url.map(|url| (url.origin.as_str(), url.line)) {
            Some((file, Some(line))) => format!("{file} line {line}"),
            Some((origin, None)) if origin.starts_with("credential ") => format!("the {origin}"),
            Some((origin, None)) if origin != "default" => origin.to_owned(),
            _ => "DATABASE_URL".to_owned(),
        }
    }

    /// A message that no key or section has this name, with the nearest name.
    pub(crate) fn unknown(&self, name: &str) -> String {
        let keys = self.entries.iter().map(|entry| entry.key.as_str());
        let sections = self.entries.iter().map(Entry::section);
        let near = nearest::nearest_name(name, sections).filter(|_| !name.contains('.'));
        let advice = match near.or_else(|| nearest::nearest_key(name, keys)) {
            Some(near) => format!("did you mean {near}?"),
            None => "`worker config show` lists all of them".to_owned(),
        };
        format!("there is no key or section {}; {advice}", nearest::printable_key(name))
    }
}

impl Entry {
    /// Whether this is the name of the key or of its section.
    pub(crate) fn is_called(&self, name: &str) -> bool {
        self.key == name || self.section() == name
    }

    fn section(&self) -> &str {
        self.key.split_once('.').map_or("", |(section, _)| section)
    }
}

impl Http {
    /// The address to listen on; `None` without a port.
    pub(crate) fn listen(&self) -> Option<SocketAddr> {
        (self.port > 0).then(|| SocketAddr::new(self.address, self.port))
    }
}

impl Config {
    /// Applies the layers over each other and validates the result.
    ///
    /// `file` is the path given by `--config`; `environment` is usually `std::env::vars_os()`. `level`
    /// is a flag, such as `-v`, and its value of `log.level`.
    pub(crate) fn load<N, V>(
        file: Option<&Path>,
        environment: impl IntoIterator<Item = (N, V)>,
        level: Option<(&'static str, &str)>,
    ) -> Result<Loaded, ConfigError>
    where
        N: Into<OsString>,
        V: Into<OsString>,
    {
        let mut layers = layers::Layers::new(DEFAULTS);
        if let Some(path) = file {
            layers.add_file(path);
        }
        layers.add_environment(environment);
        if let Some((flag, level)) = level {
            layers.add_flag(flag, level);
        }
        layers.into_loaded()
    }
}
