//! Sleep: the days whose sessions the group's changes touch. Its rows are vitals, in the same
//! transaction and under the same lock.

use std::collections::BTreeSet;

use aggregation::sleep::{Outcome, Rows, SleepScope, recompute, scope};
use aggregation::vitals::{Change, Context};
use chrono::NaiveDate;
use store::{GroupTransaction, StoreError};

use super::guarded;

/// A scope is widened seven times at most: twice by what can lie around it, each time by the days on
/// which sessions end there, by days stored under another profile or catalogue, and by the days that
/// those sessions come to. More is a bug, not work.
const MOST_ROUNDS: u32 = 8;

/// Computes and writes the days that changes concern; gives back the raw rows that were read.
/// Nothing is read if no change is one of sleep.
pub(super) async fn aggregate(
    transaction: &mut GroupTransaction<'_>,
    context: &Context<'_>,
    changes: &[Change],
) -> Result<Rows, StoreError> {
    let wanted = guarded(|| scope(changes, context.catalogue, context.base_zone))?;
    write(transaction, context, wanted).await
}

/// Computes and writes whole dates, from all their raw rows.
pub(super) async fn rebuild(
    transaction: &mut GroupTransaction<'_>,
    context: &Context<'_>,
    dates: &BTreeSet<NaiveDate>,
) -> Result<(), StoreError> {
    write(transaction, context, SleepScope::of_dates(dates.clone())).await.map(|_| ())
}

async fn write(
    transaction: &mut GroupTransaction<'_>,
    context: &Context<'_>,
    mut wanted: SleepScope,
) -> Result<Rows, StoreError> {
    if wanted.is_empty() {
        return Ok(Rows::new());
    }
    for _ in 0..MOST_ROUNDS {
        let snapshot = transaction.read_sleep(&wanted).await?;
        match guarded(|| recompute(context, &wanted, &snapshot))? {
            Outcome::Complete(recomputed) => {
                transaction.write_sleep(&recomputed).await?;
                return Ok(snapshot.rows);
            }
            Outcome::Widen(wider) => wanted = wider,
        }
    }
    Err(StoreError::Internal("the scope of a group's sleep does not settle"))
}
