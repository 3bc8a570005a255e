use std::time::Duration;

use super::super::layers::Layers;
use super::super::reload::RELOADABLE;
use super::super::{DEFAULTS, Reload};
use super::loaded;

#[test]
fn what_can_change_is_taken_over_and_the_rest_is_named() {
    let running = loaded("batch.size = 50\npool.max_size = 3\n", &[]);
    let new = "batch.size = 60\npool.max_size = 9\nlog.level = \"debug\"\n";
    let reload = Reload::between(&running, loaded(new, &[]));

    assert_eq!(reload.changed, ["batch.size", "log.level"]);
    assert_eq!(reload.needs_restart, ["pool.max_size"]);
    assert_eq!(reload.loaded.config.batch.size, 60);
    assert_eq!(reload.loaded.config.log.level, "debug");
    assert_eq!(reload.loaded.config.pool.max_size, 3);
}

#[test]
fn what_needs_a_restart_is_named_each_time() {
    let running = loaded("", &[]);
    let new = || loaded("[pool]\nmax_size = 9\n", &[]);
    let first = Reload::between(&running, new());
    let second = Reload::between(&first.loaded, new());
    assert_eq!(second.needs_restart, ["pool.max_size"]);
}

#[test]
fn another_database_is_taken_over_though_its_url_is_never_shown() {
    let running = loaded("", &[("DATABASE_URL", "postgresql://a@host/app")]);
    let new = loaded("", &[("DATABASE_URL", "postgresql://b@host/app")]);
    let reload = Reload::between(&running, new);
    assert_eq!(reload.changed, ["database.url"]);
    assert_eq!(reload.loaded.config.database.url.expose(), "postgresql://b@host/app");
}

#[test]
fn another_password_or_webhook_needs_a_restart_though_it_is_never_shown() {
    let with = |password, url| {
        loaded("", &[("WORKER__MAIL__PASSWORD", password), ("WORKER__WEBHOOK__URL", url)])
    };
    let running = with("hunter2geheim", "https://hooks.example.org/hunter2geheim");
    let new = with("hunter3geheim", "https://hooks.example.org/hunter3geheim");
    let reload = Reload::between(&running, new);
    assert_eq!(reload.needs_restart, ["mail.password", "webhook.url"]);
    assert!(reload.changed.is_empty());
    assert_eq!(reload.loaded.config, running.config);
}

#[test]
fn every_secret_that_changes_is_named() {
    for (variable, key, one, other) in [
        ("DATABASE_URL", "database.url", "postgresql://a@host/app", "postgresql://b@host/app"),
        ("WORKER__MAIL__PASSWORD", "mail.password", "a", "b"),
        ("WORKER__WEBHOOK__URL", "webhook.url", "https://host/a", "https://host/b"),
        ("WORKER__TARGETS_FROM__URL", "targets_from.url", "a", "b"),
        (
            "WORKER__HTTP__TOKEN",
            "http.token",
            "a-token-of-16-characters",
            "another-of-16-characters",
        ),
        (
            "WORKER__HTTP__OPERATOR_TOKEN",
            "http.operator_token",
            "a-token-of-16-characters",
            "another-of-16-characters",
        ),
    ] {
        let running = loaded("", &[(variable, one)]);
        let reload = Reload::between(&running, loaded("", &[(variable, other)]));
        assert_eq!([reload.changed, reload.needs_restart].concat(), [key]);
    }
    let entries = loaded("", &[]).entries;
    assert_eq!(entries.iter().filter(|entry| entry.value == "(not set)").count(), 8);
}

#[test]
fn a_lease_is_never_shorter_than_the_statements_that_run() {
    let running = loaded("", &[]);
    let new = "[session]\nstatement_timeout_seconds = 5\n[batch]\nlease_seconds = 6\n";
    let reload = Reload::between(&running, loaded(new, &[]));
    assert_eq!(reload.loaded.config.batch.lease, Duration::from_secs(60));
    assert!(reload.needs_restart.contains(&"batch.lease_seconds".to_owned()));
}

#[test]
fn targets_instead_of_one_database_need_a_restart() {
    let target = "[[targets]]\nname = \"a\"\n";
    let needs =
        |running, new| Reload::between(&loaded(running, &[]), loaded(new, &[])).needs_restart;
    assert_eq!(needs("", target), ["targets"]);
    assert_eq!(needs(target, ""), ["targets"]);
    assert!(needs(target, "[[targets]]\nname = \"b\"\n").is_empty());
}

#[test]
fn default_toml_marks_what_can_be_reloaded() {
    let mut marked = Vec::new();
    for setting in Layers::new(DEFAULTS).settings {
        let comment = super::defaults::comment_above(&setting.section, &setting.name);
        if comment.contains("(reload)") {
            marked.push(setting.key);
        }
    }
    marked.sort();
    let mut reloadable = RELOADABLE.map(str::to_owned);
    reloadable.sort();
    assert_eq!(marked, reloadable);
}

#[test]
fn each_key_that_can_be_reloaded_takes_effect() {
    let running = loaded("", &[]);
    for setting in Layers::new(DEFAULTS).settings {
        if !RELOADABLE.contains(&setting.key.as_str()) {
            continue;
        }
        let other = match setting.key.split_once('.') {
            Some(("schedule", "poll_seconds")) => "2",
            Some(("schedule", _)) => "",
            Some(("log", _)) => "debug",
            // It needs a URL.
            Some(("targets_from", "query")) => continue,
            Some(("targets_from", "file")) => "/dev/null",
            Some(("targets_from", "reload_seconds")) => "30",
            Some((_, "max_attempts")) => "7",
            Some((_, "max_size")) => "190",
            Some(("aggregation", _)) => "/catalogue.toml",
            Some(("database", _)) => "postgresql://b@host/app",
            Some((_, "backoff_max_seconds")) => "500",
            _ => "60",
        };
        let new = loaded("", &[(setting.variable().as_str(), other)]);
        let reload = Reload::between(&running, new.clone());
        assert_eq!(reload.loaded.config, new.config, "{}", setting.key);
        assert_eq!(reload.changed, [setting.key]);
    }
}
