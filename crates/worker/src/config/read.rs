//! From the settings to the typed configuration, with the limits.

use std::fmt::Display;
use std::net::{IpAddr, SocketAddr};
use std::ops::RangeInclusive;
use std::path::PathBuf;
use std::time::Duration;

use lettre::message::Mailboxes;
use store::Pooler;

use super::layers::Setting;
use super::value::Value;
use super::{
    Aggregation, Alerts, Batch, Config, Database, Http, Log, LogFormat, Mail, Pool, Schedule,
    Secret, Service, Session, Webhook, schedule,
};
use crate::alerts::{MailTls, PostUrl, Rule};

/// A pool of none can do nothing; 100 is all that PostgreSQL allows by default, and the application
/// needs its own.
const POOL_SIZE: RangeInclusive<u32> = 1..=100;

/// As `POOL_SIZE`, but keeping none is fine.
const POOL_IDLE: RangeInclusive<u32> = 0..=*POOL_SIZE.end();

/// PostgreSQL counts time-outs in whole milliseconds and takes 0 for "never", which would let one
/// statement hold a connection for ever. More than an hour was meant to be milliseconds.
const TIMEOUT_SECONDS: RangeInclusive<f64> = 0.001..=3_600.0;

/// Below a second the pool would do little else but open connections; after a day a connection has
/// outlived whatever its age was to guard against.
const CONNECTION_AGE_SECONDS: RangeInclusive<f64> = 1.0..=86_400.0;

/// Fewer rows, and the fixed cost of a claim weighs more; more, and a batch holds its rows for
/// longer and a crash repeats more.
const BATCH_SIZE: RangeInclusive<u32> = 50..=200;
const CONCURRENCY: RangeInclusive<u32> = 1..=16;

/// More than any worker reaches.
pub(crate) const MAX_ROWS_PER_SECOND: u32 = 1_000_000;

/// 0 is no limit.
const ROWS_PER_SECOND: RangeInclusive<u32> = 0..=MAX_ROWS_PER_SECOND;

/// Shorter, and a lease ends in any pause of the network; longer, and a crash delays the figures by
/// more than an hour.
const LEASE_SECONDS: RangeInclusive<f64> = 5.0..=3_600.0;

/// One is the least that does anything; a row that failed a hundred times will not succeed.
const ATTEMPTS: RangeInclusive<i32> = 1..=100;

/// Zero never grows, so that a failing row would be tried again at once; a row that is tried less
/// than once a day is as good as dead.
const BACKOFF_SECONDS: RangeInclusive<f64> = 0.1..=86_400.0;

/// Zero warns of each; beyond an hour the time-outs have long struck.
const SLOW_HOLD_SECONDS: RangeInclusive<f64> = 0.0..=3_600.0;

/// Below a second everybody has one; after a day the harm is done.
const OLD_TRANSACTION_SECONDS: RangeInclusive<f64> = 1.0..=86_400.0;

/// Zero is never; who looks less than once an hour has the schedule for that.
const POLL_SECONDS: RangeInclusive<f64> = 0.0..=3_600.0;

/// Shorter, and the breaks weigh more than the work; longer, and a reload or a change of the
/// schedule waits for more than an hour.
const TIME_BUDGET_SECONDS: RangeInclusive<f64> = 1.0..=3_600.0;

/// More often, and looking costs more than working; less often, and a monitor shows the past.
const OBSERVE_SECONDS: RangeInclusive<f64> = 0.1..=3_600.0;

/// From noise to once a day.
const SUMMARY_SECONDS: RangeInclusive<f64> = 1.0..=86_400.0;

/// Below a second no group could be finished; nobody waits longer than ten minutes for a stop.
const SHUTDOWN_SECONDS: RangeInclusive<f64> = 1.0..=600.0;

/// Up to twice the time-outs that it must be longer than.
const STUCK_SECONDS: RangeInclusive<f64> = 1.0..=7_200.0;

/// 0 is none, not "any".
const PORT: RangeInclusive<u16> = 0..=65_535;

/// Zero percent is always so, and the pool cannot be fuller than full.
const USAGE_PERCENT: RangeInclusive<f64> = 1.0..=100.0;

/// Below one of a thousand it would be one group, whatever the load.
const FAILED_PERCENT: RangeInclusive<f64> = 0.1..=100.0;

/// None are no reason for an alert; there are never a billion.
const ALERT_ROWS: RangeInclusive<i64> = 1..=1_000_000_000;

