//! The changes that a running service accepts when its configuration is read again.

use super::Loaded;

/// Keys that can change without a restart. `config/default.toml` marks them.
pub(super) const RELOADABLE: [&str; 21] = [
    "aggregation.catalogue",
    "database.url",
    "batch.size",
    "batch.min_size",
    "batch.max_size",
    "batch.max_rows_per_second",
    "batch.max_attempts",
    "batch.backoff_first_seconds",
    "batch.backoff_max_seconds",
    "schedule.vitals",
    "schedule.nutrition",
    "schedule.labs",
    "schedule.poll_seconds",
    "service.time_budget_seconds",
    "service.observe_seconds",
    "service.summary_seconds",
    "log.level",
    "targets_from.file",
    "targets_from.url",
    "targets_from.query",
    "targets_from.reload_seconds",
];

/// The result of reading the configuration again.
#[derive(Debug)]
pub(crate) struct Reload {
    /// The configuration in force from now on.
    pub(crate) loaded: Loaded,
    /// The keys that changed.
    pub(crate) changed: Vec<String>,
    /// The keys that differ but keep their former value until a restart.
    pub(crate) needs_restart: Vec<String>,
}

impl Reload {
    /// Takes from `new` the values that a service running with `running` can change.
    pub(crate) fn between(running: &Loaded, new: Loaded) -> Self {
        let mut loaded = running.clone();
        loaded.config.aggregation.catalogue.clone_from(&new.config.aggregation.catalogue);
        loaded.config.batch.size = new.config.batch.size;
        loaded.config.batch.min_size = new.config.batch.min_size;
        loaded.config.batch.max_size = new.config.batch.max_size;
        loaded.config.batch.max_rows_per_second = new.config.batch.max_rows_per_second;
        loaded.config.batch.max_attempts = new.config.batch.max_attempts;
        loaded.config.batch.backoff_first = new.config.batch.backoff_first;
        loaded.config.batch.backoff_max = new.config.batch.backoff_max;
        loaded.config.service.time_budget = new.config.service.time_budget;
        loaded.config.service.observe = new.config.service.observe;
        loaded.config.service.summary = new.config.service.summary;
        loaded.config.log.level.clone_from(&new.config.log.level);

        let (former, next) = (&running.config, &new.config);
        // The entry of a secret only shows whether it is set, so the values are compared.
        let other_secrets: Vec<&str> = [
            ("database.url", former.database.url != next.database.url),
            ("mail.password", former.mail.password != next.mail.password),
            ("webhook.url", former.webhook.url != next.webhook.url),
            ("http.token", former.http.token != next.http.token),
            ("http.operator_token", former.http.operator_token != next.http.operator_token),
            ("changes.webhook_url", former.changes.webhook_url != next.changes.webhook_url),
            (
                "changes.webhook_secret",
                former.changes.webhook_secret != next.changes.webhook_secret,
            ),
            ("targets_from.url", former.targets_from.url != next.targets_from.url),
        ]
        .into_iter()
        .filter_map(|(key, differs)| differs.then_some(key))
        .collect();
        loaded.config.database.url.clone_from(&new.config.database.url);
        // One database and a list of targets are served in different ways.
        let is_other_way = running.has_targets() != new.has_targets();
        loaded.config.schedule = new.config.schedule;
        loaded.config.targets_from = new.config.targets_from;
        loaded.common = new.common;
        let (mut changed, mut needs_restart) = (Vec::new(), Vec::new());
        if is_other_way {
            needs_restart.push("targets".to_owned());
        }
        // Both lists have every key, in the order of `config/default.toml`.
        for (entry, new) in loaded.entries.iter_mut().zip(new.entries) {
            if entry.value == new.value && !other_secrets.contains(&entry.key.as_str()) {
                continue;
            }
            if RELOADABLE.contains(&new.key.as_str()) {
                changed.push(new.key.clone());
                *entry = new;
            } else {
                needs_restart.push(new.key);
            }
        }
        Self { loaded, changed, needs_restart }
    }
}
