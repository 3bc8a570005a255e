//! Actions that take their time: bounded steps, one action at a time, with their progress in the action log.

use std::convert::Infallible;
use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use aggregation::{Kind, UserId};
use chrono::NaiveDate;
use store::{ActionState, FailureFilter, Store, StoreError};

use super::Page;
use crate::commands::verify;
use crate::run::group::Profile;
use crate::run::group::rebuild::{self, earlier, later};

/// The pause between two steps, so that an action leaves the database to others for most of the time.
const BETWEEN_STEPS: Duration = Duration::from_millis(20);

/// How often the log is told how far an action has come.
const RECORD_EVERY: Duration = Duration::from_secs(1);

/// The work of an action.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Work {
    /// Gives what failed its attempts back.
    Requeue(FailureFilter),
    /// Deletes dead change sets.
    Discard(FailureFilter),
    /// Computes a user's dates again.
    Backfill(Range),
    /// Compares a user's figures with the raw rows.
    Verify(Range),
}

/// Dates of a user.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Range {
    /// The user.
    pub user_id: UserId,
    /// The first date.
    pub from: NaiveDate,
    /// The last date.
    pub to: NaiveDate,
}

/// An action that runs.
#[derive(Debug)]
pub struct Job {
    /// Its number in the action log.
    pub id: i64,
    /// Its name.
    pub name: &'static str,
    /// The rows or dates that it concerns, in words.
    pub target: String,
    /// Rows or dates that were counted beforehand; `None` if counting ended at its limit.
    pub total: Option<i64>,
    /// The unit of the counts.
    pub unit: &'static str,
    began: Instant,
    done: AtomicI64,
    stop: AtomicBool,
}

impl Job {
    /// An action that is in the log under this number.
    pub fn new(
        id: i64,
        name: &'static str,
        target: String,
        (total, unit): (Option<i64>, &'static str),
    ) -> Self {
        let (done, stop) = (AtomicI64::new(0), AtomicBool::new(false));
        Self { id, name, target, total, unit, began: Instant::now(), done, stop }
    }

    /// For how long it has run, in seconds.
    pub fn seconds(&self) -> f64 {
        self.began.elapsed().as_secs_f64()
    }

    fn add(&self, done: i64) {
        self.done.fetch_add(done, Ordering::Relaxed);
    }

    /// Rows or dates done so far.
    pub fn done(&self) -> i64 {
        self.done.load(Ordering::Relaxed)
    }

    /// Asks it to stop after its step.
    pub fn stop(&self) {
        self.stop.store(true, Ordering::Relaxed);
    }
}

/// The action that runs, if one does.
#[derive(Debug, Default)]
pub struct Jobs {
    running: Mutex<Option<Arc<Job>>>,
    /// Held from before an action is begun until it runs.
    pub beginning: tokio::sync::Mutex<()>,
}

impl Jobs {
    /// The action that runs.
    pub fn running(&self) -> Option<Arc<Job>> {
        self.lock().clone()
    }

    fn lock(&self) -> MutexGuard<'_, Option<Arc<Job>>> {
        self.running.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// How an action ended.
struct Ended {
    state: ActionState,
    outcome: String,
}

impl Page {
    /// Begins an action that is in the log. No other one may run.
    pub fn begin_job(self: &Arc<Self>, job: Job, work: Work, store: Store) {
        let job = Arc::new(job);
        *self.jobs.lock() = Some(Arc::clone(&job));
        let page = Arc::clone(self);
        self.local.spawn(move || async move {
            let carried_out = tokio::select! {
                carried_out = page.carry_out(&job, &work, &store) => carried_out,
                never = page.record_progress(&job) => match never {},
            };
            let ended = carried_out.unwrap_or_else(|error| Ended {
                state: ActionState::Failed,
                outcome: format!("{} [{}]", error, error.class().name()),
            });
            tracing::info!(
                event = "action_ended",
                action = job.id,
                state = ended.state.name(),
                done = job.done(),
                "Action {} {}: {}",
                job.id,
                ended.state.name(),
                ended.outcome
            );
            // Its changes show at once, and not only when the shared answers are old.
            page.failures.forget().await;
            page.overview.forget().await;
            let update = store.update_action(job.id, job.done(), ended.state, Some(&ended.outcome));
            let _ = update.await;
            *page.jobs.lock() = None;
            page.actions.forget().await;
        });
    }

