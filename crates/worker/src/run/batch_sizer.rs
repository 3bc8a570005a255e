//! Adapts the size of batches: larger while the database is fast, smaller while it is slow.
//!
//! The rule is additive increase and multiplicative decrease, as in TCP (Chiu and Jain, 1989, "Analysis
//! of the increase and decrease algorithms for congestion avoidance"). With it, several workers at one
//! database converge to equal shares, and all reduce their load quickly.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use store::MOST_IN_A_SET;

use crate::run::summary::BatchReport;
use crate::settings::Bounds;
use crate::tables::counted;

/// Rows added after a full batch that was fast.
const STEP_UP: u32 = 25;

/// The divisor after a batch that was slow.
const STEP_DOWN: u32 = 2;

/// A longer batch reduces the size, whether the database is busy or only distant. This alone causes no
/// pause: a lease is much longer, and a stop waits for a group, not for a batch.
const SLOW_BATCH: Duration = Duration::from_secs(5);

/// A batch is fast if twice its rows would still take less than `SLOW_BATCH`.
const QUICK_BATCH: Duration = Duration::from_secs(2);

/// Opening a connection takes less time; a longer wait means that the pool or the server is busy.
const LONG_WAIT: Duration = Duration::from_secs(1);

/// Maximum pause for a busy database. A pause lasts as long as the batch before it, so that the database
/// has half of its time for other clients.
const LONGEST_PAUSE: Duration = Duration::from_secs(5);

/// Measurements of a batch.
#[derive(Clone, Copy, Debug, Default)]
pub struct BatchStats {
    /// Claimed rows, without those that were coalesced.
    pub rows: u32,
    /// Duration from before the claim to after the last group.
    pub duration: Duration,
    /// The longest wait for a connection during the batch.
    pub longest_wait: Duration,
    /// Statements, and groups, that ran into a time-out.
    pub timeouts: u32,
    /// Rows that failed or were released.
    pub unfinished: u32,
}

impl BatchStats {
    /// The measurements from the report of a batch and the longest wait for a connection.
    pub const fn from_report(report: &BatchReport, longest_wait: Duration) -> Self {
        Self {
            rows: report.claimed - report.coalesced,
            duration: report.duration,
            longest_wait,
            timeouts: report.timeouts,
            unfinished: report.failed + report.released,
        }
    }
}

/// The reason why the size changes or the drain pauses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reason {
    /// A full batch was fast.
    Quick,
    /// A lock or a statement ran into its time-out.
    TimedOut,
    /// A connection was not available for [`LONG_WAIT`].
    Waited,
    /// The batch took longer than [`SLOW_BATCH`].
    Slow,
}

impl Reason {
    /// The stable name used in logs.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Quick => "quick",
            Self::TimedOut => "timed_out",
            Self::Waited => "waited_for_connection",
            Self::Slow => "slow_batch",
        }
    }
}

/// The consequences of a batch.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Next {
    /// The former and the new size, and the reason.
    pub change: Option<(u32, u32, Reason)>,
    /// The pause before the next batch, and the reason.
    pub pause: Option<(Duration, Reason)>,
}

/// The rows of the next batch.
#[derive(Clone, Copy, Debug)]
struct Size(u32);

impl Size {
    fn within(&mut self, bounds: Bounds) -> u32 {
        self.0 = self.0.clamp(bounds.min, bounds.max);
        self.0
    }

    fn record_batch(&mut self, stats: &BatchStats, bounds: Bounds) -> Next {
        let from = self.within(bounds);
        let trouble = if stats.timeouts > 0 {
            Some(Reason::TimedOut)
        } else if stats.longest_wait > LONG_WAIT {
            Some(Reason::Waited)
        } else if stats.duration > SLOW_BATCH {
            Some(Reason::Slow)
        } else {
            None
        };
        let (to, reason) = match trouble {
            Some(reason) => ((from / STEP_DOWN).max(bounds.min), reason),
            // A batch with failing groups writes little, so its duration says nothing about the
            // database.
            None if stats.rows + MOST_IN_A_SET > from
                && stats.duration <= QUICK_BATCH
                && stats.unfinished == 0 =>
            {
                ((from + STEP_UP).min(bounds.max), Reason::Quick)
            }
            None => return Next::default(),
        };
        self.0 = to;
        // The size is reduced before any pause: if that helps, no time is lost. A batch that is only
        // slow causes no pause. A group takes a dozen round trips, which may take seconds to a distant,
        // idle database.
        let pause = trouble.filter(|reason| {
            from == bounds.min && *reason != Reason::Slow && !stats.duration.is_zero()
        });
        Next {
            change: (to != from).then_some((from, to, reason)),
            pause: pause.map(|reason| (stats.duration.min(LONGEST_PAUSE), reason)),
        }
    }
}

/// The size of the next batch, shared by all loops of a process.
#[derive(Clone, Debug)]
pub struct BatchSizer(Arc<Mutex<Size>>);

impl BatchSizer {
    /// Starts with this size.
    pub fn new(rows: u32) -> Self {
        Self(Arc::new(Mutex::new(Size(rows))))
    }

