//! The drain: batch after batch while rows are due, in one loop or in several equal loops.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use aggregation::Kind;
use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use store::{Backoff, ClaimFrom, DRAIN_RETRIES, StoreError};
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

use super::batch::{self, BatchOutcome};
use super::context::WorkerContext;
use crate::failure::{AfterBatch, Policy};
use crate::run::batch_sizer::BatchStats;
use crate::run::summary::RunReport;
use crate::tables::counted;

/// While one kind keeps the drain busy, kinds without due rows are checked again at this interval.
const LOOK_AGAIN: Duration = Duration::from_secs(1);

/// One of this many batches claims the newest rows, the others the oldest. So a user's new row does not
/// wait for another user's import of a million rows.
const NEWEST_EVERY: u32 = 8;

/// Conditions that end a drain, besides an empty queue.
#[derive(Clone, Debug)]
pub struct Limits {
    /// The kinds to process, in the order of their turns.
    pub kinds: Vec<Kind>,
    /// Maximum of batches.
    pub max_batches: Option<u32>,
    /// No batch begins after this time.
    pub time_budget: Option<Duration>,
    /// No batch begins once this is cancelled.
    pub cancel: CancellationToken,
    /// Whether the drain ends only when nothing is due at all. Otherwise rows beyond the scan window, in
    /// a queue full of dead rows, may be left for the next drain.
    pub until_empty: bool,
}

/// The end of a drain. For several loops, the last in this order applies.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum DrainOutcome {
    /// No rows are due any more.
    Empty,
    /// The limit of batches or time is reached.
    LimitReached,
    /// A stop was requested.
    Stopped,
}

/// Makes rows due that were dated in the future while the server's clock was ahead, and logs their
/// number. An error is ignored: the next statement of the work meets it too.
pub async fn date_back(context: &WorkerContext) {
    let rows = context
        .store
        .date_back(context.settings.get().failure_policy.max)
        .await
        .unwrap_or_default();
    if rows > 0 {
        tracing::warn!(
            event = "rows_dated_back",
            rows,
            "{} dated in the future by the server's clock, which was ahead; due now",
            counted(rows as i64, "row was", "rows were")
        );
    }
}

/// Processes batches until nothing is due, a limit is reached, or a stop is requested. `on_rows` is
/// called after each batch with its number of rows. Returns the results, also if an error that outlasted
/// the retries ended the drain.
pub async fn drain(
    context: &WorkerContext,
    limits: &Limits,
    on_rows: impl Fn(u64),
) -> (RunReport, Result<DrainOutcome, StoreError>) {
    let drain = Drain {
        context,
        limits,
        on_rows: &on_rows,
        started: Instant::now(),
        batches: AtomicU32::new(0),
        loops: AtomicU32::new(0),
        failed: CancellationToken::new(),
        has_backlog: Notify::new(),
        report: Mutex::default(),
    };
    let outcome = drain.run().await;
    let mut report = drain.report.into_inner().unwrap_or_else(PoisonError::into_inner);
    report.stopped = matches!(outcome, Ok(DrainOutcome::Stopped));
    (report, outcome)
}

/// The state that the loops of a drain share.
struct Drain<'d, F> {
    context: &'d WorkerContext,
    limits: &'d Limits,
    on_rows: &'d F,
    started: Instant,
    /// Number of batches that have begun.
    batches: AtomicU32,
    /// Number of running loops.
    loops: AtomicU32,
    /// Cancelled when one loop ends with an error, to end the others.
    failed: CancellationToken,
    /// Notified when there is work for another loop.
    has_backlog: Notify,
    report: Mutex<RunReport>,
}

