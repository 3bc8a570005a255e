//! How many rows a batch takes: more while the database is quick, fewer when it is not.
//!
//! Additive up, multiplicative down, as TCP shares a line (Chiu and Jain, 1989, "Analysis of the
//! increase and decrease algorithms for congestion avoidance"): several workers that feel the same
//! database come to equal shares of it, and leave it fast.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use store::MOST_IN_A_SET;

use crate::report::BatchReport;
use crate::setup::Bounds;
use crate::tables::counted;

/// So many rows more after a full batch that was quick.
const STEP_UP: u32 = 25;

/// Half as many rows after a batch that was not.
const STEP_DOWN: u32 = 2;

/// A batch that takes longer is too large, be the database busy or merely far away: a lease is longer
/// by far, and a stop waits for a group, not for a batch. That alone is no distress.
const SLOW_BATCH: Duration = Duration::from_secs(5);

/// Only a batch that would stay well below `SLOW_BATCH` when it is doubled is quick.
const QUICK_BATCH: Duration = Duration::from_secs(2);

/// Opening a connection takes less: whoever waits longer waits for others, or for a server that is
/// busy.
const LONG_WAIT: Duration = Duration::from_secs(1);

/// The longest pause for a database in distress. It is as long as the batch took, so that the
/// database has half of the time for others.
const LONGEST_PAUSE: Duration = Duration::from_secs(5);

/// How a batch went.
#[derive(Clone, Copy, Debug, Default)]
pub struct Went {
    /// Rows that it claimed.
    pub rows: u32,
    /// From before the claim to after the last group.
    pub duration: Duration,
    /// The longest wait for a connection meanwhile.
    pub longest_wait: Duration,
    /// Statements, and groups, that ran into a time-out.
    pub timeouts: u32,
    /// Rows that failed or were released.
    pub unfinished: u32,
}

impl Went {
    /// How a batch went, in which the longest wait for a connection was this.
    pub const fn of(report: &BatchReport, longest_wait: Duration) -> Self {
        Self {
            rows: report.claimed - report.coalesced,
            duration: report.duration,
            longest_wait,
            timeouts: report.timeouts,
            unfinished: report.failed + report.released,
        }
    }
}

/// What the number of rows changes for, or the pause is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reason {
    /// A full batch was done quickly.
    Quick,
    /// A lock or a statement ran into its time-out.
    TimedOut,
    /// A connection had to be waited for.
    Waited,
    /// The batch took long.
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

/// What follows from how a batch went.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Next {
    /// The rows of a batch before and from now on, and why.
    pub change: Option<(u32, u32, Reason)>,
    /// How long to leave the database alone, and why.
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

    fn after(&mut self, went: &Went, bounds: Bounds) -> Next {
        let from = self.within(bounds);
        let distress = if went.timeouts > 0 {
            Some(Reason::TimedOut)
        } else if went.longest_wait > LONG_WAIT {
            Some(Reason::Waited)
        } else if went.duration > SLOW_BATCH {
            Some(Reason::Slow)
        } else {
            None
        };
        let (to, reason) = match distress {
            Some(reason) => ((from / STEP_DOWN).max(bounds.min), reason),
            // A batch that fails is quick because it does not write: that says nothing of the database.
            None if went.rows + MOST_IN_A_SET > from && went.duration <= QUICK_BATCH && went.unfinished == 0 => {
                ((from + STEP_UP).min(bounds.max), Reason::Quick)
            }
            None => return Next::default(),
        };
        self.0 = to;
        // Fewer rows come first: where they help, no time is lost. Batches that are merely slow go on:
        // a group costs a dozen round trips, which over a long line take seconds, in a database that
        // has nothing to do.
        let pause = distress.filter(|reason| {
            from == bounds.min && *reason != Reason::Slow && !went.duration.is_zero()
        });
        Next {
            change: (to != from).then_some((from, to, reason)),
            pause: pause.map(|reason| (went.duration.min(LONGEST_PAUSE), reason)),
        }
    }
}

/// The pace of all batches of a process.
#[derive(Clone, Debug)]
pub struct Pace(Arc<Mutex<Size>>);

impl Pace {
    /// Beginning with batches of this size.
    pub fn new(rows: u32) -> Self {
        Self(Arc::new(Mutex::new(Size(rows))))
    }