    /// Writes now and then into the log how far an action has come, by the page's own connection: a verification
    /// has one of the pool for itself.
    async fn record_progress(&self, job: &Job) -> Infallible {
        loop {
            tokio::time::sleep(RECORD_EVERY).await;
            if let Ok(store) = self.store().await {
                let _ = store.update_action(job.id, job.done(), ActionState::Running, None).await;
            }
        }
    }

    fn must_stop(&self, job: &Job) -> bool {
        job.stop.load(Ordering::Relaxed) || self.service.stop().is_requested()
    }

    async fn carry_out(&self, job: &Job, work: &Work, store: &Store) -> Result<Ended, StoreError> {
        match work {
            Work::Requeue(filter) => {
                let step = async || store.requeue_failures(filter).await;
                self.repeat(job, "raw rows are queued again", step).await
            }
            Work::Discard(filter) => {
                let step = async || store.discard_dead(filter).await;
                self.repeat(job, "raw rows were discarded", step).await
            }
            Work::Backfill(range) => self.backfill(job, range, store).await,
            Work::Verify(range) => self.verify(job, range, store).await,
        }
    }

    async fn repeat(
        &self,
        job: &Job,
        what: &str,
        step: impl AsyncFn() -> Result<u64, StoreError>,
    ) -> Result<Ended, StoreError> {
        loop {
            if self.must_stop(job) {
                return Ok(stopped());
            }
            let rows = step().await?;
            job.add(rows as i64);
            if rows == 0 {
                return Ok(Ended {
                    state: ActionState::Done,
                    outcome: format!("{} {what}.", job.done()),
                });
            }
            tokio::time::sleep(BETWEEN_STEPS).await;
        }
    }

    async fn backfill(&self, job: &Job, range: &Range, store: &Store) -> Result<Ended, StoreError> {
        let settings = self.service.settings();
        let profile = store.profiles(vec![range.user_id.clone()]).await?.remove(&range.user_id);
        let user = Profile::parse(profile.unwrap_or_default(), &settings);
        let (mut rows, mut frozen) = (0, 0);
        for kind in Kind::ALL {
            let (from, to) = (earlier(range.from), later(range.to));
            let inventory = store.inventory(kind, &range.user_id, from, to).await?;
            frozen += rebuild::frozen_dates(&inventory, &user, range.from, range.to).len() as i64;
            let from = user.first_open(range.from);
            for portion in rebuild::portions(&inventory, from, range.to) {
                if self.must_stop(job) {
                    return Ok(stopped());
                }
                let of = (kind, &range.user_id);
                let is_stopped = || self.must_stop(job);
                rebuild::commit(store, &settings, of, &portion, &is_stopped).await?;
                rows += portion.rows;
                job.add(portion.dates.len() as i64);
                tokio::time::sleep(BETWEEN_STEPS).await;
            }
        }
        let mut outcome =
            format!("{} dates computed again from about {rows} raw rows.", job.done());
        outcome.push_str(&left_out(frozen));
        Ok(Ended { state: ActionState::Done, outcome })
    }

    async fn verify(&self, job: &Job, range: &Range, store: &Store) -> Result<Ended, StoreError> {
        let settings = self.service.settings();
        let dates = (range.user_id.clone(), range.from, range.to);
        let (is_stopped, compared) = (|| self.must_stop(job), |dates| job.add(dates));
        let verified = verify::one_user(store, &settings, dates, &is_stopped, &compared).await?;
        if is_stopped() {
            return Ok(stopped());
        }
        let mut outcome = format!(
            "{} dates compared, {} of them differ; {} left out because rows of them wait, {} because rows \
             of them are dead.",
            verified.dates, verified.differ, verified.pending, verified.dead
        );
        outcome.push_str(&left_out(verified.frozen));
        Ok(Ended { state: ActionState::Done, outcome })
    }
}

/// The sentence about frozen dates.
fn left_out(frozen: i64) -> String {
    match frozen {
        0 => String::new(),
        dates => format!(" {dates} left out because their figures are frozen."),
    }
}

fn stopped() -> Ended {
    let outcome = "Stopped before its end; what was done stays done.".to_owned();
    Ended { state: ActionState::Stopped, outcome }
}
