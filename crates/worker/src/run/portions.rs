//! While a group reads portions: its lease is renewed, and one more loop processes the rows of other users.

use aggregation::UserId;
use std::convert::Infallible;
use std::time::{Duration, Instant};

use store::{ChangeSet, Claim, Progress, StoreError};

use super::context::WorkerContext;

/// Interval at which the portions are counted. A group that reads one after this time is long.
const LOOK_EVERY: Duration = Duration::from_millis(500);

/// The connections that a long group, the renewal of its lease and one more loop need.
const CONNECTIONS: u32 = 3;

/// Beats the heartbeat and renews the lease of a claim as long as its current group reads portions, and says that the
/// group is long. A group that reads none costs nothing.
pub async fn accompany(
    context: &WorkerContext,
    claim: &Claim,
    left: &[&ChangeSet],
    user_id: &UserId,
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
            context.long_groups.wake();
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
