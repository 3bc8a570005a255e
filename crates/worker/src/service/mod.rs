//! The service, `worker run`: it works without supervision until it is stopped.
//!
//! Four loops share one [`Service`] and end together:
//!
//! - the work connects, then drains whenever rows are due;
//! - the watch reads backlog and pool, notifies systemd, sets the gauges and logs the summary;
//! - the watch of liveness logs an error if the work makes no progress;
//! - the handler of signals reloads the configuration and keeps the schedule.
//!
//! If a channel for alerts is configured, alerts run in tasks of their own.
//!
//! With targets, `targets` runs one [`Service`] for each, and shares signals, schedule, HTTP and systemd
//! between them.
//!
//! When the database is lost, the service drops the pool and reconnects with growing waits, as at its
//! start. So one code path handles a database that is not started yet, that failed, or whose schema has
//! changed.

mod alerting;
mod changes;
mod conditions;
mod database;
mod http;
mod schedule;
mod signals;
mod supervisor;
mod targets;
mod view;
mod watch;

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use aggregation::Kind;
use store::{Looks, ServerBudgets, Store, StoreError};
use tokio::sync::Notify;

use crate::changes::OldChanges;
use crate::config::Loaded;
use crate::day_ends::DayEnds;
use crate::exit::{self, Exit};
use crate::heartbeat::Heartbeat;
use crate::run::assumed_zone::AssumedZone;
use crate::run::batch_sizer::BatchSizer;
use crate::run::context::WorkerContext;
use crate::run::crash_loop::CrashLoopGuard;
use crate::run::current::CurrentBatches;
use crate::run::drain::{self, DrainOutcome, Limits};
use crate::run::long_groups::LongGroups;
use crate::settings::{Settings, SharedSettings};
use crate::setup;
use crate::stop::Stop;
use crate::throttle::Throttle;

use alerting::Alerting;
use database::Database;
use schedule::Ticks;
use signals::Signals;
use supervisor::Supervisor;
use watch::Watched;

pub use conditions::FiringRule;
pub use http::{MakePage, PageWork, Peer};
pub use targets::{Sums, TargetState, Targets, run as run_targets};
pub use view::Breaker;

/// The longest sleep between two heartbeats.
const LONGEST_SLEEP: Duration = Duration::from_secs(1);

/// The longest time between two polls of a target without work. A fresh row of an idle target waits for it.
const LONGEST_POLL: Duration = Duration::from_secs(10);

/// The time between two polls of a target is one part in this many of the time since its last work.
const POLLS_SINCE_WORK: u32 = 10;

/// A poll of a target takes at most one part in this many of its time. Most of it is the wait for a connection, so
/// targets poll less often if many share few connections.
const REST_PER_POLL: u32 = 10;

/// How often the service looks for rows that a wrong clock of the server has dated in the future.
const DATE_BACK_EVERY: Duration = Duration::from_secs(60);

/// How long a stop waits until messages in transfer are recorded as delivered. An unrecorded message is
/// sent again.
const LAST_MARKS: Duration = Duration::from_secs(1);

/// The state that the loops of the service share.
pub struct Service {
    /// The file that a reload reads.
    config_file: Option<PathBuf>,
    running: Mutex<Loaded>,
    settings: SharedSettings,
    stop: Stop,
    heartbeat: Heartbeat,
    crash_loop_guard: CrashLoopGuard,
    batches: CurrentBatches,
    batch_sizer: BatchSizer,
    throttle: Throttle,
    assumed_zone: AssumedZone,
    supervisor: Supervisor,
    ticks: Arc<Ticks>,
    database: Database,
    watched: Watched,
    /// `None` if no channel is configured.
    alerting: Option<Alerting>,
    /// The alert rules that fire as this worker sees it, for the page.
    firing: Mutex<Vec<FiringRule>>,
    /// The budgets of servers that targets share; `None` if there is only one database.
    budgets: Option<ServerBudgets>,
    /// When the service last claimed a row.
    last_work: Mutex<Instant>,
    /// How long the last poll took.
    poll_took: Mutex<Duration>,
    /// Notified when the work begins to look at the tables.
    looks: Notify,
    /// Notified when a target has work that had none for long.
    woken: Notify,
}

