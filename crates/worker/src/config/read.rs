//! Converts the settings into sections and checks their limits.

use std::collections::BTreeSet;
use std::net::IpAddr;
use std::time::Duration;

use alerts::{MailTls, PostUrl};
use config_values::{host, limits, seconds, text};
use serde::Deserializer;
use serde::de::value::MapDeserializer;
use store::Pooler;
use toml::Value;

use super::setting::Setting;
use super::{Config, LogFormat, Secret, schedule};

/// More than any worker reaches, in rows each second.
pub(crate) const MAX_ROWS_PER_SECOND: u32 = 1_000_000;

limits! {
    /// At least one connection is needed. PostgreSQL allows 100 by default, and the application needs
    /// its own.
    pub(super) pool_size: integer<u32> = 1..=100;

    /// As the size of the pool, but 0 is allowed.
    pub(super) pool_idle: integer<u32> = 0..=100;

    /// One connection for each of two targets. More than a thousand exhaust any server.
    pub(super) server_connections: integer<u32> = 2..=1_000;

    /// Below a second the directory is asked more often than it changes.
    pub(super) targets_reload: seconds<Duration> = 1.0..=3_600.0;

    /// Below a second the pool would do little but open connections. A day exceeds any age that the
    /// limit guards against.
    pub(super) connection_age: seconds<Duration> = 1.0..=86_400.0;

    /// A smaller batch raises the share of the claim's fixed cost. A larger one holds its rows for
    /// longer, and a crash repeats more.
    pub(super) batch_size: integer<u32> = 50..=200;

    pub(super) concurrency: integer<u32> = 1..=16;

    /// 0 means no limit.
    pub(super) rows_per_second: integer<u32> = 0..=MAX_ROWS_PER_SECOND;

    /// A shorter lease expires in any pause of the network. With a longer one, a crash delays the
    /// figures by more than an hour.
    pub(super) lease: seconds<Duration> = 5.0..=3_600.0;

    /// Zero warns of each hold. Beyond an hour the time-outs have ended it.
    pub(super) slow_hold: seconds<Duration> = 0.0..=3_600.0;

    /// Transactions below a second are normal. After a day the harm is done.
    pub(super) old_transaction: seconds<Duration> = 1.0..=86_400.0;

    /// With a shorter budget, breaks outweigh the work. With a longer one, a reload or a change of the
    /// schedule waits for more than an hour.
    pub(super) time_budget: seconds<Duration> = 1.0..=3_600.0;

    /// More frequent observations cost more than the work. With rarer ones, a monitor shows outdated
    /// values.
    pub(super) observe: seconds<Duration> = 0.1..=3_600.0;

    /// From every second to once a day.
    pub(super) summary: seconds<Duration> = 1.0..=86_400.0;

    /// Below a second no group could finish. A stop of more than ten minutes is of no use.
    pub(super) shutdown: seconds<Duration> = 1.0..=600.0;

    /// A consumer may stop for a day. After ten years it begins again.
    pub(super) keep_days: integer<u32> = 1..=3_650;

    /// Ten thousand changes are a body of about a megabyte.
    pub(super) changes: integer<u32> = 1..=10_000;

    /// Up to twice the time-outs that it must exceed.
    pub(super) stuck: seconds<Duration> = 1.0..=7_200.0;
}

pub(super) fn post_url<'de, D: Deserializer<'de>>(from: D) -> Result<Option<PostUrl>, D::Error> {
    text(from, PostUrl::EXPECTED, |url| {
        if url.is_empty() { Some(None) } else { PostUrl::parse(url).map(Some) }
    })
}

/// Zero means never. Polling less than once an hour is a case for the schedule.
pub(super) fn poll<'de, D: Deserializer<'de>>(from: D) -> Result<Option<Duration>, D::Error> {
    Ok(Some(seconds(from, 0.0..=3_600.0)?).filter(|poll| !poll.is_zero()))
}

pub(super) fn pooler<'de, D: Deserializer<'de>>(from: D) -> Result<Pooler, D::Error> {
    text(from, "be none, session or transaction", |name| match name {
        "none" => Some(Pooler::None),
        "session" => Some(Pooler::Session),
        "transaction" => Some(Pooler::Transaction),
        _ => None,
    })
}

