//! The last days that have figures.

use std::collections::BTreeSet;

use aggregation::UserId;
use aggregation::local_time::Zone;
use chrono::Days;
use store::{Store, StoreError, UserDays};

use super::serve::today;
use crate::cli::MOST_REPORTED_DAYS;

/// The dates with figures on the page: four weeks.
const DATES: usize = 28;

/// Reads the last dates with figures, and those in between; `None` without any. Rows dated in the future
/// do not move the page away from today.
///
/// # Errors
/// If the database fails.
pub async fn read(
    store: &Store,
    user_id: &UserId,
    zone: Zone,
) -> Result<Option<UserDays>, StoreError> {
    // No zone is more than a day ahead of UTC.
    let tomorrow = today() + Days::new(1);
    let any = store.user_days(user_id, tomorrow, tomorrow, zone).await?;
    let Some((first, last)) = any.extent else { return Ok(None) };
    let to = if first <= tomorrow { last.min(tomorrow) } else { last };
    let from = to - Days::new(MOST_REPORTED_DAYS as u64 - 1);
    let year = store.user_days(user_id, from, to, zone).await?;
    let dates: BTreeSet<_> = report::all_days(&year).map(|day| day.date).collect();
    let (Some(last), Some(first)) =
        (dates.last(), dates.iter().rev().nth(DATES - 1).or(dates.first()))
    else {
        return Ok(Some(year));
    };
    store.user_days(user_id, *first, *last, zone).await.map(Some)
}
