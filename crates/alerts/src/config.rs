//! The settings of rules and channels. Each is documented in `config/default.toml`.

use std::path::PathBuf;
use std::time::Duration;

use config_values::limits::{attempts, backoff, port, timeout};
use config_values::{Secret, limits, path, text};
use lettre::message::{Mailbox, Mailboxes};
use serde::{Deserialize, Deserializer};

use crate::post_url::PostUrl;
use crate::rule::Rule;

/// `[alerts]`
#[derive(Clone, Debug, Deserialize, PartialEq)]
#[serde(deny_unknown_fields)]
pub struct Rules {
    /// The rules that are off.
    #[serde(deserialize_with = "off")]
    pub off: Vec<Rule>,
    /// Connections in use, in percent of the most.
    #[serde(deserialize_with = "usage_percent")]
    pub pool_usage_percent: f64,
    /// For how long.
    #[serde(rename = "pool_usage_after_seconds", deserialize_with = "holds")]
    pub pool_usage_after: Duration,
    /// For how long somebody waits in vain.
    #[serde(rename = "pool_exhausted_after_seconds", deserialize_with = "holds")]
    pub pool_exhausted_after: Duration,
    /// For how long the database is left alone.
    #[serde(rename = "circuit_open_after_seconds", deserialize_with = "holds")]
    pub circuit_open_after: Duration,
    /// The freshness goal, in seconds.
    #[serde(rename = "oldest_pending_seconds", deserialize_with = "goal")]
    pub oldest_pending: f64,
    /// Rows given up.
    #[serde(deserialize_with = "rows")]
    pub dead_rows: i64,
    /// Groups that failed, in percent.
    #[serde(deserialize_with = "failed_percent")]
    pub failed_groups_percent: f64,
    /// For how long there is no connection.
    #[serde(rename = "database_unreachable_after_seconds", deserialize_with = "holds")]
    pub database_unreachable_after: Duration,
    /// Dates whose figures differ.
    #[serde(deserialize_with = "rows")]
    pub verify_drift_dates: i64,
    /// For how long [`Rule::PoolUsage`] does not fire again.
    #[serde(rename = "pool_usage_cooldown_seconds", deserialize_with = "holds")]
    pub pool_usage_cooldown: Duration,
    /// For how long [`Rule::PoolExhausted`] does not fire again.
    #[serde(rename = "pool_exhausted_cooldown_seconds", deserialize_with = "holds")]
    pub pool_exhausted_cooldown: Duration,
    /// For how long [`Rule::CircuitOpen`] does not fire again.
    #[serde(rename = "circuit_open_cooldown_seconds", deserialize_with = "holds")]
    pub circuit_open_cooldown: Duration,
    /// For how long [`Rule::OldestPending`] does not fire again.
    #[serde(rename = "oldest_pending_cooldown_seconds", deserialize_with = "holds")]
    pub oldest_pending_cooldown: Duration,
    /// For how long [`Rule::DeadRows`] does not fire again.
    #[serde(rename = "dead_rows_cooldown_seconds", deserialize_with = "holds")]
    pub dead_rows_cooldown: Duration,
    /// For how long [`Rule::FailedGroups`] does not fire again.
    #[serde(rename = "failed_groups_cooldown_seconds", deserialize_with = "holds")]
    pub failed_groups_cooldown: Duration,
    /// For how long [`Rule::DatabaseUnreachable`] does not fire again.
    #[serde(rename = "database_unreachable_cooldown_seconds", deserialize_with = "holds")]
    pub database_unreachable_cooldown: Duration,
    /// For how long [`Rule::VerifyDrift`] does not fire again.
    #[serde(rename = "verify_drift_cooldown_seconds", deserialize_with = "holds")]
    pub verify_drift_cooldown: Duration,
    /// Attempts before a message is given up.
    #[serde(deserialize_with = "attempts")]
    pub max_attempts: i32,
    /// The pause after the first failed attempt.
    #[serde(rename = "retry_first_seconds", deserialize_with = "backoff")]
    pub retry_first: Duration,
    /// The longest pause; never shorter than the first.
    #[serde(rename = "retry_max_seconds", deserialize_with = "backoff")]
    pub retry_max: Duration,
}

