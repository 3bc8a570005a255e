//! Groups that take long: a date with more rows than any person has is read in portions.
//!
//! Such a group goes on as long as its portions come. Its lease is renewed meanwhile, and one loop more does the rows
//! of other users, so that nobody waits for it.

use std::convert::Infallible;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use store::{ChangeSet, Claim, Progress, StoreError};
use tokio::sync::Notify;

use super::context::WorkerContext;

/// A group that still reads portions after this time is long; it is looked at as often.
const LOOK_EVERY: Duration = Duration::from_millis(500);

/// The connections that a long group, the renewal of its lease and one loop more need.
const CONNECTIONS: u32 = 3;

/// The long groups of a process.
#[derive(Clone, Debug, Default)]
pub struct LongGroups(Arc<Inner>);

#[derive(Debug, Default)]
struct Inner {
    users: Mutex<Vec<i64>>,
    goes_on: Notify,
}

impl LongGroups {
    /// The user of one of them, if there are any.
    pub fn user(&self) -> Option<i64> {
        self.users().first().copied()
    }

    /// Waits until one begins, or goes on.
    pub async fn go_on(&self) {
        self.0.goes_on.notified().await;
    }

    fn begin(&self, user_id: i64) -> LongGroup<'_> {
        self.users().push(user_id);
        LongGroup { groups: self, user_id }
    }

    fn users(&self) -> MutexGuard<'_, Vec<i64>> {
        self.0.users.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A long group while it is computed.
struct LongGroup<'g> {
    groups: &'g LongGroups,
    user_id: i64,
}

impl Drop for LongGroup<'_> {
    fn drop(&mut self) {
        let mut users = self.groups.users();
        if let Some(at) = users.iter().position(|user_id| *user_id == self.user_id) {
            users.swap_remove(at);
        }
    }
}

/// Beats the heartbeat and renews the lease of a claim as long as its current group reads portions, and says that the
/// group is long. A group that reads none costs nothing.
pub async fn accompany(
    context: &WorkerContext,
    claim: &Claim,
    left: &[&ChangeSet],
    user_id: i64,
    lease: Duration,
    progress: &Progress,
) -> Infallible {
    let (mut portions, mut renewed, mut long) = (progress.portions(), Instant::now(), None);
    loop {
        tokio::time::sleep(LOOK_EVERY).await;
        let now = progress.portions();
        if now != portions {
            portions = now;
            context.heartbeat.beat();
            if context.store.stats().max >= CONNECTIONS {
                long.get_or_insert_with(|| context.long_groups.begin(user_id));
            }
        }
        if long.is_some() {
            context.long_groups.0.goes_on.notify_one();
        }
        if renewed.elapsed() >= lease / 4 && now > 0 {
            renewed = Instant::now();
            // Whether all of them are still held, the end of the group finds out.
            let _ = context.store.renew(claim.kind, claim.token, left.iter().copied(), lease).await;
        }
    }
}

/// Waits for an answer as long as portions come, each within `limit`.
///
/// # Errors
/// As the question, and [`StoreError::NoAnswer`].
pub async fn while_portions_come<T>(
    limit: Duration,
    progress: &Progress,
    question: impl Future<Output = Result<T, StoreError>>,
) -> Result<T, StoreError> {
    let mut question = std::pin::pin!(question);
    let mut portions = progress.portions();
    loop {
        if let Ok(answer) = tokio::time::timeout(limit, &mut question).await {
            return answer;
        }
        if progress.portions() == portions {
            return Err(StoreError::NoAnswer(limit.as_secs_f64()));
        }
        portions = progress.portions();
    }
}
