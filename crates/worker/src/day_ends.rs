//! Days that end while no raw row of theirs changes.

use std::time::{Duration, Instant};

use store::StoreError;

use crate::failure::Policy;
use crate::run::context::WorkerContext;
use crate::tables::counted;

/// How long a daily row may stay partial after the end of its day.
const EVERY: Duration = Duration::from_secs(60);

/// When many days end at once, the queue gets its turn after this time.
const AT_A_TIME: Duration = Duration::from_secs(2);

/// When the service last marked all rows of ended days.
#[derive(Default)]
pub struct DayEnds {
    marked_at: Option<Instant>,
}

impl DayEnds {
    /// Marks the rows of ended days once a minute, for a short time; returns whether none is left.
    ///
    /// # Errors
    /// Why the database cannot be used. Any other failure is logged, and tried again in a minute.
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

/// Marks the rows of ended days until none is left, the time is over or a stop is requested; returns
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

/// Says that days stay partial. Their figures are right all the same, and the next time marks them.
pub fn log_failure(error: &StoreError) {
    tracing::warn!(
        event = "day_ends_failed",
        class = error.class().name(),
        error = %error,
        "rows of days that have ended stay partial for now, the next run tries again: {error}"
    );
}
