//! The validated settings of the drain, and their change by a reload.

use std::sync::Arc;
use std::time::Duration;

use aggregation::catalogue::Catalogue;
use aggregation::local_time::Zone;
use anyhow::Context;
use store::RetryPolicy;
use tokio::sync::watch;

use crate::config::Config;

/// The validated settings of the drain.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Minimum and maximum batch size, in rows.
    pub batch_bounds: Bounds,
    /// Maximum of concurrent batches.
    pub concurrency: u32,
    /// Maximum of rows claimed each second by the process; 0 means no limit.
    pub max_rows_per_second: u32,
    /// Length of the lease on claimed rows.
    pub lease: Duration,
    /// The waits between attempts for rows whose group failed.
    pub failure_policy: RetryPolicy,
    /// Time limit of one group, after which the server counts as silent. It exceeds the server's
    /// statement and lock time-outs, so only a silent or lost server reaches it.
    pub group_timeout: Duration,
    /// The zone of rows that have none and whose user has no profile.
    pub default_zone: Zone,
    /// Metrics, units and limits.
    pub catalogue: Arc<Catalogue>,
}

/// A minimum and a maximum, both inclusive.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bounds {
    /// The minimum.
    pub min: u32,
    /// The maximum.
    pub max: u32,
}

/// The time for a connection, a lock and the statements of a group. It allows for two statements that
/// run into their time-outs.
fn group_timeout(config: &Config) -> Duration {
    let (pool, session) = (&config.pool, &config.session);
    pool.wait_timeout + session.statement_timeout * 2 + session.lock_timeout + GRACE
}

/// Time for the server's report of a time-out to arrive.
const GRACE: Duration = Duration::from_secs(1);

impl Settings {
    /// Validates the values that the configuration itself cannot validate.
    ///
    /// # Errors
    /// A one-line message with the key whose value is invalid.
    pub fn from_config(config: &Config) -> anyhow::Result<Self> {
        Self::with_catalogue(config, Arc::new(catalogue(config)?))
    }

    /// As [`Settings::from_config`], with a catalogue that was read before.
    ///
    /// # Errors
    /// As [`Settings::from_config`].
    pub fn with_catalogue(config: &Config, catalogue: Arc<Catalogue>) -> anyhow::Result<Self> {
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
            // The message omits the text: it may be a misplaced secret.
            default_zone: config
                .aggregation
                .default_time_zone
                .parse()
                .context("aggregation.default_time_zone cannot be used")?,
            catalogue,
        })
    }
}

/// The catalogue named by the configuration.
///
/// # Errors
/// The file, the line and the invalid value.
pub fn catalogue(config: &Config) -> anyhow::Result<Catalogue> {
    let Some(path) = &config.aggregation.catalogue else { return Ok(Catalogue::built_in()?) };
    let shown = path.display();
    let text = std::fs::read_to_string(path)
        .with_context(|| format!("aggregation.catalogue: {shown} cannot be read"))?;
    Catalogue::extended_by(&text).with_context(|| format!("{shown} cannot be used"))
}

/// Settings that a reload may replace. Each batch uses those in force at its beginning.
#[derive(Clone, Debug)]
pub struct SharedSettings(watch::Sender<Arc<Settings>>);

impl SharedSettings {
    /// Starts with these settings.
    pub fn new(settings: Settings) -> Self {
        Self(watch::Sender::new(Arc::new(settings)))
    }

    /// The settings in force.
    pub fn get(&self) -> Arc<Settings> {
        Arc::clone(&self.0.borrow())
    }

    /// Whether the settings in force give the same figures as `settings`.
    pub fn same_inputs_as(&self, settings: &Settings) -> bool {
        let current = self.get();
        std::ptr::eq(&*current, settings)
            || (current.default_zone == settings.default_zone
                && current.catalogue == settings.catalogue)
    }

    /// Replaces the settings in force.
    pub fn set(&self, settings: Settings) {
        self.0.send_replace(Arc::new(settings));
    }

    /// The settings in force, and each change of them.
    pub fn changes(&self) -> watch::Receiver<Arc<Settings>> {
        self.0.subscribe()
    }
}