    /// The number of rows of the next batch.
    pub fn next_size(&self, bounds: Bounds) -> u32 {
        self.size().within(bounds)
    }

    /// Starts again with this size.
    pub fn restart(&self, rows: u32) {
        *self.size() = Size(rows);
    }

    /// Adapts the size to the measurements of a batch and logs the change. Returns the pause before the next batch.
    pub fn record_batch(&self, stats: &BatchStats, bounds: Bounds) -> Option<Duration> {
        let next = self.size().record_batch(stats, bounds);
        if let Some((from, to, reason)) = next.change {
            tracing::info!(
                event = "batch_size_changed",
                from,
                to,
                reason = reason.name(),
                "Batch size is {} from now on, {from} before ({})",
                counted(i64::from(to), "row", "rows"),
                reason.name()
            );
        }
        let (pause, reason) = next.pause?;
        tracing::warn!(
            event = "database_busy",
            pause_ms = pause.as_millis() as u64,
            reason = reason.name(),
            "Database busy ({}) at the smallest batch size: pausing for {:.1} s",
            reason.name(),
            pause.as_secs_f64()
        );
        Some(pause)
    }

    fn size(&self) -> std::sync::MutexGuard<'_, Size> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use proptest::prelude::*;

    use super::{BatchStats, Next, Reason, Size};
    use crate::settings::Bounds;

    const BOUNDS: Bounds = Bounds { min: 50, max: 200 };
    const CALM: BatchStats = BatchStats {
        rows: 200,
        duration: Duration::from_millis(100),
        longest_wait: Duration::ZERO,
        timeouts: 0,
        unfinished: 0,
    };

    fn stats() -> impl Strategy<Value = BatchStats> {
        (0..400_u32, 0..60_000_u64, 0..60_000_u64, 0..3_u32, 0..3_u32).prop_map(
            |(rows, duration, wait, timeouts, unfinished)| BatchStats {
                rows,
                duration: Duration::from_millis(duration),
                longest_wait: Duration::from_millis(wait),
                timeouts,
                unfinished,
            },
        )
    }

    proptest! {
        #[test]
        fn whatever_happens_the_size_stays_within_its_bounds_and_a_pause_is_short(
            first in 0..1_000_u32,
            batches in prop::collection::vec((stats(), 50..=200_u32, 50..=200_u32), 0..50),
        ) {
            let mut size = Size(first);
            for (stats, one, other) in batches {
                let bounds = Bounds { min: one.min(other), max: one.max(other) };
                let next = size.record_batch(&stats, bounds);
                prop_assert!((bounds.min..=bounds.max).contains(&size.0));
                if let Some((from, to, reason)) = next.change {
                    prop_assert_eq!(to, size.0);
                    prop_assert_eq!(to > from, reason == Reason::Quick);
                    prop_assert!(to < from || stats.unfinished == 0);
                }
                if let Some((pause, reason)) = next.pause {
                    prop_assert!(pause <= stats.duration && pause <= Duration::from_secs(5));
                    prop_assert!(matches!(reason, Reason::TimedOut | Reason::Waited));
                    prop_assert!(size.0 == bounds.min);
                }
            }
        }

        #[test]
        fn a_calm_database_is_used_in_full_again_after_any_distress(
            distress in prop::collection::vec(stats(), 0..20),
        ) {
            let mut size = Size(100);
            for stats in &distress {
                size.record_batch(stats, BOUNDS);
            }
            for _ in 0..6 {
                size.record_batch(&CALM, BOUNDS);
            }
            prop_assert_eq!(size.0, 200);
        }
    }

    #[test]
    fn each_trouble_halves_the_batch_and_at_the_smallest_size_all_but_slowness_pause() {
        for (stats, reason) in [
            (BatchStats { timeouts: 1, ..CALM }, Reason::TimedOut),
            (BatchStats { longest_wait: Duration::from_secs(2), ..CALM }, Reason::Waited),
            (BatchStats { duration: Duration::from_secs(6), ..CALM }, Reason::Slow),
        ] {
            let mut size = Size(150);
            let halved = Next { change: Some((150, 75, reason)), pause: None };
            assert_eq!(size.record_batch(&stats, BOUNDS), halved);
            let least = Next { change: Some((75, 50, reason)), pause: None };
            assert_eq!(size.record_batch(&stats, BOUNDS), least);
            let pause = stats.duration.min(Duration::from_secs(5));
            let pause = Some((pause, reason)).filter(|_| reason != Reason::Slow);
            assert_eq!(size.record_batch(&stats, BOUNDS), Next { change: None, pause });
        }
    }

    #[test]
    fn a_batch_that_was_not_full_changes_nothing() {
        let mut size = Size(100);
        let few = BatchStats { rows: 50, ..CALM };
        assert_eq!(size.record_batch(&few, BOUNDS), Next::default());
        // A set of 50 rows did not fit.
        let full = BatchStats { rows: 51, ..CALM };
        assert_eq!(size.record_batch(&full, BOUNDS).change, Some((100, 125, Reason::Quick)));
    }
}
