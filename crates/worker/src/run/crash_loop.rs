//! Groups that end a session or the worker each time they are computed.
//!
//! An interruption is not the fault of a group, unless every attempt at the group is interrupted. A row may crash its
//! server process, or a trigger may end its session. The rows of such a group would always be the first of the next
//! batch, and no row behind them would ever be processed.
//!
//! The queue counts the leases that each set lost. That finds sets that end the worker itself: see [`isolate`].

use std::collections::{BTreeSet, HashMap};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use aggregation::{Kind, UserId};
use chrono::NaiveDate;
use store::{ChangeSet, RetryPolicy};

use super::group::GroupKey;
use crate::tables::counted;
use crate::user_ids;

/// Interruptions of one group before it is snoozed.
const MIN_INTERRUPTIONS: u32 = 2;

/// Groups that are remembered: an unavailable database interrupts one group after the other.
const MAX_GROUPS: usize = 1_000;

/// Lost leases before a set is processed alone. One lost lease proves nothing, because all sets of the batch lost
/// theirs; the second may still be chance.
const ALONE_AFTER: i32 = 2;

/// A set is given up after `max_attempts` and this many lost leases: a deployment that kills workers, or a host
/// that crashes, must not make good rows dead.
const LEASES_BEYOND_ATTEMPTS: i32 = 2;

/// Whether workers lost the lease on a set so often that its dates are to be isolated.
pub const fn is_suspect(set: &ChangeSet) -> bool {
    set.lost_leases >= ALONE_AFTER
}

/// The sets of a batch that are isolated, by their index in the claim.
#[derive(Debug, Default)]
pub struct Isolated {
    /// Given up: they lost too many leases.
    pub given_up: BTreeSet<usize>,
    /// Processed after all others.
    pub alone: BTreeSet<usize>,
    /// Released at once, for later batches.
    pub released: BTreeSet<usize>,
}

/// Isolates the sets that may have ended a worker: all sets with rows of a date that a suspect set touches. The
/// sets of one such date are processed last, after those of the other dates were released. So if they end this
/// worker too, no other set of the batch loses its lease.
///
/// A set that was queued later for such a date may be the correction that helps, so it is not given up.
pub fn isolate(sets: &[ChangeSet], dates: &[BTreeSet<GroupKey>], policy: RetryPolicy) -> Isolated {
    let most = policy.max_attempts.saturating_add(LEASES_BEYOND_ATTEMPTS);
    let mut isolated = Isolated::default();
    let suspects = sets.iter().zip(dates).filter(|(set, _)| is_suspect(set));
    let suspects: BTreeSet<GroupKey> =
        suspects.flat_map(|(_, dates)| dates.iter().cloned()).collect();
    let mut first = None;
    for (place, (set, dates)) in sets.iter().zip(dates).enumerate() {
        if set.lost_leases >= most {
            isolated.given_up.insert(place);
        } else if let Some(date) = dates.iter().find(|date| suspects.contains(date)) {
            let first = first.get_or_insert_with(|| date.clone());
            let of_place =
                if dates.contains(first) { &mut isolated.alone } else { &mut isolated.released };
            of_place.insert(place);
        }
    }
    isolated
}

/// Logs rows of a date that were given up.
pub fn log_given_up(kind: Kind, (user_id, date): &GroupKey, rows: u32, lost_leases: i32) {
    tracing::warn!(
        event = "crash_loop_ended",
        kind = %kind,
        user_id = user_ids::logged(user_id),
        date = %date,
        rows,
        lost_leases,
        "Group given up (user {user_id}, {date}, {kind}): workers ended or stood still {lost_leases} times while \
         they held its rows; {} dead now",
        counted(rows.into(), "row is", "rows are")
    );
}

type Group = (Kind, UserId, NaiveDate);

/// Counts how often each group was interrupted since it was last committed.
#[derive(Clone, Debug, Default)]
pub struct CrashLoopGuard(Arc<Mutex<Interruptions>>);

#[derive(Debug, Default)]
struct Interruptions {
    /// How often, and the number of the last interruption.
    groups: HashMap<Group, (u32, u64)>,
    /// Interruptions that have ended: the number of the current one.
    ended: u64,
}

impl CrashLoopGuard {
    /// Records that a group was interrupted. Returns whether that happened too often to be chance. An interruption
    /// that ends several batches at once counts once for a group.
    pub fn record_interruption(&self, kind: Kind, user_id: &UserId, date: NaiveDate) -> bool {
        let Interruptions { groups, ended } = &mut *self.interruptions();
        if groups.len() >= MAX_GROUPS {
            groups.clear();
        }
        let (times, last) = groups.entry((kind, user_id.clone(), date)).or_insert((0, u64::MAX));
        if last != ended {
            *times += 1;
            *last = *ended;
        }
        *times >= MIN_INTERRUPTIONS
    }

    /// The current interruption has ended; another one counts again.
    pub fn end_interruption(&self) {
        self.interruptions().ended += 1;
    }

    /// The group was committed, or failed by an error of its own.
    pub fn clear(&self, kind: Kind, user_id: &UserId, date: NaiveDate) {
        self.interruptions().groups.remove(&(kind, user_id.clone(), date));
    }

    /// Whether no group was interrupted since it was last committed.
    pub fn is_clear(&self) -> bool {
        self.interruptions().groups.is_empty()
    }

    fn interruptions(&self) -> MutexGuard<'_, Interruptions> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
