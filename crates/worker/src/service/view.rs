//! The service as the operator's page sees it, and the settings that the page changes. The page reads nothing else
//! of it.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::{Duration, Instant};

use aggregation::catalogue::Catalogue;
use aggregation::local_time::Zone;
use store::{Backlog, Batches, ErrorClass, PoolStats, Presence, RunCounts, Store};

use super::database::State;
use super::{Service, lock};
use crate::config::{Config, Entry};
use crate::settings::Settings;
use crate::setup;
use crate::stop::Stop;

/// The longest pause between two signs of life in the database, and before a new limit is obeyed.
const LONGEST_ABSENCE: Duration = Duration::from_secs(5);

/// The same for a target that had no work for long.
const IDLE_ABSENCE: Duration = Duration::from_secs(60);

/// The circuit breaker, for people.
#[derive(Clone, Debug, PartialEq)]
pub enum Breaker {
    /// The service works with the database.
    Closed,
    /// The service has not connected yet.
    Starting,
    /// The service cannot use the database.
    Open {
        /// Why.
        cause: String,
        /// For how long.
        since: Duration,
        /// How long until the next attempt.
        next: Duration,
    },
}

impl Breaker {
    /// The state by the names of a circuit breaker.
    pub const fn name(&self) -> &'static str {
        match self {
            Self::Closed => "closed",
            Self::Starting => "starting",
            Self::Open { .. } => "open",
        }
    }
}

impl Service {
    /// The configuration in force, for the page.
    pub fn configuration(&self) -> Config {
        self.config()
    }

    /// Each key with its value and origin; safe to print.
    pub fn entries(&self) -> Vec<Entry> {
        lock(&self.running).entries.clone()
    }

    /// The circuit breaker.
    pub fn breaker(&self) -> Breaker {
        match self.database.state() {
            State::Ready(_) => Breaker::Closed,
            State::Unknown => Breaker::Starting,
            State::Unavailable(cause) => {
                let (since, next) = self.database.outage().unwrap_or_default();
                Breaker::Open { cause, since, next }
            }
        }
    }

    /// The pool; `None` without a database.
    pub fn pool(&self) -> Option<PoolStats> {
        self.database.store().map(|store| store.stats())
    }

    /// The database with which the service works.
    pub fn work_store(&self) -> Option<Store> {
        self.database.store()
    }

    /// The backlog as the service counted it last, and how long ago.
    pub fn last_backlog(&self) -> Option<(Vec<Backlog>, Duration)> {
        let at = *lock(&self.watched.backlog_at);
        let backlog = lock(&self.watched.backlog).clone()?;
        Some((backlog, at?.elapsed()))
    }

    /// The counts of the service since its start, and its uptime.
    pub fn totals(&self) -> (RunCounts, Duration) {
        let total = *lock(&self.watched.total);
        (total.report.counts, total.began.elapsed())
    }

    /// The batches that this service works on.
    pub fn batches(&self) -> Batches {
        self.batches.now()
    }

    /// For how long the work has made no progress, and whether that is too long.
    pub fn silence(&self) -> (Duration, bool) {
        (self.heartbeat.silent_for(), self.is_stuck())
    }

    /// The settings in force.
    pub fn settings(&self) -> Arc<Settings> {
        self.settings.get()
    }

    /// The zone and the catalogue by which figures are computed.
    pub fn inputs(&self) -> (Zone, Catalogue) {
        let settings = self.settings.get();
        (settings.default_zone, (*settings.catalogue).clone())
    }

    /// The request to stop.
    pub fn stop(&self) -> &Stop {
        &self.stop
    }

    /// The name of this worker: name@host:process.
    pub fn name(&self) -> String {
        setup::identity(&self.config().session.application_name)
    }

    /// Obeys a limit on rows each second from now on; `None` is the configured one.
    pub fn obey_limit(&self, limit: Option<i32>) {
        let configured = self.config().batch.max_rows_per_second;
        let limit = limit.and_then(|limit| u32::try_from(limit).ok()).unwrap_or(configured);
        let settings = self.settings.get();
        if settings.max_rows_per_second != limit {
            tracing::info!(
                event = "limit_changed",
                max_rows_per_second = limit,
                "The service claims {limit} rows each second at most from now on; 0 is no limit"
            );
            self.settings.set(Settings { max_rows_per_second: limit, ..(*settings).clone() });
        }
    }

    /// Says in the database that this service is alive, and obeys the limit that the database sets, for ever. The
    /// count of a long queue must not delay it, so it is no part of the watch.
    pub(super) async fn show_presence(&self) -> Infallible {
        loop {
            self.announce().await;
            tokio::select! {
                () = self.sleep_until_look(self.presence_interval()) => {}
                () = self.woken.notified() => {}
            }
        }
    }

    fn presence_interval(&self) -> Duration {
        if self.is_long_idle() {
            return IDLE_ABSENCE;
        }
        self.config().service.observe.min(LONGEST_ABSENCE)
    }

    async fn announce(&self) {
        let Some(store) = self.database.store() else { return };
        let settings = self.settings.get();
        let (counts, up) = self.totals();
        let presence = Presence {
            worker: self.name(),
            version: env!("CARGO_PKG_VERSION"),
            up_seconds: up.as_secs_f64(),
            seen_every: self.presence_interval().as_secs_f64(),
            concurrency: settings.concurrency as i32,
            max_rows_per_second: settings.max_rows_per_second as i32,
            counts,
            batches: self.batches(),
        };
        match store.announce(&presence).await {
            Ok(limit) => self.obey_limit(limit),
            // The work meets every other error, too.
            Err(error) if error.class() == ErrorClass::Environment => {
                let mut warned = lock(&self.watched.warned_of_presence);
                if warned.is_none_or(|at| at.elapsed() > super::watch::REPORT_AGAIN) {
                    *warned = Some(Instant::now());
                    tracing::warn!(
                        event = "presence_not_recorded",
                        class = error.class().name(),
                        sqlstate = error.sqlstate(),
                        error = %error,
                        "The page of other workers does not list this one: {error}"
                    );
                }
            }
            Err(_) => {}
        }
    }

    /// Says in the database that this service has ended.
    pub(super) async fn leave(&self) {
        if let Some(store) = self.database.store() {
            let _ = store.leave(&self.name()).await;
        }
    }
}
