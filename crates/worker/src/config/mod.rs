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
mod secret;
#[cfg(test)]
mod tests;
mod value;

use std::ffi::OsString;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use lettre::message::{Mailbox, Mailboxes};
use store::Pooler;

use crate::alerts::{MailTls, PostUrl, Rule};

pub(crate) use error::ConfigError;
pub(crate) use read::MAX_ROWS_PER_SECOND;
pub(crate) use reload::Reload;
pub(crate) use secret::Secret;

/// The first layer, and the list of valid keys.
const DEFAULTS: &str = include_str!("../../../../config/default.toml");

/// The settings in force. Each is documented in `config/default.toml`.
#[derive(Clone, Debug, PartialEq)]
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
    pub(crate) alerts: Alerts,
    /// Which mail server tells them.
    pub(crate) mail: Mail,
    /// Which web server is told.
    pub(crate) webhook: Webhook,
}

/// `[database]`
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Database {
    /// The connection URL; empty when none was given.
    pub(crate) url: Secret,
    /// What stands between the worker and PostgreSQL.
    pub(crate) pooler: Pooler,
    /// The longest that the whole handshake of one connection may take.
    pub(crate) connect_timeout: Duration,
}

/// `[pool]`
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Pool {
    /// The most connections ever open.
    pub(crate) max_size: u32,
    /// Idle connections kept beside the busy ones; never more than `max_size`.
    pub(crate) min_idle: u32,
    /// The longest wait for a connection.
    pub(crate) wait_timeout: Duration,
    /// The age at which a connection is replaced.
    pub(crate) max_lifetime: Duration,
    /// How long an unused connection stays open.
    pub(crate) idle_timeout: Duration,
    /// Whether a connection is tested before use.
    pub(crate) test_on_checkout: bool,
}

/// `[session]`; the time-outs are at least a millisecond, never PostgreSQL's 0 for "none".
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Session {
    /// The longest that a statement may run; always shorter than a lease.
    pub(crate) statement_timeout: Duration,
    /// The longest wait for a lock.
    pub(crate) lock_timeout: Duration,
    /// The longest that a transaction may do nothing.
    pub(crate) idle_in_transaction_timeout: Duration,
    /// The longest that a transaction may take; never shorter than a statement.
    pub(crate) transaction_timeout: Duration,
    /// Whether the server may compile statements.
    pub(crate) jit: bool,
    /// Whether a commit waits until it is on the server's disk.
    pub(crate) synchronous_commit: bool,
    /// 1 to 63 printable ASCII characters, spaces among them.
    pub(crate) application_name: String,
}

/// `[batch]`
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Batch {
    /// Raw rows claimed at once, to begin with.
    pub(crate) size: u32,
    /// The fewest, when the database is slow; never more than `size`.
    pub(crate) min_size: u32,
    /// The most, when the database is quick; never less than `size`.
    pub(crate) max_size: u32,
    /// Batches that run at the same time; more than one only where a connection is left beside them.
    pub(crate) concurrency: u32,
    /// Rows claimed each second; 0 is no limit.
    pub(crate) max_rows_per_second: u32,
    /// How long claimed rows belong to a worker.
    pub(crate) lease: Duration,
    /// Attempts before a row is dead.
    pub(crate) max_attempts: i32,
    /// The pause after the first failed attempt.
    pub(crate) backoff_first: Duration,
    /// The longest pause; never shorter than the first.
    pub(crate) backoff_max: Duration,
}

/// `[aggregation]`
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Aggregation {
    /// Not blank, but not yet known to be a zone: who uses it checks the name.
    pub(crate) default_time_zone: String,
    /// A file that extends the catalogue; none if empty. Not yet known to be usable.
    pub(crate) catalogue: Option<PathBuf>,
}

/// `[schedule]`; each pattern has six fields and matches some time, or is empty for never.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Schedule {
    /// When to look for vitals.
    pub(crate) vitals: String,
    /// When to look for nutrition.
    pub(crate) nutrition: String,
    /// When to look for labs.
    pub(crate) labs: String,
    /// The time between two looks; none if only the ticks count.
    pub(crate) poll: Option<Duration>,
}

