//! Groups in whose middle the work was interrupted.
//!
//! An interruption is nobody's fault, unless it comes each time at the same group: a row that makes
//! its server process crash, a trigger that ends its session. Its rows would be the next batch's
//! first ones again, and nothing behind them would ever be done.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use aggregation::Kind;
use chrono::NaiveDate;

/// So often at the same group is no chance.
const NO_CHANCE: u32 = 2;

/// More are not remembered: a database that is away interrupts one group after the other.
const MOST: usize = 1_000;

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