/// Reads the name of a schema, which needs no quoting; an empty text is none.
pub(super) fn schema<'de, D: Deserializer<'de>>(from: D) -> Result<Option<String>, D::Error> {
    let must =
        "be empty, or have at most 63 letters, digits and underscores and not begin with a digit";
    text(from, must, |name| {
        let is_plain = |c: char| c.is_ascii_alphanumeric() || c == '_';
        let fits = name.len() <= 63
            && name.chars().all(is_plain)
            && !name.starts_with(|c: char| c.is_ascii_digit());
        fits.then(|| (!name.is_empty()).then(|| name.to_owned()))
    })
}

/// Reads a token that is hard to guess and that a header can hold; an empty text is none.
pub(super) fn token<'de, D: Deserializer<'de>>(from: D) -> Result<Secret, D::Error> {
    let must = "be empty, or have 16 to 256 printable ASCII characters without spaces";
    text(from, must, |token| {
        let is_strong =
            (16..=256).contains(&token.len()) && token.bytes().all(|b| b.is_ascii_graphic());
        (token.is_empty() || is_strong).then(|| Secret::new(token.to_owned()))
    })
}

pub(super) fn log_format<'de, D: Deserializer<'de>>(from: D) -> Result<LogFormat, D::Error> {
    text(from, "be auto, text, json or journald", |name| match name {
        "auto" => Some(LogFormat::Auto),
        "text" => Some(LogFormat::Text),
        "json" => Some(LogFormat::Json),
        "journald" => Some(LogFormat::Journald),
        _ => None,
    })
}

/// PostgreSQL truncates longer names (NAMEDATALEN - 1) and replaces other characters.
pub(super) fn application_name<'de, D: Deserializer<'de>>(from: D) -> Result<String, D::Error> {
    text(from, "have 1 to 63 characters, all of them printable ASCII", |name| {
        let is_printable = name.bytes().all(|byte| matches!(byte, b' '..=b'~'));
        (is_printable && (1..=63).contains(&name.len())).then(|| name.to_owned())
    })
}

pub(super) fn pattern<'de, D: Deserializer<'de>>(from: D) -> Result<String, D::Error> {
    text(from, schedule::EXPECTED, schedule::pattern)
}

pub(super) fn address<'de, D: Deserializer<'de>>(from: D) -> Result<IpAddr, D::Error> {
    text(from, "be an IP address, such as 127.0.0.1", |address| address.trim().parse().ok())
}

pub(super) fn host_names<'de, D: Deserializer<'de>>(from: D) -> Result<Vec<String>, D::Error> {
    text(from, "be host names, separated by spaces", |names| {
        names.split_whitespace().map(host).collect()
    })
}

/// Reads the settings, and adds a problem for each invalid value. The default replaces such a value, so
/// that one load reports all problems.
pub(super) fn config(settings: &[Setting], problems: &mut Vec<String>) -> Option<Config> {
    let mut faulty = BTreeSet::new();
    loop {
        let value = |setting: &Setting| -> Value {
            let is_faulty = faulty.contains(&setting.key);
            if is_faulty { &setting.default } else { &setting.value }.clone()
        };
        let sections = settings.chunk_by(|one, next| one.section == next.section).map(|section| {
            let values = section.iter().map(|setting| (setting.name.as_str(), value(setting)));
            (section[0].section.as_str(), MapDeserializer::new(values))
        });
        let error = match serde_path_to_error::deserialize(MapDeserializer::new(sections)) {
            Ok(config) => return Some(config),
            Err(error) => error,
        };
        let key = error.path().to_string();
        let (must, known) =
            (error.inner().message(), settings.iter().find(|known| known.key == key));
        match known.filter(|setting| faulty.insert(setting.key.clone())) {
            // The message omits the text: it may be a misplaced secret.
            Some(Setting { value: Value::String(_), origin, .. }) => {
                problems.push(format!("{key} {origin} {must}"));
            }
            Some(setting) => problems.push(format!("{} {must}", setting.described())),
            // A bug in the defaults, which the tests detect.
            None => {
                problems.push(format!("the built-in default.toml does not fit: {key}: {must}"));
                return None;
            }
        }
    }
}

