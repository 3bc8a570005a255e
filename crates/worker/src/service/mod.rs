//! The service: runs for months without anyone.
//!
//! Three loops share one [`Service`] and end together:
//!
//! - the work: connect, then drain whenever something is due, until asked to stop;
//! - watching: looks at backlog and pool, tells systemd and the metrics, writes the summary;
//! - obeying: takes signals and keeps the schedule.
//!
//! Alerts, where somebody wants them, are tasks of their own beside these.
//!
//! Losing the database is no end: the pool is thrown away and the connection is tried again, less
//! and less often, as it was at the start. So there is one way in, whether the database was never
//! there, went away, or has another schema by now.

mod alerting;
mod database;
mod http;
mod obey;
mod schedule;
mod supervisor;
mod watch;

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use aggregation::Kind;
use store::{Store, StoreError};

use crate::assumed_zone::AssumedZone;
use crate::config::Loaded;
use crate::day_ends::DayEnds;
use crate::run::drain::{self, DrainOutcome, Limits};
use crate::exit::{self, Exit};
use crate::heartbeat::Heartbeat;
use crate::pace::Pace;
use crate::setup::{self, Current, Job, Settings};
use crate::stop::Stop;
use crate::run::crash_loop::Suspects;
use crate::throttle::Throttle;

use alerting::Alerting;
use database::Database;
use obey::Signals;
use schedule::Ticks;
use supervisor::Supervisor;
use watch::Watched;

/// The longest sleep between two signs of life.
const NAP: Duration = Duration::from_secs(1);

/// How often rows are looked for that a wrong clock of the server has dated in the future.
const DATE_BACK_EVERY: Duration = Duration::from_secs(60);

/// How long a stop waits for what becomes of messages that are just being sent. One that is not marked
/// is sent again.
const LAST_MARKS: Duration = Duration::from_secs(1);

/// What the parts of the service share.
pub struct Service {
    /// Where the configuration is read again.
    config_file: Option<PathBuf>,
    running: Mutex<Loaded>,
    settings: Current,
    stop: Stop,
    heartbeat: Heartbeat,
    suspects: Suspects,
    pace: Pace,
    throttle: Throttle,
    assumed_zone: AssumedZone,
    supervisor: Supervisor,
    ticks: Arc<Ticks>,
    database: Database,
    watched: Watched,
    /// None where nobody is to be told.
    alerting: Option<Alerting>,
}

/// Runs until somebody asks to stop.
///
/// # Errors
/// Why it cannot run: a configuration that cannot be used, or an address that is taken.
pub async fn run(config_file: Option<&Path>) -> anyhow::Result<Exit> {
    let loaded = setup::configuration(config_file)?;
    // Waiting mends no URL.
    setup::check_url(&loaded.config)?;
    let signals = Signals::listen()?;
    let service = Arc::new(Service::new(config_file, loaded)?);
    let settings = service.config().http.clone();
    if let Some(address) = settings.listen {
        http::serve(Arc::clone(&service), address, &settings).await?;
    }
    service.log_start();
    let senders = Service::start_alerts(&service);
    service.supervisor.ready();
    let outcome = tokio::select! {
        () = service.work() => Ok(()),
        outcome = service.obey(signals) => outcome,
        never = service.watch() => match never {},
        never = service.listen() => match never {},
    };
    outcome?;
    service.supervisor.stopping();
    // What the server has just taken is marked; a server that hangs is not waited for.
    let _ = tokio::time::timeout(LAST_MARKS, senders.join_all()).await;
    service.say_goodbye().await;
    Ok(exit::DONE)
}

impl Service {
    fn new(config_file: Option<&Path>, loaded: Loaded) -> anyhow::Result<Self> {
        let settings = Current::new(Settings::of(&loaded.config)?);
        let pace = Pace::new(loaded.config.batch.size);
        // A stop that was asked for and ends in time is a success, whatever the database does.
        let stop = Stop::on_signals(loaded.config.service.shutdown_timeout, exit::DONE)?;
        let supervisor = Supervisor::of_environment();
        let listener = supervisor.clone();
        let alerting = Alerting::of(&loaded.config);
        Ok(Self {
            config_file: config_file.map(Path::to_owned),
            running: Mutex::new(loaded),
            settings,
            stop,
            heartbeat: Heartbeat::heard_by(move || listener.alive()),
            suspects: Suspects::default(),
            pace,
            throttle: Throttle::default(),
            assumed_zone: AssumedZone::default(),
            supervisor,
            ticks: Arc::default(),
            database: Database::new(),
            watched: Watched::new(),
            alerting,
        })
    }

