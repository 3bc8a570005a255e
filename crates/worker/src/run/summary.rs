//! The results of a batch and of a run, as values that are logged once.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use ::metrics::{counter, histogram};
use aggregation::Kind;
use store::{Claim, Holder, PoolStats, RunCounts, Store};

use crate::metrics;
use crate::tables::counted;

pub use wording::milliseconds;

/// How long a batch held connections for its groups, committed or not.
#[derive(Clone, Debug, Default)]
pub struct Holds(Arc<[AtomicU64; 2]>);

impl Holds {
    /// Measures one hold until the result is dropped, also by a cancelled task.
    pub fn begin(&self) -> Hold {
        Hold { holds: self.clone(), since: Instant::now() }
    }

    /// The longest hold.
    pub fn longest(&self) -> Duration {
        Duration::from_micros(self.0[0].load(Ordering::Relaxed))
    }

    /// The sum of all holds.
    pub fn total(&self) -> Duration {
        Duration::from_micros(self.0[1].load(Ordering::Relaxed))
    }
}

/// One hold, which ends when this is dropped.
#[derive(Debug)]
pub struct Hold {
    holds: Holds,
    since: Instant,
}

impl Drop for Hold {
    fn drop(&mut self) {
        let held = self.since.elapsed().as_micros() as u64;
        let [longest, total] = &*self.holds.0;
        longest.fetch_max(held, Ordering::Relaxed);
        total.fetch_add(held, Ordering::Relaxed);
    }
}

/// The results of one batch.
#[derive(Clone, Debug)]
pub struct BatchReport {
    /// The kind of its rows.
    pub kind: Kind,
    /// Raw rows claimed: completed + rejected + failed + released.
    pub claimed: u32,
    /// How many of `claimed` exceed the batch size, because they are of the hour that the batch fills.
    pub coalesced: u32,
    /// Rows whose change is in the figures.
    pub completed: u32,
    /// Rows whose raw row is excluded from the figures.
    pub rejected: u32,
    /// Rows whose group failed.
    pub failed: u32,
    /// How many of `failed` are dead now.
    pub dead: u32,
    /// Rows released because the work was interrupted, or because the profile or the settings changed.
    pub released: u32,
    /// Groups committed.
    pub groups_committed: u32,
    /// Groups rolled back.
    pub groups_failed: u32,
    /// How many of `groups_failed` ran into a time-out.
    pub timeouts: u32,
    /// How long its groups held connections.
    pub holds: Holds,
    /// Duration from before the claim to after the last group.
    pub duration: Duration,
}

impl BatchReport {
    /// The report of a batch at its beginning.
    pub fn new(kind: Kind, claimed: u32, coalesced: u32) -> Self {
        Self {
            kind,
            claimed,
            coalesced,
            completed: 0,
            rejected: 0,
            failed: 0,
            dead: 0,
            released: 0,
            groups_committed: 0,
            groups_failed: 0,
            timeouts: 0,
            holds: Holds::default(),
            duration: Duration::ZERO,
        }
    }

    /// Adds a failed group with `dead` rows that are dead now.
    pub fn failed(&mut self, rows: u32, dead: u32, is_timeout: bool) {
        self.timeouts += u32::from(is_timeout);
        self.failed += rows;
        self.dead += dead;
        self.groups_failed += 1;
    }

    /// Counts the batch in the metrics, unless it had no rows.
    fn count(&self) {
        let kind = self.kind.name();
        let batches = u64::from(self.claimed > 0);
        counter!(metrics::BATCHES, "kind" => kind).increment(batches);
        counter!(metrics::ROWS_CLAIMED, "kind" => kind).increment(self.claimed.into());
        counter!(metrics::ROWS_DEAD, "kind" => kind).increment(self.dead.into());
        let rows = [
            ("completed", self.completed),
            ("rejected", self.rejected),
            ("failed", self.failed),
            ("released", self.released),
        ];
        for (outcome, rows) in rows {
            counter!(metrics::ROWS, "kind" => kind, "outcome" => outcome).increment(rows.into());
        }
        let groups = [("committed", self.groups_committed), ("failed", self.groups_failed)];
        for (outcome, groups) in groups {
            counter!(metrics::GROUPS, "kind" => kind, "outcome" => outcome)
                .increment(groups.into());
        }
        if batches > 0 {
            histogram!(metrics::BATCH_SECONDS, "kind" => kind).record(self.duration);
        }
    }

    /// Logs and counts the batch, with the state of the pool after it.
    pub fn log(&self, pool: &PoolStats) {
        self.count();
        let conserved = self.completed + self.rejected + self.failed + self.released;
        tracing::info!(
            event = "batch_done",
            kind = %self.kind,
            rows = self.claimed,
            coalesced = self.coalesced,
            completed = self.completed,
            rejected = self.rejected,
            failed = self.failed,
            dead = self.dead,
            released = self.released,
            groups = self.groups_committed,
            groups_failed = self.groups_failed,
            duration_ms = milliseconds(self.duration),
            held_longest_ms = milliseconds(self.holds.longest()),
            held_total_ms = milliseconds(self.holds.total()),
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

/// Initialises the counters of each kind to zero, so that monitoring sees the first event as an
/// increase.
pub fn count_from_zero() {
    Kind::ALL.into_iter().for_each(|kind| BatchReport::new(kind, 0, 0).count());
}

/// Logs a claim with the state of the pool before the batch.
pub fn log_claim(claim: &Claim, groups: usize, pool: &PoolStats) {
    let Claim { kind, ref sets, .. } = *claim;
    let rows = claim.row_count();
    tracing::info!(
        event = "batch_claimed",
        kind = %kind,
        rows,
        sets = sets.len(),
        groups,
        pool.in_use = pool.in_use,
        pool.idle = pool.idle,
        pool.open = pool.open,
        pool.max = pool.max,
        pool.waiting = pool.waiting,
        pool.utilisation = pool.utilisation,
        pool.health = %pool.health,
        "{} of {kind} claimed and committed",
        counted(rows.into(), "row", "rows")
    );
}

/// Says that rows were taken over from workers that are gone, or were suspended for longer than their lease.
pub async fn log_rescued(claim: &Claim, store: &Store) {
    if claim.rescued == 0 {
        return;
    }
    let holders = &claim.former_holders;
    let names = store.names_of(holders).await;
    let names = names.unwrap_or_else(|_| holders.iter().map(Holder::to_string).collect());
    let from = names.join(", ");
    tracing::warn!(
        event = "rows_rescued",
        kind = %claim.kind,
        rows = claim.rescued,
        from,
        overdue_s = claim.overdue.as_secs_f64(),
        "{} of {} taken over from a stopped worker ({from}); the lease expired {:.1} s ago",
        counted(claim.rescued.into(), "row", "rows"),
        claim.kind,
        claim.overdue.as_secs_f64()
    );
}

/// The results of a run over all its batches.
#[derive(Clone, Copy, Debug, Default)]
pub struct RunReport {
    /// The sums over the batches.
    pub counts: RunCounts,
    /// Rows that died in this run.
    pub rows_dead: u32,
    /// The longest time that a group's transaction held a connection.
    pub held_longest: Duration,
    /// Whether the run was stopped before all due rows were processed.
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
        self.held_longest = self.held_longest.max(batch.holds.longest());
    }

    /// Adds the results of another run.
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

    /// Whether there were failures that an operator should look at.
    pub const fn has_failures(&self) -> bool {
        self.counts.groups_failed > 0 || self.rows_dead > 0
    }
}
