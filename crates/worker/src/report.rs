//! What a batch and a run did: values, logged once.

use std::time::{Duration, Instant};

use aggregation::Kind;
use store::{ErrorClass, PoolStats, RunCounts};

use crate::failure::Policy;
use crate::metrics;
use crate::tables::counted;

/// What one group did.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct GroupReport {
    /// Rows whose change is in the figures.
    pub completed: u32,
    /// Rows whose raw row takes no part in the figures.
    pub rejected: u32,
    /// Of both, those that nobody had claimed.
    pub along: u32,
}

/// How long the transactions of groups held a connection, committed or not.
#[derive(Clone, Copy, Debug, Default)]
pub struct Holds {
    /// The longest one.
    pub longest: Duration,
    /// All of them together.
    pub together: Duration,
}

impl Holds {
    /// Measures one hold from now until the hold is dropped, also by an abandoned task.
    pub fn begin(&mut self) -> Hold<'_> {
        Hold { holds: self, since: Instant::now() }
    }
}

/// One hold, which ends when this is dropped.
#[derive(Debug)]
pub struct Hold<'h> {
    holds: &'h mut Holds,
    since: Instant,
}

impl Drop for Hold<'_> {
    fn drop(&mut self) {
        let held = self.since.elapsed();
        self.holds.longest = self.holds.longest.max(held);
        self.holds.together += held;
    }
}

/// What one batch did.
#[derive(Clone, Debug)]
pub struct BatchReport {
    /// The kind of its rows.
    pub kind: Kind,
    /// Rows claimed, and those taken along: completed + rejected + failed + released.
    pub claimed: u32,
    /// Of those, the rows that were not claimed, but lay in hours that were computed anyway.
    pub along: u32,
    /// Rows whose change is in the figures.
    pub completed: u32,
    /// Rows whose raw row takes no part in the figures.
    pub rejected: u32,
    /// Rows whose group failed.
    pub failed: u32,
    /// Of those, the rows that are dead now.
    pub dead: u32,
    /// Rows given back, as the work was interrupted or what they were claimed for no longer holds.
    pub released: u32,
    /// Groups committed.
    pub groups_committed: u32,
    /// Groups rolled back.
    pub groups_failed: u32,
    /// Of those, the ones that ran into a time-out.
    pub timeouts: u32,
    /// How long its groups held a connection.
    pub holds: Holds,
    /// From before the claim to after the last group.
    pub duration: Duration,
}

impl BatchReport {
    /// A batch of `claimed` rows, of which nothing is done yet.
    pub const fn new(kind: Kind, claimed: u32) -> Self {
        Self {
            kind,
            claimed,
            along: 0,
            completed: 0,
            rejected: 0,
            failed: 0,
            dead: 0,
            released: 0,
            groups_committed: 0,
            groups_failed: 0,
            timeouts: 0,
            holds: Holds { longest: Duration::ZERO, together: Duration::ZERO },
            duration: Duration::ZERO,
        }
    }

    /// Adds a committed group.
    pub fn committed(&mut self, group: &GroupReport) {
        self.claimed += group.along;
        self.along += group.along;
        self.completed += group.completed;
        self.rejected += group.rejected;
        self.groups_committed += 1;
    }

    /// Adds a group that failed for this, `dead` of whose rows are dead now.
    pub fn failed(&mut self, rows: u32, dead: u32, class: ErrorClass) {
        self.timeouts += u32::from(Policy::for_class(class).is_timeout);
        self.failed += rows;
        self.dead += dead;
        self.groups_failed += 1;
    }

    /// Logs and counts the batch, with the pool as it is after it.
    pub fn log(&self, pool: &PoolStats) {
        metrics::count(self);
        let conserved = self.completed + self.rejected + self.failed + self.released;
        tracing::info!(
            event = "batch_done",
            kind = %self.kind,
            rows = self.claimed,
            along = self.along,
            completed = self.completed,
            rejected = self.rejected,
            failed = self.failed,
            dead = self.dead,
            released = self.released,
            groups = self.groups_committed,
            groups_failed = self.groups_failed,
            duration_ms = milliseconds(self.duration),
            held_longest_ms = milliseconds(self.holds.longest),
            held_together_ms = milliseconds(self.holds.together),
            pool.in_use = pool.in_use,
            pool.idle = pool.idle,
            pool.open = pool.open,
            pool.max = pool.max,
            pool.waiting = pool.waiting,
            pool.utilisation = pool.utilisation,
            pool.health = %pool.health,
            "{} of {} of {} completed, {} rejected, {} failed",
            self.completed,
            counted(i64::from(self.claimed), "row", "rows"),
            self.kind,
            self.rejected,
            self.failed,
        );
        if conserved != self.claimed {
            tracing::error!(
                event = "rows_not_conserved",
                kind = %self.kind,
                rows = self.claimed,
                accounted_for = conserved,
                "a bug in the worker: rows of a batch are unaccounted for"
            );
        }
    }
}

/// Logs the pool as it was before a batch that had something to do.
pub fn log_claim(kind: Kind, rows: usize, groups: usize, pool: &PoolStats) {
    tracing::info!(
        event = "batch_claimed",
        kind = %kind,
        rows,
        groups,
        pool.in_use = pool.in_use,
        pool.idle = pool.idle,
        pool.open = pool.open,
        pool.max = pool.max,
        pool.waiting = pool.waiting,
        pool.utilisation = pool.utilisation,
        pool.health = %pool.health,
        "{} of {kind} claimed and committed",
        counted(rows as i64, "row", "rows")
    );
}

/// What a run did, over all its batches.
#[derive(Clone, Copy, Debug, Default)]
pub struct RunReport {
    /// The sums over the batches.
    pub counts: RunCounts,
    /// Rows that died in this run.
    pub rows_dead: u32,
    /// The longest time for which one group's transaction held a connection.
    pub held_longest: Duration,
    /// Whether the run was asked to stop before everything due was done.
    pub stopped: bool,
}

impl RunReport {
    /// Adds a batch.
    pub fn add(&mut self, batch: &BatchReport) {
        let counts = &mut self.counts;
        counts.batches += 1;
        counts.rows_claimed += i64::from(batch.claimed);
        counts.rows_completed += i64::from(batch.completed);
        counts.rows_rejected += i64::from(batch.rejected);
        counts.rows_failed += i64::from(batch.failed);
        counts.rows_released += i64::from(batch.released);
        counts.groups_committed += i64::from(batch.groups_committed);
        counts.groups_failed += i64::from(batch.groups_failed);
        self.rows_dead += batch.dead;
        self.held_longest = self.held_longest.max(batch.holds.longest);
    }

    /// Adds what another run did.
    pub fn merge(&mut self, other: &Self) {
        let (counts, more) = (&mut self.counts, &other.counts);
        counts.batches += more.batches;
        counts.rows_claimed += more.rows_claimed;
        counts.rows_completed += more.rows_completed;
        counts.rows_rejected += more.rows_rejected;
        counts.rows_failed += more.rows_failed;
        counts.rows_released += more.rows_released;
        counts.groups_committed += more.groups_committed;
        counts.groups_failed += more.groups_failed;
        self.rows_dead += other.rows_dead;
        self.held_longest = self.held_longest.max(other.held_longest);
        self.stopped |= other.stopped;
    }

    /// Whether anything went wrong that somebody should look at.
    pub const fn has_failures(&self) -> bool {
        self.counts.groups_failed > 0 || self.rows_dead > 0
    }
}

/// Milliseconds, to three places.
pub fn milliseconds(duration: Duration) -> f64 {
    (duration.as_secs_f64() * 1e6).round() / 1e3
}
