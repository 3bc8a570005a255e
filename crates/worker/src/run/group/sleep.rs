//! Sleep: the days whose sessions the group's changes affect. Its rows are vitals, so it uses their
//! transaction and lock.

use std::collections::BTreeSet;

use aggregation::sleep::{Outcome, Rows, SleepScope, recompute, scope};
use aggregation::vitals::{Change, Context};
use chrono::NaiveDate;
use store::{GroupTransaction, StoreError};

use super::guarded;

/// Maximum of rounds. A scope is widened seven times at most. Its surroundings widen it twice. Each
/// time, three sources add days: the ends of sessions there, days stored under another profile or
/// catalogue, and the days of those sessions. More rounds are a bug.
const MOST_ROUNDS: u32 = 8;

/// Computes and writes the days affected by changes, and returns the raw rows that were read. Reads
/// nothing if no change is one of sleep.
pub(super) async fn aggregate(
    transaction: &mut GroupTransaction<'_>,
    context: &Context<'_>,
    changes: &[Change],
) -> Result<Rows, StoreError> {
    let wanted = guarded(|| scope(changes, context.catalogue, context.base_zone))?;
    write(transaction, context, wanted).await
}

/// Computes and writes whole dates from all their raw rows.
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