    /// Connects and works until asked to stop, over and over if the database goes away.
    async fn work(&self) {
        while let Some(store) = self.connect().await {
            let job = Job {
                store,
                settings: self.settings.clone(),
                stop: self.stop.clone(),
                heartbeat: self.heartbeat.clone(),
                suspects: self.suspects.clone(),
                pace: self.pace.clone(),
                throttle: self.throttle.clone(),
                assumed_zone: self.assumed_zone.clone(),
            };
            match self.drain_when_due(&job).await {
                Ok(()) if self.stop.is_requested() => break,
                Ok(()) => self.leave().await,
                Err(error) => self.lose(&error),
            }
        }
    }

    /// Drains whenever something is due, until asked to stop, or to work with another database.
    async fn drain_when_due(&self, job: &Job) -> Result<(), StoreError> {
        let mut dated_back: Option<Instant> = None;
        let mut day_ends = DayEnds::default();
        while !self.stop.is_requested() && !self.database.moved().is_cancelled() {
            self.heartbeat.beat();
            if dated_back.is_none_or(|last| last.elapsed() >= DATE_BACK_EVERY) {
                drain::date_back(job).await;
                dated_back = Some(Instant::now());
            }
            let kinds = self.due(&job.store).await?;
            if !kinds.is_empty() {
                self.drain(job, kinds).await?;
            }
            let are_all_marked = day_ends.mark_when_due(job).await?;
            self.worked(&job.store);
            if are_all_marked {
                self.sleep_until_due().await;
            }
        }
        Ok(())
    }

    /// The kinds to look for: those whose time has come, or all if a row of any is due.
    async fn due(&self, store: &Store) -> Result<Vec<Kind>, StoreError> {
        let ticked = self.ticks.take();
        let polled = self.config().schedule.poll.is_some();
        // Asked also where nobody wants to know: a database that is away must not be found out by
        // the next tick only.
        let any_due = tokio::select! {
            due = store.any_due() => due,
            () = self.stop.requested() => return Ok(Vec::new()),
        };
        let any_due = match any_due {
            Ok(any_due) => any_due,
            Err(error) => {
                self.tick_again(&ticked);
                return Err(store.explain(error).await);
            }
        };
        let all = polled && any_due;
        Ok(if all { Kind::ALL.to_vec() } else { ticked.into_iter().collect() })
    }

    fn tick_again<'k>(&self, kinds: impl IntoIterator<Item = &'k Kind>) {
        kinds.into_iter().for_each(|kind| self.ticks.tick(*kind));
    }

    async fn drain(&self, job: &Job, kinds: Vec<Kind>) -> Result<(), StoreError> {
        let time_budget = Some(self.config().service.time_budget);
        let cancel = self.database.moved();
        // Without a poll the next drain may be a day away.
        let until_empty = self.config().schedule.poll.is_none();
        let limits = Limits { kinds, max_batches: None, time_budget, cancel, until_empty };
        let (report, outcome) = drain::drain(job, &limits, |_| {}).await;
        self.watched.add(&report);
        // Not done, be there a poll or not: it goes on after the break.
        if !matches!(outcome, Ok(DrainOutcome::Empty | DrainOutcome::Stopped)) {
            self.tick_again(&limits.kinds);
        }
        if outcome? == DrainOutcome::LimitReached {
            self.nap(NAP).await;
        }
        Ok(())
    }

    /// Sleeps until a tick, the next poll, or a request to stop; without a poll until the database is
    /// to be looked at.
    async fn sleep_until_due(&self) {
        let began = Instant::now();
        loop {
            let config = self.config();
            let sleep = config.schedule.poll.unwrap_or(config.service.observe);
            let left = sleep.saturating_sub(began.elapsed());
            if left.is_zero() || self.stop.is_requested() || self.database.moved().is_cancelled() {
                return;
            }
            tokio::select! {
                () = self.ticks.next() => return,
                () = self.nap(left) => {}
            }
        }
    }

    /// Sleeps for this time or a part of it, gives a sign of life, and wakes when asked to stop.
    async fn nap(&self, longest: Duration) {
        let watched = self.supervisor.watches_every().unwrap_or(NAP);
        tokio::select! {
            () = tokio::time::sleep(longest.min(NAP).min(watched)) => {}
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
            "the service is up"
        );
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
