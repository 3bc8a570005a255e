//! The queue of change sets: claim, finish, fail, snooze, release, renew.
//!
//! Each step on a claimed set presents the claim's token. So a worker that was thought dead and returns
//! cannot change sets that another worker holds now. Leases expire by the database's clock.

mod claim;
mod finish;
mod holder;
pub(crate) mod queued_rows;
pub(crate) mod rejected;
pub(crate) mod requeue;
pub(crate) mod retry;
mod scan_window;
mod settle;

use std::time::Duration;

use aggregation::{Kind, Timestamp, UserId};
use diesel::data_types::PgTimestamp;

use crate::time::to_postgres;

pub use finish::SetOfGroup;
pub use holder::Holder;
pub(crate) use scan_window::ScanWindow;

/// Maximum of raw rows in a set.
pub const MOST_IN_A_SET: u32 = 50;

/// Raw rows that one statement changed, of one user, kind, metric and zone: at most 50.
///
/// It is claimed, finished and failed as a whole. Where its rows lie on several local dates, the transaction
/// of the last of them to be done deletes it. If one of its dates fails, the others are computed, and all are done
/// again with its next attempt, which is harmless.
#[derive(Clone, Debug, PartialEq)]
pub struct ChangeSet {
    /// Id of the set in the queue.
    pub id: i64,
    /// The user of the rows.
    pub user_id: UserId,
    /// The earliest start of its rows; part of its key.
    pub starts_at: Timestamp,
    /// Vitals: the metric.
    pub metric: Option<String>,
    /// The zone of the rows, if they have one.
    pub time_zone: Option<String>,
    /// Vitals: whether the rows are daily totals.
    pub whole_day: bool,
    /// How often a worker's lease on the set expired.
    pub lost_leases: i32,
    /// The changed rows.
    pub rows: Vec<ChangedRow>,
}

/// A raw row that was inserted, changed or deleted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ChangedRow {
    /// Id of the raw row.
    pub raw_id: i64,
    /// Its time (for an interval, its start) before or after the change.
    pub starts_at: Timestamp,
    /// The end of its interval.
    pub ends_at: Timestamp,
}

/// The end of the queue from which a batch is filled.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ClaimFrom {
    /// The sets that have been due longest.
    Oldest,
    /// The sets that were queued last.
    Newest,
    /// With those that have just come, but for the sets of this user.
    NewestBut(UserId),
}

/// A claimed batch.
#[derive(Clone, Debug)]
pub struct Claim {
    /// The kind of all its sets.
    pub kind: Kind,
    /// The token that guards the lease.
    pub token: i64,
    /// The sets. Together they have at most the requested number of raw rows, and the coalesced ones.
    pub sets: Vec<ChangeSet>,
    /// Raw rows claimed beyond the batch size, because they belong to the hour that the batch fills.
    pub coalesced: u32,
    /// Raw rows taken over from another worker whose lease had expired.
    pub rescued: u32,
    /// How long ago the oldest of these leases expired.
    pub overdue: Duration,
    /// Whose these leases were.
    pub former_holders: Vec<Holder>,
}

impl Claim {
    /// The number of raw rows in all sets.
    pub fn row_count(&self) -> u32 {
        self.sets.iter().map(|set| set.rows.len() as u32).sum()
    }
}

/// The outcome of failed sets, in raw rows.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Failed {
    /// Raw rows given up.
    pub dead: u32,
    /// The largest number of attempts among the sets that were not given up.
    pub attempts: i32,
}

/// The keys of sets as one array per column.
#[derive(Clone, Debug, Default)]
struct SetKeys {
    user_ids: Vec<UserId>,
    starts_at: Vec<PgTimestamp>,
    ids: Vec<i64>,
}

impl<'s> FromIterator<&'s ChangeSet> for SetKeys {
    fn from_iter<I: IntoIterator<Item = &'s ChangeSet>>(sets: I) -> Self {
        let mut keys = Self::default();
        for set in sets {
            keys.user_ids.push(set.user_id.clone());
            keys.starts_at.push(to_postgres(set.starts_at));
            keys.ids.push(set.id);
        }
        keys
    }
}