impl<F: Fn(u64)> Drain<'_, F> {
    /// Runs one loop, and further ones while batches are full. Their claims lock different sets, and
    /// each loop ends when its own claim finds nothing, so the loops need no coordination.
    async fn run(&self) -> Result<DrainOutcome, StoreError> {
        let mut running = FuturesUnordered::new();
        let mut outcome = Ok(DrainOutcome::Empty);
        running.push(self.run_loop(false));
        loop {
            let concurrency = self.context.settings.get().concurrency;
            tokio::select! {
                ended = running.next() => match ended {
                    None => return outcome,
                    Some(Err(error)) => {
                        self.failed.cancel();
                        outcome = outcome.and(Err(error));
                    }
                    Some(Ok(ended)) => outcome = outcome.map(|so_far| so_far.max(ended)),
                },
                () = self.has_backlog.notified(), if running.len() < concurrency as usize => {
                    running.push(self.run_loop(false));
                }
                () = self.context.long_groups.go_on(), if running.len() <= concurrency as usize => {
                    running.push(self.run_loop(true));
                }
            }
        }
    }

    /// The maximum of loops: one more while a group takes long.
    fn max_loops(&self) -> u32 {
        let context = self.context;
        context.settings.get().concurrency + u32::from(context.long_groups.user().is_some())
    }

    /// Runs batch after batch; the kinds take turns. A loop `beside` a long group claims no rows of its user, who is
    /// locked.
    async fn run_loop(&self, beside: bool) -> Result<DrainOutcome, StoreError> {
        let context = self.context;
        let running = Counted::new(&self.loops);
        let mut kinds: VecDeque<KindState> =
            self.limits.kinds.iter().copied().map(KindState::new).collect();
        let mut backoff = Backoff::drain();
        loop {
            if let Some(ended) = self.ended(&running) {
                return Ok(ended);
            }
            let Some(state) = next_kind(&mut kinds) else {
                if self.limits.until_empty && context.store.require_full_scan() {
                    kinds.iter_mut().for_each(|state| state.empty_since = None);
                    continue;
                }
                return Ok(DrainOutcome::Empty);
            };
            let permit = tokio::select! {
                permit = context.throttle.wait(&context.settings, &context.heartbeat) => permit,
                () = context.stop.requested() => continue,
                () = self.limits.cancel.cancelled() => continue,
                () = self.time_is_over() => continue,
            };
            self.batches.fetch_add(1, Ordering::Relaxed);
            let from = match context.long_groups.user().filter(|_| beside) {
                Some(user_id) => ClaimFrom::NewestBut(user_id),
                None => state.claims_from(),
            };
            let outcome = batch::run(context, state.kind, from, permit).await;
            context.heartbeat.beat();
            let pause = match outcome {
                Ok(outcome) => {
                    self.add(&outcome);
                    state.batch_done(&outcome);
                    match outcome.interruption {
                        Some(error) => Some(self.after(error, &mut backoff)?),
                        // A batch without rows gives no measurement.
                        None if outcome.report.is_none() => None,
                        None => {
                            backoff.reset();
                            outcome.pause
                        }
                    }
                }
                Err(error) => Some(self.after(error, &mut backoff)?),
            };
            if let Some(pause) = pause {
                tokio::select! {
                    () = tokio::time::sleep(pause) => {}
                    () = context.stop.requested() => {}
                }
                context.heartbeat.beat();
            }
        }
    }

    /// Waits until the time budget is used up.
    async fn time_is_over(&self) {
        match self.limits.time_budget {
            Some(longest) => {
                tokio::time::sleep(longest.saturating_sub(self.started.elapsed())).await
            }
            None => std::future::pending().await,
        }
    }

    /// The reason to end the loop before its next batch, if there is one.
    fn ended(&self, running: &Counted<'_>) -> Option<DrainOutcome> {
        let limits = self.limits;
        let batches = self.batches.load(Ordering::Relaxed);
        if self.context.stop.is_requested() {
            Some(DrainOutcome::Stopped)
        } else if limits.max_batches.is_some_and(|most| batches >= most)
            || limits.time_budget.is_some_and(|most| self.started.elapsed() >= most)
            || limits.cancel.is_cancelled()
            || self.failed.is_cancelled()
        {
            Some(DrainOutcome::LimitReached)
        } else if running.count() > self.max_loops() {
            // The others go on to the end of the drain.
            Some(DrainOutcome::Empty)
        } else {
            None
        }
    }

    fn add(&self, outcome: &BatchOutcome) {
        let Some(batch) = &outcome.report else {
            self.batches.fetch_sub(1, Ordering::Relaxed);
            return;
        };
        self.report.lock().unwrap_or_else(PoisonError::into_inner).add(batch);
        (self.on_rows)(batch.claimed.into());
        if outcome.is_full {
            self.has_backlog.notify_one();
        }
    }

    /// The pause after an interruption.
    ///
    /// # Errors
    /// The interruption itself, if all retries are used or no pause would help.
    fn after(&self, error: StoreError, backoff: &mut Backoff) -> Result<Duration, StoreError> {
        let context = self.context;
        if context.stop.is_requested() {
            return Ok(Duration::ZERO);
        }
        context.crash_loop_guard.end_interruption();
        let policy = Policy::for_class(error.class());
        if policy.is_timeout {
            let stats = BatchStats { timeouts: 1, ..BatchStats::default() };
            context.batch_sizer.record_batch(&stats, context.settings.get().batch_bounds);
        }
        let pause = match policy.after_batch {
            AfterBatch::Pause => backoff.record_error(),
            AfterBatch::End => None,
        };
        let Some(pause) = pause else { return Err(error) };
        tracing::warn!(
            event = "drain_paused",
            class = error.class().name(),
            sqlstate = error.sqlstate(),
            table = error.table(),
            column = error.column(),
            constraint = error.constraint(),
            pid = error.process(),
            error = %error,
            pause_ms = pause.as_millis() as u64,
            "drain paused; rows stay queued; retry {} of {DRAIN_RETRIES} in {:.1} s: {error}",
            backoff.errors(),
            pause.as_secs_f64()
        );
        Ok(pause)
    }
}