/// Below a second a row is fresh; after a day nobody needs an alert to know.
const GOAL_SECONDS: RangeInclusive<f64> = 1.0..=86_400.0;

/// At once, to once a day.
const ALERT_SECONDS: RangeInclusive<f64> = 0.0..=86_400.0;

/// PostgreSQL cuts longer names (NAMEDATALEN - 1) and replaces other characters.
const APPLICATION_NAME_CHARS: RangeInclusive<usize> = 1..=63;

/// Takes typed values out of the settings and notes what is wrong with them.
///
/// A faulty value yields some other one, so that all are looked at; with a problem noted, the
/// configuration is thrown away.
pub(super) struct Reader<'a> {
    settings: &'a [Setting],
    pub(super) problems: Vec<String>,
}

impl<'a> Reader<'a> {
    pub(super) fn new(settings: &'a [Setting]) -> Self {
        Self { settings, problems: Vec::new() }
    }

    pub(super) fn config(&mut self) -> Config {
        Config {
            database: Database {
                url: self.text("database.url", "be a URL", |text| Some(Secret::new(text.into()))),
                pooler: self.text("database.pooler", "be none, session or transaction", pooler),
                connect_timeout: self.seconds("database.connect_timeout_seconds", TIMEOUT_SECONDS),
            },
            pool: Pool {
                max_size: self.integer("pool.max_size", POOL_SIZE),
                min_idle: self.integer("pool.min_idle", POOL_IDLE),
                wait_timeout: self.seconds("pool.wait_timeout_seconds", TIMEOUT_SECONDS),
                max_lifetime: self.seconds("pool.max_lifetime_seconds", CONNECTION_AGE_SECONDS),
                idle_timeout: self.seconds("pool.idle_timeout_seconds", CONNECTION_AGE_SECONDS),
                test_on_checkout: self.boolean("pool.test_on_checkout"),
            },
            session: self.session(),
            batch: Batch {
                size: self.integer("batch.size", BATCH_SIZE),
                min_size: self.integer("batch.min_size", BATCH_SIZE),
                max_size: self.integer("batch.max_size", BATCH_SIZE),
                concurrency: self.integer("batch.concurrency", CONCURRENCY),
                max_rows_per_second: self.integer("batch.max_rows_per_second", ROWS_PER_SECOND),
                lease: self.seconds("batch.lease_seconds", LEASE_SECONDS),
                max_attempts: self.integer("batch.max_attempts", ATTEMPTS),
                backoff_first: self.seconds("batch.backoff_first_seconds", BACKOFF_SECONDS),
                backoff_max: self.seconds("batch.backoff_max_seconds", BACKOFF_SECONDS),
            },
            aggregation: Aggregation {
                default_time_zone: self.filled("aggregation.default_time_zone"),
                catalogue: self.path("aggregation.catalogue"),
            },
            schedule: Schedule {
                vitals: self.text("schedule.vitals", schedule::EXPECTED, schedule::pattern),
                nutrition: self.text("schedule.nutrition", schedule::EXPECTED, schedule::pattern),
                labs: self.text("schedule.labs", schedule::EXPECTED, schedule::pattern),
                poll: Some(self.seconds("schedule.poll_seconds", POLL_SECONDS))
                    .filter(|poll| !poll.is_zero()),
            },
            service: Service {
                time_budget: self.seconds("service.time_budget_seconds", TIME_BUDGET_SECONDS),
                observe: self.seconds("service.observe_seconds", OBSERVE_SECONDS),
                summary: self.seconds("service.summary_seconds", SUMMARY_SECONDS),
                shutdown_timeout: self
                    .seconds("service.shutdown_timeout_seconds", SHUTDOWN_SECONDS),
                stuck_after: self.seconds("service.stuck_after_seconds", STUCK_SECONDS),
            },
            http: self.http(),
            log: Log {
                format: self.text("log.format", "be auto, text, json or journald", log_format),
                level: self.filled("log.level"),
                slow_hold: self.seconds("log.slow_hold_seconds", SLOW_HOLD_SECONDS),
                old_transaction: self
                    .seconds("log.old_transaction_seconds", OLD_TRANSACTION_SECONDS),
            },
            alerts: self.alerts(),
            mail: self.mail(),
            webhook: Webhook {
                url: self.text("webhook.url", PostUrl::EXPECTED, |text| {
                    if text.is_empty() { Some(None) } else { PostUrl::parse(text).map(Some) }
                }),
                ca_file: self.path("webhook.ca_file"),
                connect_timeout: self.seconds("webhook.connect_timeout_seconds", TIMEOUT_SECONDS),
                send_timeout: self.seconds("webhook.send_timeout_seconds", TIMEOUT_SECONDS),
            },
        }
    }

