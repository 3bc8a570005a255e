//! The configuration: what can be set, and how the layers become one value.
//!
//! `config/default.toml` documents every key and is the schema: a key that it does not have is
//! unknown. Over it lie the profile that `pool.profile` names, then the file given by `--config`, then
//! systemd's credentials, then `DATABASE_URL`, then variables `WORKER__SECTION__KEY`, then `--quiet` and `-v`; later
//! wins. One load reports all problems that it finds, each in a line
//! that says what is wrong, where it was set and what would be right.
//!
//! A problem never quotes text, only key names and numbers: whatever was put into the wrong place
//! may be the database's password.

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
mod syntax;
#[cfg(test)]
mod tests;
mod value;

use std::ffi::OsString;
use std::net::{IpAddr, SocketAddr};
use std::path::{Path, PathBuf};
use std::time::Duration;

use alerts::{Mail, Rules, Webhook};
use config_values::limits::{attempts, backoff, port, timeout};
use config_values::{filled, path};
use serde::Deserialize;
use store::Pooler;

pub(crate) use config_values::Secret;
pub(crate) use error::ConfigError;
pub(crate) use read::MAX_ROWS_PER_SECOND;
pub(crate) use reload::Reload;

use read::{
    address, application_name, batch_size, concurrency, connection_age, host_names, lease,
    log_format, observe, old_transaction, pattern, poll, pool_idle, pool_size, pooler,
    rows_per_second, shutdown, slow_hold, stuck, summary, time_budget, token,
};

/// The first layer, and the list of valid keys.
const DEFAULTS: &str = include_str!("../../../../config/default.toml");

/// The settings in force. Each is documented in `config/default.toml`.
#[derive(Clone, Debug, Deserialize, PartialEq)]
#[serde(deny_unknown_fields)]
pub(crate) struct Config {
    /// Where PostgreSQL is.
    pub(crate) database: Database,
    /// How many connections there are, and how long each lives.
    pub(crate) pool: Pool,
    /// What the server is told when a connection opens.
    pub(crate) session: Session,
    /// How many rows are claimed, for how long, and how often.
    pub(crate) batch: Batch,
    /// What the figures need beside the rows.
    pub(crate) aggregation: Aggregation,
    /// When the service looks for work.
    pub(crate) schedule: Schedule,
    /// How the service works and stops.
    pub(crate) service: Service,
    /// Where health and metrics are served.
    pub(crate) http: Http,
    /// What is logged, and in which form.
    pub(crate) log: Log,
    /// Which conditions people are told of.
    pub(crate) alerts: Rules,
    /// Which mail server tells them.
    pub(crate) mail: Mail,
    /// Which web server is told.
    pub(crate) webhook: Webhook,
}

/// `[database]`
#[derive(Clone, Debug, Deserialize, PartialEq)]
#[serde(deny_unknown_fields)]
pub(crate) struct Database {
    /// The connection URL; empty when none was given.
    pub(crate) url: Secret,
    /// What stands between the worker and PostgreSQL.
    #[serde(deserialize_with = "pooler")]
    pub(crate) pooler: Pooler,
    /// The longest that the whole handshake of one connection may take.
    #[serde(rename = "connect_timeout_seconds", deserialize_with = "timeout")]
    pub(crate) connect_timeout: Duration,
}

/// `[pool]`
#[derive(Clone, Debug, Deserialize, PartialEq)]
#[serde(deny_unknown_fields)]
pub(crate) struct Pool {
    /// The profile between the defaults and other layers.
    pub(crate) profile: String,
    /// The most connections ever open.
    #[serde(deserialize_with = "pool_size")]
    pub(crate) max_size: u32,
    /// Idle connections kept beside the busy ones; never more than `max_size`.
    #[serde(deserialize_with = "pool_idle")]
    pub(crate) min_idle: u32,
    /// The longest wait for a connection.
    #[serde(rename = "wait_timeout_seconds", deserialize_with = "timeout")]
    pub(crate) wait_timeout: Duration,
    /// The age at which a connection is replaced.
    #[serde(rename = "max_lifetime_seconds", deserialize_with = "connection_age")]
    pub(crate) max_lifetime: Duration,
    /// How long an unused connection stays open.
    #[serde(rename = "idle_timeout_seconds", deserialize_with = "connection_age")]
    pub(crate) idle_timeout: Duration,
    /// Whether a connection is tested before use.
    pub(crate) test_on_checkout: bool,
}

