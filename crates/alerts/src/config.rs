//! The settings of rules and channels. Each is documented in `config/default.toml`.

use std::path::PathBuf;
use std::time::Duration;

use config_values::limits::{attempts, backoff, port, timeout};
use config_values::{Secret, limits, path, text};
use lettre::message::{Mailbox, Mailboxes};
use serde::{Deserialize, Deserializer};

use crate::post_url::PostUrl;
use crate::rule::Rule;

/// The section `[alerts]`.
#[derive(Clone, Debug, Deserialize, PartialEq)]
#[serde(deny_unknown_fields)]
pub struct Rules {
    /// The rules that are off.
    #[serde(deserialize_with = "off")]
    pub off: Vec<Rule>,
    /// Threshold for connections in use, in percent of the pool's maximum size.
    #[serde(deserialize_with = "usage_percent")]
    pub pool_usage_percent: f64,
    /// Time for which the pool usage must exceed the threshold.
    #[serde(rename = "pool_usage_after_seconds", deserialize_with = "holds")]
    pub pool_usage_after: Duration,
    /// Time for which connection requests must time out.
    #[serde(rename = "pool_exhausted_after_seconds", deserialize_with = "holds")]
    pub pool_exhausted_after: Duration,
    /// Time for which the circuit breaker must be open.
    #[serde(rename = "circuit_open_after_seconds", deserialize_with = "holds")]
    pub circuit_open_after: Duration,
    /// The freshness goal, in seconds: the maximum age of the oldest queued change.
    #[serde(rename = "oldest_pending_seconds", deserialize_with = "goal")]
    pub oldest_pending: f64,
    /// Threshold for dead rows.
    #[serde(deserialize_with = "rows")]
    pub dead_rows: i64,
    /// Threshold for failed groups, in percent of all groups.
    #[serde(deserialize_with = "failed_percent")]
    pub failed_groups_percent: f64,
    /// Time for which the database must be unreachable.
    #[serde(rename = "database_unreachable_after_seconds", deserialize_with = "holds")]
    pub database_unreachable_after: Duration,
    /// Threshold for dates whose figures differ from the raw rows.
    #[serde(deserialize_with = "rows")]
    pub verify_drift_dates: i64,
    /// Cool-down of [`Rule::PoolUsage`].
    #[serde(rename = "pool_usage_cooldown_seconds", deserialize_with = "holds")]
    pub pool_usage_cooldown: Duration,
    /// Cool-down of [`Rule::PoolExhausted`].
    #[serde(rename = "pool_exhausted_cooldown_seconds", deserialize_with = "holds")]
    pub pool_exhausted_cooldown: Duration,
    /// Cool-down of [`Rule::CircuitOpen`].
    #[serde(rename = "circuit_open_cooldown_seconds", deserialize_with = "holds")]
    pub circuit_open_cooldown: Duration,
    /// Cool-down of [`Rule::OldestPending`].
    #[serde(rename = "oldest_pending_cooldown_seconds", deserialize_with = "holds")]
    pub oldest_pending_cooldown: Duration,
    /// Cool-down of [`Rule::DeadRows`].
    #[serde(rename = "dead_rows_cooldown_seconds", deserialize_with = "holds")]
    pub dead_rows_cooldown: Duration,
    /// Cool-down of [`Rule::FailedGroups`].
    #[serde(rename = "failed_groups_cooldown_seconds", deserialize_with = "holds")]
    pub failed_groups_cooldown: Duration,
    /// Cool-down of [`Rule::DatabaseUnreachable`].
    #[serde(rename = "database_unreachable_cooldown_seconds", deserialize_with = "holds")]
    pub database_unreachable_cooldown: Duration,
    /// Cool-down of [`Rule::VerifyDrift`].
    #[serde(rename = "verify_drift_cooldown_seconds", deserialize_with = "holds")]
    pub verify_drift_cooldown: Duration,
    /// Maximum number of attempts to send a message.
    #[serde(deserialize_with = "attempts")]
    pub max_attempts: i32,
    /// The delay after the first failed attempt.
    #[serde(rename = "retry_first_seconds", deserialize_with = "backoff")]
    pub retry_first: Duration,
    /// The maximum delay between attempts; never shorter than the first.
    #[serde(rename = "retry_max_seconds", deserialize_with = "backoff")]
    pub retry_max: Duration,
}