    fn session(&mut self) -> Session {
        Session {
            statement_timeout: self.seconds("session.statement_timeout_seconds", TIMEOUT_SECONDS),
            lock_timeout: self.seconds("session.lock_timeout_seconds", TIMEOUT_SECONDS),
            idle_in_transaction_timeout: self
                .seconds("session.idle_in_transaction_timeout_seconds", TIMEOUT_SECONDS),
            transaction_timeout: self
                .seconds("session.transaction_timeout_seconds", TIMEOUT_SECONDS),
            jit: self.boolean("session.jit"),
            synchronous_commit: self.boolean("session.synchronous_commit"),
            application_name: self.text(
                "session.application_name",
                "have 1 to 63 characters, all of them printable ASCII",
                application_name,
            ),
        }
    }

    fn http(&mut self) -> Http {
        let port = self.integer("http.port", PORT);
        let address: Option<IpAddr> =
            self.text("http.address", "be an IP address, such as 127.0.0.1", |text| {
                text.trim().parse().ok().map(Some)
            });
        let listen = address.filter(|_| port > 0).map(|address| SocketAddr::new(address, port));
        let allowed_hosts =
            self.text("http.allowed_hosts", "be host names, separated by spaces", |text| {
                text.split_whitespace().map(host).collect()
            });
        let must = "be empty, or have 16 to 256 printable ASCII characters without spaces";
        Http {
            listen,
            allowed_hosts,
            token: self.text("http.token", must, token),
            operator_token: self.text("http.operator_token", must, token),
        }
    }

    fn alerts(&mut self) -> Alerts {
        let must = "be names of rules, such as dead_rows, separated by spaces";
        Alerts {
            off: self.text("alerts.off", must, |text| {
                text.split_whitespace().map(Rule::named).collect()
            }),
            pool_usage_percent: self.number("alerts.pool_usage_percent", USAGE_PERCENT),
            pool_usage_after: self.seconds("alerts.pool_usage_after_seconds", ALERT_SECONDS),
            pool_exhausted_after: self
                .seconds("alerts.pool_exhausted_after_seconds", ALERT_SECONDS),
            circuit_open_after: self.seconds("alerts.circuit_open_after_seconds", ALERT_SECONDS),
            oldest_pending: self.number("alerts.oldest_pending_seconds", GOAL_SECONDS),
            dead_rows: self.integer("alerts.dead_rows", ALERT_ROWS),
            failed_groups_percent: self.number("alerts.failed_groups_percent", FAILED_PERCENT),
            database_unreachable_after: self
                .seconds("alerts.database_unreachable_after_seconds", ALERT_SECONDS),
            verify_drift_dates: self.integer("alerts.verify_drift_dates", ALERT_ROWS),
            cooldowns: Rule::ALL.map(|rule| {
                self.seconds(&format!("alerts.{}_cooldown_seconds", rule.name()), ALERT_SECONDS)
            }),
            max_attempts: self.integer("alerts.max_attempts", ATTEMPTS),
            retry_first: self.seconds("alerts.retry_first_seconds", BACKOFF_SECONDS),
            retry_max: self.seconds("alerts.retry_max_seconds", BACKOFF_SECONDS),
        }
    }

    fn mail(&mut self) -> Mail {
        let must = "be the name of a host or an IP address, such as mail.example.org";
        let addresses = "be addresses separated by commas, such as \"ops@example.org\"";
        Mail {
            host: self.text("mail.host", must, host),
            port: self.integer("mail.port", PORT),
            tls: self.text("mail.tls", "be starttls, implicit or none", MailTls::named),
            ca_file: self.path("mail.ca_file"),
            user: self.text("mail.user", "be text", |text| Some(text.to_owned())),
            password: self
                .text("mail.password", "be text", |text| Some(Secret::new(text.to_owned()))),
            from: self.text("mail.from", "be one address, such as \"ops@example.org\"", |text| {
                if text.is_empty() { Some(None) } else { text.parse().ok().map(Some) }
            }),
            to: self.text("mail.to", addresses, |text| {
                if text.is_empty() { Some(Mailboxes::default()) } else { text.parse().ok() }
            }),
            connect_timeout: self.seconds("mail.connect_timeout_seconds", TIMEOUT_SECONDS),
            send_timeout: self.seconds("mail.send_timeout_seconds", TIMEOUT_SECONDS),
        }
    }