/// Counts a loop while it runs.
struct Counted<'c>(&'c AtomicU32);

impl<'c> Counted<'c> {
    fn new(count: &'c AtomicU32) -> Self {
        count.fetch_add(1, Ordering::Relaxed);
        Self(count)
    }

    fn count(&self) -> u32 {
        self.0.load(Ordering::Relaxed)
    }
}

impl Drop for Counted<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

/// A loop's state of one kind.
struct KindState {
    kind: Kind,
    /// Number of batches that had rows.
    batches: u32,
    /// Time at which nothing of the kind was due; `None` if the last batch had rows.
    empty_since: Option<Instant>,
}

impl KindState {
    const fn new(kind: Kind) -> Self {
        Self { kind, batches: 0, empty_since: None }
    }

    const fn claims_from(&self) -> ClaimFrom {
        if self.batches % NEWEST_EVERY == NEWEST_EVERY - 1 {
            ClaimFrom::Newest
        } else {
            ClaimFrom::Oldest
        }
    }

    fn batch_done(&mut self, outcome: &BatchOutcome) {
        if outcome.report.is_some() {
            self.batches += 1;
            self.empty_since = None;
        } else {
            self.empty_since = Some(Instant::now());
        }
    }

    fn is_worth_a_look(&self) -> bool {
        self.empty_since.is_none_or(|since| since.elapsed() >= LOOK_AGAIN)
    }
}

/// The next kind in turn, without those that had nothing due a moment ago. `None` if no kind has due
/// rows.
fn next_kind(kinds: &mut VecDeque<KindState>) -> Option<&mut KindState> {
    if kinds.iter().all(|state| state.empty_since.is_some()) {
        return None;
    }
    let first = kinds.iter().position(KindState::is_worth_a_look)?;
    kinds.rotate_left(first + 1);
    kinds.back_mut()
}
