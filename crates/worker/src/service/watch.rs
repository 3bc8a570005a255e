//! The watch: reads backlog, pool and old transactions, and passes them to systemd, the metrics and the log.

use std::convert::Infallible;
use std::sync::Mutex;
use std::time::{Duration, Instant};

use store::{Backlog, OldTransaction, QueueAge};

use super::database::State;
use super::{Service, lock};
use crate::run::summary::{RunReport, milliseconds};
use crate::tables::{age, counted};
use crate::{metrics, run_record};

/// The count of a long queue costs the server time; it may take at most one part in this many.
const REST_PER_COUNT: u32 = 100;

/// How often an old transaction is reported again.
pub(super) const REPORT_AGAIN: Duration = Duration::from_secs(300);

/// The least time between two observations of a target that had no work for long.
const IDLE_OBSERVE: Duration = Duration::from_secs(60);

/// How often the heartbeat of the work is checked.
const CHECK_EVERY: Duration = Duration::from_secs(1);

/// The last observations, and the counts of the work.
pub struct Watched {
    pub(super) backlog: Mutex<Option<Vec<Backlog>>>,
    /// When the backlog was read.
    pub(super) backlog_at: Mutex<Option<Instant>>,
    /// When the log last said that this service cannot say that it is alive.
    pub(super) warned_of_presence: Mutex<Option<Instant>>,
    queue_age: Mutex<Option<(QueueAge, Instant)>>,
    period: Mutex<Period>,
    pub(super) total: Mutex<Period>,
    old_transactions: Mutex<Vec<ReportedTransaction>>,
}

/// An old transaction that was logged.
struct ReportedTransaction {
    transaction: OldTransaction,
    at: Instant,
}

/// The backlog of all kinds together.
struct AllKinds {
    rows: i64,
    oldest_s: Option<f64>,
    dead: i64,
}

#[derive(Clone, Copy)]
pub(super) struct Period {
    pub(super) began: Instant,
    pub(super) report: RunReport,
    /// The record for `worker status`: its id, and the batches that it counts.
    recorded: Option<(i64, i32)>,
}

impl Period {
    fn new() -> Self {
        Self { began: Instant::now(), report: RunReport::default(), recorded: None }
    }
}

impl Watched {
    pub(super) fn new() -> Self {
        let (period, total) = (Mutex::new(Period::new()), Mutex::new(Period::new()));
        Self {
            backlog: Mutex::default(),
            backlog_at: Mutex::default(),
            warned_of_presence: Mutex::default(),
            queue_age: Mutex::default(),
            period,
            total,
            old_transactions: Mutex::default(),
        }
    }

    /// Adds the counts of a drain.
    pub(super) fn add(&self, report: &RunReport) {
        lock(&self.period).report.merge(report);
        lock(&self.total).report.merge(report);
    }

    /// The age of the queue, and when it was read. `None` without a database.
    pub(super) fn queue_age(&self) -> Option<(QueueAge, Instant)> {
        *lock(&self.queue_age)
    }

    /// Groups committed and failed since the start.
    pub(super) fn groups(&self) -> (i64, i64) {
        let counts = lock(&self.total).report.counts;
        (counts.groups_committed, counts.groups_failed)
    }
}

impl Service {
    /// Observes and reports, for ever.
    pub(super) async fn watch(&self) -> Infallible {
        let mut last_summary = Instant::now();
        loop {
            let looks = self.database.store().map(|store| store.looks());
            let began = Instant::now();
            self.read_backlog().await;
            self.report_old_transactions().await;
            let took = began.elapsed();
            self.notify_supervisor();
            self.show_gauges();

            let config = self.config().service;
            if last_summary.elapsed() >= config.summary {
                self.summarise().await;
                last_summary = Instant::now();
            } else {
                self.record_progress().await;
            }
            drop(looks);
            let observe = if self.is_long_idle() { IDLE_OBSERVE } else { Duration::ZERO };
            let rest = config.observe.max(observe).max(took * REST_PER_COUNT);
            let rest = rest.min(config.summary.saturating_sub(last_summary.elapsed()));
            tokio::select! {
                () = self.sleep_until_look(rest) => {}
                () = self.database.changed.notified() => {}
                () = self.woken.notified() => {}
            }
        }
    }