    /// Notes what mail lacks to be sent.
    fn check_mail(&mut self, config: &Config) {
        let Mail { host, tls, user, password, from, to, .. } = &config.mail;
        let mut lacks = |wanted: bool, there: bool, key: &str, why: &str| {
            if wanted && !there {
                self.problems.push(format!("{key} must not be empty where {why} is set"));
            }
        };
        let (wanted, named) = (!host.is_empty(), !user.is_empty());
        lacks(wanted, from.is_some(), "mail.from", "mail.host");
        lacks(wanted, to.iter().next().is_some(), "mail.to", "mail.host");
        lacks(named, !password.expose().is_empty(), "mail.password", "mail.user");
        if named && *tls == MailTls::None {
            let tls = self.described("mail.tls");
            self.problems.push(format!(
                "{tls} must be starttls or implicit where mail.user is set: anybody on the way could \
                 read the password"
            ));
        }
    }

    /// Notes which values do not fit each other.
    pub(super) fn check_relations(&mut self, config: &Config) {
        let (pool, session, batch) = (&config.pool, &config.session, &config.batch);
        self.relation(
            pool.min_idle <= pool.max_size,
            "pool.min_idle",
            "must not be more than",
            "pool.max_size",
        );
        self.relation(
            batch.backoff_first <= batch.backoff_max,
            "batch.backoff_first_seconds",
            "must not be more than",
            "batch.backoff_max_seconds",
        );
        self.relation(
            batch.size >= batch.min_size,
            "batch.size",
            "must not be less than",
            "batch.min_size",
        );
        self.relation(
            batch.size <= batch.max_size,
            "batch.size",
            "must not be more than",
            "batch.max_size",
        );
        // Otherwise there is no connection left for leases, metrics and the health check.
        self.relation(
            batch.concurrency == 1 || batch.concurrency < pool.max_size,
            "batch.concurrency",
            "must be less than",
            "pool.max_size",
        );
        // Otherwise the server would end the session where it should only end the statement.
        self.relation(
            session.transaction_timeout >= session.statement_timeout,
            "session.transaction_timeout_seconds",
            "must not be less than",
            "session.statement_timeout_seconds",
        );
        // Otherwise another worker takes rows over whose statement still runs here.
        self.relation(
            batch.lease > session.statement_timeout,
            "batch.lease_seconds",
            "must be more than",
            "session.statement_timeout_seconds",
        );
        // Otherwise a service that waits as it may would be taken for stuck, and killed.
        let stuck_after = config.service.stuck_after;
        for (waits, key) in [
            (pool.wait_timeout, "pool.wait_timeout_seconds"),
            (session.statement_timeout, "session.statement_timeout_seconds"),
            (config.database.connect_timeout, "database.connect_timeout_seconds"),
        ] {
            let holds = stuck_after > waits;
            self.relation(holds, "service.stuck_after_seconds", "must be more than", key);
        }
        self.relation(
            config.alerts.retry_first <= config.alerts.retry_max,
            "alerts.retry_first_seconds",
            "must not be more than",
            "alerts.retry_max_seconds",
        );
        let Http { token, operator_token, .. } = &config.http;
        if !token.expose().is_empty() && token == operator_token {
            let problem =
                "http.operator_token must differ from http.token, or viewers are operators";
            self.problems.push(problem.to_owned());
        }
        self.check_mail(config);
        self.check_that_it_wakes(&config.schedule);
    }

    fn check_that_it_wakes(&mut self, schedule: &Schedule) {
        let Schedule { vitals, nutrition, labs, poll } = schedule;
        let never = [vitals, nutrition, labs].iter().all(|pattern| pattern.is_empty());
        if poll.is_none() && never {
            let poll = self.described("schedule.poll_seconds");
            self.problems.push(format!(
                "{poll} must be more than 0 where the schedule of every kind is empty, or the \
                 service would never work"
            ));
        }
    }

    fn relation(&mut self, holds: bool, key: &str, must: &str, other: &str) {
        if !holds {
            let problem = format!("{} {must} {}", self.described(key), self.described(other));
            self.problems.push(problem);
        }
    }

    fn integer<T>(&mut self, key: &str, limits: RangeInclusive<T>) -> T
    where
        T: Copy + Display + PartialOrd + TryFrom<i64>,
    {
        let Some(Value::Integer(integer)) = self.value(key) else {
            return self.not_in_schema(key, *limits.start());
        };
        match T::try_from(*integer) {
            Ok(value) if limits.contains(&value) => value,
            _ => self.beyond(key, &limits, *limits.start()),
        }
    }