/// `[mail]`; with a host, there are a sender and somebody to get it.
#[derive(Clone, Debug, Deserialize, PartialEq)]
#[serde(deny_unknown_fields)]
pub struct Mail {
    /// The mail server; none if empty.
    #[serde(deserialize_with = "host_name")]
    pub host: String,
    /// Its port; that of the way of encryption if none is named.
    #[serde(deserialize_with = "port")]
    pub port: u16,
    /// How the way to it is encrypted.
    #[serde(deserialize_with = "tls")]
    pub tls: MailTls,
    /// Whom to trust instead of the operating system's authorities.
    #[serde(deserialize_with = "path")]
    pub ca_file: Option<PathBuf>,
    /// Who logs in; nobody if empty, and never without a password and encryption.
    pub user: String,
    /// The password of the log-in.
    pub password: Secret,
    /// The sender.
    #[serde(deserialize_with = "from")]
    pub from: Option<Mailbox>,
    /// Who gets it.
    #[serde(deserialize_with = "to")]
    pub to: Mailboxes,
    /// The longest that connecting may take in all.
    #[serde(rename = "connect_timeout_seconds", deserialize_with = "timeout")]
    pub connect_timeout: Duration,
    /// The longest that the message may take.
    #[serde(rename = "send_timeout_seconds", deserialize_with = "timeout")]
    pub send_timeout: Duration,
}

/// How the way to the mail server is encrypted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum MailTls {
    /// By STARTTLS, without which nothing is sent.
    #[default]
    StartTls,
    /// From the first byte on.
    Implicit,
    /// Not at all.
    None,
}

impl MailTls {
    /// As in the configuration.
    pub fn named(name: &str) -> Option<Self> {
        match name {
            "starttls" => Some(Self::StartTls),
            "implicit" => Some(Self::Implicit),
            "none" => Some(Self::None),
            _ => None,
        }
    }

    /// The port that servers have for it (RFC 5321, 6409, 8314).
    pub(crate) const fn port(self) -> u16 {
        match self {
            Self::StartTls => 587,
            Self::Implicit => 465,
            Self::None => 25,
        }
    }
}

/// `[webhook]`
#[derive(Clone, Debug, Deserialize, PartialEq)]
#[serde(deny_unknown_fields)]
pub struct Webhook {
    /// Where to post; nowhere if there is none.
    #[serde(deserialize_with = "url")]
    pub url: Option<PostUrl>,
    /// Whom to trust instead of the operating system's authorities.
    #[serde(deserialize_with = "path")]
    pub ca_file: Option<PathBuf>,
    /// The longest that connecting may take in all.
    #[serde(rename = "connect_timeout_seconds", deserialize_with = "timeout")]
    pub connect_timeout: Duration,
    /// The longest that the answer may take.
    #[serde(rename = "send_timeout_seconds", deserialize_with = "timeout")]
    pub send_timeout: Duration,
}

limits! {
    /// Zero percent is always so, and the pool cannot be fuller than full.
    usage_percent: number<f64> = 1.0..=100.0;

    /// Below one of a thousand it would be one group, whatever the load.
    failed_percent: number<f64> = 0.1..=100.0;

    /// None are no reason for an alert; there are never a billion.
    rows: integer<i64> = 1..=1_000_000_000;

    /// Below a second a row is fresh; after a day nobody needs an alert to know.
    goal: number<f64> = 1.0..=86_400.0;

    /// At once, to once a day.
    holds: seconds<Duration> = 0.0..=86_400.0;
}

fn off<'de, D: Deserializer<'de>>(from: D) -> Result<Vec<Rule>, D::Error> {
    text(from, "be names of rules, such as dead_rows, separated by spaces", |names| {
        names.split_whitespace().map(Rule::named).collect()
    })
}

fn host_name<'de, D: Deserializer<'de>>(from: D) -> Result<String, D::Error> {
    let must = "be the name of a host or an IP address, such as mail.example.org";
    text(from, must, config_values::host)
}

fn tls<'de, D: Deserializer<'de>>(from: D) -> Result<MailTls, D::Error> {
    text(from, "be starttls, implicit or none", MailTls::named)
}

fn from<'de, D: Deserializer<'de>>(from: D) -> Result<Option<Mailbox>, D::Error> {
    text(from, "be one address, such as \"ops@example.org\"", |address| {
        if address.is_empty() { Some(None) } else { address.parse().ok().map(Some) }
    })
}

fn to<'de, D: Deserializer<'de>>(from: D) -> Result<Mailboxes, D::Error> {
    text(from, "be addresses separated by commas, such as \"ops@example.org\"", |addresses| {
        if addresses.is_empty() { Some(Mailboxes::default()) } else { addresses.parse().ok() }
    })
}

fn url<'de, D: Deserializer<'de>>(from: D) -> Result<Option<PostUrl>, D::Error> {
    text(from, PostUrl::EXPECTED, |url| {
        if url.is_empty() { Some(None) } else { PostUrl::parse(url).map(Some) }
    })
}