/// `[session]`; the time-outs are at least a millisecond, never PostgreSQL's 0 for "none".
#[derive(Clone, Debug, Deserialize, PartialEq)]
#[serde(deny_unknown_fields)]
pub(crate) struct Session {
    /// The longest that a statement may run; always shorter than a lease.
    #[serde(rename = "statement_timeout_seconds", deserialize_with = "timeout")]
    pub(crate) statement_timeout: Duration,
    /// The longest wait for a lock.
    #[serde(rename = "lock_timeout_seconds", deserialize_with = "timeout")]
    pub(crate) lock_timeout: Duration,
    /// The longest that a transaction may do nothing.
    #[serde(rename = "idle_in_transaction_timeout_seconds", deserialize_with = "timeout")]
    pub(crate) idle_in_transaction_timeout: Duration,
    /// The longest that a transaction may take; never shorter than a statement.
    #[serde(rename = "transaction_timeout_seconds", deserialize_with = "timeout")]
    pub(crate) transaction_timeout: Duration,
    /// Whether the server may compile statements.
    pub(crate) jit: bool,
    /// Whether a commit waits until it is on the server's disk.
    pub(crate) synchronous_commit: bool,
    /// 1 to 63 printable ASCII characters, spaces among them.
    #[serde(deserialize_with = "application_name")]
    pub(crate) application_name: String,
}

/// `[batch]`
#[derive(Clone, Debug, Deserialize, PartialEq)]
#[serde(deny_unknown_fields)]
pub(crate) struct Batch {
    /// Raw rows claimed at once, to begin with.
    #[serde(deserialize_with = "batch_size")]
    pub(crate) size: u32,
    /// The fewest, when the database is slow; never more than `size`.
    #[serde(deserialize_with = "batch_size")]
    pub(crate) min_size: u32,
    /// The most, when the database is quick; never less than `size`.
    #[serde(deserialize_with = "batch_size")]
    pub(crate) max_size: u32,
    /// Batches that run at the same time; more than one only where a connection is left beside them.
    #[serde(deserialize_with = "concurrency")]
    pub(crate) concurrency: u32,
    /// Rows claimed each second; 0 is no limit.
    #[serde(deserialize_with = "rows_per_second")]
    pub(crate) max_rows_per_second: u32,
    /// How long claimed rows belong to a worker.
    #[serde(rename = "lease_seconds", deserialize_with = "lease")]
    pub(crate) lease: Duration,
    /// Attempts before a row is dead.
    #[serde(deserialize_with = "attempts")]
    pub(crate) max_attempts: i32,
    /// The pause after the first failed attempt.
    #[serde(rename = "backoff_first_seconds", deserialize_with = "backoff")]
    pub(crate) backoff_first: Duration,
    /// The longest pause; never shorter than the first.
    #[serde(rename = "backoff_max_seconds", deserialize_with = "backoff")]
    pub(crate) backoff_max: Duration,
}

/// `[aggregation]`
#[derive(Clone, Debug, Deserialize, PartialEq)]
#[serde(deny_unknown_fields)]
pub(crate) struct Aggregation {
    /// Not blank, but not yet known to be a zone: who uses it checks the name.
    #[serde(deserialize_with = "filled")]
    pub(crate) default_time_zone: String,
    /// A file that extends the catalogue; none if empty. Not yet known to be usable.
    #[serde(deserialize_with = "path")]
    pub(crate) catalogue: Option<PathBuf>,
}

/// `[schedule]`; each pattern has six fields and matches some time, or is empty for never.
#[derive(Clone, Debug, Deserialize, PartialEq)]
#[serde(deny_unknown_fields)]
pub(crate) struct Schedule {
    /// When to look for vitals.
    #[serde(deserialize_with = "pattern")]
    pub(crate) vitals: String,
    /// When to look for nutrition.
    #[serde(deserialize_with = "pattern")]
    pub(crate) nutrition: String,
    /// When to look for labs.
    #[serde(deserialize_with = "pattern")]
    pub(crate) labs: String,
    /// The time between two looks; none if only the ticks count.
    #[serde(rename = "poll_seconds", deserialize_with = "poll")]
    pub(crate) poll: Option<Duration>,
}

