//! Finds the sessions that keep a group waiting for a lock.

use crate::user_ids;
use std::time::Duration;

use aggregation::{Kind, UserId};
use chrono::NaiveDate;
use store::Store;

/// Number of checks within the lock time-out.
const LOOKS: u32 = 4;

/// Minimum interval of the checks, so that they cost the server little even with a short time-out.
const LEAST_PAUSE: Duration = Duration::from_millis(50);

/// The sessions that keep a group waiting. The server knows them only during the wait, so they are read
/// then.
pub struct LockWaits<'s> {
    store: &'s Store,
    /// The server's process that waits.
    process: i32,
    /// The sessions found by the last check.
    pub holders: Vec<String>,
}

impl<'s> LockWaits<'s> {
    /// Watches the lock waits of this process.
    pub const fn new(store: &'s Store, process: i32) -> Self {
        Self { store, process, holders: Vec::new() }
    }

    /// Checks repeatedly. For a group that finishes before the first check, this costs nothing.
    pub async fn watch(
        &mut self,
        (kind, user_id, date): (Kind, &UserId, NaiveDate),
        lock_timeout: Duration,
    ) -> std::convert::Infallible {
        loop {
            tokio::time::sleep((lock_timeout / LOOKS).max(LEAST_PAUSE)).await;
            let found = self.store.blockers(self.process).await.unwrap_or_default();
            if found.is_empty() {
                continue;
            }
            if self.holders.is_empty() {
                tracing::info!(
                    event = "lock_wait",
                    kind = %kind,
                    user_id = user_ids::logged(user_id),
                    date = %date,
                    pid = self.process,
                    holders = found.join("; "),
                    "Group waits for a lock (user {user_id}, {date}, {kind}): {}",
                    found.join("; ")
                );
            }
            self.holders = found;
        }
    }
}