/// The section `[mail]`. If it has a host, it needs a sender and a recipient.
#[derive(Clone, Debug, Deserialize, PartialEq)]
#[serde(deny_unknown_fields)]
pub struct Mail {
    /// The mail server; empty to send no mail.
    #[serde(deserialize_with = "host_name")]
    pub host: String,
    /// The server's port; by default the port of the encryption mode.
    #[serde(deserialize_with = "port")]
    pub port: u16,
    /// The encryption of the connection to the server.
    #[serde(deserialize_with = "tls")]
    pub tls: MailTls,
    /// A file of trusted certificates, instead of the operating system's authorities.
    #[serde(deserialize_with = "path")]
    pub ca_file: Option<PathBuf>,
    /// The user of the log-in; empty for none. A log-in needs a password and encryption.
    pub user: String,
    /// The password of the log-in.
    pub password: Secret,
    /// The sender.
    #[serde(deserialize_with = "from")]
    pub from: Option<Mailbox>,
    /// The recipients.
    #[serde(deserialize_with = "to")]
    pub to: Mailboxes,
    /// Maximum time to connect, over all addresses.
    #[serde(rename = "connect_timeout_seconds", deserialize_with = "timeout")]
    pub connect_timeout: Duration,
    /// Maximum time to send the message.
    #[serde(rename = "send_timeout_seconds", deserialize_with = "timeout")]
    pub send_timeout: Duration,
}

/// The encryption of the connection to the mail server.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum MailTls {
    /// By STARTTLS; without it no mail is sent.
    #[default]
    StartTls,
    /// TLS from the first byte on.
    Implicit,
    /// No encryption.
    None,
}

impl MailTls {
    /// The mode with this name in the configuration.
    pub fn named(name: &str) -> Option<Self> {
        match name {
            "starttls" => Some(Self::StartTls),
            "implicit" => Some(Self::Implicit),
            "none" => Some(Self::None),
            _ => None,
        }
    }

    /// The standard port of this mode (RFC 5321, 6409, 8314).
    pub(crate) const fn port(self) -> u16 {
        match self {
            Self::StartTls => 587,
            Self::Implicit => 465,
            Self::None => 25,
        }
    }
}

/// The section `[webhook]`.
#[derive(Clone, Debug, Deserialize, PartialEq)]
#[serde(deny_unknown_fields)]
pub struct Webhook {
    /// The URL to post to; no webhook if absent.
    #[serde(deserialize_with = "url")]
    pub url: Option<PostUrl>,
    /// A file of trusted certificates, instead of the operating system's authorities.
    #[serde(deserialize_with = "path")]
    pub ca_file: Option<PathBuf>,
    /// Maximum time to connect, over all addresses.
    #[serde(rename = "connect_timeout_seconds", deserialize_with = "timeout")]
    pub connect_timeout: Duration,
    /// Maximum time to receive the answer.
    #[serde(rename = "send_timeout_seconds", deserialize_with = "timeout")]
    pub send_timeout: Duration,
}

limits! {
    /// At zero percent the rule would always fire, and the pool cannot exceed 100 %.
    usage_percent: number<f64> = 1.0..=100.0;

    /// Below one in a thousand, a single failed group would fire the rule at any load.
    failed_percent: number<f64> = 0.1..=100.0;

    /// Zero rows are no reason for an alert; a billion never occurs.
    rows: integer<i64> = 1..=1_000_000_000;

    /// Below a second a row is fresh; an alert after more than a day is useless.
    goal: number<f64> = 1.0..=86_400.0;

    /// From immediately to a day.
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