    /// Logs an error if the work makes no progress. It runs for ever, and depends on no other loop.
    pub(super) async fn watch_liveness(&self) -> Infallible {
        let mut said = false;
        loop {
            let stuck = self.is_stuck();
            if stuck && !said {
                let silent_s = self.heartbeat.silent_for().as_secs_f64();
                let next = if self.is_of_target() {
                    "other targets continue"
                } else {
                    "systemd's watchdog, if there is one, restarts the service"
                };
                tracing::error!(
                    event = "stuck",
                    silent_s,
                    "Stuck: no progress for {silent_s:.0} s; {next}"
                );
            }
            said = stuck;
            tokio::time::sleep(CHECK_EVERY).await;
        }
    }

    /// Reads the backlog. An error is handled by the work, which meets it too.
    async fn read_backlog(&self) {
        let store = self.database.store();
        // Read first, in a separate statement: the count of a long queue may time out, and a long
        // queue is the subject of alerts.
        let at = Instant::now();
        let age = match &store {
            Some(store) => store.queue_age().await.ok(),
            None => None,
        };
        *lock(&self.watched.queue_age) = age.map(|age| (age, at));
        let seen = match store {
            Some(store) => store.backlog().await.ok(),
            None => None,
        };
        metrics::show_backlog(seen.as_deref());
        *lock(&self.watched.backlog_at) = Some(Instant::now());
        *lock(&self.watched.backlog) = seen;
    }

    /// Reports transactions that are open for long. Meanwhile the server cannot remove dead row
    /// versions, so the queue, whose rows are deleted soon, becomes slow.
    async fn report_old_transactions(&self) {
        let limit = self.config().log.old_transaction;
        let old = match self.database.store() {
            Some(store) => store.old_transactions(limit).await.ok(),
            None => None,
        };
        metrics::show_oldest_transaction(old.as_deref());
        let mut reported = lock(&self.watched.old_transactions);
        let old = old.unwrap_or_default();
        reported.retain(|reported| {
            reported.at.elapsed() < REPORT_AGAIN
                && old.iter().any(|now| now.is(&reported.transaction))
        });
        for transaction in old {
            if reported.iter().any(|reported| reported.transaction.is(&transaction)) {
                continue;
            }
            tracing::warn!(
                event = "old_transaction",
                holder = transaction.holder,
                name = transaction.name,
                process = transaction.process,
                age_s = transaction.seconds,
                "Old transaction: {transaction}; the queue becomes slower while it is open"
            );
            reported.push(ReportedTransaction { transaction, at: Instant::now() });
        }
    }

    fn notify_supervisor(&self) {
        let status = match self.database.state() {
            _ if self.stop.is_requested() => "Stopping: the running group is finished".to_owned(),
            State::Unknown => "Starting: trying the database".to_owned(),
            State::Unavailable(cause) => format!("Degraded, trying again: {cause}"),
            State::Ready(store) => {
                let pool = store.stats();
                format!(
                    "{}; pool {} of {} in use, {}",
                    self.backlog_in_words(),
                    pool.in_use,
                    pool.max,
                    pool.health
                )
            }
        };
        self.supervisor.status(status);
    }

    fn backlog_in_words(&self) -> String {
        let Some(AllKinds { rows, oldest_s, dead }) = self.backlog() else {
            return "Ready".to_owned();
        };
        let rows = counted(rows, "row", "rows");
        let oldest = oldest_s.map_or_else(String::new, |age_s| format!(", oldest {}", age(age_s)));
        let dead = if dead > 0 { format!(", {dead} dead") } else { String::new() };
        format!("Ready: {rows} queued{oldest}{dead}")
    }

    /// The backlog of all kinds together, as it was last read.
    fn backlog(&self) -> Option<AllKinds> {
        let seen = lock(&self.watched.backlog);
        let kinds = seen.as_ref()?;
        Some(AllKinds {
            rows: kinds.iter().map(|of| of.rows).sum(),
            oldest_s: kinds.iter().filter_map(|of| of.oldest_seconds).reduce(f64::max),
            dead: kinds.iter().map(|of| of.dead).sum(),
        })
    }

    /// Sets the gauges that change without an event; each scrape calls it.
    pub(super) fn show_gauges(&self) {
        let pool = self.database.store().map(|store| store.stats());
        metrics::show_pool(pool.as_ref());
        metrics::show_silence(self.heartbeat.silent_for());
    }