/// `[service]`
#[derive(Clone, Debug, Deserialize, PartialEq)]
#[serde(deny_unknown_fields)]
pub(crate) struct Service {
    /// The longest work without a break.
    #[serde(rename = "time_budget_seconds", deserialize_with = "time_budget")]
    pub(crate) time_budget: Duration,
    /// The time between two looks at backlog and pool.
    #[serde(rename = "observe_seconds", deserialize_with = "observe")]
    pub(crate) observe: Duration,
    /// The time between two summaries in the log.
    #[serde(rename = "summary_seconds", deserialize_with = "summary")]
    pub(crate) summary: Duration,
    /// The longest that a stop may take.
    #[serde(rename = "shutdown_timeout_seconds", deserialize_with = "shutdown")]
    pub(crate) shutdown_timeout: Duration,
    /// Without progress for so long, the service is stuck.
    #[serde(rename = "stuck_after_seconds", deserialize_with = "stuck")]
    pub(crate) stuck_after: Duration,
}

/// `[http]`
#[derive(Clone, Debug, Deserialize, PartialEq)]
#[serde(deny_unknown_fields)]
pub(crate) struct Http {
    /// The address to listen at.
    #[serde(deserialize_with = "address")]
    pub(crate) address: IpAddr,
    /// The port to listen at; 0 is none.
    #[serde(deserialize_with = "port")]
    pub(crate) port: u16,
    /// Host names that requests may name, beside IP addresses and `localhost`.
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
    /// The form of the lines.
    #[serde(deserialize_with = "log_format")]
    pub(crate) format: LogFormat,
    /// Not blank, but not yet known to be filter directives: who uses it checks them.
    #[serde(deserialize_with = "filled")]
    pub(crate) level: String,
    /// A connection held for longer is worth a warning.
    #[serde(rename = "slow_hold_seconds", deserialize_with = "slow_hold")]
    pub(crate) slow_hold: Duration,
    /// A transaction of anybody's that is open for longer is worth a warning.
    #[serde(rename = "old_transaction_seconds", deserialize_with = "old_transaction")]
    pub(crate) old_transaction: Duration,
}

/// The form of the log.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum LogFormat {
    /// Text on a terminal, JSON elsewhere.
    #[default]
    Auto,
    /// Lines for people.
    Text,
    /// One JSON object a line.
    Json,
    /// Fields of systemd's journal.
    Journald,
}

/// A configuration, and where each of its values comes from.
#[derive(Clone, Debug)]
pub(crate) struct Loaded {
    /// The settings in force.
    pub(crate) config: Config,
    /// Every key, in the order of `config/default.toml`.
    pub(crate) entries: Vec<Entry>,
}

/// One key with the value in force; safe to print.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Entry {
    /// The dotted key, such as `pool.max_size`.
    pub(crate) key: String,
    /// The value as text; of a secret only `(set)` or `(not set)`.
    pub(crate) value: String,
    /// `default`, the profile, the file's path, the credential, the variable or the flag.
    pub(crate) origin: String,
    /// The line of the file.
    pub(crate) line: Option<usize>,
}

impl Loaded {
    /// Where the database's URL comes from, as a place to correct it.
    pub(crate) fn url_origin(&self) -> String {
        let url = self.entries.iter().find(|entry| entry.key == "database.url");
        match url.map(|url| (url.origin.as_str(), url.line)) {
            Some((file, Some(line))) => format!("{file} line {line}"),
            Some((origin, None)) if origin.starts_with("credential ") => format!("the {origin}"),
            Some((origin, None)) if origin != "default" => origin.to_owned(),
            _ => "DATABASE_URL".to_owned(),
        }
    }

    /// Says that there is no key or section of that name, and which one may be meant.
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
    /// Where to listen; none without a port.
    pub(crate) fn listen(&self) -> Option<SocketAddr> {
        (self.port > 0).then(|| SocketAddr::new(self.address, self.port))
    }
}

impl Config {
    /// Lays the layers over each other and checks the result.
    ///
    /// `file` is the one given by `--config`; `environment` is usually `std::env::vars_os()`;
    /// `level` is a flag, such as `-v`, and the `log.level` that it stands for.
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