/// The parts of a service that differ between one database and targets.
struct Parts {
    settings: Settings,
    stop: Stop,
    supervisor: Supervisor,
    heartbeat: Heartbeat,
    budgets: Option<ServerBudgets>,
}

/// Runs until a stop is requested. The port for HTTP serves the page, too.
///
/// # Errors
/// If the configuration cannot be used, or the address for HTTP is taken.
pub async fn run(
    config_file: Option<&Path>,
    loaded: Loaded,
    page: MakePage,
) -> anyhow::Result<Exit> {
    // Waiting does not make an invalid URL valid.
    setup::check_url(&loaded.config)?;
    let signals = Signals::install()?;
    let service = Arc::new(Service::new(config_file, loaded)?);
    let settings = service.config().http.clone();
    let page_work: PageWork = match settings.listen() {
        Some(address) => http::serve(Arc::clone(&service), address, &settings, page).await?,
        None => Box::pin(std::future::pending()),
    };
    service.log_start();
    let mut senders = Service::start_alerts(&service);
    Service::start_changes(&service, &mut senders);
    service.supervisor.ready();
    let outcome = tokio::select! {
        () = service.work() => Ok(()),
        outcome = service.handle_signals(signals) => outcome,
        never = service.watch() => match never {},
        never = service.watch_liveness() => match never {},
        never = service.show_presence() => match never {},
        never = service.observe_rules() => match never {},
        never = page_work => match never {},
    };
    outcome?;
    service.supervisor.stopping();
    // Leave time to record a message that was just delivered. A hanging mail server does not delay the
    // stop.
    let _ = tokio::time::timeout(LAST_MARKS, senders.join_all()).await;
    service.log_end().await;
    Ok(exit::DONE)
}

impl Service {
    /// The service of the only database.
    fn new(config_file: Option<&Path>, loaded: Loaded) -> anyhow::Result<Self> {
        let supervisor = Supervisor::from_environment();
        let listener = supervisor.clone();
        let parts = Parts {
            settings: Settings::from_config(&loaded.config)?,
            // A stop in time is a success, also without a database.
            stop: Stop::on_signals(loaded.config.service.shutdown_timeout, exit::DONE)?,
            supervisor,
            heartbeat: Heartbeat::heard_by(move || listener.alive()),
            budgets: None,
        };
        Ok(Self::from_parts(config_file, loaded, parts))
    }

    fn from_parts(config_file: Option<&Path>, loaded: Loaded, parts: Parts) -> Self {
        let Parts { settings, stop, supervisor, heartbeat, budgets } = parts;
        let settings = SharedSettings::new(settings);
        let batch_sizer = BatchSizer::new(loaded.config.batch.size);
        let alerting = Alerting::from_config(&loaded.config);
        Self {
            config_file: config_file.map(Path::to_owned),
            running: Mutex::new(loaded),
            settings,
            stop,
            heartbeat,
            crash_loop_guard: CrashLoopGuard::default(),
            batches: CurrentBatches::default(),
            batch_sizer,
            throttle: Throttle::default(),
            assumed_zone: AssumedZone::default(),
            supervisor,
            ticks: Arc::default(),
            database: Database::new(),
            watched: Watched::new(),
            alerting,
            firing: Mutex::default(),
            budgets,
            last_work: Mutex::new(Instant::now()),
            poll_took: Mutex::default(),
            looks: Notify::new(),
            woken: Notify::new(),
        }
    }

    /// Whether this is the service of one of several targets.
    fn is_of_target(&self) -> bool {
        self.budgets.is_some()
    }

