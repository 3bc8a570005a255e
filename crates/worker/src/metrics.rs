//! Names and export of metrics. The names are a contract; `docs/metrics.md` lists them. No label ever
//! contains a health value, a food, a test name or a user.

use std::time::Duration;

use aggregation::Kind;
use anyhow::{Context, bail};
use metrics::{
    Counter, Gauge, Histogram, Key, KeyName, Label, Metadata, Recorder, SharedString, Unit,
    counter, describe_counter, describe_gauge, describe_histogram, gauge,
};
use metrics_exporter_prometheus::{PrometheusBuilder, PrometheusHandle, PrometheusRecorder};
use store::{Backlog, OldTransaction, PoolStats};

use crate::target;

/// From a claim of a millisecond to the time-outs, in seconds.
const BUCKETS: [f64; 14] =
    [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0];

/// Raw rows claimed, by kind.
pub const ROWS_CLAIMED: &str = "dayfold_rows_claimed_total";
/// Raw rows by kind and outcome.
pub const ROWS: &str = "dayfold_rows_total";
/// Dead raw rows, by kind.
pub const ROWS_DEAD: &str = "dayfold_rows_dead_total";
/// Groups by kind and outcome.
pub const GROUPS: &str = "dayfold_groups_total";
/// Batches by kind.
pub const BATCHES: &str = "dayfold_batches_total";
/// Duration of batches, by kind.
pub const BATCH_SECONDS: &str = "dayfold_batch_duration_seconds";
const BACKLOG: &str = "dayfold_backlog_rows";
const OLDEST: &str = "dayfold_oldest_row_seconds";
const DEAD: &str = "dayfold_dead_rows";
const CONNECTIONS: &str = "dayfold_pool_connections";
const CONNECTIONS_MAX: &str = "dayfold_pool_connections_max";
const WAITING: &str = "dayfold_pool_waiting";
const USAGE: &str = "dayfold_pool_usage_ratio";
const DATABASE_UP: &str = "dayfold_database_up";
const DATABASE_REACHABLE: &str = "dayfold_database_reachable";
const BREAKER: &str = "dayfold_breaker_state";
const TIMEOUTS: &str = "dayfold_pool_timeouts_total";
const OLDEST_TRANSACTION: &str = "dayfold_oldest_transaction_seconds";
const UNSENT_CHANGES: &str = "dayfold_unsent_changes_seconds";
const SILENT: &str = "dayfold_silent_seconds";
const BUILD: &str = "dayfold_build_info";

/// The state of the circuit breaker of the database.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Breaker {
    /// The worker uses the database.
    Closed,
    /// The worker waits before the next attempt to connect.
    Open,
    /// An attempt to connect is in progress.
    HalfOpen,
}

/// Starts counting.
///
/// # Errors
/// If another recorder is installed in this process.
pub fn install() -> anyhow::Result<PrometheusHandle> {
    let recorder = PrometheusBuilder::new()
        .set_buckets(&BUCKETS)
        .context("metrics cannot be counted")?
        .build_recorder();
    let handle = recorder.handle();
    if metrics::set_global_recorder(ByTarget(recorder)).is_err() {
        bail!("metrics cannot be counted: another part of the program counts them");
    }
    describe();
    // Counters start at zero, so that monitoring sees the first event as an increase.
    counter!(TIMEOUTS).increment(0);
    gauge!(BUILD, "version" => env!("CARGO_PKG_VERSION")).set(1.0);
    Ok(handle)
}

/// Adds the label `target` to metrics of tasks that work for a target.
struct ByTarget(PrometheusRecorder);

impl ByTarget {
    fn register<T>(&self, key: &Key, register: impl FnOnce(&PrometheusRecorder, &Key) -> T) -> T {
        match target::name() {
            None => register(&self.0, key),
            Some(name) => {
                let label = Label::new("target", SharedString::from(name));
                register(&self.0, &key.with_extra_labels(vec![label]))
            }
        }
    }
}

impl Recorder for ByTarget {
    fn describe_counter(&self, key: KeyName, unit: Option<Unit>, description: SharedString) {
        self.0.describe_counter(key, unit, description);
    }

    fn describe_gauge(&self, key: KeyName, unit: Option<Unit>, description: SharedString) {
        self.0.describe_gauge(key, unit, description);
    }

    fn describe_histogram(&self, key: KeyName, unit: Option<Unit>, description: SharedString) {
        self.0.describe_histogram(key, unit, description);
    }

    fn register_counter(&self, key: &Key, metadata: &Metadata<'_>) -> Counter {
        self.register(key, |recorder, key| recorder.register_counter(key, metadata))
    }

    fn register_gauge(&self, key: &Key, metadata: &Metadata<'_>) -> Gauge {
        self.register(key, |recorder, key| recorder.register_gauge(key, metadata))
    }

    fn register_histogram(&self, key: &Key, metadata: &Metadata<'_>) -> Histogram {
        self.register(key, |recorder, key| recorder.register_histogram(key, metadata))
    }
}

