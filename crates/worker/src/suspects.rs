//! Groups in whose middle the work was interrupted.
//!
//! An interruption is nobody's fault, unless it comes each time at the same group: a row that makes
//! its server process crash, a trigger that ends its session. Its rows would be the next batch's
//! first ones again, and nothing behind them would ever be done.
//!
//! Rows that end the worker itself are known by the leases that the queue has counted as lost: see
//! [`isolate`].

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use aggregation::Kind;
use chrono::NaiveDate;
use store::{Entry, RetryPolicy};

use crate::batch::Groups;

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

/// What becomes of the groups of a batch.
#[derive(Debug)]
pub struct Isolated {
    /// These are done, in this order.
    pub parts: [Groups; 2],
    /// Rows that are given up: workers ended too often while they held them.
    pub given_up: Groups,
    /// These are released at once, for later batches.
    pub released: Vec<Entry>,
}

/// Sets the groups apart that may have ended a worker. One of them is done, behind all others and after the rest
/// of them was released: if it ends this worker too, no other row of the batch loses a lease.
///
/// A row that comes to a group later may be the correction that helps, so it is not given up with the others.
pub fn isolate(groups: Groups, policy: RetryPolicy) -> Isolated {
    let most = policy.max_attempts.saturating_add(LEASES_BEYOND_ATTEMPTS);
    let mut isolated = Isolated {
        parts: [Groups::new(), Groups::new()],
        given_up: Groups::new(),
        released: Vec::new(),
    };
    let [others, alone] = &mut isolated.parts;
    for (key, entries) in groups {
        let is_suspect = entries.iter().any(|entry| entry.lost_leases >= ALONE_AFTER);
        let (given_up, entries): (Vec<Entry>, Vec<Entry>) =
            entries.into_iter().partition(|entry| entry.lost_leases >= most);
        if !given_up.is_empty() {
            isolated.given_up.insert(key, given_up);
        }
        if entries.is_empty() {
            continue;
        }
        if !is_suspect {
            others.insert(key, entries);
        } else if alone.is_empty() {
            alone.insert(key, entries);
        } else {
            isolated.released.extend(entries);
        }
    }
    isolated
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

    fn interruptions(&self) -> MutexGuard<'_, Interruptions> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
