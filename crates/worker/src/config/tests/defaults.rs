use std::time::Duration;

use store::Pooler;

use super::super::layers::Layers;
use super::super::{
    Aggregation, Batch, Changes, Config, DEFAULTS, Database, Http, Log, LogFormat, Pool, Schedule,
    Secret, Service, Session, TargetsFrom,
};
use super::{defaults, loaded, problems};
use alerts::{Mail, MailTls, Rules, Webhook};
use toml::Value;

const NO_VARIABLES: [(&str, &str); 0] = [];

#[test]
fn without_file_and_variables_the_documented_defaults_are_in_force() {
    let loaded = Config::load(None, NO_VARIABLES, None).unwrap();
    let expected = Config {
        database: Database {
            url: Secret::new(String::new()),
            schema: None,
            pooler: Pooler::None,
            connect_timeout: Duration::from_secs(10),
        },
        pool: Pool {
            profile: "shared_api".to_owned(),
            max_size: 4,
            min_idle: 1,
            wait_timeout: Duration::from_secs(45),
            max_lifetime: Duration::from_secs(300),
            idle_timeout: Duration::from_secs(120),
            test_on_checkout: true,
            max_per_server: 20,
        },
        session: Session {
            statement_timeout: Duration::from_secs(30),
            lock_timeout: Duration::from_secs(10),
            idle_in_transaction_timeout: Duration::from_secs(30),
            transaction_timeout: Duration::from_secs(45),
            jit: false,
            synchronous_commit: false,
            application_name: "dayfold-worker".to_owned(),
        },
        batch: Batch {
            size: 100,
            min_size: 50,
            max_size: 200,
            concurrency: 1,
            max_rows_per_second: 0,
            lease: Duration::from_secs(60),
            max_attempts: 5,
            backoff_first: Duration::from_secs(30),
            backoff_max: Duration::from_secs(3600),
        },
        aggregation: Aggregation { default_time_zone: "UTC".to_owned(), catalogue: None },
        schedule: Schedule {
            vitals: "0 * * * * *".to_owned(),
            nutrition: "0 * * * * *".to_owned(),
            labs: "0 * * * * *".to_owned(),
            poll: Some(Duration::from_secs(1)),
        },
        service: Service {
            time_budget: Duration::from_secs(50),
            observe: Duration::from_secs(15),
            summary: Duration::from_secs(300),
            shutdown_timeout: Duration::from_secs(25),
            stuck_after: Duration::from_secs(180),
        },
        http: Http {
            address: [127, 0, 0, 1].into(),
            port: 0,
            allowed_hosts: Vec::new(),
            token: Secret::default(),
            operator_token: Secret::default(),
        },
        log: Log {
            format: LogFormat::Auto,
            level: "info".to_owned(),
            slow_hold: Duration::from_secs(5),
            old_transaction: Duration::from_secs(300),
        },
        alerts: Rules {
            off: Vec::new(),
            pool_usage_percent: 80.0,
            pool_usage_after: Duration::from_secs(60),
            pool_exhausted_after: Duration::ZERO,
            circuit_open_after: Duration::from_secs(60),
            oldest_pending: 300.0,
            dead_rows: 1,
            failed_groups_percent: 10.0,
            database_unreachable_after: Duration::from_secs(60),
            verify_drift_dates: 1,
            pool_usage_cooldown: Duration::from_secs(900),
            pool_exhausted_cooldown: Duration::from_secs(900),
            circuit_open_cooldown: Duration::from_secs(900),
            oldest_pending_cooldown: Duration::from_secs(900),
            dead_rows_cooldown: Duration::from_secs(900),
            failed_groups_cooldown: Duration::from_secs(900),
            database_unreachable_cooldown: Duration::from_secs(900),
            verify_drift_cooldown: Duration::from_secs(900),
            max_attempts: 20,
            retry_first: Duration::from_secs(30),
            retry_max: Duration::from_secs(3600),
        },
        mail: Mail {
            host: String::new(),
            port: 0,
            tls: MailTls::StartTls,
            ca_file: None,
            user: String::new(),
            password: Secret::new(String::new()),
            from: None,
            to: Default::default(),
            connect_timeout: Duration::from_secs(30),
            send_timeout: Duration::from_secs(30),
        },
        webhook: Webhook {
            url: None,
            ca_file: None,
            connect_timeout: Duration::from_secs(30),
            send_timeout: Duration::from_secs(30),
        },
        changes: Changes {
            enabled: true,
            keep_days: 7,
            webhook_url: None,
            webhook_secret: Secret::default(),
            webhook_batch_size: 500,
            webhook_ca_file: None,
            webhook_connect_timeout: Duration::from_secs(30),
            webhook_send_timeout: Duration::from_secs(30),
        },
        targets_from: TargetsFrom {
            file: None,
            url: Secret::default(),
            query: String::new(),
            reload: Duration::from_secs(60),
        },
    };
    assert_eq!(loaded.config, expected);
    assert!(loaded.entries.iter().all(|entry| entry.origin == "default"));
}

