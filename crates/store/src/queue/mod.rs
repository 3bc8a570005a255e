//! The queue of change sets: claim, finish, fail, snooze, release, renew.
//!
//! Each step on a claimed set shows the claim's token, so that a worker that was thought dead
//! and comes back cannot change what another one holds by now. Leases are judged by the database's clock.

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

use aggregation::{Kind, Timestamp};
use diesel::data_types::PgTimestamp;

use crate::time::to_postgres;

pub(crate) use finish::Finish;
pub use finish::SetOfGroup;
pub use holder::Holder;
pub(crate) use scan_window::ScanWindow;

/// A set has at most so many raw rows.
pub const MOST_IN_A_SET: u32 = 50;

/// Raw rows that one statement changed, of one user, kind, metric and zone: at most 50.
///
/// It is claimed, finished and failed as a whole. Where its rows lie on several local dates, the transaction
/// of the last of them to be done deletes it. If one of its dates fails, the others are computed, and all are done
/// again with its next attempt, which is harmless.
#[derive(Clone, Debug, PartialEq)]
pub struct ChangeSet {
    /// The queue's own number of the set.
    pub id: i64,
    /// The user.
    pub user_id: i64,
    /// The earliest start of its rows; part of its key.
    pub starts_at: Timestamp,
    /// Vitals: the metric.
    pub metric: Option<String>,
    /// The zone that the rows name.
    pub time_zone: Option<String>,
    /// Vitals: whether the rows are daily totals.
    pub whole_day: bool,
    /// How often the lease of a worker on it expired.
    pub lost_leases: i32,
    /// The changed rows.
    pub rows: Vec<ChangedRow>,
}

/// A raw row that was inserted, changed or deleted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ChangedRow {
    /// Its id.
    pub raw_id: i64,
    /// Its time (for an interval, its start) as it was or is.
    pub starts_at: Timestamp,
    /// The end of its interval.
    pub ends_at: Timestamp,
}

/// At which end of the queue a batch begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ClaimFrom {
    /// With the sets that have been due for longest.
    Oldest,
    /// With those that have just come.
    Newest,
}

/// A claimed batch.
#[derive(Clone, Debug)]
pub struct Claim {
    /// The kind of all its rows.
    pub kind: Kind,
    /// Its token.
    pub token: i64,
    /// The sets. Together they have at most as many raw rows as asked for, and those that were coalesced.
    pub sets: Vec<ChangeSet>,
    /// Raw rows that were claimed beyond the size of the batch, because they are of the hour that it fills.
    pub coalesced: u32,
    /// Raw rows that another worker had claimed, whose lease has run out.
    pub rescued: u32,
    /// For how long the oldest of these leases had run out.
    pub overdue: Duration,
    /// Whose these leases were.
    pub former_holders: Vec<Holder>,
}

impl Claim {
    /// How many raw rows it has.
    pub fn row_count(&self) -> u32 {
        self.sets.iter().map(|set| set.rows.len() as u32).sum()
    }
}

/// What became of sets whose group failed, in raw rows.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Failed {
    /// How many rows were given up.
    pub dead: u32,
    /// The largest number of attempts that one of the others has had.
    pub attempts: i32,
}

/// The keys of sets, as columns.
#[derive(Clone, Debug, Default)]
struct SetKeys {
    user_ids: Vec<i64>,
    starts_at: Vec<PgTimestamp>,
    ids: Vec<i64>,
}

impl<'s> FromIterator<&'s ChangeSet> for SetKeys {
    fn from_iter<I: IntoIterator<Item = &'s ChangeSet>>(sets: I) -> Self {
        let mut keys = Self::default();
        for set in sets {
            keys.user_ids.push(set.user_id);
            keys.starts_at.push(to_postgres(set.starts_at));
            keys.ids.push(set.id);
        }
        keys
    }
}
