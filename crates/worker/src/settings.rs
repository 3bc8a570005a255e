//! The settings of the drain, checked, and their change by a reload.

use std::sync::Arc;
use std::time::Duration;

use aggregation::catalogue::Catalogue;
use aggregation::local_time::Zone;
use anyhow::Context;
use store::RetryPolicy;
use tokio::sync::watch;

use crate::config::Config;

/// The settings of the drain, checked.
#[derive(Clone, Debug)]
pub struct Settings {
    /// The smallest and the largest batch, in rows.
    pub batch_bounds: Bounds,
    /// How many batches run at once.
    pub concurrency: u32,
    /// How many rows the process claims each second; 0 is no limit.
    pub max_rows_per_second: u32,
    /// How long claimed rows belong to this worker.
    pub lease: Duration,
    /// When rows whose group failed are tried again.
    pub failure_policy: RetryPolicy,
    /// The longest time for one group, after which the server counts as silent. It is longer than the time-outs by
    /// which the server ends statements and waits for locks, so that only a server that is silent or gone exceeds it.
    pub group_timeout: Duration,
    /// The zone of rows that name none and whose user has no profile.
    pub default_zone: Zone,
    /// Metrics, units and limits.
    pub catalogue: Catalogue,
}

/// A smallest and a largest number, both included.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bounds {
    /// The smallest.
    pub min: u32,
    /// The largest.
    pub max: u32,
}

/// The time for a connection, a lock and the statements of a group. It has room for two statements that run into
/// their time-outs.
fn group_timeout(config: &Config) -> Duration {
    let (pool, session) = (&config.pool, &config.session);
    pool.wait_timeout + session.statement_timeout * 2 + session.lock_timeout + GRACE
}

/// The time in which the server's answer about a time-out arrives.
const GRACE: Duration = Duration::from_secs(1);

impl Settings {
    /// Checks the values that the configuration itself cannot check.
    ///
    /// # Errors
    /// One line that names the key whose value cannot be used.
    pub fn from_config(config: &Config) -> anyhow::Result<Self> {
        Ok(Self {
            batch_bounds: Bounds { min: config.batch.min_size, max: config.batch.max_size },
            concurrency: config.batch.concurrency,
            max_rows_per_second: config.batch.max_rows_per_second,
            lease: config.batch.lease,
            failure_policy: RetryPolicy {
                max_attempts: config.batch.max_attempts,
                first: config.batch.backoff_first,
                max: config.batch.backoff_max,
            },
            group_timeout: group_timeout(config),
            // Without the text, as in all problems of the configuration: it may be a secret in the wrong place.
            default_zone: config
                .aggregation
                .default_time_zone
                .parse()
                .context("aggregation.default_time_zone cannot be used")?,
            catalogue: catalogue(config)?,
        })
    }
}

/// The catalogue that the configuration names.
///
/// # Errors
/// The file, the line and the value that cannot be used.
pub fn catalogue(config: &Config) -> anyhow::Result<Catalogue> {
    let Some(path) = &config.aggregation.catalogue else { return Ok(Catalogue::built_in()?) };
    let shown = path.display();
    let text = std::fs::read_to_string(path)
        .with_context(|| format!("aggregation.catalogue: {shown} cannot be read"))?;
    Catalogue::extended_by(&text).with_context(|| format!("{shown} cannot be used"))
}

/// Settings that a reload may replace; each batch uses those in force at its beginning.
#[derive(Clone, Debug)]
pub struct SharedSettings(watch::Sender<Arc<Settings>>);

impl SharedSettings {
    /// Begins with these settings.
    pub fn new(settings: Settings) -> Self {
        Self(watch::Sender::new(Arc::new(settings)))
    }

    /// The settings in force.
    pub fn get(&self) -> Arc<Settings> {
        Arc::clone(&self.0.borrow())
    }

    /// Whether the settings in force lead to the same figures as `settings`.
    pub fn same_inputs_as(&self, settings: &Settings) -> bool {
        let current = self.get();
        std::ptr::eq(&*current, settings)
            || (current.default_zone == settings.default_zone
                && current.catalogue == settings.catalogue)
    }

    /// Puts other settings in force.
    pub fn set(&self, settings: Settings) {
        self.0.send_replace(Arc::new(settings));
    }

    /// The settings in force, and each change of them.
    pub fn changes(&self) -> watch::Receiver<Arc<Settings>> {
        self.0.subscribe()
    }
}