    /// The time between two polls. That of a target grows while it has no work, and with the wait for a connection.
    fn poll(&self, configured: Duration) -> Duration {
        if !self.is_of_target() {
            return configured;
        }
        let since_work = lock(&self.last_work).elapsed();
        let rest = *lock(&self.poll_took) * REST_PER_POLL;
        configured.max(LONGEST_POLL.min(rest.max(since_work / POLLS_SINCE_WORK)))
    }

    /// Whether this is a target whose polls have become rare.
    fn is_long_idle(&self) -> bool {
        self.is_of_target() && lock(&self.last_work).elapsed() >= LONGEST_POLL * POLLS_SINCE_WORK
    }

    /// The time between two looks at other tables than the queue. They cost a target without work as little as its
    /// polls.
    fn unless_long_idle(&self, configured: Duration) -> Duration {
        if self.is_long_idle() { configured.max(LONGEST_POLL) } else { configured }
    }

    /// Sleeps for this time. If the target had no work for long, waits for its next poll, too, because both can use
    /// one connection.
    async fn sleep_until_look(&self, time: Duration) {
        tokio::time::sleep(time).await;
        if self.is_long_idle() {
            let _ = tokio::time::timeout(LONGEST_POLL, self.looks.notified()).await;
        }
    }

    /// Serves one of several targets until a stop is requested.
    async fn serve_target(self: Arc<Self>) {
        let mut senders = Self::start_alerts(&self);
        Self::start_changes(&self, &mut senders);
        tokio::select! {
            () = self.work() => {}
            never = self.watch() => match never {},
            never = self.watch_liveness() => match never {},
            never = self.show_presence() => match never {},
            never = self.observe_rules() => match never {},
        }
        let _ = tokio::time::timeout(LAST_MARKS, senders.join_all()).await;
        self.log_end().await;
    }

    /// Connects and works until a stop is requested; connects again when the database is lost.
    async fn work(&self) {
        while let Some((store, looks)) = self.connect().await {
            let context = WorkerContext {
                batches: self.batches.clone(),
                long_groups: LongGroups::default(),
                store,
                settings: self.settings.clone(),
                stop: self.stop.clone(),
                heartbeat: self.heartbeat.clone(),
                crash_loop_guard: self.crash_loop_guard.clone(),
                batch_sizer: self.batch_sizer.clone(),
                throttle: self.throttle.clone(),
                assumed_zone: self.assumed_zone.clone(),
            };
            match self.drain_when_due(&context, looks).await {
                Ok(()) if self.stop.is_requested() => break,
                Ok(()) => self.disconnect().await,
                Err(error) => self.mark_degraded(&error),
            }
        }
    }

    /// Drains whenever rows are due, until a stop or a new connection is requested. The first look has begun.
    async fn drain_when_due(
        &self,
        context: &WorkerContext,
        first_look: Looks,
    ) -> Result<(), StoreError> {
        let mut first_look = Some(first_look);
        let mut dated_back: Option<Instant> = None;
        let mut day_ends = DayEnds::default();
        let mut old_changes = OldChanges::default();
        while !self.stop.is_requested() && !self.database.reconnect_requested().is_cancelled() {
            self.heartbeat.beat();
            context.store.set_idle(self.is_long_idle());
            let looks = first_look.take().unwrap_or_else(|| context.store.looks());
            self.looks.notify_waiters();
            if dated_back.is_none_or(|last| last.elapsed() >= DATE_BACK_EVERY) {
                drain::date_back(context).await;
                dated_back = Some(Instant::now());
            }
            let began = Instant::now();
            let kinds = self.due(&context.store).await?;
            *lock(&self.poll_took) = began.elapsed();
            if !kinds.is_empty() {
                self.drain(context, kinds).await?;
            }
            let are_all_marked = day_ends.mark_when_due(context).await?;
            let keep_days = self.config().changes.keep_days;
            old_changes.delete_when_due(&context.store, keep_days).await?;
            self.record_success(&context.store);
            drop(looks);
            if are_all_marked {
                self.sleep_until_due(&context.store).await;
            }
        }
        Ok(())
    }

