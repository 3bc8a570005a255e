//! Groups in whose middle the work was interrupted.
//!
//! No group is to blame for an interruption, unless it comes each time at the same group: a row that makes
//! its server process crash, a trigger that ends its session. Its rows would be the next batch's
//! first ones again, and nothing behind them would ever be done.
//!
//! Rows that end the worker itself are known by the leases that the queue has counted as lost: see
//! [`isolate`].

use std::collections::{BTreeSet, HashMap};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use aggregation::Kind;
use chrono::NaiveDate;
use store::{ChangeSet, RetryPolicy};

use super::walk::GroupKey;
use crate::tables::counted;

/// So often at the same group is no chance.
const NO_CHANCE: u32 = 2;

/// More are not remembered: a database that is away interrupts one group after the other.
const MOST: usize = 1_000;

/// Rows that have lost this many leases are done alone. The first crash says nothing of a row, as it shares a
/// batch with the one that is to blame; the second may still be chance.
const ALONE_AFTER: i32 = 2;

/// So many more leases than attempts may be lost before a row is given up: a deployment that kills workers, or a
/// host that crashes, must not make good rows dead.
const LEASES_BEYOND_ATTEMPTS: i32 = 2;

/// Whether workers lost the lease on a set so often that its dates are to be isolated.
pub const fn is_suspect(set: &ChangeSet) -> bool {
    set.lost_leases >= ALONE_AFTER
}

/// Which sets of a batch are set apart, by their places in the claim.
#[derive(Debug, Default)]
pub struct Isolated {
    /// These are given up: workers ended too often while they held them.
    pub given_up: BTreeSet<usize>,
    /// These are done behind all others.
    pub alone: BTreeSet<usize>,
    /// These are released at once, for later batches.
    pub released: BTreeSet<usize>,
}

/// Sets those apart that may have ended a worker: all that have rows of a date with which that happened. The sets
/// of one such date are done, behind all others and after the rest of them was released: if they end this worker
/// too, no other set of the batch loses a lease.
///
/// A set that comes to a date later may be the correction that helps, so it is not given up with the others.
pub fn isolate(sets: &[ChangeSet], dates: &[BTreeSet<GroupKey>], policy: RetryPolicy) -> Isolated {
    let most = policy.max_attempts.saturating_add(LEASES_BEYOND_ATTEMPTS);
    let mut isolated = Isolated::default();
    let suspects = sets.iter().zip(dates).filter(|(set, _)| is_suspect(set));
    let suspects: BTreeSet<GroupKey> =
        suspects.flat_map(|(_, dates)| dates.iter().copied()).collect();
    let mut first = None;
    for (place, (set, dates)) in sets.iter().zip(dates).enumerate() {
        if set.lost_leases >= most {
            isolated.given_up.insert(place);
        } else if let Some(date) = dates.iter().find(|date| suspects.contains(date)) {
            let first = first.get_or_insert(*date);
            let of_place =
                if dates.contains(first) { &mut isolated.alone } else { &mut isolated.released };
            of_place.insert(place);
        }
    }
    isolated
}

/// Logs rows of a date that were given up.
pub fn log_given_up(kind: Kind, (user_id, date): GroupKey, rows: u32, lost_leases: i32) {
    tracing::warn!(
        event = "crash_loop_ended",
        kind = %kind,
        user_id,
        date = %date,
        rows,
        lost_leases,
        "Group given up (user {user_id}, {date}, {kind}): workers ended or stood still {lost_leases} times while \
         they held its rows; {} dead now",
        counted(rows.into(), "row is", "rows are")
    );
}

type Group = (Kind, i64, NaiveDate);

/// The groups that were interrupted, and how often since they were last done.
#[derive(Clone, Debug, Default)]
pub struct Suspects(Arc<Mutex<Interruptions>>);

#[derive(Debug, Default)]
struct Interruptions {
    /// How often, and by which one last.
    groups: HashMap<Group, (u32, u64)>,
    /// Those that are over.
    over: u64,
}

impl Suspects {
    /// The group was interrupted. Whether that has happened too often to be chance. What interrupts several
    /// batches at once, with rows of the same group, has happened once.
    pub fn interrupted(&self, kind: Kind, user_id: i64, date: NaiveDate) -> bool {
        let Interruptions { groups, over } = &mut *self.interruptions();
        if groups.len() >= MOST {
            groups.clear();
        }
        let (times, by) = groups.entry((kind, user_id, date)).or_insert((0, u64::MAX));
        if by != over {
            *times += 1;
            *by = *over;
        }
        *times >= NO_CHANCE
    }

    /// The next interruption is another one.
    pub fn interruption_is_over(&self) {
        self.interruptions().over += 1;
    }

    /// The group was done, or failed on its own account.
    pub fn cleared(&self, kind: Kind, user_id: i64, date: NaiveDate) {
        self.interruptions().groups.remove(&(kind, user_id, date));
    }

    /// Whether no group was interrupted since it was last done.
    pub fn are_none(&self) -> bool {
        self.interruptions().groups.is_empty()
    }

    fn interruptions(&self) -> MutexGuard<'_, Interruptions> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