    /// Whether the work made no progress for `service.stuck_after_seconds`.
    pub(super) fn is_stuck(&self) -> bool {
        self.heartbeat.silent_for() > self.config().service.stuck_after
    }

    /// Logs the counts since the last summary, and the backlog.
    pub(super) async fn summarise(&self) {
        let period = std::mem::replace(&mut *lock(&self.watched.period), Period::new());
        let backlog = self.backlog();
        let queued = backlog.as_ref().map(|all| all.rows);
        let pool = self.database.store().map(|store| store.stats());
        let counts = &period.report.counts;
        let has_backlog = backlog.as_ref().is_none_or(|all| all.rows + all.dead > 0);
        if self.is_of_target() && pool.is_some() && counts.batches == 0 && !has_backlog {
            // The summary of all targets counts the quiet ones.
            return;
        }
        self.assumed_zone.tell(&self.settings.get().default_zone);
        tracing::info!(
            event = "summary",
            period_s = period.began.elapsed().as_secs(),
            batches = counts.batches,
            rows = counts.rows_claimed,
            completed = counts.rows_completed,
            rejected = counts.rows_rejected,
            failed = counts.rows_failed,
            dead = period.report.rows_dead,
            released = counts.rows_released,
            groups = counts.groups_committed,
            groups_failed = counts.groups_failed,
            held_longest_ms = milliseconds(period.report.held_longest),
            queued,
            oldest_s = backlog.as_ref().and_then(|all| all.oldest_s),
            dead_rows = backlog.as_ref().map(|all| all.dead),
            database = if pool.is_some() { "ready" } else { "unavailable" },
            pool.in_use = pool.map(|pool| pool.in_use),
            pool.open = pool.map(|pool| pool.open),
            pool.max = pool.map(|pool| pool.max),
            pool.health = pool.map(|pool| tracing::field::display(pool.health)),
            "{} since the last summary; queued now: {}",
            counted(counts.rows_claimed, "row", "rows"),
            queued.map_or_else(|| "unknown".to_owned(), |rows| rows.to_string()),
        );
        self.record(&period, false).await;
    }

    /// Records the current period for `worker status`, if its counts have changed.
    async fn record_progress(&self) {
        let period = *lock(&self.watched.period);
        let batches = period.report.counts.batches;
        if period.recorded.is_none_or(|(_, recorded)| recorded != batches)
            && let Some(id) = self.record(&period, true).await
        {
            // Another period may have begun meanwhile.
            let mut now = lock(&self.watched.period);
            if now.began == period.began {
                now.recorded = Some((id, batches));
            }
        }
    }

    /// Records a period for `worker status`, in the form of a run.
    async fn record(&self, period: &Period, is_running: bool) -> Option<i64> {
        let store = self.database.store()?;
        if period.report.counts.batches == 0 {
            return None;
        }
        let now = store.clock().await.ok()?;
        let started_at = now.plus(-(period.began.elapsed().as_micros() as i64));
        let name = &self.config().session.application_name;
        let progress = (is_running, period.recorded.map(|(id, _)| id));
        run_record::record(&store, started_at, "run", name, &period.report.counts, progress).await
    }

    /// Writes the last record for `worker status` and the last entry of the log.
    pub(super) async fn log_end(&self) {
        // A stop must not wait for a hanging database; the log has the same counts.
        let period = *lock(&self.watched.period);
        let last = async {
            self.record(&period, false).await;
            self.leave().await;
        };
        let _ = tokio::time::timeout(Duration::from_secs(1), last).await;
        let total = *lock(&self.watched.total);
        let counts = &total.report.counts;
        let mut event = "service_stopped";
        let mut ended = "Service stopped";
        if self.is_of_target() {
            event = "target_ended";
            ended = "Target is not served any more";
        }
        tracing::info!(
            event,
            up_s = total.began.elapsed().as_secs(),
            batches = counts.batches,
            rows = counts.rows_claimed,
            completed = counts.rows_completed,
            rejected = counts.rows_rejected,
            failed = counts.rows_failed,
            released = counts.rows_released,
            groups = counts.groups_committed,
            "{ended}; {} completed since its start",
            counted(counts.rows_completed, "row", "rows"),
        );
        self.supervisor.flush();
    }
}