/// The required relation of a number to another one.
#[derive(Clone, Copy)]
enum Relation {
    Above,
    AtMost,
    AtLeast,
}

const RELATIONS: [(&str, Relation, &str); 10] = [
    ("pool.min_idle", Relation::AtMost, "pool.max_size"),
    ("batch.backoff_first_seconds", Relation::AtMost, "batch.backoff_max_seconds"),
    ("batch.size", Relation::AtLeast, "batch.min_size"),
    ("batch.size", Relation::AtMost, "batch.max_size"),
    // Otherwise the server would end the session instead of only the statement.
    ("session.transaction_timeout_seconds", Relation::AtLeast, "session.statement_timeout_seconds"),
    // Otherwise another worker could claim rows whose statement still runs here.
    ("batch.lease_seconds", Relation::Above, "session.statement_timeout_seconds"),
    // Otherwise systemd would kill a service that waits within its limits.
    ("service.stuck_after_seconds", Relation::Above, "pool.wait_timeout_seconds"),
    ("service.stuck_after_seconds", Relation::Above, "session.statement_timeout_seconds"),
    ("service.stuck_after_seconds", Relation::Above, "database.connect_timeout_seconds"),
    ("alerts.retry_first_seconds", Relation::AtMost, "alerts.retry_max_seconds"),
];

/// The problems of values that contradict each other.
pub(super) fn unfit(config: &Config, settings: &[Setting]) -> Vec<String> {
    let setting = |key: &str| settings.iter().find(|setting| setting.key == key);
    let described = |key: &str| setting(key).map_or_else(|| key.to_owned(), Setting::described);
    let mut problems = Vec::new();
    for (key, must, other) in RELATIONS {
        let number = |key: &str| setting(key).map(|setting| as_f64(&setting.value));
        let (holds, must) = match must {
            Relation::Above => (number(key) > number(other), "be more than"),
            Relation::AtMost => (number(key) <= number(other), "not be more than"),
            Relation::AtLeast => (number(key) >= number(other), "not be less than"),
        };
        if !holds {
            problems.push(format!("{} must {must} {}", described(key), described(other)));
        }
    }
    // Otherwise no connection is left for leases, metrics and the health check.
    if config.batch.concurrency > 1 && config.batch.concurrency >= config.pool.max_size {
        let (key, other) = (described("batch.concurrency"), described("pool.max_size"));
        problems.push(format!("{key} must be less than {other}"));
    }

    let from = &config.targets_from;
    if !from.query.is_empty() && from.url.expose().is_empty() {
        problems
            .push("targets_from.url must not be empty where targets_from.query is set".to_owned());
    }
    let http = &config.http;
    if !http.token.expose().is_empty() && http.token == http.operator_token {
        problems.push(
            "http.operator_token must differ from http.token, or viewers are operators".to_owned(),
        );
    }
    let mail = &config.mail;
    let (sends, logs_in) = (!mail.host.is_empty(), !mail.user.is_empty());
    for (lacks, key, why) in [
        (sends && mail.from.is_none(), "mail.from", "mail.host"),
        (sends && mail.to.iter().next().is_none(), "mail.to", "mail.host"),
        (logs_in && mail.password.expose().is_empty(), "mail.password", "mail.user"),
        (
            config.changes.webhook_url.is_some()
                && config.changes.webhook_secret.expose().is_empty(),
            "changes.webhook_secret",
            "changes.webhook_url",
        ),
    ] {
        if lacks {
            problems.push(format!("{key} must not be empty where {why} is set"));
        }
    }
    if logs_in && mail.tls == MailTls::None {
        problems.push(format!(
            "{} must be starttls or implicit where mail.user is set: anybody on the way could read the \
             password",
            described("mail.tls")
        ));
    }
    let schedule = &config.schedule;
    let patterns = [&schedule.vitals, &schedule.nutrition, &schedule.labs];
    if schedule.poll.is_none() && patterns.iter().all(|pattern| pattern.is_empty()) {
        problems.push(format!(
            "{} must be more than 0 where the schedule of every kind is empty, or the service would \
             never work",
            described("schedule.poll_seconds")
        ));
    }
    problems
}

fn as_f64(value: &Value) -> f64 {
    value.as_float().or(value.as_integer().map(|integer| integer as f64)).unwrap_or(f64::NAN)
}