#[test]
fn default_toml_laid_over_itself_changes_no_value() {
    assert_eq!(loaded(DEFAULTS, &[]).config, defaults());
}

#[test]
fn entries_come_in_the_order_of_default_toml() {
    let mut section = "";
    let mut written = Vec::new();
    for line in DEFAULTS.lines().filter(|line| !line.starts_with('#')) {
        if let Some(name) = line.strip_prefix('[') {
            section = name.trim_end_matches(']');
        } else if let Some((name, _)) = line.split_once(" = ") {
            written.push(format!("{section}.{name}"));
        }
    }
    let entries = loaded("", &[]).entries;
    let keys: Vec<_> = entries.into_iter().map(|entry| entry.key).collect();
    assert_eq!(keys, written);
}

#[test]
fn every_key_of_default_toml_has_a_comment_directly_above_it() {
    let lines: Vec<_> = DEFAULTS.lines().collect();
    let mut keys = 0;
    for (number, line) in lines.iter().enumerate() {
        if line.contains('=') && !line.starts_with('#') {
            assert!(lines[number - 1].starts_with("# "), "no comment above {line}");
            keys += 1;
        }
    }
    assert_eq!(keys, Layers::new(DEFAULTS).settings.len());
}

#[test]
fn every_key_of_default_toml_changes_the_configuration() {
    for setting in Layers::new(DEFAULTS).settings {
        let other = match (setting.key.as_str(), &setting.value) {
            ("log.format", _) => "json".to_owned(),
            ("pool.profile", _) => "burst".to_owned(),
            ("database.pooler", _) => "session".to_owned(),
            ("batch.max_size", _) => "199".to_owned(),
            ("schedule.vitals" | "schedule.nutrition" | "schedule.labs", _) => String::new(),
            // Without a port it has no effect.
            ("http.address", _) => continue,
            // These keys require others.
            ("mail.host" | "mail.user" | "changes.webhook_url" | "targets_from.query", _) => {
                continue;
            }
            // An existing file without targets.
            ("targets_from.file", _) => "/dev/null".to_owned(),
            ("alerts.off", _) => "dead_rows".to_owned(),
            ("mail.tls", _) => "implicit".to_owned(),
            ("mail.from" | "mail.to", _) => "ops@example.org".to_owned(),
            ("http.token" | "http.operator_token" | "changes.webhook_secret", _) => {
                "a-token-of-the-tests".to_owned()
            }
            ("webhook.url", _) => "https://example.org/".to_owned(),
            // The default is 0, so it cannot be reduced by a second.
            ("alerts.pool_exhausted_after_seconds", _) => "1".to_owned(),
            (_, Value::String(_)) => "other".to_owned(),
            (_, Value::Integer(integer)) => (integer + 1).to_string(),
            // Slightly smaller, which keeps all limits and relations.
            (_, Value::Float(float)) => (float * 0.99).to_string(),
            (_, Value::Boolean(boolean)) => (!boolean).to_string(),
            (key, _) => panic!("{key} is neither a text, a number nor a truth value"),
        };
        let changed = loaded("", &[(setting.variable().as_str(), other.as_str())]).config;
        assert_ne!(changed, defaults(), "{} has no effect", setting.key);
    }
}

#[test]
fn every_limit_that_is_enforced_is_documented_above_its_key() {
    for setting in Layers::new(DEFAULTS).settings {
        if !matches!(setting.value, Value::Integer(_) | Value::Float(_)) {
            continue;
        }
        let problem = problems("", &[(setting.variable().as_str(), "-1")]);
        let (_, limits) = problem.split_once("must be between ").unwrap();
        let limits = limits.replace(" and ", " to ");
        let comment = comment_above(&setting.section, &setting.name);
        let documented = [".", ",", ";"].map(|end| format!("Limits: {limits}{end}"));
        assert!(
            documented.iter().any(|text| comment.contains(text)),
            "{} is limited to {limits}, but its comment says: {comment}",
            setting.key,
        );
    }
}

/// The comment above a key, in one line.
pub(super) fn comment_above(section: &str, name: &str) -> String {
    let (_, below) = DEFAULTS.split_once(&format!("\n[{section}]\n")).unwrap();
    let (above, _) = below.split_once(&format!("\n{name} = ")).unwrap();
    let mut lines: Vec<_> = above.lines().rev().take_while(|line| line.starts_with('#')).collect();
    lines.reverse();
    lines.join(" ").replace("# ", "")
}
