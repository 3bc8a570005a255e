//! The drain: batch after batch while there is work, in one loop or in several equal ones.

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
use crate::report::RunReport;
use crate::run::batch_sizer::BatchStats;
use crate::tables::counted;

/// While one kind keeps the drain busy, those that had nothing due are looked at again so often.
const LOOK_AGAIN: Duration = Duration::from_secs(1);

/// Each batch takes what has waited for longest, but every so many takes what has just come: so
/// a user's fresh row does not wait for another user's import of a million.
const NEWEST_EVERY: u32 = 8;

/// Where a drain ends, if not with the last due row.
#[derive(Clone, Debug)]
pub struct Limits {
    /// The kinds to work on, in the order of their turns.
    pub kinds: Vec<Kind>,
    /// The largest number of batches.
    pub max_batches: Option<u32>,
    /// No batch begins after this time.
    pub time_budget: Option<Duration>,
    /// No batch begins once this is cancelled.
    pub cancel: CancellationToken,
    /// Whether it ends only when nothing is due at all. Else what a look into a queue full of dead rows
    /// did not reach may be left for the next drain.
    pub until_empty: bool,
}

/// How a drain ended; of several loops, the last in this order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum DrainOutcome {
    /// Nothing is due any more.
    Empty,
    /// It may have no more batches or time.
    LimitReached,
    /// It was asked to stop.
    Stopped,
}

/// Makes rows due that the server dated in the future while its clock was ahead, and says so. If it
/// cannot, the work finds out why.
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

/// Works until nothing is due, a limit is reached, or it is asked to stop. `on_rows` is told after each batch how
/// many rows it took. Says what was done, also if an error ended it: what interrupted it for longer than its
/// patience.
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

/// What the loops of a drain share.
struct Drain<'d, F> {
    context: &'d WorkerContext,
    limits: &'d Limits,
    on_rows: &'d F,
    started: Instant,
    /// Batches that have begun.
    batches: AtomicU32,
    /// Loops that run.
    loops: AtomicU32,
    /// One loop ended with an error, so that the others end, too.
    failed: CancellationToken,
    /// There is work for one loop more.
    has_backlog: Notify,
    report: Mutex<RunReport>,
}

impl<F: Fn(u64)> Drain<'_, F> {
    /// Runs one loop, and more beside it as long as batches are full. Their claims lock different sets, and each
    /// ends when it has found nothing itself, so that nothing need be known of the others.
    async fn run(&self) -> Result<DrainOutcome, StoreError> {
        let mut running = FuturesUnordered::new();
        let mut outcome = Ok(DrainOutcome::Empty);
        running.push(self.run_loop());
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
                    running.push(self.run_loop());
                }
            }
        }
    }

    /// Batch after batch, the kinds taking turns.
    async fn run_loop(&self) -> Result<DrainOutcome, StoreError> {
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
            let outcome = batch::run(context, state.kind, state.claims_from(), permit).await;
            context.heartbeat.beat();
            let pause = match outcome {
                Ok(outcome) => {
                    self.add(&outcome);
                    state.batch_done(&outcome);
                    match outcome.interruption {
                        Some(error) => Some(self.after(error, &mut backoff)?),
                        // A batch without work proves nothing.
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

    /// How the loop ends before its next batch, if it does.
    fn ended(&self, running: &Counted<'_>) -> Option<DrainOutcome> {
        let limits = self.limits;
        let batches = self.batches.load(Ordering::Relaxed);
        if self.context.stop.is_requested() {
            Some(DrainOutcome::Stopped)
        } else if limits.max_batches.is_some_and(|most| batches >= most)
            || limits.time_budget.is_some_and(|most| self.started.elapsed() >= most)
            || limits.cancel.is_cancelled()
            || self.failed.is_cancelled()
            || running.count() > self.context.settings.get().concurrency
        {
            Some(DrainOutcome::LimitReached)
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

    /// How long to pause for an interruption.
    ///
    /// # Errors
    /// The interruption, if there have been enough of them or no pause would help.
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

/// What a loop knows of one kind.
struct KindState {
    kind: Kind,
    /// Batches that did work.
    batches: u32,
    /// When nothing of the kind was due, if that was so last time.
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

/// The kind whose turn it is: in order, except those that had nothing due a moment ago. None once
/// no kind has anything due.
fn next_kind(kinds: &mut VecDeque<KindState>) -> Option<&mut KindState> {
    if kinds.iter().all(|state| state.empty_since.is_some()) {
        return None;
    }
    let first = kinds.iter().position(KindState::is_worth_a_look)?;
    kinds.rotate_left(first + 1);
    kinds.back_mut()
}
