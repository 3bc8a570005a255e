//! Who keeps a group waiting for a lock.

use std::time::Duration;

use aggregation::Kind;
use chrono::NaiveDate;
use store::Store;

/// In the time after which the server gives up waiting, it is asked so often who is waited for.
const LOOKS: u32 = 4;

/// So that asking costs the server little, however short the time-out is.
const LEAST_PAUSE: Duration = Duration::from_millis(50);

/// The sessions that keep a group waiting. They are to be asked for while it waits: afterwards the
/// server does not know.
pub struct LockWaits<'s> {
    store: &'s Store,
    /// The process that waits.
    process: i32,
    /// The sessions that were found last.
    pub holders: Vec<String>,
}

impl<'s> LockWaits<'s> {
    /// Those that keep this process waiting.
    pub const fn new(store: &'s Store, process: i32) -> Self {
        Self { store, process, holders: Vec::new() }
    }

    /// Looks for them again and again. A group that is done sooner costs nothing.
    pub async fn watch(
        &mut self,
        (kind, user_id, date): (Kind, i64, NaiveDate),
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
                    user_id,
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
