//! The settings of rules and channels. Each is documented in `config/default.toml`.

use std::path::PathBuf;
use std::time::Duration;

use lettre::message::{Mailbox, Mailboxes};
use settings::Secret;

use crate::{MailTls, PostUrl, Rule};

/// `[alerts]`
#[derive(Clone, Debug, PartialEq)]
pub struct Rules {
    /// The rules that are off.
    pub off: Vec<Rule>,
    /// Connections in use, in percent of the most.
    pub pool_usage_percent: f64,
    /// For how long.
    pub pool_usage_after: Duration,
    /// For how long somebody waits in vain.
    pub pool_exhausted_after: Duration,
    /// For how long the database is left alone.
    pub circuit_open_after: Duration,
    /// The freshness goal, in seconds.
    pub oldest_pending: f64,
    /// Rows given up.
    pub dead_rows: i64,
    /// Groups that failed, in percent.
    pub failed_groups_percent: f64,
    /// For how long there is no connection.
    pub database_unreachable_after: Duration,
    /// Dates whose figures differ.
    pub verify_drift_dates: i64,
    /// For how long each rule does not fire again, in the order of [`Rule::ALL`].
    pub cooldowns: [Duration; Rule::ALL.len()],
    /// Attempts before a message is given up.
    pub max_attempts: i32,
    /// The pause after the first failed attempt.
    pub retry_first: Duration,
    /// The longest pause; never shorter than the first.
    pub retry_max: Duration,
}

/// `[mail]`; with a host, there are a sender and somebody to get it.
#[derive(Clone, Debug, PartialEq)]
pub struct Mail {
    /// The mail server; none if empty.
    pub host: String,
    /// Its port; that of the way of encryption if none is named.
    pub port: u16,
    /// How the way to it is encrypted.
    pub tls: MailTls,
    /// Whom to trust instead of the operating system's authorities.
    pub ca_file: Option<PathBuf>,
    /// Who logs in; nobody if empty, and never without a password and encryption.
    pub user: String,
    /// The password of the log-in.
    pub password: Secret,
    /// The sender.
    pub from: Option<Mailbox>,
    /// Who gets it.
    pub to: Mailboxes,
    /// The longest that connecting may take in all.
    pub connect_timeout: Duration,
    /// The longest that the message may take.
    pub send_timeout: Duration,
}

/// `[webhook]`
#[derive(Clone, Debug, PartialEq)]
pub struct Webhook {
    /// Where to post; nowhere if there is none.
    pub url: Option<PostUrl>,
    /// Whom to trust instead of the operating system's authorities.
    pub ca_file: Option<PathBuf>,
    /// The longest that connecting may take in all.
    pub connect_timeout: Duration,
    /// The longest that the answer may take.
    pub send_timeout: Duration,
}