/// `[service]`
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Service {
    /// The longest work without a break.
    pub(crate) time_budget: Duration,
    /// The time between two looks at backlog and pool.
    pub(crate) observe: Duration,
    /// The time between two summaries in the log.
    pub(crate) summary: Duration,
    /// The longest that a stop may take.
    pub(crate) shutdown_timeout: Duration,
    /// Without progress for so long, the service is stuck.
    pub(crate) stuck_after: Duration,
}

/// `[http]`
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Http {
    /// Where to listen; none if nobody asked for it.
    pub(crate) listen: Option<SocketAddr>,
    /// Host names that requests may name, beside IP addresses and `localhost`.
    pub(crate) allowed_hosts: Vec<String>,
    /// The token of viewers; none if empty.
    pub(crate) token: Secret,
    /// The token of operators; none if empty, and never that of viewers.
    pub(crate) operator_token: Secret,
}

/// `[log]`
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Log {
    /// The form of the lines.
    pub(crate) format: LogFormat,
    /// Not blank, but not yet known to be filter directives: who uses it checks them.
    pub(crate) level: String,
    /// A connection held for longer is worth a warning.
    pub(crate) slow_hold: Duration,
    /// A transaction of anybody's that is open for longer is worth a warning.
    pub(crate) old_transaction: Duration,
}

/// `[alerts]`
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Alerts {
    /// The rules that are off.
    pub(crate) off: Vec<Rule>,
    /// Connections in use, in percent of the most.
    pub(crate) pool_usage_percent: f64,
    /// For how long.
    pub(crate) pool_usage_after: Duration,
    /// For how long somebody waits in vain.
    pub(crate) pool_exhausted_after: Duration,
    /// For how long the database is left alone.
    pub(crate) circuit_open_after: Duration,
    /// The freshness goal, in seconds.
    pub(crate) oldest_pending: f64,
    /// Rows given up.
    pub(crate) dead_rows: i64,
    /// Groups that failed, in percent.
    pub(crate) failed_groups_percent: f64,
    /// For how long there is no connection.
    pub(crate) database_unreachable_after: Duration,
    /// Dates whose figures differ.
    pub(crate) verify_drift_dates: i64,
    /// For how long each rule does not fire again, in the order of [`Rule::ALL`].
    pub(crate) cooldowns: [Duration; Rule::ALL.len()],
    /// Attempts before a message is given up.
    pub(crate) max_attempts: i32,
    /// The pause after the first failed attempt.
    pub(crate) retry_first: Duration,
    /// The longest pause; never shorter than the first.
    pub(crate) retry_max: Duration,
}

/// `[mail]`; with a host, there are a sender and somebody to get it.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Mail {
    /// The mail server; none if empty.
    pub(crate) host: String,
    /// Its port; that of the way of encryption if none is named.
    pub(crate) port: u16,
    /// How the way to it is encrypted.
    pub(crate) tls: MailTls,
    /// Whom to trust instead of the operating system's authorities.
    pub(crate) ca_file: Option<PathBuf>,
    /// Who logs in; nobody if empty, and never without a password and encryption.
    pub(crate) user: String,
    /// The password of the log-in.
    pub(crate) password: Secret,
    /// The sender.
    pub(crate) from: Option<Mailbox>,
    /// Who gets it.
    pub(crate) to: Mailboxes,
    /// The longest that connecting may take in all.
    pub(crate) connect_timeout: Duration,
    /// The longest that the message may take.
    pub(crate) send_timeout: Duration,
}

/// `[webhook]`
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Webhook {
    /// Where to post; nowhere if there is none.
    pub(crate) url: Option<PostUrl>,
    /// Whom to trust instead of the operating system's authorities.
    pub(crate) ca_file: Option<PathBuf>,
    /// The longest that connecting may take in all.
    pub(crate) connect_timeout: Duration,
    /// The longest that the answer may take.
    pub(crate) send_timeout: Duration,
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
