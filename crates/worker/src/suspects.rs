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
pub struct Suspects(Arc<Mutex<HashMap<Group, u32>>>);

impl Suspects {
    /// The group was interrupted. Whether that has happened too often to be chance.
    pub fn interrupted(&self, kind: Kind, user_id: i64, date: NaiveDate) -> bool {
        let mut groups = self.groups();
        if groups.len() >= MOST {
            groups.clear();
        }
        let times = groups.entry((kind, user_id, date)).or_default();
        *times += 1;
        *times >= NO_CHANCE
    }

    /// The group was done, or failed on its own account.
    pub fn cleared(&self, kind: Kind, user_id: i64, date: NaiveDate) {
        self.groups().remove(&(kind, user_id, date));
    }

    fn groups(&self) -> MutexGuard<'_, HashMap<Group, u32>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