    /// The rows of the next batch.
    pub fn rows(&self, bounds: Bounds) -> u32 {
        self.size().within(bounds)
    }

    /// Begins again with batches of this size.
    pub fn restart(&self, rows: u32) {
        *self.size() = Size(rows);
    }

    /// Takes in how a batch went, logs what follows, and says how long to pause.
    pub fn after(&self, went: &Went, bounds: Bounds) -> Option<Duration> {
        let next = self.size().after(went, bounds);
        if let Some((from, to, reason)) = next.change {
            tracing::info!(
                event = "batch_size_changed",
                from,
                to,
                reason = reason.name(),
                "batches of {} from now on, {from} before",
                counted(i64::from(to), "row", "rows")
            );
        }
        let (pause, reason) = next.pause?;
        tracing::warn!(
            event = "database_busy",
            pause_ms = pause.as_millis() as u64,
            reason = reason.name(),
            "the database is busy and batches have their smallest size: pausing for {:.1} s",
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

    use super::{Next, Reason, Size, Went};
    use crate::setup::Bounds;

    const BOUNDS: Bounds = Bounds { min: 50, max: 200 };
    const CALM: Went = Went {
        rows: 200,
        duration: Duration::from_millis(100),
        longest_wait: Duration::ZERO,
        timeouts: 0,
        unfinished: 0,
    };

    fn went() -> impl Strategy<Value = Went> {
        (0..400_u32, 0..60_000_u64, 0..60_000_u64, 0..3_u32, 0..3_u32).prop_map(
            |(rows, duration, wait, timeouts, unfinished)| Went {
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
            batches in prop::collection::vec((went(), 50..=200_u32, 50..=200_u32), 0..50),
        ) {
            let mut size = Size(first);
            for (went, one, other) in batches {
                let bounds = Bounds { min: one.min(other), max: one.max(other) };
                let next = size.after(&went, bounds);
                prop_assert!((bounds.min..=bounds.max).contains(&size.0));
                if let Some((from, to, reason)) = next.change {
                    prop_assert_eq!(to, size.0);
                    prop_assert_eq!(to > from, reason == Reason::Quick);
                    prop_assert!(to < from || went.unfinished == 0);
                }
                if let Some((pause, reason)) = next.pause {
                    prop_assert!(pause <= went.duration && pause <= Duration::from_secs(5));
                    prop_assert!(matches!(reason, Reason::TimedOut | Reason::Waited));
                    prop_assert!(size.0 == bounds.min);
                }
            }
        }

        #[test]
        fn a_calm_database_is_used_in_full_again_after_any_distress(
            distress in prop::collection::vec(went(), 0..20),
        ) {
            let mut size = Size(100);
            for went in &distress {
                size.after(went, BOUNDS);
            }
            for _ in 0..6 {
                size.after(&CALM, BOUNDS);
            }
            prop_assert_eq!(size.0, 200);
        }
    }

    #[test]
    fn each_sign_of_distress_halves_the_batch_and_at_the_least_size_all_but_slowness_pause() {
        for (went, reason) in [
            (Went { timeouts: 1, ..CALM }, Reason::TimedOut),
            (Went { longest_wait: Duration::from_secs(2), ..CALM }, Reason::Waited),
            (Went { duration: Duration::from_secs(6), ..CALM }, Reason::Slow),
        ] {
            let mut size = Size(150);
            let halved = Next { change: Some((150, 75, reason)), pause: None };
            assert_eq!(size.after(&went, BOUNDS), halved);
            let least = Next { change: Some((75, 50, reason)), pause: None };
            assert_eq!(size.after(&went, BOUNDS), least);
            let pause = went.duration.min(Duration::from_secs(5));
            let pause = Some((pause, reason)).filter(|_| reason != Reason::Slow);
            assert_eq!(size.after(&went, BOUNDS), Next { change: None, pause });
        }
    }

    #[test]
    fn a_batch_that_was_not_full_changes_nothing() {
        let mut size = Size(100);
        let few = Went { rows: 50, ..CALM };
        assert_eq!(size.after(&few, BOUNDS), Next::default());
        // A set of 50 rows did not fit.
        let full = Went { rows: 51, ..CALM };
        assert_eq!(size.after(&full, BOUNDS).change, Some((100, 125, Reason::Quick)));
    }
}
