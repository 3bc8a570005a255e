//! Marks days that have ended although none of their raw rows changed.

use std::time::{Duration, Instant};

use store::StoreError;

use crate::failure::Policy;
use crate::run::context::WorkerContext;
use crate::tables::counted;

/// Maximum time that a daily row stays partial after the end of its day.
const EVERY: Duration = Duration::from_secs(60);

/// If many days end at once, the queue continues after this time.
const AT_A_TIME: Duration = Duration::from_secs(2);

/// The time at which the service last marked all rows of ended days.
#[derive(Default)]
pub struct DayEnds {
    marked_at: Option<Instant>,
}

impl DayEnds {
    /// Marks the rows of ended days once a minute, for a limited time. Returns whether none is left.
    ///
    /// # Errors
    /// If the connection to the database is lost. Any other failure is logged and retried in a minute.
    pub async fn mark_when_due(&mut self, context: &WorkerContext) -> Result<bool, StoreError> {
        if self.marked_at.is_some_and(|at| at.elapsed() < EVERY) {
            return Ok(true);
        }
        let are_all_marked = match mark(context, Some(AT_A_TIME)).await {
            Err(error) if !Policy::for_class(error.class()).is_interruption() => {
                log_failure(&error);
                true
            }
            outcome => outcome?,
        };
        if are_all_marked {
            self.marked_at = Some(Instant::now());
        }
        Ok(are_all_marked)
    }
}

/// Marks the rows of ended days until none is left, the time is over or a stop is requested. Returns
/// whether none is left.
///
/// # Errors
/// If the database fails.
pub async fn mark(context: &WorkerContext, longest: Option<Duration>) -> Result<bool, StoreError> {
    let started = Instant::now();
    let mut rows = 0;
    let are_all_marked = loop {
        let marked = context.store.mark_ended_days().await?;
        context.heartbeat.beat();
        rows += marked.rows;
        if !marked.has_more {
            break true;
        }
        if context.stop.is_requested()
            || longest.is_some_and(|longest| started.elapsed() >= longest)
        {
            break false;
        }
    };
    if rows > 0 {
        tracing::info!(
            event = "days_ended",
            rows,
            "{} no longer partial, as the day has ended",
            counted(rows, "daily row is", "daily rows are")
        );
    }
    Ok(are_all_marked)
}

/// Logs that days stay partial. Their figures are correct, and the next run marks them.
pub fn log_failure(error: &StoreError) {
    tracing::warn!(
        event = "day_ends_failed",
        class = error.class().name(),
        error = %error,
        "rows of days that have ended stay partial for now, the next run tries again: {error}"
    );
}
