//! The long groups of a process: dates with more rows than any person has, read in portions.

use aggregation::UserId;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::Notify;

/// The long groups of a process.
#[derive(Clone, Debug, Default)]
pub struct LongGroups(Arc<Inner>);

#[derive(Debug, Default)]
struct Inner {
    users: Mutex<Vec<UserId>>,
    goes_on: Notify,
}

impl LongGroups {
    /// The user of one of them, if there are any.
    pub fn user(&self) -> Option<UserId> {
        self.users().first().cloned()
    }

    /// Waits until one begins, or goes on.
    pub async fn go_on(&self) {
        self.0.goes_on.notified().await;
    }

    /// Wakes a waiter of [`go_on`](Self::go_on).
    pub(super) fn wake(&self) {
        self.0.goes_on.notify_one();
    }

    /// Records that a group is long, until the result is dropped.
    pub(super) fn begin(&self, user_id: &UserId) -> LongGroup<'_> {
        self.users().push(user_id.clone());
        LongGroup { groups: self, user_id: user_id.clone() }
    }

    fn users(&self) -> MutexGuard<'_, Vec<UserId>> {
        self.0.users.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A long group while it is computed.
pub(super) struct LongGroup<'g> {
    groups: &'g LongGroups,
    user_id: UserId,
}

impl Drop for LongGroup<'_> {
    fn drop(&mut self) {
        let mut users = self.groups.users();
        if let Some(at) = users.iter().position(|user_id| *user_id == self.user_id) {
            users.swap_remove(at);
        }
    }
}