    /// The kinds to drain: all if a row of any kind is due and the service polls, else those whose
    /// schedule is due.
    async fn due(&self, store: &Store) -> Result<Vec<Kind>, StoreError> {
        let ticked = self.ticks.take();
        let polled = self.config().schedule.poll.is_some();
        // Queried even without a poll: the service must notice before the next tick that the database is
        // lost.
        let any_due = tokio::select! {
            due = store.any_due() => due,
            () = self.stop.requested() => return Ok(Vec::new()),
        };
        let any_due = match any_due {
            Ok(any_due) => any_due,
            Err(error) => {
                self.restore_ticks(&ticked);
                return Err(store.explain(error).await);
            }
        };
        let all = polled && any_due;
        Ok(if all { Kind::ALL.to_vec() } else { ticked.into_iter().collect() })
    }

    fn restore_ticks<'k>(&self, kinds: impl IntoIterator<Item = &'k Kind>) {
        kinds.into_iter().for_each(|kind| self.ticks.tick(*kind));
    }

    async fn drain(&self, context: &WorkerContext, kinds: Vec<Kind>) -> Result<(), StoreError> {
        let time_budget = Some(self.config().service.time_budget);
        let cancel = self.database.reconnect_requested();
        // Without a poll the next drain may come a day later.
        let until_empty = self.config().schedule.poll.is_none();
        let limits = Limits { kinds, max_batches: None, time_budget, cancel, until_empty };
        let drains = context.store.drains();
        let (report, outcome) = drain::drain(context, &limits, |_| {}).await;
        drop(drains);
        self.watched.add(&report);
        if report.counts.batches > 0 {
            let was_idle = self.is_long_idle();
            *lock(&self.last_work) = Instant::now();
            if was_idle {
                self.woken.notify_waiters();
            }
        }
        // Due rows are left: the drain continues after the break, with or without a poll.
        if !matches!(outcome, Ok(DrainOutcome::Empty | DrainOutcome::Stopped)) {
            self.restore_ticks(&limits.kinds);
        }
        if outcome? == DrainOutcome::LimitReached {
            self.sleep_with_heartbeat(LONGEST_SLEEP).await;
        }
        Ok(())
    }

    /// Sleeps until a tick, the next poll or a request to stop; without a poll until the database is
    /// checked again.
    async fn sleep_until_due(&self, store: &Store) {
        let began = Instant::now();
        loop {
            let config = self.config();
            let poll = config.schedule.poll.map(|poll| self.poll(poll));
            let sleep = poll.unwrap_or(config.service.observe);
            let left = sleep.saturating_sub(began.elapsed());
            if left.is_zero()
                || self.stop.is_requested()
                || self.database.reconnect_requested().is_cancelled()
            {
                return;
            }
            tokio::select! {
                () = self.ticks.next() => return,
                () = store.until_recalled() => {}
                () = self.sleep_with_heartbeat(left) => {}
            }
        }
    }

    /// Sleeps for at most this time, then beats the heartbeat; a request to stop ends the sleep.
    async fn sleep_with_heartbeat(&self, longest: Duration) {
        let watched = self.supervisor.watches_every().unwrap_or(LONGEST_SLEEP);
        tokio::select! {
            () = tokio::time::sleep(longest.min(LONGEST_SLEEP).min(watched)) => {}
            () = self.stop.requested() => {}
        }
        self.heartbeat.beat();
    }

    /// The configuration in force.
    fn config(&self) -> crate::config::Config {
        lock(&self.running).config.clone()
    }

    fn log_start(&self) {
        let config = self.config();
        tracing::info!(
            event = "service_started",
            version = env!("CARGO_PKG_VERSION"),
            batch_size = config.batch.size,
            pool.max = config.pool.max_size,
            poll_s = config.schedule.poll.unwrap_or_default().as_secs_f64(),
            "Service started"
        );
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