    fn number(&mut self, key: &str, limits: RangeInclusive<f64>) -> f64 {
        match self.value(key) {
            Some(Value::Float(number)) if limits.contains(number) => *number,
            Some(Value::Float(_)) => self.beyond(key, &limits, *limits.start()),
            _ => self.not_in_schema(key, *limits.start()),
        }
    }

    fn path(&mut self, key: &str) -> Option<PathBuf> {
        self.text(key, "be a path", |text| {
            Some(Some(PathBuf::from(text)).filter(|_| !text.is_empty()))
        })
    }

    fn seconds(&mut self, key: &str, limits: RangeInclusive<f64>) -> Duration {
        let Some(Value::Float(seconds)) = self.value(key) else {
            return self.not_in_schema(key, Duration::ZERO);
        };
        // No range contains NaN, so that it needs no case of its own.
        match Duration::try_from_secs_f64(*seconds) {
            Ok(duration) if limits.contains(seconds) => duration,
            _ => self.beyond(key, &limits, Duration::ZERO),
        }
    }

    fn boolean(&mut self, key: &str) -> bool {
        match self.value(key) {
            Some(Value::Boolean(boolean)) => *boolean,
            _ => self.not_in_schema(key, false),
        }
    }

    fn filled(&mut self, key: &str) -> String {
        self.text(key, "not be empty", |text| (!text.trim().is_empty()).then(|| text.to_owned()))
    }

    fn text<T: Default>(&mut self, key: &str, must: &str, parse: impl Fn(&str) -> Option<T>) -> T {
        let Some(Value::Text(text)) = self.value(key) else {
            return self.not_in_schema(key, T::default());
        };
        parse(text).unwrap_or_else(|| {
            // Without the text: it may be a secret in the wrong place.
            let origin = self.setting(key).map(|setting| setting.origin.to_string());
            self.problems.push(format!("{key} {} must {must}", origin.unwrap_or_default()));
            T::default()
        })
    }

    fn setting(&self, key: &str) -> Option<&'a Setting> {
        self.settings.iter().find(|setting| setting.key == key)
    }

    fn value(&self, key: &str) -> Option<&'a Value> {
        self.setting(key).map(|setting| &setting.value)
    }

    /// A number with its origin, such as `batch.size = 500 (from WORKER__BATCH__SIZE)`.
    fn described(&self, key: &str) -> String {
        match self.setting(key) {
            Some(setting) => format!("{key} = {} ({})", setting.shown(), setting.origin),
            None => key.to_owned(),
        }
    }

    fn beyond<T, L: Display>(&mut self, key: &str, limits: &RangeInclusive<L>, instead: T) -> T {
        let (low, high) = (limits.start(), limits.end());
        let problem = format!("{} must be between {low} and {high}", self.described(key));
        self.problems.push(problem);
        instead
    }

    /// The program reads what `config/default.toml` does not define: a mistake of ours, which the
    /// tests find; here it must only not go unnoticed.
    fn not_in_schema<T>(&mut self, key: &str, instead: T) -> T {
        self.problems
            .push(format!("the built-in default.toml lacks {key} or has it as another type"));
        instead
    }
}

fn pooler(text: &str) -> Option<Pooler> {
    match text {
        "none" => Some(Pooler::None),
        "session" => Some(Pooler::Session),
        "transaction" => Some(Pooler::Transaction),
        _ => None,
    }
}

/// What is more than a name, such as a URL with a password, must not be shown as the place where
/// mail goes.
fn host(text: &str) -> Option<String> {
    let text = text.trim();
    let of_name = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_');
    let known = text.chars().all(of_name) || text.parse::<IpAddr>().is_ok();
    known.then(|| text.to_owned())
}

/// A token that nobody guesses, and that a header can hold.
fn token(text: &str) -> Option<Secret> {
    let is_strong = (16..=256).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_graphic());
    (text.is_empty() || is_strong).then(|| Secret::new(text.to_owned()))
}

fn log_format(text: &str) -> Option<LogFormat> {
    match text {
        "auto" => Some(LogFormat::Auto),
        "text" => Some(LogFormat::Text),
        "json" => Some(LogFormat::Json),
        "journald" => Some(LogFormat::Journald),
        _ => None,
    }
}

fn application_name(text: &str) -> Option<String> {
    let printable = text.bytes().all(|byte| matches!(byte, b' '..=b'~'));
    (printable && APPLICATION_NAME_CHARS.contains(&text.len())).then(|| text.to_owned())
}