fn describe() {
    describe_counter!(ROWS_CLAIMED, "Queue rows claimed, including coalesced ones, by kind");
    describe_counter!(
        ROWS,
        "Queue rows by kind and outcome: completed, rejected, failed or released; \
         together what was claimed"
    );
    describe_counter!(ROWS_DEAD, "Queue rows given up after their last attempt, by kind");
    describe_counter!(GROUPS, "User-dates by kind and outcome: committed or failed");
    describe_counter!(BATCHES, "Batches that did work, by kind");
    describe_histogram!(BATCH_SECONDS, Unit::Seconds, "Claim to last group of a batch, by kind");
    describe_gauge!(BACKLOG, "Changes that are not in the figures yet, by kind; dead ones not");
    describe_gauge!(OLDEST, Unit::Seconds, "Age of the oldest change, by kind; 0 if none");
    describe_gauge!(DEAD, "Changes given up after their last attempt, by kind");
    describe_gauge!(CONNECTIONS, "Open database connections by state: in_use or idle");
    describe_gauge!(CONNECTIONS_MAX, "Maximum of open database connections");
    describe_gauge!(WAITING, "Tasks waiting for a database connection");
    describe_gauge!(USAGE, "Database connections in use / maximum of open ones");
    describe_gauge!(DATABASE_UP, "1 while the worker uses the database, else 0");
    describe_gauge!(DATABASE_REACHABLE, "0 while the database cannot be reached, else 1");
    describe_gauge!(
        BREAKER,
        "1 for the current state: closed (working), open (waiting), half_open (connecting)"
    );
    describe_gauge!(
        OLDEST_TRANSACTION,
        Unit::Seconds,
        "Age of the oldest transaction that is open for longer than log.old_transaction_seconds"
    );
    describe_gauge!(
        UNSENT_CHANGES,
        Unit::Seconds,
        "Age of the oldest changed day that the webhook has not accepted; 0 if none"
    );
    describe_gauge!(SILENT, Unit::Seconds, "Time since the last progress");
    alerts::describe();
    describe_gauge!(BUILD, "1, with the version");
    describe_histogram!(
        "dayfold_pool_hold_seconds",
        Unit::Seconds,
        "Time that a database connection was held, by purpose"
    );
    describe_histogram!(
        "dayfold_pool_wait_seconds",
        Unit::Seconds,
        "Wait for a database connection, including connecting and validation"
    );
    describe_counter!(TIMEOUTS, "Waits for a database connection that timed out");
}

/// Sets the gauges of the backlog. Values that could not be read are NaN instead of outdated.
pub fn show_backlog(backlog: Option<&[Backlog]>) {
    for kind in Kind::ALL {
        let seen = backlog.and_then(|backlog| backlog.iter().find(|of| of.kind == kind));
        let show = |name: &'static str, value: fn(&Backlog) -> f64| {
            gauge!(name, "kind" => kind.name()).set(seen.map_or(f64::NAN, value));
        };
        show(BACKLOG, |of| of.rows as f64);
        show(OLDEST, |of| of.oldest_seconds.unwrap_or(0.0));
        show(DEAD, |of| of.dead as f64);
    }
}

/// Sets the gauges of the pool; without a pool, all are 0.
pub fn show_pool(pool: Option<&PoolStats>) {
    let of = |value: fn(&PoolStats) -> f64| pool.map_or(0.0, value);
    gauge!(CONNECTIONS, "state" => "in_use").set(of(|pool| pool.in_use.into()));
    gauge!(CONNECTIONS, "state" => "idle").set(of(|pool| pool.idle.into()));
    gauge!(WAITING).set(of(|pool| pool.waiting.into()));
    gauge!(USAGE).set(of(|pool| pool.utilisation / 100.0));
    if let Some(pool) = pool {
        gauge!(CONNECTIONS_MAX).set(pool.max);
    }
}

/// Sets the gauges of the circuit breaker.
pub fn show_breaker(breaker: Breaker) {
    gauge!(DATABASE_UP).set(f64::from(u8::from(breaker == Breaker::Closed)));
    let states =
        [("closed", Breaker::Closed), ("open", Breaker::Open), ("half_open", Breaker::HalfOpen)];
    for (name, state) in states {
        gauge!(BREAKER, "state" => name).set(f64::from(u8::from(breaker == state)));
    }
}

/// Marks all gauges of the current target as outdated: it is not served any more.
pub fn forget_target() {
    show_backlog(None);
    show_pool(None);
    show_oldest_transaction(None);
    gauge!(DATABASE_UP).set(f64::NAN);
    gauge!(DATABASE_REACHABLE).set(f64::NAN);
    gauge!(SILENT).set(f64::NAN);
    for state in ["closed", "open", "half_open"] {
        gauge!(BREAKER, "state" => state).set(f64::NAN);
    }
}

/// Sets whether a connection to the database is possible.
pub fn show_reachable(is_reachable: bool) {
    gauge!(DATABASE_REACHABLE).set(f64::from(u8::from(is_reachable)));
}

/// Sets the age of the oldest open transaction; NaN if it could not be read.
pub fn show_oldest_transaction(old: Option<&[OldTransaction]>) {
    let seconds = old.map_or(f64::NAN, |old| {
        old.iter().filter_map(|transaction| transaction.seconds).fold(0.0, f64::max)
    });
    gauge!(OLDEST_TRANSACTION).set(seconds);
}

/// Sets the age of the oldest change that the webhook has not accepted; NaN if it could not be read.
pub fn show_unsent_changes(oldest: Option<Duration>) {
    gauge!(UNSENT_CHANGES).set(oldest.map_or(f64::NAN, |oldest| oldest.as_secs_f64()));
}

/// Sets the time since the last progress.
pub fn show_silence(silent_for: Duration) {
    gauge!(SILENT).set(silent_for.as_secs_f64());
}
